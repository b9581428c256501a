//! A guest: its configuration, where it is, whether it runs. Makes new ones from a scenario's words.

use std::collections::BTreeMap;

use serde_json::json;

use super::World;
use super::config::{self, Config};
use super::rng::Rng;
use super::task::TaskKey;
use crate::lab::call::{Call, PveError};
use crate::lab::scenario::{AgentSpec, GuestSpec, InsideSpec};
use crate::model::ids::{GuestKind, NodeName, Vmid};

#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub vmid: Vmid,
    pub kind: GuestKind,
    pub node: NodeName,
    pub config: Config,
    /// Changes that wait for the next start; nothing means that the key goes.
    pub pending: BTreeMap<String, Option<String>>,
    pub snapshots: Vec<Snapshot>,
    pub run: Option<Run>,
    pub pool: Option<String>,
    /// The address that its agent, or the container, reports.
    pub ip: Option<String>,
    pub agent: AgentSpec,
    /// The interfaces that it reports, where they are not one for each card.
    pub inside: Vec<InsideSpec>,
    /// How long a clean shutdown takes, milliseconds.
    pub shutdown_ms: u64,
    /// The task that holds the configuration's lock file (a waiting shutdown does).
    pub held_by: Option<TaskKey>,
    pub load: Load,
}

#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub name: String,
    pub parent: Option<String>,
    /// Seconds since 1970.
    pub time: i64,
    pub description: String,
    /// Whether memory is in it.
    pub vmstate: bool,
    /// The configuration of that time.
    pub config: Config,
}

/// A running guest.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// When it started, world milliseconds; before the world began if negative.
    pub since: i64,
    pub pid: u32,
    pub machine: String,
    pub qemu: String,
    /// It stands still.
    pub paused: bool,
}

/// What it uses at present, as shares of what it has.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    pub cpu: f64,
    pub memory: f64,
    pub disk_read: u64,
    pub disk_write: u64,
    pub net_in: u64,
    pub net_out: u64,
}

impl Guest {
    pub fn name(&self) -> String {
        let key = if self.kind == GuestKind::Qemu { "name" } else { "hostname" };
        self.config.get(key).map_or_else(|| format!("VM {}", self.vmid), str::to_owned)
    }

    /// Configured memory, bytes.
    pub fn memory(&self) -> u64 {
        let text = self.config.get("memory").unwrap_or("512");
        let mib: u64 = config::option(text, "current").unwrap_or(text).parse().unwrap_or(512);
        mib << 20
    }

    pub fn cpus(&self) -> u64 {
        let cores = self.config.number("cores").unwrap_or(1);
        cores * if self.kind == GuestKind::Qemu { self.config.number("sockets").unwrap_or(1) } else { 1 }
    }

    pub fn is_template(&self) -> bool {
        self.config.flag("template")
    }

    pub fn running(&self) -> bool {
        self.run.is_some()
    }

    pub fn status(&self) -> &'static str {
        if self.running() { "running" } else { "stopped" }
    }

    pub fn paused(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.paused)
    }

    /// The state in QEMU's own words.
    pub fn qmp_status(&self) -> &'static str {
        if self.paused() { "paused" } else { self.status() }
    }

    /// That a change was made from the configuration as it is.
    pub fn check_digest(&self, digest: Option<&str>) -> Result<(), PveError> {
        if digest.is_none_or(|digest| digest == self.digest()) {
            return Ok(());
        }
        Err(PveError::die(match self.kind {
            GuestKind::Qemu => "checksum mismatch (file change by other user?)",
            GuestKind::Lxc => "detected modified configuration - file changed by other user? Try again.",
        }))
    }

    /// Bytes of the boot disk, which is what lists call `maxdisk`.
    pub fn max_disk(&self) -> u64 {
        let boots = |key: &str| match self.kind {
            GuestKind::Lxc => key == "rootfs",
            GuestKind::Qemu => !matches!(key, "efidisk0" | "tpmstate0"),
        };
        let mut disks = self.config.disk_lines();
        disks.find(|disk| boots(disk.key) && !disk.cdrom && !disk.unused()).map_or(0, |disk| disk.size)
    }

    pub fn sid(&self) -> String {
        format!("{}:{}", self.kind.ha_prefix(), self.vmid)
    }

    pub fn uuid(&self) -> Option<&str> {
        config::option(self.config.get("smbios1")?, "uuid")
    }

    /// `VM is locked (backup)`, or nothing.
    pub fn check_lock(&self) -> Result<(), PveError> {
        let what = if self.kind == GuestKind::Qemu { "VM" } else { "CT" };
        match self.config.get("lock") {
            Some(lock) => Err(PveError::die(format!("{what} is locked ({lock})"))),
            None => Ok(()),
        }
    }

    pub fn uptime(&self, now: u64) -> i64 {
        self.run.as_ref().map_or(0, |run| (now as i64 - run.since) / 1000)
    }

    /// Whether a guest agent is configured (not whether it answers).
    pub fn has_agent(&self) -> bool {
        self.config
            .get("agent")
            .is_some_and(|text| text.starts_with('1') || config::option(text, "enabled") == Some("1"))
    }
}

impl World {
    /// The guest that a call's path names, on the node that the path names.
    pub(super) fn guest_of(&self, call: &Call) -> Result<&Guest, PveError> {
        let kind = if call.template.contains("/lxc/") { GuestKind::Lxc } else { GuestKind::Qemu };
        let node = call.path.get("node").map(String::as_str).unwrap_or_default();
        let text = call.path.get("vmid").map(String::as_str).unwrap_or_default();
        let found = text.parse::<Vmid>().ok().and_then(|vmid| self.guests.get(&vmid));
        found.filter(|guest| guest.kind == kind && guest.node.as_str() == node).ok_or_else(|| {
            let folder = if kind == GuestKind::Qemu { "qemu-server" } else { "lxc" };
            PveError::die(format!("Configuration file 'nodes/{node}/{folder}/{text}.conf' does not exist"))
        })
    }

    /// What QEMU a node runs: the machine version that a guest started there gets, and QEMU's own.
    pub(super) fn qemu_of(&self, node: &NodeName) -> (&'static str, &'static str) {
        if self.version(node).starts_with('8') { ("pc-q35-9.2+pve1", "9.2.0") } else { ("pc-q35-10.1+pve0", "10.1.2") }
    }

    /// Turns a guest on at once; whoever calls has checked that it can be.
    pub(super) fn power_on(&mut self, vmid: Vmid) {
        let pid = 100_000 + (self.rng.next() % 3_000_000) as u32;
        let since = self.now as i64;
        let Some(node) = self.guests.get(&vmid).map(|guest| guest.node.clone()) else { return };
        let (machine, qemu) = self.qemu_of(&node);
        if let Some(guest) = self.guests.get_mut(&vmid) {
            guest.settle_pending();
            guest.wake();
            guest.run = Some(Run { since, pid, machine: machine.into(), qemu: qemu.into(), paused: false });
        }
        self.machine_power(vmid, true);
    }

    pub(super) fn power_off(&mut self, vmid: Vmid) {
        if let Some(guest) = self.guests.get_mut(&vmid) {
            guest.run = None;
        }
        self.machine_power(vmid, false);
    }

    /// The ACL path and privilege by which list rows are filtered.
    pub(super) fn may_see(&self, call: &Call, guest: &Guest) -> bool {
        call.privileges.may(&format!("/vms/{}", guest.vmid), "VM.Audit")
    }
}

/// A guest from a scenario's words; `plugin` tells a storage's kind.
pub(super) fn from_spec(spec: &GuestSpec, plugin: impl Fn(&str) -> String, rng: &mut Rng, now: i64) -> Guest {
    let mut config = match spec.kind {
        GuestKind::Qemu => vm_config(spec, &plugin, rng, now),
        GuestKind::Lxc => container_config(spec, &plugin, rng),
    };
    for (key, value) in &spec.config {
        if value.is_empty() { config.remove(key) } else { config.set(key, value.clone()) }
    }
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for name in &spec.snapshots {
        let parent = snapshots.last().map(|last| last.name.clone());
        let (description, config) = (String::new(), config.of_snapshot());
        snapshots.push(Snapshot {
            name: name.clone(),
            parent,
            time: now - 86_400,
            description,
            vmstate: false,
            config,
        });
    }
    if let Some(last) = snapshots.last() {
        config.set("parent", last.name.clone());
    }
    Guest {
        vmid: spec.id,
        kind: spec.kind,
        node: spec.node.clone(),
        config,
        pending: BTreeMap::new(),
        snapshots,
        run: None,
        pool: spec.pool.clone(),
        ip: spec.ip.clone(),
        agent: spec.agent,
        inside: spec.inside.clone(),
        shutdown_ms: spec.shutdown_seconds.unwrap_or(if spec.kind == GuestKind::Qemu { 8 } else { 4 }) * 1000,
        held_by: None,
        load: Load { cpu: 0.02, memory: 0.45 + 0.3 * rng.fraction(), ..Load::default() },
    }
}

fn vm_config(spec: &GuestSpec, plugin: &impl Fn(&str) -> String, rng: &mut Rng, now: i64) -> Config {
    let mut config = Config::default();
    let mac = spec.mac.clone().unwrap_or_else(|| rng.mac());
    for (key, value) in [
        ("name", spec.name.clone()),
        ("memory", spec.memory_mib.to_string()),
        ("cores", spec.cores.to_string()),
        ("sockets", "1".into()),
        ("cpu", "x86-64-v2-AES".into()),
        ("machine", "q35".into()),
        ("ostype", "l26".into()),
        ("scsihw", "virtio-scsi-pci".into()),
        ("agent", "1".into()),
        ("numa", "0".into()),
        ("net0", format!("virtio={mac},bridge=vmbr0")),
        ("smbios1", format!("uuid={}", rng.uuid())),
        ("vmgenid", rng.uuid()),
        ("meta", format!("creation-qemu=10.0.2,ctime={}", now - 8_640_000)),
    ] {
        config.set(key, value);
    }
    if !spec.tags.is_empty() {
        config.set("tags", spec.tags.clone());
    }
    if !spec.disk.is_empty() {
        config.set("boot", "order=scsi0;net0");
        config.set("scsi0", first_disk(spec, plugin, "discard=on,iothread=1,"));
    }
    config
}

fn container_config(spec: &GuestSpec, plugin: &impl Fn(&str) -> String, rng: &mut Rng) -> Config {
    let mut config = Config::default();
    let mac = spec.mac.clone().unwrap_or_else(|| rng.mac());
    let address = spec.ip.as_ref().map_or_else(|| "dhcp".into(), |ip| format!("{ip}/24"));
    for (key, value) in [
        ("hostname", spec.name.clone()),
        ("memory", spec.memory_mib.to_string()),
        ("swap", "512".into()),
        ("cores", spec.cores.to_string()),
        ("arch", "amd64".into()),
        ("ostype", "debian".into()),
        ("unprivileged", "1".into()),
        ("features", "nesting=1".into()),
        ("net0", format!("name=eth0,bridge=vmbr0,hwaddr={mac},ip={address},type=veth")),
    ] {
        config.set(key, value);
    }
    if !spec.tags.is_empty() {
        config.set("tags", spec.tags.clone());
    }
    if !spec.disk.is_empty() {
        config.set("rootfs", first_disk(spec, plugin, ""));
    }
    config
}

/// `ceph-vm:32` becomes a named volume of that size; a text with a comma is taken as it is.
fn first_disk(spec: &GuestSpec, plugin: &impl Fn(&str) -> String, options: &str) -> String {
    match spec.disk.split_once(':') {
        Some((storage, size)) if size.bytes().all(|b| b.is_ascii_digit()) => {
            let name = config::volume_name(&plugin(storage), spec.kind, spec.id, 0);
            format!("{storage}:{name},{options}size={size}G")
        }
        _ => spec.disk.clone(),
    }
}

/// What `status/current` and lists say of a guest's snapshots.
pub(super) fn snapshot_rows(guest: &Guest) -> serde_json::Value {
    let mut rows: Vec<serde_json::Value> = Vec::new();
    for snapshot in &guest.snapshots {
        let mut row = json!({"name": snapshot.name, "description": snapshot.description, "snaptime": snapshot.time});
        if let Some(parent) = &snapshot.parent {
            row["parent"] = json!(parent);
        }
        if guest.kind == GuestKind::Qemu {
            row["vmstate"] = json!(u8::from(snapshot.vmstate));
        }
        rows.push(row);
    }
    let mut current = json!({"name": "current", "description": "You are here!", "digest": guest.digest(),
        "running": u8::from(guest.running())});
    if let Some(parent) = guest.config.get("parent") {
        current["parent"] = json!(parent);
    }
    rows.push(current);
    json!(rows)
}
