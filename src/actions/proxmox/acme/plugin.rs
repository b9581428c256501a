//! `proxmox.acme_plugin`: how the cluster proves to an authority that a name is its own, by an entry in the DNS. What it logs
//! in to the provider with comes from a store of secrets and is only ever in the request that sends it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{is_absent, refused, state, text, texts, uses};
use crate::actions::deps::Timing;
use crate::actions::proxmox::access::{acme_key, plugin_data};
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::keeper::Keeper;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Mutate, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

const LISTED: &str = "/cluster/acme/plugins";
/// Fields that are shown, and what each is called in a request.
const FIELDS: [(&str, &str); 3] = [("api", "api"), ("nodes", "nodes"), ("validation_delay", "validation-delay")];

/// The act.
pub struct AcmePlugin {
    spec: ActionSpec,
    timing: Timing,
}

type Fields = Map<String, Value>;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    now: Option<Fields>,
    /// Of the data, where some is given: names alone, and whether it is there so.
    data: Option<Data>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Data {
    names: Vec<String>,
    same: bool,
}

impl AcmePlugin {
    pub fn new(timing: Timing) -> Self {
        let own = |name, ty| Param::new(name, ty);
        let title = "Make or change a DNS plugin for ACME challenges";
        let spec = ActionSpec::new("proxmox.acme_plugin", Effect::Change, title)
            .param(Param {
                pattern: Some("[A-Za-z][A-Za-z0-9_-]+".into()),
                ..own("id", ValueType::String).required().help("What it is called here")
            })
            .param(own("api", ValueType::String).help("The DNS provider as Proxmox VE calls it: cf, hetzner, aws"))
            .param(
                own("data", ValueType::Secret)
                    .help("Where the lines NAME=VALUE are that the provider is logged in to with; shown nowhere"),
            )
            .param(own("nodes", ValueType::List).items(ValueType::Node).help("Only for these nodes"))
            .param(Param {
                min: Some(0.0),
                max: Some(172_800.0),
                ..own("validation_delay", ValueType::Int)
                    .help("Seconds from the entry to the check; 30 where nothing is said")
            })
            .param(state())
            .output("id", ValueType::String, "What it is called")
            .needs_privilege("Sys.Modify on /")
            .needs_privilege("Sys.Audit on / (state: absent)")
            .undoable();
        Self { spec, timing }
    }
}

/// The fields that are asked for; others stay as they are.
fn wanted(call: &Call) -> Fields {
    let given = FIELDS.iter().filter(|(name, _)| !call.get(name).is_null());
    given.map(|(name, _)| ((*name).to_owned(), call.get(name).clone())).collect()
}

/// The server's own, where nothing is said.
const DELAY: u64 = 30;

/// A list of nodes that is empty is as one that was never given, and a delay is what the server makes of none.
fn has(now: &Fields, name: &str, value: &Value) -> bool {
    match now.get(name) {
        Some(now) => now == value,
        None if name == "validation_delay" => *value == DELAY,
        None => value.as_array().is_some_and(Vec::is_empty),
    }
}

fn as_wanted(call: &Call, now: Option<&Fields>, data: Option<&Data>) -> bool {
    match (is_absent(call), now) {
        (true, now) => now.is_none(),
        (false, None) => false,
        (false, Some(now)) => {
            wanted(call).iter().all(|(name, value)| has(now, name, value)) && data.is_none_or(|data| data.same)
        }
    }
}

async fn before(call: &Call, world: &dyn World) -> Result<Before, Unreadable> {
    let mut all: BTreeMap<String, Fields> = look::read(world, Resource::AcmePlugins).await?;
    let now = all.remove(text(call, "id"));
    let data = match call.get("data").as_str() {
        Some(reference) if !is_absent(call) => {
            let key = acme_key(reference, text(call, "id"));
            let value = world.read(&key).await?.known(&format!("what is under {reference}"))?;
            Some(look::before(&value)?)
        }
        _ => None,
    };
    Ok(Before { now, data })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) if texts(value).is_empty() => "all".into(),
        Value::Array(_) => texts(value).join(", "),
        Value::String(text) => text.clone(),
        Value::Null => "(none)".into(),
        other => other.to_string(),
    }
}

fn summary(call: &Call, before: &Before) -> String {
    let title = format!("ACME plugin {}", text(call, "id"));
    let empty = Fields::new();
    let now = before.now.as_ref().unwrap_or(&empty);
    let wanted = wanted(call);
    let changed =
        wanted.iter().filter(|(name, value)| !has(now, name, value)).map(|(name, value)| match now.get(name) {
            Some(was) => format!("{name}: {} -> {}", shown(was), shown(value)),
            None => format!("{name}: {}", shown(value)),
        });
    let data = before.data.as_ref().filter(|data| !data.same);
    let data = data.map(|data| format!("data: {} from {}", data.names.join(", "), text(call, "data")));
    let each: Vec<String> = changed.chain(data).collect();
    match (is_absent(call), before.now.is_some()) {
        (true, false) => format!("{title}: there is none"),
        (true, true) => format!("{title}: is taken away, with its data"),
        (false, true) if each.is_empty() => format!("{title}: is so already"),
        (false, true) => format!("{title}: {}", each.join("; ")),
        (false, false) => format!("{title}: is made with {}", each.join("; ")),
    }
}

async fn check(call: &Call, before: &Before, world: &dyn World) -> Result<(), Unreadable> {
    let id = text(call, "id");
    let attempted = format!("make or change ACME plugin {id}");
    if id == "standalone" || before.now.as_ref().is_some_and(|now| now.get("type") == Some(&json!("standalone"))) {
        return Err(refused(attempted, format!("{id} is the built-in plugin for checks over HTTP")).into());
    }
    if is_absent(call) {
        let used = uses::user(world, |lines| lines.all().iter().any(|domain| domain.plugin == id)).await?;
        let cause =
            |node| refused(format!("take away ACME plugin {id}"), format!("{node} has names that are checked by it"));
        return used.map_or(Ok(()), |node| {
            Err(cause(node).remedy("give those another one first (proxmox.acme_domains)").into())
        });
    }
    match before.now.is_none() && text(call, "api").is_empty() {
        true => {
            Err(refused(attempted, "there is no such plugin, and no api to make one with").remedy("give api").into())
        }
        false => Ok(()),
    }
}

fn params(call: &Call) -> Params {
    let wanted = wanted(call);
    FIELDS.iter().fold(Params::new(), |params, (name, word)| match wanted.get(*name) {
        Some(Value::Array(_)) if texts(&wanted[*name]).is_empty() => params,
        Some(list @ Value::Array(_)) => params.set(*word, texts(list).join(",")),
        Some(Value::String(text)) => params.set(*word, text),
        Some(value) => params.set(*word, value),
        None => params,
    })
}

#[async_trait]
impl Act for AcmePlugin {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, call: &Call, _: &Value) -> String {
        let verb = if is_absent(call) { "take away" } else { "make or change" };
        format!("{verb} ACME plugin {}", text(call, "id"))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let before = before(call, world).await?;
        let satisfied = as_wanted(call, before.now.as_ref(), before.data.as_ref());
        if !satisfied {
            check(call, &before, world).await?;
        }
        let mut probe = Probe::new(summary(call, &before), json!(before));
        probe.satisfied = satisfied;
        // What data it has is nowhere else.
        let writes_over = before.now.as_ref().is_some_and(|now| now.get("has_data") == Some(&json!(true)))
            && before.data.as_ref().is_some_and(|data| !data.same);
        if (is_absent(call) || writes_over) && !satisfied {
            probe.effect = Some(Effect::Destroy);
        }
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let before: Before = look::before(before)?;
        let one = format!("{LISTED}/{}", seg(text(call, "id")));
        let all_nodes = call.get("nodes").as_array().is_some_and(Vec::is_empty);
        Ok(match (is_absent(call), before.now) {
            (true, _) => Request::at_once(Verb::Delete, one, Params::new()),
            (false, Some(now)) => {
                let delete = (all_nodes && now.contains_key("nodes")).then_some("nodes");
                Request::at_once(Verb::Put, one, params(call).opt("delete", delete))
            }
            (false, None) => {
                let params = params(call).set("id", text(call, "id")).set("type", "dns");
                Request::at_once(Verb::Post, LISTED.into(), params)
            }
        })
    }

    async fn complete(
        &self,
        call: &Call,
        before: &Value,
        request: Request,
        mutate: &Mutate,
    ) -> Result<Request, Failure> {
        let before: Before = look::before(before)?;
        let (Some(reference), Some(Data { same: false, .. })) = (call.get("data").as_str(), before.data) else {
            return Ok(request);
        };
        let failed = |why: String| refused(self.attempted(call, &Value::Null), format!("{reference}: {why}"));
        let keeper = mutate.client::<Keeper>()?;
        let whole = keeper.text(reference).await.map_err(failed)?;
        let (_, data) = plugin_data(&whole).map_err(failed)?;
        let encoded = STANDARD.encode(data.expose_secret());
        keeper.conceal(&encoded.clone().into());
        Ok(Request { params: request.params.set("data", encoded), ..request })
    }

    async fn judge(&self, call: &Call, was: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let (was, is): (Before, Before) = (look::before(was)?, before(call, world).await.map_err(look::settled)?);
        let said = match &is.now {
            Some(now) => format!("ACME plugin {} is there with api: {}", text(call, "id"), shown(&now["api"])),
            None => format!("ACME plugin {} is not there", text(call, "id")),
        };
        let same_data = |a: &Option<Data>, b: &Option<Data>| a.as_ref().map(|d| d.same) == b.as_ref().map(|d| d.same);
        Ok(if as_wanted(call, is.now.as_ref(), is.data.as_ref()) {
            Seen::Done(json!({"id": text(call, "id")}))
        } else if is.now == was.now && same_data(&is.data, &was.data) {
            Seen::Untouched(said)
        } else {
            Seen::Strange(format!("neither as before nor as asked for: {said}"))
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(of) = look::before::<Before>(&before.before) else { return Prediction::default() };
        let id = text(call, "id");
        let outputs = [("id".to_owned(), json!(id))].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let patch = if is_absent(call) {
            Value::Null
        } else {
            let mut fields = wanted(call);
            if fields.get("nodes").is_some_and(|nodes| texts(nodes).is_empty()) {
                fields.insert("nodes".into(), Value::Null);
            }
            if of.data.is_some() || of.now.is_none() {
                fields.insert("has_data".into(), json!(of.data.is_some()));
            }
            if of.now.is_none() {
                fields.insert("type".into(), json!("dns"));
            }
            fields.into()
        };
        let patch = Map::from_iter([(id.to_owned(), patch)]).into();
        let mut deltas = vec![Delta { resource: Resource::AcmePlugins.key(), patch }];
        if let (Some(reference), Some(data)) = (call.get("data").as_str(), of.data) {
            let patch = json!({"names": data.names, "same": true});
            deltas.push(Delta { resource: acme_key(reference, id), patch });
        }
        let why = format!("{} changes ACME plugin {id}", call.path);
        Prediction { deltas, taints: vec![("proxmox/api/cluster/acme".into(), why)], outputs }
    }

    /// The data that it had is nowhere kept, so what is written over or taken away does not come back.
    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let Before { now, data } = look::before(before).ok()?;
        let uses = self.spec.name.clone();
        let Some(now) = now else {
            return Some(Invocation { uses, with: json!({"id": text(call, "id"), "state": "absent"}) });
        };
        if is_absent(call) || data.is_some_and(|data| !data.same) {
            return None;
        }
        let mut with = json!({"id": text(call, "id"), "state": "present"});
        for name in wanted(call).keys() {
            let unset = if name == "nodes" { json!([]) } else { json!(DELAY) };
            with[name.as_str()] = now.get(name).cloned().unwrap_or(unset);
        }
        Some(Invocation { uses, with })
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        self.undo(call, &before.before, None)?;
        let there = !before.before["now"].is_null();
        let what = if there { "is as before again" } else { "is taken away again" };
        Some(format!("ACME plugin {} {what}", text(call, "id")))
    }

    fn check(&self, call: &Call, before: &Value) -> Option<String> {
        let before: Before = look::before(before).ok()?;
        let wanted =
            if is_absent(call) { "it is not listed" } else { "it is listed so; its data is shown in the clear" };
        let listed = typed::check(&typed::call(Verb::Get, LISTED, &Params::new()), wanted);
        let missing = before.data.is_some_and(|data| !data.same);
        // A command line is no place for it: other users of the machine see it.
        let data = format!("# its data is missing: pvenode acme plugin set {} --data FILE", text(call, "id"));
        Some(if missing { format!("{data}\n{listed}") } else { listed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};
    use crate::contracts::{VERSIONS, check_call};

    const DATA: &str = "secret/pass%3Alab%2Fdns/acme/dns";

    fn world(plugins: Value, same: bool) -> FakeWorld {
        FakeWorld::default()
            .with("proxmox/acme/plugins", plugins)
            .with(DATA, json!({"names": ["CF_Token"], "same": same}))
            .with("proxmox/nodes", json!({"pve1": crate::actions::proxmox::testing::node("pve1")}))
            .with("proxmox/node/pve1/config", json!({"values": {"acmedomain0": "pve1.example.org,plugin=dns"}}))
    }

    fn there() -> Value {
        json!({"dns": {"type": "dns", "api": "cf", "has_data": true, "nodes": ["pve1"]}})
    }

    fn act() -> AcmePlugin {
        AcmePlugin::new(Timing::default())
    }

    #[tokio::test]
    async fn a_new_one_is_made_without_its_data_in_sight_and_taken_away_again() {
        let with = call(json!({"id": "dns", "api": "cf", "data": "pass:lab/dns", "validation_delay": 60}));
        let probe = act().look(&with, &world(json!({}), false)).await.unwrap();
        assert_eq!(
            probe.summary,
            "ACME plugin dns: is made with api: cf; validation_delay: 60; data: CF_Token from pass:lab/dns"
        );
        let request = act().request(&with, &probe.before).unwrap();
        let params = [("api", "cf"), ("validation-delay", "60"), ("id", "dns"), ("type", "dns")];
        assert_eq!((request.verb, request.params), (Verb::Post, params.into_iter().collect::<Params>()));
        let undo = act().undo(&with, &probe.before, None).unwrap();
        assert_eq!(undo.with, json!({"id": "dns", "state": "absent"}));
        let check = act().check(&with, &probe.before).unwrap();
        assert!(check.starts_with("# its data is missing: pvenode acme plugin set dns --data FILE\n"), "{check}");
    }

    #[test]
    fn the_providers_that_are_named_are_known_to_every_version() {
        let spec = act().spec;
        let api = spec.params.iter().find(|param| param.name == "api").unwrap();
        let (_, names) = api.help.as_deref().unwrap().rsplit_once(": ").unwrap();
        assert!(names.split(", ").count() > 2, "{names}");
        for (version, name) in
            VERSIONS.into_iter().flat_map(|version| names.split(", ").map(move |name| (version, name)))
        {
            let params = [("id", "dns"), ("type", "dns"), ("api", name)].map(|(k, v)| (k.to_owned(), v.to_owned()));
            check_call(version, Verb::Post, LISTED, &params.into()).unwrap();
        }
    }

    #[tokio::test]
    async fn data_that_is_written_over_comes_back_by_nothing() {
        let with = call(json!({"id": "dns", "data": "pass:lab/dns", "validation_delay": 30}));
        let probe = act().look(&with, &world(there(), false)).await.unwrap();
        assert_eq!((probe.effect, act().undo(&with, &probe.before, None)), (Some(Effect::Destroy), None));
        assert!(act().look(&with, &world(there(), true)).await.unwrap().satisfied);
        let fields = call(json!({"id": "dns", "nodes": []}));
        let probe = act().look(&fields, &world(there(), false)).await.unwrap();
        let request = act().request(&fields, &probe.before).unwrap();
        assert_eq!((request.verb, request.params), (Verb::Put, Params::new().set("delete", "nodes")));
        assert_eq!(act().undo(&fields, &probe.before, None).unwrap().with["nodes"], json!(["pve1"]));
    }

    #[tokio::test]
    async fn one_that_is_used_is_not_taken_away() {
        let refusal =
            async |with: Value| act().look(&call(with), &world(there(), false)).await.unwrap_err().to_string();
        assert!(
            refusal(json!({"id": "dns", "state": "absent"})).await.contains("pve1 has names that are checked by it")
        );
        assert!(refusal(json!({"id": "new"})).await.contains("no api to make one with"));
        assert!(refusal(json!({"id": "standalone", "api": "cf"})).await.contains("built-in plugin"));
    }
}
