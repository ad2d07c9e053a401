//! Keys in memory, parsed and checked once: what a name stands for, with those of its versions that are in use. Everything
//! here goes with `Active`, so nothing of it outlasts a seal.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use coffer_api::Code;
use coffer_crypto::keys::{Algorithm, KeyMaterial, PreparedKey};
use tokio::sync::{OnceCell, Semaphore};
use uuid::Uuid;

use super::super::{entry::KeyEntry, public_row, store::StoredMaterial, uses::UseCounter};
use crate::{
    Error,
    active::{Active, Found},
    cache::{Coherent, Weigh},
    codec,
    mount::Mount,
};

/// Bytes that loaded keys may take, by the estimates below.
const MAX_BYTES: usize = 64 << 20;
/// Versions of one key that stay loaded.
const MAX_VERSIONS: usize = 64;

/// The keys that are loaded.
pub(crate) struct LoadedKeys {
    by_name: Coherent<(Uuid, Box<str>), LoadedKey>,
    /// Slow work waits here for its turn on the processors.
    pub(super) turns: Semaphore,
}

/// A key as it is stored, and those of its versions that were used.
pub(crate) struct LoadedKey {
    pub(crate) entry: KeyEntry,
    slots: Box<[Slot]>,
    loaded: AtomicUsize,
}

/// A version, parsed.
pub(crate) struct LoadedVersion {
    pub(crate) number: u32,
    pub(crate) key: PreparedKey,
    /// Transit gives each version of a key that is not for HMACs one for HMACs beside it.
    pub(crate) hmac: Option<PreparedKey>,
    pub(crate) half: Half,
    /// Where its uses are counted.
    pub(crate) uses: Option<Arc<UseCounter>>,
}

/// What is here of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Half {
    /// All of it.
    Private,
    /// The public half alone, as it was imported.
    Public,
}

struct Slot {
    number: u32,
    version: OnceCell<Arc<LoadedVersion>>,
}

/// A mount's id and a name, to look with.
#[derive(Hash)]
struct At<'a>(Uuid, &'a str);

impl LoadedKeys {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { by_name: Coherent::new(MAX_BYTES, 4096), turns: Semaphore::new(cores) }
    }

    /// Drops what is loaded under a name. Called where a change of that key becomes visible, under its lock.
    pub(crate) fn forget(&self, mount: Uuid, name: &str) {
        self.by_name.put((mount, name.into()), None);
    }

    /// Drops what is loaded of a mount's keys.
    pub(crate) fn forget_mount(&self, mount: Uuid) {
        self.by_name.retain(|key| key.entry.mount != mount);
    }

    fn is_current(&self, key: &Arc<LoadedKey>) -> bool {
        self.by_name.get(&At(key.entry.mount, &key.entry.name)).is_some_and(|current| Arc::ptr_eq(&current, key))
    }
}

impl quick_cache::Equivalent<(Uuid, Box<str>)> for At<'_> {
    fn equivalent(&self, key: &(Uuid, Box<str>)) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

impl LoadedKey {
    fn new(entry: KeyEntry) -> Self {
        let slots = entry.versions.iter().map(|version| Slot { number: version.number, version: OnceCell::new() });
        Self { slots: slots.collect(), loaded: AtomicUsize::new(0), entry }
    }

    /// The version, if it is loaded.
    pub(crate) fn ready(&self, number: u32) -> Option<&Arc<LoadedVersion>> {
        self.slot(number)?.version.get()
    }

    /// The version, loaded if need be.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where the key changed meanwhile; [`Code::Integrity`] where its material is damaged or gone.
    pub(crate) async fn version(self: &Arc<Self>, active: &Active, number: u32) -> Result<Arc<LoadedVersion>, Error> {
        let Some(slot) = self.slot(number) else { return self.load(active, number).await };
        if let Some(version) = slot.version.get() {
            return Ok(Arc::clone(version));
        }
        if self.loaded.load(Ordering::Relaxed) >= MAX_VERSIONS {
            return self.load(active, number).await;
        }
        let version = slot
            .version
            .get_or_try_init(|| async {
                let version = self.load(active, number).await?;
                self.loaded.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Error>(version)
            })
            .await?;
        Ok(Arc::clone(version))
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        let at = self.slots.binary_search_by_key(&number, |slot| slot.number).ok()?;
        self.slots.get(at)
    }

    async fn load(self: &Arc<Self>, active: &Active, number: u32) -> Result<Arc<LoadedVersion>, Error> {
        match load(active, &self.entry, number).await {
            // Its material went while this request was on its way to it.
            Err(error) if error.code() == Code::Integrity && !active.loaded.is_current(self) => {
                Err(Error::new(Code::Unavailable, "the key changed meanwhile; try again").caused_by(error))
            }
            loaded => loaded.map(Arc::new),
        }
    }
}

impl Weigh for LoadedKey {
    fn weight(&self) -> usize {
        // Versions that are not loaded yet may be at any time.
        let versions = self.slots.len().min(MAX_VERSIONS);
        2048 + self.slots.len() * 64 + versions * prepared_bytes(self.entry.algorithm)
    }

    fn let_go(&self) {}
}

impl Active {
    /// The key that a name stands for.
    pub(crate) async fn loaded_key(&self, mount: &Mount, name: &str) -> Result<Option<Arc<LoadedKey>>, Error> {
        let at = At(mount.id, name);
        if let Some(found) = self.loaded.by_name.get(&at) {
            return Ok(Some(found));
        }
        // The visit is the key's own, owned form and all: it must hash as what `forget` is given.
        let visit = self.loaded.by_name.visit(&at);
        let Some(Found { value: entry, .. }) = self.key_entry(mount.id, name).await? else { return Ok(None) };
        let key = Arc::new(LoadedKey::new(entry));
        self.loaded.by_name.admit(visit, (mount.id, name.into()), Arc::clone(&key));
        Ok(Some(key))
    }
}

async fn load(active: &Active, entry: &KeyEntry, number: u32) -> Result<LoadedVersion, Error> {
    let uses = active.use_counter(entry, number).await?;
    if entry.version(number).is_some_and(|version| version.object.is_none()) {
        let row = active.key_public_part(entry, number).await?;
        let row = row.ok_or_else(|| codec::damaged(&public_row(entry.mount, entry.id, number), "missing"))?;
        let key = row.value.key(entry.algorithm)?.prepare()?;
        return Ok(LoadedVersion { number, key, hmac: None, half: Half::Public, uses });
    }
    let StoredMaterial { material, hmac } = active.key_material(entry, number).await?;
    let hmac = hmac.map(|bytes| KeyMaterial::from_encoded(Algorithm::Hmac, bytes.as_slice())?.prepare()).transpose()?;
    Ok(LoadedVersion { number, key: prepare(material).await?, hmac, half: Half::Private, uses })
}

/// Parsing and checking an RSA key takes milliseconds.
async fn prepare(material: KeyMaterial) -> Result<PreparedKey, Error> {
    match material.algorithm() {
        Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
            Ok(tokio::task::spawn_blocking(move || material.prepare()).await.map_err(Error::internal)??)
        }
        _ => Ok(material.prepare()?),
    }
}

/// About what a parsed key takes.
fn prepared_bytes(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Aes128Gcm
        | Algorithm::Aes256Gcm
        | Algorithm::ChaCha20Poly1305
        | Algorithm::EcdsaP256
        | Algorithm::EcdsaP384
        | Algorithm::EcdsaP521
        | Algorithm::Ed25519
        | Algorithm::Hmac
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512
        | Algorithm::XChaCha20Poly1305
        | Algorithm::Xaes256Gcm => 2048,
        Algorithm::MlDsa44
        | Algorithm::MlDsa65
        | Algorithm::MlDsa87
        | Algorithm::MlKem512
        | Algorithm::MlKem768
        | Algorithm::MlKem1024
        | Algorithm::Rsa2048
        | Algorithm::Rsa3072
        | Algorithm::Rsa4096
        | Algorithm::XWing => 16 * 1024,
    }
}
