//! PEM (RFC 7468): base64 between two lines that name what it is.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::input::decode;

/// A block.
pub(super) struct Block<'a> {
    /// What it is, as `CERTIFICATE`.
    pub(super) label: &'a str,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// One block with its line break at the end.
pub(in super::super) fn encode(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut out = String::with_capacity(text.len() / WIDTH * (WIDTH + 1) + 128);
    out.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(WIDTH));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// All blocks of a text, at most `most`; what lies between them does not matter. `None` where one is malformed, there are
/// more, or none.
pub(super) fn decode_all(text: &str, most: usize) -> Option<Vec<Block<'_>>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        let after = after.strip_prefix(label)?.strip_prefix("-----")?;
        let body: String = body.split_ascii_whitespace().collect();
        let mut der = Zeroizing::default();
        decode(&body, &mut der).ok()?;
        if blocks.len() == most {
            return None;
        }
        blocks.push(Block { label, der });
        rest = after;
    }
    (!blocks.is_empty()).then_some(blocks)
}

const WIDTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_back_whatever_lies_around_them() {
        let der = [7; 100];
        let text = format!("# first\n{}\r\nsecond:\n{}", encode("CERTIFICATE", &der), encode("X", b""));
        let blocks = decode_all(&text, 2).unwrap();
        assert_eq!((blocks[0].label, blocks[0].der.as_slice()), ("CERTIFICATE", &der[..]));
        assert_eq!((blocks[1].label, blocks[1].der.len()), ("X", 0));
        assert!(text.lines().all(|line| line.len() <= 64));
        assert!(decode_all(&text, 1).is_none(), "one too many");
    }

    #[test]
    fn malformed_blocks_are_refused() {
        for text in [
            "",
            "nothing",
            "-----BEGIN ",
            "-----BEGIN A-----",
            "-----BEGIN A-----\nAAAA\n-----END B-----",
            "-----BEGIN A-----\n!!\n-----END A-----",
            "-----BEGIN A-----\nAAAA\n-----END A",
            "-----BEGIN A-----\nKey: value\n\nAAAA\n-----END A-----",
        ] {
            assert!(decode_all(text, 9).is_none(), "{text:?}");
        }
    }
}
