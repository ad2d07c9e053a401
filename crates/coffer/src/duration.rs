//! Durations on the command line: `500ms`, `90`, `30s`, `15m`, `12h`, `30d`, and sums as `1h30m`.

use std::time::Duration;

/// Parses a duration; a bare number is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 90, 500ms, 30s, 15m, 12h or 30d");
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// Parses a duration of whole seconds.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    let duration = parse(text)?;
    if duration.subsec_nanos() == 0 { Ok(duration.as_secs()) } else { Err(format!("{text:?} is no whole seconds")) }
}

/// A number of seconds for people: the two largest units.
pub(crate) fn show(seconds: u64) -> String {
    let units = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown: Vec<String> = units
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_with_and_without_units() {
        for (text, millis) in
            [("90", 90_000), ("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("30d", 2_592_000_000), ("0", 0)]
        {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", "s", "-1", "1x", "1 s", "1.5h", "99999999999999999999", "18446744073709551615d", "1h30", "ä"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse_seconds("500ms").is_err());
    }

    #[test]
    fn seconds_show_their_two_largest_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (3600, "1h"), (5400, "1h30m"), (2_592_000, "30d"), (2_595_661, "30d1h")]
        {
            assert_eq!(show(seconds), text);
        }
    }
}
