//! A key at rest: its stored encoding, and the encodings in which it leaves.

use zeroize::Zeroizing;

use super::algorithm::Family;
use super::{ec, ed25519, mac, ml_dsa, ml_kem, rsa, text, x_wing};
use crate::keys::{Algorithm, PreparedKey, PublicKey};
use crate::{Error, Secret};

/// The private or secret bytes of one key in their stored encoding (docs/CRYPTO.md), in locked memory.
///
/// It has no `Debug`, `Clone` or comparison on purpose.
pub struct KeyMaterial {
    algorithm: Algorithm,
    encoded: Secret,
}

impl KeyMaterial {
    /// A fresh key; of [`Algorithm::Hmac`] with 32 bytes. RSA takes a tenth of a second to several seconds, everything
    /// else under a millisecond.
    ///
    /// # Errors
    /// [`Error::Random`], [`Error::Memory`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, Error> {
        let encoded = match algorithm.family() {
            Family::Aead(cipher) => Secret::random(cipher.key_len()),
            Family::Ecdsa(curve) => ec::generate(curve),
            Family::Ed25519 => Secret::random(ed25519::SEED_LEN),
            Family::Mac(hash) => Secret::random(hash.map_or(32, |hash| hash.output_len())),
            Family::MlDsa(_) => Secret::random(ml_dsa::SEED_LEN),
            Family::MlKem(parameters) => ml_kem::generate(parameters),
            Family::Rsa(size) => rsa::generate(size),
            Family::XWing => x_wing::generate(),
        };
        Ok(Self { algorithm, encoded: encoded? })
    }

    /// A fresh key for [`Algorithm::Hmac`].
    ///
    /// # Errors
    /// [`Error::InvalidKey`] unless `len` is 32 to 512, [`Error::Random`], [`Error::Memory`].
    pub fn generate_hmac(len: usize) -> Result<Self, Error> {
        mac::check_len(None, len)?;
        Ok(Self { algorithm: Algorithm::Hmac, encoded: Secret::random(len)? })
    }

    /// What [`Self::encoded`] gave. Here lengths are checked, the rest by [`Self::prepare`] and [`Self::public`]; what
    /// users bring comes through [`Self::import`].
    ///
    /// # Errors
    /// [`Error::InvalidKey`], [`Error::Memory`].
    pub fn from_encoded(algorithm: Algorithm, encoded: &[u8]) -> Result<Self, Error> {
        let len = match algorithm.family() {
            Family::Aead(cipher) => cipher.key_len(),
            Family::Ecdsa(curve) => curve.len(),
            Family::Ed25519 => ed25519::SEED_LEN,
            Family::Mac(hash) => {
                mac::check_len(hash, encoded.len())?;
                encoded.len()
            }
            Family::MlDsa(_) => ml_dsa::SEED_LEN,
            Family::MlKem(parameters) => parameters.private_len(),
            Family::Rsa(size) => {
                rsa::check_public(size, &rsa::public(encoded)?)?;
                encoded.len()
            }
            Family::XWing => x_wing::PRIVATE_LEN,
        };
        if encoded.len() != len {
            return Err(Error::InvalidKey("the key has another length than its algorithm's"));
        }
        Ok(Self { algorithm, encoded: Secret::copy_from(encoded)? })
    }

    /// What the key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The stored encoding, to be sealed.
    pub fn encoded(&self) -> &[u8] {
        self.encoded.expose()
    }

    /// The public part; none of a symmetric key.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if the bytes are no key.
    pub fn public(&self) -> Result<Option<PublicKey>, Error> {
        let private = self.encoded();
        let raw = match self.algorithm.family() {
            Family::Aead(_) | Family::Mac(_) => return Ok(None),
            Family::Ecdsa(curve) => ec::public(curve, private),
            Family::Ed25519 => ed25519::public(private),
            Family::MlDsa(parameters) => ml_dsa::public(parameters, private),
            Family::MlKem(parameters) => ml_kem::public(parameters, private),
            Family::Rsa(_) => rsa::public(private),
            Family::XWing => x_wing::public(private),
        };
        Ok(Some(PublicKey::computed(self.algorithm, raw?)))
    }

    /// Parses and checks the key, to be used many times.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if the bytes are no key.
    pub fn prepare(&self) -> Result<PreparedKey, Error> {
        PreparedKey::new(self.algorithm, Some(self.encoded()), self.public()?)
    }

    /// The bytes as other programs know them: raw for symmetric keys; seed and public key of Ed25519, 64 bytes; PKCS#1 of
    /// RSA and SEC 1 of EC, in DER; as stored for the others.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if the bytes are no key.
    pub fn export(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let private = self.encoded();
        match self.algorithm.family() {
            Family::Aead(_) | Family::Mac(_) | Family::MlDsa(_) | Family::MlKem(_) | Family::XWing => {
                Ok(Zeroizing::new(private.to_vec()))
            }
            Family::Ecdsa(curve) => ec::sec1(curve, private),
            Family::Ed25519 => ed25519::expanded(private),
            Family::Rsa(_) => rsa::pkcs1(private).map(|der| Zeroizing::new(der.to_vec())),
        }
    }

    /// [`Self::export`] as text: PEM of RSA and EC, base64 of the others.
    ///
    /// # Errors
    /// As [`Self::export`].
    pub fn export_text(&self) -> Result<Zeroizing<String>, Error> {
        let bytes = self.export()?;
        Ok(match self.algorithm.family() {
            Family::Ecdsa(_) => text::pem("EC PRIVATE KEY", &bytes),
            Family::Rsa(_) => text::pem("RSA PRIVATE KEY", &bytes),
            Family::Aead(_)
            | Family::Ed25519
            | Family::Mac(_)
            | Family::MlDsa(_)
            | Family::MlKem(_)
            | Family::XWing => text::base64(&bytes),
        })
    }

    /// PKCS#8 in DER.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for symmetric keys and X-Wing, which have no such encoding; [`Error::InvalidKey`] if the bytes
    /// are no key.
    pub fn export_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let private = self.encoded();
        match self.algorithm.family() {
            Family::Aead(_) | Family::Mac(_) | Family::XWing => {
                Err(Error::Unsupported("keys of this algorithm have no PKCS#8 encoding"))
            }
            Family::Ecdsa(curve) => ec::pkcs8(curve, private),
            Family::Ed25519 => Ok(ed25519::pkcs8(private)),
            Family::MlDsa(parameters) => Ok(ml_dsa::pkcs8(parameters, private)),
            Family::MlKem(parameters) => Ok(ml_kem::pkcs8(parameters, private)),
            Family::Rsa(_) => Ok(Zeroizing::new(private.to_vec())),
        }
    }
}
