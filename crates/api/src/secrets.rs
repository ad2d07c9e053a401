//! Secrets: set, get, list, versions, rollback, effective view, search, history.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Name, Scope, Sensitive};

/// What lies at a path below a scope.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A KV entry of another shape; the native API shows it and never rewrites it.
    Kv,
    /// A native secret: its data is exactly `{"value": string}`.
    Secret,
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

/// Body of `POST secrets/{scope}/` and an item of `PATCH secrets/{scope}/`.
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

/// Body of `PATCH secrets/{scope}/`: each is set on its own, in order; the reply says which succeeded.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretsPatch {
    /// At most 1,000.
    pub secrets: Vec<NamedSecretSet>,
}

/// One result of a `PATCH`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PatchResult {
    /// The secret's name.
    pub name: Name,
    /// The new version where it succeeded.
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
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Effective {
    /// Values with their origins, sorted by name.
    pub secrets: Vec<Secret>,
    /// How many names were not shown for want of permission to read them.
    pub hidden: u64,
    /// How many KV entries of another shape lie there, which have no single value and so are not shown.
    #[serde(default)]
    pub kv: u64,
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
