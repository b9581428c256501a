//! From what everybody says of a cluster to what is wrong with it: each cause once, the most suspicious first, with what it is
//! seen by and what to type next. Nothing here reads anything.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::look::{Look, MACHINED, is_ill};
use super::source::{Machine, Node};
use super::survey::{Answer, Survey};
use crate::actions::proxmox::object::{GuestEntry, Node as Host};
use crate::clients::kubernetes;
use crate::placement::quorum::{self, Told};

/// A file system is looked at from here on, in percent.
const FULL: f64 = 85.0;
/// A clock that is so far off, in milliseconds.
const OFF_MS: u64 = 1000;

/// How suspicious a thing is: what takes others down with it comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Quorum,
    Silent,
    Member,
    Cluster,
    Service,
    Resource,
    Odd,
    Hint,
}

/// What may be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Suspect {
    #[serde(skip)]
    rank: Rank,
    /// Nothing: it is of the cluster.
    pub node: Option<String>,
    pub what: String,
    pub evidence: Vec<String>,
    pub next: Vec<String>,
}

impl Suspect {
    fn of(rank: Rank, node: Option<&str>, what: impl Into<String>) -> Self {
        Self { rank, node: node.map(str::to_owned), what: what.into(), evidence: Vec::new(), next: Vec::new() }
    }

    fn seen_by(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(lines);
        self
    }

    fn then(mut self, command: impl Into<String>) -> Self {
        self.next.push(command.into());
        self
    }

    /// `cp2: its etcd does not answer`
    pub fn title(&self) -> String {
        self.node.as_ref().map_or_else(|| self.what.clone(), |node| format!("{node}: {}", self.what))
    }
}

/// What everybody says.
pub(super) struct Facts<'a> {
    pub cluster: &'a str,
    pub survey: &'a Survey,
    /// Of the machines that answer.
    pub looks: &'a BTreeMap<String, Look>,
    pub kubernetes: Result<Vec<kubernetes::Node>, String>,
    pub guests: Result<Vec<GuestEntry>, String>,
    pub hosts: Result<Vec<Host>, String>,
}

/// `talosctl` at a machine's own address.
fn talosctl(machine: &Machine, words: &str) -> String {
    let address = machine.address.as_deref().unwrap_or("ADDRESS");
    format!("talosctl --endpoints {address} --nodes {address} {words}")
}

/// All that is suspicious.
pub(super) fn suspects(facts: &Facts<'_>) -> Vec<Suspect> {
    let mut found = Vec::new();
    facts.quorum(&mut found);
    for (machine, answer) in &facts.survey.nodes {
        match answer {
            Answer::Not(why) => found.push(facts.silent(machine, why)),
            Answer::Said(node) => facts.of_node(machine, node, &mut found),
        }
    }
    facts.kubernetes(&mut found);
    facts.odd(&mut found);
    facts.clocks(&mut found);
    facts.hosts(&mut found);
    // Stable: nodes stay in the profile's order.
    found.sort_by_key(|one| one.rank);
    found
}

impl Facts<'_> {
    fn guest(&self, machine: &Machine) -> Option<&GuestEntry> {
        let guests = self.guests.as_ref().ok()?;
        guests.iter().find(|guest| Some(guest.vmid) == machine.vmid)
    }

    /// etcd as a whole: what no single member is to blame for.
    fn quorum(&self, found: &mut Vec<Suspect>) {
        let told = &self.survey.told;
        let answering = told.iter().filter(|one| one.unknown.is_none()).count();
        let leaderless = !told.is_empty() && !told.iter().any(Told::has_leader);
        if leaderless {
            let what = format!(
                "etcd has no quorum: {answering} of {} control planes answer for it, none sees a leader",
                told.len()
            );
            let why = told.iter().filter_map(|one| Some(format!("{}: {}", one.name, one.unknown.as_ref()?)));
            let first = self
                .survey
                .nodes
                .iter()
                .find(|(machine, answer)| machine.control_plane && matches!(answer, Answer::Said(_)));
            let suspect = Suspect::of(Rank::Quorum, None, what).seen_by(why);
            found.push(match first {
                Some((machine, _)) => {
                    suspect.then(talosctl(machine, "etcd status")).then(talosctl(machine, "service etcd"))
                }
                None => suspect.then("runbook do proxmox.guests"),
            });
        }
        // What is about one member is said with its node.
        let of_one = |line: &String| told.iter().any(|one| line.starts_with(&format!("{}: ", one.name)));
        for line in quorum::findings(told).into_iter().filter(|line| !of_one(line)) {
            if leaderless && line.contains("no leader") {
                continue;
            }
            let next = format!("runbook do talos.status cluster={}", self.cluster);
            found.push(Suspect::of(Rank::Cluster, None, line).then(next));
        }
    }

    /// A machine that does not answer: its guest says why, or that it is the machine's own doing.
    fn silent(&self, machine: &Machine, why: &str) -> Suspect {
        let suspect = |what: String| Suspect::of(Rank::Silent, Some(&machine.name), what).seen_by([why.to_owned()]);
        let Some(vmid) = machine.vmid else {
            return suspect("it does not answer, and the profile does not say which guest it is".into());
        };
        let Some(guest) = self.guest(machine) else {
            return match &self.guests {
                Ok(_) => {
                    suspect(format!("it does not answer: there is no guest {vmid}")).then("runbook do proxmox.guests")
                }
                Err(error) => {
                    suspect(format!("it does not answer, and Proxmox does not say how guest {vmid} is: {error}"))
                        .then("runbook doctor")
                }
            };
        };
        let host = guest.node.as_ref().map_or("an unknown node", |node| node.as_str());
        let host_is_off = self.hosts.iter().flatten().any(|one| !one.online && Some(&one.name) == guest.node.as_ref());
        let title = guest.title();
        let status = format!("runbook do proxmox.guest_status guest={vmid}");
        if host_is_off {
            return suspect(format!("it does not answer: {title} is on {host}, which is offline"))
                .then("runbook do proxmox.nodes");
        }
        match guest.status.as_str() {
            "running" => suspect(format!("it does not answer although {title} runs on {host}: its console says why"))
                .then(status)
                .then(format!("runbook do proxmox.guest_reboot guest={vmid}")),
            state => suspect(format!("it does not answer: {title} on {host} is {state}"))
                .then(status)
                .then(format!("runbook do proxmox.guest_start guest={vmid}")),
        }
    }

    fn of_node(&self, machine: &Machine, node: &Node, found: &mut Vec<Suspect>) {
        let before = found.len();
        let told = self.survey.told.iter().find(|one| one.name == machine.name);
        let look = self.looks.get(&machine.name);
        if let Some(told) = told {
            self.member(machine, told, look, found);
        }
        if let Some(look) = look {
            let etcd_is_said = found.len() > before;
            services(machine, look, etcd_is_said, found);
        }
        let (stage, ready) = (&node.stage.stage, node.stage.ready);
        // A service that it waits for is said already.
        if stage != "running" || !ready && found.len() == before {
            let ready = if ready { "" } else { " and not ready" };
            let waits = if node.stage.unmet.is_empty() {
                String::new()
            } else {
                format!(", waits for {}", node.stage.unmet.join(", "))
            };
            let log = look.and_then(|look| look.logs.get(MACHINED)).cloned().unwrap_or_default();
            let suspect = Suspect::of(Rank::Service, Some(&machine.name), format!("it is {stage}{ready}{waits}"));
            found.push(suspect.seen_by(log).then(talosctl(machine, "services")).then(talosctl(machine, "dmesg")));
        }
        if let Some(look) = look {
            disks(machine, look, found);
            kernel(machine, node, look, found);
        }
    }

    /// Its own member of etcd.
    fn member(&self, machine: &Machine, told: &Told, look: Option<&Look>, found: &mut Vec<Suspect>) {
        let mut say = |what: String, next: &[String]| {
            let log = look.and_then(|look| look.logs.get("etcd")).cloned().unwrap_or_default();
            let suspect = Suspect::of(Rank::Member, Some(&machine.name), what).seen_by(log);
            found.push(next.iter().fold(suspect, |suspect, one| suspect.then(one)));
        };
        if let Some(why) = &told.unknown {
            let next = [talosctl(machine, "service etcd"), talosctl(machine, "logs etcd --tail 50")];
            return say(format!("its etcd does not answer: {why}"), &next);
        }
        for (_, alarm) in told.alarms.iter().filter(|(member, _)| *member == told.id) {
            match alarm.as_str() {
                "NOSPACE" => {
                    let next = format!("runbook plan talos-etcd-maintenance --cluster {}", self.cluster);
                    say("its database is full (alarm NOSPACE): etcd takes no writes until it is smaller and the alarm disarmed".into(), &[next]);
                }
                "CORRUPT" => say(
                    "its database is not that of the others (alarm CORRUPT): disarming mends nothing, it must leave and join anew".into(),
                    &[talosctl(machine, "etcd status"), talosctl(machine, "etcd members")],
                ),
                other => say(format!("alarm {other}"), &[talosctl(machine, "etcd alarm list")]),
            }
        }
        if told.learners.contains(&told.id) {
            say(
                "its etcd is a learner and does not vote yet: it catches up, or cannot".into(),
                &[talosctl(machine, "etcd status"), talosctl(machine, "logs etcd --tail 50")],
            );
        }
        if told.raft_applied.saturating_add(1000) < told.raft_index {
            say(
                format!("its etcd is {} entries behind its own log", told.raft_index - told.raft_applied),
                &[talosctl(machine, "etcd status")],
            );
        }
        if !told.errors.is_empty() && told.has_leader() && told.alarms.is_empty() {
            say(format!("its etcd says: {}", told.errors), &[talosctl(machine, "etcd status")]);
        }
    }

    fn kubernetes(&self, found: &mut Vec<Suspect>) {
        let nodes = match &self.kubernetes {
            Ok(nodes) => nodes,
            Err(why) => {
                let suspect = Suspect::of(Rank::Cluster, None, "Kubernetes does not answer").seen_by([why.clone()]);
                return found.push(suspect.then(format!("runbook do kubernetes.nodes cluster={}", self.cluster)));
            }
        };
        let next = format!("runbook do kubernetes.nodes cluster={}", self.cluster);
        for (machine, answer) in &self.survey.nodes {
            // What Kubernetes calls one that does not answer is not known; as a rule it is the machine's own name.
            let name = match answer {
                Answer::Said(node) => node.kubernetes_name.as_deref().unwrap_or(&machine.name),
                Answer::Not(_) => continue,
            };
            let say = |rank, what: String| Suspect::of(rank, Some(&machine.name), what).then(next.clone());
            match nodes.iter().find(|node| node.name == name) {
                None => found.push(say(Rank::Service, "Kubernetes does not know it".into())),
                Some(node) if node.ready != "True" => {
                    let why = node.reason.as_ref().map_or(String::new(), |why| format!(": {why}"));
                    found.push(say(Rank::Service, format!("Kubernetes does not call it ready{why}")));
                }
                Some(node) if !node.schedulable => {
                    let by = node.cordoned_by.as_ref().map_or(String::new(), |by| format!(": cordoned by {by}"));
                    found.push(say(Rank::Hint, format!("it takes no pods{by}")));
                }
                Some(_) => {}
            }
        }
    }

    /// Nodes that are not alike.
    fn odd(&self, found: &mut Vec<Suspect>) {
        let said = self.survey.nodes.iter().filter_map(|(machine, answer)| match answer {
            Answer::Said(node) => Some((machine, node)),
            Answer::Not(_) => None,
        });
        let said: Vec<(&Machine, &Node)> = said.collect();
        let mut versions = BTreeMap::<String, Vec<&str>>::new();
        let mut schematics = BTreeMap::<Option<&str>, usize>::new();
        for (machine, node) in &said {
            versions.entry(node.version.to_string()).or_default().push(&machine.name);
            *schematics.entry(node.schematic.as_deref()).or_default() += 1;
        }
        if versions.len() > 1 {
            let each: Vec<String> =
                versions.iter().map(|(version, names)| format!("{version} on {}", names.join(", "))).collect();
            let what = format!("the nodes do not run the same Talos: {}", each.join("; "));
            found.push(
                Suspect::of(Rank::Odd, None, what)
                    .then(format!("runbook plan talos-upgrade VERSION --cluster {}", self.cluster)),
            );
        }
        let Some((most, _)) = schematics.iter().max_by_key(|(_, count)| **count) else { return };
        for (machine, node) in said.iter().filter(|(_, node)| node.schematic.as_deref() != *most) {
            let (has, others) = (node.schematic.as_deref().unwrap_or("none"), most.unwrap_or("none"));
            let what = "it runs another schematic than most: its extensions may be gone".to_owned();
            let lines = [format!("it has {has}"), format!("most have {others}")];
            found.push(
                Suspect::of(Rank::Odd, Some(&machine.name), what)
                    .seen_by(lines)
                    .then(talosctl(machine, "get extensions")),
            );
        }
    }

    /// Each clock beside its server's, and, where they have been compared with one, beside each other.
    fn clocks(&self, found: &mut Vec<Suspect>) {
        let mut known = BTreeSet::new();
        for (machine, _) in &self.survey.nodes {
            let Some(look) = self.looks.get(&machine.name) else { continue };
            match &look.clock {
                Ok(clock) => {
                    known.insert((clock.ahead_ms, machine.name.as_str()));
                    if clock.ahead_ms.unsigned_abs() >= OFF_MS {
                        let what = format!("its clock is {} {}", by(clock.ahead_ms), clock.server);
                        let suspect = Suspect::of(Rank::Resource, Some(&machine.name), what);
                        found.push(suspect.then(talosctl(machine, "time")).then(talosctl(machine, "get timestatus")));
                    }
                }
                Err(why) => {
                    let what = format!("its clock cannot be compared with its time server's: {why}");
                    found.push(Suspect::of(Rank::Hint, Some(&machine.name), what).then(talosctl(machine, "time")));
                }
            }
        }
        if let (Some((least, behind)), Some((most, ahead))) = (known.first(), known.last())
            && most.abs_diff(*least) >= OFF_MS
        {
            let what =
                format!("the clocks of {behind} and {ahead} are {:.1} s apart", most.abs_diff(*least) as f64 / 1000.0);
            found.push(Suspect::of(Rank::Resource, None, what));
        }
    }

    /// Control planes that go down together with the Proxmox node that they share.
    fn hosts(&self, found: &mut Vec<Suspect>) {
        if let Err(why) = &self.guests {
            let suspect =
                Suspect::of(Rank::Hint, None, "Proxmox does not say how the guests are").seen_by([why.clone()]);
            found.push(suspect.then("runbook doctor"));
            return;
        }
        let planes: Vec<&Machine> =
            self.survey.nodes.iter().map(|(machine, _)| machine).filter(|one| one.control_plane).collect();
        let mut on = BTreeMap::<&str, Vec<&str>>::new();
        for machine in &planes {
            if let Some(host) = self.guest(machine).and_then(|guest| guest.node.as_ref()) {
                on.entry(host.as_str()).or_default().push(&machine.name);
            }
        }
        for (host, names) in
            on.iter().filter(|(_, names)| planes.len() > 2 && planes.len() - names.len() <= planes.len() / 2)
        {
            let what = format!("{} are all on {host}: with it etcd loses its quorum", names.join(" and "));
            found.push(Suspect::of(Rank::Hint, None, what).then("runbook do proxmox.guests"));
        }
    }
}

fn by(ahead_ms: i64) -> String {
    let word = if ahead_ms < 0 { "behind" } else { "ahead of" };
    format!("{:.1} s {word}", ahead_ms.unsigned_abs() as f64 / 1000.0)
}

fn services(machine: &Machine, look: &Look, etcd_is_said: bool, found: &mut Vec<Suspect>) {
    let services = match &look.services {
        Ok(services) => services,
        Err(why) => {
            let what = format!("it does not say how its services are: {why}");
            return found
                .push(Suspect::of(Rank::Service, Some(&machine.name), what).then(talosctl(machine, "services")));
        }
    };
    for one in services.iter().filter(|one| is_ill(one) && !(etcd_is_said && one.name == "etcd")) {
        let what = format!("its service {} is {}, health {}: {}", one.name, one.state, one.health, one.event);
        let log = look.logs.get(&one.name).cloned().unwrap_or_default();
        let suspect = Suspect::of(Rank::Service, Some(&machine.name), what).seen_by(log);
        found.push(
            suspect
                .then(talosctl(machine, &format!("service {}", one.name)))
                .then(talosctl(machine, &format!("logs {} --tail 50", one.name))),
        );
    }
}

fn disks(machine: &Machine, look: &Look, found: &mut Vec<Suspect>) {
    let mounts = match &look.mounts {
        Ok(mounts) => mounts,
        Err(why) => {
            let what = format!("it does not say how full its disks are: {why}");
            return found.push(Suspect::of(Rank::Hint, Some(&machine.name), what).then(talosctl(machine, "mounts")));
        }
    };
    for mount in mounts.iter().filter(|mount| mount.is_kept() && mount.used >= FULL) {
        let what = format!("{} ({}) is {:.0} % full", mount.on, mount.filesystem, mount.used);
        let suspect = Suspect::of(Rank::Resource, Some(&machine.name), what).then(talosctl(machine, "mounts"));
        found.push(suspect.then(talosctl(machine, &format!("usage {} --humanize --depth 2", mount.on))));
    }
}

fn kernel(machine: &Machine, node: &Node, look: &Look, found: &mut Vec<Suspect>) {
    let lines = match &look.kernel {
        Ok(lines) if lines.is_empty() => return,
        Ok(lines) => lines,
        Err(why) => {
            let what = format!("its kernel's log cannot be read: {why}");
            return found.push(Suspect::of(Rank::Hint, Some(&machine.name), what).then(talosctl(machine, "dmesg")));
        }
    };
    let fell_back = lines.iter().any(|line| line.contains("fallback to the previous boot entry"));
    let (rank, what) = match fell_back {
        true => {
            (Rank::Odd, format!("a new system did not boot: it went back by itself, and runs Talos {}", node.version))
        }
        false => (Rank::Hint, "its kernel's log has lines that tell of trouble".to_owned()),
    };
    let suspect = Suspect::of(rank, Some(&machine.name), what).seen_by(lines.iter().cloned());
    found.push(suspect.then(talosctl(machine, "dmesg")));
}
