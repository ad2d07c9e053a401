//! Values sealed under a key of their own, so that deleting the key destroys the value (crypto-shredding).
//!
//! Format 1: `0x01 | nonce 12 | ciphertext | tag 16 | hmac 32`.

use zeroize::Zeroizing;

use crate::aead::{self, Aead, Purpose};
use crate::{Error, Secret};

/// A key made ready once, for who seals and opens under it again and again.
pub struct ObjectKey(Aead);

impl ObjectKey {
    /// # Errors
    /// [`Error::Parameters`] unless the key has 32 bytes.
    pub fn new(key: &Secret) -> Result<Self, Error> {
        Aead::derive(key, &PURPOSE).map(Self)
    }

    /// Seals `plaintext`, bound to `aad`.
    ///
    /// # Errors
    /// [`Error::Parameters`] for more than 64 GiB; [`Error::Random`].
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.seal(&[aead::FORMAT], aad, &[plaintext])
    }

    /// Opens what [`ObjectKey::seal`] made.
    ///
    /// # Errors
    /// [`Error::Authentication`] if a bit, the key or the associated data differs, [`Error::Truncated`],
    /// [`Error::UnknownFormat`].
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.0.open(HEADER_LEN, aad, sealed)
    }
}

/// Seals `plaintext` under the 32-byte `key`, bound to `aad`.
///
/// # Errors
/// [`Error::Parameters`] unless the key has 32 bytes, or for more than 64 GiB; [`Error::Random`].
pub fn seal(key: &Secret, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
    ObjectKey::new(key)?.seal(aad, plaintext)
}

/// Opens what [`seal`] made.
///
/// # Errors
/// As [`ObjectKey::open`], and [`Error::Parameters`] unless the key has 32 bytes.
pub fn open(key: &Secret, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    ObjectKey::new(key)?.open(aad, sealed)
}

const HEADER_LEN: usize = 1;
const PURPOSE: Purpose = Purpose { gcm_info: b"coffer object 1 aes-256-gcm", mac_info: b"coffer object 1 hmac-sha256" };
