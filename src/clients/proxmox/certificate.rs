//! Which certificate a node shows, for a person to compare before it is believed.

use std::time::Duration;

use super::endpoint::is_loopback;
use crate::model::ids::Fingerprint;
use crate::sys::http::{ClientSettings, HttpError, Trust, classify, client};

/// The SHA-256 of the certificate that is shown at `host`, which is a name or an address without brackets. The
/// handshake is broken off at it: nothing is sent.
///
/// # Errors
/// Nobody answers there, or not in TLS.
pub async fn certificate(host: &str, port: u16, timeout: Duration) -> Result<Fingerprint, HttpError> {
    // No certificate has this digest, so the check fails with the one that it has.
    let trust = Trust::Pinned([0; 32]);
    let settings = ClientSettings { trust, timeout, direct: is_loopback(host), ..ClientSettings::default() };
    let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match client(&settings)?.get(format!("https://{place}/")).send().await {
        Ok(_) => Err(HttpError::Other { host: place, sent: true, message: "it shows no certificate".into() }),
        Err(error) => match classify(&error, &place) {
            HttpError::Fingerprint { got, .. } => Ok(Fingerprint(*got)),
            error => Err(error),
        },
    }
}
