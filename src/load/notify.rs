//! `notify` of the site's configuration: exactly one kind each, and no secret where it would be shown.

use serde_json::{Map, Value as Json, json};

use super::diagnostic::code;
use super::reader::Reader;
use super::yaml::{Node, Value};
use crate::model::notify::Moment;

const KINDS: [&str; 3] = ["ntfy", "slack", "webhook"];
/// Keys that belong to one kind.
const OWN: [(&str, &str); 4] = [("token", "ntfy"), ("priority", "ntfy"), ("secret", "webhook"), ("headers", "webhook")];
/// Headers that the program writes itself, or that would break the request.
const TAKEN: [&str; 6] = ["content-type", "content-length", "host", "connection", "transfer-encoding", "user-agent"];

/// Whatever the table of keys cannot say.
pub fn check(reader: &mut Reader<'_>, root: &Node) {
    for entry in root.get("notify").map(Node::items).unwrap_or_default() {
        if !matches!(entry.value, Value::Map(_)) {
            continue;
        }
        check_kind(reader, entry);
        if let Some(on) = entry.get("on").filter(|on| matches!(&on.value, Value::Seq(items) if items.is_empty())) {
            reader.error(code::MISSING_KEY, on.span, "nothing is said of when to tell").help("on: [failed, waiting]");
        }
        for key in KINDS {
            if let Some(node) = entry.get(key) {
                check_address(reader, entry, key, node);
            }
        }
        check_headers(reader, entry);
        conceal(reader, entry);
    }
}

fn check_kind(reader: &mut Reader<'_>, entry: &Node) {
    let given: Vec<_> = entry.entries().iter().filter(|(key, _)| KINDS.contains(&key.value.as_str())).collect();
    let mut place = entry.span;
    place.len = place.len.min(1);
    let kind = match given[..] {
        [] => {
            reader
                .error(code::MISSING_KEY, place, "a notification needs a receiver")
                .help("one of ntfy: URL, slack: REFERENCE or webhook: URL");
            return;
        }
        [(kind, _)] => kind.value.as_str(),
        [(first, _), (second, _), ..] => {
            let message = format!("one receiver is expected, but here are `{}` and `{}`", first.value, second.value);
            reader.error(code::CLASH, second.span, message).help("write an entry for each");
            return;
        }
    };
    for (key, _) in entry.entries() {
        if let Some((_, owner)) = OWN.iter().find(|(own, owner)| *own == key.value && *owner != kind) {
            reader.error(code::CLASH, key.span, format!("`{}` belongs to `{owner}`, but here is `{kind}`", key.value));
        }
    }
}

/// What a URL that stands in the file must be; one behind a reference is looked at when it is used.
fn check_address(reader: &mut Reader<'_>, entry: &Node, key: &str, node: &Node) {
    let Some((scheme, rest)) = node.as_str().and_then(|text| text.split_once("://")) else { return };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let mut wrong = |message: &str, help: &str| {
        reader.error(code::WRONG_VALUE, node.span, message).help(help).conceal = true;
    };
    if !matches!(scheme, "http" | "https") {
        wrong("a URL with http or https is expected", "https://HOST/PATH");
    } else if authority.contains('@') {
        wrong("a user or password in a URL would be shown", "give the whole URL as a reference: env:NAME or pass:PATH");
    } else if key == "ntfy" && path.trim_matches('/').is_empty() {
        wrong("a topic is missing", "https://HOST/TOPIC");
    } else if scheme == "http" && !is_here(authority) && (key == "slack" || entry.get("token").is_some()) {
        wrong("the secret would go over the network in the open", "https://…, with `ca_file` or `fingerprint`");
    }
}

/// Whether what is sent there does not leave this machine.
fn is_here(authority: &str) -> bool {
    let host = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let host = host.map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn check_headers(reader: &mut Reader<'_>, entry: &Node) {
    for (name, value) in entry.get("headers").map(Node::entries).unwrap_or_default() {
        let lower = name.value.to_ascii_lowercase();
        let sign = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if lower.is_empty() || !lower.bytes().all(sign) {
            reader.error(code::WRONG_VALUE, name.span, "the name of a header has letters, digits and `-`");
        } else if TAKEN.contains(&lower.as_str()) || lower.starts_with("runbook-") {
            reader.error(code::CLASH, name.span, format!("the header `{}` is written by runbook", name.value));
        }
        let secret = ["authorization", "cookie", "token", "secret", "key", "password"];
        let text = value.as_str().unwrap_or_default();
        if secret.iter().any(|word| lower.contains(word)) && !is_reference(text) {
            reader
                .error(
                    code::WRONG_VALUE,
                    value.span,
                    format!("`{}` holds a secret: a reference is expected", name.value),
                )
                .help("env:NAME, pass:PATH or file:PATH")
                .conceal = true;
        } else if text.bytes().any(|b| b < b' ' || b == 0x7f) {
            reader.error(code::WRONG_VALUE, value.span, "the value of a header is one line");
        }
    }
}

fn is_reference(text: &str) -> bool {
    ["pass:", "env:", "file:", "cmd:"].iter().any(|scheme| text.starts_with(scheme)) && !text.contains("://")
}

/// The whole address of a Slack webhook is a secret: no line of such an entry is shown.
fn conceal(reader: &mut Reader<'_>, entry: &Node) {
    let literal = |key: &str| entry.get(key).is_some_and(|node| !is_reference(node.as_str().unwrap_or_default()));
    if !KINDS.into_iter().any(literal) || !(literal("slack") || entry.get("headers").is_some()) {
        return;
    }
    let lines = entry.entries().iter().flat_map(|(key, node)| [key.span.line, node.span.line]);
    let (first, last) = lines.fold((entry.span.line, entry.span.line), |(a, b), line| (a.min(line), b.max(line)));
    for diagnostic in &mut reader.diagnostics {
        if (first..=last).contains(&diagnostic.span.line) {
            diagnostic.conceal = true;
            diagnostic.labels.clear();
        }
    }
}

/// From the file's keys to the types: the receiver with what belongs to it; `all` written out.
pub fn complete(entry: &mut Json) {
    let Some(map) = entry.as_object_mut() else { return };
    let on = map.get("on").and_then(Json::as_array).cloned().unwrap_or_default();
    let all = Moment::ALL.iter().map(|moment| Json::from(moment.as_str())).collect();
    let on = if on.iter().any(|word| word == "all") { all } else { Json::Array(on) };
    // Without a receiver it was refused already.
    let kind = KINDS.into_iter().find(|kind| map.contains_key(*kind)).unwrap_or("slack");
    let mut to = Map::new();
    to.insert("url".into(), map.remove(kind).unwrap_or_else(|| "".into()));
    for (key, _) in OWN.iter().filter(|(_, owner)| *owner == kind) {
        if let Some(value) = map.remove(*key) {
            to.insert((*key).into(), value);
        }
    }
    let rest = |key: &str| map.get(key).cloned().unwrap_or_default();
    *entry = json!({"to": {kind: to}, "on": on, "ca_file": rest("ca_file"), "fingerprint": rest("fingerprint")});
}
