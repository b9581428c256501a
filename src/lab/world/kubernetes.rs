//! Kubernetes on the lab's Talos machines: its objects, and what its controllers do of themselves. Nodes follow the
//! machines; pods that go come back on another node where something owns them.

mod seed;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::World;

/// After so long without a word of its kubelet a node's condition is unknown, milliseconds.
const GRACE_MS: u64 = 40_000;
/// How long a pod takes to end.
const ENDS_MS: u64 = 2_000;
/// How long a pod takes from its node to being ready.
const STARTS_MS: u64 = 8_000;
/// Whoever is cordoned has it.
const TAINT: &str = "node.kubernetes.io/unschedulable";

/// Which object: its resource (`pods`, `apps/deployments`), namespace (empty for none) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::lab) struct Key {
    pub resource: String,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(resource: &str, namespace: &str, name: &str) -> Self {
        Self { resource: resource.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub fn pod(namespace: &str, name: &str) -> Self {
        Self::new("pods", namespace, name)
    }
}

/// What a pod is on its way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Ready,
    Gone,
}

/// The cluster's state.
#[derive(Debug, Clone, Default)]
pub(in crate::lab) struct Kubernetes {
    pub objects: BTreeMap<Key, Value>,
    revision: u64,
    serial: u64,
    /// By pod: when, and what then.
    pending: BTreeMap<Key, (u64, Next)>,
    /// When a kubelet was heard of last.
    heard: BTreeMap<String, u64>,
    /// Budgets that never allow anything: a fault.
    blocked: BTreeSet<(String, String)>,
    /// Nodes whose kubelet says nothing though the machine runs: a fault.
    silent: BTreeSet<String>,
}

impl Kubernetes {
    /// Writes an object with a revision of its own.
    pub fn put(&mut self, key: Key, mut object: Value) -> Value {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!((100_000 + self.revision).to_string());
        self.objects.insert(key, object.clone());
        object
    }

    pub fn revision(&self) -> String {
        (100_000 + self.revision).to_string()
    }

    /// Five letters and digits as a controller puts behind a name.
    fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        self.serial += 1;
        let mut number = self.serial.wrapping_mul(2_654_435_761) % 14_348_907;
        let letter = |_| {
            let one = LETTERS[(number % 27) as usize];
            number /= 27;
            char::from(one)
        };
        (0..5).map(letter).collect()
    }

    pub fn uid(&mut self) -> String {
        self.serial += 1;
        format!("{:08x}-0000-4000-8000-{:012x}", self.serial.wrapping_mul(2_654_435_761) as u32, self.serial)
    }

    pub fn of<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        self.objects.iter().filter(move |(key, _)| key.resource == resource)
    }
}

/// Its controller: kind and name.
pub(in crate::lab) fn owner(object: &Value) -> Option<(&str, &str)> {
    let all = object["metadata"]["ownerReferences"].as_array()?;
    let owner = all.iter().find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["name"].as_str()?))
}

pub(in crate::lab) fn is_ending(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let all = pod["status"]["conditions"].as_array();
    all.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

/// Whether an object's labels are those of a selector's `matchLabels`.
pub(in crate::lab) fn is_selected(selector: &Value, object: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object();
    wanted.is_some_and(|wanted| wanted.iter().all(|(name, value)| object["metadata"]["labels"][name] == *value))
}

impl World {
    pub(in crate::lab) fn now_text(&self) -> String {
        jiff::Timestamp::from_second(self.seconds()).map_or_else(|_| String::new(), |time| time.to_string())
    }

    /// Whether there is a cluster at all.
    pub(in crate::lab) fn has_kubernetes(&self) -> bool {
        !self.kubernetes.objects.is_empty()
    }

    /// Lets everything happen that is due by now.
    pub(in crate::lab) fn settle_kubernetes(&mut self) {
        self.listen_to_kubelets();
        loop {
            let due = self.kubernetes.pending.iter().filter(|(_, (at, _))| *at <= self.now);
            let Some((key, next)) = due.min_by_key(|(_, (at, _))| *at).map(|(key, (_, next))| (key.clone(), *next))
            else {
                break;
            };
            self.kubernetes.pending.remove(&key);
            match next {
                Next::Gone => self.pod_gone(&key),
                Next::Ready => self.pod_ready(&key),
            }
        }
        self.schedule();
    }

    fn listen_to_kubelets(&mut self) {
        let heard: Vec<String> = self
            .machines()
            .filter(|(vmid, machine)| self.is_answering(*vmid) && !machine.config.is_empty())
            .map(|(_, machine)| machine.hostname.clone())
            .filter(|name| !self.kubernetes.silent.contains(name))
            .collect();
        let now = self.now;
        self.kubernetes.heard.extend(heard.into_iter().map(|name| (name, now)));
    }

    /// `True`, or `Unknown`: its kubelet says nothing.
    fn node_condition(&self, name: &str) -> &'static str {
        let silent = self.kubernetes.silent.contains(name);
        let recent = self.kubernetes.heard.get(name).is_some_and(|at| at + GRACE_MS >= self.now);
        if recent && !silent { "True" } else { "Unknown" }
    }

    /// A node as the API shows it: what is kept, and what its machine is like.
    pub(in crate::lab) fn shown_node(&self, stored: &Value) -> Value {
        let name = stored["metadata"]["name"].as_str().unwrap_or_default();
        let mut node = stored.clone();
        let ready = self.node_condition(name);
        if node["spec"]["unschedulable"] == true {
            node["spec"]["taints"] = json!([{"key": TAINT, "effect": "NoSchedule", "timeAdded": self.now_text()}]);
        }
        let machine = self.machine_called(name).and_then(|vmid| self.machines().find(|(own, _)| *own == vmid));
        let Some((_, machine)) = machine else { return node };
        let (reason, message) = match ready {
            "True" => ("KubeletReady", "kubelet is posting ready status"),
            _ => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
        };
        node["status"] = json!({
            "addresses": [{"type": "InternalIP", "address": machine.address}, {"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": ready, "reason": reason, "message": message}],
            "nodeInfo": {"kubeletVersion": format!("v{}", machine.kubernetes), "osImage": format!("Talos (v{})", machine.version),
                "kernelVersion": "6.12.48-talos", "containerRuntimeVersion": "containerd://2.1.4", "operatingSystem": "linux",
                "architecture": "amd64"},
            "capacity": {"cpu": "4", "memory": "8142468Ki", "pods": "110"},
            "allocatable": {"cpu": "3950m", "memory": "7683716Ki", "pods": "110"},
        });
        node
    }

    /// A pod whose node is not heard of is not ready.
    pub(in crate::lab) fn shown_pod(&self, stored: &Value) -> Value {
        let mut pod = stored.clone();
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
        if !node.is_empty() && self.node_condition(&node) != "True" {
            pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]);
        }
        pod
    }

    /// A budget with its figures of this moment.
    pub(in crate::lab) fn shown_budget(&self, stored: &Value) -> Value {
        let mut budget = stored.clone();
        let of = |name: &str| stored["metadata"][name].as_str().unwrap_or_default().to_owned();
        let pods: Vec<Value> = self
            .kubernetes
            .of("pods")
            .filter(|(key, pod)| key.namespace == of("namespace") && is_selected(&stored["spec"]["selector"], pod))
            .map(|(_, pod)| self.shown_pod(pod))
            .collect();
        let expected = pods.len() as u64;
        let healthy = pods.iter().filter(|pod| is_ready(pod) && !is_ending(pod)).count() as u64;
        let desired = match stored["spec"]["maxUnavailable"].as_u64() {
            Some(most) => expected.saturating_sub(most),
            None => stored["spec"]["minAvailable"].as_u64().unwrap_or(expected),
        };
        let blocked = self.kubernetes.blocked.contains(&(of("namespace"), of("name")));
        let desired = if blocked { desired.max(expected) } else { desired };
        budget["status"] = json!({"currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected,
            "disruptionsAllowed": if blocked { 0 } else { healthy.saturating_sub(desired) },
            "observedGeneration": stored["metadata"]["generation"]});
        budget
    }

    /// Begins to end a pod; its controller makes another where one has it.
    pub(in crate::lab) fn end_pod(&mut self, key: &Key) -> Option<Value> {
        let mut pod = self.kubernetes.objects.get(key)?.clone();
        if is_ending(&pod) {
            return Some(pod);
        }
        pod["metadata"]["deletionTimestamp"] = json!(self.now_text());
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        let pod = self.kubernetes.put(key.clone(), pod);
        self.kubernetes.pending.insert(key.clone(), (self.now + ENDS_MS, Next::Gone));
        if matches!(owner(&pod), Some(("ReplicaSet", _))) {
            self.another(key, &pod);
            self.schedule();
        }
        Some(pod)
    }

    /// A pod of the same controller in the place of one that goes, on no node yet, or a daemon's on its own.
    fn another(&mut self, key: &Key, pod: &Value) {
        let name = match owner(pod) {
            Some(("ReplicaSet" | "DaemonSet", set)) => format!("{set}-{}", self.kubernetes.suffix()),
            Some(("StatefulSet", _)) => key.name.clone(),
            _ => return,
        };
        let mut next = pod.clone();
        let metadata = next["metadata"].as_object_mut();
        metadata.into_iter().for_each(|all| {
            all.remove("deletionTimestamp");
            all.remove("deletionGracePeriodSeconds");
        });
        next["metadata"]["name"] = json!(name);
        next["metadata"]["uid"] = json!(self.kubernetes.uid());
        next["metadata"]["creationTimestamp"] = json!(self.now_text());
        let key = Key::pod(&key.namespace, &name);
        let stays = matches!(owner(pod), Some(("DaemonSet", _)));
        if let Some(spec) = next["spec"].as_object_mut().filter(|_| !stays) {
            spec.remove("nodeName");
        }
        next["status"] = json!({"phase": "Pending", "conditions": []});
        if stays {
            self.kubernetes.pending.insert(key.clone(), (self.now + STARTS_MS, Next::Ready));
        }
        self.kubernetes.put(key, next);
    }

    fn pod_gone(&mut self, key: &Key) {
        let node = self.kubernetes.objects.get(key).and_then(|pod| pod["spec"]["nodeName"].as_str()).map(str::to_owned);
        // Only its kubelet ends a pod: on a node that is not there it stays as it is.
        if node.is_some_and(|node| self.node_condition(&node) != "True") {
            self.kubernetes.pending.insert(key.clone(), (self.now + ENDS_MS, Next::Gone));
            return;
        }
        let Some(pod) = self.kubernetes.objects.remove(key) else { return };
        self.kubernetes.revision += 1;
        match owner(&pod) {
            Some(("StatefulSet" | "DaemonSet", _)) => self.another(key, &pod),
            // The kubelet makes the mirror of a static pod again.
            Some(("Node", _)) => {
                let mut again = pod;
                again["metadata"]["deletionTimestamp"] = Value::Null;
                again["metadata"]["uid"] = json!(self.kubernetes.uid());
                self.kubernetes.put(key.clone(), again);
            }
            _ => {}
        }
    }

    /// Its node is no more: nobody runs its pods, and their controllers make others where they can.
    pub(in crate::lab) fn node_deleted(&mut self, node: &str) {
        let of = |(_, pod): &(&Key, &Value)| pod["spec"]["nodeName"] == node;
        let gone: Vec<Key> = self.kubernetes.of("pods").filter(of).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.kubernetes.pending.remove(&key);
            let Some(pod) = self.kubernetes.objects.remove(&key) else { continue };
            if matches!(owner(&pod), Some(("ReplicaSet" | "StatefulSet", _))) {
                self.another(&key, &pod);
            }
        }
        self.kubernetes.heard.remove(node);
        self.schedule();
    }

    fn pod_ready(&mut self, key: &Key) {
        let Some(mut pod) = self.kubernetes.objects.get(key).filter(|pod| !is_ending(pod)).cloned() else { return };
        pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        self.kubernetes.put(key.clone(), pod);
    }

    /// Gives pods without a node one: of those that take any, that with the fewest.
    fn schedule(&mut self) {
        let waiting = self.kubernetes.of("pods").filter(|(_, pod)| pod["spec"]["nodeName"].is_null());
        for key in waiting.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let Some(node) = self.node_with_room() else { return };
            let Some(mut pod) = self.kubernetes.objects.get(&key).cloned() else { continue };
            pod["spec"]["nodeName"] = json!(node);
            self.kubernetes.put(key.clone(), pod);
            self.kubernetes.pending.insert(key, (self.now + STARTS_MS, Next::Ready));
        }
    }

    fn node_with_room(&self) -> Option<String> {
        let takes = |node: &Value| {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let controls = node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"].is_string();
            node["spec"]["unschedulable"] != true && !controls && self.node_condition(name) == "True"
        };
        let nodes = self.kubernetes.of("nodes").filter(|(_, node)| takes(node));
        let count = |name: &str| self.kubernetes.of("pods").filter(|(_, pod)| pod["spec"]["nodeName"] == name).count();
        nodes.map(|(key, _)| key.name.clone()).min_by_key(|name| (count(name), name.clone()))
    }

    /// A fault: this budget never allows anything; whether it is there.
    pub(in crate::lab) fn block_budget(&mut self, namespace: &str, name: &str) -> bool {
        let there = self.kubernetes.objects.contains_key(&Key::new("policy/poddisruptionbudgets", namespace, name));
        if there {
            self.kubernetes.blocked.insert((namespace.to_owned(), name.to_owned()));
        }
        there
    }

    /// A fault: its kubelet says nothing any more; whether there is such a node.
    pub(in crate::lab) fn silence_kubelet(&mut self, node: &str) -> bool {
        let there = self.kubernetes.objects.contains_key(&Key::new("nodes", "", node));
        if there {
            self.kubernetes.silent.insert(node.to_owned());
        }
        there
    }

    /// A fault: a replica is missing, and Ceph warns; whether there is any storage of the kind.
    pub(in crate::lab) fn degrade_storage(&mut self) -> bool {
        self.set_storage("degraded", "HEALTH_WARN")
    }

    fn set_storage(&mut self, robustness: &str, health: &str) -> bool {
        let volumes = self.kubernetes.of("longhorn.io/volumes").filter(|(_, one)| one["status"]["state"] == "attached");
        let mut changed: Vec<(Key, Value)> = Vec::new();
        changed.extend(volumes.take(1).map(|(key, one)| {
            let mut one = one.clone();
            one["status"]["robustness"] = json!(robustness);
            (key.clone(), one)
        }));
        changed.extend(self.kubernetes.of("ceph.rook.io/cephclusters").map(|(key, one)| {
            let mut one = one.clone();
            one["status"]["ceph"]["health"] = json!(health);
            (key.clone(), one)
        }));
        let any = !changed.is_empty();
        changed.into_iter().for_each(|(key, one)| drop(self.kubernetes.put(key, one)));
        any
    }

    /// Takes the faults away that are laid on it.
    pub fn mend_kubernetes(&mut self) {
        self.kubernetes.blocked.clear();
        self.kubernetes.silent.clear();
        self.set_storage("healthy", "HEALTH_OK");
    }

    /// The comparable state: which nodes take pods, what they run, and how many pods each controller has.
    pub(super) fn kubernetes_state(&self) -> Value {
        let node = |(key, node): (&Key, &Value)| {
            let version = self.machines().find(|(_, one)| one.hostname == key.name).map(|(_, one)| &one.kubernetes);
            (key.name.clone(), json!({"schedulable": node["spec"]["unschedulable"] != true, "version": version}))
        };
        let nodes: serde_json::Map<String, Value> = self.kubernetes.of("nodes").map(node).collect();
        let mut pods: BTreeMap<String, u64> = BTreeMap::new();
        // What every node has follows from the nodes.
        let is_nodes_own = |pod: &Value| matches!(owner(pod), Some(("DaemonSet" | "Node", _)));
        for (key, pod) in self.kubernetes.of("pods").filter(|(_, pod)| !is_ending(pod) && !is_nodes_own(pod)) {
            let of = owner(pod).map_or(key.name.as_str(), |(_, name)| name);
            *pods.entry(format!("{}/{of}", key.namespace)).or_default() += 1;
        }
        json!({"nodes": nodes, "pods": pods, "components": self.static_pods()})
    }
}
