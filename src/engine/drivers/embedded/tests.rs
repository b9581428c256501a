//! The embedded driver against actions that nobody ships: what is durable before what, and how many commits it costs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{DriverError, Ports, RunEnd, Told, resume, start};
use crate::engine::inject::Inject;
use crate::engine::machine::tests::puppet::{action, created, retry, step};
use crate::engine::ports::{
    Action, Actions, Answer, Approver, Call, Capabilities, Clock, Journal, JournalError, Locks, Mutate, Observed,
    Observer, Probe, Reading, Recovery, Unreadable, World,
};
use crate::event::{Body, Decision, Ending, Event, Fact, Intent, Outcome, Question, Request, RunStatus, Signal};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{ResourceKey, RunId, StepPath};
use crate::model::plan::{Change, Plan, PlanStep, Planned};
use crate::model::runbook::{Check, Confirm, Expr, OnFailure, Place, Step, Template, Verb};

/// What the world, the journal and the actions did, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(part)).count()
    }

    fn place(&self, line: &str) -> usize {
        self.lines().iter().position(|l| l == line).unwrap_or_else(|| panic!("no {line:?} in {:#?}", self.lines()))
    }
}

/// An action that sends, checkpoints and waits; its name says what goes wrong.
struct Fake {
    spec: ActionSpec,
    diary: Diary,
}

#[async_trait]
impl Action for Fake {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, _: &Call, _: &dyn World) -> Result<Reading, Unreadable> {
        self.diary.write("look");
        let outputs = json!({"looks": self.diary.count("look")});
        Ok(Reading { outputs, summary: "looked".into(), guards: vec![], notes: vec![] })
    }

    async fn probe(&self, call: &Call, _: &dyn World) -> Result<Probe, Unreadable> {
        if self.spec.name == "panics" {
            panic!("a bug in an action");
        }
        Ok(Probe::new(format!("do {}", call.path), json!("before")))
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let path = &call.path;
        self.diary.write(format!("send {path}"));
        let failed = |class, done| Err(Failure::new(class, format!("do {path}"), "no").done(done));
        match self.spec.name.as_str() {
            "flaky" if self.diary.count(&format!("send {path}")) < 3 => return failed(Class::Transient, Done::None),
            "refused" => return failed(Class::Refused, Done::None),
            "unheard" => return failed(Class::Timeout, Done::None).map_err(Failure::lost),
            "unclear" => return failed(Class::Failed, Done::Unknown),
            _ => {}
        }
        mutate.checkpoint(json!("handle")).await?;
        self.diary.write(format!("wait {path}"));
        let time = if self.spec.name == "hangs" { 3_600 } else { 1 };
        if mutate.stop.sleep(Duration::from_secs(time)).await {
            return failed(Class::Failed, Done::Unknown);
        }
        self.diary.write(format!("done {path}"));
        Ok(json!({"ok": true}))
    }

    async fn recover(
        &self,
        call: &Call,
        _: &Intent,
        handle: Option<&Value>,
        _: &dyn World,
    ) -> Result<Recovery, Failure> {
        self.diary.write(format!("recover {} with {}", call.path, handle.unwrap_or(&Value::Null)));
        Ok(match handle {
            Some(_) => Recovery::Done(json!({"ok": true})),
            None if self.spec.name.starts_with("un") => {
                Recovery::Unseen { done: Done::None, evidence: "it is as it was".into() }
            }
            None => Recovery::NotApplied,
        })
    }
}

struct Nothing;

#[async_trait]
impl World for Nothing {
    async fn read(&self, _: &ResourceKey) -> Result<Observed, Failure> {
        Ok(Observed::Known(Arc::new(Value::Null)))
    }
}

/// Writes each commit into the diary; fails for good at the `fails_at`th.
#[derive(Clone)]
struct Book {
    diary: Diary,
    events: Arc<Mutex<Vec<Event>>>,
    commits: Arc<Mutex<usize>>,
    fails_at: Option<usize>,
}

impl Journal for Book {
    fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        let mut commits = self.commits.lock().unwrap();
        *commits += 1;
        if self.fails_at.is_some_and(|at| *commits >= at) {
            self.diary.write("journal failed");
            return Err(JournalError::Unwritable("disk full".into()));
        }
        for event in events {
            if let Body::Fact(fact) = &event.body {
                let path = fact.path().map(|p| format!(" {p}")).unwrap_or_default();
                self.diary.write(format!("durable {}{path}", fact.kind()));
            }
        }
        self.diary.write("commit");
        self.events.lock().unwrap().extend_from_slice(events);
        Ok(())
    }
}

#[async_trait]
impl Locks for Diary {
    async fn acquire(&self, _: &str, _: &RunId) -> Result<Result<(), String>, JournalError> {
        Ok(Ok(()))
    }

    async fn release(&self, _: &str, _: &RunId) -> Result<(), JournalError> {
        self.write("unlock");
        Ok(())
    }
}

/// tokio's clock, which tests pause.
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> u64 {
        1_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

struct Says(bool);

#[async_trait]
impl Approver for Says {
    async fn ask(&self, _: &StepPath, _: &Question) -> Answer {
        let who = "test".to_owned();
        if self.0 { Answer::Approved { who, word: None } } else { Answer::Declined { who, why: "no".into() } }
    }
}

struct Blind;

impl Observer for Blind {
    fn see(&mut self, _: &Event) {}
}

struct Stage {
    diary: Diary,
    book: Book,
    yes: bool,
    begun: Instant,
    word: mpsc::UnboundedSender<Signal>,
    words: Option<mpsc::UnboundedReceiver<Signal>>,
}

impl Stage {
    fn new(fails_at: Option<usize>) -> Self {
        let diary = Diary::default();
        let book = Book { diary: diary.clone(), events: Arc::default(), commits: Arc::default(), fails_at };
        let (word, words) = mpsc::unbounded_channel();
        Self { diary, book, yes: true, begun: Instant::now(), word, words: Some(words) }
    }

    fn ports(&self) -> Ports {
        let mut actions = Actions::new();
        for name in ["works", "flaky", "refused", "unheard", "unclear", "hangs", "panics", "look"] {
            let effect = if name == "look" { Effect::Read } else { Effect::Change };
            let spec = ActionSpec::new(name, effect, name);
            actions.insert(name.into(), Arc::new(Fake { spec, diary: self.diary.clone() }));
        }
        Ports {
            requests: mpsc::unbounded_channel().1,
            policy: Arc::new(crate::engine::ports::Anything),
            actions,
            world: Arc::new(Nothing),
            clients: Capabilities::default(),
            journal: Box::new(self.book.clone()),
            locks: Arc::new(self.diary.clone()),
            clock: Arc::new(Paused(self.begun)),
            approver: Arc::new(Says(self.yes)),
            observer: Box::new(Blind),
            inject: Inject::default(),
            actor: "test@here".into(),
            host: "here".into(),
            process: 1,
        }
    }

    async fn run(&mut self, steps: Vec<Step>) -> Result<RunEnd, DriverError> {
        let words = self.words.take().unwrap();
        start(self.ports(), RunId::new("r1"), plan(steps), false, words).await
    }

    async fn resume(&self) -> Result<RunEnd, DriverError> {
        let (_word, words) = mpsc::unbounded_channel();
        let events = self.book.events.lock().unwrap().clone();
        resume(self.ports(), &events, &[Signal::Resume], words).await
    }

    fn endings(&self, path: &str) -> Vec<Ending> {
        let events = self.book.events.lock().unwrap();
        let ended = events.iter().filter_map(|e| match e.fact()? {
            Fact::Finished { path: of, ending, .. } if of.as_str() == path => Some(ending.clone()),
            _ => None,
        });
        ended.collect()
    }
}

fn plan(steps: Vec<Step>) -> Arc<Plan> {
    let Fact::RunCreated { plan, .. } = created(steps, vec![], OnFailure::Stop) else { unreachable!() };
    let mut plan = (*plan).clone();
    plan.steps = plan.procedure.steps.iter().map(planned).collect();
    Arc::new(plan)
}

fn planned(step: &Step) -> PlanStep {
    let uses = if let Verb::Uses { action, .. } = &step.verb { action.clone() } else { "confirm".into() };
    PlanStep {
        path: StepPath::new(&step.id),
        uses,
        version: 1,
        effect: Effect::Change,
        change: Change::Change,
        planned: Planned::Run,
        summary: String::new(),
        undo: String::new(),
        with: BTreeMap::new(),
        unknown: vec![],
        pinned: None,
        identities: vec![],
        guards: vec![],
        notes: vec![],
        commands: Vec::new(),
    }
}

fn chain(uses: &str, n: usize) -> Vec<Step> {
    let id = |i: usize| format!("s{i}");
    (0..n).map(|i| if i == 0 { action(&id(0), uses, &[]) } else { action(&id(i), uses, &[&id(i - 1)]) }).collect()
}

#[tokio::test(start_paused = true)]
async fn an_intent_is_durable_before_anything_is_sent_and_a_handle_before_it_is_waited_for() {
    let mut stage = Stage::new(None);
    assert_eq!(stage.run(chain("works", 2)).await.unwrap().status, RunStatus::Succeeded);
    for path in ["s0", "s1"] {
        let at = |line: &str| stage.diary.place(&format!("{line} {path}"));
        assert!(at("durable started") < at("send") && at("send") < at("durable checkpoint"), "{path}");
        assert!(at("durable checkpoint") < at("wait"), "{path}");
    }
    assert!(stage.diary.place("durable finished s1") < stage.diary.place("unlock"), "the lock goes last");
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_changes_costs_two_commits_a_step() {
    let cost = async |n: usize| {
        let mut stage = Stage::new(None);
        stage.run(chain("works", n)).await.unwrap();
        stage.diary.count("commit")
    };
    let (ten, thirty) = (cost(10).await, cost(30).await);
    assert_eq!(thirty - ten, 40, "ten steps: {ten} commits, thirty: {thirty}");
}

#[tokio::test(start_paused = true)]
async fn whatever_commit_fails_nothing_is_sent_after_it_and_what_is_under_way_is_let_finish() {
    let mut whole = Stage::new(None);
    whole.run(chain("works", 3)).await.unwrap();
    for fails_at in 1..=whole.diary.count("commit") {
        let mut stage = Stage::new(Some(fails_at));
        // A second chain beside the first: its unit may be waiting for the journal when it fails.
        let mut steps = chain("works", 3);
        steps.push(action("beside", "works", &[]));
        let ended = tokio::time::timeout(Duration::from_secs(60), stage.run(steps)).await;
        let ended = ended.unwrap_or_else(|_| panic!("failing commit {fails_at} leaves the run hanging"));
        assert!(matches!(ended, Err(DriverError::Journal(JournalError::Unwritable(_)))), "{fails_at}: {ended:?}");
        let failed = stage.diary.place("journal failed");
        let sent = stage.diary.lines().iter().skip(failed).filter(|l| l.starts_with("send")).count();
        assert_eq!(sent, 0, "{fails_at}: {:#?}", stage.diary.lines());
        let (waits, dones) = (stage.diary.count("wait"), stage.diary.count("done"));
        assert_eq!(waits, dones, "{fails_at}: {:#?}", stage.diary.lines());
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_too_long_is_stopped_and_recovered_before_anything_else() {
    let mut stage = Stage::new(None);
    let mut steps = chain("hangs", 1);
    steps[0].timeout = Some(10_000);
    steps.push(action("after", "works", &["s0"]));
    assert_eq!(stage.run(steps).await.unwrap().status, RunStatus::Succeeded);
    let Ending::Failed { failure } = &stage.endings("s0")[0] else { panic!("{:?}", stage.endings("s0")) };
    assert_eq!((failure.class, failure.done), (Class::Timeout, Done::Unknown));
    assert!(stage.begun.elapsed() >= Duration::from_secs(10));
    assert!(stage.diary.place("recover s0 with \"handle\"") < stage.diary.place("send after"));
}

#[tokio::test(start_paused = true)]
async fn nothing_to_be_seen_is_no_proof_after_a_lost_answer_and_is_one_after_a_bad_answer() {
    let mut stage = Stage::new(None);
    let mut steps = chain("unheard", 1);
    steps[0].retry = Some(retry(3));
    let ended = stage.run(steps).await.unwrap();
    assert_eq!((ended.status, ended.in_doubt), (RunStatus::Paused, true));
    let Some(Ending::InDoubt { evidence }) = stage.endings("s0").pop() else { panic!("{:?}", stage.endings("s0")) };
    assert!(evidence.starts_with("do s0: no (the step began at 1970-01-01T00:00:01"), "{evidence}");
    assert!(evidence.contains("it is as it was") && evidence.contains("may still carry it out"), "{evidence}");
    assert_eq!(stage.resume().await.unwrap().status, RunStatus::Paused, "to look again is no proof either");
    assert_eq!(stage.diary.count("send s0"), 1, "whatever `retry` says");

    let mut answered = Stage::new(None);
    assert_eq!(answered.run(chain("unclear", 1)).await.unwrap().status, RunStatus::Failed);
    assert!(answered.endings("s0").contains(&Ending::NotApplied), "{:?}", answered.endings("s0"));
}

#[tokio::test(start_paused = true)]
async fn retries_wait_longer_each_time() {
    let mut stage = Stage::new(None);
    let mut steps = chain("flaky", 1);
    let mut policy = retry(3);
    (policy.backoff, policy.max) = (10_000, 60_000);
    steps[0].retry = Some(policy);
    assert_eq!(stage.run(steps).await.unwrap().status, RunStatus::Succeeded);
    assert_eq!(stage.diary.count("send s0"), 3);
    let waited = stage.begun.elapsed();
    assert!((Duration::from_secs(30)..Duration::from_secs(33)).contains(&waited), "10 s, then 20 s: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_looks_until_it_holds_or_its_time_is_over() {
    for (expect, status, seconds) in
        [("result.looks >= 3", RunStatus::Succeeded, 10), ("result.looks >= 30", RunStatus::Failed, 20)]
    {
        let mut stage = Stage::new(None);
        let mut steps = chain("works", 1);
        steps[0].verify = vec![Check {
            uses: Some("look".into()),
            with: vec![],
            expect: Expr { source: expect.into(), place: Place::default() },
            every: 5_000,
            within: 20_000,
            stable_for: 0,
            message: None,
            place: Place::default(),
        }];
        assert_eq!(stage.run(steps).await.unwrap().status, status, "{expect}");
        let took = stage.begun.elapsed().as_secs();
        assert!((seconds..seconds + 3).contains(&took), "{expect}: {took} s");
    }
}

fn gate(id: &str, needs: &[&str]) -> Step {
    let confirm = Confirm { message: Template::Literal("sure?".into()), show: None, word: None };
    step(id, Verb::Confirm(confirm), needs)
}

#[tokio::test(start_paused = true)]
async fn a_declined_question_stops_the_run_and_nothing_is_sent() {
    let mut stage = Stage::new(None);
    stage.yes = false;
    let ended = stage.run(vec![gate("sure", &[]), action("a", "works", &["sure"])]).await.unwrap();
    assert_eq!(ended.status, RunStatus::Stopped);
    assert_eq!(stage.diary.count("send"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bug_in_an_action_fails_its_step_and_not_the_run_s_process() {
    let mut stage = Stage::new(None);
    let ended = tokio::time::timeout(Duration::from_secs(60), stage.run(chain("panics", 2))).await;
    assert_eq!(ended.expect("the run goes on").unwrap().status, RunStatus::Failed);
    assert!(matches!(&stage.endings("s0")[0], Ending::Failed { failure } if failure.class == Class::Internal));
}

#[tokio::test(start_paused = true)]
async fn two_cancels_park_what_is_under_way_and_a_resume_recovers_it() {
    let mut stage = Stage::new(None);
    let (word, diary) = (stage.word.clone(), stage.diary.clone());
    tokio::spawn(async move {
        while diary.count("wait s0") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for level in [1, 2] {
            word.send(Signal::Cancel { level, rollback: false }).unwrap();
        }
    });
    let ended = stage.run(chain("hangs", 1)).await.unwrap();
    assert_eq!((ended.status, ended.in_doubt), (RunStatus::Paused, true));
    assert_eq!(stage.resume().await.unwrap().status, RunStatus::Succeeded);
    assert_eq!(stage.diary.count("send"), 1, "{:#?}", stage.diary.lines());
}

#[tokio::test(start_paused = true)]
async fn every_prefix_of_the_journal_resumes_to_the_same_end() {
    let mut whole = Stage::new(None);
    whole.run(chain("works", 2)).await.unwrap();
    let events = whole.book.events.lock().unwrap().clone();
    for length in 1..=events.len() {
        let stage = Stage::new(None);
        *stage.book.events.lock().unwrap() = events[..length].to_vec();
        let ended = stage.resume().await.unwrap();
        assert_eq!(ended.status, RunStatus::Succeeded, "prefix {length}");
        let state = crate::engine::machine::State::replay(
            stage.book.events.lock().unwrap().iter().filter_map(|e| Some((e.at, e.fact()?))),
        );
        let state = state.unwrap();
        assert!(state.nodes().all(|n| n.outcome == Outcome::Ok), "prefix {length}");
        let longer = stage.book.events.lock().unwrap().len() > length;
        assert_eq!(longer, length < events.len(), "nothing is written of a run that is over: prefix {length}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_told_again_does_not_answer_the_next_question_of_the_same_step() {
    let mut stage = Stage::new(None);
    let words = stage.words.take().unwrap();
    let (tell, requests) = mpsc::unbounded_channel();
    let ports = Ports { requests, ..stage.ports() };
    let mut steps = chain("refused", 1);
    steps[0].on_failure = Some(OnFailure::Ask);
    let decide = |attempt, decision| {
        let request = Request::Decide { path: Some(StepPath::new("s0")), attempt: Some(attempt), decision };
        Told { who: "ops".into(), key: format!("{attempt}"), request }
    };
    let says = async {
        // The second is the first, told again by a process that died before it had noted that it was taken.
        for told in [decide(1, Decision::Retry), decide(1, Decision::Retry), decide(2, Decision::Stop)] {
            tokio::time::sleep(Duration::from_secs(5)).await;
            tell.send(told).unwrap();
        }
    };
    let (end, ()) = tokio::join!(start(ports, RunId::new("r1"), plan(steps), false, words), says);
    assert_eq!(end.unwrap().status, RunStatus::Failed);
    assert_eq!(stage.diary.count("send s0"), 2, "{:#?}", stage.diary.lines());
}
