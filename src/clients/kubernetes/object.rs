//! Objects as far as we read them. What is not there is not taken for well.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Says which run has cordoned a node, and with which step: `RUN/STEP`.
pub const MARK: &str = "runbook.dev/cordoned-by";
const ROLE: &str = "node-role.kubernetes.io/";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub uid: String,
    /// `True`, `False` or `Unknown`.
    pub ready: String,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// Of its kubelet, without a `v`.
    pub version: String,
    pub os: String,
    pub schedulable: bool,
    /// [`MARK`]
    pub cordoned_by: Option<String>,
    pub roles: Vec<String>,
    pub address: Option<String>,
}

/// What makes a pod again: `ReplicaSet`, `web-5d4f`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub kind: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub node: Option<String>,
    pub phase: String,
    pub ready: bool,
    pub owner: Option<Owner>,
    /// A static pod's: only its node ends it.
    pub mirror: bool,
    /// Has an emptyDir, which goes with it.
    pub empty_dir: bool,
    /// Is on its way out.
    pub ending: bool,
    pub labels: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub namespace: String,
    pub name: String,
    pub selector: Value,
    /// Nothing: the controller has not said.
    pub allowed: Option<u64>,
    pub needs: Option<u64>,
    pub has: Option<u64>,
}

/// What a control plane runs as a static pod: `kube-apiserver`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    pub name: String,
    pub node: String,
    /// Of its image's tag, without a `v`; nothing where the image has none.
    pub version: Option<String>,
    pub ready: bool,
}

/// One of Longhorn's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub namespace: String,
    pub name: String,
    /// `attached`, `detached`, …
    pub state: Option<String>,
    /// `healthy`, `degraded`, `faulted`, `unknown`.
    pub robustness: Option<String>,
}

/// One of Rook's clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceph {
    pub namespace: String,
    pub name: String,
    /// `HEALTH_OK`, …
    pub health: Option<String>,
    /// What it complains of.
    pub details: Vec<String>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn named(object: &Value) -> (String, String) {
    let of = |name: &str| text(&object["metadata"][name]).unwrap_or_default();
    (of("namespace"), of("name"))
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

impl Node {
    pub(super) fn of(object: &Value) -> Self {
        let ready = condition(object, "Ready");
        let labels = object["metadata"]["labels"].as_object();
        let roles = labels.into_iter().flat_map(|labels| labels.keys()).filter_map(|label| label.strip_prefix(ROLE));
        let addresses = object["status"]["addresses"].as_array();
        let address = addresses.and_then(|all| all.iter().find(|one| one["type"] == "InternalIP"));
        let info = &object["status"]["nodeInfo"];
        Self {
            name: named(object).1,
            uid: text(&object["metadata"]["uid"]).unwrap_or_default(),
            ready: ready.and_then(|one| text(&one["status"])).unwrap_or_else(|| "Unknown".into()),
            reason: ready.filter(|one| one["status"] != "True").and_then(|one| text(&one["message"])),
            version: text(&info["kubeletVersion"]).unwrap_or_default().trim_start_matches('v').to_owned(),
            os: text(&info["osImage"]).unwrap_or_default(),
            schedulable: object["spec"]["unschedulable"] != true,
            // On a node that takes pods it is only left over.
            cordoned_by: text(&object["metadata"]["annotations"][MARK])
                .filter(|_| object["spec"]["unschedulable"] == true),
            roles: roles.map(str::to_owned).collect(),
            address: address.and_then(|one| text(&one["address"])),
        }
    }
}

impl Pod {
    pub(super) fn of(object: &Value) -> Self {
        let (namespace, name) = named(object);
        let owners = object["metadata"]["ownerReferences"].as_array();
        let owner = owners.and_then(|all| all.iter().find(|one| one["controller"] == true));
        let owner = owner.and_then(|one| Some(Owner { kind: text(&one["kind"])?, name: text(&one["name"])? }));
        let mut volumes = object["spec"]["volumes"].as_array().into_iter().flatten();
        Self {
            namespace,
            name,
            uid: text(&object["metadata"]["uid"]).unwrap_or_default(),
            node: text(&object["spec"]["nodeName"]),
            phase: text(&object["status"]["phase"]).unwrap_or_default(),
            ready: condition(object, "Ready").is_some_and(|one| one["status"] == "True"),
            owner,
            mirror: !object["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null(),
            empty_dir: volumes.any(|volume| volume.get("emptyDir").is_some()),
            ending: !object["metadata"]["deletionTimestamp"].is_null(),
            labels: object["metadata"]["labels"].clone(),
        }
    }

    /// `shop/web-1`
    pub fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Component {
    pub(super) fn of(object: &Value) -> Option<Self> {
        let container = &object["spec"]["containers"][0];
        let tag = container["image"].as_str().and_then(|image| image.split('@').next()?.rsplit_once(":v"));
        Some(Self {
            name: text(&object["metadata"]["labels"]["k8s-app"]).or_else(|| text(&container["name"]))?,
            node: text(&object["spec"]["nodeName"])?,
            version: tag.map(|(_, version)| version.to_owned()),
            ready: condition(object, "Ready").is_some_and(|one| one["status"] == "True"),
        })
    }
}

impl Budget {
    pub(super) fn of(object: &Value) -> Self {
        let (namespace, name) = named(object);
        let status = &object["status"];
        Self {
            namespace,
            name,
            selector: object["spec"]["selector"].clone(),
            allowed: status["disruptionsAllowed"].as_u64(),
            needs: status["desiredHealthy"].as_u64(),
            has: status["currentHealthy"].as_u64(),
        }
    }

    /// Whether it is about this pod. An empty selector is about all of its namespace, none about nothing.
    pub fn holds(&self, pod: &Pod) -> bool {
        let of = |name: &str| pod.labels[name].as_str();
        let Some(selector) = self.selector.as_object().filter(|_| self.namespace == pod.namespace) else {
            return false;
        };
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten().all(|(name, value)| of(name) == value.as_str());
        let terms = selector.get("matchExpressions").and_then(Value::as_array);
        let term = |term: &Value| {
            let own = of(term["key"].as_str().unwrap_or_default());
            let listed = term["values"].as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == own));
            match term["operator"].as_str() {
                Some("In") => own.is_some() && listed,
                Some("NotIn") => own.is_none() || !listed,
                Some("Exists") => own.is_some(),
                Some("DoesNotExist") => own.is_none(),
                // What is not known may hold it.
                _ => true,
            }
        };
        labels && terms.into_iter().flatten().all(term)
    }

    /// `disruption budget shop/web (needs 2 healthy pods, has 2)`
    pub fn title(&self) -> String {
        let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let (needs, has) = (number(self.needs), number(self.has));
        format!("disruption budget {}/{} (needs {needs} healthy pods, has {has})", self.namespace, self.name)
    }
}

impl Volume {
    pub(super) fn of(object: &Value) -> Self {
        let (namespace, name) = named(object);
        let of = |name: &str| text(&object["status"][name]);
        Self { namespace, name, state: of("state"), robustness: of("robustness") }
    }
}

impl Ceph {
    pub(super) fn of(object: &Value) -> Self {
        let (namespace, name) = named(object);
        let ceph = &object["status"]["ceph"];
        let details = ceph["details"].as_object().into_iter().flatten();
        let said = |(code, one): (&String, &Value)| format!("{code}: {}", one["message"].as_str().unwrap_or_default());
        Self { namespace, name, health: text(&ceph["health"]), details: details.map(said).collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_said_is_not_well() {
        let node = Node::of(&json!({"metadata": {"name": "w1"}}));
        assert_eq!((node.ready.as_str(), node.schedulable, node.version.as_str()), ("Unknown", true, ""));
        assert_eq!(Budget::of(&json!({})).allowed, None);
        assert_eq!(Volume::of(&json!({})).robustness, None);
        assert_eq!(Ceph::of(&json!({"status": {}})).health, None);
        assert!(!Pod::of(&json!({})).ready);
    }

    #[test]
    fn a_budget_is_about_what_it_selects() {
        let pod =
            Pod::of(&json!({"metadata": {"namespace": "shop", "name": "a", "labels": {"app": "web", "tier": "x"}}}));
        let holds = |selector: Value| {
            let object = json!({"metadata": {"namespace": "shop", "name": "b"}, "spec": {"selector": selector}});
            Budget::of(&object).holds(&pod)
        };
        let term = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        assert!(holds(json!({"matchLabels": {"app": "web"}})) && !holds(json!({"matchLabels": {"app": "db"}})));
        assert!(holds(json!({})) && !holds(Value::Null));
        assert!(holds(term("app", "In", &["web"])) && !holds(term("app", "NotIn", &["web"])));
        assert!(holds(term("tier", "Exists", &[])) && !holds(term("tier", "DoesNotExist", &[])));
        assert!(!holds(term("none", "In", &["web"])) && holds(term("none", "NotIn", &["web"])));
    }
}
