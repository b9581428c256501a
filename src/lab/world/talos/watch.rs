//! A witness: it looks at every transition, whoever brought it about, and keeps what must never be.

use serde::Serialize;

use super::World;
use super::life::WENT_BACK;
use crate::lab::call::{Call, Verb};
use crate::lab::world::kubernetes::Key;
use crate::model::ids::Vmid;

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// World time, milliseconds since 1970.
    pub at_ms: u64,
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", crate::sys::clock::rfc3339(self.at_ms.cast_signed()), self.what)
    }
}

/// What a machine is really like, whatever a run says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    pub name: String,
    pub address: String,
    /// The Proxmox node that it is on.
    pub host: String,
    pub control_plane: bool,
    pub version: String,
    pub schematic: String,
    /// Whether all of its services run.
    pub serves: bool,
    /// What is not well with its member of etcd.
    pub etcd: Option<&'static str>,
    /// Whether Kubernetes calls it ready.
    pub ready: bool,
    pub cordoned: bool,
    /// How often a new version did not come up, so that it went back to the one before.
    pub went_back: usize,
}

impl World {
    /// All machines as they are.
    pub fn talos_truth(&mut self) -> Vec<Truth> {
        self.settle_kubernetes();
        let truth = |(vmid, one): (Vmid, &super::Machine)| {
            let node = self.kubernetes().objects.get(&Key::new("nodes", "", &one.hostname));
            let shown = node.map(|node| self.shown_node(node)).unwrap_or_default();
            let etcd = one.etcd.as_ref().and_then(|etcd| match etcd {
                _ if !self.etcd_answers(vmid) => Some("does not answer"),
                etcd if etcd.learner => Some("is a learner"),
                etcd if etcd.alarm.is_some() => Some("has an alarm"),
                _ => None,
            });
            Truth {
                name: one.hostname.clone(),
                address: one.address.clone(),
                host: self.guests.get(&vmid).map(|guest| guest.node.to_string()).unwrap_or_default(),
                control_plane: one.control_plane,
                version: one.version.clone(),
                schematic: one.schematic.clone(),
                serves: self.is_serving(vmid),
                etcd,
                ready: shown["status"]["conditions"][0]["status"] == "True",
                cordoned: shown["spec"]["unschedulable"] == true,
                went_back: one.lines.iter().filter(|line| line.contains(WENT_BACK)).count(),
            }
        };
        self.machines().map(truth).collect()
    }

    /// Whether any control plane's API server answers now.
    pub fn has_api_server(&self) -> bool {
        self.api_servers() > 0
    }

    /// Disruption budgets, `NAMESPACE/NAME`.
    pub fn budgets(&self) -> Vec<String> {
        let all = self.kubernetes().of("policy/poddisruptionbudgets");
        all.map(|(key, _)| format!("{}/{}", key.namespace, key.name)).collect()
    }

    /// Every machine has run this version from the beginning.
    pub fn run_talos(&mut self, version: &str) {
        for machine in self.machines.all.values_mut() {
            version.clone_into(&mut machine.version);
        }
    }

    /// What must never have been, in order. With fewer than two control planes nothing is: there one cannot help it.
    pub fn talos_violations(&self) -> &[Violation] {
        &self.machines.violations
    }

    /// After each transition: who leads, and whether any API server answers.
    pub(in crate::lab) fn watch_talos(&mut self) {
        if self.machines.all.is_empty() {
            return;
        }
        self.settle_leader();
        let there = self.api_servers() > 0;
        if !there && std::mem::replace(&mut self.machines.api_was_there, there) {
            self.violated("no control plane's API server answers".into());
        }
        self.machines.api_was_there = there;
    }

    /// The same after a fault: what it takes away is not a run's doing.
    pub(in crate::lab) fn watch_talos_fault(&mut self) {
        self.settle_leader();
        self.machines.api_was_there = self.api_servers() > 0;
    }

    /// How many control planes have an API server that answers: each needs its own etcd, and that a quorum.
    pub(in crate::lab) fn api_servers(&self) -> usize {
        if !self.etcd_has_quorum() {
            return 0;
        }
        self.machines().filter(|(vmid, one)| one.control_plane && self.etcd_answers(*vmid)).count()
    }

    pub(super) fn violated(&mut self, what: String) {
        if self.machines().filter(|(_, one)| one.control_plane).count() >= 2 {
            let at_ms = u64::try_from(self.epoch).unwrap_or_default() * 1000 + self.now;
            self.machines.violations.push(Violation { at_ms, what });
        }
    }

    /// Something that was asked for is about to take these machines down.
    pub(in crate::lab) fn about_to_take_down(&mut self, vmids: &[Vmid], by: &str) {
        let serving: Vec<Vmid> = vmids.iter().copied().filter(|vmid| self.etcd_answers(*vmid)).collect();
        if serving.is_empty() || self.etcd_keeps_quorum(&serving) {
            return;
        }
        let names: Vec<&str> =
            serving.iter().filter_map(|vmid| Some(self.machines.all.get(vmid)?.hostname.as_str())).collect();
        let what = format!("{by} takes down {}, without which etcd has no quorum", names.join(" and "));
        self.violated(what);
    }

    /// The machines that a call of the API takes down, at least for a while.
    pub(in crate::lab::world) fn taken_down_by(&self, call: &Call) -> Vec<Vmid> {
        if call.verb == Verb::Get || self.machines.all.is_empty() {
            return Vec::new();
        }
        let one = |text: Option<&String>| -> Vec<Vmid> {
            text.and_then(|text| text.rsplit(':').next()?.parse().ok()).into_iter().collect()
        };
        let asked = |name: &str, words: &[&str]| call.params.get(name).is_some_and(|own| words.contains(&own.as_str()));
        let template = call.template.as_str();
        let found: Vec<Vmid> = match template.strip_prefix("/nodes/{node}/qemu/{vmid}") {
            Some("/status/stop" | "/status/shutdown" | "/status/reboot" | "/status/reset" | "/status/suspend") => {
                one(call.path.get("vmid"))
            }
            Some("") if call.verb == Verb::Delete => one(call.path.get("vmid")),
            Some("/snapshot/{snapname}/rollback") => one(call.path.get("vmid")),
            _ => match template {
                "/nodes/{node}/status" | "/nodes/{node}/stopall" | "/nodes/{node}/suspendall" => {
                    let node = call.path.get("node").map_or("", String::as_str);
                    let here = |vmid: &Vmid| self.guests.get(vmid).is_some_and(|guest| guest.node.as_str() == node);
                    self.machines.all.keys().copied().filter(here).collect()
                }
                "/cluster/ha/resources/{sid}/relocate" => one(call.path.get("sid")),
                "/cluster/ha/resources/{sid}" if asked("state", &["stopped", "disabled"]) => one(call.path.get("sid")),
                _ => Vec::new(),
            },
        };
        found.into_iter().filter(|vmid| self.machines.all.contains_key(vmid)).collect()
    }
}
