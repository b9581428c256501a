//! `proxmox.backups_prune`: deletes backups of one guest that are not to be kept any more. Proxmox itself says which those
//! are; the plan lists them, and nothing else may be among them when it is done.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{of_guest, text};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Ends, Request, Seen, Trail};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Volume;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, StorageId, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Guard, Identity, Predicate};

const KEEP: [(&str, &str); 6] = [
    ("keep_last", "The newest so many"),
    ("keep_hourly", "The newest of each of the last so many hours that have one"),
    ("keep_daily", "The same for days"),
    ("keep_weekly", "The same for weeks"),
    ("keep_monthly", "The same for months"),
    ("keep_yearly", "The same for years"),
];

/// The act.
pub struct BackupsPrune {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    vmid: Vmid,
    node: NodeName,
    storage: StorageId,
    doomed: Vec<Volume>,
    kept: usize,
}

impl BackupsPrune {
    pub fn new(timing: Timing) -> Self {
        let spec =
            ActionSpec::new("proxmox.backups_prune", Effect::Destroy, "Delete backups of a guest that are not kept")
                .param(
                    Param::new("guest", ValueType::Vmid)
                        .required()
                        .help("Whose backups, by VMID; it may be gone itself"),
                )
                .param(Param::new("storage", ValueType::String).required().help("Where they are"))
                .param(Param::new("node", ValueType::Node).required().help("A node that has the storage"));
        let spec = KEEP.iter().fold(spec, |spec, (name, help)| {
            spec.param(Param { min: Some(0.0), ..Param::new(*name, ValueType::Int).help(*help) })
        });
        let spec = spec
            .output("deleted", ValueType::List, "The backups that are gone, by volume id")
            .needs_privilege("Datastore.Audit on /storage/{storage}")
            .needs_privilege("Datastore.AllocateSpace on /storage/{storage}")
            .needs_privilege("VM.Backup on /vms/{guest}");
        Self { spec, timing }
    }
}

/// `keep-last=3,keep-daily=7`
fn keep(call: &Call) -> Result<String, Failure> {
    let each = KEEP.iter().filter_map(|(name, _)| {
        let count = call.get(name).as_u64().filter(|count| *count > 0)?;
        Some(format!("{}={count}", name.replace('_', "-")))
    });
    let keep: Vec<String> = each.collect();
    if keep.is_empty() {
        let cause = "nothing is said of what to keep";
        let failure = Failure::new(Class::Precondition, "prune backups", cause);
        return Err(failure.remedy("give keep_last or another of the keep_ parameters, at least 1"));
    }
    Ok(keep.join(","))
}

fn params(call: &Call, vmid: Vmid) -> Result<Params, Failure> {
    Ok(Params::new().set("prune-backups", keep(call)?).set("vmid", vmid))
}

fn path(node: &NodeName, storage: &StorageId) -> String {
    format!("/nodes/{}/storage/{}/prunebackups", seg(node), seg(storage))
}

/// One key of a JSON pointer.
fn key(text: &str) -> String {
    format!("/{}", text.replace('~', "~0").replace('/', "~1"))
}

fn shown(volumes: &[Volume]) -> String {
    volumes.iter().map(|volume| volume.volid.as_str()).collect::<Vec<_>>().join(", ")
}

#[async_trait]
impl Act for BackupsPrune {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        let words = |b: Before| format!("delete {} of guest {}'s backups on {}", b.doomed.len(), b.vmid, b.storage);
        look::before::<Before>(before).map_or_else(|_| "prune backups".into(), words)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (vmid, node): (Vmid, NodeName) = (call.arg("guest")?, call.arg("node")?);
        let storage: StorageId = call.arg("storage")?;
        let params = params(call, vmid)?.as_slice().to_vec();
        let preview = Resource::Api(path(&node, &storage), params);
        let rows: Value = look::read(world, preview.clone()).await?;
        let own = of_guest(world, &node, &storage, vmid).await?;
        let mut doomed = Vec::new();
        for row in rows.as_array().into_iter().flatten().filter(|row| row["mark"] == "remove") {
            let volid = text(&row["volid"]).unwrap_or_default();
            let volume = own.iter().find(|volume| volume.volid == volid && !volume.protected);
            let refuse = || {
                let cause = format!("{volid} would go, and is no unprotected backup of guest {vmid} on {storage}");
                Failure::new(Class::Precondition, format!("prune the backups of guest {vmid}"), cause)
            };
            doomed.push(volume.cloned().ok_or_else(refuse)?);
        }
        let (all, kept) = (own.len(), own.len() - doomed.len());
        let mut probe = Probe::new(
            "",
            json!(Before { vmid, node: node.clone(), storage: storage.clone(), doomed: doomed.clone(), kept }),
        );
        probe.satisfied = doomed.is_empty();
        probe.summary = match probe.satisfied {
            true => format!("guest {vmid}: nothing to delete, all {all} backups on {storage} are kept"),
            false => format!("guest {vmid}: delete {} of {all} backups on {storage}: {}", doomed.len(), shown(&doomed)),
        };
        let content = Resource::Content(node, storage).key();
        probe.identities = doomed
            .iter()
            .map(|volume| Identity {
                object: volume.volid.clone(),
                resource: content.clone(),
                expect: vec![
                    (format!("{}/made", key(&volume.volid)), json!(volume.made)),
                    (format!("{}/vmid", key(&volume.volid)), json!(vmid)),
                ],
            })
            .collect();
        if !probe.satisfied {
            // One backup more, and another one would go.
            let text = format!("the same backups of guest {vmid} would go");
            let guard = Guard {
                text,
                resource: preview.key(),
                pointer: String::new(),
                predicate: Predicate::Equals,
                value: rows,
            };
            probe.guards = vec![guard];
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let Before { vmid, node, storage, .. } = look::before(before)?;
        let kinds = &["prunebackups"];
        let trail = Trail {
            lists: vec![Resource::TasksOf(node.clone(), kinds[0].to_owned())],
            kinds,
            about: Some(format!("{vmid}@{storage}")),
            shared: false,
        };
        let params = params(call, vmid)?;
        Ok(Request {
            verb: Verb::Delete,
            path: path(&node, &storage),
            params,
            ends: Ends::WithTask(trail),
            upload: None,
        })
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let Before { vmid, node, storage, doomed, .. } = look::before(before)?;
        let now = of_guest(world, &node, &storage, vmid).await.map_err(look::settled)?;
        let left: Vec<Volume> =
            doomed.iter().filter(|volume| now.iter().any(|one| one.volid == volume.volid)).cloned().collect();
        let deleted: Vec<&str> = doomed.iter().map(|volume| volume.volid.as_str()).collect();
        Ok(match left.len() {
            0 => Seen::Done(json!({"deleted": deleted})),
            n if n == doomed.len() => Seen::Untouched(format!("all of them are there: {}", shown(&left))),
            n => Seen::Partial(format!("{n} of {} are still there: {}", doomed.len(), shown(&left))),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(Before { vmid, node, storage, doomed, .. }) = look::before(&before.before) else {
            return Prediction::default();
        };
        let deleted: Vec<&str> = doomed.iter().map(|volume| volume.volid.as_str()).collect();
        let outputs = [("deleted".to_owned(), json!(deleted))].into();
        if doomed.is_empty() {
            return Prediction { outputs, ..Prediction::default() };
        }
        let why = format!("{} deletes backups", call.path);
        let on_storage = format!("proxmox/api/nodes/{}/storage/{}", seg(&node), seg(&storage));
        Prediction {
            deltas: vec![Delta { resource: Resource::Guest(vmid).key(), patch: json!({"backups": null}) }],
            taints: vec![(Resource::Content(node, storage).key(), why.clone()), (on_storage.as_str().into(), why)],
            outputs,
        }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let Before { vmid, node, storage, kept, .. } = look::before(before).ok()?;
        let path = format!("/nodes/{}/storage/{}/content", seg(&node), seg(&storage));
        let params = Params::new().set("content", "backup").set("vmid", vmid);
        Some(typed::check(&typed::call(Verb::Get, &path, &params), &format!("{kept} are left")))
    }
}
