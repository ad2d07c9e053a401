//! Secrets copied and moved from one scope to another.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Name, Scope, secrets::Version};

/// Body of `POST secret-copies`: all of them, or none.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretCopy {
    /// Where they lie.
    pub from: Scope,
    /// Where they go.
    pub to: Scope,
    /// 1 to 1,000 of them, each once.
    pub names: Vec<Name>,
    /// The name there, of one that is named alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rename: Option<Name>,
    /// Delete them where they lie; they can come back there.
    #[serde(default, rename = "move", skip_serializing_if = "std::ops::Not::not")]
    pub moves: bool,
    /// Write over what is there, as a new version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrite: bool,
}

/// Reply of `POST secret-copies`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct CopyReply {
    /// In the order sent.
    pub secrets: Vec<CopiedSecret>,
}

/// A secret where it is now.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct CopiedSecret {
    /// Its name there.
    pub name: Name,
    /// Its version there.
    #[serde(flatten)]
    pub version: Version,
}
