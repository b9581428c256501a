//! Faults: what can go wrong on demand, and how a person writes it.
//!
//! Faults of the transport are kept and counted here; faults of the world are handed on to it.

mod board;
mod kind;
mod talos;

use std::str::FromStr;
use std::time::Duration;

pub(crate) use self::board::FaultBoard;
pub use self::talos::{SnapshotFault, TalosFault};

use crate::model::ids::{NodeName, Vmid};

/// Anything that can be made to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// What happens to matching requests.
    Request(RequestFault),
    /// What happens to matching commands over SSH.
    Command(CommandFault),
    /// Every API token is refused, this many times or for good.
    TokenRejected { left: Option<u32> },
    /// What happens inside the world.
    World(WorldFault),
}

/// Every kind of fault by the word that a person writes for it; [`Fault::kind`] says which one a fault is.
pub const KINDS: [&str; 46] = [
    "reset-before",
    "reset-after",
    "STATUS",
    "STATUS-after",
    "slow",
    "hang",
    "ssh-drop",
    "ssh-drop-after",
    "ssh-exit",
    "ssh-exit-after",
    "token-rejected",
    "task-fail",
    "task-abort",
    "task-warn",
    "task-hang",
    "task-forget",
    "task-full",
    "lock-stays",
    "tasks-late",
    "node-down",
    "node-up",
    "quorum-lost",
    "quorum-back",
    "replace-guest",
    "set-lock",
    "clear-lock",
    "challenge-fails",
    "talos-rolls-back",
    "talos-never-returns",
    "talos-loses-extensions",
    "upgrade-hangs",
    "kubelet-stays",
    "etcd-unhealthy",
    "etcd-learner",
    "etcd-alarm",
    "etcd-corrupt",
    "talos-clock-behind",
    "talos-disk-full",
    "talos-kubelet-unhealthy",
    "etcd-broken",
    "talos-time-unsynced",
    "snapshot-cut",
    "snapshot-damaged",
    "drain-blocked",
    "node-not-ready",
    "storage-degraded",
];

/// A fault of SSH, for commands whose program this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandFault {
    /// `ha-manager`
    pub program: String,
    /// How often it still happens; `None` for every time.
    pub left: Option<u32>,
    /// Whether the command is carried out first.
    pub after: bool,
    /// What it writes before it exits with 255; `None`: the connection is dropped.
    pub said: Option<String>,
}

/// A fault that the world carries out itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorldFault {
    /// The next such task ends with this error.
    TaskFail {
        task_type: String,
        vmid: Option<Vmid>,
        text: Option<String>,
    },
    /// The next such task is broken off half-way, as by a killed worker.
    TaskAbort {
        task_type: String,
        vmid: Option<Vmid>,
    },
    /// The next such task ends with warnings.
    TaskWarn {
        task_type: String,
        vmid: Option<Vmid>,
    },
    /// The next such task never ends by itself.
    TaskHang {
        task_type: String,
        vmid: Option<Vmid>,
    },
    /// The next such task does its work, and its node forgets it once it has ended.
    TaskForget {
        task_type: String,
        vmid: Option<Vmid>,
    },
    /// The next such task finds the storage that it copies to full, half-way.
    TaskFull {
        task_type: String,
        vmid: Option<Vmid>,
    },
    /// The guest's lock outlives the task that took it.
    LockStays {
        vmid: Vmid,
    },
    /// Tasks appear in lists this much later, in world milliseconds.
    TasksLate {
        ms: u64,
    },
    NodeUp {
        node: NodeName,
        up: bool,
    },
    /// The cluster has no quorum although its nodes are up, or has it back.
    Quorum {
        lost: bool,
    },
    /// Someone destroys the guest and makes another with the same id.
    ReplaceGuest {
        vmid: Vmid,
    },
    /// The next challenge by which a certificate authority checks this name fails.
    ChallengeFails {
        domain: String,
    },
    /// A disruption budget of Kubernetes never allows anything.
    DrainBlocked {
        namespace: String,
        budget: String,
    },
    /// A node's kubelet says nothing any more though its machine runs.
    NodeNotReady {
        node: String,
    },
    /// A volume of Longhorn lacks a replica, and Ceph warns.
    StorageDegraded,
    /// Someone sets the guest's lock, or takes it away.
    SetLock {
        vmid: Vmid,
        lock: Option<String>,
    },
    /// Of a Talos machine, by its hostname.
    Talos {
        node: String,
        fault: TalosFault,
    },
    /// The next snapshot of etcd.
    Snapshot {
        fault: SnapshotFault,
    },
}

/// A fault of the transport, for requests that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFault {
    /// `None` matches every verb.
    pub verb: Option<String>,
    /// The path below `/api2/json`; `*` stands for one segment, `**` at the end for all the rest.
    pub path: String,
    /// How often it still happens; `None` for every time.
    pub left: Option<u32>,
    pub effect: Effect,
}

/// What happens to a matching request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The connection is reset and the request was not taken.
    ResetBefore,
    /// The request is carried out; the connection is reset in place of the answer.
    ResetAfter,
    /// Answered with this status; carried out first where `after` says so.
    Status { status: u16, text: Option<String>, after: bool },
    /// The worker is busy this much longer, in real time.
    Slow(Duration),
    /// Carried out, but the answer never comes: pveproxy gives up on pvedaemon or another node after its 30 s.
    Hang,
}

/// Why a text is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault {text:?}: {expected}; for example `{example}`")]
pub struct BadFault {
    pub text: String,
    pub expected: &'static str,
    pub example: &'static str,
}

const REQUEST_EXAMPLE: &str = "reset-after:POST /nodes/*/qemu/104/migrate*1";

impl FromStr for Fault {
    type Err = BadFault;

    /// `KIND`, `KIND:WHAT` or `KIND:WHAT=ARGUMENT`; a request's `WHAT` is `[VERB ]PATH[*COUNT]`.
    fn from_str(text: &str) -> Result<Self, BadFault> {
        let bad = |expected, example| BadFault { text: text.to_owned(), expected, example };
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        if let Some(fault) = parse_world(kind, rest, &bad)? {
            return Ok(Self::World(fault));
        }
        if let Some(count) = text.strip_prefix("token-rejected") {
            let left = match count.strip_prefix('*') {
                None if count.is_empty() => None,
                _ => Some(
                    number(count.trim_start_matches('*')).ok_or_else(|| bad("expected a count", "token-rejected*2"))?,
                ),
            };
            return Ok(Self::TokenRejected { left });
        }
        let (what, argument) = rest.split_once('=').map_or((rest, None), |(what, arg)| (what, Some(arg)));
        if let Some(how) = kind.strip_prefix("ssh-") {
            return parse_command(how, what, argument, &bad).map(Self::Command);
        }
        let effect = parse_effect(kind, argument, &bad)?;
        parse_request(what, effect).map(Self::Request).ok_or_else(|| bad("expected a path", REQUEST_EXAMPLE))
    }
}

/// A fault with its time: `@40s node-down:pve3` happens after forty seconds of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledFault {
    /// World milliseconds from now.
    pub after_ms: u64,
    pub fault: Fault,
}

impl FromStr for ScheduledFault {
    type Err = BadFault;

    /// `@DURATION FAULT`, or a fault alone, which is due at once.
    fn from_str(text: &str) -> Result<Self, BadFault> {
        let Some(timed) = text.strip_prefix('@') else { return Ok(Self { after_ms: 0, fault: text.parse()? }) };
        let (after, fault) = timed.split_once(' ').unwrap_or((timed, ""));
        let bad = || BadFault { text: text.to_owned(), expected: "expected when", example: "@40s node-down:pve3" };
        Ok(Self { after_ms: milliseconds(after).ok_or_else(bad)?, fault: fault.trim().parse()? })
    }
}

fn parse_effect(
    kind: &str,
    argument: Option<&str>,
    bad: &dyn Fn(&'static str, &'static str) -> BadFault,
) -> Result<Effect, BadFault> {
    let (status, after) = kind.strip_suffix("-after").map_or((kind, false), |status| (status, true));
    match kind {
        "reset-before" => Ok(Effect::ResetBefore),
        "reset-after" => Ok(Effect::ResetAfter),
        "hang" => Ok(Effect::Hang),
        "slow" => match argument.and_then(milliseconds) {
            Some(ms) => Ok(Effect::Slow(Duration::from_millis(ms))),
            None => Err(bad("expected how slow", "slow:GET /cluster/resources=2s")),
        },
        _ => match status.parse::<u16>() {
            Ok(status) if (400..600).contains(&status) => {
                Ok(Effect::Status { status, text: argument.map(str::to_owned), after })
            }
            _ => Err(bad(
                "expected one of reset-before, reset-after, STATUS, STATUS-after, slow, hang, token-rejected, node-down, \
                 node-up, quorum-lost, quorum-back, task-fail, task-abort, task-warn, task-hang, task-forget, task-full, tasks-late, \
                 lock-stays, set-lock, clear-lock, replace-guest, challenge-fails, ssh-drop, ssh-drop-after, ssh-exit, ssh-exit-after, \
                 talos-rolls-back, talos-never-returns, talos-loses-extensions, upgrade-hangs, kubelet-stays, etcd-unhealthy, etcd-learner, etcd-alarm, \
                 etcd-corrupt, etcd-broken, talos-time-unsynced, talos-clock-behind, talos-disk-full, talos-kubelet-unhealthy, \
                 snapshot-cut, snapshot-damaged, drain-blocked, node-not-ready, storage-degraded",
                REQUEST_EXAMPLE,
            )),
        },
    }
}

/// `drop:ha-manager*1`, or `exit-after:qm=TEXT`.
fn parse_command(
    how: &str,
    what: &str,
    argument: Option<&str>,
    bad: &dyn Fn(&'static str, &'static str) -> BadFault,
) -> Result<CommandFault, BadFault> {
    const EXAMPLE: &str = "ssh-drop-after:ha-manager*1";
    let (how, after) = how.strip_suffix("-after").map_or((how, false), |how| (how, true));
    let said = match how {
        "drop" => None,
        "exit" => Some(argument.unwrap_or_default().to_owned()),
        _ => return Err(bad("expected ssh-drop, ssh-drop-after, ssh-exit or ssh-exit-after", EXAMPLE)),
    };
    let (program, left) = match what.rsplit_once('*') {
        Some((before, count)) => (before, Some(number(count).ok_or_else(|| bad("expected a count", EXAMPLE))?)),
        None => (what, None),
    };
    match program.trim() {
        "" => Err(bad("expected a program", EXAMPLE)),
        program => Ok(CommandFault { program: program.to_owned(), left, after, said }),
    }
}

fn parse_request(what: &str, effect: Effect) -> Option<RequestFault> {
    let (verb, path) = match what.trim().split_once(' ') {
        Some((verb, path)) => (Some(verb.to_ascii_uppercase()), path.trim()),
        None => (None, what.trim()),
    };
    let (path, left) = match path.rsplit_once('*') {
        Some((before, count)) if number(count).is_some() => (before, number(count)),
        _ => (path, None),
    };
    path.starts_with('/').then(|| RequestFault { verb, path: path.to_owned(), left, effect })
}

fn parse_world(
    kind: &str,
    rest: &str,
    bad: &dyn Fn(&'static str, &'static str) -> BadFault,
) -> Result<Option<WorldFault>, BadFault> {
    let guest = |text: &str| text.parse::<Vmid>().map_err(|_| bad("expected a guest's id", "lock-stays:104"));
    if let Some(how) = kind.strip_prefix("task-") {
        return parse_task(how, rest, bad).map(Some);
    }
    Ok(Some(match kind {
        "node-down" | "node-up" if rest.is_empty() => return Err(bad("expected a node's name", "node-down:pve3")),
        "node-down" | "node-up" => WorldFault::NodeUp { node: NodeName::new(rest), up: kind == "node-up" },
        "quorum-lost" | "quorum-back" => WorldFault::Quorum { lost: kind == "quorum-lost" },
        "snapshot-cut" => WorldFault::Snapshot { fault: SnapshotFault::Cut },
        "snapshot-damaged" => WorldFault::Snapshot { fault: SnapshotFault::Damaged },
        "challenge-fails" if rest.is_empty() => return Err(bad("expected a name", "challenge-fails:pve1.example.org")),
        "challenge-fails" => WorldFault::ChallengeFails { domain: rest.to_owned() },
        "drain-blocked" => {
            let named = rest.split_once('/').filter(|(namespace, budget)| !namespace.is_empty() && !budget.is_empty());
            let (namespace, budget) =
                named.ok_or_else(|| bad("expected NAMESPACE/BUDGET", "drain-blocked:shop/web"))?;
            WorldFault::DrainBlocked { namespace: namespace.to_owned(), budget: budget.to_owned() }
        }
        "node-not-ready" if rest.is_empty() => return Err(bad("expected a node of Kubernetes", "node-not-ready:w1")),
        "node-not-ready" => WorldFault::NodeNotReady { node: rest.to_owned() },
        "storage-degraded" => WorldFault::StorageDegraded,
        "lock-stays" => WorldFault::LockStays { vmid: guest(rest)? },
        "replace-guest" => WorldFault::ReplaceGuest { vmid: guest(rest)? },
        "clear-lock" => WorldFault::SetLock { vmid: guest(rest)?, lock: None },
        "set-lock" => {
            let (vmid, lock) = rest.split_once('=').ok_or_else(|| bad("expected a lock", "set-lock:104=backup"))?;
            WorldFault::SetLock { vmid: guest(vmid)?, lock: Some(lock.to_owned()) }
        }
        _ if let Some(fault) = TalosFault::of(kind) => match rest {
            "" => return Err(bad("expected a Talos node", "talos-rolls-back:cp1")),
            node => WorldFault::Talos { node: node.to_owned(), fault },
        },
        _ => {
            let Some(ms) = kind.strip_prefix("tasks-late") else { return Ok(None) };
            let ms = ms.strip_prefix('=').and_then(milliseconds);
            WorldFault::TasksLate { ms: ms.ok_or_else(|| bad("expected how late", "tasks-late=40s"))? }
        }
    }))
}

/// `fail:qmigrate/104=text`, or `qmigrate` for the next one of any guest.
fn parse_task(
    how: &str,
    rest: &str,
    bad: &dyn Fn(&'static str, &'static str) -> BadFault,
) -> Result<WorldFault, BadFault> {
    let (what, text) = rest.split_once('=').map_or((rest, None), |(what, text)| (what, Some(text.to_owned())));
    let (task_type, vmid) = match what.split_once('/') {
        Some((task_type, vmid)) => {
            (task_type, Some(vmid.parse().map_err(|_| bad("expected a guest's id", "task-fail:qmigrate/104"))?))
        }
        None => (what, None),
    };
    let task_type = task_type.to_owned();
    match how {
        _ if task_type.is_empty() => Err(bad("expected a task type", "task-fail:qmigrate/104=out of luck")),
        "fail" => Ok(WorldFault::TaskFail { task_type, vmid, text }),
        "abort" => Ok(WorldFault::TaskAbort { task_type, vmid }),
        "warn" => Ok(WorldFault::TaskWarn { task_type, vmid }),
        "hang" => Ok(WorldFault::TaskHang { task_type, vmid }),
        "forget" => Ok(WorldFault::TaskForget { task_type, vmid }),
        "full" => Ok(WorldFault::TaskFull { task_type, vmid }),
        _ => Err(bad(
            "expected task-fail, task-abort, task-warn, task-hang, task-forget or task-full",
            "task-fail:qmigrate/104",
        )),
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// `250ms`, `40s` or `2m`.
fn milliseconds(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

impl RequestFault {
    fn matches(&self, verb: &str, path: &str) -> bool {
        self.verb.as_deref().is_none_or(|wanted| wanted == verb) && path_matches(&self.path, path)
    }
}

fn path_matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.trim_matches('/').split('/');
    for wanted in pattern.trim_matches('/').split('/') {
        match (wanted, segments.next()) {
            ("**", Some(_)) => return true,
            (wanted, Some(segment)) if wanted == "*" || wanted == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests;
