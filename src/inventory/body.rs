//! What a guest agent and a container's node answer, as interfaces.
//!
//! Source: PVE::QemuServer::Agent, PVE::API2::LXC; bodies that were recorded are in tests/data/pve.

use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::model::inventory::{Seen, SeenAddress};

/// An answer is not as it should be: the place, what stands there, what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("in the answer, {place}: expected {expected}, got {got}")]
pub struct BadBody {
    pub place: String,
    pub expected: &'static str,
    pub got: String,
}

/// What an agent answers. One that lacks the command, or is forbidden it, answers with an error inside of a success.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentSaid {
    Interfaces(Vec<Seen>),
    Refused { class: String, desc: String },
}

/// The `data` of `agent/network-get-interfaces`.
///
/// # Errors
/// It has another shape.
pub fn agent(data: &Value) -> Result<AgentSaid, BadBody> {
    let result = object(data, "data")?.get("result").unwrap_or(&Value::Null);
    if let Some(error) = result.get("error") {
        let text = |key: &str| plain(error.get(key).and_then(Value::as_str).unwrap_or_default());
        return Ok(AgentSaid::Refused { class: text("class"), desc: text("desc") });
    }
    Ok(AgentSaid::Interfaces(rows(result, "data.result")?))
}

/// The `data` of a container's `interfaces`; `None` for one that is off.
///
/// # Errors
/// It has another shape.
pub fn container(data: &Value) -> Result<Option<Vec<Seen>>, BadBody> {
    if data.is_null() { Ok(None) } else { rows(data, "data").map(Some) }
}

fn rows(value: &Value, place: &str) -> Result<Vec<Seen>, BadBody> {
    let rows = value.as_array().ok_or_else(|| wrong(place.to_owned(), "a list", value))?;
    rows.iter().enumerate().map(|(i, row)| interface(row, &format!("{place}[{i}]"))).collect()
}

fn interface(value: &Value, place: &str) -> Result<Seen, BadBody> {
    let row = object(value, place)?;
    let text = |key: &str| row.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = row.get("name").unwrap_or(&Value::Null);
    let name = plain(name.as_str().ok_or_else(|| wrong(format!("{place}.name"), "text", name))?);
    // InfiniBand has twenty bytes: no network card of a guest is known by them.
    let mac = text("hardware-address").or_else(|| text("hwaddr")).and_then(|mac| mac.parse().ok());
    let mut addresses = Vec::new();
    match row.get("ip-addresses").filter(|list| !list.is_null()) {
        Some(list) => {
            let place = format!("{place}.ip-addresses");
            let list = list.as_array().ok_or_else(|| wrong(place.clone(), "a list", list))?;
            for (i, value) in list.iter().enumerate() {
                addresses.push(address(value, &format!("{place}[{i}]"))?);
            }
        }
        // Before 9 a container has only these, and only the last address of each kind.
        None => {
            for key in ["inet", "inet6"] {
                if let Some(text) = text(key) {
                    let (bare, prefix) = text.split_once('/').unwrap_or((text, ""));
                    addresses.push(parsed(bare, prefix.parse().ok(), &format!("{place}.{key}"))?);
                }
            }
        }
    }
    Ok(Seen { name, mac, addresses })
}

fn address(value: &Value, place: &str) -> Result<SeenAddress, BadBody> {
    let row = object(value, place)?;
    let text = row.get("ip-address").unwrap_or(&Value::Null);
    let text = text.as_str().ok_or_else(|| wrong(format!("{place}.ip-address"), "an address", text))?;
    // A number, or a text with one.
    let prefix = row.get("prefix").and_then(|prefix| match prefix {
        Value::Number(number) => number.as_u64().and_then(|n| u8::try_from(n).ok()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    });
    parsed(text, prefix, &format!("{place}.ip-address"))
}

/// `10.0.0.5`, `fe80::1%6`.
fn parsed(text: &str, prefix: Option<u8>, place: &str) -> Result<SeenAddress, BadBody> {
    let (bare, zone) = match text.split_once('%') {
        Some((bare, zone)) => (bare, Some(zone.to_owned())),
        None => (text, None),
    };
    let expected = "an address";
    let address: IpAddr =
        bare.trim().parse().map_err(|_| BadBody { place: place.to_owned(), expected, got: cut(text) })?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    Ok(SeenAddress { address, prefix: prefix.filter(|prefix| *prefix <= most), zone })
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, BadBody> {
    value.as_object().ok_or_else(|| wrong(place.to_owned(), "an object", value))
}

fn wrong(place: String, expected: &'static str, got: &Value) -> BadBody {
    BadBody { place, expected, got: cut(&got.to_string()) }
}

/// A guest's own words, fit for a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn cut(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
