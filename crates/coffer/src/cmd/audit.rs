//! `coffer audit`: read the log from the server; prove and verify it.

use std::{process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use coffer_api::{
    Code,
    audit::{AuditEntry, AuditPage, AuditQuery},
};
use coffer_client::Client;
use serde_json::Value;

use crate::{
    cmd::offline,
    failure::{Exit, Failure},
    output::{Table, printable},
    session::Session,
};

/// Commands of `audit`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print the latest signed checkpoint, to be kept elsewhere for `audit verify --since`
    Checkpoint,
    /// Print a proof that one entry is in the log, for `audit verify --proof`
    Prove(Prove),
    /// Search the log
    Query(Query),
    /// Print the newest entries, and with --follow those to come
    Tail(Tail),
    /// Verify a copy of the log, or a proof, offline
    Verify(Box<offline::audit_verify::Arguments>),
}

/// Options of `audit prove`.
#[derive(Args)]
pub(crate) struct Prove {
    /// The entry's index
    index: u64,
}

/// Options of `audit query`.
#[derive(Args)]
pub(crate) struct Query {
    /// At or after this time, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Of this entity id, accessor or display name
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Of this class, as secret.read
    #[arg(long, value_name = "CLASS")]
    action: Option<String>,
    /// About this path, as secret/data/acme/prod/api/DATABASE_URL
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// With this outcome: success, denied or error
    #[arg(long, value_name = "OUTCOME", value_parser = ["success", "denied", "error"])]
    outcome: Option<String>,
    /// At or after this index
    #[arg(long, value_name = "INDEX")]
    from: Option<u64>,
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// Continue after this cursor, which the query before named
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

/// Options of `audit tail`.
#[derive(Args)]
pub(crate) struct Tail {
    /// How many entries to begin with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    lines: u64,
    /// Keep printing what is appended. Each look at the log is itself recorded, and left out here
    #[arg(long, short)]
    follow: bool,
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses; for `verify`, where the log cannot be read.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Checkpoint => {
            let checkpoint = session.client()?.audit_checkpoint().await?;
            session.output.show_text(&checkpoint, |checkpoint| &checkpoint.checkpoint)?;
            session.output.note(format!("verifier key: {}", checkpoint.vkey));
        }
        Command::Prove(prove) => {
            let proof = session.client()?.audit_prove(prove.index).await;
            let hint = "entries count from 0; 'coffer audit tail' shows the newest with their indexes";
            let proof = proof.map_err(|error| Failure::hinted(error, Code::NotFound, hint))?;
            session.output.show_json(&proof)?;
            session.output.note("'coffer audit verify --proof FILE --vkey KEY' checks it without a server");
        }
        Command::Query(arguments) => query(session, arguments).await?,
        Command::Tail(arguments) => tail(session, arguments).await?,
        Command::Verify(arguments) => return offline::audit_verify::run(session, arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn query(session: &Session, arguments: &Query) -> Result<(), Failure> {
    let client = session.client()?;
    let wanted = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let mut all = AuditPage { entries: Vec::new(), next: arguments.after.clone(), size: 0 };
    loop {
        let missing = u32::try_from(wanted - all.entries.len()).unwrap_or(u32::MAX);
        let query = AuditQuery {
            since: arguments.since.clone(),
            until: arguments.until.clone(),
            actor: arguments.actor.clone(),
            action: arguments.action.clone(),
            path: arguments.path.clone(),
            outcome: arguments.outcome.clone(),
            from: arguments.from,
            after: all.next.clone(),
            limit: Some(missing.min(PAGE)),
        };
        let page = client.audit_query(&query).await?;
        check_progress(&all, &page)?;
        all.entries.extend(page.entries);
        (all.next, all.size) = (page.next, page.size);
        match &all.next {
            None => break,
            Some(next) if all.entries.len() >= wanted => {
                session.output.note(format!("there is more: continue with --after {next}"));
                break;
            }
            Some(_) => {}
        }
    }
    session.output.show(&all, |all| {
        let mut table = Table::new(&HEADER);
        all.entries.iter().for_each(|entry| table.row(columns(entry)));
        table
    })
}

async fn tail(session: &Session, arguments: &Tail) -> Result<(), Failure> {
    let client = session.client()?;
    let own = session_accessor(&client).await?;
    let look = AuditQuery { limit: Some(1), ..AuditQuery::default() };
    let size = client.audit_query(&look).await?.size;
    let mut from = size.saturating_sub(arguments.lines);
    session.output.show_header(aligned(HEADER))?;
    loop {
        from = print_from(session, &client, from, &own).await?;
        if !arguments.follow {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Prints all entries at `from` and later; where the next look begins.
async fn print_from(session: &Session, client: &Client, mut from: u64, own: &str) -> Result<u64, Failure> {
    let mut after = None;
    let first = from;
    loop {
        let query = AuditQuery { from: Some(first), after: after.clone(), limit: Some(PAGE), ..AuditQuery::default() };
        let page = client.audit_query(&query).await?;
        if page.next.is_some() && page.next == after {
            return Err(stuck());
        }
        for entry in page.entries {
            from = from.max(entry.index.saturating_add(1));
            // The server may start a page before what was asked for.
            let is_new = entry.index >= first;
            let is_own_look = text(&entry.entry, "/actor/accessor") == own
                && text(&entry.entry, "/req/path").ends_with("/audit/entries");
            if is_new && !is_own_look {
                session.output.show_line(&entry, |entry| aligned(columns(entry).each_ref().map(String::as_str)))?;
            }
        }
        match page.next {
            None => return Ok(from),
            next => after = next,
        }
    }
}

async fn session_accessor(client: &Client) -> Result<String, Failure> {
    Ok(client.token_lookup_self().await?.accessor)
}

fn check_progress(before: &AuditPage, page: &AuditPage) -> Result<(), Failure> {
    if page.next.is_some() && page.next == before.next { Err(stuck()) } else { Ok(()) }
}

fn stuck() -> Failure {
    Failure::new(Exit::Server, "the server's list does not go on")
}

/// The columns for people of a record as docs/AUDIT.md describes it; what is missing stays empty.
fn columns(entry: &AuditEntry) -> [String; 9] {
    let record = &entry.entry;
    let actor = [text(record, "/actor/name"), text(record, "/actor/id"), text(record, "/actor/type")]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_default();
    let origin = match text(record, "/src/ip") {
        "" if record.pointer("/src/uid").is_some() => "local",
        ip => ip,
    };
    // What was refused before it had a logical path has the one of its request.
    let path = match text(record, "/res/path") {
        "" => text(record, "/req/path"),
        path => path,
    };
    [
        entry.index.to_string(),
        time(text(record, "/t")),
        text(record, "/cls").to_owned(),
        text(record, "/out").to_owned(),
        text(record, "/code").to_owned(),
        actor.to_owned(),
        origin.to_owned(),
        path.to_owned(),
        record.pointer("/res/ver").map(Value::to_string).unwrap_or_default(),
    ]
}

fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Nanoseconds since 1970 as RFC 3339 to the millisecond.
fn time(nanoseconds: &str) -> String {
    let stamp = nanoseconds.parse().ok().and_then(|n: i128| jiff::Timestamp::from_nanosecond(n).ok());
    stamp.map_or_else(|| nanoseconds.to_owned(), |stamp| format!("{stamp:.3}"))
}

/// A line whose columns stand under each other as long as nothing is wider than usual: what comes next is not known.
fn aligned(cells: [&str; 9]) -> String {
    let padded = cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{:<width$}", printable(cell)));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

const HEADER: [&str; 9] = ["INDEX", "TIME", "ACTION", "OUTCOME", "CODE", "ACTOR", "FROM", "PATH", "VERSION"];

const WIDTHS: [usize; 9] = [7, 24, 15, 7, 9, 12, 9, 4, 7];

const PAGE: u32 = 1000;

const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_of_a_record_and_of_nonsense() {
        let record = json!({"t": "1700000000123000000", "cls": "secret.read", "out": "success",
            "actor": {"name": "ann", "id": "e"}, "src": {"ip": "127.0.0.1"}, "res": {"path": "p", "ver": 3}});
        let shown = columns(&AuditEntry { index: 7, entry: record });
        let time_shown = "2023-11-14T22:13:20.123Z";
        assert_eq!(shown, ["7", time_shown, "secret.read", "success", "", "ann", "127.0.0.1", "p", "3"]);
        let local = columns(&AuditEntry { index: 0, entry: json!({"src": {"uid": 0}, "actor": {"type": "local"}}) });
        assert_eq!(local, ["0", "", "", "", "", "local", "local", "", ""]);
        let refused = json!({"out": "error", "code": "invalid", "req": {"path": "/v1/a/../b"}, "res": {}});
        let refused = columns(&AuditEntry { index: 0, entry: refused });
        assert_eq!((refused[4].as_str(), refused[7].as_str()), ("invalid", "/v1/a/../b"));
        assert_eq!(columns(&AuditEntry { index: 0, entry: json!([1]) }).concat(), "0");
        assert_eq!(time("99999999999999999999999999999999"), "99999999999999999999999999999999");
    }
}
