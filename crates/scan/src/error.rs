//! What can go wrong before anything is found.

use std::{io, path::PathBuf};

/// A failure of a scan, or of what it was given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A baseline that this release does not read.
    #[error("the baseline {}: {what}", path.display())]
    Baseline {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Rules that are no TOML, or of another shape.
    #[error("the rules in {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// What should be a diff is none.
    #[error("line {line} of the diff: {what}")]
    Diff {
        /// Counted from 1.
        line: u64,
        /// What was found.
        what: String,
    },
    /// A pattern that cannot be used.
    #[error("{of}: a pattern cannot be used")]
    Pattern {
        /// The rule or the allowlist.
        of: String,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// A rule that makes no sense.
    #[error("{of}: {what}")]
    Rule {
        /// The rule, or the allowlist.
        of: String,
        /// Why.
        what: String,
    },
}
