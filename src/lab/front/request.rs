//! Reads an HTTP request the way pveproxy does, its refusals included.
//!
//! Source: PVE::APIServer::AnyEvent.

use std::collections::BTreeMap;
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use serde_json::Value;

use super::multipart;
use super::response::Response;
use crate::lab::access::Credentials;
use crate::lab::call::Upload;

const MAX_BODY: usize = 512 * 1024;
const MAX_HEADER_LINES: usize = 64;
const MAX_HEADER_BYTES: usize = 8 * 1024;

/// A request as the API sees it, whichever way it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// On the wire's own spelling; not necessarily one the server knows.
    pub method: String,
    /// Percent-decoded, from `/api2/` on.
    pub path: String,
    /// Query and body together; a form's values are strings.
    pub params: BTreeMap<String, Value>,
    pub authorization: Option<String>,
    pub cookie: Option<String>,
    pub csrf: Option<String>,
    /// The client's name for itself (`User-Agent`).
    pub client: Option<String>,
    /// The file that came with it.
    pub upload: Option<Arc<Upload>>,
}

impl Request {
    /// For calls in-process: no transport, the rest alike.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: format!("/api2/json{path}"), ..Self::default() }
    }

    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    pub fn token(mut self, id: &str, secret: &str) -> Self {
        self.authorization = Some(format!("PVEAPIToken={id}={secret}"));
        self
    }

    pub(super) fn credentials(&self) -> Credentials<'_> {
        Credentials {
            authorization: self.authorization.as_deref(),
            cookie: self.cookie.as_deref(),
            csrf: self.csrf.as_deref(),
        }
    }
}

/// Reads all of it, or says at once what is wrong with it.
///
/// # Errors
/// The answer to a request that never gets as far as the API.
pub(super) async fn read(request: hyper::Request<Incoming>) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    let method = head.method.as_str();
    check_head(method, &head.headers)?;
    let length = content_length(&head.headers);
    if length > 0 && !matches!(method, "POST" | "PUT") {
        return Err(Response::text(501, format!("Unexpected content for method '{method}'")));
    }
    let whole_kind = text(&head.headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if method == "POST" && head.uri.path().ends_with("/upload") && whole_kind.starts_with("multipart/form-data") {
        let (params, upload) = multipart::read(&whole_kind, body).await?;
        return Ok(Request { upload: Some(Arc::new(upload)), ..request_of(&head, params) });
    }
    if length > MAX_BODY {
        return Err(Response::text(501, "for data too large"));
    }
    let kind = whole_kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = if kind.is_empty() { "application/x-www-form-urlencoded".to_owned() } else { kind };
    let is_json = kind == "application/json";
    if length > 0 && !is_json && kind != "application/x-www-form-urlencoded" {
        return Err(Response::text(506, format!("upload 'Content-Type' '{kind}' not implemented")));
    }
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|_| Response::text(400, "incomplete request"))?.to_bytes();
    let mut params = if is_json { read_json(&body)? } else { read_form(&String::from_utf8_lossy(&body)) };
    params.extend(read_form(head.uri.query().unwrap_or_default()));
    Ok(request_of(&head, params))
}

fn request_of(head: &Parts, params: BTreeMap<String, Value>) -> Request {
    Request {
        method: head.method.as_str().to_owned(),
        path: percent_decode(head.uri.path()),
        params,
        authorization: text(&head.headers, header::AUTHORIZATION.as_str()),
        cookie: text(&head.headers, header::COOKIE.as_str()),
        csrf: text(&head.headers, "CSRFPreventionToken"),
        client: text(&head.headers, header::USER_AGENT.as_str()),
        upload: None,
    }
}

fn check_head(method: &str, headers: &HeaderMap) -> Result<(), Response> {
    if !matches!(method, "GET" | "POST" | "PUT" | "DELETE") {
        return Err(Response::text(501, format!("method '{method}' not available")));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > MAX_HEADER_LINES {
        return Err(Response::text(400, "too many http header lines (> 64)"));
    }
    if bytes > MAX_HEADER_BYTES {
        return Err(Response::text(400, "http header too large"));
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Response::text(501, "chunked transfer encoding not supported"));
    }
    Ok(())
}

fn content_length(headers: &HeaderMap) -> usize {
    text(headers, header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

/// A key given more than once becomes an array.
fn read_form(form: &str) -> BTreeMap<String, Value> {
    let mut params: BTreeMap<String, Value> = BTreeMap::new();
    for pair in form.split(['&', ';']).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| percent_decode(&text.replace('+', " "));
        let (name, value) = (decode(name), Value::String(decode(value)));
        match params.get_mut(&name) {
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => _ = params.insert(name, value),
        }
    }
    params
}

/// An object; a `null` is as good as absent.
fn read_json(body: &[u8]) -> Result<BTreeMap<String, Value>, Response> {
    if body.is_empty() {
        return Ok(BTreeMap::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        _ => Err(Response::text(400, "malformed JSON string")),
    }
}

/// `%2F` is `/`; a `%` that begins no pair stays.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let pair = bytes.get(i + 1..i + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| bytes[i] == b'%') {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_are_read() {
        let params = read_form("a=1&b=x+y%2Fz&a=2&c");
        assert_eq!(params["a"], json!(["1", "2"]));
        assert_eq!((&params["b"], &params["c"]), (&json!("x y/z"), &json!("")));
    }

    #[test]
    fn percent_signs_are_decoded() {
        assert_eq!(percent_decode("UPID%3Apve1%3A%21 100%"), "UPID:pve1:! 100%");
    }
}
