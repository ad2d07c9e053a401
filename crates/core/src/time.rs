//! Times as text.

use jiff::Timestamp;

use crate::Error;

/// RFC 3339 with as many digits of the second as there are, as Go prints it.
pub(crate) fn rfc3339(ms: i64) -> String {
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

/// Seconds as Go's clients write them, without parts that are zero: `768h`, `1h30m10s`.
pub(crate) fn go_seconds(seconds: u64) -> String {
    let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let text: String =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short_as_gos() {
        for (seconds, text) in
            [(0, "0s"), (5, "5s"), (3600, "1h"), (5410, "1h30m10s"), (2_881_800, "800h30m"), (359_996_400, "99999h")]
        {
            assert_eq!(go_seconds(seconds), text);
        }
    }

    #[test]
    fn times_are_printed_as_go_does() {
        assert_eq!(rfc3339(1_795_303_800_123), "2026-11-21T23:30:00.123Z");
        assert_eq!(rfc3339(1_795_303_800_000), "2026-11-21T23:30:00Z");
        assert_eq!(parse_rfc3339("2026-11-21T23:30:00.123Z").unwrap(), 1_795_303_800_123);
        assert!(parse_rfc3339("yesterday").is_err());
    }
}
