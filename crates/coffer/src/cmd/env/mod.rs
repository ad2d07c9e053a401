//! `coffer env`: a scope's secrets as a whole. Files in and out, what differs, and back to how it was.

mod changes;
mod diff;
mod export;
mod form;
mod import;
mod snapshot;

use std::{path::Path, process::ExitCode};

use clap::Subcommand;

use crate::{
    dotenv::{Document, Entry, Fault, Interpolation},
    failure::Failure,
    input,
    output::printable,
    session::Session,
};

/// Commands of `env`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show what differs between two scopes, snapshots or files; the exit code is 10 where something does
    Diff(diff::Arguments),
    /// Write what is in force at a scope as a .env file, or in another format
    Export(export::Arguments),
    /// Move a .env file into a scope, all of it or nothing
    Import(import::Arguments),
    /// Note which versions are in force, and put a scope back to them
    #[command(subcommand)]
    Snapshot(snapshot::Command),
}

/// Runs the command.
///
/// # Errors
/// Where a file is wrong, or the server refuses.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Diff(arguments) => return diff::run(session, arguments).await,
        Command::Export(arguments) => export::run(session, arguments).await?,
        Command::Import(arguments) => import::run(session, arguments).await?,
        Command::Snapshot(command) => snapshot::run(session, command).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a `.env` file; `-` is stdin.
fn document(path: &Path, interpolation: Interpolation) -> Result<Document, Failure> {
    let shown = shown(path);
    let text = input::text_file(path, FILE_LIMIT)?;
    let document = Document::parse(&text, interpolation).map_err(|faults| wrong(&shown, &faults))?;
    for (line, entry) in document.entries() {
        if written_len(entry) > input::VALUE_LIMIT {
            let fault = Fault { line, what: format!("the value of {} is more than 1 MiB as JSON", entry.name) };
            return Err(wrong(&shown, &[fault]));
        }
    }
    Ok(document)
}

/// How long an entry's value is where it is stored.
fn written_len(entry: &Entry) -> usize {
    let text = entry.value.expose();
    // Each byte is six at most; most values are far from the limit.
    if text.len() < input::VALUE_LIMIT / 6 - WRAPPING {
        return text.len();
    }
    serde_json::to_vec(text).map_or(usize::MAX, |json| json.len() + WRAPPING)
}

fn wrong(shown: &str, faults: &[Fault]) -> Failure {
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Failure::local(format!("{shown}: {}", told.join("; "))).hint(
        "nothing was sent; NAME=value, NAME='value' and NAME=\"value\" are understood: see 'coffer env import --help'",
    )
}

/// A file as people know it.
fn shown(path: &Path) -> String {
    match path == Path::new("-") {
        true => "stdin".to_owned(),
        false => printable(&path.display().to_string()),
    }
}

/// Files that are read at most, in bytes: what the API takes at once.
const FILE_LIMIT: usize = 32 << 20;
/// `{"value":}` around a value.
const WRAPPING: usize = 10;
