//! The formats of values that are random or depend on the moment: both servers' values must have the same.

use serde_json::Value;

/// Whether a value of the original and one of Coffer are of one format.
pub fn same_format(format: &str, bao: &Value, coffer: &Value) -> bool {
    let (name, size) = format.split_once(':').unwrap_or((format, ""));
    match name {
        "accessor" => texts(bao, coffer, is_accessor) && kind_of(bao) == kind_of(coffer),
        "base62" => texts(bao, coffer, |text| text.len() == number(size) && text.bytes().all(is_base62)),
        "base64" => texts(bao, coffer, is_base64) && length(bao) == length(coffer),
        "cluster" => texts(bao, coffer, |text| text.split("-cluster-").nth(1).is_some_and(|id| is_hex(id, 8))),
        "hex" => texts(bao, coffer, |text| is_hex(text, number(size))),
        // Made by the same version of a key, and of one length.
        "made" => texts(bao, coffer, is_made) && version(bao) == version(coffer) && length(bao) == length(coffer),
        "number" => bao.is_i64() && coffer.is_i64(),
        // An OpenPGP message, in hexadecimal: to the same key, which its first octets name, and of one length.
        "openpgp" => {
            texts(bao, coffer, |text| is_hex(text, text.len()))
                && length(bao) == length(coffer)
                && first(bao, 24) == first(coffer, 24)
        }
        "pem" => texts(bao, coffer, is_pem) && label(bao) == label(coffer),
        "semver" => texts(bao, coffer, |text| text.split('.').filter(|part| part.parse::<u32>().is_ok()).count() == 3),
        // The length of an ECDSA signature in DER varies.
        "signature" => texts(bao, coffer, is_made) && version(bao) == version(coffer),
        "text" => texts(bao, coffer, |text| !text.is_empty()),
        "time" => texts(bao, coffer, is_time),
        // The original's own prefixes on its side, those of Vault on Coffer's.
        "token" => is_token(bao, &["s.", "b."], size) && is_token(coffer, &["hvs.", "hvb."], size),
        "unwrapped" => texts(bao, coffer, |_| true) && bao.as_str() == wrapped(coffer).as_deref(),
        "uuid" => texts(bao, coffer, is_uuid),
        "within" => {
            matches!((bao.as_i64(), coffer.as_i64()), (Some(a), Some(b)) if a.abs_diff(b) <= size.parse().unwrap())
        }
        other => panic!("no format {other:?}"),
    }
}

fn texts(bao: &Value, coffer: &Value, is: impl Fn(&str) -> bool) -> bool {
    matches!((bao.as_str(), coffer.as_str()), (Some(a), Some(b)) if is(a) && is(b))
}

fn is_accessor(text: &str) -> bool {
    text.rsplit_once('_').is_some_and(|(kind, id)| !kind.is_empty() && is_hex(id, 8))
}

/// An accessor's kind is the same on both.
fn kind_of(accessor: &Value) -> Option<&str> {
    Some(accessor.as_str()?.rsplit_once('_')?.0)
}

fn is_base62(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_base64(text: &str) -> bool {
    text.trim_end_matches('=').bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

fn length(value: &Value) -> Option<usize> {
    Some(value.as_str()?.len())
}

fn first(value: &Value, letters: usize) -> Option<&str> {
    value.as_str()?.get(..letters)
}

/// `vault:v1:` and base64, of URLs or not.
fn is_made(text: &str) -> bool {
    let encoded = text.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
    encoded.is_some_and(|(version, bytes)| {
        version.parse::<u32>().is_ok() && is_base64(&bytes.replace('-', "+").replace('_', "/"))
    })
}

fn version(made: &Value) -> Option<&str> {
    made.as_str()?.split(':').nth(1)
}

fn is_pem(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let is_body = |line: &&str| line.len() <= 64 && is_base64(line);
    matches!(lines.as_slice(), [first, body @ .., last] if first.starts_with("-----BEGIN ")
        && **last == first.replace("BEGIN", "END") && body.iter().all(is_body))
}

/// What it is, and whether a line break ends it.
fn label(pem: &Value) -> Option<(&str, bool)> {
    let pem = pem.as_str()?;
    Some((pem.lines().next()?, pem.ends_with('\n')))
}

/// As the original tells some errors.
fn wrapped(error: &Value) -> Option<String> {
    Some(format!("1 error occurred:\n\t* {}\n\n", error.as_str()?))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z')
}

fn is_token(value: &Value, prefixes: &[&str], kind: &str) -> bool {
    let prefix = prefixes[usize::from(kind == "batch")];
    value.as_str().and_then(|text| text.strip_prefix(prefix)).is_some_and(|id| id.len() >= 24)
}

fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && text.split('-').all(|part| is_hex(part, part.len()))
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}
