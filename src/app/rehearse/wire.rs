//! A lab in this process as clients reach it: past sockets and certificates, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::clients::proxmox::{Reply, Wire, WireCall};
use crate::clients::ssh::{Commands, Output};
use crate::lab::front::{Answer, Body, Lab, Request};
use crate::model::ids::NodeName;
use crate::sys::http::HttpError;

/// Both ways into a lab.
#[derive(Clone)]
pub(super) struct LabWire(pub Arc<Lab>);

#[async_trait]
impl Wire for LabWire {
    async fn send(&self, node: &NodeName, call: WireCall) -> Result<Reply, HttpError> {
        let (lab, via, request) = (self.0.clone(), node.clone(), request(call));
        // A task of its own: what a node has taken is carried out even if its client goes away.
        let answer = tokio::spawn(async move { lab.request(&via, request).await }).await;
        let reset = |message: &str| HttpError::Reset { host: node.to_string(), sent: true, message: message.into() };
        match answer {
            Ok(Answer::Response(response)) => {
                let body = match response.body {
                    Body::Empty => Vec::new(),
                    Body::Text(text) => text.into_bytes(),
                    Body::Json(value) => value.to_string().into_bytes(),
                };
                Ok(Reply { status: response.status, reason: Some(response.reason), body })
            }
            Ok(Answer::Reset) => Err(reset("connection reset")),
            Ok(Answer::Never) => std::future::pending().await,
            Err(_) => Err(reset("the lab's handler failed")),
        }
    }
}

fn request(call: WireCall) -> Request {
    let path = percent_encoding::percent_decode_str(&call.path).decode_utf8_lossy().into_owned();
    let mut request = Request::new(call.verb, &path);
    for (name, value) in call.params {
        let value = Value::String(value);
        match request.params.get_mut(&name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => _ = request.params.insert(name, value),
        }
    }
    Request { authorization: call.authorization, cookie: call.cookie, csrf: call.csrf, ..request }
}

#[async_trait]
impl Commands for LabWire {
    async fn run(&self, host: &str, argv: &[String]) -> Output {
        let reply = self.0.command(&NodeName::new(host), argv).await;
        Output { exit: reply.exit, stdout: reply.stdout, stderr: reply.stderr }
    }
}
