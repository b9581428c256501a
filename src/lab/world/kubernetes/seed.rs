//! What is in the lab's cluster at the beginning.

use serde_json::{Value, json};

use super::{Key, World};
use crate::lab::world::talos::{KUBERNETES, STATIC_PODS, static_image};

const MADE: &str = "2026-01-12T08:00:00Z";

impl World {
    /// Makes the cluster on the machines that there are.
    pub(in crate::lab::world) fn seed_kubernetes(&mut self, storage: &[String]) {
        let machines: Vec<(String, bool)> =
            self.machines().map(|(_, machine)| (machine.hostname.clone(), machine.control_plane)).collect();
        if machines.is_empty() {
            return;
        }
        for name in ["default", "kube-system", "shop"] {
            self.add("namespaces", "", name, json!({"status": {"phase": "Active"}}));
        }
        for (name, control_plane) in &machines {
            self.node(name, *control_plane);
        }
        self.settle_kubernetes();
        self.system(&machines);
        let workers: Vec<&str> = machines.iter().filter(|(_, plane)| !plane).map(|(name, _)| name.as_str()).collect();
        self.apps(&workers);
        if storage.iter().any(|kind| kind == "longhorn") {
            self.longhorn(&workers);
        }
        if storage.iter().any(|kind| kind == "rook") {
            let health = json!({"health": "HEALTH_OK", "lastChecked": MADE, "details": {}});
            let cluster =
                json!({"spec": {"dataDirHostPath": "/var/lib/rook"}, "status": {"phase": "Ready", "ceph": health}});
            self.add("namespaces", "", "rook-ceph", json!({"status": {"phase": "Active"}}));
            self.add("ceph.rook.io/cephclusters", "rook-ceph", "rook-ceph", cluster);
        }
    }

    fn node(&mut self, name: &str, control_plane: bool) {
        let mut labels =
            json!({"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"});
        if control_plane {
            labels["node-role.kubernetes.io/control-plane"] = json!("");
        }
        let object =
            json!({"metadata": {"labels": labels, "annotations": {"node.alpha.kubernetes.io/ttl": "0"}}, "spec": {}});
        self.add("nodes", "", name, object);
    }

    /// A kubelet that the API does not know makes its node; then it has what every node has.
    pub(in crate::lab::world) fn register_node(&mut self, name: &str, control_plane: bool) {
        let known = self.kubernetes.objects.contains_key(&Key::new("nodes", "", name));
        if !known && self.has_kubernetes() {
            self.node(name, control_plane);
            self.settle_kubernetes();
            self.system(&[(name.to_owned(), control_plane)]);
        }
    }

    fn system(&mut self, machines: &[(String, bool)]) {
        for set in ["kube-flannel", "kube-proxy"] {
            self.add(
                "apps/daemonsets",
                "kube-system",
                set,
                json!({"spec": {"selector": {"matchLabels": {"app": set}}}}),
            );
            for (node, _) in machines {
                let name = format!("{set}-{}", self.kubernetes.suffix());
                self.pod("kube-system", &name, set, node, Some(("DaemonSet", set)));
            }
        }
        for (node, _) in machines.iter().filter(|(_, plane)| *plane) {
            for part in STATIC_PODS {
                let name = format!("{part}-{node}");
                self.pod("kube-system", &name, part, node, Some(("Node", node)));
                let key = Key::pod("kube-system", &name);
                if let Some(mut pod) = self.kubernetes.objects.get(&key).cloned() {
                    pod["metadata"]["labels"] =
                        json!({"app.kubernetes.io/name": part, "k8s-app": part, "tier": "control-plane"});
                    pod["spec"]["containers"] = json!([{"name": part, "image": static_image(part, KUBERNETES)}]);
                    pod["metadata"]["annotations"] =
                        json!({"kubernetes.io/config.mirror": "c0ffee", "kubernetes.io/config.source": "file"});
                    self.kubernetes.put(key, pod);
                }
            }
        }
    }

    /// `coredns` and `web` may lose one at a time, by `web`'s budget; `metrics-server` keeps something in an emptyDir; nothing
    /// owns `debug`.
    fn apps(&mut self, workers: &[&str]) {
        let Some((first, last)) = workers.first().zip(workers.last()) else { return };
        self.deployment("kube-system", "coredns", &workers[..workers.len().min(2)]);
        self.deployment("kube-system", "metrics-server", &[first]);
        let key =
            self.kubernetes.of("pods").find(|(key, _)| key.name.starts_with("metrics-server-")).map(|(k, _)| k.clone());
        if let Some((key, mut pod)) =
            key.and_then(|key| Some((key.clone(), self.kubernetes.objects.get(&key)?.clone())))
        {
            pod["spec"]["volumes"] = json!([{"name": "tmp-dir", "emptyDir": {}}]);
            self.kubernetes.put(key, pod);
        }
        self.deployment("shop", "web", workers);
        let budget = json!({"metadata": {"generation": 1},
            "spec": {"minAvailable": workers.len().saturating_sub(1), "selector": {"matchLabels": {"app": "web"}}}});
        self.add("policy/poddisruptionbudgets", "shop", "web", budget);
        self.add(
            "apps/statefulsets",
            "shop",
            "db",
            json!({"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "db"}}}}),
        );
        self.pod("shop", "db-0", "db", last, Some(("StatefulSet", "db")));
        self.pod("default", "debug", "debug", last, None);
    }

    fn longhorn(&mut self, workers: &[&str]) {
        self.add("namespaces", "", "longhorn-system", json!({"status": {"phase": "Active"}}));
        for node in workers {
            let ready =
                json!({"conditions": [{"type": "Ready", "status": "True"}, {"type": "Schedulable", "status": "True"}]});
            self.add(
                "longhorn.io/nodes",
                "longhorn-system",
                node,
                json!({"spec": {"allowScheduling": true}, "status": ready}),
            );
        }
        for (name, state, robustness) in
            [("pvc-shop-db", "attached", "healthy"), ("pvc-old-backup", "detached", "unknown")]
        {
            let on = if state == "attached" { workers.last().copied().unwrap_or_default() } else { "" };
            let status = json!({"state": state, "robustness": robustness, "currentNodeID": on});
            let volume = json!({"spec": {"numberOfReplicas": 3, "size": "21474836480"}, "status": status});
            self.add("longhorn.io/volumes", "longhorn-system", name, volume);
        }
    }

    fn deployment(&mut self, namespace: &str, name: &str, nodes: &[&str]) {
        let spec = json!({"replicas": nodes.len(), "selector": {"matchLabels": {"app": name}}});
        self.add("apps/deployments", namespace, name, json!({"spec": spec}));
        let set = format!("{name}-{}", self.kubernetes.suffix());
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": name, "controller": true}]);
        self.add("apps/replicasets", namespace, &set, json!({"metadata": {"ownerReferences": owner}, "spec": spec}));
        for node in nodes {
            let pod = format!("{set}-{}", self.kubernetes.suffix());
            self.pod(namespace, &pod, name, node, Some(("ReplicaSet", &set)));
        }
    }

    fn pod(&mut self, namespace: &str, name: &str, app: &str, node: &str, owner: Option<(&str, &str)>) {
        let mut object = json!({"metadata": {"labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": app, "image": format!("registry.example/{app}:1")}], "volumes": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        if let Some((kind, owner)) = owner {
            let version = if kind == "Node" { "v1" } else { "apps/v1" };
            object["metadata"]["ownerReferences"] = json!([{"apiVersion": version, "kind": kind, "name": owner, "uid": format!("{kind}-{owner}"), "controller": true}]);
        }
        self.add("pods", namespace, name, object);
    }

    fn add(&mut self, resource: &str, namespace: &str, name: &str, mut object: Value) {
        let uid = self.kubernetes.uid();
        if object["metadata"].is_null() {
            object["metadata"] = json!({});
        }
        object["metadata"]["name"] = json!(name);
        object["metadata"]["uid"] = json!(uid);
        object["metadata"]["creationTimestamp"] = json!(MADE);
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        self.kubernetes.put(Key::new(resource, namespace, name), object);
    }
}
