//! A lab in this process as clients reach it: past sockets and certificates, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::clients::kubernetes::{self, Raw};
use crate::clients::net::Keys;
use crate::clients::netbox::{NetboxCall, NetboxReply, NetboxWire};
use crate::clients::proxmox::{Reply, Wire, WireCall};
use crate::clients::ssh::{Commands, Output};
use crate::clients::talos::{self, StandIn};
use crate::lab::front::{Answer, Body, KubernetesAnswer, Lab, NetboxAnswer, Passing, Request, query};
use crate::lab::kubernetes as kube;
use crate::lab::netbox::Ask;
use crate::lab::talos::{NEWEST, rehearsed};
use crate::model::ids::NodeName;
use crate::model::talos::Minor;
use crate::sys::files::{self, FileError};
use crate::sys::http::HttpError;

/// How long the client of a NetBox waits for an answer over HTTP.
const NETBOX_PATIENCE: Duration = Duration::from_secs(60);

/// How long kubectl waits for an answer, as our client tells it.
const KUBECTL_PATIENCE: Duration = Duration::from_secs(15);

/// All ways into a lab.
#[derive(Clone)]
pub(super) struct LabWire(pub Arc<Lab>);

#[async_trait]
impl Wire for LabWire {
    async fn send(&self, node: &NodeName, call: WireCall) -> Result<Reply, HttpError> {
        let upload = call.upload.clone();
        let (lab, via, mut request) = (self.0.clone(), node.clone(), request(call));
        if let Some(upload) = upload {
            let mut passing = Passing::default();
            let read = files::read_through(&upload.path, |bytes| passing.add(bytes));
            let failed =
                |e: FileError| HttpError::Other { host: node.to_string(), sent: false, message: e.to_string() };
            read.map_err(failed)?;
            request = request.param("tmpfilename", "/var/tmp/pveupload-0123456789abcdef0123456789abcdef");
            request.upload = Some(Arc::new(passing.end()));
        }
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

#[async_trait]
impl StandIn for LabWire {
    async fn talosctl(&self, minor: Option<Minor>, words: &[String]) -> talos::Output {
        let version = minor.map(|minor| minor.to_string());
        let of = version.as_deref().unwrap_or(NEWEST);
        let file = rehearsed(of, words);
        let reply = self.0.talosctl(version.as_deref(), words, file.as_deref()).await;
        let written = reply.file.map_or(Ok(()), |(path, bytes)| files::write_private(path, &bytes));
        match written {
            Ok(()) => talos::Output { exit: reply.exit, stdout: reply.stdout, stderr: reply.stderr },
            Err(why) => talos::Output { exit: 1, stdout: String::new(), stderr: format!("{why}\n") },
        }
    }
}

/// As kubectl ends: its exit code is 1 for every failure, and stderr says which.
#[async_trait]
impl kubernetes::StandIn for LabWire {
    async fn kubectl(&self, raw: &Raw) -> kubernetes::Output {
        let (path, words) = raw.path.split_once('?').unwrap_or((&raw.path, ""));
        let ask = kube::Ask {
            method: raw.verb.method().to_owned(),
            path: path.to_owned(),
            query: query(words),
            body: raw.body.as_ref().map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            server: raw.server.clone(),
            ..kube::Ask::default()
        };
        let lab = self.0.clone();
        let unable = |why: &str| (1, String::new(), format!("Unable to connect to the server: {why}\n"));
        let asked = tokio::spawn(async move { lab.kubernetes(ask).await });
        let (exit, stdout, stderr) = match tokio::time::timeout(KUBECTL_PATIENCE, asked).await {
            Ok(Ok(KubernetesAnswer::Said(said))) => said.as_kubectl(),
            Ok(Ok(KubernetesAnswer::Nobody(why))) => unable(&why),
            Ok(Ok(KubernetesAnswer::Reset)) => unable("read tcp: read: connection reset by peer"),
            Ok(Ok(KubernetesAnswer::Never)) => {
                tokio::time::sleep(KUBECTL_PATIENCE).await;
                unable("context deadline exceeded")
            }
            Ok(Err(_)) => unable("the lab's handler failed"),
            Err(_) => unable("context deadline exceeded"),
        };
        kubernetes::Output { exit, stdout, stderr }
    }
}

#[async_trait]
impl NetboxWire for LabWire {
    async fn send(&self, call: NetboxCall) -> Result<NetboxReply, HttpError> {
        let ask = Ask {
            method: call.method.to_owned(),
            path: call.path,
            query: call.query,
            authorization: Some(call.authorization.expose_secret().to_owned()),
            if_match: None,
            body: call.body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        };
        let host = || "netbox".to_owned();
        let lab = self.0.clone();
        let asked = tokio::spawn(async move { lab.netbox_request(ask).await });
        let reset = |message: &str| HttpError::Reset { host: host(), sent: true, message: message.into() };
        match tokio::time::timeout(NETBOX_PATIENCE, asked).await {
            Ok(Ok(NetboxAnswer::Said(said))) => {
                let body = if said.body.is_null() { Vec::new() } else { said.body.to_string().into_bytes() };
                Ok(NetboxReply { status: said.status, retry_after: None, body })
            }
            Ok(Ok(NetboxAnswer::Reset)) => Err(reset("connection reset")),
            Ok(Err(_)) => Err(reset("the lab's handler failed")),
            Ok(Ok(NetboxAnswer::Never)) => {
                tokio::time::sleep(NETBOX_PATIENCE).await;
                Err(HttpError::Timeout { host: host(), sent: true })
            }
            Err(_) => Err(HttpError::Timeout { host: host(), sent: true }),
        }
    }
}

/// The token of the lab's NetBox, whatever reference a configuration has.
pub(super) struct LabKeys(pub Arc<Lab>);

#[async_trait]
impl Keys for LabKeys {
    async fn secret(&self, _: &str) -> Result<Option<SecretString>, String> {
        Ok(Some(self.0.netbox().token().into()))
    }

    fn redact(&self, text: &str) -> String {
        text.replace(self.0.netbox().token(), "***")
    }
}
