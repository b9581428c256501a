//! The wall clock and how times are written. The engine has a `Clock` port of its own; this is what stands behind it.

use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Milliseconds since 1970-01-01 UTC; 0 when the machine's clock is set before that.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond().max(0)
}

/// `2026-11-21T23:15:38.004Z`: always UTC, always milliseconds, so that texts sort as times do.
/// A number that is no time jiff can hold is written as the number.
pub fn rfc3339(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => ms.to_string(),
    }
}

/// The time that a text of RFC 3339 is; nothing where it is none.
pub fn of_rfc3339(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// `20261121T231538Z`: for names of files, which then sort as times do.
pub fn stamp(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => at.strftime(STAMP).to_string(),
        Err(_) => ms.to_string(),
    }
}

/// The time that [`stamp`] wrote.
pub fn of_stamp(text: &str) -> Option<i64> {
    let at = jiff::civil::DateTime::strptime(STAMP, text).ok()?;
    let ms = at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
    (stamp(ms) == text).then_some(ms)
}

const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// `2026-11-21 23:15:38` in the machine's own zone: for people.
pub fn local(ms: i64) -> String {
    in_zone(ms, zone())
}

/// As [`local`], in a zone of the caller's choice.
pub fn in_zone(ms: i64, zone: TimeZone) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => ms.to_string(),
    }
}

/// Seconds east of Greenwich, here and now.
pub fn utc_offset() -> i32 {
    zone().to_offset(Timestamp::now()).seconds()
}

/// The machine's own zone. Where `TZ` does not say otherwise it is what /etc/localtime holds (localtime(5)): jiff
/// would first walk all of /usr/share/zoneinfo to know the zone's name, at every start, and nobody here wants the name.
fn zone() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let named = || std::env::var_os("TZ").is_some_and(|zone| !zone.is_empty());
    ZONE.get_or_init(|| if named() { None } else { local_time_file() }.unwrap_or_else(TimeZone::system)).clone()
}

#[allow(clippy::disallowed_methods, reason = "the system's own file, and no text")]
fn local_time_file() -> Option<TimeZone> {
    TimeZone::tzif("local", &std::fs::read("/etc/localtime").ok()?).ok()
}

/// How long something took, for people: `0.4s`, `12s`, `3m 05s`, `2h 07m`, `3d 04h`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{}s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_763_766_938_004), "2025-11-21T23:15:38.004Z");
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
        assert_eq!(in_zone(1_763_766_938_004, TimeZone::UTC), "2025-11-21 23:15:38");
    }

    #[test]
    fn stamps_are_read_as_they_are_written() {
        assert_eq!(stamp(1_763_766_938_004), "20251121T231538Z");
        assert_eq!(of_stamp("20251121T231538Z"), Some(1_763_766_938_000));
        for no in ["", "20251121", "20251321T231538Z", "20251121T231538", "2025-11-21T23:15:38Z", "20251121T231538Z2"] {
            assert_eq!(of_stamp(no), None, "{no}");
        }
    }

    #[test]
    fn the_zone_is_the_one_that_jiff_finds() {
        for ms in [0, 1_763_766_938_004, 1_750_000_000_000] {
            assert_eq!(local(ms), in_zone(ms, TimeZone::system()));
        }
    }

    #[test]
    fn the_clock_is_past_2025() {
        assert!(now_ms() > 1_735_689_600_000);
    }

    #[test]
    fn spans_read_like_a_clock() {
        for (ms, text) in [
            (440, "0.4s"),
            (9_999, "9.9s"),
            (12_000, "12s"),
            (185_000, "3m 05s"),
            (7_620_000, "2h 07m"),
            (273_600_000, "3d 04h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }
}
