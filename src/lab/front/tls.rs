//! A self-signed certificate for each node, as a freshly installed server has one.

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::model::ids::{Fingerprint, NodeName};

/// What a node's listener shows, and the fingerprint by which a client knows it.
pub(super) struct NodeTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) fingerprint: Fingerprint,
}

/// Makes a new key and certificate.
///
/// # Errors
/// Says which part of making it failed.
pub(super) fn for_node(node: &NodeName, address: std::net::IpAddr) -> Result<NodeTls, String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("node {node}: {what}: {error}");
    let names = vec![node.to_string(), "localhost".to_owned(), address.to_string()];
    let mut params = CertificateParams::new(names).map_err(|e| failed("certificate names", &e))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Proxmox Virtual Environment (runbook lab)");
    params.distinguished_name.push(DnType::CommonName, node.as_str());
    let key = KeyPair::generate().map_err(|e| failed("key", &e))?;
    let certificate = params.self_signed(&key).map_err(|e| failed("certificate", &e))?;
    let der = certificate.der().clone();
    let fingerprint = Fingerprint(Sha256::digest(&der).into());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| failed("TLS versions", &e))?
        .with_no_client_auth()
        .with_single_cert(vec![der], key)
        .map_err(|e| failed("TLS", &e))?;
    Ok(NodeTls { config: Arc::new(config), fingerprint })
}
