//! `talos.etcd_defragment`: one member of etcd gives back what its database does not use. It does not answer meanwhile, so that
//! etcd must go on without it, and a leader hands over first. Doing it twice does no harm.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ADMIN, NOSPACE, broken, but_for_space, bytes, ready, settled};
use crate::actions::deps::Timing;
use crate::actions::talos::guest;
use crate::actions::talos::source::TalosSource;
use crate::actions::talos::survey::{Answer, Survey};
use crate::actions::talos::text;
use crate::actions::talos::wait::Wait;
use crate::clients::talos::{MemberStatus, Talos, TalosError};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::shell;
use crate::model::talos::Minor;
use crate::model::world::Delta;
use crate::placement::quorum;

/// The act.
pub struct EtcdDefragment {
    spec: ActionSpec,
    timing: Timing,
}

/// The member before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    name: String,
    address: String,
    minor: Minor,
    size: String,
    in_use: u32,
    leads: bool,
    /// Whether anybody can lead in its stead.
    alone: bool,
}

/// How far it is: told to the journal before each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Forfeit,
    Defragment,
}

/// For a leader to hand over.
const HANDOVER: Duration = Duration::from_secs(30);

fn attempted(call: &Call) -> String {
    format!("defragment the etcd of {} on {}", text(call, "cluster"), text(call, "node"))
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a defragmentation", e.to_string()))
}

fn way<'a>(call: &Call, source: &'a TalosSource) -> Result<(&'a Talos, &'a str), Failure> {
    let (talos, address) = source.machine(text(call, "cluster"), text(call, "node"))?;
    Ok((talos, address.map_err(|why| Failure::new(Class::Precondition, attempted(call), why))?))
}

/// Whether it has given anything back.
fn is_smaller(before: &Before, now: &MemberStatus) -> bool {
    let smaller = bytes(&before.size).zip(bytes(&now.size)).is_some_and(|(was, is)| is < was);
    smaller || now.in_use.is_some_and(|share| share > before.in_use)
}

/// Why a member does not serve as it should; a full database is no reason.
fn not_yet(status: &MemberStatus) -> Option<String> {
    if status.learner || status.leader.trim_start_matches('0').is_empty() {
        return Some("it has no leader, or does not vote".to_owned());
    }
    (!status.errors.is_empty() && !status.errors.contains(NOSPACE)).then(|| status.errors.clone())
}

impl EtcdDefragment {
    pub fn new(timing: Timing) -> Self {
        let spec =
            ActionSpec::new("talos.etcd_defragment", Effect::Disrupt, "Defragment one member of a cluster's etcd")
                .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
                .param(Param::new("node", ValueType::String).required().help("The control plane's name in the profile"))
                .param(
                    Param::new("most", ValueType::Int)
                        .default_value(90)
                        .help("A member of whose database so many percent are in use is left alone"),
                )
                .param(
                    Param::new("within", ValueType::Duration)
                        .default_value(json!(300_000))
                        .help("How long it may take until it serves again"),
                )
                .output("node", ValueType::String, "Its name")
                .output("before", ValueType::String, "The size of its database before, as 20 MB")
                .output("after", ValueType::String, "And after")
                .output("in_use", ValueType::Int, "How much of it is in use, in percent")
                .output("forfeited", ValueType::Bool, "Whether it led and has handed over")
                .needs_privilege("VM.Audit on /vms")
                .needs_privilege(ADMIN);
        Self { spec, timing }
    }

    /// Until another leads.
    async fn hand_over(&self, call: &Call, before: &Before, talos: &Talos, mutate: &Mutate) -> Result<(), Failure> {
        let (attempted, minor) = (attempted(call), before.minor);
        talos.forfeit_leadership(minor, &before.address).await.map_err(|e| broken(&attempted, &e).done(Done::None))?;
        let until = Instant::now() + HANDOVER;
        loop {
            let status = talos.etcd_status(Some(minor), &before.address).await;
            if status.is_ok_and(|status| status.leader != status.id && not_yet(&status).is_none()) {
                return Ok(());
            }
            if mutate.stop.sleep(self.timing.poll).await || Instant::now() >= until {
                let cause = format!("{} was asked to hand over, and leads still", before.name);
                return Err(Failure::new(Class::Failed, attempted, cause).done(Done::None));
            }
        }
    }

    async fn send(&self, call: &Call, before: &Before, talos: &Talos, mutate: &Mutate) -> Result<(), Failure> {
        if before.leads && !before.alone {
            mutate.checkpoint(json!(Phase::Forfeit)).await?;
            self.hand_over(call, before, talos, mutate).await?;
        }
        mutate.checkpoint(json!(Phase::Defragment)).await?;
        match talos.defragment(before.minor, &before.address).await {
            Ok(()) => Ok(()),
            // It may be at it still: the member itself says when it serves again.
            Err(TalosError::Deadline { .. }) => {
                mutate.log("talosctl did not end; the member itself is asked");
                Ok(())
            }
            Err(error) => {
                let done = if error.is_unreachable() { Done::Unknown } else { Done::None };
                Err(broken(&attempted(call), &error).done(done))
            }
        }
    }

    /// Until the member serves as before.
    async fn serving(
        &self,
        call: &Call,
        before: &Before,
        talos: &Talos,
        mutate: &Mutate,
    ) -> Result<MemberStatus, Failure> {
        let wait = Wait::of(call, self.timing)?;
        loop {
            let why = match talos.etcd_status(Some(before.minor), &before.address).await {
                Ok(status) => match not_yet(&status) {
                    None => return Ok(status),
                    Some(why) => why,
                },
                Err(error @ TalosError::Program(_)) => return Err(broken(&attempted(call), &error).done(Done::Unknown)),
                Err(error) => error.to_string(),
            };
            let passed = wait.pass(mutate, attempted(call), &format!("{}: {why}", before.name)).await;
            passed.map_err(|failure| {
                failure.done(Done::Unknown).remedy("`runbook run talos-diagnose` shows what is wrong")
            })?;
        }
    }
}

fn outputs(before: &Before, after: &MemberStatus) -> Value {
    json!({"node": before.name, "before": before.size, "after": after.size, "in_use": after.in_use,
        "forfeited": before.leads && !before.alone})
}

#[async_trait]
impl Action for EtcdDefragment {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let survey = Survey::of(world, text(call, "cluster")).await?;
        let (name, most) = (text(call, "node"), call.arg::<u32>("most")?);
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let planes = || survey.nodes.iter().filter(|(machine, _)| machine.control_plane);
        let found = planes().zip(&survey.etcd).zip(&survey.told).find(|((plane, _), _)| plane.0.name == name);
        let Some((((machine, node), etcd), told)) =
            found.map(|(((machine, node), etcd), told)| (((machine, node), etcd), told))
        else {
            let names: Vec<&str> = planes().map(|(machine, _)| machine.name.as_str()).collect();
            return Err(refused(format!("{name} is no control plane; there are {}", names.join(", "))).into());
        };
        let (Answer::Said(node), Answer::Said(etcd)) = (node, etcd) else {
            let why = told.unknown.clone().unwrap_or_else(|| "it does not answer".to_owned());
            return Err(Failure::new(Class::Unreachable, attempted(call), why).into());
        };
        ready(&attempted(call), &survey.told, name)?;
        let Some(in_use) = etcd.status.in_use else {
            return Err(refused("it does not say how much of its database is in use".to_owned()).into());
        };
        let before = Before {
            cluster: text(call, "cluster").to_owned(),
            name: name.to_owned(),
            address: machine.address.clone().unwrap_or_default(),
            minor: node.version.minor(),
            size: etcd.status.size.clone(),
            in_use,
            leads: told.leader == told.id,
            alone: survey.told.len() == 1,
        };
        let first = if before.leads && !before.alone { "; it leads, and hands over first" } else { "" };
        let summary = format!("defragment the etcd of {name}: {}, {in_use} % in use{first}", before.size);
        let mut probe = Probe::new(summary, json!(before));
        if in_use >= most {
            probe.satisfied = true;
            probe.summary = format!("{name}: {in_use} % of {} are in use, there is nothing to give back", before.size);
            return Ok(probe);
        }
        if before.alone {
            probe.notes.push("etcd has this one member: Kubernetes' API does not answer meanwhile".to_owned());
        }
        probe.identities.extend(guest::identity(machine, world).await?);
        Ok(probe)
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = Before::deserialize(&probe.before) else { return Prediction::default() };
        let resource = ResourceKey::new(format!("talos/{}/etcd/{}", before.cluster, before.name));
        let mut outputs = vec![("node", json!(before.name)), ("before", json!(before.size))];
        if probe.satisfied {
            outputs.extend([
                ("after", json!(before.size)),
                ("in_use", json!(before.in_use)),
                ("forfeited", json!(false)),
            ]);
        }
        Prediction {
            // How small it gets is seen afterwards.
            deltas: vec![Delta { resource, patch: json!({"bytes": null}) }],
            outputs: outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Prediction::default()
        }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = way(call, &source)?;
        self.send(call, &before, talos, mutate).await?;
        Ok(outputs(&before, &self.serving(call, &before, talos, mutate).await?))
    }

    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, _) = way(call, &source)?;
        let status = self.serving(call, &before, talos, mutate).await?;
        if is_smaller(&before, &status) {
            return Ok(outputs(&before, &status));
        }
        // Nothing came of the request, or it was never sent. The others may not be as they were.
        let attempted = attempted(call);
        let survey = settled(&attempted, Survey::of(&*source, &before.cluster).await)?;
        ready(&attempted, &survey.told, &before.name).map_err(|failure| failure.done(Done::None))?;
        mutate.log("nothing came of the request: it is sent again");
        let before = Before { leads: status.leader == status.id, ..before };
        self.send(call, &before, talos, mutate).await?;
        Ok(outputs(&before, &self.serving(call, &before, talos, mutate).await?))
    }

    async fn verify(&self, call: &Call, before: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let (attempted, name) = (attempted(call), text(call, "node"));
        let survey = settled(&attempted, Survey::of(world, text(call, "cluster")).await)?;
        let verify = |cause: String| Err(Failure::new(Class::Verify, attempted.clone(), cause));
        if let Some(first) = quorum::findings(&but_for_space(&survey.told)).into_iter().next() {
            return verify(first);
        }
        let own = survey.told.iter().zip(&survey.etcd).find(|(one, _)| one.name == name).map(|(_, etcd)| etcd);
        let (Some(Answer::Said(etcd)), Ok(before)) = (own, Before::deserialize(before)) else {
            return verify(format!("{name} does not answer"));
        };
        if !is_smaller(&before, &etcd.status) {
            let share = etcd.status.in_use.unwrap_or_default();
            return verify(format!(
                "its database is no smaller: {} -> {}, {share} % in use",
                before.size, etcd.status.size
            ));
        }
        Ok(())
    }

    async fn recover(&self, _: &Call, _: &Intent, handle: Option<&Value>, _: &dyn World) -> Result<Recovery, Failure> {
        Ok(match handle {
            None => Recovery::Unseen { done: Done::None, evidence: "nothing had been asked of the member".into() },
            Some(handle) => Recovery::Running(handle.clone()),
        })
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let Ok(before) = Before::deserialize(&before.before) else { return Vec::new() };
        let line = |last: &str| {
            shell::line(["talosctl", "--endpoints", &before.address, "--nodes", &before.address, "etcd", last])
        };
        let first = (before.leads && !before.alone).then(|| line("forfeit-leadership"));
        first.into_iter().chain([line("defrag")]).collect()
    }
}
