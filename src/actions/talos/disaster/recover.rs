//! `talos.recover_etcd`: one control plane begins etcd again with a snapshot, and the others join it. It is over when all of
//! them vote, and the database is no older than the snapshot.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{LOOKS, Planes, broken, cluster_param, lost_param, plane, plane_key, seen, settled, text};
use crate::actions::deps::Timing;
use crate::actions::talos::backup::resource;
use crate::actions::talos::source::TalosSource;
use crate::actions::talos::survey::{Answer, Survey};
use crate::actions::talos::wait::Wait;
use crate::clients::talos::{Recovered, Talos, TalosError};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::shell;
use crate::model::talos::Version;
use crate::model::world::Delta;
use crate::placement::lost::{self, Standing};
use crate::placement::quorum::{self, Told};

/// A database of some gigabytes is read again.
const READING: Duration = Duration::from_secs(600);

/// The act.
pub struct RecoverEtcd {
    spec: ActionSpec,
    timing: Timing,
    folder: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    name: String,
    address: String,
    version: Version,
    snapshot: PathBuf,
    /// The control planes that become members.
    present: Vec<String>,
}

/// How far it is: told to the journal before each request, and what was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    said: Option<Recovered>,
}

fn attempted(call: &Call) -> String {
    format!("restore the etcd of {} on {}", text(call, "cluster"), text(call, "node"))
}

fn meant(before: &Value) -> Result<Before, Failure> {
    let before = Before::deserialize(before);
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a restore", e.to_string()))
}

/// What is not yet as it should be among those that are to be members.
fn missing(before: &Before, told: &[Told]) -> Option<String> {
    let present: Vec<Told> = told.iter().filter(|one| before.present.contains(&one.name)).cloned().collect();
    let mut found = quorum::findings(&present).into_iter();
    // Two members are as many as there are to be had.
    found.find(|finding| before.present.len() != 2 || !finding.contains("two members"))
}

impl RecoverEtcd {
    /// `folder`: where relative paths begin.
    pub fn new(timing: Timing, folder: PathBuf) -> Self {
        let title = "Begin the etcd of a Talos cluster again with a snapshot, once it has lost its quorum and is wiped";
        let spec = ActionSpec::new("talos.recover_etcd", Effect::Change, title)
            .param(cluster_param())
            .param(Param::new("node", ValueType::String).required().help("The control plane to begin on"))
            .param(
                Param::new("snapshot", ValueType::Path)
                    .required()
                    .help("A plain, whole snapshot; a relative path begins at the configuration's folder"),
            )
            .param(
                Param::new("sha256", ValueType::String)
                    .help("The SHA-256 that it must have still, as talos.etcd_verify said it"),
            )
            .param(lost_param())
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(1_200_000))
                    .help("How long it may take until all control planes that answer are voting members"),
            )
            .output("node", ValueType::String, "Where it was begun")
            .output("members", ValueType::List, "Names of the control planes that are members now")
            .output("hash", ValueType::String, "Of the snapshot, as talosctl said it; null where a crash has lost it")
            .output("revision", ValueType::Int, "The snapshot's, likewise: whatever was written after it is lost")
            .output("keys", ValueType::Int, "How many keys are in the snapshot; likewise")
            .output("revision_now", ValueType::Int, "etcd's when all were members again")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig")
            .anew();
        Self { spec, timing, folder }
    }

    /// Until all who are to be members are, and vote.
    async fn joined(
        &self,
        call: &Call,
        before: &Before,
        said: Option<&Recovered>,
        mutate: &Mutate,
    ) -> Result<Value, Failure> {
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = source.machine(&before.cluster, &before.name)?;
        let wait = Wait::of(call, self.timing)?;
        loop {
            let why = match self.look(call, before, &source).await? {
                None => break,
                Some(why) => why,
            };
            let passed = wait.pass(mutate, attempted(call), &why).await;
            passed.map_err(|failure| {
                failure.done(Done::Partial).remedy(format!(
                    "etcd was begun on {}: see `runbook run talos-status --cluster {}`; do not bootstrap another one",
                    before.name, before.cluster
                ))
            })?;
        }
        let outputs = self.compared(call, before, said, talos).await?;
        let restored = said.map_or_else(|| "the snapshot".to_owned(), |said| format!("revision {}", said.revision));
        mutate.log(&format!(
            "{} vote; etcd is at revision {}, restored from {restored}: whatever was written after that is lost",
            before.present.join(", "),
            outputs["revision_now"]
        ));
        Ok(outputs)
    }

    /// What is not yet there.
    async fn look(&self, call: &Call, before: &Before, source: &TalosSource) -> Result<Option<String>, Failure> {
        let mut told = Vec::new();
        for name in &before.present {
            let (talos, address) = source.machine(&before.cluster, name)?;
            let address = address.map_err(|why| Failure::new(Class::Precondition, attempted(call), why))?;
            let now = seen(talos, address).await.map_err(|e| broken(&attempted(call), &e, Done::Partial))?;
            if !matches!(now.standing, Standing::Member { .. }) {
                let plane = lost::Plane { name: name.clone(), standing: now.standing, named: false };
                return Ok(Some(lost::line(&plane)));
            }
            told.push(source.told(&before.cluster, name).await?);
        }
        Ok(missing(before, &told))
    }

    /// The database as it is now, beside what was in the snapshot.
    async fn compared(
        &self,
        call: &Call,
        before: &Before,
        said: Option<&Recovered>,
        talos: &Talos,
    ) -> Result<Value, Failure> {
        let minor = Some(before.version.minor());
        let now = talos.weigh(minor, &before.address, READING).await.map_err(|e| {
            Failure::new(Class::Verify, attempted(call), format!("its revision cannot be read: {e}")).done(Done::Whole)
        })?;
        if let Some(said) = said.filter(|said| now.revision < said.revision) {
            let cause = format!("etcd is at revision {}, and the snapshot is of {}", now.revision, said.revision);
            return Err(Failure::new(Class::Verify, attempted(call), cause)
                .done(Done::Whole)
                .remedy("what runs there is not what is in the snapshot: take nothing from it, and restore again"));
        }
        Ok(json!({
            "node": before.name, "members": before.present, "hash": said.map(|said| &said.hash),
            "revision": said.map(|said| said.revision), "keys": said.map(|said| said.keys),
            "revision_now": now.revision,
        }))
    }
}

#[async_trait]
impl Action for RecoverEtcd {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, name) = (text(call, "cluster"), text(call, "node"));
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let planes = Planes::of(world, cluster, &call.arg::<Vec<String>>("lost")?).await?;
        planes.are_lost(&attempted(call))?;
        if let Some((_, _, plane)) = planes.present().find(|(_, seen, _)| seen.standing != Standing::Empty) {
            let failure = refused(format!("not all of them wait without data: {}", lost::line(plane)));
            return Err(failure.details(planes.lines()).remedy("wipe it first: talos.wipe_etcd").into());
        }
        let found = planes.present().find(|(machine, ..)| machine.name == name);
        let (machine, seen, _) = found.ok_or_else(|| refused(format!("{name} is no control plane that answers")))?;
        let (Some(version), Some(address)) = (&seen.version, &machine.address) else {
            return Err(refused(format!("{name} does not say what it runs")).into());
        };
        let snapshot: PathBuf = call.arg("snapshot")?;
        let before = Before {
            cluster: cluster.to_owned(),
            name: name.to_owned(),
            address: address.clone(),
            version: version.clone(),
            snapshot: self.folder.join(snapshot),
            present: planes.present().map(|(machine, ..)| machine.name.clone()).collect(),
        };
        let summary = format!("{name}: etcd of {cluster} begins again with {}", before.snapshot.display());
        Ok(Probe::new(summary, json!(before)))
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = meant(&probe.before) else { return Prediction::default() };
        let cluster = &before.cluster;
        let member = |name: &String| Delta {
            resource: ResourceKey::new(format!("talos/{cluster}/etcd/{name}")),
            patch: json!({"member": true}),
        };
        // Which revision is only known by then.
        let data =
            Delta { resource: ResourceKey::new(format!("talos/{cluster}/data")), patch: json!({"restored": null}) };
        let why = format!("{} begins etcd again by then", before.name);
        Prediction {
            deltas: before.present.iter().map(member).chain([data]).collect(),
            taints: before.present.iter().map(|name| (plane_key(cluster, name), why.clone())).collect(),
            outputs: [("node".to_owned(), json!(before.name)), ("members".to_owned(), json!(before.present))].into(),
        }
    }

    /// The file is looked at immediately before.
    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        let path = self.folder.join(call.arg::<PathBuf>("snapshot")?);
        let wanted: Option<String> = call.arg("sha256")?;
        let seen: Option<resource::Seen> = resource::seen(world, &resource::file(&path)).await?;
        let refused = |cause: String| {
            Err(Failure::new(Class::Precondition, attempted(call), format!("{}: {cause}", path.display())))
        };
        match seen {
            None => refused("there is no such file".into()),
            Some(resource::Seen::Broken { why }) => refused(why),
            Some(resource::Seen::Whole { encrypted: true, .. }) => refused("it is encrypted: decrypt it first".into()),
            Some(resource::Seen::Whole { sha256, .. }) => match wanted.filter(|wanted| *wanted != sha256) {
                Some(wanted) => refused(format!("it is another file by now: its SHA-256 is {sha256}, not {wanted}")),
                None => Ok(json!({"sha256": sha256})),
            },
        }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(&intent.before)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = source.machine(&before.cluster, &before.name)?;
        mutate.checkpoint(json!(Asked { said: None })).await?;
        let path = before.snapshot.display().to_string();
        let said = match talos.recover(before.version.minor(), &before.address, &path).await {
            Ok(said) => said,
            Err(error) => {
                let done = match &error {
                    TalosError::Strange { .. } => Done::Unknown,
                    error if error.is_unreachable() => Done::Unknown,
                    _ => Done::None,
                };
                let remedy =
                    "nothing was begun: see why it says so, and run etcd-restore again; what is wiped is left alone";
                let failure = broken(&attempted(call), &error, done);
                return Err(if done == Done::None { failure.remedy(remedy) } else { failure });
            }
        };
        mutate.log(&format!("snapshot: hash {}, revision {}, {} keys", said.hash, said.revision, said.keys));
        mutate.checkpoint(json!(Asked { said: Some(said.clone()) })).await.map_err(|f| f.done(Done::Unknown))?;
        self.joined(call, &before, Some(&said), mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let said = Asked::deserialize(handle).ok().and_then(|asked| asked.said);
        self.joined(call, &meant(&intent.before)?, said.as_ref(), mutate).await
    }

    async fn verify(&self, call: &Call, before: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let before = meant(before)?;
        let survey = Survey::of(world, &before.cluster).await.map_err(|why| settled(&attempted(call), why))?;
        let verify = |cause: String| Err(Failure::new(Class::Verify, attempted(call), cause));
        if let Some(why) = missing(&before, &survey.told) {
            return verify(why);
        }
        let mute = survey.nodes.iter().find_map(|(machine, answer)| match answer {
            Answer::Not(why) if before.present.contains(&machine.name) => Some(format!("{}: {why}", machine.name)),
            _ => None,
        });
        mute.map_or(Ok(()), verify)
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = meant(&intent.before)?;
        let Some(handle) = handle else {
            return Ok(Recovery::Unseen { done: Done::None, evidence: "nothing had been asked of the node".into() });
        };
        let begun = Asked::deserialize(handle).is_ok_and(|asked| asked.said.is_some());
        for _ in 0..LOOKS {
            let now =
                plane(world, &before.cluster, &before.name).await.map_err(|why| settled(&attempted(call), why))?;
            if begun || now.standing != Standing::Empty {
                return Ok(Recovery::Running(handle.clone()));
            }
            tokio::time::sleep(self.timing.poll).await;
        }
        let evidence = format!("the etcd of {} still waits without data", before.name);
        Ok(Recovery::Unseen { done: Done::None, evidence })
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let Ok(before) = meant(&before.before) else { return Vec::new() };
        let (address, path) = (before.address.as_str(), before.snapshot.display().to_string());
        let words = ["talosctl", "--endpoints", address, "--nodes", address, "bootstrap", "--recover-from", &path];
        vec![shell::line(words)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(n: u64, members: u64) -> Told {
        Told {
            name: format!("cp{n}"),
            unknown: None,
            id: format!("{n:016x}"),
            members: (1..=members).map(|n| format!("{n:016x}")).collect(),
            learners: Vec::new(),
            leader: format!("{:016x}", 1),
            raft_index: 5,
            raft_applied: 5,
            alarms: Vec::new(),
            errors: String::new(),
        }
    }

    #[test]
    fn only_those_that_are_to_be_members_are_waited_for() {
        let present = |names: &[&str]| Before {
            cluster: "prod".into(),
            name: "cp1".into(),
            address: "10.0.0.51".into(),
            version: "1.11.2".parse().unwrap(),
            snapshot: "/b/db".into(),
            present: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let three = present(&["cp1", "cp2", "cp3"]);
        let all: Vec<Told> = (1..=3).map(|n| told(n, 3)).collect();
        assert_eq!(missing(&three, &all), None);
        let alone: Vec<Told> = (1..=3).map(|n| told(n, 1)).collect();
        assert!(missing(&three, &alone).unwrap().contains("etcd has 1 members, and there are 3 control planes"));
        let mut silent = told(3, 2);
        silent.unknown = Some("no answer".into());
        let two = [told(1, 2), told(2, 2), silent];
        assert_eq!(missing(&present(&["cp1", "cp2"]), &two), None, "cp3 is gone for good");
        assert!(missing(&three, &two).unwrap().contains("cp3: nothing is known"));
    }
}
