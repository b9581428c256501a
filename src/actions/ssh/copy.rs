//! `ssh.copy`: puts a file on a host, or takes one away.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::file::{self, Found, Seen, Write};
use super::order::over;
use super::resource::{Resource, What};
use super::{host, known, seen};
use crate::actions::local::resource::Resource as Here;
use crate::actions::local::source::{SHORT, sha256};
use crate::clients::local::Local;
use crate::clients::ssh::Ssh;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::shell;
use crate::model::world::{Delta, Identity};

/// For sending a file of at most 64 MiB.
const SEND: Duration = Duration::from_secs(600);
/// What a new file gets whose mode is not said.
const MODE: &str = "644";

/// The action.
pub struct SshCopy {
    spec: ActionSpec,
    folder: PathBuf,
}

/// What a step asks for.
struct Ask {
    host: String,
    to: String,
    content: Content,
    mode: Option<String>,
    replaces: Option<String>,
    secret: bool,
}

enum Content {
    Text(String),
    /// Absolute, on this machine.
    Local(PathBuf),
    Gone,
}

/// What is to be there in the end.
enum Goal {
    File(Seen),
    Gone,
}

impl SshCopy {
    /// `folder`: where relative paths of `src` begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = ActionSpec::new("ssh.copy", Effect::Change, "Put a file on a host over SSH")
            .param(host())
            .param(Param::new("to", ValueType::Path).required().help("Where it is to be: an absolute path of the host"))
            .param(
                Param::new("src", ValueType::Path)
                    .help("A file of this machine, at most 64 MiB, from the configuration's folder; or give content"),
            )
            .param(Param::new("content", ValueType::String).help("The whole text; or give src"))
            .param(Param::new("absent", ValueType::Bool).default_value(false).help("Take the file away instead"))
            .param(Param::new("mode", ValueType::String).help("As \"0644\" [default: as it is, of a new file 0644]"))
            .param(
                Param::new("replaces", ValueType::String)
                    .help("SHA-256 of the one file that may be replaced or taken away; another is left alone"),
            )
            .param(
                Param::new("secret", ValueType::Bool).default_value(false).help(
                    "What is there and what comes is neither shown nor kept, so an older file cannot be put back",
                ),
            )
            .output("sha256", ValueType::String, "Of what is there; null where it was taken away")
            .output("mode", ValueType::String, "Likewise: 644")
            .output("changed", ValueType::Bool, "Whether anything was done")
            .needs_privilege("no privilege of the site's; a login by SSH that may write to the folder there")
            .undoable();
        Self { spec, folder }
    }

    fn ask(&self, call: &Call) -> Result<Ask, Failure> {
        let refuse = |cause: String| Err(Failure::new(Class::Precondition, "copy over SSH", cause));
        let (src, text): (Option<PathBuf>, Option<String>) = (call.arg("src")?, call.arg("content")?);
        let content = match (src, text, call.arg::<Option<bool>>("absent")?.unwrap_or(false)) {
            (Some(path), None, false) => Content::Local(self.folder.join(path)),
            (None, Some(text), false) => Content::Text(text),
            (None, None, true) => Content::Gone,
            _ => return refuse("give one of `src`, `content` and `absent: true`".into()),
        };
        let to: String = call.arg("to")?;
        if !to.starts_with('/') || to.ends_with('/') {
            return refuse(format!("to: {to:?}: expected an absolute path of a file, as /etc/motd"));
        }
        let given: Option<String> = call.arg("mode")?;
        let mode = given.as_ref().map(|mode| mode.trim_start_matches('0').to_owned());
        if mode.as_ref().is_some_and(|m| m.is_empty() || m.len() > 4 || !m.chars().all(|c| ('0'..='7').contains(&c))) {
            return refuse(format!("mode: {:?}: expected octal digits, as \"0644\"", given.unwrap_or_default()));
        }
        let secret = call.arg::<Option<bool>>("secret")?.unwrap_or(false);
        Ok(Ask { host: call.arg("host")?, to, content, mode, replaces: call.arg("replaces")?, secret })
    }
}

impl Ask {
    fn place(&self) -> String {
        format!("{}:{}", self.host, self.to)
    }

    fn attempted(&self) -> String {
        match &self.content {
            Content::Gone => format!("remove {}", self.place()),
            Content::Text(_) => format!("write {}", self.place()),
            Content::Local(path) => format!("copy {} to {}", path.display(), self.place()),
        }
    }

    fn there(&self) -> Resource {
        Resource::new(&self.host, What::File(self.to.clone()))
    }

    async fn now(&self, world: &dyn World) -> Result<Found, Failure> {
        self.read(known(world, &self.there()).await?)
    }

    fn read(&self, value: Value) -> Result<Found, Failure> {
        let wrong = |e: serde_json::Error| Failure::new(Class::Internal, self.attempted(), e.to_string());
        serde_json::from_value(value).map_err(wrong)
    }

    async fn goal(&self, world: &dyn World, now: &Found) -> Result<Goal, Unreadable> {
        let mode = match (&self.mode, now) {
            (Some(mode), _) => mode.clone(),
            (None, Found::File(seen)) => seen.mode.clone(),
            (None, _) => MODE.to_owned(),
        };
        let (size, digest, text) = match &self.content {
            Content::Gone => return Ok(Goal::Gone),
            Content::Text(text) => {
                let short = (text.len() <= SHORT).then(|| text.clone());
                (text.len() as u64, sha256(text.as_bytes()), short)
            }
            Content::Local(path) => {
                let read = world.read(&Here::File(path.clone()).key()).await?.known(&path.display().to_string())?;
                let (Some(size), Some(digest)) = (read["size"].as_u64(), read["sha256"].as_str()) else {
                    let cause = format!("{}: there is no such file", path.display());
                    return Err(Failure::new(Class::Precondition, self.attempted(), cause).into());
                };
                (size, digest.to_owned(), read["text"].as_str().map(str::to_owned))
            }
        };
        Ok(Goal::File(Seen { mode, size, sha256: digest, text }))
    }

    /// Another file than the one that may be replaced is somebody's work.
    fn may_replace(&self, now: &Found) -> Result<(), Failure> {
        let refuse = |cause: String| Err(Failure::new(Class::Precondition, self.attempted(), cause));
        match (now, &self.replaces) {
            (Found::Other, _) => refuse(format!("{} is no file", self.place())),
            (Found::File(seen), Some(digest)) if seen.sha256 != *digest => {
                refuse(format!("another file is there by now: expected SHA-256 {digest}, got {}", seen.sha256))
            }
            (Found::Absent, Some(digest)) => refuse(format!("expected a file of SHA-256 {digest}, and there is none")),
            _ => Ok(()),
        }
    }
}

fn is_so(goal: &Goal, now: &Found) -> bool {
    match (goal, now) {
        (Goal::Gone, Found::Absent) => true,
        (Goal::File(goal), Found::File(now)) => goal.sha256 == now.sha256 && goal.mode == now.mode,
        _ => false,
    }
}

fn outputs(goal: &Goal, changed: bool) -> Value {
    match goal {
        Goal::File(goal) => json!({"sha256": goal.sha256, "mode": goal.mode, "changed": changed}),
        Goal::Gone => json!({"sha256": null, "mode": null, "changed": changed}),
    }
}

/// `1234 bytes, mode 644`
fn told(seen: &Seen) -> String {
    format!("{} bytes, mode {}", seen.size, seen.mode)
}

/// What differs, as a person reads it: the lines between what is alike at the beginning and at the end.
fn difference(old: &str, new: &str) -> Vec<String> {
    const MOST: usize = 10;
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let side = |sign: char, lines: &[&str]| -> Vec<String> {
        let shown = lines.iter().take(MOST).map(|line| format!("{sign} {line}"));
        let rest = lines.len().saturating_sub(MOST);
        shown.chain((rest > 0).then(|| format!("{sign} ({rest} lines more)"))).collect()
    };
    let mut told = vec![format!("from line {}:", head + 1)];
    told.extend(side('-', &old[..old.len() - tail]));
    told.extend(side('+', &new[..new.len() - tail]));
    told
}

#[async_trait]
impl Action for SshCopy {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let ask = self.ask(call)?;
        let mut now = ask.read(seen(world, &ask.there()).await?)?;
        let mut goal = ask.goal(world, &now).await?;
        let mut notes = Vec::new();
        if ask.secret {
            hide(&mut now, &mut goal);
        }
        let (change, summary) = match (&goal, &now) {
            (Goal::Gone, _) => (Change::Destroy, ask.attempted()),
            (Goal::File(new), Found::File(old)) => {
                if let (Some(a), Some(b)) = (&old.text, &new.text)
                    && a != b
                {
                    notes = difference(a, b);
                }
                (Change::Change, format!("{}: {} -> {}", ask.attempted(), told(old), told(new)))
            }
            (Goal::File(new), _) => (Change::Create, format!("{}: {}", ask.attempted(), told(new))),
        };
        let satisfied = is_so(&goal, &now);
        if !satisfied {
            ask.may_replace(&now)?;
        }
        let before =
            json!({"found": now, "goal": match &goal { Goal::File(seen) => json!(seen), Goal::Gone => Value::Null }});
        let mut probe = Probe::new(summary, before);
        (probe.satisfied, probe.change) = (satisfied, Some(change));
        if satisfied {
            probe.summary = match &goal {
                Goal::File(_) => format!("{} is so already", ask.place()),
                Goal::Gone => format!("{} is not there", ask.place()),
            };
        } else {
            probe.notes = notes;
        }
        if let (Content::Local(path), Goal::File(goal)) = (&ask.content, &goal) {
            probe.identities = vec![Identity {
                object: format!("the file {}", path.display()),
                resource: Here::File(path.clone()).key(),
                expect: vec![("/sha256".into(), json!(goal.sha256))],
            }];
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(ask) = self.ask(call) else { return Prediction::default() };
        let goal = serde_json::from_value::<Seen>(before.before["goal"].clone()).map_or(Goal::Gone, Goal::File);
        let Value::Object(outputs) = outputs(&goal, !before.satisfied) else { return Prediction::default() };
        let exists = matches!(goal, Goal::File(_));
        let found = match goal {
            Goal::File(seen) => Found::File(seen),
            Goal::Gone => Found::Absent,
        };
        let path = Resource::new(&ask.host, What::Path(ask.to.clone()));
        Prediction {
            deltas: vec![
                Delta { resource: ask.there().key(), patch: json!(found) },
                Delta { resource: path.key(), patch: json!({"exists": exists}) },
            ],
            outputs: outputs.into_iter().collect(),
            ..Prediction::default()
        }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let (ask, ssh) = (self.ask(call)?, mutate.client::<Ssh>()?);
        let bytes = match &ask.content {
            Content::Gone => {
                file::remove(&ssh, &ask.host, &ask.to, SEND).await?;
                return Ok(outputs(&Goal::Gone, true));
            }
            Content::Text(text) => text.clone().into_bytes(),
            Content::Local(path) => {
                let read = mutate.client::<Local>()?.read(path);
                let gone = || Failure::new(Class::Precondition, ask.attempted(), "the file is gone");
                read.map_err(|e| Failure::new(Class::Precondition, ask.attempted(), e))?.ok_or_else(gone)?
            }
        };
        let goal: Seen = serde_json::from_value(intent.before["goal"].clone())
            .map_err(|e| Failure::new(Class::Internal, "read the intent of a copy", e.to_string()))?;
        let digest = sha256(&bytes);
        if digest != goal.sha256 {
            let cause = "the file has changed since it was looked at a moment ago";
            return Err(Failure::new(Class::Precondition, ask.attempted(), cause));
        }
        let end = format!("runbook-{}", call.run.as_ref().map_or("", |run| run.as_str()));
        let write = Write { path: &ask.to, mode: &goal.mode, sha256: &digest, end: &end, bytes: &bytes };
        let remark = file::write(&ssh, &ask.host, &write, SEND).await?;
        if !remark.is_empty() {
            mutate.log(&remark);
        }
        Ok(outputs(&Goal::File(goal), true))
    }

    async fn verify(&self, call: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let ask = self.ask(call)?;
        let now = ask.now(world).await?;
        let good = match &now {
            Found::File(seen) => outputs["sha256"] == seen.sha256.as_str() && outputs["mode"] == seen.mode.as_str(),
            Found::Absent => outputs["sha256"].is_null(),
            Found::Other => false,
        };
        if good {
            return Ok(());
        }
        let seen = match now {
            Found::File(seen) => format!("SHA-256 {}, mode {}", seen.sha256, seen.mode),
            Found::Absent => "no file".to_owned(),
            Found::Other => "something that is no file".to_owned(),
        };
        let cause = format!("expected SHA-256 {}, mode {}; seen: {seen}", outputs["sha256"], outputs["mode"]);
        Err(Failure::new(Class::Verify, ask.attempted(), cause))
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let ask = self.ask(call)?;
        let now = ask.now(world).await?;
        let goal = serde_json::from_value::<Seen>(intent.before["goal"].clone()).map_or(Goal::Gone, Goal::File);
        if is_so(&goal, &now) {
            return Ok(Recovery::Done(outputs(&goal, true)));
        }
        let before = ask.read(intent.before["found"].clone())?;
        let same = match (&before, &now) {
            (Found::File(a), Found::File(b)) => a.sha256 == b.sha256 && a.mode == b.mode,
            (a, b) => a == b,
        };
        // A rename that comes late puts the very same file there, so to do it again is safe.
        Ok(match same {
            true => Recovery::NotApplied,
            false => Recovery::InDoubt(format!("{} is neither what was there before nor what was sent", ask.place())),
        })
    }

    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let ask = self.ask(call).ok()?;
        let found: Found = serde_json::from_value(before["found"].clone()).ok()?;
        let mut with = json!({"host": ask.host, "to": ask.to});
        // What somebody else has put there meanwhile is left alone.
        if let Some(ours) = before["goal"]["sha256"].as_str() {
            with["replaces"] = json!(ours);
        }
        match found {
            Found::Absent => with["absent"] = json!(true),
            Found::File(Seen { text: Some(text), mode, .. }) => {
                (with["content"], with["mode"]) = (json!(text), json!(mode));
            }
            Found::File(_) | Found::Other => return None,
        }
        Some(Invocation { uses: self.spec.name.clone(), with })
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        let ask = self.ask(call).ok()?;
        let found: Found = serde_json::from_value(before.before["found"].clone()).ok()?;
        match found {
            Found::Absent => Some(format!("remove {}", ask.place())),
            Found::File(Seen { text: Some(_), size, .. }) => Some(format!("put back {} ({size} bytes)", ask.place())),
            Found::File(_) | Found::Other => None,
        }
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        let Ok(ask) = self.ask(call) else { return Vec::new() };
        let mode = before.before["goal"]["mode"].as_str().unwrap_or(MODE);
        let chmod = over(&ask.host, &shell::line(["chmod", mode, ask.to.as_str()]));
        match &ask.content {
            Content::Gone => vec![over(&ask.host, &shell::line(["rm", "--", ask.to.as_str()]))],
            Content::Local(path) => {
                vec![shell::line(["scp", "--", &path.display().to_string(), &ask.place()]), chmod]
            }
            Content::Text(_) if ask.secret => Vec::new(),
            Content::Text(text) => {
                let cat = over(&ask.host, &format!("cat >{}", shell::quote(&ask.to)));
                vec![format!("printf %s {} | {cat}", shell::quote(text)), chmod]
            }
        }
    }
}

fn hide(now: &mut Found, goal: &mut Goal) {
    if let Found::File(seen) = now {
        seen.text = None;
    }
    if let Goal::File(seen) = goal {
        seen.text = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_changes_and_where() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), ["from line 2:", "- b", "+ x", "+ y"]);
        let long = "line\n".repeat(30);
        let told = difference("", &long);
        assert_eq!((told.len(), told[11].as_str()), (12, "+ (20 lines more)"));
    }
}
