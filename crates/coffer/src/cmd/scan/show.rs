//! What a scan says.

use coffer_scan::{Entry, Report, Rules, sarif};

use super::ReportFormat;
use crate::{failure::Failure, output::printable, session::Session};

/// Writes the report to stdout, and a summary for people to stderr.
///
/// # Errors
/// Where stdout fails, or the format does not fit.
pub(super) fn show(
    session: &Session,
    format: Option<ReportFormat>,
    report: &Report,
    rules: &Rules,
) -> Result<(), Failure> {
    let output = &session.output;
    for file in &report.unreadable {
        output.note(unreadable(&file.path, &file.why));
    }
    match format {
        Some(ReportFormat::Sarif) => output.bytes(&json(&sarif(report, rules, env!("CARGO_PKG_VERSION")))?)?,
        Some(ReportFormat::Json) => output.bytes(&json(report)?)?,
        Some(ReportFormat::Text) => output.bytes(lines(report).as_bytes())?,
        None => output.show_lines(report, lines)?,
    }
    output.note(summary(report));
    if !report.findings.is_empty() {
        output.note(HINT);
    }
    Ok(())
}

/// The note of a file that could not be read.
pub(super) fn unreadable(path: &str, why: &str) -> String {
    format!("warning: cannot read {path}: {why}")
}

/// So many of something.
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

fn lines(report: &Report) -> String {
    report.findings.iter().map(|finding| printable(&line(finding)) + "\n").collect()
}

fn line(finding: &Entry) -> String {
    let commit = finding.commit.as_deref().map(|id| format!("{}:", id.get(..12).unwrap_or(id))).unwrap_or_default();
    let stored: String = finding.stored.iter().map(|stored| format!(" = {stored}")).collect();
    format!("{commit}{}:{}:{}: {} {}{stored}", finding.path, finding.line, finding.column, finding.rule, finding.secret)
}

fn summary(report: &Report) -> String {
    let found = report.findings.len();
    let what = match found {
        0 => "no secrets".to_owned(),
        found => counted(found, "secret"),
    };
    let files = usize::try_from(report.files).unwrap_or(usize::MAX);
    let mut text = format!("{what} in {}", counted(files, "file"));
    if report.more > 0 {
        text.push_str(&format!(", and {} more that are not shown", report.more));
    }
    if report.known > 0 {
        text.push_str(&format!("; {} of the baseline left out", report.known));
    }
    text
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes =
        serde_json::to_vec_pretty(value).map_err(|_| Failure::local("the result cannot be written in that format"))?;
    bytes.push(b'\n');
    Ok(bytes)
}

const HINT: &str = "hint: take each out and replace it where it is valid, for it is known now; 'coffer:allow' in the line says \
    that it is none";
