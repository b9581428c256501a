//! `task.run`: runs a task of the configured Taskfile with go-task.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::resource::{Resource, Task};
use crate::actions::files::resource as file;
use crate::actions::local::order::{GRACE, KEEP, text};
use crate::actions::local::resource::Resource as Here;
use crate::actions::local::work::{Handle, Watch, ended_unseen, known, last_lines, left_behind, outputs, unseen};
use crate::clients::local::{Command, Ended, Local};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::shell::quote as quoted;

/// Its own name last: Taskwarrior is called `task`, too.
const PROGRAMS: [&str; 2] = ["go-task", "task"];

/// The action.
pub struct TaskRun {
    spec: ActionSpec,
    taskfile: Option<PathBuf>,
}

impl TaskRun {
    /// `taskfile` is absolute; absent where the configuration names none.
    pub fn new(taskfile: Option<PathBuf>) -> Self {
        let spec = ActionSpec::new("task.run", Effect::Change, "Run a task of the Taskfile with go-task")
            .param(Param::new("task", ValueType::String).required().help("Its name, as task --list-all shows it"))
            .param(Param::new("vars", ValueType::Map).help("Variables, handed over as NAME=value"))
            .output("stdout", ValueType::String, "Its first 64 KiB, without line ends behind it")
            .output("stderr", ValueType::String, "Its last 64 KiB, likewise")
            .output("code", ValueType::Int, "The exit code")
            .output("cut", ValueType::Bool, "Whether it wrote more than was kept")
            .output("changed", ValueType::Bool, "False where the task's own status said that it is up to date")
            .needs_privilege("what the task itself needs: it runs as the user of runbook");
        Self { spec, taskfile }
    }

    fn order(&self, call: &Call) -> Result<Order, Failure> {
        Order::of(call, self.taskfile.as_ref())
    }
}

struct Order {
    taskfile: PathBuf,
    name: String,
    vars: Vec<String>,
}

impl Order {
    fn of(call: &Call, taskfile: Option<&PathBuf>) -> Result<Self, Failure> {
        let name: String = call.arg("task")?;
        let attempted = format!("run the task {name}");
        let refuse = |cause: String| Failure::new(Class::Precondition, &attempted, cause);
        let Some(taskfile) = taskfile else {
            return Err(refuse("the configuration names no Taskfile".into())
                .remedy("give taskfile: {path: …} in cluster-config.yaml"));
        };
        if name.is_empty() || name.starts_with('-') || name.contains(['=', ' ']) {
            return Err(refuse(format!("{name:?} is no name of a task")));
        }
        let given: Map<String, Value> = call.arg::<Option<_>>("vars")?.unwrap_or_default();
        let one = |(var, value): (&String, &Value)| {
            let fits = var.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && var.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            match text(value) {
                _ if !fits => Err(refuse(format!("vars: {var:?} is no name of a variable"))),
                Some(value) => Ok(format!("{var}={value}")),
                None => Err(refuse(format!("vars: the value of {var} is neither text nor number"))),
            }
        };
        let vars = given.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Self { taskfile: taskfile.clone(), name, vars })
    }

    fn attempted(&self) -> String {
        format!("run the task {}", self.name)
    }

    fn resource(&self, dry: bool) -> Resource {
        let taskfile = self.taskfile.display().to_string();
        Resource::Task(Task { taskfile, name: self.name.clone(), vars: self.vars.clone(), dry })
    }

    fn words(&self) -> Vec<String> {
        std::iter::once(self.name.clone()).chain(self.vars.clone()).collect()
    }

    fn folder(&self) -> PathBuf {
        self.taskfile.parent().map(PathBuf::from).unwrap_or_default()
    }
}

/// The program as it is called here.
pub fn program(local: &Local) -> Result<&'static str, Failure> {
    local.program(&PROGRAMS).ok_or_else(|| {
        Failure::new(Class::Precondition, "find go-task", "neither `go-task` nor `task` is on PATH")
            .remedy("install it: https://taskfile.dev, or `pip install go-task-bin`")
    })
}

/// The program with the Taskfile and these words.
pub fn command(program: &str, taskfile: PathBuf, words: &[String]) -> Command {
    let cwd = taskfile.parent().map(PathBuf::from).unwrap_or_default();
    let mut argv = vec![program.to_owned(), "--taskfile".into(), taskfile.display().to_string()];
    argv.extend(["--color=false".to_owned()]);
    argv.extend(words.iter().cloned());
    Command { argv, env: Vec::new(), cwd, stdin: Vec::new(), keep: 1 << 20, grace: GRACE }
}

/// The names in what `--list-all --json` says.
pub fn names(list: &Value) -> Vec<String> {
    let tasks = list["tasks"].as_array().into_iter().flatten();
    let all = tasks.flat_map(|task| {
        let aliases = task["aliases"].as_array().into_iter().flatten();
        std::iter::once(&task["name"]).chain(aliases).filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    });
    all.collect()
}

impl TaskRun {
    async fn look(&self, order: &Order, dry: bool, world: &dyn World) -> Result<std::sync::Arc<Value>, Unreadable> {
        let seen = world.read(&order.resource(dry).key()).await?.known(&order.name)?;
        let refuse = |cause: String| Failure::new(Class::Precondition, order.attempted(), cause);
        let problem = &seen["problem"];
        if !problem.is_null() {
            let text = [&problem["stderr"], &problem["stdout"]].iter().filter_map(|v| v.as_str()).collect::<String>();
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no word of why").to_owned();
            return Err(refuse(format!("no list of tasks comes of it: {first}"))
                .remedy("if `task` is Taskwarrior here, install go-task as `go-task`")
                .into());
        }
        if seen["exists"] != true {
            let known: Vec<&str> = seen["known"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let near = crate::model::nearest::nearest(&order.name, known.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let cause = format!("{} has no such task{near}", order.taskfile.display());
            return Err(refuse(cause).remedy(format!("known: {known}")).into());
        }
        Ok(seen)
    }
}

#[async_trait]
impl Action for TaskRun {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let order = self.order(call)?;
        let state = file::read(world, &order.taskfile).await?;
        let seen = self.look(&order, call.run.is_none(), world).await?;
        let before = json!({"taskfile": order.taskfile, "sha256": state.sha256()});
        let line = order.words().iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let mut probe = Probe::new(format!("run the task {line} (its commands are not previewed)"), before);
        if seen["up_to_date"] == true {
            probe.satisfied = true;
            probe.summary = format!("the task {} says that it is up to date", order.name);
            return Ok(probe);
        }
        probe.guards = vec![file::unchanged(&order.taskfile, &state)];
        // It writes them on stderr.
        let dry = seen["dry"]["stderr"].as_str().unwrap_or_default();
        let commands: Vec<&str> = dry.lines().filter(|line| line.starts_with("task: [")).collect();
        if !commands.is_empty() {
            probe.summary = format!("run the task {line}");
            probe.notes.push(format!("its commands by --dry, what they do is not previewed:\n{}", commands.join("\n")));
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        if before.satisfied {
            let outputs = json!({"stdout": "", "stderr": "", "code": 0, "cut": false, "changed": false});
            let Value::Object(outputs) = outputs else { return Prediction::default() };
            return Prediction { outputs: outputs.into_iter().collect(), ..Prediction::default() };
        }
        let unseen = ResourceKey::new(format!("local/unseen/{}", call.path));
        Prediction { taints: vec![(unseen, "a task".into())], ..Prediction::default() }
    }

    async fn prepare(&self, _: &Call, world: &dyn World) -> Result<Value, Failure> {
        known(world, Here::Now).await
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let order = self.order(call)?;
        let local = mutate.client::<Local>()?;
        let watch = Watch { mutate, attempted: order.attempted() };
        let command = command(program(&local)?, order.taskfile.clone(), &order.words());
        let output = watch.run(&local, call, Command { keep: KEEP, ..command }, &mut |_| {}).await?;
        match output.ended {
            Ended::Exit(0) => Ok(outputs(&output.stdout, &output.stderr, 0, output.cut, true)),
            ended => {
                let failure = Failure::new(Class::Failed, order.attempted(), ended.to_string()).done(Done::Partial);
                Err(failure.details(last_lines(&output.stdout, &output.stderr)))
            }
        }
    }

    async fn attach(&self, call: &Call, _: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let order = self.order(call)?;
        let local = mutate.client::<Local>()?;
        let watch = Watch { mutate, attempted: order.attempted() };
        watch.gone(&local, Handle::of(handle, &watch.attempted)?).await?;
        Err(watch.unseen())
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let order = self.order(call)?;
        let what = format!("task {}", order.name);
        if let Some(found) = left_behind(call, handle, &what, world).await? {
            return Ok(found);
        }
        // The task's own word: only one that has a `status:` can give it.
        match self.look(&order, false, world).await {
            Ok(seen) if seen["up_to_date"] == true => Ok(Recovery::Done(unseen())),
            _ => Ok(ended_unseen(&what, &order.folder(), intent)),
        }
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let Ok(order) = self.order(call) else { return Vec::new() };
        let words = order.words().iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        vec![format!("task --taskfile {} {words}", quoted(&order.taskfile.display().to_string()))]
    }
}
