//! `git.commit`: commits named paths of a repository, and takes its own commit back while nobody has built on it.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::resource::{Repository, Resource};
use crate::actions::local::order::{GRACE, KEEP};
use crate::actions::local::work::{Watch, last_lines};
use crate::clients::local::{Command, Ended, Local, Output};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::shell::quote as quoted;
use crate::model::world::Delta;

/// The action.
pub struct GitCommit {
    spec: ActionSpec,
    folder: PathBuf,
}

impl GitCommit {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = ActionSpec::new("git.commit", Effect::Change, "Commit named files of a repository")
            .param(Param::new("repository", ValueType::Path).required().help("A folder of it"))
            .param(
                Param::new("paths", ValueType::List)
                    .items(ValueType::String)
                    .required()
                    .help("What is committed and nothing else, from that folder on"),
            )
            .param(Param::new("message", ValueType::String).required().help("The commit's message"))
            .param(
                Param::new("take_back", ValueType::String)
                    .help("Take this commit back instead: only while it is the last one and no remote has it"),
            )
            .output("commit", ValueType::String, "The id of the last commit afterwards")
            .output("files", ValueType::List, "What was committed")
            .output("changed", ValueType::Bool, "False where nothing differed")
            .needs_privilege("to write to the repository; user.name and user.email in git's configuration")
            .undoable();
        Self { spec, folder }
    }

    fn order(&self, call: &Call) -> Result<Order, Failure> {
        let repository: PathBuf = call.arg("repository")?;
        let order = Order {
            folder: self.folder.join(repository),
            paths: call.arg("paths")?,
            message: call.arg("message")?,
            take_back: call.arg("take_back")?,
        };
        let refuse = |cause: &str| Err(Failure::new(Class::Precondition, order.attempted(), cause));
        if order.paths.is_empty() || order.paths.iter().any(String::is_empty) {
            return refuse("`paths` names nothing");
        }
        if order.message.trim().is_empty() {
            return refuse("`message` is empty");
        }
        if order.take_back.as_ref().is_some_and(|id| id.is_empty() || !id.chars().all(|c| c.is_ascii_hexdigit())) {
            return refuse("`take_back` is no id of a commit");
        }
        Ok(order)
    }
}

struct Order {
    folder: PathBuf,
    paths: Vec<String>,
    message: String,
    take_back: Option<String>,
}

impl Order {
    fn attempted(&self) -> String {
        match &self.take_back {
            Some(id) => format!("take commit {} back in {}", short(id), self.folder.display()),
            None => format!("commit in {}", self.folder.display()),
        }
    }

    fn resource(&self) -> Resource {
        let folder = self.folder.display().to_string();
        Resource::Repository(Repository { folder, paths: self.paths.clone(), commit: self.take_back.clone() })
    }

    fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// git with these words; it asks nobody anything.
pub fn command(folder: PathBuf, args: &[String], stdin: Vec<u8>) -> Command {
    let mut argv = vec!["git".to_owned(), "--literal-pathspecs".into()];
    argv.extend(args.iter().cloned());
    let env =
        [("GIT_TERMINAL_PROMPT", "0"), ("GIT_OPTIONAL_LOCKS", "0"), ("GIT_EDITOR", "true"), ("LC_ALL", "C.UTF-8")];
    let env = env.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).to_vec();
    Command { argv, env, cwd: folder, stdin, keep: KEEP, grace: GRACE }
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

/// What is asked, one call each; [`answer`] knows the order.
pub fn questions(asked: &Repository) -> Vec<Vec<String>> {
    let with_paths = |first: &[&str]| {
        let mut all = words(first);
        all.push("--".into());
        all.extend(asked.paths.clone());
        all
    };
    let commit = asked.commit.clone().unwrap_or_else(|| "HEAD".into());
    vec![
        words(&["rev-parse", "--show-toplevel"]),
        words(&["rev-parse", "--verify", "--quiet", "HEAD"]),
        words(&["symbolic-ref", "--short", "--quiet", "HEAD"]),
        words(&["var", "GIT_AUTHOR_IDENT"]),
        with_paths(&["status", "--porcelain", "-z", "--untracked-files=all", "--no-renames"]),
        words(&["diff", "--cached", "--name-only", "--no-renames", "-z"]),
        with_paths(&["diff", "--cached", "--name-only", "--no-renames", "-z"]),
        // Says no where one of them is neither tracked nor anything else.
        with_paths(&["ls-files", "--error-unmatch"]),
        words(&["branch", "--remotes", "--contains", &commit]),
        words(&["log", "-1", "--format=%P%n%B"]),
    ]
}

/// What the answers come to.
pub fn answer(answers: &[Result<String, String>]) -> Value {
    let line = |n: usize| answers.get(n).and_then(|a| a.as_ref().ok()).map(|text| text.trim().to_owned());
    let list = |n: usize| -> Vec<String> {
        let text = answers.get(n).and_then(|a| a.as_ref().ok()).cloned().unwrap_or_default();
        text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let why = answers.first().and_then(|a| a.as_ref().err()).map(|text| text.trim().to_owned());
    let changed: Vec<String> = list(4).into_iter().filter_map(|entry| Some(entry.get(3..)?.to_owned())).collect();
    let ours = list(6);
    let staged: Vec<String> = list(5).into_iter().filter(|name| !ours.contains(name)).collect();
    let last = answers.get(9).and_then(|a| a.as_ref().ok()).cloned().unwrap_or_default();
    let (parents, message) = last.split_once('\n').unwrap_or((&last, ""));
    json!({
        "problem": why, "top": line(0), "head": line(1), "branch": line(2), "author": line(3),
        "changed": changed, "staged": staged, "on_remote": line(8).is_some_and(|text| !text.is_empty()),
        "unmatched": (changed.is_empty() && answers.get(7).is_some_and(Result::is_err))
            || answers.get(4).is_some_and(Result::is_err),
        "parents": parents, "message": message.trim(),
        "root": parents.trim().is_empty(),
    })
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[async_trait]
impl Action for GitCommit {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let order = self.order(call)?;
        let seen = world.read(&order.resource().key()).await?.known("the repository")?;
        let refuse = |cause: String, remedy: &str| -> Unreadable {
            Failure::new(Class::Precondition, order.attempted(), cause).remedy(remedy.to_owned()).into()
        };
        if let Some(why) = seen["problem"].as_str() {
            return Err(refuse(format!("it is no repository: {why}"), "name a folder of one"));
        }
        if seen["unmatched"] == true {
            return Err(refuse("one of `paths` is not in the repository".into(), "name paths from that folder on"));
        }
        let before = json!({"head": seen["head"], "message": seen["message"], "changed": seen["changed"]});
        if let Some(id) = &order.take_back {
            let mut probe = Probe::new(format!("take commit {} back: {}", short(id), order.title()), before);
            if seen["head"] != id.as_str() {
                // Either it is taken back already, or somebody has built on it; only the second is a problem.
                if seen["on_remote"] != true && !texts(&seen["changed"]).is_empty() {
                    probe.satisfied = true;
                    return Ok(probe);
                }
                return Err(refuse(
                    format!("the last commit is another one now: {}", seen["head"]),
                    &format!("git revert {id}"),
                ));
            }
            if seen["on_remote"] == true {
                return Err(refuse("a remote has it already".into(), &format!("git revert {id}")));
            }
            if seen["root"] == true {
                return Err(refuse("it is the repository's first commit".into(), "take it back by hand"));
            }
            return Ok(probe);
        }
        let changed = texts(&seen["changed"]);
        let mut probe = Probe::new(format!("commit {}: {}", order.paths.join(", "), order.title()), before);
        if changed.is_empty() {
            probe.satisfied = true;
            probe.summary = format!("nothing differs from the last commit: {}", order.paths.join(", "));
            return Ok(probe);
        }
        let staged = texts(&seen["staged"]);
        if !staged.is_empty() {
            let cause =
                format!("something else is staged, which is somebody's half-made commit: {}", staged.join(", "));
            return Err(refuse(cause, "commit it, or take it off the stage: git restore --staged ."));
        }
        if seen["branch"].is_null() {
            return Err(refuse("no branch is checked out, so that a commit would be lost".into(), "git switch BRANCH"));
        }
        if seen["author"].as_str().is_none_or(str::is_empty) {
            return Err(refuse("git does not know who commits".into(), "git config user.name … and user.email …"));
        }
        probe.notes.push(format!("on branch {}: {}", seen["branch"].as_str().unwrap_or_default(), changed.join(", ")));
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        if !before.satisfied {
            let Ok(order) = self.order(call) else { return Prediction::default() };
            let patch = match order.take_back {
                Some(_) => json!({"head": "taken back"}),
                None => json!({"changed": []}),
            };
            return Prediction {
                deltas: vec![Delta { resource: order.resource().key(), patch }],
                ..Prediction::default()
            };
        }
        let outputs = [("commit", before.before["head"].clone()), ("files", json!([])), ("changed", json!(false))];
        let outputs = outputs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Prediction { outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let order = self.order(call)?;
        let local = mutate.client::<Local>()?;
        let git = Git { order: &order, local: &local, call, watch: Watch { mutate, attempted: order.attempted() } };
        if let Some(id) = &order.take_back {
            git.run(words(&["reset", "--quiet", "--soft", &format!("{id}^")]), "", Done::None).await?;
            git.with_paths(&["reset", "--quiet"], "", Done::Partial).await?;
        } else {
            git.with_paths(&["add", "--all"], "", Done::None).await?;
            let committed = git.with_paths(&["commit", "--quiet", "--file=-"], &order.message, Done::None).await;
            if let Err(mut failure) = committed {
                // A hook may have refused it: the stage is as it was.
                if git.with_paths(&["reset", "--quiet"], "", Done::Partial).await.is_err() {
                    failure = failure.done(Done::Partial);
                }
                return Err(failure);
            }
        }
        let head = git.run(words(&["rev-parse", "HEAD"]), "", Done::Whole).await?;
        let files = if order.take_back.is_some() { json!([]) } else { intent.before["changed"].clone() };
        Ok(json!({"commit": head.stdout.trim(), "files": files, "changed": true}))
    }

    async fn verify(&self, call: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let order = self.order(call)?;
        let seen = self.seen(&order, world).await?;
        let left = texts(&seen["changed"]);
        let wrong = if seen["head"] != outputs["commit"] {
            format!("the last commit is {}, and not {}", seen["head"], outputs["commit"])
        } else if order.take_back.is_none() && !left.is_empty() {
            format!("these still differ: {}", left.join(", "))
        } else {
            return Ok(());
        };
        Err(Failure::new(Class::Verify, order.attempted(), wrong))
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let order = self.order(call)?;
        let seen = self.seen(&order, world).await?;
        let before = &intent.before;
        if seen["head"] == before["head"] {
            return Ok(Recovery::NotApplied);
        }
        let parent = seen["parents"].as_str().unwrap_or_default();
        let on_top = seen["message"] == order.message.trim() && parent == before["head"].as_str().unwrap_or_default();
        if order.take_back.is_none() && on_top {
            let outputs = json!({"commit": seen["head"], "files": before["changed"], "changed": true});
            return Ok(Recovery::Done(outputs));
        }
        let was = before["head"].as_str().unwrap_or("none");
        Ok(Recovery::InDoubt(format!("the last commit was {was} and is {} now: look at git log", seen["head"])))
    }

    fn undo(&self, call: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        let id = outputs?["commit"].as_str()?;
        // Without one before it there is nothing to go back to.
        before["head"].as_str()?;
        if call.get("take_back").is_string() {
            return None;
        }
        let mut with = call.with.clone();
        with["take_back"] = json!(id);
        Some(Invocation { uses: self.spec.name.clone(), with })
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        before.before["head"].as_str()?;
        Some("the commit is taken back while it is the last one and no remote has it; its files stay".into())
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let Ok(order) = self.order(call) else { return Vec::new() };
        let folder = quoted(&order.folder.display().to_string());
        let paths = order.paths.iter().map(|path| quoted(path)).collect::<Vec<_>>().join(" ");
        match &order.take_back {
            Some(id) => {
                vec![format!("git -C {folder} reset --soft {id}^"), format!("git -C {folder} reset -- {paths}")]
            }
            None => vec![
                format!("git -C {folder} add --all -- {paths}"),
                format!("git -C {folder} commit -m {} -- {paths}", quoted(&order.message)),
            ],
        }
    }
}

impl GitCommit {
    async fn seen(&self, order: &Order, world: &dyn World) -> Result<std::sync::Arc<Value>, Failure> {
        let seen = world.read(&order.resource().key()).await?.known("the repository");
        seen.map_err(|why| match why {
            Unreadable::Failed(failure) => failure,
            Unreadable::Unknown(why) | Unreadable::Later(why) => Failure::new(Class::Internal, order.attempted(), why),
        })
    }
}

struct Git<'a> {
    order: &'a Order,
    local: &'a Local,
    call: &'a Call,
    watch: Watch<'a>,
}

impl Git<'_> {
    /// `done`: how much has happened where it fails.
    async fn run(&self, args: Vec<String>, stdin: &str, done: Done) -> Result<Output, Failure> {
        let command = command(self.order.folder.clone(), &args, stdin.as_bytes().to_vec());
        let output = self.watch.run(self.local, self.call, command, &mut |_| {}).await?;
        if output.ended == Ended::Exit(0) {
            return Ok(output);
        }
        let first = args.first().map_or("", String::as_str);
        let cause = format!("git {first}: {}", output.ended);
        Err(Failure::new(Class::Failed, &self.watch.attempted, cause)
            .done(done)
            .details(last_lines(&output.stdout, &output.stderr)))
    }

    async fn with_paths(&self, args: &[&str], stdin: &str, done: Done) -> Result<Output, Failure> {
        let mut all = words(args);
        all.push("--".into());
        all.extend(self.order.paths.clone());
        self.run(all, stdin, done).await
    }
}
