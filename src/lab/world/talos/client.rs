//! What a talosctl waits for after its call was taken. The steps of the newer upgrade are the client's own: with the
//! client gone they are not taken any more.

use super::life::{Down, INSTALL_MS};
use super::upgrade_k8s::Kubernetes;
use super::{Ill, Image, Stage, World, refuses};
use crate::lab::call::ProgramReply;
use crate::lab::world::clock::Event;
use crate::model::ids::Vmid;

/// How long an installer image takes to arrive, and one that is there already.
const PULL_MS: [u64; 2] = [10_000, 1_000];

/// A client that waits.
#[derive(Debug, Clone)]
pub(in crate::lab) struct Asked {
    vmid: Vmid,
    node: String,
    task: Task,
    /// What it has written on stderr.
    said: String,
    /// Of the machine when it was asked.
    boots: u64,
    hangs: bool,
}

/// What it waits for, or does next.
#[derive(Debug, Clone)]
pub(in crate::lab) enum Task {
    /// An image is fetched; what is done with it then.
    Pull {
        reference: String,
        then: Option<Then>,
    },
    /// The installer runs.
    Install {
        image: Image,
        then: Then,
    },
    /// The machine comes back from a reboot.
    Return,
    /// It is off.
    Off,
    /// The cluster is well.
    Health,
    /// Its Kubernetes is upgraded, part by part.
    Kubernetes(Kubernetes),
    Ended(ProgramReply),
}

/// What comes after an image was fetched and installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) enum Then {
    Reboot,
    Nothing,
}

impl World {
    /// A client begins to wait; its number.
    pub(in crate::lab) fn ask(&mut self, vmid: Vmid, task: Task, said: String) -> u64 {
        self.machines.last_asked += 1;
        let id = self.machines.last_asked;
        let Some(machine) = self.machines.all.get_mut(&vmid) else { return id };
        let ms = match &task {
            Task::Pull { reference, .. } => Some(PULL_MS[usize::from(machine.images.contains(reference))]),
            Task::Install { .. } => Some(INSTALL_MS),
            Task::Kubernetes(_) => Some(PULL_MS[0]),
            _ => None,
        };
        // A pull alone is no upgrade.
        let upgrades = !matches!(task, Task::Pull { then: None, .. } | Task::Off | Task::Health | Task::Kubernetes(_));
        let hangs = upgrades && machine.ills.remove(&Ill::UpgradeHangs);
        let (node, boots) = (machine.address.clone(), machine.boots);
        self.machines.asked.insert(id, Asked { vmid, node, task, said, boots, hangs });
        if let Some(ms) = ms {
            self.after(ms, Event::TalosClient(id));
        }
        id
    }

    /// Whether an installer runs on a machine at a client's bidding.
    pub(in crate::lab) fn installs(&self, vmid: Vmid) -> bool {
        let installing = |one: &Asked| one.vmid == vmid && matches!(one.task, Task::Install { .. });
        self.machines.asked.values().any(installing)
            || self.machines.all.get(&vmid).is_some_and(|one| one.stage == Stage::Upgrading)
    }

    /// The next step of a client that still waits.
    pub(in crate::lab::world) fn talos_client_turn(&mut self, id: u64) {
        let Some(mut asked) = self.machines.asked.remove(&id) else { return };
        let (vmid, node) = (asked.vmid, asked.node.clone());
        let task = if self.is_answering(vmid) {
            self.client_step(&mut asked, id)
        } else {
            let text = format!("rpc error: code = Unavailable desc = connection error: {node} is gone");
            Task::Ended(ProgramReply { exit: 1, stderr: format!("{}{text}\n", asked.said), ..ProgramReply::default() })
        };
        asked.task = task;
        self.machines.asked.insert(id, asked);
        if let Some(Asked { task: Task::Install { .. }, .. }) = self.machines.asked.get(&id) {
            self.after(INSTALL_MS, Event::TalosClient(id));
        }
    }

    fn client_step(&mut self, asked: &mut Asked, id: u64) -> Task {
        let (vmid, node) = (asked.vmid, asked.node.clone());
        let failed = |said: &str, text: String| {
            Task::Ended(ProgramReply { exit: 1, stderr: format!("{said}{text}\n"), ..ProgramReply::default() })
        };
        match asked.task.clone() {
            Task::Pull { reference, then } => match Image::behind(&reference) {
                Err(why) if then.is_some() => failed(&asked.said, format!("error pulling upgrade image: {why}")),
                Err(why) => {
                    failed(&asked.said, format!("error pulling image: rpc error: code = NotFound desc = {why}"))
                }
                Ok(image) => {
                    if let Some(machine) = self.machine_mut(vmid) {
                        machine.images.insert(reference.clone());
                    }
                    let Some(then) = then else { return Task::Ended(ProgramReply::default()) };
                    asked.said.push_str(&format!("{node}: pulled image {reference}\n"));
                    asked.said.push_str(&format!("{node}: running Talos installer v{}\n", image.version));
                    Task::Install { image, then }
                }
            },
            Task::Install { image, then } => {
                asked.said.push_str(&format!("{node}: running pre-flight checks\n"));
                let Some(machine) = self.machine_mut(vmid) else { return Task::Return };
                asked.said.push_str(&format!("{node}: host Talos version: v{}\n", machine.version));
                if let Some(why) = refuses(&image, machine) {
                    let text = format!(
                        "{node}: pre-flight checks failed: {why}\n{node}: Exit code: 1\nnode {node}: upgrade failed with exit code 1"
                    );
                    return failed(&asked.said, text);
                }
                let version = image.version.clone();
                (machine.other, machine.other_next) = (Some(image), true);
                asked.said.push_str(&format!(
                    "{node}: all pre-flight checks successful\n{node}: installation of v{version} complete\n\
                     {node}: Exit code: 0\n{node}: upgrade completed\n"
                ));
                if then == Then::Nothing {
                    let stderr = std::mem::take(&mut asked.said);
                    return Task::Ended(ProgramReply { stderr, ..ProgramReply::default() });
                }
                self.about_to_take_down(&[vmid], &format!("`talosctl upgrade` of {node}"));
                self.machine_goes_down(vmid, &Down::Reboot);
                Task::Return
            }
            Task::Kubernetes(upgrade) => self.kubernetes_step(upgrade, id),
            other => other,
        }
    }

    /// What a client writes in the end, once what it waits for is there.
    pub(in crate::lab::world) fn talos_client_ended(&mut self, id: u64) -> Option<ProgramReply> {
        let asked = self.machines.asked.get(&id)?;
        let (vmid, node) = (asked.vmid, asked.node.as_str());
        let machine = self.machines.all.get(&vmid)?;
        let ended = match &asked.task {
            Task::Ended(reply) => Some(reply.clone()),
            _ if asked.hangs => None,
            Task::Return => {
                let back = machine.boots > asked.boots && matches!(machine.stage, Stage::Running | Stage::Maintenance);
                (back && self.is_answering(vmid)).then(|| tracked(&asked.said, node, true))
            }
            Task::Off => {
                let off = self.guests.get(&vmid).is_none_or(|guest| guest.run.is_none());
                off.then(|| tracked(&asked.said, node, false))
            }
            Task::Health => {
                let (text, well) = self.health();
                well.then(|| ProgramReply { stderr: text, ..ProgramReply::default() })
            }
            Task::Pull { .. } | Task::Install { .. } | Task::Kubernetes(_) => None,
        };
        if ended.is_some() {
            self.machines.asked.remove(&id);
        }
        ended
    }

    /// The client is gone, or has had enough; what it says then.
    pub(in crate::lab::world) fn talos_client_gone(&mut self, id: u64) -> ProgramReply {
        let asked = self.machines.asked.remove(&id);
        let stderr = match asked {
            Some(Asked { task: Task::Health, .. }) => {
                format!("{}healthcheck error: context deadline exceeded\n", self.health().0)
            }
            Some(asked) => format!("{}{:?}: context deadline exceeded\n", asked.said, asked.node),
            None => String::new(),
        };
        ProgramReply { exit: 1, stderr, ..ProgramReply::default() }
    }

    /// What `health` says now, and whether all is well.
    fn health(&self) -> (String, bool) {
        let nodes: Vec<String> = self
            .machines()
            .filter(|(_, one)| !one.config.is_empty())
            .map(|(_, one)| format!("{:?}", one.address))
            .collect();
        let mut text = format!("discovered nodes: [{}]\n", nodes.join(" "));
        let down: Vec<&str> =
            self.machines().filter(|(vmid, _)| !self.is_serving(*vmid)).map(|(_, one)| one.address.as_str()).collect();
        let sick = self.etcd().into_iter().find(|(_, etcd, answers)| !answers || etcd.learner);
        let of_etcd = sick.map(|(one, ..)| format!("service etcd is not healthy on {}", one.address));
        let of_nodes = down.first().map(|node| format!("{node}: not in expected state"));
        let checks: [(&str, &Option<String>); 9] = [
            ("etcd to be healthy", &of_etcd),
            ("etcd members to be consistent across nodes", &of_etcd),
            ("etcd members to be control plane nodes", &None),
            ("apid to be ready", &of_nodes),
            ("all nodes memory sizes", &None),
            ("all nodes disk sizes", &None),
            ("kubelet to be healthy", &of_nodes),
            ("all nodes to finish boot sequence", &of_nodes),
            ("all k8s nodes to report ready", &of_nodes),
        ];
        for (what, trouble) in checks {
            text.push_str(&format!("waiting for {what}: ...\n"));
            if let Some(trouble) = trouble {
                text.push_str(&format!("waiting for {what}: {trouble}\n"));
                return (text, false);
            }
            text.push_str(&format!("waiting for {what}: OK\n"));
        }
        (text, true)
    }
}

/// The tracker's lines, as they are where stderr is no terminal.
fn tracked(said: &str, node: &str, returns: bool) -> ProgramReply {
    let mut lines = vec![
        "waiting for actor ID",
        "actor ID: 0f0e3c1a-6f0d-4f0e-9d3e-2b1a7c5d9e11",
        "phase: stopServices action: START",
        "unavailable, retrying...",
    ];
    if returns {
        lines.extend(["stage: BOOTING ready: false unmetCond: []", "events check condition met", "post check passed"]);
    } else {
        lines.push("events check condition met");
    }
    let lines: String = lines.into_iter().map(|line| format!("{node:?}: {line}\n")).collect();
    ProgramReply { stderr: format!("{said}{lines}"), ..ProgramReply::default() }
}
