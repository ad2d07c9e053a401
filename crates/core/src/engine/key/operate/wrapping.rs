//! What imported keys are wrapped under: one key of the store, and one-time keys of the native API.

use coffer_api::{Code, Sensitive};
use coffer_crypto::keys::{Algorithm, KeyMaterial};
use coffer_storage::{Expect, Limit, Prefix};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec::{self, Persisted},
    commit::Edit,
    keys,
    mount::Mount,
    policy::{Operation, Parameters},
};

/// How long a one-time import key lies ready, in milliseconds: a day.
const ONCE_MS: i64 = 24 * 60 * 60 * 1000;
/// One-time import keys of a store at most.
const MAX_ONCE: usize = 256;

/// How a one-time import key wraps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ImportWrap {
    /// ML-KEM-768 and AES-KWP.
    MlKem768,
    /// RSA-4096 with OAEP, and AES-KWP.
    RsaOaep,
}

/// A one-time import key.
#[derive(Clone, Debug)]
pub struct ImportKey {
    /// Names it at the import.
    pub id: Uuid,
    /// SubjectPublicKeyInfo in PEM.
    pub public_key: String,
    /// UTC milliseconds.
    pub expires_ms: i64,
}

/// A key that imported keys are wrapped under (`key-import/…`).
#[derive(Deserialize, Serialize)]
pub(super) struct WrappingRow {
    /// The algorithm's name.
    algorithm: String,
    encoded: Sensitive<Vec<u8>>,
    /// UTC milliseconds; 0 = never.
    pub(super) expires_ms: i64,
    /// The mount's id, of a one-time key.
    pub(super) mount: Option<Uuid>,
}

impl Persisted for WrappingRow {}

impl WrappingRow {
    pub(super) fn material(&self, row: &str) -> Result<KeyMaterial, Error> {
        let algorithm = Algorithm::parse(&self.algorithm).ok_or_else(|| codec::damaged(row, "its algorithm"))?;
        KeyMaterial::from_encoded(algorithm, self.encoded.expose()).map_err(|error| codec::damaged(row, error))
    }
}

impl Caller {
    /// The store's wrapping key in PEM: RSA-4096. It is made when somebody first asks.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}wrapping_key`.
    pub async fn key_wrapping_key(&self, mount: &Mount) -> Result<String, Error> {
        let record = self.record("key.wrapping_key", format!("{}wrapping_key", mount.path));
        self.recorded(record.clone(), async {
            self.authorise(&record.path, Operation::Read, &())?;
            if let Some(found) = self.active.row::<WrappingRow>(STORE_ROW).await? {
                return Ok(Done::Unlogged(public_pem(&found.value.material(STORE_ROW)?)?));
            }
            let material = self.active.ready_material(Algorithm::Rsa4096).await?;
            let guard = self.active.locks.lock(&[STORE_ROW]).await;
            if let Some(found) = self.active.row::<WrappingRow>(STORE_ROW).await? {
                return Ok(Done::Unlogged(public_pem(&found.value.material(STORE_ROW)?)?));
            }
            let pem = public_pem(&material)?;
            let mut edit = Edit::under(guard);
            edit.put(STORE_ROW, wrapping_row(&material, 0, None)?, Some(Expect::Absent));
            let logged = self.commit(edit, record.fact("made", "true")).await?;
            Ok(Done::Logged(pem, logged))
        })
        .await
    }

    /// A key to wrap one key under, for one import within a day.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}import-keys`; [`Code::RateLimited`] where 256 lie ready.
    pub async fn key_import_begin(
        &self,
        mount: &Mount,
        wrap: ImportWrap,
        parameters: &dyn Parameters,
    ) -> Result<ImportKey, Error> {
        let algorithm = match wrap {
            ImportWrap::MlKem768 => Algorithm::MlKem768,
            ImportWrap::RsaOaep => Algorithm::Rsa4096,
        };
        let record = self.record("key.import_begin", format!("{}import-keys", mount.path));
        let record = record.fact("algorithm", algorithm.name());
        self.recorded(record.clone(), async {
            self.authorise(&record.path, Operation::Update, parameters)?;
            // Before primes are sought for it, and again when nobody else can take the place.
            self.active.drop_expired_imports(self.active.clock.now(), &mut Edit::default()).await?;
            let material = self.active.ready_material(algorithm).await?;
            let guard = self.active.locks.lock(&[keys::KEY_IMPORT_ONCE]).await;
            let mut edit = Edit::under(guard);
            let now = self.active.clock.now();
            self.active.drop_expired_imports(now, &mut edit).await?;
            let (id, expires_ms) = (Uuid::new_v4(), now.saturating_add(ONCE_MS));
            let row = wrapping_row(&material, expires_ms, Some(mount.id))?;
            edit.put(once_row(id), row, Some(Expect::Absent));
            let made = ImportKey { id, public_key: public_pem(&material)?, expires_ms };
            let logged = self.commit(edit, record.fact("import_key", id.to_string())).await?;
            Ok(Done::Logged(made, logged))
        })
        .await
    }
}

impl Active {
    /// Deletes one-time import keys that are over.
    ///
    /// # Errors
    /// [`Code::RateLimited`] where the others leave no room for one more.
    async fn drop_expired_imports(&self, now: i64, edit: &mut Edit) -> Result<(), Error> {
        let prefix = Prefix::new(keys::KEY_IMPORT_ONCE.to_owned())?;
        let page = self.store.scan(&prefix, None, Limit::MAX).await?;
        let mut waiting = 0;
        for (key, entry) in &page.items {
            let name = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
            let row: WrappingRow = codec::decode(name, &self.barrier.open(name, &entry.value)?)?;
            if row.expires_ms <= now {
                edit.delete(name, Some(Expect::Revision(entry.revision)));
            } else {
                waiting += 1;
            }
        }
        if waiting >= MAX_ONCE {
            let message = format!("{MAX_ONCE} one-time import keys lie ready; use some, or wait until they expire");
            return Err(Error::new(Code::RateLimited, message));
        }
        Ok(())
    }
}

fn wrapping_row(material: &KeyMaterial, expires_ms: i64, mount: Option<Uuid>) -> Result<Zeroizing<Vec<u8>>, Error> {
    codec::encode(&WrappingRow {
        algorithm: material.algorithm().name().to_owned(),
        encoded: Sensitive::new(material.encoded().to_vec()),
        expires_ms,
        mount,
    })
}

fn public_pem(material: &KeyMaterial) -> Result<String, Error> {
    let public = material.public()?.ok_or_else(|| Error::internal("a wrapping key has no public part"))?;
    Ok(public.pem()?)
}

pub(super) fn once_row(id: Uuid) -> String {
    format!("{}{id}", keys::KEY_IMPORT_ONCE)
}

/// The store's wrapping key.
pub(super) const STORE_ROW: &str = keys::KEY_IMPORT_WRAPPING;
