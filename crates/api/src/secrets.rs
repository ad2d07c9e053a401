//! Secrets: set, get, list, versions, rollback, effective view, search, history.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Name, Scope, Sensitive, generate::Recipe};

/// What lies at a path below a scope.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A KV entry of another shape; the native API shows it and never rewrites it.
    Kv,
    /// The scope's `.env` file without its values: order, comments, quotes.
    Layout,
    /// A native secret: its data is exactly `{"value": string}`.
    Secret,
    /// The scope's snapshots, a version each.
    Snapshots,
}

/// State of one version.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The current version.
    Active,
    /// Superseded and kept.
    Archived,
    /// Deleted, can come back.
    Deleted,
    /// Gone for good.
    Destroyed,
}

/// Preconditions and options of a write.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetOptions {
    /// The current version must be this one; 0 = the secret must not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cas: Option<u64>,
    /// Seal this and each later version under an object key of its own, so that destroying one shreds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shred: Option<bool>,
}

/// Body of `PUT secrets/{scope}/{name}`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretSet {
    /// The value, at most 1 MiB less its JSON escaping.
    pub value: Sensitive<String>,
    /// Preconditions and options.
    #[serde(default)]
    pub options: SetOptions,
}

/// Body of `POST secrets/{scope}/`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedSecretSet {
    /// The secret's name.
    pub name: Name,
    /// The value.
    pub value: Sensitive<String>,
    /// Preconditions and options.
    #[serde(default)]
    pub options: SetOptions,
}

/// An item of `PATCH secrets/{scope}/`: `{"name", "value"}` sets, `{"name", "delete": true}` deletes the current version.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretChange {
    /// The secret's name.
    pub name: Name,
    /// The value; absent where the secret is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Sensitive<String>>,
    /// Whether to delete it; with `atomic` alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete: bool,
    /// Preconditions and options; `cas` holds for a deletion too.
    #[serde(default)]
    pub options: SetOptions,
}

/// Body of `PATCH secrets/{scope}/`. Each secret is changed on its own, in order, and the reply says which succeeded; with
/// `atomic` all are changed together or none is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretsPatch {
    /// At most 1,000; with `atomic` 10,000, each name once.
    pub secrets: Vec<SecretChange>,
    /// All or nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub atomic: bool,
    /// With `atomic`: the `.env` file that this came from, without its values, to be kept with them. At most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Sensitive<String>>,
    /// With `atomic`: take a snapshot of the scope first, for this reason (at most 200 characters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

impl From<NamedSecretSet> for SecretChange {
    fn from(set: NamedSecretSet) -> Self {
        Self { name: set.name, value: Some(set.value), delete: false, options: set.options }
    }
}

impl SecretsPatch {
    /// Sets each on its own.
    pub fn each(sets: impl IntoIterator<Item = NamedSecretSet>) -> Self {
        Self { secrets: sets.into_iter().map(SecretChange::from).collect(), ..Self::default() }
    }
}

/// One result of a `PATCH`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PatchResult {
    /// The secret's name.
    pub name: Name,
    /// The new version where it succeeded, or the one that was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The problem where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<crate::Problem>,
}

/// Reply of a `PATCH`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PatchReply {
    /// In the order sent.
    pub results: Vec<PatchResult>,
    /// The snapshot that was taken before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
}

/// One version, without its value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Version {
    /// When it was written, RFC 3339.
    pub created_time: String,
    /// When it was or will be deleted, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_time: Option<String>,
    /// Its state now.
    pub state: State,
    /// Its number, from 1.
    pub version: u64,
}

/// A secret with its value.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Secret {
    /// Where it was found (for an effective read, the origin).
    pub scope: Scope,
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Sensitive<String>,
    /// Its version.
    #[serde(flatten)]
    pub version: Version,
}

/// One line of a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SecretInfo {
    /// The scope it lies in.
    pub scope: Scope,
    /// Its name (for `kind: kv`, its path below the scope).
    pub name: String,
    /// Secret or KV entry of another shape.
    pub kind: Kind,
    /// Current version; absent where no version exists or none is readable as metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// The effective view of a scope: service over environment over project.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct Effective {
    /// Values with their origins, sorted by name.
    pub secrets: Vec<Secret>,
    /// How many names were not shown for want of permission to read them.
    pub hidden: u64,
    /// How many KV entries of another shape lie there, which have no single value and so are not shown.
    #[serde(default)]
    pub kv: u64,
}

/// Body of `POST search/values`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValuesIdentify {
    /// 1 to 1,000 values; those of less than 8 bytes are never found.
    pub values: Vec<Sensitive<String>>,
}

/// Reply of `POST search/values`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Identified {
    /// In the order of the values that were sent.
    pub matches: Vec<ValueMatch>,
    /// How much of what is stored was looked at.
    pub index: ValueIndex,
}

/// What is known of secrets' values.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueIndex {
    /// The search was switched on, and some secrets are not in the index yet.
    Building,
    /// Every secret is in the index.
    Complete,
    /// Values are not searched: nothing is ever found.
    #[default]
    Off,
}

/// A secret whose current version holds a value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ValueMatch {
    /// Which of the values, from 0.
    pub index: u32,
    /// The scope the secret lies in.
    pub scope: Scope,
    /// Its name.
    pub name: Name,
    /// The version that holds it.
    pub version: u64,
}

/// Body of `PUT search/values`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueSearchSet {
    /// Whether secrets can be found by their values.
    pub enabled: bool,
}

/// Body of `POST …/rollback`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The version whose value becomes the new current version.
    pub version: u64,
    /// The current version must be this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cas: Option<u64>,
}

/// Body of `POST …/undelete` and `…/destroy`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Version numbers, 1 to 1,000 of them.
    pub versions: Vec<u64>,
}

/// One event in a secret's history, read from the audit log.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct HistoryEvent {
    /// Index in the log.
    pub index: u64,
    /// When, RFC 3339.
    pub time: String,
    /// What: `secret.read`, `secret.write`, …
    pub action: String,
    /// `success`, `denied` or `error`.
    pub outcome: String,
    /// Who: display name or entity.
    pub actor: String,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What is kept of a secret beside its versions. The first three are custom metadata of the KV entry under these names.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct SecretMetadata {
    /// Where it lies.
    pub scope: Scope,
    /// Its name.
    pub name: Name,
    /// When it is to be replaced, as it was set: RFC 3339, unless an older client wrote something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How the server made its value, and makes the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
    /// When the secret was made, RFC 3339.
    pub created_time: String,
    /// When it was changed last, RFC 3339.
    pub updated_time: String,
    /// The current version's number; 0 where there is none.
    pub version: u64,
}

/// Body of `PATCH …/metadata`: what is absent stays, `null` removes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetadataPatch {
    /// When it is to be replaced, RFC 3339.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Option<String>>,
    /// Who looks after it: 1 to 512 bytes.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub owner: Option<Option<String>>,
    /// What it is for: 1 to 512 bytes.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
}

/// A secret that is to be replaced.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct DueSecret {
    /// Where it lies.
    pub scope: Scope,
    /// Its name.
    pub name: Name,
    /// When, as it was set.
    pub expires_at: String,
    /// How that stands now.
    pub state: DueState,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// How a secret's `expires_at` stands to now.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DueState {
    /// It is still to come, within the time asked for.
    Due,
    /// It has passed.
    Expired,
    /// It is no time at all.
    Invalid,
}

/// Tells `null` from nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
