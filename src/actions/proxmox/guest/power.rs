//! What switching a guest on and off has in common: the request, what stands in the way, what will be different.

use std::time::Duration;

use serde_json::{Value, json};

use crate::actions::proxmox::act::{Request, Seen};
use crate::actions::proxmox::look::{self, live};
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::GuestKind;
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Predicate};

/// An action on one guest that needs the right to switch it.
pub(super) fn spec(name: &str, effect: Effect, title: &str) -> ActionSpec {
    ActionSpec::new(name, effect, title)
        .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
        .output("vmid", ValueType::Vmid, "The guest")
        .output("node", ValueType::Node, "Where it is")
        .needs_privilege("VM.Audit on /vms/{guest}")
        .needs_privilege("VM.PowerMgmt on /vms/{guest}")
}

/// `start VM 104 (web) on pve2`
pub(super) fn attempted(verb: &str, before: &Value) -> String {
    look::before::<Guest>(before)
        .map_or_else(|_| format!("{verb} a guest"), |guest| format!("{verb} {} on {}", guest.title(), guest.node))
}

pub(super) fn outputs(guest: &Guest) -> Value {
    json!({"vmid": guest.vmid, "node": guest.node})
}

/// That nobody else works on it; `but`: a lock that is not in the way.
pub(super) fn unlocked(verb: &str, guest: &Guest, but: Option<&str>) -> Result<(), Failure> {
    match guest.lock.as_deref().filter(|lock| Some(*lock) != but) {
        None => Ok(()),
        Some(lock) => {
            let cause = format!("{} is locked ({lock})", guest.title());
            let failure = Failure::new(Class::Locked, format!("{verb} {}", guest.title()), cause);
            Err(failure.remedy(format!("wait until the {lock} has ended")))
        }
    }
}

/// That it is no guest of the HA manager, which would undo what is done.
pub(super) fn not_of_ha(verb: &str, guest: &Guest) -> Result<(), Failure> {
    if !guest.is_owned_by_ha() {
        return Ok(());
    }
    let cause = format!("the HA manager owns {}: it would start it again or only be asked", guest.title());
    let failure = Failure::new(Class::Precondition, format!("{verb} {}", guest.title()), cause);
    Err(failure.remedy("set its HA state to stopped, or to ignored first"))
}

/// That the words fit the guest.
pub(super) fn impossible(verb: &str, guest: &Guest, cause: impl Into<String>, remedy: &str) -> Failure {
    Failure::new(Class::Precondition, format!("{verb} {}", guest.title()), cause.into()).remedy(remedy)
}

/// A probe of the guest; `status` is guarded.
pub(super) fn probe(guest: &Guest, summary: String) -> Probe {
    let mut probe = Probe::new(summary, json!(guest));
    probe.identities = vec![look::identity(guest)];
    let (at, text) = (Resource::Guest(guest.vmid), format!("{} is {}", guest.title(), guest.status));
    probe.guards = vec![look::guard(text, at, "/status", Predicate::Equals, json!(guest.status))];
    probe
}

/// Nothing has to be done.
pub(super) fn satisfied(guest: &Guest, summary: String) -> Probe {
    let probe = probe(guest, summary);
    Probe { satisfied: true, guards: Vec::new(), ..probe }
}

/// `POST …/status/VERB`
pub(super) fn request(guest: &Guest, verb: &str, params: Params, kinds: &'static [&'static str]) -> Request {
    let path = format!("/nodes/{}/{}/{}/status/{verb}", seg(&guest.node), guest.kind, guest.vmid);
    Request::about_guest(&guest.node, guest.vmid, path, params, kinds)
}

/// Whole seconds of a duration parameter.
pub(super) fn seconds(call: &Call, name: &str) -> Option<u64> {
    look::duration(call.get(name)).map(|time| Duration::as_secs(&time))
}

/// The guest as it is now, or why it is not the one that it was.
pub(super) async fn now(before: &Guest, world: &dyn World) -> Result<Result<Guest, Seen>, Failure> {
    Ok(match live::<Option<Guest>>(world, Resource::Guest(before.vmid)).await? {
        None => Err(Seen::Strange(format!("{} is on no node", before.title()))),
        Some(now) if !now.is_same_as(before) => {
            Err(Seen::Strange(format!("{} is another guest now: {}", before.vmid, now.title())))
        }
        Some(now) => Ok(now),
    })
}

/// What is seen of a guest that should be unlocked and as `wanted` says.
pub(super) fn seen(guest: &Guest, wanted: bool) -> Seen {
    let is = guest.qmpstatus.as_deref().filter(|_| guest.is_running()).unwrap_or(&guest.status);
    let is = format!("{} is {is} on {}", guest.title(), guest.node);
    match (&guest.lock, wanted) {
        (None, true) => Seen::Done(outputs(guest)),
        (Some(lock), true) => Seen::Partial(format!("{is} and locked ({lock})")),
        (_, false) => Seen::Untouched(is),
    }
}

/// What will be different of a guest: its own fields, and what follows for its node.
pub(super) fn predict(probe: &Probe, why: &str, patch: impl FnOnce(&Guest) -> Value) -> Prediction {
    let Ok(guest) = look::before::<Guest>(&probe.before) else { return Prediction::default() };
    let outputs = [("vmid".to_owned(), json!(guest.vmid)), ("node".to_owned(), json!(guest.node))].into();
    if probe.satisfied {
        return Prediction { outputs, ..Prediction::default() };
    }
    let patch = patch(&guest);
    let mut deltas = vec![Delta { resource: Resource::Guest(guest.vmid).key(), patch: patch.clone() }];
    if let Some(status) = patch.get("status") {
        let id = guest.vmid.to_string();
        deltas.push(Delta { resource: Resource::Guests.key(), patch: json!({id: {"status": status}}) });
    }
    let why = format!("{} {why}", guest.title());
    let taints = vec![
        (Resource::GuestState(guest.vmid).key(), why.clone()),
        (Resource::NodeMemory(guest.node.clone()).key(), why.clone()),
        (Resource::GuestEvacuation(guest.vmid).key(), why.clone()),
        (all_placements(), why),
    ];
    Prediction { deltas, taints, outputs }
}

/// The state `status`, in the words of each kind.
pub(super) fn state(guest: &Guest, status: &str, qmpstatus: &str) -> Value {
    match guest.kind {
        GuestKind::Qemu => json!({"status": status, "qmpstatus": qmpstatus}),
        GuestKind::Lxc => json!({"status": status}),
    }
}

/// The inverse: another action on the same guest.
pub(super) fn undo(before: &Value, uses: &str, with: Value) -> Option<Invocation> {
    let guest: Guest = look::before(before).ok()?;
    let mut with = with;
    with["guest"] = json!(guest.vmid);
    Some(Invocation { uses: uses.into(), with })
}

/// `shut VM 104 (web) down`, of `shut {} down`.
pub(super) fn undo_summary(probe: &Probe, words: &str) -> Option<String> {
    let guest: Guest = look::before(&probe.before).ok()?;
    Some(words.replace("{}", &guest.title()))
}

pub(super) fn check(before: &Value, wanted: &str) -> Option<String> {
    let guest: Guest = look::before(before).ok()?;
    Some(typed::check_guest(&guest.node, guest.kind, guest.vmid, wanted))
}
