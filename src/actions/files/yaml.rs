//! `yaml.set`: values in a YAML file, with its comments and its layout kept.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::change::{self, Change};
use super::resource::{self, State};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::load::yaml_edit;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct YamlSet {
    spec: ActionSpec,
    folder: PathBuf,
}

impl YamlSet {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec =
            ActionSpec::new("yaml.set", Effect::Change, "Set values in a YAML file, and leave the rest as it is")
                .param(Param::new("path", ValueType::Path).required().help("The file; it must be there"))
                .param(
                    Param::new("values", ValueType::Map)
                        .required()
                        .help("Values by their paths: cluster.nodes.0.ip; quotes round a key with a point: a.\"b.c\""),
                )
                .output("path", ValueType::Path, "The file, as an absolute path")
                .output("sha256", ValueType::String, "Of its content")
                .output("changed", ValueType::Bool, "Whether a value was another before")
                .needs_privilege("to write to the file's folder: it runs as the user of runbook")
                .undoable();
        Self { spec, folder }
    }

    /// What becomes of the file as it is now.
    fn change(&self, call: &Call, state: &State) -> Result<Change, Failure> {
        let path = change::path_of(call, &self.folder)?;
        let values: Map<String, Value> = call.arg("values")?;
        let attempted = format!("set values in {}", path.display());
        let refuse = |cause: String| Failure::new(Class::Precondition, &attempted, cause);
        if values.is_empty() {
            return Err(refuse("`values` is empty".into()));
        }
        let Some(text) = state.text().filter(|_| state.is_file()) else {
            let cause = if state.is_file() {
                "it is no text of at most 4 MiB".into()
            } else {
                format!("{} there", state.kind())
            };
            return Err(refuse(cause));
        };
        let mut text = text.to_owned();
        for (at, value) in &values {
            text = yaml_edit::set(&text, at, value)
                .map_err(|e| refuse(e.to_string()).remedy("edit it by hand, or write the whole file: file.write"))?;
        }
        let mode = state.mode().unwrap_or("0644").to_owned();
        Ok(Change { path, text: Some(text), mode, secret: false, was: None })
    }

    /// Whether all of them are there, whatever else has changed.
    fn is_set(call: &Call, state: &State) -> Result<bool, Failure> {
        let values: Map<String, Value> = call.arg("values")?;
        let text = state.text().unwrap_or_default();
        Ok(values.iter().all(|(at, value)| yaml_edit::get(text, at).is_ok_and(|now| now.as_ref() == Some(value))))
    }

    async fn now(&self, call: &Call, world: &dyn World) -> Result<State, Failure> {
        resource::seen(world, &change::path_of(call, &self.folder)?).await
    }
}

/// The file as an intent found it: all of it where it was small enough to be kept.
fn kept(before: &Value) -> State {
    let mut state = before.clone();
    state["kind"] = json!(if before["there"] == true { "file" } else { "absent" });
    State(std::sync::Arc::new(state))
}

#[async_trait]
impl Action for YamlSet {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let state = resource::read(world, &change::path_of(call, &self.folder)?).await?;
        let change = self.change(call, &state)?;
        let mut probe = change.probe(&state)?;
        let values: Map<String, Value> = call.arg("values")?;
        if !probe.satisfied {
            let names: Vec<&str> = values.keys().map(String::as_str).collect();
            probe.summary = format!("{}: set {}", change.path.display(), names.join(", "));
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let change = self.change(call, &kept(&before.before));
        change.map(|change| change.predict(before)).unwrap_or_default()
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let local = mutate.client::<crate::clients::local::Local>()?;
        let path = change::path_of(call, &self.folder)?;
        let failed = |cause: String| Failure::new(Class::Failed, format!("set values in {}", path.display()), cause);
        let now = local.file(&path).map_err(|e| failed(e.to_string()))?;
        let crate::clients::local::FileState::File { bytes, mode } = now else {
            return Err(failed("it is not there any more".into()));
        };
        let text = String::from_utf8(bytes).map_err(|e| failed(e.to_string()))?;
        let state = State(std::sync::Arc::new(json!({"kind": "file", "mode": format!("{mode:04o}"), "text": text})));
        self.change(call, &state)?.apply(intent, mutate)
    }

    async fn verify(&self, call: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let state = self.now(call, world).await?;
        if state.sha256() == outputs["sha256"] || Self::is_set(call, &state)? {
            return Ok(());
        }
        let cause = "it was written, and the values are not there";
        Err(Failure::new(Class::Verify, format!("set values in {}", outputs["path"]), cause))
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let state = self.now(call, world).await?;
        if Self::is_set(call, &state)? {
            return Ok(Recovery::Done(
                json!({"path": intent.before["path"], "sha256": state.sha256(), "changed": true}),
            ));
        }
        if state.sha256() == intent.before["sha256"] {
            return Ok(Recovery::NotApplied);
        }
        Ok(Recovery::InDoubt("the file is another than before, and the values are not in it".into()))
    }

    fn undo(&self, _: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        change::undo(before, outputs)
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        change::undo_summary(&before.before)
    }
}
