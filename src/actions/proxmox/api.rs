//! `proxmox.api`: any call of the official API, for what has no action of its own. Nothing is known of what it changes,
//! so nothing is foreseen, undone or found out afterwards: an answer that was lost leaves it in doubt.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::act::{Act, Ends, Request, Seen};
use super::look::{self, live};
use super::object::{SiteInfo, Task};
use super::resource::Resource;
use crate::actions::deps::Timing;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::contracts::{Schema, check_call, secret_in};
use crate::engine::ports::{Call, Prediction, Probe, Reading, Unreadable, World};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{ResourceKey, Upid};
use crate::model::param::{Param, ValueType};

/// By the method's name in a file.
const EFFECTS: [(&str, Effect); 4] =
    [("get", Effect::Read), ("post", Effect::Change), ("put", Effect::Change), ("delete", Effect::Destroy)];

/// The act.
pub struct ApiCall {
    spec: ActionSpec,
    timing: Timing,
}

impl ApiCall {
    pub fn new(timing: Timing) -> Self {
        let method = Param::new("method", ValueType::String).required().choices(&["get", "post", "put", "delete"]);
        let spec = ActionSpec::new("proxmox.api", Effect::Destroy, "Make any call of the Proxmox VE API")
            .effect_by("method", &EFFECTS)
            .param(method.help("get reads; post and put change; delete destroys"))
            .param(
                Param::new("path", ValueType::String)
                    .required()
                    .help("As the API viewer has it, without /api2/json: /nodes/pve1/qemu/104/config"),
            )
            .param(Param::new("params", ValueType::Map).help("What is null is left out; never a secret"))
            .output("data", ValueType::Any, "What it answers")
            .output("upid", ValueType::String, "Its task, if it has started one; it has ended well then")
            .needs_privilege("whatever the call itself needs: see the API viewer")
            .anew();
        Self { spec, timing }
    }
}

/// A call that the site's version takes.
struct Checked {
    verb: Verb,
    /// Percent-encoded.
    path: String,
    params: Params,
}

fn refused(cause: impl Into<String>) -> Failure {
    Failure::new(Class::Precondition, "read the call of proxmox.api", cause)
}

/// A value as a form has it; a list is the same name more than once.
fn values(name: &str, value: &Value) -> Result<Vec<String>, Failure> {
    Ok(match value {
        Value::Null => Vec::new(),
        Value::Bool(flag) => vec![u8::from(*flag).to_string()],
        Value::Number(number) => vec![number.to_string()],
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => {
            let each = items.iter().map(|item| values(name, item)).collect::<Result<Vec<_>, _>>()?;
            each.into_iter().flatten().collect()
        }
        Value::Object(_) => {
            return Err(refused(format!("`{name}` is a map; expected a text, a number, true, false or a list")));
        }
    })
}

fn checked(call: &Call, version: &str) -> Result<Checked, Failure> {
    let method: String = call.arg("method")?;
    let verb = Verb::parse(&method.to_uppercase()).ok_or_else(|| refused(format!("there is no method `{method}`")))?;
    let given: Option<Map<String, Value>> = call.arg("params")?;
    let mut params = Params::new();
    for (name, value) in given.iter().flatten() {
        for value in values(name, value)? {
            params = params.set(name, value);
        }
    }
    let path: String = call.arg("path")?;
    let flat: BTreeMap<String, String> = params.as_slice().iter().cloned().collect();
    check_call(version, verb, &path, &flat).map_err(|why| refused(why.to_string()))?;
    let found = Schema::version(version).find(verb, &path);
    let (method, names) = found.ok_or_else(|| refused(format!("there is no {verb} {path}")))?;
    if let Some(what) = secret_in(verb, &method.template, flat.keys().map(String::as_str)) {
        return Err(refused(format!("{what}: a plan and a journal would keep it")));
    }
    let words = method.template.split('/').filter(|word| !word.is_empty()).map(|word| {
        let name = word.strip_prefix('{').and_then(|word| word.strip_suffix('}'));
        name.and_then(|name| names.get(name)).map_or_else(|| word.to_owned(), seg)
    });
    let path = words.map(|word| format!("/{word}")).collect();
    Ok(Checked { verb, path, params })
}

async fn version(world: &dyn World) -> Result<String, Unreadable> {
    let site: SiteInfo = look::read(world, Resource::Site).await?;
    Ok(site.version)
}

fn outputs(data: &Value, upid: Option<&str>) -> Value {
    json!({"data": data, "upid": upid})
}

/// The call as it was found to be valid.
fn found(before: &Value) -> (&str, &str) {
    (before["verb"].as_str().unwrap_or_default(), before["path"].as_str().unwrap_or_default())
}

#[async_trait]
impl Act for ApiCall {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        let (verb, path) = found(before);
        format!("{verb} {path}")
    }

    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let Checked { verb, path, params } = checked(call, &version(world).await?)?;
        if verb != Verb::Get {
            return Err(refused(format!("{verb} is no reading")).into());
        }
        if world.is_disturbed() {
            return Err(Unreadable::Unknown("an earlier step may change it".into()));
        }
        let data: Value = look::read(world, Resource::Api(path.clone(), params.as_slice().to_vec())).await?;
        let summary = format!("GET {path}");
        Ok(Reading { outputs: outputs(&data, None), summary, guards: Vec::new(), notes: Vec::new() })
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let version = version(world).await?;
        let Checked { verb, path, params } = checked(call, &version)?;
        let given = params.as_slice().iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>();
        let summary = format!("{verb} {path}{given}");
        let mut probe = Probe::new(summary, json!({"verb": verb.as_str(), "path": path, "version": version}));
        probe.notes.push(format!("not previewed: what {verb} {path} changes is not known before, nor undone"));
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let Checked { verb, path, params } = checked(call, before["version"].as_str().unwrap_or_default())?;
        Ok(Request { verb, path, params, ends: Ends::AsAnswered, upload: None })
    }

    async fn judge(
        &self,
        _: &Call,
        before: &Value,
        answer: Option<&Value>,
        world: &dyn World,
    ) -> Result<Seen, Failure> {
        let (verb, path) = found(before);
        let Some(answer) = answer else {
            return Ok(Seen::Strange(format!("only its answer says what {verb} {path} does, and that was not heard")));
        };
        // What the step puts out was seen already.
        if answer.get("upid").is_some() && answer.get("data").is_some() {
            return Ok(Seen::Done(answer.clone()));
        }
        let Some(upid) = answer.as_str().and_then(|text| text.parse::<Upid>().ok()) else {
            return Ok(Seen::Done(outputs(answer, None)));
        };
        Ok(match live::<Option<Task>>(world, Resource::Task(upid.clone())).await? {
            Some(task) if task.outcome.as_deref() == Some("ok") => Seen::Done(outputs(answer, Some(upid.as_str()))),
            Some(task) if task.running => Seen::Partial(format!("task {upid} still runs")),
            Some(task) => {
                let cause = task.cause.unwrap_or_default();
                Seen::Partial(format!("task {upid} has failed, and what it had changed is not known: {cause}"))
            }
            None => Seen::Strange(format!("task {upid} is not known to its node any more")),
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let (verb, path) = found(&before.before);
        let all = ResourceKey::from("proxmox");
        Prediction {
            taints: vec![(all, format!("{} ({verb} {path}) may change it", call.path))],
            ..Prediction::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    fn site(version: &str) -> FakeWorld {
        FakeWorld::default()
            .with("proxmox/site", json!({"name": "lab", "version": version, "quorate": true, "nodes": ["pve1"]}))
            .with("proxmox/api/cluster/ha/rules", json!([]))
    }

    fn act() -> ApiCall {
        ApiCall::new(Timing::default())
    }

    #[tokio::test]
    async fn a_call_is_held_against_the_sites_own_version() {
        let rules = call(json!({"method": "get", "path": "/cluster/ha/rules"}));
        assert_eq!(act().read(&rules, &site("9.2.3")).await.unwrap().outputs["data"], json!([]));
        let old = act().read(&rules, &site("8.4.2")).await.unwrap_err().to_string();
        assert!(old.contains("Proxmox VE 8.4.2 has no GET /cluster/ha/rules"), "{old}");
    }

    #[tokio::test]
    async fn values_become_a_forms_and_the_path_is_encoded() {
        let path = "/nodes/pve1/storage/local/content/local:iso/a.iso";
        let probe =
            act().look(&call(json!({"method": "delete", "path": path, "params": {"delay": 5}})), &site("9")).await;
        let probe = probe.unwrap();
        let call = call(json!({"method": "delete", "path": path, "params": {"delay": 5}}));
        let request = act().request(&call, &probe.before).unwrap();
        assert_eq!(request.path, "/nodes/pve1/storage/local/content/local%3Aiso%2Fa.iso");
        assert_eq!(request.params, Params::new().set("delay", 5));
        assert!(probe.notes[0].starts_with("not previewed"), "{:?}", probe.notes);
    }

    #[tokio::test]
    async fn secrets_are_refused() {
        let with = json!({"method": "put", "path": "/nodes/pve1/qemu/104/config", "params": {"cipassword": "x"}});
        let error = act().look(&call(with), &site("9.2.3")).await.unwrap_err().to_string();
        assert!(error.contains("`cipassword` is a secret") && !error.contains("\"x\""), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_was_not_heard_leaves_it_in_doubt() {
        let before = json!({"verb": "POST", "path": "/pools", "version": "9.2.3"});
        let with = call(json!({"method": "post", "path": "/pools", "params": {"poolid": "x"}}));
        let seen = act().judge(&with, &before, None, &site("9.2.3")).await.unwrap();
        assert!(matches!(seen, Seen::Strange(_)), "{seen:?}");
        let heard = act().judge(&with, &before, Some(&Value::Null), &site("9.2.3")).await.unwrap();
        assert_eq!(heard, Seen::Done(json!({"data": null, "upid": null})));
    }
}
