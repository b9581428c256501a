//! `proxmox.ha_resource`: gives a guest to the HA manager, changes what is asked of it there, or takes it away.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Guest, SiteInfo};
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, loose, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// What may be asked of a guest; `failback` from 9 on, `group` before.
const KEYS: [&str; 6] = ["state", "max_restart", "max_relocate", "failback", "group", "comment"];

/// The act.
pub struct HaResource {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    guest: Guest,
    /// As texts; nothing where HA does not know the guest.
    now: Option<Map<String, Value>>,
    nine: bool,
}

impl HaResource {
    pub fn new(timing: Timing) -> Self {
        let count = |name, help: &str| Param { min: Some(0.0), ..Param::new(name, ValueType::Int).help(help) };
        let states = ["started", "stopped", "disabled", "ignored"];
        let spec =
            ActionSpec::new("proxmox.ha_resource", Effect::Change, "Give a guest to the HA manager, or take it away")
                .param(Param::new("guest", ValueType::Guest).required().help("The guest"))
                .param(
                    Param::new("managed", ValueType::Bool)
                        .default_value(true)
                        .help("false takes it from the HA manager"),
                )
                .param(
                    Param::new("state", ValueType::String)
                        .choices(&states)
                        .help("What the HA manager is to bring about"),
                )
                .param(count("max_restart", "Restarts on its node after a failure"))
                .param(count("max_relocate", "Moves to another node after that"))
                .param(
                    Param::new("failback", ValueType::Bool)
                        .help("Whether it goes back to its preferred node; from 9 on"),
                )
                .param(
                    Param::new("group", ValueType::String)
                        .help("Of nodes; before 9, where rules have taken their place"),
                )
                .param(Param::new("comment", ValueType::String).help("For people"))
                .output("sid", ValueType::String, "vm:104")
                .output("managed", ValueType::Bool, "Whether the HA manager knows it")
                .needs_privilege("VM.Audit on /vms/{guest}")
                .needs_privilege("Sys.Audit on /")
                .needs_privilege("Sys.Console on /")
                .undoable();
        Self { spec, timing }
    }
}

fn sid(guest: &Guest) -> String {
    format!("{}:{}", guest.kind.ha_prefix(), guest.vmid)
}

fn wanted_managed(call: &Call) -> bool {
    call.get("managed").as_bool() != Some(false)
}

/// What is asked for, as texts.
fn wanted(call: &Call) -> Map<String, Value> {
    let each = KEYS.iter().filter(|name| !call.get(name).is_null());
    each.map(|name| ((*name).to_owned(), json!(loose::plain(call.get(name))))).collect::<Map<_, _>>()
}

/// Whether all that is asked for is so.
fn as_wanted(call: &Call, now: Option<&Map<String, Value>>) -> bool {
    match (wanted_managed(call), now) {
        (false, now) => now.is_none(),
        (true, None) => false,
        (true, Some(now)) => wanted(call).iter().all(|(name, value)| now.get(name) == Some(value)),
    }
}

async fn resource(world: &dyn World, guest: &Guest) -> Result<Option<Map<String, Value>>, Unreadable> {
    let rows = look::api(world, "/cluster/ha/resources".into(), &[]).await?;
    let own = rows.as_array().into_iter().flatten().find(|row| row["sid"] == sid(guest).as_str());
    Ok(own.and_then(Value::as_object).map(|row| {
        let known = row.iter().filter(|(name, value)| KEYS.contains(&name.as_str()) && !value.is_null());
        let mut now: Map<String, Value> =
            known.map(|(name, value)| (name.clone(), json!(loose::plain(value)))).collect();
        // An older word for the same.
        if now.get("state").is_none_or(|state| state == "enabled") {
            now.insert("state".into(), json!("started"));
        }
        now
    }))
}

fn shown(now: Option<&Map<String, Value>>) -> String {
    let text = |map: &Map<String, Value>| {
        map.iter().map(|(name, value)| format!("{name}={}", loose::plain(value))).collect::<Vec<_>>().join(" ")
    };
    now.map_or_else(|| "not HA managed".to_owned(), text)
}

#[async_trait]
impl Act for HaResource {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, call: &Call, before: &Value) -> String {
        let verb = if wanted_managed(call) { "give" } else { "take" };
        let from = if wanted_managed(call) { "to" } else { "from" };
        look::before::<Before>(before)
            .map_or_else(|_| "change HA".into(), |b| format!("{verb} {} {from} the HA manager", b.guest.title()))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let guest = look::guest(world, call.arg("guest")?).await?;
        let site: SiteInfo = look::read(world, Resource::Site).await?;
        let nine = !site.version.starts_with("8.");
        let now = resource(world, &guest).await?;
        let refuse = |cause: &str, remedy: &str| {
            Failure::new(Class::Precondition, format!("change what HA does with {}", guest.title()), cause)
                .remedy(remedy)
        };
        if nine && !call.get("group").is_null() {
            return Err(refuse("Proxmox VE 9 has rules instead of groups", "take `group` off").into());
        }
        if !nine && !call.get("failback").is_null() {
            return Err(refuse("`failback` of a guest is there from Proxmox VE 9 on", "set it on the group").into());
        }
        if !wanted_managed(call) && !wanted(call).is_empty() {
            return Err(refuse(
                "managed=false takes the guest away, so nothing more can be asked of it",
                "give guest alone",
            )
            .into());
        }
        let will = if wanted_managed(call) { shown(Some(&wanted(call))) } else { "not HA managed".into() };
        let summary = format!("{}: {} -> {will}", guest.title(), shown(now.as_ref()));
        let stops = matches!(call.get("state").as_str(), Some("stopped" | "disabled")) && guest.is_running();
        let satisfied = as_wanted(call, now.as_ref());
        let mut probe = Probe::new(summary, json!(Before { guest: guest.clone(), now, nine }));
        probe.identities = vec![look::identity(&guest)];
        probe.satisfied = satisfied;
        if stops && !satisfied {
            probe.effect = Some(Effect::Disrupt);
            probe.notes.push(format!("the HA manager stops {}", guest.title()));
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let Before { guest, now, nine } = look::before(before)?;
        let (sid, all) = (sid(&guest), "/cluster/ha/resources");
        let one = format!("{all}/{}", seg(&sid));
        let asked =
            |params: Params| wanted(call).iter().fold(params, |p, (name, value)| p.set(name, loose::plain(value)));
        Ok(match (wanted_managed(call), now) {
            (true, None) => Request::at_once(Verb::Post, all.into(), asked(Params::new().set("sid", sid))),
            (true, Some(_)) => Request::at_once(Verb::Put, one, asked(Params::new())),
            // Rules keep naming it, so that it can be given back.
            (false, _) if nine => Request::at_once(Verb::Delete, one, Params::new().flag("purge", false)),
            (false, _) => Request::at_once(Verb::Delete, one, Params::new()),
        })
    }

    async fn judge(&self, call: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let Before { guest, now: was, .. } = look::before(before)?;
        let now = resource(world, &guest).await.map_err(look::settled)?;
        let outputs = as_wanted(call, now.as_ref()).then(|| json!({"sid": sid(&guest), "managed": now.is_some()}));
        let is = format!("{}: {}", guest.title(), shown(now.as_ref()));
        Ok(Seen::compared(outputs, now == was, is))
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(Before { guest, now, .. }) = look::before(&before.before) else { return Prediction::default() };
        let managed = wanted_managed(call);
        let outputs = [("sid".to_owned(), json!(sid(&guest))), ("managed".to_owned(), json!(managed))].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let was = now.as_ref().and_then(|now| now.get("state")).cloned();
        let state = call.get("state").as_str().map(|state| json!(state)).or(was.clone()).unwrap_or(json!("started"));
        let patch = match (managed, was) {
            (false, _) => json!({"ha_state": null, "ha_service": null}),
            (true, Some(was)) if was == state => json!({}),
            (true, _) => json!({"ha_state": state, "ha_service": null}),
        };
        let why = format!("{} changes what HA does with {}", call.path, guest.title());
        Prediction {
            deltas: vec![Delta { resource: Resource::Guest(guest.vmid).key(), patch }],
            taints: vec![
                (Resource::Guest(guest.vmid).key(), why.clone()),
                (Resource::Ha.key(), why.clone()),
                ("proxmox/api/cluster/ha".into(), why.clone()),
                (all_placements(), why),
            ],
            outputs,
        }
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let Before { guest, now, .. } = look::before(before).ok()?;
        let mut with = json!({"guest": guest.vmid, "managed": now.is_some()});
        for (name, value) in now.into_iter().flatten() {
            let text = loose::plain(&value);
            with[name.as_str()] = match name.as_str() {
                "max_restart" | "max_relocate" => text.parse::<u64>().map_or(Value::Null, Value::from),
                "failback" => json!(text == "1"),
                _ => json!(text),
            };
        }
        Some(Invocation { uses: "proxmox.ha_resource".into(), with })
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        let Before { guest, now, .. } = look::before(&before.before).ok()?;
        Some(format!("{}: {} again", guest.title(), shown(now.as_ref())))
    }

    fn check(&self, call: &Call, _: &Value) -> Option<String> {
        let will = if wanted_managed(call) { "it is listed" } else { "it is not listed" };
        Some(typed::check(&typed::call(Verb::Get, "/cluster/ha/resources", &Params::new()), will))
    }
}
