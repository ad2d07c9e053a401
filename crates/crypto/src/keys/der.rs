//! The little of DER that keys and signatures need: strict on reading (definite, shortest lengths), exact on writing.

use zeroize::Zeroizing;

use crate::Error;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// One element: tag, length, and the parts of its content one after the other. Wiped on drop, since most hold a key.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let len_bytes = len.to_be_bytes();
    let significant = significant(&len_bytes);
    let mut out = Zeroizing::new(Vec::with_capacity(2 + significant.len() + len));
    out.push(tag);
    if len < 0x80 {
        out.extend(significant.last().or(Some(&0)));
    } else {
        out.push(0x80 | u8::try_from(significant.len()).expect("a usize has at most eight bytes"));
        out.extend_from_slice(significant);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A non-negative integer from its big-endian bytes, leading zeros or not.
pub(crate) fn unsigned(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    match significant(bytes) {
        [] => element(INTEGER, &[&[0]]),
        bytes @ [0x80..=0xff, ..] => element(INTEGER, &[&[0], bytes]),
        bytes => element(INTEGER, &[bytes]),
    }
}

/// Without leading zeros.
pub(crate) fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.split_at(zeros).1
}

/// Refuses what is not one sequence and nothing after it: not every parser of the library looks behind the key.
pub(crate) fn check_whole(bytes: &[u8]) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    reader.element(SEQUENCE)?;
    reader.end()
}

/// Elements one after the other.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self(der)
    }

    /// The content of the next element, which must have that tag.
    pub(crate) fn element(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        let (found, rest) = self.0.split_first().ok_or(MALFORMED)?;
        let (first, rest) = rest.split_first().ok_or(MALFORMED)?;
        let (len, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            // No key or signature is longer than three bytes of length can say.
            let count = usize::from(first & 0x7f);
            let (len_bytes, rest) =
                rest.split_at_checked(count).filter(|_| (1..=3).contains(&count)).ok_or(MALFORMED)?;
            let len = len_bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
            let is_shortest = len >= 0x80 && len_bytes.first() != Some(&0);
            (Some(len).filter(|_| is_shortest).ok_or(MALFORMED)?, rest)
        };
        let (content, rest) = rest.split_at_checked(len).filter(|_| *found == tag).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(content)
    }

    /// The next element if it has that tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Error> {
        if self.0.first() == Some(&tag) { self.element(tag).map(Some) } else { Ok(None) }
    }

    /// A non-negative integer, without leading zeros.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Error> {
        match self.element(INTEGER)? {
            [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => Err(MALFORMED),
            [0] => Ok(&[]),
            [0, rest @ ..] => Ok(rest),
            content => Ok(content),
        }
    }

    /// Refuses what comes after the last element.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(MALFORMED) }
    }
}

const MALFORMED: Error = Error::InvalidKey("the key is not well-formed DER");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn elements_written_read_back(content in proptest::collection::vec(any::<u8>(), 0..70_000), tag in 1_u8..0x80) {
            let der = element(tag, &[&content]);
            let mut reader = Reader::new(&der);
            prop_assert_eq!(reader.element(tag).unwrap(), &content[..]);
            prop_assert!(reader.end().is_ok());
        }

        #[test]
        fn integers_written_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let der = unsigned(&bytes);
            prop_assert_eq!(Reader::new(&der).unsigned().unwrap(), significant(&bytes));
        }

        #[test]
        fn reading_anything_never_panics(der in proptest::collection::vec(any::<u8>(), 0..64)) {
            for tag in [INTEGER, SEQUENCE, OCTET_STRING] {
                let _ = Reader::new(&der).element(tag);
            }
            let _ = Reader::new(&der).unsigned();
        }
    }

    #[test]
    fn lengths_that_are_not_the_shortest_are_refused() {
        let long = [&[4, 0x81, 0x80][..], &[7; 128]].concat();
        assert!(Reader::new(&long).element(4).is_ok());
        for wrong in
            [&[4, 0x81, 1, 7][..], &[4, 0x82, 0, 1, 7], &[4, 0x80, 7, 0, 0], &[4, 0x84, 0, 0, 0, 1, 7], &[4, 2, 7]]
        {
            assert!(Reader::new(wrong).element(4).is_err(), "{wrong:?}");
        }
        assert!(Reader::new(&[&[4, 0x82, 0, 0x80][..], &[7; 128]].concat()).element(4).is_err());
    }

    #[test]
    fn integers_negative_or_padded_are_refused() {
        assert_eq!(Reader::new(&[2, 2, 0, 0x80]).unsigned().unwrap(), [0x80]);
        for wrong in [&[2, 0][..], &[2, 1, 0x80], &[2, 2, 0, 1]] {
            assert!(Reader::new(wrong).unsigned().is_err(), "{wrong:?}");
        }
    }
}
