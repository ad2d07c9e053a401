//! Keys and prefixes: any bytes, ordered bytewise in every engine.

use std::borrow::Borrow;
use std::fmt;

use bytes::Bytes;

use crate::error::Error;

/// The name of an entry: 1 to [`Key::MAX`] arbitrary bytes, compared bytewise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// The longest key, in bytes.
    pub const MAX: usize = 2048;

    /// Makes a key. [`Error::Invalid`] if it is empty, [`Error::TooLarge`] above [`Key::MAX`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Key, Error> {
        let bytes: Vec<u8> = bytes.into();
        if bytes.is_empty() {
            return Err(Error::Invalid("a key has at least one byte".to_owned()));
        }
        if bytes.len() > Key::MAX {
            return Err(Error::TooLarge { what: "a key", size: bytes.len(), limit: Key::MAX });
        }
        Ok(Key(Bytes::from(bytes)))
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A key as it was read back from an engine.
    pub(crate) fn stored(bytes: &[u8]) -> Result<Key, Error> {
        Key::new(bytes).map_err(|_| Error::Corrupt { what: "a key of an impossible length", source: None })
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key(\"{}\")", self.0.escape_ascii())
    }
}

/// What the keys of a scan begin with: 0 to [`Key::MAX`] arbitrary bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Bytes);

impl Prefix {
    /// Makes a prefix; the empty one stands for every key. [`Error::TooLarge`] above [`Key::MAX`] bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Prefix, Error> {
        let bytes: Vec<u8> = bytes.into();
        if bytes.len() > Key::MAX {
            return Err(Error::TooLarge { what: "a prefix", size: bytes.len(), limit: Key::MAX });
        }
        Ok(Prefix(Bytes::from(bytes)))
    }

    /// The bytes of the prefix.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Prefix(\"{}\")", self.0.escape_ascii())
    }
}

/// The keys of one scan: `from <= key < to`. Empty where `from >= to`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

impl Range {
    /// The keys that begin with `prefix` and sort after `after`.
    pub(crate) fn new(prefix: &Prefix, after: Option<&Key>) -> Range {
        let start = prefix.as_bytes().to_vec();
        let from = match after {
            // The smallest byte string above a key is that key and a zero byte.
            Some(key) if key.as_bytes() >= prefix.as_bytes() => [key.as_bytes(), &[0]].concat(),
            Some(_) | None => start,
        };
        Range { from, to: end(prefix.as_bytes()) }
    }

    /// Whether no key can lie in the range.
    pub(crate) fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// The smallest bound above every key that begins with `prefix`.
fn end(prefix: &[u8]) -> Vec<u8> {
    let mut bound = prefix.to_vec();
    while let Some(last) = bound.pop() {
        if let Some(next) = last.checked_add(1) {
            bound.push(next);
            return bound;
        }
    }
    // Longer than any key and made of the highest byte: above every key.
    vec![0xff; Key::MAX + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(prefix: &[u8], after: Option<&[u8]>) -> Range {
        let after = after.map(|bytes| Key::new(bytes).unwrap());
        Range::new(&Prefix::new(prefix).unwrap(), after.as_ref())
    }

    #[test]
    fn range_of_ordinary_prefix_ends_before_the_next() {
        assert_eq!(range(b"a/", None), Range { from: b"a/".to_vec(), to: b"a0".to_vec() });
    }

    #[test]
    fn range_of_prefix_ending_in_highest_byte_carries() {
        assert_eq!(range(b"a\xff\xff", None).to, b"b");
    }

    #[test]
    fn range_of_highest_bytes_alone_is_above_the_longest_key() {
        let highest = vec![0xff; Key::MAX];
        assert!(highest < range(b"\xff", None).to);
        assert!(highest < range(b"", None).to);
    }

    #[test]
    fn range_after_key_outside_prefix_starts_at_prefix_or_is_empty() {
        assert_eq!(range(b"b/", Some(b"a")).from, b"b/");
        assert!(range(b"b/", Some(b"c")).is_empty());
        assert!(!range(b"b/", Some(b"b/x")).is_empty());
    }

    #[test]
    fn key_debug_escapes_control_bytes() {
        assert_eq!(format!("{:?}", Key::new(b"a\x00\n".to_vec()).unwrap()), "Key(\"a\\x00\\n\")");
    }

    #[test]
    fn key_of_wrong_length_is_refused() {
        assert!(matches!(Key::new(""), Err(Error::Invalid(_))));
        assert!(matches!(Key::new(vec![0; Key::MAX + 1]), Err(Error::TooLarge { .. })));
        assert!(Key::new(vec![0; Key::MAX]).is_ok());
    }
}
