//! One node's listener: TLS on loopback, HTTP/1 on top, and the ways in which a connection ends.
//!
//! An accept loop of our own rather than a framework's server: a fault may reset a connection in mid-request, an idle
//! one is closed after five seconds, and one connection carries a hundred requests at most.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::core::Core;
use super::dispatch::{Answer, dispatch};
use super::request;
use super::response::Response;
use crate::lab::ledger::{Channel, Entry};
use crate::model::ids::NodeName;

const REQUESTS_PER_CONNECTION: usize = 100;
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts until its task is aborted; the connections end with it.
pub(super) async fn listen(core: Arc<Core>, node: NodeName, listener: TcpListener, tls: TlsAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if core.node_up(&node) => {
                connections.spawn(connection(core.clone(), node.clone(), stream, tls.clone()));
            }
            // A node that is down has nobody to accept: the nearest that a listening socket can do.
            Ok((stream, _)) => reset(&stream),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Has the kernel send a reset when the stream is dropped, rather than an orderly end.
fn reset(stream: &TcpStream) {
    // Where this fails the peer sees an ordinary close, which is as good a failure.
    let _ = stream.set_zero_linger();
}

async fn connection(core: Arc<Core>, node: NodeName, stream: TcpStream, tls: TlsAcceptor) {
    let mut first = [0; 1];
    match tokio::time::timeout(HANDSHAKE, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first[0] == 0x16 => {}
        Ok(Ok(1)) => return redirect(stream).await,
        _ => return,
    }
    let _ = stream.set_nodelay(true);
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        serve(core, node, stream).await;
    }
}

/// Plain HTTP on the TLS port is sent to https.
async fn redirect(mut stream: TcpStream) {
    let mut head = vec![0; 8192];
    let Ok(Ok(length)) = tokio::time::timeout(HANDSHAKE, stream.read(&mut head)).await else { return };
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or("GET"), words.next().unwrap_or("/"));
    let host = head.lines().find_map(|line| line.strip_prefix("Host:").or_else(|| line.strip_prefix("host:")));
    let status = if matches!(method, "GET" | "HEAD") { "301 Moved Permanently" } else { "308 Permanent Redirect" };
    let location = format!("https://{}{path}", host.unwrap_or_default().trim());
    let answer = format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// What the service tells the loop around its connection.
struct Signals {
    reset: Notify,
    /// Whether a request is under way, and since when not.
    busy: watch::Sender<(bool, Instant)>,
    requests: AtomicUsize,
}

async fn serve(core: Arc<Core>, node: NodeName, stream: tokio_rustls::server::TlsStream<TcpStream>) {
    let signals = Arc::new(Signals {
        reset: Notify::new(),
        busy: watch::Sender::new((false, Instant::now())),
        requests: AtomicUsize::new(0),
    });
    let keep_alive = core.timing.keep_alive;
    let service = {
        let signals = signals.clone();
        service_fn(move |request| one_request(core.clone(), node.clone(), signals.clone(), request))
    };
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let is_reset = {
        let mut idle = pin!(idle(signals.busy.subscribe(), keep_alive));
        let mut reset = pin!(signals.reset.notified());
        let mut closing = false;
        loop {
            tokio::select! {
                _ = &mut connection => break false,
                () = &mut reset => break true,
                () = &mut idle, if !closing => {
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                    closing = true;
                }
            }
        }
    };
    if is_reset {
        reset(connection.into_parts().io.into_inner().get_ref().0);
    }
}

/// Ends when no request has been under way for this long.
async fn idle(mut busy: watch::Receiver<(bool, Instant)>, keep_alive: Duration) {
    loop {
        let (is_busy, since) = *busy.borrow_and_update();
        let changed = busy.changed();
        if is_busy {
            if changed.await.is_err() {
                return;
            }
        } else {
            tokio::select! {
                () = tokio::time::sleep_until(since + keep_alive) => return,
                _ = changed => {}
            }
        }
    }
}

async fn one_request(
    core: Arc<Core>,
    node: NodeName,
    signals: Arc<Signals>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    signals.busy.send_replace((true, Instant::now()));
    let accepts_gzip = request
        .headers()
        .get(header::ACCEPT_ENCODING)
        .is_some_and(|value| value.to_str().is_ok_and(|value| value.contains("gzip")));
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let answer = match request::read(request).await {
        // A task of its own: a call that was taken is carried out even if its client goes away.
        Ok(request) => tokio::spawn(dispatch(core.clone(), node, request))
            .await
            .unwrap_or_else(|_| Answer::Response(Response::text(500, "the lab's handler failed"))),
        Err(response) => {
            write_refusal(&core, &node, method, path, response.status);
            Answer::Response(response)
        }
    };
    let response = match answer {
        Answer::Response(response) => response,
        Answer::Reset => {
            signals.reset.notify_one();
            std::future::pending().await
        }
        Answer::Never => std::future::pending().await,
    };
    let last = signals.requests.fetch_add(1, Ordering::Relaxed) + 1 >= REQUESTS_PER_CONNECTION;
    signals.busy.send_replace((false, Instant::now()));
    Ok(response.into_http(accepts_gzip, last))
}

/// What never got as far as the API is in the ledger too: a client that sends such things should be seen.
fn write_refusal(core: &Core, node: &NodeName, method: String, path: String, status: u16) {
    core.ledger.add(Entry {
        seq: 0,
        at_ms: core.clock.now_ms(),
        channel: Channel::Http,
        node: node.clone(),
        method,
        path,
        params: BTreeMap::new(),
        user: None,
        status: i32::from(status),
        mutating: false,
        accepted: false,
        client: None,
    });
}
