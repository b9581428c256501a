//! `kubernetes.drain`: a node emptied of pods as `kubectl drain` does it, by evictions that keep every budget. A pod that
//! nothing makes again, and one that would lose an emptyDir, stop it before anything is done unless they are allowed.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::blocks::{self, Allowed};
use super::cordon::{self, Before};
use super::look::cluster;
use super::{On, broken, client, node, pods_key, read, settled};
use crate::actions::deps::Timing;
use crate::clients::kubernetes::{Kubernetes, KubernetesError, Pod};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;
use crate::model::param::{Param, ValueType};
use crate::model::world::Delta;

const PRIVILEGES: &str = "none of Proxmox: get and update of nodes, list of pods and budgets, create of pods/eviction, by the cluster's kubeconfig";
/// How many pods a line names.
const NAMED: usize = 6;

/// The act.
pub struct Drain {
    spec: ActionSpec,
    timing: Timing,
}

fn named(pods: &[&Pod]) -> String {
    let mut names: Vec<String> = pods.iter().take(NAMED).map(|pod| pod.title()).collect();
    if pods.len() > NAMED {
        names.push(format!("and {} more", pods.len() - NAMED));
    }
    names.join(", ")
}

/// How a round of evictions went.
struct Round {
    /// That are still there, each with why, where that is known.
    left: Vec<(Pod, Option<String>)>,
    /// Whether anything was asked for that may have been done.
    sent: bool,
}

impl Drain {
    pub fn new(timing: Timing) -> Self {
        let spec = ActionSpec::new("kubernetes.drain", Effect::Disrupt, "Cordon a Kubernetes node and evict its pods")
            .param(cluster())
            .param(Param::new("node", ValueType::String).required().help("Its name in Kubernetes"))
            .param(
                Param::new("within", ValueType::Duration)
                    .default_value(json!(600_000))
                    .help("How long budgets and ending pods are waited for"),
            )
            .param(
                Param::new("bare", ValueType::Bool)
                    .default_value(false)
                    .help("Evict pods that nothing makes again, too: they are lost"),
            )
            .param(
                Param::new("emptydir", ValueType::Bool)
                    .default_value(false)
                    .help("Evict pods with an emptyDir, too: what is in it is lost"),
            )
            .output("node", ValueType::String, "Its name")
            .output("evicted", ValueType::List, "NAMESPACE/NAME of the pods that were there and are not any more")
            .needs_privilege(PRIVILEGES)
            .undoable();
        Self { spec, timing }
    }

    fn attempted(call: &Call) -> String {
        let text = |name: &str| call.get(name).as_str().unwrap_or_default();
        format!("drain {} of {}", text("node"), text("cluster"))
    }

    async fn on(call: &Call, world: &dyn World) -> Result<On, Unreadable> {
        let (cluster, node): (String, String) = (call.arg("cluster")?, call.arg("node")?);
        read(world, &pods_key(&cluster, &node), "the pods of the node").await
    }

    /// # Errors
    /// Pods that must not be evicted without leave.
    fn check(call: &Call, on: &On) -> Result<(), Failure> {
        let stop = blocks::forbidden(on, Allowed::of(call));
        if stop.is_empty() {
            return Ok(());
        }
        let pods: Vec<&Pod> = stop.iter().map(|(pod, _)| *pod).collect();
        let cause = format!("{} must not be evicted without leave", named(&pods));
        let lines = stop.iter().map(|(pod, why)| format!("{}: {why}", pod.title())).collect();
        Err(Failure::new(Class::Precondition, Self::attempted(call), cause)
            .details(lines)
            .remedy("move or remove them, or allow it: bare: true, emptydir: true"))
    }

    async fn round(call: &Call, kube: &Kubernetes) -> Result<Round, KubernetesError> {
        let name = call.get("node").as_str().unwrap_or_default();
        let on = On { pods: kube.pods(Some(name)).await?, budgets: kube.budgets().await? };
        let mut round = Round { left: Vec::new(), sent: false };
        for pod in blocks::leaving(&on, Allowed::of(call)) {
            if pod.ending {
                round.left.push((pod.clone(), Some("it has not ended yet".into())));
                continue;
            }
            match kube.evict(pod).await {
                Ok(()) => {
                    round.sent = true;
                    round.left.push((pod.clone(), Some("it has not ended yet".into())));
                }
                Err(error) if error.is_not_found() || error.is_conflict() => {}
                Err(error) if error.is_too_many() => {
                    let why = blocks::held(pod, &on.budgets).unwrap_or_else(|| error.to_string());
                    round.left.push((pod.clone(), Some(why)));
                }
                Err(error) if error.may_pass() => {
                    round.sent |= error.may_be_done();
                    round.left.push((pod.clone(), Some(error.to_string())));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(round)
    }

    /// Until no pod is left that is to go.
    async fn work(&self, call: &Call, mutate: &Mutate, mut done: Done) -> Result<(), Failure> {
        let attempted = Self::attempted(call);
        let kube = client(call, mutate, &attempted)?;
        let within = Duration::from_millis(call.arg("within")?);
        let until = Instant::now() + within;
        let mut left: Vec<(Pod, Option<String>)> = Vec::new();
        let mut trouble: Option<KubernetesError>;
        loop {
            match Self::round(call, &kube).await {
                Ok(round) => {
                    if round.sent {
                        done = Done::Partial;
                    }
                    trouble = None;
                    left = round.left;
                    if left.is_empty() {
                        return Ok(());
                    }
                }
                Err(error) if error.may_pass() => trouble = Some(error),
                Err(error) => return Err(broken(attempted, &error, done)),
            }
            let pods: Vec<&Pod> = left.iter().map(|(pod, _)| pod).collect();
            mutate.progress(&format!("{} left: {}", pods.len(), named(&pods)), None);
            if Instant::now() >= until || mutate.stop.sleep(self.timing.poll).await {
                break;
            }
        }
        if let Some(error) = trouble {
            return Err(broken(attempted, &error, done));
        }
        let pods: Vec<&Pod> = left.iter().map(|(pod, _)| pod).collect();
        let (class, when) = match mutate.stop.is_set() {
            true => (Class::Failed, "when it was stopped".to_owned()),
            false => (Class::Timeout, format!("after {} s", within.as_secs())),
        };
        let told = |(pod, why): &(Pod, Option<String>)| match why {
            Some(why) => format!("{}: {why}", pod.title()),
            None => format!("{}: still there", pod.title()),
        };
        // Pods of a node that is gone count as missing, and then budgets let no other go.
        let nodes = kube.nodes().await.unwrap_or_default();
        let silent = nodes.iter().filter(|node| node.ready != "True").map(|node| format!("{} is not ready", node.name));
        let lines = left.iter().map(told).chain(silent);
        Err(Failure::new(class, attempted, format!("{} still there {when}", named(&pods)))
            .details(lines.collect())
            .done(done)
            .remedy("the node is cordoned; see what holds the budget (`kubectl get pdb -A`), and drain it again"))
    }

    fn outputs(before: &Value) -> Value {
        json!({"node": before["node"], "evicted": before["leaving"]})
    }

    async fn state(call: &Call, world: &dyn World) -> Result<(bool, Vec<String>), Failure> {
        let node = node(call, world).await.map_err(settled)?;
        let on = Self::on(call, world).await.map_err(settled)?;
        let left = blocks::leaving(&on, Allowed::of(call)).into_iter().map(Pod::title).collect();
        Ok((!node.schedulable, left))
    }
}

#[async_trait]
impl Action for Drain {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let node = node(call, world).await?;
        let before = Before::of(call, &node)?;
        let on = match Self::on(call, world).await {
            Ok(on) => on,
            // An earlier drain moves pods: which ones are here then is known when its turn comes.
            Err(Unreadable::Unknown(_)) => {
                let summary = format!("{}: takes no new pods; those that are there then are evicted", node.name);
                return Ok(Probe::new(summary, json!(before)));
            }
            Err(why) => return Err(why),
        };
        Self::check(call, &on)?;
        let leaving = blocks::leaving(&on, Allowed::of(call));
        let stays = on.pods.len() - leaving.len();
        let summary = match (leaving.is_empty(), node.schedulable) {
            (true, false) => format!("{}: cordoned, no pod on it but {stays} of daemons and its own", node.name),
            (true, true) => format!("{}: takes no new pods; none is to be evicted", node.name),
            (false, _) => format!("{}: {} pods are evicted: {}", node.name, leaving.len(), named(&leaving)),
        };
        let mut value = json!(before);
        value["leaving"] = json!(leaving.iter().map(|pod| pod.title()).collect::<Vec<_>>());
        let lost: Vec<String> = leaving.iter().filter(|pod| pod.owner.is_none()).map(|pod| pod.title()).collect();
        value["lost"] = json!(lost);
        let mut probe = Probe::new(summary, value);
        probe.notes.extend(lost.iter().map(|pod| format!("{pod} is lost: nothing makes it again")));
        probe.satisfied = leaving.is_empty() && !node.schedulable;
        probe.identities = vec![before.identity()];
        for pod in &leaving {
            if let Some(why) = blocks::held(pod, &on.budgets) {
                probe.notes.push(format!("{} waits: {why}", pod.title()));
            }
        }
        if node.ready != "True" && !leaving.is_empty() {
            let why = node.reason.unwrap_or_default();
            probe
                .notes
                .push(format!("{} is not ready ({}): its pods end only when it is back: {why}", node.name, node.ready));
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let Ok(before) = Before::from(&probe.before) else { return Prediction::default() };
        let outputs = Self::outputs(&probe.before).as_object().cloned().unwrap_or_default().into_iter().collect();
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        // Where the pods go is the scheduler's business.
        let why = format!("{} is drained", before.node);
        let taints = vec![(ResourceKey::new(format!("kubernetes/{}/pods", before.cluster)), why)];
        let mark = cordon::mark(call);
        let mut deltas = if before.schedulable { vec![before.cordoned(Some(&mark))] } else { Vec::new() };
        let lost = probe.before["lost"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let lost: serde_json::Map<String, Value> = lost.map(|pod| (pod.to_owned(), Value::Null)).collect();
        if !lost.is_empty() {
            let resource = ResourceKey::new(format!("kubernetes/{}/pods", before.cluster));
            deltas.push(Delta { resource, patch: Value::Object(lost) });
        }
        Prediction { deltas, taints, outputs }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = Before::from(&intent.before)?;
        let mut done = Done::None;
        if before.schedulable {
            let kube = client(call, mutate, &Self::attempted(call))?;
            cordon::set(&kube, &before, false, Some(&cordon::mark(call)), mutate).await?;
            done = Done::Partial;
        }
        mutate.checkpoint(json!({"cordoned": before.schedulable})).await.map_err(|failure| failure.done(done))?;
        self.work(call, mutate, done).await?;
        Ok(Self::outputs(&intent.before))
    }

    /// Goes on with what was interrupted in the middle.
    async fn attach(&self, call: &Call, intent: &Intent, _: &Value, mutate: &Mutate) -> Result<Value, Failure> {
        self.work(call, mutate, Done::Partial).await?;
        Ok(Self::outputs(&intent.before))
    }

    async fn verify(&self, call: &Call, _: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let (cordoned, left) = Self::state(call, world).await?;
        let cause = match (cordoned, left.is_empty()) {
            (true, true) => return Ok(()),
            (false, _) => "it takes pods: somebody has uncordoned it meanwhile".to_owned(),
            (true, false) => format!("still there: {}", left.join(", ")),
        };
        Err(Failure::new(Class::Verify, Self::attempted(call), cause))
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        handle: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = Before::from(&intent.before)?;
        let (cordoned, left) = Self::state(call, world).await?;
        Ok(match (cordoned, left.is_empty()) {
            (true, true) => Recovery::Done(Self::outputs(&intent.before)),
            // What is left is evicted; what is gone is not asked for again.
            (true, false) => {
                Recovery::Running(handle.cloned().unwrap_or_else(|| json!({"cordoned": before.schedulable})))
            }
            (false, _) if handle.is_some() => {
                Recovery::Partial(format!("{} takes pods: somebody has uncordoned it meanwhile", before.node))
            }
            (false, _) => {
                Recovery::Unseen { done: Done::None, evidence: format!("{} takes pods as before", before.node) }
            }
        })
    }

    /// A pod that nothing makes again is not brought back by taking pods again: the undo says so at its end.
    fn undo(&self, _: &Call, was: &Value, _: Option<&Value>) -> Option<Invocation> {
        let mut undo = cordon::uncordon(&Before::from(was).ok()?)?;
        undo.with["lost"] = was["lost"].clone();
        Some(undo)
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let Some(node) = call.get("node").as_str() else { return Vec::new() };
        let seconds = call.get("within").as_u64().unwrap_or_default() / 1000;
        let within = format!("--timeout={seconds}s");
        let mut words = vec!["kubectl", "drain", node, "--ignore-daemonsets", &within];
        words.extend(Allowed::of(call).bare.then_some("--force"));
        words.extend(Allowed::of(call).emptydir.then_some("--delete-emptydir-data"));
        vec![crate::model::shell::line(words)]
    }

    fn undo_summary(&self, call: &Call, probe: &Probe) -> Option<String> {
        self.undo(call, &probe.before, None)?;
        Some(format!("{} takes pods again; those that went stay where they are", call.get("node").as_str()?))
    }
}
