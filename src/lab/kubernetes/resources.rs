//! What the lab's API serves, and how a client finds it.

use serde_json::{Value, json};

use crate::lab::world::World;

/// A kind of objects.
#[derive(Debug)]
pub(super) struct Resource {
    /// Empty for the core.
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub short: &'static [&'static str],
}

const fn of(
    (group, version): (&'static str, &'static str),
    (plural, singular, kind): (&'static str, &'static str, &'static str),
    namespaced: bool,
    short: &'static [&'static str],
) -> Resource {
    Resource { group, version, plural, singular, kind, namespaced, short }
}

const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const LONGHORN: (&str, &str) = ("longhorn.io", "v1beta2");

pub(super) static RESOURCES: [Resource; 11] = [
    of(CORE, ("namespaces", "namespace", "Namespace"), false, &["ns"]),
    of(CORE, ("nodes", "node", "Node"), false, &["no"]),
    of(CORE, ("pods", "pod", "Pod"), true, &["po"]),
    of(APPS, ("daemonsets", "daemonset", "DaemonSet"), true, &["ds"]),
    of(APPS, ("deployments", "deployment", "Deployment"), true, &["deploy"]),
    of(APPS, ("replicasets", "replicaset", "ReplicaSet"), true, &["rs"]),
    of(APPS, ("statefulsets", "statefulset", "StatefulSet"), true, &["sts"]),
    of(("policy", "v1"), ("poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget"), true, &["pdb"]),
    of(LONGHORN, ("volumes", "volume", "Volume"), true, &["lhv"]),
    of(LONGHORN, ("nodes", "node", "Node"), true, &["lhn"]),
    of(("ceph.rook.io", "v1"), ("cephclusters", "cephcluster", "CephCluster"), true, &["ceph"]),
];

const VERBS: [&str; 6] = ["create", "delete", "get", "list", "patch", "update"];

impl Resource {
    /// `pods`, `apps/deployments`
    pub fn stored(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}/{}", self.group, self.plural) }
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods "web"`, as errors call it.
    pub fn called(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Custom resources are there where somebody has installed them.
    pub fn is_served(&self, world: &World) -> bool {
        !self.group.contains('.') || world.kubernetes().of(&self.stored()).next().is_some()
    }

    fn row(&self) -> Value {
        json!({"name": self.plural, "singularName": self.singular, "namespaced": self.namespaced, "kind": self.kind,
            "verbs": VERBS, "shortNames": self.short})
    }
}

fn served(world: &World) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().filter(|resource| resource.is_served(world))
}

fn group(name: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [version], "preferredVersion": version})
}

/// The answer to a path of discovery; nothing for any other.
pub(super) fn discover(world: &World, path: &[&str]) -> Option<Value> {
    match path {
        ["version"] => Some(json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1", "platform": "linux/amd64"})),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => {
            let mut groups: Vec<Value> = Vec::new();
            for resource in served(world).filter(|resource| !resource.group.is_empty()) {
                let one = group(resource.group, resource.version);
                if !groups.contains(&one) {
                    groups.push(one);
                }
            }
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => served(world).find(|one| one.group == *name).map(|one| group(one.group, one.version)),
        ["api", "v1"] => {
            let mut rows: Vec<Value> = served(world).filter(|one| one.group.is_empty()).map(Resource::row).collect();
            rows.push(json!({"name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy",
                "version": "v1", "kind": "Eviction", "verbs": ["create"]}));
            Some(list_of_resources("v1", rows))
        }
        ["apis", name, version] => {
            let rows: Vec<Value> =
                served(world).filter(|one| one.group == *name && one.version == *version).map(Resource::row).collect();
            (!rows.is_empty()).then(|| list_of_resources(&format!("{name}/{version}"), rows))
        }
        _ => None,
    }
}

fn list_of_resources(version: &str, rows: Vec<Value>) -> Value {
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": rows})
}
