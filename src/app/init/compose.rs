//! The configuration's text: a new one with comments, or the one that is there with what it lacks.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Place;
use super::discover::{Found, FoundNode};
use crate::load::yaml_edit::{self, EditError};

/// Where guests get their numbers, where the site's own are no reason for others.
const RANGES: &str = "{templates: 100-999, vms: 1000-9999}";

/// A text, and what is new in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    /// Keys that were added: `cluster.nodes.1.fingerprint`.
    pub added: Vec<String>,
    /// What a person should see to.
    pub notes: Vec<String>,
}

impl Written {
    /// Sets what the text does not have.
    fn add(&mut self, path: &str, value: Value) -> Result<(), EditError> {
        if yaml_edit::get(&self.text, path)?.is_none_or(|there| there.is_null()) {
            self.text = yaml_edit::set(&self.text, path, &value)?;
            self.added.push(path.to_owned());
        }
        Ok(())
    }

    /// Puts a node at the end of a list; where that cannot be done safely, says what to put there.
    fn append(&mut self, path: &str, node: &FoundNode) {
        match yaml_edit::append(&self.text, path, &entry(node)) {
            Ok(text) => {
                self.text = text;
                self.added.push(format!("{path}: {}", node.name));
            }
            Err(error) => {
                let line = flow(&entry(node));
                self.notes.push(format!("not in the file ({error}): put it under {path}: - {line}"));
            }
        }
    }
}

/// Whether an entry of the file is this node: by its name, or, under a name of the owner's own, by its address.
fn is_of(entry: &Value, node: &FoundNode) -> bool {
    let host = |place: &Place| {
        let said = entry["host"].as_str().unwrap_or_default();
        said == place.text() || said == place.host && place.port == super::PORT
    };
    entry["name"] == node.name.as_str() || node.place.as_ref().is_some_and(host)
}

/// A new file.
pub(super) fn whole(name: &str, found: &Found, token: &str) -> Written {
    let mut text = String::new();
    let _ = write!(
        text,
        "# The site {name}: Proxmox VE {}. Written by `runbook init`; yours to change. `runbook doctor` tries it all.\n\n\
         cluster:\n  name: {}   # part of every lock, plan and inventory key\n  nodes:\n",
        found.version,
        quoted(name),
    );
    for node in &found.nodes {
        if let Some(note) = &node.note {
            let _ = writeln!(text, "    # {note}");
        }
        let _ = writeln!(text, "    - {}", flow(&entry(node)));
    }
    let _ = write!(
        text,
        "  # tls: {{ca_file: pve-root-ca.pem}}   # the site's own authority instead of fingerprints: /etc/pve/pve-root-ca.pem\n\n\
         credentials:\n  token: {}   # a reference: pass:PATH, env:NAME, file:PATH; the secret is never in this file\n  \
         ssh_user: root   # SSH goes to the node's name: ssh_config says HostName, Port, ProxyJump\n  \
         # ssh_config: ~/.ssh/config\n\ndefaults:   # what a new guest gets\n",
        quoted(token),
    );
    let storages = found.storages.iter().map(|s| {
        let (disks, shared) = (if s.disks { "" } else { ", no disks" }, if s.shared { ", shared" } else { "" });
        format!("{} ({}{shared}{disks})", s.name, s.kind)
    });
    let _ = writeln!(text, "  # storages: {}", listed(storages));
    text.push_str(&line("storage", storage(found)));
    let _ = writeln!(text, "  # bridges: {}", listed(found.bridges.iter().cloned()));
    text.push_str(&line("network_bridge", bridge(found)));
    let _ = write!(
        text,
        "\n# in use: {}\nvmid_ranges: {RANGES}\n\n\
         # policy:   # what no run may do\n#   protect: {{vmids: [100], tags: [protected]}}\n#   max_destroyed: 6\n",
        spans(&found.vmids),
    );
    Written { text, added: vec!["all".into()], notes: notes(found) }
}

/// What the file has stays as it is; what it lacks is added.
pub(super) fn completed(text: &str, name: &str, found: &Found, token: &str) -> Result<Written, EditError> {
    let mut written = Written { text: text.to_owned(), added: Vec::new(), notes: notes(found) };
    written.add("cluster.name", json!(name))?;
    match yaml_edit::get(text, "cluster.nodes")? {
        Some(Value::Array(there)) => {
            let authority = yaml_edit::get(text, "cluster.tls.ca_file")?.is_some();
            for (place, node) in there.iter().enumerate() {
                let known = found.nodes.iter().find(|n| node["name"] == n.name.as_str());
                // With an authority a renewed certificate is no alarm: that is the owner's choice.
                if let Some(print) = known.and_then(|known| known.fingerprint).filter(|_| !authority) {
                    written.add(&format!("cluster.nodes.{place}.fingerprint"), json!(print.to_string()))?;
                }
            }
            let known = |node: &&FoundNode| there.iter().any(|entry| is_of(entry, node));
            for node in found.nodes.iter().filter(|node| !known(node)) {
                written.append("cluster.nodes", node);
            }
        }
        _ => written.add("cluster.nodes", Value::Array(found.nodes.iter().map(entry).collect()))?,
    }
    let has = |key: &str| yaml_edit::get(text, &format!("credentials.{key}")).map(|there| there.is_some());
    if !has("pass_path")? && !has("user")? {
        written.add("credentials.token", json!(token))?;
    }
    if let Some(storage) = storage(found) {
        written.add("defaults.storage", json!(storage))?;
    }
    if let Some(bridge) = bridge(found) {
        written.add("defaults.network_bridge", json!(bridge))?;
    }
    Ok(written)
}

/// A node as the file has it.
fn entry(node: &FoundNode) -> Value {
    let mut entry = serde_json::Map::new();
    entry.insert("name".into(), json!(node.name));
    if let Some(place) = &node.place {
        entry.insert("host".into(), json!(place.text()));
    }
    if let Some(print) = &node.fingerprint {
        entry.insert("fingerprint".into(), json!(print.to_string()));
    }
    Value::Object(entry)
}

/// The usual place for disks where there is one, else the first that takes them.
fn storage(found: &Found) -> Option<&str> {
    let usual = ["local-lvm", "local-zfs"];
    let disks = || found.storages.iter().filter(|storage| storage.disks).map(|storage| storage.name.as_str());
    disks().find(|name| usual.contains(name)).or_else(|| disks().next())
}

fn bridge(found: &Found) -> Option<&str> {
    let all = || found.bridges.iter().map(String::as_str);
    all().find(|name| *name == "vmbr0").or_else(|| all().next())
}

fn line(key: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("  {key}: {}\n", quoted(value)),
        None => format!("  # {key}: none was found\n"),
    }
}

/// Every JSON text is a YAML text.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_lowercase().as_str());
    if plain { text.to_owned() } else { json!(text).to_string() }
}

fn flow(entry: &Value) -> String {
    let pairs = entry.as_object().into_iter().flatten();
    let pairs = pairs.map(|(key, value)| format!("{key}: {}", quoted(value.as_str().unwrap_or_default())));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none were found".into() } else { items.join(", ") }
}

/// `100-102, 104`
fn spans(sorted: &[u32]) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for number in sorted {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => spans.push((*number, *number)),
        }
    }
    let words = spans.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
    listed(words)
}

fn notes(found: &Found) -> Vec<String> {
    found.nodes.iter().filter_map(|node| Some(format!("{}: {}", node.name, node.note.as_ref()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::discover::FoundStorage;
    use super::*;
    use crate::model::ids::Fingerprint;

    fn found() -> Found {
        let node = |name: &str, byte: u8| FoundNode {
            name: name.into(),
            place: Some(Place { host: format!("{name}.example"), port: 8006 }),
            fingerprint: Some(Fingerprint([byte; 32])),
            note: None,
        };
        let storage = |name: &str, disks| FoundStorage { name: name.into(), kind: "dir".into(), shared: false, disks };
        Found {
            cluster: Some("lab".into()),
            version: "9.2.3".into(),
            nodes: vec![node("pve1", 1), node("pve2", 2)],
            storages: vec![storage("local", false), storage("tank", true)],
            bridges: vec!["vmbr1".into(), "vmbr0".into()],
            vmids: vec![100, 101, 104],
        }
    }

    #[test]
    fn a_new_file_is_a_configuration_with_comments() {
        let written = whole("lab.example", &found(), "env:PVE_TOKEN");
        let source = crate::load::diagnostic::Source::new("x", written.text.clone());
        let site = crate::load::load_site(&source).unwrap();
        assert_eq!((site.cluster.name.as_str(), site.cluster.nodes.len()), ("lab.example", 2));
        assert_eq!(site.cluster.nodes[1].host, "pve2.example");
        assert_eq!((site.defaults.storage.as_str(), site.defaults.network_bridge.as_str()), ("tank", "vmbr0"));
        assert!(written.text.contains("# in use: 100-101, 104\n"), "{}", written.text);
    }

    #[test]
    fn what_is_there_stays_and_what_is_not_is_added() {
        let text = "# mine\ncluster:\n  name: ours   # the name\n  nodes:\n    - {name: pve1, host: a}  # first\n\
                    credentials: {pass_path: a/b}\n";
        let written = completed(text, "lab", &found(), "env:X").unwrap();
        let added =
            ["cluster.nodes.0.fingerprint", "cluster.nodes: pve2", "defaults.storage", "defaults.network_bridge"];
        assert_eq!(written.added, added);
        for kept in ["# mine\n", "name: ours   # the name", "# first", "host: a", "credentials: {pass_path: a/b}"] {
            assert!(written.text.contains(kept), "{kept}: {}", written.text);
        }
        let first = written.text.find("# first\n    - {name: pve2, host: \"pve2.example:8006\", fingerprint: ");
        assert!(first.is_some(), "behind the last one, as it is indented: {}", written.text);
        assert!(crate::load::load_site(&crate::load::diagnostic::Source::new("x", written.text.clone())).is_ok());
        let again = completed(&written.text, "lab", &found(), "env:X").unwrap();
        assert_eq!((again.text, again.added), (written.text, Vec::new()));
    }

    #[test]
    fn a_node_under_another_name_is_known_by_its_address_and_what_cannot_be_edited_is_said() {
        let text = "cluster:\n  name: x\n  nodes: [{name: east, host: pve1.example}, {name: west, host: 'pve2.example:8006'}]\n";
        let written = completed(text, "lab", &found(), "env:X").unwrap();
        assert!(!written.added.iter().any(|added| added.starts_with("cluster.nodes:")), "{:?}", written.added);
        let text = "cluster:\n  name: x\n  nodes: &all\n    - {name: pve1, host: a, fingerprint: b}\n";
        let written = completed(text, "lab", &found(), "env:X").unwrap();
        assert!(written.notes[0].contains("put it under cluster.nodes: - {name: pve2"), "{:?}", written.notes);
    }
}
