//! Finds secrets in text: rules for credentials that are known by their looks, an engine that reads files of any size in
//! constant memory, baselines of what is known already, and reports for people and programs.
//!
//! It must never speak to a network, run a program or write a file: who uses it does. What it found leaves it redacted,
//! but for [`Finding::secret`].

mod added;
mod allow;
mod baseline;
mod config;
mod diff;
mod entropy;
mod error;
mod finding;
pub mod fuzz;
mod pattern;
mod report;
mod rule;
mod sarif;
mod syntax;
mod text;
mod tree;
mod utf16;

pub use baseline::Baseline;
pub use diff::scan_diff;
pub use error::Error;
pub use finding::{Finding, Fingerprint};
pub use report::{Entry, Match, Report};
pub use rule::{Origin, Rules};
pub use sarif::sarif;
pub use text::{Place, Scanned, TextScan, scan_reader};
pub use tree::{IgnoreFiles, Tree, scan_tree};
