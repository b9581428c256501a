//! Why a request failed, told apart by what the caller can do about it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::tls::{FingerprintMismatch, pairs};

/// A request without an answer. `sent`: whether the other end may have taken it; false only when that is certain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("cannot find the address of {host}: {message}")]
    Dns { host: String, message: String },
    #[error("{host} refuses connections: {message}")]
    Refused { host: String, message: String },
    #[error("cannot connect to {host}: {message}")]
    Connect { host: String, message: String },
    #[error("{host} did not answer in time{}", .sent.then_some("; it may have taken the request").unwrap_or_default())]
    Timeout { host: String, sent: bool },
    #[error(
        "{host} shows a certificate of an unknown issuer; pin it by `fingerprint`, or name its authority by `ca_file`"
    )]
    UnknownIssuer { host: String },
    #[error(
        "{host} shows another certificate than the pinned one: expected {}, got {}; \
         if it was renewed on purpose, put the new fingerprint into the configuration",
        pairs(.expected), pairs(.got)
    )]
    Fingerprint { host: String, expected: Box<[u8; 32]>, got: Box<[u8; 32]> },
    #[error("TLS with {host} failed: {message}")]
    Tls { host: String, message: String },
    #[error("{host} closed the connection: {message}")]
    Reset { host: String, sent: bool, message: String },
    #[error("ca_file {}: {message}", path.display())]
    CaFile { path: PathBuf, message: String },
    #[error("cannot make an HTTP client: {message}")]
    Setup { message: String },
    #[error("request to {host}: {message}")]
    Other { host: String, sent: bool, message: String },
}

impl HttpError {
    /// Whether the other end may have taken the request.
    pub fn sent(&self) -> bool {
        matches!(
            self,
            Self::Timeout { sent: true, .. } | Self::Reset { sent: true, .. } | Self::Other { sent: true, .. }
        )
    }

    /// Whether no connection came about, so that another address is worth a try. Trust is no such case: a wrong
    /// certificate must be seen by a person.
    pub fn is_connect(&self) -> bool {
        matches!(
            self,
            Self::Dns { .. } | Self::Refused { .. } | Self::Connect { .. } | Self::Timeout { sent: false, .. }
        )
    }

    pub fn is_trust(&self) -> bool {
        matches!(self, Self::UnknownIssuer { .. } | Self::Fingerprint { .. } | Self::Tls { .. } | Self::CaFile { .. })
    }
}

/// Reads the chain of causes of a failed request to `host` (`name:port`).
pub fn classify(error: &reqwest::Error, host: &str) -> HttpError {
    let host = host.to_owned();
    let connecting = error.is_connect();
    if let Some(tls) = find_rustls(error) {
        return of_tls(tls, host, connecting);
    }
    if error.is_timeout() || find::<io::Error>(error).is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) {
        return HttpError::Timeout { host, sent: !connecting };
    }
    let message = innermost(error);
    if connecting {
        return of_connect(error, host, message);
    }
    if is_reset(error) {
        return HttpError::Reset { host, sent: !never_sent(error), message };
    }
    HttpError::Other { host, sent: !error.is_builder(), message }
}

fn of_connect(error: &reqwest::Error, host: String, message: String) -> HttpError {
    let says_dns = chain(error).any(|e| e.to_string().contains("dns error"));
    let io = find::<io::Error>(error).map(io::Error::kind);
    match io {
        _ if says_dns => HttpError::Dns { host, message },
        Some(io::ErrorKind::ConnectionRefused) => HttpError::Refused { host, message },
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof) => {
            HttpError::Connect { host, message: format!("closed before TLS was up ({message})") }
        }
        _ => HttpError::Connect { host, message },
    }
}

fn of_tls(error: &rustls::Error, host: String, connecting: bool) -> HttpError {
    match error {
        rustls::Error::Other(other) => match other.0.downcast_ref::<FingerprintMismatch>() {
            Some(m) => HttpError::Fingerprint { host, expected: Box::new(m.expected), got: Box::new(m.got) },
            None => HttpError::Tls { host, message: other.to_string() },
        },
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => HttpError::UnknownIssuer { host },
        // A broken record in the middle of a request: nothing certain about what was taken.
        other if !connecting => HttpError::Reset { host, sent: true, message: other.to_string() },
        other => HttpError::Tls { host, message: other.to_string() },
    }
}

fn is_reset(error: &reqwest::Error) -> bool {
    let by_hyper = find::<hyper::Error>(error)
        .is_some_and(|e| e.is_incomplete_message() || e.is_closed() || e.is_canceled() || e.is_body_write_aborted());
    let by_io = find::<io::Error>(error).map(io::Error::kind).is_some_and(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotConnected
        )
    });
    by_hyper || by_io
}

/// hyper says "canceled" when the request was still in its own queue.
fn never_sent(error: &reqwest::Error) -> bool {
    find::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled)
}

/// The error and its causes, outermost first. An `io::Error` hides the error it was made from: its `source` is that
/// one's source, so the inner one is visited by hand.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e: &&'a (dyn Error + 'static)| {
        match e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => e.source(),
        }
    })
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    chain(error).filter_map(|e| e.downcast_ref::<T>()).last()
}

fn find_rustls(error: &reqwest::Error) -> Option<&rustls::Error> {
    find::<rustls::Error>(error)
}

/// The last cause's text: the outer ones repeat the URL.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}
