//! What a node shows to a new connection, and what becomes of connections when its certificate is another one.
//!
//! A connection that is there goes on with the certificate that it began with, so nothing is learnt from it about the
//! next one.

use super::{ProxmoxError, Site, certificate};
use crate::model::ids::{Fingerprint, NodeName};
use crate::sys::http::{ClientSettings, HttpError, Trust, classify, client};

/// What is shown, and whether it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub fingerprint: Fingerprint,
    /// `fingerprint`, `ca_file`, `system` or `insecure`.
    pub by: &'static str,
    pub trusted: bool,
    /// Whether the site has other nodes that can be asked about this one.
    pub others: bool,
    /// What it is called by, without the port.
    pub host: String,
}

fn by(trust: &Trust) -> &'static str {
    match trust {
        Trust::Pinned(_) => "fingerprint",
        Trust::CaFile(_) => "ca_file",
        Trust::System => "system",
        Trust::Insecure => "insecure",
    }
}

/// Whether a new connection comes about with this trust.
async fn is_believed(place: &str, settings: &ClientSettings) -> Result<bool, HttpError> {
    let settings = ClientSettings { keep_idle: 0, ..settings.clone() };
    match client(&settings)?.get(format!("https://{place}/")).send().await {
        Ok(_) => Ok(true),
        Err(error) => match classify(&error, place) {
            error if error.is_trust() => Ok(false),
            error => Err(error),
        },
    }
}

impl Site {
    /// Asks on new connections. `None`: the node is not configured, or not reached over HTTPS.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn shown(&self, node: &NodeName) -> Option<Result<Shown, HttpError>> {
        let (place, settings) = self.endpoint(node)?.configured()?;
        let looked = async {
            let (host, port) = place.rsplit_once(':').unwrap_or((place, "8006"));
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let fingerprint = certificate(host, port.parse().unwrap_or(8006), settings.timeout).await?;
            let trusted = is_believed(place, settings).await?;
            let host = host.to_owned();
            Ok(Shown { fingerprint, by: by(&settings.trust), trusted, others: self.count() > 1, host })
        };
        Some(looked.await)
    }

    /// This node is about to show another certificate: when it does, other nodes are asked in its place until
    /// [`Site::believe`] says which it is, or [`Site::expect_no_certificate`] that there is none.
    pub fn expect_certificate(&self, node: &NodeName) {
        self.endpoint(node).into_iter().for_each(|endpoint| endpoint.set_renewing(true));
    }

    /// It shows none but that of before after all: one that is not believed is a reason to stop again.
    pub fn expect_no_certificate(&self, node: &NodeName) {
        if let Some(endpoint) = self.endpoint(node) {
            endpoint.set_renewing(false);
            // Else it would be asked last for a while, and what it shows not be seen.
            endpoint.suspect(false);
        }
    }

    /// From now on this is the node's certificate, whatever was configured: it was read over a connection that was
    /// believed. Connections of before are let go.
    ///
    /// # Errors
    /// No client can be made.
    pub fn believe(&self, node: &NodeName, fingerprint: Fingerprint) -> Result<(), ProxmoxError> {
        let Some(endpoint) = self.endpoint(node) else { return Ok(()) };
        let setup = |e: HttpError| ProxmoxError::Setup { site: self.name().to_owned(), message: e.to_string() };
        endpoint.believe(fingerprint.0).map_err(setup)
    }
}
