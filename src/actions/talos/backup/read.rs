//! `talos.etcd_verify`: whether a file is a whole backup. `talos.etcd_backups`: which there are in a folder.

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::resource::{self, Seen};
use super::{FILES, absolute, cluster_param, folder_param, last_part, path_param};
use crate::clients::talos::backup::{self, Backup};
use crate::engine::ports::{Action, Call, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

/// The first action.
pub struct EtcdVerify {
    spec: ActionSpec,
    folder: PathBuf,
}

impl EtcdVerify {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = ActionSpec::new("talos.etcd_verify", Effect::Read, "Read a backup of etcd and see that it is whole")
            .param(path_param("The file; a relative path begins at the configuration's folder"))
            .param(Param::new("sha256", ValueType::String).help("The SHA-256 that the whole file must have"))
            .param(
                Param::new("required", ValueType::Bool)
                    .default_value(true)
                    .help("Whether to fail where it is not whole"),
            )
            .output("whole", ValueType::Bool, "Whether it is")
            .output("why", ValueType::String, "What is wrong with it; null where nothing is")
            .output("bytes", ValueType::Int, "Its length; null where it is not whole")
            .output("sha256", ValueType::String, "Of the whole file; null where it is not whole")
            .output("encrypted", ValueType::Bool, "Whether it is encrypted: then only its form and length are checked")
            .output(
                "plain",
                ValueType::Bool,
                "Whether it is whole and not encrypted, so that it can be restored as it is",
            )
            .output("taken_at", ValueType::Int, "Milliseconds since 1970, by its name; null where that says nothing")
            .needs_privilege(FILES);
        Self { spec, folder }
    }
}

#[async_trait]
impl Action for EtcdVerify {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let path = absolute(call, "path", &self.folder)?;
        let wanted: Option<String> = call.arg("sha256")?;
        let seen: Option<Seen> = resource::read(world, &resource::file(&path)).await?;
        let why = match &seen {
            None => Some("there is no such file".to_owned()),
            Some(Seen::Broken { why }) => Some(why.clone()),
            Some(Seen::Whole { sha256, .. }) => wanted
                .filter(|wanted| !wanted.is_empty())
                .filter(|wanted| !wanted.eq_ignore_ascii_case(sha256))
                .map(|wanted| format!("its SHA-256 is {sha256}, and should be {wanted}")),
        };
        let shown = path.display();
        if let Some(why) = &why
            && call.get("required") == true
        {
            let failure = Failure::new(Class::Precondition, format!("check the backup {shown}"), why.clone());
            return Err(failure.remedy("restore from another one: talos.etcd_backups lists them").into());
        }
        let (bytes, sha256, encrypted) = match (&seen, &why) {
            (Some(Seen::Whole { bytes, sha256, encrypted }), None) => (json!(bytes), json!(sha256), *encrypted),
            _ => (Value::Null, Value::Null, false),
        };
        let summary = match (&why, encrypted) {
            (Some(why), _) => format!("{shown} is no whole backup: {why}"),
            (None, true) => format!("{shown} is encrypted, and as long as a backup is: {bytes} bytes"),
            (None, false) => format!("{shown} is a whole backup of {bytes} bytes"),
        };
        let outputs = json!({"whole": why.is_none(), "why": why, "bytes": bytes, "sha256": sha256, "encrypted": encrypted,
            "plain": why.is_none() && !encrypted, "taken_at": taken_at(&path)});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}

/// When a backup was taken, by its name.
fn taken_at(path: &std::path::Path) -> Option<i64> {
    let name = last_part(path);
    let (cluster, _) = name.rsplit_once("-etcd-")?;
    backup::named(cluster, &name).map(|(taken_at, _)| taken_at)
}

/// The second one.
pub struct EtcdBackups {
    spec: ActionSpec,
    folder: PathBuf,
}

impl EtcdBackups {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = ActionSpec::new(
            "talos.etcd_backups",
            Effect::Read,
            "List the backups of a cluster's etcd in a folder",
        )
        .param(cluster_param())
        .param(folder_param())
        .output(
            "backups",
            ValueType::List,
            "Maps of path, taken_at (milliseconds since 1970), age (milliseconds), bytes, encrypted; newest first",
        )
        .output("newest", ValueType::Path, "The newest of them; null where there is none")
        .output("age", ValueType::Duration, "Of the newest one; null where there is none")
        .needs_privilege(FILES);
        Self { spec, folder }
    }
}

#[async_trait]
impl Action for EtcdBackups {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let (cluster, folder): (String, _) = (call.arg("cluster")?, absolute(call, "folder", &self.folder)?);
        let backups: Vec<Backup> = resource::read(world, &resource::list(&cluster, &folder)).await?;
        let now: i64 = resource::read(world, &resource::now()).await?;
        let age = |backup: &Backup| now.saturating_sub(backup.taken_at).max(0);
        let rows: Vec<Value> = backups
            .iter()
            .map(|one| {
                json!({"path": one.path, "taken_at": one.taken_at, "age": age(one), "bytes": one.bytes,
                    "encrypted": one.encrypted})
            })
            .collect();
        let newest = backups.first();
        let newest_age = newest.map(age);
        let last = newest_age.map_or_else(String::new, |ms| format!(", the newest {} min old", ms / 60_000));
        let summary = format!("{}: {} backups of {cluster}{last}", folder.display(), backups.len());
        let outputs = json!({"backups": rows, "newest": newest.map(|one| &one.path), "age": newest_age});
        Ok(Reading { outputs, summary, guards: Vec::new(), notes: Vec::new() })
    }
}
