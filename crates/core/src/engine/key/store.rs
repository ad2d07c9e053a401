//! How keys lie in the store: entries, names, secret and public parts.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::Code;
use coffer_crypto::{
    hash::sha256,
    keys::{Algorithm, KeyMaterial, PublicKey, Usage},
    rng,
};
use coffer_storage::{Expect, Key, Limit, Prefix};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    deleted_row, due_row,
    entry::{KeyEntry, KeyVersion, NameRow, Usages},
    key_row, material_row, name_row, public_prefix, public_row,
    state::KeyState,
};
use crate::{
    Error,
    active::{Active, Found},
    codec::{self, Persisted},
    commit::Edit,
    locks::PathGuard,
    object::object_row,
};

/// The secret part of a version.
pub(crate) struct StoredMaterial {
    /// The key itself.
    pub(crate) material: KeyMaterial,
    /// For MACs with a key whose algorithm is for something else.
    pub(crate) hmac: Option<Zeroizing<[u8; HMAC_KEY]>>,
}

/// What a new version brings.
pub(crate) enum NewVersion {
    /// Only the public part is known.
    Public(PublicKey),
    Secret(StoredMaterial),
}

/// The public part of a version (`key-public/…`); it outlives the secret one.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct KeyPublicRow {
    /// As [`PublicKey::raw`] has it.
    pub(crate) raw: Vec<u8>,
    /// Certificates in DER, the key's own first.
    pub(crate) chain: Vec<Vec<u8>>,
}

impl Persisted for KeyPublicRow {}

impl KeyPublicRow {
    /// The public key.
    ///
    /// # Errors
    /// Where the row does not hold one.
    pub(crate) fn key(&self, algorithm: Algorithm) -> Result<PublicKey, Error> {
        Ok(PublicKey::from_raw(algorithm, &self.raw)?)
    }
}

impl StoredMaterial {
    /// Adds the HMAC key where the key's usages want one.
    ///
    /// # Errors
    /// Where no random bytes can be had.
    pub(crate) fn of(entry: &KeyEntry, material: KeyMaterial) -> Result<Self, Error> {
        Self::with_usages(entry.usages, material)
    }

    /// The same for a key of these usages.
    ///
    /// # Errors
    /// As [`StoredMaterial::of`].
    pub(crate) fn with_usages(usages: Usages, material: KeyMaterial) -> Result<Self, Error> {
        let wanted = usages.contains(Usage::Mac) && !material.algorithm().supports(Usage::Mac);
        let hmac = wanted.then(rng::bytes::<HMAC_KEY>).transpose()?.map(Zeroizing::new);
        Ok(Self { material, hmac })
    }

    /// `format 1 | length of the HMAC key, 0 or 32 | HMAC key | material`, which is what the object key seals.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let hmac = self.hmac.as_ref().map_or(&[][..], |key| key.as_slice());
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 + hmac.len() + self.material.encoded().len()));
        bytes.push(MATERIAL_FORMAT);
        bytes.push(if hmac.is_empty() { 0 } else { HMAC_KEY_BYTE });
        bytes.extend_from_slice(hmac);
        bytes.extend_from_slice(self.material.encoded());
        bytes
    }

    fn decode(row: &str, algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Error> {
        let (hmac, encoded) = match bytes {
            [MATERIAL_FORMAT, 0, encoded @ ..] => (None, encoded),
            [MATERIAL_FORMAT, HMAC_KEY_BYTE, rest @ ..] => {
                let (key, encoded) = rest.split_first_chunk().ok_or_else(|| codec::damaged(row, "truncated"))?;
                (Some(Zeroizing::new(*key)), encoded)
            }
            [MATERIAL_FORMAT, ..] | [] => return Err(codec::damaged(row, "its head")),
            [format, ..] => return Err(codec::unknown_format(row, *format, MATERIAL_FORMAT)),
        };
        let material = KeyMaterial::from_encoded(algorithm, encoded).map_err(|error| codec::damaged(row, error))?;
        Ok(Self { material, hmac })
    }
}

impl Active {
    /// Waits for its turn on a key, which has this name or had it.
    pub(crate) async fn key_lock(&self, mount: Uuid, name: &str) -> PathGuard {
        self.locks.lock(&[&name_row(mount, name)]).await
    }

    /// As [`Active::key_lock`], of two names, which may be one.
    pub(crate) async fn key_locks(&self, mount: Uuid, names: [&str; 2]) -> PathGuard {
        let [one, other] = names.map(|name| name_row(mount, name));
        self.locks.lock(&[&one, &other]).await
    }

    /// The key that has a name.
    pub(crate) async fn key_entry(&self, mount: Uuid, name: &str) -> Result<Option<Found<KeyEntry>>, Error> {
        let row = name_row(mount, name);
        let Some(named) = self.row::<NameRow>(&row).await? else { return Ok(None) };
        let found = self.key_by_id(mount, named.value.id).await?;
        // Between the two reads it may have lost its name.
        Ok(found.filter(|found| found.value.deleted_ms.is_none()))
    }

    /// The key of an id, whether it has its name or lost it.
    pub(crate) async fn key_by_id(&self, mount: Uuid, id: Uuid) -> Result<Option<Found<KeyEntry>>, Error> {
        self.row::<KeyEntry>(&key_row(mount, id)).await
    }

    /// The secret part of a version. Whether its state allows the use is the caller's to ask.
    ///
    /// # Errors
    /// [`Code::Invalid`] where there never was one here; [`Code::KeyState`] where it is destroyed.
    pub(crate) async fn key_material(&self, entry: &KeyEntry, number: u32) -> Result<StoredMaterial, Error> {
        let version = entry.known(number)?;
        if version.state == KeyState::Destroyed {
            return Err(entry.refused(version, "any use"));
        }
        let Some(object) = version.object else {
            return Err(Error::invalid(format!(
                "of version {number} of the key {:?} only the public part is here",
                entry.name
            )));
        };
        let row = material_row(entry.mount, entry.id, number);
        let found = self.open(&row).await?.ok_or_else(|| codec::damaged(&row, "missing"))?;
        let opened = self.open_object(&row, u64::from(number), object, &found.value).await?;
        StoredMaterial::decode(&row, entry.algorithm, &opened)
    }

    /// The public part of a version, where it has one.
    pub(crate) async fn key_public_part(
        &self,
        entry: &KeyEntry,
        number: u32,
    ) -> Result<Option<Found<KeyPublicRow>>, Error> {
        self.row::<KeyPublicRow>(&public_row(entry.mount, entry.id, number)).await
    }

    /// The public parts of all versions that have one.
    pub(crate) async fn key_public_parts(&self, entry: &KeyEntry) -> Result<BTreeMap<u32, KeyPublicRow>, Error> {
        let mut parts = BTreeMap::new();
        if !entry.algorithm.is_asymmetric() {
            return Ok(parts);
        }
        let start = public_prefix(entry.mount, entry.id);
        let prefix = Prefix::new(start.clone())?;
        let mut after: Option<Key> = None;
        loop {
            let page = self.store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
            for (key, found) in &page.items {
                let row = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
                let number = row.strip_prefix(&start).and_then(|hex| u32::from_str_radix(hex, 16).ok());
                let number = number.ok_or_else(|| codec::damaged(row, "its number"))?;
                parts.insert(number, codec::decode(row, &self.barrier.open(row, &found.value)?)?);
            }
            match page.items.last() {
                Some((last, _)) if page.more => after = Some(last.clone()),
                Some(_) | None => return Ok(parts),
            }
        }
    }

    /// Makes the secret part of a version.
    ///
    /// # Errors
    /// Where the library cannot.
    pub(crate) async fn key_generate(self: &Arc<Self>, entry: &KeyEntry) -> Result<StoredMaterial, Error> {
        let material = match entry.key_size {
            0 => self.ready_material(entry.algorithm).await?,
            size => KeyMaterial::generate_hmac(usize::from(size))?,
        };
        StoredMaterial::of(entry, material)
    }

    /// Adds a version and its rows. It is not the primary one by that.
    ///
    /// # Errors
    /// [`Code::KeyState`] where there is no room for one more.
    pub(crate) fn new_version(
        &self,
        entry: &mut KeyEntry,
        new: &NewVersion,
        state: KeyState,
        edit: &mut Edit,
    ) -> Result<u32, Error> {
        self.new_certified_version(entry, new, Vec::new(), state, edit)
    }

    /// The same, with certificates in DER.
    ///
    /// # Errors
    /// As [`Active::new_version`].
    pub(crate) fn new_certified_version(
        &self,
        entry: &mut KeyEntry,
        new: &NewVersion,
        chain: Vec<Vec<u8>>,
        state: KeyState,
        edit: &mut Edit,
    ) -> Result<u32, Error> {
        let number =
            entry.latest.checked_add(1).ok_or_else(|| Error::new(Code::KeyState, "its versions are used up"))?;
        let now = self.clock.now();
        let (public, object) = match new {
            NewVersion::Public(public) => (Some(public.clone()), None),
            NewVersion::Secret(stored) => {
                let row = material_row(entry.mount, entry.id, number);
                let (object, sealed) = self.seal_object(&row, u64::from(number), &stored.encode(), edit)?;
                edit.put(row, Zeroizing::new(sealed), Some(Expect::Absent));
                (stored.material.public()?, Some(object))
            }
        };
        let fingerprint = new.fingerprint()?;
        if let Some(public) = public {
            let part = KeyPublicRow { raw: public.raw().to_vec(), chain };
            edit.put(public_row(entry.mount, entry.id, number), codec::encode(&part)?, Some(Expect::Absent));
        }
        entry.add(KeyVersion {
            number,
            state,
            object,
            fingerprint,
            created_ms: now,
            activated_ms: (state == KeyState::Active).then_some(now),
            deactivate_at_ms: None,
            deactivated_ms: None,
            compromise: None,
            scheduled_ms: None,
            destroy_at_ms: None,
            destroyed_ms: None,
            attested_ms: None,
        })?;
        Ok(number)
    }

    /// Writes a key, new or changed, with its index rows. Every change of a key goes through here; the lock of its name
    /// is held.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where a version is destroyed while the clock is in doubt; where it does not encode.
    pub(crate) fn key_put(
        &self,
        before: Option<&Found<KeyEntry>>,
        entry: &KeyEntry,
        edit: &mut Edit,
    ) -> Result<(), Error> {
        let (mount, id) = (entry.mount, entry.id);
        let expect = before.map_or(Expect::Absent, |found| Expect::Revision(found.revision));
        edit.put(key_row(mount, id), codec::encode(entry)?, Some(expect));
        let before = before.map(|found| &found.value);
        for version in entry.versions.iter().filter(|version| version.state == KeyState::Destroyed) {
            let was = before.and_then(|before| before.version(version.number));
            if was.is_none_or(|was| was.state != KeyState::Destroyed) {
                if version.object.is_some() {
                    self.may_destroy()?;
                }
                shred(entry, version, edit);
            }
        }
        let (place, old) = (place_of(entry), before.map(place_of));
        let listed = NameRow::of(entry);
        if old.as_ref() != Some(&place) {
            edit.put(place, codec::encode(&listed)?, Some(Expect::Absent));
            if let Some(old) = old {
                edit.delete(old, None);
            }
        } else if before.map(NameRow::of).as_ref() != Some(&listed) {
            edit.put(place, codec::encode(&listed)?, None);
        }
        let due = entry.due_ms().map(|at| due_row(at, mount, id));
        let due_before = before.and_then(KeyEntry::due_ms).map(|at| due_row(at, mount, id));
        if due != due_before {
            due_before.into_iter().for_each(|row| edit.delete(row, None));
            if let Some(row) = due {
                edit.put(row, codec::encode(&DueRow {})?, None);
            }
        }
        let name = entry.name.clone();
        edit.in_force(move |active| active.loaded.forget(mount, &name));
        Ok(())
    }

    /// Adds the secret part of a version whose public part alone is here.
    ///
    /// # Errors
    /// [`Code::NotFound`] without such a version.
    pub(crate) fn complete_version(
        &self,
        entry: &mut KeyEntry,
        number: u32,
        stored: &StoredMaterial,
        edit: &mut Edit,
    ) -> Result<(), Error> {
        let row = material_row(entry.mount, entry.id, number);
        let version = entry.versions.iter_mut().find(|version| version.number == number);
        let version = version.filter(|version| version.object.is_none()).ok_or_else(Error::not_found)?;
        let (object, sealed) = self.seal_object(&row, u64::from(number), &stored.encode(), edit)?;
        edit.put(row, Zeroizing::new(sealed), Some(Expect::Absent));
        version.object = Some(object);
        Ok(())
    }
}

impl NewVersion {
    /// What tells it from other versions: the hash of its public key, or a check value of a secret one.
    ///
    /// # Errors
    /// Where the library cannot tell the public key.
    pub(crate) fn fingerprint(&self) -> Result<Vec<u8>, Error> {
        let public = match self {
            Self::Public(public) => Some(public.clone()),
            Self::Secret(stored) => stored.material.public()?,
        };
        Ok(match (public, self) {
            (Some(public), _) => {
                let encoded = public.spki().unwrap_or_else(|_| public.raw().to_vec());
                sha256(&[encoded.as_slice()]).to_vec()
            }
            (None, Self::Secret(stored)) => check_value(stored.material.encoded()),
            (None, Self::Public(_)) => Vec::new(),
        })
    }
}

/// Deletes the object key of a version, which destroys it, and what it sealed.
fn shred(entry: &KeyEntry, version: &KeyVersion, edit: &mut Edit) {
    if let Some(object) = version.object {
        edit.delete(object_row(object), None);
        edit.delete(material_row(entry.mount, entry.id, version.number), None);
    }
}

/// Says nothing beyond its key.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct DueRow {}

impl Persisted for DueRow {}

/// The row that says where lists find a key.
fn place_of(entry: &KeyEntry) -> String {
    match entry.deleted_ms {
        None => name_row(entry.mount, &entry.name),
        Some(_) => deleted_row(entry.mount, &entry.name, entry.id),
    }
}

/// Tells two secret keys apart and gives none away: the head of a hash of at least 16 random bytes.
fn check_value(encoded: &[u8]) -> Vec<u8> {
    let hash = sha256(&[CHECK_VALUE, encoded]);
    hash.iter().take(CHECK_BYTES).copied().collect()
}

const HMAC_KEY: usize = 32;
/// [`HMAC_KEY`] as it is stored.
const HMAC_KEY_BYTE: u8 = 32;
const MATERIAL_FORMAT: u8 = 1;
const CHECK_VALUE: &[u8] = b"coffer key check value 1\0";
const CHECK_BYTES: usize = 8;
