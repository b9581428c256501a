//! Machine configurations: what a machine was given, and what becomes of another one.

use serde_json::Value;

use super::{Image, Machine};
use crate::load::yaml::typed;

/// What the API takes without a reboot, below `machine`.
const AT_ONCE: [&str; 15] = [
    "acceptedCAs",
    "ca",
    "certSANs",
    "controlPlane",
    "features",
    "install",
    "kernel",
    "kubelet",
    "logging",
    "network",
    "nodeLabels",
    "pods",
    "sysctls",
    "sysfs",
    "time",
];
const KUBELET: &str = "ghcr.io/siderolabs/kubelet:v";

/// What a machine of a scenario has.
pub(super) fn first(hostname: &str, cluster: &str, control_plane: bool, image: &Image, kubernetes: &str) -> String {
    let kind = if control_plane { "controlplane" } else { "worker" };
    let (schematic, version) = (&image.schematic, &image.version);
    format!(
        "version: v1alpha1\nmachine:\n    type: {kind}\n    token: lab001.0123456789abcdef\n    kubelet:\n        image: {KUBELET}{kubernetes}\n    \
         network:\n        hostname: {hostname}\n    install:\n        disk: /dev/sda\n        image: factory.talos.dev/installer/{schematic}:v{version}\n\
         cluster:\n    clusterName: {cluster}\n    controlPlane:\n        endpoint: https://10.0.0.50:6443\n"
    )
}

/// What a new configuration would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lab) struct Applied {
    pub reboot: bool,
    /// Lines of a unified diff; none: nothing changes.
    pub diff: Vec<String>,
}

fn read(text: &str) -> Result<Value, String> {
    let document = text.split("\n---").next().unwrap_or_default();
    typed(document.trim_start_matches("---\n"))
}

/// What a machine will be called.
pub(super) fn name_in(text: &str) -> Option<String> {
    read(text).ok()?["machine"]["network"]["hostname"].as_str().map(str::to_owned)
}

impl Machine {
    /// Holds a new configuration against what there is.
    ///
    /// # Errors
    /// It is none.
    pub fn weigh(&self, text: &str) -> Result<Applied, String> {
        let new = read(text)?;
        if new["version"] != "v1alpha1" {
            return Err("unknown keys found during decoding, or not a v1alpha1 document".into());
        }
        let kind = new["machine"]["type"].as_str().unwrap_or_default();
        if !matches!(kind, "controlplane" | "worker" | "init") {
            return Err(format!("1 error occurred:\n\t* invalid machine type: {kind:?}"));
        }
        let old = if self.config.is_empty() { Value::Null } else { read(&self.config)? };
        let keys = |value: &Value| -> Vec<String> {
            value["machine"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
        };
        let differs = |key: &String| old["machine"][key] != new["machine"][key] && !AT_ONCE.contains(&key.as_str());
        let reboot = keys(&old).iter().chain(&keys(&new)).any(differs);
        Ok(Applied { reboot, diff: diff(&self.config, text) })
    }

    /// Takes it over at the next boot; what is in force already changes nothing then.
    pub fn stage_config(&mut self, text: &str) {
        self.staged = (text != self.config).then(|| text.to_owned());
    }

    /// Takes it over.
    pub fn set_config(&mut self, text: String) {
        if self.config.is_empty()
            && let (Some(name), Ok(new)) = (name_in(&text), read(&text))
        {
            let word = |pointer: &str| new.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            // No two machines have been in etcd under one number.
            let nth = self.hostname.bytes().map(u64::from).sum::<u64>() + self.boots;
            self.become_member(name, word("/cluster/clusterName"), word("/machine/type") == "controlplane", nth);
        }
        let image = read(&text).ok().and_then(|new| new["machine"]["kubelet"]["image"].as_str().map(str::to_owned));
        if let Some(version) = image.as_deref().and_then(|image| image.strip_prefix(KUBELET)) {
            version.clone_into(&mut self.kubernetes);
        }
        self.config = text;
    }

    /// Another kubelet, as `upgrade-k8s` patches it in.
    pub(super) fn set_kubelet(&mut self, version: &str) {
        let text = self.config.replace(&format!("{KUBELET}{}", self.kubernetes), &format!("{KUBELET}{version}"));
        version.clone_into(&mut self.kubernetes);
        self.set_config(text);
    }

    /// What a machine is compared by beside its versions, which are compared by themselves.
    pub(super) fn config_but_versions(&self) -> String {
        self.config.lines().filter(|line| !line.contains(KUBELET)).collect()
    }
}

/// A unified diff with all lines for context: configurations of the lab are short.
fn diff(old: &str, new: &str) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Longest common subsequence, from the end.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let mut lines = vec!["--- a".to_owned(), "+++ b".to_owned()];
    lines.push(format!("@@ -1,{} +1,{} @@", old.len(), new.len()));
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!(" {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && (j == new.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push(format!("-{}", old[i]));
            i += 1;
        } else {
            lines.push(format!("+{}", new[j]));
            j += 1;
        }
    }
    lines
}
