//! `netbox.guest`: one guest's virtual machine, interfaces, MAC and IP addresses made so, or taken away.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::converge::Converge;
use super::{PAUSE, PRIVILEGES, TRIES, failed, guest_key, settled};
use crate::clients::netbox::{Netbox, NetboxError};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::inventory::netbox::{Record, diff, title};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

/// Lines of a plan's summary.
const LINES: usize = 12;

/// The act.
pub struct NetboxGuest {
    spec: ActionSpec,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    key: String,
    now: Option<Record>,
    wanted: Option<Record>,
    /// It had no mark.
    adopts: Option<u64>,
}

impl Before {
    fn lines(&self) -> Vec<String> {
        let mut lines = diff(self.now.as_ref(), self.wanted.as_ref());
        if let Some(id) = self.adopts {
            lines.insert(0, format!("~ virtual machine {id} is taken over: it gets our mark"));
        }
        lines
    }

    fn title(&self) -> String {
        let record = self.wanted.as_ref().or(self.now.as_ref());
        record.map_or_else(|| self.key.clone(), title)
    }

    fn outputs(&self) -> Value {
        json!({"key": self.key, "changes": self.lines()})
    }
}

impl Default for NetboxGuest {
    fn default() -> Self {
        let key = Param::new("key", ValueType::String).required();
        let mut key = key.help("SITE/VMID: only what carries it as its mark is changed");
        key.pattern = Some("[^/]+/[0-9]+".into());
        let spec = ActionSpec::new("netbox.guest", Effect::Destroy, "Make one guest's objects in a NetBox so")
            .effect_by("state", &[("present", Effect::Change), ("absent", Effect::Destroy)])
            .param(key)
            .param(Param::new("record", ValueType::Map).help("What there should be, as netbox.compare puts it out"))
            .param(
                Param::new("state", ValueType::String)
                    .choices(&["present", "absent"])
                    .default_value("present")
                    .help("absent takes the virtual machine away with its interfaces and addresses"),
            )
            .param(
                Param::new("adopt", ValueType::Int).help("The number of a virtual machine without a mark to take over"),
            )
            .param(
                Param::new("exact", ValueType::Bool)
                    .default_value(false)
                    .help("What the record does not say is emptied; otherwise it stays"),
            )
            .output("key", ValueType::String, "SITE/VMID")
            .output("changes", ValueType::List, "What was different, a line each")
            .needs_privilege(PRIVILEGES)
            .undoable();
        Self { spec }
    }
}

fn is_absent(call: &Call) -> bool {
    call.get("state") == "absent"
}

fn before(value: &Value) -> Result<Before, Failure> {
    Before::deserialize(value).map_err(|e| Failure::new(Class::Internal, "read what a probe found", e.to_string()))
}

fn record(value: &Value) -> Result<Option<Record>, Failure> {
    serde_json::from_value(value.clone())
        .map_err(|e| Failure::new(Class::Internal, "read a record of a NetBox", e.to_string()))
}

async fn known(world: &dyn World, key: &ResourceKey, what: &str) -> Result<Option<Record>, Unreadable> {
    Ok(record(&*world.read(key).await?.known(what)?)?)
}

impl NetboxGuest {
    fn wanted(call: &Call, key: &str, now: Option<&Record>) -> Result<Option<Record>, Failure> {
        let refuse = |cause: String| Failure::new(Class::Precondition, format!("keep {key} in a NetBox"), cause);
        if is_absent(call) {
            return Ok(None);
        }
        let given = call.get("record");
        if given.is_null() {
            return Err(
                refuse("`record` is missing".into()).remedy("take it from netbox.compare, or give state: absent")
            );
        }
        let record: Record = serde_json::from_value(given.clone()).map_err(|e| refuse(format!("record: {e}")))?;
        if record.name.is_empty() || record.name.chars().count() > 64 || record.cluster.is_empty() {
            return Err(refuse("record: name (1 to 64 letters) and cluster are needed".into()));
        }
        let record = Record { key: key.to_owned(), ..record };
        let exact = call.arg::<Option<bool>>("exact")?.unwrap_or(false);
        Ok(Some(if exact { record.sorted() } else { record.filled(now) }))
    }

    async fn look(call: &Call, world: &dyn World) -> Result<Before, Unreadable> {
        let key: String = call.arg("key")?;
        let mut now = known(world, &guest_key(&key), &format!("NetBox's {key}")).await?;
        let mut adopts = None;
        if let (None, Some(id), false) = (&now, call.arg::<Option<u64>>("adopt")?, is_absent(call)) {
            now = known(world, &ResourceKey::new(format!("netbox/vm/{id}")), "a virtual machine of NetBox").await?;
            let attempted = format!("take virtual machine {id} over");
            let fail = |cause: String| Failure::new(Class::Precondition, attempted, cause);
            match &now {
                None => return Err(fail("NetBox has no such virtual machine".into()).into()),
                Some(other) if !other.key.is_empty() => return Err(fail(format!("it is {} already", other.key)).into()),
                Some(_) => adopts = Some(id),
            }
        }
        let wanted = Self::wanted(call, &key, now.as_ref())?;
        Ok(Before { key, now, wanted, adopts })
    }

    fn attempted(call: &Call, before: &Before) -> String {
        let verb = if is_absent(call) { "take out of" } else { "keep in" };
        format!("{verb} NetBox: {}", before.title())
    }

    /// Until it is so, or will not be.
    async fn work(call: &Call, before: &Before, mutate: &Mutate) -> Result<Value, Failure> {
        let netbox = mutate.client::<Netbox>()?;
        let adopt = call.arg("adopt")?;
        let mut work = Converge::new(&netbox, &before.key, adopt);
        let (mut tries, mut lost): (u32, Option<NetboxError>) = (0, None);
        loop {
            let result = match &before.wanted {
                Some(wanted) => work.present(wanted).await,
                None => work.absent().await,
            };
            let error = match result {
                Ok(()) => return Ok(before.outputs()),
                Err(error) => error,
            };
            tries += 1;
            if error.may_pass() && tries < TRIES && !mutate.stop.sleep(PAUSE * tries).await {
                // It looks again before it sends anything, and sends only what is still missing.
                lost = Some(error).filter(NetboxError::may_be_done).or(lost);
                continue;
            }
            let done = if work.work.writes > 0 { Done::Partial } else { Done::None };
            let failure = failed(Self::attempted(call, before), &error, done);
            return Err(if lost.is_some() && done == Done::None { failure.lost() } else { failure });
        }
    }
}

#[async_trait]
impl Action for NetboxGuest {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let before = Self::look(call, world).await?;
        let lines = before.lines();
        let more = lines.len().saturating_sub(LINES);
        let mut shown = lines.iter().take(LINES).cloned().collect::<Vec<_>>().join("; ");
        if more > 0 {
            shown = format!("{shown}; and {more} more");
        }
        let summary = match (lines.is_empty(), &before.now, &before.wanted) {
            (true, None, None) => format!("{}: NetBox has none", before.key),
            (true, ..) => format!("{}: is so already", before.title()),
            (false, Some(_), Some(_)) => format!("{}: {shown}", before.title()),
            (false, ..) => shown,
        };
        let mut probe = Probe::new(summary, json!(before));
        probe.satisfied = lines.is_empty();
        Ok(probe)
    }

    fn predict(&self, _: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = before(&probe.before) else { return Prediction::default() };
        let outputs = before.outputs().as_object().cloned().unwrap_or_default().into_iter().collect();
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let key = guest_key(&before.key);
        let taints = vec![(ResourceKey::new("netbox/guests"), format!("{} changes", before.title()))];
        Prediction { deltas: vec![Delta { resource: key, patch: json!(before.wanted) }], taints, outputs }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        Self::work(call, &before(&intent.before)?, mutate).await
    }

    /// Goes on with what was interrupted in the middle.
    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        Self::work(call, &before(&intent.before)?, mutate).await.map_err(|failure| failure.done(Done::Partial))
    }

    async fn verify(&self, _: &Call, was: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let before = before(was)?;
        let now = known(world, &guest_key(&before.key), "NetBox").await.map_err(settled)?;
        let left = diff(now.as_ref(), before.wanted.as_ref());
        if left.is_empty() {
            return Ok(());
        }
        let attempted = format!("verify: NetBox has {}", before.title());
        Err(Failure::new(Class::Verify, attempted, "read back, it is not as it was made").details(left))
    }

    async fn recover(
        &self,
        _: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = before(&intent.before)?;
        let mut now = known(world, &guest_key(&before.key), "NetBox").await.map_err(settled)?;
        if let (None, Some(id)) = (&now, before.adopts) {
            let key = ResourceKey::new(format!("netbox/vm/{id}"));
            now = known(world, &key, "NetBox").await.map_err(settled)?;
        }
        Ok(if diff(now.as_ref(), before.wanted.as_ref()).is_empty() {
            Recovery::Done(before.outputs())
        } else if diff(now.as_ref(), before.now.as_ref()).is_empty() {
            Recovery::Unseen { done: Done::None, evidence: format!("NetBox has {} as before", before.title()) }
        } else {
            // What is there stays, and the rest is made.
            Recovery::Running(json!({"left": diff(now.as_ref(), before.wanted.as_ref())}))
        })
    }

    fn undo(&self, _: &Call, was: &Value, _: Option<&Value>) -> Option<Invocation> {
        let before = before(was).ok().filter(|before| before.adopts.is_none())?;
        let with = match before.now {
            Some(now) => Map::from_iter([
                ("key".to_owned(), json!(before.key)),
                ("record".to_owned(), json!(now)),
                ("exact".to_owned(), json!(true)),
                ("state".to_owned(), json!("present")),
            ]),
            None => Map::from_iter([("key".to_owned(), json!(before.key)), ("state".to_owned(), json!("absent"))]),
        };
        Some(Invocation { uses: self.spec.name.clone(), with: Value::Object(with) })
    }

    fn undo_summary(&self, _: &Call, probe: &Probe) -> Option<String> {
        let before = before(&probe.before).ok().filter(|before| before.adopts.is_none())?;
        let what = match (before.now.is_some(), before.wanted.is_some()) {
            (false, _) => "is taken away again",
            (true, true) => "is as before again",
            (true, false) => "is made again, under other numbers",
        };
        Some(format!("{} {what}", before.title()))
    }
}
