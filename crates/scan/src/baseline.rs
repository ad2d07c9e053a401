//! What is known already: findings that somebody has looked at and that no scan need tell again.

use std::{collections::BTreeSet, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    finding::{Finding, Fingerprint},
};

/// Known findings, by their fingerprints.
#[derive(Default)]
pub struct Baseline {
    known: BTreeSet<Fingerprint>,
}

#[derive(Deserialize, Serialize)]
struct File {
    version: u32,
    findings: Vec<Line>,
}

/// The rest of a finding is for people who read the file.
#[derive(Deserialize, Serialize)]
struct Line {
    fingerprint: Fingerprint,
    rule: String,
    path: String,
    line: u64,
}

impl Baseline {
    /// Reads a file's text.
    ///
    /// # Errors
    /// Where it is none, or one of a later release.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let wrong = |what: String| Error::Baseline { path: path.to_owned(), what };
        let file: File = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if file.version != VERSION {
            return Err(wrong(format!("its version is {}, and this release reads {VERSION}", file.version)));
        }
        Ok(Self { known: file.findings.into_iter().map(|line| line.fingerprint).collect() })
    }

    /// The text of a file that knows these findings.
    pub fn text(findings: &[Finding]) -> String {
        let mut lines: Vec<Line> = findings
            .iter()
            .map(|finding| Line {
                fingerprint: finding.fingerprint(),
                rule: finding.rule.to_string(),
                path: finding.path.to_string(),
                line: finding.line,
            })
            .collect();
        lines.sort_by(|a, b| {
            (&a.path, &a.rule, &a.fingerprint, a.line).cmp(&(&b.path, &b.rule, &b.fingerprint, b.line))
        });
        lines.dedup_by(|a, b| a.fingerprint == b.fingerprint);
        let file = File { version: VERSION, findings: lines };
        let mut text = serde_json::to_string_pretty(&file).expect("strings and numbers always serialise");
        text.push('\n');
        text
    }

    /// Whether a finding is known.
    pub fn knows(&self, finding: &Finding) -> bool {
        self.known.contains(&finding.fingerprint())
    }
}

const VERSION: u32 = 1;
