//! What a node says of itself: version, status, networks, what its QEMU can do.

use serde_json::{Value, json};

use super::clock::Event;
use super::node::{HOST_MEMORY, Node, REBOOT_MS};
use super::{World, broadcast};
use crate::lab::call::{Call, PveError, Reply};

/// `/version` of the node asked, `/nodes/{node}/version` of the one named.
pub(super) fn version(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let version = match call.path.get("node") {
        Some(_) => world.node_of(call)?.1.version.clone(),
        None => world.version(&call.via).to_owned(),
    };
    let release = version.rsplit_once('.').map_or(version.as_str(), |(release, _)| release);
    Ok(Reply::read(json!({"version": version, "release": release, "repoid": repo_id(&version)})))
}

fn repo_id(version: &str) -> &'static str {
    if version.starts_with('8') { "f4ce0ab8b1c1fb9a" } else { "bfbc2a4e65b2df9b" }
}

pub(super) fn time(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    world.node_of(call)?;
    let now = world.seconds();
    Ok(Reply::read(json!({"time": now, "localtime": now, "timezone": "UTC"})))
}

/// Reboots: the node's services end a moment after the answer. Source: PVE::API2::Nodes `node_cmd`.
pub(super) fn command(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, _) = world.node_of(call)?;
    if call.params.get("command").map(String::as_str) != Some("reboot") {
        return Err(PveError::status(501, "this lab's nodes are not shut down by a call"));
    }
    world.after(REBOOT_MS[0], Event::Power(name, false));
    Ok(Reply::changed(Value::Null))
}

/// One package waits on every node of the 9 series.
pub(super) fn updates(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (_, node) = world.node_of(call)?;
    let rows = json!([{"Package": "pve-manager", "Title": "Proxmox Virtual Environment Management Tools",
        "Description": "This package contains the Proxmox Virtual Environment management tools.", "Origin": "Proxmox",
        "Version": "9.2.4", "OldVersion": node.version, "Priority": "optional", "Section": "admin", "Arch": "all"}]);
    Ok(Reply::read(if node.is_nine() { rows } else { json!([]) }))
}

pub(super) fn status(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, node) = world.node_of(call)?;
    let (cpu, guests) = broadcast::node_loads(world).get(&name).copied().unwrap_or_default();
    let used = (HOST_MEMORY + guests).min(node.memory);
    let free = node.memory - used;
    let load = (cpu / f64::from(node.threads)).min(1.0);
    let average = format!("{:.2}", cpu);
    let kernel = if node.is_nine() { "6.17.2-1-pve" } else { "6.8.12-10-pve" };
    Ok(Reply::read(json!({
        "cpu": (node.cpu + load).min(1.0),
        "wait": 0,
        "idle": 0,
        "uptime": (world.now as i64 - node.since) / 1000,
        "loadavg": [average, average, average],
        "memory": {"total": node.memory, "used": used, "free": free, "available": free},
        "swap": {"total": 8_589_930_496_u64, "used": 0, "free": 8_589_930_496_u64},
        "rootfs": {"total": node.root, "used": node.root / 8, "avail": node.root - node.root / 8,
            "free": node.root - node.root / 8},
        "ksm": {"shared": 0},
        "cpuinfo": cpuinfo(node),
        "kversion": format!("Linux {kernel} #1 SMP PREEMPT_DYNAMIC PMX"),
        "current-kernel": {"sysname": "Linux", "release": kernel, "version": "#1 SMP PREEMPT_DYNAMIC PMX",
            "machine": "x86_64"},
        "boot-info": {"mode": "efi", "secureboot": 0},
        "pveversion": format!("pve-manager/{}/{}", node.version, repo_id(&node.version)),
    })))
}

fn cpuinfo(node: &Node) -> Value {
    json!({"model": node.cpu_model, "cpus": node.threads, "cores": node.threads / 2, "sockets": 1, "mhz": "3000.000",
        "hvm": "1", "user_hz": 100, "flags": node.cpu_flags})
}

/// Interfaces of the node; `type=any_bridge` and the like ask for a part.
pub(super) fn network(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (_, node) = world.node_of(call)?;
    let wanted = call.params.get("type").map(String::as_str);
    let bridges = matches!(wanted, None | Some("bridge" | "any_bridge" | "any_local_bridge" | "include_sdn"));
    let mut rows = Vec::new();
    if matches!(wanted, None | Some("eth" | "include_sdn")) {
        for (n, _) in node.bridges.iter().enumerate() {
            rows.push(
                json!({"iface": format!("eno{}", n + 1), "type": "eth", "active": 1, "exists": 1, "method": "manual",
                "method6": "manual", "priority": 3 + n, "families": ["inet"]}),
            );
        }
    }
    for (n, bridge) in node.bridges.iter().enumerate().filter(|_| bridges) {
        let mut row = json!({"iface": bridge, "type": "bridge", "active": 1, "autostart": 1, "bridge_fd": "0",
            "bridge_ports": format!("eno{}", n + 1), "bridge_stp": "off", "bridge_vlan_aware": 1,
            "bridge_vids": "2-4094", "families": ["inet"], "method": "manual", "method6": "manual",
            "priority": 10 + n});
        if n == 0 {
            row["method"] = json!("static");
            row["address"] = json!(node.ip);
            row["netmask"] = json!("24");
            row["cidr"] = json!(format!("{}/24", node.ip));
            row["gateway"] = json!("10.0.0.1");
        }
        rows.push(row);
    }
    Ok(Reply::read(json!(rows)))
}

/// Machine versions that the node's QEMU knows, newest first.
pub(super) fn machines(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    const VERSIONS: [&str; 11] = ["10.1", "10.0", "9.2+pve1", "9.2", "9.1", "9.0", "8.2", "8.1", "8.0", "7.2", "7.1"];
    let (_, node) = world.node_of(call)?;
    let known = if node.is_nine() { &VERSIONS[..] } else { &VERSIONS[2..] };
    let mut rows: Vec<Value> = Vec::new();
    for (kind, stem) in [("i440fx", "pc-i440fx"), ("q35", "pc-q35")] {
        for version in known {
            let text = if version.contains('+') { (*version).to_owned() } else { format!("{version}+pve0") };
            rows.push(json!({"id": format!("{stem}-{text}"), "type": kind, "version": text}));
            if !version.contains('+') {
                rows.push(json!({"id": format!("{stem}-{version}"), "type": kind, "version": version}));
            }
        }
    }
    Ok(Reply::read(json!(rows)))
}

/// Each flag of any node with the nodes that have it.
pub(super) fn cpu_flags(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    world.node_of(call)?;
    let mut flags: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
    for (name, node) in world.nodes.iter().filter(|(_, node)| node.up) {
        for flag in node.cpu_flags.split_whitespace() {
            flags.entry(flag).or_default().push(name.as_str());
        }
    }
    let rows = flags.iter().map(|(flag, nodes)| json!({"name": flag, "supported-on": nodes}));
    Ok(Reply::read(rows.collect()))
}

pub(super) fn migration(_: &mut World, _: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(json!({"has-dbus-vmstate": 1})))
}
