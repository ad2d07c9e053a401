//! `coffer keys data-key`, `encapsulate`, `decapsulate`, `random` and `hash`: secrets for use elsewhere.

use clap::{Args, ValueEnum};
use coffer_api::keys::{Hash, KeyDataKey, KeyDecapsulate, KeyEncapsulate, Random};

use super::{
    binding::{Binding, Value},
    in_use,
};
use crate::{
    failure::Failure,
    given::{self, Given},
    output::Table,
    session::Session,
};

/// Options of `keys data-key`.
#[derive(Args)]
#[command(after_help = "\
The data key comes encrypted; `decrypt --value` opens it where it is needed. With --plaintext it
comes in the clear as well.")]
pub(crate) struct DataKey {
    /// The key's name
    name: String,
    /// Its length: 128, 256 or 512
    #[arg(long, value_name = "BITS", default_value_t = 256)]
    bits: u16,
    /// Show the data key itself too, in base64
    #[arg(long)]
    plaintext: bool,
    /// This version instead of the primary one
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
    #[command(flatten)]
    binding: Binding,
}

/// Options of `keys encapsulate`.
#[derive(Args)]
pub(crate) struct Encapsulate {
    /// The key's name
    name: String,
    /// This version instead of the primary one
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
}

/// Options of `keys decapsulate`.
#[derive(Args)]
pub(crate) struct Decapsulate {
    /// The key's name
    name: String,
    /// A capsule as `encapsulate` made it; @FILE and - take it from a file and stdin
    #[arg(long, value_name = "CIPHERTEXT", value_parser = given::parse)]
    value: Given,
}

/// Options of `keys random`.
#[derive(Args)]
pub(crate) struct RandomBytes {
    /// How many, 1 to 131072
    #[arg(value_name = "BYTES")]
    bytes: u32,
    /// How they are written
    #[arg(long, value_enum, value_name = "ENCODING", default_value_t = Encoding::Base64)]
    encoding: Encoding,
}

/// Options of `keys hash`.
#[derive(Args)]
pub(crate) struct HashValue {
    #[command(flatten)]
    value: Value,
    /// sha2-256, sha2-384, sha2-512, sha3-256, … [default: sha2-256]
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// How it is written
    #[arg(long, value_enum, value_name = "ENCODING", default_value_t = Encoding::Hex)]
    encoding: Encoding,
}

#[derive(Clone, Copy, ValueEnum)]
enum Encoding {
    Base64,
    Hex,
}

impl Encoding {
    fn name(self) -> String {
        match self {
            Self::Base64 => "base64".to_owned(),
            Self::Hex => "hex".to_owned(),
        }
    }
}

/// Makes a data key.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn data_key(session: &Session, arguments: &DataKey) -> Result<(), Failure> {
    let (context, associated_data) = arguments.binding.encoded()?;
    let wanted = KeyDataKey {
        bits: Some(arguments.bits),
        plaintext: arguments.plaintext,
        context,
        associated_data,
        key_version: arguments.version,
    };
    let made = session.client()?.key_data_key(&arguments.name, &wanted).await.map_err(in_use)?;
    match &made.plaintext {
        None => session.output.show_text(&made, |made| &made.ciphertext),
        Some(plaintext) => session.output.show(&made, |made| {
            Table::of_pairs([("ciphertext", made.ciphertext.clone()), ("plaintext", plaintext.expose().clone())])
        }),
    }
}

/// Makes a shared secret and its capsule.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn encapsulate(session: &Session, arguments: &Encapsulate) -> Result<(), Failure> {
    let wanted = KeyEncapsulate { key_version: arguments.version };
    let made = session.client()?.key_encapsulate(&arguments.name, wanted).await.map_err(in_use)?;
    session.output.show(&made, |made| {
        Table::of_pairs([
            ("ciphertext", made.ciphertext.clone()),
            ("shared secret", made.shared_secret.expose().clone()),
        ])
    })
}

/// Opens a capsule.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn decapsulate(session: &Session, arguments: &Decapsulate) -> Result<(), Failure> {
    let capsule = KeyDecapsulate { ciphertext: arguments.value.text("ciphertext")?.expose().clone() };
    let opened = session.client()?.key_decapsulate(&arguments.name, &capsule).await.map_err(in_use)?;
    session.output.show_text(&opened, |opened| opened.shared_secret.expose())
}

/// Random bytes of the server.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn random(session: &Session, arguments: &RandomBytes) -> Result<(), Failure> {
    let wanted = Random { bytes: arguments.bytes, format: Some(arguments.encoding.name()) };
    let made = session.client()?.random(&wanted).await?;
    session.output.show_text(&made, |made| made.random.expose())
}

/// A hash by the server.
///
/// # Errors
/// Where the server refuses, or the value cannot be had.
pub(super) async fn hash(session: &Session, arguments: &HashValue) -> Result<(), Failure> {
    let input = arguments.value.encoded(session)?;
    let wanted = Hash { input, algorithm: arguments.hash.clone(), format: Some(arguments.encoding.name()) };
    let made = session.client()?.hash(&wanted).await?;
    session.output.show_text(&made, |made| &made.hash)
}
