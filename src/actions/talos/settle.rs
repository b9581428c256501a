//! A node that was told to boot, until it is as wanted. What talosctl says of the reboot counts for nothing: the node itself
//! says which version it runs, with which schematic, since which boot, and whether its services and its etcd are well.

use super::broken;
use super::source::{Node, TalosSource, node as ask_node};
use super::survey::Members;
use super::wait::Wait;
use crate::clients::talos::{Stage, Talos, TalosError};
use crate::engine::ports::Mutate;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::talos::Version;
use crate::placement::quorum;

/// How it is to be.
pub(super) struct Wanted<'a> {
    pub cluster: &'a str,
    pub name: &'a str,
    pub address: &'a str,
    pub control_plane: bool,
    /// What ran before, and the word for that boot.
    pub was: (&'a Version, &'a str),
    pub version: Version,
    /// Nothing: any.
    pub schematic: Option<&'a str>,
}

/// What was seen of it.
enum Seen {
    /// As wanted and whole, since this boot.
    Whole(String),
    /// It may still become so.
    NotYet(String),
    /// It never will by itself.
    Never(Failure),
}

/// Another than wanted is said only when all of it runs: whoever takes it back, or gives it its pods, finds it well then.
fn once_up(name: &str, stage: &Stage, failure: Failure) -> Seen {
    if stage.stage == "running" && stage.ready {
        return Seen::Never(failure);
    }
    Seen::NotYet(format!("{name} is {}, waits for {}; {}", stage.stage, stage.unmet.join(", "), failure.cause))
}

impl Wanted<'_> {
    /// Waits; the word for its boot.
    ///
    /// # Errors
    /// It is another than wanted, which waiting does not change; or its time is up.
    pub async fn settled(
        &self,
        talos: &Talos,
        wait: &Wait,
        mutate: &Mutate,
        attempted: String,
    ) -> Result<String, Failure> {
        loop {
            let why = match self.look(talos, &attempted).await? {
                Seen::Whole(boot_id) => return Ok(boot_id),
                Seen::Never(failure) => return Err(failure),
                Seen::NotYet(why) => why,
            };
            if let Err(failure) = wait.pass(mutate, attempted.as_str(), &why).await {
                return Err(still_waits(failure, mutate, self.cluster, self.name).await);
            }
        }
    }

    async fn look(&self, talos: &Talos, attempted: &str) -> Result<Seen, Failure> {
        let name = self.name;
        let node = match ask_node(talos, self.address).await {
            Ok(node) => node,
            Err(error @ TalosError::Program(_)) => return Err(broken(attempted.to_owned(), &error, Done::Unknown)),
            Err(error) => return Ok(Seen::NotYet(format!("{name} does not answer: {error}"))),
        };
        let (was, booted) = self.was;
        if node.boot_id == booted {
            return Ok(Seen::NotYet(format!("{name} has not rebooted yet")));
        }
        if node.version != self.version {
            let cause = match node.version == *was {
                true => format!(
                    "it rebooted and runs {} again: the new one did not come up, and it went back by itself",
                    node.version
                ),
                false => format!("it rebooted, and runs {}", node.version),
            };
            let remedy = format!("see why: `talosctl --nodes {} dmesg`; nothing else was begun", self.address);
            let failure = Failure::new(Class::Verify, attempted, cause).done(Done::Partial).remedy(remedy);
            return Ok(once_up(name, &node.stage, failure));
        }
        if let Some(expected) = self.schematic
            && node.schematic.as_deref() != Some(expected)
        {
            let has = node.schematic.as_deref().unwrap_or("none");
            let cause =
                format!("it runs {} with schematic {has}, not {expected}: its extensions may be gone", node.version);
            let remedy = format!("`talosctl --nodes {} get extensions` says what it has", self.address);
            let failure = Failure::new(Class::Verify, attempted, cause).done(Done::Whole).remedy(remedy);
            return Ok(once_up(name, &node.stage, failure));
        }
        Ok(match unready(talos, name, self.address, &node, self.control_plane).await {
            Some(why) => Seen::NotYet(why),
            None => Seen::Whole(node.boot_id),
        })
    }
}

/// Why a node that answers is not whole: it says itself what it waits for, and its etcd whether it takes part.
pub(super) async fn unready(
    talos: &Talos,
    name: &str,
    address: &str,
    node: &Node,
    control_plane: bool,
) -> Option<String> {
    if node.stage.stage != "running" || !node.stage.ready {
        return Some(format!("{name} is {}, waits for {}", node.stage.stage, node.stage.unmet.join(", ")));
    }
    if !control_plane {
        return None;
    }
    match talos.etcd_status(Some(node.version.minor()), address).await {
        Ok(status) if !status.errors.is_empty() => Some(format!("{name}: etcd says {}", status.errors)),
        Ok(status) if status.learner || status.leader.trim_start_matches('0').is_empty() => {
            Some(format!("{name}: its etcd has no leader yet, or does not vote"))
        }
        Ok(_) => None,
        Err(error) => Some(format!("{name}: etcd: {error}")),
    }
}

/// Nobody waits for the node any longer. What it waits for itself may be the other members of etcd: they are asked once, when
/// the time is up.
pub(super) async fn still_waits(failure: Failure, mutate: &Mutate, cluster: &str, name: &str) -> Failure {
    let mut failure = failure
        .done(Done::Unknown)
        .remedy(format!("see `runbook run talos-status --cluster {cluster}`, and the node's console"));
    if failure.class == Class::Timeout
        && let Ok(source) = mutate.client::<TalosSource>()
        && let Ok(members) = Members::of(&*source, cluster).await
    {
        let others = members.planes.iter().filter(|plane| plane.name != name);
        for found in others.flat_map(|plane| quorum::findings_of(&members.told, &plane.name)) {
            failure.cause = format!("{}; {found}", failure.cause);
        }
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_went_back_has_failed_only_when_it_is_up() {
        let failure = || Failure::new(Class::Verify, "upgrade cp3", "it went back by itself");
        let stage = |stage: &str, ready| Stage { stage: stage.into(), ready, unmet: vec!["nodeReady: no".into()] };
        for (stage, why) in [
            (stage("booting", false), "cp3 is booting, waits for nodeReady: no; it went back by itself"),
            (stage("running", false), "cp3 is running, waits for nodeReady: no; it went back by itself"),
        ] {
            assert!(matches!(once_up("cp3", &stage, failure()), Seen::NotYet(told) if told == why), "{why}");
        }
        assert!(matches!(once_up("cp3", &stage("running", true), failure()), Seen::Never(_)));
    }
}
