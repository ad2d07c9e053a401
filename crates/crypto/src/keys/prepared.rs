//! A key in use.

use zeroize::Zeroizing;

use super::aead::AeadKey;
use super::algorithm::Family;
use super::ec::EcKey;
use super::ed25519::{self, Ed25519Key};
use super::kem::Encapsulated;
use super::mac::MacKey;
use super::ml_dsa::MlDsaKey;
use super::ml_kem::MlKemKey;
use super::rsa::RsaKey;
use super::wrap::{self, KEK_LEN, Kek};
use super::x_wing::XWingKey;
use crate::hash::Algorithm as Hash;
use crate::keys::{Algorithm, PublicKey, SignOptions};
use crate::rng::{self, Nonces};
use crate::{Error, kdf};

/// A key parsed and checked once, to be used many times and from many threads.
///
/// Its bytes lie on the heap, in the library's contexts and in buffers that wipe themselves. It has no `Debug`, `Clone`
/// or comparison on purpose. An operation that the algorithm does not have, or that needs the private part of a key
/// that came without it, is [`Error::Unsupported`].
pub struct PreparedKey {
    algorithm: Algorithm,
    key: Key,
    public: Option<PublicKey>,
    /// What others are derived from; derived keys derive none.
    root: Option<Zeroizing<Box<[u8]>>>,
}

enum Key {
    Aead(AeadKey),
    Ec(EcKey),
    Ed25519(Ed25519Key),
    Mac(MacKey),
    MlDsa(MlDsaKey),
    MlKem(MlKemKey),
    Rsa(RsaKey),
    XWing(XWingKey),
}

impl PreparedKey {
    /// At least one of the two must be given: for an asymmetric algorithm the public key.
    pub(super) fn new(algorithm: Algorithm, private: Option<&[u8]>, public: Option<PublicKey>) -> Result<Self, Error> {
        const NO_KEY: Error = Error::InvalidKey("there is no key");
        let raw = || public.as_ref().map(PublicKey::raw).ok_or(NO_KEY);
        let spki = || public.as_ref().ok_or(NO_KEY)?.spki();
        let key = match algorithm.family() {
            Family::Aead(cipher) => Key::Aead(AeadKey::new(cipher, private.ok_or(NO_KEY)?)?),
            Family::Ecdsa(curve) => Key::Ec(EcKey::new(curve, private, &spki()?)?),
            Family::Ed25519 => Key::Ed25519(Ed25519Key::new(private, raw()?)?),
            Family::Mac(hash) => Key::Mac(MacKey::new(hash, private.ok_or(NO_KEY)?)),
            Family::MlDsa(parameters) => Key::MlDsa(MlDsaKey::new(parameters, private, raw()?)?),
            Family::MlKem(parameters) => Key::MlKem(MlKemKey::new(parameters, private, raw()?)?),
            Family::Rsa(_) => Key::Rsa(RsaKey::new(private, &spki()?)?),
            Family::XWing => Key::XWing(XWingKey::new(private, raw()?)?),
        };
        let root = match algorithm.family() {
            Family::Aead(_) => private.map(|key| Zeroizing::new(key.into())),
            Family::Ed25519 => private.map(ed25519::expanded).transpose()?.map(boxed),
            Family::Ecdsa(_)
            | Family::Mac(_)
            | Family::MlDsa(_)
            | Family::MlKem(_)
            | Family::Rsa(_)
            | Family::XWing => None,
        };
        Ok(Self { algorithm, key, public, root })
    }

    /// What the key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public part; none of a symmetric key.
    pub fn public(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// Encrypts: `nonce | ciphertext | tag` with a cipher, OAEP with SHA-256 with RSA, which has no associated data.
    /// Allocates nothing but the result.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a plaintext that is too long, and associated data given to RSA; [`Error::Random`].
    pub fn encrypt(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.key {
            Key::Aead(key) => key.encrypt(aad, plaintext),
            Key::Rsa(key) if aad.is_empty() => key.encrypt(Hash::Sha2_256, plaintext),
            Key::Rsa(_) => Err(RSA_AAD),
            Key::Ec(_) | Key::Ed25519(_) | Key::Mac(_) | Key::MlDsa(_) | Key::MlKem(_) | Key::XWing(_) => {
                Err(NO_ENCRYPTION)
            }
        }
    }

    /// As [`Self::encrypt`], with one of the nonces and into a buffer whose content it replaces: for many messages in turn.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    pub fn encrypt_into(
        &self,
        nonces: &mut Nonces,
        aad: &[u8],
        plaintext: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match &self.key {
            Key::Aead(key) => key.encrypt_into(nonces, aad, plaintext, out),
            _ => {
                *out = self.encrypt(aad, plaintext)?;
                Ok(())
            }
        }
    }

    /// As [`Self::decrypt`], into a buffer whose content it replaces: for many messages in turn.
    ///
    /// # Errors
    /// As [`Self::decrypt`].
    pub fn decrypt_into(&self, aad: &[u8], bytes: &[u8], out: &mut Zeroizing<Vec<u8>>) -> Result<(), Error> {
        match &self.key {
            Key::Aead(key) => key.decrypt_into(aad, bytes, out),
            _ => {
                *out = self.decrypt(aad, bytes)?;
                Ok(())
            }
        }
    }

    /// Decrypts what [`Self::encrypt`] gave.
    ///
    /// # Errors
    /// [`Error::Authentication`] for what is not this key's or was edited, [`Error::Truncated`],
    /// [`Error::Parameters`] for associated data given to RSA.
    pub fn decrypt(&self, aad: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        match &self.key {
            Key::Aead(key) => key.decrypt(aad, bytes),
            Key::Rsa(key) if aad.is_empty() => key.decrypt(Hash::Sha2_256, bytes),
            Key::Rsa(_) => Err(RSA_AAD),
            Key::Ec(_) | Key::Ed25519(_) | Key::Mac(_) | Key::MlDsa(_) | Key::MlKem(_) | Key::XWing(_) => {
                Err(NO_ENCRYPTION)
            }
        }
    }

    /// Encrypts with RSA-OAEP, the hash being the label's and MGF1's.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a plaintext that is too long.
    pub fn encrypt_oaep(&self, hash: Hash, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        self.rsa()?.encrypt(hash, plaintext)
    }

    /// Decrypts what [`Self::encrypt_oaep`] gave.
    ///
    /// # Errors
    /// [`Error::Authentication`].
    pub fn decrypt_oaep(&self, hash: Hash, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.rsa()?.decrypt(hash, bytes)
    }

    /// The key of a context, by HKDF-SHA256: a cipher's, or an Ed25519 key. It also opens what the convergent key of the
    /// same context encrypted.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other algorithms, and for a key that is derived itself.
    pub fn derive(&self, context: &[u8]) -> Result<Self, Error> {
        let root = self.root.as_ref().ok_or(NO_DERIVATION)?;
        let mut bytes = Zeroizing::new([0; MAX_DERIVED_LEN]);
        let (key, public) = match self.algorithm.family() {
            Family::Aead(cipher) => {
                let bytes = derived(root, context, bytes.as_mut_slice(), cipher.key_len())?;
                (Key::Aead(AeadKey::new(cipher, bytes)?), None)
            }
            Family::Ed25519 => {
                let seed = derived(root, context, bytes.as_mut_slice(), ed25519::SEED_LEN)?;
                let public = PublicKey::computed(self.algorithm, ed25519::public(seed)?);
                (Key::Ed25519(Ed25519Key::new(Some(seed), public.raw())?), Some(public))
            }
            Family::Ecdsa(_)
            | Family::Mac(_)
            | Family::MlDsa(_)
            | Family::MlKem(_)
            | Family::Rsa(_)
            | Family::XWing => return Err(NO_DERIVATION),
        };
        Ok(Self { algorithm: self.algorithm, key, public, root: None })
    }

    /// The convergent key of a context: the same plaintext gives the same ciphertext, by a nonce that is the start of
    /// HMAC-SHA256 over it, and over associated data where there is any: one plaintext under two of them must not share
    /// a nonce. That tells anyone who sees two ciphertexts whether plaintexts and associated data are equal.
    ///
    /// # Errors
    /// As [`Self::derive`], and [`Error::Unsupported`] for Ed25519.
    pub fn derive_convergent(&self, context: &[u8]) -> Result<Self, Error> {
        let root = self.root.as_ref().ok_or(NO_DERIVATION)?;
        let Family::Aead(cipher) = self.algorithm.family() else {
            return Err(Error::Unsupported("keys of this algorithm do not encrypt convergently"));
        };
        let mut bytes = Zeroizing::new([0; MAX_DERIVED_LEN]);
        let bytes = derived(root, context, bytes.as_mut_slice(), cipher.key_len() + 64)?;
        let (key, mac_keys) = bytes.split_at(cipher.key_len());
        let (plain, bound) = mac_keys.split_at(32);
        let key = AeadKey::new(cipher, key)?.convergent(plain, bound);
        Ok(Self { algorithm: self.algorithm, key: Key::Aead(key), public: None, root: None })
    }

    /// Signs a message, or its hash. ECDSA, ML-DSA and PSS give another signature each time.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a hash of another length than its algorithm's, or a salt that does not fit;
    /// [`Error::Unsupported`] for options that make no sense with the key.
    pub fn sign(&self, options: &SignOptions, input: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.key {
            Key::Ec(key) => key.sign(options, input),
            Key::Ed25519(key) => key.sign(input),
            Key::MlDsa(key) => key.sign(input),
            Key::Rsa(key) => key.sign(options, input),
            Key::Aead(_) | Key::Mac(_) | Key::MlKem(_) | Key::XWing(_) => Err(NO_SIGNATURES),
        }
    }

    /// Whether a signature is this key's. A malformed one is not.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn verify(&self, options: &SignOptions, input: &[u8], signature: &[u8]) -> Result<bool, Error> {
        match &self.key {
            Key::Ec(key) => key.verify(options, input, signature),
            Key::Ed25519(key) => Ok(key.verify(input, signature)),
            Key::MlDsa(key) => Ok(key.verify(input, signature)),
            Key::Rsa(key) => key.verify(options, input, signature),
            Key::Aead(_) | Key::Mac(_) | Key::MlKem(_) | Key::XWing(_) => Err(NO_SIGNATURES),
        }
    }

    /// HMAC with a hash; none is the key's own, or SHA-256 where it has none.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another hash than the key's own.
    pub fn mac(&self, hash: Option<Hash>, input: &[u8]) -> Result<Vec<u8>, Error> {
        let Key::Mac(key) = &self.key else { return Err(NO_MAC) };
        key.mac(hash, input)
    }

    /// Whether a keyed hash is this key's, in time that depends on lengths alone.
    ///
    /// # Errors
    /// As [`Self::mac`].
    pub fn verify_mac(&self, hash: Option<Hash>, input: &[u8], mac: &[u8]) -> Result<bool, Error> {
        let Key::Mac(key) = &self.key else { return Err(NO_MAC) };
        key.verify(hash, input, mac)
    }

    /// A fresh shared secret of 32 bytes and its ciphertext.
    ///
    /// # Errors
    /// [`Error::Random`]; [`Error::InvalidKey`] for an X-Wing key with a point of small order.
    pub fn encapsulate(&self) -> Result<Encapsulated, Error> {
        match &self.key {
            Key::MlKem(key) => key.encapsulate(),
            Key::XWing(key) => key.encapsulate(),
            Key::Aead(_) | Key::Ec(_) | Key::Ed25519(_) | Key::Mac(_) | Key::MlDsa(_) | Key::Rsa(_) => {
                Err(NO_ENCAPSULATION)
            }
        }
    }

    /// The shared secret of a ciphertext. One that was edited, or made for another key, gives another secret, not an
    /// error: whoever uses it finds out.
    ///
    /// # Errors
    /// [`Error::Authentication`] for a ciphertext of another length.
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        match &self.key {
            Key::MlKem(key) => key.decapsulate(ciphertext),
            Key::XWing(key) => key.decapsulate(ciphertext),
            Key::Aead(_) | Key::Ec(_) | Key::Ed25519(_) | Key::Mac(_) | Key::MlDsa(_) | Key::Rsa(_) => {
                Err(NO_ENCAPSULATION)
            }
        }
    }

    /// Wraps the bytes of another key, 1 to 65536, by AES-KWP: under a key that is derived apart from any that encrypts,
    /// one that RSA-OAEP with SHA-256 carries, or one that is encapsulated.
    ///
    /// # Errors
    /// [`Error::Parameters`] for another length, [`Error::Random`].
    pub fn wrap(&self, key: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.key {
            Key::Aead(_) => wrap::wrap(&self.kek()?, key),
            Key::Rsa(_) => self.wrap_rsa(Hash::Sha2_256, key),
            Key::MlKem(_) | Key::XWing(_) => {
                let Encapsulated { mut ciphertext, shared } = self.encapsulate()?;
                ciphertext.extend(wrap::wrap(&wrap::derive(&shared, self.algorithm.name())?, key)?);
                Ok(ciphertext)
            }
            Key::Ec(_) | Key::Ed25519(_) | Key::Mac(_) | Key::MlDsa(_) => Err(NO_WRAPPING),
        }
    }

    /// Unwraps what [`Self::wrap`] gave.
    ///
    /// # Errors
    /// [`Error::Authentication`] for what is not this key's or was edited, [`Error::Truncated`].
    pub fn unwrap(&self, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let ciphertext_len = match self.algorithm.family() {
            Family::Aead(_) => return wrap::unwrap(&self.kek()?, bytes),
            Family::Rsa(_) => return self.unwrap_rsa(Hash::Sha2_256, bytes),
            Family::MlKem(parameters) => parameters.ciphertext_len(),
            Family::XWing => super::x_wing::CIPHERTEXT_LEN,
            Family::Ecdsa(_) | Family::Ed25519 | Family::Mac(_) | Family::MlDsa(_) => return Err(NO_WRAPPING),
        };
        let (ciphertext, wrapped) = bytes.split_at_checked(ciphertext_len).ok_or(Error::Truncated)?;
        let shared = self.decapsulate(ciphertext)?;
        wrap::unwrap(&wrap::derive(&shared, self.algorithm.name())?, wrapped)
    }

    /// Wraps for an RSA key as PKCS#11's `CKM_RSA_AES_KEY_WRAP` does: a fresh AES-256 key under OAEP with that hash, then
    /// the key by AES-KWP under it.
    ///
    /// # Errors
    /// As [`Self::wrap`].
    pub fn wrap_rsa(&self, hash: Hash, key: &[u8]) -> Result<Vec<u8>, Error> {
        let mut kek: Kek = Zeroizing::new([0; KEK_LEN]);
        rng::fill(kek.as_mut_slice())?;
        let mut out = self.rsa()?.encrypt(hash, kek.as_slice())?;
        out.extend(wrap::wrap(&kek, key)?);
        Ok(out)
    }

    /// Unwraps what [`Self::wrap_rsa`] gave.
    ///
    /// # Errors
    /// As [`Self::unwrap`].
    pub fn unwrap_rsa(&self, hash: Hash, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let rsa = self.rsa()?;
        let (sealed, wrapped) = bytes.split_at_checked(rsa.modulus_len()).ok_or(Error::Truncated)?;
        let opened = rsa.decrypt(hash, sealed)?;
        let kek = opened.as_slice().try_into().map(Zeroizing::new).map_err(|_| Error::Authentication)?;
        wrap::unwrap(&kek, wrapped)
    }

    fn kek(&self) -> Result<Kek, Error> {
        wrap::derive(self.root.as_ref().ok_or(NO_WRAPPING)?, self.algorithm.name())
    }

    fn rsa(&self) -> Result<&RsaKey, Error> {
        let Key::Rsa(key) = &self.key else { return Err(Error::Unsupported("the key is not an RSA key")) };
        Ok(key)
    }
}

/// The first `len` bytes of `out`, filled from the root and a context.
fn derived<'a>(root: &[u8], context: &[u8], out: &'a mut [u8], len: usize) -> Result<&'a [u8], Error> {
    let out = out.get_mut(..len).ok_or(NO_DERIVATION)?;
    kdf::fill(root, &[], &[context], out)?;
    Ok(out)
}

fn boxed(bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Box<[u8]>> {
    Zeroizing::new(bytes.as_slice().into())
}

/// A cipher's key and two for HMAC.
const MAX_DERIVED_LEN: usize = 96;

pub(super) const PUBLIC_ONLY: Error =
    Error::Unsupported("the operation needs the private key, and there is only the public one");
const NO_DERIVATION: Error = Error::Unsupported("no keys are derived from this one");
const NO_ENCAPSULATION: Error = Error::Unsupported("keys of this algorithm do not encapsulate");
const NO_ENCRYPTION: Error = Error::Unsupported("keys of this algorithm do not encrypt");
const NO_MAC: Error = Error::Unsupported("keys of this algorithm make no keyed hashes");
const NO_SIGNATURES: Error = Error::Unsupported("keys of this algorithm do not sign");
const NO_WRAPPING: Error = Error::Unsupported("the key wraps no others");
const RSA_AAD: Error = Error::Parameters("RSA takes no associated data");
