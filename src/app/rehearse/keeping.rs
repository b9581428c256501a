//! A store of secrets for rehearsals: in memory, so that none of the user's is read or written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use crate::clients::keeper::{Keeper, Keeps, Kept};
use crate::clients::proxmox::seg;

/// What each secret begins with that nobody has put there.
const REHEARSED: &str = "rehearsed=";

/// By reference: a token's id, and its secret where there is one.
type Entries = BTreeMap<String, (String, Option<SecretString>)>;

#[derive(Clone, Default)]
pub(super) struct Keeping(Arc<Mutex<Entries>>);

impl Keeping {
    pub fn keeper(&self) -> Keeper {
        Keeper::new(Arc::new(self.clone()))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any of the secrets is in this text.
    pub fn is_told_in(&self, text: &str) -> bool {
        let entries = self.entries();
        text.contains(REHEARSED)
            || entries.values().filter_map(|(_, secret)| secret.as_ref()).any(|s| text.contains(s.expose_secret()))
    }

    /// A state of the lab with what is kept beside it, under the names of resources.
    pub fn beside(&self, mut state: Value) -> Value {
        let entries = self.entries();
        let shown: Map<String, Value> = entries
            .iter()
            .map(|(reference, (id, secret))| (seg(reference), json!({"token": id, "whole": secret.is_some()})))
            .collect();
        if !shown.is_empty() {
            state["secret"] = Value::Object(shown);
        }
        state
    }
}

#[async_trait]
impl Keeps for Keeping {
    async fn kept(&self, reference: &str) -> Result<Kept, String> {
        Ok(match self.entries().get(reference) {
            Some((id, secret)) => Kept::Token { id: id.clone(), whole: secret.is_some() },
            None => Kept::Nothing,
        })
    }

    /// Whatever is asked for is there.
    async fn secret(&self, reference: &str) -> Result<SecretString, String> {
        Ok(format!("{REHEARSED}{reference}").into())
    }

    async fn text(&self, reference: &str) -> Result<SecretString, String> {
        self.secret(reference).await
    }

    async fn token(&self, reference: &str) -> Result<(String, SecretString), String> {
        match self.entries().get(reference) {
            Some((id, Some(secret))) => Ok((id.clone(), secret.clone())),
            _ => Err(format!("{reference}: no token is kept there")),
        }
    }

    async fn keep(&self, reference: &str, id: &str, secret: Option<&SecretString>) -> Result<(), String> {
        self.entries().insert(reference.to_owned(), (id.to_owned(), secret.cloned()));
        Ok(())
    }

    async fn forget(&self, reference: &str) -> Result<(), String> {
        self.entries().remove(reference);
        Ok(())
    }

    fn conceal(&self, _: &SecretString) {}
}
