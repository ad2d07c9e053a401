//! Keys that come from elsewhere, wrapped: under the store's wrapping key, as transit has it, under a one-time key of the
//! native API, or under another key here.

use std::sync::Arc;

use coffer_api::Code;
use coffer_crypto::{
    hash,
    keys::{Algorithm, KeyMaterial, PublicKey, Usage},
};
use coffer_storage::Expect;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    super::{
        create::{KeyCreate, key_record},
        entry::{KeyEntry, Usages},
        store::{NewVersion, StoredMaterial},
        view::KeyView,
    },
    CompromisedGrant, TextKind,
    input::{Input, decode},
    text::Text,
    version_of,
    wrapping::{STORE_ROW, WrappingRow, once_row},
};
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    commit::{Edit, Logged},
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// Bytes of a wrapped key at most.
const MAX_WRAPPED: usize = 64 << 10;

/// What is to be imported.
#[derive(Clone, Copy)]
pub enum ImportSource<'a> {
    /// A public key in PEM, which verifies and encrypts.
    Public {
        /// SubjectPublicKeyInfo.
        pem: &'a str,
    },
    /// A key, wrapped: PKCS#8 in DER, or the bytes of a symmetric one.
    Wrapped {
        /// As the wrapping key's way of wrapping has it.
        ciphertext: Input<'a>,
        /// Of OAEP, where the wrapping key is RSA.
        hash: hash::Algorithm,
        /// What it is wrapped under.
        by: WrappedBy<'a>,
    },
}

/// What an imported key is wrapped under.
#[derive(Clone, Copy, Debug)]
pub enum WrappedBy<'a> {
    /// Another key of the mount; the ciphertext names the version, or else it is its primary one.
    Key(&'a str),
    /// A one-time import key.
    Once(Uuid),
    /// The store's wrapping key.
    Store,
}

impl Caller {
    /// Makes a key of what is imported.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}keys/{name}/import` (and on `{mount}keys/{wrapping}/unwrap`, where it is
    /// wrapped under another key here); [`Code::Conflict`] where there is a key of this name; [`Code::Invalid`] for what does
    /// not unwrap, and for keys that are weak, malformed, or of another type; [`Code::NotFound`] without such a one-time key.
    pub async fn key_import(
        &self,
        mount: &Mount,
        name: &str,
        mut create: KeyCreate,
        source: ImportSource<'_>,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let record = self.record("key.import", format!("{}keys/{name}/import", mount.path));
        self.recorded(record.clone(), async {
            self.authorise(&record.path, Operation::Update, parameters)?;
            create.imported = true;
            if self.active.key_entry(mount.id, name).await?.is_some() {
                return Err(exists());
            }
            let brought = self.bring(mount, create.algorithm, source).await?;
            let usages = create.usages.unwrap_or_else(|| Usages::of(create.algorithm));
            let version = match brought.what {
                What::Public(public) => {
                    if create.derived {
                        return Err(Error::invalid("unable to import only public key for derived key"));
                    }
                    NewVersion::Public(public)
                }
                What::Secret(material) => {
                    if create.algorithm == Algorithm::Hmac {
                        create.key_size = u16::try_from(material.encoded().len()).unwrap_or(u16::MAX);
                    }
                    NewVersion::Secret(StoredMaterial::with_usages(usages, material)?)
                }
            };
            let guard = self.active.key_lock(mount.id, name).await;
            if self.active.key_entry(mount.id, name).await?.is_some() {
                return Err(exists());
            }
            let mut edit = Edit::under(guard);
            if let Some((row, revision)) = brought.once {
                edit.delete(row, Some(Expect::Revision(revision)));
            }
            let record = record.fact("wrapped_by", source.kind());
            let (entry, logged) = self.active.key_make(mount.id, name, &create, vec![version], edit, record).await?;
            Ok(Done::Logged(self.active.key_view(&entry).await?, logged))
        })
        .await
    }

    /// Adds what is imported to an imported key: as a version that becomes its primary one, or, where `version` or the
    /// highest has a public part alone that fits, as that version's private part.
    ///
    /// # Errors
    /// As [`Caller::key_import`], with update on `{mount}keys/{name}/import_version`; [`Code::NotFound`] without such a
    /// key; [`Code::Invalid`] where the key was not imported, or its version has a private part.
    pub async fn key_import_version(
        &self,
        mount: &Mount,
        name: &str,
        source: ImportSource<'_>,
        version: Option<u32>,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let record = self.record("key.import_version", format!("{}keys/{name}/import_version", mount.path));
        self.recorded(record.clone(), async {
            self.authorise(&record.path, Operation::Update, parameters)?;
            let found = self.active.key_entry(mount.id, name).await?.ok_or_else(|| no_key_to_import_to(name))?;
            check_imported(found.value.imported, found.value.convergent)?;
            let brought = self.bring(mount, found.value.algorithm, source).await?;
            let record = record.fact("wrapped_by", source.kind());
            let (entry, logged) = self.add_version(mount, name, brought, version, record).await?;
            Ok(Done::Logged(self.active.key_view(&entry).await?, logged))
        })
        .await
    }

    async fn add_version(
        &self,
        mount: &Mount,
        name: &str,
        brought: Brought,
        version: Option<u32>,
        record: Record,
    ) -> Result<(KeyEntry, Logged), Error> {
        let active = &self.active;
        let guard = active.key_lock(mount.id, name).await;
        let found = active.key_entry(mount.id, name).await?.ok_or_else(|| no_key_to_import_to(name))?;
        let mut entry = found.value.clone();
        check_imported(entry.imported, entry.convergent)?;
        entry.check_enabled()?;
        let mut edit = Edit::under(guard);
        if let Some((row, revision)) = brought.once {
            edit.delete(row, Some(Expect::Revision(revision)));
        }
        let now = active.clock.now();
        let number = match brought.what {
            What::Public(_) if version.is_some() => {
                return Err(Error::invalid(
                    "cannot add a public key to a key version that already has a public key set",
                ));
            }
            What::Public(public) => {
                if entry.derived {
                    return Err(Error::invalid("unable to import only public key for derived key"));
                }
                let number = active.new_version(&mut entry, &NewVersion::Public(public), BEGIN, &mut edit)?;
                entry.make_primary(number, now)?;
                number
            }
            What::Secret(material) => {
                let stored = StoredMaterial::with_usages(entry.usages, material)?;
                match active.completed_version(&entry, version, &stored).await? {
                    Some(number) => {
                        active.complete_version(&mut entry, number, &stored, &mut edit)?;
                        number
                    }
                    None => {
                        let number = active.new_version(&mut entry, &NewVersion::Secret(stored), BEGIN, &mut edit)?;
                        entry.make_primary(number, now)?;
                        number
                    }
                }
            }
        };
        entry.updated_ms = now;
        active.key_put(Some(&found), &entry, &mut edit)?;
        let mut record = key_record(record, &entry);
        record.version = Some(u64::from(number));
        let logged = self.commit(edit, record).await?;
        Ok((entry, logged))
    }

    /// Unwraps and checks what is imported, off the runtime's threads.
    async fn bring(&self, mount: &Mount, algorithm: Algorithm, source: ImportSource<'_>) -> Result<Brought, Error> {
        let (ciphertext, hash, by) = match source {
            ImportSource::Public { pem } => {
                if !algorithm.is_asymmetric() {
                    return Err(Error::invalid("provided type does not support public_key import"));
                }
                let public = PublicKey::from_pem(algorithm, pem).map_err(refused_key)?;
                return Ok(Brought { what: What::Public(public), once: None });
            }
            ImportSource::Wrapped { ciphertext, hash, by } => (ciphertext, hash, by),
        };
        if ciphertext.len() > MAX_WRAPPED {
            return Err(Error::new(Code::TooLarge, "a wrapped key has at most 64 KiB"));
        }
        let mut once = None;
        let (wrapping, wrapped) = match by {
            WrappedBy::Key(name) => self.wrapping_version(mount, name, ciphertext).await?,
            WrappedBy::Once(id) => {
                let row = once_row(id);
                let gone =
                    || Error::new(Code::NotFound, "there is no such one-time import key, or it was used or expired");
                let found = self.active.row::<WrappingRow>(&row).await?.ok_or_else(gone)?;
                if found.value.mount != Some(mount.id) || found.value.expires_ms <= self.active.clock.now() {
                    return Err(gone());
                }
                let material = found.value.material(&row)?;
                once = Some((row, found.revision));
                (Wrapping::Material(material), read(ciphertext)?)
            }
            WrappedBy::Store => {
                let found = self.active.row::<WrappingRow>(STORE_ROW).await?;
                let Some(Found { value, .. }) = found else { return Err(unwraps_not()) };
                (Wrapping::Row(value), read(ciphertext)?)
            }
        };
        let unwrap = move || -> Result<KeyMaterial, Error> {
            let bytes = wrapping.unwrap(hash, &wrapped)?;
            check_length(algorithm, bytes.len())?;
            KeyMaterial::import(algorithm, &bytes).map_err(refused_key)
        };
        let material = tokio::task::spawn_blocking(unwrap).await.map_err(Error::internal)??;
        Ok(Brought { what: What::Secret(material), once })
    }

    /// The version of a key here that opens a wrapped key, and what there is to open.
    async fn wrapping_version(
        &self,
        mount: &Mount,
        name: &str,
        ciphertext: Input<'_>,
    ) -> Result<(Wrapping, Zeroizing<Vec<u8>>), Error> {
        self.authorise(&format!("{}keys/{name}/unwrap", mount.path), Operation::Update, &())?;
        let missing = || Error::new(Code::NotFound, "there is no such wrapping key");
        let key = self.active.loaded_key(mount, name).await?.ok_or_else(missing)?;
        let mut bytes = Zeroizing::default();
        let text = match ciphertext {
            Input::Base64(text) if text.starts_with("vault:") => Some(Text::parse(TextKind::Ciphertext, text)?),
            Input::Base64(_) | Input::Raw(_) => None,
        };
        let number = match text {
            Some(text) => {
                decode(text.encoded, &mut bytes).map_err(|_| unwraps_not())?;
                version_of(&text, TextKind::Ciphertext, &key)?
            }
            None => {
                bytes = read(ciphertext)?;
                key.entry.primary.unwrap_or(key.entry.latest)
            }
        };
        let (_, permit) = key.entry.for_process(Usage::Wrap, number)?;
        CompromisedGrant::new(self, mount, name).check(permit)?;
        let version = key.version(&self.active, number).await?;
        Ok((Wrapping::Version(version), bytes))
    }
}

impl Active {
    /// The version whose private part the material is: the one that is named, else the highest where it fits.
    async fn completed_version(
        &self,
        entry: &KeyEntry,
        version: Option<u32>,
        stored: &StoredMaterial,
    ) -> Result<Option<u32>, Error> {
        let number = version.unwrap_or(entry.latest);
        let Some(known) = entry.version(number) else {
            return match version {
                Some(_) => Err(Error::invalid("version does not exist or cannot be found")),
                None => Ok(None),
            };
        };
        if known.object.is_some() {
            return match version {
                Some(_) => Err(Error::invalid("private key imported, key version cannot be updated")),
                None => Ok(None),
            };
        }
        let public = self.public_key(entry, number).await?;
        let fits = stored.material.public()?.is_some_and(|own| own.raw() == public.raw());
        match (fits, version) {
            (true, _) => Ok(Some(number)),
            (false, None) => Ok(None),
            (false, Some(_)) => Err(Error::invalid("the private key does not belong to the version's public key")),
        }
    }
}

impl ImportSource<'_> {
    /// As records name it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Public { .. } => "nothing",
            Self::Wrapped { by: WrappedBy::Key(_), .. } => "key",
            Self::Wrapped { by: WrappedBy::Once(_), .. } => "import_key",
            Self::Wrapped { by: WrappedBy::Store, .. } => "wrapping_key",
        }
    }
}

/// What was imported, checked.
struct Brought {
    what: What,
    /// The one-time key's row and its revision.
    once: Option<(String, coffer_storage::Revision)>,
}

enum What {
    Public(PublicKey),
    Secret(KeyMaterial),
}

/// What opens a wrapped key.
enum Wrapping {
    Material(KeyMaterial),
    Row(WrappingRow),
    Version(Arc<super::loaded::LoadedVersion>),
}

impl Wrapping {
    fn unwrap(&self, hash: hash::Algorithm, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let prepared;
        let key = match self {
            Self::Material(material) => {
                prepared = material.prepare()?;
                &prepared
            }
            Self::Row(row) => {
                prepared = row.material(STORE_ROW)?.prepare()?;
                &prepared
            }
            Self::Version(version) => &version.key,
        };
        let unwrapped = match key.algorithm() {
            Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => key.unwrap_rsa(hash, wrapped),
            _ => key.unwrap(wrapped),
        };
        unwrapped.map_err(|error| match error {
            coffer_crypto::Error::Authentication
            | coffer_crypto::Error::Parameters(_)
            | coffer_crypto::Error::Truncated => unwraps_not(),
            coffer_crypto::Error::Unsupported(why) => Error::invalid(why),
            other => other.into(),
        })
    }
}

fn read(ciphertext: Input<'_>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut buffer = Zeroizing::default();
    match ciphertext {
        Input::Raw(bytes) => Ok(Zeroizing::new(bytes.to_vec())),
        Input::Base64(text) => {
            let wrong = |at| {
                let vault = format!("illegal base64 data at input byte {at}");
                Error::invalid("the wrapped key is no base64 text").in_vault(vault)
            };
            decode(text, &mut buffer).map_err(wrong)?;
            Ok(buffer)
        }
    }
}

fn check_imported(imported: bool, convergent: bool) -> Result<(), Error> {
    match (imported, convergent) {
        (false, _) => {
            Err(Error::invalid("versions are imported into an imported key alone, and this one was made here")
                .in_vault("the import_version endpoint can only be used with an imported key"))
        }
        (true, true) => Err(Error::invalid("no version is imported into a convergent key")
            .in_vault("import_version cannot be used on keys with convergent encryption enabled")),
        (true, false) => Ok(()),
    }
}

/// Symmetric keys are as long as they are.
fn check_length(algorithm: Algorithm, len: usize) -> Result<(), Error> {
    let fits = match algorithm {
        Algorithm::Aes128Gcm => len == 16,
        Algorithm::Aes256Gcm | Algorithm::ChaCha20Poly1305 | Algorithm::XChaCha20Poly1305 | Algorithm::Xaes256Gcm => {
            len == 32
        }
        Algorithm::Hmac => (32..=512).contains(&len),
        // The library looks at these.
        Algorithm::EcdsaP256
        | Algorithm::EcdsaP384
        | Algorithm::EcdsaP521
        | Algorithm::Ed25519
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512
        | Algorithm::MlDsa44
        | Algorithm::MlDsa65
        | Algorithm::MlDsa87
        | Algorithm::MlKem512
        | Algorithm::MlKem768
        | Algorithm::MlKem1024
        | Algorithm::Rsa2048
        | Algorithm::Rsa3072
        | Algorithm::Rsa4096
        | Algorithm::XWing => true,
    };
    match fits {
        true => Ok(()),
        false => {
            let vault = format!("invalid key size {len} bytes for key type {}", algorithm.name());
            let native = format!("no key of the algorithm {} has {len} bytes", algorithm.name());
            Err(Error::invalid(native).in_vault(vault))
        }
    }
}

/// What a key that is refused is refused for.
fn refused_key(error: coffer_crypto::Error) -> Error {
    match error {
        coffer_crypto::Error::InvalidKey(why) => Error::invalid(format!("the key cannot be imported: {why}")),
        coffer_crypto::Error::Parameters(why) | coffer_crypto::Error::Unsupported(why) => Error::invalid(why),
        other => other.into(),
    }
}

fn exists() -> Error {
    let vault =
        "the import path cannot be used with an existing key; use import-version to rotate an existing imported key";
    Error::new(Code::Conflict, "there is a key of this name; import-version adds a version to an imported one")
        .in_vault(vault)
}

fn no_key_to_import_to(name: &str) -> Error {
    let vault = format!("no key found with name {name}; to import a new key, use the import/ endpoint");
    Error::new(Code::NotFound, format!("there is no key {name:?}")).in_vault(vault)
}

fn unwraps_not() -> Error {
    Error::invalid("the ciphertext does not unwrap: it is of another wrapping key or hash function, or damaged")
}

/// How an imported version begins.
const BEGIN: super::super::state::KeyState = super::super::state::KeyState::Active;
