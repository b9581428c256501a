//! `proxmox.guest_create`: makes a VM or a container of the keys that Proxmox's configuration has.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::made::{self, Made};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, read};
use crate::actions::proxmox::object::{GuestEntry, NodeStorage, Volume};
use crate::actions::proxmox::property::Property;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::source::is_disk;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, StorageId};
use crate::model::param::{Param, ValueType};
use crate::model::site::VmidRanges;

/// Keys that parameters of their own say, or that make something else than a new guest.
const NOT_KEYS: [&str; 12] = [
    "vmid",
    "node",
    "name",
    "hostname",
    "description",
    "tags",
    "pool",
    "start",
    "force",
    "archive",
    "restore",
    "unique",
];

/// The act.
pub struct GuestCreate {
    spec: ActionSpec,
    timing: Timing,
    ranges: VmidRanges,
}

impl GuestCreate {
    pub fn new(timing: Timing, ranges: VmidRanges) -> Self {
        let spec = ActionSpec::new("proxmox.guest_create", Effect::Change, "Create a VM or a container")
            .param(Param::new("node", ValueType::Node).required().help("Where it is made"))
            .param(
                Param::new("kind", ValueType::String)
                    .choices(&["qemu", "lxc"])
                    .default_value("qemu")
                    .help("A VM or a container"),
            )
            .param(Param::new("config", ValueType::Map).required().help(
                "Keys and values as Proxmox's configuration has them: `scsi0: local-lvm:32`, or \
                 `scsi0: local-lvm:0,import-from=local:import/x.qcow2`",
            ))
            .param(
                Param::new("extra", ValueType::Map)
                    .default_value(json!({}))
                    .help("More of them, over those of `config`; an empty text leaves a key out"),
            )
            .param(Param::new("tags", ValueType::List).items(ValueType::String).help("Its tags"));
        let spec = made::described(spec)
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("VM.Allocate on /vms")
            .needs_privilege("Datastore.AllocateSpace on /storage (of its disks)")
            .needs_privilege("SDN.Use on /sdn/zones (of its networks)");
        Self { spec, timing, ranges }
    }
}

fn kind(call: &Call) -> GuestKind {
    if call.get("kind").as_str() == Some("lxc") { GuestKind::Lxc } else { GuestKind::Qemu }
}

pub(super) fn tags(call: &Call) -> Vec<String> {
    let list = call.get("tags").as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut tags: Vec<String> = list.map(str::to_lowercase).collect();
    tags.sort();
    tags.dedup();
    tags
}

/// The keys as a form has them.
fn keys(call: &Call) -> Result<BTreeMap<String, String>, Failure> {
    let attempted = || format!("create {}", call.get("name").as_str().unwrap_or_default());
    let mut keys = BTreeMap::new();
    let each = |name: &str| call.get(name).as_object().into_iter().flatten();
    for (key, value) in each("config").chain(each("extra")) {
        if NOT_KEYS.contains(&key.as_str()) {
            let cause = format!("config has the key {key:?}");
            let remedy = format!("{key} is a parameter of this action, or not for new guests");
            return Err(Failure::new(Class::Precondition, attempted(), cause).remedy(remedy));
        }
        let text = match value {
            Value::Bool(flag) => u8::from(*flag).to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Array(_) | Value::Object(_) => {
                let cause = format!("config.{key} is no single value");
                return Err(Failure::new(Class::Precondition, attempted(), cause).remedy("write it as Proxmox has it"));
            }
        };
        if text.is_empty() {
            keys.remove(key)
        } else {
            keys.insert(key.clone(), text)
        };
    }
    Ok(keys)
}

/// That each storage and each volume that a disk names is there.
async fn can_be_laid(call: &Call, node: &NodeName, world: &dyn World) -> Result<(), Unreadable> {
    let (kind, attempted) = (kind(call), format!("create {}", call.get("name").as_str().unwrap_or_default()));
    let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
    let keys = keys(call)?;
    let template = keys.get("ostemplate").map(|volid| ("ostemplate", volid.as_str()));
    let disks = keys.iter().filter(|(key, _)| is_disk(kind, key));
    let lines = disks.map(|(key, line)| (key.as_str(), line.as_str())).chain(template);
    let lines: Vec<(&str, Property)> = lines.map(|(key, line)| (key, Property::parse(line))).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let storages: BTreeMap<StorageId, NodeStorage> = read(world, Resource::Storages(node.clone())).await?;
    for (key, line) in &lines {
        let volume = line.main(&["file", "volume"]).unwrap_or_default();
        for volid in [Some(volume), line.get("import-from")].into_iter().flatten() {
            let Some((storage, what)) = volid.split_once(':').filter(|(id, _)| !id.starts_with('/')) else { continue };
            let Some(there) = storages.get(storage) else {
                return Err(fail(format!("config.{key}: {node} has no storage {storage}")).into());
            };
            if !there.active {
                return Err(fail(format!("config.{key}: storage {storage} is not active on {node}")).into());
            }
            let is_new = what == "cloudinit" || what.parse::<f64>().is_ok();
            let content = if kind == GuestKind::Qemu { "images" } else { "rootdir" };
            if is_new && !there.content.iter().any(|one| one == content) {
                return Err(fail(format!("config.{key}: storage {storage} is not for {content}")).into());
            }
            if is_new {
                continue;
            }
            let at = Resource::Content(node.clone(), storage.into());
            let volumes: BTreeMap<String, Volume> = read(world, at).await?;
            if !volumes.contains_key(volid) {
                let remedy = "fetch it first (proxmox.image_download), or check its name (proxmox.images)";
                return Err(fail(format!("config.{key}: {node} has no {volid}")).remedy(remedy).into());
            }
        }
    }
    Ok(())
}

#[async_trait]
impl Act for GuestCreate {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Made>(before)
            .map_or_else(|_| "create a guest".into(), |made| format!("create {} on {}", made.title(), made.node))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let node: NodeName = call.arg("node")?;
        let at = look::node(world, &node).await?;
        let guests: BTreeMap<_, GuestEntry> = read(world, Resource::Guests).await?;
        let there = made::made_before(call, &guests, world).await?;
        let vmid = match &there {
            Some(guest) => guest.vmid,
            None => made::number(call, self.ranges, &guests).await?,
        };
        let name = call.arg("name")?;
        let pool = call.get("pool").as_str().map(ToOwned::to_owned);
        let made = Made {
            vmid,
            kind: kind(call),
            name,
            node,
            mark: made::mark(call),
            tags: tags(call),
            pool,
            source: None,
            there,
        };
        if made.there.is_none() {
            if let Some(why) = look::unfit(&at) {
                let attempted = format!("create {} on {}", made.title(), made.node);
                return Err(Failure::new(Class::Precondition, attempted, why).remedy("choose another node").into());
            }
            can_be_laid(call, &made.node, world).await?;
        }
        let mut probe = made.probe(format!("{}: create on {}", made.title(), made.node));
        if !probe.satisfied {
            probe.guards = look::takes_guests(&made.node).into();
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let made: Made = look::before(before)?;
        let name = if made.kind == GuestKind::Qemu { "name" } else { "hostname" };
        let text = made::marked(call.get("description").as_str().unwrap_or_default(), &made.mark);
        let mut params = Params::new().set("vmid", made.vmid).set(name, &made.name).set("description", text);
        for (key, value) in keys(call)? {
            params = params.set(key, value);
        }
        let tags = Some(made.tags.join(";")).filter(|tags| !tags.is_empty());
        let params = params.opt("tags", tags).opt("pool", made.pool);
        let path = format!("/nodes/{}/{}", seg(&made.node), made.kind);
        Ok(Request::about_guest(&made.node, made.vmid, path, params, &["qmcreate", "vzcreate"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        look::before::<Made>(before)?.judge(world).await
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        look::before::<Made>(&before.before).map(|made| made.predict()).unwrap_or_default()
    }

    fn undo(&self, _: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        look::before::<Made>(before).ok().map(|made| made.undo(outputs))
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        look::before::<Made>(&before.before).ok().map(|made| format!("delete {}", made.title()))
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let made: Made = look::before(before).ok()?;
        Some(typed::check_guest(&made.node, made.kind, made.vmid, "stopped, no lock"))
    }

    fn class(&self, call: &Call, cause: &str) -> Option<Class> {
        made::class(call, cause)
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        made::remedy(cause)
    }
}
