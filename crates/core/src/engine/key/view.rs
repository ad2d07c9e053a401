//! What is shown of a key, for both dialects: everything but secret parts.

use std::{collections::BTreeMap, fmt::Write};

use coffer_crypto::keys::{Algorithm, PublicKey};
use uuid::Uuid;

use super::{
    entry::{KeyEntry, KeyVersion, Usages},
    state::KeyState,
    store::KeyPublicRow,
};
use crate::{Error, active::Active};

/// A key as it is shown. Times are UTC milliseconds.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// Names it for good.
    pub id: Uuid,
    /// Names it while it is not deleted.
    pub name: String,
    /// What it is.
    pub algorithm: Algorithm,
    /// Bytes of a version, where the algorithm leaves them open; else 0.
    pub key_size: u16,
    /// For people.
    pub description: String,
    /// Sorted.
    pub tags: Vec<String>,
    /// What it is for.
    pub usages: Usages,
    /// When it was made.
    pub created_ms: i64,
    /// When it was last changed.
    pub updated_ms: i64,
    /// When it lost its name.
    pub deleted_ms: Option<i64>,
    /// Put aside through the Vault dialect: shown, and not used.
    pub soft_deleted: bool,
    /// Off: nothing is done with it.
    pub enabled: bool,
    /// Its secret parts may be taken out.
    pub exportable: bool,
    /// It may be backed up in the clear.
    pub allow_plaintext_backup: bool,
    /// It may be deleted.
    pub deletion_allowed: bool,
    /// Only keys derived from it with a context are used.
    pub derived: bool,
    /// Equal plaintexts become equal ciphertexts.
    pub convergent: bool,
    /// It came from outside.
    pub imported: bool,
    /// It may be rotated here.
    pub allow_rotation: bool,
    /// Milliseconds between rotations, 0 = none by itself.
    pub rotate_every_ms: i64,
    /// By how much a rotation may come early.
    pub rotate_jitter_ms: i64,
    /// When it is rotated next.
    pub rotate_at_ms: Option<i64>,
    /// A rotation ends what the version before may protect.
    pub deactivate_on_rotate: bool,
    /// So many milliseconds after it.
    pub overlap_ms: i64,
    /// The oldest version that decrypts and verifies.
    pub min_decryption: u32,
    /// The oldest version that encrypts and signs; 0 = the latest alone.
    pub min_encryption: u32,
    /// The oldest version that the Vault dialect knows; 0 = all.
    pub min_available: u32,
    /// The version that encrypts and signs.
    pub primary: Option<u32>,
    /// The highest number.
    pub latest: u32,
    /// When it was last backed up, and its latest version then.
    pub backup: Option<(i64, u32)>,
    /// Ascending. In lists without their public parts.
    pub versions: Vec<KeyVersionView>,
}

/// A version as it is shown.
#[derive(Clone, Debug)]
pub struct KeyVersionView {
    /// From 1.
    pub number: u32,
    /// Where it is in its life.
    pub state: KeyState,
    /// `sha256:…` of the public key, or `check:…` of a secret one.
    pub fingerprint: String,
    /// When it was made.
    pub created_ms: i64,
    /// When it was first used.
    pub activated_ms: Option<i64>,
    /// When it is to be deactivated.
    pub deactivate_at_ms: Option<i64>,
    /// When it was deactivated.
    pub deactivated_ms: Option<i64>,
    /// When it was found to be compromised; stays.
    pub compromised_ms: Option<i64>,
    /// Why.
    pub compromise_reason: Option<String>,
    /// When its destruction was scheduled.
    pub scheduled_ms: Option<i64>,
    /// When it is to be destroyed.
    pub destroy_at_ms: Option<i64>,
    /// When its object key was deleted.
    pub destroyed_ms: Option<i64>,
    /// When that was attested.
    pub attested_ms: Option<i64>,
    /// The public key.
    pub public: Option<PublicKey>,
    /// Certificates in DER, its own first.
    pub chain: Vec<Vec<u8>>,
}

impl KeyView {
    /// The version of this number.
    pub fn version(&self, number: u32) -> Option<&KeyVersionView> {
        self.versions.iter().find(|version| version.number == number)
    }
}

impl Active {
    /// A key with its public parts.
    pub(crate) async fn key_view(&self, entry: &KeyEntry) -> Result<KeyView, Error> {
        view(entry, self.key_public_parts(entry).await?)
    }
}

/// What is shown of a key, with these public parts.
pub(crate) fn view(entry: &KeyEntry, mut public: BTreeMap<u32, KeyPublicRow>) -> Result<KeyView, Error> {
    let mut shown = |version: &KeyVersion| -> Result<KeyVersionView, Error> {
        let part = public.remove(&version.number);
        let key = part.as_ref().map(|part| part.key(entry.algorithm)).transpose()?;
        Ok(KeyVersionView {
            number: version.number,
            state: version.state,
            fingerprint: fingerprint(version),
            created_ms: version.created_ms,
            activated_ms: version.activated_ms,
            deactivate_at_ms: version.deactivate_at_ms,
            deactivated_ms: version.deactivated_ms,
            compromised_ms: version.compromise.as_ref().map(|compromise| compromise.at_ms),
            compromise_reason: version.compromise.as_ref().map(|compromise| compromise.reason.clone()),
            scheduled_ms: version.scheduled_ms,
            destroy_at_ms: version.destroy_at_ms,
            destroyed_ms: version.destroyed_ms,
            attested_ms: version.attested_ms,
            public: key,
            chain: part.map(|part| part.chain).unwrap_or_default(),
        })
    };
    Ok(KeyView {
        versions: entry.versions.iter().map(&mut shown).collect::<Result<_, Error>>()?,
        id: entry.id,
        name: entry.name.clone(),
        algorithm: entry.algorithm,
        key_size: entry.key_size,
        description: entry.description.clone(),
        tags: entry.tags.iter().cloned().collect(),
        usages: entry.usages,
        created_ms: entry.created_ms,
        updated_ms: entry.updated_ms,
        deleted_ms: entry.deleted_ms,
        soft_deleted: entry.soft_deleted,
        enabled: entry.enabled,
        exportable: entry.exportable,
        allow_plaintext_backup: entry.allow_plaintext_backup,
        deletion_allowed: entry.deletion_allowed,
        derived: entry.derived,
        convergent: entry.convergent,
        imported: entry.imported,
        allow_rotation: entry.allow_rotation,
        rotate_every_ms: entry.rotate_every_ms,
        rotate_jitter_ms: entry.rotate_jitter_ms,
        rotate_at_ms: entry.rotate_at_ms.filter(|_| entry.rotates()),
        deactivate_on_rotate: entry.deactivate_on_rotate,
        overlap_ms: entry.overlap_ms,
        min_decryption: entry.min_decryption,
        min_encryption: entry.min_encryption,
        min_available: entry.min_available,
        primary: entry.primary,
        latest: entry.latest,
        backup: entry.backup,
    })
}

/// A version's fingerprint as text.
pub(crate) fn fingerprint(version: &KeyVersion) -> String {
    let kind = if version.fingerprint.len() == SHA256 { "sha256:" } else { "check:" };
    version.fingerprint.iter().fold(kind.to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing into a String does not fail");
        text
    })
}

const SHA256: usize = 32;
