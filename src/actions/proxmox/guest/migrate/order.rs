//! What the step asks for, and which of the three phases comes next, given the guest as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::Call;
use crate::model::failure::Failure;
use crate::model::ids::{GuestKind, NodeName, StorageId, Vmid};
use crate::placement::evacuation::Mode;

/// The parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    pub vmid: Vmid,
    pub to: NodeName,
    pub mode: Option<Mode>,
    pub storages: BTreeMap<StorageId, StorageId>,
    /// What it must be afterwards; absent: as before.
    pub status: Option<String>,
    /// The target may be in maintenance: a guest that goes back to where it was.
    pub into_maintenance: bool,
}

/// A part of the work that is a task of its own. In their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    Shutdown,
    Migrate,
    Start,
}

impl Phase {
    /// The phase that a task of this type belongs to.
    pub fn of_task(kind: &str) -> Option<Self> {
        match kind {
            "qmshutdown" => Some(Self::Shutdown),
            "qmigrate" | "vzmigrate" | "hamigrate" => Some(Self::Migrate),
            "qmstart" | "vzstart" => Some(Self::Start),
            _ => None,
        }
    }
}

impl Order {
    pub fn of(call: &Call) -> Result<Self, Failure> {
        Ok(Self {
            vmid: call.arg("guest")?,
            to: call.arg("to")?,
            mode: call.arg("mode")?,
            storages: call.arg::<Option<_>>("storages")?.unwrap_or_default(),
            status: call.arg("status")?,
            into_maintenance: call.arg::<Option<bool>>("into_maintenance")?.unwrap_or(false),
        })
    }

    /// `running` or `stopped`, afterwards.
    pub fn wanted<'a>(&'a self, before: &'a Guest) -> &'a str {
        self.status.as_deref().unwrap_or(&before.status)
    }

    /// How this guest moves, or why it cannot in the mode asked for.
    pub fn mode_for(&self, guest: &Guest) -> Result<Mode, String> {
        let title = guest.title();
        match (guest.is_running(), guest.kind, self.mode) {
            (false, _, _) => Ok(Mode::Offline),
            (true, GuestKind::Qemu, None | Some(Mode::Live)) => Ok(Mode::Live),
            (true, _, Some(Mode::Restart)) => Ok(Mode::Restart),
            (true, GuestKind::Lxc, None | Some(Mode::Live)) => {
                Err(format!("{title} is running, and Proxmox has no live migration for containers"))
            }
            (true, _, Some(Mode::Offline)) => Err(format!("{title} is running, and mode offline needs it stopped")),
        }
    }

    /// A running VM that is taken down for the move: more than one task.
    pub fn is_vm_restart(&self, guest: &Guest) -> bool {
        guest.kind == GuestKind::Qemu && guest.is_running() && self.mode == Some(Mode::Restart)
    }

    /// Whether the move itself is all that there is to do.
    pub fn is_one_task(&self, before: &Guest) -> bool {
        !self.is_vm_restart(before) && self.wanted(before) == before.status && before.node != self.to
    }

    /// Where tasks of this order may appear.
    pub fn nodes_with_tasks(&self, before: &Guest) -> Vec<NodeName> {
        let mut nodes = vec![before.node.clone()];
        if !self.is_one_task(before) && before.node != self.to {
            nodes.push(self.to.clone());
        }
        nodes
    }

    /// What is to be done next; `None`: all is as it should be.
    pub fn next(&self, before: &Guest, now: &Guest) -> Option<Phase> {
        if now.node != self.to {
            let down_first = now.is_running() && now.kind == GuestKind::Qemu && self.mode == Some(Mode::Restart);
            return Some(if down_first { Phase::Shutdown } else { Phase::Migrate });
        }
        (self.wanted(before) == "running" && !now.is_running()).then_some(Phase::Start)
    }

    /// The call of a phase: its path and parameters.
    pub fn request(&self, phase: Phase, now: &Guest) -> (String, Params) {
        let base = format!("/nodes/{}/{}/{}", seg(&now.node), now.kind, self.vmid);
        match phase {
            Phase::Shutdown => (format!("{base}/status/shutdown"), Params::new()),
            Phase::Start => (format!("{base}/status/start"), Params::new()),
            Phase::Migrate => (format!("{base}/migrate"), self.migrate_params(now)),
        }
    }

    fn migrate_params(&self, now: &Guest) -> Params {
        let params = Params::new().set("target", &self.to);
        let map: Vec<String> = self.storages.iter().map(|(from, to)| format!("{from}:{to}")).collect();
        // A volume keeps its storage's name by itself, and naming a target asks for a right on it.
        let map = self.storages.iter().any(|(from, to)| from != to).then(|| map.join(","));
        match now.kind {
            GuestKind::Lxc => {
                let params = if now.is_running() { params.flag("restart", true) } else { params };
                params.opt("target-storage", map)
            }
            GuestKind::Qemu => {
                let params = if now.is_running() { params.flag("online", true) } else { params };
                let params = if self.storages.is_empty() { params } else { params.flag("with-local-disks", true) };
                params.opt("targetstorage", map)
            }
        }
    }

    /// What a person would type: the same requests in the same order.
    pub fn commands(&self, before: &Guest) -> Vec<String> {
        let (mut now, mut lines) = (before.clone(), Vec::new());
        while let Some(phase) = self.next(before, &now) {
            let (path, params) = self.request(phase, &now);
            lines.push(typed::create(&path, &params));
            match phase {
                Phase::Shutdown => now.status = "stopped".into(),
                Phase::Migrate => now.node = self.to.clone(),
                Phase::Start => now.status = "running".into(),
            }
        }
        if !lines.is_empty() {
            let wanted = format!("{}, no lock", self.wanted(before));
            lines.push(typed::check_guest(&self.to, before.kind, self.vmid, &wanted));
        }
        lines
    }

    /// The parameters of the move back; `None` where it has not been elsewhere.
    pub fn inverse(&self, before: &Guest) -> Option<Value> {
        if before.node == self.to {
            return None;
        }
        let mut storages: BTreeMap<&StorageId, &StorageId> = BTreeMap::new();
        // Two that went to one go back to the first of them: Proxmox maps storages, not disks.
        for (from, to) in self.storages.iter().rev() {
            storages.insert(to, from);
        }
        let mut with =
            json!({"guest": self.vmid, "to": before.node, "status": before.status, "into_maintenance": true});
        if !storages.is_empty() {
            with["storages"] = json!(storages);
        }
        let mode = match self.mode {
            // Offline is what it comes to for a guest that is stopped, and a wrong order for one that was started.
            Some(Mode::Offline) | None if !before.is_running() => Some(Mode::Offline),
            mode => mode,
        };
        if let Some(mode) = mode {
            with["mode"] = json!(mode);
        }
        Some(with)
    }
}
