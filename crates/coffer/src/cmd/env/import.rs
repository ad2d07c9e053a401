//! `coffer env import`: what would change, then one call that changes all of it or nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use clap::Args;
use coffer_api::{
    Code, Page, Scope, Sensitive, reference,
    secrets::{Effective, Kind, SecretChange, SecretInfo, SecretsPatch, SetOptions, State},
};
use coffer_client::{Client, Depth, Error, Paging};
use serde::Serialize;

use super::{
    changes::{Change, Changes, Difference, Values},
    document, shown, wrong,
};
use crate::{
    dotenv::{Document, Fault, Interpolation},
    failure::Failure,
    input,
    output::Format,
    plan::foreseen,
    scope::ScopeArguments,
    session::Session,
};

/// Options of `env import`.
#[derive(Args)]
#[command(after_help = "\
  coffer env import .env -p acme -e prod -s api --dry-run     what would change
  coffer env import .env -p acme -e prod -s api               changes it, and says how to undo it

All of the file is written, or nothing: one call, at most 10,000 secrets and 32 MiB. Secrets of
the scope that the file does not name stay, unless --prune deletes them.

Understood are NAME=value, NAME='value', NAME=\"value\" and NAME=`value`, over several lines in
quotes, with \\n \\r \\t \\\\ \\\" \\' \\` \\$ in double ones; `export` before the name; comments on
lines of their own and behind white space. $NAME and ${NAME} stay as they are. A name stands
once. Order, comments and quotes are kept for 'coffer env export'.")]
pub(crate) struct Arguments {
    /// The file; - is stdin
    file: PathBuf,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Put the values of the lines above in the place of $NAME, ${NAME} and ${NAME:-default}
    #[arg(long)]
    interpolate: bool,
    /// Delete the scope's own secrets that the file does not name; they can come back
    #[arg(long)]
    prune: bool,
    /// Show values where they differ
    #[arg(long)]
    show_values: bool,
    /// Do not keep order, comments and quotes
    #[arg(long)]
    no_layout: bool,
    /// Take no snapshot before, so that no single command undoes it
    #[arg(long)]
    no_snapshot: bool,
    /// Do not ask on a terminal
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// What an import did, for programs.
#[derive(Serialize)]
struct Report<'a> {
    scope: &'a Scope,
    file: &'a str,
    dry_run: bool,
    #[serde(flatten)]
    changes: Changes<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
}

/// What lies in the scope.
struct Present {
    own: Effective,
    /// The current version of each name that was ever there, 0 where it has none.
    versions: HashMap<String, u64>,
    /// Names whose values are hidden from the token.
    hidden: BTreeSet<String>,
}

/// Imports.
///
/// # Errors
/// Where the file is wrong, the server refuses, or somebody says no: then nothing was changed.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let file = shown(&arguments.file);
    let interpolation = if arguments.interpolate { Interpolation::Expand } else { Interpolation::Literal };
    let document = document(&arguments.file, interpolation)?;
    let count = document.entries().count();
    if count > MOST {
        return Err(Failure::local(format!("{file} holds {count} secrets, and at most {MOST} are imported at once"))
            .hint("split the file"));
    }
    if count == 0 && arguments.prune {
        return Err(Failure::local(format!("{file} names no secret, and --prune would delete all there are"))
            .hint("is it the right file, and whole?"));
    }
    let client = session.client()?;
    let mut present = present(&client, &scope, &document, &file).await?;
    if session.is_planning() && arguments.prune {
        // What it would delete is known to the server alone; a name stands for those.
        present.hidden.insert(STAND_IN.to_owned());
    }
    let changes = changes(&document, &present, arguments.prune);
    let values = Values::by_flag(arguments.show_values);
    if session.is_planning() && arguments.dry_run {
        return Ok(());
    }
    let is_table = !matches!(session.output.format(), Format::Json | Format::Yaml) && !session.is_planning();
    if is_table {
        session.output.show(&changes, |changes| changes.table(HEADER, values))?;
    }
    let summary = changes.summary();
    let layout = match arguments.no_layout {
        true => None,
        false => layout(&client, &scope, &document, &changes).await?,
    };
    let report = |changes: Changes<'_>, snapshot: Option<u64>, undo: Option<String>| {
        let (scope, file, dry_run) = (&scope, file.as_str(), arguments.dry_run);
        let report = Report { scope, file, dry_run, changes: changes.masked(values), snapshot, undo };
        session.output.show_to_programs(&report)
    };
    note_references(session, &document, &changes);
    if arguments.dry_run {
        session.output.note(format!("{file} into {scope}: {summary}; nothing was changed, as asked"));
        return report(changes, None, None);
    }
    if changes.changes.is_empty() && layout.is_none() {
        session.output.note(format!("{file} into {scope}: {summary}; there was nothing to change"));
        return report(changes, None, None);
    }
    if !arguments.yes && arguments.file != Path::new("-") && !session.is_planning() {
        input::confirm(&format!("this goes into {scope}: {summary};"))?;
    }
    let patch = SecretsPatch {
        secrets: changes.changes.iter().map(|change| item(change, &present)).collect(),
        atomic: true,
        layout,
        snapshot: (!arguments.no_snapshot).then(|| reason(&file)),
    };
    let reply = client.secret_set_many(&scope, &patch).await.map_err(|error| explained(error, &document, &file))?;
    session.output.note(format!("{file} is in {scope}: {summary}"));
    let undo = reply.snapshot.map(|id| format!("coffer env snapshot restore {id} --scope {scope}"));
    if let Some(undo) = &undo {
        session.output.note(format!("undo it with: {undo}"));
    }
    report(changes, reply.snapshot, undo)
}

/// Reads what is there.
async fn present(client: &Client, scope: &Scope, document: &Document, file: &str) -> Result<Present, Failure> {
    let own = foreseen(client.secret_own(scope).await, Effective::default)?;
    let read: HashMap<&str, u64> =
        own.secrets.iter().map(|secret| (secret.name.as_str(), secret.version.version)).collect();
    let lines: HashMap<&str, usize> = document.entries().map(|(line, entry)| (entry.name.as_str(), line)).collect();
    let (mut versions, mut hidden) = (HashMap::new(), BTreeSet::new());
    let mut paging = Paging { after: None, limit: Some(PAGE) };
    loop {
        let none = || Page { items: Vec::new(), next: None };
        let page = foreseen(client.secret_list(scope, Depth::Flat, &paging).await, none)?;
        for SecretInfo { name, kind, version, .. } in page.items {
            match (kind, lines.get(name.as_str())) {
                (Kind::Kv, Some(line)) => {
                    let what = format!("{name} is a KV entry of another shape in {scope}, which is never rewritten");
                    return Err(wrong(file, &[Fault { line: *line, what }]));
                }
                (Kind::Kv | Kind::Layout | Kind::Snapshots, _) => continue,
                (Kind::Secret, _) => {}
            }
            let is_live = version.as_ref().is_some_and(|version| version.state == State::Active);
            if is_live && own.hidden > 0 && !read.contains_key(name.as_str()) {
                hidden.insert(name.clone());
            }
            // What was compared must be what is changed, so that what came between the two looks is a conflict.
            let seen = read.get(name.as_str()).copied();
            versions.insert(name, seen.or(version.map(|version| version.version)).unwrap_or(0));
        }
        match page.next {
            Some(next) if paging.after.as_ref() != Some(&next) => paging.after = Some(next),
            Some(_) | None => break,
        }
    }
    Ok(Present { own, versions, hidden })
}

/// What the file changes.
fn changes<'a>(document: &'a Document, present: &'a Present, prune: bool) -> Changes<'a> {
    let first: BTreeMap<&str, &str> =
        present.own.secrets.iter().map(|secret| (secret.name.as_str(), secret.value.expose().as_str())).collect();
    let mut lines = HashMap::new();
    let mut second = BTreeMap::new();
    for (line, entry) in document.entries() {
        lines.insert(entry.name.as_str(), line);
        second.insert(entry.name.as_str(), entry.value.expose().as_str());
    }
    let mut changes = Changes::between(&first, &second);
    for difference in &mut changes.changes {
        difference.line = lines.get(difference.name).copied();
        // What is there and hidden is written anew, whether it differs or not.
        if difference.change == Change::Added && present.hidden.contains(difference.name) {
            difference.change = Change::Written;
        }
    }
    if prune {
        for name in present.hidden.iter().filter(|name| !second.contains_key(name.as_str())) {
            changes.changes.push(Difference { name, change: Change::Removed, line: None, from: None, to: None });
        }
        changes.changes.sort_by_key(|difference| difference.name);
    } else {
        changes.changes.retain(|difference| difference.change != Change::Removed);
    }
    changes
}

/// One change, on the condition that what was compared is still there.
fn item(difference: &Difference<'_>, present: &Present) -> SecretChange {
    let cas = present.versions.get(difference.name).copied().unwrap_or(0);
    let value = match difference.change {
        Change::Removed => None,
        Change::Added | Change::Changed | Change::Written => difference.to.map(Sensitive::from),
    };
    SecretChange {
        name: difference.name.parse().expect("it was read as a name"),
        delete: value.is_none(),
        value,
        options: SetOptions { cas: Some(cas), ..SetOptions::default() },
    }
}

/// The layout to be kept; none where it is kept already and nothing else changes.
async fn layout(
    client: &Client,
    scope: &Scope,
    document: &Document,
    changes: &Changes<'_>,
) -> Result<Option<Sensitive<String>>, Failure> {
    let layout = document.layout();
    if layout.expose().len() > LAYOUT_LIMIT {
        return Err(
            Failure::local("the file's comments and names are more than 1 MiB").hint("--no-layout leaves them out")
        );
    }
    if changes.changes.is_empty() {
        match client.layout_read(scope).await {
            Ok(kept) if kept.layout.expose() == layout.expose() => return Ok(None),
            Ok(_) => {}
            Err(Error::Problem { problem, .. }) if matches!(problem.code, Code::Denied | Code::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(layout))
}

/// Who wrote the file may not know that `${NAME}` means something here, whatever quotes it stands in.
fn note_references(session: &Session, document: &Document, changes: &Changes<'_>) {
    let is_new = |name: &str| changes.changes.iter().any(|change| change.name == name);
    let lines: Vec<String> = document
        .entries()
        .filter(|(_, entry)| reference::is_in(entry.value.expose()) && is_new(entry.name.as_str()))
        .map(|(line, _)| line.to_string())
        .collect();
    let (shown, more) = lines.split_at(lines.len().min(MOST_LINES));
    if !shown.is_empty() {
        let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        let lines = shown.join(", ");
        session.output.note(format!(
            "note: in line {lines}{more} stand references to other secrets, which 'coffer run' follows; '$${{' stands for '${{'"
        ));
    }
}

/// What the snapshot is for.
fn reason(file: &str) -> String {
    let name: String = file.chars().take(150).collect();
    format!("before import {name}")
}

/// A refusal with the line of what it is about.
fn explained(error: Error, document: &Document, file: &str) -> Failure {
    let code = match &error {
        Error::Problem { problem, .. } => Some(problem.code),
        _ => None,
    };
    let is_unknown = matches!(error, Error::Transport { .. } | Error::Timeout { .. })
        || code == Some(Code::Unavailable)
        || code == Some(Code::AuditUnavailable);
    let failure = Failure::from(error);
    if is_unknown {
        return failure.hint("either all of it was written or nothing: the same command with --dry-run shows which");
    }
    let what = failure.what().to_owned();
    let named = document.entries().find(|(_, entry)| {
        let name = entry.name.as_str();
        what.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ")) || what.contains(&format!("/{name}: "))
    });
    let failure = match named {
        Some((line, _)) => Failure::new(failure.exit(), format!("{file}: line {line}: {what}")),
        None => failure,
    };
    match code {
        Some(Code::Conflict) => failure.hint("nothing was written; it changed meanwhile: run the command again"),
        Some(Code::Denied) => failure.hint("nothing was written; ask for a policy that grants it"),
        Some(_) => failure.hint("nothing was written"),
        None => failure,
    }
}

const HEADER: &[&str] = &["CHANGE", "NAME", "NOW", "FILE", "LINE"];
/// What the API takes at once.
const MOST: usize = 10_000;
/// What the API takes as a layout, with room for its escapes.
const LAYOUT_LIMIT: usize = 1 << 20;
const PAGE: u32 = 1000;
/// Lines that a note names.
const MOST_LINES: usize = 10;
/// Where calls are shown instead of made.
const STAND_IN: &str = "WHAT_THE_FILE_DOES_NOT_NAME";
