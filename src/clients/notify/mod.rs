//! Tells a receiver something over HTTP: an ntfy topic, an incoming webhook that speaks Slack's way, or any webhook.
//!
//! One letter, one request, one answer. It keeps nothing and tries nothing again; no redirect is followed, and a
//! receiver's own words are cut short.

mod hmac;
mod ntfy;
mod slack;
#[cfg(test)]
mod tests;
mod webhook;

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

pub use hmac::hmac_sha256;

use crate::sys::http::{self, ClientSettings, HttpError, Trust};

/// How much of an answer is read, and how much of it is said.
const MOST: usize = 4096;
const SHOWN: usize = 200;

/// What is to be told, in all the forms that receivers take.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// The same for each try: receivers tell a repetition by it. Letters, digits, `-`.
    pub id: String,
    /// The word for what happened: `failed`.
    pub event: String,
    pub title: String,
    pub text: String,
    /// From 1 to 5.
    pub priority: u8,
    /// The body of a webhook.
    pub json: Value,
}

/// A receiver with its secrets, made for one use.
#[derive(Debug, Clone)]
pub enum Address {
    Ntfy { url: SecretString, token: Option<SecretString> },
    Slack { url: SecretString },
    Webhook { url: SecretString, secret: Option<SecretString>, headers: Vec<(String, SecretString)> },
}

/// Why a letter was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{host} answered {status}{}", .said.as_ref().map(|s| format!(": {s}")).unwrap_or_default())]
    Answered { host: String, status: u16, said: Option<String> },
    /// Nothing was sent. The address itself is not repeated: it may be a secret.
    #[error("{0}")]
    Address(&'static str),
}

impl SendError {
    /// Whether this very letter will never be taken, whatever is repaired.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Answered { status: 400 | 406 | 409 | 413 | 415 | 422, .. })
    }
}

/// Sends letters to one receiver.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    address: Address,
}

impl Sender {
    /// `deadline` is for a letter from beginning to end.
    ///
    /// # Errors
    /// The authority's file cannot be used.
    pub fn new(address: Address, trust: Trust, deadline: Duration) -> Result<Self, SendError> {
        let settings = ClientSettings { trust, timeout: deadline, keep_idle: 1, ..ClientSettings::default() };
        Ok(Self { client: http::client(&settings)?, address })
    }

    /// # Errors
    /// It was not taken, or not in time; a receiver may have it nevertheless.
    pub async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        let url = match &self.address {
            Address::Ntfy { url, token } => checked(url, token.is_some())?,
            Address::Slack { url } => checked(url, true)?,
            Address::Webhook { url, .. } => checked(url, false)?,
        };
        let host = host_of(&url);
        let request = self.client.post(url);
        let request = match &self.address {
            Address::Ntfy { token, .. } => ntfy::request(request, letter, token.as_ref()),
            Address::Slack { .. } => slack::request(request, letter),
            Address::Webhook { secret, headers, .. } => webhook::request(request, letter, secret.as_ref(), headers)?,
        };
        deliver(request, letter, host).await
    }
}

async fn deliver(request: RequestBuilder, letter: &Letter, host: String) -> Result<(), SendError> {
    let request = request.header("Runbook-Id", &letter.id).header("Runbook-Event", &letter.event);
    let mut answer = request.send().await.map_err(|e| http::classify(&e, &host))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MOST {
            break;
        }
    }
    let said = String::from_utf8_lossy(&body).split_whitespace().collect::<Vec<_>>().join(" ");
    let said: String = said.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    Err(SendError::Answered { host, status: status.as_u16(), said: Some(said).filter(|s| !s.is_empty()) })
}

/// The address, if it is one that a receiver may have. `secret`: something goes there that nobody on the way may read.
fn checked(url: &SecretString, secret: bool) -> Result<Url, SendError> {
    let url = Url::parse(url.expose_secret().trim()).map_err(|_| SendError::Address("its address is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(SendError::Address("its address is no URL with http or https"));
    }
    let ip = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    if ip.is_some_and(|ip| http::is_off_limits(&ip)) {
        return Err(SendError::Address(
            "its address is of this link alone (as a cloud's metadata service), not a receiver's",
        ));
    }
    let here = ip.is_some_and(|ip| ip.is_loopback()) || url.host_str() == Some("localhost");
    if secret && url.scheme() == "http" && !here {
        return Err(SendError::Address("its secret would go over the network in the open: https is needed"));
    }
    Ok(url)
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
