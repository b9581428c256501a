//! What changes a node. Each call is worded for the version of talosctl that makes it and of the server that takes it.
//!
//! Nothing waits for a machine to come back: talosctl's own waiting has hung with the node long back, and its success does
//! not prove the version. Who calls looks for himself, at the boot id and the version.

use std::time::Duration;

use super::{Output, Talos, TalosError, said, table};
use secrecy::ExposeSecret;

use crate::model::talos::{Minor, Version};
use crate::sys::files::{self, FileError};

const PATIENCE: Duration = Duration::from_secs(60);
/// For an image to arrive over a slow line.
const PULL: Duration = Duration::from_secs(15 * 60);
/// For an image to arrive and its installer to end.
const INSTALL: Duration = Duration::from_secs(25 * 60);
/// For Kubernetes on all nodes, images, restarts and all.
const KUBERNETES: Duration = Duration::from_secs(60 * 60);
/// To look at all nodes, and to fetch the images of the control planes: a dry run does that, too.
const KUBERNETES_DRY: Duration = Duration::from_secs(15 * 60);
/// For a snapshot of some gigabytes to arrive.
const RECOVER: Duration = Duration::from_secs(15 * 60);
/// A database of some gigabytes, during which its member does not answer.
const DEFRAG: Duration = Duration::from_secs(5 * 60);
/// The first version in which upgrade, drain and reboot are steps of the client.
const STEPWISE: Minor = Minor(1, 13);

/// How far an upgrade is when its call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgraded {
    /// The other slot holds the new version; it is booted by [`Talos::reboot`].
    Installed,
    /// The node does the rest itself, its reboot included.
    Begun,
}

/// When a configuration takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once, with a reboot where it needs one.
    Auto,
    /// At once, or not at all.
    NoReboot,
    /// At the next boot.
    Staged,
}

impl Mode {
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::NoReboot => "no-reboot",
            Self::Staged => "staged",
        }
    }
}

/// What a configuration would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// In talosctl's words.
    pub mode: String,
    pub reboot: bool,
    /// Lines of a unified diff, secrets hidden; none: nothing changes.
    pub diff: Vec<String>,
    pub warnings: Vec<String>,
}

/// The machine configurations of a node, with all their secrets.
#[derive(Debug)]
pub struct Configs {
    pub in_force: secrecy::SecretString,
    /// What its next boot takes; nothing: a Talos that does not show it.
    pub stored: Option<secrecy::SecretString>,
}

/// A file with a machine configuration, which nobody else may read.
///
/// # Errors
/// It cannot be read, is not ours, or others may read it.
pub fn config_file(path: &std::path::Path) -> Result<secrecy::SecretString, FileError> {
    files::read_private_text(path).map(Into::into)
}

/// Keeps a machine configuration in a file for its owner alone.
///
/// # Errors
/// It cannot be written.
pub fn keep_config(path: &std::path::Path, text: &secrecy::SecretString) -> Result<(), FileError> {
    files::write_private(path, text.expose_secret().as_bytes())
}

/// The machines of which a folder has a configuration, `NODE.yaml`, by their names.
///
/// # Errors
/// It cannot be read.
pub fn config_names(folder: &std::path::Path) -> Result<Vec<String>, FileError> {
    let names = files::names(folder)?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".yaml")).map(str::to_owned).collect())
}

/// What became of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub mode: String,
    pub reboot: bool,
}

/// What talosctl said of the snapshot that it restored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Recovered {
    pub hash: String,
    pub revision: u64,
    pub keys: u64,
}

/// Whether upgrade, drain and reboot are calls of their own between these two.
fn is_stepwise(client: Minor, server: Minor, legacy: bool) -> bool {
    client >= STEPWISE && server >= STEPWISE && !legacy
}

/// Never `--preserve`: since 1.8 data are kept anyway, and the server then does not look at etcd.
fn upgrade(client: Minor, server: Minor, image: &str, legacy: bool) -> Vec<&str> {
    let mut words = vec!["upgrade", "--image", image];
    if is_stepwise(client, server, legacy) {
        words.extend(["--no-reboot", "--drain=false", "--progress", "plain"]);
    } else if client >= STEPWISE {
        words.extend(["--legacy", "--drain=false", "--wait=false"]);
    } else {
        words.push("--wait=false");
    }
    words
}

fn reboot(client: Minor, powercycle: bool) -> Vec<&'static str> {
    let mut words = vec!["reboot", "--wait=false"];
    if client >= STEPWISE {
        words.push("--drain=false");
    }
    if powercycle {
        words.extend(["--mode", "powercycle"]);
    }
    words
}

fn reset(graceful: bool, wiped: &str, reboots: bool) -> Vec<&str> {
    let graceful = if graceful { "--graceful=true" } else { "--graceful=false" };
    let reboots = if reboots { "--reboot=true" } else { "--reboot=false" };
    vec!["reset", graceful, reboots, "--wait=false", "--system-labels-to-wipe", wiped]
}

/// Never `--recover-skip-hash-check`: what is restored has its sum.
fn bootstrap(snapshot: Option<&str>) -> Vec<&str> {
    let mut words = vec!["bootstrap"];
    words.extend(snapshot.into_iter().flat_map(|path| ["--recover-from", path]));
    words
}

/// `recovering from snapshot "f": hash c25fd181, revision 4193, total keys 1287, total size 3035136`
fn recovered(text: &str) -> Option<Recovered> {
    let after = |before: &str| {
        let rest = &text[text.rfind(before)? + before.len()..];
        Some(rest.split(',').next()?.trim().to_owned())
    };
    Some(Recovered {
        hash: after("\": hash ")?,
        revision: after(", revision ")?.parse().ok()?,
        keys: after(", total keys ")?.parse().ok()?,
    })
}

fn apply(file: &str, mode: Mode, dry: bool) -> Vec<&str> {
    let mut words = vec!["apply-config", "--file", file, "--mode", mode.word()];
    words.extend(dry.then_some("--dry-run"));
    words
}

fn pull(image: &str) -> [&str; 5] {
    ["image", "pull", "--namespace", "system", image]
}

fn upgrade_k8s(to: &str, dry: bool) -> Vec<&str> {
    let mut words = vec!["upgrade-k8s", "--to", to];
    words.extend(dry.then_some("--dry-run"));
    words
}

fn logs<'a>(service: &'a str, lines: &'a str) -> [&'a str; 4] {
    ["logs", service, "--tail", lines]
}

impl Talos {
    /// The version of the talosctl that calls to a node of this version are made with.
    ///
    /// # Errors
    /// There is no such program, or it does not say.
    pub async fn client_version(&self, server: Option<Minor>, node: &str) -> Result<Version, TalosError> {
        let text = self.ask(server, node, &["version", "--client", "--short"], PATIENCE).await?;
        let version = text.split_whitespace().rev().find_map(|word| word.parse().ok());
        version.ok_or_else(|| TalosError::Strange {
            node: node.to_owned(),
            what: "version --client --short".into(),
            why: format!("no version in {:?}", text.trim()),
        })
    }

    /// Installs an image beside what runs. `legacy`: by the older call, where the newer one would lose kernel arguments.
    ///
    /// # Errors
    /// What talosctl said; or its time was up, which says nothing of the node.
    pub async fn upgrade(&self, server: Minor, node: &str, image: &str, legacy: bool) -> Result<Upgraded, TalosError> {
        let client = self.client_version(Some(server), node).await?.minor();
        self.ask(Some(server), node, &upgrade(client, server, image, legacy), INSTALL).await?;
        Ok(if is_stepwise(client, server, legacy) { Upgraded::Installed } else { Upgraded::Begun })
    }

    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn reboot(&self, server: Minor, node: &str, powercycle: bool) -> Result<(), TalosError> {
        let client = self.client_version(Some(server), node).await?.minor();
        self.ask(Some(server), node, &reboot(client, powercycle), PATIENCE).await.map(drop)
    }

    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn shutdown(&self, server: Minor, node: &str) -> Result<(), TalosError> {
        self.ask(Some(server), node, &["shutdown", "--wait=false"], PATIENCE).await.map(drop)
    }

    /// Boots what the other slot holds: what ran before, or what was installed last.
    ///
    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn rollback(&self, server: Minor, node: &str) -> Result<(), TalosError> {
        self.ask(Some(server), node, &["rollback"], PATIENCE).await.map(drop)
    }

    /// Wipes partitions (`EPHEMERAL`, `STATE`) and reboots, or switches itself off. `graceful`: it leaves etcd first, which
    /// needs quorum.
    ///
    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn reset(
        &self,
        server: Minor,
        node: &str,
        graceful: bool,
        wiped: &[&str],
        reboots: bool,
    ) -> Result<(), TalosError> {
        self.ask(Some(server), node, &reset(graceful, &wiped.join(","), reboots), PATIENCE).await.map(drop)
    }

    /// Has a control plane whose etcd waits begin one of its own, with what is in a snapshot. What talosctl said of that.
    ///
    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn recover(&self, server: Minor, node: &str, snapshot: &str) -> Result<Recovered, TalosError> {
        let text = self.ask(Some(server), node, &bootstrap(Some(snapshot)), RECOVER).await?;
        recovered(&text).ok_or_else(|| TalosError::Strange {
            node: node.to_owned(),
            what: "bootstrap --recover-from".into(),
            why: format!("{text:?}"),
        })
    }

    /// Fetches an installer image to where the upgrade looks for it.
    ///
    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn pull_image(&self, server: Minor, node: &str, image: &str) -> Result<(), TalosError> {
        self.ask(Some(server), node, &pull(image), PULL).await.map(drop)
    }

    /// References of what it has fetched to there.
    ///
    /// # Errors
    /// It does not answer, or its table is not understood.
    pub async fn images(&self, server: Minor, node: &str) -> Result<Vec<String>, TalosError> {
        let text = self.ask(Some(server), node, &["image", "list", "--namespace", "system"], PATIENCE).await?;
        let rows = table::rows(&text);
        let image = |row: &std::collections::BTreeMap<String, String>| {
            row.get("IMAGE").cloned().ok_or_else(|| TalosError::Strange {
                node: node.to_owned(),
                what: "image list".into(),
                why: format!("{row:?}"),
            })
        };
        rows.iter().map(image).collect()
    }

    /// Upgrades Kubernetes on all nodes by way of this control plane; what talosctl wrote on the way. `dry`: only looks
    /// whether it could, and fetches the images of the control planes. A second call goes on where one was broken off.
    ///
    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn upgrade_kubernetes(
        &self,
        server: Minor,
        node: &str,
        to: &Version,
        dry: bool,
    ) -> Result<Vec<String>, TalosError> {
        let deadline = if dry { KUBERNETES_DRY } else { KUBERNETES };
        let text = self.ask(Some(server), node, &upgrade_k8s(&to.to_string(), dry), deadline).await?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn forfeit_leadership(&self, server: Minor, node: &str) -> Result<(), TalosError> {
        self.ask(Some(server), node, &["etcd", "forfeit-leadership"], PATIENCE).await.map(drop)
    }

    /// Strikes a member, by its sixteen hexadecimal digits, from the list; `node` is another member.
    ///
    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn remove_member(&self, server: Minor, node: &str, member: &str) -> Result<(), TalosError> {
        self.ask(Some(server), node, &["etcd", "remove-member", member], PATIENCE).await.map(drop)
    }

    /// The member does not answer meanwhile: one after another.
    ///
    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn defragment(&self, server: Minor, node: &str) -> Result<(), TalosError> {
        self.ask(Some(server), node, &["etcd", "defrag"], DEFRAG).await.map(drop)
    }

    /// Disarms all alarms of the cluster.
    ///
    /// # Errors
    /// As [`Talos::upgrade`].
    pub async fn disarm(&self, server: Minor, node: &str) -> Result<(), TalosError> {
        self.ask(Some(server), node, &["etcd", "alarm", "disarm"], PATIENCE).await.map(drop)
    }

    /// The machine configuration as it is in force, secrets and all: never for a journal, a log or a page.
    ///
    /// # Errors
    /// As [`Talos::resources`].
    pub async fn machine_config(&self, server: Minor, node: &str) -> Result<secrecy::SecretString, TalosError> {
        self.machine_configs(server, node).await.map(|both| both.in_force)
    }

    /// The same, and beside it what is on the node's disk for its next boot.
    ///
    /// # Errors
    /// As [`Talos::resources`].
    pub async fn machine_configs(&self, server: Minor, node: &str) -> Result<Configs, TalosError> {
        let all = self.resources(Some(server), node, "machineconfig").await?;
        let of = |id: &str| {
            let own = all.iter().find(|one| one["metadata"]["id"] == id);
            own.and_then(|one| one["spec"].as_str()).map(secrecy::SecretString::from)
        };
        let in_force = of("v1alpha1").ok_or_else(|| TalosError::Strange {
            node: node.to_owned(),
            what: "get machineconfig".into(),
            why: "there is none".into(),
        })?;
        Ok(Configs { in_force, stored: of("persistent") })
    }

    /// What a configuration would change.
    ///
    /// # Errors
    /// As [`Talos::upgrade`]; it is refused.
    pub async fn try_config(&self, server: Minor, node: &str, file: &str, mode: Mode) -> Result<DryRun, TalosError> {
        let output = self.applied(server, node, &apply(file, mode, true)).await?;
        dry_run(&output.stderr).ok_or_else(|| TalosError::Strange {
            node: node.to_owned(),
            what: "apply-config --dry-run".into(),
            why: "no summary".into(),
        })
    }

    /// # Errors
    /// As [`Talos::upgrade`]; it is refused.
    pub async fn apply_config(&self, server: Minor, node: &str, file: &str, mode: Mode) -> Result<Applied, TalosError> {
        let output = self.applied(server, node, &apply(file, mode, false)).await?;
        let line = output.stderr.lines().map(str::trim).find(|line| is_outcome(line)).unwrap_or_default();
        Ok(Applied { mode: line.to_owned(), reboot: line.contains("with a reboot") })
    }

    async fn applied(&self, server: Minor, node: &str, words: &[&str]) -> Result<Output, TalosError> {
        let output = self.call(Some(server), node, words, Duration::from_secs(120)).await?;
        match output.exit {
            0 => Ok(output),
            _ => Err(TalosError::Said { node: node.to_owned(), said: said(&output.stderr) }),
        }
    }

    /// The last lines of a service.
    ///
    /// # Errors
    /// It does not answer, or has no such service.
    pub async fn logs(
        &self,
        server: Option<Minor>,
        node: &str,
        service: &str,
        lines: u32,
    ) -> Result<Vec<String>, TalosError> {
        let text = self.ask(server, node, &logs(service, &lines.to_string()), PATIENCE).await?;
        Ok(without_node(node, &text))
    }

    /// The kernel's lines since its boot.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn dmesg(&self, server: Option<Minor>, node: &str) -> Result<Vec<String>, TalosError> {
        let text = self.ask(server, node, &["dmesg"], PATIENCE).await?;
        Ok(without_node(node, &text))
    }
}

fn is_outcome(line: &str) -> bool {
    line.starts_with("Applied configuration") || line.starts_with("Staged configuration")
}

/// Each line of a log has its node before it.
fn without_node(node: &str, text: &str) -> Vec<String> {
    let before = format!("{node}: ");
    text.lines().map(|line| line.strip_prefix(&before).unwrap_or(line).to_owned()).collect()
}

fn dry_run(text: &str) -> Option<DryRun> {
    let (before, after) = text.split_once("Dry run summary:")?;
    let (mode, diff) = after.split_once("Config diff:")?;
    let mode = mode.trim().trim_end_matches(" (skipped in dry-run).").to_owned();
    let diff: Vec<String> = match diff.trim() {
        "" | "No changes." => Vec::new(),
        lines => lines.lines().map(hidden).collect(),
    };
    let warnings = before.lines().filter_map(|line| line.trim().strip_prefix("WARNING: ")).map(str::to_owned).collect();
    Some(DryRun { reboot: mode.contains("with a reboot"), mode, diff, warnings })
}

/// A line of a diff without the value of what is kept secret.
fn hidden(line: &str) -> String {
    const SECRET: [&str; 6] = ["token", "secret", "key", "password", "crt", "auth"];
    let Some((name, value)) = line.split_once(": ") else { return line.to_owned() };
    let bare = name.trim_start_matches(['+', '-', ' ']).to_lowercase();
    if SECRET.iter().any(|word| bare.contains(word)) && !value.trim().is_empty() {
        return format!("{name}: ***");
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::talosctl::{Contract, MINORS, Typed};

    const IMAGE: &str = "factory.talos.dev/installer/ce4c:v1.13.9";

    /// Each version of talosctl takes the words that are made for it, and says of no flag that it goes away.
    fn taken(client: Minor, words: &[&str]) -> Typed {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let typed = Contract::of(&client.to_string()).unwrap().parse(&words);
        let typed = typed.unwrap_or_else(|refusal| panic!("{client} {words:?}: {refusal}"));
        assert!(!typed.help && typed.warnings.is_empty(), "{client} {words:?}: {typed:?}");
        assert!(!typed.flags.contains_key("preserve") && !typed.flags.contains_key("force"), "{words:?}");
        typed
    }

    #[test]
    fn every_version_takes_what_is_said_to_it() {
        for client in MINORS.map(|minor| minor.parse::<Minor>().unwrap()) {
            for server in MINORS.map(|minor| minor.parse::<Minor>().unwrap()) {
                for legacy in [false, true] {
                    let typed = taken(client, &upgrade(client, server, IMAGE, legacy));
                    let stepwise = client >= STEPWISE && server >= STEPWISE && !legacy;
                    assert_eq!(typed.is_on("no-reboot"), stepwise, "{client} {server} {legacy}");
                    assert_eq!(typed.is_on("legacy"), client >= STEPWISE && !stepwise);
                    assert_eq!(typed.flag("drain").is_some(), client >= STEPWISE, "never its own drain");
                    assert!(!typed.is_on("drain") && !typed.is_on("wait"));
                }
            }
            for powercycle in [false, true] {
                taken(client, &reboot(client, powercycle));
            }
            for mode in [Mode::Auto, Mode::NoReboot, Mode::Staged] {
                taken(client, &apply("node.yaml", mode, true));
                taken(client, &apply("node.yaml", mode, false));
            }
            for (graceful, reboots) in [(false, true), (true, true), (true, false)] {
                let typed = taken(client, &reset(graceful, "STATE,EPHEMERAL", reboots));
                assert_eq!(typed.all("system-labels-to-wipe").len(), 2);
                assert_eq!(
                    (typed.is_on("graceful"), typed.is_on("reboot"), typed.is_on("wait")),
                    (graceful, reboots, false)
                );
            }
            taken(client, &bootstrap(None));
            let typed = taken(client, &bootstrap(Some("/b/db")));
            assert!(typed.flag("recover-from") == Some("/b/db") && !typed.is_on("recover-skip-hash-check"));
            taken(client, &super::super::read::IN_MAINTENANCE);
            taken(client, &super::super::read::ETCD_DATA);
            taken(client, &pull(IMAGE));
            taken(client, &["image", "list", "--namespace", "system"]);
            assert!(taken(client, &upgrade_k8s("1.35.4", true)).is_on("dry-run"));
            assert!(!taken(client, &upgrade_k8s("1.35.4", false)).is_on("dry-run"));
            taken(client, &logs("etcd", "50"));
            for words in [
                &["version", "--client", "--short"][..],
                &["shutdown", "--wait=false"],
                &["rollback"],
                &["etcd", "forfeit-leadership"],
                &["etcd", "remove-member", "12ab"],
                &["etcd", "defrag"],
                &["etcd", "alarm", "disarm"],
                &["get", "machineconfig", "--output", "json"],
                &["dmesg"],
                &["mounts"],
                &["services"],
                &["time"],
            ] {
                taken(client, words);
            }
        }
    }

    #[test]
    fn what_is_said_of_a_recovery_is_read() {
        let text = "recovering from snapshot \"a, revision 7\": hash c25fd181, revision 4193, total keys 1287, total size 3035136\n";
        let wanted = Recovered { hash: "c25fd181".into(), revision: 4193, keys: 1287 };
        assert_eq!(recovered(text), Some(wanted));
        assert_eq!(recovered(""), None);
    }

    #[test]
    fn a_dry_run_is_read_and_keeps_its_secrets() {
        let text = "WARNING: old\nDry run summary:\nApplied configuration with a reboot: x (skipped in dry-run).\nConfig \
                    diff:\n\n--- a\n+++ b\n@@ -1,2 +1,2 @@\n-    token: abc\n+    token: def\n+    type: worker\n";
        let dry = dry_run(text).unwrap();
        assert!(dry.reboot && dry.warnings == ["old"] && dry.mode == "Applied configuration with a reboot: x");
        assert!(dry.diff.contains(&"+    token: ***".to_owned()) && dry.diff.contains(&"+    type: worker".to_owned()));
        assert!(!dry.diff.iter().any(|line| line.contains("abc") || line.contains("def")), "{dry:?}");
        let same = "Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\nConfig diff:\n\nNo changes.\n";
        let dry = dry_run(same).unwrap();
        assert!(!dry.reboot && dry.diff.is_empty());
        assert_eq!(dry_run("nothing"), None);
    }
}
