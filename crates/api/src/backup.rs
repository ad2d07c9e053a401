//! Backups.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST backup`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupCreate {
    /// To whom it is encrypted: an X25519 recipient of the age format, `age1…`.
    pub recipient: String,
    /// Whether the key of the file seal is to be in it. Whoever opens such a backup has every secret.
    #[serde(default)]
    pub with_seal_key: bool,
}
