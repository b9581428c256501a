//! The network for actions, with the secrets that their headers name.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::clients::net::{Keys, Net};
use crate::secrets::{Redactor, SecretRef, Secrets};

/// References as a site's configuration has them.
const SCHEMES: [&str; 7] = ["pass:", "env:", "file:", "cmd:", "op:", "vault:", "sops:"];

struct Own(Secrets);

#[async_trait]
impl Keys for Own {
    async fn secret(&self, text: &str) -> Result<Option<SecretString>, String> {
        if !SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(None);
        }
        let reference = text.parse::<SecretRef>().map_err(|e| e.to_string())?;
        self.0.resolve(&reference).await.map(Some).map_err(|e| e.to_string())
    }

    fn redact(&self, text: &str) -> String {
        self.0.redactor().redact(text).into_owned()
    }
}

/// As this process reaches it.
pub(in crate::app) fn net(redactor: &Redactor) -> Net {
    Net::new(Arc::new(Own(Secrets::new(redactor.clone()))))
}
