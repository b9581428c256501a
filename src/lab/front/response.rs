//! What pveproxy answers: the envelope, the reason phrase, and when the body stays empty.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderValue};
use serde_json::{Value, json};

use crate::lab::call::{PveError, Reply};

/// Bodies longer than this are compressed for a client that takes it.
const COMPRESS_FROM: usize = 1024;

/// An answer before it has a transport.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    /// The reason phrase: one line.
    pub reason: String,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Empty,
    Text(String),
    Json(Value),
}

impl Response {
    /// An error of the transport's own, in plain text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { status, reason: first_line(&text), body: Body::Text(text) }
    }

    /// An error with nothing but its reason phrase: 401 and 595 to 599.
    pub fn empty(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: first_line(&reason.into()), body: Body::Empty }
    }

    pub fn success(reply: Reply) -> Self {
        let mut body = json!({ "data": reply.data });
        if let Some(total) = reply.total {
            body["total"] = total.into();
        }
        Self { status: 200, reason: "OK".into(), body: Body::Json(body) }
    }

    /// An error of the API: the message is the reason phrase too.
    pub fn error(error: &PveError) -> Self {
        let message = error.message.trim_end_matches('\n');
        let mut body = json!({ "data": null, "message": format!("{message}\n") });
        if !error.errors.is_empty() {
            body["errors"] = json!(error.errors);
        }
        Self { status: error.status, reason: first_line(message), body: Body::Json(body) }
    }

    /// 501: the one message that has no newline at its end.
    pub fn not_implemented(method: &str, path: &str) -> Self {
        let message = format!("Method '{method} {path}' not implemented");
        let body = json!({ "data": null, "message": message });
        Self { status: 501, reason: message, body: Body::Json(body) }
    }

    pub(super) fn into_http(self, accepts_gzip: bool, close: bool) -> hyper::Response<Full<Bytes>> {
        let (bytes, kind) = match &self.body {
            Body::Empty => (Vec::new(), None),
            Body::Text(text) => (text.clone().into_bytes(), None),
            Body::Json(value) => (value.to_string().into_bytes(), Some("application/json;charset=UTF-8")),
        };
        let compressed = (accepts_gzip && bytes.len() > COMPRESS_FROM).then(|| gzip(&bytes)).flatten();
        let is_compressed = compressed.is_some();
        let mut response = hyper::Response::new(Full::new(Bytes::from(compressed.unwrap_or(bytes))));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Ok(reason) = ReasonPhrase::try_from(self.reason.as_bytes()) {
            response.extensions_mut().insert(reason);
        }
        let headers = response.headers_mut();
        headers.insert(header::SERVER, HeaderValue::from_static("pve-api-daemon/3.0"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if let Some(kind) = kind {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if is_compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if close || self.status >= 400 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Only the first line of a message can be a reason phrase, and no control characters.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect()
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_first_line_as_reason() {
        let response = Response::error(&PveError::die("VM is locked (migrate)\nat line 1\n"));
        assert_eq!(response.reason, "VM is locked (migrate)");
        assert_eq!(response.body, Body::Json(json!({"data": null, "message": "VM is locked (migrate)\nat line 1\n"})));
    }

    #[test]
    fn a_long_body_is_compressed_only_for_who_takes_it() {
        let reply = || Response::success(Reply::read("x".repeat(2000).into()));
        let encoding = |gzip| reply().into_http(gzip, false).headers().get(header::CONTENT_ENCODING).cloned();
        assert_eq!(encoding(true), Some(HeaderValue::from_static("gzip")));
        assert_eq!(encoding(false), None);
    }
}
