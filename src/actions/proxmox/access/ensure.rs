//! The way that a user, a role and an entry of the access control list are all made so: there with these fields, or not
//! there. What each of them is, its [`Kind`] says.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

pub type Fields = Map<String, Value>;
/// All of a kind, by what each is called.
pub type All = BTreeMap<String, Fields>;

/// What there is to ensure.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// With its parameters, without `state`.
    fn spec() -> ActionSpec;

    /// The map that has it.
    fn resource() -> Resource;

    /// Where a person sees them all.
    fn listed_at() -> &'static str;

    /// What it is called in that map.
    ///
    /// # Errors
    /// Parameters that do not fit together.
    fn name(call: &Call) -> Result<String, Failure>;

    fn title(call: &Call) -> String;

    /// The fields that are asked for; others stay as they are.
    fn wanted(call: &Call) -> Fields;

    /// What a step puts out beside the name.
    fn outputs(call: &Call) -> Fields {
        let _ = call;
        Fields::new()
    }

    /// What a new one has where nothing is asked for.
    fn defaults() -> Fields {
        Fields::new()
    }

    /// Why it may not be made so.
    ///
    /// # Errors
    /// A precondition, or what there is cannot be read.
    async fn check(call: &Call, absent: bool, all: &All, world: &dyn World) -> Result<(), Unreadable>;

    /// `now` is what it is at the moment.
    fn request(call: &Call, absent: bool, now: Option<&Fields>) -> Request;

    /// The call that puts it back; nothing where it cannot be made again as it was.
    fn back(call: &Call, was: Option<&Fields>) -> Option<Value>;
}

/// The act.
pub struct Ensure<K> {
    spec: ActionSpec,
    timing: Timing,
    kind: PhantomData<fn() -> K>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    name: String,
    now: Option<Fields>,
}

impl<K: Kind> Ensure<K> {
    pub fn new(timing: Timing) -> Self {
        let state = Param::new("state", ValueType::String).choices(&["present", "absent"]);
        let spec = K::spec()
            .param(state.default_value("present").help("absent takes it away"))
            .output("name", ValueType::String, "What it is called")
            .undoable();
        Self { spec, timing, kind: PhantomData }
    }
}

pub(super) fn is_absent(call: &Call) -> bool {
    call.get("state") == "absent"
}

pub(super) fn refused(attempted: String, cause: impl Into<String>) -> Failure {
    Failure::new(Class::Precondition, attempted, cause)
}

/// A field that was never set is as an empty one.
fn has(now: &Fields, name: &str, value: &Value) -> bool {
    now.get(name).map_or_else(|| value == "", |now| now == value)
}

fn as_wanted<K: Kind>(call: &Call, now: Option<&Fields>) -> bool {
    match (is_absent(call), now) {
        (true, now) => now.is_none(),
        (false, None) => false,
        (false, Some(now)) => K::wanted(call).iter().all(|(name, value)| has(now, name, value)),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "nothing".into(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `expire: 0 -> 5`, or of lists what comes and goes.
fn difference(name: &str, was: Option<&Value>, will: &Value) -> String {
    if let (Some(Value::Array(was)), Value::Array(will)) = (was, will) {
        let gone = was.iter().filter(|item| !will.contains(item)).map(|item| format!("-{}", shown(item)));
        let new = will.iter().filter(|item| !was.contains(item)).map(|item| format!("+{}", shown(item)));
        return format!("{name}: {}", gone.chain(new).collect::<Vec<_>>().join(", "));
    }
    match was {
        Some(was) => format!("{name}: {} -> {}", shown(was), shown(will)),
        None => format!("{name}: {}", shown(will)),
    }
}

fn summary<K: Kind>(call: &Call, now: Option<&Fields>) -> String {
    let title = K::title(call);
    let empty = Fields::new();
    let wanted = K::wanted(call);
    let each = wanted.iter().filter(|(name, value)| !has(now.unwrap_or(&empty), name, value));
    let each: Vec<String> =
        each.map(|(name, value)| difference(name, now.and_then(|now| now.get(name)), value)).collect();
    match (is_absent(call), now) {
        (true, None) => format!("{title}: there is none"),
        (true, Some(_)) => format!("{title}: is taken away"),
        (false, Some(_)) if each.is_empty() => format!("{title}: is so already"),
        (false, Some(_)) => format!("{title}: {}", each.join("; ")),
        (false, None) if each.is_empty() => format!("{title}: is made"),
        (false, None) => format!("{title}: is made with {}", each.join("; ")),
    }
}

fn outputs<K: Kind>(call: &Call, name: &str) -> Fields {
    let mut outputs = K::outputs(call);
    outputs.insert("name".to_owned(), json!(name));
    outputs
}

async fn all<K: Kind>(world: &dyn World) -> Result<All, Unreadable> {
    look::read(world, K::resource()).await
}

#[async_trait]
impl<K: Kind> Act for Ensure<K> {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, call: &Call, _: &Value) -> String {
        let verb = if is_absent(call) { "take away" } else { "make or change" };
        format!("{verb} {}", K::title(call))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (name, mut all) = (K::name(call)?, all::<K>(world).await?);
        let satisfied = as_wanted::<K>(call, all.get(&name));
        if !satisfied {
            K::check(call, is_absent(call), &all, world).await?;
        }
        let now = all.remove(&name);
        let mut probe = Probe::new(summary::<K>(call, now.as_ref()), json!(Before { name, now }));
        probe.satisfied = satisfied;
        if is_absent(call) && !satisfied {
            probe.effect = Some(Effect::Destroy);
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let before: Before = look::before(before)?;
        Ok(K::request(call, is_absent(call), before.now.as_ref()))
    }

    async fn judge(&self, call: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let before: Before = look::before(before)?;
        let all = all::<K>(world).await.map_err(look::settled)?;
        let (now, title) = (all.get(&before.name), K::title(call));
        let is = match now {
            Some(now) => {
                let each = now.iter().map(|(name, value)| format!("{name}: {}", shown(value)));
                format!("{title} is there with {}", each.collect::<Vec<_>>().join("; "))
            }
            None => format!("{title} is not there"),
        };
        let done = as_wanted::<K>(call, now).then(|| Value::Object(outputs::<K>(call, &before.name)));
        Ok(Seen::compared(done, now == before.now.as_ref(), is))
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(Before { name, now }) = look::before(&before.before) else { return Prediction::default() };
        let outputs = outputs::<K>(call, &name).into_iter().collect();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let patch = if is_absent(call) {
            Value::Null
        } else {
            let mut fields = if now.is_some() { Fields::new() } else { K::defaults() };
            let unset = |value: Value| if value == "" { Value::Null } else { value };
            fields.extend(K::wanted(call).into_iter().map(|(name, value)| (name, unset(value))));
            Value::Object(fields)
        };
        let why = format!("{} changes who may do what", call.path);
        Prediction {
            deltas: vec![Delta { resource: K::resource().key(), patch: Map::from_iter([(name, patch)]).into() }],
            taints: vec![
                (Resource::Permissions.key(), why.clone()),
                (ResourceKey::from("proxmox/api/access"), why.clone()),
                (ResourceKey::from("secret"), why),
            ],
            outputs,
        }
    }

    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let before: Before = look::before(before).ok()?;
        let mut with = K::back(call, before.now.as_ref())?;
        with["state"] = json!(if before.now.is_some() { "present" } else { "absent" });
        Some(Invocation { uses: self.spec.name.clone(), with })
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        let before: Before = look::before(&before.before).ok()?;
        K::back(call, before.now.as_ref())?;
        let what = if before.now.is_some() { "is as before again" } else { "is taken away again" };
        Some(format!("{} {what}", K::title(call)))
    }

    fn check(&self, call: &Call, _: &Value) -> Option<String> {
        let wanted = if is_absent(call) { "it is not listed" } else { "it is listed so" };
        Some(typed::check(&typed::call(Verb::Get, K::listed_at(), &Params::new()), wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Acl, Role, User};
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    fn roles() -> FakeWorld {
        let all = ["Sys.Audit", "VM.Audit", "VM.Migrate"];
        let roles = json!({"Administrator": {"privileges": all, "special": true},
            "Own": {"privileges": ["VM.Audit", "VM.Migrate"]}});
        FakeWorld::default()
            .with("proxmox/roles", roles)
            .with("proxmox/acl", json!({"/ user ops@pve Own": {"propagate": true}}))
            .with("proxmox/site", json!({"name": "lab", "version": "9.2.3", "quorate": true, "nodes": ["pve1"]}))
    }

    #[tokio::test]
    async fn a_role_has_exactly_what_is_asked_for_and_is_put_back() {
        let act = Ensure::<Role>::new(Timing::default());
        let with = call(json!({"role": "Own", "privileges": ["VM.Audit", "Sys.Audit"]}));
        let probe = act.look(&with, &roles()).await.unwrap();
        assert_eq!(probe.summary, "role Own: privileges: -VM.Migrate, +Sys.Audit");
        let request = act.request(&with, &probe.before).unwrap();
        assert_eq!((request.verb, request.path.as_str()), (Verb::Put, "/access/roles/Own"));
        assert_eq!(request.params, Params::new().set("privs", "Sys.Audit,VM.Audit"));
        let undo = act.undo(&with, &probe.before, None).unwrap();
        assert_eq!(undo.with, json!({"role": "Own", "privileges": ["VM.Audit", "VM.Migrate"], "state": "present"}));
        let same = call(json!({"role": "Own", "privileges": ["VM.Migrate", "VM.Audit", "VM.Audit"]}));
        assert!(act.look(&same, &roles()).await.unwrap().satisfied);
    }

    #[tokio::test]
    async fn what_a_role_may_not_be_is_said_while_planning() {
        let act = Ensure::<Role>::new(Timing::default());
        let refusal = async |with: Value| act.look(&call(with), &roles()).await.unwrap_err().to_string();
        let old = refusal(json!({"role": "New", "privileges": ["VM.Monitor"]})).await;
        assert!(old.contains("Proxmox VE 9.2.3 has no privilege VM.Monitor"), "{old}");
        assert!(refusal(json!({"role": "pveX"})).await.contains("begin with PVE"));
        assert!(refusal(json!({"role": "Own", "state": "absent"})).await.contains("/ user ops@pve Own"));
    }

    #[tokio::test]
    async fn a_new_user_is_taken_away_again_and_a_changed_one_put_back() {
        let act = Ensure::<User>::new(Timing::default());
        let world = FakeWorld::default().with("proxmox/users", json!({"a@pve": {"enable": true, "expire": 0}}));
        let new = call(json!({"user": "b@pve", "comment": "x"}));
        let probe = act.look(&new, &world).await.unwrap();
        assert_eq!(act.undo(&new, &probe.before, None).unwrap().with, json!({"user": "b@pve", "state": "absent"}));
        let changed = call(json!({"user": "a@pve", "comment": "x", "enable": false}));
        let probe = act.look(&changed, &world).await.unwrap();
        let back = json!({"user": "a@pve", "comment": "", "enable": true, "state": "present"});
        assert_eq!(act.undo(&changed, &probe.before, None).unwrap().with, back);
        assert!(act.look(&call(back), &world).await.unwrap().satisfied);
    }

    #[tokio::test]
    async fn an_entry_is_for_exactly_one() {
        let act = Ensure::<Acl>::new(Timing::default());
        let with = call(json!({"path": "//vms/104/", "role": "Own", "token": "a@pve!x"}));
        let probe = act.look(&with, &roles()).await.unwrap();
        let request = act.request(&with, &probe.before).unwrap();
        let params = [("path", "/vms/104"), ("roles", "Own"), ("tokens", "a@pve!x"), ("propagate", "1")];
        assert_eq!(request.params, params.into_iter().collect::<Params>());
        for both in
            [json!({"path": "/", "role": "Own"}), json!({"path": "/", "role": "Own", "user": "a@pve", "group": "g"})]
        {
            assert!(
                act.look(&call(both), &roles()).await.unwrap_err().to_string().contains("of user, token and group")
            );
        }
    }
}
