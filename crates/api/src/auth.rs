//! Login.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Sensitive;

/// Login methods; matched without a wildcard, so that a new one is handled everywhere.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthKind {
    /// A token as such.
    Token,
    /// User name and password.
    Userpass,
}

/// Body of `POST login/userpass`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserpassLogin {
    /// Where the method is mounted; default `userpass`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// User name, case-insensitive.
    pub username: String,
    /// Password.
    pub password: Sensitive<String>,
}
