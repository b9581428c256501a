//! What is read of this machine, as probes and recoveries name it.
//!
//! | key | value |
//! |---|---|
//! | `local/path/PATH` | `{exists}` of an absolute path |
//! | `local/file/PATH` | `{size, sha256, text}` of the file of an absolute path, the text where it is short; null: none |
//! | `local/folder` | `{path}`: the folder that runbook was started in, which relative paths begin at |
//! | `local/now` | `{text}`: the time, as a person reads it |
//! | `local/process/BOOT/PID/START` | `{running}` of one process and no other |
//! | `local/command/RUN/STEP` | the process that this step of this run has left running, or null |

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::clients::local::Process;
use crate::model::ids::{ResourceKey, RunId, StepPath};

/// One of the keys above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Path(PathBuf),
    File(PathBuf),
    Folder,
    Now,
    Process(Process),
    Command(RunId, StepPath),
}

impl Resource {
    pub fn key(&self) -> ResourceKey {
        ResourceKey::new(self.to_string())
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An absolute path brings its own slash.
            Self::Path(path) => write!(f, "local/path{}", path.display()),
            Self::File(path) => write!(f, "local/file{}", path.display()),
            Self::Folder => f.write_str("local/folder"),
            Self::Now => f.write_str("local/now"),
            Self::Process(process) => write!(f, "local/process/{}/{}/{}", process.boot, process.pid, process.start),
            Self::Command(run, step) => write!(f, "local/command/{run}/{step}"),
        }
    }
}

/// The key names nothing that is read of this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no resource {0:?}: expected one of actions/local/resource.rs")]
pub struct NoSuchResource(pub String);

impl FromStr for Resource {
    type Err = NoSuchResource;

    fn from_str(text: &str) -> Result<Self, NoSuchResource> {
        let bad = || NoSuchResource(text.to_owned());
        let (kind, rest) = text.strip_prefix("local/").map(|t| t.split_once('/').unwrap_or((t, ""))).ok_or_else(bad)?;
        match (kind, rest) {
            ("folder", "") => Ok(Self::Folder),
            ("now", "") => Ok(Self::Now),
            ("path", rest) => Ok(Self::Path(format!("/{rest}").into())),
            ("file", rest) => Ok(Self::File(format!("/{rest}").into())),
            ("process", rest) => {
                let parts: Vec<&str> = rest.split('/').collect();
                let [boot, pid, start] = parts[..] else { return Err(bad()) };
                let (pid, start) = pid.parse().ok().zip(start.parse().ok()).ok_or_else(bad)?;
                Ok(Self::Process(Process { pid, start, boot: boot.to_owned() }))
            }
            ("command", rest) => {
                let (run, step) = rest.split_once('/').ok_or_else(bad)?;
                Ok(Self::Command(run.into(), step.into()))
            }
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_reads_back_as_what_it_names() {
        let process = Process { pid: 12, start: 345, boot: "b-1".into() };
        for resource in [
            Resource::Path("/var/lib/x y".into()),
            Resource::Path("/".into()),
            Resource::File("/etc/motd".into()),
            Resource::Folder,
            Resource::Now,
            Resource::Process(process),
            Resource::Command("r1".into(), "all[a/b]/one".into()),
        ] {
            assert_eq!(resource.key().as_str().parse(), Ok(resource));
        }
        for text in ["local", "local/x", "local/process/1", "local/command/r1", "proxmox/site"] {
            assert!(text.parse::<Resource>().is_err(), "{text}");
        }
    }
}
