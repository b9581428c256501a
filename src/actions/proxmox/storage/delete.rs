//! `proxmox.volume_delete`: destroys a disk that nobody uses: one of a guest that is gone, or an unused one of a guest that
//! is there. What any configuration or snapshot names is refused, and what cannot be read counts as naming it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::uses::{Use, uses};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::image::{seen_on, storage, volume};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Guest, Volume};
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, StorageId, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Identity, Predicate};
use crate::placement::evacuation::gib;

/// The act.
pub struct VolumeDelete {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    node: NodeName,
    storage: StorageId,
    volid: String,
    /// Where it shows.
    on: Vec<NodeName>,
    /// Nothing where it is gone already.
    #[serde(default)]
    vmid: Option<Vmid>,
    /// The guest that has it as an unused disk, and its key there.
    #[serde(default)]
    unused: Option<(Guest, String)>,
}

impl VolumeDelete {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.volume_delete", Effect::Destroy, "Destroy a disk that nobody uses")
            .param(Param::new("node", ValueType::Node).required().help("A node that has it"))
            .param(
                Param::new("volume", ValueType::String)
                    .required()
                    .help("`local-lvm:vm-999-disk-0`, as proxmox.orphans lists it"),
            )
            .param(
                Param::new("shared", ValueType::Bool)
                    .default_value(false)
                    .help("Say true for one on shared storage: no other cluster uses that storage"),
            )
            .output("volid", ValueType::String, "The disk that is gone")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("Sys.Audit on /")
            .needs_privilege("Datastore.Audit on /storage")
            .needs_privilege("Datastore.Allocate on /storage (of a guest that is gone)")
            .needs_privilege("VM.Config.Disk on /vms (an unused disk of a guest)");
        Self { spec, timing }
    }

    async fn seek(&self, call: &Call, world: &dyn World) -> Result<(Before, Option<Volume>), Unreadable> {
        let (node, volid): (NodeName, String) = (call.arg("node")?, call.arg("volume")?);
        let attempted = format!("destroy {volid} on {node}");
        let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
        let Some((id, _)) = volid.split_once(':') else {
            let failure = fail(format!("{volid:?} names no storage"));
            return Err(failure.remedy("write it as `local-lvm:vm-999-disk-0`").into());
        };
        let id = StorageId::new(id);
        let place = storage(world, &node, &id, &attempted).await?;
        let found = volume(world, &node, &id, &volid).await?;
        let on = seen_on(world, &node, place.shared).await?;
        let mut before = Before { node, storage: id, volid: volid.clone(), on, vmid: None, unused: None };
        let Some(found) = found else { return Ok((before, None)) };
        let disk = matches!(found.content.as_str(), "images" | "rootdir");
        let Some(owner) = found.vmid.filter(|_| disk) else {
            let remedy = "images go with proxmox.image_delete, backups with proxmox.backups_prune";
            return Err(fail(format!("{volid} is no disk of a guest: {}", found.content)).remedy(remedy).into());
        };
        before.vmid = Some(owner);
        let seen = uses(world, &found, &before.node, place.shared, &attempted).await?;
        let used: Vec<String> = seen.iter().filter(|one| !one.unused()).map(Use::text).collect();
        if !used.is_empty() {
            let failure = fail(format!("it is in use: {}", used.join(", ")));
            return Err(failure.remedy("only what no configuration and no snapshot names is destroyed").into());
        }
        let there: Option<Guest> = look::read(world, Resource::Guest(owner)).await?;
        match (seen.len(), there) {
            (0, Some(guest)) => {
                let tool = if guest.kind.ha_prefix() == "vm" { "qm disk" } else { "pct" };
                let cause = format!("{} is there, and what it needs it for cannot be told", guest.title());
                let remedy = format!("`{tool} rescan --vmid {owner}` on {} lists it as unused there", guest.node);
                Err(fail(cause).remedy(remedy).into())
            }
            (0, None) if place.shared && call.get("shared").as_bool() != Some(true) => {
                let cause = format!("{} is shared: another cluster may have guest {owner}", before.storage);
                Err(fail(cause).remedy("say shared=true if no other cluster uses that storage").into())
            }
            (0, None) => Ok((before, Some(found))),
            (1, _) => {
                let one = seen.into_iter().next().map(|one| (one.guest, one.key));
                if let Some((guest, _)) = &one {
                    look::unlocked(guest, &attempted)?;
                    if guest.protection {
                        return Err(fail(format!("{} is protected", guest.title()))
                            .remedy("take that off first")
                            .into());
                    }
                }
                before.unused = one;
                Ok((before, Some(found)))
            }
            _ => {
                let all: Vec<String> = seen.iter().map(Use::text).collect();
                Err(fail(format!("more than one has it as an unused disk: {}", all.join(", "))).into())
            }
        }
    }
}

#[async_trait]
impl Act for VolumeDelete {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Before>(before)
            .map_or_else(|_| "destroy a disk".into(), |b| format!("destroy {} on {}", b.volid, b.node))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (before, volume) = self.seek(call, world).await?;
        let mut probe = Probe::new("", json!(before));
        let Some(volume) = volume else {
            probe.summary = format!("{}: gone already", before.volid);
            probe.satisfied = true;
            return Ok(probe);
        };
        let size = volume.size.map(|size| format!(", {}", gib(size))).unwrap_or_default();
        probe.notes.push(format!("{} cannot be brought back", before.volid));
        let content = Resource::Content(before.node.clone(), before.storage.clone());
        let pointer = |field: &str| format!("/{}/{field}", before.volid.replace('~', "~0").replace('/', "~1"));
        match (&before.unused, before.vmid) {
            (Some((guest, key)), _) => {
                probe.summary = format!("{}: destroy its unused disk {}{size}", guest.title(), before.volid);
                probe.identities = vec![look::identity(guest)];
                let text = format!("{} has {} as {key}", guest.title(), before.volid);
                let at = Resource::Guest(guest.vmid);
                let still = format!("/disks/{key}/volid");
                probe.guards = vec![look::guard(text, at, &still, Predicate::Equals, json!(before.volid))];
            }
            (None, owner) => {
                let owner = owner.unwrap_or(Vmid(0));
                probe.summary = format!("{}: destroy, of guest {owner}, which is gone{size}", before.volid);
                let expect = vec![
                    (pointer("content"), json!(volume.content)),
                    (pointer("vmid"), json!(volume.vmid)),
                    (pointer("made"), json!(volume.made)),
                ];
                let expect = expect.into_iter().filter(|(_, value)| !value.is_null()).collect();
                probe.identities = vec![Identity { object: before.volid.clone(), resource: content.key(), expect }];
                let text = format!("there is no guest {owner}");
                let at = Resource::Guest(owner);
                probe.guards = vec![look::guard(text, at, "", Predicate::Equals, Value::Null)];
            }
        }
        Ok(probe)
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let before = look::before::<Before>(before)?;
        if let Some((guest, key)) = &before.unused {
            // The guest's own way: its line goes with the disk, and only where nobody has changed it in between.
            let path = format!("/nodes/{}/{}/{}/config", seg(&guest.node), guest.kind, guest.vmid);
            let params = Params::new().set("delete", key).opt("digest", guest.digest.as_deref());
            return Ok(Request::at_once(Verb::Put, path, params));
        }
        let (node, storage) = (seg(&before.node), seg(&before.storage));
        let path = format!("/nodes/{node}/storage/{storage}/content/{}", seg(&before.volid));
        let about = before.vmid.map_or_else(|| before.storage.to_string(), |id| format!("{id}@{}", before.storage));
        let request = Request::on_node(&before.node, path, Params::new(), &["imgdel"]).about(about).among_others();
        Ok(request.with_verb(Verb::Delete))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before = look::before::<Before>(before)?;
        let there = volume(world, &before.node, &before.storage, &before.volid).await.map_err(look::settled)?;
        let is = format!("{} has {}", before.node, before.volid);
        let named = match &before.unused {
            None => false,
            Some((guest, key)) => match look::still(world, guest).await? {
                Err(strange) => return Ok(strange),
                Ok(now) => now.disks.get(key).is_some_and(|disk| disk.volid == before.volid),
            },
        };
        Ok(match (there, before.unused.is_some(), named) {
            (None, _, false) => Seen::Done(json!({"volid": before.volid})),
            (None, _, true) => Seen::Partial(format!("{} is gone, and its guest still names it", before.volid)),
            (Some(_), true, false) => Seen::Partial(format!("{is}, and its guest does not name it any more")),
            (Some(_), _, _) => Seen::Untouched(is),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(found) = look::before::<Before>(&before.before) else { return Prediction::default() };
        let outputs = [("volid".to_owned(), json!(found.volid))].into();
        if before.satisfied || found.vmid.is_none() {
            return Prediction { outputs, ..Prediction::default() };
        }
        let at = |node: &NodeName| Resource::Content(node.clone(), found.storage.clone()).key();
        let delta = |node: &NodeName| Delta { resource: at(node), patch: json!({found.volid.clone(): null}) };
        let Some((guest, key)) = &found.unused else {
            return Prediction { deltas: found.on.iter().map(delta).collect(), taints: Vec::new(), outputs };
        };
        let gone: Map<String, Value> = [(key.clone(), Value::Null)].into_iter().collect();
        let own = json!({"digest": null, "volumes": null, "disks": gone});
        let lines = json!({"digest": null, "values": gone});
        let why = format!("{} takes a disk of {} away", call.path, guest.title());
        let taints = vec![(Resource::GuestEvacuation(guest.vmid).key(), why)];
        let mut deltas: Vec<_> = found.on.iter().map(delta).collect();
        deltas.push(Delta { resource: Resource::Guest(guest.vmid).key(), patch: own });
        deltas.push(Delta { resource: Resource::GuestConfig(guest.vmid).key(), patch: lines });
        Prediction { deltas, taints, outputs }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let before = look::before::<Before>(before).ok()?;
        let path = format!("/nodes/{}/storage/{}/content", seg(&before.node), seg(&before.storage));
        Some(typed::check(&typed::call(Verb::Get, &path, &Params::new()), &format!("no {}", before.volid)))
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        let changed = cause.contains("by other user?");
        changed.then(|| "somebody changed its guest in between: look at it and run again".into())
    }
}
