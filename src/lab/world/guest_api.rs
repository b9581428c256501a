//! Guests as their node shows them: lists, status, snapshots. Always the state of now.

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
