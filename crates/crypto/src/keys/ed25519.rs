//! Ed25519 (RFC 8032), pure. A private key is stored as its seed of 32 bytes.

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use zeroize::Zeroizing;

use super::der;
use crate::{Error, Secret};

pub(super) const SEED_LEN: usize = 32;
pub(super) const PUBLIC_LEN: usize = 32;
/// The `AlgorithmIdentifier` (RFC 8410), in DER.
pub(super) const IDENTIFIER: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

/// Takes a PKCS#8 key, with or without its public part (versions 1 and 2), the seed, or the seed and its public key.
pub(super) fn import(bytes: &[u8]) -> Result<Secret, Error> {
    match bytes.len() {
        SEED_LEN => Secret::copy_from(bytes),
        64 => {
            let (seed, public) = bytes.split_at(SEED_LEN);
            Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| INVALID)?;
            Secret::copy_from(seed)
        }
        _ => {
            der::check_whole(bytes)?;
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map_err(|_| INVALID)?;
            let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| INVALID)?;
            Secret::copy_from(seed.as_ref())
        }
    }
}

pub(super) fn public(seed: &[u8]) -> Result<Vec<u8>, Error> {
    pair(seed).map(|pair| pair.public_key().as_ref().to_vec())
}

/// The seed and its public key, which is what others call the private key.
pub(super) fn expanded(seed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let public = public(seed)?;
    let mut out = Zeroizing::new(Vec::with_capacity(seed.len() + public.len()));
    out.extend_from_slice(seed);
    out.extend_from_slice(&public);
    Ok(out)
}

pub(super) fn pkcs8(seed: &[u8]) -> Zeroizing<Vec<u8>> {
    let inner = der::element(der::OCTET_STRING, &[seed]);
    let key = der::element(der::OCTET_STRING, &[&inner]);
    der::element(der::SEQUENCE, &[&der::unsigned(&[]), IDENTIFIER, &key])
}

fn pair(seed: &[u8]) -> Result<Ed25519KeyPair, Error> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| INVALID)
}

/// A key that verifies, and signs if it has its private part.
pub(super) struct Ed25519Key {
    pair: Option<Box<Ed25519KeyPair>>,
    public: ParsedPublicKey,
}

impl Ed25519Key {
    pub(super) fn new(seed: Option<&[u8]>, public: &[u8]) -> Result<Self, Error> {
        let public = ParsedPublicKey::new(&ED25519, public).map_err(|_| INVALID)?;
        Ok(Self { pair: seed.map(pair).transpose()?.map(Box::new), public })
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let pair = self.pair.as_ref().ok_or(super::prepared::PUBLIC_ONLY)?;
        Ok(pair.sign(message).as_ref().to_vec())
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

const INVALID: Error = Error::InvalidKey("not a valid Ed25519 key");
