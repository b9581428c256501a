//! Any webhook: JSON, signed where there is a secret.

use reqwest::RequestBuilder;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::{Letter, SendError, hmac_sha256};

pub fn request(
    mut request: RequestBuilder,
    letter: &Letter,
    secret: Option<&SecretString>,
    headers: &[(String, SecretString)],
) -> Result<RequestBuilder, SendError> {
    // Signed are the very bytes that are sent, so that a receiver need not know how JSON was written.
    let body = letter.json.to_string();
    if let Some(secret) = secret {
        let mac = hmac_sha256(secret.expose_secret().as_bytes(), body.as_bytes());
        request = request.header("Runbook-Signature", format!("sha256={mac}"));
    }
    for (name, value) in headers {
        let name: HeaderName =
            name.parse().map_err(|_| SendError::Address("a name under `headers` is none of HTTP's"))?;
        let mut value = HeaderValue::from_str(value.expose_secret())
            .map_err(|_| SendError::Address("a value under `headers` is more than a line"))?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    Ok(request.header("Content-Type", "application/json").body(body))
}
