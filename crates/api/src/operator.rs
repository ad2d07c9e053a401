//! Status and the operator's local commands.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The role a node plays.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Answers requests.
    Active,
    /// Holds no key; unseal it.
    Sealed,
    /// Another node answers.
    Standby,
    /// Leading, not yet ready (or no longer sure that it leads).
    Starting,
}

/// `GET /readyz` and `coffer status`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Status {
    /// Where clients reach the active node, if known.
    pub active_address: Option<String>,
    /// Whether the clock is in doubt.
    pub clock_in_doubt: bool,
    /// Id of the cluster, once the store holds one.
    pub cluster_id: Option<String>,
    /// Whether the store holds a root key.
    pub initialized: bool,
    /// Entries in this node's log.
    pub log_size: Option<u64>,
    /// This node's id.
    pub node: String,
    /// Kind of seal: `file` or `shamir`.
    pub seal: String,
    /// Whether the store is on its way to another seal.
    #[serde(default)]
    pub seal_migration: bool,
    /// The shares of the seal, where it takes shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<ShareStatus>,
    /// What the node does.
    pub state: NodeState,
    /// Engine of the store: `memory`, `sqlite`, `postgresql`.
    pub storage: String,
    /// Release.
    pub version: String,
}

/// The shares of a seal. All zero while the store is not initialised.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ShareStatus {
    /// How many were given since the node was sealed.
    pub given: u8,
    /// Names the round of giving, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// How many there are.
    pub shares: u8,
    /// How many unseal.
    pub threshold: u8,
}

/// `GET /healthz`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Health {
    /// `ok` while the process serves HTTP.
    pub status: String,
}

/// Reply of `POST operator/initial-token`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct InitialToken {
    /// Whether the policy `administrator` was gone or changed, and is the built-in text again.
    #[serde(default)]
    pub administrator_policy_restored: bool,
    /// Whether the next initial login gets an entity of its own, because that of earlier ones was disabled, had policies
    /// or was in groups.
    #[serde(default)]
    pub entity_replaced: bool,
    /// The file that now holds a fresh initial token (0600).
    pub path: String,
}

/// To which seal a store is led.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SealTarget {
    /// The key file.
    File,
    /// To none: a migration that was begun is taken back.
    Neither,
    /// Shares.
    Shamir,
}

/// Body of `POST operator/seal-migrate`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SealMigrate {
    /// Shares of the present seal, for the way to the key file.
    #[serde(default)]
    pub given: Vec<crate::Sensitive<String>>,
    /// How many shares to make, for the way to shares.
    #[serde(default)]
    pub shares: u8,
    /// How many of them unseal.
    #[serde(default)]
    pub threshold: u8,
    /// Where to.
    pub to: SealTarget,
}

/// Reply of `POST operator/seal-migrate`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct SealMigrated {
    /// The new shares, in hexadecimal; told once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<crate::Sensitive<String>>,
    /// The key file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where to.
    pub to: SealTarget,
}

/// Keys that are replaced on demand.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rotated {
    /// Keyed hashes of values in the log.
    Audit,
    /// The key under which entries are sealed.
    Barrier,
    /// The sealing of batch tokens.
    Batch,
    /// The signing key of this node's log.
    Log,
    /// Keyed hashes of tokens.
    Token,
}

/// Body of `POST operator/rotate`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Which key. There is no default: which key is replaced is always said.
    pub key: Rotated,
}

/// Keys with numbers: a new number replaces the old one, which holds on until it is retired.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NumberedKey {
    /// Keyed hashes of values in the log.
    Audit,
    /// The sealing of batch tokens.
    Batch,
    /// Keyed hashes of tokens.
    Token,
}

/// What a number of a key is to the server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// New hashes and tokens are made with it.
    Current,
    /// What it made is still accepted.
    Held,
    /// It is gone; tokens under it are refused, and their rows wait for their expiry.
    Retired,
}

/// One number of a key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct KeyInfo {
    /// Which key.
    pub key: NumberedKey,
    /// Its number, from 1; never used again.
    pub number: u32,
    /// What it is to the server.
    pub state: KeyState,
    /// For token keys: how many stored tokens stand under it, expired ones that are not yet swept included. Absent
    /// where the store holds too many to be counted (over 10,000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}

/// Body of `POST operator/keys/retire`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// Which key.
    pub key: NumberedKey,
}

/// Reply of `POST operator/keys/retire`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Retired {
    /// The number that remains current.
    pub current: u32,
    /// Which key.
    pub key: NumberedKey,
    /// The numbers that are gone, oldest first: none where there was no older one, 1,000 at most in one call.
    pub removed: Vec<u32>,
}
