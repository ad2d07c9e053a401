//! ML-DSA (FIPS 204), pure, hedged, with an empty context. A private key is stored as its seed of 32 bytes.

use aws_lc_rs::signature::{
    KeyPair, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87, ML_DSA_87_SIGNING, ParsedPublicKey,
    PqdsaKeyPair, PqdsaSigningAlgorithm, PqdsaVerificationAlgorithm,
};
use zeroize::Zeroizing;

use super::der;
use crate::{Error, Secret};

#[derive(Clone, Copy)]
pub(super) enum MlDsa {
    MlDsa44,
    MlDsa65,
    MlDsa87,
}

pub(super) const SEED_LEN: usize = 32;

impl MlDsa {
    pub(super) fn public_len(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
            Self::MlDsa87 => 2592,
        }
    }

    /// The `AlgorithmIdentifier` (RFC 9881), in DER.
    pub(super) fn identifier(self) -> &'static [u8] {
        match self {
            Self::MlDsa44 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11",
            Self::MlDsa65 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12",
            Self::MlDsa87 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13",
        }
    }

    /// The `alg` of a JWK.
    pub(super) fn jwk_name(self) -> &'static str {
        match self {
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
        }
    }

    fn library(self) -> (&'static PqdsaSigningAlgorithm, &'static PqdsaVerificationAlgorithm) {
        match self {
            Self::MlDsa44 => (&ML_DSA_44_SIGNING, &ML_DSA_44),
            Self::MlDsa65 => (&ML_DSA_65_SIGNING, &ML_DSA_65),
            Self::MlDsa87 => (&ML_DSA_87_SIGNING, &ML_DSA_87),
        }
    }
}

/// Takes a PKCS#8 key that holds the seed, alone or beside the expanded key, which must then be its own; or the seed.
pub(super) fn import(parameters: MlDsa, bytes: &[u8]) -> Result<Secret, Error> {
    if bytes.len() == SEED_LEN {
        return Secret::copy_from(bytes);
    }
    der::check_whole(bytes)?;
    let pair = PqdsaKeyPair::from_pkcs8(parameters.library().0, bytes).map_err(|_| INVALID)?;
    // Written back in the one form that holds the seed alone, which a key without one has not.
    let pkcs8 = pair.to_pkcs8v1().map_err(|_| Error::InvalidKey("an ML-DSA key is imported with its seed"))?;
    let (_, seed) = pkcs8.as_ref().split_last_chunk::<SEED_LEN>().ok_or(INVALID)?;
    if *self::pkcs8(parameters, seed) == *pkcs8.as_ref() { Secret::copy_from(seed) } else { Err(INVALID) }
}

pub(super) fn public(parameters: MlDsa, seed: &[u8]) -> Result<Vec<u8>, Error> {
    pair(parameters, seed).map(|pair| pair.public_key().as_ref().to_vec())
}

/// PKCS#8 with the seed alone (RFC 9881).
pub(super) fn pkcs8(parameters: MlDsa, seed: &[u8]) -> Zeroizing<Vec<u8>> {
    let inner = der::element(SEED_TAG, &[seed]);
    let key = der::element(der::OCTET_STRING, &[&inner]);
    der::element(der::SEQUENCE, &[&der::unsigned(&[]), parameters.identifier(), &key])
}

fn pair(parameters: MlDsa, seed: &[u8]) -> Result<PqdsaKeyPair, Error> {
    PqdsaKeyPair::from_seed(parameters.library().0, seed).map_err(|_| INVALID)
}

/// A key that verifies, and signs if it has its private part.
pub(super) struct MlDsaKey {
    pair: Option<PqdsaKeyPair>,
    public: ParsedPublicKey,
}

impl MlDsaKey {
    pub(super) fn new(parameters: MlDsa, seed: Option<&[u8]>, public: &[u8]) -> Result<Self, Error> {
        let public = ParsedPublicKey::new(parameters.library().1, public).map_err(|_| INVALID)?;
        Ok(Self { pair: seed.map(|seed| pair(parameters, seed)).transpose()?, public })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let pair = self.pair.as_ref().ok_or(super::prepared::PUBLIC_ONLY)?;
        let mut out = vec![0; pair.algorithm().signature_len()];
        let len = pair.sign(message, &mut out).map_err(|_| Error::Random)?;
        out.truncate(len);
        Ok(out)
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

const SEED_TAG: u8 = 0x80;
const INVALID: Error = Error::InvalidKey("not a valid ML-DSA key of this size");
