//! What the planner needs of a guest: its configuration, its status and Proxmox's own precondition.

use std::collections::{BTreeMap, BTreeSet};

use super::ProxmoxSource;
use super::guest::{cores, disk, is_disk, is_numbered, memory};
use super::node_facts::plain_machine;
use crate::actions::proxmox::failures;
use crate::actions::proxmox::property::Property;
use crate::clients::proxmox::{GuestConfig, GuestRow, GuestStatus, MigratePrecondition, ProxmoxError};
use crate::model::failure::Failure;
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::placement::evacuation::facts::{
    DiskFacts, GuestFacts, KnownPrecondition, MappedDevice, NotAllowed, Precondition,
};

/// A guest elsewhere: the load that its node bears. A status that is not known counts as running.
pub(super) fn from_row(row: &GuestRow) -> GuestFacts {
    GuestFacts {
        vmid: row.vmid,
        kind: row.kind,
        name: row.name.clone().unwrap_or_default(),
        node: row.node.clone(),
        running: row.status != "stopped" && !row.template,
        template: row.template,
        memory: row.maxmem.unwrap_or_default(),
        balloon: None,
        vcpus: row.maxcpu.map_or(0, |n| n.ceil() as u32),
        tags: row.tags.iter().cloned().collect(),
        pool: row.pool.clone(),
        lock: row.lock.clone(),
        disks: Vec::new(),
        bridges: BTreeSet::new(),
        snapshots: false,
        passthrough: Vec::new(),
        mapped: Vec::new(),
        cpu_type: None,
        machine: None,
        startup_order: None,
        onboot: false,
        ha: None,
        precondition: None,
    }
}

/// All that was read of a guest.
pub struct Reads {
    pub row: GuestRow,
    pub config: GuestConfig,
    pub status: GuestStatus,
    pub snapshots: bool,
    pub precondition: Precondition,
    /// Sizes and live-migration of devices, where Proxmox's precondition said.
    pub sizes: BTreeMap<String, u64>,
    pub not_live: Vec<String>,
}

/// The facts about a guest of the node that is emptied. Its HA state is laid over by the caller.
pub fn guest_facts(reads: &Reads) -> GuestFacts {
    let (config, kind) = (&reads.config, reads.row.kind);
    let memory = memory(config);
    let balloon = config.get("balloon").and_then(|b| b.parse::<u64>().ok()).map(|mib| mib << 20);
    let property = |key: &str| config.get(key).map(Property::parse);
    let order = property("startup").and_then(|s| s.get("order").and_then(|n| n.parse().ok()));
    let (passthrough, mapped) = devices(reads);
    GuestFacts {
        name: config.get("name").or(config.get("hostname")).map_or(from_row(&reads.row).name, ToOwned::to_owned),
        running: reads.status.is_running(),
        template: config.get("template") == Some("1"),
        memory,
        balloon: balloon.filter(|floor| kind == GuestKind::Qemu && *floor > 0 && *floor < memory),
        vcpus: cores(kind, config).or(reads.row.maxcpu.map(|n| n.ceil() as u64)).unwrap_or(1) as u32,
        lock: reads.status.lock.clone().or_else(|| config.get("lock").map(ToOwned::to_owned)),
        disks: disks(reads),
        bridges: bridges(config),
        snapshots: reads.snapshots,
        passthrough,
        mapped,
        cpu_type: property("cpu").and_then(|p| p.main(&["cputype"]).map(ToOwned::to_owned)),
        machine: reads.status.running_machine.as_deref().map(plain_machine),
        startup_order: order,
        onboot: config.get("onboot") == Some("1"),
        precondition: Some(reads.precondition.clone()),
        ..from_row(&reads.row)
    }
}

fn bridges(config: &GuestConfig) -> BTreeSet<String> {
    let nets = config.values.iter().filter(|(key, _)| is_numbered(key, &["net"]));
    nets.filter_map(|(_, text)| Property::parse(text).get("bridge").map(ToOwned::to_owned)).collect()
}

fn disks(reads: &Reads) -> Vec<DiskFacts> {
    let volumes = reads.config.values.iter().filter(|(key, _)| is_disk(reads.row.kind, key));
    let each = volumes.map(|(key, text)| {
        let disk = disk(text);
        DiskFacts {
            key: key.clone(),
            storage: disk.storage.unwrap_or_else(|| "".into()),
            bytes: disk.bytes.or_else(|| reads.sizes.get(&disk.volid).copied()).unwrap_or_default(),
            cdrom: disk.cdrom,
            cloudinit: disk.cdrom && disk.volid.contains("cloudinit"),
            linked_clone_of: base_of(&disk.volid),
            shared_mount: Property::parse(text).flag("shared"),
            volid: disk.volid,
        }
    });
    each.collect()
}

/// The base volume of a linked clone: `s:base-9000-disk-0/vm-101-disk-0`, in directories
/// `s:9000/base-9000-disk-0.qcow2/101/vm-101-disk-0.qcow2`.
fn base_of(volid: &str) -> Option<String> {
    let (storage, path) = volid.split_once(':')?;
    let segments: Vec<&str> = path.split('/').collect();
    let base = segments.iter().rposition(|s| s.starts_with("base-")).filter(|i| i + 1 < segments.len())?;
    Some(format!("{storage}:{}", segments[..=base].join("/")))
}

/// Raw devices of the node by key, and mapped ones. Source: qemu-server `check_local_resources`.
fn devices(reads: &Reads) -> (Vec<String>, Vec<MappedDevice>) {
    let (mut raw, mut mapped) = (Vec::new(), Vec::new());
    if reads.row.kind == GuestKind::Lxc {
        let devices = reads.config.values.keys().filter(|key| is_numbered(key, &["dev"]));
        return (devices.cloned().collect(), mapped);
    }
    for (key, text) in &reads.config.values {
        let property = Property::parse(text);
        let is_local = match key.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "serial" => property.head.as_deref() != Some("socket"),
            "usb" => property.main(&["host"]) != Some("spice"),
            "hostpci" | "parallel" | "virtiofs" => true,
            "ivshmem" => true,
            _ => continue,
        };
        if property.get("mapping").is_some() || property.get("dirid").is_some() {
            mapped.push(MappedDevice { name: key.clone(), live: !reads.not_live.contains(key), nodes: None });
        } else if is_local {
            raw.push(key.clone());
        }
    }
    (raw, mapped)
}

fn known(answer: &MigratePrecondition) -> KnownPrecondition {
    let not_allowed = answer.not_allowed_nodes.iter().map(|(node, why)| {
        let devices = why.unavailable_resources.iter().map(|r| format!("{r} is unavailable there"));
        let ha = why.blocking_ha_resources.iter().map(|b| {
            format!("HA resource {} is in the way ({})", b.sid, b.cause.as_deref().unwrap_or("no cause given"))
        });
        let reasons = devices.chain(ha).collect();
        (node.clone(), NotAllowed { unavailable_storages: why.unavailable_storages.iter().cloned().collect(), reasons })
    });
    let allowed: BTreeSet<NodeName> = answer.allowed_nodes.iter().cloned().collect();
    KnownPrecondition {
        allowed_nodes: Some(allowed),
        not_allowed: not_allowed.collect(),
        local_disks: answer.local_disks.iter().map(|d| d.volid.clone()).collect(),
        local_resources: answer.local_resources.clone(),
    }
}

/// A refusal to say is no refusal to move: the plan is made without, and says so.
fn precondition(
    we: &str,
    vmid: Vmid,
    answer: Result<Option<MigratePrecondition>, ProxmoxError>,
) -> Result<(Precondition, Option<MigratePrecondition>), ProxmoxError> {
    match answer {
        Ok(Some(answer)) => Ok((Precondition::Known(known(&answer)), Some(answer))),
        Ok(None) => Ok((Precondition::Unknown("Proxmox VE before 9.0 cannot be asked about containers".into()), None)),
        Err(ProxmoxError::Forbidden { acl_path, privilege, .. }) => {
            let path = if acl_path.is_empty() { format!("/vms/{vmid}") } else { acl_path };
            let privilege = if privilege.is_empty() { "VM.Migrate".to_owned() } else { privilege };
            Ok((Precondition::Unknown(failures::lacks(we, &privilege, &path)), None))
        }
        Err(ProxmoxError::Locked { message, .. }) => Ok((Precondition::Unknown(message), None)),
        Err(error) => Err(error),
    }
}

impl ProxmoxSource {
    /// `None` when it is not on that node any more.
    pub(super) async fn facts_of(&self, row: GuestRow) -> Result<Option<GuestFacts>, Failure> {
        let (node, kind, vmid) = (row.node.clone(), row.kind, row.vmid);
        let config = self.site.guest_config(&node, kind, vmid, false);
        let status = self.site.guest_status(&node, kind, vmid);
        let snapshots = self.site.snapshots(&node, kind, vmid);
        let read = tokio::try_join!(config, status, snapshots);
        let asked = self.site.migrate_precondition(&node, kind, vmid).await;
        let we = self.we();
        let joined = read.and_then(|all| Ok((all, precondition(&we, vmid, asked)?)));
        let ((config, status, snapshots), (precondition, answer)) = match joined {
            Err(error) if error.is_not_found() => return Ok(None),
            joined => joined.map_err(self.failed(format!("read guest {vmid} on {node}")))?,
        };
        let answer = answer.unwrap_or_default();
        let sizes = answer.local_disks.iter().filter_map(|d| Some((d.volid.clone(), d.size?))).collect();
        let (snapshots, not_live) = (!snapshots.is_empty(), answer.mapped_not_live);
        Ok(Some(guest_facts(&Reads { row, config, status, snapshots, precondition, sizes, not_live })))
    }

    pub(super) async fn guest_evacuation(&self, vmid: Vmid) -> Result<Option<GuestFacts>, Failure> {
        let attempted = format!("look for guest {vmid}");
        if self.listing.is_some()
            && let Some(row) = self.listing().await.map_err(self.failed(attempted.clone()))?.guest(vmid)
            && let Some(facts) = self.facts_of(row.clone()).await?
        {
            return Ok(Some(facts));
        }
        let listing = self.listing_now().await.map_err(self.failed(attempted))?;
        match listing.guest(vmid) {
            Some(row) => self.facts_of(row.clone()).await,
            None => {
                self.must_see_guest(vmid).await?;
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(kind: GuestKind, pairs: &[(&str, &str)]) -> Reads {
        let row = GuestRow {
            vmid: Vmid(104),
            kind,
            node: "pve2".into(),
            status: "running".into(),
            name: Some("web".into()),
            template: false,
            tags: vec!["web".into()],
            pool: None,
            lock: None,
            hastate: None,
            cpu: None,
            maxcpu: Some(4.0),
            mem: None,
            maxmem: Some(8 << 30),
            memhost: None,
            disk: None,
            maxdisk: None,
            uptime: None,
        };
        let values = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let status = GuestStatus {
            status: "running".into(),
            qmpstatus: None,
            name: None,
            lock: None,
            agent: false,
            ha: Default::default(),
            template: false,
            tags: vec![],
            pid: None,
            uptime: None,
            cpu: None,
            cpus: None,
            mem: None,
            maxmem: None,
            maxdisk: None,
            running_qemu: None,
            running_machine: Some("pc-q35-9.2+pve1".into()),
        };
        Reads {
            row,
            config: GuestConfig { digest: None, values },
            status,
            snapshots: false,
            precondition: Precondition::Known(KnownPrecondition::default()),
            sizes: [("local-lvm:vm-104-disk-9".to_owned(), 7)].into(),
            not_live: vec!["hostpci1".into()],
        }
    }

    #[test]
    fn a_vm_becomes_facts() {
        let facts = guest_facts(&reads(
            GuestKind::Qemu,
            &[
                ("memory", "8192"),
                ("balloon", "2048"),
                ("cores", "4"),
                ("cpu", "host,flags=+aes"),
                ("scsi0", "local-lvm:base-9001-disk-0/vm-104-disk-0,size=16G"),
                ("ide2", "local-lvm:vm-104-cloudinit,media=cdrom,size=4M"),
                ("unused0", "local-lvm:vm-104-disk-9"),
                ("net0", "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0"),
                ("hostpci0", "0000:01:00.0,pcie=1"),
                ("hostpci1", "mapping=gpu0"),
                ("usb0", "spice"),
                ("serial0", "socket"),
                ("startup", "order=3,up=10"),
                ("onboot", "1"),
            ],
        ));
        assert_eq!((facts.memory, facts.balloon, facts.vcpus), (8 << 30, Some(2 << 30), 4));
        assert_eq!(facts.machine.as_deref(), Some("pc-q35-9.2"));
        assert_eq!((facts.cpu_type.as_deref(), facts.startup_order, facts.onboot), (Some("host"), Some(3), true));
        assert_eq!(facts.passthrough, ["hostpci0"]);
        assert_eq!(facts.mapped, [MappedDevice { name: "hostpci1".into(), live: false, nodes: None }]);
        let disk = |key: &str| facts.disks.iter().find(|d| d.key == key).unwrap();
        assert_eq!(disk("scsi0").linked_clone_of.as_deref(), Some("local-lvm:base-9001-disk-0"));
        assert!(disk("ide2").cloudinit && disk("unused0").bytes == 7);
        assert!(facts.bridges.contains("vmbr0"));
    }

    #[test]
    fn a_container_with_a_bind_mount_becomes_facts() {
        let facts = guest_facts(&reads(
            GuestKind::Lxc,
            &[
                ("rootfs", "local-lvm:vm-104-disk-0,size=8G"),
                ("mp0", "/srv/media,mp=/media,shared=1"),
                ("dev0", "/dev/x"),
            ],
        ));
        assert_eq!(facts.passthrough, ["dev0"]);
        let mount = facts.disks.iter().find(|d| d.key == "mp0").unwrap();
        assert!(mount.shared_mount && mount.volid == "/srv/media" && mount.storage.as_str().is_empty());
    }

    #[test]
    fn a_base_is_found_in_each_spelling() {
        assert_eq!(
            base_of("d:9000/base-9000-disk-0.qcow2/101/vm-101-disk-0.qcow2").unwrap(),
            "d:9000/base-9000-disk-0.qcow2"
        );
        assert_eq!(base_of("l:base-9000-disk-0"), None, "a base itself is no clone");
        assert_eq!(base_of("l:vm-1-disk-0"), None);
    }

    #[test]
    fn a_right_that_is_missing_leaves_the_plan_unverified() {
        let at = crate::clients::proxmox::At {
            verb: crate::clients::proxmox::Verb::Get,
            path: "/x".into(),
            node: "pve2".into(),
        };
        let forbidden = ProxmoxError::Forbidden {
            at: Box::new(at),
            acl_path: "/vms/104".into(),
            privilege: "VM.Migrate".into(),
            message: "Permission check failed (/vms/104, VM.Migrate)".into(),
        };
        let (got, _) = precondition("token ops@pve!t", Vmid(104), Err(forbidden)).unwrap();
        assert_eq!(got, Precondition::Unknown("token ops@pve!t lacks VM.Migrate on /vms/104".into()));
    }
}
