//! Snapshots of a scope, and the layout of the `.env` file that its secrets came from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Name, Scope, Sensitive,
    secrets::{Secret, State},
};

/// Body of `POST snapshots/{scope}`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotCreate {
    /// What it is for, at most 200 characters.
    #[serde(default)]
    pub reason: String,
}

/// A snapshot in a list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SnapshotInfo {
    /// Its number in the scope, from 1.
    pub id: u64,
    /// When it was taken, RFC 3339.
    pub created_time: String,
    /// `active` (the newest) or `archived`: it is there. `deleted` or `destroyed`: it is not.
    pub state: State,
    /// What it is for; absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many secrets it holds; absent where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<u64>,
}

/// A snapshot: which version of each secret was in force in one scope at one moment. It holds no values.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Snapshot {
    /// Whose.
    pub scope: Scope,
    /// Its number.
    pub id: u64,
    /// When it was taken, RFC 3339.
    pub created_time: String,
    /// What it is for.
    pub reason: String,
    /// Names and versions.
    pub secrets: BTreeMap<Name, u64>,
    /// The version of the layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<u64>,
}

/// A version that a snapshot names and that cannot be had any more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Gone {
    /// The name; `.env` for the layout.
    pub name: String,
    /// The version.
    pub version: u64,
    /// What became of it.
    pub why: String,
}

/// The values that a snapshot stands for.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct SnapshotValues {
    /// Values, sorted by name.
    pub secrets: Vec<Secret>,
    /// How many were not shown for want of permission to read them.
    pub hidden: u64,
    /// Those that cannot be had any more.
    #[serde(default)]
    pub gone: Vec<Gone>,
}

/// Body of `POST snapshots/{scope}/{id}/restore`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Say what would change, and change nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Go on without the versions that cannot be had any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// What a restore does to a secret.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RestoreAction {
    /// It was not there: its current version is deleted, and can come back.
    Delete,
    /// An older value becomes a new version.
    Rollback,
    /// Its current version was deleted and comes back.
    Undelete,
}

/// One change of a restore.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct RestoreChange {
    /// The name; `.env` for the layout.
    pub name: String,
    /// What is done.
    pub action: RestoreAction,
    /// The version whose value comes back, or that is deleted.
    pub of: u64,
    /// The version that is current afterwards.
    pub version: u64,
}

/// Reply of a restore.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Restored {
    /// What changed, or with `dry_run` what would; sorted by name.
    pub changes: Vec<RestoreChange>,
    /// How many secrets were as they should be.
    pub unchanged: u64,
    /// Versions that cannot be had any more.
    #[serde(default)]
    pub gone: Vec<Gone>,
    /// The snapshot that was taken before; absent where nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
}

/// The `.env` file of a scope without its values: every line, and behind each name a pair of its quotes.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Layout {
    /// Its text. Comments are as they were, and may hold what is secret.
    pub layout: Sensitive<String>,
    /// Its version.
    pub version: u64,
}
