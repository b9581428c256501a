//! What one looks at first at a node that may be ill: read in one go, each part for itself, so that one that cannot be had does
//! not hide the others.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::clients::talos::{Clock, Mount, Service, Talos, TalosError, discreet};

/// Lines of a log that are kept: the last.
const LINES: usize = 6;
/// So many lines of a service's log are asked for.
const ASKED: u32 = 40;
/// Where the machine itself writes.
pub(super) const MACHINED: &str = "machined";
/// What a line of the kernel's log has that tells of trouble, in lower case.
const TELLING: [&str; 17] = [
    "error",
    "fail",
    "panic",
    "out of memory",
    "oom",
    "killed process",
    "no space",
    "fallback",
    "not healthy",
    "unhealthy",
    "timed out",
    "timeout",
    "denied",
    "corrupt",
    "segfault",
    "hung task",
    "read-only",
];

/// A part, or why it cannot be had.
pub(super) type Part<T> = Result<T, String>;

/// A node, looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Look {
    pub services: Part<Vec<Service>>,
    /// The last lines of each service that is not well, and the machine's own.
    pub logs: BTreeMap<String, Vec<String>>,
    /// The last lines of the kernel's log that tell of trouble.
    pub kernel: Part<Vec<String>>,
    pub clock: Part<Clock>,
    pub mounts: Part<Vec<Mount>>,
}

/// Whether a service is not as it should be; nobody knows of some, which is as it is.
pub(super) fn is_ill(service: &Service) -> bool {
    !matches!(service.state.as_str(), "Running" | "Finished" | "Skipped") || service.health == "Fail"
}

/// A program that cannot be run is no finding about a node.
fn part<T>(said: Result<T, TalosError>) -> Result<Part<T>, TalosError> {
    match said {
        Ok(value) => Ok(Ok(value)),
        Err(error @ TalosError::Program(_)) => Err(error),
        Err(error) => Ok(Err(error.to_string())),
    }
}

fn is_telling(line: &str) -> bool {
    let line = line.to_lowercase();
    TELLING.iter().any(|word| line.contains(word))
}

fn last(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let all: Vec<String> = lines.into_iter().map(|line| discreet::line(&line)).collect();
    all[all.len().saturating_sub(LINES)..].to_vec()
}

/// Looks at it. One that does not answer is asked once.
pub(super) async fn look(talos: &Talos, address: &str) -> Result<Look, TalosError> {
    let minor = Some(talos.version(address).await?.version.minor());
    let (services, kernel, clock, mounts) = tokio::join!(
        talos.services(minor, address),
        talos.dmesg(minor, address),
        talos.time(minor, address),
        talos.mounts(minor, address),
    );
    let services = part(services)?;
    let ill = services.iter().flatten().filter(|one| is_ill(one)).map(|one| one.name.as_str());
    let names: Vec<&str> = ill.chain([MACHINED]).collect();
    let logs = join_all(names.iter().map(|name| talos.logs(minor, address, name, ASKED))).await;
    let logs = names.iter().zip(logs).filter_map(|(name, lines)| Some(((*name).to_owned(), last(lines.ok()?))));
    Ok(Look {
        logs: logs.collect(),
        services,
        kernel: part(kernel)?.map(|lines| last(lines.into_iter().filter(|line| is_telling(line)))),
        clock: part(clock)?,
        mounts: part(mounts)?,
    })
}
