//! `clusters/NAME.yaml`: a guest cluster's profile.

use std::collections::BTreeMap;

use serde_json::json;

use super::config::read;
use super::config_keys::CLUSTER;
use super::diagnostic::{Diagnostic, Source, code};
use super::reader::Reader;
use super::shape::Shape;
use super::site::load;
use super::yaml::{self, Node};
use crate::model::cluster::Cluster;
use crate::model::runbook::Place;

/// Reads a cluster's profile. Errors: all that is wrong, at once.
pub fn load_cluster(source: &Source) -> Result<Cluster, Vec<Diagnostic>> {
    let mut found = BTreeMap::new();
    let mut cluster: Cluster = load(source, |reader, root| {
        let mut json = read(reader, root, &Shape::Table(&CLUSTER));
        check(reader, root);
        places(root, String::new(), &mut found);
        if let Some(json) = &mut json
            && !json["template"].is_null()
        {
            let template = json["template"].take();
            json["template"] =
                if template.is_number() { json!({"vmid": template}) } else { json!({"named": template}) };
        }
        json
    })?;
    cluster.places = found;
    Ok(cluster)
}

fn check(reader: &mut Reader<'_>, root: &Node) {
    let stem = reader.source.stem().to_owned();
    if let Some(node) = root.get("name").filter(|n| n.as_str().is_some_and(|name| name != stem)) {
        let name = node.as_str().unwrap_or_default();
        reader
            .error(code::NAME, node.span, format!("the file is called `{stem}`, the cluster `{name}`"))
            .help(format!("write name: {stem}, or call the file {name}.yaml"));
    }
    if root.get("type").and_then(Node::as_str) == Some("talos") && root.get("talos").is_none() {
        let span = root.get("type").map_or(root.span, |n| n.span);
        reader
            .error(code::MISSING_KEY, span, "a cluster of type talos needs the key `talos`")
            .help("talos: {version: \"1.11.2\"}");
    }
}

fn places(node: &Node, path: String, found: &mut BTreeMap<String, Place>) {
    for (key, node) in node.entries() {
        places(node, join(&path, &key.value), found);
    }
    for (i, item) in node.items().iter().enumerate() {
        places(item, join(&path, &i.to_string()), found);
    }
    if !matches!(node.value, yaml::Value::Invalid) {
        found.insert(path, node.span.place());
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}
