//! `wait.tcp`: waits until a port takes connections, or takes none any more.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use crate::actions::deps::Timing;
use crate::actions::waiting::Waiting;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};

/// The action.
pub struct WaitTcp {
    spec: ActionSpec,
    timing: Timing,
}

impl WaitTcp {
    pub fn new(timing: Timing) -> Self {
        let mut port = Param::new("port", ValueType::Int).required().help("From 1 to 65535");
        (port.min, port.max) = (Some(1.0), Some(65_535.0));
        let spec = ActionSpec::new("wait.tcp", Effect::Read, "Wait until a port is open, or closed")
            .param(Param::new("host", ValueType::String).required().help("A name or an address"))
            .param(port)
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(300_000))
                    .help("How long it is waited for"),
            )
            .param(
                Param::new("closed", ValueType::Bool)
                    .default_value(false)
                    .help("Wait until it takes no connections; no answer at all counts as well"),
            )
            .output("waited", ValueType::Duration, "How long it took")
            .output("tries", ValueType::Int, "How often it was looked at")
            .needs_privilege("none: it connects from where runbook runs");
        Self { spec, timing }
    }
}

#[async_trait]
impl Action for WaitTcp {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (host, port): (String, u16) = (call.arg("host")?, call.arg("port")?);
        let closed = call.arg::<Option<bool>>("closed")?.unwrap_or(false);
        let waiting = Waiting {
            resource: ResourceKey::new(format!("tcp/{host}/{port}")),
            what: format!("{host}:{port} is {}", if closed { "closed" } else { "open" }),
            within: Duration::from_millis(call.arg::<Option<u64>>("within")?.unwrap_or(300_000)),
            poll: self.timing.poll,
            judge: &|seen| {
                let open = seen["open"] == true;
                let why = seen["why"].as_str().unwrap_or("it takes connections").to_owned();
                // A name that has no address says nothing of a port.
                (open == closed || (closed && seen["found"] == false)).then_some((why, false))
            },
        };
        waiting.reading(world).await
    }
}
