//! `proxmox.ha_rule`: a rule of the HA manager (from Proxmox VE 9 on), or a group of nodes (before), there as it is
//! described or not there at all.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::wanted::{self, GROUP, Kind};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::{Node, SiteInfo};
use crate::actions::proxmox::resource::{Resource, all_placements};
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::NodeName;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The act.
pub struct HaRule {
    spec: ActionSpec,
    timing: Timing,
}

/// What a rule says, by the server's own names.
pub(super) type Rule = BTreeMap<String, String>;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    name: String,
    /// Nothing where there is none of that name.
    now: Option<Rule>,
    /// What it is to say; nothing where it is to go.
    will: Option<Rule>,
    /// Groups instead of rules.
    eight: bool,
    #[serde(default)]
    digest: Option<String>,
}

impl HaRule {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("proxmox.ha_rule", Effect::Change, "Make, change or remove an HA rule or group")
            .param(Param::new("name", ValueType::String).required().help("The rule, or the group"))
            .param(Param::new("present", ValueType::Bool).default_value(true).help("false removes it"))
            .param(
                Param::new("kind", ValueType::String)
                    .choices(&wanted::KINDS)
                    .help("node-affinity and resource-affinity are rules, from 9 on; group is one of nodes, before 9"),
            )
            .param(
                Param::new("guests", ValueType::List)
                    .items(ValueType::Guest)
                    .help("Which guests a rule is about; the HA manager must know them"),
            )
            .param(
                Param::new("nodes", ValueType::List)
                    .items(ValueType::String)
                    .help("Of a node-affinity or a group: pve1, or pve1:2 with a priority"),
            )
            .param(
                Param::new("strict", ValueType::Bool)
                    .help("Whether guests may run nowhere else; `restricted` of a group"),
            )
            .param(
                Param::new("affinity", ValueType::String)
                    .choices(&["positive", "negative"])
                    .help("Of a resource-affinity: together, or apart"),
            )
            .param(Param::new("failback", ValueType::Bool).help("Of a group: whether guests go back to better nodes"))
            .param(Param::new("disabled", ValueType::Bool).help("Of a rule: whether it does not hold at present"))
            .param(Param::new("comment", ValueType::String).help("For people"))
            .output("name", ValueType::String, "The rule, or the group")
            .output("present", ValueType::Bool, "Whether it is there")
            .needs_privilege("VM.Audit on /vms")
            .needs_privilege("Sys.Audit on /")
            .needs_privilege("Sys.Console on /")
            .undoable();
        Self { spec, timing }
    }
}

/// Whether groups are still in force: until every node is on 9.
async fn has_groups(world: &dyn World) -> Result<bool, Unreadable> {
    let site: SiteInfo = look::read(world, Resource::Site).await?;
    let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
    let eight = |version: &str| version.starts_with("8.");
    Ok(eight(&site.version) || nodes.values().any(|node| node.version.as_deref().is_some_and(eight)))
}

fn list(eight: bool) -> &'static str {
    if eight { "/cluster/ha/groups" } else { "/cluster/ha/rules" }
}

/// The row of that name, as it is compared, and the digest of the file that it is in.
async fn row(world: &dyn World, name: &str, eight: bool) -> Result<(Option<Rule>, Option<String>), Unreadable> {
    let rows = look::api(world, list(eight).into(), &[]).await?;
    let key = if eight { GROUP } else { "rule" };
    let own = rows.as_array().into_iter().flatten().find(|row| row[key] == name);
    let digest = own.and_then(|row| row["digest"].as_str()).map(str::to_owned);
    Ok((own.map(wanted::of_row), digest))
}

/// Whether all that is asked for is so; what is not asked for may be anything.
fn as_wanted(will: Option<&Rule>, now: Option<&Rule>) -> bool {
    match (will, now) {
        (None, now) => now.is_none(),
        (Some(_), None) => false,
        (Some(will), Some(now)) => {
            will.iter().all(|(name, value)| now.get(name).map_or("", String::as_str) == value.as_str())
        }
    }
}

fn shown(rule: Option<&Rule>) -> String {
    let text = |rule: &Rule| {
        let parts = rule.iter().filter(|(_, value)| !value.is_empty());
        parts.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    rule.map_or_else(|| "none".to_owned(), text)
}

#[async_trait]
impl Act for HaRule {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, _: &Call, before: &Value) -> String {
        let words = |b: Before| {
            let (verb, what) =
                (if b.will.is_some() { "set" } else { "remove" }, if b.eight { "group" } else { "rule" });
            format!("{verb} the HA {what} {}", b.name)
        };
        look::before::<Before>(before).map_or_else(|_| "change an HA rule".into(), words)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let name: String = call.arg("name")?;
        let attempted = format!("change the HA rule {name}");
        let refuse = |(cause, remedy): (String, String)| {
            Failure::new(Class::Precondition, attempted.clone(), cause).remedy(remedy)
        };
        let eight = has_groups(world).await?;
        let kind = wanted::kind(call, eight).map_err(&refuse)?;
        let (now, digest) = row(world, &name, eight).await?;
        let will = match kind {
            None => None,
            Some(kind) => {
                let members = wanted::members(world, call).await?;
                Some(wanted::rule(call, kind, members, now.as_ref()).map_err(&refuse)?)
            }
        };
        if let (Some(was), Some(will)) = (now.as_ref().and_then(|now| now.get("type")), &will)
            && will.get("type").is_some_and(|kind| kind != was)
        {
            let cause = format!("it is a {was}, and a rule stays of its kind");
            return Err(refuse((cause, "remove it first: present=false".into())).into());
        }
        let what = if eight { "HA group" } else { "HA rule" };
        let summary = format!("{what} {name}: {} -> {}", shown(now.as_ref()), shown(will.as_ref()));
        let satisfied = as_wanted(will.as_ref(), now.as_ref());
        let mut probe = Probe::new(summary, json!(Before { name, now, will, eight, digest }));
        probe.satisfied = satisfied;
        if !satisfied {
            probe.notes.push("the HA manager moves guests that are then not where they may be, or had best be".into());
            if matches!(kind, Some(Kind::Group)) {
                probe.notes.push("a guest is put into a group with proxmox.ha_resource".into());
            }
        }
        Ok(probe)
    }

    fn request(&self, _: &Call, before: &Value) -> Result<Request, Failure> {
        let Before { name, now, will, eight, digest } = look::before(before)?;
        let (all, key) = (list(eight), if eight { GROUP } else { "rule" });
        let one = format!("{all}/{}", seg(&name));
        let Some(will) = will else { return Ok(Request::at_once(Verb::Delete, one, Params::new())) };
        let (empty, set): (Rule, Rule) = will.into_iter().partition(|(_, value)| value.is_empty());
        let params: Params = set.into_iter().collect();
        let Some(now) = now else {
            return Ok(Request::at_once(Verb::Post, all.into(), params.set(key, name)));
        };
        let gone: Vec<&str> = empty.keys().filter(|name| now.contains_key(*name)).map(String::as_str).collect();
        let params = params.opt("delete", Some(gone.join(",")).filter(|gone| !gone.is_empty()));
        Ok(Request::at_once(Verb::Put, one, params.opt("digest", digest)))
    }

    async fn judge(&self, _: &Call, before: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let Before { name, now: was, will, eight, .. } = look::before(before)?;
        let (now, _) = row(world, &name, eight).await.map_err(look::settled)?;
        let is = format!("{name}: {}", shown(now.as_ref()));
        let outputs = as_wanted(will.as_ref(), now.as_ref()).then(|| json!({"name": name, "present": now.is_some()}));
        Ok(Seen::compared(outputs, now == was, is))
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(Before { name, will, .. }) = look::before(&before.before) else { return Prediction::default() };
        let outputs =
            [("name".to_owned(), json!(name)), ("present".to_owned(), json!(will.is_some()))].into_iter().collect();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let patch = if will.is_some() { json!({"": null}) } else { Value::Null };
        let why = format!("{} changes the HA rule {name}", call.path);
        let keys = [Resource::Ha.key(), Resource::HaRules.key(), Resource::Guests.key(), all_placements()];
        let mut taints: Vec<_> = keys.into_iter().map(|key| (key, why.clone())).collect();
        taints.push(("proxmox/api/cluster/ha".into(), why));
        Prediction {
            deltas: vec![Delta { resource: format!("proxmox/ha/rule/{name}").as_str().into(), patch }],
            taints,
            outputs,
        }
    }

    fn looks_again(&self) -> bool {
        true
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let Before { name, now, will, eight, .. } = look::before(before).ok()?;
        let with = match now {
            None => json!({"name": name, "present": false}),
            Some(now) => wanted::invocation(&name, &now, will.as_ref(), eight),
        };
        Some(Invocation { uses: "proxmox.ha_rule".into(), with })
    }

    fn undo_summary(&self, _: &Call, before: &Probe) -> Option<String> {
        let Before { name, now, .. } = look::before(&before.before).ok()?;
        Some(format!("{name}: {} again", shown(now.as_ref())))
    }

    fn check(&self, _: &Call, before: &Value) -> Option<String> {
        let Before { will, eight, name, .. } = look::before(before).ok()?;
        let want = if will.is_some() { format!("{name} is as described") } else { format!("no {name}") };
        Some(typed::check(&typed::call(Verb::Get, list(eight), &Params::new()), &want))
    }
}
