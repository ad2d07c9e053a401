//! `coffer keys encrypt`, `decrypt` and `rewrap`: short values on the server, files of any size here, under a data key that
//! the key on the server encrypts.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;
use coffer_api::{
    Sensitive,
    keys::{KeyDataKey, KeyDecryptItem, KeyDecrypted, KeyEncryptItem, KeyRewrapItem},
};
use coffer_client::Error;
use coffer_crypto::{
    Secret,
    file::{self, Header},
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    binding::{Binding, decode, encode},
    in_use, is_damage,
};
use crate::{
    failure::{Exit, Failure},
    given::{self, Given},
    input,
    output::{Format, Table},
    session::Session,
    stream::{Readers, Source, Target},
};

/// Options of `keys encrypt`.
#[derive(Args)]
#[command(after_help = "\
A file goes from --in to --out, stdin and stdout unless they are named: in pieces of 64 KiB under
a key of its own, which the key on the server encrypts and which lies in the file so. It never
goes to the server, may have any size, and --out appears once it is whole.
  coffer keys encrypt backups --in db.dump --out db.dump.enc

A short value goes to the server and becomes a text, vault:v1:…, on stdout:
  --value          asks for it on the terminal, without echo
  --value -        takes it from stdin, byte for byte
  --value @FILE    takes it from a file, byte for byte
  --value VALUE    takes it from the command line, where your shell's history and other processes
                   can see it")]
pub(crate) struct Encrypt {
    /// The key's name
    name: String,
    #[command(flatten)]
    files: Files,
    /// Encrypt a short value instead of a file
    #[arg(long, value_name = "VALUE", value_parser = given::parse, conflicts_with_all = ["input", "out"])]
    value: Option<Option<Given>>,
    /// Drop one line break at the end of the value
    #[arg(long, requires = "value", conflicts_with_all = ["input", "out"])]
    trim: bool,
    /// This version instead of the primary one
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
    #[command(flatten)]
    binding: Binding,
}

/// Options of `keys decrypt`.
#[derive(Args)]
#[command(after_help = "\
A file that was cut off, edited or put together from others is refused with exit code 8, and so is
one of another key. Then nothing is left at --out, and what was there before is as it was; what
went to stdout by then is not to be used. A decrypted file is its owner's alone (0600).
  coffer keys decrypt backups --in db.dump.enc --out db.dump
  coffer keys decrypt cards --value vault:v1:…")]
pub(crate) struct Decrypt {
    /// The key's name
    name: String,
    #[command(flatten)]
    files: Files,
    /// Decrypt a text as `encrypt --value` made it; @FILE and - take it from a file and stdin
    #[arg(long, value_name = "CIPHERTEXT", value_parser = given::parse, conflicts_with_all = ["input", "out"])]
    value: Option<Given>,
    /// No line break after the value, not even on a terminal
    #[arg(short = 'n', long, requires = "value", conflicts_with_all = ["input", "out"])]
    no_newline: bool,
    #[command(flatten)]
    binding: Binding,
}

/// Options of `keys rewrap`.
#[derive(Args)]
#[command(after_help = "\
The plaintext stays on the server. An encrypted file is bound to its data key as it is encrypted:
decrypt it and encrypt it again.")]
pub(crate) struct Rewrap {
    /// The key's name
    name: String,
    /// A text as `encrypt --value` made it; @FILE and - take it from a file and stdin
    #[arg(long, value_name = "CIPHERTEXT", value_parser = given::parse)]
    value: Given,
    /// This version instead of the primary one
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
    #[command(flatten)]
    binding: Binding,
}

/// From where to where.
#[derive(Args)]
struct Files {
    /// The file to read; - is stdin [default: stdin]
    #[arg(long = "in", value_name = "FILE", id = "input")]
    input: Option<PathBuf>,
    /// The file to write, which is replaced as a whole or not at all; - is stdout [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Encrypts.
///
/// # Errors
/// Where the server refuses, or a file fails.
pub(super) async fn encrypt(session: &Session, arguments: &Encrypt) -> Result<(), Failure> {
    let client = session.client()?;
    let (context, associated_data) = arguments.binding.encoded()?;
    let Encrypt { name, version: key_version, .. } = arguments;
    if let Some(value) = &arguments.value {
        let plaintext = encode(&value_of(session, value.as_ref(), arguments.trim)?);
        let item = KeyEncryptItem { plaintext, context, associated_data, key_version: *key_version };
        let encrypted = client.key_encrypt(name, item).await.map_err(in_use)?;
        return session.output.show_text(&encrypted, |encrypted| &encrypted.ciphertext);
    }
    let mut source = Source::open(arguments.files.input.as_deref())?;
    let mut target = arguments.files.target(session, Readers::AsUsual)?;
    if target.is_stdout() && io::stdout().is_terminal() {
        return Err(Failure::local("an encrypted file is nothing for a terminal")
            .hint("name a file with --out, or redirect stdout; --value makes a text of a short value"));
    }
    let wanted = KeyDataKey { bits: Some(256), plaintext: true, context, associated_data, key_version: *key_version };
    let made = client.key_data_key(name, &wanted).await.map_err(in_use)?;
    let key = made.plaintext.as_ref().and_then(data_key).ok_or_else(|| no_data_key(session))?;
    source.watch(&session.output, "encrypting");
    let bytes = file::encrypt(&key, made.ciphertext.as_bytes(), &mut source, &mut target)
        .map_err(|error| failed(error, &source, &target))?;
    arguments.files.done(session, target, bytes, made.key_version, "encrypted")
}

/// Decrypts.
///
/// # Errors
/// Exit 8 for a file that is damaged or another key's; where the server refuses, or a file fails.
pub(super) async fn decrypt(session: &Session, arguments: &Decrypt) -> Result<(), Failure> {
    let client = session.client()?;
    let (context, associated_data) = arguments.binding.encoded()?;
    let name = &arguments.name;
    if let Some(value) = &arguments.value {
        let ciphertext = value.text("ciphertext")?.expose().clone();
        let item = KeyDecryptItem { ciphertext, context, associated_data };
        let decrypted = client.key_decrypt(name, item).await.map_err(in_use)?;
        return show_value(session, arguments, &decrypted);
    }
    let mut source = Source::open(arguments.files.input.as_deref())?;
    let target = arguments.files.target(session, Readers::Owner)?;
    let header = Header::read(&mut source).map_err(|error| failed(error, &source, &target))?;
    let ciphertext = match std::str::from_utf8(header.envelope()) {
        Ok(text) if text.starts_with("vault:v") => text.to_owned(),
        Ok(_) | Err(_) => return Err(failed(file::Error::Authentication, &source, &target)),
    };
    let item = KeyDecryptItem { ciphertext, context, associated_data };
    let opened = client.key_decrypt(name, item).await.map_err(|error| unopened(error, &source, name))?;
    let key = data_key(&opened.plaintext).ok_or_else(|| failed(file::Error::Authentication, &source, &target))?;
    let mut target = target;
    source.watch(&session.output, "decrypting");
    let bytes = header.decrypt(&key, &mut source, &mut target).map_err(|error| failed(error, &source, &target))?;
    arguments.files.done(session, target, bytes, opened.key_version, "decrypted")
}

/// Makes a ciphertext anew.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn rewrap(session: &Session, arguments: &Rewrap) -> Result<(), Failure> {
    let (context, associated_data) = arguments.binding.encoded()?;
    let ciphertext = arguments.value.text("ciphertext")?.expose().clone();
    let item = KeyRewrapItem { ciphertext, context, associated_data, key_version: arguments.version };
    let encrypted = session.client()?.key_rewrap(&arguments.name, item).await.map_err(in_use)?;
    session.output.show_text(&encrypted, |encrypted| &encrypted.ciphertext)
}

/// A value to be used: asked for where none is named.
///
/// # Errors
/// Where it cannot be had.
pub(super) fn value_of(session: &Session, value: Option<&Given>, trim: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let Some(value) = value else {
        if !io::stdin().is_terminal() {
            return Err(Failure::local("there is no terminal to ask for the value")
                .hint("write --value - to take it from stdin"));
        }
        return Ok(Zeroizing::new(input::ask("value")?.expose().clone().into_bytes()));
    };
    value.warn(session);
    let bytes = value.bytes()?;
    let line = match (value, bytes.strip_suffix(b"\n")) {
        (Given::File(_) | Given::Stdin, Some(line)) => line,
        (Given::File(_) | Given::Stdin | Given::Inline(_), _) => return Ok(bytes),
    };
    if trim {
        return Ok(Zeroizing::new(line.strip_suffix(b"\r").unwrap_or(line).to_owned()));
    }
    if !line.contains(&b'\n') {
        session.output.note("note: the value ends with a line break; --trim drops it");
    }
    Ok(bytes)
}

/// What was done with a file, for programs.
#[derive(Serialize)]
struct FileDone<'a> {
    out: &'a str,
    bytes: u64,
    key_version: u32,
}

impl Files {
    fn target(&self, session: &Session, readers: Readers) -> Result<Target, Failure> {
        let target = Target::open(self.out.as_deref(), readers)?;
        if target.is_stdout() {
            session.output.refuse_structure()?;
        }
        Ok(target)
    }

    /// Puts the file in its place, and says so where stdout is free for it.
    fn done(&self, session: &Session, target: Target, bytes: u64, key_version: u32, verb: &str) -> Result<(), Failure> {
        let is_stdout = target.is_stdout();
        target.finish()?;
        if is_stdout {
            return Ok(());
        }
        let out = self.out.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let done = FileDone { out: &out, bytes, key_version };
        session.output.show_or_note(&done, |done| {
            format!("{verb} {} bytes to {} with version {}", done.bytes, done.out, done.key_version)
        })
    }
}

/// The value byte for byte, as a secret's is.
fn show_value(session: &Session, arguments: &Decrypt, decrypted: &KeyDecrypted) -> Result<(), Failure> {
    match session.output.format() {
        Format::Table => {}
        Format::Dotenv | Format::Env | Format::Json | Format::Yaml => {
            return session.output.show(decrypted, |_| Table::new(&[]));
        }
    }
    let mut value = decode(&decrypted.plaintext)?;
    if !arguments.no_newline && io::stdout().is_terminal() && !value.ends_with(b"\n") {
        value.push(b'\n');
    }
    session.output.bytes(&value)
}

fn data_key(base64: &Sensitive<String>) -> Option<Secret> {
    decode(base64).ok().and_then(|bytes| Secret::copy_from(&bytes).ok()).filter(|key| key.len() == DATA_KEY_LEN)
}

fn no_data_key(session: &Session) -> Failure {
    let address = session.client().map(|client| client.address().to_string()).unwrap_or_default();
    Failure::new(Exit::Server, format!("{address} sent no data key of {DATA_KEY_LEN} bytes"))
}

/// The server does not open the data key. That the key is another or the file damaged is what the file itself may come to;
/// everything else is as for every call.
fn unopened(error: Error, source: &Source, name: &str) -> Failure {
    if !is_damage(&error, &DAMAGE) {
        return in_use(error);
    }
    Failure::new(Exit::Integrity, format!("{} does not open under {name}", source.name()))
        .hint("it is damaged, or of another key, context or associated data; nothing was written")
}

fn failed(error: file::Error, source: &Source, target: &Target) -> Failure {
    match &error {
        file::Error::Authentication => {
            let failure = Failure::new(Exit::Integrity, format!("{}: {error}", source.name()));
            match target.file() {
                Some(path) => failure.hint(format!("nothing of it is left at {path}")),
                None => failure.hint("what was written by now is not to be used"),
            }
        }
        file::Error::Crypto(cause) => Failure::local(format!("{}: {cause}", source.name())),
        file::Error::Format => Failure::local(format!("{}: {error}", source.name()))
            .hint("a text that begins with vault: is decrypted with --value"),
        file::Error::Read(cause) => source.failed(cause),
        file::Error::Write(cause) => target.failed(cause),
    }
}

const DATA_KEY_LEN: usize = 32;

/// What the server says of a ciphertext that is not the key's, or was changed.
const DAMAGE: [&str; 2] = ["the ciphertext does not open", "invalid ciphertext"];
