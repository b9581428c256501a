//! Guests as their node shows them: lists, status, snapshots, addresses. Always the state of now.

use serde_json::{Map, Value, json};

use super::guest::{Guest, Run};
use super::{World, broadcast, guest};
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::GuestKind;

pub(super) fn list(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, _) = world.node_of(call)?;
    let kind = if call.template.ends_with("/lxc") { GuestKind::Lxc } else { GuestKind::Qemu };
    let here = world.guests_on(&name).filter(|guest| guest.kind == kind && world.may_see(call, guest));
    Ok(Reply::read(here.map(|guest| Value::Object(row(world, guest))).collect()))
}

/// What lists and `status/current` have in common.
fn row(world: &World, guest: &Guest) -> Map<String, Value> {
    let mut row = broadcast::guest_figures(world, guest).row();
    row.insert("vmid".into(), json!(guest.vmid.0));
    if let Some(cpus) = row.remove("maxcpu") {
        row.insert("cpus".into(), cpus);
    }
    if !guest.is_template() {
        row.remove("template");
    }
    if guest.kind == GuestKind::Lxc {
        row.insert("type".into(), json!("lxc"));
        row.insert("swap".into(), json!(0));
        row.insert("maxswap".into(), json!(guest.config.number("swap").unwrap_or(512) << 20));
    }
    if let Some(run) = &guest.run {
        row.insert("pid".into(), json!(run.pid));
    }
    for key in ["lock", "tags"] {
        if let Some(value) = guest.config.get(key) {
            row.insert(key.into(), json!(value));
        }
    }
    row
}

pub(super) fn current(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    let mut out = row(world, guest);
    let sid = guest.sid();
    let mut ha = json!({"managed": u8::from(world.ha.manages(&sid))});
    if let Some(state) = world.ha.guest_state(&sid).filter(|_| world.ha.manages(&sid)) {
        ha["state"] = json!(state);
    }
    out.insert("ha".into(), ha);
    if guest.kind == GuestKind::Qemu {
        out.insert("qmpstatus".into(), json!(guest.qmp_status()));
        if guest.has_agent() {
            out.insert("agent".into(), json!(1));
        }
        if let Some(run) = &guest.run {
            running_vm(guest, run, &mut out);
        }
    }
    Ok(Reply::read(Value::Object(out)))
}

fn running_vm(guest: &Guest, run: &Run, out: &mut Map<String, Value>) {
    let memory = guest.memory();
    let used = broadcast::used_memory(guest);
    out.insert("running-machine".into(), json!(run.machine));
    out.insert("running-qemu".into(), json!(run.qemu));
    out.insert("balloon".into(), json!(memory));
    out.insert("freemem".into(), json!(memory - used));
    out.insert(
        "ballooninfo".into(),
        json!({"actual": memory, "max_mem": memory, "total_mem": memory, "free_mem": memory - used}),
    );
    let nets = guest.config.0.keys().filter_map(|key| key.strip_prefix("net"));
    let nics: Map<String, Value> = nets
        .map(|n| {
            let load = &guest.load;
            (format!("tap{}i{n}", guest.vmid), json!({"netin": load.net_in, "netout": load.net_out}))
        })
        .collect();
    out.insert("nics".into(), Value::Object(nics));
    let disks = guest.config.disks();
    let stats: Map<String, Value> = disks
        .iter()
        .filter(|disk| !disk.unused)
        .map(|disk| (disk.key.clone(), json!({"rd_bytes": guest.load.disk_read, "wr_bytes": guest.load.disk_write})))
        .collect();
    out.insert("blockstat".into(), Value::Object(stats));
    out.insert(
        "proxmox-support".into(),
        json!({"pbs-dirty-bitmap": true, "query-bitmap-info": true, "pbs-dirty-bitmap-migration": true}),
    );
}

pub(super) fn snapshots(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(guest::snapshot_rows(world.guest_of(call)?)))
}

/// The agent's own answer, or why there is none, in the server's order of checks.
pub(super) fn agent_interfaces(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    if !guest.has_agent() {
        return Err(PveError::die("No QEMU guest agent configured"));
    }
    if !guest.running() {
        return Err(PveError::die(format!("VM {} is not running", guest.vmid)));
    }
    let Some(ip) = &guest.ip else { return Err(PveError::die("QEMU guest agent is not running")) };
    let mac = mac_of(guest).to_lowercase();
    Ok(Reply::read(json!({"result": [
        {"name": "lo", "hardware-address": "00:00:00:00:00:00",
            "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}]},
        {"name": "eth0", "hardware-address": mac,
            "ip-addresses": [{"ip-address": ip, "ip-address-type": "ipv4", "prefix": 24}]},
    ]})))
}

/// `null` for a container that is off; on 8 without the newer keys.
pub(super) fn container_interfaces(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let guest = world.guest_of(call)?;
    if !guest.running() {
        return Ok(Reply::read(Value::Null));
    }
    let nine = world.nodes.get(&guest.node).is_some_and(super::node::Node::is_nine);
    let mac = mac_of(guest).to_lowercase();
    let addresses = [
        ("lo", "00:00:00:00:00:00", Some(("127.0.0.1", 8))),
        ("eth0", mac.as_str(), guest.ip.as_deref().map(|ip| (ip, 24))),
    ];
    let rows = addresses.into_iter().map(|(name, mac, address)| {
        let mut row = json!({"name": name, "hwaddr": mac});
        if let Some((ip, prefix)) = address {
            row["inet"] = json!(format!("{ip}/{prefix}"));
        }
        if nine {
            row["hardware-address"] = json!(mac);
            let list: Vec<Value> = address
                .iter()
                .map(|(ip, prefix)| json!({"ip-address": ip, "ip-address-type": "inet", "prefix": prefix}))
                .collect();
            row["ip-addresses"] = json!(list);
        }
        row
    });
    Ok(Reply::read(rows.collect()))
}

/// The address of the first network card: after the model in a VM's line, after `hwaddr` in a container's.
fn mac_of(guest: &Guest) -> &str {
    let line = guest.config.get("net0").unwrap_or_default();
    super::config::option(line, "hwaddr")
        .or_else(|| line.split(',').next().and_then(|first| first.split_once('=')).map(|(_, mac)| mac))
        .unwrap_or_default()
}
