//! Durations as Go's clients write and read them.

use std::{fmt, str::FromStr};

/// A signed duration in nanoseconds, as Go's: about 292 years either way.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct GoDuration(i64);

impl GoDuration {
    /// From nanoseconds.
    pub(crate) fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// In nanoseconds.
    pub(crate) fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds, towards zero; `None` where it is negative.
    pub(crate) fn whole_secs(self) -> Option<u64> {
        u64::try_from(self.0 / SECOND).ok().filter(|_| self.0 >= 0)
    }

    /// Whole seconds, towards zero, also negative ones.
    pub(crate) fn signed_secs(self) -> i64 {
        self.0 / SECOND
    }
}

impl FromStr for GoDuration {
    type Err = &'static str;

    /// Seconds (`90`), days (`7d`), or Go's notation (`-1.5h`, `1h30m`, `300ms`); empty text is zero.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self(0));
        }
        if let Ok(secs) = text.parse::<i64>() {
            return secs.checked_mul(SECOND).map(Self).ok_or(OUT_OF_RANGE);
        }
        if let Some(days) = text.strip_suffix('d') {
            let days: i64 = days.parse().map_err(|_| INVALID)?;
            return days.checked_mul(24 * HOUR).map(Self).ok_or(OUT_OF_RANGE);
        }
        parse_go(text)
    }
}

impl fmt::Display for GoDuration {
    /// Go's `Duration.String`: `0s`, `1.5s`, `3h25m19s`, `300ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let (unit, name) = match total {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => {
                let (secs, hours, minutes) = (total / NANOS, total / NANOS / 3600, total / NANOS / 60 % 60);
                if secs >= 3600 {
                    write!(f, "{hours}h{minutes}m")?;
                } else if secs >= 60 {
                    write!(f, "{minutes}m")?;
                }
                return write_decimal(f, total % (60 * NANOS), NANOS, "s");
            }
        };
        write_decimal(f, total, unit, name)
    }
}

/// Go's `ParseDuration`: a sign, then one or more of digits, optional fraction, unit.
fn parse_go(text: &str) -> Result<GoDuration, &'static str> {
    let (negative, mut rest) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => (false, text),
    };
    if rest.is_empty() {
        return Err(INVALID);
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = take_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => take_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(INVALID);
        }
        let (unit, after) = take_unit(after)?;
        total += number(whole)?.checked_mul(unit).ok_or(OUT_OF_RANGE)?;
        total += scaled(fraction, unit);
        if total > i128::from(i64::MAX) {
            return Err(OUT_OF_RANGE);
        }
        rest = after;
    }
    let nanos = i64::try_from(total).map_err(|_| OUT_OF_RANGE)?;
    Ok(GoDuration(if negative { -nanos } else { nanos }))
}

fn take_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn take_unit(text: &str) -> Result<(i128, &str), &'static str> {
    UNITS.iter().find_map(|(name, unit)| text.strip_prefix(name).map(|rest| (*unit, rest))).ok_or(INVALID)
}

fn number(digits: &str) -> Result<i128, &'static str> {
    if digits.is_empty() {
        return Ok(0);
    }
    digits.parse::<i64>().map(i128::from).map_err(|_| OUT_OF_RANGE)
}

/// The fraction's share of a unit; digits beyond its precision are dropped.
fn scaled(fraction: &str, unit: i128) -> i128 {
    let (mut sum, mut place) = (0, unit);
    for digit in fraction.bytes().map(|b| i128::from(b - b'0')) {
        if place == 0 {
            break;
        }
        sum += digit * place;
        place /= 10;
    }
    sum / 10
}

fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", value / unit)?;
    if !value.is_multiple_of(unit) {
        let width = usize::try_from(unit.ilog10()).unwrap_or(0);
        let digits = format!("{:0width$}", value % unit);
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
const NANOS: u64 = 1_000_000_000;
const INVALID: &str = "invalid duration";
const OUT_OF_RANGE: &str = "duration out of range";
/// Longer names before their own prefixes (`ms` before `m`).
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> i64 {
        text.parse::<GoDuration>().unwrap_or_else(|e| panic!("{text}: {e}")).nanos()
    }

    #[test]
    fn every_notation_of_clients_is_read() {
        for (text, secs) in [
            ("", 0),
            ("90", 90),
            ("-1", -1),
            ("1h30m", 5400),
            ("72h", 259_200),
            ("7d", 604_800),
            ("-1s", -1),
            ("+2m", 120),
        ] {
            assert_eq!(parsed(text), secs * SECOND, "{text}");
        }
        assert_eq!(parsed("1.5h"), 5400 * SECOND);
        assert_eq!(parsed(".5s"), SECOND / 2);
        assert_eq!(parsed("300ms"), 300_000_000);
        assert_eq!(parsed("1us2ns"), 1002);
        assert_eq!(parsed("0.000000001s"), 1);
        assert_eq!(parsed("1.0000000000001s"), SECOND);
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "bogus",
            "1x",
            "h",
            "-",
            "+",
            ".",
            ".s",
            "1h-3m",
            "1.5d",
            "1 h",
            "٣s",
            "9223372036854775807",
            "300000000h",
            "1e3s",
        ] {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
        let long = "9".repeat(1 << 20);
        assert!(format!("{long}s").parse::<GoDuration>().is_err());
        assert!("1h".repeat(1 << 22).parse::<GoDuration>().is_err());
    }

    #[test]
    fn display_is_gos() {
        for text in ["0s", "3h25m19s", "768h0m0s", "1m0s", "-1s", "1.5s", "300ms", "1ns", "1.002µs", "1h0m0.5s", "59s"]
        {
            assert_eq!(text.parse::<GoDuration>().unwrap().to_string(), text);
        }
        assert_eq!(GoDuration::from_nanos(i64::MIN).to_string(), "-2562047h47m16.854775808s");
    }

    #[test]
    fn whole_seconds_of_a_negative_is_none() {
        assert_eq!(GoDuration::from_nanos(1_999_999_999).whole_secs(), Some(1));
        assert_eq!(GoDuration::from_nanos(-1).whole_secs(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos in any::<i64>()) {
            prop_assume!(nanos != i64::MIN);
            prop_assert_eq!(parsed(&GoDuration(nanos).to_string()), nanos);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.a-zµ ]{0,24}") {
            let _ = text.parse::<GoDuration>();
        }
    }
}
