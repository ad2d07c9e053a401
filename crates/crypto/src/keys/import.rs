//! Keys that users bring along.

use zeroize::Zeroizing;

use super::algorithm::Family;
use super::{der, ec, ed25519, ml_dsa, ml_kem, rsa};
use crate::keys::{Algorithm, KeyMaterial, Marshal, SignOptions};
use crate::{Error, Secret};

impl KeyMaterial {
    /// Takes a key that was made elsewhere, with every check there is: lengths, numbers that belong together, points on
    /// their curves, and for the asymmetric ones that the two halves fit, by using them.
    ///
    /// It reads PKCS#8 in DER (RSA, EC, Ed25519, ML-DSA with its seed, ML-KEM with its expanded key), PKCS#1 (RSA), raw
    /// bytes (AES, ChaCha20, HMAC), seeds (Ed25519, also with the public key after it; ML-DSA), and what
    /// [`Self::encoded`] gives, but for EC: an Ed25519 key in PKCS#8 is as long as a number of P-384.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for anything else, and weak keys: RSA of another size than the algorithm's, with an even
    /// modulus or an exponent of one. [`Error::Memory`].
    pub fn import(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, Error> {
        let encoded = match algorithm.family() {
            Family::Aead(_) | Family::Mac(_) | Family::XWing => Secret::copy_from(bytes).map_err(not_empty)?,
            Family::Ecdsa(curve) => ec::from_pkcs8(curve, bytes)?,
            Family::Ed25519 => ed25519::import(bytes)?,
            Family::MlDsa(parameters) => ml_dsa::import(parameters, bytes)?,
            Family::MlKem(parameters) => ml_kem::import(parameters, bytes)?,
            Family::Rsa(size) => rsa::import(size, bytes)?,
        };
        let key = Self::from_encoded(algorithm, encoded.expose())?;
        key.check_halves()?;
        Ok(key)
    }

    /// The same for an RSA key as the numbers of PKCS#1, big-endian: modulus, public exponent, private exponent, both primes,
    /// the private exponent for each prime, the second prime's inverse.
    ///
    /// # Errors
    /// As [`KeyMaterial::import`].
    pub fn import_rsa(algorithm: Algorithm, numbers: [&[u8]; 8]) -> Result<Self, Error> {
        let version = der::unsigned(&[]);
        let numbers = numbers.map(der::unsigned);
        let mut parts = vec![version.as_slice()];
        parts.extend(numbers.iter().map(|number| number.as_slice()));
        Self::import(algorithm, &der::element(der::SEQUENCE, &parts))
    }

    /// The same for the number of an elliptic key, big-endian.
    ///
    /// # Errors
    /// As [`KeyMaterial::import`].
    pub fn import_number(algorithm: Algorithm, number: &[u8]) -> Result<Self, Error> {
        let Family::Ecdsa(curve) = algorithm.family() else { return Err(Error::InvalidKey("not an elliptic key")) };
        let number = der::significant(number);
        let zeros = curve.len().checked_sub(number.len()).ok_or(Error::InvalidKey("the number is too large"))?;
        let mut encoded = Zeroizing::new(vec![0; curve.len()]);
        encoded.split_at_mut(zeros).1.copy_from_slice(number);
        let key = Self::from_encoded(algorithm, &encoded)?;
        key.check_halves()?;
        Ok(key)
    }

    /// That what one half does the other undoes.
    fn check_halves(&self) -> Result<(), Error> {
        const APART: Error = Error::InvalidKey("the private and the public key do not belong together");
        let prepared = self.prepare()?;
        let fit = match self.algorithm().family() {
            Family::Aead(_) | Family::Mac(_) => true,
            Family::Ecdsa(_) | Family::Ed25519 | Family::MlDsa(_) | Family::Rsa(_) => {
                let options = SignOptions { marshal: Marshal::Der, ..SignOptions::default() };
                let signature = prepared.sign(&options, TRIAL).map_err(|_| APART)?;
                prepared.verify(&options, TRIAL, &signature)?
            }
            Family::MlKem(_) | Family::XWing => {
                let encapsulated = prepared.encapsulate()?;
                *prepared.decapsulate(&encapsulated.ciphertext)? == *encapsulated.shared
            }
        };
        if fit { Ok(()) } else { Err(APART) }
    }
}

fn not_empty(error: Error) -> Error {
    match error {
        Error::Parameters(_) => Error::InvalidKey("the key is empty"),
        other => other,
    }
}

const TRIAL: &[u8] = b"coffer key import";
