//! The network for actions, with the secrets that their headers name, and the store of secrets itself.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use crate::clients::keeper::{Keeper, Keeps, Kept};
use crate::clients::net::{Keys, Net};
use crate::secrets::{Entry, Redactor, SecretRef, Secrets};

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

/// Secrets by their references, for a client that logs in with one.
pub(in crate::app) fn keys(redactor: &Redactor) -> Arc<dyn Keys> {
    Arc::new(Own(Secrets::new(redactor.clone())))
}

fn reference(text: &str) -> Result<SecretRef, String> {
    text.parse().map_err(|e: crate::secrets::BadRef| e.to_string())
}

#[async_trait]
impl Keeps for Own {
    async fn kept(&self, text: &str) -> Result<Kept, String> {
        let entry = self.0.entry(&reference(text)?).await.map_err(|e| e.to_string())?;
        Ok(match entry {
            Entry::Nothing => Kept::Nothing,
            Entry::Place(id) => Kept::Token { id, whole: false },
            Entry::Token(id) => Kept::Token { id, whole: true },
            Entry::Other => Kept::Other,
        })
    }

    async fn secret(&self, text: &str) -> Result<SecretString, String> {
        self.0.resolve(&reference(text)?).await.map_err(|e| e.to_string())
    }

    async fn text(&self, text: &str) -> Result<SecretString, String> {
        self.0.text(&reference(text)?).await.map_err(|e| e.to_string())
    }

    async fn token(&self, text: &str) -> Result<(String, SecretString), String> {
        let pair = self.0.token(&reference(text)?).await.map_err(|e| e.to_string())?;
        Ok((pair.id, pair.secret))
    }

    async fn keep(&self, text: &str, id: &str, secret: Option<&SecretString>) -> Result<(), String> {
        self.0.keep(&reference(text)?, id, secret).await.map_err(|e| e.to_string())
    }

    async fn forget(&self, text: &str) -> Result<(), String> {
        self.0.forget(&reference(text)?).await.map_err(|e| e.to_string())
    }

    fn conceal(&self, secret: &SecretString) {
        self.0.redactor().register(secret.expose_secret());
    }
}

/// The stores that this process's user has.
pub(in crate::app) fn keeper(redactor: &Redactor) -> Keeper {
    Keeper::new(Arc::new(Own(Secrets::new(redactor.clone()))))
}
