//! Lines that were added to a file, of which nobody says how they are written: as text, as UTF-16, or as no text at all.

use crate::{
    rule::Rules,
    text::{Place, SNIFFED, Scanned, TextScan},
    utf16::Utf16,
};

/// A scan of lines that were added in one place.
pub(crate) struct Added<'r> {
    scan: TextScan<'r>,
    beginning: Vec<u8>,
    /// Known once enough of them came.
    written: Option<Written>,
}

/// How it is written.
enum Written {
    /// Not as text.
    Binary,
    /// A file's beginning, with its mark.
    Marked(Utf16),
    Text,
    /// From within a file of UTF-16: each other byte is zero, and lines end in the midst of a character.
    Wide,
}

impl<'r> Added<'r> {
    pub(crate) fn new(rules: &'r Rules, place: Place) -> Self {
        Self { scan: TextScan::new(rules, place), beginning: Vec::new(), written: None }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        if self.scan.is_allowed() {
            return;
        }
        match &mut self.written {
            Some(Written::Binary) => {}
            Some(Written::Marked(decoder)) => self.scan.feed(decoder.decode(piece).as_bytes()),
            Some(Written::Text) => self.scan.feed(piece),
            Some(Written::Wide) => piece.split(|byte| *byte == 0).for_each(|part| self.scan.feed(part)),
            None => {
                self.beginning.extend_from_slice(piece);
                if self.beginning.len() >= SNIFFED {
                    self.decide();
                }
            }
        }
    }

    /// The lines are at their end. One binary file, or what was found.
    pub(crate) fn finish(mut self) -> Scanned {
        if self.written.is_none() {
            self.decide();
        }
        let binary = u64::from(matches!(self.written, Some(Written::Binary)));
        let (findings, more) = self.scan.finish();
        Scanned { findings, more, binary, ..Scanned::default() }
    }

    fn decide(&mut self) {
        let beginning = std::mem::take(&mut self.beginning);
        self.written = Some(Written::of(beginning.get(..SNIFFED).unwrap_or(&beginning)));
        self.feed(&beginning);
    }
}

impl Written {
    fn of(beginning: &[u8]) -> Self {
        if let Some(decoder) = Utf16::of_beginning(beginning) {
            return Self::Marked(decoder);
        }
        let zeros = |odd: usize| beginning.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
        let (even, odd) = (zeros(0), zeros(1));
        match (even.min(odd), even.max(odd)) {
            (_, 0) => Self::Text,
            // An eighth of the characters is ASCII's, and hardly anything else has a zero.
            (few, many) if many * 16 >= beginning.len() && few * 16 <= many => Self::Wide,
            _ => Self::Binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_of_writing_is_told_by_the_zeros() {
        let name = |bytes: &[u8]| match Written::of(bytes) {
            Written::Binary => "binary",
            Written::Marked(_) => "marked",
            Written::Text => "text",
            Written::Wide => "wide",
        };
        let little: Vec<u8> = "password = 1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "password = 1\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, expected) in [
            (&b""[..], "text"),
            (b"a b", "text"),
            (&[0xff, 0xfe, b'a', 0], "marked"),
            (&little, "wide"),
            (&big, "wide"),
            // A line of the one order begins with what is left of the line break before.
            (&little[1..], "wide"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "binary"),
            (b"text with a zero \0 in its midst, and much more after it", "binary"),
            (b"\0\0\0\0", "binary"),
        ] {
            assert_eq!(name(bytes), expected, "{bytes:?}");
        }
    }
}
