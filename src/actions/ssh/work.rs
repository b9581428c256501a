//! Waiting on a command over SSH: its lines, its handle in the journal, and ending it there when told to.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::Instant;

use super::failure;
use super::order::Order;
use crate::actions::local::work::{Lines, RUN, STEP, outputs, unseen};
use crate::clients::ssh::{Ended, Heard, RemoteProcess, Ssh};
use crate::engine::ports::{Call, Mutate};
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};

/// Between TERM and KILL on the host: with the way there and back, within what a step that is told to stop is given.
const GRACE: Duration = Duration::from_millis(1_500);

/// How often an old run's command is looked at, and for how long in vain.
const LOOK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(120);

/// What the journal keeps of a running command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    pub process: RemoteProcess,
    /// How we have ended it, where we have: then it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

impl Lines<'_> {
    fn hear(&mut self, news: Heard) {
        match news {
            Heard::Line(line) => self.tell(&line),
            Heard::Began(None) => self.tell("(this host names no processes: at a timeout the command would go on)"),
            Heard::Sent | Heard::Began(Some(_)) => {}
        }
    }
}

/// One command from its start to its end.
pub struct Work<'a> {
    pub order: &'a Order,
    pub mutate: &'a Mutate,
    pub ssh: &'a Ssh,
    pub attempted: String,
}

impl Work<'_> {
    /// Runs it and says what it has put out.
    pub async fn run(&self, call: &Call) -> Result<Value, Failure> {
        let mut job = self.order.job();
        let run = call.run.as_ref().map(ToString::to_string).unwrap_or_default();
        let marks = [(RUN, run.as_str()), (STEP, call.path.as_str())];
        job.env.extend(marks.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))));
        let (tell, mut heard) = unbounded_channel();
        let work = self.ssh.job(&self.order.host, &job, tell);
        tokio::pin!(work);
        let (mut handle, mut unkept, mut sent) = (None, None, false);
        let mut lines = Lines::new(self.mutate);
        let ended = loop {
            tokio::select! {
                biased;
                Some(news) = heard.recv() => match news {
                    Heard::Sent => sent = true,
                    Heard::Began(Some(process)) => {
                        let kept = Handle { process, ended: None };
                        // Where the journal is gone it is let finish, and then nothing can be said.
                        unkept = self.mutate.checkpoint(json!(kept)).await.err();
                        handle = Some(kept);
                    }
                    other => lines.hear(other),
                },
                ended = &mut work => break ended,
                () = self.mutate.stop.wait() => {
                    if !sent {
                        let cause = "told to stop before it was sent";
                        return Err(Failure::new(Class::Failed, &self.attempted, cause));
                    }
                    return Err(self.end(handle, marks).await);
                }
            }
        };
        // Told in the very moment in which it ended.
        while let Ok(news) = heard.try_recv() {
            lines.hear(news);
        }
        let ended = ended.map_err(|error| failure(self.attempted.as_str(), &error))?;
        unkept.map_or(Ok(()), |failure| Err(failure.done(Done::Unknown)))?;
        self.judged(&ended)
    }

    /// Ends it on the host. The handle says from then on that we did it, so that whoever recovers the step need not
    /// guess.
    async fn end(&self, handle: Option<Handle>, marks: [(&str, &str); 2]) -> Failure {
        let host = self.order.host.as_str();
        let found = match handle {
            Some(handle) => Some(handle),
            // Sent, and it had not said yet which process it is.
            None => match self.ssh.marked(host, marks).await {
                Ok(found) => found.map(|process| Handle { process, ended: None }),
                Err(_) => None,
            },
        };
        let unknown = |cause: String| {
            let remedy = format!("see whether it still runs on {host}");
            Failure::new(Class::Failed, &self.attempted, cause).done(Done::Unknown).remedy(remedy)
        };
        let Some(mut handle) = found else {
            return unknown("told to stop; which process it is on the host is not known, so it may go on".into());
        };
        match self.ssh.end(host, &handle.process, GRACE).await {
            Ok(true) => {
                let cause = "ended by us before it was done: it was told to stop, or its time was up";
                handle.ended = Some(cause.to_owned());
                // Where the journal is gone the step is in doubt, which is what the failure says.
                let _ = self.mutate.checkpoint(json!(handle)).await;
                Failure::new(Class::Failed, &self.attempted, cause).done(Done::Unknown)
            }
            Ok(false) => unknown(format!("told to stop; process {} does not end, even by KILL", handle.process.pid)),
            Err(error) => unknown(format!("told to stop; it could not be ended: {error}")),
        }
    }

    fn judged(&self, ended: &Ended) -> Result<Value, Failure> {
        if !ended.found {
            let cause = format!("{}: not found on {}", self.order.argv.first().map_or("", |p| p), self.order.host);
            return Err(Failure::new(Class::Precondition, &self.attempted, cause));
        }
        let code = ended.exit;
        let unchanged = self.order.unchanged.contains(&code);
        if unchanged || self.order.ok.contains(&code) {
            if ended.cut {
                self.mutate.log("(its output is longer than what is kept of it)");
            }
            return Ok(outputs(&ended.stdout, &ended.stderr, code, ended.cut, !unchanged));
        }
        let cause = match &self.order.creates {
            Some(path) => format!("exit code {code}, and {path} may be there in part"),
            None => format!("exit code {code}"),
        };
        // It has ended, and by its own word not well: how far it came only its author knows.
        let failure = Failure::new(Class::Failed, &self.attempted, cause).done(Done::Partial);
        Err(failure.details(crate::actions::local::work::last_lines(&ended.stdout, &ended.stderr)))
    }

    /// Waits for a command that another process of ours, or another connection, has begun.
    pub async fn attach(&self, handle: Handle) -> Result<Value, Failure> {
        let host = self.order.host.as_str();
        let mut last_seen = Instant::now();
        loop {
            match self.ssh.runs(host, &handle.process).await {
                Ok(true) => last_seen = Instant::now(),
                Ok(false) => break,
                Err(error) if last_seen.elapsed() >= PATIENCE => {
                    return Err(failure(self.attempted.as_str(), &error).done(Done::Unknown));
                }
                Err(_) => {}
            }
            if self.mutate.stop.sleep(LOOK).await {
                return Err(self.end(Some(handle), [(RUN, ""), (STEP, "")]).await);
            }
        }
        if let Some(path) = &self.order.creates
            && let Ok(output) = self.ssh.run(host, &["test", "-e", path], PATIENCE).await
            && output.success()
        {
            return Ok(unseen());
        }
        let cause = "it has ended, and how was told to a connection that is gone";
        Err(Failure::new(Class::Failed, &self.attempted, cause).done(Done::Unknown))
    }
}
