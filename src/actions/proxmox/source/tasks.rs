//! Tasks: of a guest, of a node, and one by its UPID.

use super::ProxmoxSource;
use crate::actions::proxmox::object::{Task, TaskEntry};
use crate::clients::proxmox::{TaskEnd, TaskOutcome, TaskRow, Until};
use crate::model::failure::Failure;
use crate::model::ids::{NodeName, Upid, Vmid};

fn entry(row: TaskRow) -> TaskEntry {
    TaskEntry {
        upid: row.upid,
        kind: row.kind,
        id: row.id,
        user: row.user,
        start: row.starttime,
        running: row.status.is_none() && row.endtime.is_none(),
        status: row.status,
    }
}

fn ended(end: &TaskEnd) -> Task {
    let outcome = match &end.outcome {
        TaskOutcome::Ok | TaskOutcome::Warnings(_) => "ok",
        TaskOutcome::Failed(_) => "failed",
        TaskOutcome::Unexpected(_) => "unexpected",
    };
    Task {
        upid: end.upid.clone(),
        kind: end.upid.task_type().to_owned(),
        running: false,
        outcome: Some(outcome.to_owned()),
        cause: end.cause().map(ToOwned::to_owned),
        log: end.log_tail.clone(),
    }
}

impl ProxmoxSource {
    /// Recent and running tasks about a guest on that node. Our own are always in it, others' with Sys.Audit.
    pub(super) async fn guest_tasks(&self, node: &NodeName, vmid: Vmid) -> Result<Vec<TaskEntry>, Failure> {
        let id = vmid.to_string();
        let filters = [("vmid", id.as_str()), ("source", "all"), ("limit", "500")];
        let rows = self.site.node_tasks(node, &filters).await;
        let rows = rows.map_err(self.failed(format!("list the tasks of guest {vmid} on {node}")))?;
        Ok(rows.into_iter().filter(|row| row.id == id).map(entry).collect())
    }

    /// Recent and running tasks of a type on that node. Our own are always in it, others' with Sys.Audit.
    pub(super) async fn tasks_of(&self, node: &NodeName, kind: &str) -> Result<Vec<TaskEntry>, Failure> {
        let rows = self.site.node_tasks(node, &[("typefilter", kind), ("source", "all"), ("limit", "500")]).await;
        let rows = rows.map_err(self.failed(format!("list the {kind} tasks of {node}")))?;
        Ok(rows.into_iter().filter(|row| row.kind == kind).map(entry).collect())
    }

    pub(super) async fn active_tasks(&self, node: &NodeName) -> Result<Vec<TaskEntry>, Failure> {
        self.must_see_tasks(node).await?;
        let rows = self.site.node_tasks(node, &[("source", "active"), ("limit", "500")]).await;
        let rows = rows.map_err(self.failed(format!("list the running tasks of {node}")))?;
        // The list of active tasks keeps those that ended lately.
        Ok(rows.into_iter().map(entry).filter(|task| task.running).collect())
    }

    pub(super) async fn task(&self, upid: &Upid) -> Result<Option<Task>, Failure> {
        let attempted = || format!("look at task {upid}");
        let status = match self.site.task_status(upid).await {
            Err(error) if error.is_not_found() => return Ok(None),
            status => status.map_err(self.failed(attempted()))?,
        };
        if status.running {
            let (outcome, cause, log) = (None, None, Vec::new());
            let kind = upid.task_type().to_owned();
            return Ok(Some(Task { upid: upid.clone(), kind, running: true, outcome, cause, log }));
        }
        // It has ended, so following it reads the log once and returns.
        let end = self.site.follow(upid, &mut |_| (), &Until::default()).await;
        Ok(Some(ended(&end.map_err(self.failed(attempted()))?)))
    }
}
