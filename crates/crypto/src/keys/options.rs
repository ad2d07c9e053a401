//! What a signature is made of beside key and message.

use crate::{Error, hash};

/// How to sign or verify. Ed25519 and ML-DSA sign the input as it is and look at none of this.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SignOptions {
    /// The hash of the message. None: the input is signed as it is, by RSA with PKCS1 v1.5 alone, and must be given as
    /// hashed already.
    pub hash: Option<hash::Algorithm>,
    /// Whether the input is the hash, not the message.
    pub prehashed: bool,
    /// RSA's padding.
    pub rsa: RsaPadding,
    /// How ECDSA's two numbers are written.
    pub marshal: Marshal,
}

impl Default for SignOptions {
    fn default() -> Self {
        Self {
            hash: Some(hash::Algorithm::Sha2_256),
            prehashed: false,
            rsa: RsaPadding::Pss(Salt::Auto),
            marshal: Marshal::Der,
        }
    }
}

/// RSA's padding of a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RsaPadding {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1v15,
    /// RSASSA-PSS, with the same hash in MGF1.
    Pss(Salt),
}

/// The length of PSS's salt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Salt {
    /// The longest that fits when signing, any when verifying.
    Auto,
    /// So many bytes, exactly.
    Bytes(u16),
    /// As long as the hash, exactly.
    Hash,
}

/// How an ECDSA signature is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Marshal {
    /// A DER sequence of two integers.
    Der,
    /// Both numbers with the length of the curve's order, one after the other, as RFC 7518 has it.
    Jws,
}

/// The bytes that are signed for an input under a hash.
pub(super) fn to_sign(hash: hash::Algorithm, prehashed: bool, input: &[u8]) -> Result<hash::Digest, Error> {
    if prehashed {
        hash::Digest::from_bytes(hash, input).ok_or(Error::Parameters("a hashed input has the length of its hash"))
    } else {
        Ok(hash::Digest::of(hash, input))
    }
}
