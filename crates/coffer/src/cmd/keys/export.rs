//! `coffer keys public`, `export`, `wrap`, `backup` and `restore`: keys and parts of them that leave, and come back.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use coffer_api::keys::{KeyExport, KeyRestore, KeyWrap};
use coffer_client::PublicFormat;
use serde::Serialize;

use super::{create::taken, missing};
use crate::{
    failure::Failure,
    input,
    output::Table,
    session::Session,
    stream::{Readers, Target},
};

/// Options of `keys public`.
#[derive(Args)]
pub(crate) struct Public {
    /// The key's name
    name: String,
    /// Of this version [default: the primary one, else the highest]
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
    /// As a JSON Web Key instead of PEM
    #[arg(long)]
    jwk: bool,
    #[command(flatten)]
    out: Out,
}

/// Options of `keys export`.
#[derive(Args)]
#[command(after_help = "\
Secret parts leave keys alone that were made --exportable. --version prints one version's key as
it is; without it all that may be shown stand in a table.")]
pub(crate) struct Export {
    /// The key's name
    name: String,
    /// Which part
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Kind,
    /// Of this version alone
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
    /// How it is written [default: as the transit API does]
    #[arg(long, value_enum, value_name = "ENCODING")]
    encoding: Option<Encoding>,
    #[command(flatten)]
    out: Out,
}

/// Options of `keys wrap`.
#[derive(Args)]
#[command(after_help = "\
Nothing secret is shown. A server that has the wrapping key takes the key in with
  coffer keys import NAME --algorithm … --wrapped @FILE --wrapping-key WRAPPING")]
pub(crate) struct Wrap {
    /// The key that wraps
    #[arg(value_name = "WRAPPING")]
    wrapping: String,
    /// The key to wrap, an exportable one
    #[arg(long, value_name = "NAME")]
    key: String,
    /// This version of it alone
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
    /// Hash of OAEP, where the wrapping key is RSA [default: sha2-256]
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    #[command(flatten)]
    out: Out,
}

/// Options of `keys backup`.
#[derive(Args)]
#[command(after_help = "\
A backup is the whole key in the clear. It takes a key that was set --allow-plaintext-backup and
--exportable.")]
pub(crate) struct Backup {
    /// The key's name
    name: String,
    #[command(flatten)]
    out: Out,
}

/// Options of `keys restore`.
#[derive(Args)]
pub(crate) struct Restore {
    /// The file that `backup` wrote; - is stdin
    #[arg(long = "in", value_name = "FILE", id = "input")]
    input: PathBuf,
    /// Another name than it had
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Delete the key that has the name, if it may be deleted
    #[arg(long)]
    force: bool,
}

/// Where a result goes.
#[derive(Args)]
struct Out {
    /// The file to write, its owner's alone (0600); - is stdout [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    CertificateChain,
    EncryptionKey,
    HmacKey,
    PublicKey,
    SigningKey,
}

#[derive(Clone, Copy, ValueEnum)]
enum Encoding {
    Der,
    Pem,
    Raw,
}

/// Shows a public key.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn public(session: &Session, arguments: &Public) -> Result<(), Failure> {
    let format = if arguments.jwk { PublicFormat::Jwk } else { PublicFormat::Pem };
    let public = session.client()?.key_public(&arguments.name, arguments.version, format).await.map_err(missing)?;
    arguments.out.write(session, &public, &public.public_key)
}

/// Takes parts of a key out.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn export(session: &Session, arguments: &Export) -> Result<(), Failure> {
    let kind = match arguments.kind {
        Kind::CertificateChain => "certificate-chain",
        Kind::EncryptionKey => "encryption-key",
        Kind::HmacKey => "hmac-key",
        Kind::PublicKey => "public-key",
        Kind::SigningKey => "signing-key",
    };
    let format = arguments.encoding.map(|encoding| match encoding {
        Encoding::Der => "der",
        Encoding::Pem => "pem",
        Encoding::Raw => "raw",
    });
    let wanted = KeyExport { kind: kind.to_owned(), version: arguments.version, format: format.map(str::to_owned) };
    let exported = session.client()?.key_export(&arguments.name, &wanted).await.map_err(missing)?;
    let versions: Vec<(u32, &str)> = exported.keys.iter().map(|key| (key.version, key.key.expose().as_str())).collect();
    arguments.out.versions(session, &exported, arguments.version, &versions)
}

/// Wraps a key.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn wrap(session: &Session, arguments: &Wrap) -> Result<(), Failure> {
    let wanted = KeyWrap { key: arguments.key.clone(), version: arguments.version, hash: arguments.hash.clone() };
    let wrapped = session.client()?.key_wrap(&arguments.wrapping, &wanted).await.map_err(missing)?;
    let versions: Vec<(u32, &str)> = wrapped.keys.iter().map(|key| (key.version, key.wrapped.as_str())).collect();
    arguments.out.versions(session, &wrapped, arguments.version, &versions)
}

/// Makes a backup.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn backup(session: &Session, arguments: &Backup) -> Result<(), Failure> {
    let backup = session.client()?.key_backup(&arguments.name).await.map_err(missing)?;
    arguments.out.write(session, &backup, backup.backup.expose())
}

/// Brings a backup back.
///
/// # Errors
/// Where the server refuses, or the file cannot be read.
pub(super) async fn restore(session: &Session, arguments: &Restore) -> Result<(), Failure> {
    let backup = input::text_file(&arguments.input, BACKUP_LIMIT)?;
    let restore = KeyRestore { backup: backup.trim().into(), name: arguments.name.clone(), force: arguments.force };
    let restored = session.client()?.key_restore(&restore).await;
    let key = restored.map_err(|error| taken(error, arguments.name.as_deref().unwrap_or("NAME")))?;
    session.output.note(format!("restored key {}, {}, {}", key.name, key.algorithm, key.id));
    Ok(())
}

impl Out {
    /// One text: to the file, or to stdout in the format asked for.
    fn write<T: Serialize>(&self, session: &Session, value: &T, text: &str) -> Result<(), Failure> {
        let Some(path) = self.out.as_deref().filter(|path| *path != Path::new("-")) else {
            return session.output.show_as(value, text);
        };
        let mut target = Target::open(Some(path), Readers::Owner)?;
        target.write_all(text.as_bytes()).map_err(|error| target.failed(&error))?;
        if !text.ends_with('\n') {
            target.write_all(b"\n").map_err(|error| target.failed(&error))?;
        }
        target.finish()?;
        session.output.note(format!("written to {}", path.display()));
        Ok(())
    }

    /// One version's text as it is, or those of several as a table.
    fn versions<T: Serialize>(
        &self,
        session: &Session,
        value: &T,
        version: Option<u32>,
        versions: &[(u32, &str)],
    ) -> Result<(), Failure> {
        if let (Some(_), [(_, text)]) = (version, versions) {
            return self.write(session, value, text);
        }
        let table = || {
            let mut table = Table::new(&["VERSION", "KEY"]);
            versions.iter().for_each(|(version, key)| table.row([version.to_string(), (*key).to_owned()]));
            table
        };
        if self.out.as_deref().is_some_and(|path| path != Path::new("-")) {
            return self.write(session, value, &table().render());
        }
        session.output.show(value, |_| table())
    }
}

/// What the server takes, and a line's end.
const BACKUP_LIMIT: usize = (8 << 20) + 2;
