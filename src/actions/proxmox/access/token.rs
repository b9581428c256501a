//! `proxmox.token`: makes an API token whose secret, which the server says once only, goes straight into a store of
//! secrets, or takes a token away.
//!
//! The place in the store is written before the token is made, so that a store which takes nothing costs no token. What
//! is never done is to ask for it again: a token whose answer was lost is there, and nobody has its secret.

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::ensure::{All, Fields, is_absent, refused};
use super::secret;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::Request;
use crate::actions::proxmox::look;
use crate::actions::proxmox::resource::Resource;
use crate::actions::proxmox::source::ProxmoxSource;
use crate::actions::proxmox::typed;
use crate::actions::proxmox::work::Work;
use crate::clients::keeper::{Keeper, Kept};
use crate::clients::proxmox::{Params, Verb, seg};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// The action.
pub struct TokenMake {
    spec: ActionSpec,
    timing: Timing,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    now: Option<Fields>,
    /// As the World has it.
    kept: Value,
}

impl TokenMake {
    pub fn new(timing: Timing) -> Self {
        let named = |name, pattern: &str, help: &str| Param {
            pattern: Some(pattern.into()),
            ..Param::new(name, ValueType::String).required().help(help)
        };
        let spec =
            ActionSpec::new("proxmox.token", Effect::Change, "Make an API token, its secret kept and never shown")
                .param(named("user", r"[^\s:/!@]+@[A-Za-z][A-Za-z0-9.\-_]+", "Whose: user@realm"))
                .param(named("name", r"[A-Za-z][A-Za-z0-9.\-_]+", "The token's own name"))
                .param(
                    Param::new("store", ValueType::Secret)
                        .required()
                        .help("Where its id and secret go: pass:PATH or file:PATH"),
                )
                .param(
                    Param::new("privsep", ValueType::Bool)
                        .default_value(true)
                        .help("Whether it has only the rights that are given to it, of its user's; false: all of them"),
                )
                .param(Param {
                    min: Some(0.0),
                    ..Param::new("expire", ValueType::Int).help("Until when, in seconds since 1970; 0: for ever")
                })
                .param(Param::new("comment", ValueType::String).help("For people"))
                .param(
                    Param::new("state", ValueType::String)
                        .choices(&["present", "absent"])
                        .default_value("present")
                        .help("absent takes it away, and out of the store"),
                )
                .output("token", ValueType::String, "Its whole id: user@realm!name")
                .output("store", ValueType::String, "Where its secret is: a reference")
                .needs_privilege("User.Modify on /access/groups")
                .undoable();
        Self { spec, timing }
    }
}

fn text<'a>(call: &'a Call, name: &str) -> &'a str {
    call.get(name).as_str().unwrap_or_default()
}

fn id(call: &Call) -> String {
    format!("{}!{}", text(call, "user"), text(call, "name"))
}

fn attempted(call: &Call) -> String {
    format!("{} token {}", if is_absent(call) { "take away" } else { "make" }, id(call))
}

fn outputs(call: &Call) -> Value {
    json!({"token": id(call), "store": text(call, "store")})
}

/// Whether the store has this token with its secret.
fn is_kept(call: &Call, kept: &Value) -> bool {
    kept["token"] == id(call) && kept["whole"] == true
}

/// What a person does who has no secret for a token that is there.
fn take_away(call: &Call) -> String {
    let (user, name) = (text(call, "user"), text(call, "name"));
    format!("delete the token (pveum user token delete {user} {name}), then run again: a new one is made")
}

fn path(call: &Call) -> String {
    format!("/access/users/{}/token/{}", seg(text(call, "user")), seg(text(call, "name")))
}

fn request(call: &Call) -> Request {
    if is_absent(call) {
        return Request::at_once(Verb::Delete, path(call), Params::new());
    }
    let params = Params::new()
        .flag("privsep", call.get("privsep") != false)
        .opt("expire", call.get("expire").as_u64())
        .opt("comment", call.get("comment").as_str());
    Request::at_once(Verb::Post, path(call), params)
}

/// Whether an earlier token of this name is of another kind than is asked for.
fn is_other(call: &Call, now: &Fields) -> Option<String> {
    let wanted = ["privsep", "expire"].into_iter().filter(|name| !call.get(name).is_null());
    let mut each = wanted.filter(|name| now.get(*name) != Some(call.get(name)));
    each.next().map(|name| {
        let is = now.get(name).cloned().unwrap_or_default();
        format!("token {} is there with {name}: {is}, not {}", id(call), call.get(name))
    })
}

async fn now(call: &Call, world: &dyn World) -> Result<Option<Fields>, Unreadable> {
    let mut all: All = look::read(world, Resource::Tokens).await?;
    Ok(all.remove(&id(call)))
}

async fn kept(call: &Call, world: &dyn World) -> Result<Value, Unreadable> {
    let key = secret::key(text(call, "store"));
    Ok((*world.read(&key).await?.known("the store of secrets")?).clone())
}

/// What makes it impossible to make, or to take for made.
fn check(call: &Call, before: &Before) -> Result<(), Failure> {
    let store = text(call, "store");
    let Some(now) = &before.now else {
        // A token that is not there any more opens nothing: its entry is free.
        return match before.kept["token"].as_str() {
            _ if before.kept.is_null() => Ok(()),
            Some(kept) if kept == id(call) => Ok(()),
            other => {
                let what = other.map_or_else(|| "something that is no token".to_owned(), |id| format!("token {id}"));
                let cause = format!("{store} has {what} already");
                Err(refused(attempted(call), cause).remedy("name another place, or empty that one"))
            }
        };
    };
    if let Some(other) = is_other(call, now) {
        let remedy = format!("ask for it as it is, change it (pveum user token modify), or {}", take_away(call));
        return Err(refused(attempted(call), other).remedy(remedy));
    }
    if is_kept(call, &before.kept) {
        return Ok(());
    }
    let cause = format!("the token is there, and {store} has not its secret, which the server says once only");
    Err(refused(attempted(call), cause).remedy(format!("put the secret into {store}, or {}", take_away(call))))
}

/// What it is given would go with it, unsaid.
async fn has_no_entries(call: &Call, world: &dyn World) -> Result<(), Unreadable> {
    let lines: All = look::read(world, Resource::Acl).await?;
    let Some(line) = lines.keys().find(|line| line.split(' ').nth(2) == Some(&id(call))) else { return Ok(()) };
    let cause = format!("an entry of the access control list, {line}, would go with it");
    let remedy = "take that away first (proxmox.acl with state: absent)";
    Err(refused(attempted(call), cause).remedy(remedy).into())
}

struct Making<'a> {
    call: &'a Call,
    work: Work<'a>,
    keeper: std::sync::Arc<Keeper>,
}

impl Making<'_> {
    fn store(&self) -> &str {
        text(self.call, "store")
    }

    async fn make(&self) -> Result<(), Failure> {
        let (id, not_kept) = (id(self.call), |why: String| self.work.failure(Class::Precondition, why));
        self.keeper.keep(self.store(), &id, None).await.map_err(not_kept)?;
        let request = request(self.call);
        let answer = match self.work.change(request.verb, &request.path, &request.params).await {
            Ok(answer) => answer,
            Err(failure) => {
                // Whose answer was lost may still be made: its place is what a recovery goes by.
                if !failure.lost && self.is_missing().await {
                    self.empty().await;
                }
                return Err(failure);
            }
        };
        let secret = answer["value"].as_str().map(|text| SecretString::from(text.to_owned()));
        drop(answer);
        let Some(secret) = secret.filter(|secret| !secret.expose_secret().is_empty()) else {
            let failure = self.work.failure(Class::Failed, "the server's answer has no secret");
            return Err(failure.done(Done::Whole).remedy(take_away(self.call)));
        };
        self.keeper.conceal(&secret);
        match self.keeper.keep(self.store(), &id, Some(&secret)).await {
            Ok(()) => Ok(()),
            Err(why) => Err(self.undone(why).await),
        }
    }

    async fn is_missing(&self) -> bool {
        let source = ProxmoxSource::new((*self.work.site).clone());
        matches!(now(self.call, &source).await, Ok(None))
    }

    /// The store has refused the secret: the token, which nobody else can have used, is taken away again.
    async fn undone(&self, why: String) -> Failure {
        let cause = format!("the store has not taken its secret: {why}");
        match self.work.change(Verb::Delete, &path(self.call), &Params::new()).await {
            Ok(_) => self.work.failure(Class::Failed, format!("{cause}; the token was taken away again")),
            Err(error) => {
                let cause = format!("{cause}; and the token could not be taken away again: {}", error.cause);
                self.work.failure(Class::Failed, cause).done(Done::Whole).remedy(take_away(self.call))
            }
        }
    }

    async fn take_away(&self) -> Result<(), Failure> {
        let request = request(self.call);
        self.work.change(request.verb, &request.path, &request.params).await?;
        self.empty().await;
        Ok(())
    }

    /// What is left there opens nothing: that it stays is told and no failure.
    async fn empty(&self) {
        let own = match self.keeper.kept(self.store()).await {
            Ok(Kept::Token { id, .. }) => id == self::id(self.call),
            _ => false,
        };
        if own && let Err(why) = self.keeper.forget(self.store()).await {
            self.work.mutate.log(&format!("{} stays: {why}", self.store()));
        }
    }
}

#[async_trait]
impl Action for TokenMake {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let before = Before { now: now(call, world).await?, kept: kept(call, world).await? };
        let (id, store) = (id(call), text(call, "store"));
        let mut probe = Probe::new(String::new(), json!(before));
        if is_absent(call) {
            probe.satisfied = before.now.is_none();
            if !probe.satisfied {
                has_no_entries(call, world).await?;
            }
            probe.effect = before.now.as_ref().map(|_| Effect::Destroy);
            let what = if probe.satisfied { "there is none" } else { "is taken away" };
            probe.summary = format!("token {id}: {what}");
            return Ok(probe);
        }
        check(call, &before)?;
        probe.satisfied = before.now.is_some();
        probe.summary = match probe.satisfied {
            true => format!("token {id}: is there, its secret in {store}"),
            false => format!("token {id}: is made, its secret goes to {store}"),
        };
        if !probe.satisfied && call.get("privsep") == false {
            probe.notes.push(format!("token {id} may do all that {} may", text(call, "user")));
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Value::Object(out) = outputs(call) else { return Prediction::default() };
        let outputs = out.into_iter().collect();
        if before.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let (token, entry) = if is_absent(call) {
            (Value::Null, Value::Null)
        } else {
            let expire = call.get("expire").as_u64().unwrap_or(0);
            let mut token = json!({"privsep": call.get("privsep") != false, "expire": expire});
            if let Some(comment) = call.get("comment").as_str().filter(|comment| !comment.is_empty()) {
                token["comment"] = json!(comment);
            }
            (token, json!({"token": id(call), "whole": true}))
        };
        let store = secret::key(text(call, "store"));
        let why = format!("{} changes token {}", call.path, id(call));
        Prediction {
            deltas: vec![
                Delta { resource: Resource::Tokens.key(), patch: Map::from_iter([(id(call), token)]).into() },
                Delta { resource: store, patch: entry },
            ],
            taints: vec![
                (ResourceKey::from("proxmox/api/access"), why.clone()),
                (Resource::PermissionsOf(id(call)).key(), why.clone()),
                (secret::permissions_key(text(call, "store")), why),
            ],
            outputs,
        }
    }

    async fn apply(&self, call: &Call, _: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let work = Work::new(mutate, attempted(call))?;
        let making = Making { call, work, keeper: mutate.client::<Keeper>()? };
        if is_absent(call) {
            making.take_away().await?;
        } else {
            making.make().await?;
        }
        Ok(outputs(call))
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let until = Instant::now() + self.timing.settle;
        loop {
            let now = now(call, world).await.map_err(look::settled)?;
            let seen = match (is_absent(call), now) {
                (true, None) => return Ok(()),
                (true, Some(_)) => "it is listed",
                (false, None) => "it is not listed",
                (false, Some(_)) if is_kept(call, &kept(call, world).await.map_err(look::settled)?) => return Ok(()),
                (false, Some(_)) => "it is listed, and the store has not its secret",
            };
            if Instant::now() >= until {
                let failure =
                    Failure::new(Class::Verify, format!("verify: {}", attempted(call)), format!("seen last: {seen}"));
                return Err(failure.done(Done::Whole));
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let (until, was): (_, Before) = (Instant::now() + self.timing.late_task, look::before(&intent.before)?);
        loop {
            let now = now(call, world).await.map_err(look::settled)?;
            let is = match (is_absent(call), now) {
                (true, None) => return Ok(Recovery::Done(outputs(call))),
                (true, Some(_)) => format!("token {} is listed", id(call)),
                (false, Some(_)) => {
                    let kept = kept(call, world).await.map_err(look::settled)?;
                    // Of a dead token of this name the store may have had the secret before.
                    if is_kept(call, &kept) && !is_kept(call, &was.kept) {
                        return Ok(Recovery::Done(outputs(call)));
                    }
                    let why = "token is there, and its secret, which the server says once only, was not heard";
                    return Ok(Recovery::InDoubt(format!("the {why}: {}", take_away(call))));
                }
                (false, None) => format!("token {} is not listed", id(call)),
            };
            if Instant::now() >= until {
                let waited = self.timing.late_task.as_secs();
                let evidence = format!("{is}, and nothing of it has shown within {waited} s");
                return Ok(Recovery::Unseen { done: Done::None, evidence });
            }
            tokio::time::sleep(self.timing.poll).await;
        }
    }

    /// One that is taken away cannot be made again as it was: a new one has another secret.
    fn undo(&self, call: &Call, before: &Value, _: Option<&Value>) -> Option<Invocation> {
        let before: Before = look::before(before).ok()?;
        if is_absent(call) || before.now.is_some() {
            return None;
        }
        let with = json!({"user": text(call, "user"), "name": text(call, "name"), "store": text(call, "store"), "state": "absent"});
        Some(Invocation { uses: self.spec.name.clone(), with })
    }

    fn undo_summary(&self, call: &Call, _: &Probe) -> Option<String> {
        (!is_absent(call)).then(|| format!("token {} is taken away again, and out of the store", id(call)))
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let listed =
            typed::check(&typed::call(Verb::Get, "/access/users", &Params::new().flag("full", true)), "it is listed");
        let said = format!("# its secret is printed once: keep it under {}", text(call, "store"));
        let own = request(call).typed();
        if is_absent(call) { vec![own] } else { vec![said, own, listed] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::{FakeWorld, call, intent};

    const STORE: &str = "secret/pass%3Alab%2Fnew";
    const ID: &str = "ops@pve!new";

    fn asked() -> Call {
        call(json!({"user": "ops@pve", "name": "new", "store": "pass:lab/new", "privsep": true, "state": "present"}))
    }

    fn world(tokens: Value, kept: Value) -> FakeWorld {
        FakeWorld::default().with("proxmox/tokens", tokens).with(STORE, kept).with("proxmox/acl", json!({}))
    }

    fn action() -> TokenMake {
        let quick = std::time::Duration::ZERO;
        TokenMake::new(Timing { late_task: quick, poll: quick, ..Timing::default() })
    }

    fn there() -> Value {
        json!({ID: {"privsep": true, "expire": 0}})
    }

    fn own(whole: bool) -> Value {
        json!({"token": ID, "whole": whole})
    }

    #[tokio::test]
    async fn one_that_is_there_is_left_alone_where_its_secret_is_kept() {
        let probe = action().probe(&asked(), &world(there(), own(true))).await.unwrap();
        assert!(probe.satisfied, "{}", probe.summary);
        for kept in [Value::Null, own(false), json!({}), json!({"token": "a@pve!b", "whole": true})] {
            let refusal = action().probe(&asked(), &world(there(), kept)).await.unwrap_err();
            let Unreadable::Failed(failure) = refusal else { panic!("{refusal:?}") };
            assert!(failure.cause.contains("has not its secret"), "{}", failure.cause);
            assert!(failure.remedy.unwrap().contains("pveum user token delete ops@pve new"));
        }
        let other = world(json!({ID: {"privsep": false, "expire": 0}}), own(true));
        assert!(action().probe(&asked(), &other).await.unwrap_err().to_string().contains("privsep: false"));
    }

    #[tokio::test]
    async fn only_a_free_place_or_that_of_a_dead_token_is_written() {
        for kept in [Value::Null, own(false), own(true)] {
            assert!(!action().probe(&asked(), &world(json!({}), kept)).await.unwrap().satisfied);
        }
        for kept in [json!({}), json!({"token": "a@pve!b", "whole": true})] {
            let refusal = action().probe(&asked(), &world(json!({}), kept)).await.unwrap_err().to_string();
            assert!(refusal.contains("pass:lab/new has"), "{refusal}");
        }
    }

    #[tokio::test]
    async fn a_lost_answer_is_never_asked_for_again() {
        let recover = async |was: Value, tokens: Value, kept: Value| {
            let intent = intent(json!(Before { now: None, kept: was }), &[]);
            action().recover(&asked(), &intent, None, &world(tokens, kept)).await.unwrap()
        };
        let lost = recover(Value::Null, there(), own(false)).await;
        let Recovery::InDoubt(why) = lost else { panic!("{lost:?}") };
        assert!(why.contains("was not heard") && why.contains("pveum user token delete"), "{why}");
        let kept = recover(Value::Null, there(), own(true)).await;
        assert_eq!(kept, Recovery::Done(json!({"token": ID, "store": "pass:lab/new"})));
        let stale = recover(own(true), there(), own(true)).await;
        assert!(matches!(stale, Recovery::InDoubt(_)), "the secret is that of an earlier one: {stale:?}");
        let unseen = recover(Value::Null, json!({}), own(false)).await;
        assert!(matches!(unseen, Recovery::Unseen { done: Done::None, .. }), "{unseen:?}");
    }

    #[tokio::test]
    async fn what_is_given_to_it_is_taken_away_first() {
        let mut gone = asked();
        gone.with["state"] = json!("absent");
        let line = json!({format!("/ token {ID} Watcher"): {"propagate": true}});
        let with =
            FakeWorld::default().with("proxmox/tokens", there()).with(STORE, own(true)).with("proxmox/acl", line);
        let refusal = action().probe(&gone, &with).await.unwrap_err().to_string();
        assert!(refusal.contains("would go with it"), "{refusal}");
        let probe = action().probe(&gone, &world(there(), own(true))).await.unwrap();
        assert_eq!((probe.satisfied, probe.effect), (false, Some(Effect::Destroy)));
    }
}
