//! Values of parameters: from an operator's text, a literal of a file or a result of an expression to the one
//! JSON form that actions and expressions see.
//!
//! Pure: whether a node or a guest exists is asked of the site later.

use std::net::IpAddr;

use serde_json::Value;

use super::ids::Vmid;
use super::nearest::nearest;
use super::param::{Param, ValueType};

/// A value that a parameter does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter `{param}`: {got}; {expected}")]
pub struct ParamError {
    pub param: String,
    /// What was given. Never a secret.
    pub got: String,
    /// What would have been taken.
    pub expected: String,
}

/// The JSON form of a value for a parameter.
///
/// Texts are read as the type spells them. Numbers are taken in the type's unit: milliseconds, bytes, percent.
pub fn coerce(param: &Param, value: &Value) -> Result<Value, ParamError> {
    coerce_as(param, param.ty, value).and_then(|value| constrain(param, value))
}

/// [`coerce`] for what an operator typed.
pub fn coerce_text(param: &Param, text: &str) -> Result<Value, ParamError> {
    coerce(param, &Value::from(text))
}

fn coerce_as(param: &Param, ty: ValueType, value: &Value) -> Result<Value, ParamError> {
    let refuse = |expected: &str| ParamError {
        param: param.name.clone(),
        got: if ty == ValueType::Secret { "a value that is not shown".into() } else { show(value) },
        expected: format!("expected {expected}"),
    };
    match ty {
        ValueType::Any => Ok(value.clone()),
        ValueType::List => {
            let items: Vec<Value> = match value {
                Value::Array(items) => items.clone(),
                Value::String(text) if text.trim().is_empty() => Vec::new(),
                Value::String(text) if text.trim_start().starts_with('[') => {
                    serde_json::from_str(text).map_err(|_| refuse("a list as JSON: [\"a\", \"b\"]"))?
                }
                Value::String(text) => text.split(',').map(|item| Value::from(item.trim())).collect(),
                _ => return Err(refuse("a list, or its items with commas between them")),
            };
            let items = items.iter().map(|item| coerce_as(param, param.items.unwrap_or(ValueType::Any), item));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        ValueType::Map => match value {
            Value::Object(_) => Ok(value.clone()),
            Value::String(text) => pairs(text).ok_or_else(|| refuse("a map: `key=value,key=value`")),
            _ => Err(refuse("a map")),
        },
        _ => scalar(ty, value).ok_or_else(|| refuse(expected(ty))),
    }
}

fn pairs(text: &str) -> Option<Value> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    }
    let entries = text.split(',').filter(|part| !part.trim().is_empty()).map(|part| {
        let (key, value) = part.split_once('=')?;
        Some((key.trim().to_owned(), Value::from(value.trim())))
    });
    entries.collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
}

/// What a type takes, for messages.
pub fn expected(ty: ValueType) -> &'static str {
    match ty {
        ValueType::String => "a text",
        ValueType::Int => "a whole number",
        ValueType::Float => "a number",
        ValueType::Bool => "true or false",
        ValueType::List => "a list",
        ValueType::Map => "a map",
        ValueType::Path => "a path",
        ValueType::Duration => "a duration such as 90s, 5m or 1h30m",
        ValueType::Size => "a size such as 512MiB, 32GiB or 32G",
        ValueType::Percent => "a percentage from 0% to 100%",
        ValueType::Version => "a version such as \"1.11.2\", in quotes",
        ValueType::Ip => "an IP address",
        ValueType::Cidr => "an address with its prefix such as 10.0.0.0/24",
        ValueType::Mac => "a MAC address of one machine such as 02:54:00:00:10:51",
        ValueType::Url => "a URL such as https://host/path",
        ValueType::Vmid => "a VMID: a whole number from 100 to 999999999",
        ValueType::Node => "the name of a Proxmox node",
        ValueType::Guest => "a VMID or the name of a guest",
        ValueType::Cluster => "the name of a cluster",
        ValueType::Secret => "a reference such as pass:PATH, env:NAME or file:PATH",
        ValueType::Any => "a value",
    }
}

fn scalar(ty: ValueType, value: &Value) -> Option<Value> {
    match value {
        Value::Bool(_) => (ty == ValueType::Bool).then(|| value.clone()),
        Value::Number(number) => from_number(ty, number),
        Value::String(text) => from_text(ty, text),
        _ => None,
    }
}

fn from_number(ty: ValueType, number: &serde_json::Number) -> Option<Value> {
    // Division gives 2.0 where a count is meant.
    let whole =
        number.as_i64().or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64));
    match ty {
        ValueType::Int => whole.map(Value::from),
        ValueType::Float => Some(Value::Number(number.clone())),
        ValueType::Duration | ValueType::Size => whole.filter(|n| *n >= 0).map(Value::from),
        ValueType::Percent => {
            number.as_f64().filter(|p| (0.0..=100.0).contains(p)).map(|_| Value::Number(number.clone()))
        }
        ValueType::Vmid | ValueType::Guest => whole?.to_string().parse::<Vmid>().ok().map(|id| Value::from(id.0)),
        _ => None,
    }
}

fn from_text(ty: ValueType, text: &str) -> Option<Value> {
    if ty == ValueType::String {
        return Some(Value::from(text));
    }
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    match ty {
        ValueType::Int => whole_number(text).map(Value::from),
        ValueType::Float => text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Value::from),
        ValueType::Bool => text.parse::<bool>().ok().map(Value::from),
        ValueType::Duration => duration(text).map(Value::from),
        ValueType::Size => size(text).map(Value::from),
        ValueType::Percent => percent(text),
        ValueType::Version => version(text).map(Value::from),
        ValueType::Ip => text.parse::<IpAddr>().ok().map(|ip| Value::from(ip.to_string())),
        ValueType::Cidr => cidr(text).map(|(ip, prefix)| Value::from(format!("{ip}/{prefix}"))),
        ValueType::Mac => mac(text).map(Value::from),
        ValueType::Url => is_url(text).then(|| Value::from(text)),
        ValueType::Vmid => text.parse::<Vmid>().ok().map(|id| Value::from(id.0)),
        ValueType::Guest if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse::<Vmid>().ok().map(|id| Value::from(id.0))
        }
        ValueType::Node | ValueType::Guest => is_host_name(text).then(|| Value::from(text)),
        ValueType::Secret => is_reference(text).then(|| Value::from(text)),
        ValueType::Path | ValueType::Cluster | ValueType::Any | ValueType::String => Some(Value::from(text)),
        ValueType::List | ValueType::Map => None,
    }
}

fn whole_number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    plain.then(|| text.parse().ok()).flatten()
}

/// Milliseconds of `90s`, `250ms`, `1h30m`.
pub fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(ms)?)?;
        rest = tail.trim_start();
    }
    (!text.is_empty() && i64::try_from(total).is_ok()).then_some(total)
}

/// Bytes of `32GiB`, `100G`, `1.5T`. K, M, G, T are powers of 1024, as Proxmox has them for disks.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "B" => 0,
        "K" | "KiB" | "Ki" => 10,
        "M" | "MiB" | "Mi" => 20,
        "G" | "GiB" | "Gi" => 30,
        "T" | "TiB" | "Ti" => 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok());
    }
    let bytes = number.parse::<f64>().ok()? * (1_u64 << shift) as f64;
    (bytes < 9e15 && bytes.fract() == 0.0).then_some(bytes as u64)
}

fn percent(text: &str) -> Option<Value> {
    let number: f64 = text.strip_suffix('%').unwrap_or(text).trim().parse().ok()?;
    if !(0.0..=100.0).contains(&number) {
        return None;
    }
    Some(if number.fract() == 0.0 { Value::from(number as u64) } else { Value::from(number) })
}

/// `1.11.2`, `v1.11.2-rc.1` without the `v`; two or three numbers.
pub fn version(text: &str) -> Option<String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (core, pre) = text.split_once(['-', '+']).map_or((text, None), |(core, pre)| (core, Some(pre)));
    let parts: Vec<&str> = core.split('.').collect();
    let number = |p: &&str| {
        !p.is_empty() && p.len() <= 9 && p.bytes().all(|b| b.is_ascii_digit()) && (p.len() == 1 || !p.starts_with('0'))
    };
    let pre_ok =
        pre.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b)));
    ((2..=3).contains(&parts.len()) && parts.iter().all(number) && pre_ok).then(|| text.to_owned())
}

/// An address and its prefix; bits of the host may be set.
pub fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, prefix) = text.split_once('/')?;
    let ip: IpAddr = ip.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    (prefix <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, prefix))
}

/// In upper case, as Proxmox writes it; group addresses are refused.
pub fn mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(':').collect();
    let pair = |p: &&str| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit());
    let single = u8::from_str_radix(parts.first()?, 16).is_ok_and(|first| first & 1 == 0);
    (parts.len() == 6 && parts.iter().all(pair) && single).then(|| text.to_ascii_uppercase())
}

pub fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !text.contains(char::is_whitespace)
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
    })
}

/// A DNS name: labels of letters, digits and inner hyphens.
pub fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Whether a text has the form of a reference to a secret; what it leads to is not looked at.
pub fn is_reference(text: &str) -> bool {
    const SCHEMES: [&str; 7] = ["pass", "env", "file", "cmd", "op", "vault", "sops"];
    text.split_once(':').is_some_and(|(scheme, rest)| SCHEMES.contains(&scheme) && !rest.is_empty())
}

fn constrain(param: &Param, value: Value) -> Result<Value, ParamError> {
    let refuse = |got: &Value, expected: String| ParamError {
        param: param.name.clone(),
        got: if param.ty == ValueType::Secret { "a value that is not shown".into() } else { show(got) },
        expected,
    };
    let each: Vec<&Value> = value.as_array().map_or_else(|| vec![&value], |items| items.iter().collect());
    for item in &each {
        if !param.choices.is_empty() && !param.choices.contains(item) {
            let choices: Vec<String> = param.choices.iter().map(text_of).collect();
            let near = nearest(&text_of(item), choices.iter().map(String::as_str));
            let hint = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            return Err(refuse(item, format!("expected one of {}{hint}", choices.join(", "))));
        }
        if let (Some(pattern), Some(text)) = (&param.pattern, item.as_str())
            && !regex::Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|r| r.is_match(text))
        {
            return Err(refuse(item, format!("expected a text that matches {pattern}")));
        }
    }
    let (number, of) = match &value {
        Value::Number(number) => (number.as_f64(), ""),
        Value::Array(items) => (Some(items.len() as f64), " items"),
        _ => (None, ""),
    };
    if let Some(number) = number {
        if param.min.is_some_and(|min| number < min) {
            return Err(refuse(&value, format!("expected at least {}{of}", bound(param, param.min))));
        }
        if param.max.is_some_and(|max| number > max) {
            return Err(refuse(&value, format!("expected at most {}{of}", bound(param, param.max))));
        }
    }
    Ok(value)
}

/// A bound in the spelling of its type.
fn bound(param: &Param, value: Option<f64>) -> String {
    let value = value.unwrap_or_default();
    match param.ty {
        ValueType::Duration => format!("{}s", value / 1000.0),
        ValueType::Size => format!("{}MiB", value / f64::from(1 << 20)),
        ValueType::Percent => format!("{value}%"),
        _ => value.to_string(),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) if text.is_empty() => "an empty text".into(),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a map".into(),
        other => format!("`{}`", text_of(other)),
    }
}

/// A value of that type as an author would write it: `32GiB` for a size, `5m` for a duration.
pub fn written(ty: ValueType, value: &Value) -> String {
    match (ty, value.as_u64(), value) {
        (ValueType::Duration, Some(ms), _) => {
            let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
            let unit = units.iter().find(|(unit, _)| ms > 0 && ms % unit == 0);
            unit.map_or_else(|| format!("{ms}ms"), |(unit, sign)| format!("{}{sign}", ms / unit))
        }
        (ValueType::Size, Some(bytes), _) => {
            let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
            let unit = units.iter().find(|(unit, _)| bytes > 0 && bytes % unit == 0);
            unit.map_or_else(|| format!("{bytes}B"), |(unit, sign)| format!("{}{sign}", bytes / unit))
        }
        (ValueType::Percent, _, Value::Number(n)) => format!("{n}%"),
        (_, _, Value::String(text)) => text.clone(),
        (_, _, other) => other.to_string(),
    }
}
