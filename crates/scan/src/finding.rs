//! One secret that was found: where it lies, and nothing that gives it away.

use std::{fmt, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A secret in a text. It has no `Debug`: it holds what it found.
pub struct Finding {
    /// Which rule it fits.
    pub rule: Arc<str>,
    /// What the rule is about.
    pub description: Arc<str>,
    /// The rule's tags.
    pub tags: Arc<[String]>,
    /// The file, as the scan was told of it.
    pub path: Arc<str>,
    /// The commit that added it.
    pub commit: Option<Arc<str>>,
    /// First line, from 1.
    pub line: u64,
    /// First character in it, from 1.
    pub column: u64,
    /// Last line.
    pub end_line: u64,
    /// The character after the last one.
    pub end_column: u64,
    /// Bytes of the text, for what lies within what.
    pub(crate) range: Range<u64>,
    pub(crate) secret: Zeroizing<Vec<u8>>,
}

/// By what a finding is known again: rule, path and secret, not the line, which moves. Who can guess the secret can confirm
/// it by this; it lies beside the secret itself, in the tree that was scanned.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Finding {
    /// What was found, whole: to be compared, never to be shown.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// What may be shown of it: how it begins, where it is long enough, and how long it is.
    pub fn redacted(&self) -> String {
        if self.secret.is_empty() {
            return String::new();
        }
        let text = Zeroizing::new(String::from_utf8_lossy(&self.secret).into_owned());
        let count = text.chars().count();
        let shown = if count < SHORT { 0 } else { (count / 5).min(4) };
        let beginning: String = text.chars().take(shown).collect();
        format!("{beginning}… ({count} characters)")
    }

    /// What it is known by in baselines.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for part in [b"coffer-scan-1".as_slice(), self.rule.as_bytes(), self.path.as_bytes(), &self.secret] {
            // With its length, so that no two triples make one text.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        Fingerprint(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether its rule fits anything that is called a secret, so that one that knows the vendor says more.
    pub(crate) fn is_generic(&self) -> bool {
        self.tags.iter().any(|tag| tag == "generic")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keeps of findings in one text those that say most: a generic one goes where another lies, and the later of two alike.
pub(crate) fn distinct(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (finding.is_generic(), finding.range.start));
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    // Where the specific ones lie, by their start, each with the farthest end so far; then where the generic ones do.
    let mut taken: Vec<(u64, u64)> = Vec::new();
    let mut generic_end = 0;
    for finding in findings {
        let Range { start, end } = finding.range;
        if finding.is_generic() {
            let before = taken.partition_point(|(begin, _)| *begin < end);
            let farthest = before.checked_sub(1).and_then(|last| taken.get(last)).map_or(0, |(_, end)| *end);
            if farthest > start || generic_end > start {
                continue;
            }
            generic_end = end;
        } else {
            let farthest = taken.last().map_or(end, |(_, last)| end.max(*last));
            taken.push((start, farthest));
        }
        kept.push(finding);
    }
    kept.sort_by(|a, b| (a.range.start, &a.rule).cmp(&(b.range.start, &b.rule)));
    kept
}

/// Characters below which nothing of a secret is shown.
const SHORT: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &str, range: Range<u64>, secret: &str) -> Finding {
        let tags: Vec<String> = if rule.starts_with('g') { vec!["generic".into()] } else { Vec::new() };
        Finding {
            rule: rule.into(),
            description: "".into(),
            tags: tags.into(),
            path: "p".into(),
            commit: None,
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 1,
            range,
            secret: Zeroizing::new(secret.as_bytes().to_vec()),
        }
    }

    #[test]
    fn secret_is_never_shown_whole_and_a_short_one_not_at_all() {
        for (secret, shown) in [
            ("hunter2", "… (7 characters)"),
            ("hunter2hunte", "hu… (12 characters)"),
            ("abcdefghijklmnopqrst", "abcd… (20 characters)"),
            ("ää", "… (2 characters)"),
            ("", ""),
        ] {
            assert_eq!(finding("r", 0..1, secret).redacted(), shown);
        }
    }

    #[test]
    fn fingerprint_knows_rule_path_and_secret_and_nothing_else() {
        let one = finding("r", 0..1, "secret").fingerprint();
        let moved = Finding { line: 7, column: 3, commit: Some("c".into()), ..finding("r", 5..9, "secret") };
        assert_eq!(moved.fingerprint(), one);
        assert_eq!(one.to_string().len(), 32);
        assert_ne!(finding("s", 0..1, "secret").fingerprint(), one);
        assert_ne!(finding("r", 0..1, "secres").fingerprint(), one);
        assert_ne!(Finding { path: "q".into(), ..finding("r", 0..1, "secret") }.fingerprint(), one);
        let shifted = Finding { path: "ps".into(), ..finding("r", 0..1, "ecret") };
        assert_ne!(shifted.fingerprint(), one);
    }

    #[test]
    fn generic_finding_gives_way_to_one_that_knows_more() {
        let rules = |findings: Vec<Finding>| -> Vec<(String, u64)> {
            distinct(findings).iter().map(|found| (found.rule.to_string(), found.range.start)).collect()
        };
        let all = vec![
            finding("g1", 10..30, "a"),
            finding("known", 12..20, "a"),
            finding("g2", 40..50, "a"),
            finding("g3", 40..50, "a"),
            finding("wide", 0..12, "a"),
            finding("g4", 30..40, "a"),
        ];
        assert_eq!(
            rules(all),
            [("wide".to_owned(), 0), ("known".to_owned(), 12), ("g4".to_owned(), 30), ("g2".to_owned(), 40)]
        );
    }
}
