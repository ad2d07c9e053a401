//! `coffer keys create`, and the settings of every new key.

use clap::Args;
use coffer_api::{
    Code,
    keys::{KeyCreate, KeySource},
};
use coffer_client::Error;

use crate::{duration, failure::Failure, session::Session};

/// Options of `keys create`.
#[derive(Args)]
#[command(after_help = "\
Algorithms:
  encrypt   xaes-256-gcm (default), aes-128-gcm, aes-256-gcm, chacha20-poly1305,
            xchacha20-poly1305
  sign      ed25519, ecdsa-p256, ecdsa-p384, ecdsa-p521, ml-dsa-44, ml-dsa-65, ml-dsa-87
  both      rsa-2048, rsa-3072, rsa-4096
  mac       hmac-sha256, hmac-sha384, hmac-sha512, hmac (with --key-size)
  kem       ml-kem-512, ml-kem-768, ml-kem-1024, x-wing")]
pub(crate) struct Arguments {
    /// The key's name
    name: String,
    /// What it is
    #[arg(long, short, value_name = "NAME")]
    algorithm: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

/// Options of every new key.
#[derive(Args)]
pub(super) struct Settings {
    /// Bytes of a key of the algorithm hmac, 32 to 512
    #[arg(long, value_name = "BYTES")]
    key_size: Option<u16>,
    /// What it is for: encrypt, sign, mac, wrap, derive, encapsulate [default: all that the algorithm is for]
    #[arg(long = "usage", value_name = "USAGE", value_delimiter = ',')]
    usages: Option<Vec<String>>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// For people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Its secret parts may be taken out, for good
    #[arg(long)]
    exportable: bool,
    /// Only keys derived from it with a context are used
    #[arg(long)]
    derived: bool,
    /// Equal plaintexts become equal ciphertexts
    #[arg(long, requires = "derived")]
    convergent: bool,
    /// The first version waits for 'coffer keys activate'
    #[arg(long)]
    pre_active: bool,
    /// Rotate it by itself this often, as 30d
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds, default_value = "0")]
    rotate_every: u64,
    /// By how much a rotation may come early [default: a tenth of the period]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds, requires = "rotate_every")]
    rotate_jitter: Option<u64>,
    /// Old versions encrypt and sign on after a rotation when asked for by number
    #[arg(long, conflicts_with = "overlap")]
    keep_active: bool,
    /// How long they do [default: 24h for keys that sign, else not at all]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    overlap: Option<u64>,
}

/// Creates.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let create = arguments.settings.create(&arguments.name, arguments.algorithm.as_deref(), None);
    let key = session.client()?.key_create(&create).await.map_err(|error| taken(error, &arguments.name))?;
    session.output.note(format!("created key {}, {}, {}", key.name, key.algorithm, key.id));
    Ok(())
}

/// There is a key of this name.
pub(super) fn taken(error: Error, name: &str) -> Failure {
    Failure::hinted(
        error,
        Code::Conflict,
        format!("choose another name; 'coffer keys show {name}' shows what has this one"),
    )
}

impl Settings {
    /// A key of that name and algorithm, made here or of what comes from elsewhere.
    pub(super) fn create(&self, name: &str, algorithm: Option<&str>, source: Option<KeySource>) -> KeyCreate {
        KeyCreate {
            name: name.to_owned(),
            algorithm: algorithm.map(str::to_owned),
            source,
            key_size: self.key_size,
            usages: self.usages.clone(),
            tags: self.tags.iter().cloned().collect(),
            description: self.description.clone(),
            exportable: self.exportable,
            derived: self.derived,
            convergent: self.convergent,
            pre_active: self.pre_active,
            rotate_every: self.rotate_every,
            rotate_jitter: self.rotate_jitter,
            deactivate_on_rotate: self.keep_active.then_some(false),
            overlap: self.overlap,
        }
    }
}
