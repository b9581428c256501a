//! The World's source of backups.
//!
//! | key | value |
//! |---|---|
//! | `backup/now` | milliseconds since 1970 |
//! | `backup/program/NAME` | whether it is on PATH |
//! | `backup/file/PATH` | `{bytes, sha256, encrypted}`, or `{why}` it is no whole backup; null where there is none |
//! | `backup/list/CLUSTER/PATH` | the backups in that folder by their names, newest first: `[{path, taken_at, bytes, encrypted}]` |
//! | `backup/checked/CLUSTER/PATH` | the same, all of each read: with `sha256`, or `why` it is none |
//! | `backup/leftovers/CLUSTER/PATH` | paths of what was begun there and never finished |

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clients::local::Local;
use crate::clients::talos::backup::{self, Backup, BackupError};
use crate::engine::ports::{Source, Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// Reads backups.
pub struct BackupSource {
    local: Local,
    now: fn() -> i64,
}

impl BackupSource {
    /// `now`: milliseconds since 1970.
    pub fn new(local: Local, now: fn() -> i64) -> Self {
        Self { local, now }
    }
}

/// A file that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seen {
    Whole { bytes: u64, sha256: String, encrypted: bool },
    Broken { why: String },
}

/// One of a list that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    #[serde(flatten)]
    pub backup: Backup,
    /// Of the whole ones.
    pub sha256: Option<String>,
    pub why: Option<String>,
}

pub fn now() -> ResourceKey {
    ResourceKey::new("backup/now")
}

pub fn file(path: &Path) -> ResourceKey {
    ResourceKey::new(format!("backup/file{}", path.display()))
}

pub fn list(cluster: &str, folder: &Path) -> ResourceKey {
    ResourceKey::new(format!("backup/list/{cluster}{}", folder.display()))
}

pub fn checked(cluster: &str, folder: &Path) -> ResourceKey {
    ResourceKey::new(format!("backup/checked/{cluster}{}", folder.display()))
}

pub fn leftovers(cluster: &str, folder: &Path) -> ResourceKey {
    ResourceKey::new(format!("backup/leftovers/{cluster}{}", folder.display()))
}

pub fn program(name: &str) -> ResourceKey {
    ResourceKey::new(format!("backup/program/{name}"))
}

/// What is read is ours, so that another shape is our own fault.
pub async fn read<T: for<'de> Deserialize<'de>>(world: &dyn World, key: &ResourceKey) -> Result<T, Unreadable> {
    let value = world.read(key).await?.known("the backups")?;
    let read = serde_json::from_value((*value).clone());
    Ok(read.map_err(|e| Failure::new(Class::Internal, format!("read {key}"), e.to_string()))?)
}

/// The same in a run, where nothing is unknown.
pub async fn seen<T: for<'de> Deserialize<'de>>(world: &dyn World, key: &ResourceKey) -> Result<T, Failure> {
    read(world, key).await.map_err(|why| match why {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => Failure::new(Class::Internal, format!("read {key}"), why),
    })
}

pub async fn look(path: PathBuf) -> Result<Option<Seen>, BackupError> {
    match backup::checked(path).await {
        Ok(whole) => Ok(Some(Seen::Whole { bytes: whole.bytes, sha256: whole.sha256, encrypted: whole.encrypted })),
        Err(
            BackupError::File(error)
            | BackupError::NoSnapshot(crate::clients::talos::snapshot::NoSnapshot::File(error)),
        ) if error.is_not_found() => Ok(None),
        Err(error @ (BackupError::NoSnapshot(_) | BackupError::NotEncrypted(_))) => {
            Ok(Some(Seen::Broken { why: error.to_string() }))
        }
        Err(error) => Err(error),
    }
}

async fn rows(backups: Vec<Backup>) -> Result<Vec<Row>, BackupError> {
    let mut rows = Vec::new();
    for backup in backups {
        // One that has gone in the meantime is none.
        match look(backup.path.clone()).await? {
            None => {}
            Some(Seen::Broken { why }) => rows.push(Row { backup, sha256: None, why: Some(why) }),
            // The name says how it is, and the contents must agree.
            Some(Seen::Whole { encrypted, .. }) if encrypted != backup.encrypted => {
                let why = "its name and its contents do not agree whether it is encrypted".to_owned();
                rows.push(Row { backup, sha256: None, why: Some(why) });
            }
            Some(Seen::Whole { sha256, .. }) => rows.push(Row { backup, sha256: Some(sha256), why: None }),
        }
    }
    Ok(rows)
}

#[async_trait]
impl Source for BackupSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let rest = resource.as_str().strip_prefix("backup/").unwrap_or_default();
        let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let failed = |what: &str, e: String| {
            let failure = Failure::new(Class::Precondition, format!("look at {what}"), e);
            failure.remedy("make the folder first, for yourself alone: `mkdir -m 700 …`; or see why it is not there")
        };
        let whole = |e: BackupError| failed(rest, e.to_string());
        match kind {
            "now" => return Ok(json!((self.now)())),
            "program" => return Ok(json!(self.local.program(&[rest]).is_some())),
            "file" => return Ok(json!(look(PathBuf::from(format!("/{rest}"))).await.map_err(whole)?)),
            _ => {}
        }
        let Some((cluster, folder)) = rest.split_once('/') else {
            return Err(Failure::new(Class::Internal, format!("read {resource}"), "it is no resource"));
        };
        let folder = PathBuf::from(format!("/{folder}"));
        let listed =
            || backup::list(&folder, cluster).map_err(|e| failed(&folder.display().to_string(), e.to_string()));
        match kind {
            "list" => Ok(json!(listed()?)),
            "checked" => Ok(json!(rows(listed()?).await.map_err(whole)?)),
            "leftovers" => {
                let left = backup::leftovers(&folder, cluster);
                Ok(json!(left.map_err(|e| failed(&folder.display().to_string(), e.to_string()))?))
            }
            _ => Err(Failure::new(Class::Internal, format!("read {resource}"), "it is no resource")),
        }
    }
}
