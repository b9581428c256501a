//! A file from what it is to what it is to be: what `file.write` and `yaml.set` have in common.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::diff::unified;
use super::resource::{self, State, will_be};
use crate::clients::local::{Local, sha256};
use crate::engine::ports::{Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::plan::Change as Symbol;
use crate::model::world::Delta;

/// Bytes of a file that the journal keeps for the way back.
pub const KEPT: usize = 64 << 10;

/// What a step wants of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute.
    pub path: PathBuf,
    /// `None`: it is not to be there.
    pub text: Option<String>,
    /// Of four octal digits.
    pub mode: String,
    /// Neither shown nor kept.
    pub secret: bool,
    /// The only digest that it may have before.
    pub was: Option<String>,
}

impl Change {
    pub fn attempted(&self) -> String {
        let act = if self.text.is_some() { "write" } else { "remove" };
        format!("{act} {}", self.path.display())
    }

    fn digest(&self) -> Value {
        json!(self.text.as_ref().map(|text| sha256(text.as_bytes())))
    }

    pub fn is_met(&self, state: &State) -> bool {
        match &self.text {
            None => state.is_absent(),
            Some(_) => state.is_file() && state.sha256() == self.digest() && state.mode() == Some(&self.mode),
        }
    }

    /// # Errors
    /// Something else is there than a file, or another one than was named.
    pub fn probe(&self, state: &State) -> Result<Probe, Unreadable> {
        let refuse = |cause: String| Failure::new(Class::Precondition, self.attempted(), cause);
        let mut probe = Probe::new(self.summary(state), self.before(state));
        if self.is_met(state) {
            probe.satisfied = true;
            let is = if self.text.is_some() { "is as it should be" } else { "is not there" };
            probe.summary = format!("{} {is}", self.path.display());
            return Ok(probe);
        }
        if !state.is_file() && !state.is_absent() {
            let cause = format!("{} is there", state.kind());
            return Err(refuse(cause).remedy("name the file itself: a link or a folder is not replaced").into());
        }
        if let Some(was) = &self.was
            && state.sha256() != was.as_str()
        {
            let cause = "the file is not the one that was named by `was`: somebody has changed it";
            return Err(refuse(cause.into()).remedy("look at it, and write it without `was` if it may be lost").into());
        }
        probe.change = match (&self.text, state.is_absent()) {
            (Some(_), true) => Some(Symbol::Create),
            _ => None,
        };
        probe.guards = vec![resource::unchanged(&self.path, state)];
        if self.secret {
            probe.notes.push("its content is not shown; it cannot be undone, since what was there is not kept".into());
        } else if let Some(before) = state.text().or(state.is_absent().then_some("")) {
            let lines = unified(before, self.text.as_deref().unwrap_or_default());
            if !lines.is_empty() {
                let path = self.path.display();
                probe.notes.push(format!("what is different:\n--- {path}\n+++ {path}\n{}", lines.join("\n")));
            }
        } else {
            probe.notes.push("what is there is no text of at most 4 MiB: no difference is shown".into());
        }
        Ok(probe)
    }

    fn summary(&self, state: &State) -> String {
        let path = self.path.display();
        match (&self.text, state.is_absent()) {
            (None, _) => format!("remove {path}"),
            (Some(text), true) => format!("write {path}: new, {} bytes, mode {}", text.len(), self.mode),
            (Some(_), false) if state.sha256() == self.digest() => {
                format!("{path}: mode {} -> {}", state.mode().unwrap_or("unknown"), self.mode)
            }
            (Some(text), false) => format!("write {path}: {} bytes, mode {}", text.len(), self.mode),
        }
    }

    /// What the way back needs.
    fn before(&self, state: &State) -> Value {
        let kept = state.text().filter(|text| !self.secret && text.len() <= KEPT);
        json!({
            "path": self.path, "there": state.is_file(), "sha256": state.sha256(), "mode": state.mode(), "text": kept,
        })
    }

    pub fn predict(&self, before: &Probe) -> Prediction {
        let outputs = self.outputs(!before.satisfied);
        let patch = will_be(self.text.as_deref(), self.digest().as_str().map(str::to_owned), &self.mode);
        let deltas = vec![Delta { resource: resource::key(&self.path), patch }];
        let Value::Object(outputs) = outputs else { return Prediction::default() };
        Prediction { deltas, outputs: outputs.into_iter().collect(), ..Prediction::default() }
    }

    pub fn outputs(&self, changed: bool) -> Value {
        json!({"path": self.path, "sha256": self.digest(), "changed": changed})
    }

    /// `intent` says what was there: it must still be.
    pub fn apply(&self, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let local = mutate.client::<Local>()?;
        let failed = |e: String| Failure::new(Class::Failed, self.attempted(), e).done(Done::None);
        let now = match local.file(&self.path).map_err(|e| failed(e.to_string()))? {
            crate::clients::local::FileState::File { bytes, .. } => json!(sha256(&bytes)),
            _ => Value::Null,
        };
        if now != intent.before["sha256"] {
            let cause = "it was changed by somebody else a moment ago";
            return Err(Failure::new(Class::Precondition, self.attempted(), cause)
                .remedy("look at it, then make a new plan: `runbook plan …`"));
        }
        let mode = u32::from_str_radix(&self.mode, 8).unwrap_or(0o600);
        let done = match &self.text {
            Some(text) => local.write(&self.path, text.as_bytes(), mode),
            None => local.remove(&self.path),
        };
        // A write is whole or nothing; only that its folder is on the disk may be missing.
        done.map_err(|e| failed(e.to_string()))?;
        Ok(self.outputs(true))
    }

    pub async fn verify(&self, world: &dyn World) -> Result<(), Failure> {
        let state = resource::seen(world, &self.path).await?;
        if self.is_met(&state) {
            return Ok(());
        }
        let cause = format!("it was done, and what is there is another: {}, mode {:?}", state.kind(), state.mode());
        Err(Failure::new(Class::Verify, self.attempted(), cause))
    }

    pub async fn recover(&self, intent: &Intent, world: &dyn World) -> Result<Recovery, Failure> {
        let state = resource::seen(world, &self.path).await?;
        if self.is_met(&state) {
            return Ok(Recovery::Done(self.outputs(true)));
        }
        if state.sha256() == intent.before["sha256"] {
            return Ok(Recovery::NotApplied);
        }
        Ok(Recovery::InDoubt(format!(
            "{} is neither what it was nor what it was to be: somebody else has changed it",
            self.path.display()
        )))
    }
}

/// Puts back what was there, where it was kept and nobody has changed it since.
pub fn undo(before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
    let mut with = Map::new();
    with.insert("path".into(), before["path"].clone());
    if before["there"] == true {
        with.insert("content".into(), json!(before["text"].as_str()?));
        with.insert("mode".into(), before["mode"].clone());
    } else {
        with.insert("absent".into(), json!(true));
    }
    if let Some(digest) = outputs.map(|outputs| &outputs["sha256"]).filter(|digest| digest.is_string()) {
        with.insert("was".into(), digest.clone());
    }
    Some(Invocation { uses: "file.write".into(), with: Value::Object(with) })
}

/// The same in words.
pub fn undo_summary(before: &Value) -> Option<String> {
    let path = before["path"].as_str()?;
    if before["there"] != true {
        return Some(format!("{path} is removed, unless somebody has changed it"));
    }
    before["text"].as_str()?;
    Some(format!("{path} is written as it was, unless somebody has changed it"))
}

/// An absolute path.
pub fn path_of(call: &Call, folder: &std::path::Path) -> Result<PathBuf, Failure> {
    let path: PathBuf = call.arg("path")?;
    if path.as_os_str().is_empty() || path.ends_with("..") {
        return Err(Failure::new(Class::Precondition, "write a file", format!("{path:?} names no file")));
    }
    Ok(folder.join(path))
}
