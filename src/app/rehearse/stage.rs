//! One lab of its own for one case, and what can be done in it: plan, run, crash, resume, let it come to rest.
//!
//! Everything lives in one runtime whose time is paused: it passes only while all wait for it, so that a case costs what
//! it computes, and nothing depends on how busy the machine is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::configs::Configs;
use super::keeping::Keeping;
use super::outside::{Files, Outside};
use super::wire::{LabKeys, LabWire};
use crate::app::config::Config;
use crate::app::error::{AppError, Exit};
use crate::app::lab::{configuration, profile};
use crate::app::open::{OpenSite, Way};
use crate::app::settings::Settings;
use crate::clients::kubernetes::SharedStandIn as SharedKubectl;
use crate::clients::netbox::SharedNetboxWire;
use crate::clients::proxmox::{Credential, SharedWire};
use crate::clients::ssh::{SharedCommands, Ssh, SshVia};
use crate::clients::talos::SharedStandIn;
use crate::engine::drivers::embedded::{self, DriverError, Ports, RunEnd};
use crate::engine::inject::{CrashingJournal, Inject};
use crate::engine::ports::{Actions, Answer, Anything, Approver, Clock, Journal, JournalError, Observer};
use crate::engine::world::LiveWorld;
use crate::event::{Decision, Event, Question, RunStatus, Signal};
use crate::journal::memory::{MemoryJournal, MemoryLocks};
use crate::lab::front::{Lab, LabOptions, Listen};
use crate::lab::ledger::Entry;
use crate::lab::netbox::Netbox;
use crate::lab::scenario::Scenario;
use crate::lab::world::World;
use crate::load::diagnostic::Source;
use crate::model::ids::{RunId, StepPath};
use crate::model::plan::Plan;
use crate::secrets::Redactor;
use crate::sys::clock;

const TOKEN: &str = "ops@pve!runbook";
/// A run that has not ended after so much of its own time never will.
const LONGEST: Duration = Duration::from_secs(48 * 3600);
/// The HA manager acts in rounds of 10 s: what has not changed for so long will not change by itself.
const REST: Duration = Duration::from_secs(120);
/// How long a lab may take to come to rest.
const UNREST: Duration = Duration::from_secs(3600);

/// What all cases of one rehearsal have in common: the world at its beginning, and what is laid on it.
#[derive(Clone)]
pub(super) struct Setting {
    scenario: String,
    pub world: World,
    pub profile: Option<&'static str>,
    /// The files of the cluster that the profile is of.
    configs: Option<Arc<Configs>>,
    pub faults: Vec<String>,
    /// Who the run is to the site: a user by password; the lab's own token where there is none.
    pub user: Option<String>,
    /// Tests put their own doubles among the actions.
    pub double: Option<fn(Actions) -> Actions>,
}

impl Setting {
    /// # Errors
    /// There is no such scenario.
    pub fn new(scenario: &str, faults: Vec<String>) -> Result<Self, AppError> {
        Self::of_version(scenario, faults, None)
    }

    /// The same with every node of this version, where one is given.
    ///
    /// # Errors
    /// There is no such scenario.
    pub fn of_version(scenario: &str, faults: Vec<String>, version: Option<&str>) -> Result<Self, AppError> {
        let called = scenario.to_owned();
        let mut scenario =
            Scenario::named(scenario).map_err(|e| AppError::new(Exit::NotFound, "lab::scenario", e.to_string()))?;
        if let Some(version) = version {
            scenario.nodes.iter_mut().for_each(|node| version.clone_into(&mut node.version));
        }
        let world = World::from_scenario(&scenario, 1, clock::now_ms() / 1000);
        let profile = profile(&scenario);
        let configs = profile.map(|_| Configs::of(&world).map(Arc::new)).transpose()?;
        Ok(Self { scenario: called, world, profile, configs, faults, user: None, double: None })
    }
}

/// A lab with a site that is open to it.
pub(super) struct Stage {
    lab: Arc<Lab>,
    pub site: OpenSite,
    outside: Outside,
    keeping: Keeping,
    locks: MemoryLocks,
    clock: Arc<LabTime>,
}

/// A run, or a process's part of one.
pub(super) struct Act {
    /// All that is in the journal.
    pub events: Vec<Event>,
    pub end: Result<RunEnd, Broken>,
}

/// Why a run did not come to an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("it crashed")]
    Crashed,
    #[error("it has not ended after two days of its own time")]
    StandsStill,
    #[error("{0}")]
    Driver(DriverError),
}

impl Stage {
    /// # Errors
    /// A fault that is none, or a configuration that does not read: neither depends on the case.
    pub async fn set(setting: &Setting) -> Result<Self, AppError> {
        let site = setting.world.site().to_owned();
        let netbox = Netbox::seeded(&setting.scenario, &site);
        let options = LabOptions::new(setting.world.clone());
        let options = LabOptions { listen: Listen::Nowhere, time_scale: 1.0, netbox, ..options };
        let lab = Lab::start(options).await.map_err(|e| AppError::new(Exit::Failed, "lab::start", e.to_string()))?;
        for fault in &setting.faults {
            lab.faults().add_text(fault).map_err(|why| AppError::new(Exit::Usage, "lab::fault", why))?;
        }
        let lab = Arc::new(lab);
        let (outside, keeping) = (Outside::default(), Keeping::default());
        let site = open(&lab, &site, setting, &outside, &keeping)?;
        let clock = Arc::new(LabTime { began: Instant::now(), at: u64::try_from(clock::now_ms()).unwrap_or_default() });
        Ok(Self { lab, site, outside, keeping, locks: MemoryLocks::default(), clock })
    }

    /// # Errors
    /// The text is no fault, or the lab has not what it is about.
    pub fn lay(&self, fault: &str) -> Result<(), AppError> {
        self.lab.faults().add_text(fault).map_err(|why| AppError::new(Exit::Usage, "lab::fault", why))
    }

    /// Makes the lab well again: no fault of the transport any more, every node up, and quorum.
    pub fn mend(&self) {
        self.lab.faults().clear();
        self.lab.with_world_as::<World, _>(|world| {
            world.set_quorum_lost(false);
            world.mend_talos();
            world.mend_kubernetes();
            for node in world.nodes() {
                world.set_node_up(&node, true);
            }
        });
    }

    pub async fn run(&self, plan: &Plan, inject: &Inject) -> Act {
        let (_word, signals) = mpsc::unbounded_channel();
        self.run_with(plan, inject, signals).await
    }

    /// The same with somebody who may give it a signal.
    pub async fn run_with(&self, plan: &Plan, inject: &Inject, signals: Signals) -> Act {
        self.run_heard("rehearsal", plan, inject, None, signals).await
    }

    /// The same under this name, with an ear at its journal.
    pub async fn run_heard(&self, run: &str, plan: &Plan, inject: &Inject, ear: Option<Ear>, signals: Signals) -> Act {
        let mut plan = plan.clone();
        inject.lay_over(&mut plan);
        let journal = MemoryJournal::default();
        let ports = self.ports(&journal, inject, ear);
        let going = embedded::start(ports, RunId::new(run), Arc::new(plan), true, signals);
        Self::end(going, &journal).await
    }

    /// Goes on with a run whose process is gone.
    pub async fn resume(&self, history: Vec<Event>, inject: &Inject) -> Act {
        let (_word, signals) = mpsc::unbounded_channel();
        self.resume_with(history, inject, signals).await
    }

    /// The same with somebody who may give it a signal.
    pub async fn resume_with(&self, history: Vec<Event>, inject: &Inject, signals: Signals) -> Act {
        let journal = MemoryJournal::with(history.clone());
        let inject = Inject { crash_after: None, ..inject.clone() };
        let ports = self.ports(&journal, &inject, None);
        Self::end(embedded::resume(ports, &history, &[Signal::Resume], signals), &journal).await
    }

    async fn end(going: impl Future<Output = Result<RunEnd, DriverError>>, journal: &MemoryJournal) -> Act {
        let end = match tokio::time::timeout(LONGEST, going).await {
            Ok(Ok(end)) => Ok(end),
            Ok(Err(DriverError::Journal(JournalError::Crashed))) => Err(Broken::Crashed),
            Ok(Err(error)) => Err(Broken::Driver(error)),
            Err(_) => Err(Broken::StandsStill),
        };
        Act { events: journal.events(), end }
    }

    fn ports(&self, journal: &MemoryJournal, inject: &Inject, ear: Option<Ear>) -> Ports {
        let crashing = CrashingJournal::new(journal.clone(), inject);
        Ports {
            requests: mpsc::unbounded_channel().1,
            actions: inject.over_actions(self.site.actions.clone()),
            world: Arc::new(LiveWorld(self.site.source.clone())),
            clients: self.site.clients.clone(),
            journal: Box::new(Heard { inner: crashing, ear }),
            locks: Arc::new(self.locks.clone()),
            policy: Arc::new(Anything),
            clock: self.clock.clone(),
            approver: inject.over_approver(Arc::new(Nods)),
            observer: Box::new(Unseen),
            inject: inject.clone(),
            actor: "rehearsal".into(),
            host: "rehearsal".into(),
            process: 1,
        }
    }

    /// The lab's state once nothing in it goes on by itself, or after an hour of its time.
    pub async fn at_rest(&self) -> Value {
        let mut seen = self.state();
        let until = Instant::now() + UNREST;
        while Instant::now() < until {
            tokio::time::sleep(REST).await;
            let before = std::mem::replace(&mut seen, self.state());
            if before == seen && !is_locked(&seen) {
                break;
            }
        }
        seen
    }

    /// What the lab's own witness has seen of the Talos machines that must never be.
    pub fn violations(&self) -> Vec<String> {
        self.lab.talos_violations()
    }

    pub fn state(&self) -> Value {
        let mut state = self.lab.with_world_as::<World, _>(|world| world.snapshot_state()).unwrap_or_default();
        state["access"] = self.lab.access().comparable();
        state["netbox"] = self.lab.netbox().comparable();
        self.outside.beside(self.keeping.beside(state))
    }

    /// Whether an event has a secret that is kept.
    pub fn tells_a_secret(&self, events: &[Event]) -> bool {
        events.iter().any(|event| serde_json::to_string(event).is_ok_and(|text| self.keeping.is_told_in(&text)))
    }

    pub fn lab(&self) -> &Arc<Lab> {
        &self.lab
    }

    /// What was taken that changed, or queued a change of, the world.
    pub fn taken(&self) -> Vec<Entry> {
        self.lab.ledger().mutating().into_iter().filter(|entry| entry.accepted).collect()
    }
}

type Signals = mpsc::UnboundedReceiver<Signal>;

/// A guest that is locked is being worked on.
fn is_locked(state: &Value) -> bool {
    let guests = state["guests"].as_object();
    guests.is_some_and(|guests| guests.values().any(|guest| !guest["lock"].is_null()))
}

fn open(
    lab: &Arc<Lab>,
    site: &str,
    setting: &Setting,
    outside: &Outside,
    keeping: &Keeping,
) -> Result<OpenSite, AppError> {
    let nodes = lab.with_world(|world| world.nodes());
    let nodes = nodes.into_iter().map(|name| json!({"name": name, "host": name})).collect();
    // Named as a person would; what is used is given below.
    let mut text = configuration(site, nodes, json!({"token": "env:RUNBOOK_LAB_TOKEN"}))?;
    text["netbox"] = json!({"url": "https://netbox.lab.example", "token": "env:RUNBOOK_LAB_NETBOX"});
    let source = Source::new("cluster-config.yaml", text.to_string());
    let profile = setting.profile.zip(setting.configs.as_ref()).map(|(text, configs)| configs.profile(text));
    let profiles = profile.map(|text| Source::new("clusters/prod.yaml", text)).into_iter().collect();
    let folder = setting.configs.as_ref().map(|configs| configs.folder().to_owned()).unwrap_or_default();
    let config = Config::of(folder.join("cluster-config.yaml"), false, &source, profiles)?;
    let credential = match &setting.user {
        Some(user) => {
            let none = || AppError::new(Exit::NotFound, "lab::user", format!("the lab has no user {user}"));
            Credential::Password { user: user.clone(), password: lab.access().password(user).ok_or_else(none)?.into() }
        }
        None => {
            let secret = lab.access().token_secret(TOKEN).unwrap_or_default();
            Credential::Token { id: TOKEN.into(), secret: secret.into() }
        }
    };
    let (wire, settings) =
        (Arc::new(LabWire(lab.clone())), Settings { actor: "rehearsal".into(), ..Settings::default() });
    let way = Way {
        credential,
        wire: Some(SharedWire(wire.clone())),
        netbox: Some((SharedNetboxWire(wire.clone()), Arc::new(LabKeys(lab.clone())))),
        talos: Some(SharedStandIn(wire.clone())),
        kubernetes: Some(SharedKubectl(wire.clone())),
        ssh: Ssh::via(SshVia::Direct(SharedCommands(wire))),
        keeper: keeping.keeper(),
    };
    let mut site = OpenSite::assemble(&settings, config, &Redactor::new(), way)?;
    site.actions = outside.stand_in(site.actions);
    site.source = Arc::new(Files(site.source));
    if let Some(double) = setting.double {
        site.actions = double(site.actions);
    }
    Ok(site)
}

/// Told of what is in the journal, as soon as it is there.
pub(super) type Ear = Box<dyn FnMut(&[Event]) + Send>;

struct Heard<J> {
    inner: J,
    ear: Option<Ear>,
}

impl<J: Journal> Journal for Heard<J> {
    fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        self.inner.append(events)?;
        if let Some(ear) = &mut self.ear {
            ear(events);
        }
        Ok(())
    }
}

/// The time of the lab, as runs see it.
struct LabTime {
    began: Instant,
    at: u64,
}

impl Clock for LabTime {
    fn now(&self) -> u64 {
        self.at + u64::try_from(self.began.elapsed().as_millis()).unwrap_or_default()
    }
}

/// Says yes to everything, with the word that is asked for; what has failed is to be left at that.
struct Nods;

#[async_trait]
impl Approver for Nods {
    async fn ask(&self, _: &StepPath, question: &Question) -> Answer {
        let who = "rehearsal".to_owned();
        if question.options.is_empty() {
            Answer::Approved { who, word: question.word.clone() }
        } else {
            Answer::Decided { who, decision: Decision::Stop }
        }
    }
}

struct Unseen;

impl Observer for Unseen {
    fn see(&mut self, _: &Event) {}
}

/// How the last part of a run ended.
pub(super) fn status(act: &Act) -> Result<RunStatus, String> {
    match &act.end {
        Ok(end) => Ok(end.status),
        Err(broken) => Err(broken.to_string()),
    }
}
