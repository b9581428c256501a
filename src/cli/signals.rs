//! Ctrl-C, SIGTERM and SIGHUP as words to a run: the first stops starting, the second stops what can be stopped, the
//! third leaves at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::printer::Printer;
use crate::app::Exit;
use crate::event::Signal;
use crate::report::Pause;

/// By whom a run was interrupted: the exit code tells a person's Ctrl-C from a word of the system's.
#[derive(Clone, Default)]
pub struct Ended(Arc<AtomicBool>);

impl Ended {
    /// 143 after a SIGTERM or SIGHUP, in the place of 130.
    pub fn exit(&self, exit: Exit) -> Exit {
        if exit == Exit::Interrupted && self.0.load(Ordering::Relaxed) { Exit::Terminated } else { exit }
    }
}

/// Words from this process's signals, for a run. `pause` takes the live display away while a person is told.
pub fn listen(printer: &Printer, pause: Option<Pause>) -> (mpsc::UnboundedReceiver<Signal>, Ended) {
    let (tell, told) = mpsc::unbounded_channel();
    let printer = printer.clone();
    let ended = Ended::default();
    let by = ended.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        else {
            return;
        };
        for level in 1u8.. {
            let by_person = tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => false,
                _ = hangup.recv() => false,
            };
            by.0.fetch_or(!by_person, Ordering::Relaxed);
            let note = match level {
                1 => "Stopping: what is under way finishes, nothing new starts. Again: stop what can be stopped.",
                2 => "Stopping what is under way; its outcome is looked up on resume. Again: leave at once.",
                _ => "Leaving; the run's state is saved.",
            };
            match &pause {
                Some(pause) => pause.around(|| printer.note(note)),
                None => printer.note(note),
            }
            if tell.send(Signal::Cancel { level: level.min(3), rollback: false }).is_err() || level >= 3 {
                return;
            }
        }
    });
    (told, ended)
}

/// Returns when this process is told to end, with the exit code for it: for what has nothing to finish first.
pub async fn cut_off() -> Exit {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Terminated,
        _ = hangup.recv() => Exit::Terminated,
    }
}
