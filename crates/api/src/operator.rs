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
    /// Kind of seal: `file`.
    pub seal: String,
    /// What the node does.
    pub state: NodeState,
    /// Engine of the store: `memory`, `sqlite`, `postgresql`.
    pub storage: String,
    /// Release.
    pub version: String,
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
    /// The file that now holds a fresh initial token (0600).
    pub path: String,
}

/// Keys that are replaced on demand.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rotated {
    /// Keyed hashes of values in the log.
    Audit,
    /// The key under which entries are sealed.
    #[default]
    Barrier,
    /// The sealing of batch tokens.
    Batch,
    /// The signing key of this node's log.
    Log,
    /// Keyed hashes of tokens.
    Token,
}

/// Body of `POST operator/rotate`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Which key; the barrier's where it is absent.
    #[serde(default)]
    pub key: Rotated,
}
