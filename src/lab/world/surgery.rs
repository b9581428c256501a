//! What tests and operators of the lab do to the world behind the API's back.

use super::{Most, World};
use crate::model::ids::{NodeName, Vmid};

impl World {
    /// Sets or clears a guest's lock; false if there is no such guest.
    pub fn set_lock(&mut self, vmid: Vmid, lock: Option<&str>) -> bool {
        let Some(guest) = self.guests.get_mut(&vmid) else { return false };
        match lock {
            Some(lock) => guest.config.set("lock", lock),
            None => guest.config.remove("lock"),
        }
        true
    }

    /// Destroys a guest and makes another under the same VMID: other uuid, other name, same place and size.
    pub fn replace_guest(&mut self, vmid: Vmid) -> bool {
        let (uuid, generation, mac) = (self.rng.uuid(), self.rng.uuid(), self.rng.mac());
        let Some(guest) = self.guests.get_mut(&vmid) else { return false };
        let name = format!("other-{vmid}");
        if guest.kind == crate::model::ids::GuestKind::Qemu {
            guest.config.set("name", name);
            guest.config.set("smbios1", format!("uuid={uuid}"));
            guest.config.set("vmgenid", generation);
            guest.config.set("net0", format!("virtio={mac},bridge=vmbr0"));
        } else {
            guest.config.set("hostname", name);
            guest.config.set("net0", format!("name=eth0,bridge=vmbr0,hwaddr={mac},ip=dhcp,type=veth"));
        }
        for key in ["tags", "lock", "parent"] {
            guest.config.remove(key);
        }
        guest.snapshots.clear();
        guest.pending.clear();
        true
    }

    /// Where a guest's configuration is.
    pub fn guest_node(&self, vmid: Vmid) -> Option<NodeName> {
        self.guests.get(&vmid).map(|guest| guest.node.clone())
    }

    /// `running` or `stopped`, as it is now (not as last published).
    pub fn guest_status(&self, vmid: Vmid) -> Option<&'static str> {
        self.guests.get(&vmid).map(|guest| guest.status())
    }

    /// How long from now on tasks take to show in task lists, milliseconds.
    pub fn set_task_delay(&mut self, ms: u64) {
        self.task_delay = ms;
    }

    /// Takes the cluster's quorum away although its nodes are up, or gives it back.
    pub fn set_quorum_lost(&mut self, lost: bool) {
        self.quorum_lost = lost;
    }

    /// The site's name (`lab.example`).
    pub fn site(&self) -> &str {
        &self.site
    }

    /// A node's own address; empty for an unknown node.
    pub fn node_ip(&self, node: &NodeName) -> &str {
        self.ip_of(node)
    }

    /// The address that the scenario gives a guest.
    pub fn guest_ip(&self, vmid: Vmid) -> Option<&str> {
        self.guests.get(&vmid)?.ip.as_deref()
    }

    /// A guest's configuration lines.
    pub fn guest_config(&self, vmid: Vmid) -> Option<&std::collections::BTreeMap<String, String>> {
        self.guests.get(&vmid).map(|guest| &guest.config.0)
    }

    /// When a running guest started, world milliseconds (negative: before the world began). Another value, another boot.
    pub fn guest_since(&self, vmid: Vmid) -> Option<i64> {
        self.guests.get(&vmid)?.run.as_ref().map(|run| run.since)
    }

    /// How many tasks ran at once at most, since the world began or [`World::count_anew`].
    pub fn most_tasks(&self) -> &Most {
        &self.tasks.most
    }

    pub fn count_anew(&mut self) {
        self.tasks.most = Most::default();
    }

    /// Every guest of the site.
    pub fn guests(&self) -> Vec<Vmid> {
        self.guests.keys().copied().collect()
    }
}
