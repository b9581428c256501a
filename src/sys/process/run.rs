//! Running a child to its end: input, both streams, deadline and cancelling.

use std::io;
use std::process::Stdio;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::process::Child;

use super::capture::Capture;
use super::group::{GroupGuard, end_group};
use super::{Captured, Ended, ProcessError, Spec, Stream, ended};

/// Runs the child to its end. Dropping the future kills the child's whole group.
pub async fn run(spec: Spec) -> Result<Captured, ProcessError> {
    run_seen(spec, |_| {}).await
}

/// The same; `seen` is told the child's process id, which is its group's too, as soon as there is one.
pub async fn run_seen(spec: Spec, seen: impl FnOnce(u32)) -> Result<Captured, ProcessError> {
    let started = Instant::now();
    let mut command = spec.command();
    // Nothing to say needs no pipe and no task that writes to it.
    command.stdin(if spec.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| spec.start_error(e))?;
    let mut guard = GroupGuard::of(&child);
    if let Some(pid) = child.id() {
        seen(pid);
    }
    feed(&mut child, spec.stdin.clone());
    let mut out = Capture::start(child.stdout.take(), Stream::Stdout, &spec);
    let mut err = Capture::start(child.stderr.take(), Stream::Stderr, &spec);

    let ended = wait_bounded(&mut child, &guard, &spec).await?;
    // A grandchild that kept the pipe open (a daemon) must not keep us: what it wrote so far is enough.
    let _ = tokio::time::timeout(spec.grace, async {
        out.done().await;
        err.done().await;
    })
    .await;
    guard.disarm();
    let ((stdout, cut_out), (stderr, cut_err)) = (out.take(), err.take());
    Ok(Captured { ended, stdout, stderr, cut: cut_out || cut_err, took: started.elapsed() })
}

async fn wait_bounded(child: &mut Child, guard: &GroupGuard, spec: &Spec) -> Result<Ended, ProcessError> {
    let too_late = async {
        match spec.deadline {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    let cancelled = async {
        match &spec.cancel {
            Some(token) => token.cancelled().await,
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        status = child.wait() => return status.map(ended).map_err(|source| wait_error(spec, source)),
        () = too_late => Ended::Deadline,
        () = cancelled => Ended::Cancelled,
    };
    end_group(child, guard, spec.grace).await.map_err(|source| wait_error(spec, source))?;
    Ok(why)
}

fn wait_error(spec: &Spec, source: io::Error) -> ProcessError {
    ProcessError::Wait { program: spec.name(), source }
}

fn feed(child: &mut Child, bytes: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        tokio::spawn(async move {
            // A child that does not read its input is no error of ours: it says so by its exit code.
            let _ = stdin.write_all(&bytes).await;
        });
    }
}
