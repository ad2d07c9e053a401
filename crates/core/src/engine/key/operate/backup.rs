//! Backup of a whole key in the clear, and its way back. For keys alone that were made exportable and allow it. What OpenBao
//! backed up is restored too.

mod known;
mod openbao;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::{Code, Sensitive};
use coffer_crypto::keys::{Algorithm, KeyMaterial, PublicKey, Usage};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use self::{known::Known, openbao::Foreign};
use super::{
    super::{
        check_name,
        create::key_record,
        delete::check_deletable,
        entry::{Compromise, KeyEntry, KeyVersion, MAX_VERSIONS, Usages},
        state::{KeyState, Permit},
        store::{NewVersion, StoredMaterial},
        uses::counter_row,
        view::KeyView,
    },
    CompromisedGrant,
    fault::KeyOperation,
    input::decode,
    pace::nanos,
    text::base64,
};
use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec,
    commit::Edit,
    mount::Mount,
    policy::{Operation, Parameters},
    seal::root::Reservation,
};

/// Bytes of a backup at most.
const MAX_BACKUP: usize = 8 << 20;
/// What a backup begins with, so that nothing else is taken for one.
const FORMAT: &str = "coffer-key-backup-1";
/// Nanoseconds to read a byte of a backup.
const BYTE_NANOS: u64 = 10;

/// What becomes of a key that has the name of one that is restored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existing {
    /// It stays, and nothing is restored.
    Keep,
    /// It is deleted as by hand: its versions are destroyed at their time.
    Replace,
    /// It is deleted, by who may delete it and where that is allowed.
    ReplaceDeletable,
}

/// A backup: base64 of this as JSON.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Backup {
    format: String,
    name: String,
    algorithm: String,
    key_size: u16,
    description: String,
    tags: BTreeSet<String>,
    usages: Vec<String>,
    created_ms: i64,
    exportable: bool,
    allow_plaintext_backup: bool,
    deletion_allowed: bool,
    derived: bool,
    convergent: bool,
    imported: bool,
    allow_rotation: bool,
    rotate_every_ms: i64,
    rotate_jitter_ms: i64,
    deactivate_on_rotate: bool,
    overlap_ms: i64,
    min_decryption: u32,
    min_encryption: u32,
    min_available: u32,
    primary: Option<u32>,
    latest: u32,
    versions: Vec<BackedUp>,
}

/// A version in a backup. Bytes are base64.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct BackedUp {
    number: u32,
    state: String,
    created_ms: i64,
    activated_ms: Option<i64>,
    deactivated_ms: Option<i64>,
    compromised_ms: Option<i64>,
    compromise_reason: Option<String>,
    /// As it is stored here.
    material: Option<Sensitive<String>>,
    hmac: Option<Sensitive<String>>,
    /// Of a version without a secret part.
    public: Option<String>,
    chain: Vec<String>,
    /// Uses that may have been made of it with random nonces.
    uses: u64,
}

impl Caller {
    /// The key with all that is known of it, in the clear. What is destroyed, or about to be, is not in it.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}backup/{name}` (and, for a key with compromised versions, update on
    /// `{mount}keys/{name}/use-compromised`); [`Code::NotFound`] without such a key; [`Code::Invalid`] where it is not
    /// exportable or does not allow it; [`Code::KeyState`] where it is disabled; [`Code::TooLarge`] where it would not be
    /// restored, above 8 MiB.
    pub async fn key_backup(&self, mount: &Mount, name: &str) -> Result<Sensitive<String>, Error> {
        let record = self.record("key.backup", format!("{}backup/{name}", mount.path));
        self.recorded(record.clone(), async {
            self.authorise(&record.path, Operation::Read, &())?;
            let guard = self.active.key_lock(mount.id, name).await;
            let found = self.active.key_entry(mount.id, name).await?;
            let missing = || Error::new(Code::NotFound, format!("key {name:?} not found"));
            let found = found.ok_or_else(missing)?;
            let mut entry = found.value.clone();
            check_allowed(&entry)?;
            if entry.versions.iter().any(|version| version.state == KeyState::Compromised) {
                CompromisedGrant::new(self, mount, name).check(Permit::UseCompromised)?;
            }
            let backup = self.active.back_up(&entry).await?;
            let text = backup.text()?;
            let now = self.active.clock.now();
            entry.backup = Some((now, entry.latest));
            entry.updated_ms = now;
            let mut edit = Edit::under(guard);
            self.active.key_put(Some(&found), &entry, &mut edit)?;
            let logged = self.commit(edit, key_record(record, &entry)).await?;
            Ok(Done::Logged(text, logged))
        })
        .await
    }

    /// Makes the key of a backup anew, under another name where one is given. Its versions have the numbers and states that
    /// they had; where a key here that has the name or had it holds one of them too, the worse of both states counts, and
    /// one that is to be replaced keeps itself switched off.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}restore[/{name}]`, and with [`Existing::ReplaceDeletable`] without delete on
    /// `{mount}keys/{name}`; [`Code::Conflict`] where there is a key of that name
    /// and it is to be kept; [`Code::Invalid`] for what is no backup; [`Code::TooLarge`] above 8 MiB.
    pub async fn key_restore(
        &self,
        mount: &Mount,
        name: Option<&str>,
        backup: &str,
        existing: Existing,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let path = match name {
            Some(name) => format!("{}restore/{name}", mount.path),
            None => format!("{}restore", mount.path),
        };
        let record = self.record("key.restore", path);
        self.recorded(record.clone(), async {
            self.authorise(&record.path, Operation::Update, parameters)?;
            let backup = self.active.read_backup(backup).await?;
            let name = name.unwrap_or(&backup.name);
            check_name(name)?;
            let active = &self.active;
            let taken = || Error::new(Code::Conflict, format!("key {name:?} already exists"));
            if existing == Existing::Keep && active.key_entry(mount.id, name).await?.is_some() {
                return Err(taken());
            }
            let known = Known::of(active, mount, name, &backup.name).await?;
            // Nothing is deleted for a backup that is damaged.
            let Restored { entry, edit: restored, uses } = active.restored(mount, name, &backup, &known).await?;
            let mut edit = Edit::under(active.key_lock(mount.id, name).await);
            let found = active.key_entry(mount.id, name).await?;
            if !known.is_of(found.as_ref()) {
                return Err(Error::new(Code::Conflict, "the key changed meanwhile; try again"));
            }
            match (existing, found) {
                (_, None) => {}
                (Existing::Keep, Some(_)) => return Err(taken()),
                (Existing::Replace | Existing::ReplaceDeletable, Some(found)) => {
                    if existing == Existing::ReplaceDeletable {
                        self.authorise(&format!("{}keys/{name}", mount.path), Operation::Delete, &())?;
                        check_deletable(&found.value)?;
                    }
                    let record = self.record("key.delete", format!("{}keys/{name}", mount.path));
                    let record = record.fact("reason", "a restored key takes its place");
                    let (_, record) = active.key_end(&found, record, &mut edit).await?;
                    edit.tell(record);
                }
            }
            edit.append(restored);
            // Before the key is there: a count is never lower than the uses that were made.
            if !uses.is_empty() {
                active.commit_bookkeeping(uses).await?;
            }
            active.key_put(None, &entry, &mut edit)?;
            let record = key_record(record, &entry).fact("versions", entry.versions.len().to_string());
            let logged = self.commit(edit, record).await?;
            Ok(Done::Logged(active.key_view(&entry).await?, logged))
        })
        .await
    }
}

/// A key that is made of a backup, not yet stored.
struct Restored {
    entry: KeyEntry,
    /// The rows of its versions.
    edit: Edit,
    /// The rows that count uses, which have no record.
    uses: Edit,
}

impl Active {
    /// # Errors
    /// [`Code::Invalid`] for what is no backup; [`Code::TooLarge`] above 8 MiB.
    async fn read_backup(&self, text: &str) -> Result<Backup, Error> {
        if text.len() > MAX_BACKUP {
            return Err(Error::new(Code::TooLarge, "a backup holds at most 8 MiB"));
        }
        let mut buffer = Zeroizing::default();
        let cost = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_mul(BYTE_NANOS);
        let buffer = &mut buffer;
        match self.paced_once(cost, move || parse(text, buffer)).await? {
            Parsed::Ours(backup) => Ok(*backup),
            Parsed::Foreign(foreign) => foreign.read(self).await,
        }
    }

    /// Checks the backup and makes the key of it, by turns.
    ///
    /// # Errors
    /// [`Code::Invalid`] where the backup is damaged.
    async fn restored(&self, mount: &Mount, name: &str, backup: &Backup, known: &Known) -> Result<Restored, Error> {
        let mut entry = backup.entry(mount.id, name, self.clock.now())?;
        let (mut edit, mut uses) = (Edit::default(), Edit::default());
        let algorithm = entry.algorithm;
        let add = |version: &BackedUp| {
            if version.number <= entry.latest || version.number > backup.latest {
                return Err(malformed());
            }
            let state = KeyState::parse(&version.state).ok_or_else(malformed)?;
            let new = version.read(entry.algorithm)?;
            version.check_state(state)?;
            entry.latest = version.number - 1;
            let here = known.version(&new.fingerprint()?);
            if let Some(gone) = here.and_then(|here| here.destroyed(version.number)) {
                // What was destroyed stays so.
                return entry.add(gone);
            }
            let chain = version.chain.iter().map(|text| bytes_of(text).map(|der| der.to_vec()));
            let chain = chain.collect::<Result<_, _>>()?;
            let number = self.new_certified_version(&mut entry, &new, chain, state, &mut edit)?;
            version.mend(&mut entry, number)?;
            let used = here.map_or(0, |here| here.uses).max(version.uses);
            if let (Some(here), Some(restored)) = (here, entry.version_mut(number)) {
                here.worsen(restored);
            }
            if entry.algorithm.uses().is_some() && used > 0 {
                let total = Reservation { total: used };
                uses.put(counter_row(entry.id, number), codec::encode(&total)?, None);
            }
            Ok(())
        };
        self.paced_while_sound(&backup.versions, |_| version_nanos(algorithm), add).await?;
        entry.latest = backup.latest;
        let was_active = |number| {
            let of_number = backup.versions.iter().find(|version| version.number == number);
            of_number.is_some_and(|version| version.state == KeyState::Active.name())
        };
        let floors = [entry.min_decryption, entry.min_encryption, entry.min_available];
        if backup.primary.is_some_and(|primary| !was_active(primary))
            || floors.iter().any(|floor| *floor > entry.latest)
        {
            return Err(malformed());
        }
        let is_active = |number: &u32| entry.version(*number).is_some_and(|version| version.state == KeyState::Active);
        entry.primary = backup.primary.filter(is_active);
        entry.enabled = known.is_enabled();
        Ok(Restored { entry, edit, uses })
    }

    async fn back_up(&self, entry: &KeyEntry) -> Result<Backup, Error> {
        let mut versions = Vec::new();
        for version in &entry.versions {
            match version.state {
                KeyState::DestroyScheduled | KeyState::Destroyed => {}
                KeyState::PreActive
                | KeyState::Active
                | KeyState::Suspended
                | KeyState::Deactivated
                | KeyState::Compromised => versions.push(self.back_up_version(entry, version).await?),
            }
        }
        Ok(Backup {
            format: FORMAT.to_owned(),
            name: entry.name.clone(),
            algorithm: entry.algorithm.name().to_owned(),
            key_size: entry.key_size,
            description: entry.description.clone(),
            tags: entry.tags.clone(),
            usages: entry.usages.iter().map(|usage| usage.name().to_owned()).collect(),
            created_ms: entry.created_ms,
            exportable: entry.exportable,
            allow_plaintext_backup: entry.allow_plaintext_backup,
            deletion_allowed: entry.deletion_allowed,
            derived: entry.derived,
            convergent: entry.convergent,
            imported: entry.imported,
            allow_rotation: entry.allow_rotation,
            rotate_every_ms: entry.rotate_every_ms,
            rotate_jitter_ms: entry.rotate_jitter_ms,
            deactivate_on_rotate: entry.deactivate_on_rotate,
            overlap_ms: entry.overlap_ms,
            min_decryption: entry.min_decryption,
            min_encryption: entry.min_encryption,
            min_available: entry.min_available,
            primary: entry.primary,
            latest: entry.latest,
            versions,
        })
    }

    async fn back_up_version(&self, entry: &KeyEntry, version: &KeyVersion) -> Result<BackedUp, Error> {
        let number = version.number;
        let part = self.key_public_part(entry, number).await?;
        let chain = part.iter().flat_map(|part| &part.value.chain).map(|der| STANDARD.encode(der)).collect();
        let stored = match version.object {
            Some(_) => Some(self.key_material(entry, number).await?),
            None => None,
        };
        let shown = |bytes: &[u8]| Sensitive::new(base64(bytes).as_str().to_owned());
        let counter = self.use_counter(entry, number).await?;
        Ok(BackedUp {
            number,
            state: version.state.name().to_owned(),
            created_ms: version.created_ms,
            activated_ms: version.activated_ms,
            deactivated_ms: version.deactivated_ms,
            compromised_ms: version.compromise.as_ref().map(|compromise| compromise.at_ms),
            compromise_reason: version.compromise.as_ref().map(|compromise| compromise.reason.clone()),
            material: stored.as_ref().map(|stored| shown(stored.material.encoded())),
            hmac: stored.as_ref().and_then(|stored| stored.hmac.as_ref()).map(|key| shown(key.as_slice())),
            public: match (&stored, part) {
                (None, Some(part)) => Some(STANDARD.encode(&part.value.raw)),
                (Some(_), _) | (None, None) => None,
            },
            chain,
            uses: counter.map_or(0, |counter| counter.total()),
        })
    }
}

impl Backup {
    fn text(&self) -> Result<Sensitive<String>, Error> {
        let json = Zeroizing::new(serde_json::to_vec(self).map_err(Error::internal)?);
        if json.len().div_ceil(3).saturating_mul(4) > MAX_BACKUP {
            let message =
                "the backup would have more than 8 MiB and could not be restored; destroy versions of the key";
            return Err(Error::new(Code::TooLarge, message));
        }
        Ok(Sensitive::new(STANDARD.encode(&json)))
    }

    /// The key without its versions.
    fn entry(&self, mount: Uuid, name: &str, now: i64) -> Result<KeyEntry, Error> {
        let usage = |name: &String| Usage::parse(name).ok_or_else(malformed);
        let usages = self.usages.iter().map(usage).collect::<Result<Usages, _>>()?;
        if self.versions.len() > MAX_VERSIONS || self.latest == 0 {
            return Err(malformed());
        }
        let mut entry = KeyEntry {
            id: Uuid::new_v4(),
            mount,
            name: name.to_owned(),
            algorithm: Algorithm::parse(&self.algorithm).ok_or_else(malformed)?,
            key_size: self.key_size,
            description: self.description.clone(),
            tags: self.tags.clone(),
            usages,
            created_ms: self.created_ms.clamp(0, now),
            updated_ms: now,
            deleted_ms: None,
            soft_deleted: false,
            enabled: true,
            exportable: self.exportable,
            allow_plaintext_backup: self.allow_plaintext_backup,
            deletion_allowed: self.deletion_allowed,
            derived: self.derived,
            convergent: self.convergent,
            imported: self.imported,
            allow_rotation: self.allow_rotation,
            rotate_every_ms: self.rotate_every_ms,
            rotate_jitter_ms: self.rotate_jitter_ms,
            rotate_at_ms: None,
            deactivate_on_rotate: self.deactivate_on_rotate,
            overlap_ms: self.overlap_ms,
            min_decryption: self.min_decryption.max(1),
            min_encryption: self.min_encryption,
            min_available: self.min_available,
            primary: None,
            latest: 0,
            versions: Vec::new(),
            backup: Some((now, self.latest)),
        };
        entry.check()?;
        entry.plan_rotation(now)?;
        Ok(entry)
    }
}

impl BackedUp {
    /// What the version brings, checked as any key that comes from elsewhere.
    fn read(&self, algorithm: Algorithm) -> Result<NewVersion, Error> {
        match (&self.material, &self.public) {
            (Some(material), _) => {
                let encoded = bytes_of(material.expose())?;
                let material = KeyMaterial::from_encoded(algorithm, &encoded).map_err(|_| malformed())?;
                let hmac = self.hmac.as_ref().map(|key| bytes_of(key.expose())).transpose()?;
                let hmac = hmac.map(|key| key.as_slice().try_into().map(Zeroizing::new).map_err(|_| malformed()));
                Ok(NewVersion::Secret(StoredMaterial { material, hmac: hmac.transpose()? }))
            }
            (None, Some(public)) => {
                let raw = bytes_of(public)?;
                Ok(NewVersion::Public(PublicKey::from_raw(algorithm, &raw).map_err(|_| malformed())?))
            }
            (None, None) => Err(malformed()),
        }
    }

    /// # Errors
    /// [`Code::Invalid`] for a state that no backup has.
    fn check_state(&self, state: KeyState) -> Result<(), Error> {
        let is_of_backups = match state {
            KeyState::PreActive | KeyState::Active | KeyState::Suspended | KeyState::Deactivated => true,
            KeyState::Compromised => self.compromised_ms.is_some(),
            KeyState::DestroyScheduled | KeyState::Destroyed => false,
        };
        if is_of_backups { Ok(()) } else { Err(malformed()) }
    }

    /// Gives the version its times back.
    fn mend(&self, entry: &mut KeyEntry, number: u32) -> Result<(), Error> {
        let version = entry.version_mut(number).ok_or_else(malformed)?;
        version.created_ms = self.created_ms;
        version.activated_ms = self.activated_ms;
        version.deactivated_ms = self.deactivated_ms;
        version.compromise = self
            .compromised_ms
            .map(|at_ms| Compromise { at_ms, reason: self.compromise_reason.clone().unwrap_or_default() });
        Ok(())
    }
}

fn check_allowed(entry: &KeyEntry) -> Result<(), Error> {
    entry.check_enabled()?;
    match (entry.exportable, entry.allow_plaintext_backup) {
        (false, _) => {
            Err(Error::invalid("the key is not exportable").in_vault("exporting is disallowed on the policy"))
        }
        (true, false) => Err(Error::invalid("the key does not allow plaintext backup")
            .in_vault("plaintext backup is disallowed on the policy")),
        (true, true) => Ok(()),
    }
}

/// What a text is the backup of.
enum Parsed<'b> {
    Ours(Box<Backup>),
    Foreign(Box<Foreign<'b>>),
}

fn parse<'b>(text: &str, buffer: &'b mut Zeroizing<Vec<u8>>) -> Result<Parsed<'b>, Error> {
    let json = decode(text, buffer);
    let json = json.map_err(|at| {
        let vault = format!("illegal base64 data at input byte {at}");
        Error::invalid("this is no backup of a key: it is no base64 text").in_vault(vault)
    })?;
    // Its message would tell what it read.
    match serde_json::from_slice::<Backup>(json) {
        Ok(backup) if backup.format == FORMAT => Ok(Parsed::Ours(Box::new(backup))),
        Ok(_) => Err(malformed()),
        Err(_) => {
            serde_json::from_slice(json).map(|foreign| Parsed::Foreign(Box::new(foreign))).map_err(|_| malformed())
        }
    }
}

/// What it costs to check a version and to seal it, in nanoseconds: its two halves are held against each other.
fn version_nanos(algorithm: Algorithm) -> u64 {
    let halves = nanos(algorithm, KeyOperation::Sign, 0).saturating_add(nanos(algorithm, KeyOperation::Verify, 0));
    halves.saturating_mul(2).saturating_add(20_000)
}

fn bytes_of(text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut buffer = Zeroizing::default();
    decode(text, &mut buffer).map_err(|_| malformed())?;
    Ok(buffer)
}

fn malformed() -> Error {
    Error::invalid("this is no backup of a key, or a damaged one")
}
