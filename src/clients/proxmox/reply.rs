//! From an HTTP answer to data or an error. Pure: a status, a reason phrase and bytes in.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
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

/// What is done with each row of a list.
pub(super) type EachRow<'a> = dyn FnMut(usize, &Value) -> Result<(), ProxmoxError> + 'a;

/// Hands the rows of a list on one by one: as a tree, a whole list is ten times as large as its text.
pub(super) fn rows(at: &At, reply: &Reply, each: &mut EachRow<'_>) -> Result<(), ProxmoxError> {
    if !(200..300).contains(&reply.status) {
        return Err(error(at.clone(), reply));
    }
    let mut failed = None;
    let mut json = serde_json::Deserializer::from_slice(&reply.body);
    let read = List { each, failed: &mut failed, inside: false }.deserialize(&mut json).and_then(|()| json.end());
    if let Some(error) = failed {
        return Err(error);
    }
    read.map_err(|e| ProxmoxError::Shape {
        at: Box::new(at.clone()),
        field: "the body".into(),
        expected: "an object with a list as `data`",
        got: format!("{e}: {}", start(&reply.body)),
    })
}

/// The envelope, and inside of it the list.
struct List<'a, 'e> {
    each: &'a mut EachRow<'e>,
    failed: &'a mut Option<ProxmoxError>,
    inside: bool,
}

impl<'de> DeserializeSeed<'de> for List<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.inside { "a list" } else { "an object with `data`" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.inside {
            return Err(serde::de::Error::invalid_type(serde::de::Unexpected::Map, &"a list"));
        }
        while let Some(key) = map.next_key::<String>()? {
            if key == "data" {
                map.next_value_seed(List { each: &mut *self.each, failed: &mut *self.failed, inside: true })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        if !self.inside {
            return Err(serde::de::Error::invalid_type(serde::de::Unexpected::Seq, &"an object with `data`"));
        }
        let mut place = 0;
        while let Some(row) = rows.next_element::<Value>()? {
            if self.failed.is_none()
                && let Err(error) = (self.each)(place, &row)
            {
                *self.failed = Some(error);
            }
            place += 1;
        }
        Ok(())
    }

    /// Null is an empty list.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if self.inside { Ok(()) } else { Err(E::invalid_type(serde::de::Unexpected::Unit, &"an object with `data`")) }
    }
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
