//! The kernel's table of processes: which one is meant, even after its number was given to another.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

/// One process and no other: numbers are given again, a number with the time of its start on this boot is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// In the kernel's ticks since the boot.
    pub start: u64,
    /// The boot's own id.
    pub boot: String,
}

/// What `/proc/PID/stat` says (proc_pid_stat(5)).
struct Stat {
    state: u8,
    group: u32,
    start: u64,
}

/// The process of that number as it is now; `None` where there is none, or only what is left of an ended one.
pub fn identity(pid: u32) -> Option<Identity> {
    let stat = stat(pid).filter(is_alive)?;
    Some(Identity { pid, start: stat.start, boot: boot()? })
}

/// Whether that process still runs.
pub fn still_runs(process: &Identity) -> bool {
    identity(process.pid).as_ref() == Some(process)
}

/// The oldest process group of ours whose leader's environment has all of these: what a dead parent has left running.
#[allow(clippy::disallowed_methods, reason = "the process table is no file of anybody's")]
pub fn marked(marks: &[(&str, &str)]) -> Option<Identity> {
    let bears_all = |pid: u32| {
        // Another user's environment cannot be read, and it is none of ours.
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let bears = |(name, value): &(&str, &str)| {
            environment.split(|b| *b == 0).any(|entry| entry == format!("{name}={value}").as_bytes())
        };
        marks.iter().all(bears)
    };
    let leaders = pids().filter_map(|pid| Some((stat(pid).filter(|s| is_alive(s) && s.group == pid)?.start, pid)));
    let (_, oldest) = leaders.filter(|(_, pid)| bears_all(*pid)).min()?;
    identity(oldest)
}

/// TERM to the group that it leads, KILL after `grace`: for one that is no child of ours.
pub async fn end(process: &Identity, grace: Duration) {
    let Some(group) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { return };
    let since = Instant::now();
    let mut signal = Some(Signal::TERM);
    // Looked at before each signal: the number must still be that process's.
    while still_runs(process) {
        if let Some(signal) = signal.take() {
            // The only likely error is that nobody is left in the group.
            let _ = kill_process_group(group, signal);
        } else if since.elapsed() >= grace {
            signal = Some(Signal::KILL);
            continue;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_alive(stat: &Stat) -> bool {
    // Ended and not waited for, or just being taken away.
    !matches!(stat.state, b'Z' | b'X')
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(PathBuf::from("/proc")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[allow(clippy::disallowed_methods, reason = "the process table is no file of anybody's")]
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name is in parentheses and may hold any; state is the third field, behind it.
    let (_, fields) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |at: usize| fields.get(at - 3).and_then(|text| text.parse::<u64>().ok());
    Some(Stat {
        state: *fields.first()?.as_bytes().first()?,
        group: u32::try_from(number(5)?).ok()?,
        start: number(22)?,
    })
}

#[allow(clippy::disallowed_methods, reason = "this is the kernel's file, not one of ours")]
fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Ended, Spec, run_seen};
    use super::*;

    #[tokio::test]
    async fn a_process_is_known_by_its_mark_and_its_start() {
        let mark = format!("{}", std::process::id());
        let spec = Spec::new("sh").args(["-c", "sleep 60; :"]).env("TABLE_TEST_MARK", &mark);
        let (tell, told) = tokio::sync::oneshot::channel();
        let child = tokio::spawn(run_seen(spec, move |pid| tell.send(pid).unwrap()));
        let pid = told.await.unwrap();
        let seen = identity(pid).unwrap();
        assert!(still_runs(&seen));
        assert!(!still_runs(&Identity { start: seen.start + 1, ..seen.clone() }));
        // The kernel shows a new program's environment a moment after it lets its parent go on.
        let mut found = None;
        for _ in 0..200 {
            found = marked(&[("TABLE_TEST_MARK", &mark)]).map(|p| p.pid);
            if found.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(found, Some(pid));
        assert_eq!(marked(&[("TABLE_TEST_MARK", &mark), ("TABLE_TEST_OTHER", "x")]), None);
        end(&seen, Duration::from_secs(5)).await;
        assert!(!still_runs(&seen));
        assert_eq!(child.await.unwrap().unwrap().ended, Ended::Signal(15));
    }
}
