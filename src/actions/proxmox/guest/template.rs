//! `proxmox.guest_template`: makes a template of a guest. There is no way back.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look::{self, read};
use crate::actions::proxmox::object::{Guest, Snapshots};
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Predicate};

/// The act.
pub struct GuestTemplate {
    spec: ActionSpec,
    timing: Timing,
}

impl GuestTemplate {
    pub fn new(timing: Timing) -> Self {
        let title = "Make a template of a guest, for good";
        let spec = ActionSpec::new("proxmox.guest_template", Effect::Change, title)
            .param(Param::new("guest", ValueType::Guest).required().help("The guest; stopped, without snapshots"))
            .output("vmid", ValueType::Vmid, "The template")
            .output("node", ValueType::Node, "Where it is")
            .needs_privilege("VM.Audit on /vms/{guest}")
            .needs_privilege("VM.Allocate on /vms/{guest}");
        Self { spec, timing }
    }
}

fn possible(found: &Snapshots) -> Result<(), Failure> {
    let guest = &found.guest;
    let attempted = format!("make a template of {}", guest.title());
    let fail = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
    look::unlocked(guest, &attempted)?;
    if guest.is_running() {
        return Err(fail("it is running".into()).remedy("shut it down first: proxmox.guest_shutdown"));
    }
    if let Some(name) = found.list.keys().next() {
        return Err(fail(format!("it has the snapshot {name}")).remedy("delete its snapshots first"));
    }
    if guest.is_owned_by_ha() {
        return Err(fail("it is a resource of the HA manager".into()).remedy("take it out of HA first"));
    }
    Ok(())
}

#[async_trait]
impl Act for GuestTemplate {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        look::before::<Guest>(before)
            .map_or_else(|_| "make a template".into(), |g| format!("make a template of {} on {}", g.title(), g.node))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let mut probe = Probe::new(format!("{}: make a template of it", guest.title()), json!(guest));
        probe.identities = vec![look::identity(&guest)];
        if guest.template {
            probe.summary = format!("{}: a template already", guest.title());
            probe.satisfied = true;
            return Ok(probe);
        }
        let found: Option<Snapshots> = read(world, Resource::GuestSnapshots(guest.vmid)).await?;
        possible(&found.unwrap_or_else(|| Snapshots { guest: guest.clone(), list: Default::default() }))?;
        probe.notes.push(format!("a template cannot be made a guest again: {} can only be cloned", guest.title()));
        let (at, text) = (Resource::Guest(guest.vmid), format!("{} is stopped", guest.title()));
        probe.guards = vec![look::guard(text, at, "/status", Predicate::Equals, json!("stopped"))];
        Ok(probe)
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let guest: Guest = look::before(before)?;
        let path = format!("/nodes/{}/{}/{}/template", seg(&guest.node), guest.kind, guest.vmid);
        Ok(Request::about_guest(&guest.node, guest.vmid, path, Params::new(), &["qmtemplate", "vztemplate"]))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let now = match look::still(world, &look::before(before)?).await? {
            Ok(now) => now,
            Err(seen) => return Ok(seen),
        };
        // The flag is set first, the volumes are renamed after it.
        let plain = now.volumes().find(|(_, volid)| !volid.contains("base") && !volid.contains("-cloudinit"));
        Ok(match (now.template, plain, &now.lock) {
            (false, ..) => Seen::Untouched(format!("{} is no template", now.title())),
            (true, None, None) => Seen::Done(json!({"vmid": now.vmid, "node": now.node})),
            (true, Some((_, volid)), _) => Seen::Partial(format!("{} is a template, its {volid} no base", now.title())),
            (true, None, Some(lock)) => Seen::Partial(format!("{} is a template and locked ({lock})", now.title())),
        })
    }

    fn predict(&self, _: &Call, before: &Probe) -> Prediction {
        let Ok(guest) = look::before::<Guest>(&before.before) else { return Prediction::default() };
        let outputs = [("vmid".to_owned(), json!(guest.vmid)), ("node".to_owned(), json!(guest.node))].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let (id, why) = (guest.vmid.to_string(), format!("{} becomes a template", guest.title()));
        let mut patch = json!({"template": true});
        if guest.volumes().next().is_some() {
            patch["volumes"] = Value::Null;
        }
        let deltas = vec![
            Delta { resource: Resource::Guest(guest.vmid).key(), patch },
            Delta { resource: Resource::Guests.key(), patch: json!({id: {"template": true}}) },
        ];
        // Its volumes have other names then.
        let taints = vec![(Resource::Guest(guest.vmid).key(), why.clone()), (all_placements(), why)];
        Prediction { deltas, taints, outputs }
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let guest: Guest = look::before(before).ok()?;
        let path = format!("pvesh get /nodes/{}/{}/{}/config", seg(&guest.node), guest.kind, guest.vmid);
        Some(typed::check(&path, "template: 1"))
    }
}
