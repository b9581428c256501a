//! A snapshot restored into a real etcd of one member on this machine, to see that it can be. Its sockets are files of a folder
//! for ourselves alone: what is in it is every secret of a cluster.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::backup::{self, BackupError};
use crate::sys::files;
use crate::sys::process::{self, Daemon, Ended, Spec};

const CLIENT: &str = "unix://client:1";
const PEER: &str = "unix://peer:1";
/// Between two looks at an etcd that begins.
const LOOK: Duration = Duration::from_millis(200);
const GRACE: Duration = Duration::from_secs(5);
/// What a Kubernetes cluster cannot be without.
const NAMESPACES: &str = "/registry/namespaces/";

/// What etcd has of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drilled {
    /// Of etcd on this machine.
    pub version: String,
    pub hash: String,
    pub revision: u64,
    pub keys: u64,
    pub namespaces: u64,
    pub took_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    hash: u64,
    revision: u64,
}

#[derive(Deserialize)]
struct Range {
    header: Header,
    #[serde(default)]
    count: u64,
}

#[derive(Deserialize)]
struct Header {
    revision: u64,
}

/// Where it takes place; gone with all that is in it when it is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = files::remove_folder(&self.0) {
            tracing::warn!(%error, "a folder with what was restored is left");
        }
    }
}

fn failed(what: &str, why: impl std::fmt::Display) -> BackupError {
    BackupError::Drill(format!("{what}: {why}"))
}

struct Drill {
    folder: Folder,
    /// The program that reads snapshots: etcdutl, where there is one.
    util: String,
    until: Instant,
}

impl Drill {
    fn spec(&self, program: &str, words: &[&str]) -> Spec {
        let left = self.until.saturating_duration_since(Instant::now());
        Spec::new(program).args(words).env("ETCDCTL_API", "3").cwd(&self.folder.0).deadline(left.max(LOOK))
    }

    async fn run(&self, program: &str, words: &[&str]) -> Result<String, BackupError> {
        let ended = process::run(self.spec(program, words)).await?;
        if ended.ended == Ended::Exit(0) {
            return Ok(ended.stdout_text());
        }
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        let last = stderr.lines().rev().find(|line| line.starts_with("Error")).or(stderr.lines().last());
        Err(failed(
            &format!("{program} {}", words[..2.min(words.len())].join(" ")),
            last.unwrap_or("it did not say why"),
        ))
    }

    async fn range(&self, words: &[&str]) -> Result<Range, BackupError> {
        let mut all = vec!["--endpoints", CLIENT, "get"];
        all.extend(words);
        all.extend(["--keys-only", "--limit", "1", "-w", "json"]);
        let text = self.run("etcdctl", &all).await?;
        serde_json::from_str(&text).map_err(|e| failed("etcdctl get", e))
    }

    /// Until it takes proposals.
    async fn healthy(&self, etcd: &mut Daemon) -> Result<(), BackupError> {
        loop {
            let why = match self.run("etcdctl", &["--endpoints", CLIENT, "endpoint", "health"]).await {
                Ok(_) => return Ok(()),
                Err(why) => why,
            };
            if let Some(ended) = etcd.ended()? {
                let log = files::read_text(self.folder.0.join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default().to_owned();
                return Err(failed("etcd ended", format!("{ended:?}: {last}")));
            }
            if Instant::now() >= self.until {
                return Err(failed("etcd does not take proposals", why));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&self) -> Result<(Range, Range), BackupError> {
        Ok((self.range(&["", "--from-key"]).await?, self.range(&[NAMESPACES, "--prefix"]).await?))
    }
}

/// Decrypts a backup by `age` into that folder.
async fn decrypted(drill: &Drill, from: &Path, identity: &Path) -> Result<PathBuf, BackupError> {
    let (from, identity) = (from.display().to_string(), identity.display().to_string());
    drill.run("age", &["--decrypt", "--identity", &identity, "--output", "snapshot", &from]).await?;
    Ok(drill.folder.0.join("snapshot"))
}

/// Restores a snapshot and asks the etcd that comes of it. `identity`: what age decrypts it with, where it is encrypted.
///
/// # Errors
/// It is no whole snapshot, a program is missing, or what comes of it is not what the snapshot says.
pub async fn drill(
    snapshot: &Path,
    identity: Option<&Path>,
    util: &str,
    within: Duration,
) -> Result<Drilled, BackupError> {
    let began = Instant::now();
    let name = format!("runbook-drill-{}-{:08x}", std::process::id(), rand::random::<u32>());
    let folder = std::env::temp_dir().join(name);
    files::make_private_dir(&folder)?;
    let drill = Drill { folder: Folder(folder), util: util.to_owned(), until: began + within };
    let path = match identity {
        Some(identity) => decrypted(&drill, snapshot, identity).await?,
        None => snapshot.to_owned(),
    };
    let whole = backup::checked(path.clone()).await?;
    if whole.encrypted {
        return Err(failed("read the snapshot", "it is encrypted, and no identity was given"));
    }
    let path = path.display().to_string();
    let text = drill.run(&drill.util, &["snapshot", "status", &path, "-w", "json"]).await?;
    let status: Status = serde_json::from_str(&text).map_err(|e| failed("snapshot status", e))?;
    let version = drill.run("etcd", &["--version"]).await?;
    let version = version.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned();
    let cluster = format!("drill={PEER}");
    let restore =
        ["snapshot", "restore", &path, "--name", "drill", "--data-dir", "data", "--initial-cluster", &cluster];
    let restore: Vec<&str> = restore.into_iter().chain(["--initial-advertise-peer-urls", PEER]).collect();
    drill.run(&drill.util, &restore).await?;
    let words =
        ["--name", "drill", "--data-dir", "data", "--listen-client-urls", CLIENT, "--advertise-client-urls", CLIENT];
    let words: Vec<&str> = words.into_iter().chain(["--listen-peer-urls", PEER]).collect();
    let spec = Spec::new("etcd").args(words).cwd(&drill.folder.0);
    let mut etcd = Daemon::start(&spec, Some(&drill.folder.0.join("log")))?;
    let seen = match drill.healthy(&mut etcd).await {
        Ok(()) => drill.look().await,
        Err(error) => Err(error),
    };
    etcd.stop(GRACE).await?;
    let (all, namespaces) = seen?;
    if all.header.revision != status.revision {
        let why = format!("etcd is at revision {}, and the snapshot says {}", all.header.revision, status.revision);
        return Err(failed("compare what was restored", why));
    }
    if all.count == 0 {
        return Err(failed("compare what was restored", "etcd has no key"));
    }
    Ok(Drilled {
        version,
        hash: format!("{:08x}", status.hash),
        revision: status.revision,
        keys: all.count,
        namespaces: namespaces.count,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}
