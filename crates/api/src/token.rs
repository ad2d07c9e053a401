//! Tokens: create, look up, renew, revoke.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{EntityId, Sensitive};

/// How a token lives.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Sealed claims, stored nowhere; not renewable, not revocable alone.
    Batch,
    /// Stored, renewable, revocable.
    #[default]
    Service,
}

/// Body of `POST tokens`. Durations are whole seconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// Policies; empty = the creator's.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Leave out the `default` policy.
    #[serde(default)]
    pub no_default_policy: bool,
    /// Shown in logs; the server prefixes `token-`.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Free text pairs, at most 64.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Time to live; absent = the system default.
    #[serde(default)]
    pub ttl: Option<u64>,
    /// Never lives longer than this, renewals included.
    #[serde(default)]
    pub explicit_max_ttl: Option<u64>,
    /// A periodic token: each renewal gives this again (needs sudo).
    #[serde(default)]
    pub period: Option<u64>,
    /// Uses left; 0 = unlimited.
    #[serde(default)]
    pub num_uses: u64,
    /// Outlives its creator (needs sudo, or the path `create-orphan`).
    #[serde(default)]
    pub orphan: bool,
    /// May be renewed (default true).
    #[serde(default)]
    pub renewable: Option<bool>,
    /// Service or batch.
    #[serde(default)]
    pub kind: TokenKind,
    /// A token role whose rules apply.
    #[serde(default)]
    pub role: Option<String>,
    /// A token of the caller's choice instead of a random one (root or sudo only).
    #[serde(default)]
    pub id: Option<Sensitive<String>>,
}

/// A fresh token, as every login and creation answers it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct TokenGrant {
    /// The token; shown once.
    pub token: Sensitive<String>,
    /// Its accessor; empty for batch tokens.
    pub accessor: String,
    /// All policies, sorted: the token's own and those of its entity.
    pub policies: Vec<String>,
    /// The token's own.
    pub token_policies: Vec<String>,
    /// The entity's and its groups'.
    #[serde(default)]
    pub identity_policies: Vec<String>,
    /// Metadata of the login or creation.
    pub metadata: BTreeMap<String, String>,
    /// Seconds to live; 0 = for ever, negative = over already, as a mount with such a lifetime has it.
    pub lease_duration: i64,
    /// May be renewed.
    pub renewable: bool,
    /// The entity, where there is one.
    pub entity_id: Option<EntityId>,
    /// Service or batch.
    pub kind: TokenKind,
    /// Has no parent.
    pub orphan: bool,
    /// Uses left; 0 = unlimited, negative = none at all, as a role may have it.
    pub num_uses: i64,
    /// What the caller should know (capped lifetimes, unknown policies).
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What is known of a token.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct TokenInfo {
    /// Its accessor.
    pub accessor: String,
    /// Addresses it may be used from, as CIDR blocks; empty = any.
    #[serde(default)]
    pub bound_cidrs: Vec<String>,
    /// Created, seconds since 1970.
    pub creation_time: i64,
    /// Lifetime at creation in seconds.
    pub creation_ttl: u64,
    /// Shown in logs.
    pub display_name: String,
    /// Entity, where there is one.
    pub entity_id: Option<EntityId>,
    /// RFC 3339; absent = never.
    pub expire_time: Option<String>,
    /// Bound on all renewals in seconds, 0 = none.
    pub explicit_max_ttl: u64,
    /// Policies by identity.
    #[serde(default)]
    pub identity_policies: Vec<String>,
    /// When issued, RFC 3339.
    pub issue_time: String,
    /// Last renewal, seconds since 1970.
    #[serde(default)]
    pub last_renewal: Option<i64>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Uses left; 0 = unlimited, -1 = this was the last.
    pub num_uses: i64,
    /// Has no parent.
    pub orphan: bool,
    /// The path that created it.
    pub path: String,
    /// Period in seconds, 0 = not periodic.
    pub period: u64,
    /// Its own policies.
    pub policies: Vec<String>,
    /// May be renewed.
    pub renewable: bool,
    /// The role it came from.
    #[serde(default)]
    pub role: Option<String>,
    /// Seconds left; 0 where it never expires.
    pub ttl: u64,
    /// Service or batch.
    pub kind: TokenKind,
}

/// Names a token by itself or by its accessor: exactly one.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRef {
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Sensitive<String>>,
    /// Its accessor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessor: Option<String>,
}

/// Body of `POST tokens/renew` (`token` and `accessor` absent: the caller's own).
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRenew {
    /// The token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Sensitive<String>>,
    /// Its accessor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessor: Option<String>,
    /// Seconds wanted; absent or 0 = the token's own lifetime again.
    #[serde(default)]
    pub increment: Option<u64>,
}
