//! The life of keys. No secret part is ever among this.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::KeySource;

/// Body of `POST keys`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCreate {
    /// 1 to 255 letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// `xaes-256-gcm` unless another is named: `aes-256-gcm`, `ed25519`, `ecdsa-p256`, `rsa-3072`, `hmac-sha256`,
    /// `ml-kem-768`, `ml-dsa-65`, `x-wing`, … (docs/API.md).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// Bytes of a key of the algorithm `hmac`: 32 to 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_size: Option<u16>,
    /// `encrypt`, `sign`, `mac`, `wrap`, `derive`, `encapsulate`; absent: all that the algorithm is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usages: Option<Vec<String>>,
    /// At most 64, of 1 to 128 bytes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// At most 4 KiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its secret parts may be taken out. For good.
    #[serde(default)]
    pub exportable: bool,
    /// Only keys derived from it with a context are used.
    #[serde(default)]
    pub derived: bool,
    /// Equal plaintexts become equal ciphertexts; needs `derived`.
    #[serde(default)]
    pub convergent: bool,
    /// The first version waits to be activated.
    #[serde(default)]
    pub pre_active: bool,
    /// Seconds between rotations by itself, an hour at least; 0 = never.
    #[serde(default)]
    pub rotate_every: u64,
    /// By how many seconds a rotation may come early; absent: a tenth of the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_jitter: Option<u64>,
    /// Whether a rotation ends what the version before may protect; absent: it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_on_rotate: Option<bool>,
    /// So many seconds after it; absent: a day for keys that sign, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<u64>,
    /// What it is made of, where it comes from elsewhere: the key is imported then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<KeySource>,
}

/// Body of `PATCH keys/{name}`; what is absent stays as it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyConfigure {
    /// The oldest version that decrypts and verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_decryption_version: Option<u32>,
    /// The oldest version that encrypts and signs when asked for by number; 0 = any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_encryption_version: Option<u32>,
    /// It may be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_allowed: Option<bool>,
    /// Its secret parts may be taken out; once on it stays on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exportable: Option<bool>,
    /// It may be backed up in the clear; once on it stays on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_plaintext_backup: Option<bool>,
    /// Seconds between rotations by itself, an hour at least; 0 = never. Counts from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
    /// By how many seconds a rotation may come early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_jitter: Option<u64>,
    /// Whether a rotation ends what the version before may protect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_on_rotate: Option<bool>,
    /// So many seconds after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<u64>,
    /// All tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeSet<String>>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Body of `POST keys/{name}/rotate`; may be empty.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRotate {
    /// The new version waits to be activated.
    #[serde(default)]
    pub pre_active: bool,
}

/// Body of `POST keys/{name}/rollback`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRollback {
    /// Absent: the highest below the primary one that can be it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// Body of `POST keys/{name}/activate`, `/suspend`, `/resume`, `/deactivate` and `/cancel-destroy`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyVersions {
    /// Numbers, all or none of which change. Absent: the primary one (suspend, deactivate), or all that can (the others).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<u32>,
}

/// Body of `POST deleted-keys/{id}/recover`; may be empty.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRecover {
    /// The name it is to have; absent: the one it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Body of `POST keys/{name}/compromise`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCompromise {
    /// Why, of 1 to 512 bytes; it is recorded.
    pub reason: String,
    /// Absent: the primary one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<u32>,
}

/// Body of `POST keys/{name}/destroy`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyDestroy {
    /// Absent: every version that can be destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<u32>,
    /// Seconds until then: a day at least, more where a tag says so, 90 days at most. Absent: seven days, or the tag's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// A key.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Key {
    /// Names it for good.
    pub id: String,
    /// Names it until it is deleted.
    pub name: String,
    /// What it is.
    pub algorithm: String,
    /// Bytes of a version, where the algorithm leaves them open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_size: Option<u16>,
    /// What it is for.
    pub usages: Vec<String>,
    /// Sorted.
    pub tags: Vec<String>,
    /// For people.
    pub description: String,
    /// When it was made.
    pub created_time: String,
    /// When it was last changed.
    pub updated_time: String,
    /// When it was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_time: Option<String>,
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
    /// Seconds between rotations by itself; 0 = never.
    pub rotate_every: u64,
    /// When that is next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_time: Option<String>,
    /// Whether a rotation ends what the version before may protect.
    pub deactivate_on_rotate: bool,
    /// So many seconds after it.
    pub overlap: u64,
    /// The oldest version that decrypts and verifies.
    pub min_decryption_version: u32,
    /// The oldest version that encrypts and signs when asked for by number; 0 = any.
    pub min_encryption_version: u32,
    /// The version that encrypts and signs; absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_version: Option<u32>,
    /// The highest number.
    pub latest_version: u32,
    /// Ascending.
    pub versions: Vec<KeyVersion>,
}

/// A version of a key.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyVersion {
    /// From 1.
    pub version: u32,
    /// `pre_active`, `active`, `suspended`, `deactivated`, `compromised`, `destroy_scheduled` or `destroyed`.
    pub state: String,
    /// `sha256:…` of the public key, or `check:…` of a secret one.
    pub fingerprint: String,
    /// When it was made.
    pub created_time: String,
    /// When it was put into use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_time: Option<String>,
    /// When it was or will be deactivated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivated_time: Option<String>,
    /// When it was found to be compromised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised_time: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromise_reason: Option<String>,
    /// When it was or will be destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_time: Option<String>,
    /// When the deletion of its object key was attested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested_time: Option<String>,
    /// The public key in PEM, where its algorithm has such; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// Its certificates in PEM, its own first; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_chain: Option<String>,
}

/// Settings of the key engine, and the body of `PUT key-settings`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySettings {
    /// Tag -> seconds that the destruction of its keys waits at least: a day to 90 days. At most 64.
    pub destroy_after: BTreeMap<String, u64>,
}
