//! HTTP clients and their trust: who is on the other end, and whether a failed request may have been taken.

mod error;
mod guard;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

pub use error::{HttpError, classify};
pub use guard::is_off_limits;
pub use tls::FingerprintMismatch;

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The machine's own certificate authorities.
    #[default]
    System,
    /// The authorities of this PEM file, and no other.
    CaFile(PathBuf),
    /// The one certificate with this SHA-256 of its DER form; its names and dates do not matter.
    Pinned([u8; 32]),
    /// Anybody. The connection is encrypted to whoever answers.
    Insecure,
}

/// How to make a client.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    pub trust: Trust,
    /// For a request from beginning to end.
    pub timeout: Duration,
    /// For name, connection and TLS together; made shorter than `timeout` if it is not, so that a request which
    /// fails in this phase is known not to have been sent.
    pub connect_timeout: Duration,
    /// Idle connections kept to a host. 0: every request on a connection of its own.
    pub keep_idle: usize,
    /// pveproxy closes an idle connection after 5 s: anything longer here meets that race.
    pub idle_timeout: Duration,
    /// Asks no proxy of the environment (`HTTPS_PROXY`). A pinned host never goes through one.
    pub direct: bool,
    /// Refuses names whose addresses are off limits: a name could be anybody's.
    pub guarded: bool,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            keep_idle: 2,
            idle_timeout: Duration::from_secs(4),
            direct: false,
            guarded: false,
        }
    }
}

/// A client that speaks HTTP/1.1 only, follows no redirect and, for a pinned host, asks no proxy of the environment.
pub fn client(settings: &ClientSettings) -> Result<reqwest::Client, HttpError> {
    let connect = settings.connect_timeout.min(settings.timeout / 2);
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(&settings.trust)?)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .timeout(settings.timeout)
        .connect_timeout(connect)
        .tcp_nodelay(true)
        .pool_idle_timeout(settings.idle_timeout)
        .pool_max_idle_per_host(settings.keep_idle)
        .user_agent(concat!("runbook/", env!("CARGO_PKG_VERSION")));
    if settings.guarded {
        builder = builder.dns_resolver(std::sync::Arc::new(guard::GuardedNames));
    }
    if settings.direct || matches!(settings.trust, Trust::Pinned(_)) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|e| HttpError::Setup { message: error::innermost(&e) })
}
