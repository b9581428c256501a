//! Tasks as a node keeps them: UPID, log, end. What a task does is in `jobs`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::World;
use super::clock::Event;
use super::jobs::Job;
use crate::model::ids::{NodeName, Upid, Vmid};

/// Tasks in order of their start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TaskKey(pub u64);

#[derive(Debug, Clone)]
pub(super) struct Task {
    pub upid: Upid,
    pub node: NodeName,
    pub pid: u32,
    pub pstart: u64,
    /// World milliseconds.
    pub started: u64,
    pub kind: String,
    pub id: String,
    pub user: String,
    pub log: Vec<String>,
    pub warnings: u32,
    /// Whether its first step has been taken.
    pub begun: bool,
    pub end: Option<End>,
    pub job: Option<Job>,
    pub faults: Vec<super::fault::FaultKind>,
}

#[derive(Debug, Clone)]
pub(super) struct End {
    /// World milliseconds.
    pub at: u64,
    /// `OK`, `WARNINGS: 1` or an error text.
    pub status: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Tasks {
    next: u64,
    pub all: BTreeMap<TaskKey, Task>,
    by_upid: BTreeMap<String, TaskKey>,
    /// Those that ran from the beginning.
    pub given: Vec<TaskKey>,
    /// How many ran at once at most.
    pub most: Most,
}

/// How many tasks that somebody asked for ran at once at most. What the HA manager does by itself is not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Most {
    pub site: usize,
    pub nodes: BTreeMap<NodeName, usize>,
}

/// Finished tasks that a site keeps; older ones are forgotten.
const KEPT: usize = 20_000;

impl Tasks {
    pub fn find(&self, upid: &str) -> Option<(TaskKey, &Task)> {
        let key = *self.by_upid.get(upid)?;
        self.all.get(&key).map(|task| (key, task))
    }
}

/// Who asked for a task, and about what.
pub(super) struct Start<'a> {
    pub node: &'a NodeName,
    pub kind: &'a str,
    pub id: String,
    pub user: &'a str,
}

impl World {
    /// Forks a worker: the task exists at once, its work begins with the next event.
    pub(super) fn fork(&mut self, start: Start<'_>, job: Job) -> TaskKey {
        let key = TaskKey(self.tasks.next);
        self.tasks.next += 1;
        let pid = 0x1000 + (key.0 as u32).wrapping_mul(7) % 0x003F_0000;
        let pstart = 0x0010_0000 + self.now / 10;
        let (node, kind, id, user) = (start.node, start.kind, start.id, start.user);
        let text = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{:08X}:{kind}:{id}:{user}:", self.seconds());
        let upid: Upid = text.parse().expect("node names, task types and users have no colon, slash or space");
        let faults = self.take_faults(kind, id.split('@').next().and_then(|id| id.parse().ok()));
        let task = Task {
            upid,
            node: node.clone(),
            pid,
            pstart,
            started: self.now,
            kind: kind.into(),
            id,
            user: user.into(),
            log: Vec::new(),
            warnings: 0,
            begun: false,
            end: None,
            job: Some(job),
            faults,
        };
        self.tasks.by_upid.insert(text, key);
        self.tasks.all.insert(key, task);
        self.count_running(node);
        self.forget_old_tasks();
        self.after(0, Event::Task(key));
        key
    }

    fn count_running(&mut self, node: &NodeName) {
        let asked_for = |task: &&Task| task.end.is_none() && task.user != "root@pam";
        let running = self.tasks.all.values().filter(asked_for);
        let (site, here) = running.fold((0, 0), |(all, here), task| (all + 1, here + usize::from(task.node == *node)));
        let most = &mut self.tasks.most;
        most.site = most.site.max(site);
        let of_node = most.nodes.entry(node.clone()).or_default();
        *of_node = (*of_node).max(here);
    }

    /// A task that has run since before the world began, and goes on until it is stopped.
    pub(super) fn given_task(&mut self, upid: &Upid) {
        let key = TaskKey(self.tasks.next);
        self.tasks.next += 1;
        let part = |n: usize| u64::from_str_radix(upid.as_str().split(':').nth(n).unwrap_or_default(), 16).unwrap_or(1);
        let task = Task {
            node: upid.node(),
            pid: part(2) as u32,
            pstart: part(3),
            started: 0,
            kind: upid.task_type().into(),
            id: upid.object().into(),
            user: upid.user().into(),
            log: Vec::new(),
            warnings: 0,
            begun: true,
            end: None,
            job: None,
            faults: Vec::new(),
            upid: upid.clone(),
        };
        self.tasks.by_upid.insert(upid.as_str().to_owned(), key);
        self.tasks.all.insert(key, task);
        self.tasks.given.push(key);
    }

    pub(super) fn upid(&self, key: TaskKey) -> Value {
        self.tasks.all.get(&key).map_or(Value::Null, |task| json!(task.upid.as_str()))
    }

    /// A line of the task's log as the worker printed it.
    pub(super) fn say(&mut self, key: TaskKey, line: impl Into<String>) {
        if let Some(task) = self.tasks.all.get_mut(&key) {
            task.log.push(line.into());
        }
    }

    /// A warning, which the task's end counts.
    pub(super) fn warn(&mut self, key: TaskKey, text: &str) {
        self.say(key, format!("WARN: {text}"));
        if let Some(task) = self.tasks.all.get_mut(&key) {
            task.warnings += 1;
        }
    }

    /// A line with date and time before it, as migrations log.
    pub(super) fn say_at(&mut self, key: TaskKey, line: &str) {
        let stamp = log_time(self.seconds());
        self.say(key, format!("{stamp} {line}"));
    }

    /// Ends a task: last line and status follow from `result` and the warnings counted.
    pub(super) fn finish(&mut self, key: TaskKey, result: Result<(), String>) {
        let at = self.now;
        let Some(task) = self.tasks.all.get_mut(&key) else { return };
        if task.end.is_some() {
            return;
        }
        let (line, status) = match result {
            Err(text) => (format!("TASK ERROR: {text}"), text.replace('\n', " ")),
            Ok(()) if task.warnings > 0 => {
                (format!("TASK WARNINGS: {}", task.warnings), format!("WARNINGS: {}", task.warnings))
            }
            Ok(()) => ("TASK OK".to_owned(), "OK".to_owned()),
        };
        task.log.push(line);
        task.end = Some(End { at, status });
        task.job = None;
        self.release(key);
        if self.has_fault(key, &super::FaultKind::Forget) {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: TaskKey) {
        if let Some(task) = self.tasks.all.remove(&key) {
            self.tasks.by_upid.remove(task.upid.as_str());
        }
    }

    /// A worker that is no more, without a last word: its host crashed.
    pub(super) fn lose(&mut self, key: TaskKey) {
        let at = self.now;
        if let Some(task) = self.tasks.all.get_mut(&key) {
            task.end = Some(End { at, status: "unexpected status".into() });
            task.job = None;
        }
        self.release(key);
    }

    fn release(&mut self, key: TaskKey) {
        self.transfers.remove(&key);
        let id = self.tasks.all.get(&key).and_then(|task| task.id.parse::<Vmid>().ok());
        if let Some(guest) = id.and_then(|vmid| self.guests.get_mut(&vmid))
            && guest.held_by == Some(key)
        {
            guest.held_by = None;
        }
    }

    fn forget_old_tasks(&mut self) {
        if self.tasks.all.len() <= KEPT {
            return;
        }
        let oldest = self.tasks.all.iter().find(|(_, task)| task.end.is_some()).map(|(key, _)| *key);
        oldest.into_iter().for_each(|key| self.forget(key));
    }
}

impl Task {
    /// What every view of a task has; the token is parted from the user.
    pub fn head(&self) -> Map<String, Value> {
        let mut row = Map::new();
        row.insert("upid".into(), json!(self.upid.as_str()));
        row.insert("node".into(), json!(self.node.as_str()));
        row.insert("pid".into(), json!(self.pid));
        row.insert("pstart".into(), json!(self.pstart));
        row.insert("starttime".into(), json!(self.upid.start_time()));
        row.insert("type".into(), json!(self.kind));
        row.insert("id".into(), json!(self.id));
        match self.user.split_once('!') {
            Some((user, token)) => {
                row.insert("user".into(), json!(user));
                row.insert("tokenid".into(), json!(token));
            }
            None => {
                row.insert("user".into(), json!(self.user));
            }
        }
        row
    }
}

/// `2026-11-21 23:15:48` in UTC.
pub(super) fn log_time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "1970-01-01 00:00:00".into(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}
