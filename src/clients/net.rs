//! The network as such: whether a port takes connections, and requests over HTTP with the secrets they need.

mod request;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::net::TcpStream;

pub use request::{NetError, Request, Response};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// More addresses of one name are not tried.
const ADDRESSES: usize = 8;

/// Fetches secrets by their references.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Nothing: the text is no reference.
    ///
    /// # Errors
    /// It is one, and the secret cannot be had: why, without it.
    async fn secret(&self, text: &str) -> Result<Option<SecretString>, String>;
    /// The text without the secrets that are known.
    fn redact(&self, text: &str) -> String;
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Net {
    keys: Option<Arc<dyn Keys>>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("reaches", &self.keys.is_some()).finish()
    }
}

/// What a port does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    Open,
    /// Refused, or no answer.
    Closed(String),
    /// There is no such name.
    NoHost(String),
}

impl Net {
    pub fn new(keys: Arc<dyn Keys>) -> Self {
        Self { keys: Some(keys) }
    }

    /// One that reaches nobody: a rehearsal in this process has no network.
    pub fn unreachable() -> Self {
        Self { keys: None }
    }

    pub(super) fn keys(&self) -> Result<&Arc<dyn Keys>, NetError> {
        self.keys.as_ref().ok_or(NetError::Rehearsal)
    }

    /// # Errors
    /// A rehearsal.
    pub async fn port(&self, host: &str, port: u16) -> Result<Port, NetError> {
        self.keys()?;
        let addresses = match tokio::time::timeout(CONNECT, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(found)) => found.take(ADDRESSES).collect::<Vec<SocketAddr>>(),
            Ok(Err(error)) => return Ok(Port::NoHost(error.to_string())),
            Err(_) => return Ok(Port::NoHost("no answer about its address".into())),
        };
        let mut last = "it has no address".to_owned();
        for address in addresses {
            last = match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Ok(Port::Open),
                Ok(Err(error)) => format!("{address}: {error}"),
                Err(_) => format!("{address}: no answer within {} s", CONNECT.as_secs()),
            };
        }
        Ok(Port::Closed(last))
    }
}
