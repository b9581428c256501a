//! A node that was told to boot, until it is as wanted. What talosctl says of the reboot counts for nothing: the node itself
//! says which version it runs, with which schematic, since which boot, and whether its services and its etcd are well.

use super::broken;
use super::source::node as ask_node;
use super::wait::Wait;
use crate::clients::talos::{Stage, Talos, TalosError};
use crate::engine::ports::Mutate;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::talos::Version;

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
            let passed = wait.pass(mutate, attempted.as_str(), &why).await;
            passed.map_err(|failure| {
                failure.done(Done::Unknown).remedy(format!(
                    "see `runbook run talos-status --cluster {}`, and the node's console",
                    self.cluster
                ))
            })?;
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
        if node.stage.stage != "running" || !node.stage.ready {
            let unmet = node.stage.unmet.join(", ");
            return Ok(Seen::NotYet(format!("{name} is {}, waits for {unmet}", node.stage.stage)));
        }
        if self.control_plane {
            match talos.etcd_status(Some(node.version.minor()), self.address).await {
                Ok(status) if !status.errors.is_empty() => {
                    return Ok(Seen::NotYet(format!("{name}: etcd says {}", status.errors)));
                }
                Ok(status) if status.learner || status.leader.trim_start_matches('0').is_empty() => {
                    return Ok(Seen::NotYet(format!("{name}: its etcd has no leader yet, or does not vote")));
                }
                Ok(_) => {}
                Err(error) => return Ok(Seen::NotYet(format!("{name}: etcd: {error}"))),
            }
        }
        Ok(Seen::Whole(node.boot_id))
    }
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
