//! Patterns that are compiled when they are first asked: of a hundred rules a tree needs a few.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::syntax::from_go;

/// A pattern over bytes, in Go's syntax and meaning: `\w`, `\d`, `\s` and `\b` are ASCII's.
pub(crate) struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// A pattern that nobody compiled yet.
    pub(crate) fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), compiled: OnceLock::new() }
    }

    /// Compiles it now.
    ///
    /// # Errors
    /// Where it is none, or too large once compiled.
    pub(crate) fn check(&self) -> Result<&Regex, Box<regex::Error>> {
        if let Some(Some(regex)) = self.compiled.get() {
            return Ok(regex);
        }
        let regex = compile(&self.source)?;
        self.compiled.get_or_init(|| Some(regex)).as_ref().ok_or_else(|| Box::new(regex::Error::CompiledTooBig(LIMIT)))
    }

    /// The pattern, ready; `None` where [`Self::check`] would have failed.
    pub(crate) fn get(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.source).ok()).as_ref()
    }

    /// Whether it occurs.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.get().is_some_and(|regex| regex.is_match(text))
    }
}

fn compile(source: &str) -> Result<Regex, Box<regex::Error>> {
    let translated = from_go(source);
    let build = |unicode| RegexBuilder::new(&translated).unicode(unicode).size_limit(LIMIT).build();
    // A class with letters beyond ASCII needs Unicode, and all of the pattern has it then.
    build(false).or_else(|error| build(true).map_err(|_| Box::new(error)))
}

/// Bytes of a compiled pattern; the largest in use take a few hundred thousand.
const LIMIT: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii_and_any_byte_is_no_letter() {
        let word = Pattern::new(r"^\w+$");
        assert!(word.is_match(b"abc_1") && !word.is_match("ä".as_bytes()) && !word.is_match(&[0xff]));
        assert!(Pattern::new(r"^[^a]$").is_match(&[0xff]));
        assert!(Pattern::new("^[ä]$").is_match("ä".as_bytes()));
    }

    #[test]
    fn pattern_that_is_none_or_too_large_says_so_and_matches_nothing() {
        for bad in ["(", r"(?:\w{1000}){1000}{1000}"] {
            let pattern = Pattern::new(bad);
            assert!(pattern.check().is_err(), "{bad}");
            assert!(!pattern.is_match(b"("), "{bad}");
        }
    }
}
