//! Tasks as the API shows them: lists, status, log, stop.

use serde_json::{Map, Value, json};

use super::task::{Task, TaskKey};
use super::{World, jobs};
use crate::lab::call::{Call, PveError, Reply};
use crate::model::ids::Upid;

/// Rows of each node in the cluster's list.
const CLUSTER_ROWS: usize = 25;

impl World {
    pub(super) fn running_tasks(&self) -> impl Iterator<Item = (TaskKey, &Task)> {
        self.tasks.all.iter().filter(|(_, task)| task.end.is_none()).map(|(key, task)| (*key, task))
    }
}

pub(super) fn cluster_list(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let mut counts = std::collections::BTreeMap::new();
    let mut rows = Vec::new();
    for task in world.tasks.all.values().rev().filter(|task| visible(world, call, task)) {
        let count = counts.entry(&task.node).or_insert(0_usize);
        *count += 1;
        if *count <= CLUSTER_ROWS {
            let mut row = task.head();
            end_of(world, task, &mut row);
            rows.push(Value::Object(row));
        }
    }
    Ok(Reply::read(json!(rows)))
}

/// A task shows to its owner, and to who may audit its node; and only after the lab's delay.
fn visible(world: &World, call: &Call, task: &Task) -> bool {
    let shown = task.started + world.task_delay <= world.now;
    shown && (task.user == call.user || call.privileges.may(&format!("/nodes/{}", task.node), "Sys.Audit"))
}

fn end_of(world: &World, task: &Task, row: &mut Map<String, Value>) {
    if let Some(end) = &task.end {
        row.insert("endtime".into(), json!(world.epoch + (end.at / 1000) as i64));
        row.insert("status".into(), json!(end.status));
    }
}

pub(super) fn list(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (name, _) = world.node_of(call)?;
    let filter = Filter::from(call);
    let number = |key: &str, default: usize| call.params.get(key).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (start, limit) = (number("start", 0), number("limit", 50));
    let fits: Vec<&Task> = world
        .tasks
        .all
        .values()
        .rev()
        .filter(|task| task.node == name && visible(world, call, task) && filter.fits(task))
        .collect();
    let limit = if limit == 0 { fits.len() } else { limit };
    let rows = fits.iter().skip(start).take(limit).map(|task| {
        let mut row = task.head();
        end_of(world, task, &mut row);
        if task.end.is_none() {
            row.insert("status".into(), json!("RUNNING"));
        }
        Value::Object(row)
    });
    let data = rows.collect();
    Ok(Reply { data, total: Some(fits.len() as u64), mutating: false })
}

/// What the list's parameters ask for.
struct Filter<'a> {
    call: &'a Call,
    source: &'a str,
}

impl<'a> Filter<'a> {
    fn from(call: &'a Call) -> Self {
        Self { call, source: call.params.get("source").map_or("archive", String::as_str) }
    }

    fn param(&self, name: &str) -> Option<&str> {
        self.call.params.get(name).map(String::as_str)
    }

    fn fits(&self, task: &Task) -> bool {
        let running = task.end.is_none();
        let source = match self.source {
            "active" => running,
            "archive" => !running,
            _ => true,
        };
        let at = task.upid.start_time();
        let after = |name: &str, default: i64| self.param(name).and_then(|n| n.parse().ok()).unwrap_or(default);
        source
            && self.param("vmid").is_none_or(|vmid| task.id == vmid)
            && self.param("typefilter").is_none_or(|kind| task.kind == kind)
            && self.param("userfilter").is_none_or(|part| task.user.contains(part))
            && at >= after("since", i64::MIN)
            && at <= after("until", i64::MAX)
            && (self.param("errors") != Some("1") || task.end.as_ref().is_some_and(|end| end.status != "OK"))
            && self.param("statusfilter").is_none_or(|list| list.split([',', ';', ' ']).any(|one| class(task) == one))
    }
}

/// `ok`, `warning`, `error`, `unknown`; a running task has none of them.
fn class(task: &Task) -> &'static str {
    match task.end.as_ref().map(|end| end.status.as_str()) {
        None => "",
        Some("OK") => "ok",
        Some("unexpected status") => "unknown",
        Some(text) if text.starts_with("WARNINGS") => "warning",
        Some(_) => "error",
    }
}

fn named<'a>(world: &'a World, call: &Call) -> Result<(TaskKey, &'a Task), PveError> {
    let text = call.path.get("upid").map(String::as_str).unwrap_or_default();
    let upid: Upid = text.parse().map_err(|_| PveError::parameter("upid", "unable to parse worker upid"))?;
    let found = world
        .tasks
        .find(upid.as_str())
        .filter(|(_, task)| call.path.get("node").is_some_and(|n| task.node.as_str() == n));
    let (key, task) = found.ok_or_else(|| PveError::parameter("upid", "no such task"))?;
    let node = format!("/nodes/{}", task.node);
    if task.user != call.user && !call.privileges.may(&node, "Sys.Audit") {
        return Err(PveError::status(403, format!("Permission check failed ({node}, Sys.Audit)")));
    }
    Ok((key, task))
}

pub(super) fn status(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (_, task) = named(world, call)?;
    let mut row = task.head();
    row.insert("status".into(), json!(if task.end.is_some() { "stopped" } else { "running" }));
    if let Some(end) = &task.end {
        row.insert("exitstatus".into(), json!(end.status));
    }
    Ok(Reply::read(Value::Object(row)))
}

pub(super) fn log(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (_, task) = named(world, call)?;
    let number = |key: &str, default: usize| call.params.get(key).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (start, limit) = (number("start", 0), number("limit", 50));
    let limit = if limit == 0 { usize::MAX } else { limit };
    let lines = task.log.iter().enumerate().skip(start).take(limit);
    let mut rows: Vec<Value> = lines.map(|(n, line)| json!({"n": n + 1, "t": line})).collect();
    if task.log.is_empty() {
        rows.push(json!({"n": 1, "t": "no content"}));
    }
    Ok(Reply { data: json!(rows), total: Some(task.log.len().max(1) as u64), mutating: false })
}

/// TERM to the worker: it tidies up where it can.
pub(super) fn stop(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let (key, task) = named(world, call)?;
    if task.user != call.user && !call.privileges.may(&format!("/nodes/{}", task.node), "Sys.Modify") {
        return Err(PveError::status(403, format!("Permission check failed (/nodes/{}, Sys.Modify)", task.node)));
    }
    jobs::interrupt(world, key);
    Ok(Reply::changed(Value::Null))
}
