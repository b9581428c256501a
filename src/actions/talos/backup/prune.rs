//! `talos.etcd_prune`: removes backups that are neither among the last few nor young. Only whole ones count and only whole
//! ones go, so that however many broken files come later, the last good ones stay.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::{self, Row, Seen};
use super::{FILES, absolute, cluster_param, failure, folder_param};
use crate::clients::talos::backup;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::shell;

/// The action.
pub struct EtcdPrune {
    spec: ActionSpec,
    folder: PathBuf,
}

/// A file that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Old {
    path: PathBuf,
    sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    folder: PathBuf,
    remove: Vec<Old>,
    kept: usize,
}

impl EtcdPrune {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let title = "Remove old backups of a cluster's etcd; the newest whole one always stays";
        let spec = ActionSpec::new("talos.etcd_prune", Effect::Destroy, title)
            .param(cluster_param())
            .param(folder_param())
            .param(Param {
                min: Some(1.0),
                ..Param::new("keep_last", ValueType::Int).default_value(14).help("So many whole ones stay, the newest")
            })
            .param(
                Param::new("keep_within", ValueType::Duration)
                    .default_value(86_400_000)
                    .help("None younger than this goes"),
            )
            .output("removed", ValueType::List, "Paths")
            .output("kept", ValueType::Int, "How many whole ones are left")
            .needs_privilege(FILES);
        Self { spec, folder }
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<(Before, Vec<Row>), Unreadable> {
        let (cluster, folder): (String, _) = (call.arg("cluster")?, absolute(call, "folder", &self.folder)?);
        let rows: Vec<Row> = resource::read(world, &resource::checked(&cluster, &folder)).await?;
        let now: i64 = resource::read(world, &resource::now()).await?;
        let last = call.arg::<Option<usize>>("keep_last")?.unwrap_or(14);
        let within = call.arg::<Option<i64>>("keep_within")?.unwrap_or(86_400_000);
        let (remove, kept) = old(&rows, last, now.saturating_sub(within));
        Ok((Before { cluster, folder, remove, kept }, rows))
    }
}

/// Which go, and how many whole ones stay. `rows`: newest first; whatever was taken after `since` is young.
fn old(rows: &[Row], last: usize, since: i64) -> (Vec<Old>, usize) {
    let whole: Vec<(&Row, &String)> = rows.iter().filter_map(|row| Some((row, row.sha256.as_ref()?))).collect();
    let goes = whole.iter().skip(last.max(1)).filter(|(row, _)| row.backup.taken_at < since);
    let remove: Vec<Old> =
        goes.map(|(row, sha256)| Old { path: row.backup.path.clone(), sha256: (*sha256).clone() }).collect();
    let kept = whole.len() - remove.len();
    (remove, kept)
}

fn attempted(before: &Before) -> String {
    format!("remove {} old backups of {} from {}", before.remove.len(), before.cluster, before.folder.display())
}

fn meant(before: &Value) -> Result<Before, Failure> {
    let before = serde_json::from_value(before.clone());
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a pruning", e.to_string()))
}

fn outputs(before: &Before) -> Value {
    json!({"removed": before.remove.iter().map(|old| &old.path).collect::<Vec<_>>(), "kept": before.kept})
}

/// Those of them that are still there.
async fn left(before: &Before, world: &dyn World) -> Result<Vec<PathBuf>, Failure> {
    let mut left = Vec::new();
    for old in &before.remove {
        let seen: Option<Seen> = resource::seen(world, &resource::file(&old.path)).await?;
        left.extend(seen.map(|_| old.path.clone()));
    }
    Ok(left)
}

#[async_trait]
impl Action for EtcdPrune {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (before, rows) = self.look(call, world).await?;
        let mut probe = Probe::new(format!("{}; {} stay", attempted(&before), before.kept), json!(before));
        probe.change = Some(Change::Destroy);
        if before.remove.is_empty() {
            probe.satisfied = true;
            probe.summary = format!(
                "no backup of {} in {} is to go; {} stay",
                before.cluster,
                before.folder.display(),
                before.kept
            );
        }
        probe.identities = before.remove.iter().map(|old| super::identity(&old.path, &old.sha256)).collect();
        probe.notes = before.remove.iter().map(|old| format!("goes: {}", old.path.display())).collect();
        let broken = rows.iter().filter_map(|row| Some((row, row.why.as_ref()?)));
        probe.notes.extend(broken.map(|(row, why)| {
            format!("left alone, and not counted: {} is no whole backup: {why}", row.backup.path.display())
        }));
        let unfinished: Vec<PathBuf> =
            resource::read(world, &resource::leftovers(&before.cluster, &before.folder)).await?;
        probe.notes.extend(unfinished.iter().map(|path| {
            format!("left alone: {} was never finished; remove it if no backup is under way", path.display())
        }));
        Ok(probe)
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(before) = meant(&before.before) else { return Prediction::default() };
        let Value::Object(outputs) = outputs(&before) else { return Prediction::default() };
        let why = "some are removed by then".to_owned();
        let taints =
            [resource::list(&before.cluster, &before.folder), resource::checked(&before.cluster, &before.folder)];
        let taints = taints.into_iter().map(|key| (key, why.clone())).collect();
        Prediction { taints, outputs: outputs.into_iter().collect(), ..Prediction::default() }
    }

    async fn apply(&self, _: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(&intent.before)?;
        let mut removed = 0;
        for old in &before.remove {
            let part = |failure: Failure| failure.done(if removed == 0 { Done::None } else { Done::Partial });
            let seen = resource::look(old.path.clone()).await;
            match seen.map_err(|e| part(failure(&attempted(&before), &e)))? {
                None => continue,
                Some(Seen::Whole { sha256, .. }) if sha256 == old.sha256 => {}
                Some(_) => {
                    let cause = format!("{} is another file than a moment ago", old.path.display());
                    return Err(part(Failure::new(Class::Precondition, attempted(&before), cause)));
                }
            }
            backup::remove(&old.path)
                .map_err(|e| part(Failure::new(Class::Failed, attempted(&before), e.to_string())))?;
            mutate.log(&format!("removed {}", old.path.display()));
            removed += 1;
        }
        Ok(outputs(&before))
    }

    async fn verify(&self, _: &Call, before: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let before = meant(before)?;
        match left(&before, world).await?.first() {
            None => Ok(()),
            Some(path) => {
                let cause = format!("{} is still there", path.display());
                Err(Failure::new(Class::Verify, attempted(&before), cause))
            }
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
        let left = left(&before, world).await?.len();
        Ok(match before.remove.len() - left {
            _ if left == 0 => Recovery::Done(outputs(&before)),
            0 => Recovery::NotApplied,
            gone => Recovery::Partial(format!("{gone} of {} are removed", before.remove.len())),
        })
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let Ok(before) = meant(&before.before) else { return Vec::new() };
        before.remove.iter().map(|old| format!("rm {}", shell::quote(&old.path.display().to_string()))).collect()
    }
}

#[cfg(test)]
mod choice_tests {
    use super::*;

    fn row(taken_at: i64, whole: bool) -> Row {
        let path = PathBuf::from(format!("/b/{taken_at}"));
        let why = (!whole).then(|| "cut".to_owned());
        let backup = backup::Backup { path, taken_at, bytes: 1, encrypted: false };
        Row { backup, sha256: whole.then(|| "s".to_owned()), why }
    }

    fn gone(rows: &[Row], last: usize, since: i64) -> Vec<String> {
        old(rows, last, since).0.iter().map(|old| old.path.display().to_string()).collect()
    }

    #[test]
    fn only_what_is_old_and_whole_goes_and_the_newest_whole_one_never() {
        let rows = [row(50, false), row(40, true), row(30, true), row(20, false), row(10, true)];
        assert_eq!(
            gone(&rows, 1, 100),
            ["/b/30", "/b/10"],
            "the broken newest one is no reason to lose the last whole one"
        );
        assert_eq!(gone(&rows, 1, 20), ["/b/10"], "30 is young");
        assert_eq!(gone(&rows, 2, 100), ["/b/10"], "broken ones do not count");
        assert_eq!(gone(&rows, 0, 100), ["/b/30", "/b/10"]);
        assert_eq!(gone(&rows, 3, 100), Vec::<String>::new());
        assert_eq!(old(&rows, 1, 100).1, 1);
    }
}
