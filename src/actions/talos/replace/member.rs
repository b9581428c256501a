//! `talos.remove_member`: a member of etcd whose machine is gone is struck from the list, and every other control plane says so.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{is_listed, members_called, others, troubles};
use crate::actions::talos::source::TalosSource;
use crate::actions::talos::survey::Survey;
use crate::actions::talos::text;
use crate::clients::talos::TalosError;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::world::Delta;
use crate::placement::quorum;

/// The act.
pub struct TalosRemoveMember {
    spec: ActionSpec,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    name: String,
    member: String,
    /// The control plane that is asked.
    by: String,
}

impl Default for TalosRemoveMember {
    fn default() -> Self {
        let title = "Strike a member from the etcd of a Talos cluster";
        let spec = ActionSpec::new("talos.remove_member", Effect::Disrupt, title)
            .param(Param::new("cluster", ValueType::String).required().help("Its profile's name"))
            .param(Param::new("node", ValueType::String).required().help("The control plane that it was, by its name"))
            .param(
                Param::new("member", ValueType::String)
                    .help("Its number, sixteen hexadecimal digits; where absent, the only member of that name"),
            )
            .param(
                Param::new("healthy", ValueType::Bool)
                    .default_value(false)
                    .help("Whether it may be one that answers: its machine loses its data"),
            )
            .output("member", ValueType::String, "Its number; empty: there was none")
            .needs_privilege("none of Proxmox: the role os:admin of a talosconfig");
        Self { spec }
    }
}

fn attempted(call: &Call) -> String {
    format!("strike {} from the etcd of {}", text(call, "node"), text(call, "cluster"))
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = Before::deserialize(&intent.before);
    before.map_err(|e| Failure::new(Class::Internal, "read what a probe found", e.to_string()))
}

async fn survey(call: &Call, world: &dyn World) -> Result<Survey, Failure> {
    Survey::of(world, text(call, "cluster")).await.map_err(|why| match why {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => Failure::new(Class::Internal, attempted(call), why),
    })
}

/// Which of several is meant.
fn chosen(call: &Call, ids: Vec<String>) -> Result<Option<String>, Failure> {
    let given = text(call, "member");
    if !given.is_empty() {
        return Ok(Some(given.to_owned()).filter(|given| ids.contains(given)));
    }
    let mut ids = ids.into_iter();
    match (ids.next(), ids.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => {
            let cause = "etcd has several members of that name";
            Err(Failure::new(Class::Precondition, attempted(call), cause).remedy("say member: its number"))
        }
    }
}

#[async_trait]
impl Action for TalosRemoveMember {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let survey = Survey::of(world, text(call, "cluster")).await?;
        let name = text(call, "node");
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let (said, silent) = others(&survey, name);
        if let Some(first) = silent.first() {
            let failure = refused(format!("{first} does not say who the members are"));
            return Err(failure.remedy("see `runbook run talos-status`: all other control planes must answer").into());
        }
        let Some(member) = chosen(call, members_called(&said, name))? else {
            let before = Before {
                cluster: text(call, "cluster").into(),
                name: name.into(),
                member: String::new(),
                by: String::new(),
            };
            let mut probe = Probe::new(format!("{name}: no control plane lists it as a member"), json!(before));
            probe.satisfied = true;
            return Ok(probe);
        };
        let own = survey.told.iter().find(|one| one.name == name);
        let answers = own.is_some_and(|one| one.unknown.is_none() && one.id == member);
        if answers && call.get("healthy") != &json!(true) {
            if world.is_planned() && world.is_disturbed() {
                return Err(Unreadable::Later(format!("{name}: is struck from etcd's list once its machine is off")));
            }
            let failure = refused(format!("member {member} answers on {name}"));
            return Err(failure.remedy("stop its machine first, or say healthy: true if it is meant").into());
        }
        if let Some(first) = troubles(&survey, name).into_iter().next() {
            return Err(refused(first).remedy("mend etcd first: see `runbook run talos-status`").into());
        }
        quorum::goes_on_without(&survey.told, name).map_err(refused)?;
        let by = said.first().map(|(by, _)| (*by).to_owned()).unwrap_or_default();
        let before = Before { cluster: text(call, "cluster").into(), name: name.into(), member, by };
        let summary = format!("{name}: member {} is struck from etcd's list, for good", before.member);
        let mut probe = Probe::new(summary, json!(before));
        probe.change = Some(Change::Destroy);
        Ok(probe)
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = Before::deserialize(&probe.before) else { return Prediction::default() };
        let outputs = [("member".to_owned(), json!(before.member))].into();
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let resource = ResourceKey::new(format!("talos/{}/etcd/{}", before.cluster, before.name));
        Prediction {
            deltas: vec![Delta { resource, patch: json!({"member": false}) }],
            outputs,
            ..Prediction::default()
        }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let source = mutate.client::<TalosSource>()?;
        let (talos, address) = source.machine(&before.cluster, &before.by)?;
        let address = address.map_err(|why| Failure::new(Class::Precondition, attempted(call), why))?;
        let failed = |error: &TalosError| Failure::new(Class::Failed, attempted(call), error.to_string());
        let version = talos.version(address).await.map_err(|e| failed(&e).done(Done::None))?;
        mutate.checkpoint(json!({"asked": before.by})).await?;
        match talos.remove_member(version.version.minor(), address, &before.member).await {
            Ok(()) => {}
            // Somebody was faster; whether all agree is looked at next.
            Err(error) if error.to_string().contains("code = NotFound") => {}
            Err(error @ TalosError::Program(_)) => return Err(failed(&error).done(Done::None)),
            Err(error) if error.is_unreachable() => return Err(failed(&error).lost()),
            Err(error) => return Err(failed(&error).done(Done::None)),
        }
        Ok(json!({"member": before.member}))
    }

    async fn verify(&self, call: &Call, before: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let survey = survey(call, world).await?;
        let (said, silent) = others(&survey, text(call, "node"));
        let failed = |cause: String| Err(Failure::new(Class::Verify, attempted(call), cause));
        if let Some(first) = silent.first() {
            return failed(format!("{first} does not say who the members are"));
        }
        match is_listed(&said, before["member"].as_str().unwrap_or_default()) {
            true => failed("not all control planes have struck it from their list".into()),
            false => Ok(()),
        }
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = meant(intent)?;
        let survey = survey(call, world).await?;
        let (said, silent) = others(&survey, &before.name);
        if let Some(first) = silent.first() {
            return Ok(Recovery::InDoubt(format!("{first} does not say who the members are")));
        }
        Ok(match is_listed(&said, &before.member) {
            false => Recovery::Done(json!({"member": before.member})),
            true => Recovery::Unseen { done: Done::None, evidence: format!("{} is on the list", before.member) },
        })
    }

    fn commands(&self, _: &Call, probe: &Probe) -> Vec<String> {
        let Ok(before) = Before::deserialize(&probe.before) else { return Vec::new() };
        let words = ["talosctl", "--nodes", &before.by, "etcd", "remove-member", &before.member];
        vec![crate::model::shell::line(words)]
    }
}
