//! rustls with ring: system roots, a CA file, a pinned leaf certificate, or no check at all.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::{HttpError, Trust};
use crate::sys::files;

/// The certificate shown is not the pinned one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintMismatch {
    pub expected: [u8; 32],
    pub got: [u8; 32],
}

impl fmt::Display for FingerprintMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate fingerprint: expected {}, got {}", pairs(&self.expected), pairs(&self.got))
    }
}

impl std::error::Error for FingerprintMismatch {}

/// Upper-case pairs joined by colons, as Proxmox and openssl write them.
pub(super) fn pairs(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":")
}

pub(super) fn config(trust: &Trust) -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| HttpError::Setup { message: e.to_string() })?;
    let config = match trust {
        Trust::System => builder.with_root_certificates(system_roots()),
        Trust::CaFile(path) => builder.with_root_certificates(ca_file(path)?),
        Trust::Pinned(expected) => {
            builder.dangerous().with_custom_certificate_verifier(LeafCheck::new(provider, Some(*expected)))
        }
        Trust::Insecure => builder.dangerous().with_custom_certificate_verifier(LeafCheck::new(provider, None)),
    };
    Ok(config.with_no_client_auth())
}

/// Read once: there are more than a hundred. Those that cannot be read are left out: the error of a host that would
/// need one says "unknown issuer".
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    ROOTS.clone()
}

fn ca_file(path: &Path) -> Result<RootCertStore, HttpError> {
    let wrong = |why: String| HttpError::CaFile { path: path.to_owned(), message: why };
    let pem = files::read_bytes(path).map_err(|e| wrong(e.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| wrong(format!("not PEM: {e}")))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it; expected PEM blocks 'BEGIN CERTIFICATE'".into()));
    }
    Ok(roots)
}

/// Compares the leaf's digest with the pin (any leaf passes without one) and still checks that the other end holds
/// the certificate's key: the signatures of the handshake are verified as ever.
#[derive(Debug)]
struct LeafCheck {
    provider: Arc<CryptoProvider>,
    expected: Option<[u8; 32]>,
}

impl LeafCheck {
    fn new(provider: Arc<CryptoProvider>, expected: Option<[u8; 32]>) -> Arc<Self> {
        Arc::new(Self { provider, expected })
    }
}

/// Equal in a time that does not depend on where the first difference is.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

impl ServerCertVerifier for LeafCheck {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let got: [u8; 32] = Sha256::digest(leaf).into();
        match self.expected {
            Some(expected) if !equal(&expected, &got) => {
                Err(rustls::Error::Other(OtherError(Arc::new(FingerprintMismatch { expected, got }))))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
