//! `coffer keys`: keys that stay on the server.

mod binding;
mod certificate;
mod create;
mod encrypt;
mod export;
mod import;
mod list;
mod set;
mod shared;
mod show;
mod sign;
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
    Use(Use),
    #[command(flatten)]
    Move(Move),
    #[command(flatten)]
    Step(step::Command),
}

/// What is done with keys.
#[derive(Subcommand)]
pub(crate) enum Use {
    /// Make an encrypted data key, for use elsewhere
    DataKey(shared::DataKey),
    /// Open a capsule that `encapsulate` made
    Decapsulate(shared::Decapsulate),
    /// Decrypt a file, or with --value a short value
    Decrypt(encrypt::Decrypt),
    /// Make a shared secret, and the capsule that carries it
    Encapsulate(shared::Encapsulate),
    /// Encrypt a file of any size, or with --value a short value
    Encrypt(encrypt::Encrypt),
    /// Hash a value; no key takes part
    Hash(shared::HashValue),
    /// Authenticate a value
    Mac(sign::Mac),
    /// Print random bytes of the server; no key takes part
    Random(shared::RandomBytes),
    /// Encrypt a ciphertext anew, with the primary version
    Rewrap(encrypt::Rewrap),
    /// Sign a file of any size, or with --value a short value
    Sign(sign::Sign),
    /// Check a signature
    Verify(sign::Verify),
    /// Check what `mac` made
    VerifyMac(sign::VerifyMac),
}

/// What takes keys out and brings them in.
#[derive(Subcommand)]
pub(crate) enum Move {
    /// Make a key of one here and somebody else's public key
    Agree(import::Agree),
    /// Print a key with all that is known of it, in the clear
    Backup(export::Backup),
    /// Print a certificate signing request
    Csr(certificate::Csr),
    /// Print parts of an exportable key
    Export(export::Export),
    /// Make a key of one that comes from elsewhere
    Import(import::Import),
    /// Make a one-time key to wrap another under, and print its public part
    ImportKey(import::ImportKey),
    /// Import a version of a key, or the private part of one
    ImportVersion(import::ImportVersion),
    /// Print a public key
    Public(export::Public),
    /// Bring back what `backup` wrote
    Restore(export::Restore),
    /// Put certificates on a key
    SetCertificate(certificate::SetCertificate),
    /// Print an exportable key, wrapped under another
    Wrap(export::Wrap),
    /// Print the store's public key to wrap others under
    WrappingKey,
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create::run(session, arguments).await,
        Command::List(arguments) => list::run(session, arguments).await,
        Command::Move(command) => run_move(session, command).await,
        Command::Set(arguments) => set::run(session, arguments).await,
        Command::Show(named) => show::run(session, named).await,
        Command::Step(command) => step::run(session, command).await,
        Command::Use(command) => run_use(session, command).await,
    }
}

async fn run_use(session: &Session, command: &Use) -> Result<(), Failure> {
    match command {
        Use::DataKey(arguments) => shared::data_key(session, arguments).await,
        Use::Decapsulate(arguments) => shared::decapsulate(session, arguments).await,
        Use::Decrypt(arguments) => encrypt::decrypt(session, arguments).await,
        Use::Encapsulate(arguments) => shared::encapsulate(session, arguments).await,
        Use::Encrypt(arguments) => encrypt::encrypt(session, arguments).await,
        Use::Hash(arguments) => shared::hash(session, arguments).await,
        Use::Mac(arguments) => sign::mac(session, arguments).await,
        Use::Random(arguments) => shared::random(session, arguments).await,
        Use::Rewrap(arguments) => encrypt::rewrap(session, arguments).await,
        Use::Sign(arguments) => sign::sign(session, arguments).await,
        Use::Verify(arguments) => sign::verify(session, arguments).await,
        Use::VerifyMac(arguments) => sign::verify_mac(session, arguments).await,
    }
}

async fn run_move(session: &Session, command: &Move) -> Result<(), Failure> {
    match command {
        Move::Agree(arguments) => import::agree(session, arguments).await,
        Move::Backup(arguments) => export::backup(session, arguments).await,
        Move::Csr(arguments) => certificate::csr(session, arguments).await,
        Move::Export(arguments) => export::export(session, arguments).await,
        Move::Import(arguments) => import::import(session, arguments).await,
        Move::ImportKey(arguments) => import::import_key(session, arguments).await,
        Move::ImportVersion(arguments) => import::import_version(session, arguments).await,
        Move::Public(arguments) => export::public(session, arguments).await,
        Move::Restore(arguments) => export::restore(session, arguments).await,
        Move::SetCertificate(arguments) => certificate::set(session, arguments).await,
        Move::Wrap(arguments) => export::wrap(session, arguments).await,
        Move::WrappingKey => import::wrapping_key(session).await,
    }
}

/// A key's primary version for people.
fn primary(key: &Key) -> String {
    key.primary_version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}

fn missing(error: Error) -> Failure {
    Failure::hinted(
        error,
        Code::NotFound,
        "'coffer keys list' shows the keys, 'coffer keys show NAME' the versions of one",
    )
}

/// A key that was to be used: whoever may use one may often not list them.
/// Whether the server found what it was given damaged: it says so in one of these texts.
fn is_damage(error: &Error, texts: &[&str]) -> bool {
    matches!(error, Error::Problem { problem, .. } if problem.code == Code::Invalid
        && problem.detail.as_deref().is_some_and(|detail| texts.iter().any(|text| detail.contains(text))))
}

fn in_use(error: Error) -> Failure {
    Failure::hinted(error, Code::NotFound, "check the name, or ask who manages the keys; 'coffer keys list' shows them")
}
