//! ECDSA (FIPS 186-5) on the three curves of NIST. A private key is stored as its number, big-endian, as long as the
//! curve's order.

use aws_lc_rs::agreement;
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm};
use coffer_evp as evp;
use zeroize::Zeroizing;

use super::der::{self, Reader};
use crate::keys::{Marshal, SignOptions};
use crate::{Error, Secret, hash};

#[derive(Clone, Copy)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// The length in bytes of a private key, a coordinate and each number of a signature.
    pub(super) fn len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The `AlgorithmIdentifier` (RFC 5480), in DER.
    pub(crate) fn identifier(self) -> &'static [u8] {
        match self {
            Self::P256 => b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
            Self::P384 => b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
            Self::P521 => b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
        }
    }

    /// The name in a JWK (RFC 7518).
    pub(super) fn jwk_name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// The hash with which the library knows the curve; it says nothing about the key.
    fn library(self) -> (&'static EcdsaSigningAlgorithm, &'static agreement::Algorithm) {
        match self {
            Self::P256 => (&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &agreement::ECDH_P256),
            Self::P384 => (&signature::ECDSA_P384_SHA384_ASN1_SIGNING, &agreement::ECDH_P384),
            Self::P521 => (&signature::ECDSA_P521_SHA512_ASN1_SIGNING, &agreement::ECDH_P521),
        }
    }
}

pub(super) fn generate(curve: Curve) -> Result<Secret, Error> {
    let pair = EcdsaKeyPair::generate(curve.library().0).map_err(|_| Error::Random)?;
    number_of(&pair)
}

/// Takes a PKCS#8 key. Its public point, where it has one, must be its own.
pub(super) fn from_pkcs8(curve: Curve, pkcs8: &[u8]) -> Result<Secret, Error> {
    der::check_whole(pkcs8)?;
    let pair = EcdsaKeyPair::from_pkcs8(curve.library().0, pkcs8).map_err(|_| INVALID)?;
    number_of(&pair)
}

fn number_of(pair: &EcdsaKeyPair) -> Result<Secret, Error> {
    let number = pair.private_key().as_be_bytes().map_err(|_| INVALID)?;
    Secret::copy_from(number.as_ref())
}

/// The public point, uncompressed.
pub(super) fn public(curve: Curve, private: &[u8]) -> Result<Vec<u8>, Error> {
    let key = agreement::PrivateKey::from_private_key(curve.library().1, private).map_err(|_| INVALID)?;
    key.compute_public_key().map(|public| public.as_ref().to_vec()).map_err(|_| INVALID)
}

/// PKCS#8 without the public point, which whoever parses it computes.
fn pkcs8_without_public(curve: Curve, private: &[u8]) -> Zeroizing<Vec<u8>> {
    pkcs8_of(curve, &private_key(private, &[]))
}

/// PKCS#8, as other programs write it.
pub(super) fn pkcs8(curve: Curve, private: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let point = public_field(&public(curve, private)?);
    Ok(pkcs8_of(curve, &private_key(private, &[&point])))
}

/// SEC 1's `ECPrivateKey` with curve and public point, as other programs write it.
pub(super) fn sec1(curve: Curve, private: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut identifier = Reader::new(curve.identifier());
    let mut objects = Reader::new(identifier.element(der::SEQUENCE)?);
    objects.element(der::OBJECT)?;
    let name = der::element(der::OBJECT, &[objects.element(der::OBJECT)?]);
    let parameters = der::element(PARAMETERS, &[&name]);
    let point = public_field(&public(curve, private)?);
    Ok(private_key(private, &[&parameters, &point]))
}

fn pkcs8_of(curve: Curve, private_key: &[u8]) -> Zeroizing<Vec<u8>> {
    let key = der::element(der::OCTET_STRING, &[private_key]);
    der::element(der::SEQUENCE, &[&der::unsigned(&[]), curve.identifier(), &key])
}

fn private_key(private: &[u8], optional: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let number = der::element(der::OCTET_STRING, &[private]);
    der::element(der::SEQUENCE, &[&[&der::unsigned(&[1])[..], &number], optional].concat())
}

fn public_field(point: &[u8]) -> Zeroizing<Vec<u8>> {
    der::element(PUBLIC, &[&der::element(der::BIT_STRING, &[&[0], point])])
}

/// A key that verifies, and signs if it has its private part.
pub(super) struct EcKey {
    curve: Curve,
    private: Option<evp::PrivateKey>,
    public: evp::PublicKey,
}

impl EcKey {
    pub(super) fn new(curve: Curve, private: Option<&[u8]>, spki: &[u8]) -> Result<Self, Error> {
        let public = evp::PublicKey::from_spki(evp::Kind::Ec, spki).map_err(|_| INVALID)?;
        let private =
            private.map(|private| evp::PrivateKey::from_pkcs8(evp::Kind::Ec, &pkcs8_without_public(curve, private)));
        Ok(Self { curve, private: private.transpose().map_err(|_| INVALID)?, public })
    }

    pub(super) fn sign(&self, options: &SignOptions, input: &[u8]) -> Result<Vec<u8>, Error> {
        let key = self.private.as_ref().ok_or(super::prepared::PUBLIC_ONLY)?;
        let hash = Hashed::of(options, input)?;
        let der = key.sign(evp::Scheme::Ecdsa, hash.as_bytes()).map_err(|_| Error::Random)?;
        match options.marshal {
            Marshal::Der => Ok(der),
            Marshal::Jws => fixed_from_der(self.curve, &der),
        }
    }

    pub(super) fn verify(&self, options: &SignOptions, input: &[u8], signature: &[u8]) -> Result<bool, Error> {
        let hash = Hashed::of(options, input)?;
        let verify = |der: &[u8]| self.public.verify(evp::Scheme::Ecdsa, hash.as_bytes(), der).is_ok();
        Ok(match options.marshal {
            Marshal::Der => verify(signature),
            Marshal::Jws => signature.len() == 2 * self.curve.len() && verify(&der_from_fixed(signature)),
        })
    }
}

/// Whether bytes are an ECDSA signature in DER at all, of whatever numbers. One that is not is no key's.
pub fn is_ecdsa_der(signature: &[u8]) -> bool {
    let mut outer = Reader::new(signature);
    let Ok(content) = outer.element(der::SEQUENCE) else { return false };
    let mut numbers = Reader::new(content);
    numbers.element(der::INTEGER).is_ok() && numbers.element(der::INTEGER).is_ok() && outer.end().is_ok()
}

/// What is signed: the input's hash, or the input as somebody else's. ECDSA takes a hash of any length, and as much of it as
/// the curve's order is long.
enum Hashed<'a> {
    Here(hash::Digest),
    There(&'a [u8]),
}

impl<'a> Hashed<'a> {
    fn of(options: &SignOptions, input: &'a [u8]) -> Result<Self, Error> {
        let hash = options.hash.ok_or(NO_HASH)?;
        Ok(if options.prehashed { Self::There(input) } else { Self::Here(hash::Digest::of(hash, input)) })
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Here(digest) => digest.as_bytes(),
            Self::There(bytes) => bytes,
        }
    }
}

/// Both numbers with leading zeros, one after the other.
fn fixed_from_der(curve: Curve, der: &[u8]) -> Result<Vec<u8>, Error> {
    let mut outer = Reader::new(der);
    let mut numbers = Reader::new(outer.element(der::SEQUENCE)?);
    let mut out = vec![0; 2 * curve.len()];
    for half in out.chunks_exact_mut(curve.len()) {
        let number = numbers.unsigned()?;
        half.iter_mut().rev().zip(number.iter().rev()).for_each(|(byte, of_number)| *byte = *of_number);
    }
    Ok(out)
}

fn der_from_fixed(fixed: &[u8]) -> Zeroizing<Vec<u8>> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    der::element(der::SEQUENCE, &[&der::unsigned(r), &der::unsigned(s)])
}

const PARAMETERS: u8 = 0xa0;
const PUBLIC: u8 = 0xa1;
const INVALID: Error = Error::InvalidKey("not a valid key of this elliptic curve");
const NO_HASH: Error = Error::Unsupported("ECDSA needs a hash");
