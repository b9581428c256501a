//! One node's API: its two HTTP clients, its share of calls at once, and whether it answered lately.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Semaphore;

use super::reply::Reply;
use super::upload::Upload;
use super::wire::{SharedWire, WireCall};
use super::{NodeEndpoint, ProxmoxError, SiteSettings, Verb};
use crate::model::ids::NodeName;
use crate::sys::http::{ClientSettings, HttpError, Trust, classify, client};

/// Bytes a second that a file is sent with at least.
const SLOWEST: u64 = 128 << 10;

/// No answer of Proxmox's is near this; it bounds what a wrong endpoint can make us keep.
const MOST_BODY: usize = 64 << 20;

/// A node that could not be reached is asked last for this long: the next call need not wait for it again.
const SUSPECT_FOR: Duration = Duration::from_secs(10);

/// The header by which a change shows that it is no forgery; pve-http-server's spelling.
const CSRF: HeaderName = HeaderName::from_static("csrfpreventiontoken");

/// What proves who we are, ready to be sent. `Debug` shows none of it: the values are marked sensitive.
#[derive(Debug, Clone, Default)]
pub(super) struct Proof {
    pub authorization: Option<HeaderValue>,
    pub cookie: Option<HeaderValue>,
    pub csrf: Option<HeaderValue>,
}

impl Proof {
    fn headers(&self) -> HeaderMap {
        let given = [(AUTHORIZATION, &self.authorization), (COOKIE, &self.cookie), (CSRF, &self.csrf)];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// One request, without the proof.
pub(super) struct Request<'a> {
    pub verb: Verb,
    pub path: &'a str,
    pub params: &'a [(String, String)],
    /// A file that goes with it.
    pub upload: Option<&'a Upload>,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub name: NodeName,
    host: String,
    way: Way,
    timeout: Duration,
    permits: Semaphore,
    suspect_until: Mutex<Option<Instant>>,
    renewing: AtomicBool,
}

#[derive(Debug)]
enum Way {
    Https {
        base: String,
        /// As configured.
        settings: Box<ClientSettings>,
        clients: RwLock<Clients>,
    },
    Wire(SharedWire),
}

#[derive(Debug, Clone)]
struct Clients {
    /// Keeps connections: reads may meet one that the server has just closed, and are repeated then.
    reads: reqwest::Client,
    /// A new connection for each change, so that a reset never leaves open whether an old connection was at fault.
    changes: reqwest::Client,
}

impl Clients {
    fn new(settings: &ClientSettings) -> Result<Self, HttpError> {
        let changes = client(&ClientSettings { keep_idle: 0, ..settings.clone() })?;
        Ok(Self { reads: client(settings)?, changes })
    }
}

impl Endpoint {
    pub fn new(site: &SiteSettings, node: &NodeEndpoint) -> Result<Self, ProxmoxError> {
        let setup = |e: HttpError| ProxmoxError::Setup { site: site.name.clone(), message: e.to_string() };
        let per_node = site.per_node.max(1);
        let settings = ClientSettings {
            trust: trust(site, node),
            timeout: site.timeout,
            keep_idle: per_node,
            direct: is_loopback(&node.host),
            ..ClientSettings::default()
        };
        let host = match node.host.contains(':') && !node.host.starts_with('[') {
            true => format!("[{}]:{}", node.host, node.port),
            false => format!("{}:{}", node.host, node.port),
        };
        let way = match &site.wire {
            Some(wire) => Way::Wire(wire.clone()),
            None => Way::Https {
                base: format!("https://{host}/api2/json"),
                clients: RwLock::new(Clients::new(&settings).map_err(setup)?),
                settings: Box::new(settings),
            },
        };
        Ok(Self {
            name: node.name.clone(),
            host,
            way,
            timeout: site.timeout,
            permits: Semaphore::new(per_node),
            suspect_until: Mutex::new(None),
            renewing: AtomicBool::new(false),
        })
    }

    /// Whether it is about to show another certificate, so that one which is not believed is no reason to stop.
    pub fn is_renewing(&self) -> bool {
        self.renewing.load(Ordering::Relaxed)
    }

    pub fn set_renewing(&self, renewing: bool) {
        self.renewing.store(renewing, Ordering::Relaxed);
    }

    /// Where it listens, and whom it is configured to be; nothing where it is not reached over HTTPS.
    pub fn configured(&self) -> Option<(&str, &ClientSettings)> {
        match &self.way {
            Way::Https { settings, .. } => Some((&self.host, settings)),
            Way::Wire(_) => None,
        }
    }

    /// Believes this certificate from now on; connections that are there are let go.
    pub fn believe(&self, fingerprint: [u8; 32]) -> Result<(), HttpError> {
        if let Way::Https { settings, clients, .. } = &self.way {
            let new = Clients::new(&ClientSettings { trust: Trust::Pinned(fingerprint), ..(**settings).clone() })?;
            *clients.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        self.set_renewing(false);
        self.suspect(false);
        Ok(())
    }

    pub fn is_suspect(&self) -> bool {
        let until = *self.suspect_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    pub fn suspect(&self, suspect: bool) {
        *self.suspect_until.lock().unwrap_or_else(PoisonError::into_inner) =
            suspect.then(|| Instant::now() + SUSPECT_FOR);
    }

    /// Sends it once; a read again, on a new connection, if the first was reset.
    pub async fn send(&self, request: &Request<'_>, proof: &Proof) -> Result<Reply, HttpError> {
        let _permit = self.permits.acquire().await.map_err(|_| self.closed())?;
        if request.verb.is_change() {
            return self.once(true, request, proof).await;
        }
        match self.once(false, request, proof).await {
            Err(HttpError::Reset { message, .. }) => {
                tracing::debug!(node = %self.name, path = request.path, message, "connection reset; asking once more");
                self.once(true, request, proof).await
            }
            other => other,
        }
    }

    fn closed(&self) -> HttpError {
        HttpError::Other { host: self.host.clone(), sent: false, message: "the site is closed".into() }
    }

    /// Over a connection of its own, or over one that may be there already.
    async fn once(&self, own: bool, request: &Request<'_>, proof: &Proof) -> Result<Reply, HttpError> {
        match &self.way {
            Way::Wire(wire) => self.by_wire(wire, request, proof).await,
            Way::Https { base, clients, .. } => {
                let clients = clients.read().unwrap_or_else(PoisonError::into_inner).clone();
                let client = if own { &clients.changes } else { &clients.reads };
                self.by_https(client, format!("{base}{}", request.path), request, proof).await
            }
        }
    }

    async fn by_wire(&self, wire: &SharedWire, request: &Request<'_>, proof: &Proof) -> Result<Reply, HttpError> {
        let text = |value: &Option<HeaderValue>| Some(value.as_ref()?.to_str().ok()?.to_owned());
        let call = WireCall {
            verb: request.verb.as_str(),
            path: request.path.to_owned(),
            params: request.params.to_vec(),
            authorization: text(&proof.authorization),
            cookie: text(&proof.cookie),
            csrf: text(&proof.csrf),
            upload: request.upload.cloned(),
        };
        let late = HttpError::Timeout { host: self.host.clone(), sent: true };
        tokio::time::timeout(self.timeout + takes(request), wire.0.send(&self.name, call)).await.unwrap_or(Err(late))
    }

    async fn by_https(
        &self,
        client: &reqwest::Client,
        url: String,
        request: &Request<'_>,
        proof: &Proof,
    ) -> Result<Reply, HttpError> {
        let failed = |e: reqwest::Error| classify(&e, &self.host);
        let started = Instant::now();
        let built = match request.upload {
            Some(upload) => self.with_file(client, request, upload, url)?,
            None => build(client, request, url),
        };
        let response = built.headers(proof.headers()).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let reason = reason(&response);
        let body = self.body(response).await?;
        let ms = started.elapsed().as_millis() as u64;
        tracing::debug!(node = %self.name, verb = %request.verb, path = request.path, status, ms, "proxmox call");
        Ok(Reply { status, reason, body })
    }

    fn with_file(
        &self,
        client: &reqwest::Client,
        request: &Request<'_>,
        upload: &Upload,
        url: String,
    ) -> Result<reqwest::RequestBuilder, HttpError> {
        let failed =
            |e: std::io::Error| HttpError::Other { host: self.host.clone(), sent: false, message: e.to_string() };
        let (kind, body) = upload.body(request.params).map_err(failed)?;
        let builder = client.post(url).timeout(self.timeout + takes(request)).header(CONTENT_TYPE, kind);
        Ok(builder.header(CONTENT_LENGTH, body.length()).body(reqwest::Body::wrap(body)))
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| classify(&e, &self.host))? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BODY {
                let message = format!("the answer is over {MOST_BODY} bytes");
                return Err(HttpError::Other { host: self.host.clone(), sent: true, message });
            }
        }
        Ok(body)
    }
}

/// How long a file may be under way, beyond what any request may take.
fn takes(request: &Request<'_>) -> Duration {
    Duration::from_secs(request.upload.map_or(0, |upload| upload.size / SLOWEST))
}

/// No proxy reaches our own machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn trust(site: &SiteSettings, node: &NodeEndpoint) -> Trust {
    match (&node.fingerprint, site.insecure, &site.ca_file) {
        (Some(fingerprint), _, _) => Trust::Pinned(fingerprint.0),
        (None, true, _) => Trust::Insecure,
        (None, false, Some(path)) => Trust::CaFile(path.clone()),
        (None, false, None) => Trust::System,
    }
}

/// POST and PUT carry a form, always with its length (pveproxy refuses chunked bodies); GET and DELETE must have no
/// body at all.
fn build(client: &reqwest::Client, request: &Request<'_>, url: String) -> reqwest::RequestBuilder {
    match request.verb {
        Verb::Get => client.get(url).query(request.params),
        Verb::Delete => client.delete(url).query(request.params),
        Verb::Post | Verb::Put => {
            let builder = if request.verb == Verb::Post { client.post(url) } else { client.put(url) };
            match request.params.is_empty() {
                true => builder.header(CONTENT_LENGTH, 0),
                false => builder.form(request.params),
            }
        }
    }
}

/// hyper keeps a reason phrase only when it is not the usual one for the status.
fn reason(response: &reqwest::Response) -> Option<String> {
    let own = response.extensions().get::<hyper::ext::ReasonPhrase>();
    own.map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned())
        .or_else(|| response.status().canonical_reason().map(str::to_owned))
}
