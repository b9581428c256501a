//! Waiting on a local command: its lines, its handle in the journal, and ending it when told to.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::order::{GRACE, Order};
use super::resource::Resource;
use crate::clients::local::{Command, Ended, Job, Local, News, Output, Process, ProcessError};
use crate::engine::ports::{Call, Mutate, Observed, Recovery, World};
use crate::event::Intent;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};

/// The variables by which a running command is known again: its run, and its step there.
pub const RUN: &str = "RUNBOOK_RUN";
pub const STEP: &str = "RUNBOOK_STEP";

/// A command that is over sooner leaves no handle, which would cost it an fsync: until then it is known by its
/// variables alone.
const HANDLE_AFTER: Duration = Duration::from_millis(100);

/// Lines of output that a step's log keeps.
const MOST_LINES: usize = 1_000;

/// How often an old run's command is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the journal keeps of a running command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    pub process: Process,
    /// How we have ended it, where we have: then it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// A command's lines, on their way into its step's log.
pub struct Lines<'a> {
    mutate: &'a Mutate,
    told: usize,
}

impl<'a> Lines<'a> {
    pub fn new(mutate: &'a Mutate) -> Self {
        Self { mutate, told: 0 }
    }

    pub fn tell(&mut self, line: &str) {
        self.told += 1;
        if self.told <= MOST_LINES {
            self.mutate.log(line);
        } else if self.told == MOST_LINES + 1 {
            self.mutate.log(&format!("(further lines are not kept: a step's log holds {MOST_LINES})"));
        } else {
            self.mutate.progress(line, None);
        }
    }
}

impl Handle {
    /// # Errors
    /// It is none, which is our own fault.
    pub fn of(value: &Value, attempted: &str) -> Result<Self, Failure> {
        serde_json::from_value(value.clone())
            .map_err(|e| Failure::new(Class::Internal, attempted, format!("its handle: {e}")))
    }
}

/// Any command from its start to its end, whatever that end means.
pub struct Watch<'a> {
    pub mutate: &'a Mutate,
    pub attempted: String,
}

impl Watch<'_> {
    /// Runs it; `heard` is told each line at once, those beyond what is kept too.
    ///
    /// # Errors
    /// It did not start, was ended by us, or its handle could not be kept.
    pub async fn run(
        &self,
        local: &Local,
        call: &Call,
        mut command: Command,
        heard: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Output, Failure> {
        let run = call.run.as_ref().map(ToString::to_string).unwrap_or_default();
        command.env.extend([(RUN.to_owned(), Some(run)), (STEP.to_owned(), Some(call.path.to_string()))]);
        self.wait(&mut local.job(command), heard).await
    }

    async fn wait(&self, job: &mut Job, heard: &mut (dyn FnMut(&str) + Send)) -> Result<Output, Failure> {
        let handle_at = Instant::now() + HANDLE_AFTER;
        let (mut handle, mut unkept) = (None, None);
        let (mut lines, mut asked) = (Lines::new(self.mutate), false);
        let output = loop {
            tokio::select! {
                news = job.news() => match news {
                    News::Line(line) => {
                        heard(&line);
                        lines.tell(&line);
                    }
                    News::Done(output) => break output.map_err(|error| self.not_started(&error))?,
                },
                () = sleep_until(handle_at), if handle.is_none() && unkept.is_none() => {
                    let kept = job.process().map(|process| Handle { process, ended: None });
                    // It goes on meanwhile. Where the journal is gone it is let finish, and then nothing can be said.
                    match self.keep(kept.as_ref()).await {
                        Ok(()) => handle = Some(kept),
                        Err(failure) => unkept = Some(failure),
                    }
                }
                () = self.mutate.stop.wait(), if !asked => {
                    asked = true;
                    job.stop();
                }
            }
        };
        if output.ended == Ended::Cancelled {
            return Err(self.ended_by_us(handle.flatten()).await);
        }
        unkept.map_or(Ok(output), |failure| Err(failure.done(Done::Unknown)))
    }

    async fn keep(&self, handle: Option<&Handle>) -> Result<(), Failure> {
        match handle {
            Some(handle) => self.mutate.checkpoint(json!(handle)).await,
            None => Ok(()),
        }
    }

    /// The handle says from then on that we did it, so that whoever recovers the step need not guess.
    async fn ended_by_us(&self, handle: Option<Handle>) -> Failure {
        let cause = "ended by us before it was done: it was told to stop, or its time was up";
        if let Some(mut handle) = handle {
            handle.ended = Some(cause.to_owned());
            // Where the journal is gone the step is in doubt, which is what the failure says.
            let _ = self.mutate.checkpoint(json!(handle)).await;
        }
        Failure::new(Class::Failed, &self.attempted, cause).done(Done::Unknown)
    }

    fn not_started(&self, error: &ProcessError) -> Failure {
        match error {
            ProcessError::NotFound { .. } | ProcessError::Start { .. } => {
                Failure::new(Class::Precondition, &self.attempted, error.to_string())
            }
            ProcessError::Wait { .. } => {
                Failure::new(Class::Internal, &self.attempted, error.to_string()).done(Done::Unknown)
            }
        }
    }

    /// Waits until a command is gone that another process of ours has begun.
    ///
    /// # Errors
    /// We were told to stop, and have ended it.
    pub async fn gone(&self, local: &Local, mut handle: Handle) -> Result<(), Failure> {
        while local.runs(&handle.process) {
            if self.mutate.stop.sleep(LOOK).await {
                local.end(&handle.process, GRACE).await;
                handle.ended = None;
                return Err(self.ended_by_us(Some(handle)).await);
            }
        }
        Ok(())
    }

    /// What is said of a command that has ended where nobody saw how.
    pub fn unseen(&self) -> Failure {
        let cause = "it has ended, and how was told to a process that is gone";
        Failure::new(Class::Failed, &self.attempted, cause).done(Done::Unknown)
    }
}

/// An author's own command, and when it has worked.
pub struct Work<'a> {
    pub order: &'a Order,
    pub watch: Watch<'a>,
}

impl Work<'_> {
    /// Runs it and says what it has put out.
    pub async fn run(&self, local: &Local, call: &Call) -> Result<Value, Failure> {
        let output = self.watch.run(local, call, self.order.command(), &mut |_| {}).await?;
        self.judged(&output)
    }

    fn judged(&self, output: &Output) -> Result<Value, Failure> {
        if let Ended::Exit(code) = output.ended {
            let unchanged = self.order.unchanged.contains(&code);
            if unchanged || self.order.ok.contains(&code) {
                if output.cut {
                    self.watch.mutate.log("(its output is longer than what is kept of it)");
                }
                return Ok(outputs(&output.stdout, &output.stderr, code, output.cut, !unchanged));
            }
        }
        let cause = match &self.order.creates {
            Some(path) => format!("{}, and {} may be there in part", output.ended, path.display()),
            None => output.ended.to_string(),
        };
        // It has ended, and by its own word not well: how far it came only its author knows.
        let failure = Failure::new(Class::Failed, &self.watch.attempted, cause).done(Done::Partial);
        Err(failure.details(last_lines(&output.stdout, &output.stderr)))
    }

    /// Waits for a command that another process of ours has begun.
    pub async fn attach(&self, local: &Local, handle: Handle) -> Result<Value, Failure> {
        self.watch.gone(local, handle).await?;
        match &self.order.creates {
            Some(path) if local.exists(path) => Ok(unseen()),
            _ => Err(self.watch.unseen()),
        }
    }
}

/// What a step puts out.
pub fn outputs(stdout: &str, stderr: &str, code: i32, cut: bool, changed: bool) -> Value {
    let text = |text: &str| text.trim_end_matches(['\n', '\r']).to_owned();
    json!({"stdout": text(stdout), "stderr": text(stderr), "code": code, "cut": cut, "changed": changed})
}

/// What a step puts out whose command was done and not seen.
pub fn unseen() -> Value {
    json!({"stdout": "", "stderr": "", "code": 0, "cut": false, "changed": true})
}

/// The last lines of what it wrote, where a cause is looked for first: stderr, else stdout.
pub fn last_lines(stdout: &str, stderr: &str) -> Vec<String> {
    const MOST: usize = 20;
    let text = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(MOST)..].iter().map(|line| (*line).to_owned()).collect()
}

/// What a recovery makes of a command, where that can be told from its process alone.
///
/// # Errors
/// This machine could not be read.
pub async fn left_behind(
    call: &Call,
    handle: Option<&Value>,
    what: &str,
    world: &dyn World,
) -> Result<Option<Recovery>, Failure> {
    let handle: Option<Handle> = handle.and_then(|value| serde_json::from_value(value.clone()).ok());
    if let Some(how) = handle.as_ref().and_then(|handle| handle.ended.as_ref()) {
        return Ok(Some(Recovery::Partial(format!("`{what}` was {how}; what it had done by then stays"))));
    }
    let running = running(call, handle, world).await?;
    Ok(running.map(|running| Recovery::Running(json!(running))))
}

/// What is said of one that has ended unseen. `intent` has the time of its beginning.
pub fn ended_unseen(what: &str, folder: &Path, intent: &Intent) -> Recovery {
    let since = intent.prepared["text"].as_str().unwrap_or("a time that is not known");
    Recovery::InDoubt(format!(
        "`{what}` was begun in {} at {since} and does not run any more; how it ended was not seen",
        folder.display()
    ))
}

/// The command of this step, where it still runs: by its handle, else by the variables that it was given.
async fn running(call: &Call, handle: Option<Handle>, world: &dyn World) -> Result<Option<Handle>, Failure> {
    if let Some(handle) = handle {
        let seen = known(world, Resource::Process(handle.process.clone())).await?;
        return Ok((seen["running"] == true).then_some(handle));
    }
    let Some(run) = call.run.clone() else { return Ok(None) };
    let found = known(world, Resource::Command(run, call.path.clone())).await?;
    Ok(serde_json::from_value(found).ok().map(|process| Handle { process, ended: None }))
}

/// What this machine says of itself in a run.
///
/// # Errors
/// It could not be read.
pub async fn known(world: &dyn World, resource: Resource) -> Result<Value, Failure> {
    match world.read(&resource.key()).await? {
        Observed::Known(value) => Ok((*value).clone()),
        Observed::Unknown(why) => Err(Failure::new(Class::Internal, "read this machine in a run", why)),
    }
}
