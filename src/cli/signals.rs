//! Ctrl-C, SIGTERM and SIGHUP as words to a run: the first stops starting, the second stops what can be stopped, the
//! third leaves at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::printer::Printer;
use crate::event::Signal;

/// Words from this process's signals, for a run.
pub fn listen(printer: &Printer) -> mpsc::UnboundedReceiver<Signal> {
    let (tell, told) = mpsc::unbounded_channel();
    let printer = printer.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        else {
            return;
        };
        for level in 1u8.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            printer.note(match level {
                1 => "Stopping: what is under way finishes, nothing new starts. Again: stop what can be stopped.",
                2 => "Stopping what is under way; its outcome is looked up on resume. Again: leave at once.",
                _ => "Leaving; the run's state is saved.",
            });
            if tell.send(Signal::Cancel { level: level.min(3), rollback: false }).is_err() || level >= 3 {
                return;
            }
        }
    });
    told
}
