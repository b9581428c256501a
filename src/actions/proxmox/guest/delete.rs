//! `proxmox.guest_delete`: destroys a guest with its volumes, and only the one that is meant.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, live, read};
use crate::actions::proxmox::object::{Guest, GuestEntry, Node, Volume};
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Vmid};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Predicate};

/// The act.
pub struct GuestDelete {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestDelete {
    pub fn new(timing: Timing) -> Self {
        let flag = |name: &str, default: bool| Param::new(name, ValueType::Bool).default_value(default);
        let spec = ActionSpec::new("proxmox.guest_delete", Effect::Destroy, "Destroy a guest and its volumes")
            .param(Param::new("guest", ValueType::Guest).required().help("The guest; it must not run"))
            .param(
                Param::new("tags", ValueType::List)
                    .items(ValueType::String)
                    .default_value(json!([]))
                    .help("Tags that it must have, all of them"),
            )
            .param(
                Param::new("is", ValueType::Map)
                    .help("What it must be (kind, uuid, name, macs, rootfs, mark), as guest_create puts it out"),
            )
            .param(flag("template", false).help("It may be a template"))
            .param(flag("purge", true).help("Take it out of HA, backup and replication jobs, too"))
            .param(
                flag("unreferenced", false).help("Destroy volumes of its number that its configuration does not name"),
            )
            .output("vmid", ValueType::Vmid, "The number, free again")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("VM.Allocate on /vms/{guest}")
            .needs_privilege("Datastore.Audit on /storage (of its disks)");
        Self { spec, timing }
    }
}

/// Where it is not what `is` says.
fn other_than(guest: &Guest, is: &Value) -> Option<String> {
    let now = json!(guest);
    let differs = |(name, wanted): (&String, &Value)| match name.as_str() {
        "mark" => !wanted.as_str().is_some_and(|mark| guest.has_line(mark)),
        name => !wanted.is_null() && now[name] != *wanted,
    };
    let (name, wanted) = is.as_object()?.iter().find(|(name, wanted)| differs((name, wanted)))?;
    Some(format!("{name} should be {wanted}, and is {}", now[name.as_str()]))
}

/// What stands in the way.
fn possible(call: &Call, guest: &Guest) -> Result<(), Failure> {
    let attempted = format!("destroy {}", guest.title());
    let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
    if let Some(why) = other_than(guest, call.get("is")) {
        return Err(
            fail(format!("it is another guest than the one that is meant: {why}")).remedy("nothing is destroyed")
        );
    }
    let wanted = call.get("tags").as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing: Vec<&str> = wanted.filter(|tag| !guest.tags.iter().any(|has| has == tag)).collect();
    if !missing.is_empty() {
        let has = if guest.tags.is_empty() { "none".to_owned() } else { guest.tags.join(", ") };
        let cause = format!("it does not have all the tags: {} is missing; it has {has}", missing.join(", "));
        return Err(fail(cause).remedy("nothing is destroyed"));
    }
    if guest.protection {
        return Err(fail("its protection flag is set".into()).remedy("take the flag off first, if it is really to go"));
    }
    if guest.template && call.get("template") != &json!(true) {
        return Err(fail("it is a template".into()).remedy("say template: true if it is meant"));
    }
    look::unlocked(guest, &attempted)?;
    if guest.is_running() {
        return Err(fail("it is running".into()).remedy("shut it down first: proxmox.guest_shutdown"));
    }
    if guest.is_owned_by_ha() && call.get("purge") == &json!(false) {
        return Err(fail("it is a resource of the HA manager".into()).remedy("say purge: true, or take it out of HA"));
    }
    Ok(())
}

/// What is still there of it, asked of every node and of its storages.
async fn left(before: &Guest, world: &dyn World) -> Result<Option<String>, Failure> {
    let nodes: BTreeMap<NodeName, Node> = live(world, Resource::Nodes).await?;
    for node in nodes.values().filter(|node| node.online) {
        let there: BTreeMap<Vmid, GuestEntry> = live(world, Resource::NodeGuests(node.name.clone())).await?;
        if there.contains_key(&before.vmid) {
            return Ok(Some(format!("{} still lists guest {}", node.name, before.vmid)));
        }
    }
    for (storage, volid) in before.volumes() {
        let at = Resource::Content(before.node.clone(), storage.clone());
        if live::<BTreeMap<String, Volume>>(world, at).await?.contains_key(volid) {
            return Ok(Some(format!("{} is gone, and its volume {volid} is still there", before.title())));
        }
    }
    Ok(None)
}

#[async_trait]
impl Act for GuestDelete {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Guest>(before)
            .map_or_else(|_| "destroy a guest".into(), |g| format!("destroy {} on {}", g.title(), g.node))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let vmid: Vmid = call.arg("guest")?;
        let Some(guest) = read::<Option<Guest>>(world, Resource::Guest(vmid)).await? else {
            let mut probe = Probe::new(format!("guest {vmid}: gone already"), Value::Null);
            probe.satisfied = true;
            return Ok(probe);
        };
        possible(call, &guest)?;
        let volumes: Vec<&str> = guest.volumes().map(|(_, volid)| volid).collect();
        let what = if volumes.is_empty() { "no volume".to_owned() } else { volumes.join(", ") };
        let mut probe = Probe::new(format!("{}: destroy on {}, with {what}", guest.title(), guest.node), json!(guest));
        probe.identities = vec![look::identity(&guest)];
        if guest.is_owned_by_ha() {
            probe.notes.push(format!("{} is taken out of HA and of its rules", guest.title()));
        }
        let (at, text) = (Resource::Guest(vmid), format!("{} is stopped", guest.title()));
        probe.guards = vec![look::guard(text, at, "/status", Predicate::Equals, json!("stopped"))];
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        let flag = |name: &str| call.get(name).as_bool().unwrap_or(name == "purge");
        let params =
            Params::new().flag("purge", flag("purge")).flag("destroy-unreferenced-disks", flag("unreferenced"));
        let path = format!("/nodes/{}/{}/{}", seg(&guest.node), guest.kind, guest.vmid);
        let request = Request::about_guest(&guest.node, guest.vmid, path, params, &["qmdestroy", "vzdestroy"]);
        Ok(request.with_verb(Verb::Delete))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before: Guest = look::before(before)?;
        let Some(now) = live::<Option<Guest>>(world, Resource::Guest(before.vmid)).await? else {
            return Ok(match left(&before, world).await? {
                None => Seen::Done(json!({"vmid": before.vmid})),
                Some(what) => Seen::Partial(what),
            });
        };
        Ok(match now.lock.as_deref() {
            _ if !now.is_same_as(&before) => {
                Seen::Strange(format!("{} is another guest now: {}", before.vmid, now.title()))
            }
            Some("destroyed") => Seen::Partial(format!("{} is being destroyed", now.title())),
            _ => Seen::Untouched(format!("{} is on {}", now.title(), now.node)),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(vmid) = call.arg::<Vmid>("guest") else { return Prediction::default() };
        let outputs = [("vmid".to_owned(), json!(vmid))].into();
        let Ok(guest) = look::before::<Guest>(&before.before) else {
            return Prediction { outputs, ..Prediction::default() };
        };
        let deltas = vec![
            Delta { resource: Resource::Guest(vmid).key(), patch: Value::Null },
            Delta { resource: Resource::Guests.key(), patch: json!({vmid.to_string(): null}) },
        ];
        let why = format!("{} is destroyed", guest.title());
        let taints = vec![
            (Resource::NodeGuests(guest.node.clone()).key(), why.clone()),
            (Resource::Storages(guest.node.clone()).key(), why.clone()),
            (Resource::Ha.key(), why.clone()),
            (all_placements(), why),
        ];
        Prediction { deltas, taints, outputs }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let guest: Guest = look::before(before).ok()?;
        let list = format!("pvesh get /nodes/{}/{}", seg(&guest.node), guest.kind);
        Some(typed::check(&list, &format!("no {}", guest.vmid)))
    }

    fn remedy(&self, cause: &str) -> Option<String> {
        let linked = cause.contains("still in use by linked clone");
        linked.then(|| "clones rest on this template: delete them, or copy their disks, first".to_owned())
    }
}
