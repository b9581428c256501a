//! A configured receiver: how the outbox knows it, how people call it, and how it is reached.

use std::time::Duration;

use secrecy::SecretString;
use sha2::{Digest, Sha256};

use crate::app::config::Config;
use crate::app::settings::Settings;
use crate::clients::notify::{Address, Sender};
use crate::model::ids::Fingerprint;
use crate::model::notify::{Notify, Receiver};
use crate::secrets::{Redactor, SecretRef, Secrets};
use crate::sys::files;
use crate::sys::http::Trust;

/// For a letter from beginning to end.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(super) struct Target {
    /// A digest of the address, so that a letter finds its receiver again and the journal holds no address.
    pub key: String,
    /// `ntfy ntfy.example`, `slack pass:ops/slack`: of a URL that stands in the file its host alone.
    pub label: String,
    pub notify: Notify,
}

/// The configured receivers. Addresses that are secrets and stand in the file are known to the redactor afterwards.
pub(super) fn targets(config: &Config, redactor: &Redactor) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    for notify in &config.site.notify {
        let (kind, address) = (notify.to.kind(), notify.to.address());
        if kind == "slack" && address.contains("://") {
            redactor.register(address);
            // The path is the secret part, and is what a server's answer would repeat.
            address.splitn(4, '/').nth(3).map(|path| redactor.register(path));
        }
        let digest = Sha256::new().chain_update(kind).chain_update(b"\0").chain_update(address).finalize();
        let key: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let same = found.iter().filter(|t| t.label.starts_with(&label(notify))).count();
        let number = if same > 0 { format!(" ({})", same + 1) } else { String::new() };
        // The same address twice, for other moments: a receiver of its own.
        let again = found.iter().filter(|t| t.key.starts_with(&key)).count();
        let key = if again > 0 { format!("{key}-{again}") } else { key };
        found.push(Target { key, label: label(notify) + &number, notify: notify.clone() });
    }
    found
}

fn label(notify: &Notify) -> String {
    let address = notify.to.address();
    let shown = match address.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next().unwrap_or_default(),
        None => address,
    };
    format!("{} {shown}", notify.to.kind())
}

/// What resolves references for one configuration.
pub(super) struct Resolver<'a> {
    pub config: &'a Config,
    pub settings: &'a Settings,
    pub secrets: Secrets,
}

impl Resolver<'_> {
    /// A sender with its secrets, fetched now.
    ///
    /// # Errors
    /// A secret cannot be had, or the authority's file not be used: why, without any secret.
    pub async fn sender(&self, notify: &Notify) -> Result<Sender, String> {
        let address = match &notify.to {
            Receiver::Ntfy { url, token, .. } => {
                Address::Ntfy { url: self.address(url).await?, token: self.optional(token.as_deref()).await? }
            }
            Receiver::Slack { url } => Address::Slack { url: self.address(url).await? },
            Receiver::Webhook { url, secret, headers } => {
                let mut values = Vec::new();
                for (name, value) in headers {
                    values.push((name.clone(), self.value(value).await?));
                }
                Address::Webhook {
                    url: self.address(url).await?,
                    secret: self.optional(secret.as_deref()).await?,
                    headers: values,
                }
            }
        };
        Sender::new(address, self.trust(notify)?, DEADLINE).map_err(|e| e.to_string())
    }

    fn trust(&self, notify: &Notify) -> Result<Trust, String> {
        if let Some(fingerprint) = &notify.fingerprint {
            let fingerprint: Fingerprint = fingerprint.parse().map_err(|e| format!("fingerprint: {e}"))?;
            return Ok(Trust::Pinned(fingerprint.0));
        }
        let path = |file: &String| self.config.folder().join(files::expand_home(file, self.settings.home.as_deref()));
        Ok(notify.ca_file.as_ref().map_or(Trust::System, |file| Trust::CaFile(path(file))))
    }

    async fn address(&self, text: &str) -> Result<SecretString, String> {
        if text.contains("://") { Ok(text.to_owned().into()) } else { self.reference(text).await }
    }

    async fn optional(&self, text: Option<&str>) -> Result<Option<SecretString>, String> {
        match text {
            Some(text) => self.reference(text).await.map(Some),
            None => Ok(None),
        }
    }

    /// A header's value: a reference, or a text as it is.
    async fn value(&self, text: &str) -> Result<SecretString, String> {
        match text.parse::<SecretRef>() {
            Ok(_) => self.reference(text).await,
            Err(_) => Ok(text.to_owned().into()),
        }
    }

    async fn reference(&self, text: &str) -> Result<SecretString, String> {
        let reference = text.parse::<SecretRef>().map_err(|e| e.to_string())?;
        // A file that happens to lie above the current folder must not choose what program runs.
        if self.config.found && reference.needs_trust() {
            return Err("cmd: runs a program, and the configuration was only found here, not named".into());
        }
        self.secrets.resolve(&reference).await.map_err(|e| e.to_string())
    }
}
