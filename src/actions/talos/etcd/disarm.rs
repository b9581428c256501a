//! `talos.etcd_disarm`: the alarms of full databases are disarmed, and it is looked whether one rings again. An alarm that says
//! more than that is never disarmed here.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ADMIN, NOSPACE, alarmed, broken, but_for_space, refuse_corrupt, settled};
use crate::actions::deps::Timing;
use crate::actions::talos::source::TalosSource;
use crate::actions::talos::survey::{Answer, Survey};
use crate::clients::talos::TalosError;
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
pub struct EtcdDisarm {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    /// Any member disarms all alarms: this one is asked.
    node: String,
    address: String,
    minor: Minor,
    /// Whose alarms ring.
    ringing: Vec<String>,
    planes: Vec<String>,
}

fn cluster(call: &Call) -> &str {
    call.get("cluster").as_str().unwrap_or_default()
}

fn attempted(call: &Call) -> String {
    format!("disarm the alarms of the etcd of {}", cluster(call))
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a disarming", e.to_string()))
}

/// A database that is as full as it was before rings again with the next write.
fn rings(call: &Call, names: &[&str]) -> Failure {
    let cause = format!("the alarm {NOSPACE} rings again: {}", names.join(", "));
    Failure::new(Class::Verify, attempted(call), cause).done(Done::None).remedy(
        "its database is in use up to its quota: delete what is not needed in Kubernetes (events, old secrets of Helm, leases), wait for the API \
         server's compaction (5 min), run this again; or raise quota-backend-bytes in cluster.etcd.extraArgs of the machine configuration",
    )
}

impl EtcdDisarm {
    pub fn new(timing: Timing) -> Self {
        let spec =
            ActionSpec::new("talos.etcd_disarm", Effect::Change, "Disarm alarms of full databases of a cluster's etcd")
                .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
                .param(
                    Param::new("quiet", ValueType::Duration)
                        .default_value(json!(30_000))
                        .help("How long no alarm may ring again before it counts"),
                )
                .output("disarmed", ValueType::List, "Names of the members whose alarms rang")
                .needs_privilege(ADMIN);
        Self { spec, timing }
    }

    /// For so long none may ring.
    async fn quiet(
        &self,
        call: &Call,
        before: &Before,
        source: &std::sync::Arc<TalosSource>,
        mutate: &Mutate,
    ) -> Result<Value, Failure> {
        let until = Instant::now() + Duration::from_millis(call.arg("quiet")?);
        loop {
            let survey = settled(&attempted(call), Survey::of(&**source, &before.cluster).await)?;
            let names = alarmed(&survey.told, NOSPACE);
            if !names.is_empty() {
                return Err(rings(call, &names));
            }
            if Instant::now() >= until {
                return Ok(json!({"disarmed": before.ringing}));
            }
            mutate.progress("no alarm rings; it is watched for a while", None);
            if mutate.stop.sleep(self.timing.poll.max(Duration::from_millis(200))).await {
                let cause = "it was stopped while it watched whether an alarm rings again; none had";
                return Err(Failure::new(Class::Failed, attempted(call), cause).done(Done::Whole));
            }
        }
    }
}

#[async_trait]
impl Action for EtcdDisarm {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let survey = Survey::of(world, cluster(call)).await?;
        let attempted = attempted(call);
        refuse_corrupt(&attempted, &survey.told)?;
        let found = quorum::findings(&but_for_space(&survey.told));
        if let Some(first) = found.first() {
            let failure = Failure::new(Class::Precondition, attempted, first.clone()).details(found);
            return Err(failure.remedy("`runbook run talos-diagnose` shows what is wrong").into());
        }
        let planes = || survey.nodes.iter().filter(|(machine, _)| machine.control_plane);
        let asked = planes().find_map(|(machine, node)| match node {
            Answer::Said(node) => Some((machine, node.version.minor())),
            Answer::Not(_) => None,
        });
        let Some((machine, minor)) = asked else {
            return Err(Failure::new(Class::Unreachable, attempted, "no control plane answers").into());
        };
        let ringing: Vec<String> = alarmed(&survey.told, NOSPACE).into_iter().map(str::to_owned).collect();
        let before = Before {
            cluster: cluster(call).to_owned(),
            node: machine.name.clone(),
            address: machine.address.clone().unwrap_or_default(),
            minor,
            planes: planes().map(|(machine, _)| machine.name.clone()).collect(),
            ringing: ringing.clone(),
        };
        let mut probe = Probe::new(format!("disarm the alarm {NOSPACE} of {}", ringing.join(", ")), json!(before));
        if ringing.is_empty() {
            probe.satisfied = true;
            probe.summary = format!("no alarm of the etcd of {} rings", cluster(call));
        }
        Ok(probe)
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = Before::deserialize(&probe.before) else { return Prediction::default() };
        let delta = |name: &String| {
            let resource = ResourceKey::new(format!("talos/{}/etcd/{name}", before.cluster));
            let mut patch = json!({"alarms": []});
            if before.ringing.contains(name) {
                patch["alarm"] = Value::Null;
            }
            Delta { resource, patch }
        };
        Prediction {
            deltas: before.planes.iter().map(delta).collect(),
            outputs: [("disarmed".to_owned(), json!(before.ringing))].into(),
            ..Prediction::default()
        }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let attempted = attempted(call);
        let source = mutate.client::<TalosSource>()?;
        let (talos, address) = source.machine(&before.cluster, &before.node)?;
        let address = address.map_err(|why| Failure::new(Class::Precondition, attempted.clone(), why))?;
        if let Err(error) = talos.disarm(before.minor, address).await {
            let done = match &error {
                TalosError::Program(_) => Done::None,
                error if error.is_unreachable() => Done::Unknown,
                _ => Done::None,
            };
            return Err(broken(&attempted, &error).done(done));
        }
        mutate.checkpoint(json!("quiet")).await.map_err(|failure| failure.done(Done::Whole))?;
        self.quiet(call, &before, &source, mutate).await
    }

    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.quiet(call, &meant(intent)?, &mutate.client::<TalosSource>()?, mutate).await
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let survey = settled(&attempted(call), Survey::of(world, cluster(call)).await)?;
        let names = alarmed(&survey.told, NOSPACE);
        if names.is_empty() { Ok(()) } else { Err(rings(call, &names)) }
    }

    async fn recover(
        &self,
        call: &Call,
        _: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let survey = settled(&attempted(call), Survey::of(world, cluster(call)).await)?;
        if let Some(one) = survey.told.iter().find(|one| one.unknown.is_some()) {
            return Ok(Recovery::InDoubt(format!("{}: nothing is known of its etcd", one.name)));
        }
        let names = alarmed(&survey.told, NOSPACE);
        Ok(match names.is_empty() {
            true => Recovery::Running(json!("quiet")),
            false => Recovery::Unseen { done: Done::None, evidence: format!("the alarm rings: {}", names.join(", ")) },
        })
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let Ok(Before { address, .. }) = Before::deserialize(&before.before) else { return Vec::new() };
        vec![shell::line(["talosctl", "--endpoints", &address, "--nodes", &address, "etcd", "alarm", "disarm"])]
    }
}
