//! The seal, as `/v1/sys/init`, `unseal`, `rekey` and `generate-root` speak of it: what other clients know, and no second
//! way in. Unknown fields of replies are ignored, as there.

use serde::{Deserialize, Serialize};

use crate::Sensitive;

/// Body of `sys/init` and `sys/rekey/init`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SealSplit {
    /// How many shares.
    pub secret_shares: u8,
    /// How many of them unseal.
    pub secret_threshold: u8,
    /// For a rekey: whether the new shares count only once enough of them were given back.
    pub require_verification: bool,
    /// Whom the shares are encrypted to, one after the other: OpenPGP keys in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pgp_keys: Vec<String>,
    /// For an initialisation: whom the root token is encrypted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_token_pgp_key: Option<String>,
}

/// Reply of `sys/init`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SealInitialised {
    /// The shares, in hexadecimal; where they are encrypted, the messages that have them.
    pub keys: Vec<Sensitive<String>>,
    /// The shares, in base64.
    pub keys_base64: Vec<Sensitive<String>>,
    /// A token that may do everything.
    pub root_token: Sensitive<String>,
}

/// Body of `sys/unseal` and of what takes shares for other ends.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SealShare {
    /// The share, in hexadecimal or base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Sensitive<String>>,
    /// What it is given to, but for the unseal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// For the unseal: forget what was given.
    #[serde(default)]
    pub reset: bool,
}

/// Reply of `sys/unseal`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SealProgress {
    /// Whether shares are still needed.
    pub sealed: bool,
    /// How many unseal.
    pub t: u8,
    /// How many there are.
    pub n: u8,
    /// How many were given.
    pub progress: u8,
}

/// Replies of `sys/rekey`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SealRekey {
    /// Names what is under way.
    pub nonce: String,
    /// Whether anything is.
    #[serde(default)]
    pub started: bool,
    /// Whether this share was the last one.
    #[serde(default)]
    pub complete: bool,
    /// How many of the new shares will unseal.
    #[serde(default)]
    pub t: u8,
    /// How many new shares.
    #[serde(default)]
    pub n: u8,
    /// Shares given.
    #[serde(default)]
    pub progress: u8,
    /// Shares needed.
    #[serde(default)]
    pub required: u8,
    /// The new shares, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Sensitive<String>>,
    /// Names the giving back of new shares.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verification_nonce: String,
}

/// Replies of `sys/generate-root`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SealRootToken {
    /// Names what is under way.
    pub nonce: String,
    /// Whether anything is.
    pub started: bool,
    /// Shares given.
    pub progress: u8,
    /// Shares needed.
    pub required: u8,
    /// Whether this share was the last one.
    pub complete: bool,
    /// The token under the pad, or the message that has it, in base64.
    pub encoded_root_token: Sensitive<String>,
    /// The pad, told when it was made.
    pub otp: Sensitive<String>,
    /// Of the OpenPGP key that the token is encrypted to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pgp_fingerprint: String,
}

/// Body of `sys/generate-root/attempt`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct SealRootTokenStart {
    /// Whom the token is encrypted to: an OpenPGP key in base64. Else it comes under a pad that is made now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pgp_key: Option<String>,
}
