//! `proxmox.acme_account`: who the cluster is to an ACME authority. For root@pam alone, as Proxmox VE has it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{is_absent, refused, state, text, texts, uses};
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act, Ends, Request, Seen, Trail};
use crate::actions::proxmox::look;
use crate::actions::proxmox::object::Node;
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

const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The act.
pub struct AcmeAccount {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    contact: Vec<String>,
    directory: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    now: Option<Account>,
    /// What one has to agree to for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    terms: Option<String>,
    /// Any of them may carry it out.
    nodes: Vec<NodeName>,
}

impl AcmeAccount {
    pub fn new(timing: Timing) -> Self {
        let own = |name, ty| Param::new(name, ty);
        let title = "Register with an ACME authority, or change the account's contact";
        let spec = ActionSpec::new("proxmox.acme_account", Effect::Change, title)
            .param(Param {
                pattern: Some("[A-Za-z][A-Za-z0-9_-]+".into()),
                ..own("name", ValueType::String).default_value("default").help("What it is called here")
            })
            .param(
                own("contact", ValueType::List).items(ValueType::String).help("Addresses that the authority writes to"),
            )
            .param(own("directory", ValueType::Url).default_value(PRODUCTION).help("The authority's directory"))
            .param(
                own("accept_terms", ValueType::Bool)
                    .default_value(false)
                    .help("You agree to its terms of service, whose address the plan shows"),
            )
            .param(state())
            .output("name", ValueType::String, "What it is called")
            .output("directory", ValueType::String, "The authority's directory")
            .needs_privilege("none helps: root@pam with its password, no token")
            .undoable();
        Self { spec, timing }
    }
}

fn name(call: &Call) -> &str {
    call.get("name").as_str().unwrap_or("default")
}

fn contact(call: &Call) -> Vec<String> {
    texts(call.get("contact"))
}

fn title(call: &Call) -> String {
    format!("ACME account {}", name(call))
}

fn as_wanted(call: &Call, now: Option<&Account>) -> bool {
    match (is_absent(call), now) {
        (true, now) => now.is_none(),
        (false, None) => false,
        // Proxmox VE keeps what the authority answers, and one that keeps no contacts, as Let's Encrypt since 2025,
        // answers with none: whatever is sent, none is ever seen there.
        (false, Some(now)) => contact(call).is_empty() || now.contact.is_empty() || now.contact == contact(call),
    }
}

/// The contact that is going to be seen: Let's Encrypt is known to keep none. What others keep is not known.
fn expected(call: &Call) -> Vec<String> {
    let keeps_none = text(call, "directory").contains(".api.letsencrypt.org/");
    if keeps_none { Vec::new() } else { contact(call) }
}

fn outputs(call: &Call) -> Value {
    json!({"name": name(call), "directory": text(call, "directory")})
}

async fn account(call: &Call, world: &dyn World) -> Result<Option<Account>, Unreadable> {
    look::read(world, Resource::AcmeAccount(name(call).to_owned())).await
}

fn check(call: &Call, before: &Before) -> Result<(), Failure> {
    let attempted = format!("make or change {}", title(call));
    match &before.now {
        Some(now) if now.directory != text(call, "directory") => {
            let cause = format!("it is one with {}, and stays that", now.directory);
            Err(refused(attempted, cause).remedy("give its directory, or take another name"))
        }
        Some(_) => Ok(()),
        None if contact(call).is_empty() => {
            Err(refused(attempted, "there is none, and a new one needs a contact").remedy("give contact"))
        }
        None if before.terms.is_some() && call.get("accept_terms") != true => {
            let terms = before.terms.as_deref().unwrap_or_default();
            let cause = format!("the authority asks everybody to agree to its terms of service, {terms}");
            Err(refused(attempted, cause).remedy("read them, and give accept_terms: true"))
        }
        None => Ok(()),
    }
}

/// Whoever is not root@pam is told so here, by the account's own reading.
async fn before(call: &Call, world: &dyn World) -> Result<Before, Unreadable> {
    let now = account(call, world).await?;
    let mut terms = None;
    if now.is_none() && !is_absent(call) {
        let directory = [("directory", text(call, "directory"))];
        let said = look::api(world, "/cluster/acme/tos".into(), &directory).await?;
        terms = said.as_str().map(ToOwned::to_owned);
    }
    let nodes: BTreeMap<NodeName, Node> = look::read(world, Resource::Nodes).await?;
    Ok(Before { now, terms, nodes: nodes.into_values().filter(|node| node.online).map(|node| node.name).collect() })
}

fn summary(call: &Call, before: &Before) -> String {
    let title = title(call);
    match (is_absent(call), &before.now) {
        (true, None) => format!("{title}: there is none"),
        (true, Some(now)) => format!("{title}: is deactivated at {}, for good", now.directory),
        (false, None) => format!("{title}: is registered with {}", text(call, "directory")),
        (false, Some(now)) if as_wanted(call, Some(now)) => format!("{title}: is so already"),
        (false, Some(now)) => format!("{title}: contact: {} -> {}", now.contact.join(", "), contact(call).join(", ")),
    }
}

#[async_trait]
impl Act for AcmeAccount {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn attempted(&self, call: &Call, _: &Value) -> String {
        let verb = if is_absent(call) { "deactivate" } else { "make or change" };
        format!("{verb} {}", title(call))
    }

    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let before = before(call, world).await?;
        let satisfied = as_wanted(call, before.now.as_ref());
        if !is_absent(call) {
            check(call, &before)?;
        } else if !satisfied && let Some(node) = uses::user(world, |lines| lines.account == name(call)).await? {
            let cause = format!("{node} gets its certificate by it");
            let remedy = "give that another one first (proxmox.acme_domains)";
            return Err(refused(format!("deactivate {}", title(call)), cause).remedy(remedy).into());
        }
        let mut probe = Probe::new(summary(call, &before), json!(before));
        probe.satisfied = satisfied;
        if is_absent(call) && !satisfied {
            probe.effect = Some(Effect::Destroy);
        }
        probe.notes.extend(before.terms.map(|terms| format!("you agree to {terms}")));
        Ok(probe)
    }

    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure> {
        let before: Before = look::before(before)?;
        let one = format!("/cluster/acme/account/{}", seg(name(call)));
        let contact = contact(call).join(",");
        let (verb, path, params, kinds): (_, _, _, &'static [&'static str]) = match (is_absent(call), before.now) {
            (true, _) => (Verb::Delete, one, Params::new(), &["acmedeactivate"]),
            (false, Some(_)) => (Verb::Put, one, Params::new().set("contact", contact), &["acmeupdate", "acmerefresh"]),
            (false, None) => {
                let params = Params::new().set("name", name(call)).set("contact", contact);
                let params = params.set("directory", text(call, "directory")).opt("tos_url", before.terms);
                (Verb::Post, "/cluster/acme/account".into(), params, &["acmeregister"])
            }
        };
        let list =
            |node: &NodeName| kinds.iter().map(|kind| Resource::TasksOf(node.clone(), (*kind).to_owned())).collect();
        let lists = before.nodes.iter().flat_map(|node| -> Vec<Resource> { list(node) }).collect();
        Ok(Request {
            verb,
            path,
            params,
            // No task says which account it is about, and any node may have one of somebody else's.
            ends: Ends::WithTask(Trail { lists, kinds, about: None, shared: true }),
            upload: None,
        })
    }

    async fn judge(&self, call: &Call, was: &Value, _: Option<&Value>, world: &dyn World) -> Result<Seen, Failure> {
        let was: Before = look::before(was)?;
        let now = account(call, world).await.map_err(look::settled)?;
        let said = match &now {
            Some(now) if now.contact.is_empty() => format!("{} is there, without a contact", title(call)),
            Some(now) => format!("{} is there, with contact {}", title(call), now.contact.join(", ")),
            None => format!("{} is not there", title(call)),
        };
        Ok(if as_wanted(call, now.as_ref()) {
            Seen::Done(outputs(call))
        } else if now == was.now {
            Seen::Untouched(said)
        } else {
            Seen::Strange(format!("neither as before nor as asked for: {said}"))
        })
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Value::Object(outputs) = outputs(call) else { return Prediction::default() };
        let outputs = outputs.into_iter().collect();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let (listed, own) = match is_absent(call) {
            true => (Value::Null, Value::Null),
            false => (json!({}), json!({"contact": expected(call), "directory": text(call, "directory")})),
        };
        let listed = Map::from_iter([(name(call).to_owned(), listed)]).into();
        let why = format!("{} changes {}", call.path, title(call));
        Prediction {
            deltas: vec![
                Delta { resource: Resource::AcmeAccounts.key(), patch: listed },
                Delta { resource: Resource::AcmeAccount(name(call).to_owned()).key(), patch: own },
            ],
            taints: vec![("proxmox/api/cluster/acme".into(), why)],
            outputs,
        }
    }

    /// One that is deactivated never comes back; a new one is another.
    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let before: Before = look::before(before).ok()?;
        if is_absent(call) {
            return None;
        }
        let mut with = json!({"name": name(call), "directory": text(call, "directory")});
        match before.now {
            Some(now) if now.contact.is_empty() => return None,
            Some(now) => with["contact"] = json!(now.contact),
            None => with["state"] = json!("absent"),
        }
        Some(Invocation { uses: self.spec.name.clone(), with })
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        self.undo(call, &before.before, None)?;
        let before: Before = look::before(&before.before).ok()?;
        let what = if before.now.is_some() { "has its contact back" } else { "is deactivated" };
        Some(format!("{} {what}", title(call)))
    }

    fn check(&self, call: &Call, _: &Value) -> Option<String> {
        let wanted = if is_absent(call) { "there is none" } else { "its contact" };
        Some(typed::check(&format!("pvesh get /cluster/acme/account/{}", seg(name(call))), wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::one::One;
    use crate::actions::proxmox::testing::{FakeWorld, call, intent, node};
    use crate::engine::ports::{Action as _, Recovery};

    const TERMS: &str = "https://example.org/terms";

    fn world(account: Value) -> FakeWorld {
        let asked = format!("proxmox/api/cluster/acme/tos?directory={}", seg(PRODUCTION));
        FakeWorld::default()
            .with("proxmox/acme/account/default", account)
            .with(&asked, json!(TERMS))
            .with("proxmox/nodes", json!({"pve1": node("pve1")}))
    }

    fn asked(more: Value) -> Call {
        let mut with = json!({"name": "default", "directory": PRODUCTION, "state": "present", "accept_terms": false});
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(with)
    }

    fn act() -> AcmeAccount {
        AcmeAccount::new(Timing::default())
    }

    #[tokio::test]
    async fn one_is_made_by_whoever_agrees_to_the_terms() {
        let contact = json!(["a@example.org"]);
        let refusal = async |more: Value| act().look(&asked(more), &world(Value::Null)).await.unwrap_err().to_string();
        assert!(refusal(json!({"contact": contact})).await.contains(TERMS));
        assert!(refusal(json!({"accept_terms": true})).await.contains("needs a contact"));
        let with = asked(json!({"contact": contact, "accept_terms": true}));
        let probe = act().look(&with, &world(Value::Null)).await.unwrap();
        assert_eq!(probe.notes, [format!("you agree to {TERMS}")]);
        let request = act().request(&with, &probe.before).unwrap();
        let params = [("name", "default"), ("contact", "a@example.org"), ("directory", PRODUCTION), ("tos_url", TERMS)];
        assert_eq!((request.verb, request.params), (Verb::Post, params.into_iter().collect::<Params>()));
        assert_eq!(act().undo(&with, &probe.before, None).unwrap().with["state"], "absent");
    }

    #[tokio::test]
    async fn one_that_is_there_keeps_its_directory_and_gets_another_contact() {
        let there = || world(json!({"contact": ["old@example.org"], "directory": PRODUCTION}));
        assert!(act().look(&asked(json!({})), &there()).await.unwrap().satisfied);
        let with = asked(json!({"contact": ["a@example.org"]}));
        let probe = act().look(&with, &there()).await.unwrap();
        assert_eq!(act().request(&with, &probe.before).unwrap().verb, Verb::Put);
        assert_eq!(act().undo(&with, &probe.before, None).unwrap().with["contact"], json!(["old@example.org"]));
        assert!(act().undo_summary(&with, &probe).unwrap().contains("has its contact back"));
        let other = world(json!({"contact": [], "directory": "https://other.example/directory"}));
        let refusal = act().look(&asked(json!({})), &other).await.unwrap_err().to_string();
        assert!(refusal.contains("it is one with https://other.example/directory"), "{refusal}");
    }

    #[tokio::test]
    async fn one_whose_authority_keeps_no_contact_is_as_wanted() {
        let kept = || world(json!({"contact": [], "directory": PRODUCTION}));
        let with = asked(json!({"contact": ["a@example.org"], "accept_terms": true}));
        let was = act().look(&with, &world(Value::Null)).await.unwrap();
        assert_eq!(act().predict(&with, &was).deltas[1].patch["contact"], json!([]));
        let seen = act().judge(&with, &was.before, None, &kept()).await.unwrap();
        assert!(matches!(seen, Seen::Done(_)), "{seen:?}");
        let again = act().look(&with, &kept()).await.unwrap();
        assert!(again.satisfied, "{}", again.summary);
        assert_eq!((act().undo(&with, &again.before, None), act().undo_summary(&with, &again)), (None, None));
        let none = asked(json!({"contact": []}));
        let there = world(json!({"contact": ["a@example.org"], "directory": PRODUCTION}));
        assert!(act().look(&none, &there).await.unwrap().satisfied);
    }

    fn task(kind: &str, running: bool) -> Value {
        json!([{"upid": format!("UPID:pve1:0000C0DE:00000001:00000001:{kind}::root@pam:"), "kind": kind, "id": "",
            "user": "root@pam", "status": (!running).then_some("OK"), "running": running, "start": 1}])
    }

    /// Nothing in a task says which account it is about.
    #[tokio::test(start_paused = true)]
    async fn anothers_registration_is_not_taken_for_ours() {
        let with = asked(json!({"contact": ["a@example.org"], "accept_terms": true}));
        let was = act().look(&with, &world(Value::Null)).await.unwrap();
        let of =
            |running| world(Value::Null).with("proxmox/node/pve1/tasks_of/acmeregister", task("acmeregister", running));
        let recover =
            async |world: FakeWorld| One(act()).recover(&with, &intent(was.before.clone(), &[]), None, &world).await;
        let ended = recover(of(false)).await.unwrap();
        assert!(matches!(ended, Recovery::Unseen { .. }), "{ended:?}");
        let running = recover(of(true)).await.unwrap();
        assert!(matches!(running, Recovery::InDoubt(_)), "{running:?}");
        let there =
            json!({"before": {"now": {"contact": ["old@example.org"], "directory": PRODUCTION}, "nodes": ["pve1"]}});
        let Ends::WithTask(trail) = act().request(&with, &there["before"]).unwrap().ends else { panic!() };
        assert_eq!((trail.kinds, trail.shared), (&["acmeupdate", "acmerefresh"][..], true));
    }
}
