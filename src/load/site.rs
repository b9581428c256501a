//! `cluster-config.yaml`: the site.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Value as Json, json};

use super::config::read;
use super::config_keys::SITE;
use super::diagnostic::{Diagnostic, Severity, Source, Span, code};
use super::notify;
use super::reader::Reader;
use super::shape::Shape;
use super::yaml::{self, Node};
use crate::model::cluster::Cluster;
use crate::model::site::Site;
use crate::model::window;

/// Reads a site's configuration. Errors: all that is wrong, at once.
pub fn load_site(source: &Source) -> Result<Site, Vec<Diagnostic>> {
    load(source, |reader, root| {
        let mut json = read(reader, root, &Shape::Table(&SITE));
        check_nodes(reader, root);
        check_credentials(reader, root);
        check_windows(reader, root);
        notify::check(reader, root);
        json.as_mut().map(complete);
        json
    })
}

/// Parses, reads with `read` and builds the typed value.
pub(super) fn load<T: serde::de::DeserializeOwned>(
    source: &Source,
    read: impl FnOnce(&mut Reader<'_>, &Node) -> Option<Json>,
) -> Result<T, Vec<Diagnostic>> {
    let (root, mut diagnostics) = yaml::parse(source);
    let mut reader = Reader::new(source);
    let mut built = None;
    if let Some(root) = &root {
        if let Some(json) = read(&mut reader, root) {
            match serde_json::from_value(json) {
                Ok(value) => built = Some(value),
                // The tables and the types disagree: our fault, but the file's place is all a person can use.
                Err(error) => drop(reader.error(code::WRONG_VALUE, root.span, error.to_string())),
            }
        }
    } else if diagnostics.is_empty() {
        reader.error(code::SYNTAX, source.span_at(0, 1), "the file is empty");
    }
    diagnostics.append(&mut reader.diagnostics);
    diagnostics.sort_by_key(|d| d.span.offset);
    match built {
        Some(value) if diagnostics.iter().all(|d| d.severity == Severity::Warning) => Ok(value),
        _ => Err(diagnostics),
    }
}

/// Fills what the types cannot: hosts from the site's name, short forms.
fn complete(json: &mut Json) {
    let site = json["cluster"]["name"].as_str().unwrap_or_default().to_owned();
    for node in json["cluster"]["nodes"].as_array_mut().into_iter().flatten() {
        let name = node["name"].as_str().unwrap_or_default();
        let endpoint = match &node["host"] {
            Json::Object(endpoint) => Json::Object(endpoint.clone()),
            _ => json!({"host": format!("{name}.{site}"), "port": 8006}),
        };
        node["host"] = endpoint["host"].clone();
        node["port"] = endpoint["port"].clone();
    }
    if let Some(credentials) = json["credentials"].as_object_mut()
        && let Some(path) = credentials.remove("pass_path")
    {
        credentials.insert("token".into(), format!("pass:{}", path.as_str().unwrap_or_default()).into());
    }
    if let Some(Json::String(path)) = json.pointer("/talos/tools/talosctl").cloned() {
        json["talos"]["tools"]["talosctl"] = json!({"*": path});
    }
    json.get_mut("notify").and_then(Json::as_array_mut).into_iter().flatten().for_each(notify::complete);
}

fn check_nodes(reader: &mut Reader<'_>, root: &Node) {
    let Some(nodes) = root.get("cluster").and_then(|c| c.get("nodes")) else { return };
    if matches!(&nodes.value, yaml::Value::Seq(items) if items.is_empty()) {
        reader.error(code::MISSING_KEY, nodes.span, "at least one node is needed").help("nodes: [{name: pve1}]");
    }
    for key in ["name", "host"] {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for node in nodes.items().iter().filter_map(|n| n.get(key)) {
            let Some(text) = node.as_str() else { continue };
            if let Some(first) = seen.insert(text, node.span) {
                reader
                    .error(code::CLASH, node.span, format!("two nodes have the {key} `{text}`"))
                    .label(first, "the first one");
            }
        }
    }
}

fn check_credentials(reader: &mut Reader<'_>, root: &Node) {
    let Some(node) = root.get("credentials").filter(|n| matches!(n.value, yaml::Value::Map(_))) else { return };
    let ways: Vec<(&str, Span)> = ["pass_path", "token", "user"]
        .into_iter()
        .filter_map(|key| node.entries().iter().find(|(k, _)| k.value == key).map(|(k, _)| (key, k.span)))
        .collect();
    let place = Span { len: 1, ..node.span };
    match ways[..] {
        [] => {
            reader
                .error(code::MISSING_KEY, place, "a credential is needed")
                .help("pass_path: PATH, or token: env:NAME, or user: NAME@REALM with password: pass:PATH");
        }
        [(first, span), (second, at), ..] => {
            reader
                .error(code::CLASH, at, format!("one credential is needed, but here are `{first}` and `{second}`"))
                .label(span, "the first one")
                .help("take one off");
        }
        [(way, span)] => {
            let password = node.get("password");
            if way == "user" && password.is_none() {
                reader
                    .error(code::MISSING_KEY, span, "`user` needs `password`")
                    .help("password: pass:PATH, a reference");
            } else if let (true, Some(password)) = (way != "user", password) {
                reader.error(code::CLASH, password.span, format!("`password` belongs to `user`, but here is `{way}`"));
            }
        }
    }
    if let Some(user) = node.get("user").filter(|u| u.as_str().is_some_and(|t| !t.contains('@'))) {
        reader.error(code::WRONG_VALUE, user.span, "a user has a realm").help("user: NAME@pam or NAME@pve");
    }
}

fn check_windows(reader: &mut Reader<'_>, root: &Node) {
    let windows = root.get("policy").and_then(|p| p.get("windows")).map(Node::items).unwrap_or_default();
    for window in windows {
        let cron = window.get("cron").and_then(|c| Some((c, c.as_str()?)));
        if let Some((node, text)) = cron {
            check_cron(reader, node, text);
        }
        let zone = window.get("timezone").and_then(|z| Some((z, z.as_str()?)));
        if let Some((node, name)) = zone
            && let Err(why) = window::timezone(name)
        {
            reader.error(code::WRONG_VALUE, node.span, why.to_string()).help("such as Europe/Berlin");
        }
    }
}

fn check_cron(reader: &mut Reader<'_>, node: &Node, text: &str) {
    let nightly = "every night at ten: \"0 22 * * *\"";
    if text.split_whitespace().count() != 5 {
        let message = "five fields are expected: minute, hour, day, month, weekday";
        reader.error(code::WRONG_VALUE, node.span, message).help(nightly);
    } else if let Err(why) = window::check_cron(text) {
        reader.error(code::WRONG_VALUE, node.span, format!("`{text}` names no time: {why}")).help(nightly);
    }
}

/// `config` and `cluster` as expressions see them: the files' own names, without credentials and without who is told,
/// whose addresses may be secrets.
pub fn scope_of(site: &Site, cluster: Option<&Cluster>) -> BTreeMap<String, Json> {
    let plain = |value: Result<Json, serde_json::Error>| value.expect("configuration has only text keys");
    let mut config = plain(serde_json::to_value(site));
    for secret in ["credentials", "notify", "metrics"] {
        config.as_object_mut().map(|map| map.remove(secret));
    }
    let mut scope = BTreeMap::from([("config".to_owned(), config)]);
    if let Some(cluster) = cluster {
        scope.insert("cluster".into(), plain(serde_json::to_value(cluster)));
    }
    scope
}

impl FromStr for Site {
    type Err = Vec<Diagnostic>;

    /// [`load_site`] for a text without a file.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        load_site(&Source::new("cluster-config.yaml", text))
    }
}
