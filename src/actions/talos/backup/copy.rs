//! `talos.etcd_copy`: a backup in a second folder (another disk, a share), read again after it was written.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::{self, Seen};
use super::{FILES, absolute, discard, failure, path_param};
use crate::clients::talos::backup;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::shell;

/// The action.
pub struct EtcdCopy {
    spec: ActionSpec,
    folder: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    from: PathBuf,
    to: PathBuf,
    bytes: u64,
    sha256: String,
}

impl Before {
    fn attempted(&self) -> String {
        format!("copy {} to {}", self.from.display(), self.to.display())
    }

    fn outputs(&self) -> Value {
        json!({"path": self.to, "bytes": self.bytes, "sha256": self.sha256})
    }
}

impl EtcdCopy {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let title = "Copy a backup of etcd into a second folder, and read the copy again";
        let spec = ActionSpec::new("talos.etcd_copy", Effect::Change, title)
            .param(path_param("The backup; a relative path begins at the configuration's folder"))
            .param(
                Param::new("to", ValueType::Path)
                    .required()
                    .help("The other folder, which must be there: one that is not mounted is not made"),
            )
            .output("path", ValueType::Path, "The copy, mode 0600")
            .output("bytes", ValueType::Int, "Its length")
            .output("sha256", ValueType::String, "Of the copy as it was read again: that of the backup")
            .needs_privilege(FILES)
            .creates();
        Self { spec, folder }
    }
}

fn meant(before: &Value) -> Result<Before, Failure> {
    let before = serde_json::from_value(before.clone());
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a copy", e.to_string()))
}

#[async_trait]
impl Action for EtcdCopy {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (from, folder) = (absolute(call, "path", &self.folder)?, absolute(call, "to", &self.folder)?);
        let to = folder.join(from.file_name().unwrap_or_default());
        let refuse = |cause: String| {
            Failure::new(Class::Precondition, format!("copy {} to {}", from.display(), to.display()), cause)
        };
        if to == from {
            return Err(refuse("it is the same folder".into()).remedy("name a folder on another disk").into());
        }
        let listed: Vec<backup::Backup> = resource::read(world, &resource::list("x", &folder)).await?;
        drop(listed);
        let (bytes, sha256) = match resource::read(world, &resource::file(&from)).await? {
            Some(Seen::Whole { bytes, sha256, .. }) => (bytes, sha256),
            Some(Seen::Broken { why }) => return Err(refuse(format!("it is no whole backup: {why}")).into()),
            None => return Err(refuse("there is no such file".into()).into()),
        };
        let before = Before { from: from.clone(), to: to.clone(), bytes, sha256 };
        let mut probe = Probe::new(before.attempted(), json!(before));
        probe.change = Some(Change::Create);
        match resource::read(world, &resource::file(&to)).await? {
            None => {}
            Some(Seen::Whole { sha256, .. }) if sha256 == before.sha256 => {
                (probe.satisfied, probe.summary) = (true, format!("{} is there already", to.display()));
            }
            Some(_) => {
                let remedy = "look at it, and remove it if it may go";
                return Err(refuse("another file of that name is there".into()).remedy(remedy).into());
            }
        }
        Ok(probe)
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(before) = meant(&before.before) else { return Prediction::default() };
        let Value::Object(outputs) = before.outputs() else { return Prediction::default() };
        let taints = vec![(resource::file(&before.to), "the copy is there by then".to_owned())];
        Prediction { taints, outputs: outputs.into_iter().collect(), ..Prediction::default() }
    }

    async fn apply(&self, _: &Call, intent: &Intent, _: &Mutate) -> Result<Value, Failure> {
        let before = meant(&intent.before)?;
        let copied = backup::copy(before.from.clone(), before.to.clone(), before.sha256.clone()).await;
        copied.map_err(|e| failure(&before.attempted(), &e))?;
        Ok(before.outputs())
    }

    async fn verify(&self, _: &Call, before: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let before = meant(before)?;
        match resource::seen(world, &resource::file(&before.to)).await? {
            Some(Seen::Whole { sha256, .. }) if sha256 == before.sha256 => Ok(()),
            _ => Err(Failure::new(Class::Verify, before.attempted(), "the copy is not there, or is another file")),
        }
    }

    async fn recover(
        &self,
        _: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = meant(&intent.before)?;
        let seen: Option<Seen> = resource::seen(world, &resource::file(&before.to)).await?;
        Ok(match seen {
            Some(Seen::Whole { sha256, .. }) if sha256 == before.sha256 => Recovery::Done(before.outputs()),
            None => Recovery::NotApplied,
            Some(_) => Recovery::InDoubt(format!("{} is another file", before.to.display())),
        })
    }

    fn undo(&self, _: &Call, _: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        discard(outputs)
    }

    fn undo_summary(&self, _: &Call, _: &Probe) -> Option<String> {
        Some("the copy is removed, unless somebody has changed it".to_owned())
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let Ok(before) = meant(&before.before) else { return Vec::new() };
        let quoted = |path: &std::path::Path| shell::quote(&path.display().to_string());
        vec![format!("install -m 600 {} {}", quoted(&before.from), quoted(&before.to))]
    }
}
