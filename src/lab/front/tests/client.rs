//! Clients for the tests: reqwest with a pinned certificate, and a raw one that says exactly what it is told.

use std::sync::Arc;

use hyper::ext::ReasonPhrase;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::lab::front::{Endpoint, Lab};
use crate::model::ids::Fingerprint;

#[derive(Debug)]
struct Pinned(Fingerprint);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint(Sha256::digest(leaf).into());
        if shown == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General(format!("fingerprint {shown}")))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn tls(endpoint: &Endpoint) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(endpoint.fingerprint)))
        .with_no_client_auth()
}

pub(super) fn endpoint(lab: &Lab, node: &str) -> Endpoint {
    lab.endpoints().into_iter().find(|endpoint| endpoint.node.as_str() == node).unwrap()
}

/// A client of one node.
pub(super) struct Client {
    pub(super) http: reqwest::Client,
    pub(super) base: String,
    pub(super) authorization: Option<String>,
}

pub(super) struct Got {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Got {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Client {
    /// As the token `ops@pve!NAME`; as nobody for an empty name.
    pub(super) fn new(lab: &Lab, node: &str, token: &str) -> Self {
        let endpoint = endpoint(lab, node);
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls(&endpoint)).build().unwrap();
        let id = format!("ops@pve!{token}");
        let authorization = lab.access().token_secret(&id).map(|secret| format!("PVEAPIToken={id}={secret}"));
        Self { http, base: format!("https://{}", endpoint.addr), authorization }
    }

    pub(super) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.http.request(method, format!("{}/api2/json{path}", self.base));
        match &self.authorization {
            Some(value) => request.header("Authorization", value),
            None => request,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        got(self.request("GET", path)).await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Got {
        got(self.request("POST", path).form(form)).await.unwrap()
    }
}

pub(super) async fn got(request: reqwest::RequestBuilder) -> Result<Got, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status();
    let reason =
        response.extensions().get::<ReasonPhrase>().map(|r| String::from_utf8_lossy(r.as_bytes()).into_owned());
    let reason = reason.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().to_owned());
    let headers = response.headers().clone();
    Ok(Got { status: status.as_u16(), reason, headers, text: response.text().await? })
}

pub(super) async fn connect(endpoint: &Endpoint) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(endpoint.addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(tls(endpoint))).connect(name, stream).await.unwrap()
}

/// Sends this text and reads until the server closes.
pub(super) async fn raw(endpoint: &Endpoint, text: &str) -> String {
    let mut stream = connect(endpoint).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A close without TLS's own goodbye is no matter here.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
