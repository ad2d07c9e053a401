//! `coffer doctor`: what is wrong here, on the way to the server or there, and how to mend it. Nothing is changed by it.

mod data;
mod local;
mod server;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde::Serialize;

use crate::{
    failure::{Exit, Failure},
    output::Tone,
    session::Session,
};

/// Options of `doctor`.
#[derive(Args)]
#[command(after_help = "\
Exit code 0: nothing is wrong, whatever the warnings say. Else it is that of the first thing that
is wrong: 1 on this machine, 2 the way to the server, 4 the token, 7 the server's seal or store.")]
pub(crate) struct Arguments {
    /// The server's data directory, where it runs on this machine [env: COFFER_DATA] [default: the server's own]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What one look came to.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    check: &'static str,
    verdict: Verdict,
    /// How it is.
    what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
    #[serde(skip)]
    exit: Option<Exit>,
}

/// How it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Fine,
    Warning,
    Wrong,
}

impl Finding {
    pub(super) fn fine(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fine, what: what.into(), mend: None, exit: None }
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, what: what.into(), mend: Some(mend.into()), exit: None }
    }

    pub(super) fn wrong(check: &'static str, exit: Exit, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Wrong, what: what.into(), mend: Some(mend.into()), exit: Some(exit) }
    }

    /// What a command would fail with.
    pub(super) fn of_failure(check: &'static str, failure: &Failure) -> Self {
        Self {
            check,
            verdict: Verdict::Wrong,
            what: failure.what().to_owned(),
            mend: failure.what_to_do().map(str::to_owned),
            exit: Some(failure.exit()),
        }
    }
}

/// Looks at everything.
///
/// # Errors
/// Where stdout fails.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut findings = local::look(session);
    findings.extend(server::look(session).await);
    findings.extend(data::look(session, arguments.data.as_deref()));
    session.output.show_marked(&findings, |findings| findings.iter().flat_map(lines).collect())?;
    let wrong = findings.iter().find_map(|finding| finding.exit);
    Ok(wrong.map_or(ExitCode::SUCCESS, |exit| ExitCode::from(exit.code())))
}

fn lines(finding: &Finding) -> Vec<(Option<Tone>, String, String)> {
    let (tone, mark) = match finding.verdict {
        Verdict::Fine => (Tone::Good, "fine   "),
        Verdict::Warning => (Tone::Warning, "warning"),
        Verdict::Wrong => (Tone::Bad, "wrong  "),
    };
    let said = (Some(tone), mark.to_owned(), format!("  {:<10}  {}", finding.check, finding.what));
    let mend = finding.mend.as_ref().map(|mend| (None, String::new(), format!("{:21}mend: {mend}", "")));
    std::iter::once(said).chain(mend).collect()
}
