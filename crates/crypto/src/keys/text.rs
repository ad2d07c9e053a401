//! Base64 and PEM.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::Error;

pub(super) fn base64(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(BASE64_STANDARD.encode(bytes))
}

pub(super) fn base64_url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// PEM (RFC 7468), with a line break at the end.
pub(super) fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let text = base64(der);
    let mut out = Zeroizing::new(String::with_capacity(text.len() + text.len() / LINE_LEN + 2 * label.len() + 40));
    let mut push = |parts: &[&str]| parts.iter().for_each(|part| out.push_str(part));
    push(&["-----BEGIN ", label, "-----\n"]);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE_LEN.min(rest.len()));
        push(&[line, "\n"]);
        rest = after;
    }
    push(&["-----END ", label, "-----\n"]);
    out
}

/// The bytes of the one PEM block in `text`, which must have that label. Space around it and within is skipped.
pub(super) fn from_pem(label: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    const WRONG: Error = Error::InvalidKey("not one PEM block of the wanted kind");
    let text = text.trim().strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_prefix(label)).ok_or(WRONG)?;
    let text = text.strip_suffix("-----").and_then(|rest| rest.strip_suffix(label)).ok_or(WRONG)?;
    let text = text.strip_prefix("-----").and_then(|rest| rest.strip_suffix("-----END ")).ok_or(WRONG)?;
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    digits.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    BASE64_STANDARD.decode(&*digits).map(Zeroizing::new).map_err(|_| WRONG)
}

const LINE_LEN: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pem_written_reads_back(der in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = pem("PUBLIC KEY", &der);
            prop_assert_eq!(&*from_pem("PUBLIC KEY", &text).unwrap(), &der);
            prop_assert_eq!(&*from_pem("PUBLIC KEY", &text.replace('\n', "\r\n")).unwrap(), &der);
            prop_assert!(from_pem("PRIVATE KEY", &text).is_err());
        }

        #[test]
        fn pem_of_anything_never_panics(text in "(-----BEGIN )?.{0,40}(-----END )?.{0,40}") {
            let _ = from_pem("KEY", &text);
        }
    }

    #[test]
    fn pem_of_two_blocks_is_refused() {
        let one = pem("KEY", b"one");
        assert!(from_pem("KEY", &format!("{}{}", *one, *one)).is_err());
        assert!(from_pem("KEY", "-----BEGIN KEY-----").is_err());
        assert!(from_pem("KEY", "").is_err());
    }
}
