//! Filters that minijinja does not bring: dates, sizes and durations as an operator reads them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

pub(super) fn register(env: &mut Environment<'static>) {
    env.add_filter("dateformat", dateformat);
    env.add_filter("filesizeformat", filesizeformat);
    env.add_filter("duration", duration);
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// strftime, in UTC, of milliseconds since 1970 or of an RFC 3339 text.
fn dateformat(value: &Value, format: &str) -> Result<String, Error> {
    let time = match (value.as_str(), value.as_i64()) {
        (Some(text), _) => text.parse::<Timestamp>().map_err(|e| invalid(format!("dateformat: {text:?}: {e}")))?,
        (None, Some(ms)) => Timestamp::from_millisecond(ms).map_err(|e| invalid(format!("dateformat: {ms}: {e}")))?,
        _ => {
            return Err(invalid(format!(
                "dateformat takes milliseconds since 1970 or an RFC 3339 text, not {}",
                value.kind()
            )));
        }
    };
    jiff::fmt::strtime::format(format, &time.to_zoned(TimeZone::UTC))
        .map_err(|e| invalid(format!("dateformat: {format:?}: {e}")))
}

/// Bytes as `8.0 GiB`.
fn filesizeformat(value: &Value) -> Result<String, Error> {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = number("filesizeformat", "bytes", value)?;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    Ok(if unit == 0 { format!("{size} B") } else { format!("{size:.1} {}", UNITS[unit]) })
}

/// Milliseconds as `1h 30m`, `45s`, `250ms`.
fn duration(value: &Value) -> Result<String, Error> {
    let ms = number("duration", "milliseconds", value)?;
    if ms < 1000.0 {
        return Ok(format!("{ms}ms"));
    }
    // A float that a person's duration fits into is far below 2^53.
    let mut seconds = (ms / 1000.0).round() as u64;
    let mut parts = Vec::new();
    for (length, unit) in [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
        if seconds >= length {
            parts.push(format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    Ok(parts.join(" "))
}

fn number(filter: &str, unit: &str, value: &Value) -> Result<f64, Error> {
    match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).map_err(|e| invalid(format!("{filter}: {e}"))),
        kind => Err(invalid(format!("{filter} takes a number of {unit}, not {kind}"))),
    }
}
