//! What may be told of a machine configuration, and whose it is.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::diff;
use crate::load::yaml_edit;
use crate::model::talos::Version;

/// Where the versions of Kubernetes stand.
const IMAGES: [(&str, &str); 5] = [
    ("kubelet", "/machine/kubelet/image"),
    ("kube-apiserver", "/cluster/apiServer/image"),
    ("kube-controller-manager", "/cluster/controllerManager/image"),
    ("kube-scheduler", "/cluster/scheduler/image"),
    ("kube-proxy", "/cluster/proxy/image"),
];

/// A machine configuration, with all its secrets.
pub struct MachineConfig(Vec<Value>);

/// What may be told of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Of all that it says, however it is written.
    pub digest: String,
    /// `controlplane`, `worker`
    pub kind: String,
    pub cluster: Option<String>,
    /// Of the cluster's own number and of its certificate: files of two clusters of one name differ in them.
    pub mark: String,
    pub hostname: Option<String>,
    /// Of Kubernetes, by the part that runs it.
    pub kubernetes: BTreeMap<String, Version>,
    /// The Talos that its installer would bring.
    pub installer: Option<Version>,
}

/// Sorted, and without what is as good as not there.
fn canonical(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(map) => {
            let sorted: BTreeMap<&String, Value> =
                map.iter().filter_map(|(key, value)| Some((key, canonical(value)?))).collect();
            (!sorted.is_empty())
                .then(|| Value::Object(sorted.into_iter().map(|(key, v)| (key.clone(), v)).collect::<Map<_, _>>()))
        }
        Value::Array(list) => Some(list.iter().map(|one| canonical(one).unwrap_or_default()).collect()),
        other => Some(other.clone()),
    }
}

fn sum(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `registry/kubelet:v1.34.1@sha256:…`
fn version_of(image: &str) -> Option<Version> {
    let image = image.split('@').next()?;
    image.rsplit_once(':')?.1.parse().ok()
}

impl MachineConfig {
    /// # Errors
    /// It is none; why, without a word of it.
    pub fn read(text: &SecretString) -> Result<Self, String> {
        let documents = yaml_edit::documents(text.expose_secret()).map_err(|e| e.to_string())?;
        let documents: Vec<Value> = documents.iter().filter_map(canonical).collect();
        let config = Self(documents);
        let main = config.0.iter().filter(|one| one["version"] == "v1alpha1").count();
        match main {
            1 if config.at("/machine/type").is_some_and(|kind| ["controlplane", "worker"].contains(&kind)) => {
                Ok(config)
            }
            1 => Err("it does not say machine.type: controlplane or worker".into()),
            0 => Err("it is no machine configuration: version: v1alpha1 is missing".into()),
            _ => Err("it has version: v1alpha1 more than once".into()),
        }
    }

    fn main(&self) -> &Value {
        self.0.iter().find(|one| one["version"] == "v1alpha1").unwrap_or(&Value::Null)
    }

    fn at(&self, pointer: &str) -> Option<&str> {
        self.main().pointer(pointer)?.as_str().filter(|text| !text.is_empty())
    }

    pub fn digest(&self) -> String {
        sum(&Value::Array(self.0.clone()).to_string())
    }

    pub fn facts(&self) -> Facts {
        let named = self.0.iter().find(|one| one["kind"] == "HostnameConfig");
        let named = named.and_then(|one| one["hostname"].as_str());
        let text = |pointer: &str| self.at(pointer).map(str::to_owned);
        let images = IMAGES.iter().filter_map(|(part, at)| Some(((*part).to_owned(), version_of(self.at(at)?)?)));
        let own = [self.at("/cluster/id"), self.at("/machine/ca/crt")].map(Option::unwrap_or_default);
        Facts {
            digest: self.digest(),
            kind: text("/machine/type").unwrap_or_default(),
            cluster: text("/cluster/clusterName"),
            mark: sum(&own.join("\n")),
            hostname: text("/machine/network/hostname").or_else(|| named.map(str::to_owned)),
            kubernetes: images.collect(),
            installer: self.at("/machine/install/image").and_then(version_of),
        }
    }

    /// What another one would change, a line each, values only where they are no secret.
    pub fn changes(&self, new: &Self) -> Vec<String> {
        diff::changes(&by_kind(&self.0), &by_kind(&new.0))
    }

    /// A text of somebody who was given it, without what it holds that is kept secret.
    pub fn conceal(&self, text: &str) -> String {
        let mut secrets = Vec::new();
        self.0.iter().for_each(|one| diff::secrets(one, &mut Vec::new(), &mut secrets));
        secrets.sort_by_key(|secret: &String| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// The documents by what they are: the first of its kind stands under its own path.
fn by_kind(documents: &[Value]) -> Map<String, Value> {
    let mut all = Map::new();
    for one in documents {
        if one["version"] == "v1alpha1" {
            all.extend(one.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
            continue;
        }
        let word = |name: &str| one[name].as_str().unwrap_or_default();
        let name = if word("name").is_empty() { String::new() } else { format!("/{}", word("name")) };
        all.insert(format!("{}{name}", word("kind")), one.clone());
    }
    all
}

impl Facts {
    /// Why a file is not this node's, or is older than what runs there; nothing: it may be brought into force. `older`:
    /// going back is meant. `talos`: what runs.
    pub fn refusal(&self, running: &Self, talos: &Version, name: &str, older: bool) -> Option<String> {
        if self.kind != running.kind {
            return Some(format!("it is of a {}, and {name} is a {}", self.kind, running.kind));
        }
        if self.cluster != running.cluster || self.mark != running.mark {
            let of = |one: &Self| one.cluster.clone().unwrap_or_else(|| "without a name".into());
            let (file, own) = (of(self), of(running));
            let what = if file == own { "another cluster of that name".to_owned() } else { format!("cluster {file}") };
            return Some(format!("it is of {what}, and {name} is of cluster {own}"));
        }
        if self.hostname != running.hostname {
            let of = |one: &Self| one.hostname.clone().unwrap_or_else(|| "no hostname".into());
            return Some(format!("it is of {}, and {name} has {}", of(self), of(running)));
        }
        if older {
            return None;
        }
        for (part, runs) in &running.kubernetes {
            match self.kubernetes.get(part) {
                Some(file) if file < runs => {
                    return Some(format!("it is older than what runs: {part} {file}, and {runs} runs"));
                }
                Some(_) => {}
                None => return Some(format!("it does not say which {part}; {runs} runs")),
            }
        }
        let older = self.installer.as_ref().filter(|file| *file < talos)?;
        Some(format!("it is older than what runs: its installer is of Talos {older}, and {talos} runs"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "c4n4ry-0f-a-s3cret";

    fn config(text: &str) -> MachineConfig {
        MachineConfig::read(&SecretString::from(text)).unwrap()
    }

    fn text() -> String {
        format!(
            "version: v1alpha1\nmachine:\n  type: worker\n  token: {CANARY}\n  kubelet:\n    image: ghcr.io/siderolabs/kubelet:v1.34.1\n  \
             network: {{hostname: w1}}\n  install: {{image: \"factory.talos.dev/installer/ce4c:v1.11.2\"}}\n  env: {{HTTP_PROXY: \"http://u:{CANARY}@p\"}}\n\
             cluster: {{clusterName: prod, id: one}}\n"
        )
    }

    #[test]
    fn how_it_is_written_makes_no_difference_and_what_it_says_does() {
        let one = config(&text());
        let other = text().replace("{hostname: w1}", "{nameservers: , hostname: 'w1'} # the first");
        assert_eq!(one.digest(), config(&other).digest());
        assert_ne!(one.digest(), config(&text().replace("w1", "w2")).digest());
        let two = format!("---\n{}---\napiVersion: v1alpha1\nkind: HostnameConfig\nhostname: w9\n", text());
        assert_ne!(one.digest(), config(&two).digest());
        assert_eq!(one.changes(&config(&two)), ["+ HostnameConfig"]);
        let facts = config(&two.replace("  network: {hostname: w1}\n", "")).facts();
        assert_eq!(facts.hostname.as_deref(), Some("w9"));
    }

    #[test]
    fn what_is_no_configuration_is_refused_without_a_word_of_it() {
        for wrong in ["a: [b", "a: b\n", "version: v1alpha1\nmachine: {type: kettle}\n"] {
            let why = MachineConfig::read(&SecretString::from(wrong.replace('b', CANARY))).err().unwrap();
            assert!(!why.contains(CANARY), "{why}");
        }
    }

    #[test]
    fn only_the_own_and_no_older_one_is_taken() {
        let running = config(&text()).facts();
        let talos: Version = "1.11.2".parse().unwrap();
        let refused = |from: &str, to: &str| {
            config(&text().replace(from, to)).facts().refusal(&running, &talos, "w1", false).unwrap_or_default()
        };
        assert_eq!(refused("kubelet:v1.34.1", "kubelet:v1.34.2"), "");
        assert_eq!(refused("ce4c:v1.11.2", "ce4c:v1.11.6@sha256:00"), "");
        for (from, to, cause) in [
            ("kubelet:v1.34.1", "kubelet:v1.33.9", "older than what runs: kubelet 1.33.9, and 1.34.1 runs"),
            ("kubelet:v1.34.1", "kubelet", "does not say which kubelet"),
            ("ce4c:v1.11.2", "ce4c:v1.11.1", "its installer is of Talos 1.11.1, and 1.11.2 runs"),
            ("type: worker", "type: controlplane", "of a controlplane, and w1 is a worker"),
            ("hostname: w1", "hostname: w2", "it is of w2, and w1 has w1"),
            ("clusterName: prod", "clusterName: test", "it is of cluster test, and w1 is of cluster prod"),
            ("id: one", "id: two", "another cluster of that name"),
        ] {
            assert!(refused(from, to).contains(cause), "{to}: {}", refused(from, to));
        }
        let old = config(&text().replace("v1.34.1", "v1.33.9")).facts();
        assert_eq!(old.refusal(&running, &talos, "w1", true), None, "going back is meant");
    }

    #[test]
    fn what_changes_is_told_without_secrets() {
        let old = config(&text());
        let new = text().replace(CANARY, "an0ther-s3cret").replace("v1.34.1", "v1.34.2");
        let new = config(&new.replace("{hostname: w1}", "{hostname: w1}\n  sysctls: {vm.x: \"1\"}"));
        let lines = old.changes(&new);
        assert_eq!(
            lines,
            [
                "~ machine.env.HTTP_PROXY (not shown)",
                "~ machine.kubelet.image: ghcr.io/siderolabs/kubelet:v1.34.1 -> ghcr.io/siderolabs/kubelet:v1.34.2",
                "+ machine.sysctls: {\"vm.x\":\"1\"}",
                "~ machine.token (not shown)",
            ]
        );
        let said = format!("unknown keys: token: {CANARY}; w1");
        assert_eq!(old.conceal(&said), "unknown keys: token: ***; w1");
    }
}
