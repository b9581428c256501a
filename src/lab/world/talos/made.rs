//! Machines that come and go: a clone of a Talos image comes up without a configuration, is given one, and joins; a destroyed
//! one is a member of etcd until somebody strikes it from the list.

use super::{Etcd, Ill, Image, Machine, Stage, World};
use crate::model::ids::{GuestKind, Vmid};

impl World {
    /// A guest was cloned: of a Talos image it is one itself, that has never been switched on.
    pub(in crate::lab::world) fn machine_cloned(&mut self, source: Vmid, new: Vmid) {
        let is_talos = self.guests.get(&source).is_some_and(|guest| {
            let tags = guest.config.get("tags").unwrap_or_default();
            guest.kind == GuestKind::Qemu && guest.is_template() && tags.split(';').any(|tag| tag == "talos")
        });
        if is_talos {
            self.machines.blank.insert(new);
        }
    }

    /// What its first boot makes of a clone.
    pub(super) fn machine_unpacked(&mut self, vmid: Vmid) {
        if !self.machines.blank.remove(&vmid) {
            return;
        }
        let image = Image::first();
        let machine = Machine {
            hostname: format!("talos-{vmid}"),
            address: self.static_address(vmid).unwrap_or_default(),
            cluster: String::new(),
            control_plane: false,
            version: image.version,
            schematic: image.schematic,
            extensions: image.extensions,
            other: None,
            other_next: false,
            kubernetes: String::new(),
            config: String::new(),
            staged: None,
            images: std::collections::BTreeSet::new(),
            stage: Stage::Dark,
            etcd: None,
            ills: std::collections::BTreeSet::new(),
            lines: Vec::new(),
            boots: 0,
            life: 0,
        };
        self.machines.all.insert(vmid, machine);
    }

    /// What nocloud finds on the cloud-init drive; by DHCP nobody would know it.
    fn static_address(&self, vmid: Vmid) -> Option<String> {
        let guest = self.guests.get(&vmid)?;
        if !guest.config.disks().iter().any(|disk| disk.cloudinit) {
            return None;
        }
        let line = guest.config.get("ipconfig0")?;
        let ip = line.split(',').find_map(|part| part.strip_prefix("ip="))?;
        Some(ip.split('/').next()?.to_owned()).filter(|ip| ip != "dhcp")
    }

    /// A machine without a configuration was given its first: it will be who that says it is. What was laid on that name follows
    /// it from a machine that is off.
    pub(in crate::lab) fn machine_given(&mut self, vmid: Vmid, text: &str) {
        let Some(name) = super::config::name_in(text) else { return };
        let is_off = |vmid: Vmid, one: &Machine| one.hostname == name && !self.is_answering(vmid);
        let off: Vec<Vmid> = self.machines().filter(|(own, one)| is_off(*own, one)).map(|(own, _)| own).collect();
        for old in off.into_iter().filter(|old| *old != vmid) {
            let ills = self.machine_mut(old).map(|one| std::mem::take(&mut one.ills)).unwrap_or_default();
            if let Some(machine) = self.machine_mut(vmid) {
                machine.ills.extend(ills.into_iter().filter(|ill| *ill != Ill::NoSystem));
            }
        }
    }

    /// Its guest is destroyed, and whoever it was in etcd stays on the list.
    pub(in crate::lab::world) fn machine_destroyed(&mut self, vmid: Vmid) {
        self.machines.blank.remove(&vmid);
        self.forget_etcd(vmid);
        self.machines.all.remove(&vmid);
    }
}

impl Machine {
    /// Its first configuration: it is a machine of that cluster from now on, and has nothing of etcd yet.
    pub(super) fn become_member(&mut self, name: String, cluster: String, control_plane: bool, nth: u64) {
        self.etcd = control_plane.then(|| Etcd { wiped: true, ..Etcd::new(super::etcd::id_of(&name, nth)) });
        (self.hostname, self.cluster, self.control_plane) = (name, cluster, control_plane);
    }
}
