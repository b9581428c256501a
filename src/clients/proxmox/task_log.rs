//! What a task's log lines say: how far it is, how fast, and why it failed.

use std::collections::VecDeque;
use std::sync::LazyLock;

use regex::Regex;

/// Lines kept from the end of a log, for error messages.
pub(super) const TAIL: usize = 20;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns of this file are constants and tested")
}

static PERCENT: LazyLock<Regex> = LazyLock::new(|| regex(r"(\d{1,3}(?:\.\d+)?) ?%"));
static PART: LazyLock<Regex> = LazyLock::new(|| regex(r"transferred ([\d.]+) ([KMGTP]?i?B) of ([\d.]+) ([KMGTP]?i?B)"));
static SPEED: LazyLock<Regex> = LazyLock::new(|| regex(r"([\d.]+ ?[KMGT]i?B/s)"));
static ABORTED: LazyLock<Regex> = LazyLock::new(|| regex(r"ERROR: migration aborted \(duration [^)]*\): (.+)$"));
static ERROR: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )?ERROR: (.+)$"));

/// Percent done, 0 to 100, if the line says. A live migration sends memory that changes meanwhile more than once, so
/// its percentage may fall.
pub(super) fn percent(line: &str) -> Option<f64> {
    let said = PERCENT.captures(line).and_then(|c| c[1].parse().ok());
    said.or_else(|| {
        let part = PART.captures(line)?;
        let (done, all) = (bytes(&part[1], &part[2])?, bytes(&part[3], &part[4])?);
        (all > 0.0).then(|| (done / all * 1000.0).round() / 10.0)
    })
    .map(|p: f64| p.clamp(0.0, 100.0))
}

fn bytes(number: &str, unit: &str) -> Option<f64> {
    let power = match unit.as_bytes().first()? {
        b'K' => 1,
        b'M' => 2,
        b'G' => 3,
        b'T' => 4,
        b'P' => 5,
        _ => 0,
    };
    number.parse::<f64>().ok().map(|n| n * 1024_f64.powi(power))
}

/// `112.3 MiB/s`, if the line says.
pub(super) fn speed(line: &str) -> Option<String> {
    SPEED.captures(line).map(|c| c[1].to_owned())
}

/// The end of a log and every error in it.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub tail: VecDeque<String>,
    pub errors: Vec<String>,
    aborted: Option<String>,
}

impl Summary {
    pub fn push(&mut self, line: &str) {
        // A line that says how far it is makes the one before it stale; twenty of them would hide what led here.
        if percent(line).is_some() && self.tail.back().is_some_and(|last| percent(last).is_some()) {
            self.tail.pop_back();
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        if let Some(cause) = ABORTED.captures(line) {
            self.aborted = Some(cause[1].trim().to_owned());
        } else if let Some(error) = ERROR.captures(line) {
            let text = error[1].trim().to_owned();
            if self.errors.len() < TAIL && !self.errors.contains(&text) {
                self.errors.push(text);
            }
        }
    }

    /// The cause of a failure: a failed migration's exit status is only "migration aborted", and even the reason
    /// given for that may be "check log" with the cause in a line before.
    pub fn cause(&self) -> Option<String> {
        let vague = |text: &str| text.contains("check log");
        let precise: Vec<&str> = self.errors.iter().map(String::as_str).filter(|e| !vague(e)).collect();
        match &self.aborted {
            Some(cause) if vague(cause) && !precise.is_empty() => Some(precise.join("; ")),
            Some(cause) => Some(cause.clone()),
            None => precise.last().map(|e| (*e).to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_in_each_wording() {
        for (line, wanted, fast) in [
            (
                "2026-11-21 10:00:01 migration active, transferred 1.0 GiB of 4.0 GiB VM-state, 112.3 MiB/s",
                Some(25.0),
                Some("112.3 MiB/s"),
            ),
            ("drive-scsi0: transferred 1.0 GiB of 8.0 GiB (12.50%) in 5s", Some(12.5), None),
            ("transferred 327.7 MiB of 32.0 GiB (1.00%)", Some(1.0), None),
            ("  1024K .......... ..........  5% 12.3M 9s", Some(5.0), None),
            ("transferred 0.0 B of 4.0 MiB VM-state", Some(0.0), None),
            ("starting VM 100 on remote node 'pve2'", None, None),
        ] {
            assert_eq!((percent(line), speed(line).as_deref()), (wanted, fast), "{line}");
        }
    }

    fn cause(lines: &[&str]) -> Option<String> {
        let mut summary = Summary::default();
        lines.iter().for_each(|line| summary.push(line));
        summary.cause()
    }

    #[test]
    fn the_cause_of_an_aborted_migration_is_in_the_log() {
        let aborted = "2026-11-21 10:00:02 ERROR: migration aborted (duration 00:00:01): ";
        let usb = format!("{aborted}can't migrate VM which uses local devices: usb0");
        assert_eq!(cause(&[&usb]).unwrap(), "can't migrate VM which uses local devices: usb0");

        let vague = format!("{aborted}Problem found while scanning volumes - can't migrate VM - check log");
        let got = cause(&[
            "2026-11-21 10:00:01 ERROR: can't migrate local disk 'local:iso/x.iso': local cdrom image",
            "2026-11-21 10:00:02 ERROR: Problem found while scanning volumes - can't migrate VM - check log",
            &vague,
            "TASK ERROR: migration aborted",
        ]);
        assert_eq!(got.unwrap(), "can't migrate local disk 'local:iso/x.iso': local cdrom image");
        assert_eq!(cause(&["TASK ERROR: VM 100 already running"]), None);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut summary = Summary::default();
        (0..50).for_each(|n| summary.push(&n.to_string()));
        assert_eq!(summary.tail.len(), TAIL);
        assert_eq!(summary.tail.back().map(String::as_str), Some("49"));
    }
}
