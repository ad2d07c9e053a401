//! Policies.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A policy's text.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct PolicyText {
    /// Its name, lower case.
    pub name: String,
    /// HCL or JSON, as it was written.
    pub policy: String,
}

/// Body of `PUT policies/{name}`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyPut {
    /// HCL or JSON.
    pub policy: String,
}
