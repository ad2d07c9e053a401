//! ML-KEM (FIPS 203). A private key is stored as the decapsulation key of the standard, which holds the public one.

use aws_lc_rs::kem::{Algorithm, Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_512, ML_KEM_768, ML_KEM_1024};
use zeroize::Zeroizing;

use super::der::{self, Reader};
use super::kem::Encapsulated;
use crate::hash::{self, Digest};
use crate::{Error, Secret};

#[derive(Clone, Copy)]
pub(super) enum MlKem {
    MlKem1024,
    MlKem512,
    MlKem768,
}

impl MlKem {
    pub(super) fn private_len(self) -> usize {
        // The vector s, the encapsulation key, its hash, and the secret for rejections.
        self.vector_len() + self.public_len() + 64
    }

    pub(super) fn public_len(self) -> usize {
        self.vector_len() + 32
    }

    pub(super) fn ciphertext_len(self) -> usize {
        match self {
            Self::MlKem512 => 768,
            Self::MlKem768 => 1088,
            Self::MlKem1024 => 1568,
        }
    }

    /// Of a vector of polynomials with 12 bits a coefficient.
    fn vector_len(self) -> usize {
        match self {
            Self::MlKem512 => 768,
            Self::MlKem768 => 1152,
            Self::MlKem1024 => 1536,
        }
    }

    /// The `AlgorithmIdentifier` (RFC 9935), in DER.
    pub(super) fn identifier(self) -> &'static [u8] {
        match self {
            Self::MlKem512 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x01",
            Self::MlKem768 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x02",
            Self::MlKem1024 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x03",
        }
    }

    /// The `alg` of a JWK.
    pub(super) fn jwk_name(self) -> &'static str {
        match self {
            Self::MlKem512 => "ML-KEM-512",
            Self::MlKem768 => "ML-KEM-768",
            Self::MlKem1024 => "ML-KEM-1024",
        }
    }

    fn library(self) -> &'static Algorithm {
        match self {
            Self::MlKem512 => &ML_KEM_512,
            Self::MlKem768 => &ML_KEM_768,
            Self::MlKem1024 => &ML_KEM_1024,
        }
    }
}

pub(super) fn generate(parameters: MlKem) -> Result<Secret, Error> {
    let key = DecapsulationKey::generate(parameters.library()).map_err(|_| Error::Random)?;
    let bytes = key.key_bytes().map_err(|_| Error::Random)?;
    Secret::copy_from(bytes.as_ref())
}

/// Takes a PKCS#8 key that holds the decapsulation key (RFC 9935), or that key alone.
pub(super) fn import(parameters: MlKem, bytes: &[u8]) -> Result<Secret, Error> {
    if bytes.len() == parameters.private_len() {
        return Secret::copy_from(bytes);
    }
    let mut outer = Reader::new(bytes);
    let mut fields = Reader::new(outer.element(der::SEQUENCE)?);
    outer.end()?;
    let is_version_1 = fields.unsigned()?.is_empty();
    let identifier = fields.element(der::SEQUENCE)?;
    let key = fields.element(der::OCTET_STRING)?;
    if !is_version_1 || *der::element(der::SEQUENCE, &[identifier]) != *parameters.identifier() {
        return Err(INVALID);
    }
    let mut key = Reader::new(key);
    let expanded = match key.optional(der::SEQUENCE)? {
        None => key.optional(der::OCTET_STRING)?,
        Some(both) => {
            let mut both = Reader::new(both);
            both.element(der::OCTET_STRING)?;
            Some(both.element(der::OCTET_STRING)?)
        }
    };
    Secret::copy_from(expanded.ok_or(Error::InvalidKey("an ML-KEM key is imported in its expanded form"))?)
}

/// The public key within a private one, after checks that it is one: its length, its coefficients, its hash.
pub(super) fn public(parameters: MlKem, private: &[u8]) -> Result<Vec<u8>, Error> {
    if private.len() != parameters.private_len() {
        return Err(INVALID);
    }
    let (_, rest) = private.split_at_checked(parameters.vector_len()).ok_or(INVALID)?;
    let (public, rest) = rest.split_at_checked(parameters.public_len()).ok_or(INVALID)?;
    let (hash, _) = rest.split_at_checked(32).ok_or(INVALID)?;
    check_public(parameters, public)?;
    let is_its_own = Digest::of(hash::Algorithm::Sha3_256, public).as_bytes() == hash;
    if is_its_own { Ok(public.to_vec()) } else { Err(INVALID) }
}

/// The checks of FIPS 203, section 7.2: length, and every coefficient reduced.
pub(super) fn check_public(parameters: MlKem, public: &[u8]) -> Result<(), Error> {
    let vector = public.get(..parameters.vector_len()).filter(|_| public.len() == parameters.public_len());
    let is_reduced = |triple: &[u8]| match triple {
        [a, b, c] => {
            let (a, b, c) = (u16::from(*a), u16::from(*b), u16::from(*c));
            (a | (b & 0xf) << 8) < MODULUS && (b >> 4 | c << 4) < MODULUS
        }
        _ => false,
    };
    if vector.ok_or(INVALID)?.chunks(3).all(is_reduced) { Ok(()) } else { Err(INVALID) }
}

/// PKCS#8 with the expanded key (RFC 9935).
pub(super) fn pkcs8(parameters: MlKem, private: &[u8]) -> Zeroizing<Vec<u8>> {
    let inner = der::element(der::OCTET_STRING, &[private]);
    let key = der::element(der::OCTET_STRING, &[&inner]);
    der::element(der::SEQUENCE, &[&der::unsigned(&[]), parameters.identifier(), &key])
}

/// A key that encapsulates, and decapsulates if it has its private part.
pub(super) struct MlKemKey {
    private: Option<DecapsulationKey>,
    public: EncapsulationKey,
}

impl MlKemKey {
    pub(super) fn new(parameters: MlKem, private: Option<&[u8]>, public: &[u8]) -> Result<Self, Error> {
        check_public(parameters, public)?;
        let library = parameters.library();
        let private = private.map(|private| DecapsulationKey::new(library, private));
        Ok(Self {
            private: private.transpose().map_err(|_| INVALID)?,
            public: EncapsulationKey::new(library, public).map_err(|_| INVALID)?,
        })
    }

    pub(super) fn encapsulate(&self) -> Result<Encapsulated, Error> {
        let (ciphertext, shared) = self.public.encapsulate().map_err(|_| Error::Random)?;
        Ok(Encapsulated { ciphertext: ciphertext.as_ref().to_vec(), shared: Zeroizing::new(shared.as_ref().to_vec()) })
    }

    /// A ciphertext that was made for another key, or edited, gives a secret that nobody else has, as the standard says.
    pub(super) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.private.as_ref().ok_or(super::prepared::PUBLIC_ONLY)?;
        let shared = key.decapsulate(Ciphertext::from(ciphertext)).map_err(|_| Error::Authentication)?;
        Ok(Zeroizing::new(shared.as_ref().to_vec()))
    }
}

const MODULUS: u16 = 3329;
const INVALID: Error = Error::InvalidKey("not a valid ML-KEM key of this size");
