//! Values sealed under a key of their own, so that deleting the key destroys the value (crypto-shredding).
//!
//! Format 1: `0x01 | nonce 12 | ciphertext | tag 16 | hmac 32`.

use zeroize::Zeroizing;

use crate::aead::{self, Aead, Purpose};
use crate::{Error, Secret};

/// Seals `plaintext` under the 32-byte `key`, bound to `aad`.
///
/// # Errors
/// [`Error::Parameters`] unless the key has 32 bytes, or for more than 64 GiB; [`Error::Random`].
pub fn seal(key: &Secret, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    Aead::derive(key, &PURPOSE)?.seal(&[aead::FORMAT], aad, &[plaintext])
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`Error::Authentication`] if a bit, the key or the associated data differs, [`Error::Truncated`],
/// [`Error::UnknownFormat`], [`Error::Parameters`].
pub fn open(key: &Secret, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    Aead::derive(key, &PURPOSE)?.open(HEADER_LEN, aad, sealed)
}

const HEADER_LEN: usize = 1;
const PURPOSE: Purpose = Purpose { gcm_info: b"coffer object 1 aes-256-gcm", mac_info: b"coffer object 1 hmac-sha256" };
