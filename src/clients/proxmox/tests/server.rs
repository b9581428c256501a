//! The raw server: reads one request at a time, asks the test what to do, and does exactly that.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::clients::proxmox::{Credential, NodeEndpoint, Poll, Site, SiteSettings};
use crate::model::ids::Fingerprint;

/// What to do with a request.
pub enum Act {
    /// Send these bytes and wait for the next request.
    Send(String),
    /// Send these bytes and close.
    Last(String),
    /// Close without a word.
    Drop,
    /// Say nothing until the client gives up.
    Hang,
}

/// 200 with this as `data`.
pub fn ok(data: serde_json::Value) -> Act {
    Act::Send(answer("200 OK", &serde_json::json!({ "data": data }).to_string()))
}

pub fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET /api2/json/version HTTP/1.1`
    pub line: String,
    /// Header lines in lower case.
    pub headers: Vec<String>,
    pub body: String,
}

impl Seen {
    /// `GET /version`
    pub fn call(&self) -> String {
        self.line.replace("/api2/json", "").trim_end_matches(" HTTP/1.1").to_owned()
    }

    pub fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|h| h == header)
    }
}

pub struct Server {
    pub port: u16,
    pub fingerprint: Fingerprint,
    pub pem: String,
    pub connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Handler = dyn Fn(usize, &Seen) -> Act + Send + Sync;

impl Server {
    /// The handler gets the number of the request, from 0, and the request.
    pub async fn start(handler: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            fingerprint: Fingerprint(Sha256::digest(&certificate).into()),
            pem: made.cert.pem(),
            connections: Arc::default(),
            seen: Arc::default(),
        };
        let (seen, connections) = (server.seen.clone(), server.connections.clone());
        let handler: Arc<Handler> = Arc::new(handler);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(connection(acceptor.clone(), stream, seen.clone(), handler.clone()));
            }
        });
        server
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn calls(&self) -> Vec<String> {
        self.seen().iter().map(Seen::call).collect()
    }

    pub fn connected(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn node(&self, name: &str) -> NodeEndpoint {
        endpoint(name, self.port, Some(self.fingerprint))
    }

    /// A site of this one server, with a token.
    pub fn site(&self) -> Site {
        Site::connect(settings(vec![self.node("pve1")])).unwrap()
    }
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>, handler: Arc<Handler>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let number = {
            let mut all = seen.lock().unwrap();
            all.push(request.clone());
            all.len() - 1
        };
        let (bytes, last) = match handler(number, &request) {
            Act::Send(bytes) => (bytes, false),
            Act::Last(bytes) => (bytes, true),
            Act::Drop => return,
            Act::Hang => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return;
            }
        };
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if last {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

async fn read(stream: &mut BufReader<tokio_rustls::server::TlsStream<TcpStream>>) -> Option<Seen> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let headers: Vec<String> = lines[1..].iter().map(|h| lower_name(h)).collect();
    let length = headers.iter().find_map(|h| h.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { line: lines.remove(0), headers, body: String::from_utf8(body).unwrap() })
}

fn lower_name(header: &str) -> String {
    let (name, value) = header.split_once(':').unwrap();
    format!("{}:{value}", name.to_lowercase())
}

pub fn endpoint(name: &str, port: u16, fingerprint: Option<Fingerprint>) -> NodeEndpoint {
    NodeEndpoint { name: name.into(), host: "127.0.0.1".into(), port, fingerprint }
}

pub fn settings(nodes: Vec<NodeEndpoint>) -> SiteSettings {
    let credential = Credential::Token { id: "ops@pve!rb".into(), secret: "1111-2222".to_owned().into() };
    let mut settings = SiteSettings::new("lab", nodes, credential);
    settings.timeout = Duration::from_secs(10);
    settings.poll =
        Poll { first: Duration::from_millis(5), most: Duration::from_millis(10), patience: Duration::from_millis(200) };
    settings
}

/// A port where nobody listens.
pub async fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A port whose owner closes each connection before TLS is up.
pub async fn slamming_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    port
}
