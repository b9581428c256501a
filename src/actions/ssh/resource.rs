//! What is read of a host over SSH, as probes and recoveries name it.
//!
//! | key | value |
//! |---|---|
//! | `ssh/HOST/path/PATH` | `{exists}` of an absolute path |
//! | `ssh/HOST/file/PATH` | the file there, as `file.rs` has it |
//! | `ssh/HOST/answers/WORDS` | `{answers, why}`: whether the host runs a command; `WORDS` is a JSON list, empty for none |
//! | `ssh/HOST/process/BOOT/PID/START` | `{running}` of one process and no other |
//! | `ssh/HOST/command/RUN/STEP` | the process that this step of this run has left running there, or null |

use std::fmt;
use std::str::FromStr;

use crate::clients::ssh::RemoteProcess;
use crate::model::ids::{ResourceKey, RunId, StepPath};

/// What of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Path(String),
    File(String),
    Answers(Vec<String>),
    Process(RemoteProcess),
    Command(RunId, StepPath),
}

/// One of the keys above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    pub host: String,
    pub what: What,
}

impl Resource {
    pub fn new(host: &str, what: What) -> Self {
        Self { host: host.to_owned(), what }
    }

    pub fn key(&self) -> ResourceKey {
        ResourceKey::new(self.to_string())
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh/{}/", self.host)?;
        match &self.what {
            // An absolute path brings its own slash.
            What::Path(path) => write!(f, "path{path}"),
            What::File(path) => write!(f, "file{path}"),
            What::Answers(argv) => write!(f, "answers/{}", serde_json::Value::from(argv.clone())),
            What::Process(process) => write!(f, "process/{}/{}/{}", process.boot, process.pid, process.start),
            What::Command(run, step) => write!(f, "command/{run}/{step}"),
        }
    }
}

/// The key names nothing that is read over SSH.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no resource {0:?}: expected one of actions/ssh/resource.rs")]
pub struct NoSuchResource(pub String);

impl FromStr for Resource {
    type Err = NoSuchResource;

    fn from_str(text: &str) -> Result<Self, NoSuchResource> {
        let bad = || NoSuchResource(text.to_owned());
        let (host, rest) = text.strip_prefix("ssh/").and_then(|t| t.split_once('/')).ok_or_else(bad)?;
        let (kind, rest) = rest.split_once('/').ok_or_else(bad)?;
        let what = match kind {
            "path" => What::Path(format!("/{rest}")),
            "file" => What::File(format!("/{rest}")),
            "answers" => What::Answers(serde_json::from_str(rest).map_err(|_| bad())?),
            "process" => {
                let parts: Vec<&str> = rest.split('/').collect();
                let [boot, pid, start] = parts[..] else { return Err(bad()) };
                let pid = pid.parse().map_err(|_| bad())?;
                What::Process(RemoteProcess { boot: boot.to_owned(), pid, start: start.to_owned(), group: None })
            }
            "command" => {
                let (run, step) = rest.split_once('/').ok_or_else(bad)?;
                What::Command(run.into(), step.into())
            }
            _ => return Err(bad()),
        };
        Ok(Self::new(host, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_reads_back_as_what_it_names() {
        let process = RemoteProcess { boot: "b-1".into(), pid: 12, start: "345".into(), group: None };
        for what in [
            What::Path("/var/lib/x y".into()),
            What::File("/etc/motd".into()),
            What::Answers(vec![]),
            What::Answers(vec!["test".into(), "a/b \"c\"".into()]),
            What::Process(process),
            What::Command("r1".into(), "all[a/b]/one".into()),
        ] {
            let resource = Resource::new("pve1", what);
            assert_eq!(resource.key().as_str().parse(), Ok(resource));
        }
        for text in ["ssh", "ssh/pve1", "ssh/pve1/x/y", "ssh/pve1/process/1", "ssh/pve1/answers/x", "local/now"] {
            assert!(text.parse::<Resource>().is_err(), "{text}");
        }
    }
}
