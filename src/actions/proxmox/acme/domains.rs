//! `proxmox.acme_domains`: the names that a node has a certificate for, and how an authority checks each. Nothing else of the
//! node's configuration is touched.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::uses::{Domain, Lines, is_domain};
use super::{refused, text, texts};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Request, Seen};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::NodeConfig;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::typed;
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Call, Prediction, Probe, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::Failure;
use crate::model::ids::NodeName;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// `acmedomain0` to `acmedomain5`.
const MOST: usize = 6;

/// The act.
pub struct AcmeDomains {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    node: NodeName,
    /// The lines about ACME alone.
    lines: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl AcmeDomains {
    pub fn new(timing: Timing) -> Self {
        let own = |name, ty| Param::new(name, ty);
        let title = "Say which names a node's certificate is for";
        let spec = ActionSpec::new("proxmox.acme_domains", Effect::Change, title)
            .param(own("node", ValueType::Node).required().help("The node"))
            .param(
                own("domains", ValueType::List)
                    .items(ValueType::String)
                    .required()
                    .help("Exactly these without `keep`, six at most: `pve1.example.org`, or `pve1.example.org,alias=_acme.example.net,plugin=cf`"),
            )
            .param(own("plugin", ValueType::String).default_value("standalone").help("How those are checked that name no plugin"))
            .param(own("account", ValueType::String).default_value("default").help("The ACME account that orders"))
            .param(own("keep", ValueType::Bool).default_value(false).help("Other names that the node has stay"))
            .param(own("lines", ValueType::Map).help("The node's `acme` lines as they are to be, exactly: for a rollback"))
            .output("domains", ValueType::List, "All names that the node has then")
            .needs_privilege("Sys.Audit on /")
            .needs_privilege("Sys.Modify on /")
            .undoable();
        Self { spec, timing }
    }
}

fn attempted(call: &Call) -> String {
    format!("set the names of {}'s certificate", text(call, "node"))
}

/// A name as Proxmox VE takes it.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        label.starts_with(|c: char| c.is_ascii_alphanumeric())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    let text = text.strip_prefix("*.").unwrap_or(text);
    text.contains('.') && text.split('.').all(label)
}

fn wanted(call: &Call) -> Result<Vec<Domain>, Failure> {
    let mut all: Vec<Domain> = Vec::new();
    for line in texts(call.get("domains")) {
        let with_plugin = match line.contains("plugin=") {
            true => line.clone(),
            false => format!("{line},plugin={}", text(call, "plugin")),
        };
        let domain = Domain::parse(&with_plugin).filter(|domain| is_name(&domain.name));
        let domain = domain.ok_or_else(|| refused(attempted(call), format!("{line:?} is no name of a host")))?;
        if all.iter().any(|other| other.name == domain.name) {
            return Err(refused(attempted(call), format!("{} is there twice", domain.name)));
        }
        all.push(domain);
    }
    Ok(all)
}

fn parsed(lines: &BTreeMap<String, String>) -> Lines {
    Lines::of(&NodeConfig { digest: None, values: lines.clone() })
}

/// The lines about ACME as they should be: a name that is there keeps its key.
fn target(call: &Call, now: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
    if let Value::Object(exact) = call.get("lines") {
        let own = exact.iter().filter(|(key, _)| is_about(key));
        return Ok(own.filter_map(|(key, line)| Some((key.clone(), line.as_str()?.to_owned()))).collect());
    }
    let (lines, wanted, keep) = (parsed(now), wanted(call)?, call.get("keep") == true);
    let is_wanted = |name: &str| wanted.iter().any(|domain| domain.name == name);
    let mut free: BTreeSet<String> = (0..MOST).map(|n| format!("acmedomain{n}")).collect();
    let mut target = BTreeMap::new();
    for (key, known) in lines.domains.iter().filter(|(_, known)| keep && !is_wanted(&known.name)) {
        free.remove(key);
        target.insert(key.clone(), now.get(key).cloned().unwrap_or_else(|| known.text()));
    }
    let mut new = Vec::new();
    for domain in &wanted {
        let there = lines.domains.iter().find(|(_, known)| known.name == domain.name);
        match there {
            Some((key, known)) => {
                free.remove(key);
                let same = known == domain;
                let line = if same { now.get(key).cloned().unwrap_or_default() } else { domain.text() };
                target.insert(key.clone(), line);
            }
            None => new.push(domain),
        }
    }
    if new.len() > free.len() {
        let all = target.len() + new.len();
        return Err(refused(attempted(call), format!("a node has {MOST} names at most, not {all}")));
    }
    target.extend(free.into_iter().zip(new).map(|(key, domain)| (key, domain.text())));
    let old: Vec<&str> = lines.old.iter().map(String::as_str).filter(|name| keep && !is_wanted(name)).collect();
    if let Some(line) = general(text(call, "account"), &old, &lines, now.get("acme")) {
        target.insert("acme".into(), line);
    }
    Ok(target)
}

/// The `acme` line: the account, and the names in it that stay.
fn general(account: &str, old: &[&str], lines: &Lines, now: Option<&String>) -> Option<String> {
    match now {
        Some(line) if lines.account == account && lines.old.len() == old.len() => Some(line.clone()),
        None if account == "default" => None,
        _ if old.is_empty() => Some(format!("account={account}")),
        _ => Some(format!("account={account},domains={}", old.join(";"))),
    }
}

fn is_about(key: &str) -> bool {
    key == "acme" || is_domain(key)
}

async fn before(call: &Call, world: &dyn World) -> Result<Before, Unreadable> {
    let node: NodeName = call.arg("node")?;
    let config: NodeConfig = look::read(world, Resource::NodeConfig(node.clone())).await?;
    let lines = config.values.into_iter().filter(|(key, _)| is_about(key)).collect();
    Ok(Before { node, lines, digest: config.digest })
}

fn summary(call: &Call, now: &BTreeMap<String, String>, target: &BTreeMap<String, String>) -> String {
    let node = text(call, "node");
    let keys: BTreeSet<&String> = now.keys().chain(target.keys()).collect();
    let none = || "(none)".to_owned();
    let each = keys.into_iter().filter(|key| now.get(*key) != target.get(*key)).map(|key| {
        let text = |lines: &BTreeMap<String, String>| lines.get(key).cloned().unwrap_or_else(none);
        format!("{key}: {} -> {}", text(now), text(target))
    });
    let each: Vec<String> = each.collect();
    match each.is_empty() {
        true => format!("{node}: has these names already"),
        false => format!("{node}: {}", each.join("; ")),
    }
}

/// That there is what the lines name.
async fn check(call: &Call, world: &dyn World) -> Result<(), Unreadable> {
    let wanted = wanted(call)?;
    if wanted.is_empty() {
        return Ok(());
    }
    let accounts: BTreeMap<String, Value> = look::read(world, Resource::AcmeAccounts).await?;
    let account = text(call, "account");
    if !accounts.contains_key(account) {
        let cause = format!("there is no ACME account {account}");
        return Err(refused(attempted(call), cause).remedy("make it first (proxmox.acme_account)").into());
    }
    let plugins: BTreeMap<String, Map<String, Value>> = look::read(world, Resource::AcmePlugins).await?;
    for domain in &wanted {
        let Some(plugin) = plugins.get(&domain.plugin) else {
            let cause = format!("there is no ACME plugin {}, by which {} is checked", domain.plugin, domain.name);
            return Err(refused(attempted(call), cause).remedy("make it first (proxmox.acme_plugin)").into());
        };
        let nodes = plugin.get("nodes").map(texts).unwrap_or_default();
        if plugin.get("disable") == Some(&json!(true)) {
            return Err(refused(attempted(call), format!("ACME plugin {} is disabled", domain.plugin)).into());
        }
        if !nodes.is_empty() && !nodes.iter().any(|node| node == text(call, "node")) {
            let cause = format!("ACME plugin {} is for {} only", domain.plugin, nodes.join(", "));
            return Err(refused(attempted(call), cause).into());
        }
        if plugin.get("type") == Some(&json!("standalone")) && domain.name.starts_with("*.") {
            let cause = format!("{} takes a DNS plugin: authorities check such names by no other way", domain.name);
            return Err(refused(attempted(call), cause).into());
        }
    }
    Ok(())
}

fn outputs(lines: &BTreeMap<String, String>) -> Value {
    json!({"domains": parsed(lines).all().into_iter().map(|domain| domain.name).collect::<Vec<_>>()})
}

#[async_trait]
impl Act for AcmeDomains {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, call: &Call, _: &Value) -> String {
        attempted(call)
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let before = before(call, world).await?;
        let target = target(call, &before.lines)?;
        let satisfied = target == before.lines;
        if !satisfied {
            check(call, world).await?;
        }
        let mut probe = Probe::new(summary(call, &before.lines, &target), json!(before));
        probe.satisfied = satisfied;
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let before: Before = look::before(before)?;
        let target = target(call, &before.lines)?;
        let changed = target.iter().filter(|(key, line)| before.lines.get(*key) != Some(*line));
        let gone: Vec<&str> =
            before.lines.keys().filter(|key| !target.contains_key(*key)).map(String::as_str).collect();
        let delete = (!gone.is_empty()).then(|| gone.join(","));
        let params = changed.fold(Params::new(), |params, (key, line)| params.set(key, line));
        let params = params.opt("delete", delete).opt("digest", before.digest);
        Ok(Request::at_once(Verb::Put, format!("/nodes/{}/config", seg(&before.node)), params))
    }

    fn looks_again(&self) -> bool {
        true
    }

    async fn judge(
        &self,
        call: &Call,
        was: &Value,
        answer: Option<&Value>,
        world: &dyn World,
    ) -> Result<Seen, Failure> {
        let (was, is): (Before, Before) = (look::before(was)?, before(call, world).await.map_err(look::settled)?);
        let said = || format!("{}: {:?}", is.node, is.lines);
        let now = outputs(&is.lines);
        // With `keep`, names that others have added since are as asked for, and not ours to take away again.
        let given = answer.map(|outputs| &outputs["domains"]).filter(|given| given.is_array());
        Ok(if let Some(given) = given.filter(|given| **given != now["domains"]) {
            Seen::Strange(format!("{} was given the names {given}, and has {} now", is.node, now["domains"]))
        } else if target(call, &is.lines)? == is.lines {
            Seen::Done(now)
        } else if is.lines == was.lines {
            Seen::Untouched(said())
        } else {
            Seen::Strange(format!("neither as before nor as asked for: {}", said()))
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(of) = look::before::<Before>(&before.before) else { return Prediction::default() };
        let Ok(target) = target(call, &of.lines) else { return Prediction::default() };
        let outputs = [("domains".to_owned(), outputs(&target)["domains"].take())].into();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let gone = of.lines.keys().filter(|key| !target.contains_key(*key)).map(|key| (key.clone(), Value::Null));
        let set = target.iter().filter(|(key, line)| of.lines.get(*key) != Some(*line));
        let values: Map<String, Value> = set.map(|(key, line)| (key.clone(), json!(line))).chain(gone).collect();
        let resource = Resource::NodeConfig(of.node.clone()).key();
        let why = format!("{} changes the configuration of {}", call.path, of.node);
        Prediction {
            deltas: vec![Delta { resource, patch: json!({"digest": null, "values": values}) }],
            taints: vec![(format!("proxmox/api/nodes/{}/config", seg(&of.node)).as_str().into(), why)],
            outputs,
        }
    }

    fn undo(&self, _: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let before: Before = look::before(before).ok()?;
        let lines = parsed(&before.lines);
        let domains: Vec<String> = lines.all().iter().map(Domain::text).collect();
        let with = json!({"node": before.node, "domains": domains, "plugin": "standalone", "account": lines.account,
            "lines": before.lines});
        Some(Invocation { uses: self.spec.name.clone(), with })
    }

    fn undo_summary(&self, call: &Call, _: &Probe) -> Option<String> {
        Some(format!("{} has the names that it had", text(call, "node")))
    }

    fn check(&self, call: &Call, _: &Value) -> Option<String> {
        Some(typed::check(&format!("pvesh get /nodes/{}/config", seg(text(call, "node"))), "its acmedomain lines"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call};

    fn asked(domains: Value, plugin: &str) -> Call {
        call(json!({"node": "pve1", "domains": domains, "plugin": plugin, "account": "default"}))
    }

    fn world(values: Value) -> FakeWorld {
        FakeWorld::default()
            .with("proxmox/node/pve1/config", json!({"digest": "d", "values": values}))
            .with("proxmox/acme/accounts", json!({"default": {}}))
            .with(
                "proxmox/acme/plugins",
                json!({"cf": {"type": "dns", "api": "cf"}, "standalone": {"type": "standalone"},
                "other": {"type": "dns", "nodes": ["pve2"]}}),
            )
    }

    fn act() -> AcmeDomains {
        AcmeDomains::new(Timing::default())
    }

    #[tokio::test]
    async fn names_keep_their_keys_and_other_lines_stay() {
        let there =
            json!({"acmedomain1": "pve1.example.org,plugin=cf", "acmedomain2": "old.example.org", "description": "x"});
        let with = asked(json!(["new.example.org", "pve1.example.org"]), "cf");
        let probe = act().look(&with, &world(there)).await.unwrap();
        assert_eq!(
            probe.summary,
            "pve1: acmedomain0: (none) -> new.example.org,plugin=cf; acmedomain2: old.example.org -> (none)"
        );
        let request = act().request(&with, &probe.before).unwrap();
        let params = [("acmedomain0", "new.example.org,plugin=cf"), ("delete", "acmedomain2"), ("digest", "d")];
        assert_eq!((request.verb, request.params), (Verb::Put, params.into_iter().collect::<Params>()));
        let undo = act().undo(&with, &probe.before, None).unwrap().with;
        assert_eq!(undo["domains"], json!(["pve1.example.org,plugin=cf", "old.example.org"]));
    }

    #[tokio::test]
    async fn a_rollback_writes_the_lines_that_were_there() {
        for was in [
            json!({}),
            json!({"acme": "account=default", "acmedomain3": "domain=PVE1.example.org"}),
            json!({"acme": "domains=a.example.org;b.example.org"}),
        ] {
            let mut with = asked(json!(["pve1.example.org"]), "cf").with;
            with["account"] = json!("le");
            let with = call(with);
            let accounts = json!({"default": {}, "le": {}});
            let there = world(was.clone()).with("proxmox/acme/accounts", accounts.clone());
            let probe = act().look(&with, &there).await.unwrap();
            let undo = call(act().undo(&with, &probe.before, None).unwrap().with);
            let done = json!({"acme": "account=le", "acmedomain0": "pve1.example.org,plugin=cf", "description": "x"});
            let back = act().look(&undo, &world(done).with("proxmox/acme/accounts", accounts)).await.unwrap();
            assert_eq!(json!(target(&undo, &look::before::<Before>(&back.before).unwrap().lines).unwrap()), was);
        }
    }

    #[tokio::test]
    async fn names_that_are_there_stay_where_that_is_asked() {
        let there = json!({"acme": "domains=OLD.example.org;pve1.example.org", "acmedomain4": "www.example.org"});
        let mut with = asked(json!(["pve1.example.org"]), "cf").with;
        with["keep"] = json!(true);
        let with = call(with);
        let probe = act().look(&with, &world(there)).await.unwrap();
        assert_eq!(
            probe.summary,
            "pve1: acme: domains=OLD.example.org;pve1.example.org -> account=default,domains=old.example.org; \
             acmedomain0: (none) -> pve1.example.org,plugin=cf"
        );
        let names = json!(["pve1.example.org", "www.example.org", "old.example.org"]);
        assert_eq!(act().predict(&with, &probe).outputs["domains"], names);
        let now = || {
            json!({"acme": "account=default,domains=old.example.org", "acmedomain0": "pve1.example.org,plugin=cf",
            "acmedomain4": "www.example.org"})
        };
        assert!(act().look(&with, &world(now())).await.unwrap().satisfied);
        let judge = async |lines: Value| {
            act().judge(&with, &probe.before, Some(&json!({"domains": names})), &world(lines)).await.unwrap()
        };
        assert!(matches!(judge(now()).await, Seen::Done(_)));
        // Somebody has given it another one since: a rollback would take that away.
        let mut more = now();
        more["acmedomain1"] = json!("other.example.org");
        assert!(matches!(judge(more).await, Seen::Strange(_)));
        let six: Map<String, Value> =
            (0..6).map(|n| (format!("acmedomain{n}"), json!(format!("a{n}.example.org")))).collect();
        let refusal = act().look(&with, &world(six.into())).await.unwrap_err().to_string();
        assert!(refusal.contains("6 names at most, not 7"), "{refusal}");
    }

    #[tokio::test]
    async fn a_line_that_says_the_same_is_left_as_it_is() {
        let there = json!({"acmedomain0": "domain=PVE1.example.org,plugin=cf", "acme": "account=default"});
        assert!(act().look(&asked(json!(["pve1.example.org"]), "cf"), &world(there)).await.unwrap().satisfied);
        let old = json!({"acme": "domains=pve1.example.org"});
        let probe = act().look(&asked(json!(["pve1.example.org"]), "cf"), &world(old)).await.unwrap();
        assert!(probe.summary.contains("acme: domains=pve1.example.org -> account=default"), "{}", probe.summary);
    }

    #[tokio::test]
    async fn what_cannot_be_checked_is_refused_while_planning() {
        let refusal = async |domains: Value, plugin: &str| {
            act().look(&asked(domains, plugin), &world(json!({}))).await.unwrap_err().to_string()
        };
        assert!(refusal(json!(["pve1.example.org"]), "nope").await.contains("no ACME plugin nope"));
        assert!(refusal(json!(["pve1.example.org"]), "other").await.contains("is for pve2 only"));
        assert!(refusal(json!(["*.example.org"]), "standalone").await.contains("takes a DNS plugin"));
        assert!(refusal(json!(["pve1"]), "cf").await.contains("no name of a host"));
        assert!(refusal(json!(["a.b", "A.b"]), "cf").await.contains("is there twice"));
        let many: Vec<String> = (0..7).map(|n| format!("a{n}.example.org")).collect();
        assert!(refusal(json!(many), "cf").await.contains("6 names at most"));
    }
}
