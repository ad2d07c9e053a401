//! The barrier's format: values sealed under the data key of a term.
//!
//! Format 1: `0x01 | term u32 BE | nonce 12 | ciphertext | tag 16 | hmac 32`.

use zeroize::Zeroizing;

use crate::aead::{self, Aead, Purpose};
use crate::{Error, Secret};

/// The bytes that [`TermKey::seal`] adds to the plaintext.
pub const OVERHEAD: usize = HEADER_LEN + aead::OVERHEAD;

/// A term's cipher: AES-256-GCM and a committing HMAC-SHA256, both derived from the term's key.
///
/// Nonces are random, so a key must seal at most 2^31 values; counting them is the caller's part.
pub struct TermKey {
    term: u32,
    aead: Aead,
}

impl TermKey {
    /// Derives the cipher of `term` from its 32-byte key.
    ///
    /// # Errors
    /// [`Error::Parameters`] unless the key has 32 bytes.
    pub fn new(term: u32, key: &Secret) -> Result<Self, Error> {
        Ok(Self { term, aead: Aead::derive(key, &PURPOSE)? })
    }

    /// The term that this key belongs to.
    pub fn term(&self) -> u32 {
        self.term
    }

    /// Seals the parts, joined, under a fresh random nonce, bound to `aad`. The result is [`OVERHEAD`] bytes longer.
    ///
    /// # Errors
    /// [`Error::Parameters`] for more than 64 GiB, [`Error::Random`].
    pub fn seal(&self, aad: &[u8], plaintext: &[&[u8]]) -> Result<Vec<u8>, Error> {
        let mut header = [aead::FORMAT; HEADER_LEN];
        let (_format, term) = header.split_at_mut(1);
        term.copy_from_slice(&self.term.to_be_bytes());
        self.aead.seal(&header, aad, plaintext)
    }

    /// Checks the committing HMAC: these bytes, whole, were sealed under this key. Whether they lie where they belong
    /// (`aad`) only opening tells.
    ///
    /// # Errors
    /// [`Error::Authentication`], and as [`term_of`], and [`Error::WrongTerm`].
    pub fn check(&self, sealed: &[u8]) -> Result<(), Error> {
        self.expect_own_term(sealed)?;
        self.aead.check(HEADER_LEN, sealed)
    }

    /// Opens bytes that passed [`TermKey::check`] in this process and did not change since; the HMAC is not read again.
    ///
    /// # Errors
    /// As [`TermKey::open`].
    pub fn open_checked(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.expect_own_term(sealed)?;
        self.aead.open_checked(HEADER_LEN, aad, sealed)
    }

    /// Checks and opens.
    ///
    /// # Errors
    /// [`Error::Authentication`] if a bit or the associated data differs, [`Error::Truncated`],
    /// [`Error::UnknownFormat`], [`Error::WrongTerm`].
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.expect_own_term(sealed)?;
        self.aead.open(HEADER_LEN, aad, sealed)
    }

    fn expect_own_term(&self, sealed: &[u8]) -> Result<(), Error> {
        let term = term_of(sealed)?;
        if term == self.term { Ok(()) } else { Err(Error::WrongTerm { sealed: term, key: self.term }) }
    }
}

/// The term that sealed bytes name, not yet authenticated: good for choosing the key, nothing else.
///
/// # Errors
/// [`Error::Truncated`] for fewer than [`OVERHEAD`] bytes, [`Error::UnknownFormat`].
pub fn term_of(sealed: &[u8]) -> Result<u32, Error> {
    aead::check_format(sealed)?;
    if sealed.len() < OVERHEAD {
        return Err(Error::Truncated);
    }
    let (_format, rest) = sealed.split_first().ok_or(Error::Truncated)?;
    rest.first_chunk().copied().map(u32::from_be_bytes).ok_or(Error::Truncated)
}

const HEADER_LEN: usize = 5;
const PURPOSE: Purpose =
    Purpose { gcm_info: b"coffer envelope 1 aes-256-gcm", mac_info: b"coffer envelope 1 hmac-sha256" };
