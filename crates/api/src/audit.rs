//! The audit log: entries, queries, proofs, checkpoints.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Filters of `GET audit/entries`; all given must hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Only at or after this time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Only before this time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Entity id, accessor or display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Class, as `secret.read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Logical path, as `secret/data/acme/prod/api/DATABASE_URL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `success`, `denied` or `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Only entries at this index of the log and later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Continue after this cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most this many (1 to 1,000, default 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// One entry with its place in the log.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Its index.
    pub index: u64,
    /// The record itself (docs/AUDIT.md).
    #[schema(value_type = Object)]
    pub entry: serde_json::Value,
}

/// A page of entries. A page may be empty while `next` is set: the work per request is bounded.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct AuditPage {
    /// What matched.
    pub entries: Vec<AuditEntry>,
    /// Cursor of the next page; absent at the end of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Size of the log when asked.
    pub size: u64,
}

/// The latest signed checkpoint.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Checkpoint {
    /// The signed note, verbatim.
    pub checkpoint: String,
    /// The log's first verifier key; later ones are found in the log itself.
    pub vkey: String,
}

/// A proof that one entry is in the log, checkable offline.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Proof {
    /// The entry's bytes, base64.
    pub entry: String,
    /// `c2sp.org/tlog-proof@v1` text.
    pub proof: String,
    /// The log's first verifier key.
    pub vkey: String,
}
