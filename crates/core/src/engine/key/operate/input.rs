//! Bytes as a request brings them. Base64 text is decoded here, once, into a buffer that a whole batch shares.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

/// Bytes, or the base64 text of some.
///
/// Text is read as Go's standard encoding reads it, which clients rely on: padding is demanded, line breaks are skipped, and
/// bits beyond the last byte do not matter.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// Standard base64 with padding.
    Base64(&'a str),
    /// The bytes themselves.
    Raw(&'a [u8]),
}

impl Input<'_> {
    /// No bytes.
    pub const EMPTY: Self = Self::Raw(&[]);

    /// Whether nothing at all was sent.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Base64(text) => text.is_empty(),
            Self::Raw(bytes) => bytes.is_empty(),
        }
    }

    /// An upper bound on the bytes it stands for, and close to them.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Base64(text) => text.len() / 4 * 3 + 3,
            Self::Raw(bytes) => bytes.len(),
        }
    }

    /// The bytes; text is decoded into `buffer`, whose content is replaced.
    ///
    /// # Errors
    /// Where in the text the fault is, as Go tells it.
    pub(super) fn bytes<'b>(&'b self, buffer: &'b mut Zeroizing<Vec<u8>>) -> Result<&'b [u8], usize> {
        match self {
            Self::Raw(bytes) => Ok(bytes),
            Self::Base64(text) => decode(text, buffer),
        }
    }
}

impl Default for Input<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Decodes standard base64 into the buffer.
///
/// # Errors
/// Where the fault is.
pub(super) fn decode<'b>(text: &str, buffer: &'b mut Zeroizing<Vec<u8>>) -> Result<&'b [u8], usize> {
    let most = text.len() / 4 * 3 + 3;
    buffer.clear();
    buffer.resize(most, 0);
    match LENIENT.decode_slice(text, buffer) {
        Ok(len) => {
            buffer.truncate(len);
            Ok(buffer)
        }
        // Line breaks, or a fault whose place is wanted.
        Err(_) => decode_slowly(text.as_bytes(), buffer),
    }
}

/// Decodes base64 for URLs without padding, as JWS has it, into the buffer.
pub(super) fn decode_url<'b>(text: &str, buffer: &'b mut Zeroizing<Vec<u8>>) -> Option<&'b [u8]> {
    buffer.clear();
    LENIENT_URL.decode_vec(text, buffer).ok()?;
    Some(buffer)
}

fn decode_slowly<'b>(text: &[u8], buffer: &'b mut Zeroizing<Vec<u8>>) -> Result<&'b [u8], usize> {
    buffer.clear();
    let is_break = |byte: u8| byte == b'\n' || byte == b'\r';
    let mut symbols = text.iter().copied().enumerate().filter(|(_, byte)| !is_break(*byte));
    loop {
        let mut bits: u32 = 0;
        for have in 0..4 {
            match symbols.next() {
                None if have == 0 => return Ok(buffer),
                // The quantum that has begun is not whole; line breaks within it are counted, as Go does.
                None => return Err(text.len() - have),
                Some((_, b'=')) if have >= 2 => {
                    if have == 2 {
                        match symbols.next() {
                            Some((_, b'=')) => {}
                            Some((at, _)) => return Err(at - 1),
                            None => return Err(text.len()),
                        }
                    }
                    if let Some((at, _)) = symbols.next() {
                        return Err(at);
                    }
                    bits <<= 6 * (4 - have);
                    buffer.extend(bits.to_be_bytes().iter().skip(1).take(usize::from(have == 3) + 1));
                    return Ok(buffer);
                }
                Some((at, byte)) => bits = bits << 6 | u32::from(value(byte).ok_or(at)?),
            }
        }
        buffer.extend(bits.to_be_bytes().iter().skip(1));
    }
}

/// What a symbol of the standard alphabet stands for.
fn value(symbol: u8) -> Option<u8> {
    match symbol {
        b'A'..=b'Z' => Some(symbol - b'A'),
        b'a'..=b'z' => Some(symbol - b'a' + 26),
        b'0'..=b'9' => Some(symbol - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
const LENIENT_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<u8>, usize> {
        let mut buffer = Zeroizing::new(vec![9; 100]);
        Input::Base64(text).bytes(&mut buffer).map(<[u8]>::to_vec)
    }

    #[test]
    fn text_is_read_as_go_reads_it() {
        for (text, read_as) in [
            ("", Ok(&b""[..])),
            ("aGVsbG8=", Ok(b"hello")),
            ("aGVs\nbG8=\r\n", Ok(b"hello")),
            ("aGVsbG9=", Ok(b"hello")),
            ("aGVsbG==", Ok(b"hell")),
            ("aGVsbA\n=\n=", Ok(b"hell")),
            ("\n\n", Ok(b"")),
            ("not base64!!", Err(3)),
            ("!!", Err(0)),
            ("aGVsbG8", Err(4)),
            ("aGVs\nbG8", Err(5)),
            ("aGVsb", Err(4)),
            ("aGVsbA=", Err(7)),
            ("aGVsbA=x", Err(6)),
            ("aGVsbG8=x", Err(8)),
            ("aGVsbG8==", Err(8)),
            ("=", Err(0)),
            ("a===", Err(1)),
            ("aGVsbG8=aGVsbG8=", Err(8)),
            ("aGVs_G8=", Err(4)),
        ] {
            assert_eq!(read(text), read_as.map(<[u8]>::to_vec), "{text:?}");
        }
    }

    #[test]
    fn text_for_urls_takes_no_padding() {
        let mut buffer = Zeroizing::default();
        assert_eq!(decode_url("-_8", &mut buffer), Some(&[0xfb, 0xff][..]));
        assert_eq!(decode_url("-_8=", &mut buffer), None);
        assert_eq!(decode_url("+/8", &mut buffer), None);
    }

    proptest! {
        #[test]
        fn text_of_any_bytes_is_read_back_with_breaks_or_without(bytes: Vec<u8>, at: prop::sample::Index) {
            let mut text = STANDARD.encode(&bytes);
            prop_assert_eq!(read(&text), Ok(bytes.clone()));
            text.insert(at.index(text.len() + 1), '\n');
            prop_assert_eq!(read(&text), Ok(bytes));
        }

        #[test]
        fn fast_and_slow_reading_agree(text in "[A-Ba+/=\n!]{0,12}") {
            let mut buffer = Zeroizing::default();
            let slowly = decode_slowly(text.as_bytes(), &mut buffer).map(<[u8]>::to_vec);
            prop_assert_eq!(read(&text), slowly);
        }
    }
}
