//! The network, read for the World.
//!
//! | key | value |
//! |---|---|
//! | `tcp/HOST/PORT` | `{open, found, why}` |
//! | `http/REQUEST` | `{status, headers, body, json, cut}`; `REQUEST` is the JSON of an [`Ask`] that only reads |

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::http::{self, Ask};
use crate::clients::net::{Net, Port};
use crate::engine::ports::Source;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// Reads ports and pages.
pub struct NetSource {
    net: Arc<Net>,
}

impl NetSource {
    pub fn new(net: Arc<Net>) -> Self {
        Self { net }
    }
}

#[async_trait]
impl Source for NetSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let bad = || {
            let cause = "expected one of actions/net/source.rs";
            Failure::new(Class::Internal, format!("read {resource}"), cause)
        };
        let (kind, rest) = resource.as_str().split_once('/').ok_or_else(bad)?;
        match kind {
            "tcp" => {
                let (host, port) = rest.rsplit_once('/').ok_or_else(bad)?;
                let port = port.parse().map_err(|_| bad())?;
                let looked = self.net.port(host, port).await;
                let looked = looked.map_err(|e| http::failure(format!("connect to {host}:{port}"), &e))?;
                Ok(match looked {
                    Port::Open => json!({"open": true, "found": true}),
                    Port::Closed(why) => json!({"open": false, "found": true, "why": why}),
                    Port::NoHost(why) => json!({"open": false, "found": false, "why": why}),
                })
            }
            "http" => {
                let ask: Ask = serde_json::from_str(rest).map_err(|_| bad())?;
                if !ask.only_reads() {
                    return Err(bad());
                }
                http::answer(&self.net, &ask).await
            }
            _ => Err(bad()),
        }
    }
}
