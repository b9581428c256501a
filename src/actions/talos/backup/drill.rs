//! `talos.etcd_drill`: whether the newest backup of a folder can be restored, by restoring it into a real etcd on this machine
//! that is thrown away again. Nothing of the cluster is asked or touched.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::{self, Seen};
use super::{FILES, absolute, cluster_param, failure, folder_param, identity as file_identity};
use crate::clients::talos::backup::Backup;
use crate::clients::talos::drill;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};

/// The action.
pub struct EtcdDrill {
    spec: ActionSpec,
    folder: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    path: PathBuf,
    sha256: String,
    encrypted: bool,
    taken_at: i64,
    age_ms: i64,
    /// What reads snapshots on this machine.
    util: String,
}

fn attempted(call: &Call) -> String {
    format!("restore the newest backup of the etcd of {}", call.get("cluster").as_str().unwrap_or_default())
}

fn meant(before: &Value) -> Result<Before, Failure> {
    let before = serde_json::from_value(before.clone());
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a drill", e.to_string()))
}

impl EtcdDrill {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let title =
            "Restore the newest backup of a cluster's etcd into a real etcd on this machine, and throw that away";
        let spec = ActionSpec::new("talos.etcd_drill", Effect::Change, title)
            .param(cluster_param())
            .param(folder_param())
            .param(Param::new("identity", ValueType::Path).help(
                "The file with the key that age decrypts it with, where it is encrypted; a relative path begins at the \
                 configuration's folder",
            ))
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(600_000)
                    .help("How long it may take altogether"),
            )
            .output("path", ValueType::Path, "Which backup it was")
            .output("taken_at", ValueType::Int, "Milliseconds since 1970")
            .output("age", ValueType::Duration, "How old it was")
            .output("hash", ValueType::String, "Of all keys and values, as etcd's own tool says it")
            .output("revision", ValueType::Int, "etcd's, of the snapshot and of what was restored")
            .output("keys", ValueType::Int, "How many keys the etcd has that came of it")
            .output("namespaces", ValueType::Int, "How many of them are namespaces of Kubernetes")
            .output("etcd", ValueType::String, "The version of the etcd on this machine")
            .output("took", ValueType::Duration, "How long it took")
            .needs_privilege(FILES)
            .anew();
        Self { spec, folder }
    }

    /// Of those that are there: the program, or why it is missing.
    async fn programs(call: &Call, world: &dyn World, encrypted: bool) -> Result<String, Unreadable> {
        let has = |name: &'static str| async move { resource::read::<bool>(world, &resource::program(name)).await };
        let util = if has("etcdutl").await? { "etcdutl" } else { "etcdctl" };
        let age = encrypted.then_some("age");
        for (name, package) in
            [("etcd", "etcd-server"), ("etcdctl", "etcd-client")].into_iter().chain(age.map(|age| (age, age)))
        {
            if !has(name).await? {
                let cause = format!("{name} is not on this machine: without it nothing is proved");
                let failure = Failure::new(Class::Precondition, attempted(call), cause);
                return Err(failure.remedy(format!("apt-get install {package}")).into());
            }
        }
        Ok(util.to_owned())
    }
}

#[async_trait]
impl Action for EtcdDrill {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, folder): (String, _) = (call.arg("cluster")?, absolute(call, "folder", &self.folder)?);
        let refused = |cause: String| Failure::new(Class::Precondition, attempted(call), cause);
        let backups: Vec<Backup> = resource::read(world, &resource::list(&cluster, &folder)).await?;
        let newest = backups.first().ok_or_else(|| {
            refused(format!("{} has no backup of {cluster}", folder.display()))
                .remedy("take one: `runbook run etcd-backup`")
        })?;
        // The newest one is what counts: that an older one would do is for a person to find.
        let seen: Option<Seen> = resource::read(world, &resource::file(&newest.path)).await?;
        let shown = newest.path.display();
        let (sha256, encrypted) = match seen {
            Some(Seen::Whole { sha256, encrypted, .. }) => (sha256, encrypted),
            Some(Seen::Broken { why }) => {
                let remedy = "the newest backup cannot be used: take another one now, `runbook run etcd-backup`";
                return Err(refused(format!("{shown}: {why}")).remedy(remedy).into());
            }
            None => return Err(refused(format!("{shown} is gone")).into()),
        };
        let identity: Option<String> = call.arg("identity")?;
        if encrypted && identity.is_none_or(|path| path.is_empty()) {
            let failure = refused(format!("{shown} is encrypted, and no identity is given"));
            return Err(failure.remedy("give the file with the key of age: --set identity=FILE").into());
        }
        let now: i64 = resource::read(world, &resource::now()).await?;
        let age_ms = now.saturating_sub(newest.taken_at).max(0);
        let util = Self::programs(call, world, encrypted).await?;
        let summary = format!(
            "{shown}, {} min old: restored into an etcd on this machine, which is thrown away",
            age_ms / 60_000
        );
        let path = newest.path.clone();
        let taken_at = newest.taken_at;
        let before = Before { cluster, path: path.clone(), sha256: sha256.clone(), encrypted, taken_at, age_ms, util };
        let mut probe = Probe::new(summary, json!(before));
        probe.identities = vec![file_identity(&path, &sha256)];
        Ok(probe)
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(before) = meant(&before.before) else { return Prediction::default() };
        let outputs =
            [("path", json!(before.path)), ("taken_at", json!(before.taken_at)), ("age", json!(before.age_ms))];
        Prediction { outputs: outputs.map(|(name, value)| (name.to_owned(), value)).into(), ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(&intent.before)?;
        let identity = call.arg::<Option<PathBuf>>("identity")?.filter(|path| !path.as_os_str().is_empty());
        let identity = identity.filter(|_| before.encrypted).map(|path| self.folder.join(path));
        let within = Duration::from_millis(call.arg("within")?);
        let drilled = drill::drill(&before.path, identity.as_deref(), &before.util, within).await;
        let drilled = drilled.map_err(|e| {
            // Whatever it has begun is gone with its folder.
            let why = failure(&format!("{}: {}", attempted(call), before.path.display()), &e).done(Done::None);
            why.remedy("this backup cannot be relied on: take another one now, and see what is wrong with it")
        })?;
        mutate.log(&format!(
            "{}, {} min old: revision {}, {} keys, {} namespaces, hash {}; restored into etcd {} in {} ms",
            before.path.display(),
            before.age_ms / 60_000,
            drilled.revision,
            drilled.keys,
            drilled.namespaces,
            drilled.hash,
            drilled.version,
            drilled.took_ms,
        ));
        Ok(json!({
            "path": before.path, "taken_at": before.taken_at, "age": before.age_ms, "hash": drilled.hash,
            "revision": drilled.revision, "keys": drilled.keys, "namespaces": drilled.namespaces,
            "etcd": drilled.version, "took": drilled.took_ms,
        }))
    }

    /// It leaves nothing: one that was interrupted is made again.
    async fn recover(&self, _: &Call, _: &Intent, _: Option<&Value>, _: &dyn World) -> Result<Recovery, Failure> {
        Ok(Recovery::NotApplied)
    }
}
