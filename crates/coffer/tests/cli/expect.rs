//! Expected output against real output. What differs from run to run stands in brackets and counts only where the case
//! declares it: `[ID]` letters, digits, `.`, `_`, `-`; `[TIME]` an RFC 3339 time in UTC; `[N]` digits; `[LINE]` the rest of
//! a line. `SPACES` lets two or more spaces stand for two or more, for tables with columns of differing width.

/// Whether the output is the expected one.
pub fn matches(expected: &str, actual: &str, redact: &[String]) -> bool {
    for name in redact {
        assert!(KINDS.contains(&name.as_str()), "unknown redaction {name}");
    }
    match_from(expected, actual, redact)
}

fn match_from(mut expected: &str, mut actual: &str, redact: &[String]) -> bool {
    let declared = |name: &str| redact.iter().any(|known| known == name);
    while !expected.is_empty() {
        let placeholder = ["ID", "TIME", "N", "LINE"].into_iter().find_map(|name| {
            expected.strip_prefix(&format!("[{name}]")).filter(|_| declared(name)).map(|rest| (name, rest))
        });
        if let Some((name, rest)) = placeholder {
            let length = actual.find(|c| !belongs(name, c)).unwrap_or(actual.len());
            let (found, after) = actual.split_at(length);
            if found.is_empty() || (name == "TIME" && !is_time(found)) {
                return false;
            }
            (expected, actual) = (rest, after);
            continue;
        }
        if declared("SPACES") && expected.starts_with("  ") {
            if !actual.starts_with("  ") {
                return false;
            }
            (expected, actual) = (expected.trim_start_matches(' '), actual.trim_start_matches(' '));
            continue;
        }
        let (mut wanted, mut found) = (expected.chars(), actual.chars());
        if wanted.next() != found.next() {
            return false;
        }
        (expected, actual) = (wanted.as_str(), found.as_str());
    }
    actual.is_empty()
}

fn belongs(placeholder: &str, c: char) -> bool {
    match placeholder {
        "ID" => c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
        "TIME" => c.is_ascii_digit() || matches!(c, 'T' | 'Z' | ':' | '.' | '-'),
        "N" => c.is_ascii_digit(),
        _ => c != '\n',
    }
}

fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let fraction = shape.strip_prefix("0000-00-00T00:00:00").and_then(|rest| rest.strip_suffix('Z'));
    fraction.is_some_and(|rest| rest.is_empty() || (rest.starts_with('.') && rest[1..].chars().all(|c| c == '0')))
}

const KINDS: [&str; 5] = ["ID", "TIME", "N", "LINE", "SPACES"];

#[test]
fn placeholders_count_only_where_declared() {
    let declared = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let all = declared(&["ID", "TIME", "N", "SPACES"]);
    assert!(matches("a [ID], at [TIME]\n", "a x-1.y, at 2026-01-02T03:04:05.678Z\n", &all));
    assert!(matches("A    [N]  B\n", "A  12    B\n", &all));
    assert!(matches("[ID]", "[ID]", &[]));
    for (expected, actual, redact) in [
        ("a [ID]\n", "a x\n", declared(&[])),
        ("a [ID]\n", "a \n", all.clone()),
        ("[TIME]", "2026-01-02", all.clone()),
        ("[N]", "1x", all.clone()),
        ("a", "ab", all.clone()),
        ("ab", "a", all.clone()),
        ("a  b", "a b", all),
    ] {
        assert!(!matches(expected, actual, &redact), "{expected:?} {actual:?}");
    }
}
