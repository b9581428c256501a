//! A stand-in for a NetBox 4.6: the objects of virtual machines, their interfaces, MAC and IP addresses, held to what its
//! published sources say. It takes and refuses what NetBox does; it must never be adapted to our own client.
//!
//! Sources: netbox-community/netbox (virtualization, dcim, ipam, extras, netbox/api). What is from knowledge of NetBox and
//! of its framework alone stands in docs/explanation/lab.md.

mod check;
mod filter;
mod kind;
mod seed;
mod show;
mod store;
#[cfg(test)]
mod tests;
mod write;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use self::kind::Kind;
use self::store::Store;

/// As `/api/status/` says it.
pub const VERSION: &str = "4.6.8";
/// By which name its requests stand in the ledger.
pub const NODE: &str = "netbox";

/// A request as the API sees it, whichever way it came.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    pub method: String,
    /// From `/api/` on.
    pub path: String,
    /// Decoded; a name may stand more than once.
    pub query: Vec<(String, String)>,
    pub authorization: Option<String>,
    pub if_match: Option<String>,
    pub body: Vec<u8>,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub status: u16,
    /// Nothing for 204.
    pub body: Value,
    pub etag: Option<String>,
    pub location: Option<String>,
    /// Whether it changed anything.
    pub changed: bool,
}

impl Said {
    fn new(status: u16, body: Value) -> Self {
        Self { status, body, etag: None, location: None, changed: false }
    }

    fn detail(status: u16, text: &str) -> Self {
        Self::new(status, json!({ "detail": text }))
    }

    pub(in crate::lab) fn injected(status: u16, text: Option<String>) -> Self {
        let text = text.unwrap_or_else(|| match status {
            401 | 403 => "You do not have permission to perform this action.".into(),
            429 => "Request was throttled.".into(),
            502 => "Bad Gateway".into(),
            503 => "Service Unavailable".into(),
            504 => "Gateway Timeout".into(),
            _ => "Internal Server Error".into(),
        });
        Self::detail(status, &text)
    }
}

/// The stand-in; everything in it goes with the lab.
pub struct Netbox {
    store: Mutex<Store>,
    /// Of the first kind: 40 hexadecimal digits.
    old_token: String,
    /// Of the second: `nbt_KEY.TOKEN`.
    token: String,
}

impl Default for Netbox {
    fn default() -> Self {
        let hex = |words: usize| (0..words).map(|_| format!("{:08x}", rand::random::<u32>())).collect::<String>();
        let token = format!("nbt_{}.{}", &hex(2)[..12], hex(5));
        Self { store: Mutex::new(Store::default()), old_token: hex(5), token }
    }
}

impl Netbox {
    /// With what somebody else has put there.
    pub fn seeded(scenario: &str, site: &str) -> Self {
        let netbox = Self::default();
        seed::fill(&mut netbox.lock(), scenario, site);
        netbox
    }

    /// What its user may write with.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The same user's token of the first kind.
    pub fn old_token(&self) -> &str {
        &self.old_token
    }

    /// The comparable state: what carries a mark by its mark, all else by kind and number.
    pub fn comparable(&self) -> Value {
        show::comparable(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuses(&self, authorization: Option<&str>) -> Option<Said> {
        let Some(given) = authorization else {
            return Some(Said::detail(403, "Authentication credentials were not provided."));
        };
        match given.split_once(' ') {
            Some(("Token", token)) if token == self.old_token => None,
            Some(("Bearer", token)) if token == self.token => None,
            Some(("Token", _)) => Some(Said::detail(403, "Invalid v1 token")),
            Some(("Bearer", _)) => Some(Said::detail(403, "Invalid v2 token")),
            _ => Some(Said::detail(403, "Authentication credentials were not provided.")),
        }
    }

    /// Answers a request. `rejects`: every token is refused at the moment.
    pub fn answer(&self, ask: &Ask, rejects: bool) -> Said {
        let refused = if rejects { Some(Said::detail(403, "Invalid token")) } else { None };
        if let Some(refused) = refused.or_else(|| self.refuses(ask.authorization.as_deref())) {
            return refused;
        }
        if !ask.path.ends_with('/') {
            return Said { location: Some(format!("{}/", ask.path)), ..Said::new(301, Value::Null) };
        }
        if ask.path == "/api/status/" {
            return Said::new(200, json!({"netbox-version": VERSION, "plugins": {}, "python-version": "3.12.3"}));
        }
        let Some((kind, id)) = place(&ask.path) else { return Said::detail(404, "Not found.") };
        let mut store = self.lock();
        match (ask.method.as_str(), id) {
            ("GET", None) => filter::list(&store, kind, ask),
            ("GET", Some(id)) => match store.get(kind, id) {
                Some(_) => Said { etag: store.etag(kind, id), ..Said::new(200, show::full(&store, kind, id)) },
                None => Said::detail(404, &format!("No {} matches the given query.", kind.model())),
            },
            ("POST", None) | ("PATCH" | "PUT" | "DELETE", _) => write::answer(&mut store, kind, id, ask),
            (method, _) => Said::detail(405, &format!("Method \"{method}\" not allowed.")),
        }
    }
}

/// `/api/ipam/ip-addresses/5/`
fn place(path: &str) -> Option<(Kind, Option<u64>)> {
    let rest = path.strip_prefix("/api/")?.trim_end_matches('/');
    let mut words = rest.split('/');
    let kind = Kind::at(words.next()?, words.next()?)?;
    let id = words.next().map(str::parse).transpose().ok()?;
    words.next().is_none().then_some((kind, id))
}
