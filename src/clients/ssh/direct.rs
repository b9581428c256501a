//! Commands that are answered in this process: a simulated site without sockets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Output, SshError};

/// Runs commands on hosts.
#[async_trait]
pub trait Commands: Send + Sync {
    /// A host that is not there exits with 255 and what `ssh` would have written.
    async fn run(&self, host: &str, argv: &[String]) -> Output;
}

/// One that is shared.
#[derive(Clone)]
pub struct SharedCommands(pub Arc<dyn Commands>);

impl fmt::Debug for SharedCommands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedCommands")
    }
}

pub(super) async fn run(
    commands: &SharedCommands,
    host: &str,
    argv: &[&str],
    deadline: Duration,
) -> Result<Output, SshError> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    match tokio::time::timeout(deadline, commands.0.run(host, &argv)).await {
        Ok(output) => match SshError::of_output(host, output.exit, &output.stderr) {
            Some(error) => Err(error),
            None => Ok(output),
        },
        Err(_) => Err(SshError::Deadline { host: host.to_owned() }),
    }
}
