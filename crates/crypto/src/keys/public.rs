//! The public part of a key, and the encodings in which others know it.

use super::algorithm::Family;
use super::der::{self, Reader};
use super::{ed25519, ml_kem, rsa, text, x_wing};
use crate::Error;
use crate::keys::{Algorithm, PreparedKey};

/// A public key. It holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey {
    algorithm: Algorithm,
    raw: Box<[u8]>,
}

impl PublicKey {
    /// Takes what [`Self::raw`] gives, checked.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for what is no public key of this algorithm, [`Error::Unsupported`] if it has none.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Result<Self, Error> {
        let len = match algorithm.family() {
            Family::Aead(_) | Family::Mac(_) => return Err(Error::Unsupported("a symmetric key has no public part")),
            Family::Ecdsa(curve) => 1 + 2 * curve.len(),
            Family::Ed25519 => ed25519::PUBLIC_LEN,
            Family::MlDsa(parameters) => parameters.public_len(),
            Family::MlKem(parameters) => {
                ml_kem::check_public(parameters, raw)?;
                raw.len()
            }
            Family::Rsa(size) => {
                rsa::check_public(size, raw)?;
                raw.len()
            }
            Family::XWing => {
                x_wing::check_public(raw)?;
                x_wing::PUBLIC_LEN
            }
        };
        if raw.len() != len {
            return Err(INVALID);
        }
        let key = Self::computed(algorithm, raw.to_vec());
        // Points are checked by parsing.
        key.prepare()?;
        Ok(key)
    }

    /// Takes a `SubjectPublicKeyInfo` in DER, checked.
    ///
    /// # Errors
    /// As [`Self::from_raw`]; [`Error::Unsupported`] for X-Wing.
    pub fn from_spki(algorithm: Algorithm, spki: &[u8]) -> Result<Self, Error> {
        let mut outer = Reader::new(spki);
        let mut fields = Reader::new(outer.element(der::SEQUENCE)?);
        outer.end()?;
        let identifier = fields.element(der::SEQUENCE)?;
        let bits = fields.element(der::BIT_STRING)?;
        fields.end()?;
        if *der::element(der::SEQUENCE, &[identifier]) != *identifier_of(algorithm)? {
            return Err(Error::InvalidKey("the public key is of another algorithm"));
        }
        match bits.split_first() {
            Some((0, raw)) => Self::from_raw(algorithm, raw),
            Some(_) | None => Err(INVALID),
        }
    }

    /// Takes the PEM of a `SubjectPublicKeyInfo`, checked.
    ///
    /// # Errors
    /// As [`Self::from_spki`].
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, Error> {
        Self::from_spki(algorithm, &text::from_pem(LABEL, pem)?)
    }

    /// Takes an RSA key as its modulus and exponent, big-endian, checked.
    ///
    /// # Errors
    /// As [`Self::from_raw`].
    pub fn from_rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Result<Self, Error> {
        Self::from_raw(algorithm, &der::element(der::SEQUENCE, &[&der::unsigned(modulus), &der::unsigned(exponent)]))
    }

    /// Computed from a private key, so in need of no check.
    pub(super) fn computed(algorithm: Algorithm, raw: Vec<u8>) -> Self {
        Self { algorithm, raw: raw.into_boxed_slice() }
    }

    /// What the key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The bytes of its standard, which are also the stored encoding: an uncompressed point, 32 bytes of Ed25519, a
    /// `RSAPublicKey` in DER, the public key of FIPS 203 or 204 or of X-Wing's draft.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// A `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for X-Wing, whose draft is not final.
    pub fn spki(&self) -> Result<Vec<u8>, Error> {
        let bits = der::element(der::BIT_STRING, &[&[0], &self.raw]);
        Ok(der::element(der::SEQUENCE, &[identifier_of(self.algorithm)?, &bits]).to_vec())
    }

    /// [`Self::spki`] in PEM, with a line break at the end.
    ///
    /// # Errors
    /// As [`Self::spki`].
    pub fn pem(&self) -> Result<String, Error> {
        Ok(text::pem(LABEL, &self.spki()?).to_string())
    }

    /// The members that describe the key in a JWK (RFC 7517), in alphabetical order, `kty` among them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for X-Wing, whose draft is not final.
    pub fn jwk(&self) -> Result<Vec<(&'static str, String)>, Error> {
        let akp = |name: &str| {
            vec![("alg", name.to_owned()), ("kty", "AKP".to_owned()), ("pub", text::base64_url(&self.raw))]
        };
        match self.algorithm.family() {
            Family::Aead(_) | Family::Mac(_) | Family::XWing => Err(NO_ENCODING),
            Family::Ecdsa(curve) => {
                let (_form, point) = self.raw.split_first().ok_or(INVALID)?;
                let (x, y) = point.split_at_checked(curve.len()).ok_or(INVALID)?;
                let (crv, kty) = (curve.jwk_name().to_owned(), "EC".to_owned());
                Ok(vec![("crv", crv), ("kty", kty), ("x", text::base64_url(x)), ("y", text::base64_url(y))])
            }
            Family::Ed25519 => {
                let (crv, kty) = ("Ed25519".to_owned(), "OKP".to_owned());
                Ok(vec![("crv", crv), ("kty", kty), ("x", text::base64_url(&self.raw))])
            }
            Family::MlDsa(parameters) => Ok(akp(parameters.jwk_name())),
            Family::MlKem(parameters) => Ok(akp(parameters.jwk_name())),
            Family::Rsa(_) => {
                let (n, e) = rsa::numbers(&self.raw)?;
                Ok(vec![("e", text::base64_url(e)), ("kty", "RSA".to_owned()), ("n", text::base64_url(n))])
            }
        }
    }

    /// A key that does what needs no private part: verify, RSA's encrypt, encapsulate, wrap.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if the bytes are no key.
    pub fn prepare(&self) -> Result<PreparedKey, Error> {
        PreparedKey::new(self.algorithm, None, Some(self.clone()))
    }
}

/// The `AlgorithmIdentifier`, in DER.
fn identifier_of(algorithm: Algorithm) -> Result<&'static [u8], Error> {
    match algorithm.family() {
        Family::Aead(_) | Family::Mac(_) | Family::XWing => Err(NO_ENCODING),
        Family::Ecdsa(curve) => Ok(curve.identifier()),
        Family::Ed25519 => Ok(ed25519::IDENTIFIER),
        Family::MlDsa(parameters) => Ok(parameters.identifier()),
        Family::MlKem(parameters) => Ok(parameters.identifier()),
        Family::Rsa(_) => Ok(rsa::IDENTIFIER),
    }
}

const LABEL: &str = "PUBLIC KEY";
const INVALID: Error = Error::InvalidKey("not a valid public key of this algorithm");
const NO_ENCODING: Error = Error::Unsupported("public keys of this algorithm have no standard encoding");
