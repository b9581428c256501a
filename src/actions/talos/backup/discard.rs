//! `talos.etcd_discard`: takes one file of a backup away, and only the one that is meant.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::resource::{self, Seen};
use super::{FILES, absolute, failure, path_param};
use crate::clients::talos::backup;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::shell;
use crate::model::world::Delta;

/// The action.
pub struct EtcdDiscard {
    spec: ActionSpec,
    folder: PathBuf,
}

impl EtcdDiscard {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = ActionSpec::new("talos.etcd_discard", Effect::Destroy, "Remove one backup of etcd")
            .param(path_param("The file; a relative path begins at the configuration's folder"))
            .param(Param::new("sha256", ValueType::String).required().help("Of the whole file: another is left alone"))
            .output("changed", ValueType::Bool, "Whether it was there")
            .needs_privilege(FILES);
        Self { spec, folder }
    }

    fn attempted(path: &std::path::Path) -> String {
        format!("remove {}", path.display())
    }

    /// Whether that file is there.
    fn is_there(path: &std::path::Path, wanted: &str, seen: Option<Seen>) -> Result<bool, Failure> {
        let refuse = |cause: String| {
            let failure = Failure::new(Class::Precondition, Self::attempted(path), cause);
            Err(failure.remedy("look at it, and remove it by hand if it may go"))
        };
        match seen {
            None => Ok(false),
            Some(Seen::Whole { sha256, .. }) if sha256.eq_ignore_ascii_case(wanted) => Ok(true),
            Some(Seen::Whole { sha256, .. }) => refuse(format!("another file is there: its SHA-256 is {sha256}")),
            Some(Seen::Broken { why }) => {
                refuse(format!("it is no whole backup, and so not the one that is meant: {why}"))
            }
        }
    }
}

#[async_trait]
impl Action for EtcdDiscard {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (path, wanted): (_, String) = (absolute(call, "path", &self.folder)?, call.arg("sha256")?);
        let seen: Option<Seen> = resource::read(world, &resource::file(&path)).await?;
        let there = Self::is_there(&path, &wanted, seen)?;
        let mut probe = Probe::new(Self::attempted(&path), json!({"path": path, "sha256": wanted}));
        probe.change = Some(Change::Destroy);
        if there {
            probe.identities = vec![super::identity(&path, &wanted)];
        } else {
            (probe.satisfied, probe.summary) = (true, format!("{} is not there", path.display()));
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(path) = absolute(call, "path", &self.folder) else { return Prediction::default() };
        let deltas = vec![Delta { resource: resource::file(&path), patch: Value::Null }];
        let outputs = [("changed".to_owned(), json!(!before.satisfied))].into();
        Prediction { deltas, outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, _: &Intent, _: &Mutate) -> Result<Value, Failure> {
        let (path, wanted): (_, String) = (absolute(call, "path", &self.folder)?, call.arg("sha256")?);
        let attempted = Self::attempted(&path);
        // Read once more: what is removed is what was meant.
        let seen = resource::look(path.clone()).await.map_err(|e| failure(&attempted, &e))?;
        let there = Self::is_there(&path, &wanted, seen)?;
        if there {
            let removed = backup::remove(&path);
            removed.map_err(|e| Failure::new(Class::Failed, attempted, e.to_string()).done(Done::None))?;
        }
        Ok(json!({"changed": there}))
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let path = absolute(call, "path", &self.folder)?;
        let seen: Option<Seen> = resource::seen(world, &resource::file(&path)).await?;
        match seen {
            None => Ok(()),
            Some(_) => Err(Failure::new(Class::Verify, Self::attempted(&path), "it is still there")),
        }
    }

    async fn recover(
        &self,
        call: &Call,
        _: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let path = absolute(call, "path", &self.folder)?;
        let seen: Option<Seen> = resource::seen(world, &resource::file(&path)).await?;
        Ok(if seen.is_none() { Recovery::Done(json!({"changed": true})) } else { Recovery::NotApplied })
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let path = absolute(call, "path", &self.folder);
        path.map(|path| vec![format!("rm {}", shell::quote(&path.display().to_string()))]).unwrap_or_default()
    }
}
