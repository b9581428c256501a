//! Stand-ins for what acts on this machine: a rehearsal runs no command and writes no file. Each act is remembered as
//! done until it is undone, so that what a run says of it is judged as what it says of the lab is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::objects::Listed;
use crate::app::needs::acts_here;
use crate::engine::ports::{
    Action, Actions, Call, Mutate, Prediction, Probe, Reading, Recovery, Source, Unreadable, World,
};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::ValueType;
use crate::model::world::Delta;

/// Says that a call takes back what the same call has done.
const TAKE_BACK: &str = "rehearsal takes back";

/// What was done outside of the lab in one rehearsed run.
#[derive(Clone, Default)]
pub(super) struct Outside(Arc<Mutex<BTreeMap<String, Value>>>);

impl Outside {
    fn done(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The actions, with a stand-in for each that is not the lab's.
    pub fn stand_in(&self, actions: Actions) -> Actions {
        let stand_in = |(name, honest): (String, Arc<dyn Action>)| -> (String, Arc<dyn Action>) {
            if !acts_here(&name) {
                return (name, honest);
            }
            (name, Arc::new(StandIn { honest, outside: self.clone() }))
        };
        actions.into_iter().map(stand_in).collect()
    }

    /// A state without what a run says that it has left and no action has an inverse for: its author has said why, and the
    /// plan has shown it.
    pub fn without_lasting(state: &Value, listed: &Listed) -> Value {
        let mut state = state.clone();
        let Some(Value::Object(done)) = state.get_mut("outside") else { return state };
        done.retain(|name, undoable| *undoable == true || !listed.now.contains_key(&format!("outside/{name}")));
        if done.is_empty()
            && let Value::Object(sections) = &mut state
        {
            sections.remove("outside");
        }
        state
    }

    /// The lab's state with what was done beside it; true for an act that has an inverse.
    pub fn beside(&self, mut state: Value) -> Value {
        let done = self.done();
        if !done.is_empty() {
            state["outside"] = json!(*done);
        }
        state
    }
}

/// The site's source, but for files of this machine, which a rehearsal has not: a backup that is named is a whole one.
pub(super) struct Files(pub Arc<dyn Source>);

#[async_trait]
impl Source for Files {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        match resource.as_str().starts_with("backup/file/") {
            true => Ok(json!({"bytes": 0, "sha256": "", "encrypted": false})),
            false => self.0.fetch(resource).await,
        }
    }
}

struct StandIn {
    honest: Arc<dyn Action>,
    outside: Outside,
}

/// What a call does, under a name of its own.
fn name(action: &str, call: &Call) -> String {
    let mut with = call.with.clone();
    if let Value::Object(with) = &mut with {
        with.remove(TAKE_BACK);
    }
    let digest: String = Sha256::digest(with.to_string()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{action}-{digest}")
}

impl StandIn {
    fn name(&self, call: &Call) -> String {
        name(&self.spec().name, call)
    }

    /// As the call wants it.
    fn is_met(&self, call: &Call) -> bool {
        self.outside.done().contains_key(&self.name(call)) != takes_back(call)
    }

    /// A value of each output's type, as after something that went well.
    fn outputs(&self) -> Value {
        let value = |ty: ValueType| match ty {
            ValueType::Bool => json!(true),
            ValueType::Int | ValueType::Float => json!(0),
            ValueType::List => json!([]),
            ValueType::Map | ValueType::Any => json!({}),
            _ => json!(""),
        };
        let outputs: Map<String, Value> =
            self.spec().outputs.iter().map(|output| (output.name.clone(), value(output.ty))).collect();
        Value::Object(outputs)
    }
}

fn takes_back(call: &Call) -> bool {
    call.get(TAKE_BACK) == true
}

#[async_trait]
impl Action for StandIn {
    fn spec(&self) -> &ActionSpec {
        self.honest.spec()
    }

    async fn read(&self, _: &Call, _: &dyn World) -> Result<Reading, Unreadable> {
        let summary = format!("{} (rehearsed: not looked at)", self.spec().name);
        Ok(Reading { outputs: self.outputs(), summary, guards: Vec::new(), notes: Vec::new() })
    }

    async fn probe(&self, call: &Call, _: &dyn World) -> Result<Probe, Unreadable> {
        let mut probe = Probe::new(format!("{} (rehearsed: not done)", self.spec().name), Value::Null);
        probe.satisfied = self.is_met(call);
        Ok(probe)
    }

    fn predict(&self, call: &Call, _: &Probe) -> Prediction {
        let Value::Object(outputs) = self.outputs() else { return Prediction::default() };
        let done = Delta {
            resource: format!("outside/{}", self.name(call)).as_str().into(),
            patch: json!({"": self.spec().undoable}),
        };
        let deltas = if takes_back(call) { Vec::new() } else { vec![done] };
        Prediction { deltas, outputs: outputs.into_iter().collect(), ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, _: &Intent, _: &Mutate) -> Result<Value, Failure> {
        let name = self.name(call);
        let mut done = self.outside.done();
        if takes_back(call) {
            done.remove(&name);
        } else if done.insert(name, json!(self.spec().undoable)).is_some() {
            let cause = "it was done a second time, though it was done already";
            return Err(Failure::new(Class::Internal, format!("rehearse step {}", call.path), cause));
        }
        Ok(self.outputs())
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, _: &dyn World) -> Result<(), Failure> {
        match self.is_met(call) {
            true => Ok(()),
            false => Err(Failure::new(Class::Verify, format!("rehearse step {}", call.path), "it was not done")),
        }
    }

    async fn recover(&self, call: &Call, _: &Intent, _: Option<&Value>, _: &dyn World) -> Result<Recovery, Failure> {
        Ok(if self.is_met(call) { Recovery::Done(self.outputs()) } else { Recovery::NotApplied })
    }

    fn undo(&self, call: &Call, _: &Value, _: Option<&Value>) -> Option<Invocation> {
        if !self.spec().undoable || self.spec().effect == Effect::Read {
            return None;
        }
        let mut with = call.with.clone();
        with[TAKE_BACK] = json!(true);
        Some(Invocation { uses: self.spec().name.clone(), with })
    }

    fn undo_summary(&self, _: &Call, _: &Probe) -> Option<String> {
        self.spec().undoable.then(|| "it is taken back (rehearsed)".to_owned())
    }
}
