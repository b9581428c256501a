//! One verb on one path.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::permission::Permission;
use super::property::{Property, parse_properties, truthy};
use crate::contracts::Verb;

/// What the schema says of one verb on one path.
#[derive(Debug)]
pub struct Method {
    pub verb: Verb,
    /// The path with names in braces.
    pub template: String,
    /// The server's own name for it (`migrate_vm`).
    pub name: String,
    /// Handled by pvedaemon as root: pveproxy passes it on.
    pub protected: bool,
    /// Handled on the node that this parameter names (`node`).
    pub proxyto: Option<String>,
    /// Whether an API token may call it.
    pub allowtoken: bool,
    pub permissions: Permission,
    /// By name, the values of the path included; `net[n]` is in `indexed`.
    pub(super) params: BTreeMap<String, Property>,
    /// By stem (`net`).
    pub(super) indexed: BTreeMap<String, Property>,
    pub(super) additional: bool,
}

impl Method {
    pub(super) fn parse(verb: Verb, template: &str, json: &Map<String, Value>) -> Self {
        let (mut params, mut indexed) = (BTreeMap::new(), BTreeMap::new());
        for (name, property) in json.get("params").and_then(Value::as_object).map(parse_properties).unwrap_or_default()
        {
            match name.strip_suffix("[n]") {
                Some(stem) => indexed.insert(stem.to_owned(), property),
                None => params.insert(name, property),
            };
        }
        Self {
            verb,
            template: template.to_owned(),
            name: json.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            protected: truthy(json.get("protected")),
            proxyto: json.get("proxyto").and_then(Value::as_str).map(str::to_owned),
            allowtoken: json.get("allowtoken").is_none_or(|flag| truthy(Some(flag))),
            permissions: Permission::parse(json.get("permissions")),
            params,
            indexed,
            additional: truthy(json.get("additionalProperties")),
        }
    }

    /// The parameter of this name: `net0` is found under `net[n]`, within the count that the server allows.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.params.get(name).or_else(|| {
            let (stem, index) = split_index(name)?;
            self.indexed.get(stem).filter(|_| index < index_limit(stem))
        })
    }

    /// The names in braces of its path.
    pub fn path_names(&self) -> impl Iterator<Item = &str> {
        self.template.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// `net12` is `net` and 12; leading zeros are not the server's spelling.
fn split_index(name: &str) -> Option<(&str, u32)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[stem.len()..];
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some((stem, digits.parse().ok()?))
}

/// How many of an indexed parameter there are: the schema prints `[n]` only. Source: QemuServer.pm, LXC/Config.pm.
fn index_limit(stem: &str) -> u32 {
    match stem {
        "net" | "ipconfig" => 32,
        "scsi" => 31,
        "sata" => 6,
        "ide" | "serial" => 4,
        "virtio" | "hostpci" => 16,
        "usb" => 14,
        "parallel" => 3,
        "numa" | "link" => 8,
        "virtiofs" => 10,
        "acmedomain" => 6,
        _ => 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indexed_name_splits_into_stem_and_digits() {
        assert_eq!(split_index("net12"), Some(("net", 12)));
        assert_eq!(split_index("net01"), None);
        assert_eq!(split_index("net"), None);
    }
}
