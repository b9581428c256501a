//! Tasks: status, log, lists. A task's status and log are asked of the node in its UPID only.

use crate::clients::proxmox::loose::Row;
use crate::clients::proxmox::{Answer, ProxmoxError, Site, seg};
use crate::model::ids::{NodeName, Upid};

/// `GET …/tasks/{upid}/status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    pub running: bool,
    /// The exit status of a task that has stopped.
    pub exit: Option<String>,
    pub kind: String,
    pub user: Option<String>,
    /// Seconds since 1970 by the node's clock.
    pub starttime: Option<i64>,
}

impl TaskStatus {
    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let row = answer.row()?;
        let running = match row.text("status")?.as_str() {
            "running" => true,
            "stopped" => false,
            _ => return Err(row.error("status", "running or stopped")),
        };
        let exit = (!running).then(|| row.opt_text("exitstatus")).transpose()?;
        Ok(Self {
            running,
            // Without one the worker is gone and left no word.
            exit: exit.map(|e| e.unwrap_or_else(|| "unexpected status".into())),
            kind: row.opt_text("type")?.unwrap_or_default(),
            user: row.opt_text("user")?,
            starttime: row.opt_int("starttime")?,
        })
    }
}

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// 1-based.
    pub number: u64,
    pub text: String,
}

fn log(answer: &Answer) -> Result<Vec<LogLine>, ProxmoxError> {
    let mut lines =
        answer.each(|row| Ok(LogLine { number: row.uint("n")?, text: row.opt_text("t")?.unwrap_or_default() }))?;
    // An empty log is one row that says so.
    lines.retain(|l| !(l.number == 1 && l.text == "no content"));
    Ok(lines)
}

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    pub upid: Upid,
    pub node: NodeName,
    pub kind: String,
    /// What it is about, often a VMID; may be empty.
    pub id: String,
    pub user: Option<String>,
    pub starttime: i64,
    pub endtime: Option<i64>,
    /// `None` while it runs; else `OK`, `WARNINGS: n` or the error.
    pub status: Option<String>,
}

impl TaskRow {
    fn read(row: &Row<'_>) -> Result<Self, ProxmoxError> {
        Ok(Self {
            upid: row.parsed("upid", "a UPID")?,
            node: row.text("node")?.into(),
            kind: row.opt_text("type")?.unwrap_or_default(),
            id: row.opt_text("id")?.unwrap_or_default(),
            user: row.opt_text("user")?,
            starttime: row.int("starttime")?,
            endtime: row.opt_int("endtime")?,
            status: row.opt_text("status")?.filter(|s| s != "RUNNING"),
        })
    }
}

fn path(upid: &Upid, rest: &str) -> String {
    format!("/nodes/{}/tasks/{}{rest}", seg(upid.node()), seg(upid))
}

impl Site {
    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus, ProxmoxError> {
        TaskStatus::read(&self.get(&path(upid, "/status"), &[]).await?)
    }

    /// At most `limit` lines (0: all) after the first `start`.
    pub async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<Vec<LogLine>, ProxmoxError> {
        let (start, limit) = (start.to_string(), limit.to_string());
        log(&self.get(&path(upid, "/log"), &[("start", &start), ("limit", &limit)]).await?)
    }

    /// A node's tasks. `filters` are the call's own: `vmid`, `typefilter`, `since`, `source` (`active`, `all`), …
    pub async fn node_tasks(&self, node: &NodeName, filters: &[(&str, &str)]) -> Result<Vec<TaskRow>, ProxmoxError> {
        self.get(&format!("/nodes/{}/tasks", seg(node)), filters).await?.each(TaskRow::read)
    }

    /// The newest tasks of every node, about 25 each; may lag behind.
    pub async fn cluster_tasks(&self) -> Result<Vec<TaskRow>, ProxmoxError> {
        self.get("/cluster/tasks", &[]).await?.each(TaskRow::read)
    }

    /// Asks a task to stop (TERM, KILL after 5 s); returns at once.
    pub async fn stop_task(&self, upid: &Upid) -> Result<(), ProxmoxError> {
        self.change(crate::clients::proxmox::Verb::Delete, &path(upid, ""), &Default::default()).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, recorded};
    use super::*;
    use serde_json::json;

    #[test]
    fn statuses_are_read() {
        let running = TaskStatus::read(&recorded("hand-task-status-running.json")).unwrap();
        assert_eq!((running.running, running.exit), (true, None));
        let failed = TaskStatus::read(&recorded("hand-task-status-failed.json")).unwrap();
        assert_eq!(failed.exit.as_deref(), Some("some error occurred"));
        let silent = TaskStatus::read(&answer(json!({"status": "stopped"}))).unwrap();
        assert_eq!(silent.exit.as_deref(), Some("unexpected status"));
    }

    #[test]
    fn a_recorded_list_is_read() {
        let rows = recorded("ha-node-tasks.json").each(TaskRow::read).unwrap();
        assert_eq!((rows[0].status.as_deref(), rows[0].id.as_str()), (Some("OK"), ""));
        assert_eq!(rows[0].upid.node(), rows[0].node);
    }

    #[test]
    fn an_empty_log_has_no_lines() {
        assert_eq!(log(&answer(json!([{"n": 1, "t": "no content"}]))).unwrap(), []);
        let lines = log(&answer(json!([{"n": "7", "t": "TASK OK"}, {"n": 8, "t": null}]))).unwrap();
        assert_eq!((lines[0].number, lines[1].text.as_str()), (7, ""));
    }
}
