//! What is allowed to lie there: by path, by commit, by what the finding looks like.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};

use crate::{error::Error, pattern::Pattern};

/// A list of exceptions, of one rule or of all.
pub(crate) struct Allowlist {
    pub(crate) needs: Needs,
    /// Lower case.
    pub(crate) commits: Vec<String>,
    pub(crate) paths: Vec<Pattern>,
    pub(crate) regexes: Vec<Pattern>,
    pub(crate) target: Target,
    pub(crate) stopwords: Option<AhoCorasick>,
}

/// How many of its checks must hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Needs {
    All,
    Any,
}

/// What its patterns are held to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    Line,
    Match,
    Secret,
}

/// A finding as allowlists see it.
pub(crate) struct Seen<'a> {
    pub(crate) path: &'a str,
    pub(crate) commit: Option<&'a str>,
    pub(crate) line: &'a [u8],
    pub(crate) matched: &'a [u8],
    pub(crate) secret: &'a [u8],
}

impl Allowlist {
    /// Words whose presence in a secret allows it, whatever their case.
    ///
    /// # Errors
    /// Where they are too many.
    pub(crate) fn words(of: &str, words: &[String]) -> Result<Option<AhoCorasick>, Error> {
        let words: Vec<&String> = words.iter().filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Ok(None);
        }
        let built = AhoCorasickBuilder::new().ascii_case_insensitive(true).build(words);
        built.map(Some).map_err(|error| Error::Rule { of: of.to_owned(), what: error.to_string() })
    }

    /// Compiles every pattern.
    ///
    /// # Errors
    /// Where one is none.
    pub(crate) fn check(&self, of: &str) -> Result<(), Error> {
        for pattern in self.paths.iter().chain(&self.regexes) {
            pattern.check().map_err(|source| Error::Pattern { of: of.to_owned(), source })?;
        }
        Ok(())
    }

    /// Whether all of a file is allowed, before anything is read of it.
    pub(crate) fn allows_file(&self, path: &str, commit: Option<&str>) -> bool {
        let (by_path, by_commit) = (self.allows_path(path), self.allows_commit(commit));
        match self.needs {
            Needs::Any => by_path || by_commit,
            // The rest is known of a finding alone.
            Needs::All if !self.regexes.is_empty() || self.stopwords.is_some() => false,
            Needs::All => {
                (self.paths.is_empty() || by_path)
                    && (self.commits.is_empty() || by_commit)
                    && !(self.paths.is_empty() && self.commits.is_empty())
            }
        }
    }

    /// Whether a finding is allowed in a file that is not.
    pub(crate) fn allows(&self, seen: &Seen<'_>) -> bool {
        let target = match self.target {
            Target::Line => seen.line,
            Target::Match => seen.matched,
            Target::Secret => seen.secret,
        };
        let by_regex = self.regexes.iter().any(|regex| regex.is_match(target));
        let by_word = self.stopwords.as_ref().is_some_and(|words| words.is_match(seen.secret));
        match self.needs {
            Needs::Any => by_regex || by_word,
            Needs::All => {
                (self.paths.is_empty() || self.allows_path(seen.path))
                    && (self.commits.is_empty() || self.allows_commit(seen.commit))
                    && (self.regexes.is_empty() || by_regex)
                    && (self.stopwords.is_none() || by_word)
            }
        }
    }

    fn allows_path(&self, path: &str) -> bool {
        !path.is_empty() && self.paths.iter().any(|pattern| pattern.is_match(path.as_bytes()))
    }

    fn allows_commit(&self, commit: Option<&str>) -> bool {
        commit.is_some_and(|commit| self.commits.iter().any(|allowed| commit.eq_ignore_ascii_case(allowed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(needs: Needs, target: Target) -> Allowlist {
        Allowlist {
            needs,
            commits: vec!["abc".into()],
            paths: vec![Pattern::new(r"\.md$")],
            regexes: vec![Pattern::new("^ok")],
            target,
            stopwords: Allowlist::words("x", &["Example".into()]).unwrap(),
        }
    }

    fn seen<'a>(path: &'a str, commit: Option<&'a str>, line: &'a str, secret: &'a str) -> Seen<'a> {
        Seen { path, commit, line: line.as_bytes(), matched: b"m", secret: secret.as_bytes() }
    }

    #[test]
    fn one_check_is_enough_unless_all_must_hold() {
        let any = list(Needs::Any, Target::Secret);
        assert!(any.allows_file("a.md", None) && any.allows_file("a", Some("ABC")) && !any.allows_file("a", None));
        assert!(any.allows(&seen("a", None, "", "okay")) && any.allows(&seen("a", None, "", "an EXAMPLE")));
        assert!(!any.allows(&seen("a", None, "ok", "nokay")));

        let all = list(Needs::All, Target::Secret);
        assert!(!all.allows_file("a.md", Some("abc")), "the secret must fit too");
        assert!(all.allows(&seen("a.md", Some("abc"), "", "ok example")));
        for other in [
            seen("a", Some("abc"), "", "ok example"),
            seen("a.md", None, "", "ok example"),
            seen("a.md", Some("abc"), "", "example"),
            seen("a.md", Some("abc"), "", "ok"),
        ] {
            assert!(!all.allows(&other));
        }
    }

    #[test]
    fn patterns_are_held_to_the_target() {
        assert!(list(Needs::Any, Target::Line).allows(&seen("a", None, "ok", "x")));
        assert!(!list(Needs::Any, Target::Match).allows(&seen("a", None, "ok", "ok")));
    }
}
