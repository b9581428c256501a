//! A NetBox over its REST API: lists in pages, objects made, changed and taken away, with a token of either kind.

mod error;
mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::sync::{OnceCell, Semaphore};

pub use error::NetboxError;
pub use wire::{NetboxCall, NetboxReply, NetboxWire, SharedNetboxWire};

use crate::clients::net::Keys;

/// Objects of a page; the server may give fewer.
const PAGE: usize = 1000;
/// Values of a filter in one request: an address has its limits.
const CHUNK: usize = 50;
/// Requests at once.
const AT_ONCE: usize = 8;
/// How often a list is read anew that changed while it was read.
const READINGS: usize = 4;
/// How often a reading is asked for again that a server or a proxy before it had no time for.
const TRIES: u32 = 5;
/// No server is waited for longer because it says so.
const LONGEST: Duration = Duration::from_secs(30);
/// The beginning of a token of the second kind.
const SECOND: &str = "nbt_";

/// Where it is, and how it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetboxSettings {
    pub url: String,
    /// A reference.
    pub token: String,
    /// Authorities instead of the machine's own.
    pub ca_file: Option<PathBuf>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Netbox(Arc<Inner>);

struct Inner {
    url: String,
    token: String,
    /// Fetched when it is first needed: a store of secrets may start a program for it.
    header: OnceCell<SecretString>,
    keys: Arc<dyn Keys>,
    wire: Arc<dyn NetboxWire>,
    room: Semaphore,
}

impl fmt::Debug for Netbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netbox").field("url", &self.0.url).finish_non_exhaustive()
    }
}

/// A kind of object, as its path says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objects {
    CustomFields,
    ClusterTypes,
    Clusters,
    Vms,
    Interfaces,
    Macs,
    Ips,
}

impl Objects {
    pub fn path(self) -> &'static str {
        match self {
            Self::CustomFields => "/api/extras/custom-fields/",
            Self::ClusterTypes => "/api/virtualization/cluster-types/",
            Self::Clusters => "/api/virtualization/clusters/",
            Self::Vms => "/api/virtualization/virtual-machines/",
            Self::Interfaces => "/api/virtualization/interfaces/",
            Self::Macs => "/api/dcim/mac-addresses/",
            Self::Ips => "/api/ipam/ip-addresses/",
        }
    }
}

/// Filters of a list; a name may stand more than once.
pub type Filters = Vec<(String, String)>;

impl Netbox {
    /// # Errors
    /// The address is none, or would send the token in the open; the authorities cannot be read.
    pub fn new(settings: &NetboxSettings, keys: Arc<dyn Keys>) -> Result<Self, NetboxError> {
        let wire = wire::over_http(&settings.url, settings.ca_file.clone())?;
        Ok(Self::over(settings, keys, wire))
    }

    /// The same by another way than HTTP.
    pub fn over(settings: &NetboxSettings, keys: Arc<dyn Keys>, wire: Arc<dyn NetboxWire>) -> Self {
        let (url, token) = (settings.url.trim_end_matches('/').to_owned(), settings.token.clone());
        Self(Arc::new(Inner { url, token, header: OnceCell::new(), keys, wire, room: Semaphore::new(AT_ONCE) }))
    }

    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// All that fit, in the order of their numbers.
    ///
    /// # Errors
    /// There is no answer, a refusal, or one of another shape; or it changed each time that it was read.
    pub async fn list(&self, of: Objects, filters: &[(&str, String)]) -> Result<Vec<Value>, NetboxError> {
        let filters: Filters = filters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        for _ in 0..READINGS {
            if let Some(all) = self.pages(of.path(), &filters).await? {
                return Ok(all);
            }
        }
        Err(NetboxError::Shape(format!("{}: the list changed each time while it was read", of.path())))
    }

    /// All whose `filter` is one of these values, some of them a request.
    ///
    /// # Errors
    /// As [`Netbox::list`].
    pub async fn list_by(&self, of: Objects, filter: &str, values: &[String]) -> Result<Vec<Value>, NetboxError> {
        let mut all = Vec::new();
        for chunk in values.chunks(CHUNK) {
            let filters: Vec<(&str, String)> = chunk.iter().map(|value| (filter, value.clone())).collect();
            all.extend(self.list(of, &filters).await?);
        }
        Ok(all)
    }

    /// By our own offsets: a server behind a proxy does not know by which name it is reached, so that its `next` may lead
    /// elsewhere. Nothing where the number of objects changed meanwhile: one may have been passed over.
    async fn pages(&self, path: &str, filters: &Filters) -> Result<Option<Vec<Value>>, NetboxError> {
        let (mut all, mut first): (Vec<Value>, Option<u64>) = (Vec::new(), None);
        loop {
            let mut query = filters.clone();
            let pages = [("ordering", "id".to_owned()), ("limit", PAGE.to_string()), ("offset", all.len().to_string())];
            query.extend(pages.map(|(name, value)| (name.to_owned(), value)));
            let body = self.call("GET", path, query, None).await?;
            let shape = || NetboxError::Shape(format!("GET {path}: expected {{count, results}}"));
            let count = body["count"].as_u64().ok_or_else(shape)?;
            let results = body["results"].as_array().ok_or_else(shape)?;
            if *first.get_or_insert(count) != count {
                return Ok(None);
            }
            all.extend(results.iter().cloned());
            if all.len() as u64 >= count {
                return Ok(Some(all));
            }
            if results.is_empty() {
                return Ok(None);
            }
        }
    }

    /// One object, or nothing.
    ///
    /// # Errors
    /// As [`Netbox::list`].
    pub async fn get(&self, of: Objects, id: u64) -> Result<Option<Value>, NetboxError> {
        match self.call("GET", &one(of, id), Vec::new(), None).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an object: as it is then.
    ///
    /// # Errors
    /// As [`Netbox::list`]; [`NetboxError::may_be_done`] says whether it may have been made.
    pub async fn create(&self, of: Objects, body: Value) -> Result<Value, NetboxError> {
        self.call("POST", of.path(), Vec::new(), Some(body)).await
    }

    /// Changes some of an object.
    ///
    /// # Errors
    /// As [`Netbox::create`].
    pub async fn update(&self, of: Objects, id: u64, body: Value) -> Result<Value, NetboxError> {
        self.call("PATCH", &one(of, id), Vec::new(), Some(body)).await
    }

    /// Takes an object away; one that is not there is gone.
    ///
    /// # Errors
    /// As [`Netbox::create`].
    pub async fn delete(&self, of: Objects, id: u64) -> Result<(), NetboxError> {
        match self.call("DELETE", &one(of, id), Vec::new(), None).await {
            Err(error) if error.status() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }

    /// Its version.
    ///
    /// # Errors
    /// As [`Netbox::list`].
    pub async fn version(&self) -> Result<String, NetboxError> {
        let status = self.call("GET", "/api/status/", Vec::new(), None).await?;
        Ok(status["netbox-version"].as_str().unwrap_or("of an unknown version").to_owned())
    }

    async fn call(
        &self,
        method: &'static str,
        path: &str,
        query: Filters,
        body: Option<Value>,
    ) -> Result<Value, NetboxError> {
        let authorization = self.authorization().await?;
        let mut pause = Duration::from_millis(500);
        for tried in 1.. {
            let call = NetboxCall {
                method,
                path: path.to_owned(),
                query: query.clone(),
                authorization: authorization.clone(),
                body: body.clone(),
            };
            let answer = self.send(call).await;
            match &answer {
                Err(error) if tried < TRIES && (method == "GET" && error.may_pass() || error.is_throttled()) => {
                    tokio::time::sleep(error.wait().unwrap_or(pause).min(LONGEST)).await;
                    pause *= 2;
                }
                _ => return answer,
            }
        }
        Err(NetboxError::Shape("no answer".into()))
    }

    async fn send(&self, call: NetboxCall) -> Result<Value, NetboxError> {
        // The semaphore is never closed.
        let _place = self.0.room.acquire().await;
        let attempted = format!("{} {}", call.method, call.path);
        let reply = self.0.wire.send(call).await?;
        let parsed = serde_json::from_slice(&reply.body);
        if (200..300).contains(&reply.status) {
            let empty = reply.body.iter().all(u8::is_ascii_whitespace);
            let shape = |error: serde_json::Error| NetboxError::Shape(format!("{attempted}: no JSON: {error}"));
            return if empty { Ok(Value::Null) } else { parsed.map_err(shape) };
        }
        let said = match parsed {
            Ok(body) => said(&body),
            Err(_) => String::from_utf8_lossy(&reply.body).lines().take(3).map(str::to_owned).collect(),
        };
        let said = said.iter().map(|line| self.0.keys.redact(line)).collect();
        Err(NetboxError::Status { attempted, status: reply.status, said, retry_after: reply.retry_after })
    }

    async fn authorization(&self) -> Result<SecretString, NetboxError> {
        let fetched = self.0.header.get_or_try_init(|| async {
            let found = self.0.keys.secret(&self.0.token).await;
            let found = found.map_err(|why| NetboxError::Wrong(format!("netbox.token: {why}")))?;
            let secret = found.ok_or_else(|| NetboxError::Wrong("netbox.token is no reference to a secret".into()))?;
            let token = secret.expose_secret().trim();
            let scheme = if token.starts_with(SECOND) { "Bearer" } else { "Token" };
            Ok::<_, NetboxError>(SecretString::from(format!("{scheme} {token}")))
        });
        fetched.await.cloned()
    }
}

fn one(of: Objects, id: u64) -> String {
    format!("{}{id}/", of.path())
}

/// `{"name": ["too long"]}` as `name: too long`, `{"detail": "Not found."}` as it is; lists one after another.
fn said(body: &Value) -> Vec<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let of_object = |fields: &Map<String, Value>| -> Vec<String> {
        let each = fields.iter().map(|(name, value)| {
            let text = match value {
                Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(" "),
                other => plain(other),
            };
            if matches!(name.as_str(), "detail" | "__all__" | "non_field_errors" | "error") {
                text
            } else {
                format!("{name}: {text}")
            }
        });
        each.collect()
    };
    match body {
        Value::Object(fields) => of_object(fields),
        Value::Array(all) => all.iter().filter_map(Value::as_object).flat_map(of_object).collect(),
        Value::Null => Vec::new(),
        other => vec![plain(other)],
    }
}

#[cfg(test)]
mod tests;
