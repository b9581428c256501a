//! `talosctl upgrade-k8s`: its client goes from part to part; with the client gone the rest stays as it is.

use std::collections::VecDeque;

use serde_json::json;

use super::{Ill, Machine, Task, World};
use crate::contracts::talos::support;
use crate::lab::call::ProgramReply;
use crate::lab::world::clock::Event;
use crate::lab::world::kubernetes::Key;
use crate::model::ids::Vmid;
use crate::model::talos::Version;

/// What Talos runs as static pods on each control plane, in the order in which they are upgraded.
pub(in crate::lab) const STATIC_PODS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
/// For one part on one node.
const PART_MS: u64 = 4_000;
/// How long a kubelet is waited for.
const KUBELET_MS: u64 = 60_000;

/// One part on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lab) enum Part {
    Pod {
        name: &'static str,
        of: Vmid,
    },
    Kubelet(Vmid),
    /// A kubelet that was told and goes on as it was.
    Stays(Vmid),
}

/// An upgrade that its client is in the middle of.
#[derive(Debug, Clone)]
pub(in crate::lab) struct Kubernetes {
    pub to: String,
    pub left: VecDeque<Part>,
    pub said: String,
}

/// Where a static pod's image is.
pub(in crate::lab) fn image(part: &str, version: &str) -> String {
    format!("registry.k8s.io/{part}:v{version}")
}

impl World {
    /// What a client writes before it changes anything, and what it would change; or why it does not begin.
    ///
    /// # Errors
    /// In talosctl's words.
    pub(in crate::lab) fn kubernetes_upgrade(&self, to: &str, dry: bool) -> Result<Kubernetes, String> {
        let target: Version = to.parse().map_err(|e| format!("error parsing version: {e}"))?;
        let (planes, workers): (Vec<_>, Vec<_>) = self.machines().partition(|(_, one)| one.control_plane);
        if let Some((_, gone)) = self.machines().find(|(vmid, _)| !self.is_answering(*vmid)) {
            return Err(format!(
                "error getting nodes version: rpc error: code = Unavailable desc = {} is gone",
                gone.address
            ));
        }
        let lowest = self.machines().filter_map(|(vmid, one)| self.lowest(vmid, one)).min();
        let lowest = lowest.unwrap_or_else(|| target.clone());
        let quoted = |all: &[(Vmid, &Machine)]| {
            all.iter().map(|(_, one)| format!("{:?}", one.address)).collect::<Vec<_>>().join(" ")
        };
        let mut said = format!(
            "automatically detected the lowest Kubernetes version {lowest}\ndiscovered controlplane nodes [{}]\n\
             discovered worker nodes [{}]\n",
            quoted(&planes),
            quoted(&workers)
        );
        let (is, next) = (lowest.minor(), target.minor());
        if target < lowest || !(next == is || next == is.next()) {
            return Err(format!("{said}unsupported upgrade path {is}->{next} (from \"{lowest}\" to \"{target}\")"));
        }
        for (_, one) in planes.iter().chain(&workers) {
            let known = one.version.parse::<Version>().ok();
            let row = known.and_then(|talos| support().iter().find(|row| row.talos == talos.minor()));
            let row = row.ok_or_else(|| format!("{said}compatibility with Talos {} is not known", one.version))?;
            if next < row.k8s_min || next > row.k8s_max {
                let how = if next > row.k8s_max { "new" } else { "old" };
                return Err(format!(
                    "{said}version of Kubernetes {target} is too {how} to be used with Talos {}",
                    one.version
                ));
            }
            said.push_str(&format!(
                "> {:?}: Talos version {} is compatible with Kubernetes version {target}\n",
                one.address, one.version
            ));
        }
        said.push_str(
            "checking for removed Kubernetes component flags\nchecking for removed Kubernetes API resource versions\n",
        );
        for (_, one) in &planes {
            for part in STATIC_PODS {
                said.push_str(&format!(" > {:?}: pre-pulling {}\n", one.address, image(part, to)));
            }
        }
        let pods = STATIC_PODS.iter().flat_map(|name| planes.iter().map(|(of, _)| Part::Pod { name, of: *of }));
        let kubelets = planes.iter().chain(&workers).map(|(of, _)| Part::Kubelet(*of));
        let mut upgrade = Kubernetes { to: to.to_owned(), left: pods.chain(kubelets).collect(), said };
        if dry {
            while let Some(part) = upgrade.left.pop_front() {
                let line = self.heading(&part, &upgrade.to);
                upgrade.said.push_str(&format!("{line} > skipped in dry-run\n"));
            }
        }
        Ok(upgrade)
    }

    /// The oldest part of Kubernetes on a machine.
    fn lowest(&self, vmid: Vmid, machine: &Machine) -> Option<Version> {
        let parts = STATIC_PODS.iter().filter_map(|part| self.static_pod(part, vmid)?.parse().ok());
        let kubelet = machine.kubernetes.parse().ok();
        parts.chain(kubelet).min()
    }

    fn pod_key(&self, part: &str, of: Vmid) -> Option<Key> {
        let machine = self.machines.all.get(&of).filter(|one| one.control_plane)?;
        Some(Key::pod("kube-system", &format!("{part}-{}", machine.hostname)))
    }

    /// Which version of a static pod runs on a control plane.
    fn static_pod(&self, part: &str, of: Vmid) -> Option<String> {
        let pod = self.kubernetes.objects.get(&self.pod_key(part, of)?)?;
        let image = pod["spec"]["containers"][0]["image"].as_str()?;
        image.rsplit_once(":v").map(|(_, version)| version.to_owned())
    }

    fn heading(&self, part: &Part, to: &str) -> String {
        let address = |vmid: &Vmid| self.machines.all.get(vmid).map_or("", |one| one.address.as_str());
        match part {
            Part::Pod { name, of } => format!(
                "updating {name:?} to version {to:?}\n > {:?}: starting update\n > update {name}: {} -> {to}\n",
                address(of),
                self.static_pod(name, *of).unwrap_or_default()
            ),
            Part::Kubelet(of) | Part::Stays(of) => {
                let was = self.machines.all.get(of).map_or("", |one| one.kubernetes.as_str());
                format!(
                    "updating kubelet to version {to:?}\n > {:?}: starting update\n > update kubelet: {was} -> {to}\n",
                    address(of)
                )
            }
        }
    }

    /// One part after another.
    pub(super) fn kubernetes_step(&mut self, mut upgrade: Kubernetes, id: u64) -> Task {
        let failed = |said: &str, why: String| {
            Task::Ended(ProgramReply {
                exit: 1,
                stdout: said.to_owned(),
                stderr: format!("{why}\n"),
                ..ProgramReply::default()
            })
        };
        let Some(part) = upgrade.left.pop_front() else {
            upgrade.said.push_str("updating manifests\n");
            return Task::Ended(ProgramReply { stdout: upgrade.said, ..ProgramReply::default() });
        };
        let (Part::Pod { of, .. } | Part::Kubelet(of) | Part::Stays(of)) = part;
        let address = self.machines.all.get(&of).map(|one| one.address.clone()).unwrap_or_default();
        if !self.is_serving(of) || self.api_servers() == 0 {
            let what =
                if matches!(part, Part::Pod { .. }) { "failed updating service" } else { "failed updating kubelet" };
            return failed(
                &upgrade.said,
                format!(
                    "{what}: error updating node {address:?}: rpc error: code = Unavailable desc = {address} is gone"
                ),
            );
        }
        let heading = self.heading(&part, &upgrade.to);
        let mut wait = PART_MS;
        match part {
            Part::Stays(_) => {
                return failed(
                    &upgrade.said,
                    format!(
                        "failed updating kubelet: error updating node {address:?}: timeout waiting for node update"
                    ),
                );
            }
            Part::Pod { name, of } => {
                upgrade.said.push_str(&heading);
                self.set_static_pod(name, of, &upgrade.to);
                upgrade.said.push_str(&format!(
                    " > {address:?}: machine configuration patched\n > {address:?}: waiting for {name} pod update\n < {address:?}: successfully updated\n"
                ));
            }
            Part::Kubelet(of) => {
                upgrade.said.push_str(&heading);
                let Some(machine) = self.machine_mut(of) else {
                    return failed(&upgrade.said, "no such machine".into());
                };
                if machine.ills.remove(&Ill::KubeletStays) {
                    upgrade.said.push_str(&format!(" > {address:?}: waiting for kubelet restart\n"));
                    upgrade.left.push_front(Part::Stays(of));
                    wait = KUBELET_MS;
                } else {
                    machine.set_kubelet(&upgrade.to);
                    upgrade.said.push_str(&format!(
                        " > {address:?}: waiting for kubelet restart\n > {address:?}: waiting for node update\n < {address:?}: successfully updated\n"
                    ));
                }
            }
        }
        self.after(wait, Event::TalosClient(id));
        Task::Kubernetes(upgrade)
    }

    /// The kubelet makes the pod anew from its manifest.
    fn set_static_pod(&mut self, part: &str, of: Vmid, version: &str) {
        let Some(key) = self.pod_key(part, of) else { return };
        let Some(mut pod) = self.kubernetes.objects.get(&key).cloned() else { return };
        pod["spec"]["containers"][0]["image"] = json!(image(part, version));
        pod["metadata"]["uid"] = json!(self.kubernetes.uid());
        self.kubernetes.put(key, pod);
    }
}
