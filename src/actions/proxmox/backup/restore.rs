//! `proxmox.guest_restore`: makes a guest from a backup: a new one, or over one that is there (`force`).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{kind_of, storage_of, text};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::{Guest, Node, Snapshots, Volume, title};
use crate::actions::proxmox::property::Property;
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::source::{disk, is_disk};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, loose, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Identity, Predicate};

/// The act.
pub struct GuestRestore {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    vmid: Vmid,
    node: NodeName,
    kind: GuestKind,
    archive: String,
    /// Of the guest in the backup.
    name: String,
    #[serde(default)]
    uuid: Option<String>,
    unique: bool,
    /// What it goes over.
    #[serde(default)]
    existing: Option<Guest>,
    /// The snapshots of that, which go with it.
    #[serde(default)]
    snapshots: Vec<String>,
    /// Of the guest in the backup.
    #[serde(default)]
    tags: Vec<String>,
    /// The volumes in the backup by their keys.
    #[serde(default)]
    disks: BTreeMap<String, String>,
}

/// `nfs` and 1 of `nfs:104/vm-104-disk-1.qcow2`.
fn numbered(volid: &str) -> Option<(&str, u32)> {
    let (storage, path) = volid.split_once(':')?;
    let (_, end) = path.rsplit_once("-disk-")?;
    let digits = end.split('.').next().unwrap_or(end);
    Some((storage, digits.parse().ok()?))
}

impl Before {
    fn title(&self) -> String {
        title(self.kind, self.vmid, &self.name)
    }

    /// Disks of the guest that is there which the backup has not.
    fn spare<'a>(&'a self, existing: &'a Guest) -> impl Iterator<Item = &'a str> {
        let own = existing.disks.iter().filter(|(key, disk)| !disk.cdrom && !self.disks.contains_key(*key));
        own.map(|(_, disk)| disk.volid.as_str())
    }

    /// Whether its volumes are called otherwise than those of the guest that is there: a VM's are freed first, so that
    /// the lowest number is taken again; a container's only when the new ones are there.
    fn renames(&self, existing: &Guest, storage: Option<&str>) -> bool {
        let mut taken: BTreeSet<(String, u32)> =
            self.spare(existing).filter_map(numbered).map(|(at, n)| (at.to_owned(), n)).collect();
        let same = |(key, volid): (&String, &String)| {
            let at = storage.or(volid.split_once(':').map(|(at, _)| at)).unwrap_or_default();
            let Some(n) = (0..).find(|n| taken.insert((at.to_owned(), *n))) else { return false };
            existing.disks.get(key).and_then(|disk| numbered(&disk.volid)) == Some((at, n))
        };
        self.kind == GuestKind::Lxc || !self.disks.iter().all(same) || self.spare(existing).next().is_some()
    }
}

impl GuestRestore {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.guest_restore", Effect::Change, "Restore a guest from a backup")
            .param(
                Param::new("backup", ValueType::String).required().help("Its volume id, as proxmox.backups lists it"),
            )
            .param(
                Param::new("vmid", ValueType::Vmid)
                    .required()
                    .help("Which guest it becomes: a free VMID, or with force one that is there"),
            )
            .param(
                Param::new("node", ValueType::Node).required().help("Where; the node must have the backup's storage"),
            )
            .param(Param::new("storage", ValueType::String).help("Where its disks go; as in the backup where absent"))
            .param(
                Param::new("unique", ValueType::Bool).help(
                    "Whether it gets addresses and an identity of its own; so by default where it gets another VMID",
                ),
            )
            .param(
                Param::new("force", ValueType::Bool)
                    .default_value(false)
                    .help("Whether a stopped guest with that VMID is destroyed for it"),
            )
            .param(Param::new("start", ValueType::Bool).default_value(false).help("Whether it is started"))
            .output("vmid", ValueType::Vmid, "The guest")
            .output("node", ValueType::Node, "Where it is")
            .output("name", ValueType::String, "Its name")
            .needs_privilege("VM.Audit on /vms/{vmid}")
            .needs_privilege("VM.Allocate on /vms/{vmid} (a new guest)")
            .needs_privilege("VM.Backup on /vms/{vmid} (over one that is there)")
            .needs_privilege("Datastore.AllocateSpace on /storage")
            .anew();
        Self { spec, timing }
    }
}

/// `key: value` lines, those of the current state alone.
fn config(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().take_while(|line| !line.starts_with('['));
    let pairs = lines.filter_map(|line| line.split_once(": "));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// What stands in the way of going over this guest.
fn over(existing: &Guest, kind: GuestKind, node: &NodeName, force: bool) -> Result<(), (Class, String, &'static str)> {
    let (class, title) = (Class::Precondition, existing.title());
    if !force {
        return Err((class, format!("{title} is there"), "choose a free VMID, or force=true to destroy it for this"));
    }
    if existing.kind != kind {
        return Err((class, format!("{title} is of another kind than the backup"), "choose a free VMID"));
    }
    if &existing.node != node {
        return Err((class, format!("{title} is on {}", existing.node), "restore it there, or move it first"));
    }
    if existing.is_running() {
        return Err((class, format!("{title} runs"), "shut it down first: proxmox.guest_shutdown"));
    }
    match &existing.lock {
        Some(lock) => Err((Class::Locked, format!("{title} is locked ({lock})"), "wait until that has ended")),
        None => Ok(()),
    }
}

impl GuestRestore {
    async fn seek(&self, call: &Call, world: &dyn World) -> Result<(Before, Volume), Unreadable> {
        let (vmid, node): (Vmid, NodeName) = (call.arg("vmid")?, call.arg("node")?);
        let archive: String = call.arg("backup")?;
        let attempted = format!("restore {archive} as guest {vmid} on {node}");
        let fail = |class, cause: String| Failure::new(class, attempted.clone(), cause);
        let host: Node = look::node(world, &node).await?;
        if let Some(why) = look::unfit(&host) {
            return Err(fail(Class::Precondition, why).into());
        }
        let content: BTreeMap<String, Volume> =
            look::read(world, Resource::Content(node.clone(), storage_of(&archive))).await?;
        let missing = || {
            let cause = format!("{node} has no backup of that name");
            fail(Class::Precondition, cause).remedy("`runbook do proxmox.backups` lists them, with their nodes")
        };
        let volume = content.get(&archive).filter(|volume| volume.content == "backup").ok_or_else(missing)?;
        let kind = kind_of(&archive);
        let kind =
            kind.ok_or_else(|| fail(Class::Precondition, "its name does not say what kind of guest it is of".into()))?;
        let extract = format!("/nodes/{}/vzdump/extractconfig", seg(&node));
        let text = look::api(world, extract, &[("volume", &archive)]).await?;
        let lines = config(text.as_str().unwrap_or_default());
        let name = lines.get("name").or(lines.get("hostname")).cloned();
        let name =
            name.unwrap_or_else(|| if kind == GuestKind::Qemu { format!("VM {vmid}") } else { format!("CT{vmid}") });
        let uuid = lines.get("smbios1").and_then(|line| Property::parse(line).get("uuid").map(str::to_ascii_lowercase));
        let tags = lines.get("tags").map(|text| loose::split_list(text)).unwrap_or_default();
        let volume_of = |(key, line): (&String, &String)| {
            let disk = disk(line);
            let own = is_disk(kind, key) && !key.starts_with("unused") && !disk.cdrom && disk.storage.is_some();
            own.then(|| (key.clone(), disk.volid))
        };
        let disks = lines.iter().filter_map(volume_of).collect();
        let existing: Option<Guest> = look::read(world, Resource::Guest(vmid)).await?;
        let mut snapshots = Vec::new();
        if let Some(existing) = &existing {
            over(existing, kind, &node, call.get("force").as_bool() == Some(true))
                .map_err(|(class, cause, remedy)| fail(class, cause).remedy(remedy))?;
            let all: Option<Snapshots> = look::read(world, Resource::GuestSnapshots(vmid)).await?;
            snapshots = all.map(|all| all.list.into_keys().collect()).unwrap_or_default();
        }
        let unique = call.get("unique").as_bool().unwrap_or(volume.vmid != Some(vmid));
        Ok((Before { vmid, node, kind, archive, name, uuid, unique, existing, snapshots, tags, disks }, volume.clone()))
    }
}

#[async_trait]
impl Act for GuestRestore {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        let words = |b: Before| format!("restore {} on {} from {}", b.title(), b.node, b.archive);
        look::before::<Before>(before).map_or_else(|_| "restore a guest".into(), words)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (before, volume) = self.seek(call, world).await?;
        let how = if before.unique { ", with addresses of its own" } else { "" };
        let summary = format!("{}: restore on {} from {}{how}", before.title(), before.node, before.archive);
        let mut probe = Probe::new(summary, json!(before));
        let pointer = format!("/{}/made", before.archive.replace('~', "~0").replace('/', "~1"));
        probe.identities = vec![Identity {
            object: before.archive.clone(),
            resource: Resource::Content(before.node.clone(), storage_of(&before.archive)).key(),
            expect: vec![(pointer, json!(volume.made))],
        }];
        let at = Resource::Guest(before.vmid);
        match &before.existing {
            Some(existing) => {
                probe.effect = Some(Effect::Destroy);
                probe.identities.push(look::identity(existing));
                probe
                    .notes
                    .push(format!("{} as it is now is destroyed, with its disks and snapshots", existing.title()));
                let spare: Vec<&str> = before.spare(existing).collect();
                if before.kind == GuestKind::Qemu && !spare.is_empty() {
                    probe.notes.push(format!("the backup has not {}: kept, as unused", spare.join(", ")));
                }
                let text = format!("{} is stopped", existing.title());
                probe.guards = vec![look::guard(text, at, "/status", Predicate::Equals, json!("stopped"))];
            }
            None => {
                let text = format!("there is no guest {}", before.vmid);
                probe.guards = vec![look::guard(text, at, "", Predicate::Equals, Value::Null)];
                if !before.unique && volume.vmid != Some(before.vmid) {
                    probe.notes.push("it gets the addresses and the identity of the guest that was backed up".into());
                }
            }
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let before = look::before::<Before>(before)?;
        let params = Params::new().set("vmid", before.vmid);
        let params = match before.kind {
            GuestKind::Qemu => params.set("archive", &before.archive),
            GuestKind::Lxc => params.set("ostemplate", &before.archive).flag("restore", true),
        };
        let flag = |params: Params, name: &str, on: bool| if on { params.flag(name, true) } else { params };
        let params = params.opt("storage", text(call.get("storage")));
        let params = flag(params, "unique", before.unique);
        let params = flag(params, "force", before.existing.is_some());
        let params = flag(params, "start", call.get("start").as_bool() == Some(true));
        let path = format!("/nodes/{}/{}", seg(&before.node), before.kind);
        Ok(Request::about_guest(&before.node, before.vmid, path, params, &["qmrestore", "vzrestore"]))
    }

    async fn judge(
        &self,
        call: &Call,
        before: &Value,
        answer: Option<&Value>,
        world: &dyn World,
    ) -> Result<Seen, Failure> {
        let before = look::before::<Before>(before)?;
        let Some(now) = live::<Option<Guest>>(world, Resource::Guest(before.vmid)).await? else {
            return Ok(match &before.existing {
                None => Seen::Untouched(format!("there is no guest {}", before.vmid)),
                Some(existing) => Seen::Strange(format!("{} is on no node", existing.title())),
            });
        };
        if now.lock.as_deref() == Some("create") {
            return Ok(Seen::Partial(format!("{} is being made (locked: create)", now.title())));
        }
        if let Some(existing) = &before.existing
            && now.is_same_as(existing)
            && now.digest == existing.digest
            && (now.kind == GuestKind::Qemu || answer.is_none())
        {
            // Each return of a VM gives it another generation, so that its configuration is never the same again.
            let is = format!("{} is as before", now.title());
            return Ok(if now.kind == GuestKind::Qemu { Seen::Untouched(is) } else { Seen::Strange(is) });
        }
        let same = now.kind == before.kind && now.name == before.name && (before.unique || now.uuid == before.uuid);
        let certain = answer.is_some() || (!before.unique && before.uuid.is_some() && before.existing.is_none());
        let started = call.get("start").as_bool() != Some(true) || now.is_running();
        Ok(match (same && now.node == before.node, certain, &now.lock) {
            (false, ..) => Seen::Strange(format!("{} on {} is not what was backed up", now.title(), now.node)),
            (true, false, _) => {
                Seen::Strange(format!("{} is there; whether it is this backup cannot be told", now.title()))
            }
            (true, true, Some(lock)) => Seen::Partial(format!("{} is locked ({lock})", now.title())),
            (true, true, None) if !started => Seen::Partial(format!("{} is restored and does not run", now.title())),
            (true, true, None) => Seen::Done(json!({"vmid": now.vmid, "node": now.node, "name": now.name})),
        })
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = look::before::<Before>(&probe.before) else { return Prediction::default() };
        let vmid = before.vmid;
        let status = if call.get("start").as_bool() == Some(true) { "running" } else { "stopped" };
        let mut is = json!({"digest": null});
        if before.existing.as_ref().is_none_or(|existing| existing.status != status) {
            is["status"] = json!(status);
        }
        if let Some(existing) = &before.existing {
            if before.unique {
                is["uuid"] = Value::Null;
            }
            if existing.name != before.name {
                is["name"] = json!(before.name);
            }
            if existing.tags != before.tags {
                is["tags"] = json!(before.tags);
            }
            if before.renames(existing, call.get("storage").as_str().filter(|id| !id.is_empty())) {
                is["volumes"] = Value::Null;
            }
        } else {
            for open in ["uuid", "lock", "tags", "pool", "volumes", "backups"] {
                is[open] = Value::Null;
            }
            is["kind"] = json!(before.kind);
            is["node"] = json!(before.node);
            is["name"] = json!(before.name);
            is["template"] = json!(false);
        }
        let why = format!("{} makes guest {vmid}", call.path);
        let mut deltas = vec![Delta { resource: Resource::Guest(vmid).key(), patch: is }];
        if !before.snapshots.is_empty() {
            let gone: serde_json::Map<_, _> = before.snapshots.into_iter().map(|name| (name, Value::Null)).collect();
            deltas.push(Delta { resource: Resource::GuestSnapshots(vmid).key(), patch: json!({"list": gone}) });
        }
        Prediction {
            deltas,
            taints: vec![
                (Resource::Guest(vmid).key(), why.clone()),
                (Resource::Guests.key(), why.clone()),
                (Resource::NodeGuests(before.node.clone()).key(), why.clone()),
                (all_placements(), why),
            ],
            outputs: [
                ("vmid".to_owned(), json!(vmid)),
                ("node".to_owned(), json!(before.node)),
                ("name".to_owned(), json!(before.name)),
            ]
            .into(),
        }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let before = look::before::<Before>(before).ok()?;
        Some(typed::check_guest(&before.node, before.kind, before.vmid, "it is there, with no lock"))
    }
}
