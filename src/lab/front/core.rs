//! What all parts of the front share: the one world behind its one lock, and what stands around it.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::clock::WorldClock;
use super::latency::Latency;
use super::site::SiteWorld;
use super::tls::Shown;
use super::tools::{self, Begun};
use super::workers::Workers;
use crate::lab::access::Access;
use crate::lab::call::{Call, CommandReply, ProgramReply};
use crate::lab::fault::{CommandFault, Fault, FaultBoard};
use crate::lab::ledger::{Channel, Entry, Ledger, redact_command};
use crate::lab::netbox::Netbox;
use crate::model::ids::NodeName;

/// Real durations that the transport keeps; none of them scales.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How long a worker is busy with any call.
    pub service: Duration,
    /// How long a refused login or ticket waits for its answer.
    pub auth_delay: Duration,
    /// How long it takes to find that a node is not there.
    pub no_route: Duration,
    /// After how long pveproxy gives up on pvedaemon or another node.
    pub proxy_timeout: Duration,
    /// How long a connection may be idle.
    pub keep_alive: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            service: Duration::from_millis(1),
            auth_delay: Duration::from_secs(3),
            no_route: Duration::from_secs(1),
            proxy_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(5),
        }
    }
}

pub(crate) struct Core {
    world: Mutex<Box<dyn SiteWorld>>,
    pub(super) clock: WorldClock,
    /// Told when the world's next event may have changed.
    pub(super) wake: Notify,
    pub(super) access: Arc<Access>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) faults: FaultBoard,
    pub(super) workers: BTreeMap<NodeName, Workers>,
    pub(super) latency: Latency,
    pub(super) timing: Timing,
    pub(super) netbox: Netbox,
    /// The certificates of the nodes that listen.
    shown: Mutex<BTreeMap<NodeName, Arc<Shown>>>,
}

impl Core {
    pub(super) fn new(
        world: Box<dyn SiteWorld>,
        scale: f64,
        access: Arc<Access>,
        ledger: Arc<Ledger>,
        workers: usize,
        timing: Timing,
        netbox: Netbox,
    ) -> Self {
        let clock = WorldClock::new(world.now_ms(), scale);
        let workers = world.nodes().into_iter().map(|node| (node, Workers::new(workers))).collect();
        let (wake, faults, latency) = (Notify::new(), FaultBoard::default(), Latency::default());
        Self {
            world: Mutex::new(world),
            clock,
            wake,
            access,
            ledger,
            faults,
            workers,
            latency,
            timing,
            netbox,
            shown: Mutex::default(),
        }
    }

    /// The world at the present moment. Never hold the lock across an await.
    pub(crate) fn with_world<R>(&self, act: impl FnOnce(&mut dyn SiteWorld) -> R) -> R {
        let result = {
            let mut world = self.lock();
            self.catch_up(&mut **world);
            let result = act(&mut **world);
            self.reload(&mut **world);
            result
        };
        self.wake.notify_one();
        result
    }

    /// The same for a world of a known type; `None` if it is of another.
    pub(crate) fn with_world_as<W: SiteWorld, R>(&self, act: impl FnOnce(&mut W) -> R) -> Option<R> {
        self.with_world(|world| (world as &mut dyn Any).downcast_mut::<W>().map(act))
    }

    pub(super) fn advance(&self) {
        let mut world = self.lock();
        self.catch_up(&mut **world);
    }

    fn catch_up(&self, world: &mut dyn SiteWorld) {
        let now = self.clock.now_ms();
        if now > world.now_ms() {
            world.advance_to(now);
        }
        self.reload(world);
    }

    /// A node listens with this certificate.
    pub(super) fn show(&self, node: NodeName, shown: Arc<Shown>) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(node, shown);
    }

    /// Has the listeners show what their nodes have taken.
    fn reload(&self, world: &mut dyn SiteWorld) {
        for (node, names) in world.reloaded() {
            let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned();
            match shown.map(|shown| shown.take(&node, names)) {
                Some(Ok(fingerprint)) => world.set_shown(&node, fingerprint),
                Some(Err(why)) => self.faults.note_trouble(why),
                None => {}
            }
        }
    }

    pub(super) fn peek_next_event(&self) -> Option<u64> {
        self.lock().next_event()
    }

    /// How long a call holds its worker for the world's own reasons.
    pub(super) fn busy(&self, call: &Call) -> Duration {
        self.lock().busy(call)
    }

    /// Whether a node is up, without touching anything.
    pub(super) fn node_up(&self, node: &NodeName) -> bool {
        self.lock().node_up(node)
    }

    /// Sets a fault: kept here, or made to happen in the world at once.
    pub(crate) fn add_fault(&self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::World(fault) => self.with_world(|world| world.inject(&fault)),
            other => {
                self.faults.add(other);
                Ok(())
            }
        }
    }

    /// Runs a command on a node, as SSH does, and writes it into the ledger. One that starts a task ends with it; its
    /// line in the ledger says what was known when it had been taken.
    pub(crate) async fn run_command(&self, node: &NodeName, argv: &[String]) -> CommandReply {
        match self.begin_command(node, argv) {
            Begun::Done(reply) => reply,
            Begun::Waits(waiting) => waiting.for_its_end(self).await,
        }
    }

    fn begin_command(&self, node: &NodeName, argv: &[String]) -> Begun {
        self.with_world(|world| {
            let known = world.nodes().contains(node);
            let up = known && world.node_up(node);
            let fault = up.then(|| self.faults.take_command(argv)).flatten();
            let begun = match &fault {
                _ if !up => Begun::Done(unreachable_node(node)),
                Some(fault) if !fault.after => Begun::Done(broken(node, fault, false)),
                Some(fault) => {
                    let mutating = tools::begin(self, world, node, argv).mutating();
                    Begun::Done(broken(node, fault, mutating))
                }
                None => tools::begin(self, world, node, argv),
            };
            self.ledger.add(Entry {
                seq: 0,
                at_ms: world.now_ms(),
                channel: Channel::Ssh,
                node: node.clone(),
                method: "exec".into(),
                path: argv.first().cloned().unwrap_or_default(),
                params: BTreeMap::from([("argv".to_owned(), redact_command(argv))]),
                user: Some("root".into()),
                status: begun.exit(),
                mutating: begun.mutating(),
                accepted: up && fault.is_none_or(|fault| fault.after),
                client: None,
            });
            begun
        })
    }

    /// One call of talosctl, as from the operator's own machine, written into the ledger as it stood when it was taken; to
    /// its end. `file`: what is in the one that it reads.
    pub(crate) async fn run_talosctl(
        &self,
        version: Option<&str>,
        words: &[String],
        file: Option<&str>,
    ) -> ProgramReply {
        let begun = self.begin_talosctl(version, words, file);
        match begun.waits {
            None => begun,
            Some(waits) => {
                let ended = Client { core: self, id: waits.id }.wait_for_the_end(waits.patience).await;
                let stdout = format!("{}{}", begun.stdout, ended.stdout);
                let stderr = format!("{}{}", begun.stderr, ended.stderr);
                ProgramReply { stdout, stderr, mutating: begun.mutating, ..ended }
            }
        }
    }

    fn begin_talosctl(&self, version: Option<&str>, words: &[String], file: Option<&str>) -> ProgramReply {
        self.with_world(|world| {
            let reply = world.talosctl(version, words, file);
            let node = words.iter().skip_while(|word| *word != "--nodes" && *word != "-n").nth(1);
            self.ledger.add(Entry {
                seq: 0,
                at_ms: world.now_ms(),
                channel: Channel::Talosctl,
                node: NodeName::new(node.map_or("", String::as_str)),
                method: "exec".into(),
                path: "talosctl".into(),
                params: BTreeMap::from([("argv".to_owned(), redact_command(words))]),
                user: None,
                status: reply.exit,
                mutating: reply.mutating,
                accepted: reply.exit == 0,
                client: version.map(|version| format!("talosctl {version}")),
            });
            reply
        })
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn SiteWorld>> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A talosctl that waits. When it goes away before its time, the world knows.
struct Client<'a> {
    core: &'a Core,
    id: u64,
}

impl Client<'_> {
    /// How often the world is asked, world milliseconds.
    const POLL_MS: u64 = 500;

    async fn wait_for_the_end(self, patience: Option<Duration>) -> ProgramReply {
        let poll = self.core.clock.real_duration(Self::POLL_MS).max(Duration::from_millis(2));
        let until = patience.map(|patience| tokio::time::Instant::now() + patience);
        loop {
            if let Some(reply) = self.core.with_world(|world| world.talosctl_ended(self.id)) {
                return reply;
            }
            if until.is_some_and(|until| tokio::time::Instant::now() >= until) {
                return self.core.with_world(|world| world.talosctl_gone(self.id));
            }
            tokio::time::sleep(poll).await;
        }
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        // Of one that has ended nothing is left.
        self.core.with_world(|world| world.talosctl_gone(self.id));
    }
}

/// What is left of a command's answer by a fault: `ssh`'s own words for a connection that is gone, or the command's.
fn broken(node: &NodeName, fault: &CommandFault, mutating: bool) -> CommandReply {
    let stderr = match &fault.said {
        Some(text) => format!("{text}\n"),
        None => format!("Connection to {node} closed by remote host.\n"),
    };
    CommandReply { exit: 255, stdout: String::new(), stderr, mutating }
}

/// What `ssh` says of a host that is not there, with its exit code.
fn unreachable_node(node: &NodeName) -> CommandReply {
    CommandReply {
        exit: 255,
        stdout: String::new(),
        stderr: format!("ssh: connect to host {node} port 22: No route to host\n"),
        mutating: false,
    }
}
