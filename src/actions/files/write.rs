//! `file.write`: a local file with this content, written whole or not at all; or no file.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::Value;

use super::change::{self, Change};
use super::resource::{self, State};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::shell::quote as quoted;

/// The mode of a file that is new, where none is given.
const MODE: &str = "0644";

/// The action.
pub struct FileWrite {
    spec: ActionSpec,
    folder: PathBuf,
}

impl FileWrite {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = ActionSpec::new("file.write", Effect::Change, "Write a file on this machine, or remove it")
            .param(Param::new("path", ValueType::Path).required().help("The file; its folder must be there"))
            .param(Param::new("content", ValueType::String).help("All that is in it; required unless absent"))
            .param(
                Param::new("mode", ValueType::String)
                    .help("Its mode in octal, in quotes [default: as it is; \"0644\" for a new one]"),
            )
            .param(
                Param::new("absent", ValueType::Bool).default_value(false).help("It is not to be there: it is removed"),
            )
            .param(
                Param::new("secret", ValueType::Bool)
                    .default_value(false)
                    .help("Show no difference and keep nothing of what was there: then it cannot be undone"),
            )
            .param(Param::new("was", ValueType::String).help("Only where the file has this SHA-256 now"))
            .output("path", ValueType::Path, "The file, as an absolute path")
            .output("sha256", ValueType::String, "Of its content; null where it was removed")
            .output("changed", ValueType::Bool, "Whether it was another before")
            .needs_privilege("to write to the file's folder: it runs as the user of runbook")
            .undoable();
        Self { spec, folder }
    }

    fn change(&self, call: &Call, state: Option<&State>) -> Result<Change, Failure> {
        let path = change::path_of(call, &self.folder)?;
        let absent = call.get("absent") == true;
        let text: Option<String> = call.arg("content")?;
        let refuse = |cause: String| Err(Failure::new(Class::Precondition, format!("write {}", path.display()), cause));
        if absent == text.is_some() {
            return refuse("give one of `content` and `absent: true`".into());
        }
        let mode = match call.arg::<Option<String>>("mode")? {
            Some(mode) => match mode_of(&mode) {
                Some(mode) => mode,
                None => return refuse(format!("mode {mode:?}: expected octal digits in quotes, as \"0640\"")),
            },
            None => state.and_then(State::mode).unwrap_or(MODE).to_owned(),
        };
        let secret = call.get("secret") == true;
        Ok(Change { path, text, mode, secret, was: call.arg("was")? })
    }

    async fn now(&self, call: &Call, world: &dyn World) -> Result<(Change, State), Unreadable> {
        let state = resource::read(world, &change::path_of(call, &self.folder)?).await?;
        Ok((self.change(call, Some(&state))?, state))
    }

    /// As it was meant when its intent was written.
    fn meant(&self, call: &Call, before: &Value) -> Result<Change, Failure> {
        let state = State(std::sync::Arc::new(before.clone()));
        self.change(call, Some(&state))
    }
}

/// Four octal digits.
fn mode_of(text: &str) -> Option<String> {
    let fits = (3..=4).contains(&text.len()) && text.chars().all(|c| c.is_digit(8));
    fits.then(|| format!("{text:0>4}"))
}

#[async_trait]
impl Action for FileWrite {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (change, state) = self.now(call, world).await?;
        change.probe(&state)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        self.meant(call, &before.before).map(|change| change.predict(before)).unwrap_or_default()
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        self.meant(call, &intent.before)?.apply(intent, mutate)
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let state = resource::seen(world, &change::path_of(call, &self.folder)?).await?;
        self.change(call, Some(&state))?.verify(world).await
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        self.meant(call, &intent.before)?.recover(intent, world).await
    }

    fn undo(&self, _: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        change::undo(before, outputs)
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        change::undo_summary(&before.before)
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        let Ok(change) = self.meant(call, &before.before) else { return Vec::new() };
        let path = quoted(&change.path.display().to_string());
        match &change.text {
            None => vec![format!("rm {path}")],
            Some(_) if change.secret => Vec::new(),
            Some(text) => vec![format!("printf %s {} > {path} && chmod {} {path}", quoted(text), change.mode)],
        }
    }
}
