//! Times as text.

use jiff::Timestamp;

use crate::Error;

/// RFC 3339 with as many digits of the second as there are, as Go prints it.
pub fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX).to_string()
}

/// UTC milliseconds of an RFC 3339 text.
///
/// # Errors
/// Where it is none.
pub(crate) fn parse_rfc3339(text: &str) -> Result<i64, Error> {
    text.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| {
        Error::invalid(format!(
            "{:?} is not a time like 2026-01-02T15:04:05Z",
            text.chars().take(64).collect::<String>()
        ))
    })
}

/// Seconds as Go's clients write durations, without units that are zero at the end: `768h`, `1m40s`, `1h0m5s`.
pub(crate) fn go_seconds(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, seconds) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, 0, 0) => format!("{hours}h"),
        (hours, minutes, 0) => format!("{hours}h{minutes}m"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_go_does() {
        assert_eq!(rfc3339(1_795_303_800_123), "2026-11-21T23:30:00.123Z");
        assert_eq!(rfc3339(1_795_303_800_000), "2026-11-21T23:30:00Z");
        assert_eq!(parse_rfc3339("2026-11-21T23:30:00.123Z").unwrap(), 1_795_303_800_123);
        assert!(parse_rfc3339("yesterday").is_err());
    }

    #[test]
    fn seconds_are_shortened_as_go_does() {
        let shown = [0, 30, 60, 100, 600, 3600, 3605, 5400, 768 * 3600].map(go_seconds);
        assert_eq!(shown, ["0s", "30s", "1m", "1m40s", "10m", "1h", "1h0m5s", "1h30m", "768h"]);
    }
}
