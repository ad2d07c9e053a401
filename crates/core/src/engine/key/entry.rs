//! What is stored of a key, and the rules that lie in the entry itself: which version does what, what a step changes.

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
/// `id`, `mount`, `name`, `algorithm` and `key_size` never change; a key that lost its name can get it back.
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

    fn version_mut(&mut self, number: u32) -> Option<&mut KeyVersion> {
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
                return Err(Error::invalid("requested version for encryption is higher than the latest key version"));
            }
            Some(number) if number < self.min_encryption => {
                return Err(Error::invalid(
                    "requested version for encryption is less than the minimum encryption key version",
                ));
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
            return Err(Error::invalid("invalid ciphertext: version is too new"));
        }
        if number < self.min_decryption {
            return Err(Error::invalid("ciphertext or signature version is disallowed by policy (too old)"));
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
            return Err(Error::new(Code::KeyState, "refusing to use soft-deleted key"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u32, state: KeyState) -> KeyVersion {
        KeyVersion {
            number,
            state,
            object: Some(Uuid::nil()),
            fingerprint: vec![7; 32],
            created_ms: 0,
            activated_ms: None,
            deactivate_at_ms: None,
            deactivated_ms: None,
            compromise: None,
            scheduled_ms: None,
            destroy_at_ms: None,
            destroyed_ms: None,
            attested_ms: None,
        }
    }

    fn entry(states: &[KeyState]) -> KeyEntry {
        let versions: Vec<KeyVersion> = (1..).zip(states).map(|(number, state)| version(number, *state)).collect();
        let latest = u32::try_from(versions.len()).unwrap();
        let primary = versions.iter().rev().find(|v| v.state == KeyState::Active).map(|v| v.number);
        KeyEntry {
            id: Uuid::nil(),
            mount: Uuid::nil(),
            name: "k".to_owned(),
            algorithm: Algorithm::Aes256Gcm,
            key_size: 0,
            description: String::new(),
            tags: BTreeSet::new(),
            usages: Usages::of(Algorithm::Aes256Gcm),
            created_ms: 0,
            updated_ms: 0,
            deleted_ms: None,
            soft_deleted: false,
            enabled: true,
            exportable: false,
            allow_plaintext_backup: false,
            deletion_allowed: false,
            derived: false,
            convergent: false,
            imported: false,
            allow_rotation: true,
            rotate_every_ms: 0,
            rotate_jitter_ms: 0,
            rotate_at_ms: None,
            deactivate_on_rotate: true,
            overlap_ms: 0,
            min_decryption: 1,
            min_encryption: 0,
            min_available: 0,
            primary,
            latest,
            versions,
            backup: None,
        }
    }

    #[test]
    fn key_without_primary_protects_nothing_until_it_is_rolled_back() {
        for step in [KeyStep::Suspend, KeyStep::Deactivate, KeyStep::Compromise] {
            let mut key = entry(&[KeyState::Deactivated, KeyState::Active]);
            assert_eq!(key.for_protect(Usage::Encrypt, None).unwrap().number, 2);
            key.step(2, step, 1).unwrap();
            assert_eq!(key.for_protect(Usage::Encrypt, None).unwrap_err().code(), Code::KeyState, "{step:?}");
            key.roll_back(1, 2).unwrap();
            assert_eq!(key.for_protect(Usage::Encrypt, None).unwrap().number, 1);
            assert_eq!(key.version(1).unwrap().deactivated_ms, None);
        }
        let mut key = entry(&[KeyState::Active]);
        key.step(1, KeyStep::Suspend, 1).unwrap();
        key.step(1, KeyStep::Resume, 2).unwrap();
        assert_eq!(key.primary, None, "it was resumed, not chosen");
        key.roll_back(1, 3).unwrap();
        assert_eq!(key.roll_back(1, 4).unwrap_err().code(), Code::KeyState, "it is the primary one");
    }

    #[test]
    fn floors_and_states_must_both_allow() {
        let mut key = entry(&[KeyState::Deactivated, KeyState::Active, KeyState::Active]);
        assert_eq!(key.for_process(Usage::Encrypt, 1).unwrap().1, Permit::Always);
        assert_eq!(key.for_protect(Usage::Encrypt, Some(2)).unwrap().number, 2);
        let refused = key.for_protect(Usage::Encrypt, Some(1)).unwrap_err();
        assert_eq!(refused.code(), Code::KeyState);
        assert!(refused.public().contains("deactivated") && refused.public().contains("allowed: compromise, rollback"));
        key.min_decryption = 2;
        key.min_encryption = 3;
        assert_eq!(key.for_process(Usage::Encrypt, 1).unwrap_err().code(), Code::Invalid);
        assert_eq!(key.for_protect(Usage::Encrypt, Some(2)).unwrap_err().code(), Code::Invalid);
        assert_eq!(key.for_protect(Usage::Encrypt, Some(4)).unwrap_err().code(), Code::Invalid, "too new");
        assert_eq!(key.for_process(Usage::Encrypt, 4).unwrap_err().code(), Code::Invalid, "too new");
        assert_eq!(key.for_process(Usage::Encrypt, 0).unwrap_err().code(), Code::Invalid);
        key.step(3, KeyStep::Compromise, 1).unwrap();
        assert_eq!(key.for_process(Usage::Encrypt, 3).unwrap().1, Permit::UseCompromised);
        assert_eq!(key.for_export(3).unwrap_err().code(), Code::KeyState);
        assert_eq!(key.for_process(Usage::Sign, 2).unwrap_err().code(), Code::Invalid, "another usage");
        key.enabled = false;
        assert_eq!(key.for_process(Usage::Encrypt, 2).unwrap_err().code(), Code::KeyState);
        assert_eq!(key.for_export(2).unwrap_err().code(), Code::KeyState);
    }

    #[test]
    fn rotation_ends_the_version_before_at_once_or_after_the_overlap_or_never() {
        for (deactivates, overlap, state, at) in [
            (true, 0, KeyState::Deactivated, None),
            (true, 500, KeyState::Active, Some(1_500)),
            (false, 500, KeyState::Active, None),
        ] {
            let mut key = entry(&[KeyState::Active]);
            (key.deactivate_on_rotate, key.overlap_ms) = (deactivates, overlap);
            key.add(version(2, KeyState::Active)).unwrap();
            key.make_primary(2, 1_000).unwrap();
            let before = key.version(1).unwrap();
            assert_eq!((before.state, before.deactivate_at_ms, key.primary), (state, at, Some(2)));
            assert_eq!(key.due_ms(), at);
            if at.is_some() {
                key.roll_back(1, 1_200).unwrap();
                assert_eq!((key.primary, key.due_ms()), (Some(1), None), "what is primary again does not end");
                assert_eq!(key.version(2).unwrap().state, KeyState::Active);
            }
        }
    }

    #[test]
    fn cancelled_destruction_lands_where_the_version_was_or_one_step_short_of_use() {
        let mut key = entry(&[KeyState::Suspended, KeyState::Deactivated, KeyState::Active, KeyState::PreActive]);
        assert_eq!(key.schedule(3, 99, 1).unwrap_err().code(), Code::KeyState, "what is in use is not destroyed");
        key.compromise(3, "lost laptop".to_owned(), 1).unwrap();
        for number in 1..=3 {
            assert_eq!(key.schedule(number, 99, 2).unwrap(), KeyState::DestroyScheduled);
        }
        assert_eq!(key.schedule(4, 99, 2).unwrap(), KeyState::Destroyed, "it was never in use");
        assert_eq!(key.due_ms(), Some(2), "the attestation is due");
        key.attested(4, 3);
        assert_eq!(key.due_ms(), Some(99));
        key.put_off(1, 50);
        key.put_off(1, 120);
        assert_eq!(key.version(1).unwrap().destroy_at_ms, Some(120), "never earlier");
        for (number, state) in [(1, KeyState::Deactivated), (2, KeyState::Deactivated), (3, KeyState::Compromised)] {
            key.step(number, KeyStep::CancelDestroy, 4).unwrap();
            let version = key.version(number).unwrap();
            assert_eq!((version.state, version.destroy_at_ms, version.scheduled_ms), (state, None, None));
        }
        assert_eq!(key.due_ms(), None);
        assert_eq!(key.version(3).unwrap().compromise.as_ref().unwrap().reason, "lost laptop");
    }

    #[test]
    fn oldest_attested_version_makes_room_and_nothing_else_does() {
        let mut key = entry(&vec![KeyState::Deactivated; MAX_VERSIONS]);
        let next = u32::try_from(MAX_VERSIONS).unwrap() + 1;
        assert_eq!(key.add(version(next, KeyState::Active)).unwrap_err().code(), Code::KeyState);
        key.schedule(7, 1, 1).unwrap();
        key.step(7, KeyStep::Reap, 2).unwrap();
        assert!(key.add(version(next, KeyState::Active)).is_err(), "its destruction is not attested");
        key.attested(7, 3);
        key.add(version(next, KeyState::Active)).unwrap();
        assert!(key.version(7).is_none() && key.version(8).is_some() && key.latest == next);
        let bytes = crate::codec::encode(&key).unwrap();
        assert!(bytes.len() < 700_000, "{} bytes do not fit into a row", bytes.len());
    }

    #[test]
    fn usages_are_a_set_of_what_the_algorithm_supports() {
        for algorithm in Algorithm::ALL {
            let usages = Usages::of(algorithm);
            assert!(!usages.is_empty(), "{}", algorithm.name());
            assert!(usages.iter().all(|usage| algorithm.supports(usage)));
            assert_eq!(usages.iter().collect::<Usages>(), usages);
        }
        assert!(!Usages::of(Algorithm::Aes256Gcm).contains(Usage::Sign));
        assert!(Usages::of(Algorithm::Aes256Gcm).with(Usage::Mac).contains(Usage::Mac));
    }
}
