//! What a scan came to, for programs: everything but the secrets.

use serde::Serialize;

use crate::{
    finding::{Finding, Fingerprint},
    text::Scanned,
};

/// A scan's result.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What was found and is not in the baseline.
    pub findings: Vec<Entry>,
    /// What was found beyond the most that is kept.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
    /// What was found and is in the baseline.
    pub known: u64,
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Files that hold no text.
    pub binary: u64,
    /// Files that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<Unreadable>,
}

/// One finding.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The rule's id.
    pub rule: String,
    /// What the rule is about.
    pub description: String,
    /// The rule's tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The file.
    pub path: String,
    /// The commit that added it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// First line, from 1.
    pub line: u64,
    /// First character in it, from 1.
    pub column: u64,
    /// Last line.
    pub end_line: u64,
    /// The character after the last one.
    pub end_column: u64,
    /// How the secret begins, and its length.
    pub secret: String,
    /// What it is known by in baselines.
    pub fingerprint: Fingerprint,
    /// Secrets of a store that hold the same value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stored: Vec<Match>,
}

/// A secret of a store that holds what was found.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Match {
    /// `project[:environment[:service]]`.
    pub scope: String,
    /// Its name.
    pub name: String,
    /// The version that holds it.
    pub version: u64,
}

/// A file that could not be read.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// The file.
    pub path: String,
    /// The system's word.
    pub why: String,
}

impl Report {
    /// Of these findings of a scan, the others being known.
    pub fn new(scanned: &Scanned, findings: &[Finding], known: u64) -> Self {
        Self {
            findings: findings.iter().map(Entry::from).collect(),
            more: scanned.more,
            known,
            files: scanned.files,
            bytes: scanned.bytes,
            binary: scanned.binary,
            unreadable: scanned
                .unreadable
                .iter()
                .map(|(path, why)| Unreadable { path: path.clone(), why: why.clone() })
                .collect(),
        }
    }
}

impl From<&Finding> for Entry {
    fn from(finding: &Finding) -> Self {
        Self {
            rule: finding.rule.to_string(),
            description: finding.description.to_string(),
            tags: finding.tags.to_vec(),
            path: finding.path.to_string(),
            commit: finding.commit.as_ref().map(ToString::to_string),
            line: finding.line,
            column: finding.column,
            end_line: finding.end_line,
            end_column: finding.end_column,
            secret: finding.redacted(),
            fingerprint: finding.fingerprint(),
            stored: Vec::new(),
        }
    }
}

impl std::fmt::Display for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}, version {}", self.scope, self.name, self.version)
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
