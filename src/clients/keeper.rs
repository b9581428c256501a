//! Where secrets are kept for this program: read when they are used, and an API token written the moment it is made.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

/// What is under a reference; the secret itself is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    /// The place of an API token: its id, and whether a secret is with it.
    Token {
        id: String,
        whole: bool,
    },
    /// Something that is no API token.
    Other,
}

/// A store of secrets. Errors are texts without any secret.
#[async_trait]
pub trait Keeps: Send + Sync {
    /// # Errors
    /// It cannot be told what is there.
    async fn kept(&self, reference: &str) -> Result<Kept, String>;

    /// # Errors
    /// The secret cannot be had.
    async fn secret(&self, reference: &str) -> Result<SecretString, String>;

    /// All that is there, line by line, each value of `NAME=VALUE` shown nowhere from now on.
    ///
    /// # Errors
    /// There is nothing, or it cannot be had.
    async fn text(&self, reference: &str) -> Result<SecretString, String>;

    /// An API token with its id.
    ///
    /// # Errors
    /// There is none, or it cannot be had.
    async fn token(&self, reference: &str) -> Result<(String, SecretString), String>;

    /// Writes a token over what is there; without a secret, its place alone. Read back before it returns.
    ///
    /// # Errors
    /// The store has not taken it.
    async fn keep(&self, reference: &str, id: &str, secret: Option<&SecretString>) -> Result<(), String>;

    /// Takes away what is there.
    ///
    /// # Errors
    /// The store has not let it go.
    async fn forget(&self, reference: &str) -> Result<(), String>;

    /// From now on this is shown nowhere.
    fn conceal(&self, secret: &SecretString);
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Keeper(Arc<dyn Keeps>);

impl Keeper {
    pub fn new(keeps: Arc<dyn Keeps>) -> Self {
        Self(keeps)
    }
}

impl std::ops::Deref for Keeper {
    type Target = dyn Keeps;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}
