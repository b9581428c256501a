//! `local.run`: runs a command on the machine that runbook runs on.
//!
//! Nobody but its author knows what a command does: it is never run for a plan, and after a crash its end is in doubt
//! unless it still runs or `creates` is there.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::order::Order;
use super::resource::Resource;
use super::work::{Handle, Watch, Work, ended_unseen, known, left_behind, unseen};
use crate::clients::local::Local;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Identity};

/// The action.
pub struct LocalRun {
    spec: ActionSpec,
    folder: PathBuf,
}

impl LocalRun {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = ActionSpec::new("local.run", Effect::Change, "Run a command on this machine")
            .param(
                Param::new("argv", ValueType::List)
                    .help("The program and its arguments, each handed over as it is; or give script"),
            )
            .param(
                Param::new("script", ValueType::String)
                    .help("Fixed text for /bin/sh -eu; values reach it through env; or give argv"),
            )
            .param(Param::new("env", ValueType::Map).help("Variables beyond runbook's own; null takes one away"))
            .param(Param::new("cwd", ValueType::Path).help("Where it runs [default: where runbook was started]"))
            .param(Param::new("stdin", ValueType::String).help("Text for its standard input"))
            .param(
                Param::new("creates", ValueType::Path)
                    .help("What it makes: done already where this path exists, and it must exist afterwards"),
            )
            .param(ok_codes())
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
            .needs_privilege("what the command itself needs: it runs as the user of runbook");
        Self { spec, folder }
    }

    fn order(&self, call: &Call) -> Result<Order, Failure> {
        Order::of(call, &self.folder)
    }
}

fn ok_codes() -> Param {
    Param::new("ok_codes", ValueType::List)
        .items(ValueType::Int)
        .default_value(json!([0]))
        .help("Exit codes that mean that it has worked")
}

fn attempted(order: &Order) -> String {
    format!("run `{}`", order.title())
}

async fn exists(world: &dyn World, path: &Path) -> Result<bool, Failure> {
    Ok(known(world, Resource::Path(path.to_owned())).await?["exists"] == true)
}

#[async_trait]
impl Action for LocalRun {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let order = self.order(call)?;
        let before = json!({"cwd": order.cwd, "creates": order.creates});
        let mut probe = Probe::new(format!("run `{}` (not previewed: a local command)", order.title()), before);
        if let Some(path) = &order.creates {
            let seen = world.read(&Resource::Path(path.clone()).key()).await?.known(&path.display().to_string())?;
            if seen["exists"] == true {
                probe.satisfied = true;
                probe.summary = format!("{} exists already: not run: `{}`", path.display(), order.title());
                return Ok(probe);
            }
        }
        if order.relative {
            // A saved plan does not mean the same in another folder.
            probe.identities = vec![Identity {
                object: "the folder that relative paths begin at".into(),
                resource: Resource::Folder.key(),
                expect: vec![("/path".into(), json!(self.folder))],
            }];
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        if before.satisfied {
            let outputs = json!({"stdout": "", "stderr": "", "code": 0, "cut": false, "changed": false});
            let Value::Object(outputs) = outputs else { return Prediction::default() };
            return Prediction { outputs: outputs.into_iter().collect(), ..Prediction::default() };
        }
        let creates = self.order(call).ok().and_then(|order| order.creates);
        let made = |path| Delta { resource: Resource::Path(path).key(), patch: json!({"exists": true}) };
        Prediction {
            deltas: creates.map(made).into_iter().collect(),
            // What else it does cannot be told, but that it may is: a reading behind it is made when its turn comes.
            taints: vec![(ResourceKey::new(format!("local/unseen/{}", call.path)), "a local command".into())],
            ..Prediction::default()
        }
    }

    async fn prepare(&self, _: &Call, world: &dyn World) -> Result<Value, Failure> {
        known(world, Resource::Now).await
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let order = self.order(call)?;
        let local = mutate.client::<Local>()?;
        Work { order: &order, watch: Watch { mutate, attempted: attempted(&order) } }.run(&local, call).await
    }

    async fn attach(&self, call: &Call, _: &Intent, handle: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        let order = self.order(call)?;
        let local = mutate.client::<Local>()?;
        let watch = Watch { mutate, attempted: attempted(&order) };
        let handle = Handle::of(handle, &watch.attempted)?;
        Work { order: &order, watch }.attach(&local, handle).await
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let order = self.order(call)?;
        match &order.creates {
            Some(path) if !exists(world, path).await? => {
                let cause = format!("it ended well, but {} is not there", path.display());
                Err(Failure::new(Class::Verify, attempted(&order), cause))
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
        let order = self.order(call)?;
        if let Some(found) = left_behind(call, handle, &order.title(), world).await? {
            return Ok(found);
        }
        if let Some(path) = &order.creates
            && exists(world, path).await?
        {
            return Ok(Recovery::Done(unseen()));
        }
        Ok(ended_unseen(&order.title(), &order.cwd, intent))
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        self.order(call).map(|order| order.typed()).into_iter().collect()
    }
}
