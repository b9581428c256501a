//! One request, one answer: no redirect is followed, nothing is tried again, and no secret comes back in an error.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};

use super::Net;
use crate::clients::Class;
use crate::sys::http::{self, ClientSettings, HttpError, Trust};

/// Bytes that are read of an answer.
const MOST: usize = 1 << 20;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`
    pub method: String,
    pub url: String,
    /// A value may be a reference to a secret.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Authorities instead of the machine's own.
    pub ca_file: Option<PathBuf>,
    /// Believe anybody.
    pub insecure: bool,
    /// From beginning to end.
    pub timeout: Duration,
}

/// What came back, without the secrets that are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case; what would log somebody in is left out.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Whether there was more of it than is read.
    pub cut: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Nothing was sent.
    #[error("{0}")]
    Wrong(String),
    #[error("a rehearsal has no network: nothing outside the lab is reached")]
    Rehearsal,
    /// The head of an answer came, and its body not.
    #[error("{host} answered {status}, and then: {message}")]
    Broken { host: String, status: u16, message: String },
}

impl NetError {
    /// Whether the other end may have taken the request.
    pub fn sent(&self) -> bool {
        match self {
            Self::Http(error) => error.sent(),
            Self::Broken { .. } => true,
            Self::Wrong(_) | Self::Rehearsal => false,
        }
    }

    pub fn class(&self) -> Class {
        match self {
            Self::Http(HttpError::Timeout { sent: true, .. }) => Class::Timeout,
            Self::Http(error) if error.is_trust() => Class::Refused,
            Self::Http(error) if error.is_connect() => Class::Unreachable,
            Self::Http(HttpError::Reset { .. }) | Self::Broken { .. } => Class::Transient,
            Self::Http(_) => Class::Failed,
            Self::Wrong(_) | Self::Rehearsal => Class::Precondition,
        }
    }
}

impl Net {
    /// # Errors
    /// There is no answer: [`NetError::sent`] says whether it may have been taken.
    pub async fn request(&self, request: &Request) -> Result<Response, NetError> {
        let keys = self.keys()?;
        let url = checked(&request.url)?;
        let host = host_of(&url);
        let trust = match (&request.ca_file, request.insecure) {
            (Some(_), true) => return Err(NetError::Wrong("give one of `ca_file` and `insecure`".into())),
            (Some(path), false) => Trust::CaFile(path.clone()),
            (None, true) => Trust::Insecure,
            (None, false) => Trust::System,
        };
        let settings =
            ClientSettings { trust, timeout: request.timeout, keep_idle: 0, guarded: true, ..Default::default() };
        let client = http::client(&settings)?;
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| NetError::Wrong(format!("{:?} is no method", request.method)))?;
        let open = url.scheme() == "http" && !is_here(&url);
        let mut builder = client.request(method, url);
        for (name, text) in &request.headers {
            let secret = keys.secret(text).await.map_err(|why| NetError::Wrong(format!("header {name}: {why}")))?;
            if secret.is_some() && open {
                let why = "its secret would go over the network in the open: https is needed";
                return Err(NetError::Wrong(format!("header {name}: {why}")));
            }
            builder = builder.header(header_name(name)?, header_value(name, text, secret.as_ref())?);
        }
        if !request.body.is_empty() {
            builder = builder.body(request.body.clone());
        }
        let mut answer = builder.send().await.map_err(|e| http::classify(&e, &host))?;
        let status = answer.status().as_u16();
        let headers = answer.headers().iter().filter(|(name, _)| *name != "set-cookie" && *name != "set-cookie2");
        let headers =
            headers.map(|(name, value)| (name.to_string(), keys.redact(&String::from_utf8_lossy(value.as_bytes()))));
        let headers = headers.collect();
        let (mut body, mut cut) = (Vec::new(), false);
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    let room = MOST - body.len();
                    cut = chunk.len() > room;
                    body.extend_from_slice(&chunk[..room.min(chunk.len())]);
                    if cut {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    let message = http::classify(&error, &host).to_string();
                    return Err(NetError::Broken { host, status, message });
                }
            }
        }
        Ok(Response { status, headers, body: keys.redact(&String::from_utf8_lossy(&body)), cut })
    }
}

fn checked(text: &str) -> Result<Url, NetError> {
    let wrong = |why: &str| Err(NetError::Wrong(format!("url: {why}")));
    let Ok(url) = Url::parse(text) else { return wrong("expected http://… or https://…") };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return wrong("expected http://… or https://…");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("it holds a login, which would be shown; give a header with a reference to a secret");
    }
    if literal(&url).is_some_and(|ip| http::is_off_limits(&ip)) {
        return wrong("its address is of this link alone (as a cloud's metadata service)");
    }
    Ok(url)
}

fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse().ok())
}

fn is_here(url: &Url) -> bool {
    literal(url).is_some_and(|ip| ip.is_loopback()) || url.host_str() == Some("localhost")
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn header_name(name: &str) -> Result<HeaderName, NetError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| NetError::Wrong(format!("{name:?} is no name of a header")))
}

fn header_value(name: &str, text: &str, secret: Option<&SecretString>) -> Result<HeaderValue, NetError> {
    let value = HeaderValue::from_str(secret.map_or(text, |secret| secret.expose_secret()));
    let mut value =
        value.map_err(|_| NetError::Wrong(format!("header {name}: its value is no single line of text")))?;
    value.set_sensitive(secret.is_some());
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_nobodys_server_are_refused() {
        for url in [
            "ftp://x",
            "x",
            "http://169.254.169.254/latest",
            "http://[fe80::1]/",
            "http://u:p@h/",
            "file:///etc/passwd",
        ] {
            let error = checked(url).unwrap_err();
            assert!(!error.sent() && !error.to_string().contains("u:p"), "{url}: {error}");
        }
        assert!(checked("https://pve1.example:8006/x?y=1").is_ok());
    }
}
