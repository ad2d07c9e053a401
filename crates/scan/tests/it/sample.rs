//! Texts that look like secrets and are none, put together when a test runs, so that no scanner takes the tests for a leak.

use coffer_scan::{Origin, Place, Rules, Scanned, scan_reader};

/// Coffer's own rules.
pub fn rules() -> Rules {
    Rules::load(Origin::Builtin).unwrap()
}

/// Scans a text as a file of this name.
pub fn scan(rules: &Rules, path: &str, text: impl AsRef<[u8]>) -> Scanned {
    scan_reader(rules, Place::file(path), &mut text.as_ref(), &mut Vec::new()).unwrap()
}

/// Ids of the rules that found something in a text, in order.
pub fn found(rules: &Rules, text: impl AsRef<[u8]>) -> Vec<String> {
    scan(rules, "file", text).findings.iter().map(|finding| finding.rule.to_string()).collect()
}

/// The text with `{w36}` replaced by 36 letters and digits: `w` of both cases, `l` lower and `u` upper case, `a` letters alone,
/// `h` hex, `d` digits, `b` base64 for URLs, `p` plain base64, `t` base32's,
/// `c` bech32's.
pub fn filled(template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    // Any sequence that repeats late and is the same in each run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((inner, after)) = after.split_once('}').filter(|(inner, _)| is_filler(inner)) else {
            out.push('{');
            rest = after;
            continue;
        };
        let alphabet = match inner.as_bytes()[0] {
            b'w' => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            b'l' => "abcdefghijklmnopqrstuvwxyz0123456789",
            b'u' => "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            b'a' => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            b'h' => "0123456789abcdef",
            b'd' => "123456789",
            b'b' => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            b'p' => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            b'c' => "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
            b't' => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            other => panic!("no such alphabet: {other}"),
        };
        let count: usize = inner[1..].parse().unwrap();
        for at in 0..count {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let pick = usize::try_from(state >> 33).unwrap() % alphabet.len();
            let c = alphabet.as_bytes()[pick];
            // A word ends in a letter or a digit.
            out.push(if (at == 0 || at + 1 == count) && !c.is_ascii_alphanumeric() { 'x' } else { char::from(c) });
        }
        rest = after;
    }
    out + rest
}

fn is_filler(inner: &str) -> bool {
    inner.len() > 1
        && inner.starts_with(|c: char| c.is_ascii_lowercase())
        && inner[1..].bytes().all(|b| b.is_ascii_digit())
}
