//! One path pattern: what it matches, and how it ranks among others that match the same path.

use std::cmp::Reverse;

/// A path of a policy, without its leading `/`.
///
/// `*` is special only as the last character, `+` only as a whole segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pattern {
    text: Box<str>,
    kind: Kind,
}

/// How a pattern is matched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The whole path, literally.
    Exact,
    /// The beginning of the path, literally: `…*`.
    Prefix,
    /// Segment by segment: some segment begins with `+`.
    Segments,
}

/// How specific a non-exact pattern is; of the patterns that match a path the greatest is in charge.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rank<'a> {
    first_wildcard: usize,
    whole: bool,
    plusses: Reverse<usize>,
    length: usize,
    stem: &'a str,
}

/// Why a path is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("\"+*\" is not a wildcard: write \"+\" for one segment, or \"*\" at the end")]
    PlusStar,
    #[error("the path is longer than {MAX_BYTES} bytes")]
    TooLong,
}

impl Pattern {
    /// # Errors
    /// `+*` anywhere, and paths longer than 4,096 bytes.
    pub(super) fn parse(path: &str) -> Result<Pattern, PatternError> {
        let text = path.strip_prefix('/').unwrap_or(path);
        if text.len() > MAX_BYTES {
            return Err(PatternError::TooLong);
        }
        if text.contains("+*") {
            return Err(PatternError::PlusStar);
        }
        let kind = if text == "+" || text.starts_with("+/") || text.contains("/+") {
            Kind::Segments
        } else if text.ends_with('*') {
            Kind::Prefix
        } else {
            Kind::Exact
        };
        Ok(Pattern { text: text.into(), kind })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether anything may follow what the pattern says.
    pub(super) fn is_open(&self) -> bool {
        self.text.ends_with('*')
    }

    /// The pattern without its final `*`.
    pub(super) fn stem(&self) -> &str {
        self.text.strip_suffix('*').unwrap_or(&self.text)
    }

    pub(super) fn rank(&self) -> Rank<'_> {
        let stem = self.stem();
        let (first_wildcard, plusses) = match self.kind {
            Kind::Exact | Kind::Prefix => (stem.len(), 0),
            Kind::Segments => {
                let first = self.text.find('+').unwrap_or(stem.len());
                (first, stem.split('/').filter(|segment| *segment == "+").count())
            }
        };
        Rank { first_wildcard, whole: !self.is_open(), plusses: Reverse(plusses), length: stem.len(), stem }
    }

    /// Whether the pattern matches `path`, found out the slow way.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self.kind {
            Kind::Exact => path == &*self.text,
            Kind::Prefix => path.starts_with(self.stem()),
            Kind::Segments => {
                let mut wanted = self.stem().split('/').peekable();
                let mut found = path.split('/');
                while let Some(segment) = wanted.next() {
                    let Some(actual) = found.next() else { return false };
                    let last_of_open = self.is_open() && wanted.peek().is_none();
                    let equal = segment == "+" || segment == actual;
                    if !(equal || last_of_open && actual.starts_with(segment)) {
                        return false;
                    }
                }
                self.is_open() || found.next().is_none()
            }
        }
    }

    /// Whether the pattern itself lies at or under `mount`, a mount's path with its final `/`: a pattern that merely
    /// has it among much else, such as `*`, does not.
    pub(super) fn lies_under(&self, mount: &str) -> bool {
        let stem = self.stem();
        if self.kind != Kind::Segments {
            return stem.starts_with(mount);
        }
        let mut wanted = stem.split('/').peekable();
        let mut actual = mount.strip_suffix('/').unwrap_or(mount).split('/').peekable();
        while let Some(actual_segment) = actual.next() {
            let Some(segment) = wanted.next() else { return false };
            if self.is_open() && wanted.peek().is_none() {
                return actual.peek().is_none() && actual_segment.starts_with(segment);
            }
            if segment != "+" && segment != actual_segment {
                return false;
            }
        }
        true
    }
}

/// A bound for the recursion over segments, far above any path that a request may have.
const MAX_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn pattern_kind_depends_on_place_of_wildcards() {
        for (text, kind) in [
            ("a/b", Kind::Exact),
            ("/a/b", Kind::Exact),
            ("", Kind::Exact),
            ("*", Kind::Prefix),
            ("a/b*", Kind::Prefix),
            ("a*b", Kind::Exact),
            ("a**", Kind::Prefix),
            ("x+y", Kind::Exact),
            ("x+", Kind::Exact),
            ("x+/y*", Kind::Prefix),
            ("+", Kind::Segments),
            ("+x", Kind::Exact),
            ("+/x", Kind::Segments),
            ("a/+", Kind::Segments),
            ("a/+b", Kind::Segments),
            ("a/+/b*", Kind::Segments),
        ] {
            assert_eq!(pattern(text).kind(), kind, "{text}");
        }
        assert_eq!(pattern("/a").text(), "a");
        assert_eq!(pattern("//a").text(), "/a");
        assert_eq!(Pattern::parse("a/+*"), Err(PatternError::PlusStar));
        assert_eq!(Pattern::parse("a+*b"), Err(PatternError::PlusStar));
        assert_eq!(Pattern::parse(&"a".repeat(4097)), Err(PatternError::TooLong));
    }

    #[test]
    fn pattern_matches_as_documented() {
        for (text, path, matches) in [
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a//c", true),
            ("a/+/c", "a/b/d/c", false),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("a/+/*", "a/b", false),
            ("a/+/*", "a/b/", true),
            ("a/+/*", "a/b/c/d", true),
            ("a/+/b*", "a/x/bcd/e", true),
            ("a/+/b*", "a/x/c", false),
            ("+", "", true),
            ("a/+b", "a/+b", true),
            ("a/+b", "a/xb", false),
            ("a*b", "a*b", true),
            ("a*b", "axb", false),
            ("*", "", true),
        ] {
            assert_eq!(pattern(text).matches(path), matches, "{text} {path}");
        }
    }

    #[test]
    fn pattern_rank_orders_by_specificity() {
        let ascending = ["+/b/*", "*", "+/b", "a/+/c/*", "a/*", "a/+/+", "a/+/c", "a/b*", "a/bc*"];
        for pair in ascending.windows(2) {
            assert!(pattern(pair[0]).rank() < pattern(pair[1]).rank(), "{pair:?}");
        }
    }

    #[test]
    fn pattern_lies_under_mounts_that_it_names() {
        for (text, mount, under) in [
            ("secret/data/x", "secret/", true),
            ("secret", "secret/", false),
            ("sec*", "secret/", false),
            ("secretx/*", "secret/", false),
            ("+/x", "secret/", true),
            ("+", "secret/", true),
            ("+/+", "a/b/", true),
            ("+/+", "a/", true),
            ("+", "a/b/", false),
            ("+/+/c", "a/b/", true),
            ("a/+/c", "b/", false),
            ("+/b*", "a/bcd/", true),
            ("+/b*", "a/bcd/e/", false),
            ("+/b*", "a/c/", false),
            ("a/+/c*", "a/", true),
        ] {
            assert_eq!(pattern(text).lies_under(mount), under, "{text} {mount}");
        }
    }
}
