//! What is stored of a key, and the rules that lie in the entry itself: which version does what.

mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use coffer_api::Code;
use coffer_crypto::keys::{Algorithm, Usage};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use super::state::{KeyState, KeyUse, Past, Permit};
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
    /// When it is to be deactivated, being superseded; one that is suspended then ends when it is resumed.
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
