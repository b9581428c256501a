//! How numbers are written for people: sizes in binary units, durations, times of day.

/// `8.0 GiB`; bytes below a KiB are whole.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 is shown as 1.0 of the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `112.0 MiB/s`, of bytes a second.
pub fn speed(per_second: u64) -> String {
    format!("{}/s", bytes(per_second))
}

/// `0.4s`, `12s`, `1m 40s`, `2h 05m`, `3d 04h`, of milliseconds.
pub fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 if ms > 0 => format!("0.{}s", (ms / 100).max(1)),
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

/// The time of day `HH:MM:SS` at `offset` seconds east of Greenwich, of milliseconds since 1970.
pub fn clock(at: u64, offset: i32) -> String {
    let s = (i64::try_from(at / 1000).unwrap_or(0) + i64::from(offset)).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60)
}

/// The day `2025-11-21` at `offset` seconds east of Greenwich, of milliseconds since 1970.
pub fn date(at: u64, offset: i32) -> String {
    let seconds = i64::try_from(at / 1000).unwrap_or(0) + i64::from(offset);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "-".into(), |t| t.strftime("%Y-%m-%d").to_string())
}

/// `1 step`, `2 steps`.
pub(super) fn count(n: usize, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_in_binary_units() {
        let shown = [0, 1023, 1024, 8 << 30, (1 << 30) - 1, 1536 << 20, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "8.0 GiB", "1.0 GiB", "1.5 GiB", "16384.0 PiB"]);
        assert_eq!(speed(112 << 20), "112.0 MiB/s");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let shown = [0, 40, 400, 12_000, 100_000, 7_500_000, 273_600_000].map(duration);
        assert_eq!(shown, ["0s", "0.1s", "0.4s", "12s", "1m 40s", "2h 05m", "3d 04h"]);
    }

    #[test]
    fn a_time_is_local() {
        assert_eq!(clock(1_763_691_185_000, 0), "02:13:05");
        assert_eq!(clock(1_763_691_185_000, -3 * 3600), "23:13:05");
        assert_eq!(
            (date(1_763_691_185_000, 0).as_str(), date(1_763_691_185_000, -3 * 3600).as_str()),
            ("2025-11-21", "2025-11-20")
        );
    }
}
