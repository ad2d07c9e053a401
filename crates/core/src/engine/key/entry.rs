//! What is stored of a key, and the rules that lie in the entry itself: which version does what, what a step changes.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use coffer_api::Code;
use coffer_crypto::keys::{Algorithm, Usage};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use super::state::{KeyState, KeyStep, KeyUse, Past, Permit};
use crate::{Error, codec::Persisted};

/// Versions of one key at most: their metadata lies in one entry. Beyond it the oldest destroyed ones are forgotten.
pub(crate) const MAX_VERSIONS: usize = 5_000;

/// A key (`key/{mount id}/{key id}`).
///
/// `id`, `mount`, `algorithm` and `key_size` never change, and `name` only where a key that lost it gets another.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct KeyEntry {
    pub(crate) id: Uuid,
    /// The mount's id.
    pub(crate) mount: Uuid,
    pub(crate) name: String,
    #[serde(with = "by_name")]
    pub(crate) algorithm: Algorithm,
    /// Bytes of a version, where the algorithm leaves them open (`hmac`); else 0.
    pub(crate) key_size: u16,
    pub(crate) description: String,
    pub(crate) tags: BTreeSet<String>,
    pub(crate) usages: Usages,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    /// When it lost its name; it is absent to the Vault dialect from then on.
    pub(crate) deleted_ms: Option<i64>,
    /// Put aside through the Vault dialect: nothing is done with any version until it is taken up again.
    pub(crate) soft_deleted: bool,
    /// Off: nothing is done with any version.
    pub(crate) enabled: bool,
    pub(crate) exportable: bool,
    pub(crate) allow_plaintext_backup: bool,
    pub(crate) deletion_allowed: bool,
    /// Versions are not used themselves, but keys derived from them with a context.
    pub(crate) derived: bool,
    pub(crate) convergent: bool,
    /// Whether its first version came from outside, and then, whether it may be rotated here.
    pub(crate) imported: bool,
    pub(crate) allow_rotation: bool,
    /// Milliseconds between rotations; 0 = never by itself.
    pub(crate) rotate_every_ms: i64,
    /// By how much a rotation may come early, so that not all come at once.
    pub(crate) rotate_jitter_ms: i64,
    pub(crate) rotate_at_ms: Option<i64>,
    /// Whether a rotation ends what the version before may protect, and after how many milliseconds.
    pub(crate) deactivate_on_rotate: bool,
    pub(crate) overlap_ms: i64,
    /// Floors beside the states; both must allow. 0 = the latest for encryption, 1 = all for decryption.
    pub(crate) min_decryption: u32,
    pub(crate) min_encryption: u32,
    /// Versions below are absent to the Vault dialect; 0 = none is.
    pub(crate) min_available: u32,
    /// The version that protects; always active.
    pub(crate) primary: Option<u32>,
    /// The highest number ever given.
    pub(crate) latest: u32,
    /// Ascending, at most [`MAX_VERSIONS`].
    pub(crate) versions: Vec<KeyVersion>,
    /// When it was last backed up, and its latest version then.
    pub(crate) backup: Option<(i64, u32)>,
}

impl Persisted for KeyEntry {}

/// A version of a key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct KeyVersion {
    pub(crate) number: u32,
    pub(crate) state: KeyState,
    /// Names the object key under which its secret part is sealed; absent where only the public part is known.
    pub(crate) object: Option<Uuid>,
    /// SHA-256 of the public key (32 bytes), or a check value of a secret one (8 bytes); lasts.
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) created_ms: i64,
    pub(crate) activated_ms: Option<i64>,
    /// When it is to be deactivated, being superseded.
    pub(crate) deactivate_at_ms: Option<i64>,
    pub(crate) deactivated_ms: Option<i64>,
    /// That and why it was compromised; lasts.
    pub(crate) compromise: Option<Compromise>,
    pub(crate) scheduled_ms: Option<i64>,
    pub(crate) destroy_at_ms: Option<i64>,
    pub(crate) destroyed_ms: Option<i64>,
    /// When its destruction was attested.
    pub(crate) attested_ms: Option<i64>,
}

/// That a version may be known to somebody else.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Compromise {
    pub(crate) at_ms: i64,
    pub(crate) reason: String,
}

/// What lists know of a key without its entry (`key-name/…`, `key-deleted/…`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct NameRow {
    pub(crate) id: Uuid,
    #[serde(with = "by_name")]
    pub(crate) algorithm: Algorithm,
    /// The states that its versions are in.
    pub(crate) states: BTreeSet<KeyState>,
    pub(crate) tags: BTreeSet<String>,
}

impl Persisted for NameRow {}

impl NameRow {
    pub(crate) fn of(entry: &KeyEntry) -> Self {
        Self {
            id: entry.id,
            algorithm: entry.algorithm,
            states: entry.versions.iter().map(|version| version.state).collect(),
            tags: entry.tags.clone(),
        }
    }
}

/// What a key may be used for: a set.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Usages(u8);

impl Usages {
    /// What the algorithm is for by itself.
    pub fn of(algorithm: Algorithm) -> Self {
        USAGES.into_iter().filter(|usage| algorithm.supports(*usage)).collect()
    }

    /// Whether it is one of them.
    pub fn contains(self, usage: Usage) -> bool {
        self.0 & bit(usage) != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Usage> {
        USAGES.into_iter().filter(move |usage| self.contains(*usage))
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, usage: Usage) -> Self {
        Self(self.0 | bit(usage))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Usage> for Usages {
    fn from_iter<I: IntoIterator<Item = Usage>>(usages: I) -> Self {
        usages.into_iter().fold(Self::default(), Self::with)
    }
}

impl KeyEntry {
    pub(crate) fn version(&self, number: u32) -> Option<&KeyVersion> {
        let at = self.versions.binary_search_by_key(&number, |version| version.number).ok()?;
        self.versions.get(at)
    }

    pub(super) fn version_mut(&mut self, number: u32) -> Option<&mut KeyVersion> {
        let at = self.versions.binary_search_by_key(&number, |version| version.number).ok()?;
        self.versions.get_mut(at)
    }

    /// The version that protects: the one asked for, else the primary.
    ///
    /// # Errors
    /// [`Code::KeyState`] where the key is off, has no primary, or the version's state does not allow it;
    /// [`Code::Invalid`] for another usage than the key's, and for versions beyond the floor or that never were.
    pub(crate) fn for_protect(&self, usage: Usage, wanted: Option<u32>) -> Result<&KeyVersion, Error> {
        self.check_usable(usage)?;
        let number = match wanted {
            Some(number) if number > self.latest => {
                let vault = "requested version for encryption is higher than the latest key version";
                return Err(Error::invalid("the key has no such version yet").in_vault(vault));
            }
            Some(number) if number < self.min_encryption => {
                let vault = "requested version for encryption is less than the minimum encryption key version";
                return Err(Error::invalid("the version is below the key's min_encryption_version").in_vault(vault));
            }
            Some(number) => number,
            None => self.primary.ok_or_else(|| {
                let why = "has no primary version; rotate it or roll it back to a version";
                Error::new(Code::KeyState, format!("the key {:?} {why}", self.name))
            })?,
        };
        let version = self.available(number)?;
        match version.state.permits(KeyUse::Protect) {
            Some(Permit::Always) => Ok(version),
            Some(Permit::UseCompromised) | None => Err(self.refused(version, KeyUse::Protect.name())),
        }
    }

    /// The version that is to read or check what it protected, and on which condition it may.
    ///
    /// # Errors
    /// As [`KeyEntry::for_protect`].
    pub(crate) fn for_process(&self, usage: Usage, number: u32) -> Result<(&KeyVersion, Permit), Error> {
        self.check_usable(usage)?;
        if number > self.latest {
            let native = "the key has no such version yet";
            return Err(Error::invalid(native).in_vault("invalid ciphertext: version is too new"));
        }
        if number < self.min_decryption {
            let vault = "ciphertext or signature version is disallowed by policy (too old)";
            return Err(Error::invalid("the version is below the key's min_decryption_version").in_vault(vault));
        }
        let version = self.available(number)?;
        match version.state.permits(KeyUse::Process) {
            Some(permit) => Ok((version, permit)),
            None => Err(self.refused(version, KeyUse::Process.name())),
        }
    }

    /// A version whose secret part may be taken out. Whether the key is exportable at all is the caller's to ask.
    ///
    /// # Errors
    /// [`Code::KeyState`] where the key is off or the version is not active; [`Code::Invalid`] for a version that never
    /// was.
    pub(crate) fn for_export(&self, number: u32) -> Result<&KeyVersion, Error> {
        self.check_enabled()?;
        let version = self.available(number)?;
        match version.state.permits(KeyUse::Export) {
            Some(Permit::Always) => Ok(version),
            Some(Permit::UseCompromised) | None => Err(self.refused(version, KeyUse::Export.name())),
        }
    }

    /// # Errors
    /// [`Code::KeyState`] where the key is switched off.
    pub(crate) fn check_enabled(&self) -> Result<(), Error> {
        if self.soft_deleted {
            let native = format!(
                "the key {:?} was put aside: POST /v1/…/keys/{}/soft-delete-restore takes it up again",
                self.name, self.name
            );
            return Err(Error::new(Code::KeyState, native).in_vault("refusing to use soft-deleted key"));
        }
        match self.enabled {
            true => Ok(()),
            false => Err(Error::new(Code::KeyState, format!("the key {:?} is disabled; allowed: enable", self.name))),
        }
    }

    /// The version of this number.
    ///
    /// # Errors
    /// [`Code::NotFound`] where there is none.
    pub(crate) fn known(&self, number: u32) -> Result<&KeyVersion, Error> {
        let message = || format!("the key {:?} has no version {number}", self.name);
        self.version(number).ok_or_else(|| Error::new(Code::NotFound, message()))
    }

    /// Takes a version one step. Every change of a state goes through here, but for the birth of a version.
    ///
    /// # Errors
    /// [`Code::KeyState`] where its state does not allow the step; [`Code::NotFound`] without such a version.
    pub(crate) fn step(&mut self, number: u32, step: KeyStep, now: i64) -> Result<(), Error> {
        let version = self.known(number)?;
        let Some(next) = version.state.after(step, version.past()) else {
            return Err(self.refused(version, step.name()));
        };
        if self.primary == Some(number) && next != KeyState::Active {
            self.primary = None;
        }
        self.updated_ms = now;
        let Some(version) = self.version_mut(number) else { return Ok(()) };
        version.state = next;
        version.deactivate_at_ms = None;
        match next {
            KeyState::Active => {
                version.activated_ms.get_or_insert(now);
                version.deactivated_ms = None;
            }
            KeyState::Deactivated => version.deactivated_ms = Some(now),
            KeyState::DestroyScheduled => version.scheduled_ms = Some(now),
            KeyState::Destroyed => version.destroyed_ms = Some(now),
            KeyState::PreActive | KeyState::Suspended | KeyState::Compromised => {}
        }
        match next {
            KeyState::DestroyScheduled | KeyState::Destroyed => {}
            KeyState::PreActive
            | KeyState::Active
            | KeyState::Suspended
            | KeyState::Deactivated
            | KeyState::Compromised => {
                version.scheduled_ms = None;
                version.destroy_at_ms = None;
            }
        }
        Ok(())
    }

    /// Marks a version as compromised.
    ///
    /// # Errors
    /// As [`KeyEntry::step`].
    pub(crate) fn compromise(&mut self, number: u32, reason: String, now: i64) -> Result<(), Error> {
        self.step(number, KeyStep::Compromise, now)?;
        if let Some(version) = self.version_mut(number) {
            version.compromise = Some(Compromise { at_ms: now, reason });
        }
        Ok(())
    }

    /// Schedules a version's destruction, or destroys at once what was never in use. Tells what happened.
    ///
    /// # Errors
    /// As [`KeyEntry::step`].
    pub(crate) fn schedule(&mut self, number: u32, destroy_at: i64, now: i64) -> Result<KeyState, Error> {
        let step = match self.known(number)?.state {
            KeyState::PreActive => KeyStep::Discard,
            KeyState::Active
            | KeyState::Suspended
            | KeyState::Deactivated
            | KeyState::Compromised
            | KeyState::DestroyScheduled
            | KeyState::Destroyed => KeyStep::ScheduleDestroy,
        };
        self.step(number, step, now)?;
        let version = self.version_mut(number).ok_or_else(Error::not_found)?;
        if version.state == KeyState::DestroyScheduled {
            version.destroy_at_ms = Some(destroy_at);
        }
        Ok(version.state)
    }

    /// Puts a running destruction off; never earlier.
    pub(crate) fn put_off(&mut self, number: u32, destroy_at: i64) {
        if let Some(version) = self.version_mut(number) {
            version.destroy_at_ms = version.destroy_at_ms.map(|at| at.max(destroy_at));
        }
    }

    /// Notes that the destruction of a version was attested.
    pub(crate) fn attested(&mut self, number: u32, now: i64) {
        if let Some(version) = self.version_mut(number) {
            version.attested_ms = Some(now);
        }
    }

    /// Adds a version. It takes the oldest destroyed one's place where there are too many.
    ///
    /// # Errors
    /// [`Code::KeyState`] where there are [`MAX_VERSIONS`] and none is destroyed.
    pub(crate) fn add(&mut self, version: KeyVersion) -> Result<(), Error> {
        if self.versions.len() >= MAX_VERSIONS {
            let finished = |version: &KeyVersion| version.attested_ms.is_some();
            let Some(oldest) = self.versions.iter().position(finished) else {
                let message = format!("the key {:?} has {MAX_VERSIONS} versions; destroy some", self.name);
                return Err(Error::new(Code::KeyState, message));
            };
            self.versions.remove(oldest);
        }
        self.latest = version.number;
        self.updated_ms = version.created_ms;
        self.versions.push(version);
        Ok(())
    }

    /// Makes an active version the primary one, being newer: the one before is superseded, and ends at once or after
    /// the overlap where the key says so.
    ///
    /// # Errors
    /// [`Code::KeyState`] where the version is not active.
    pub(crate) fn make_primary(&mut self, number: u32, now: i64) -> Result<(), Error> {
        let version = self.known(number)?;
        if version.state != KeyState::Active {
            return Err(self.refused(version, "being made primary"));
        }
        let before = self.primary.replace(number).filter(|before| *before != number);
        if let Some(before) = before.filter(|_| self.deactivate_on_rotate) {
            let ends = now.saturating_add(self.overlap_ms);
            if self.overlap_ms == 0 {
                self.step(before, KeyStep::Deactivate, now)?;
            } else if let Some(version) = self.version_mut(before) {
                version.deactivate_at_ms = Some(ends);
            }
        }
        if let Some(version) = self.version_mut(number) {
            version.deactivate_at_ms = None;
        }
        Ok(())
    }

    /// Makes a version that was superseded, or that lost its place, the primary one again. Nothing else changes.
    ///
    /// # Errors
    /// [`Code::KeyState`] where its state does not allow it or it is the primary one.
    pub(crate) fn roll_back(&mut self, number: u32, now: i64) -> Result<(), Error> {
        if self.primary == Some(number) {
            let message = format!("version {number} of the key {:?} is the primary one", self.name);
            return Err(Error::new(Code::KeyState, message));
        }
        // What it encrypted could not be decrypted.
        let floor = self.min_decryption.max(self.min_available);
        if number < floor {
            let message = format!(
                "version {number} of the key {:?} is below its min_decryption_version {floor}; lower that first",
                self.name
            );
            return Err(Error::new(Code::KeyState, message));
        }
        self.step(number, KeyStep::Rollback, now)?;
        self.primary = Some(number);
        Ok(())
    }

    /// When something is to be done with it by itself, at the earliest.
    pub(crate) fn due_ms(&self) -> Option<i64> {
        let rotation = self.rotate_at_ms.filter(|_| self.rotates());
        let versions = self.versions.iter().filter_map(|version| match version.state {
            KeyState::DestroyScheduled => version.destroy_at_ms,
            KeyState::Destroyed if version.attested_ms.is_none() => version.destroyed_ms,
            KeyState::Active => version.deactivate_at_ms,
            KeyState::PreActive
            | KeyState::Suspended
            | KeyState::Deactivated
            | KeyState::Compromised
            | KeyState::Destroyed => None,
        });
        versions.chain(rotation).min()
    }

    /// Whether it is rotated by itself at its time.
    pub(crate) fn rotates(&self) -> bool {
        self.rotate_every_ms > 0 && self.enabled && self.deleted_ms.is_none()
    }

    /// The error of a version that cannot do what was asked.
    pub(crate) fn refused(&self, version: &KeyVersion, what: &str) -> Error {
        let steps = version.state.steps();
        let allowed = if steps.is_empty() { "nothing".to_owned() } else { steps.join(", ") };
        let (number, state) = (version.number, version.state.name());
        let name = &self.name;
        Error::new(
            Code::KeyState,
            format!("version {number} of the key {name:?} is {state}, which does not allow {what}; allowed: {allowed}"),
        )
    }

    fn check_usable(&self, usage: Usage) -> Result<(), Error> {
        self.check_enabled()?;
        match self.usages.contains(usage) {
            true => Ok(()),
            false => {
                let message = format!("the key {:?} is not for the usage {}", self.name, usage.name());
                Err(Error::invalid(message))
            }
        }
    }

    /// # Errors
    /// As for a version that was trimmed, where it was.
    fn available(&self, number: u32) -> Result<&KeyVersion, Error> {
        let version = self.version(number).filter(|version| version.number >= self.min_available);
        version.ok_or_else(|| Error::invalid(format!("the key {:?} has no version {number}", self.name)))
    }
}

impl KeyVersion {
    /// Whether it was ever compromised.
    pub(crate) fn past(&self) -> Past {
        if self.compromise.is_some() { Past::Compromised } else { Past::Clean }
    }
}

/// Algorithms are stored by their names.
mod by_name {
    use super::*;

    pub(super) fn serialize<S: Serializer>(algorithm: &Algorithm, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(algorithm.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Algorithm, D::Error> {
        let name = String::deserialize(from)?;
        Algorithm::parse(&name).ok_or_else(|| D::Error::custom(format!("no algorithm is called {name:?}")))
    }
}

fn bit(usage: Usage) -> u8 {
    match usage {
        Usage::Encrypt => 1,
        Usage::Sign => 2,
        Usage::Mac => 4,
        Usage::Wrap => 8,
        Usage::Derive => 16,
        Usage::Encapsulate => 32,
    }
}

const USAGES: [Usage; 6] = [Usage::Encrypt, Usage::Sign, Usage::Mac, Usage::Wrap, Usage::Derive, Usage::Encapsulate];
