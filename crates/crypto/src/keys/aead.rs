//! Encryption with associated data: `nonce | ciphertext | tag 16`, the nonce random, or made of the plaintext by
//! convergent keys.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{cmac, error::Unspecified};
use zeroize::{Zeroize, Zeroizing};

use super::chacha::hchacha20;
use crate::hash::HmacKey;
use crate::{Error, rng::Nonces};

/// A cipher with associated data.
#[derive(Clone, Copy)]
pub(super) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    XChaCha20Poly1305,
    Xaes256Gcm,
}

impl Cipher {
    pub(super) fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 | Self::XChaCha20Poly1305 | Self::Xaes256Gcm => 32,
        }
    }
}

/// A key for one of the ciphers.
pub(super) struct AeadKey {
    cipher: CipherKey,
    /// Makes the nonce of the plaintext, so that the same plaintext gives the same ciphertext.
    convergent: Option<Convergent>,
}

struct Convergent {
    /// For plaintexts alone.
    plain: HmacKey,
    /// For plaintexts with associated data.
    bound: HmacKey,
}

enum CipherKey {
    Plain(Box<LessSafeKey>),
    XChaCha20(Box<Zeroizing<[u8; 32]>>),
    Xaes256(Box<cmac::Key>),
}

impl Convergent {
    fn mac(&self, aad: &[u8], plaintext: &[u8]) -> Result<[u8; 32], Error> {
        if aad.is_empty() {
            return Ok(self.plain.mac(&[plaintext]));
        }
        let len = u64::try_from(aad.len()).map_err(|_| Error::Parameters("the associated data is too long"))?;
        Ok(self.bound.mac(&[&len.to_be_bytes(), aad, plaintext]))
    }
}

impl AeadKey {
    /// # Errors
    /// [`Error::InvalidKey`] for a key of another length than the cipher's.
    pub(super) fn new(cipher: Cipher, key: &[u8]) -> Result<Self, Error> {
        let plain = |cipher| UnboundKey::new(cipher, key).map(|key| CipherKey::Plain(Box::new(LessSafeKey::new(key))));
        let cipher = match cipher {
            Cipher::Aes128Gcm => plain(&AES_128_GCM),
            Cipher::Aes256Gcm => plain(&AES_256_GCM),
            Cipher::ChaCha20Poly1305 => plain(&CHACHA20_POLY1305),
            Cipher::XChaCha20Poly1305 => {
                let mut own = Box::new(Zeroizing::new([0; 32]));
                let fits = key.len() == own.len();
                own.iter_mut().zip(key).for_each(|(own, key)| *own = *key);
                if fits { Ok(CipherKey::XChaCha20(own)) } else { Err(Unspecified) }
            }
            Cipher::Xaes256Gcm => cmac::Key::new(cmac::AES_256, key).map(|key| CipherKey::Xaes256(Box::new(key))),
        };
        let cipher = cipher.map_err(|_| Error::InvalidKey("the key has another length than its algorithm's"))?;
        Ok(Self { cipher, convergent: None })
    }

    /// With nonces that are keyed hashes: of the plaintext alone under `plain`, and of associated data with it, where
    /// there is any, under `bound`.
    pub(super) fn convergent(self, plain: &[u8], bound: &[u8]) -> Self {
        let keys = Convergent { plain: HmacKey::from_bytes(plain), bound: HmacKey::from_bytes(bound) };
        Self { convergent: Some(keys), ..self }
    }

    /// Allocates once, the output.
    pub(super) fn encrypt(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.encrypt_into(&mut Nonces::of(1), aad, plaintext, &mut out)?;
        Ok(out)
    }

    /// Replaces what the buffer holds by the output, and allocates nothing where there is room.
    pub(super) fn encrypt_into(
        &self,
        nonces: &mut Nonces,
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut nonce = [0; MAX_NONCE_LEN];
        let nonce = nonce.get_mut(..self.nonce_len()).unwrap_or_default();
        match &self.convergent {
            None => nonces.fill(nonce)?,
            Some(keys) => {
                let mac = keys.mac(aad, plaintext)?;
                nonce.iter_mut().zip(mac).for_each(|(byte, of_mac)| *byte = of_mac);
            }
        }
        self.encrypt_at(nonce, aad, plaintext, out)
    }

    fn encrypt_at(&self, nonce: &[u8], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        const TOO_LONG: Error = Error::Parameters("the plaintext is too long for its cipher");
        let len = plaintext.len().checked_add(nonce.len() + TAG_LEN).ok_or(TOO_LONG)?;
        out.clear();
        out.reserve_exact(len);
        out.extend_from_slice(nonce);
        out.extend_from_slice(plaintext);
        let (_, text) = out.split_at_mut(nonce.len());
        let seal = |key: &LessSafeKey, nonce| key.seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        let Ok(tag) = self.with_message_key(nonce, seal) else {
            // It may be half encrypted.
            out.zeroize();
            return Err(TOO_LONG);
        };
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    pub(super) fn decrypt(&self, aad: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Zeroizing::default();
        self.decrypt_into(aad, bytes, &mut out)?;
        Ok(out)
    }

    /// Replaces what the buffer holds by the plaintext, and allocates nothing where there is room.
    pub(super) fn decrypt_into(&self, aad: &[u8], bytes: &[u8], out: &mut Zeroizing<Vec<u8>>) -> Result<(), Error> {
        let (nonce, rest) = bytes.split_at_checked(self.nonce_len()).ok_or(Error::Truncated)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(Error::Truncated)?;
        out.clear();
        out.resize(ciphertext.len(), 0);
        let text = out.as_mut_slice();
        let open = |key: &LessSafeKey, nonce| key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, text);
        self.with_message_key(nonce, open).map_err(|_| Error::Authentication)
    }

    /// Runs `run` with the key and nonce of one message, which the ciphers with long nonces make first.
    fn with_message_key<T>(
        &self,
        nonce: &[u8],
        run: impl FnOnce(&LessSafeKey, Nonce) -> Result<T, Unspecified>,
    ) -> Result<T, Unspecified> {
        match &self.cipher {
            CipherKey::Plain(key) => run(key, Nonce::try_assume_unique_for_key(nonce)?),
            CipherKey::XChaCha20(key) => {
                let (for_key, rest) = nonce.split_first_chunk().ok_or(Unspecified)?;
                let subkey = UnboundKey::new(&CHACHA20_POLY1305, hchacha20(key, for_key).as_slice())?;
                let mut nonce = [0; NONCE_LEN];
                let (_, end) = nonce.split_last_chunk_mut::<8>().ok_or(Unspecified)?;
                *end = rest.try_into().map_err(|_| Unspecified)?;
                run(&LessSafeKey::new(subkey), Nonce::assume_unique_for_key(nonce))
            }
            CipherKey::Xaes256(key) => {
                let (for_key, rest) = nonce.split_first_chunk().ok_or(Unspecified)?;
                let subkey = UnboundKey::new(&AES_256_GCM, xaes_key(key, for_key)?.as_slice())?;
                run(&LessSafeKey::new(subkey), Nonce::try_assume_unique_for_key(rest)?)
            }
        }
    }

    fn nonce_len(&self) -> usize {
        match self.cipher {
            CipherKey::Plain(_) => NONCE_LEN,
            CipherKey::XChaCha20(_) | CipherKey::Xaes256(_) => MAX_NONCE_LEN,
        }
    }
}

/// XAES-256-GCM's key of one message: two CMACs, of a counter, the letter X and the first half of the nonce.
fn xaes_key(key: &cmac::Key, nonce: &[u8; NONCE_LEN]) -> Result<Zeroizing<[u8; 32]>, Unspecified> {
    let mut out = Zeroizing::new([0; 32]);
    for (half, counter) in out.chunks_exact_mut(16).zip(1..) {
        let [n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11] = *nonce;
        let block = [0, counter, b'X', 0, n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11];
        cmac::sign_to_buffer(key, &block, half)?;
    }
    Ok(out)
}

const MAX_NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
