//! What a node says of itself and of etcd, typed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Talos, TalosError, stream, table};
use crate::model::talos::{Minor, Version};
use crate::sys::clock;

/// For a node to answer; there is no limit of talosctl's own but for the connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// The kernel's own word for one boot, which changes with each.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Asks a machine without a configuration, which has no certificate to show.
pub(super) const IN_MAINTENANCE: [&str; 5] = ["get", "machinestatus", "--insecure", "--output", "json"];
/// What etcd has on its disk.
pub(super) const ETCD_DATA: [&str; 2] = ["list", "/var/lib/etcd"];

/// What runs on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeVersion {
    pub version: Version,
    /// `nocloud`, `metal`
    pub platform: Option<String>,
}

/// Where a node is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// `running`, `maintenance`, `booting`, …
    pub stage: String,
    pub ready: bool,
    /// What it waits for: `name: reason`.
    pub unmet: Vec<String>,
}

/// A system extension; one called `schematic` has the schematic's id for its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    pub name: String,
    pub version: String,
}

/// A member of etcd, as one node lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// 16 hexadecimal digits.
    pub id: String,
    pub hostname: String,
    pub learner: bool,
}

/// How a member of etcd is, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    pub id: String,
    /// The leader's id, as this member sees it.
    pub leader: String,
    pub learner: bool,
    pub raft_index: u64,
    pub raft_applied: u64,
    /// `20 MB`
    pub size: String,
    /// How much of that is in use, in whole percent; nothing where it is not said.
    pub in_use: Option<u32>,
    pub errors: String,
}

/// `NOSPACE` or `CORRUPT` of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    pub member: String,
    pub alarm: String,
}

/// A service of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    /// `Running`, `Finished`, …
    pub state: String,
    /// `OK`, `Fail`, or `?` where nobody knows.
    pub health: String,
    pub event: String,
}

/// A file system of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// `/dev/sda6`
    pub filesystem: String,
    /// In percent.
    pub used: f64,
    /// `/var`
    pub on: String,
}

impl Mount {
    /// Whether anything can be written there that stays: the system's own images are full by their nature, and what is in
    /// memory is another matter.
    pub fn is_kept(&self) -> bool {
        self.filesystem.starts_with("/dev/") && !self.filesystem.starts_with("/dev/loop")
    }
}

/// A node's clock beside that of a time server, as it reads both at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    pub server: String,
    /// By how many milliseconds it is ahead of the server; behind it: less than 0.
    pub ahead_ms: i64,
}

/// `45.5` of `9.1 MB (45.50%)`, and of `45.50%`.
fn share(text: &str) -> Option<f64> {
    let (_, last) = text.rsplit_once('(').unwrap_or(("", text));
    last.trim_end_matches(')').strip_suffix('%')?.parse().ok()
}

/// Milliseconds since 1970 of a time as Go writes it: `2026-11-23 01:22:21.5 +0000 UTC`.
fn of_go(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let (day, time, zone) = (words.next()?, words.next()?, words.next()?);
    let zone = format!("{}:{}", zone.get(..3)?, zone.get(3..)?);
    clock::of_rfc3339(&format!("{day}T{time}{zone}"))
}

fn strange(node: &str, what: &str, why: impl Into<String>) -> TalosError {
    TalosError::Strange { node: node.to_owned(), what: what.to_owned(), why: why.into() }
}

fn stage_of(node: &str, all: &[Value]) -> Result<Stage, TalosError> {
    let spec =
        all.first().map(|one| &one["spec"]).ok_or_else(|| strange(node, "get machinestatus", "there is none"))?;
    let stage = spec["stage"].as_str().ok_or_else(|| strange(node, "get machinestatus", "it has no stage"))?;
    let unmet = spec["status"]["unmetConditions"].as_array().into_iter().flatten();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    Ok(Stage {
        stage: stage.to_owned(),
        // What is not said is not ready.
        ready: spec["status"]["ready"] == true,
        unmet: unmet.map(|one| format!("{}: {}", text(one, "name"), text(one, "reason"))).collect(),
    })
}

impl Talos {
    /// # Errors
    /// It does not answer, or not with a version.
    pub async fn version(&self, node: &str) -> Result<NodeVersion, TalosError> {
        let what = "version --json";
        let text = self.ask(None, node, &["version", "--json"], PATIENCE).await?;
        let all = stream::objects(&text).map_err(|why| strange(node, what, why))?;
        let answer = all.first().ok_or_else(|| strange(node, what, "nothing was answered"))?;
        let tag = answer["version"]["tag"].as_str().unwrap_or_default();
        let version = tag.parse().map_err(|e| strange(node, what, format!("{e}")))?;
        Ok(NodeVersion { version, platform: answer["platform"]["name"].as_str().map(str::to_owned) })
    }

    /// All resources of a type.
    ///
    /// # Errors
    /// It does not answer, or has no such type.
    pub async fn resources(&self, minor: Option<Minor>, node: &str, kind: &str) -> Result<Vec<Value>, TalosError> {
        let text = self.ask(minor, node, &["get", kind, "--output", "json"], PATIENCE).await?;
        stream::objects(&text).map_err(|why| strange(node, &format!("get {kind}"), why))
    }

    /// # Errors
    /// As [`Talos::resources`].
    pub async fn stage(&self, minor: Option<Minor>, node: &str) -> Result<Stage, TalosError> {
        stage_of(node, &self.resources(minor, node, "machinestatus").await?)
    }

    /// The same of a machine without a configuration, which no credentials open.
    ///
    /// # Errors
    /// It does not answer, or has a configuration.
    pub async fn stage_in_maintenance(&self, node: &str) -> Result<Stage, TalosError> {
        let text = self.ask(None, node, &IN_MAINTENANCE, PATIENCE).await?;
        let all = stream::objects(&text).map_err(|why| strange(node, "get machinestatus --insecure", why))?;
        stage_of(node, &all)
    }

    /// Whether etcd has data on its disk.
    ///
    /// # Errors
    /// It does not answer, or has no etcd.
    pub async fn has_etcd_data(&self, minor: Option<Minor>, node: &str) -> Result<bool, TalosError> {
        let text = self.ask(minor, node, &ETCD_DATA, PATIENCE).await?;
        let rows = table::rows(&text);
        // The folder itself is the first row.
        let names: Option<Vec<&String>> = rows.iter().map(|row| row.get("NAME")).collect();
        match names {
            Some(names) if names.iter().any(|name| *name == ".") => Ok(names.len() > 1),
            _ => Err(strange(node, "list /var/lib/etcd", format!("{text:?}"))),
        }
    }

    /// # Errors
    /// As [`Talos::resources`].
    pub async fn extensions(&self, minor: Option<Minor>, node: &str) -> Result<Vec<Extension>, TalosError> {
        let all = self.resources(minor, node, "extensions").await?;
        let text = |one: &Value, name: &str| one["spec"]["metadata"][name].as_str().unwrap_or_default().to_owned();
        Ok(all.iter().map(|one| Extension { name: text(one, "name"), version: text(one, "version") }).collect())
    }

    /// # Errors
    /// As [`Talos::resources`].
    pub async fn kubernetes_name(&self, minor: Option<Minor>, node: &str) -> Result<Option<String>, TalosError> {
        let all = self.resources(minor, node, "nodename").await?;
        Ok(all.first().and_then(|one| one["spec"]["nodename"].as_str()).map(str::to_owned))
    }

    /// The word for this boot.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn boot_id(&self, minor: Option<Minor>, node: &str) -> Result<String, TalosError> {
        let text = self.ask(minor, node, &["read", BOOT_ID], PATIENCE).await?;
        let id = text.trim().to_owned();
        if id.is_empty() { Err(strange(node, "read", "an empty boot id")) } else { Ok(id) }
    }

    /// The members of etcd, as this node lists them.
    ///
    /// # Errors
    /// It does not answer, has no etcd, or its table is not understood.
    pub async fn etcd_members(&self, minor: Option<Minor>, node: &str) -> Result<Vec<Member>, TalosError> {
        let text = self.ask(minor, node, &["etcd", "members"], PATIENCE).await?;
        let rows = table::rows(&text);
        let member = |row: &std::collections::BTreeMap<String, String>| {
            Some(Member {
                id: row.get("ID")?.clone(),
                hostname: row.get("HOSTNAME")?.clone(),
                learner: row.get("LEARNER")?.parse().ok()?,
            })
        };
        rows.iter().map(|row| member(row).ok_or_else(|| strange(node, "etcd members", format!("{row:?}")))).collect()
    }

    /// # Errors
    /// As [`Talos::etcd_members`].
    pub async fn etcd_status(&self, minor: Option<Minor>, node: &str) -> Result<MemberStatus, TalosError> {
        let text = self.ask(minor, node, &["etcd", "status"], PATIENCE).await?;
        let rows = table::rows(&text);
        let [row] = &rows[..] else {
            return Err(strange(node, "etcd status", format!("{} rows instead of one", rows.len())));
        };
        let read = || {
            Some(MemberStatus {
                id: row.get("MEMBER")?.clone(),
                leader: row.get("LEADER")?.clone(),
                learner: row.get("LEARNER")?.parse().ok()?,
                raft_index: row.get("RAFT INDEX")?.parse().ok()?,
                raft_applied: row.get("RAFT APPLIED INDEX")?.parse().ok()?,
                size: row.get("DB SIZE")?.clone(),
                in_use: row.get("IN USE").and_then(|text| share(text)).map(|share| share as u32),
                errors: row.get("ERRORS")?.clone(),
            })
        };
        read().ok_or_else(|| strange(node, "etcd status", format!("{row:?}")))
    }

    /// The alarms of etcd; nothing at all is printed where there are none.
    ///
    /// # Errors
    /// As [`Talos::etcd_members`].
    pub async fn etcd_alarms(&self, minor: Option<Minor>, node: &str) -> Result<Vec<Alarm>, TalosError> {
        let text = self.ask(minor, node, &["etcd", "alarm", "list"], PATIENCE).await?;
        let rows = table::rows(&text);
        let alarm = |row: &std::collections::BTreeMap<String, String>| {
            Some(Alarm { member: row.get("MEMBER")?.clone(), alarm: row.get("ALARM")?.clone() })
        };
        rows.iter().map(|row| alarm(row).ok_or_else(|| strange(node, "etcd alarm list", format!("{row:?}")))).collect()
    }

    /// # Errors
    /// It does not answer, or its table is not understood.
    pub async fn services(&self, minor: Option<Minor>, node: &str) -> Result<Vec<Service>, TalosError> {
        let text = self.ask(minor, node, &["services"], PATIENCE).await?;
        let service = |row: &std::collections::BTreeMap<String, String>| {
            Some(Service {
                name: row.get("SERVICE")?.clone(),
                state: row.get("STATE")?.clone(),
                health: row.get("HEALTH")?.clone(),
                event: row.get("LAST EVENT")?.clone(),
            })
        };
        let rows = table::rows(&text);
        rows.iter().map(|row| service(row).ok_or_else(|| strange(node, "services", format!("{row:?}")))).collect()
    }

    /// The file systems that are mounted.
    ///
    /// # Errors
    /// It does not answer, or its table is not understood.
    pub async fn mounts(&self, minor: Option<Minor>, node: &str) -> Result<Vec<Mount>, TalosError> {
        let text = self.ask(minor, node, &["mounts"], PATIENCE).await?;
        let mount = |row: &std::collections::BTreeMap<String, String>| {
            Some(Mount {
                filesystem: row.get("FILESYSTEM")?.clone(),
                used: share(row.get("PERCENT USED")?)?,
                on: row.get("MOUNTED ON")?.clone(),
            })
        };
        let rows = table::rows(&text);
        rows.iter().map(|row| mount(row).ok_or_else(|| strange(node, "mounts", format!("{row:?}")))).collect()
    }

    /// Its clock beside that of its time server.
    ///
    /// # Errors
    /// It does not answer, its time server does not, or its table is not understood.
    pub async fn time(&self, minor: Option<Minor>, node: &str) -> Result<Clock, TalosError> {
        let text = self.ask(minor, node, &["time"], PATIENCE).await?;
        let rows = table::rows(&text);
        let [row] = &rows[..] else {
            return Err(strange(node, "time", format!("{} rows instead of one", rows.len())));
        };
        let read = || {
            let at = |name: &str| of_go(row.get(name)?);
            Some(Clock { server: row.get("NTP-SERVER")?.clone(), ahead_ms: at("NODE-TIME")? - at("NTP-SERVER-TIME")? })
        };
        read().ok_or_else(|| strange(node, "time", format!("{row:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_times_are_read() {
        assert_eq!((share("9.1 MB (45.50%)"), share("97.00%"), share("9.1 MB")), (Some(45.5), Some(97.0), None));
        let at = |text: &str| of_go(text).unwrap();
        assert_eq!(at("2026-11-23 01:22:21.5 +0000 UTC") - at("2026-11-23 01:22:20 +0000 UTC"), 1500);
        assert_eq!(at("2026-11-23 01:22:21.123456789 +0000 UTC") % 1000, 123);
        assert_eq!(at("2026-11-23 03:22:21 +0200 CEST"), at("2026-11-23 01:22:21 +0000 UTC"));
        for text in ["", "2026-11-23", "2026-11-23 25:00:00 +0000 UTC", "now is the time"] {
            assert_eq!(of_go(text), None, "{text}");
        }
    }
}
