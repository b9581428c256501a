//! Hosts over SSH, read for the World.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::resource::{Resource, What};
use super::{failure, file};
use crate::actions::local::work::{RUN, STEP};
use crate::clients::ssh::Ssh;
use crate::engine::ports::Source;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// For one look, connecting included.
const LOOK: Duration = Duration::from_secs(30);

/// Reads hosts.
pub struct SshSource {
    ssh: Arc<Ssh>,
}

impl SshSource {
    pub fn new(ssh: Arc<Ssh>) -> Self {
        Self { ssh }
    }
}

#[async_trait]
impl Source for SshSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let parsed = resource.as_str().parse::<Resource>();
        let parsed = parsed.map_err(|e| Failure::new(Class::Internal, format!("read {resource}"), e.to_string()))?;
        let (ssh, host) = (&self.ssh, parsed.host.as_str());
        match parsed.what {
            What::Path(path) => {
                let attempted = format!("look for {path} on {host}");
                let output =
                    ssh.run(host, &["test", "-e", &path], LOOK).await.map_err(|e| failure(attempted.as_str(), &e))?;
                match output.exit {
                    0 | 1 => Ok(json!({"exists": output.exit == 0})),
                    exit => {
                        let said = output.last_line().unwrap_or_default();
                        Err(Failure::new(Class::Failed, attempted, format!("exit code {exit} {said}")))
                    }
                }
            }
            What::File(path) => file::read(ssh, host, &path, LOOK).await,
            What::Answers(argv) => Ok(self.answers(host, &argv).await),
            What::Process(process) => {
                let attempted = format!("look for process {} on {host}", process.pid);
                let running = ssh.runs(host, &process).await.map_err(|e| failure(attempted.as_str(), &e))?;
                Ok(json!({"running": running}))
            }
            What::Command(run, step) => {
                let attempted = format!("look for the command of {step} on {host}");
                let found = ssh.marked(host, [(RUN, run.as_str()), (STEP, step.as_str())]).await;
                Ok(json!(found.map_err(|e| failure(attempted.as_str(), &e))?))
            }
        }
    }
}

impl SshSource {
    /// Every way of not answering is an answer here, except what only a person can put right.
    async fn answers(&self, host: &str, argv: &[String]) -> Value {
        // Any exit code shows that commands are run there.
        let words: Vec<&str> = if argv.is_empty() { vec!["true"] } else { argv.iter().map(String::as_str).collect() };
        match self.ssh.run(host, &words, LOOK).await {
            Ok(output) if argv.is_empty() || output.success() => json!({"answers": true}),
            Ok(output) => {
                let said = output.last_line().map(|line| format!(": {line}")).unwrap_or_default();
                json!({"answers": false, "why": format!("it answers, with exit code {}{said}", output.exit)})
            }
            Err(error) => {
                let refused = crate::clients::Class::Refused == error.class();
                json!({"answers": false, "why": error.to_string(), "final": refused})
            }
        }
    }
}
