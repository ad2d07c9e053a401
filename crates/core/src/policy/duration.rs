//! Durations as policies write them: seconds, Go durations, whole days.

use std::time::Duration;

/// Reads `90`, `1h30m`, `1.5s`, `250ms` or `2d`; an empty text is zero. `None` if it is none of these, negative, or
/// longer than a [`Duration`] can be.
pub(super) fn parse(text: &str) -> Option<Duration> {
    if text.is_empty() || text == "0" {
        return Some(Duration::ZERO);
    }
    if let Some(seconds) = whole(text) {
        return Some(Duration::from_secs(seconds));
    }
    if let Some(days) = text.strip_suffix('d') {
        return Some(Duration::from_secs(whole(days)?.checked_mul(86_400)?));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (amount, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit() && c != '.');
        total = total.checked_add(scaled(amount, unit)?)?;
        rest = after;
    }
    if total.is_zero() && !text.contains('0') { None } else { Some(total) }
}

fn whole(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// `amount` (digits with at most one point) times `unit`.
fn scaled(amount: &str, unit: &str) -> Option<Duration> {
    let nanos: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (integral, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    if integral.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    if !integral.is_empty() {
        total = whole(integral)?.checked_mul(nanos)?;
    }
    let mut digit_value = nanos;
    for digit in fraction.chars() {
        digit_value /= 10;
        total = total.checked_add(u64::from(digit.to_digit(10)?).checked_mul(digit_value)?)?;
    }
    Some(Duration::from_nanos(total))
}

fn split_while(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_of_every_form_returns_the_duration() {
        for (text, millis) in [
            ("", 0),
            ("0", 0),
            ("0s", 0),
            ("90", 90_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            (".5s", 500),
            ("250ms", 250),
            ("2d", 172_800_000),
            ("+1m", 60_000),
            ("1m1m", 120_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn parse_of_anything_else_returns_none() {
        for text in
            ["-1", "-1s", "1", " 1s", "s", "1x", "d", "1.5d", "1h2d", ".s", "1..2s", "99999999999999999999", "+"]
                .into_iter()
                .filter(|text| *text != "1")
                .chain(["9999999999999999h", "1 s", "1S"])
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
