//! `coffer operator`: seal, unseal, recover, rotate and retire keys. What is local goes over the server's unix socket, which
//! serves only the user that the server runs as.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::{Args, Subcommand, ValueEnum};
use coffer_api::{
    Code,
    operator::{KeyInfo, KeyState, NumberedKey, Retire, Retired, Rotate, Rotated},
    secrets::ValueSearchSet,
};
use coffer_client::Error;

use super::seal;
use crate::{failure::Failure, input, output::Table, paging::PageArguments, session::Session};

/// Commands of `operator`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Accept the machine's clock where the server doubts it (local)
    ClockAccept(Local),
    /// Make a root token with so many shares (with sudo, or local)
    #[command(subcommand)]
    GenerateRoot(seal::GenerateRoot),
    /// Initialise an empty store under shares, and print them and a root token
    Init(seal::Init),
    /// Have the server write a fresh initial token, and print its path (local)
    InitialToken(Local),
    /// Show the numbers of the keys of tokens, batch tokens and audit hashes, and how many tokens stand under each
    Keys(PageArguments),
    /// Replace the shares of the seal by new ones (with sudo, or local)
    #[command(subcommand)]
    Rekey(seal::Rekey),
    /// Remove all numbers of a key but the current one, and so end what they made
    Retire(Retirement),
    /// Replace a key by a new one; what the old one made stays readable
    Rotate(Rotation),
    /// Drop every key from memory, so that nothing is answered until the unseal
    Seal(Local),
    /// Lead the store from its key file to shares, or back (local)
    #[command(subcommand)]
    SealMigrate(seal::Migrate),
    /// Give a share to a sealed server; where the seal is a key file, load it again (local)
    Unseal(seal::Unseal),
    /// Let secrets be found by their values, or no more
    ValueSearch(ValueSearch),
}

/// Options of `operator value-search`.
#[derive(Args)]
#[command(after_help = "\
Switched on, each write of a secret also writes a keyed fingerprint of its value, from which
the value cannot be told; whoever reads the store's files can tell which secrets share one.
What is there already is indexed in the background. Switched off, all of that is deleted.")]
pub(crate) struct ValueSearch {
    /// What it is to be
    #[arg(value_enum)]
    to: Switch,
}

#[derive(Clone, Copy, Eq, PartialEq, ValueEnum)]
enum Switch {
    /// Not from now on
    Off,
    /// From now on
    On,
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

/// Options of `operator retire`.
#[derive(Args)]
pub(crate) struct Retirement {
    /// Which key
    #[arg(value_enum, value_name = "KEY")]
    key: Numbered,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    yes: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Numbered {
    /// Keyed hashes of values in the audit log: what older ones made is no longer recognised
    Audit,
    /// The sealing of batch tokens: those under older ones end
    Batch,
    /// Keyed hashes of tokens: tokens under older ones end
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
            local.client(session)?.operator_clock_accept().await.map_err(refused)?;
            session.output.note("the clock is accepted");
        }
        Command::InitialToken(local) => {
            let reply = local.client(session)?.operator_initial_token().await.map_err(refused)?;
            session.output.show_text(&reply, |reply| &reply.path)?;
            if reply.administrator_policy_restored {
                session.output.note("the policy administrator was gone or changed: it is the built-in text again");
            }
            if reply.entity_replaced {
                session.output.note("the entity of earlier initial logins stays as it is; the next one gets its own");
            }
            session.output.note("'coffer login --initial' exchanges it for an administrator's token");
        }
        Command::GenerateRoot(command) => seal::generate_root(session, command).await?,
        Command::Init(init) => seal::init(session, init).await?,
        Command::Keys(page) => {
            let client = session.client()?;
            let keys = page.gather(&session.output, async |paging| client.operator_keys(&paging).await).await?;
            session.output.show(&keys, |keys| {
                let mut table = Table::new(&["KEY", "NUMBER", "STATE", "TOKENS"]);
                keys.items.iter().for_each(|key| table.row(row(key)));
                table
            })?;
        }
        Command::Rekey(command) => seal::rekey(session, command).await?,
        Command::Retire(retirement) => retire(session, retirement).await?,
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
            if local.local {
                local.client(session)?.operator_seal().await.map_err(refused)?;
            } else {
                session.client()?.operator_seal().await?;
            }
            session.output.note("sealed");
        }
        Command::SealMigrate(command) => seal::migrate(session, command).await?,
        Command::Unseal(unseal) => seal::unseal(session, unseal).await?,
        Command::ValueSearch(search) => {
            let enabled = search.to == Switch::On;
            session.client()?.value_search_set(ValueSearchSet { enabled }).await?;
            session.output.note(match search.to {
                Switch::Off => "secrets are not found by their values any more",
                Switch::On => "secrets are found by their values; what is there already is indexed in the background",
            });
        }
    }
    Ok(())
}

async fn retire(session: &Session, retirement: &Retirement) -> Result<(), Failure> {
    let client = session.client()?;
    let (key, ends) = match retirement.key {
        Numbered::Audit => (NumberedKey::Audit, "no value in the log is recognised by the hash of an older audit key;"),
        Numbered::Batch => (NumberedKey::Batch, "every batch token under an older batch key will end;"),
        Numbered::Token => (NumberedKey::Token, "every token under an older token key will end;"),
    };
    if !retirement.yes {
        if !io::stdin().is_terminal() {
            return Err(Failure::local("not confirmed, and there is no terminal to ask on")
                .hint("'coffer operator keys' shows what stands under older keys; --yes removes them"));
        }
        input::confirm(ends)?;
    }
    let retired = client.operator_retire(Retire { key }).await.map_err(|error| match &error {
        // The one thing wrong with such a request.
        Error::Problem { problem, .. } if problem.code == Code::Invalid => Failure::from(error)
            .hint("log in anew, or make a token with 'coffer token create --orphan', and retire the key with that"),
        _ => Failure::from(error),
    })?;
    session.output.show_or_note(&retired, describe)
}

fn describe(retired: &Retired) -> String {
    let Retired { current, key, removed } = retired;
    let key = name(*key);
    match removed.as_slice() {
        [] => format!("{key} key {current} is the only one"),
        [one] => format!("{key} key {one} is removed, {current} remains"),
        several => {
            let numbers: Vec<String> = several.iter().map(u32::to_string).collect();
            format!("{key} keys {} are removed, {current} remains", numbers.join(", "))
        }
    }
}

fn row(info: &KeyInfo) -> [String; 4] {
    let state = match info.state {
        KeyState::Current => "current",
        KeyState::Held => "held",
        KeyState::Retired => "retired",
    };
    let tokens = match (info.key, info.tokens) {
        (_, Some(tokens)) => tokens.to_string(),
        (NumberedKey::Token, None) => "many".to_owned(),
        (NumberedKey::Audit | NumberedKey::Batch, None) => String::new(),
    };
    [name(info.key).to_owned(), info.number.to_string(), state.to_owned(), tokens]
}

fn name(key: NumberedKey) -> &'static str {
    match key {
        NumberedKey::Audit => "audit",
        NumberedKey::Batch => "batch",
        NumberedKey::Token => "token",
    }
}

/// The socket knows no policies.
pub(crate) fn refused(error: Error) -> Failure {
    Failure::hinted(error, Code::Denied, "run this as the user that the server runs as; the socket answers no other")
}

impl Local {
    /// Whether the socket was asked for.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.local
    }

    /// A client of the socket.
    ///
    /// # Errors
    /// Where it was not asked for, or the directory is unknown.
    pub(crate) fn client(&self, session: &Session) -> Result<coffer_client::Client, Failure> {
        if !self.local {
            return Err(Failure::local("this goes over the server's unix socket alone")
                .hint("add --local, on the server's machine, as the user that the server runs as"));
        }
        session.local_client(self.data.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use coffer_api::Problem;

    use super::*;

    #[test]
    fn refusal_on_the_socket_names_the_user_and_no_policy() {
        let problem = Problem {
            code: Code::Denied,
            detail: None,
            request_id: String::new(),
            status: 403,
            title: "permission denied".to_owned(),
        };
        let failure = refused(Error::Problem { problem: Box::new(problem), status: 403, retry_after: None });
        let shown = format!("{failure:?}");
        assert!(shown.contains("as the user that the server runs as") && !shown.contains("policy"), "{shown}");
    }
}
