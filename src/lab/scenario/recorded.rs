//! The site of a real four-node cluster as far as captured bodies tell it; the bodies are kept unmodified beside
//! this file. They come from luthermonson/go-proxmox (Apache-2.0), tests/mocks. What no body tells gets the most
//! ordinary value: bridges, disks' names, addresses of guests.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AgentSpec, GuestSpec, HaSpec, NodeSpec, Scenario, ScenarioError, StorageSpec};
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};

const RESOURCES: &str = include_str!("recorded/gp-cluster-resources.json");
const STATUS: &str = include_str!("recorded/gp-cluster-status.json");
const NODE_STATUS: &str = include_str!("recorded/gp-node-status.json");
const GIB: f64 = 1_073_741_824.0;

/// Builds the site from the bodies.
///
/// # Errors
/// A body that does not say what this file takes from it.
pub(super) fn scenario() -> Result<Scenario, ScenarioError> {
    build().map_err(|problem| ScenarioError::Malformed { name: "recorded".into(), problem })
}

fn build() -> Result<Scenario, String> {
    let resources = rows(RESOURCES)?;
    let status = rows(STATUS)?;
    let cpuinfo = body(NODE_STATUS)?["cpuinfo"].clone();
    let of = |kind: &'static str| resources.iter().filter(move |row| row["type"] == kind);
    let mut nodes = Vec::new();
    for row in of("node") {
        nodes.push(node(row, &status, &cpuinfo)?);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut guests = Vec::new();
    for row in of("qemu") {
        guests.push(guest(row)?);
    }
    let cluster = status.iter().find(|row| row["type"] == "cluster").ok_or("no cluster row in the cluster status")?;
    Ok(Scenario {
        tasks: Vec::new(),
        backups: Vec::new(),
        site: text(cluster, "name")?,
        about: "a real four-node cluster from recorded bodies, anonymised".into(),
        nodes,
        storages: storages(of("storage"))?,
        guests,
        ha: HaSpec::default(),
        kubernetes: Default::default(),
        acme: Default::default(),
        datacenter: BTreeMap::new(),
        mappings: BTreeMap::new(),
        pools: BTreeMap::new(),
        fleet: None,
    })
}

fn node(row: &Value, status: &[Value], cpuinfo: &Value) -> Result<NodeSpec, String> {
    let name = text(row, "node")?;
    let ip = status.iter().find(|other| other["type"] == "node" && other["name"] == name.as_str());
    Ok(NodeSpec {
        version: "8.4.2".into(),
        memory_gib: number(row, "maxmem")? / GIB,
        threads: number(row, "maxcpu")? as u32,
        cpu_model: text(cpuinfo, "model")?,
        cpu_flags: text(cpuinfo, "flags")?,
        ip: ip.map(|other| text(other, "ip")).transpose()?,
        bridges: super::ordinary_bridges(),
        root_gib: number(row, "maxdisk")? / GIB,
        config: BTreeMap::new(),
        certificate: None,
        name: NodeName::new(name),
    })
}

fn guest(row: &Value) -> Result<GuestSpec, String> {
    let mib = (number(row, "maxdisk")? / 1_048_576.0).ceil() as u64;
    let template = row["template"] == 1;
    let id = Vmid(number(row, "vmid")? as u32);
    let disk = format!("local-zfs:{}-{id}-disk-0,size={mib}M", if template { "base" } else { "vm" });
    Ok(GuestSpec {
        id,
        node: NodeName::new(text(row, "node")?),
        kind: GuestKind::Qemu,
        // A name with a space cannot be set today; the recorded row has one all the same.
        name: text(row, "name")?.replace(' ', "-"),
        running: row["status"] == "running",
        memory_mib: (number(row, "maxmem")? / 1_048_576.0) as u64,
        cores: number(row, "maxcpu")? as u32,
        disk,
        tags: row["tags"].as_str().unwrap_or_default().to_owned(),
        mac: None,
        ip: None,
        agent: AgentSpec::default(),
        inside: Vec::new(),
        pool: None,
        snapshots: Vec::new(),
        config: if template { BTreeMap::from([("template".into(), "1".into())]) } else { BTreeMap::new() },
        shutdown_seconds: None,
    })
}

/// One definition per storage id: the recorded rows are one per node, each with a size of its own.
fn storages<'a>(rows: impl Iterator<Item = &'a Value>) -> Result<Vec<StorageSpec>, String> {
    let mut found: BTreeMap<String, StorageSpec> = BTreeMap::new();
    for row in rows {
        let (id, size) = (text(row, "storage")?, number(row, "maxdisk")? / GIB);
        let plugin = text(row, "plugintype")?;
        let entry = found.entry(id.clone()).or_insert(StorageSpec {
            options: match plugin.as_str() {
                "zfspool" => BTreeMap::from([("pool".into(), "rpool/data".into())]),
                _ => BTreeMap::from([("path".into(), "/var/lib/vz".into())]),
            },
            id: StorageId::new(id),
            plugin,
            shared: row["shared"] == 1,
            content: text(row, "content")?,
            nodes: Vec::new(),
            size_gib: size,
            node_sizes_gib: BTreeMap::new(),
            used_gib: 0.0,
            files: BTreeMap::new(),
        });
        entry.node_sizes_gib.insert(NodeName::new(text(row, "node")?), size);
        if entry.plugin == "dir" {
            entry.used_gib = entry.used_gib.max(number(row, "disk")? / GIB);
        }
    }
    Ok(found.into_values().collect())
}

fn body(json: &str) -> Result<Value, String> {
    let mut value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    Ok(value["data"].take())
}

fn rows(json: &str) -> Result<Vec<Value>, String> {
    match body(json)? {
        Value::Array(rows) => Ok(rows),
        other => Err(format!("a list of rows was expected, not {other}")),
    }
}

fn text(row: &Value, key: &str) -> Result<String, String> {
    row[key].as_str().map(str::to_owned).ok_or_else(|| format!("no text {key:?} in {row}"))
}

fn number(row: &Value, key: &str) -> Result<f64, String> {
    row[key].as_f64().ok_or_else(|| format!("no number {key:?} in {row}"))
}
