//! The one construction behind every sealed byte: AES-256-GCM, then HMAC-SHA256 over header, nonce, ciphertext and tag,
//! which commits to the key (GCM alone can be made to open under two).
//!
//! Layout: `header | nonce 12 | ciphertext | tag 16 | hmac 32`. The header's first byte is the format.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::hash::HmacKey;
use crate::{Error, Secret, kdf, rng};

/// What a key is for: no two purposes derive the same cipher from the same key.
pub(crate) struct Purpose {
    pub(crate) gcm_info: &'static [u8],
    pub(crate) mac_info: &'static [u8],
}

/// The keys of the construction, both derived from one 32-byte key.
pub(crate) struct Aead {
    gcm: LessSafeKey,
    mac: HmacKey,
}

impl Aead {
    /// # Errors
    /// [`Error::Parameters`] unless the key has 32 bytes.
    pub(crate) fn derive(key: &Secret, purpose: &Purpose) -> Result<Self, Error> {
        const WRONG: Error = Error::Parameters("a sealing key has 32 bytes");
        if key.len() != KEY_LEN {
            return Err(WRONG);
        }
        // They live here for moments and then in the library's contexts, so they need no page of their own.
        let mut gcm = Zeroizing::new([0; KEY_LEN]);
        let mut mac = Zeroizing::new([0; KEY_LEN]);
        kdf::fill(key.expose(), &[], &[purpose.gcm_info], gcm.as_mut_slice())?;
        kdf::fill(key.expose(), &[], &[purpose.mac_info], mac.as_mut_slice())?;
        let gcm = UnboundKey::new(&AES_256_GCM, gcm.as_slice()).map_err(|_| WRONG)?;
        Ok(Self { gcm: LessSafeKey::new(gcm), mac: HmacKey::from_bytes(mac.as_slice()) })
    }

    /// Seals the parts, joined, under a random nonce. Allocates once; nothing of the plaintext outlives the call.
    pub(crate) fn seal(&self, header: &[u8], aad: &[u8], plaintext: &[&[u8]]) -> Result<Vec<u8>, Error> {
        self.seal_under(rng::bytes()?, header, aad, plaintext)
    }

    fn seal_under(
        &self,
        nonce: [u8; NONCE_LEN],
        header: &[u8],
        aad: &[u8],
        plaintext: &[&[u8]],
    ) -> Result<Vec<u8>, Error> {
        const TOO_LONG: Error = Error::Parameters("the plaintext is too long for AES-GCM");
        let overhead = header.len() + NONCE_LEN + TAG_LEN + MAC_LEN;
        let total = plaintext.iter().try_fold(overhead, |sum, part| sum.checked_add(part.len())).ok_or(TOO_LONG)?;

        // Wiped if an error leaves it half encrypted.
        let mut out = Zeroizing::new(Vec::with_capacity(total));
        out.extend_from_slice(header);
        out.extend_from_slice(&nonce);
        let start = out.len();
        for part in plaintext {
            out.extend_from_slice(part);
        }
        let (_, text) = out.split_at_mut(start);
        let tag = self
            .gcm
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), text)
            .map_err(|_| TOO_LONG)?;
        out.extend_from_slice(tag.as_ref());
        let mac = self.mac.mac(&[&out]);
        out.extend_from_slice(&mac);
        Ok(std::mem::take(&mut *out))
    }

    /// Checks that these bytes, whole, were sealed under this key. It says nothing about the associated data.
    pub(crate) fn check(&self, header_len: usize, sealed: &[u8]) -> Result<(), Error> {
        let sealed = Sealed::parse(header_len, sealed)?;
        self.mac.verify(&[sealed.committed], sealed.mac)
    }

    /// Opens bytes that passed [`Self::check`].
    pub(crate) fn open_checked(
        &self,
        header_len: usize,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let sealed = Sealed::parse(header_len, sealed)?;
        let mut out = Zeroizing::new(vec![0; sealed.ciphertext.len()]);
        self.open_into(aad, &sealed, &mut out)?;
        Ok(out)
    }

    /// Checks and opens.
    pub(crate) fn open(&self, header_len: usize, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.check(header_len, sealed)?;
        self.open_checked(header_len, aad, sealed)
    }

    /// Checks and opens what is a key itself, straight into its locked page.
    pub(crate) fn open_secret(&self, header_len: usize, aad: &[u8], sealed: &[u8]) -> Result<Secret, Error> {
        self.check(header_len, sealed)?;
        let sealed = Sealed::parse(header_len, sealed)?;
        Secret::zeroed_with(sealed.ciphertext.len(), |out| self.open_into(aad, &sealed, out))
    }

    fn open_into(&self, aad: &[u8], sealed: &Sealed<'_>, out: &mut [u8]) -> Result<(), Error> {
        let nonce = Nonce::assume_unique_for_key(*sealed.nonce);
        self.gcm
            .open_separate_gather(nonce, Aad::from(aad), sealed.ciphertext, sealed.tag, out)
            .map_err(|_| Error::Authentication)
    }
}

/// The format byte of every header.
pub(crate) const FORMAT: u8 = 1;
pub(crate) const KEY_LEN: usize = 32;
/// What sealing adds to the header and the plaintext.
pub(crate) const OVERHEAD: usize = NONCE_LEN + TAG_LEN + MAC_LEN;

/// Refuses what does not begin with [`FORMAT`].
pub(crate) fn check_format(sealed: &[u8]) -> Result<(), Error> {
    match sealed.first() {
        None => Err(Error::Truncated),
        Some(&FORMAT) => Ok(()),
        Some(&other) => Err(Error::UnknownFormat(other)),
    }
}

struct Sealed<'a> {
    /// All that the HMAC covers: everything before it.
    committed: &'a [u8],
    nonce: &'a [u8; NONCE_LEN],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_LEN],
    mac: &'a [u8; MAC_LEN],
}

impl<'a> Sealed<'a> {
    fn parse(header_len: usize, sealed: &'a [u8]) -> Result<Self, Error> {
        check_format(sealed)?;
        let (committed, mac) = sealed.split_last_chunk().ok_or(Error::Truncated)?;
        let (_header, rest) = committed.split_at_checked(header_len).ok_or(Error::Truncated)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(Error::Truncated)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(Error::Truncated)?;
        Ok(Self { committed, nonce, ciphertext, tag, mac })
    }
}

const TAG_LEN: usize = 16;
const MAC_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testdata::Vector;

    #[test]
    fn aes_gcm_published_vectors_hold() {
        let (vectors, must_fail) = Vector::load("aes-256-gcm.json");
        assert_eq!((vectors.len(), must_fail), (66, 27));
        for vector in vectors {
            let gcm = UnboundKey::new(&AES_256_GCM, &vector.bytes("key")).unwrap();
            let aead = Aead { gcm: LessSafeKey::new(gcm), mac: HmacKey::from_bytes(&[9; 32]) };
            let nonce = vector.bytes("nonce").try_into().unwrap();
            let (aad, plaintext) = (vector.bytes("aad"), vector.bytes("plaintext"));
            let mut published = [&[FORMAT], &vector.bytes("nonce")[..], &vector.bytes("ciphertext")].concat();
            published.extend(vector.bytes("tag"));
            published.extend(aead.mac.mac(&[&published]));

            let opened = aead.open(1, &aad, &published);
            let sealed = aead.seal_under(nonce, &[FORMAT], &aad, &[&plaintext]).unwrap();
            if vector.is_valid() {
                assert_eq!(*opened.unwrap(), plaintext, "{}", vector.id());
                assert_eq!(sealed, published, "{}", vector.id());
            } else {
                assert!(matches!(opened, Err(Error::Authentication)), "{}", vector.id());
                assert_ne!(sealed, published, "{}", vector.id());
            }
        }
    }

    #[test]
    fn seal_parts_equal_the_whole_and_allocate_once() {
        let aead = aead();
        let whole = aead.seal_under([1; 12], &[FORMAT], b"aad", &[b"plaintext"]).unwrap();
        let parts = aead.seal_under([1; 12], &[FORMAT], b"aad", &[b"", b"plain", b"text", b""]).unwrap();
        assert_eq!(whole, parts);
        assert_eq!(whole.capacity(), whole.len());
    }

    #[test]
    fn seal_twice_never_repeats_a_nonce() {
        let aead = aead();
        let nonces: std::collections::HashSet<_> =
            (0..1000).map(|_| aead.seal(&[FORMAT], b"", &[b"x"]).unwrap()[1..13].to_vec()).collect();
        assert_eq!(nonces.len(), 1000);
    }

    #[test]
    fn open_checked_after_a_changed_header_or_hmac_alone_still_opens() {
        // What open_checked leaves to check, so that nobody mistakes one for the other.
        let aead = aead();
        let mut sealed = aead.seal(&[FORMAT, 5], b"aad", &[b"plaintext"]).unwrap();
        sealed[1] = 6;
        assert!(aead.open_checked(2, b"aad", &sealed).is_ok());
        assert!(matches!(aead.check(2, &sealed), Err(Error::Authentication)));
        assert!(matches!(aead.open(2, b"aad", &sealed), Err(Error::Authentication)));
    }

    fn aead() -> Aead {
        const PURPOSE: Purpose = Purpose { gcm_info: b"test gcm", mac_info: b"test mac" };
        Aead::derive(&Secret::copy_from(&[3; 32]).unwrap(), &PURPOSE).unwrap()
    }
}
