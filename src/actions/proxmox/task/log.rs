//! `proxmox.task_log`: what a task has said.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::proxmox::look;
use crate::clients::proxmox::seg;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::Upid;
use crate::model::param::{Param, ValueType};

/// The action.
pub struct TaskLog {
    spec: ActionSpec,
}

impl Default for TaskLog {
    fn default() -> Self {
        let spec = ActionSpec::new("proxmox.task_log", Effect::Read, "Read a task's log")
            .param(Param::new("upid", ValueType::String).required().help("The task, as proxmox.tasks lists it"))
            .output("lines", ValueType::List, "Its lines, from the first")
            .needs_privilege("Sys.Audit on /nodes (a task of somebody else)");
        Self { spec }
    }
}

/// The id of a task, or what is wrong with the text.
pub(super) fn upid(call: &Call) -> Result<Upid, Failure> {
    let text: String = call.arg("upid")?;
    text.parse().map_err(|_| {
        let cause = format!("expected UPID:NODE:…, got {text}");
        Failure::new(Class::Precondition, "read the parameter `upid`", cause)
    })
}

#[async_trait]
impl Action for TaskLog {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let upid = upid(call)?;
        let path = format!("/nodes/{}/tasks/{}/log", seg(upid.node()), seg(&upid));
        // 0: all of them.
        let answer = look::api(world, path, &[("limit", "0")]).await?;
        let rows = answer.as_array().into_iter().flatten();
        let lines: Vec<&str> = rows.map(|row| row["t"].as_str().unwrap_or_default()).collect();
        // An empty log is one row that says so.
        let lines = if lines == ["no content"] { Vec::new() } else { lines };
        let summary = format!("{} lines: {}", lines.len(), lines.last().copied().unwrap_or_default());
        let outputs: Value = json!({"lines": lines});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
