//! The way to a NetBox: HTTPS, or for a rehearsal the lab's own in this process.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::error::NetboxError;
use crate::sys::http::{self, ClientSettings, HttpError, Trust};

/// For a request from beginning to end: a page of a thousand objects takes its time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Clone)]
pub struct NetboxCall {
    pub method: &'static str,
    /// From `/api/` on.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub authorization: SecretString,
    pub body: Option<Value>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct NetboxReply {
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

#[async_trait]
pub trait NetboxWire: Send + Sync {
    /// # Errors
    /// There is no answer.
    async fn send(&self, call: NetboxCall) -> Result<NetboxReply, HttpError>;
}

/// One that is handed around.
#[derive(Clone)]
pub struct SharedNetboxWire(pub Arc<dyn NetboxWire>);

impl fmt::Debug for SharedNetboxWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedNetboxWire")
    }
}

struct OverHttp {
    url: Url,
    client: reqwest::Client,
}

/// # Errors
/// The address is none, or would send the token in the open; the authorities cannot be read.
pub(super) fn over_http(url: &str, ca_file: Option<PathBuf>) -> Result<Arc<dyn NetboxWire>, NetboxError> {
    let (url, here) = checked(url)?;
    let trust = ca_file.map_or(Trust::System, Trust::CaFile);
    let settings = ClientSettings { trust, timeout: TIMEOUT, direct: here, guarded: !here, ..Default::default() };
    Ok(Arc::new(OverHttp { url, client: http::client(&settings)? }))
}

/// The address, and whether it is this machine's own.
fn checked(text: &str) -> Result<(Url, bool), NetboxError> {
    let wrong = |why: &str| Err(NetboxError::Wrong(format!("netbox.url: {why}")));
    let Ok(url) = Url::parse(text) else { return wrong("expected https://…") };
    let Some(host) = url.host_str() else { return wrong("expected https://…") };
    let literal: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let here = literal.is_some_and(|ip| ip.is_loopback()) || host == "localhost";
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("it holds a login, which would be shown; netbox.token is the place for one");
    }
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        "http" => return wrong("its token would go over the network in the open: https is needed"),
        _ => return wrong("expected https://…"),
    }
    if literal.is_some_and(|ip| http::is_off_limits(&ip)) {
        return wrong("its address is of this link alone (as a cloud's metadata service)");
    }
    Ok((url, here))
}

#[async_trait]
impl NetboxWire for OverHttp {
    async fn send(&self, call: NetboxCall) -> Result<NetboxReply, HttpError> {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{}", call.path));
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let other = |message: &str| HttpError::Other { host: host.clone(), sent: false, message: message.into() };
        let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| other("no such method"))?;
        let header = HeaderValue::from_str(call.authorization.expose_secret());
        let mut header = header.map_err(|_| other("the token is no single line of text"))?;
        header.set_sensitive(true);
        let mut request = self.client.request(method, url).query(&call.query).header(AUTHORIZATION, header);
        request = request.header("Accept", "application/json");
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|e| http::classify(&e, &host))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let body = answer.bytes().await.map_err(|e| match http::classify(&e, &host) {
            // Its head came: it was taken.
            HttpError::Timeout { host, .. } => HttpError::Timeout { host, sent: true },
            error => HttpError::Reset { host: host.clone(), sent: true, message: error.to_string() },
        })?;
        Ok(NetboxReply { status, retry_after, body: body.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_nowhere_in_the_open() {
        for url in ["http://netbox.example", "ftp://x", "x", "https://u:p@x", "https://169.254.169.254"] {
            let error = checked(url).unwrap_err().to_string();
            assert!(error.starts_with("netbox.url: ") && !error.contains("u:p"), "{url}: {error}");
        }
        for (url, here) in
            [("https://netbox.example/sub/", false), ("http://127.0.0.1:8080", true), ("http://[::1]", true)]
        {
            assert_eq!(checked(url).unwrap().1, here, "{url}");
        }
    }
}
