//! From an HTTP answer to data or an error. Pure: a status, a reason phrase and bytes in.

use std::collections::BTreeMap;

use serde_json::Value;

use super::phrases::{self, Said};
use super::{Answer, At, ProxmoxError};

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// The text after the status code; Proxmox puts the first line of its message there, and before
    /// pve-http-server 5.2.0 (2025-01) nowhere else.
    pub reason: Option<String>,
    pub body: Vec<u8>,
}

pub(super) fn read(at: At, reply: &Reply) -> Result<Answer, ProxmoxError> {
    match reply.status {
        200..300 => envelope(at, &reply.body),
        _ => Err(error(at, reply)),
    }
}

fn envelope(at: At, body: &[u8]) -> Result<Answer, ProxmoxError> {
    let shape = |expected, got: String| ProxmoxError::Shape {
        at: Box::new(at.clone()),
        field: "the body".into(),
        expected,
        got,
    };
    let parsed: Value = serde_json::from_slice(body).map_err(|e| shape("JSON", format!("{e}: {}", start(body))))?;
    let Value::Object(mut fields) = parsed else {
        return Err(shape("an object with `data`", start(body)));
    };
    // Null-returning calls have `data: null`; a few have no `data` at all.
    let data = fields.remove("data").unwrap_or(Value::Null);
    let total = fields.get("total").and_then(super::loose::as_u64);
    Ok(Answer { data, total, at })
}

fn start(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn error(at: At, reply: &Reply) -> ProxmoxError {
    let (message, errors) = texts(reply);
    let at = Box::new(at);
    match reply.status {
        401 => ProxmoxError::Unauthorized { at, message },
        403 => {
            let (acl_path, privilege) = phrases::permission(&message);
            ProxmoxError::Forbidden { at, acl_path, privilege, message }
        }
        501 => ProxmoxError::NotImplemented { at, message },
        // 595 is the connect phase: the other node never saw the call. After that it may have.
        status @ (595 | 596 | 597 | 599) => {
            let may_have_been_taken = status != 595 && at.is_change();
            ProxmoxError::Proxy { at, status, message, may_have_been_taken }
        }
        status => match phrases::said(&message) {
            Said::Locked(lock) => ProxmoxError::Locked { at, lock, message },
            Said::NotFound => ProxmoxError::NotFound { at, message },
            Said::NoQuorum => ProxmoxError::NoQuorum { at, message },
            Said::Changed => ProxmoxError::Changed { at, message },
            // A task that its node has forgotten is said by parameter (PVE::API2::Tasks).
            Said::Else if errors.get("upid").is_some_and(|text| text == "no such task") => {
                ProxmoxError::NotFound { at, message: "no such task".into() }
            }
            Said::Else if status == 400 => ProxmoxError::Parameter { at, message, errors },
            Said::Else => ProxmoxError::Server { at, status, message },
        },
    }
}

/// The message and the errors by parameter. The body's message is whole, the reason phrase is its first line, and
/// low-level errors have plain text or nothing as body.
fn texts(reply: &Reply) -> (String, BTreeMap<String, String>) {
    let json: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let field = |name: &str| json.as_ref().and_then(|v| v.get(name));
    let errors = field("errors")
        .and_then(Value::as_object)
        .map(|o| o.iter().map(|(k, v)| (k.clone(), super::loose::plain(v).trim().to_owned())).collect())
        .unwrap_or_default();
    let from_body = field("message").and_then(Value::as_str).map(str::trim).filter(|m| !m.is_empty());
    let plain_body = || {
        let text = String::from_utf8_lossy(&reply.body).trim().to_owned();
        Some(text).filter(|t| json.is_none() && !t.is_empty() && t.len() < 500)
    };
    let message = from_body
        .map(str::to_owned)
        .or_else(|| reply.reason.as_deref().map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned))
        .or_else(plain_body)
        .unwrap_or_else(|| format!("HTTP status {} without a text", reply.status));
    (message, errors)
}
