//! A site: which node is asked, in what order, and what is done when one does not answer.

use std::sync::{Arc, OnceLock};

use secrecy::SecretString;
use serde_json::Value;

use super::endpoint::{Endpoint, Proof, Request};
use super::login::Login;
use super::loose::{self, Row};
use super::{At, Params, Poll, ProxmoxError, SiteSettings, Upload, Verb, reply};
use crate::model::ids::{NodeName, Upid};

/// Says why a call does not fit the official schema: server version (`None`: not read yet), verb, path, parameters.
pub type CallCheck = fn(Option<&str>, &str, &str, &[(String, String)]) -> Result<(), String>;

/// A successful answer, with where it came from for errors while reading it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub data: Value,
    /// Row count of a paged list, beside `data` in the envelope.
    pub total: Option<u64>,
    pub at: At,
}

impl Answer {
    /// The data as one object.
    pub fn row(&self) -> Result<Row<'_>, ProxmoxError> {
        Row::new(&self.at, "data", &self.data)
    }

    /// The data as a list of objects; null is an empty list.
    pub fn rows(&self) -> Result<Vec<Row<'_>>, ProxmoxError> {
        loose::rows(&self.at, &self.data)
    }

    /// Each row of the list, read by `read`.
    pub fn each<'a, T>(&'a self, read: impl Fn(&Row<'a>) -> Result<T, ProxmoxError>) -> Result<Vec<T>, ProxmoxError> {
        self.rows()?.iter().map(read).collect()
    }

    pub(super) fn shape(&self, expected: &'static str) -> ProxmoxError {
        let (at, field) = (Box::new(self.at.clone()), "data".to_owned());
        ProxmoxError::Shape { at, field, expected, got: self.data.to_string() }
    }
}

/// One Proxmox site. Cheap to clone; clones share connections, tickets and the limits on calls at once.
#[derive(Debug, Clone)]
pub struct Site {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    user: String,
    endpoints: Arc<[Endpoint]>,
    login: Login,
    poll: Poll,
    check: OnceLock<CallCheck>,
    version: OnceLock<String>,
}

impl Site {
    /// Makes the clients; asks nobody. Errors: no node, a bad CA file, a token id of the wrong form.
    pub fn connect(settings: SiteSettings) -> Result<Self, ProxmoxError> {
        if settings.nodes.is_empty() {
            let message = "no node in the configuration; at least one is needed".into();
            return Err(ProxmoxError::Setup { site: settings.name, message });
        }
        let endpoints: Result<Vec<_>, _> = settings.nodes.iter().map(|node| Endpoint::new(&settings, node)).collect();
        let inner = Inner {
            endpoints: endpoints?.into(),
            login: Login::new(&settings)?,
            user: settings.credential.user().to_owned(),
            name: settings.name,
            poll: settings.poll,
            check: OnceLock::new(),
            version: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The same nodes as somebody else sees them, by a token. Errors: an id of the wrong form.
    pub fn with_token(&self, id: &str, secret: &SecretString) -> Result<Self, ProxmoxError> {
        let of = &self.inner;
        let inner = Inner {
            endpoints: of.endpoints.clone(),
            login: Login::token(&of.name, id, secret)?,
            user: id.to_owned(),
            name: of.name.clone(),
            poll: of.poll,
            check: of.check.clone(),
            version: of.version.clone(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Who we are to Proxmox: `user@realm!tokenname` or `user@realm`. For messages about missing rights.
    pub fn user(&self) -> &str {
        &self.inner.user
    }

    /// Has every call checked before it is sent; the first check set stays.
    pub fn set_check(&self, check: CallCheck) {
        self.inner.check.get_or_init(|| check);
    }

    pub(super) fn poll(&self) -> Poll {
        self.inner.poll
    }

    pub(super) fn learn_version(&self, version: &str) {
        self.inner.version.get_or_init(|| version.to_owned());
    }

    /// The server's version if it has been read.
    pub fn known_version(&self) -> Option<&str> {
        self.inner.version.get().map(String::as_str)
    }

    /// Whether the server's version is known and of an earlier major version than this one.
    pub(super) fn is_before(&self, major: u32) -> bool {
        let known = self.known_version().and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        known.is_some_and(|known| known < major)
    }

    /// A read. Asked of the node that the path names if it is configured, else of any; of another if that one cannot
    /// be reached.
    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> Result<Answer, ProxmoxError> {
        let params: Params = params.iter().copied().collect();
        self.call(Verb::Get, path, &params).await
    }

    /// A change, sent at most once: to another node only if it was certainly not sent to the first.
    pub async fn change(&self, verb: Verb, path: &str, params: &Params) -> Result<Value, ProxmoxError> {
        Ok(self.call(verb, path, params).await?.data)
    }

    /// A change that starts a task. Errors: an answer that is no UPID has an unknown outcome.
    pub async fn start(&self, verb: Verb, path: &str, params: &Params) -> Result<Upid, ProxmoxError> {
        let answer = self.call(verb, path, params).await?;
        let upid = answer.data.as_str().and_then(|text| text.parse().ok());
        upid.ok_or_else(|| answer.shape("a UPID"))
    }

    /// As [`Site::start`] for calls that answer null when they were done at once or hide their task.
    pub async fn start_or_done(&self, verb: Verb, path: &str, params: &Params) -> Result<Option<Upid>, ProxmoxError> {
        let answer = self.call(verb, path, params).await?;
        match &answer.data {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) => text.parse().map(Some).map_err(|_| answer.shape("a UPID or null")),
            _ => Err(answer.shape("a UPID or null")),
        }
    }

    /// A read of a long list, whose rows `read` takes from the answer one by one.
    pub(super) async fn get_by<T>(
        &self,
        path: &str,
        read: impl Fn(At, &reply::Reply) -> Result<T, ProxmoxError> + Sync,
    ) -> Result<T, ProxmoxError> {
        self.call_by(Verb::Get, path, &Params::new(), None, &read).await
    }

    async fn call(&self, verb: Verb, path: &str, params: &Params) -> Result<Answer, ProxmoxError> {
        self.call_by(verb, path, params, None, &reply::read).await
    }

    /// A POST with a file that starts a task. Errors: as [`Site::start`].
    pub async fn upload(&self, path: &str, params: &Params, upload: &Upload) -> Result<Upid, ProxmoxError> {
        let answer = self.call_by(Verb::Post, path, params, Some(upload), &reply::read).await?;
        let upid = answer.data.as_str().and_then(|text| text.parse().ok());
        upid.ok_or_else(|| answer.shape("a UPID"))
    }

    async fn call_by<T>(
        &self,
        verb: Verb,
        path: &str,
        params: &Params,
        upload: Option<&Upload>,
        read: &(impl Fn(At, &reply::Reply) -> Result<T, ProxmoxError> + Sync),
    ) -> Result<T, ProxmoxError> {
        let mut first = None;
        for endpoint in self.order(path) {
            self.check(verb, path, params, endpoint)?;
            match self.call_at(endpoint, &Request { verb, path, params: params.as_slice(), upload }, read).await {
                Err(error) if error.another_node_may_answer() || endpoint.is_renewing() && error.is_trust() => {
                    endpoint.suspect(true);
                    tracing::debug!(node = %endpoint.name, path, %error, "node not reached");
                    first.get_or_insert(error);
                }
                other => {
                    endpoint.suspect(false);
                    return other;
                }
            }
        }
        Err(self.nobody(first))
    }

    pub(super) fn endpoint(&self, node: &NodeName) -> Option<&Endpoint> {
        self.inner.endpoints.iter().find(|endpoint| endpoint.name == *node)
    }

    pub(super) fn count(&self) -> usize {
        self.inner.endpoints.len()
    }

    fn nobody(&self, first: Option<ProxmoxError>) -> ProxmoxError {
        let all = self.inner.endpoints.len();
        match first {
            Some(ProxmoxError::Unreachable { at, cause, sent }) if all > 1 => {
                let cause = format!("{cause}; none of the site's {all} nodes can be reached");
                ProxmoxError::Unreachable { at, cause, sent }
            }
            Some(error) => error,
            None => ProxmoxError::Setup { site: self.inner.name.clone(), message: "no node".into() },
        }
    }

    async fn call_at<T>(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        read: &(impl Fn(At, &reply::Reply) -> Result<T, ProxmoxError> + Sync),
    ) -> Result<T, ProxmoxError> {
        let at = At { verb: request.verb, path: request.path.to_owned(), node: endpoint.name.clone() };
        let mut proof = self.inner.login.proof(endpoint).await?;
        let mut reply = self.send(endpoint, request, &proof, &at).await?;
        // A 401 is said before anything is done, so a change may be sent again, too.
        if reply.status == 401 && self.inner.login.can_renew(&proof).await {
            proof = self.inner.login.proof(endpoint).await?;
            reply = self.send(endpoint, request, &proof, &at).await?;
        }
        read(at, &reply)
    }

    async fn send(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        proof: &Proof,
        at: &At,
    ) -> Result<reply::Reply, ProxmoxError> {
        endpoint.send(request, proof).await.map_err(|e| ProxmoxError::of_http(at.clone(), e))
    }

    fn check(&self, verb: Verb, path: &str, params: &Params, endpoint: &Endpoint) -> Result<(), ProxmoxError> {
        let Some(check) = self.inner.check.get() else { return Ok(()) };
        check(self.known_version(), verb.as_str(), path, params.as_slice()).map_err(|message| {
            let at = At { verb, path: path.to_owned(), node: endpoint.name.clone() };
            ProxmoxError::Contract { at: Box::new(at), message }
        })
    }

    /// The node of the path first, then those that answered lately, then those that did not. A node that is suspect
    /// goes last even for its own paths: another one passes the call on, or says that it cannot.
    fn order(&self, path: &str) -> Vec<&Endpoint> {
        let own = node_of_path(path);
        let mut order: Vec<&Endpoint> = self.inner.endpoints.iter().collect();
        order.sort_by_key(|e| (e.is_suspect(), own != Some(e.name.as_str())));
        order
    }
}

/// `pve2` of `/nodes/pve2/…`.
fn node_of_path(path: &str) -> Option<&str> {
    path.strip_prefix("/nodes/")?.split('/').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::node_of_path;

    #[test]
    fn a_path_names_its_node() {
        assert_eq!(node_of_path("/nodes/pve2/qemu/104/config"), Some("pve2"));
        assert_eq!(node_of_path("/nodes/pve2"), Some("pve2"));
        for path in ["/nodes", "/nodes/", "/cluster/nodes/pve2", "/version"] {
            assert_eq!(node_of_path(path), None, "{path}");
        }
    }
}
