//! `talos.etcd_snapshot`: a member of etcd writes a snapshot of itself, and it has its name only once it is checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::{self, Seen};
use super::{FILES, absolute, cluster_param, discard, failure, folder_param, last_part};
use crate::actions::talos::source::{Etcd, Machine, Node, TalosSource};
use crate::actions::talos::survey::{Answer, ask, told};
use crate::clients::talos::backup::{self, Said};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::plan::Change;
use crate::model::shell;
use crate::placement::quorum;

/// How many seconds' names are tried.
const LOOKS: u32 = 3;

/// The action.
pub struct EtcdSnapshot {
    spec: ActionSpec,
    folder: PathBuf,
}

/// Whom it is taken from, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    cluster: String,
    folder: PathBuf,
    node: String,
    address: String,
    version: String,
}

impl EtcdSnapshot {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let title = "Take a snapshot of a cluster's etcd, and check it";
        let spec = ActionSpec::new("talos.etcd_snapshot", Effect::Change, title)
            .param(cluster_param())
            .param(folder_param())
            .param(Param::new("node", ValueType::String).help(
                "The control plane to take it from [default: a healthy one, and not the leader where there is a choice]",
            ))
            .param(
                Param::new("timeout", ValueType::Duration)
                    .default_value(600_000)
                    .help("How long it may take"),
            )
            .output("path", ValueType::Path, "FOLDER/CLUSTER-etcd-YYYYMMDDTHHMMSSZ.snapshot, mode 0600")
            .output("name", ValueType::String, "The last part of it")
            .output("bytes", ValueType::Int, "Its length")
            .output("sha256", ValueType::String, "Of the whole file")
            .output("revision", ValueType::Int, "etcd's, as talosctl said it; null where a crash has lost it")
            .output("hash", ValueType::String, "Of all keys and values, as talosctl said it; likewise")
            .output("taken_at", ValueType::Int, "Milliseconds since 1970")
            .output("node", ValueType::String, "The control plane that it is from")
            .needs_privilege("none of Proxmox: the role os:etcd:backup of a talosconfig")
            .needs_privilege(FILES)
            .anew()
            .creates();
        Self { spec, folder }
    }
}

fn attempted(cluster: &str) -> String {
    format!("take a snapshot of the etcd of {cluster}")
}

/// A control plane that can be asked for one, or why it cannot.
fn fit(one: &quorum::Told) -> Result<(), String> {
    if let Some(why) = &one.unknown {
        return Err(format!("nothing is known of its etcd: {why}"));
    }
    if !one.has_leader() {
        return Err("its etcd sees no leader, so there is no quorum".to_owned());
    }
    if one.learners.contains(&one.id) {
        return Err("it is a learner, and may lack what the others have".to_owned());
    }
    if !one.errors.is_empty() {
        return Err(format!("its etcd says: {}", one.errors));
    }
    match one.alarms.iter().find(|(member, alarm)| *member == one.id && alarm == "CORRUPT") {
        Some(_) => Err("its database is corrupt by its own alarm".to_owned()),
        None => Ok(()),
    }
}

/// Whom to ask.
fn choose<'t>(cluster: &str, all: &'t [quorum::Told], wanted: Option<&str>) -> Result<&'t quorum::Told, Failure> {
    let refuse = |cause: String| Failure::new(Class::Precondition, attempted(cluster), cause);
    if let Some(name) = wanted {
        let Some(one) = all.iter().find(|one| one.name == name) else {
            let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
            return Err(refuse(format!("{name} is no control plane of {cluster}; there are {}", names.join(", "))));
        };
        fit(one).map_err(|why| refuse(format!("{name}: {why}")).remedy("name no node: a healthy one is taken"))?;
        return Ok(one);
    }
    let good: Vec<&quorum::Told> = all.iter().filter(|one| fit(one).is_ok()).collect();
    let leads = |one: &&&quorum::Told| one.leader == one.id;
    if let Some(one) = good.iter().find(|one| !leads(one)).or_else(|| good.first()) {
        return Ok(one);
    }
    let why = all.iter().filter_map(|one| Some(format!("{}: {}", one.name, fit(one).err()?))).collect();
    Err(refuse("no control plane can give one: etcd has no quorum, or does not answer".to_owned()).details(why).remedy(
        "without quorum, copy the database of the member with the highest raft index: \
         `talosctl -n ADDRESS cp /var/lib/etcd/member/snap/db .`; it has no sum, so it is restored with --recover-skip-hash-check",
    ))
}

/// The name for a snapshot that is taken now, and the time to the second, as the name has it. One that is taken in the
/// second of another waits for the next second.
async fn free(cluster: &str, folder: &Path, world: &dyn World) -> Result<(PathBuf, i64), Failure> {
    let mut taken = PathBuf::new();
    for _ in 0..LOOKS {
        let now: i64 = resource::seen(world, &resource::now()).await?;
        let taken_at = now / 1000 * 1000;
        let path = folder.join(backup::name(cluster, taken_at));
        let there: Option<Seen> = resource::seen(world, &resource::file(&path)).await?;
        if there.is_none() {
            return Ok((path, taken_at));
        }
        taken = path;
        tokio::time::sleep(Duration::from_millis(1000 - now.unsigned_abs() % 1000)).await;
    }
    let cause = format!("{} is there already, as are those of the seconds before it", taken.display());
    Err(Failure::new(Class::Transient, attempted(cluster), cause))
}

#[async_trait]
impl Action for EtcdSnapshot {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, folder): (String, _) = (call.arg("cluster")?, absolute(call, "folder", &self.folder)?);
        let wanted: Option<String> = call.arg("node")?;
        // That the folder is there is known before anybody is asked for a snapshot.
        let there = match resource::read::<Vec<backup::Backup>>(world, &resource::list(&cluster, &folder)).await {
            Ok(there) => format!(" ({} backups there)", there.len()),
            // An earlier step adds to them: this one is taken all the same.
            Err(Unreadable::Unknown(_)) => String::new(),
            Err(why) => return Err(why),
        };
        let machines: Vec<Machine> = resource::read(world, &ResourceKey::new(format!("talos/{cluster}/nodes"))).await?;
        let mut all = Vec::new();
        for machine in machines.iter().filter(|machine| machine.control_plane) {
            let answer: Answer<Etcd> = ask(world, format!("talos/{cluster}/etcd/{}", machine.name)).await?;
            all.push(told(&machine.name, &answer));
        }
        let one = choose(&cluster, &all, wanted.as_deref())?;
        let address = machines.iter().find(|machine| machine.name == one.name).and_then(|m| m.address.clone());
        let node: Answer<Node> = ask(world, format!("talos/{cluster}/node/{}", one.name)).await?;
        let version = match node {
            Answer::Said(node) => node.version.to_string(),
            Answer::Not(why) => {
                return Err(
                    Failure::new(Class::Unreachable, attempted(&cluster), format!("{}: {why}", one.name)).into()
                );
            }
        };
        let leads = if one.leader == one.id { ", which leads" } else { "" };
        let summary =
            format!("snapshot of the etcd of {cluster} from {}{leads} into {}{there}", one.name, folder.display());
        let before = Before { cluster, folder, node: one.name.clone(), address: address.unwrap_or_default(), version };
        let mut probe = Probe::new(summary, json!(before));
        probe.change = Some(Change::Create);
        probe.notes = quorum::findings(&all).into_iter().map(|found| format!("etcd: {found}")).collect();
        Ok(probe)
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(Before { cluster, folder, .. }) = serde_json::from_value(before.before.clone()) else {
            return Prediction::default();
        };
        let why = "a snapshot is added to it".to_owned();
        let taints = [resource::list(&cluster, &folder), resource::checked(&cluster, &folder)];
        Prediction { taints: taints.into_iter().map(|key| (key, why.clone())).collect(), ..Prediction::default() }
    }

    async fn prepare(&self, call: &Call, world: &dyn World) -> Result<Value, Failure> {
        let (cluster, folder): (String, _) = (call.arg("cluster")?, absolute(call, "folder", &self.folder)?);
        let (path, taken_at) = free(&cluster, &folder, world).await?;
        Ok(json!({"path": path, "taken_at": taken_at}))
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = meant(intent)?;
        let attempted = attempted(&before.cluster);
        let path = path_of(intent);
        let source = mutate.client::<TalosSource>()?;
        let (talos, address) = source.machine(&before.cluster, &before.node)?;
        let address = address.map_err(|why| Failure::new(Class::Precondition, attempted.clone(), why))?;
        let minor = before.version.parse::<crate::model::talos::Version>().ok().map(|version| version.minor());
        let timeout = Duration::from_millis(call.arg::<Option<u64>>("timeout")?.unwrap_or(600_000));
        let taken = talos.snapshot(minor, address, &path, timeout).await;
        let (said, whole) = taken.map_err(|e| failure(&attempted, &e))?;
        mutate.checkpoint(json!(said)).await?;
        backup::settle(path).await.map_err(|e| failure(&attempted, &e))?;
        Ok(outputs(intent, &before, whole.bytes, &whole.sha256, Some(&said)))
    }

    async fn verify(&self, _: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let path = PathBuf::from(outputs["path"].as_str().unwrap_or_default());
        let seen: Option<Seen> = resource::seen(world, &resource::file(&path)).await?;
        let cause = match seen {
            Some(Seen::Whole { sha256, .. }) if outputs["sha256"] == sha256.as_str() => return Ok(()),
            Some(Seen::Whole { .. }) => "it is another file by now".to_owned(),
            Some(Seen::Broken { why }) => why,
            None => "it is not there".to_owned(),
        };
        Err(Failure::new(Class::Verify, format!("check {}", path.display()), cause))
    }

    async fn recover(
        &self,
        _: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = meant(intent)?;
        let seen: Option<Seen> = resource::seen(world, &resource::file(&path_of(intent))).await?;
        let said = handle.and_then(|said| serde_json::from_value::<Said>(said.clone()).ok());
        Ok(match seen {
            Some(Seen::Whole { bytes, sha256, .. }) => {
                Recovery::Done(outputs(intent, &before, bytes, &sha256, said.as_ref()))
            }
            // Only a whole file is ever given that name.
            Some(Seen::Broken { why }) => Recovery::InDoubt(format!("{}: {why}", path_of(intent).display())),
            None => Recovery::NotApplied,
        })
    }

    fn undo(&self, _: &Call, _: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        discard(outputs)
    }

    fn undo_summary(&self, _: &Call, _: &Probe) -> Option<String> {
        Some("the file is removed, unless somebody has changed it".to_owned())
    }

    fn commands(&self, _: &Call, before: &Probe) -> Vec<String> {
        let Ok(Before { cluster, folder, address, .. }) = serde_json::from_value(before.before.clone()) else {
            return Vec::new();
        };
        let file = shell::quote(&folder.join(format!("{cluster}-etcd-TIME.snapshot")).display().to_string());
        vec![format!("talosctl --endpoints {address} --nodes {address} etcd snapshot {file}")]
    }
}

fn meant(intent: &Intent) -> Result<Before, Failure> {
    let before = serde_json::from_value(intent.before.clone());
    before.map_err(|e| Failure::new(Class::Internal, "read the intent of a snapshot", e.to_string()))
}

fn path_of(intent: &Intent) -> PathBuf {
    PathBuf::from(intent.prepared["path"].as_str().unwrap_or_default())
}

fn outputs(intent: &Intent, before: &Before, bytes: u64, sha256: &str, said: Option<&Said>) -> Value {
    json!({
        "path": intent.prepared["path"], "name": last_part(&path_of(intent)), "bytes": bytes, "sha256": sha256, "taken_at": intent.prepared["taken_at"],
        "node": before.node, "revision": said.map(|said| said.revision), "hash": said.map(|said| &said.hash),
    })
}

#[cfg(test)]
mod choice_tests {
    use super::*;

    fn told(n: u64, leader: u64) -> quorum::Told {
        quorum::Told {
            name: format!("cp{n}"),
            unknown: None,
            id: format!("{n:016x}"),
            members: (1..=3).map(|n: u64| format!("{n:016x}")).collect(),
            learners: Vec::new(),
            leader: format!("{leader:016x}"),
            raft_index: 5,
            raft_applied: 5,
            alarms: Vec::new(),
            errors: String::new(),
        }
    }

    #[test]
    fn a_healthy_member_is_taken_and_the_leader_last() {
        let mut all: Vec<quorum::Told> = (1..=3).map(|n| told(n, 1)).collect();
        assert_eq!(choose("prod", &all, None).unwrap().name, "cp2");
        all[1].learners = vec![all[1].id.clone()];
        assert_eq!(choose("prod", &all, None).unwrap().name, "cp3");
        all[2].unknown = Some("no answer".into());
        assert_eq!(choose("prod", &all, None).unwrap().name, "cp1", "the leader is better than none");
        assert!(choose("prod", &all, Some("cp2")).unwrap_err().cause.contains("a learner"));
        assert!(choose("prod", &all, Some("w1")).unwrap_err().cause.contains("there are cp1, cp2, cp3"));
        all.iter_mut().for_each(|one| one.leader = format!("{:016x}", 0));
        let refused = choose("prod", &all, None).unwrap_err();
        assert!(refused.cause.contains("no quorum") && refused.remedy.unwrap().contains("talosctl -n ADDRESS cp"));
        assert_eq!(refused.details.len(), 3);
    }
}
