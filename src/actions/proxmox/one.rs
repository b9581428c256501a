//! Makes an action of an [`Act`]: the way that every single request goes, with its recovery, written once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::access::SecretSource;
use super::act::{Act, Ends, Request, Seen, Trail};
use super::guest::trace::{Trace, known_before, trace};
use super::look::{self, live};
use super::object::TaskEntry;
use super::source::ProxmoxSource;
use super::work::Work;
use crate::clients::keeper::Keeper;
use crate::clients::proxmox::{Site, TaskOutcome};
use crate::engine::ports::{
    Action, Call, Mutate, Observed, Prediction, Probe, Reading, Recovery, Source, Unreadable, World,
};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{ResourceKey, Upid};

/// How long the tasks are waited for that cannot be told from the one that is looked for.
const OTHERS: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// The action.
pub struct One<A>(pub A);

/// The site as it is, and what the stores of secrets say of theirs.
struct Near {
    site: ProxmoxSource,
    secrets: Option<SecretSource>,
}

impl Near {
    fn of(work: &Work<'_>) -> Self {
        let site = (*work.site).clone();
        let keeper = work.mutate.client::<Keeper>().ok();
        let secrets = keeper.map(|keeper| SecretSource::new((*keeper).clone(), Some(site.clone())));
        Self { site: ProxmoxSource::new(site), secrets }
    }
}

#[async_trait]
impl World for Near {
    async fn read(&self, resource: &ResourceKey) -> Result<Observed, Failure> {
        match &self.secrets {
            Some(secrets) if resource.as_str().starts_with("secret/") => {
                Ok(Observed::Known(Arc::new(secrets.fetch(resource).await?)))
            }
            _ => self.site.read(resource).await,
        }
    }
}

/// How often a request is made anew where another was faster.
const CONFLICTS: u32 = 5;

/// Whether it was refused, with nothing done, since the object is not any more what the request was made from.
fn is_conflict(failure: &Failure) -> bool {
    failure.done == Done::None && failure.cause.contains("by other user?")
}

/// What is read again when nothing is under way any more.
fn settled(seen: Seen) -> Recovery {
    match seen {
        Seen::Done(outputs) => Recovery::Done(outputs),
        Seen::Untouched(_) | Seen::Theirs(_) => Recovery::NotApplied,
        Seen::Partial(what) => Recovery::Partial(what),
        Seen::Strange(what) => Recovery::InDoubt(what),
    }
}

/// The same where its task was taken and has ended: an object as before is then no leave to ask again. `failed`: whether
/// it did; `None`: its node does not remember it.
fn once_taken(seen: Seen, handle: &Value, failed: Option<bool>) -> Recovery {
    let (is, how) = match (seen, failed) {
        // Attaching to it reads why from its log, and the step's policy decides about another attempt.
        (Seen::Untouched(_), Some(true)) => return Recovery::Running(handle.clone()),
        (Seen::Untouched(is), Some(false)) => (is, "has ended well"),
        (Seen::Untouched(is), None) => (is, "is not known to its node any more"),
        (seen, _) => return settled(seen),
    };
    let upid = handle["upid"].as_str().unwrap_or_default();
    Recovery::InDoubt(format!("task {upid} was taken and {how}, and {is}"))
}

fn upid(handle: &Value) -> Result<Upid, Failure> {
    serde_json::from_value(handle["upid"].clone())
        .map_err(|e| Failure::new(Class::Internal, "read a task's handle", e.to_string()).done(Done::Unknown))
}

impl Trail {
    /// Tasks that were not there before. `Err(why)` inside: a list cannot be read at the moment.
    async fn new_tasks(
        &self,
        world: &dyn World,
        known: &BTreeSet<String>,
    ) -> Result<Result<Vec<TaskEntry>, String>, Failure> {
        let mut new = Vec::new();
        for list in &self.lists {
            match live::<Vec<TaskEntry>>(world, list.clone()).await {
                Ok(tasks) => new.extend(
                    tasks
                        .into_iter()
                        .filter(|task| !known.contains(task.upid.as_str()) && self.kinds.contains(&task.kind.as_str()))
                        .filter(|task| self.about.as_ref().is_none_or(|id| *id == task.id)),
                ),
                Err(failure) if look::may_pass(&failure) => return Ok(Err(failure.to_string())),
                Err(failure) => return Err(failure),
            }
        }
        Ok(Ok(new))
    }
}

impl<A: Act> One<A> {
    fn failed(&self, call: &Call, mut failure: Failure) -> Failure {
        failure.class = self.0.class(call, &failure.cause).unwrap_or(failure.class);
        match self.0.remedy(&failure.cause) {
            Some(remedy) if failure.remedy.is_none() => failure.remedy(remedy),
            _ => failure,
        }
    }

    fn or_nothing_done(&self, before: &Value, site: &Site, ended: Result<Value, Failure>) -> Result<Value, Failure> {
        ended.inspect_err(|failure| {
            if failure.done == Done::None {
                self.0.nothing_done(before, site);
            }
        })
    }

    /// Sends it and waits for its end.
    async fn sent(&self, call: &Call, before: &Value, work: &Work<'_>, request: &Request) -> Result<Value, Failure> {
        if request.ends == Ends::WithAnswer {
            return self.send(call, before, work, request).await;
        }
        if request.ends == Ends::AsAnswered {
            return self.ask(call, before, work, request).await;
        }
        let (path, params, handle) = (&request.path, &request.params, |upid: &Upid| json!({"upid": upid}));
        let started = match &request.upload {
            Some(upload) => work.upload(path, params, upload, handle).await,
            None => work.start_or_done(request.verb, path, params, handle).await,
        };
        match started.map_err(|f| self.failed(call, f))? {
            Some(upid) => self.finish(call, before, work, &upid).await,
            None => {
                let source = Near::of(work);
                self.settle(call, before, Some(&Value::Null), &source, 1).await
            }
        }
    }

    async fn finish(&self, call: &Call, before: &Value, work: &Work<'_>, upid: &Upid) -> Result<Value, Failure> {
        let end = work.follow(upid).await?;
        let source = Near::of(work);
        let answer = json!(upid);
        if end.is_success() {
            return self.settle(call, before, Some(&answer), &source, 1).await;
        }
        let done = match self.0.judge(call, before, Some(&answer), &source).await {
            Ok(Seen::Done(_)) => Done::Whole,
            Ok(Seen::Untouched(_) | Seen::Theirs(_)) => Done::None,
            Ok(Seen::Partial(_)) => Done::Partial,
            Ok(Seen::Strange(_)) | Err(_) => Done::Unknown,
        };
        Err(self.failed(call, work.failed(&end).done(done)))
    }

    /// Sends a request that is done when it is answered.
    async fn send(&self, call: &Call, before: &Value, work: &Work<'_>, request: &Request) -> Result<Value, Failure> {
        let source = Near::of(work);
        let mut answer = work.change(request.verb, &request.path, &request.params).await;
        for _ in 0..CONFLICTS {
            if !(self.0.looks_again() && answer.as_ref().is_err_and(is_conflict)) {
                break;
            }
            let probe = self.0.look(call, &source).await.map_err(look::settled)?;
            if probe.satisfied {
                answer = Ok(Value::Null);
                break;
            }
            let request = self.0.request(call, &probe.before)?;
            let request = self.0.complete(call, &probe.before, request, work.mutate).await?;
            answer = work.change(request.verb, &request.path, &request.params).await;
        }
        let answer = answer.map_err(|f| self.failed(call, f))?;
        self.settle(call, before, Some(&answer), &source, 1).await
    }

    /// Sends a request of which only the answer says whether it has started a task.
    async fn ask(&self, call: &Call, before: &Value, work: &Work<'_>, request: &Request) -> Result<Value, Failure> {
        let asked = work.ask(request.verb, &request.path, &request.params, |upid| json!({"upid": upid}));
        let (answer, upid) = asked.await.map_err(|f| self.failed(call, f))?;
        if let Some(upid) = upid {
            return self.finish(call, before, work, &upid).await;
        }
        let source = Near::of(work);
        self.settle(call, before, Some(&answer), &source, 1).await
    }

    /// Looks until the object was as wanted so many times in a row: its outputs. Else all was done, and not seen.
    async fn settle(
        &self,
        call: &Call,
        before: &Value,
        answer: Option<&Value>,
        world: &dyn World,
        looks: u32,
    ) -> Result<Value, Failure> {
        let steady = if looks == 1 { Duration::ZERO } else { self.0.steady(call) };
        let until = Instant::now() + self.0.settles_in(call) + steady;
        let (mut good, mut since) = (0, Instant::now());
        loop {
            let seen = match self.0.judge(call, before, answer, world).await {
                Ok(Seen::Theirs(is)) => {
                    let attempted = self.0.attempted(call, before);
                    return Err(self.failed(call, Failure::new(Class::Transient, attempted, is)));
                }
                Ok(seen) => seen.into_wanted(),
                Err(failure) if look::may_pass(&failure) => Err(failure.to_string()),
                Err(failure) => return Err(failure.done(Done::Whole)),
            };
            good = if seen.is_ok() { good + 1 } else { 0 };
            if good <= 1 {
                since = Instant::now();
            }
            match seen {
                Ok(outputs) if good >= looks && since.elapsed() >= steady => return Ok(outputs),
                Err(seen) if Instant::now() >= until => {
                    let attempted = format!("verify: {}", self.0.attempted(call, before));
                    let failure = Failure::new(Class::Verify, attempted, format!("seen last: {seen}"));
                    return Err(failure.done(Done::Whole));
                }
                _ => tokio::time::sleep(self.0.timing().poll).await,
            }
        }
    }

    /// Looks for what the request has begun, for as long as that may take to show.
    async fn search(&self, call: &Call, intent: &Intent, world: &dyn World) -> Result<Recovery, Failure> {
        let (known, until) = (known_before(intent), Instant::now() + self.0.timing().late_task);
        let request = self.0.request(call, &intent.before)?;
        loop {
            let seen = self.0.judge(call, &intent.before, None, world).await?;
            match seen {
                Seen::Done(outputs) => return Ok(Recovery::Done(outputs)),
                Seen::Theirs(_) => return Ok(Recovery::NotApplied),
                _ => {}
            }
            if let Ends::WithTask(trail) = &request.ends {
                let tasks = match trail.new_tasks(world, &known).await? {
                    Ok(tasks) => tasks,
                    Err(why) => return Ok(Recovery::InDoubt(format!("the node's tasks cannot be read: {why}"))),
                };
                if trail.shared {
                    if tasks.iter().all(|task| !task.running) && Instant::now() >= until {
                        return Ok(self.unheard(seen));
                    }
                    if Instant::now() >= until + OTHERS {
                        let upids: Vec<&str> = tasks.iter().map(|task| task.upid.as_str()).collect();
                        return Ok(Recovery::InDoubt(format!("one of these may be it: {}", upids.join(", "))));
                    }
                    tokio::time::sleep(self.0.timing().poll).await;
                    continue;
                }
                if let Some(task) = tasks.iter().find(|t| t.running) {
                    return Ok(Recovery::Running(json!({"upid": task.upid})));
                }
                if let Some(task) = tasks.first() {
                    let failed = task.status.as_deref().is_some_and(|s| !TaskOutcome::from_exitstatus(s).is_success());
                    let answer = (!failed).then(|| json!(task.upid));
                    let seen = self.0.judge(call, &intent.before, answer.as_ref(), world).await?;
                    return Ok(once_taken(seen, &json!({"upid": task.upid}), Some(failed)));
                }
            }
            if Instant::now() >= until {
                return Ok(self.unheard(seen));
            }
            tokio::time::sleep(self.0.timing().poll).await;
        }
    }

    /// What is said of a request of which nothing has shown for as long as that may take.
    fn unheard(&self, seen: Seen) -> Recovery {
        match seen {
            Seen::Untouched(is) => {
                let waited = self.0.timing().late_task.as_secs();
                let evidence = format!("{is}, and nothing of it has shown within {waited} s");
                Recovery::Unseen { done: Done::None, evidence }
            }
            seen => settled(seen),
        }
    }
}

#[async_trait]
impl<A: Act> Action for One<A> {
    fn spec(&self) -> &ActionSpec {
        self.0.spec()
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        self.0.read(call, world).await
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let probe = self.0.look(call, world).await?;
        if !probe.satisfied {
            // What cannot be asked for is told while planning.
            self.0.request(call, &probe.before)?;
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        self.0.predict(call, before)
    }

    fn commands(&self, call: &Call, before: &Probe) -> Vec<String> {
        let Ok(request) = self.0.request(call, &before.before) else { return Vec::new() };
        [Some(request.typed()), self.0.check(call, &before.before)].into_iter().flatten().collect()
    }

    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        let probe = self.0.look(call, world).await.map_err(look::settled)?;
        let Ends::WithTask(trail) = self.0.request(call, &probe.before)?.ends else { return Ok(Value::Null) };
        let mut known = Vec::new();
        for list in trail.lists {
            known.extend(live::<Vec<TaskEntry>>(world, list).await?.into_iter().map(|task| task.upid));
        }
        Ok(json!({"tasks": known}))
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let work = Work::new(mutate, self.0.attempted(call, &intent.before))?;
        let request = self.0.request(call, &intent.before)?;
        let request = self.0.complete(call, &intent.before, request, mutate).await?;
        self.0.begins(&intent.before, &work.site);
        let sent = self.sent(call, &intent.before, &work, &request).await;
        let outputs = self.or_nothing_done(&intent.before, &work.site, sent)?;
        self.0.ended(&intent.before, &outputs, &work.site, mutate)?;
        Ok(outputs)
    }

    async fn attach(&self, call: &Call, intent: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let work = Work::new(mutate, self.0.attempted(call, &intent.before))?;
        self.0.begins(&intent.before, &work.site);
        let finished = self.finish(call, &intent.before, &work, &upid(handle)?).await;
        let outputs = self.or_nothing_done(&intent.before, &work.site, finished)?;
        self.0.ended(&intent.before, &outputs, &work.site, mutate)?;
        Ok(outputs)
    }

    async fn verify(&self, call: &Call, before: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        self.settle(call, before, Some(outputs), world, self.0.looks()).await.map(drop)
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let Some(handle) = handle else { return self.search(call, intent, world).await };
        let traced = trace(world, &upid(handle)?).await?;
        if traced == Trace::Running {
            return Ok(Recovery::Running(handle.clone()));
        }
        let as_answered = self.0.request(call, &intent.before)?.ends == Ends::AsAnswered;
        let heard = match &traced {
            Trace::Ended(Some(task)) => as_answered || task.outcome.as_deref() == Some("ok"),
            _ => false,
        };
        let answer = heard.then(|| handle["upid"].clone());
        let seen = self.0.judge(call, &intent.before, answer.as_ref(), world).await;
        match (traced, seen) {
            (Trace::Unseen(why), Err(_)) => Ok(Recovery::InDoubt(format!("its task cannot be asked about: {why}"))),
            (Trace::Unseen(why), Ok(Seen::Untouched(is))) => {
                Ok(Recovery::InDoubt(format!("{is}, and its task cannot be asked about: {why}")))
            }
            (Trace::Unseen(_) | Trace::Running, Ok(seen)) => Ok(settled(seen)),
            (Trace::Ended(task), seen) => {
                let failed = task.map(|task| task.outcome.as_deref() != Some("ok"));
                Ok(once_taken(seen?, handle, failed))
            }
            (Trace::Running, Err(failure)) => Err(failure),
        }
    }

    fn undo(&self, call: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        self.0.undo(call, before, outputs)
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        self.0.undo_summary(call, before)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clients::proxmox::{Credential, NodeEndpoint, SiteSettings};

    struct Counts(ActionSpec, AtomicUsize);

    #[async_trait]
    impl Act for Counts {
        fn spec(&self) -> &ActionSpec {
            &self.0
        }

        fn timing(&self) -> crate::actions::deps::Timing {
            crate::actions::deps::Timing::default()
        }

        fn attempted(&self, _: &Call, _: &Value) -> String {
            "count".into()
        }

        async fn look(&self, _: &Call, _: &dyn World) -> Result<Probe, Unreadable> {
            Ok(Probe::new("", Value::Null))
        }

        fn request(&self, _: &Call, _: &Value) -> Result<Request, Failure> {
            Err(Failure::new(Class::Internal, "count", "nothing is sent"))
        }

        fn nothing_done(&self, _: &Value, _: &Site) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }

        async fn judge(&self, _: &Call, _: &Value, _: Option<&Value>, _: &dyn World) -> Result<Seen, Failure> {
            Ok(Seen::Done(Value::Null))
        }
    }

    #[tokio::test]
    async fn an_act_is_told_that_nothing_was_done_where_that_is_certain() {
        let spec = ActionSpec::new("test.count", crate::model::effect::Effect::Change, "Count");
        let one = One(Counts(spec, AtomicUsize::new(0)));
        let node = NodeEndpoint { name: "pve1".into(), host: "127.0.0.1".into(), port: 1, fingerprint: None };
        let token = Credential::Token { id: "ops@pve!rb".into(), secret: "x".to_owned().into() };
        let site = Site::connect(SiteSettings::new("lab", vec![node], token)).unwrap();
        for (done, told) in [(Done::None, 1), (Done::Unknown, 1), (Done::Whole, 1), (Done::Partial, 1)] {
            let failed = Err(Failure::new(Class::Failed, "count", "no").done(done));
            one.or_nothing_done(&Value::Null, &site, failed).unwrap_err();
            assert_eq!(one.0.1.load(Ordering::Relaxed), told, "{done:?}");
        }
        one.or_nothing_done(&Value::Null, &site, Ok(Value::Null)).unwrap();
        assert_eq!(one.0.1.load(Ordering::Relaxed), 1);
    }
}
