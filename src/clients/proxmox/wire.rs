//! A way to nodes' API other than HTTPS: for a simulated site in this process, where neither sockets nor certificates
//! are the matter.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::reply::Reply;
use super::upload::Upload;
use crate::model::ids::NodeName;
use crate::sys::http::HttpError;

/// One request as it would go over HTTPS.
#[derive(Debug, Clone)]
pub struct WireCall {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub verb: &'static str,
    /// Below `/api2/json`, percent-encoded as it would be sent.
    pub path: String,
    pub params: Vec<(String, String)>,
    pub authorization: Option<String>,
    pub cookie: Option<String>,
    pub csrf: Option<String>,
    /// A file that goes with it.
    pub upload: Option<Upload>,
}

/// Carries requests to nodes.
#[async_trait]
pub trait Wire: Send + Sync {
    /// # Errors
    /// As the HTTP client's: the connection broke, with whether the request may have been taken.
    async fn send(&self, node: &NodeName, call: WireCall) -> Result<Reply, HttpError>;
}

/// A wire that is shared.
#[derive(Clone)]
pub struct SharedWire(pub Arc<dyn Wire>);

impl fmt::Debug for SharedWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedWire")
    }
}
