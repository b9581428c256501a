//! The NetBox stand-in behind the lab's own transport: its faults, its ledger, a listener on loopback.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::core::Core;
use super::request::percent_decode;
use crate::lab::fault::Effect;
use crate::lab::ledger::{Channel, Entry};
use crate::lab::netbox::{Ask, NODE, Said};

const MAX_BODY: usize = 2 << 20;

/// What a client of the NetBox gets.
#[derive(Debug, Clone, PartialEq)]
pub enum NetboxAnswer {
    Said(Said),
    /// The connection is reset.
    Reset,
    /// Nothing, ever.
    Never,
}

/// Answers one request. Runs to its end whether or not the client still listens.
pub(super) async fn dispatch(core: Arc<Core>, ask: Ask) -> NetboxAnswer {
    let effect = core.faults.take_request(&ask.method, &ask.path);
    match &effect {
        Some(Effect::ResetBefore) => {
            write(&core, &ask, 0, false, false);
            return NetboxAnswer::Reset;
        }
        Some(Effect::Status { status, text, after: false }) => {
            write(&core, &ask, *status, false, false);
            return NetboxAnswer::Said(Said::injected(*status, text.clone()));
        }
        Some(Effect::Slow(time)) => tokio::time::sleep(core.timing.service + *time).await,
        _ => tokio::time::sleep(core.timing.service).await,
    }
    let rejects = core.faults.take_token_rejected();
    let said = core.netbox.answer(&ask, rejects);
    write(&core, &ask, said.status, said.changed, said.status < 400);
    match effect {
        Some(Effect::ResetAfter) => NetboxAnswer::Reset,
        Some(Effect::Status { status, text, .. }) => NetboxAnswer::Said(Said::injected(status, text)),
        Some(Effect::Hang) => NetboxAnswer::Never,
        _ => NetboxAnswer::Said(said),
    }
}

fn write(core: &Core, ask: &Ask, status: u16, mutating: bool, accepted: bool) {
    let mut params: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &ask.query {
        let all = params.entry(name.clone()).or_default();
        *all = if all.is_empty() { value.clone() } else { format!("{all},{value}") };
    }
    match serde_json::from_slice(&ask.body) {
        Ok(Value::Object(fields)) => {
            let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            params.extend(fields.into_iter().map(|(name, value)| (name, text(value))));
        }
        Ok(list @ Value::Array(_)) => _ = params.insert("list".into(), list.to_string()),
        _ => {}
    }
    core.ledger.add(Entry {
        seq: 0,
        at_ms: core.clock.now_ms(),
        channel: Channel::Http,
        node: NODE.into(),
        method: ask.method.clone(),
        path: ask.path.clone(),
        params,
        user: None,
        status: i32::from(status),
        mutating,
        accepted,
        client: None,
    });
}

/// Accepts until its task is aborted; the connections end with it.
pub(super) async fn listen(core: Arc<Core>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => _ = connections.spawn(serve(core.clone(), stream)),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(core: Arc<Core>, stream: TcpStream) {
    // Where it fails an answer is only later.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(Notify::new());
    let service = {
        let reset = reset.clone();
        service_fn(move |request| one(core.clone(), reset.clone(), request))
    };
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let is_reset = {
        let mut reset = pin!(reset.notified());
        tokio::select! {
            _ = &mut connection => false,
            () = &mut reset => true,
        }
    };
    if is_reset {
        // Where this fails the peer sees an ordinary close, which is as good a failure.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn one(
    core: Arc<Core>,
    reset: Arc<Notify>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else { return Ok(empty(413)) };
    let ask = Ask {
        method: head.method.to_string(),
        path: percent_decode(head.uri.path()),
        query: query(head.uri.query().unwrap_or_default()),
        authorization: text(&head.headers, header::AUTHORIZATION.as_str()),
        if_match: text(&head.headers, header::IF_MATCH.as_str()),
        body: body.to_bytes().to_vec(),
    };
    // A task of its own: a call that was taken is carried out even if its client goes away.
    let answer = tokio::spawn(dispatch(core, ask)).await;
    Ok(match answer {
        Ok(NetboxAnswer::Said(said)) => response(said),
        Ok(NetboxAnswer::Reset) => {
            reset.notify_one();
            std::future::pending().await
        }
        Ok(NetboxAnswer::Never) => std::future::pending().await,
        Err(_) => empty(500),
    })
}

/// `a=1&a=2`
pub fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decode = |text: &str| percent_decode(&text.replace('+', " "));
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(n, v)| (decode(n), decode(v))).collect()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

fn empty(status: u16) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::default());
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

fn response(said: Said) -> hyper::Response<Full<Bytes>> {
    let mut response = empty(said.status);
    let mut put = |name: header::HeaderName, value: &str| {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    };
    put(header::HeaderName::from_static("api-version"), "4.6");
    said.etag.iter().for_each(|tag| put(header::ETAG, tag));
    said.location.iter().for_each(|to| put(header::LOCATION, to));
    if said.status == 429 {
        put(header::RETRY_AFTER, "1");
    }
    if !said.body.is_null() {
        put(header::CONTENT_TYPE, "application/json");
        *response.body_mut() = Full::new(Bytes::from(said.body.to_string()));
    }
    response
}
