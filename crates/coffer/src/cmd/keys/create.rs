//! `coffer keys create`.

use clap::Args;
use coffer_api::keys::KeyCreate;

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
    let create = KeyCreate {
        name: arguments.name.clone(),
        algorithm: arguments.algorithm.clone(),
        key_size: arguments.key_size,
        usages: arguments.usages.clone(),
        tags: arguments.tags.iter().cloned().collect(),
        description: arguments.description.clone(),
        exportable: arguments.exportable,
        derived: arguments.derived,
        convergent: arguments.convergent,
        pre_active: arguments.pre_active,
        rotate_every: arguments.rotate_every,
        rotate_jitter: arguments.rotate_jitter,
        deactivate_on_rotate: arguments.keep_active.then_some(false),
        overlap: arguments.overlap,
        source: None,
    };
    let key = session.client()?.key_create(&create).await?;
    session.output.note(format!("created key {}, {}, {}", key.name, key.algorithm, key.id));
    Ok(())
}
