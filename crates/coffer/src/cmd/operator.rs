//! `coffer operator`: seal, unseal, recover, rotate. What is local goes over the server's unix socket, which serves only
//! the user that the server runs as.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use coffer_api::operator::{Rotate, Rotated};

use crate::{failure::Failure, session::Session};

/// Commands of `operator`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Accept the machine's clock where the server doubts it (local)
    ClockAccept(Local),
    /// Have the server write a fresh initial token, and print its path (local)
    InitialToken(Local),
    /// Replace a key by a new one; what the old one made stays readable
    Rotate(Rotation),
    /// Drop every key from memory, so that nothing is answered until the unseal
    Seal(Local),
    /// Load the keys again (local)
    Unseal(Local),
}

/// Options of `operator rotate`.
#[derive(Args)]
pub(crate) struct Rotation {
    /// Which key
    #[arg(long, value_enum, value_name = "KEY", default_value_t = Key::Barrier)]
    key: Key,
}

#[derive(Clone, Copy, ValueEnum)]
enum Key {
    /// Keyed hashes of values in the audit log
    Audit,
    /// What entries are sealed under: a new term
    Barrier,
    /// The sealing of batch tokens
    Batch,
    /// The signing key of the node's audit log
    Log,
    /// Keyed hashes of tokens
    Token,
}

/// Options of a command that goes over the unix socket.
#[derive(Args)]
pub(crate) struct Local {
    /// Over the unix socket on the server's own machine, as the user that the server runs as
    #[arg(long)]
    local: bool,
    /// Data directory that holds the socket [env: COFFER_DATA]
    #[arg(long, value_name = "DIR", requires = "local")]
    data: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::ClockAccept(local) => {
            local.client(session)?.operator_clock_accept().await?;
            session.output.note("the clock is accepted");
        }
        Command::InitialToken(local) => {
            let reply = local.client(session)?.operator_initial_token().await?;
            session.output.show_text(&reply, |reply| &reply.path)?;
            session.output.note("'coffer login --initial' exchanges it for an administrator's token");
        }
        Command::Rotate(rotation) => {
            let (key, name) = match rotation.key {
                Key::Audit => (Rotated::Audit, "audit"),
                Key::Barrier => (Rotated::Barrier, "barrier"),
                Key::Batch => (Rotated::Batch, "batch"),
                Key::Log => (Rotated::Log, "log"),
                Key::Token => (Rotated::Token, "token"),
            };
            session.client()?.operator_rotate(Rotate { key }).await?;
            session.output.note(format!("the {name} key is rotated"));
        }
        Command::Seal(local) => {
            let client = if local.local { local.client(session)? } else { session.client()? };
            client.operator_seal().await?;
            session.output.note("sealed");
        }
        Command::Unseal(local) => {
            local.client(session)?.operator_unseal().await?;
            session.output.note("unsealed");
        }
    }
    Ok(())
}

impl Local {
    fn client(&self, session: &Session) -> Result<coffer_client::Client, Failure> {
        if !self.local {
            return Err(Failure::local("this goes over the server's unix socket alone")
                .hint("add --local, on the server's machine, as the user that the server runs as"));
        }
        session.local_client(self.data.as_ref())
    }
}
