//! The text form of ciphertexts, signatures and HMACs: `vault:v<version>:` and base64.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use coffer_crypto::keys::Marshal;
use zeroize::Zeroizing;

use super::fault::{KeyFault, TextFault, TextKind};

/// A text, taken apart and not yet decoded.
pub(super) struct Text<'a> {
    /// As it stands there: it may be of no version at all.
    pub(super) version: i64,
    pub(super) encoded: &'a str,
}

impl<'a> Text<'a> {
    /// Takes a text of that kind apart.
    pub(super) fn parse(kind: TextKind, text: &'a str) -> Result<Self, KeyFault> {
        let malformed = |fault| KeyFault::Text { kind, fault };
        let rest = text.strip_prefix(PREFIX).ok_or_else(|| malformed(TextFault::Prefix))?;
        let (version, encoded) = rest.split_once(':').ok_or_else(|| malformed(TextFault::Fields))?;
        let version = version.parse().map_err(|_| malformed(TextFault::Version))?;
        Ok(Self { version, encoded })
    }
}

/// The text of some bytes that the key's version made.
pub(super) fn text(version: u32, bytes: &[u8]) -> String {
    let mut out = begin(version, bytes.len());
    STANDARD.encode_string(bytes, &mut out);
    out
}

/// Plain base64 of bytes that nobody else may keep.
pub(super) fn base64(bytes: &[u8]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    STANDARD.encode_string(bytes, &mut out);
    out
}

/// The text of a signature.
pub(super) fn signature_text(version: u32, marshal: Marshal, bytes: &[u8]) -> String {
    match marshal {
        Marshal::Der => text(version, bytes),
        Marshal::Jws => {
            let mut out = begin(version, bytes.len());
            URL_SAFE_NO_PAD.encode_string(bytes, &mut out);
            out
        }
    }
}

/// The start of a text with room for all of it.
fn begin(version: u32, bytes: usize) -> String {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut left = version;
    // Cheaper than the formatting machinery, and a batch has many.
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + u8::try_from(left % 10).unwrap_or(0);
        }
        left /= 10;
        if left == 0 {
            break;
        }
    }
    let number = digits.get(at..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
    let mut out = String::with_capacity(PREFIX.len() + number.len() + 1 + bytes.div_ceil(3) * 4);
    out.push_str(PREFIX);
    out.push_str(number);
    out.push(':');
    out
}

/// As the original has it, so that clients that look for it find it.
const PREFIX: &str = "vault:v";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_holds_version_and_bytes_in_one_allocation() {
        for (version, bytes, expected) in [
            (1, &b"hello"[..], "vault:v1:aGVsbG8="),
            (10, b"", "vault:v10:"),
            (u32::MAX, b"abc", "vault:v4294967295:YWJj"),
        ] {
            let text = text(version, bytes);
            assert_eq!(text, expected);
            assert_eq!(text.capacity(), text.len());
            let parsed = Text::parse(TextKind::Ciphertext, &text).unwrap();
            assert_eq!(parsed.version, i64::from(version));
        }
        assert_eq!(signature_text(2, Marshal::Jws, &[0xfb, 0xff]), "vault:v2:-_8");
    }

    #[test]
    fn malformed_text_is_refused_in_the_words_of_the_original() {
        for (kind, text, fault) in [
            (TextKind::Ciphertext, "garbage", "invalid ciphertext: no prefix"),
            (TextKind::Ciphertext, "", "invalid ciphertext: no prefix"),
            (TextKind::Ciphertext, "vault:1:AAAA", "invalid ciphertext: no prefix"),
            (TextKind::Ciphertext, "vault:v1", "invalid ciphertext: wrong number of fields"),
            (TextKind::Ciphertext, "vault:vx:AAAA", "invalid ciphertext: version number could not be decoded"),
            (TextKind::Ciphertext, "vault:v:AAAA", "invalid ciphertext: version number could not be decoded"),
            (
                TextKind::Ciphertext,
                "vault:v99999999999999999999:AAAA",
                "invalid ciphertext: version number could not be decoded",
            ),
            (TextKind::Signature, "xx", "invalid signature: no prefix"),
            (TextKind::Hmac, "xx", "invalid HMAC to verify: no prefix"),
            (TextKind::Hmac, "vault:v1", "invalid HMAC: wrong number of fields"),
        ] {
            assert_eq!(Text::parse(kind, text).map(|_| ()).unwrap_err().to_string(), fault, "{text}");
        }
        assert_eq!(Text::parse(TextKind::Ciphertext, "vault:v-1:AAAA").unwrap().version, -1);
    }
}
