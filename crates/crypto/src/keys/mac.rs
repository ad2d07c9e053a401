//! HMAC (RFC 2104) with any of the hashes.

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Error;
use crate::hash::{Algorithm as Hash, Digest};

/// A key for HMAC, its pads hashed once for the hash that is used most.
pub(super) struct MacKey {
    key: Zeroizing<Box<[u8]>>,
    /// The one hash that the key is for, if there is one.
    only: Option<Hash>,
    prepared: Box<hmac::Key>,
}

impl MacKey {
    pub(super) fn new(only: Option<Hash>, key: &[u8]) -> Self {
        let usual = only.and_then(of_library).unwrap_or(hmac::HMAC_SHA256);
        Self { key: Zeroizing::new(key.into()), only, prepared: Box::new(hmac::Key::new(usual, key)) }
    }

    pub(super) fn mac(&self, hash: Option<Hash>, input: &[u8]) -> Result<Vec<u8>, Error> {
        let hash = match (self.only, hash) {
            (None, hash) => hash.unwrap_or(Hash::Sha2_256),
            (Some(only), None) => only,
            (Some(only), Some(hash)) if only == hash => only,
            (Some(_), Some(_)) => return Err(Error::Unsupported("the key is for HMAC with another hash")),
        };
        Ok(match of_library(hash) {
            Some(algorithm) if algorithm == self.prepared.algorithm() => sign(&self.prepared, input),
            Some(algorithm) => sign(&hmac::Key::new(algorithm, &self.key), input),
            None => by_definition(hash, &self.key, input),
        })
    }

    pub(super) fn verify(&self, hash: Option<Hash>, input: &[u8], mac: &[u8]) -> Result<bool, Error> {
        Ok(self.mac(hash, input)?.ct_eq(mac).into())
    }
}

/// How long a key is: of one hash as long as its output, else within bounds.
pub(super) fn check_len(only: Option<Hash>, len: usize) -> Result<(), Error> {
    match only {
        Some(hash) if len != hash.output_len() => Err(Error::InvalidKey("the key has another length than its hash")),
        None if !(32..=512).contains(&len) => Err(Error::InvalidKey("a key for HMAC has 32 to 512 bytes")),
        Some(_) | None => Ok(()),
    }
}

fn of_library(hash: Hash) -> Option<hmac::Algorithm> {
    match hash {
        Hash::Sha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        Hash::Sha2_224 => Some(hmac::HMAC_SHA224),
        Hash::Sha2_256 => Some(hmac::HMAC_SHA256),
        Hash::Sha2_384 => Some(hmac::HMAC_SHA384),
        Hash::Sha2_512 => Some(hmac::HMAC_SHA512),
        Hash::Sha3_224 | Hash::Sha3_256 | Hash::Sha3_384 | Hash::Sha3_512 => None,
    }
}

fn sign(key: &hmac::Key, input: &[u8]) -> Vec<u8> {
    let mut out = vec![0; key.algorithm().tag_len()];
    hmac::sign_to_buffer(key, input, &mut out).expect("the buffer holds a tag of this algorithm");
    out
}

/// HMAC as it is defined, for the hashes with which the library has none.
fn by_definition(hash: Hash, key: &[u8], input: &[u8]) -> Vec<u8> {
    let mut padded = Zeroizing::new(vec![0; hash.block_len()]);
    let short = if key.len() > padded.len() { Some(Digest::of(hash, key)) } else { None };
    let key = short.as_ref().map_or(key, Digest::as_bytes);
    padded.iter_mut().zip(key).for_each(|(byte, of_key)| *byte = *of_key);
    let keyed = |pad: u8, message: &[u8]| {
        let mut block = Zeroizing::new(Vec::with_capacity(padded.len() + message.len()));
        block.extend(padded.iter().map(|byte| byte ^ pad));
        block.extend_from_slice(message);
        Digest::of(hash, &block)
    };
    keyed(0x5c, keyed(0x36, input).as_bytes()).as_bytes().to_vec()
}
