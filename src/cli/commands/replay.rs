//! `runbook replay`: a run's events once more, through the display that showed them when it went on.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::app::ports::Observer;
use crate::app::{AppError, Exit, inspect};
use crate::cli::Face;
use crate::cli::args::{Progress, Replay};
use crate::event::Event;
use crate::report::{Human, JsonLines, Plain, Quiet};

/// No pause is longer, whatever the run waited for.
const LONGEST: Duration = Duration::from_secs(1);

pub async fn run(face: &Face, args: &Replay) -> Result<Exit, AppError> {
    if !args.speed.is_finite() || args.speed <= 0.0 {
        return Err(AppError::new(Exit::Usage, "replay::speed", "--speed takes a number above 0"));
    }
    let found = inspect::run(&face.settings, &args.run)?;
    let until = args.until.unwrap_or(u64::MAX);
    let events: Vec<&Event> = found.events.iter().take_while(|event| event.seq <= until).collect();
    let (mut shown, paced) = observer(face);
    let mut before: Option<u64> = None;
    for event in events {
        if let Some(before) = before.filter(|_| paced) {
            tokio::time::sleep(pause(before, event.at, args.speed)).await;
        }
        before = Some(event.at);
        shown.see(event);
    }
    Ok(Exit::Done)
}

fn pause(before: u64, at: u64, speed: f64) -> Duration {
    let real = Duration::from_millis(at.saturating_sub(before));
    Duration::try_from_secs_f64(real.as_secs_f64() / speed).unwrap_or(LONGEST).min(LONGEST)
}

/// The display, and whether somebody sits before it: lines are this command's data, so they go to stdout.
fn observer(face: &Face) -> (Box<dyn Observer>, bool) {
    let live = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
    let paced = std::io::stdout().is_terminal();
    let out = || -> Box<dyn Write + Send> {
        Box::new(crate::app::redact::RedactingWriter::new(face.redactor.clone(), std::io::stdout()))
    };
    match face.args.progress {
        Progress::Quiet => (Box::new(Quiet), false),
        Progress::Jsonl => (Box::new(JsonLines::new(out())), paced),
        Progress::Live => (Box::new(Human::on_stderr(*face.printer.err_look())), live),
        Progress::Auto if live && paced => (Box::new(Human::on_stderr(*face.printer.err_look())), true),
        Progress::Plain | Progress::Auto => (Box::new(Plain::new(out(), *face.printer.look())), paced),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_of_the_run_divided_and_bounded() {
        assert_eq!(pause(1000, 1500, 1.0), Duration::from_millis(500));
        assert_eq!(pause(1000, 5000, 8.0), Duration::from_millis(500));
        assert_eq!(pause(1000, 100_000, 1.0), LONGEST);
        assert_eq!(pause(2000, 1000, 1.0), Duration::ZERO);
    }
}
