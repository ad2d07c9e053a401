//! `coffer keys sign` and `verify`, of files of any size and of short values; `mac` and `verify-mac` of values.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use coffer_api::{
    Code, Sensitive,
    keys::{
        KeyMacItem, KeyMacOptions, KeySignItem, KeySignOptions, KeyVerified, KeyVerifyItem, KeyVerifyMacItem,
        KeyVerifyMacOptions, KeyVerifyOptions,
    },
};
use coffer_client::{Client, Error};
use coffer_crypto::{
    file::{self, message_to_sign},
    keys::Algorithm,
};

use super::{
    binding::{Context, Value, encode},
    encrypt::value_of,
    in_use, is_damage,
};
use crate::{
    failure::{Exit, Failure},
    given::{self, Given},
    session::Session,
    stream::{Readers, Source, Target},
};

/// Options of `keys sign`.
#[derive(Args)]
#[command(after_help = "\
A file is hashed here, and what is signed is its length and hash: it may have any size and never
goes to the server. docs/CRYPTO.md says how to check the signature elsewhere.
  coffer keys sign releases --in app.tar.gz --out app.tar.gz.sig
  coffer keys verify releases --in app.tar.gz --signature app.tar.gz.sig

--value signs a short value itself, as the transit API does.")]
pub(crate) struct Sign {
    #[command(flatten)]
    what: Signed,
    /// The file to write the signature to; - is stdout [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// This version instead of the primary one
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
}

/// Options of `keys verify`.
#[derive(Args)]
#[command(after_help = "\
Exit code 0: the signature is of this key over this file. 8: it is not.")]
pub(crate) struct Verify {
    #[command(flatten)]
    what: Signed,
    /// The signature, vault:v1:…, or the file that holds it; - is stdin
    #[arg(long, value_name = "SIGNATURE")]
    signature: String,
}

/// Options of `keys mac`.
#[derive(Args)]
pub(crate) struct Mac {
    /// The key's name
    name: String,
    #[command(flatten)]
    value: Value,
    /// Its hash: sha2-256, sha2-512, sha3-256, … [default: the key's own, else sha2-256]
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// This version instead of the primary one
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
}

/// Options of `keys verify-mac`.
#[derive(Args)]
#[command(after_help = "\
Exit code 0: the MAC is of this key over this value. 8: it is not.")]
pub(crate) struct VerifyMac {
    /// The key's name
    name: String,
    #[command(flatten)]
    value: Value,
    /// The MAC, vault:v1:…, or the file that holds it
    #[arg(long, value_name = "MAC")]
    mac: String,
    /// Its hash, if the MAC was made with --hash
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
}

/// What is signed, and how.
#[derive(Args)]
struct Signed {
    /// The key's name
    name: String,
    /// The file to read; - is stdin [default: stdin]
    #[arg(long = "in", value_name = "FILE", id = "input")]
    input: Option<PathBuf>,
    /// A short value instead of a file; - takes it from stdin, @FILE from a file, and alone it is asked for
    #[arg(long, value_name = "VALUE", value_parser = given::parse, conflicts_with = "input")]
    value: Option<Option<Given>>,
    /// Drop one line break at the end of the value
    #[arg(long, requires = "value", conflicts_with = "input")]
    trim: bool,
    /// The value is a hash already
    #[arg(long, requires = "value", conflicts_with = "input")]
    prehashed: bool,
    /// Hash of RSA and ECDSA: sha2-256, sha2-384, sha2-512, sha3-256, … [default: sha2-256]
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// Padding of RSA [default: pss]
    #[arg(long, value_enum, value_name = "PADDING")]
    padding: Option<Padding>,
    /// Salt of RSA's pss: auto, hash, or a number of bytes [default: auto]
    #[arg(long, value_name = "LENGTH")]
    salt_length: Option<String>,
    /// How ECDSA's signature is written [default: asn1]
    #[arg(long, value_enum, value_name = "ENCODING")]
    encoding: Option<Encoding>,
    /// What the key is, which a file's signature is bound to, for who may not read the key
    #[arg(long, value_name = "NAME", conflicts_with = "value")]
    algorithm: Option<String>,
    #[command(flatten)]
    context: Context,
}

#[derive(Clone, Copy, ValueEnum)]
enum Padding {
    Pkcs1,
    Pss,
}

#[derive(Clone, Copy, ValueEnum)]
enum Encoding {
    Asn1,
    Jws,
}

/// Signs.
///
/// # Errors
/// Where the server refuses, or a file fails.
pub(super) async fn sign(session: &Session, arguments: &Sign) -> Result<(), Failure> {
    let Sign { what, out, version: key_version } = arguments;
    let client = session.client()?;
    let context = what.context.encoded()?;
    let input = what.input(session, &client).await?;
    let options = KeySignOptions {
        key_version: *key_version,
        hash: what.hash.clone(),
        prehashed: what.prehashed,
        padding: what.padding(),
        salt_length: what.salt_length.clone(),
        encoding: what.encoding(),
    };
    let target = out.as_deref().filter(|path| *path != Path::new("-"));
    let target = target.map(|path| Target::open(Some(path), Readers::AsUsual)).transpose()?;
    let signed = client.key_sign(&what.name, KeySignItem { input, context }, &options).await.map_err(in_use)?;
    let Some(mut target) = target else {
        return session.output.show_text(&signed, |signed| &signed.signature);
    };
    let text = format!("{}\n", signed.signature);
    std::io::Write::write_all(&mut target, text.as_bytes()).map_err(|error| target.failed(&error))?;
    target.finish()?;
    let out = out.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    session.output.show_or_note(&signed, |signed| format!("signed to {out} with version {}", signed.key_version))
}

/// Verifies.
///
/// # Errors
/// Exit 8 where the signature does not hold; where the server refuses, or a file fails.
pub(super) async fn verify(session: &Session, arguments: &Verify) -> Result<(), Failure> {
    let Verify { what, signature } = arguments;
    let is_stdin = |path: Option<&Path>| path.is_none_or(|path| path == Path::new("-"));
    let is_input_stdin = match &what.value {
        Some(value) => matches!(value, Some(Given::Stdin)),
        None => is_stdin(what.input.as_deref()),
    };
    if signature == "-" && is_input_stdin {
        return Err(Failure::local("signature and input cannot both come from stdin").hint("name the file with --in"));
    }
    let signature = claim(signature, "signature")?;
    let client = session.client()?;
    let context = what.context.encoded()?;
    let input = what.input(session, &client).await?;
    let options = KeyVerifyOptions {
        hash: what.hash.clone(),
        prehashed: what.prehashed,
        padding: what.padding(),
        salt_length: what.salt_length.clone(),
        encoding: what.encoding(),
    };
    let item = KeyVerifyItem { input, signature, context };
    let verified = match client.key_verify(&what.name, item, &options).await {
        // What is no signature is not this one either.
        Err(error) if is_damage(&error, &DAMAGE) => KeyVerified { valid: false },
        verified => verified.map_err(in_use)?,
    };
    let of = if what.value.is_some() { "value" } else { "file" };
    conclude(session, verified, "signature", &format!("of {} over this {of}", what.name))
}

/// Authenticates.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn mac(session: &Session, arguments: &Mac) -> Result<(), Failure> {
    let client = session.client()?;
    let item = KeyMacItem { input: arguments.value.encoded(session)? };
    let options = KeyMacOptions { hash: arguments.hash.clone(), key_version: arguments.version };
    let made = client.key_mac(&arguments.name, item, &options).await.map_err(in_use)?;
    session.output.show_text(&made, |made| &made.mac)
}

/// Checks a MAC.
///
/// # Errors
/// Exit 8 where it does not hold; where the server refuses.
pub(super) async fn verify_mac(session: &Session, arguments: &VerifyMac) -> Result<(), Failure> {
    if arguments.mac == "-" && arguments.value.is_stdin() {
        return Err(Failure::local("MAC and value cannot both come from stdin").hint("use --value @FILE"));
    }
    let mac = claim(&arguments.mac, "MAC")?;
    let client = session.client()?;
    let input = arguments.value.encoded(session)?;
    let options = KeyVerifyMacOptions { hash: arguments.hash.clone() };
    let item = KeyVerifyMacItem { input, mac };
    let verified = client.key_verify_mac(&arguments.name, item, &options).await.map_err(in_use)?;
    conclude(session, verified, "MAC", &format!("of {} over this value", arguments.name))
}

impl Signed {
    /// What goes to the server: the value, or what stands for the file.
    async fn input(&self, session: &Session, client: &Client) -> Result<Sensitive<String>, Failure> {
        if let Some(value) = &self.value {
            return Ok(encode(&value_of(session, value.as_ref(), self.trim)?));
        }
        let mut source = Source::open(self.input.as_deref())?;
        let algorithm = self.algorithm(client).await?;
        source.watch(&session.output, "hashing");
        let message = message_to_sign(algorithm, &mut source).map_err(|error| match &error {
            file::Error::Read(cause) | file::Error::Write(cause) => source.failed(cause),
            file::Error::Authentication | file::Error::Crypto(_) | file::Error::Format => {
                Failure::local(format!("{}: {error}", source.name()))
            }
        })?;
        Ok(encode(&message))
    }

    async fn algorithm(&self, client: &Client) -> Result<Algorithm, Failure> {
        if let Some(name) = &self.algorithm {
            return Algorithm::parse(name).ok_or_else(|| {
                Failure::local(format!("{name:?} is no algorithm")).hint("'coffer keys create --help' lists them")
            });
        }
        let read = client.key_read(&self.name).await;
        if matches!(read, Err(Error::Planned)) {
            // What is signed is not shown, so that any will do.
            return Ok(Algorithm::Ed25519);
        }
        let key = read.map_err(|error| match &error {
            Error::Problem { problem, .. } if problem.code == Code::Denied => {
                Failure::from(error).hint("--algorithm says what the key is, for who may use it and not read it")
            }
            _ => in_use(error),
        })?;
        Algorithm::parse(&key.algorithm).ok_or_else(|| {
            Failure::new(Exit::Server, format!("{} is a key of an algorithm that is not known here", key.name))
        })
    }

    fn padding(&self) -> Option<String> {
        self.padding.map(|padding| match padding {
            Padding::Pkcs1 => "pkcs1".to_owned(),
            Padding::Pss => "pss".to_owned(),
        })
    }

    fn encoding(&self) -> Option<String> {
        self.encoding.map(|encoding| match encoding {
            Encoding::Asn1 => "asn1".to_owned(),
            Encoding::Jws => "jws".to_owned(),
        })
    }
}

/// A signature or MAC: itself, or the file that holds it.
fn claim(text: &str, what: &str) -> Result<String, Failure> {
    let given = match given::parse(text) {
        Ok(Given::Inline(_)) if !text.starts_with("vault:") => Given::File(PathBuf::from(text)),
        Ok(given) => given,
    };
    Ok(given.text(what)?.expose().clone())
}

/// Programs are told both ways, on stdout too.
fn conclude(session: &Session, verified: KeyVerified, what: &str, of: &str) -> Result<(), Failure> {
    if verified.valid {
        return session.output.show_or_note(&verified, |_| format!("valid: the {what} is {of}"));
    }
    session.output.show_to_programs(&verified)?;
    Err(Failure::new(Exit::Integrity, format!("the {what} is not {of}")))
}

/// What the server says of a signature that is none.
const DAMAGE: [&str; 3] = [
    "invalid signature: it does not begin",
    "invalid signature: it is no DER",
    "invalid signature: what follows its version",
];
