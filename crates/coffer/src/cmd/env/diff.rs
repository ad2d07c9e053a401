//! `coffer env diff`: two scopes, snapshots or files, side by side.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::Args;
use coffer_api::{Scope, Sensitive, secrets::Effective, snapshots::SnapshotValues};
use serde::Serialize;

use super::{
    changes::{Changes, Values},
    document, shown,
};
use crate::{
    dotenv::Interpolation,
    failure::{Exit, Failure},
    plan::foreseen,
    session::Session,
};

/// Options of `env diff`.
#[derive(Args)]
#[command(after_help = "\
  coffer env diff acme:dev:api acme:prod:api     two scopes
  coffer env diff .env acme:prod:api             a file and a scope
  coffer env diff acme:prod:api@3 acme:prod:api  a snapshot and what is there now

What has the form of a scope is one; a file of such a name is written ./NAME. Compared is what
lies in the scopes themselves; with --effective what is in force there, their parents' values
included. The exit code is 0 where nothing differs and 10 where something does.")]
pub(crate) struct Arguments {
    /// A scope, a snapshot as SCOPE@ID, or a .env file
    #[arg(value_name = "A")]
    first: String,
    /// The same
    #[arg(value_name = "B")]
    second: String,
    /// What is in force at the scopes, instead of what lies in them
    #[arg(long)]
    effective: bool,
    /// Show values where they differ
    #[arg(long)]
    show_values: bool,
    /// Go on where some values are hidden from this token
    #[arg(long)]
    allow_hidden: bool,
}

/// One side.
enum Side {
    File(PathBuf),
    Scope(Scope),
    Snapshot(Scope, u64),
}

/// What one side holds.
type Held = BTreeMap<String, Sensitive<String>>;

/// What differs, for programs.
#[derive(Serialize)]
struct Report<'a> {
    first: &'a str,
    second: &'a str,
    #[serde(flatten)]
    changes: Changes<'a>,
}

/// Compares.
///
/// # Errors
/// Where a file is wrong, or the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (first, second) = (Side::parse(&arguments.first)?, Side::parse(&arguments.second)?);
    if matches!((&first, &second), (Side::File(a), Side::File(b)) if a == b && a.as_os_str() == "-") {
        return Err(Failure::local("stdin can be read once"));
    }
    let (first, second) = (first.held(session, arguments).await?, second.held(session, arguments).await?);
    if session.is_planning() {
        return Ok(ExitCode::SUCCESS);
    }
    let changes = Changes::between(&borrowed(&first), &borrowed(&second));
    let exit = if changes.changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Exit::Findings.code()) };
    let values = Values::by_flag(arguments.show_values);
    let (table, summary) = (changes.table(HEADER, values), changes.summary());
    let report = Report { first: &arguments.first, second: &arguments.second, changes: changes.masked(values) };
    session.output.show(&report, |_| table)?;
    session.output.note(format!("from {} to {}: {summary}", report.first, report.second));
    Ok(exit)
}

impl Side {
    fn parse(text: &str) -> Result<Self, Failure> {
        if let Ok(scope) = text.parse() {
            return Ok(Self::Scope(scope));
        }
        if let Some((scope, id)) = text.split_once('@')
            && let Ok(scope) = scope.parse()
        {
            let id = id.parse().map_err(|_| {
                Failure::local(format!("{text} names no snapshot"))
                    .hint("SCOPE@ID; 'coffer env snapshot list' shows those there are")
            })?;
            return Ok(Self::Snapshot(scope, id));
        }
        Ok(Self::File(PathBuf::from(text)))
    }

    async fn held(&self, session: &Session, arguments: &Arguments) -> Result<Held, Failure> {
        match self {
            Self::File(path) => {
                let document = document(path, Interpolation::Literal).map_err(|failure| {
                    match path.components().count() == 1 && !path.exists() {
                        true => failure.hint(format!("{} is no file, and no scope either", shown(path))),
                        false => failure,
                    }
                })?;
                Ok(document.entries().map(|(_, entry)| (entry.name.to_string(), entry.value.clone())).collect())
            }
            Self::Scope(scope) => {
                let client = session.client()?;
                let view = match arguments.effective {
                    true => client.secret_effective(scope).await,
                    false => client.secret_own(scope).await,
                };
                let view = foreseen(view, Effective::default)?;
                refuse_hidden(view.hidden, scope, arguments)?;
                Ok(view.secrets.into_iter().map(|secret| (secret.name.to_string(), secret.value)).collect())
            }
            Self::Snapshot(..) if arguments.effective => {
                Err(Failure::local("a snapshot holds what lay in one scope, and not what was in force there")
                    .hint("leave --effective out"))
            }
            Self::Snapshot(scope, id) => {
                let values = foreseen(session.client()?.snapshot_values(scope, *id).await, SnapshotValues::default)?;
                refuse_hidden(values.hidden, scope, arguments)?;
                for gone in &values.gone {
                    let (version, name, why) = (gone.version, &gone.name, &gone.why);
                    session.output.note(format!("note: in {scope}@{id}, version {version} of {name} {why}"));
                }
                Ok(values.secrets.into_iter().map(|secret| (secret.name.to_string(), secret.value)).collect())
            }
        }
    }
}

fn refuse_hidden(hidden: u64, scope: &Scope, arguments: &Arguments) -> Result<(), Failure> {
    if hidden == 0 || arguments.allow_hidden {
        return Ok(());
    }
    Err(Failure::new(Exit::Denied, format!("{hidden} of the secrets of {scope} are hidden from this token"))
        .hint("ask for a policy that reads them, or go on without them: --allow-hidden"))
}

fn borrowed(held: &Held) -> BTreeMap<&str, &str> {
    held.iter().map(|(name, value)| (name.as_str(), value.expose().as_str())).collect()
}

const HEADER: &[&str] = &["CHANGE", "NAME", "FROM", "TO"];
