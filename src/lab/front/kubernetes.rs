//! The Kubernetes API behind the lab's own transport: a proxy on loopback, through which each control plane is asked at
//! its own address, then TLS, the ledger and the faults.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::core::Core;
use super::netbox::query;
use super::request::percent_decode;
use crate::lab::fault::Effect;
use crate::lab::kubernetes::{Ask, NODE, Said};
use crate::lab::ledger::{Channel, Entry};

const MAX_BODY: usize = 2 << 20;
const MAX_HEAD: usize = 8 << 10;
const HEAD: Duration = Duration::from_secs(10);

/// How a client comes to the API.
#[derive(Debug, Clone)]
pub struct Door {
    /// The proxy that leads to every control plane's own address.
    pub proxy: SocketAddr,
    /// The certificate of all of them, PEM.
    pub certificate: String,
    pub token: String,
}

/// What a client of the API gets.
#[derive(Debug, Clone, PartialEq)]
pub enum KubernetesAnswer {
    Said(Said),
    /// Nobody is there, in a dialer's words.
    Nobody(String),
    /// The connection is reset.
    Reset,
    /// Nothing, ever.
    Never,
}

pub(super) fn token() -> String {
    (0..4).map(|_| format!("{:08x}", rand::random::<u32>())).collect()
}

/// Answers one request. Runs to its end whether or not the client still listens.
pub(super) async fn dispatch(core: Arc<Core>, ask: Ask, unauthorized: bool) -> KubernetesAnswer {
    if let Some(why) = core.with_world(|world| world.kubernetes_refuses(ask.server.as_deref())) {
        return KubernetesAnswer::Nobody(why);
    }
    let effect = core.faults.take_request(&ask.method, &ask.path);
    match &effect {
        Some(Effect::ResetBefore) => {
            write(&core, &ask, 0, false, false);
            return KubernetesAnswer::Reset;
        }
        Some(Effect::Status { status, text, after: false }) => {
            write(&core, &ask, *status, false, false);
            return KubernetesAnswer::Said(Said::injected(*status, text.clone()));
        }
        Some(Effect::Slow(time)) => tokio::time::sleep(core.timing.service + *time).await,
        _ => tokio::time::sleep(core.timing.service).await,
    }
    let said = if unauthorized || core.faults.take_token_rejected() {
        Said::unauthorized()
    } else {
        core.with_world(|world| world.kubernetes(&ask))
    };
    write(&core, &ask, said.status, said.changed, said.status < 400);
    match effect {
        Some(Effect::ResetAfter) => KubernetesAnswer::Reset,
        Some(Effect::Status { status, text, .. }) => KubernetesAnswer::Said(Said::injected(status, text)),
        Some(Effect::Hang) => KubernetesAnswer::Never,
        _ => KubernetesAnswer::Said(said),
    }
}

fn write(core: &Core, ask: &Ask, status: u16, mutating: bool, accepted: bool) {
    let mut params: BTreeMap<String, String> = ask.query.iter().cloned().collect();
    if !ask.body.is_empty() {
        params.insert("body".into(), String::from_utf8_lossy(&ask.body).into_owned());
    }
    core.ledger.add(Entry {
        seq: 0,
        at_ms: core.clock.now_ms(),
        channel: Channel::Kubectl,
        node: ask.server.as_deref().unwrap_or(NODE).into(),
        method: ask.method.clone(),
        path: ask.path.clone(),
        params,
        user: None,
        status: i32::from(status),
        mutating,
        accepted,
        client: ask.client.clone(),
    });
}

/// Accepts until its task is aborted; the connections end with it.
pub(super) async fn listen(core: Arc<Core>, listener: TcpListener, tls: TlsAcceptor, token: String) {
    let authorization = format!("Bearer {token}");
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(core.clone(), stream, tls.clone(), authorization.clone()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// `CONNECT 10.0.0.51:6443 HTTP/1.1`, and then TLS with whoever is there.
async fn connection(core: Arc<Core>, mut stream: TcpStream, tls: TlsAcceptor, authorization: String) {
    // Where it fails an answer is only later.
    let _ = stream.set_nodelay(true);
    let Ok(Some(head)) = tokio::time::timeout(HEAD, read_head(&mut stream)).await else { return };
    let mut words = head.split_whitespace();
    let (method, to) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let address = to.rsplit_once(':').map_or(to, |(address, _)| address).to_owned();
    let refused = if method == "CONNECT" {
        // A proxy that reaches nobody says why in its status line, which the client shows as its own words.
        core.with_world(|world| world.kubernetes_refuses(Some(&address))).map(|why| format!("502 {why}"))
    } else {
        Some("405 the lab's Kubernetes is behind a proxy: KUBECONFIG has the way".to_owned())
    };
    let answer = match &refused {
        Some(line) => format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        None => "HTTP/1.1 200 Connection established\r\n\r\n".to_owned(),
    };
    if stream.write_all(answer.as_bytes()).await.is_err() || refused.is_some() {
        return;
    }
    let Ok(Ok(stream)) = tokio::time::timeout(HEAD, tls.accept(stream)).await else { return };
    serve(core, stream, address, authorization).await;
}

/// To the empty line after which nothing comes before the answer.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD {
            return None;
        }
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

async fn serve(
    core: Arc<Core>,
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    address: String,
    authorization: String,
) {
    let reset = Arc::new(Notify::new());
    let service = {
        let reset = reset.clone();
        service_fn(move |request| one(core.clone(), reset.clone(), address.clone(), authorization.clone(), request))
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
        let _ = connection.into_parts().io.into_inner().get_ref().0.set_zero_linger();
    }
}

async fn one(
    core: Arc<Core>,
    reset: Arc<Notify>,
    address: String,
    authorization: String,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(response(&Said::injected(413, Some("Request entity too large".into()))));
    };
    let refused = text(&head.headers, header::AUTHORIZATION.as_str()) != authorization;
    let ask = Ask {
        method: head.method.to_string(),
        path: percent_decode(head.uri.path()),
        query: query(head.uri.query().unwrap_or_default()),
        accept: text(&head.headers, header::ACCEPT.as_str()),
        content_type: text(&head.headers, header::CONTENT_TYPE.as_str()),
        body: body.to_bytes().to_vec(),
        server: Some(address),
        client: Some(text(&head.headers, header::USER_AGENT.as_str())).filter(|name| !name.is_empty()),
    };
    // A task of its own: a call that was taken is carried out even if its client goes away.
    match tokio::spawn(dispatch(core, ask, refused)).await {
        Ok(KubernetesAnswer::Said(said)) => Ok(response(&said)),
        // It went away while the connection was open.
        Ok(KubernetesAnswer::Reset | KubernetesAnswer::Nobody(_)) => {
            reset.notify_one();
            std::future::pending().await
        }
        Ok(KubernetesAnswer::Never) => std::future::pending().await,
        Err(_) => Ok(response(&Said::injected(500, None))),
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

fn response(said: &Said) -> hyper::Response<Full<Bytes>> {
    let text = said.body.as_str().map_or_else(|| said.body.to_string(), str::to_owned);
    let mut response = hyper::Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(said.status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
