//! `ssh.run`: runs a command on a host.
//!
//! Nobody but its author knows what a command does: it is never run for a plan and never a second time by itself. A
//! connection that is lost on the way leaves it in doubt, unless it still runs there or what it `creates` is there.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::order::Order;
use super::resource::{Resource, What};
use super::work::{Handle, Work};
use super::{host, known, seen};
use crate::actions::local::resource::Resource as Here;
use crate::actions::local::work::unseen;
use crate::clients::ssh::Ssh;
use crate::engine::ports::{Action, Call, Mutate, Observed, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The action.
pub struct SshRun {
    spec: ActionSpec,
}

impl Default for SshRun {
    fn default() -> Self {
        let spec = ActionSpec::new("ssh.run", Effect::Change, "Run a command on a host over SSH")
            .param(host())
            .param(
                Param::new("argv", ValueType::List)
                    .help("The program and its arguments, each handed over as it is; or give script"),
            )
            .param(
                Param::new("script", ValueType::String)
                    .help("Fixed text for the host's /bin/sh -eu; values reach it through env; or give argv"),
            )
            .param(
                Param::new("env", ValueType::Map)
                    .help("Variables beyond the host's own; null takes one away; no place for secrets"),
            )
            .param(Param::new("stdin", ValueType::String).help("Text for its standard input"))
            .param(
                Param::new("creates", ValueType::Path)
                    .help("What it makes there: done already where this path exists, and it must exist afterwards"),
            )
            .param(
                Param::new("ok_codes", ValueType::List)
                    .items(ValueType::Int)
                    .default_value(json!([0]))
                    .help("Exit codes that mean that it has worked"),
            )
            .param(
                Param::new("unchanged_codes", ValueType::List)
                    .items(ValueType::Int)
                    .help("Exit codes that mean that it has worked and had nothing to change"),
            )
            .output("stdout", ValueType::String, "Its first 64 KiB, without line ends behind it")
            .output("stderr", ValueType::String, "Its last 64 KiB, likewise")
            .output("code", ValueType::Int, "The exit code")
            .output("cut", ValueType::Bool, "Whether it wrote more than was kept")
            .output("changed", ValueType::Bool, "False for a code of unchanged_codes")
            .needs_privilege(
                "no privilege of the site's; a login by SSH on the host, and what the command itself needs",
            );
        Self { spec }
    }
}

async fn exists(order: &Order, path: &str, world: &dyn World) -> Result<bool, Failure> {
    let resource = Resource::new(&order.host, What::Path(path.to_owned()));
    Ok(known(world, &resource).await?["exists"] == true)
}

#[async_trait]
impl Action for SshRun {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let order = Order::of(call)?;
        let before = json!({"host": order.host, "creates": order.creates});
        let mut probe = Probe::new(format!("{} (not previewed: a command over SSH)", order.attempted()), before);
        if let Some(path) = &order.creates {
            let there = seen(world, &Resource::new(&order.host, What::Path(path.clone()))).await?;
            if there["exists"] == true {
                probe.satisfied = true;
                probe.summary = format!("{}:{path} exists already: not run: `{}`", order.host, order.title());
            }
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        if before.satisfied {
            let outputs = json!({"stdout": "", "stderr": "", "code": 0, "cut": false, "changed": false});
            let Value::Object(outputs) = outputs else { return Prediction::default() };
            return Prediction { outputs: outputs.into_iter().collect(), ..Prediction::default() };
        }
        let made = Order::of(call).ok().and_then(|order| {
            let path = order.creates?;
            let resource = Resource::new(&order.host, What::Path(path)).key();
            Some(Delta { resource, patch: json!({"exists": true}) })
        });
        Prediction {
            deltas: made.into_iter().collect(),
            // What else it does cannot be told, but that it may is: a reading behind it is made when its turn comes.
            taints: vec![(ResourceKey::new(format!("ssh/unseen/{}", call.path)), "a command over SSH".into())],
            ..Prediction::default()
        }
    }

    async fn prepare(&self, _: &Call, world: &dyn World) -> Result<Value, Failure> {
        match world.read(&Here::Now.key()).await? {
            Observed::Known(now) => Ok((*now).clone()),
            Observed::Unknown(why) => Err(Failure::new(Class::Internal, "read the time in a run", why)),
        }
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let (order, ssh) = (Order::of(call)?, mutate.client::<Ssh>()?);
        Work { attempted: order.attempted(), order: &order, mutate, ssh: &ssh }.run(call).await
    }

    async fn attach(&self, call: &Call, _: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let (order, ssh) = (Order::of(call)?, mutate.client::<Ssh>()?);
        let work = Work { attempted: order.attempted(), order: &order, mutate, ssh: &ssh };
        let handle = serde_json::from_value(handle.clone())
            .map_err(|e| Failure::new(Class::Internal, &work.attempted, format!("its handle: {e}")))?;
        work.attach(handle).await
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let order = Order::of(call)?;
        match &order.creates {
            Some(path) if !exists(&order, path, world).await? => {
                let cause = format!("it ended well, but {}:{path} is not there", order.host);
                Err(Failure::new(Class::Verify, order.attempted(), cause))
            }
            _ => Ok(()),
        }
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let order = Order::of(call)?;
        let handle: Option<Handle> = handle.and_then(|value| serde_json::from_value(value.clone()).ok());
        if let Some(how) = handle.as_ref().and_then(|handle| handle.ended.as_ref()) {
            return Ok(Recovery::Partial(format!("`{}` was {how}; what it had done by then stays", order.title())));
        }
        let looked = running(call, &order, handle, world).await;
        if let Ok(Some(running)) = looked {
            return Ok(Recovery::Running(json!(running)));
        }
        if let Some(path) = &order.creates
            && exists(&order, path, world).await?
        {
            return Ok(Recovery::Done(unseen()));
        }
        let since = intent.prepared["text"].as_str().unwrap_or("a time that is not known");
        let now = match looked {
            Ok(_) => "does not run there any more".to_owned(),
            Err(failure) => format!("may still run there ({})", failure.cause),
        };
        Ok(Recovery::InDoubt(format!(
            "`{}` was sent to {} at {since} and {now}; how it ended was not seen",
            order.title(),
            order.host
        )))
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        Order::of(call).map(|order| order.typed()).into_iter().collect()
    }
}

/// The command of this step, where it still runs: by its handle, else by the variables that it was given.
async fn running(
    call: &Call,
    order: &Order,
    handle: Option<Handle>,
    world: &dyn World,
) -> Result<Option<Handle>, Failure> {
    let on_host = |what| Resource::new(&order.host, what);
    if let Some(handle) = handle {
        let seen = known(world, &on_host(What::Process(handle.process.clone()))).await?;
        return Ok((seen["running"] == true).then_some(handle));
    }
    let Some(run) = call.run.clone() else { return Ok(None) };
    let found = known(world, &on_host(What::Command(run, call.path.clone()))).await?;
    Ok(serde_json::from_value(found).ok().map(|process| Handle { process, ended: None }))
}
