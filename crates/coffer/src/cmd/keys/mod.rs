//! `coffer keys`: keys that stay on the server.

mod create;
mod list;
mod set;
mod show;
mod step;

use clap::Subcommand;
use coffer_api::{Code, keys::Key};
use coffer_client::Error;

use crate::{failure::Failure, session::Session};

/// Commands of `keys`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a key
    Create(create::Arguments),
    /// List keys, or with --deleted those that can be recovered
    List(list::Arguments),
    /// Change what can be changed of a key at any time
    Set(set::Arguments),
    /// Show a key with its versions
    Show(step::Named),
    #[command(flatten)]
    Step(step::Command),
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(session, arguments).await,
        Command::List(arguments) => list::run(session, arguments).await,
        Command::Set(arguments) => set::run(session, arguments).await,
        Command::Show(named) => show::run(session, named).await,
        Command::Step(command) => step::run(session, command).await,
    }
}

/// A key's primary version for people.
fn primary(key: &Key) -> String {
    key.primary_version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}

fn missing(error: Error) -> Failure {
    Failure::hinted(error, Code::NotFound, "check the name; 'coffer keys list' shows what is there")
}
