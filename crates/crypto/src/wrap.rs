//! Keys sealed under other keys: the root key under a seal's, the rest under the root.
//!
//! Format 1: `0x01 | nonce 12 | ciphertext | tag 16 | hmac 32`.

use crate::aead::{self, Aead, Purpose};
use crate::{Error, Secret};

/// Wraps `key` under the 32-byte `kek`, bound to `aad`.
///
/// # Errors
/// [`Error::Parameters`] unless `kek` has 32 bytes, [`Error::Random`].
pub fn wrap(kek: &Secret, aad: &[u8], key: &Secret) -> Result<Vec<u8>, Error> {
    Aead::derive(kek, &PURPOSE)?.seal(&[aead::FORMAT], aad, &[key.expose()])
}

/// Unwraps what [`wrap`] made.
///
/// # Errors
/// [`Error::Authentication`] if a bit, the key or the associated data differs, [`Error::Truncated`],
/// [`Error::UnknownFormat`], [`Error::Parameters`], [`Error::Memory`].
pub fn unwrap(kek: &Secret, aad: &[u8], wrapped: &[u8]) -> Result<Secret, Error> {
    Aead::derive(kek, &PURPOSE)?.open_secret(HEADER_LEN, aad, wrapped)
}

const HEADER_LEN: usize = 1;
const PURPOSE: Purpose = Purpose { gcm_info: b"coffer wrap 1 aes-256-gcm", mac_info: b"coffer wrap 1 hmac-sha256" };
