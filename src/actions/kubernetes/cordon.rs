//! `kubernetes.cordon` and `kubernetes.uncordon`. A cordon says in an annotation which run has made it, and an uncordon
//! takes back what this run has made, or an earlier one in the same place that failed after it, and nothing else: a node
//! that somebody has taken out of service stays so.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::look::cluster;
use super::{broken, client, node, nodes_key, settled};
use crate::clients::kubernetes::{Kubernetes, MARK, Node};
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::{Intent, Invocation};
use crate::model::action_spec::ActionSpec;
use crate::model::effect::{Done, Effect};
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::world::{Delta, Identity};

pub(super) const PRIVILEGES: &str = "none of Proxmox: get and update of nodes, by the cluster's kubeconfig";
const UNCORDON: &str = "kubernetes.uncordon";
const CORDON: &str = "kubernetes.cordon";
/// In a plan, where the run has no name yet.
const PLANNED: &str = "this run/";
/// For a cordon that is to have no mark.
const NOBODY: &str = "none";
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// The act: on, or off.
pub struct Cordon {
    spec: ActionSpec,
    on: bool,
}

/// A node as the probe found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    pub cluster: String,
    pub node: String,
    pub uid: String,
    pub schedulable: bool,
    pub cordoned_by: Option<String>,
    /// What it ran: `Talos (v1.13.9)`.
    #[serde(default)]
    pub os: String,
}

impl Before {
    pub fn of(call: &Call, node: &Node) -> Result<Self, Failure> {
        Ok(Self {
            cluster: call.arg("cluster")?,
            node: node.name.clone(),
            uid: node.uid.clone(),
            schedulable: node.schedulable,
            cordoned_by: node.cordoned_by.clone(),
            os: node.os.clone(),
        })
    }

    pub fn from(value: &Value) -> Result<Self, Failure> {
        Self::deserialize(value).map_err(|e| Failure::new(Class::Internal, "read what a probe found", e.to_string()))
    }

    pub fn identity(&self) -> Identity {
        Identity {
            object: format!("node {} of {}", self.node, self.cluster),
            resource: nodes_key(&self.cluster),
            expect: vec![(format!("/{}/uid", self.node), json!(self.uid))],
        }
    }

    /// What a cordon by this step is expected to show.
    pub fn cordoned(&self, mark: Option<&str>) -> Delta {
        let patch = json!({self.node.as_str(): {"schedulable": false, "cordoned_by": mark}});
        Delta { resource: nodes_key(&self.cluster), patch }
    }
}

/// What is written on a node that this step cordons.
pub(super) fn mark(call: &Call) -> String {
    match &call.run {
        Some(run) => format!("{run}/{}", call.path),
        None => format!("{PLANNED}{}", call.path),
    }
}

fn is_own(call: &Call, by: Option<&str>) -> bool {
    let run = call.run.as_ref().map_or_else(|| PLANNED.to_owned(), |run| format!("{run}/"));
    by.is_some_and(|by| by.starts_with(&run))
}

/// Whether an earlier run has done it in the very scope that this step is in, or in a group of it: `hop[1.13.9]/node[cp2]` of
/// an upgrade that failed there, and is run again. At the top of a runbook any other one could have.
fn is_of_an_earlier_run(call: &Call, by: Option<&str>) -> bool {
    let Some((scope, _)) = call.path.as_str().rsplit_once('/') else { return false };
    let theirs = by.and_then(|by| by.split_once('/')).map(|(_, path)| path);
    theirs.and_then(|path| path.strip_prefix(scope)).is_some_and(|rest| rest.starts_with('/'))
}

/// The undo of whatever has cordoned a node that took pods before: of one that is as it was then. What has been made of it
/// since may have gone wrong half way.
pub(super) fn uncordon(before: &Before) -> Option<Invocation> {
    let with = json!({"cluster": before.cluster, "node": before.node, "os": before.os});
    before.schedulable.then(|| Invocation { uses: UNCORDON.to_owned(), with })
}

/// Whether nothing was lost on the way.
fn brought_back(call: &Call, node: &str) -> Result<(), Failure> {
    let lost: Vec<&str> = call.get("lost").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let cause = format!("{node} takes pods again; gone for good are {}: nothing makes them again", lost.join(", "));
    Err(Failure::new(Class::Verify, format!("undo the drain of {node}"), cause)
        .done(Done::Whole)
        .remedy("make them again by hand"))
}

fn is_as_it_was(call: &Call, node: &Node) -> Result<(), Failure> {
    let Some(os) = call.get("os").as_str().filter(|os| !os.is_empty()) else { return Ok(()) };
    let cause = if node.os != os {
        format!("it runs {}, and ran {os} when it was cordoned", node.os)
    } else if node.ready != "True" {
        format!("Kubernetes does not call it ready: {}", node.reason.as_deref().unwrap_or("it does not say why"))
    } else {
        return Ok(());
    };
    Err(Failure::new(Class::Precondition, format!("have {} take pods again", node.name), cause)
        .remedy(format!("see that it is well, then `kubectl uncordon {}`", node.name)))
}

/// Has the node take pods, or not, with this mark; whoever changes it at the same time is not overwritten.
pub(super) async fn set(
    kube: &Kubernetes,
    before: &Before,
    schedulable: bool,
    mark: Option<&str>,
    mutate: &Mutate,
) -> Result<(), Failure> {
    let word = if schedulable { "uncordon" } else { "cordon" };
    let attempted = format!("{word} {} of {}", before.node, before.cluster);
    let (mut tries, mut lost) = (0, false);
    loop {
        let error = match once(kube, before, schedulable, mark, &attempted).await? {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        tries += 1;
        let failure = broken(&attempted, &error, Done::None);
        if !error.may_pass() || tries >= TRIES || mutate.stop.sleep(PAUSE * tries).await {
            return Err(if lost { failure.lost() } else { failure });
        }
        // It looks again before it sends anything.
        lost |= error.may_be_done();
    }
}

async fn once(
    kube: &Kubernetes,
    before: &Before,
    schedulable: bool,
    mark: Option<&str>,
    attempted: &str,
) -> Result<Result<(), crate::clients::kubernetes::KubernetesError>, Failure> {
    let mut object = match kube.node(&before.node).await {
        Ok(object) => object,
        Err(error) => return Ok(Err(error)),
    };
    if object["metadata"]["uid"] != before.uid.as_str() {
        let cause = "it is another node than the one that was looked at: somebody has removed it and made it again";
        return Err(Failure::new(Class::Precondition, attempted, cause));
    }
    let is = (object["spec"]["unschedulable"] != true, object["metadata"]["annotations"][MARK].as_str());
    if is == (schedulable, mark) {
        return Ok(Ok(()));
    }
    if schedulable {
        object["spec"].as_object_mut().into_iter().for_each(|spec| drop(spec.shift_remove("unschedulable")));
    } else {
        object["spec"]["unschedulable"] = json!(true);
    }
    match mark {
        Some(mark) => object["metadata"]["annotations"][MARK] = json!(mark),
        None => {
            let all = object["metadata"]["annotations"].as_object_mut();
            all.into_iter().for_each(|all| drop(all.shift_remove(MARK)));
        }
    }
    Ok(kube.put_node(object).await)
}

impl Cordon {
    /// No new pods for the node.
    pub fn on() -> Self {
        let spec = ActionSpec::new(CORDON, Effect::Change, "Have a Kubernetes node take no new pods")
            .param(cluster())
            .param(Param::new("node", ValueType::String).required().help("Its name in Kubernetes"))
            .param(
                Param::new("by", ValueType::String)
                    .help("Who is written down to have done it [default: this run and step]; none: nobody"),
            );
        Self { spec: Self::outputs_of(spec), on: true }
    }

    pub fn off() -> Self {
        let spec = ActionSpec::new(
            UNCORDON,
            Effect::Change,
            "Have a Kubernetes node take pods again, if this run has cordoned it, or an earlier one that failed here",
        )
        .param(cluster())
        .param(Param::new("node", ValueType::String).required().help("Its name in Kubernetes"))
        .param(
            Param::new("force", ValueType::Bool)
                .default_value(false)
                .help("Also where a person, or another run, has cordoned it"),
        )
        .param(
            Param::new("os", ValueType::String)
                .help("Only where it is ready and runs this, as Kubernetes has it: Talos (v1.13.9)"),
        )
        .param(
            Param::new("lost", ValueType::List)
                .default_value(json!([]))
                .help("Pods that this does not bring back: it fails at its end, and names them"),
        );
        Self { spec: Self::outputs_of(spec), on: false }
    }

    fn outputs_of(spec: ActionSpec) -> ActionSpec {
        spec.output("node", ValueType::String, "Its name")
            .output("schedulable", ValueType::Bool, "Whether it takes pods now")
            .needs_privilege(PRIVILEGES)
            .undoable()
    }

    fn mark(call: &Call) -> Result<Option<String>, Failure> {
        let by = call.arg::<Option<String>>("by")?.filter(|by| !by.is_empty());
        Ok(match by.as_deref() {
            Some(NOBODY) => None,
            Some(by) => Some(by.to_owned()),
            None => Some(mark(call)),
        })
    }

    fn outputs(&self, before: &Before, satisfied: bool) -> Value {
        json!({"node": before.node, "schedulable": if satisfied { before.schedulable } else { !self.on }})
    }

    /// Whether there is nothing to do, and a line for the plan.
    fn judge(&self, call: &Call, before: &Before) -> Result<(bool, String), Failure> {
        let Before { node, cordoned_by: by, .. } = before;
        let by = by.as_deref();
        let who = by.map_or_else(|| "a person or another program".to_owned(), |by| format!("run {by}"));
        Ok(match (self.on, before.schedulable) {
            (true, true) => (false, format!("{node}: takes no new pods")),
            (true, false) if is_own(call, by) => (true, format!("{node}: cordoned already, by this run")),
            (true, false) => (true, format!("{node}: cordoned already, by {who}")),
            (false, true) => (true, format!("{node}: takes pods already")),
            (false, false) if is_own(call, by) => (false, format!("{node}: takes pods again")),
            (false, false) if is_of_an_earlier_run(call, by) => {
                (false, format!("{node}: takes pods again; {who} had cordoned it, and failed there"))
            }
            (false, false) if call.get("force") == true => {
                (false, format!("{node}: takes pods again; {who} had cordoned it"))
            }
            (false, false) => {
                (true, format!("{node}: stays cordoned: it was by {who}, not by this run (force: true takes it back)"))
            }
        })
    }
}

#[async_trait]
impl Action for Cordon {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let node = node(call, world).await?;
        let before = Before::of(call, &node)?;
        let (satisfied, summary) = self.judge(call, &before)?;
        match (self.on, satisfied) {
            (true, _) => {}
            (false, false) => is_as_it_was(call, &node)?,
            (false, true) => brought_back(call, &before.node)?,
        }
        let mut probe = Probe::new(summary, json!(before));
        probe.satisfied = satisfied;
        probe.identities = vec![before.identity()];
        Ok(probe)
    }

    fn predict(&self, call: &Call, probe: &Probe) -> Prediction {
        let (Ok(before), Ok(mark)) = (Before::from(&probe.before), Self::mark(call)) else {
            return Prediction::default();
        };
        let outputs = self.outputs(&before, probe.satisfied).as_object().cloned().unwrap_or_default();
        let outputs = outputs.into_iter().collect();
        if probe.satisfied {
            return Prediction { outputs, ..Prediction::default() };
        }
        let delta = if self.on {
            before.cordoned(mark.as_deref())
        } else {
            let patch = json!({before.node.as_str(): {"schedulable": true, "cordoned_by": null}});
            Delta { resource: nodes_key(&before.cluster), patch }
        };
        Prediction { deltas: vec![delta], outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, intent: &Intent, mutate: &Mutate) -> Result<Value, Failure> {
        let before = Before::from(&intent.before)?;
        let kube = client(call, mutate, "cordon a node")?;
        let mark = if self.on { Self::mark(call)? } else { None };
        set(&kube, &before, !self.on, mark.as_deref(), mutate).await?;
        Ok(self.outputs(&before, false))
    }

    async fn verify(&self, call: &Call, was: &Value, _: &Value, world: &dyn World) -> Result<(), Failure> {
        let before = Before::from(was)?;
        let now = node(call, world).await.map_err(settled)?;
        let kept = self.judge(call, &before)?.0 && now.schedulable == before.schedulable;
        if kept || now.schedulable != self.on {
            return brought_back(call, &before.node);
        }
        let is = if now.schedulable { "it takes pods" } else { "it is cordoned" };
        Err(Failure::new(Class::Verify, format!("see that {} is as wanted", before.node), is))
    }

    async fn recover(
        &self,
        call: &Call,
        intent: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let before = Before::from(&intent.before)?;
        let now = node(call, world).await.map_err(settled)?;
        if now.schedulable != self.on {
            return Ok(Recovery::Done(self.outputs(&before, false)));
        }
        let is = if now.schedulable { "takes pods" } else { "is cordoned" };
        Ok(Recovery::Unseen { done: Done::None, evidence: format!("{} {is} as before", before.node) })
    }

    fn undo(&self, _: &Call, was: &Value, _: Option<&Value>) -> Option<Invocation> {
        let before = Before::from(was).ok()?;
        if self.on {
            return uncordon(&before);
        }
        let by = before.cordoned_by.as_deref().unwrap_or(NOBODY);
        let with = json!({"cluster": before.cluster, "node": before.node, "by": by});
        (!before.schedulable).then(|| Invocation { uses: CORDON.to_owned(), with })
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let word = if self.on { "cordon" } else { "uncordon" };
        call.get("node").as_str().map(|node| crate::model::shell::line(["kubectl", word, node])).into_iter().collect()
    }

    fn undo_summary(&self, call: &Call, probe: &Probe) -> Option<String> {
        self.undo(call, &probe.before, None)?;
        let node = call.get("node").as_str()?;
        Some(format!("{node} {}", if self.on { "takes pods again" } else { "is cordoned again" }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cordon_of_an_earlier_run_is_known_by_its_scope_and_by_the_groups_in_it() {
        let call = |path: &str| Call { run: Some("run-9".into()), path: path.into(), attempt: 1, with: json!({}) };
        let node = "hop[1.13.9]/node[cp2]";
        for (mark, path, theirs) in [
            (format!("run-7/{node}/drain"), format!("{node}/back"), true),
            (format!("run-7/{node}/out/drain"), format!("{node}/back"), true),
            (format!("run-7/{node}1/drain"), format!("{node}/back"), false),
            ("run-7/hop[1.13.9]/node[cp3]/out/drain".to_owned(), format!("{node}/back"), false),
            ("run-7/drain".to_owned(), "back".to_owned(), false),
        ] {
            assert_eq!(is_of_an_earlier_run(&call(&path), Some(&mark)), theirs, "{mark} for {path}");
        }
        assert!(!is_of_an_earlier_run(&call(node), None));
    }
}
