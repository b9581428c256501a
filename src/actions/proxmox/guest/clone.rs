//! `proxmox.guest_clone`: makes a guest of another one, in full or resting on its template's volumes.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::made::{self, Made};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, read};
use crate::actions::proxmox::object::{Guest, GuestEntry, NodeStorage};
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{GuestKind, NodeName, StorageId};
use crate::model::param::{Param, ValueType};
use crate::model::shell;
use crate::model::site::VmidRanges;

/// The act.
pub struct GuestClone {
    spec: ActionSpec,
    timing: Timing,
    ranges: VmidRanges,
}

impl GuestClone {
    pub fn new(timing: Timing, ranges: VmidRanges) -> Self {
        let spec = ActionSpec::new("proxmox.guest_clone", Effect::Change, "Clone a guest or a template")
            .param(Param::new("guest", ValueType::Guest).required().help("What is cloned"))
            .param(Param::new("full", ValueType::Bool).help(
                "Copy its disks; false: rest on the template's. Where absent, a template's clone is linked and any \
                 other is full",
            ))
            .param(Param::new("target", ValueType::Node).help(
                "Another node for the clone, where all its volumes are on shared storage; for any other guest the \
                 runbook `guest-clone` clones it on its own node and moves the clone",
            ))
            .param(Param::new("storage", ValueType::String).help("Where the copies go; full clones only"))
            .param(Param::new("snapshot", ValueType::String).help("The snapshot that is cloned"));
        let spec = made::described(spec)
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("VM.Clone on /vms/{guest}")
            .needs_privilege("VM.Allocate on /vms")
            .needs_privilege("Datastore.AllocateSpace on /storage (of its disks)")
            .needs_privilege("SDN.Use on /sdn/zones (of its networks)");
        Self { spec, timing, ranges }
    }
}

fn is_full(call: &Call, source: &Guest) -> bool {
    call.get("full").as_bool().unwrap_or(!source.template)
}

/// What stands in the way.
async fn possible(call: &Call, source: &Guest, node: &NodeName, world: &dyn World) -> Result<(), Unreadable> {
    let attempted = format!("clone {}", source.title());
    look::unlocked(source, &attempted)?;
    let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
    if !is_full(call, source) {
        if !source.template {
            let failure = fail(format!("{} is no template, so nothing can rest on it", source.title()));
            return Err(failure.remedy("say full: true, or clone a template").into());
        }
        if !call.get("storage").is_null() {
            return Err(fail("a linked clone is where its template is".into()).remedy("leave storage out").into());
        }
    }
    if *node != source.node {
        // Proxmox counts what is in drives as well.
        let storages: BTreeMap<StorageId, NodeStorage> = read(world, Resource::Storages(source.node.clone())).await?;
        let shared = |id: &StorageId| storages.get(id).is_some_and(|storage| storage.shared);
        let local = source.disks.iter().find(|(_, disk)| disk.storage.as_ref().is_some_and(|id| !shared(id)));
        if let Some((key, disk)) = local {
            let failure = fail(format!("{key} ({}) is on no shared storage", disk.volid));
            let name = call.get("name").as_str().unwrap_or_default();
            let command = shell::line(["runbook", "run", "guest-clone", &source.vmid.to_string(), name, node.as_str()]);
            let remedy = format!("clone it on {} and move the clone: {command}", source.node);
            return Err(failure.remedy(remedy).into());
        }
    }
    Ok(())
}

#[async_trait]
impl Act for GuestClone {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        let Ok(made) = look::before::<Made>(before) else { return "clone a guest".into() };
        let source = made.source.as_ref().map(Guest::title).unwrap_or_default();
        format!("clone {source} as {} on {}", made.title(), made.node)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let source = look::guest(world, call.arg("guest")?).await?;
        let node: NodeName = if call.get("target").is_null() { source.node.clone() } else { call.arg("target")? };
        let guests: BTreeMap<_, GuestEntry> = read(world, Resource::Guests).await?;
        let there = made::made_before(call, &guests, world).await?;
        let vmid = match &there {
            Some(guest) => guest.vmid,
            None => {
                possible(call, &source, &node, world).await?;
                made::number(call, self.ranges, &guests).await?
            }
        };
        let (kind, tags, identity) = (source.kind, source.tags.clone(), look::identity(&source));
        let how = if is_full(call, &source) { "full" } else { "linked" };
        let summary = format!("{vmid}: {how} clone of {} on {node}", source.title());
        let pool = call.get("pool").as_str().map(ToOwned::to_owned);
        let (name, source, mark) = (call.arg("name")?, Some(source), made::mark(call));
        let made = Made { vmid, kind, name, node, mark, tags, pool, source, there };
        let mut probe = made.probe(summary);
        probe.identities = vec![identity];
        if !probe.satisfied {
            probe.guards = look::takes_guests(&made.node).into();
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let made: Made = look::before(before)?;
        let broken = || Failure::new(Class::Internal, "read what a probe found", "a clone without its source");
        let source = made.source.clone().ok_or_else(broken)?;
        let given = call.get("description").as_str().map(ToOwned::to_owned);
        let text = made::marked(&given.or(source.description).unwrap_or_default(), &made.mark);
        let name = if made.kind == GuestKind::Qemu { "name" } else { "hostname" };
        let target = Some(&made.node).filter(|node| **node != source.node);
        let text_of = |name: &str| call.get(name).as_str().map(ToOwned::to_owned);
        let mut params = Params::new().set("newid", made.vmid).set(name, &made.name).set("description", text);
        if let Some(full) = call.get("full").as_bool() {
            params = params.flag("full", full);
        }
        let params = params
            .opt("target", target)
            .opt("storage", text_of("storage"))
            .opt("snapname", text_of("snapshot"))
            .opt("pool", made.pool);
        let path = format!("/nodes/{}/{}/{}/clone", seg(&source.node), source.kind, source.vmid);
        // Its task is named after the source, whatever is made of it, and other clones of it may be under way.
        Ok(Request::about_guest(&source.node, source.vmid, path, params, &["qmclone", "vzclone"]).among_others())
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
        // Two clones of a running guest at once: the second waits 1 s for the lock and gives up.
        if cause.contains("can't lock file") { Some(Class::Locked) } else { made::class(call, cause) }
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        made::remedy(cause)
    }
}
