//! `ssh.wait`: waits until a host answers over SSH.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::host;
use super::resource::{Resource, What};
use crate::actions::deps::Timing;
use crate::actions::local::order::words;
use crate::actions::waiting::Waiting;
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::shell;

/// The action.
pub struct SshWait {
    spec: ActionSpec,
    timing: Timing,
}

impl SshWait {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("ssh.wait", Effect::Read, "Wait until a host answers over SSH")
            .param(host())
            .param(
                Param::new("argv", ValueType::List)
                    .help("A command that only looks, repeated until its exit code is 0 [default: any answer will do]"),
            )
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(300_000))
                    .help("How long it is waited for; a host key that does not fit is not waited for"),
            )
            .output("waited", ValueType::Duration, "How long it took")
            .output("tries", ValueType::Int, "How often it was looked at")
            .needs_privilege("no privilege of the site's; a login by SSH on the host");
        Self { spec, timing }
    }
}

#[async_trait]
impl Action for SshWait {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let host: String = call.arg("host")?;
        let argv = words(&call.arg::<Option<Vec<Value>>>("argv")?.unwrap_or_default());
        let argv = argv.map_err(|cause| Failure::new(Class::Precondition, "wait over SSH", cause))?;
        let what = match argv.is_empty() {
            true => format!("{host} answers over SSH"),
            false => format!("`{}` succeeds on {host}", shell::line(&argv)),
        };
        let waiting = Waiting {
            resource: Resource::new(&host, What::Answers(argv)).key(),
            what,
            within: Duration::from_millis(call.arg::<Option<u64>>("within")?.unwrap_or(300_000)),
            poll: self.timing.poll,
            judge: &|seen| {
                let why = seen["why"].as_str().unwrap_or_default().to_owned();
                (seen["answers"] != true).then(|| (why, seen["final"] == true))
            },
        };
        waiting.reading(world).await
    }
}
