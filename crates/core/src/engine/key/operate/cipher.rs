//! Encrypting, decrypting and encrypting anew under another version.

use std::sync::Arc;

use coffer_crypto::{
    keys::{Algorithm, Usage},
    rng::Nonces,
};
use zeroize::Zeroizing;

use super::{
    super::{create::KeyCreate, store::NewVersion},
    Batch, CompromisedGrant, Derivation, Derived, Fault, KeyFault, KeyOperation, TextFault, TextKind, Versions,
    check_size,
    fault::InputField,
    input::{Input, decode},
    key_not_found,
    loaded::{Half, LoadedKey, LoadedVersion},
    note_key, of_itself,
    pace::nanos,
    requested, supported,
    text::{Text, base64, text},
    version_of,
};
use crate::{
    Caller, Dialect, Error,
    commit::Edit,
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// A message to be encrypted.
#[derive(Clone, Copy, Default)]
pub struct EncryptItem<'a> {
    /// The message; it may be empty.
    pub plaintext: Input<'a>,
    /// Chooses the key of a derived one.
    pub context: Input<'a>,
    /// Bound to the ciphertext and not in it.
    pub associated_data: Input<'a>,
    /// 0 = the primary one.
    pub key_version: i64,
}

/// A ciphertext to be opened.
#[derive(Clone, Copy, Default)]
pub struct DecryptItem<'a> {
    /// `vault:v<version>:` and base64.
    pub ciphertext: &'a str,
    /// As it was encrypted with.
    pub context: Input<'a>,
    /// As it was encrypted with.
    pub associated_data: Input<'a>,
}

/// A ciphertext to be made anew.
#[derive(Clone, Copy, Default)]
pub struct RewrapItem<'a> {
    /// `vault:v<version>:` and base64.
    pub ciphertext: &'a str,
    /// As it was encrypted with, and is again.
    pub context: Input<'a>,
    /// As it was encrypted with, and is again.
    pub associated_data: Input<'a>,
    /// Of the new one; 0 = the primary one.
    pub key_version: i64,
}

/// What encrypting gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encrypted {
    /// `vault:v<version>:` and base64.
    pub ciphertext: String,
    /// That encrypted.
    pub key_version: u32,
}

/// What decrypting gives.
pub struct Decrypted {
    /// The message in base64; wiped on drop.
    pub plaintext: Zeroizing<String>,
    /// That had encrypted.
    pub key_version: u32,
}

impl Caller {
    /// Encrypts each item under the key.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}encrypt/{name}` (create, where there is no such key);
    /// [`coffer_api::Code::NotFound`] where there is none; [`coffer_api::Code::Invalid`] for no items,
    /// [`coffer_api::Code::TooLarge`] for more than [`super::MAX_BATCH`]. What is wrong with an item is its own result.
    pub async fn key_encrypt(
        &self,
        mount: &Mount,
        name: &str,
        items: &[EncryptItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<Encrypted>, Error> {
        let mut record = self.record("key.encrypt", format!("{}encrypt/{name}", mount.path));
        let result = self.encrypt(mount, name, items, parameters, &mut record).await;
        self.settled(record, result).await
    }

    /// As [`Caller::key_encrypt`]; a key that is not there is made first, where the engine's settings allow it and `create`
    /// says how.
    ///
    /// # Errors
    /// As [`Caller::key_encrypt`], and that of `create`, where there is no such key and the caller may make it.
    pub async fn key_encrypt_or_create(
        &self,
        mount: &Mount,
        name: &str,
        create: Result<KeyCreate, Error>,
        items: &[EncryptItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<Encrypted>, Error> {
        let mut record = self.record("key.encrypt", format!("{}encrypt/{name}", mount.path));
        let result = async {
            if self.active.loaded_key(mount, name).await?.is_none()
                && self.create_to_encrypt(mount, name, create, items, parameters, &record).await?
            {
                let key = self.active.loaded_key(mount, name).await?.ok_or_else(key_not_found)?;
                return self.encrypt_under(&key, items, &mut record).await;
            }
            self.encrypt(mount, name, items, parameters, &mut record).await
        };
        let result = Box::pin(result).await;
        self.settled(record, result).await
    }

    /// Decrypts each item.
    ///
    /// # Errors
    /// As [`Caller::key_encrypt`], with update on `{mount}decrypt/{name}`.
    pub async fn key_decrypt(
        &self,
        mount: &Mount,
        name: &str,
        items: &[DecryptItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<Decrypted>, Error> {
        let mut record = self.record("key.decrypt", format!("{}decrypt/{name}", mount.path));
        let result = self.decrypt(mount, name, items, parameters, &mut record).await;
        self.settled(record, result).await
    }

    /// Encrypts what each item holds anew, without showing it to anybody.
    ///
    /// # Errors
    /// As [`Caller::key_encrypt`], with update on `{mount}rewrap/{name}`.
    pub async fn key_rewrap(
        &self,
        mount: &Mount,
        name: &str,
        items: &[RewrapItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<Encrypted>, Error> {
        let mut record = self.record("key.rewrap", format!("{}rewrap/{name}", mount.path));
        let result = self.rewrap(mount, name, items, parameters, &mut record).await;
        self.settled(record, result).await
    }

    async fn encrypt(
        &self,
        mount: &Mount,
        name: &str,
        items: &[EncryptItem<'_>],
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Batch<Encrypted>, Error> {
        let found = self.active.loaded_key(mount, name).await?;
        let operation = if found.is_some() { Operation::Update } else { Operation::Create };
        self.authorise(&record.path, operation, parameters)?;
        let key = found.ok_or_else(key_not_found)?;
        self.encrypt_under(&key, items, record).await
    }

    /// Makes the key that is not there, with a record of its own. `false` where another request came first.
    async fn create_to_encrypt(
        &self,
        mount: &Mount,
        name: &str,
        create: Result<KeyCreate, Error>,
        items: &[EncryptItem<'_>],
        parameters: &dyn Parameters,
        record: &Record,
    ) -> Result<bool, Error> {
        self.authorise(&record.path, Operation::Create, parameters)?;
        check_size(items.len())?;
        if self.active.key_settings(mount.id).await?.value.disable_upsert {
            return Err(key_not_found());
        }
        let create = create?;
        // Made before the key's lock is taken, as whoever shares it would wait too.
        let entry = create.entry(mount.id, name, self.active.clock.now())?;
        let first = NewVersion::Secret(self.active.key_generate(&entry).await?);
        let guard = self.active.key_lock(mount.id, name).await;
        if self.active.key_entry(mount.id, name).await?.is_some() {
            return Ok(false);
        }
        let record = self.record("key.create", &record.path);
        let (_, logged) =
            self.active.key_make(mount.id, name, &create, vec![first], Edit::under(guard), record).await?;
        logged.spend();
        Ok(true)
    }

    async fn encrypt_under(
        &self,
        key: &Arc<LoadedKey>,
        items: &[EncryptItem<'_>],
        record: &mut Record,
    ) -> Result<Batch<Encrypted>, Error> {
        note_key(record, key);
        check_size(items.len())?;
        let mut sealer = Sealer::new(self, key, items.len());
        sealer.need(self, key, items.iter().map(|item| item.key_version), record).await?;
        let algorithm = key.entry.algorithm;
        let cost = |item: &EncryptItem<'_>| nanos(algorithm, KeyOperation::Encrypt, item.plaintext.len());
        let mut buffer = Zeroizing::default();
        let seal = |item: &EncryptItem<'_>| {
            let plaintext = item.plaintext.bytes(&mut buffer);
            let plaintext = plaintext.map_err(|at| Fault::Base64 { field: InputField::Plaintext, at })?;
            sealer.seal(plaintext, item.context, item.associated_data, item.key_version)
        };
        Ok(self.active.paced(items, cost, seal).await)
    }

    async fn decrypt(
        &self,
        mount: &Mount,
        name: &str,
        items: &[DecryptItem<'_>],
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Batch<Decrypted>, Error> {
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        check_size(items.len())?;
        let mut opener = Opener::new(self, mount, &key);
        opener.need(self, &key, items.iter().map(|item| item.ciphertext), record).await?;
        let algorithm = key.entry.algorithm;
        let cost = |item: &DecryptItem<'_>| nanos(algorithm, KeyOperation::Decrypt, item.ciphertext.len());
        let open = |item: &DecryptItem<'_>| {
            let (plaintext, key_version) = opener.open(item.ciphertext, item.context, item.associated_data)?;
            Ok(Decrypted { plaintext: base64(plaintext), key_version })
        };
        Ok(self.active.paced(items, cost, open).await)
    }

    async fn rewrap(
        &self,
        mount: &Mount,
        name: &str,
        items: &[RewrapItem<'_>],
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Batch<Encrypted>, Error> {
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        check_size(items.len())?;
        let mut opener = Opener::new(self, mount, &key);
        opener.need(self, &key, items.iter().map(|item| item.ciphertext), record).await?;
        let mut sealer = Sealer::new(self, &key, items.len());
        sealer.need(self, &key, items.iter().map(|item| item.key_version), record).await?;
        let algorithm = key.entry.algorithm;
        let cost = |item: &RewrapItem<'_>| {
            let bytes = item.ciphertext.len();
            nanos(algorithm, KeyOperation::Decrypt, bytes) + nanos(algorithm, KeyOperation::Encrypt, bytes)
        };
        let rewrap = |item: &RewrapItem<'_>| {
            let (plaintext, _) = opener.open(item.ciphertext, item.context, item.associated_data)?;
            sealer.seal(plaintext, item.context, item.associated_data, item.key_version)
        };
        Ok(self.active.paced(items, cost, rewrap).await)
    }
}

/// Encrypts the items of one request. Its buffers serve one item after the other.
pub(super) struct Sealer<'k> {
    versions: Versions<'k>,
    dialect: Dialect,
    derived: Derived,
    context: Zeroizing<Vec<u8>>,
    associated_data: Zeroizing<Vec<u8>>,
    nonces: Nonces,
    sealed: Vec<u8>,
}

/// Decrypts the items of one request. Its buffers serve one item after the other.
struct Opener<'k, 'c> {
    versions: Versions<'k>,
    dialect: Dialect,
    derived: Derived,
    grant: CompromisedGrant<'c>,
    bytes: Zeroizing<Vec<u8>>,
    context: Zeroizing<Vec<u8>>,
    associated_data: Zeroizing<Vec<u8>>,
    opened: Zeroizing<Vec<u8>>,
}

impl<'k> Sealer<'k> {
    pub(super) fn new(caller: &Caller, key: &'k LoadedKey, messages: usize) -> Self {
        Self {
            versions: Versions::of(key),
            dialect: caller.cx.dialect,
            derived: Derived::default(),
            context: Zeroizing::default(),
            associated_data: Zeroizing::default(),
            nonces: Nonces::of(messages),
            sealed: Vec::new(),
        }
    }

    /// Loads the versions that are asked for and counts their uses. What cannot be used is found item by item.
    pub(super) async fn need(
        &mut self,
        caller: &Caller,
        key: &Arc<LoadedKey>,
        asked: impl Iterator<Item = i64>,
        record: &mut Record,
    ) -> Result<(), Error> {
        let mut runs: Vec<(u32, u32)> = Vec::with_capacity(1);
        let (mut last, mut current) = (None, 0);
        for asked in asked {
            // Most batches ask for the same all along.
            if last != Some(asked) {
                let Ok(number) = sealing_version(self.versions.key, asked) else { continue };
                self.versions.need(caller, key, number).await?;
                record.version = Some(u64::from(number));
                last = Some(asked);
                current = runs.iter().position(|(known, _)| *known == number).unwrap_or(runs.len());
                if current == runs.len() {
                    runs.push((number, 0));
                }
            }
            if let Some((_, uses)) = runs.get_mut(current) {
                *uses += 1;
            }
        }
        for (number, uses) in runs {
            let Some(counter) = self.versions.get(number).and_then(|version| version.uses.clone()) else { continue };
            if !counter.take(uses) {
                caller.active.count_use(&key.entry, number, uses).await?;
            }
        }
        Ok(())
    }

    /// Encrypts one message.
    pub(super) fn seal(
        &mut self,
        plaintext: &[u8],
        context: Input<'_>,
        associated_data: Input<'_>,
        asked: i64,
    ) -> Result<Encrypted, KeyFault> {
        let context = context.bytes(&mut self.context);
        let context = context.map_err(|at| Fault::Base64 { field: InputField::Context, at })?;
        let entry = &self.versions.key.entry;
        let algorithm = entry.algorithm;
        let associated_data = read_associated_data(algorithm, associated_data, &mut self.associated_data)?;
        let number = sealing_version(self.versions.key, asked)?;
        let version = self.versions.loaded(number)?;
        let key = match (entry.derived, entry.convergent) {
            (true, true) => self.derived.key(version, context, Derivation::Convergent)?,
            (true, false) => self.derived.key(version, context, Derivation::Ordinary)?,
            (false, _) => of_itself(version, context, self.dialect)?,
        };
        key.encrypt_into(&mut self.nonces, associated_data, plaintext, &mut self.sealed)
            .map_err(|error| Fault::of_crypto(error, KeyOperation::Encrypt, algorithm))?;
        Ok(Encrypted { ciphertext: text(number, &self.sealed), key_version: number })
    }
}

impl<'k, 'c> Opener<'k, 'c> {
    fn new(caller: &'c Caller, mount: &Mount, key: &'k LoadedKey) -> Self {
        Self {
            versions: Versions::of(key),
            dialect: caller.cx.dialect,
            derived: Derived::default(),
            grant: CompromisedGrant::new(caller, mount, &key.entry.name),
            bytes: Zeroizing::default(),
            context: Zeroizing::default(),
            associated_data: Zeroizing::default(),
            opened: Zeroizing::default(),
        }
    }

    /// Loads the versions that the texts name, as far as they may be used.
    async fn need(
        &mut self,
        caller: &Caller,
        key: &Arc<LoadedKey>,
        texts: impl Iterator<Item = &str>,
        record: &mut Record,
    ) -> Result<(), Error> {
        let Self { versions, grant, .. } = self;
        let named = texts.filter_map(|text| opening_version(key, text, grant).ok()).map(|(number, _)| number);
        versions.need_each(caller, key, named, record).await
    }

    /// Opens one ciphertext. The plaintext stays until the next one.
    fn open(
        &mut self,
        ciphertext: &str,
        context: Input<'_>,
        associated_data: Input<'_>,
    ) -> Result<(&[u8], u32), KeyFault> {
        let context = context.bytes(&mut self.context);
        let context = context.map_err(|at| Fault::Base64 { field: InputField::Context, at })?;
        let entry = &self.versions.key.entry;
        let algorithm = entry.algorithm;
        let associated_data = read_associated_data(algorithm, associated_data, &mut self.associated_data)?;
        let (number, encoded) = opening_version(self.versions.key, ciphertext, &mut self.grant)?;
        let malformed = |at| Fault::Text { kind: TextKind::Ciphertext, fault: TextFault::Base64 { at } };
        let bytes = decode(encoded, &mut self.bytes).map_err(malformed)?;
        let version = self.versions.loaded(number)?;
        require_private(version, KeyOperation::Decrypt)?;
        let key = match entry.derived {
            true => self.derived.key(version, context, Derivation::Ordinary)?,
            false => of_itself(version, context, self.dialect)?,
        };
        key.decrypt_into(associated_data, bytes, &mut self.opened)
            .map_err(|error| Fault::of_crypto(error, KeyOperation::Decrypt, algorithm))?;
        Ok((&self.opened, number))
    }
}

/// The number of the version that encrypts where so much was asked for.
fn sealing_version(key: &LoadedKey, asked: i64) -> Result<u32, KeyFault> {
    supported(key.entry.algorithm, Usage::Encrypt, KeyOperation::Encrypt)?;
    let asked = requested(asked, KeyOperation::Encrypt)?;
    Ok(key.entry.for_protect(Usage::Encrypt, asked)?.number)
}

/// The version that a ciphertext names, if it may be used, and what there is to decode.
fn opening_version<'t>(
    key: &LoadedKey,
    ciphertext: &'t str,
    grant: &mut CompromisedGrant<'_>,
) -> Result<(u32, &'t str), KeyFault> {
    supported(key.entry.algorithm, Usage::Encrypt, KeyOperation::Decrypt)?;
    let text = Text::parse(TextKind::Ciphertext, ciphertext)?;
    let number = version_of(&text, TextKind::Ciphertext, key)?;
    let (_, permit) = key.entry.for_process(Usage::Encrypt, number)?;
    grant.check(permit)?;
    Ok((number, text.encoded))
}

fn read_associated_data<'b>(
    algorithm: Algorithm,
    sent: Input<'b>,
    buffer: &'b mut Zeroizing<Vec<u8>>,
) -> Result<&'b [u8], KeyFault> {
    if sent.is_empty() {
        return Ok(&[]);
    }
    match algorithm {
        Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
            return Err(Fault::AssociatedDataUnsupported { algorithm });
        }
        _ => {}
    }
    match sent {
        Input::Raw(bytes) => Ok(bytes),
        Input::Base64(text) => {
            decode(text, buffer).map_err(|at| Fault::Base64 { field: InputField::AssociatedData, at })
        }
    }
}

/// What only the private half can do.
pub(super) fn require_private(version: &LoadedVersion, operation: KeyOperation) -> Result<(), KeyFault> {
    match version.half {
        Half::Private => Ok(()),
        Half::Public => Err(Fault::NoPrivatePart { operation }),
    }
}
