//! A self-signed certificate for each node, as a freshly installed server has one, and what takes its place.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::model::ids::{Fingerprint, NodeName};

/// What a node's listener is made of.
pub(super) struct NodeTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) shown: Arc<Shown>,
}

/// The certificate that new connections are shown; those that are there keep theirs.
#[derive(Debug)]
pub(super) struct Shown {
    own: Arc<CertifiedKey>,
    now: RwLock<Arc<CertifiedKey>>,
}

impl Shown {
    fn now(&self) -> Arc<CertifiedKey> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.now())
    }

    /// Shows a new one with these names, or the node's own again; which it is.
    ///
    /// # Errors
    /// Says which part of making it failed.
    pub(super) fn take(&self, node: &NodeName, names: Option<Vec<String>>) -> Result<Fingerprint, String> {
        let key = match names {
            Some(names) => Arc::new(made(node, names, "an authority of the runbook lab")?),
            None => self.own.clone(),
        };
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(self.fingerprint())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now())
    }
}

fn fingerprint(key: &CertifiedKey) -> Fingerprint {
    Fingerprint(Sha256::digest(key.cert.first().map_or(&[][..], AsRef::as_ref)).into())
}

/// A new key with a certificate for it.
fn made(node: &NodeName, names: Vec<String>, organization: &str) -> Result<CertifiedKey, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("node {node}: {what}: {error}");
    let mut params = CertificateParams::new(names).map_err(|e| failed("certificate names", &e))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, node.as_str());
    let key = KeyPair::generate().map_err(|e| failed("key", &e))?;
    let certificate = params.self_signed(&key).map_err(|e| failed("certificate", &e))?;
    let der = certificate.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    CertifiedKey::from_der(vec![der], key, &ring::default_provider()).map_err(|e| failed("TLS", &e))
}

/// Makes a new key and certificate.
///
/// # Errors
/// Says which part of making it failed.
pub(super) fn for_node(node: &NodeName, address: std::net::IpAddr) -> Result<NodeTls, String> {
    let names = vec![node.to_string(), "localhost".to_owned(), address.to_string()];
    let own = Arc::new(made(node, names, "Proxmox Virtual Environment (runbook lab)")?);
    let shown = Arc::new(Shown { own: own.clone(), now: RwLock::new(own) });
    Ok(NodeTls { config: config(shown.clone(), &format!("node {node}"))?, shown })
}

/// For the Kubernetes API, by whatever address it is asked; and its certificate, as a kubeconfig has it.
///
/// # Errors
/// Says which part of making it failed.
pub(super) fn for_kubernetes() -> Result<(Arc<ServerConfig>, String), String> {
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"].map(str::to_owned).into();
    let key = Arc::new(made(&NodeName::new("kube-apiserver"), names, "Kubernetes (runbook lab)")?);
    let der = key.cert.first().map_or(&[][..], AsRef::as_ref);
    let lines: Vec<String> =
        BASE64.encode(der).as_bytes().chunks(64).map(String::from_utf8_lossy).map(Into::into).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let shown = Arc::new(Shown { own: key.clone(), now: RwLock::new(key) });
    Ok((config(shown, "kube-apiserver")?, pem))
}

fn config(shown: Arc<Shown>, of: &str) -> Result<Arc<ServerConfig>, String> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("{of}: TLS versions: {e}"))?;
    Ok(Arc::new(builder.with_no_client_auth().with_cert_resolver(shown)))
}
