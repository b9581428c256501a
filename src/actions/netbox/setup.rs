//! `netbox.setup`: the custom fields that guests are told by, and the cluster that they belong to.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{NetboxDeps, PAUSE, PRIVILEGES, TRIES, cluster, configured, failed, read, settled};
use crate::clients::netbox::{Netbox, NetboxError, Objects};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::inventory::netbox::{FIELDS, MARK};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

const TYPE: &str = "Proxmox VE";
const SLUG: &str = "proxmox-ve";
const FOR: &str = "virtualization.virtualmachine";

/// The act.
pub struct NetboxSetup {
    spec: ActionSpec,
    deps: Option<NetboxDeps>,
}

/// Something that there must be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Field { name: &'static str, ty: &'static str, help: &'static str },
    Type,
    Cluster(String),
}

impl Part {
    /// In the order in which they can be made.
    fn all(cluster: &str) -> Vec<Self> {
        let mut all = vec![Self::Type, Self::Cluster(cluster.to_owned())];
        all.extend(FIELDS.map(|(name, ty, help)| Self::Field { name, ty, help }));
        all
    }

    fn name(&self) -> String {
        match self {
            Self::Field { name, .. } => format!("field/{name}"),
            Self::Type => format!("cluster_type/{TYPE}"),
            Self::Cluster(name) => format!("cluster/{name}"),
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Field { name, .. } => format!("custom field {name}"),
            Self::Type => format!("cluster type {TYPE}"),
            Self::Cluster(name) => format!("cluster {name}"),
        }
    }

    fn key(&self) -> ResourceKey {
        ResourceKey::new(format!("netbox/{}", self.name()))
    }

    /// As the World shows it when it is made.
    fn shown(&self) -> Value {
        match self {
            Self::Field { ty, .. } => json!({"type": ty, "object_types": [FOR]}),
            Self::Type => json!({"slug": SLUG}),
            Self::Cluster(_) => json!({"type": TYPE, "status": "active"}),
        }
    }

    /// Why one that is there will not do.
    fn wrong(&self, there: &Value) -> Option<String> {
        let Self::Field { name, .. } = self else { return None };
        let serves = there["object_types"].as_array().is_some_and(|all| all.iter().any(|kind| kind == FOR));
        if !serves {
            return Some(format!(
                "custom field {name} is there, and not for virtual machines: give it that object type"
            ));
        }
        let text = *name != MARK || there["type"] == "text";
        (!text).then(|| format!("custom field {MARK} is there, and is no text but {}", there["type"]))
    }

    fn objects(&self) -> Objects {
        match self {
            Self::Field { .. } => Objects::CustomFields,
            Self::Type => Objects::ClusterTypes,
            Self::Cluster(_) => Objects::Clusters,
        }
    }

    fn called(&self) -> &str {
        match self {
            Self::Field { name, .. } => name,
            Self::Type => TYPE,
            Self::Cluster(name) => name,
        }
    }

    async fn make(&self, netbox: &Netbox) -> Result<(), NetboxError> {
        let body = match self {
            Self::Field { name, ty, help } => {
                json!({"name": name, "type": ty, "object_types": [FOR], "description": help,
                "filter_logic": "exact"})
            }
            Self::Type => json!({"name": TYPE, "slug": SLUG}),
            Self::Cluster(name) => {
                let of = read::named(netbox, Objects::ClusterTypes, TYPE).await?;
                json!({"name": name, "type": of.map(|of| of["id"].clone()), "status": "active"})
            }
        };
        netbox.create(self.objects(), body).await.map(drop)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Before {
    cluster: String,
    /// Those that are not there (or, to be taken away, those that are).
    open: Vec<String>,
}

impl NetboxSetup {
    pub fn new(deps: Option<NetboxDeps>) -> Self {
        let spec =
            ActionSpec::new("netbox.setup", Effect::Destroy, "Make what a NetBox needs to keep this site's guests")
                .effect_by("state", &[("present", Effect::Change), ("absent", Effect::Destroy)])
                .param(
                    Param::new("cluster", ValueType::String).help("The cluster's name there [default: netbox.cluster]"),
                )
                .param(
                    Param::new("only", ValueType::List)
                        .items(ValueType::String)
                        .help("Only these: field/NAME, cluster/NAME, cluster_type/NAME; what a rollback takes away"),
                )
                .param(
                    Param::new("state", ValueType::String)
                        .choices(&["present", "absent"])
                        .default_value("present")
                        .help("absent takes them away, custom fields with all their values"),
                )
                .output("made", ValueType::List, "What was not there")
                .needs_privilege(PRIVILEGES)
                .undoable();
        Self { spec, deps }
    }

    fn parts(&self, call: &Call) -> Result<(String, Vec<Part>), Failure> {
        let cluster = cluster(call, configured(self.deps.as_ref())?)?;
        let only = call.arg::<Option<Vec<String>>>("only")?.filter(|only| !only.is_empty());
        let mut parts = Part::all(&cluster);
        if let Some(only) = only {
            parts.retain(|part| only.contains(&part.name()));
        }
        Ok((cluster, parts))
    }

    /// Those that are to be made, or to be taken away.
    async fn open(&self, call: &Call, world: &dyn World) -> Result<(String, Vec<Part>), Unreadable> {
        let (cluster, parts) = self.parts(call)?;
        let mut open = Vec::new();
        for part in parts {
            let there = world.read(&part.key()).await?.known(&part.title())?;
            let wanted = is_absent(call) != there.is_null();
            if let Some(why) = part.wrong(&there).filter(|_| !there.is_null() && !is_absent(call)) {
                return Err(Failure::new(Class::Precondition, "set a NetBox up", why).into());
            }
            if wanted {
                open.push(part);
            }
        }
        Ok((cluster, open))
    }

    /// Until all is so, or will not be.
    async fn work(&self, call: &Call, mutate: &Mutate) -> Result<(), Failure> {
        let netbox = mutate.client::<Netbox>()?;
        let (mut done, mut tries, mut lost) = (Done::None, 0, false);
        loop {
            let Err((attempted, error)) = self.once(call, &netbox, &mut done).await? else { return Ok(()) };
            tries += 1;
            if !error.may_pass() || tries >= TRIES || mutate.stop.sleep(PAUSE * tries).await {
                let failure = failed(attempted, &error, done);
                return Err(if lost && done == Done::None { failure.lost() } else { failure });
            }
            // It looks again before it sends anything.
            lost |= error.may_be_done();
        }
    }

    async fn once(
        &self,
        call: &Call,
        netbox: &Netbox,
        done: &mut Done,
    ) -> Result<Result<(), (String, NetboxError)>, Failure> {
        let (_, mut parts) = self.parts(call)?;
        if is_absent(call) {
            // What others belong to comes last.
            parts.sort_by_key(|part| match part {
                Part::Cluster(_) => 0,
                Part::Type => 1,
                Part::Field { .. } => 2,
            });
        }
        for part in parts {
            let attempted = format!("{} {}", if is_absent(call) { "take away" } else { "make" }, part.title());
            let there = read::named(netbox, part.objects(), part.called()).await;
            let result = match (is_absent(call), there) {
                (_, Err(error)) => Err(error),
                (true, Ok(Some(object))) => {
                    netbox.delete(part.objects(), object["id"].as_u64().unwrap_or_default()).await
                }
                (false, Ok(None)) => part.make(netbox).await,
                _ => continue,
            };
            if let Err(error) = result {
                return Ok(Err((attempted, error)));
            }
            *done = Done::Partial;
        }
        Ok(Ok(()))
    }

    fn outputs(before: &Before) -> Value {
        json!({"made": before.open})
    }
}

fn is_absent(call: &Call) -> bool {
    call.get("state") == "absent"
}

fn before(value: &Value) -> Result<Before, Failure> {
    Before::deserialize(value).map_err(|e| Failure::new(Class::Internal, "read what a probe found", e.to_string()))
}

#[async_trait]
impl Action for NetboxSetup {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let (cluster, open) = self.open(call, world).await?;
        let titles: Vec<String> = open.iter().map(Part::title).collect();
        let summary = match (is_absent(call), titles.is_empty()) {
            (_, true) => "NetBox: all is so already".to_owned(),
            (false, false) => format!("NetBox: + {}", titles.join(", ")),
            (true, false) => format!("NetBox: - {}", titles.join(", ")),
        };
        let open = open.iter().map(Part::name).collect::<Vec<_>>();
        let mut probe = Probe::new(summary, json!(Before { cluster, open: open.clone() }));
        probe.satisfied = open.is_empty();
        Ok(probe)
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let (Ok(before), Ok((_, parts))) = (before(&probe.before), self.parts(call)) else {
            return Prediction::default();
        };
        let outputs = Self::outputs(&before).as_object().cloned().unwrap_or_default().into_iter().collect();
        let open = parts.into_iter().filter(|part| before.open.contains(&part.name()));
        let deltas = open.map(|part| {
            let patch = if is_absent(call) { Value::Null } else { part.shown() };
            Delta { resource: part.key(), patch }
        });
        Prediction { deltas: deltas.collect(), outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        self.work(call, mutate).await?;
        Ok(Self::outputs(&before(&intent.before)?))
    }

    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.apply(call, intent, mutate).await.map_err(|failure| failure.done(Done::Partial))
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let (_, open) = self.open(call, world).await.map_err(settled)?;
        if open.is_empty() {
            return Ok(());
        }
        let titles: Vec<String> = open.iter().map(Part::title).collect();
        let still = if is_absent(call) { "still there" } else { "not there" };
        Err(Failure::new(Class::Verify, "set a NetBox up", format!("{still}: {}", titles.join(", "))))
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = before(&intent.before)?;
        let (_, open) = self.open(call, world).await.map_err(settled)?;
        Ok(match open.len() {
            0 => Recovery::Done(Self::outputs(&before)),
            left if left == before.open.len() => {
                Recovery::Unseen { done: Done::None, evidence: "NetBox has none of it".into() }
            }
            // What is there stays, and the rest is made.
            left => Recovery::Running(json!({"left": left})),
        })
    }

    fn undo(&self, call: &Call, was: &Value, _: Option<&Value>) -> Option<Invocation> {
        let before = before(was).ok().filter(|before| !before.open.is_empty() && !is_absent(call))?;
        let with = Map::from_iter([
            ("cluster".to_owned(), json!(before.cluster)),
            ("only".to_owned(), json!(before.open)),
            ("state".to_owned(), json!("absent")),
        ]);
        Some(Invocation { uses: self.spec.name.clone(), with: Value::Object(with) })
    }

    fn undo_summary(&self, call: &Call, probe: &Probe) -> Option<String> {
        self.undo(call, &probe.before, None).map(|_| "what was made is taken away again".to_owned())
    }
}
