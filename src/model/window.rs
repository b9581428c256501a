//! Windows: when a run that changes something may start. The time is handed in; this is the one file that names the
//! crate for cron.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::site::Window;

/// Whether a run may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// A window is open, or there are none.
    Now,
    /// The first window that opens from now on.
    Later(Opening),
    /// No window opens any more, for this reason.
    Never(String),
}

/// A moment in a window's own timezone: `2026-11-28 22:00 Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening(Zoned);

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.0.time_zone().iana_name().unwrap_or("UTC");
        write!(f, "{} {zone}", self.0.strftime("%Y-%m-%d %H:%M"))
    }
}

/// Why a window cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    #[error("{0}")]
    Cron(String),
    #[error("there is no timezone `{0}`")]
    Timezone(String),
}

/// Five fields (minute, hour, day of the month, month, weekday) that come true at some time.
///
/// # Errors
/// What is wrong with them.
pub fn check_cron(text: &str) -> Result<(), BadWindow> {
    let cron = parse(text)?;
    next(&cron, &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)).map(drop)
}

/// The IANA timezone of that name.
///
/// # Errors
/// There is none.
pub fn timezone(name: &str) -> Result<TimeZone, BadWindow> {
    TimeZone::get(name).map_err(|_| BadWindow::Timezone(name.to_owned()))
}

/// Whether a run may start at `now`, milliseconds since 1970.
///
/// A window is open from a moment that its cron names for as long as its duration says, counted in real time: where the
/// clocks change inside it, it is as long as ever. A time of day that the clocks skip opens it at the first moment
/// after the gap; one that they go through twice opens it the first time.
pub fn start(windows: &[Window], now: u64) -> Start {
    let mut first: Option<Zoned> = None;
    let mut bad = None;
    for window in windows {
        match opening(window, now) {
            Ok(None) => return Start::Now,
            Ok(Some(at)) => first = Some(first.map_or(at.clone(), |known| if at < known { at } else { known })),
            Err(why) => bad = Some(why.to_string()),
        }
    }
    match (first, bad) {
        (Some(at), _) => Start::Later(Opening(at)),
        (None, Some(why)) => Start::Never(why),
        (None, None) => Start::Now,
    }
}

/// When the window opens next; nothing: it is open.
fn opening(window: &Window, now: u64) -> Result<Option<Zoned>, BadWindow> {
    let cron = parse(&window.cron)?;
    let zone = window.timezone.as_deref().map_or(Ok(TimeZone::UTC), timezone)?;
    let out_of_range = |e: jiff::Error| BadWindow::Cron(e.to_string());
    let now = i64::try_from(now).map_err(|e| BadWindow::Cron(e.to_string()))?;
    let now = Timestamp::from_millisecond(now).map_err(out_of_range)?;
    let length = SignedDuration::from_millis(i64::try_from(window.duration).unwrap_or(i64::MAX));
    // What opened longer ago than that is closed again, and one that opened since is open.
    let earliest = now.saturating_sub(length).map_err(out_of_range)?.to_zoned(zone);
    let opened = next(&cron, &earliest)?;
    Ok((opened.timestamp() > now).then_some(opened))
}

fn parse(text: &str) -> Result<Cron, BadWindow> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|e| BadWindow::Cron(e.to_string()))
}

/// The first time after `from`.
fn next(cron: &Cron, from: &Zoned) -> Result<Zoned, BadWindow> {
    cron.find_next_occurrence(from, false).map_err(|_| BadWindow::Cron("no date ever is like that".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond().try_into().unwrap()
    }

    fn window(cron: &str, hours: u64, timezone: Option<&str>) -> Window {
        Window { cron: cron.into(), duration: hours * 3_600_000, timezone: timezone.map(str::to_owned) }
    }

    fn told(windows: &[Window], now: &str) -> String {
        match start(windows, at(now)) {
            Start::Now => "now".into(),
            Start::Later(opening) => opening.to_string(),
            Start::Never(why) => format!("never: {why}"),
        }
    }

    #[test]
    fn a_window_is_open_from_its_time_for_its_duration() {
        let saturdays = [window("0 22 * * 6", 6, Some("Europe/Berlin"))];
        for (now, expected) in [
            ("2026-11-28T20:59:59Z", "2026-11-28 22:00 Europe/Berlin"),
            ("2026-11-28T21:00:00Z", "now"),
            ("2026-11-29T02:59:59.999Z", "now"),
            ("2026-11-29T03:00:00Z", "2026-12-05 22:00 Europe/Berlin"),
        ] {
            assert_eq!(told(&saturdays, now), expected, "{now}");
        }
        assert_eq!(told(&[], "2026-11-28T20:59:59Z"), "now", "no windows: at any time");
    }

    #[test]
    fn of_several_windows_one_is_enough_and_the_first_is_named() {
        let two = [window("0 22 * * 6", 6, None), window("0 1 * * 2", 1, Some("America/New_York"))];
        assert_eq!(told(&two, "2026-11-28T23:00:00Z"), "now");
        assert_eq!(told(&two, "2026-11-29T12:00:00Z"), "2026-12-01 01:00 America/New_York");
        assert_eq!(told(&two, "2026-12-02T12:00:00Z"), "2026-12-05 22:00 UTC");
    }

    #[test]
    fn the_clocks_going_forward_skip_no_window_and_shorten_none() {
        // Europe/Berlin, 2026-03-29: 02:00 is followed by 03:00.
        let nightly = [window("30 2 * * *", 2, Some("Europe/Berlin"))];
        assert_eq!(told(&nightly, "2026-03-29T00:59:00Z"), "2026-03-29 03:00 Europe/Berlin");
        assert_eq!(told(&nightly, "2026-03-29T01:00:00Z"), "now");
        assert_eq!(told(&nightly, "2026-03-29T02:59:59Z"), "now");
        assert_eq!(told(&nightly, "2026-03-29T03:00:00Z"), "2026-03-30 02:30 Europe/Berlin");
        let across = [window("0 22 * * *", 6, Some("Europe/Berlin"))];
        assert_eq!(told(&across, "2026-03-29T02:59:59Z"), "now", "six hours, although the clock says 04:59");
        assert_eq!(told(&across, "2026-03-29T03:00:00Z"), "2026-03-29 22:00 Europe/Berlin");
    }

    #[test]
    fn the_clocks_going_back_open_a_window_once() {
        // Europe/Berlin, 2026-10-25: 03:00 is followed by 02:00.
        let nightly = [window("30 2 * * *", 1, Some("Europe/Berlin"))];
        assert_eq!(told(&nightly, "2026-10-25T00:29:59Z"), "2026-10-25 02:30 Europe/Berlin");
        assert_eq!(told(&nightly, "2026-10-25T00:30:00Z"), "now");
        assert_eq!(told(&nightly, "2026-10-25T01:29:59Z"), "now");
        assert_eq!(told(&nightly, "2026-10-25T01:30:00Z"), "2026-10-26 02:30 Europe/Berlin");
    }

    #[test]
    fn what_is_no_cron_and_what_never_comes_is_said() {
        for text in ["0 22 * * 6", "*/15 1-4 1,15 * *", "0 0 29 2 *", "0 3 * * SUN"] {
            assert_eq!(check_cron(text), Ok(()), "{text}");
        }
        for text in ["", "0 22 * *", "0 25 * * *", "0 0 1 1 * 2030", "0 0 0 1 1 *", "0 22 * * FUNDAY", "@reboot"] {
            assert!(check_cron(text).is_err(), "{text}");
        }
        assert_eq!(check_cron("0 0 30 2 *"), Err(BadWindow::Cron("no date ever is like that".into())));
        let broken = [window("0 0 * * *", 1, Some("Europe/Atlantis"))];
        assert_eq!(told(&broken, "2026-11-28T12:00:00Z"), "never: there is no timezone `Europe/Atlantis`");
    }
}
