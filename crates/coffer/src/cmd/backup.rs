//! `coffer backup`: what can be asked for. How it is done lies in `offline/backup`, which knows the format.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use coffer_api::Sensitive;

use super::offline::backup;
use crate::{failure::Failure, input, session::Session};

/// `coffer backup …`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a backup of the whole store and its log while the server goes on
    Create(Create),
    /// List the backups in a folder
    List(List),
    /// Put a backup into a new store and data folder, with no server running
    Restore(Restore),
    /// Check a backup without restoring it
    Verify(Verify),
}

/// Options of `backup create`.
#[derive(Args)]
#[command(after_help = "\
Values in a backup are sealed as they are in the store: a restore needs what opens the seal too,
the key file or shares, and says so. --with-seal-key puts the key file in, and needs a root token:
whoever opens such a backup has every secret.
The object keys, whose deletion is what destroys a key or a shredded secret, are a part of their
own: remove object-keys.age from a backup, and what was destroyed since cannot be brought back
from it.")]
pub(crate) struct Create {
    /// A folder, in which the backup gets one of its own; where there is none, a single file
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) out: PathBuf,
    /// Whom it is encrypted to, as age-keygen prints it: age1...
    #[arg(long, value_name = "KEY", required_unless_present_any = ["passphrase", "passphrase_file"])]
    pub(crate) recipient: Option<String>,
    /// Ask for a passphrase instead; where there is no terminal it is the first line of stdin
    #[arg(long, conflicts_with_all = ["recipient", "passphrase_file"])]
    passphrase: bool,
    /// File with a passphrase instead, its first line
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    passphrase_file: Option<PathBuf>,
    /// Put the key of the file seal in
    #[arg(long)]
    pub(crate) with_seal_key: bool,
}

/// Options of `backup list`.
#[derive(Args)]
pub(crate) struct List {
    /// The folder
    pub(crate) dir: PathBuf,
}

/// Options of `backup verify`.
#[derive(Args)]
#[command(after_help = "\
Exit code 0: every row and every entry of the log is there and what was backed up. 8: something is
damaged or missing, and is named. 5: the backup is older than --since says, or it was not opened
for want of its key: then only its manifest and the digests of its parts are checked.")]
pub(crate) struct Verify {
    /// The backup: its folder, or the file
    pub(crate) backup: PathBuf,
    #[command(flatten)]
    pub(crate) opener: Opener,
    #[command(flatten)]
    pub(crate) against: Against,
}

/// Options of `backup restore`.
#[derive(Args)]
#[command(after_help = "\
The backup is verified first, and nothing is changed where something is wrong with it. What has
happened since it was made is undone: revoke again what was revoked, and see docs/BACKUP.md for
what else. Should it be cut off in the middle, no server starts on what is there: remove it, and
restore again.")]
pub(crate) struct Restore {
    /// The backup: its folder, or the file
    pub(crate) backup: PathBuf,
    #[command(flatten)]
    pub(crate) opener: Opener,
    #[command(flatten)]
    pub(crate) against: Against,
    /// The new data folder [env: COFFER_DATA]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The new store, sqlite:PATH or postgres://… [default: store.db in the data folder]. A URL with a password belongs into
    /// the variable
    #[arg(long, value_name = "URL", env = "COFFER_STORAGE", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// A later backup of the same store, whose object keys are taken: without those that were destroyed in between
    #[arg(long, value_name = "BACKUP")]
    pub(crate) object_keys_from: Option<PathBuf>,
    /// Go without object keys: no key, and no secret under an object key, opens any more
    #[arg(long, conflicts_with = "object_keys_from")]
    pub(crate) without_object_keys: bool,
}

/// What opens a backup.
#[derive(Args)]
pub(crate) struct Opener {
    /// File with the key that it is encrypted to, as age-keygen writes it: AGE-SECRET-KEY-1...
    #[arg(long, value_name = "FILE", conflicts_with_all = ["passphrase", "passphrase_file"])]
    pub(crate) identity: Option<PathBuf>,
    /// Ask for the passphrase; where there is no terminal it is the first line of stdin
    #[arg(long, conflicts_with = "passphrase_file")]
    passphrase: bool,
    /// File with the passphrase, its first line
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What a backup is held against.
#[derive(Args)]
pub(crate) struct Against {
    /// The log's first verifier key, kept elsewhere: `audit checkpoint` prints it
    #[arg(long, value_name = "KEY")]
    pub(crate) vkey: Option<String>,
    /// A checkpoint kept elsewhere, which the backup must not be older than
    #[arg(long, value_name = "FILE")]
    pub(crate) since: Option<PathBuf>,
}

impl Create {
    /// The passphrase, where one was asked for; a person types it twice.
    ///
    /// # Errors
    /// Where it cannot be read, or the two differ.
    pub(crate) fn passphrase(&self) -> Result<Option<Sensitive<String>>, Failure> {
        let passphrase = read("New passphrase", self.passphrase, self.passphrase_file.as_deref())?;
        if let Some(passphrase) = &passphrase
            && self.passphrase
            && io::stdin().is_terminal()
            && input::ask("The same again")?.expose() != passphrase.expose()
        {
            return Err(Failure::local("the two are not the same"));
        }
        Ok(passphrase)
    }
}

impl Opener {
    /// The passphrase, where one was asked for.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn passphrase(&self) -> Result<Option<Sensitive<String>>, Failure> {
        read("Passphrase", self.passphrase, self.passphrase_file.as_deref())
    }
}

fn read(prompt: &str, asked: bool, file: Option<&Path>) -> Result<Option<Sensitive<String>>, Failure> {
    match (asked, file) {
        (true, _) => input::password(prompt).map(Some),
        (false, None) => Ok(None),
        (false, Some(path)) => {
            let text = input::file_value(path)?;
            let line = text.expose().lines().next().unwrap_or_default();
            if line.is_empty() {
                return Err(Failure::local(format!("{} holds no passphrase in its first line", path.display())));
            }
            Ok(Some(Sensitive::from(line)))
        }
    }
}

/// Runs the command.
///
/// # Errors
/// As the command does.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Create(create) => backup::create::run(session, create).await?,
        Command::List(list) => backup::list::run(session, list)?,
        Command::Restore(restore) => backup::restore::run(session, restore).await?,
        Command::Verify(verify) => backup::verify::run(session, verify)?,
    }
    Ok(ExitCode::SUCCESS)
}
