//! A lab that outlives the runs in it, the real binary, and what the lab's ledger says of both.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use runbook::app::lab::{House, LabRequest};
use runbook::app::open::OpenSite;
use runbook::app::planning::{self, Request};
use runbook::app::ports::{Answer, Approver, Inject, Observer};
use runbook::app::running::{self, Attendance, Ended, Purpose};
use runbook::app::{AppError, Settings, books};
use runbook::event::{Ending, Event, Fact, Outcome, Question, RunStatus, Signal};
use runbook::journal::Store;
use runbook::lab::ledger::Entry;
use runbook::model::ids::{StepPath, Vmid};
use runbook::model::plan::Plan;
use runbook::secrets::Redactor;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// How long any one process or run may take before the test gives up on it.
pub const LONG: Duration = Duration::from_secs(100);

/// The guest of `tiny` and `three-node` that the HA manager moves.
pub const HA_GUEST: Vmid = Vmid(111);

pub struct Rig {
    pub house: House,
}

/// The lab's talosctl asks the program that has started the lab to answer: here that would be the suite.
#[allow(clippy::disallowed_methods, reason = "the files are there, and keep their mode")]
fn its_talosctl_is_the_program(house: &House) {
    let this = std::env::current_exe().unwrap().display().to_string();
    let bin = house.folder().join("bin");
    for name in runbook::sys::files::names(bin.clone()).unwrap().iter().filter(|name| name.starts_with("talosctl-")) {
        let text = std::fs::read_to_string(bin.join(name)).unwrap();
        std::fs::write(bin.join(name), text.replace(&this, env!("CARGO_BIN_EXE_runbook"))).unwrap();
    }
}

/// What a process left behind.
#[derive(Debug)]
pub struct Output {
    /// `None`: killed.
    pub code: Option<i32>,
    pub text: String,
}

impl Rig {
    pub async fn start(scenario: &str, time_scale: f64, faults: &[&str]) -> Self {
        let faults = faults.iter().map(|f| (*f).to_owned()).collect();
        // The suite is no `runbook`, so the lab's sshd would have no helper to run: SSH is answered on the socket.
        let request = LabRequest { time_scale, faults, sshd: false, ..LabRequest::new(scenario) };
        let house = House::start(&request, None).await.unwrap();
        its_talosctl_is_the_program(&house);
        Self { house }
    }

    pub fn fault(&self, text: &str) {
        self.house.add_fault(text).unwrap();
    }

    // --- the real binary ---

    #[allow(clippy::disallowed_methods, reason = "the test plays the operator, and must signal the child itself")]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runbook"));
        command.args(args).envs(self.house.env()).stdin(Stdio::null()).kill_on_drop(true);
        command.env_remove("RUST_LOG").env("NO_COLOR", "1").current_dir(self.house.folder());
        command
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub async fn run(&self, args: &[&str]) -> Output {
        finish(self.spawn(args)).await
    }

    /// Kills the process once the lab has seen so many more requests, and a moment later.
    pub async fn run_and_kill(&self, args: &[&str], requests: usize, later: Duration) -> Output {
        let mut child = self.spawn(args);
        let until = self.requests() + requests;
        while self.requests() < until {
            if child.try_wait().unwrap().is_some() {
                return finish(child).await;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        tokio::time::sleep(later).await;
        child.start_kill().unwrap();
        finish(child).await
    }

    // --- in this process ---

    pub fn settings(&self) -> Settings {
        let cwd = self.house.folder().to_owned();
        let mut settings = Settings { cwd, actor: "test@here".into(), ..Settings::default() };
        self.house.settle_in(&mut settings);
        settings.poll = Some(Duration::from_millis(10));
        settings
    }

    pub async fn site(&self) -> OpenSite {
        OpenSite::open(&self.settings(), &Redactor::new()).await.unwrap()
    }

    pub async fn plan(&self) -> Plan {
        let site = self.site().await;
        let book = books::find(&self.settings(), "evacuate").unwrap();
        let request = Request { args: vec!["pve2".into()], set: vec![], cluster: None };
        let plan = planning::plan(&site, &book, &request).await.unwrap();
        assert!(plan.failure.is_none(), "{:?}", plan.failure);
        plan
    }

    pub async fn apply(&self, plan: Plan, inject: &[&str]) -> (Result<Ended, AppError>, Seen) {
        let (attendance, seen, _word) = attend(inject);
        let site = self.site().await;
        let ended = tokio::time::timeout(LONG, running::apply(&self.settings(), &site, plan, attendance)).await;
        (ended.expect("the run stands still"), seen)
    }

    pub async fn resume(&self, inject: &[&str]) -> (Result<Ended, AppError>, Seen) {
        let (attendance, seen, _word) = attend(inject);
        let site = self.site().await;
        let settings = self.settings();
        let resumed = running::take_up(&settings, &site, "last", Purpose::GoOn, Vec::new(), attendance);
        let ended = tokio::time::timeout(LONG, resumed).await;
        (ended.expect("the run stands still"), seen)
    }

    /// Lays a variant of the shipped evacuation over it: `head` goes to its top level.
    pub fn variant(&self, head: &str) {
        let shipped = include_str!("../../runbooks/node-evacuation.yaml");
        let text = shipped.replacen("target: proxmox\n", &format!("target: proxmox\n{head}"), 1);
        let text = text.replace("backoff: 30s", "backoff: 200ms");
        assert!(text.contains(head) && text != shipped);
        self.write_book(&text);
    }

    /// The shipped evacuation, whose moves are given up after `timeout`.
    pub fn with_timeout(&self, timeout: &str) {
        self.variant_of_moves("", &format!("timeout: {timeout}"));
    }

    /// As [`Rig::variant`], with modifiers on the step that moves the guests.
    pub fn variant_of_moves(&self, head: &str, modifiers: &str) {
        let shipped = include_str!("../../runbooks/node-evacuation.yaml");
        let text = shipped.replacen("    retry: {", &format!("    {modifiers}\n    retry: {{"), 1);
        assert_ne!(text, shipped);
        self.write_book(&text.replacen("target: proxmox\n", &format!("target: proxmox\n{head}"), 1));
    }

    fn write_book(&self, text: &str) {
        let folder = self.house.folder().join("runbooks");
        std::fs::create_dir_all(&folder).unwrap();
        runbook::sys::files::write_private(folder.join("node-evacuation.yaml"), text.as_bytes()).unwrap();
    }

    // --- what is known afterwards ---

    pub fn store(&self) -> Store {
        Store::open(self.settings().state().unwrap()).unwrap()
    }

    /// The last run's events; none before there is one.
    pub fn events(&self) -> Vec<Event> {
        let store = self.store();
        let Ok(header) = store.find("last") else { return Vec::new() };
        store.events(&header.id).unwrap().map(Result::unwrap).collect()
    }

    pub fn status(&self) -> Option<RunStatus> {
        self.store().find("last").ok().map(|header| header.status)
    }

    pub fn requests(&self) -> usize {
        self.house.ledger().len()
    }

    /// What the lab took and what changed something, of all that reached it.
    pub fn taken(&self) -> Vec<Entry> {
        self.house.ledger().into_iter().filter(|e| e.mutating && e.accepted).collect()
    }

    /// The same without the calls of the site's lock.
    pub fn work(&self) -> Vec<Entry> {
        self.taken().into_iter().filter(|e| e.path != "/pools").collect()
    }

    /// How often the site's lock was taken, and how often given back or broken.
    pub fn lock_calls(&self) -> (usize, usize) {
        let count = |method: &str| self.taken().iter().filter(|e| e.path == "/pools" && e.method == method).count();
        (count("POST"), count("DELETE"))
    }

    /// Where each guest was asked to go, in order.
    pub fn migrations(&self) -> BTreeMap<Vmid, Vec<String>> {
        let mut asked: BTreeMap<Vmid, Vec<String>> = BTreeMap::new();
        for entry in self.taken().iter().filter(|e| e.path.ends_with("/migrate")) {
            let vmid = entry.path.split('/').rev().nth(1).unwrap().parse().unwrap();
            asked.entry(vmid).or_default().push(entry.params["target"].clone());
        }
        asked
    }

    /// How often the node's maintenance was asked for: on, off.
    pub fn maintenance_asked(&self) -> (usize, usize) {
        let count = |word: &str| {
            let is = |e: &&Entry| e.params.values().any(|v| v.contains(&format!("node-maintenance {word}")));
            self.taken().iter().filter(is).count()
        };
        (count("enable"), count("disable"))
    }

    pub fn state(&self) -> Value {
        self.house.with_world(|world| world.snapshot_state()).unwrap()
    }

    pub fn node_of(&self, vmid: Vmid) -> String {
        self.state()["guests"][vmid.to_string()]["node"].as_str().unwrap().to_owned()
    }

    /// Everything that must hold of an evacuation that was disturbed on its way and carried to its end.
    pub fn assert_evacuated(&self, story: &str) {
        let state = self.state();
        let plan = self.events().iter().find_map(|e| match e.fact() {
            Some(Fact::RunCreated { plan, .. }) => Some(plan.clone()),
            _ => None,
        });
        let plan = plan.unwrap_or_else(|| panic!("{story}: no run"));
        let asked = self.migrations();
        let mut planned = 0;
        for step in plan.steps.iter().filter(|s| s.uses == "proxmox.guest_migrate") {
            let vmid: Vmid = step.with["guest"].to_string().parse().unwrap();
            let to = step.with["to"].as_str().unwrap();
            let guest = &state["guests"][vmid.to_string()];
            assert_eq!((guest["node"].as_str(), &guest["lock"]), (Some(to), &Value::Null), "{story}: guest {vmid}");
            assert_eq!(asked.get(&vmid), Some(&vec![to.to_owned()]), "{story}: guest {vmid} was asked for");
            planned += 1;
        }
        assert_eq!(asked.len(), planned, "{story}: only what was planned was moved: {asked:?}");
        assert_ne!(self.node_of(HA_GUEST), "pve2", "{story}");
        assert_eq!(self.maintenance_asked(), (1, 0), "{story}");
        assert_eq!(state["nodes"]["pve2"]["maintenance"], true, "{story}");
        assert_eq!(self.work().len(), planned + 1, "{story}: {:#?}", self.taken());
        let (taken, left) = self.lock_calls();
        assert!(taken >= 1 && taken == left, "{story}: the lock was taken {taken} times and given back {left} times");
        self.assert_chain(story);
        assert_eq!(self.status(), Some(RunStatus::Succeeded), "{story}");
    }

    pub fn assert_chain(&self, story: &str) {
        let store = self.store();
        let run = store.find("last").unwrap().id;
        store.verify_chain(&run).unwrap_or_else(|e| panic!("{story}: {e}"));
    }

    /// The last ending of a step, as journalled.
    pub fn ending(&self, path: &str) -> Option<Ending> {
        let events = self.events();
        events.into_iter().rev().find_map(|e| match e.fact() {
            Some(Fact::Finished { path: of, ending, .. }) if of.as_str() == path => Some(ending.clone()),
            _ => None,
        })
    }
}

pub async fn finish(child: Child) -> Output {
    let output = tokio::time::timeout(LONG, child.wait_with_output()).await.expect("the process stands still").unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    Output { code: output.status.code(), text }
}

/// The story of a run as its observer was told it.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Event>>>);

impl Seen {
    pub fn facts(&self) -> Vec<Fact> {
        self.0.lock().unwrap().iter().filter_map(|e| e.fact().cloned()).collect()
    }
}

impl Observer for Seen {
    fn see(&mut self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

struct Nods;

#[async_trait]
impl Approver for Nods {
    async fn ask(&self, _: &StepPath, question: &Question) -> Answer {
        Answer::Approved { who: "test".into(), word: question.word.clone() }
    }
}

pub fn attend(inject: &[&str]) -> (Attendance, Seen, mpsc::UnboundedSender<Signal>) {
    let (word, signals) = mpsc::unbounded_channel();
    let seen = Seen::default();
    let inject = inject.iter().map(|text| text.parse::<Inject>().unwrap()).fold(Inject::default(), Inject::and);
    let attendance =
        Attendance { approver: Arc::new(Nods), observer: Box::new(seen.clone()), signals, inject, auto_expand: false };
    (attendance, seen, word)
}

/// How many times as much as usual is asked of the tests.
pub fn torture() -> usize {
    std::env::var("TORTURE").ok().and_then(|v| v.parse().ok()).unwrap_or(1)
}

/// What became of a step, by the fold of the run's journal.
pub fn outcome_of(events: &[Event], path: &str) -> Option<Outcome> {
    let facts = events.iter().filter_map(|e| Some((e.at, e.fact()?)));
    let state = runbook::engine::machine::State::replay(facts).unwrap();
    state.find(&StepPath::new(path)).map(|ix| state.node(ix).outcome.clone())
}
