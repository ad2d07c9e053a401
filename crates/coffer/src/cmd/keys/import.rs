//! `coffer keys import`, `import-version`, `import-key` and `wrapping-key`: keys that come from elsewhere; `agree`, which makes
//! one together with somebody else.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{ArgGroup, Args, ValueEnum};
use coffer_api::keys::{KeyAgree, KeyImportBegin, KeyImportVersion, KeySource, KeyWrappedBy, KeyWrappedKey};
use coffer_client::Client;
use coffer_crypto::keys::{Algorithm, PublicKey};
use zeroize::Zeroizing;

use super::{
    create::{Settings, taken},
    missing,
};
use crate::{
    failure::{Exit, Failure},
    given::{self, Given},
    input,
    session::Session,
};

/// Options of `keys import`.
#[derive(Args)]
#[command(after_help = "\
--in takes the key itself: PKCS#8 in PEM or DER, or the bytes of a symmetric one. It is wrapped
here, under a one-time key of the server, and crosses the network so.
Elsewhere a key is wrapped under the public key that `import-key` prints (then --import-key names
it) or `wrapping-key` does: an AES-256 key under RSA-OAEP, and the key under that by AES-KWP.")]
pub(crate) struct Import {
    /// The new key's name
    name: String,
    /// What it is, as for `create`
    #[arg(long, short, value_name = "NAME")]
    algorithm: String,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    settings: Settings,
}

/// Options of `keys import-version`.
#[derive(Args)]
pub(crate) struct ImportVersion {
    /// The key's name
    name: String,
    /// The version whose private part this is [default: a new one, or the highest where it lacks this private part]
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
    #[command(flatten)]
    source: Source,
}

/// Options of `keys import-key`.
#[derive(Args)]
pub(crate) struct ImportKey {
    /// How it wraps
    #[arg(long, value_enum, value_name = "HOW", default_value_t = WrapBy::RsaOaep)]
    wrap: WrapBy,
}

/// Options of `keys agree`.
#[derive(Args)]
pub(crate) struct Agree {
    /// The new key's name
    name: String,
    /// Our key, ECDSA of one of NIST's curves
    #[arg(long, value_name = "NAME")]
    base: String,
    /// Of our key [default: the highest]
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
    /// File with their public key, PEM
    #[arg(long, value_name = "FILE")]
    peer: PathBuf,
    /// What the new key is [default: aes-256-gcm]
    #[arg(long, short, value_name = "NAME")]
    algorithm: Option<String>,
}

/// What comes.
#[derive(Args)]
#[group(skip)]
#[command(group(ArgGroup::new("source").required(true).args(["input", "public_key", "wrapped"])))]
struct Source {
    /// File with the key itself; - is stdin
    #[arg(long = "in", value_name = "FILE", id = "input")]
    input: Option<PathBuf>,
    /// File with a public key, PEM: it verifies and encrypts
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// A wrapped key in base64; @FILE and - take it from a file and stdin
    #[arg(long, value_name = "WRAPPED", value_parser = given::parse)]
    wrapped: Option<Given>,
    /// It is wrapped under this one-time key, which `import-key` made
    #[arg(long, value_name = "ID", requires = "wrapped")]
    import_key: Option<String>,
    /// It is wrapped under this key here
    #[arg(long, value_name = "NAME", requires = "wrapped", conflicts_with = "import_key")]
    wrapping_key: Option<String>,
    /// Hash of OAEP [default: sha2-256]
    #[arg(long, value_name = "HASH", requires = "wrapped")]
    hash: Option<String>,
}

/// How a one-time key wraps.
#[derive(Clone, Copy, ValueEnum)]
enum WrapBy {
    /// ML-KEM-768 and AES-KWP
    #[value(name = "ml-kem-768")]
    MlKem768,
    /// RSA-4096 with OAEP and AES-KWP
    RsaOaep,
}

/// Imports a key.
///
/// # Errors
/// Where the server refuses, or what comes cannot be read.
pub(super) async fn import(session: &Session, arguments: &Import) -> Result<(), Failure> {
    let client = session.client()?;
    let source = arguments.source.source(&client).await?;
    let create = arguments.settings.create(&arguments.name, Some(&arguments.algorithm), Some(source));
    let key = client.key_create(&create).await.map_err(|error| taken(error, &arguments.name))?;
    session.output.note(format!("imported key {}, {}, {}", key.name, key.algorithm, key.id));
    Ok(())
}

/// Imports a version.
///
/// # Errors
/// As [`import`].
pub(super) async fn import_version(session: &Session, arguments: &ImportVersion) -> Result<(), Failure> {
    let client = session.client()?;
    let import = KeyImportVersion { source: arguments.source.source(&client).await?, version: arguments.version };
    let key = client.key_import_version(&arguments.name, &import).await.map_err(missing)?;
    session.output.note(format!("imported into {}; {}", key.name, super::step::standing(&key)));
    Ok(())
}

/// Makes a one-time key; its public part goes to stdout, its id to stderr.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn import_key(session: &Session, arguments: &ImportKey) -> Result<(), Failure> {
    let wrap = match arguments.wrap {
        WrapBy::MlKem768 => ML_KEM,
        WrapBy::RsaOaep => "rsa-oaep",
    };
    let made = session.client()?.key_import_begin(&KeyImportBegin { wrap: wrap.to_owned() }).await?;
    session.output.show_text(&made, |made| &made.public_key)?;
    session.output.note(format!("for one import until {}: --import-key {}", made.expires_time, made.id));
    Ok(())
}

/// Shows the store's wrapping key.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn wrapping_key(session: &Session) -> Result<(), Failure> {
    let key = session.client()?.key_wrapping_key().await?;
    session.output.show_text(&key, |key| &key.public_key)
}

/// Agrees on a key.
///
/// # Errors
/// Where the server refuses, or the file cannot be read.
pub(super) async fn agree(session: &Session, arguments: &Agree) -> Result<(), Failure> {
    let wanted = KeyAgree {
        base: arguments.base.clone(),
        base_version: arguments.version,
        peer_public_key: input::text_file(&arguments.peer, PEM_LIMIT)?,
        algorithm: arguments.algorithm.clone(),
    };
    let agreed = session.client()?.key_agree(&arguments.name, &wanted).await;
    let key = agreed.map_err(|error| taken(error, &arguments.name))?;
    session.output.note(format!("agreed on key {}, {}, {}", key.name, key.algorithm, key.id));
    Ok(())
}

impl Source {
    async fn source(&self, client: &Client) -> Result<KeySource, Failure> {
        if let Some(path) = &self.public_key {
            return Ok(KeySource::PublicKey(input::text_file(path, PEM_LIMIT)?));
        }
        if let Some(wrapped) = &self.wrapped {
            let by = match (&self.import_key, &self.wrapping_key) {
                (Some(id), _) => Some(KeyWrappedBy::ImportKey(id.parse().map_err(|_| {
                    Failure::local("--import-key names no one-time key")
                        .hint("it is the id that 'coffer keys import-key' showed")
                })?)),
                (None, Some(name)) => Some(KeyWrappedBy::Key(name.clone())),
                (None, None) => None,
            };
            let ciphertext = wrapped.text("wrapped key")?.expose().clone();
            return Ok(KeySource::Wrapped(KeyWrappedKey { ciphertext, by, hash: self.hash.clone() }));
        }
        let path = self.input.as_deref().ok_or_else(|| Failure::local("no key given"))?;
        let bytes = match path.to_str() {
            Some("-") => input::stdin_bytes()?,
            Some(_) | None => input::file_bytes(path)?,
        };
        wrapped(client, &unarmoured(&bytes)?).await
    }
}

/// Wraps a key under a one-time key of the server.
async fn wrapped(client: &Client, key: &[u8]) -> Result<KeySource, Failure> {
    let made = client.key_import_begin(&KeyImportBegin { wrap: ML_KEM.to_owned() }).await?;
    let unusable = || Failure::new(Exit::Server, "the server's import key cannot be used");
    let public = PublicKey::from_pem(Algorithm::MlKem768, &made.public_key).map_err(|_| unusable())?;
    let wrapped = public.prepare().and_then(|public| public.wrap(key));
    let wrapped = wrapped.map_err(|error| Failure::local(format!("the key cannot be wrapped: {error}")))?;
    let by = Some(KeyWrappedBy::ImportKey(made.id));
    Ok(KeySource::Wrapped(KeyWrappedKey { ciphertext: STANDARD.encode(wrapped), by, hash: None }))
}

/// The bytes in PEM, or those that are none as they are.
fn unarmoured(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.trim_start().starts_with("-----BEGIN ") => text,
        Ok(_) | Err(_) => return Ok(Zeroizing::new(bytes.to_owned())),
    };
    let mut lines = text.trim().lines().map(str::trim);
    let label = lines.next().unwrap_or_default();
    if !matches!(label, "-----BEGIN PRIVATE KEY-----" | "-----BEGIN RSA PRIVATE KEY-----") {
        return Err(Failure::local("the PEM file holds no private key in PKCS#8")
            .hint("'openssl pkcs8 -topk8 -nocrypt' makes one; --public-key takes a public key"));
    }
    let body = Zeroizing::new(lines.take_while(|line| !line.starts_with("-----END ")).collect::<String>());
    STANDARD.decode(&*body).map(Zeroizing::new).map_err(|_| Failure::local("the PEM file is malformed"))
}

const ML_KEM: &str = "ml-kem-768";
const PEM_LIMIT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_key_comes_out_of_pem_and_everything_else_stays() {
        let pem = "\n-----BEGIN PRIVATE KEY-----\r\nAQID\r\nBA==\r\n-----END PRIVATE KEY-----\r\n";
        assert_eq!(*unarmoured(pem.as_bytes()).unwrap(), [1, 2, 3, 4]);
        assert_eq!(*unarmoured(b"\xff-----BEGIN").unwrap(), b"\xff-----BEGIN");
        for bad in ["-----BEGIN EC PRIVATE KEY-----\nAQID\n", "-----BEGIN PRIVATE KEY-----\n!\n", "-----BEGIN "] {
            assert!(unarmoured(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
