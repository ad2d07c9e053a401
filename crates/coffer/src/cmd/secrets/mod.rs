//! `coffer secrets`: the secrets of a scope.

mod bulk;
mod copy;
mod delete;
mod describe;
mod destroy;
mod diff;
mod due;
mod edit;
mod generate;
pub(crate) mod get;
mod history;
pub(crate) mod list;
mod recipe;
mod rollback;
mod rotate;
mod search;
mod set;
mod undelete;
mod versions;

use std::process::ExitCode;

use clap::Subcommand;
use coffer_api::{
    Name, Page, Scope,
    secrets::{State, Version},
};

use coffer_client::{Client, Error, Paging};

use crate::{failure::Failure, session::Session};

/// Commands of `secrets`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Copy secrets to another scope
    Copy(copy::Arguments),
    /// Delete a secret's current version; `undelete` brings it back
    Delete(delete::Arguments),
    /// Show or change when a secret is to be replaced, its owner and what it is for
    Describe(describe::Arguments),
    /// Destroy versions for good
    Destroy(destroy::Arguments),
    /// Compare a secret's value between versions or environments
    Diff(diff::Arguments),
    /// List secrets that are to be replaced
    Due(due::Arguments),
    /// Change a secret's value in your editor
    Edit(edit::Arguments),
    /// Have the server make a secret's value
    Generate(generate::Arguments),
    /// Print a secret's value
    Get(get::Arguments),
    /// Show who changed a secret, and with --access who read it
    History(history::Arguments),
    /// List what lies in a scope, or what is in force there
    List(list::Arguments),
    /// Move secrets to another scope, or give one another name
    Move(copy::Arguments),
    /// Make an older version's value current again, as a new version
    Rollback(rollback::Arguments),
    /// Have the server make a secret's next value
    Rotate(rotate::Arguments),
    /// Find secrets by name in every scope you may list, or by value
    Search(search::Arguments),
    /// Write one secret or several
    Set(set::Arguments),
    /// Bring deleted versions back
    Undelete(undelete::Arguments),
    /// List a secret's versions
    Versions(versions::Arguments),
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Diff(arguments) => return diff::run(session, arguments).await,
        Command::Describe(arguments) => describe::run(session, arguments).await,
        Command::Due(arguments) => due::run(session, arguments).await,
        Command::Edit(arguments) => edit::run(session, arguments).await,
        Command::Generate(arguments) => generate::run(session, arguments).await,
        Command::Rotate(arguments) => rotate::run(session, arguments).await,
        Command::Copy(arguments) => copy::run(session, arguments, copy::Way::Copy).await,
        Command::Move(arguments) => copy::run(session, arguments, copy::Way::Move).await,
        Command::Delete(arguments) => delete::run(session, arguments).await,
        Command::Destroy(arguments) => destroy::run(session, arguments).await,
        Command::Get(arguments) => get::run(session, arguments).await,
        Command::History(arguments) => history::run(session, arguments).await,
        Command::List(arguments) => list::run(session, arguments).await,
        Command::Rollback(arguments) => rollback::run(session, arguments).await,
        Command::Search(arguments) => search::run(session, arguments).await,
        Command::Set(arguments) => set::run(session, arguments).await,
        Command::Undelete(arguments) => undelete::run(session, arguments).await,
        Command::Versions(arguments) => versions::run(session, arguments).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

pub(crate) fn name(text: &str) -> Result<Name, Failure> {
    text.parse().map_err(|error| Failure::local(format!("{error}")))
}

fn written(name: &Name, scope: &Scope, version: &Version) -> String {
    format!("set {name} in {scope}, version {}", version.version)
}

/// All versions kept, oldest first.
async fn all_versions(client: &Client, scope: &Scope, name: &Name) -> Result<Page<Version>, Error> {
    let mut all = Page { items: Vec::new(), next: None };
    loop {
        let paging = Paging { after: all.next.clone(), limit: Some(PAGE) };
        let page = client.secret_versions(scope, name, &paging).await?;
        let is_last = page.next.is_none() || page.next == all.next;
        all.items.extend(page.items);
        if is_last {
            all.next = None;
            return Ok(all);
        }
        all.next = page.next;
    }
}

/// The newest version that is deleted and can come back.
async fn newest_deleted(client: &Client, scope: &Scope, name: &Name) -> Result<Option<u64>, Error> {
    let versions = all_versions(client, scope, name).await?;
    let deleted = versions.items.iter().filter(|version| version.state == State::Deleted);
    Ok(deleted.map(|version| version.version).max())
}

fn numbers(versions: &[u64]) -> String {
    versions.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Active => "active",
        State::Archived => "archived",
        State::Deleted => "deleted",
        State::Destroyed => "destroyed",
    }
}

const PAGE: u32 = 1000;
