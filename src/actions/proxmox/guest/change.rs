//! What changes of a guest's configuration have in common: they are made from what was read, and sent with its digest.

use serde_json::{Map, Value, json};

use super::power;
use crate::actions::proxmox::act::{Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Guest;
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Prediction, Probe, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::param::{Param, ValueType};
use crate::model::shell;
use crate::model::world::Delta;

/// An action on one guest's configuration.
pub(super) fn spec(name: &str, title: &str, privilege: &str) -> ActionSpec {
    ActionSpec::new(name, Effect::Change, title)
        .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
        .output("vmid", ValueType::Vmid, "The guest")
        .needs_privilege("VM.Audit on /vms/{guest}")
        .needs_privilege(privilege)
}

/// `PUT …/config`
pub(super) fn request(guest: &Guest, digest: Option<&str>, params: Params) -> Request {
    let path = format!("/nodes/{}/{}/{}/config", seg(&guest.node), guest.kind, guest.vmid);
    Request::at_once(Verb::Put, path, params.opt("digest", digest))
}

/// What is seen of a guest of which `wanted` of `all` are as they should be.
pub(super) fn seen(outputs: impl FnOnce() -> Value, right: usize, all: usize, is: String) -> Seen {
    match right {
        n if n == all => Seen::Done(outputs()),
        0 => Seen::Untouched(is),
        _ => Seen::Partial(is),
    }
}

/// The guest as it is now, or why it is not the one that it was.
pub(super) async fn now(before: &Value, world: &dyn World) -> Result<Result<Guest, Seen>, Failure> {
    power::now(&look::before(before)?, world).await
}

/// What will be different: of the guest's fields, and of its configuration's lines (null: gone).
pub(super) fn predict(
    probe: &Probe,
    outputs: Value,
    patch: Map<String, Value>,
    lines: Map<String, Value>,
    pending: Map<String, Value>,
) -> Prediction {
    let Ok(guest) = look::before::<Guest>(&probe.before) else { return Prediction::default() };
    let outputs = outputs.as_object().cloned().unwrap_or_default().into_iter().collect();
    if probe.satisfied {
        return Prediction { outputs, ..Prediction::default() };
    }
    let mut own = patch;
    own.insert("digest".to_owned(), Value::Null);
    let config = json!({"digest": null, "values": lines, "pending": pending});
    let deltas = vec![
        Delta { resource: Resource::Guest(guest.vmid).key(), patch: Value::Object(own) },
        Delta { resource: Resource::GuestConfig(guest.vmid).key(), patch: config },
    ];
    let why = format!("the configuration of {} changes", guest.title());
    let taints = vec![(Resource::GuestEvacuation(guest.vmid).key(), why.clone()), (all_placements(), why)];
    Prediction { deltas, taints, outputs }
}

pub(super) fn check(before: &Value, wanted: &str) -> Option<String> {
    let guest: Guest = look::before(before).ok()?;
    let path = format!("/nodes/{}/{}/{}/config", seg(&guest.node), guest.kind, guest.vmid);
    Some(typed::check(&shell::line(["pvesh", "get", &path]), wanted))
}

/// What to do where somebody else was faster.
pub(super) fn remedy(cause: &str) -> Option<String> {
    let changed = cause.contains("by other user?");
    changed.then(|| "somebody changed its configuration in between: look at it and run again".into())
}
