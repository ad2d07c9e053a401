//! RSA: OAEP, PSS and PKCS#1 v1.5 signatures (RFC 8017). A private key is stored as PKCS#8 in DER, version 1.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use coffer_evp as evp;
use zeroize::Zeroizing;

use super::der::{self, Reader};
use super::options::to_sign;
use super::prepared::PUBLIC_ONLY;
use crate::keys::{RsaPadding, Salt, SignOptions};
use crate::{Error, Secret, hash};

/// The `AlgorithmIdentifier` (RFC 8017), in DER.
pub(crate) const IDENTIFIER: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

pub(super) fn generate(size: KeySize) -> Result<Secret, Error> {
    canonical(&KeyPair::generate(size).map_err(|_| Error::Random)?)
}

/// Takes PKCS#8 or PKCS#1 in DER.
pub(super) fn import(size: KeySize, bytes: &[u8]) -> Result<Secret, Error> {
    der::check_whole(bytes)?;
    let pair = KeyPair::from_pkcs8(bytes).or_else(|_| KeyPair::from_der(bytes)).map_err(|_| INVALID)?;
    let key = canonical(&pair)?;
    check_public(size, &public(key.expose())?)?;
    Ok(key)
}

fn canonical(pair: &KeyPair) -> Result<Secret, Error> {
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| INVALID)?;
    Secret::copy_from(der.as_ref())
}

/// The `RSAPrivateKey` of PKCS#1 within.
pub(super) fn pkcs1(private: &[u8]) -> Result<&[u8], Error> {
    let mut outer = Reader::new(private);
    let mut fields = Reader::new(outer.element(der::SEQUENCE)?);
    outer.end()?;
    fields.unsigned()?;
    fields.element(der::SEQUENCE)?;
    fields.element(der::OCTET_STRING)
}

/// The `RSAPublicKey` of PKCS#1.
pub(super) fn public(private: &[u8]) -> Result<Vec<u8>, Error> {
    let mut outer = Reader::new(pkcs1(private)?);
    let mut numbers = Reader::new(outer.element(der::SEQUENCE)?);
    numbers.unsigned()?;
    let (modulus, exponent) = (numbers.unsigned()?, numbers.unsigned()?);
    Ok(der::element(der::SEQUENCE, &[&der::unsigned(modulus), &der::unsigned(exponent)]).to_vec())
}

/// Modulus and exponent, big-endian, without leading zeros.
pub(super) fn numbers(public: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let mut outer = Reader::new(public);
    let mut numbers = Reader::new(outer.element(der::SEQUENCE)?);
    outer.end()?;
    let pair = (numbers.unsigned()?, numbers.unsigned()?);
    numbers.end()?;
    Ok(pair)
}

/// A modulus of exactly that size, odd, and an odd exponent from 3 to 33 bits.
pub(super) fn check_public(size: KeySize, public: &[u8]) -> Result<(), Error> {
    let (modulus, exponent) = numbers(public)?;
    let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if modulus.len() != size.len() || modulus.first().is_none_or(|byte| *byte < 0x80) {
        return Err(Error::InvalidKey("the RSA modulus has another size than the algorithm's"));
    }
    if !is_odd(modulus) {
        return Err(Error::InvalidKey("the RSA modulus is even"));
    }
    let is_bounded = exponent.len() < 5 || exponent.len() == 5 && exponent.first() == Some(&1);
    if !is_odd(exponent) || exponent == [1] || !is_bounded {
        return Err(Error::InvalidKey("the RSA exponent is even, one or too large"));
    }
    Ok(())
}

/// A key that verifies and encrypts, and signs and decrypts if it has its private part.
pub(super) struct RsaKey {
    private: Option<evp::PrivateKey>,
    public: evp::PublicKey,
}

impl RsaKey {
    pub(super) fn new(private: Option<&[u8]>, spki: &[u8]) -> Result<Self, Error> {
        let public = evp::PublicKey::from_spki(evp::Kind::Rsa, spki).map_err(|_| INVALID)?;
        let private = private.map(|private| evp::PrivateKey::from_pkcs8(evp::Kind::Rsa, private));
        Ok(Self { private: private.transpose().map_err(|_| INVALID)?, public })
    }

    pub(super) fn modulus_len(&self) -> usize {
        self.public.output_len()
    }

    pub(super) fn encrypt(&self, hash: hash::Algorithm, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        const TOO_LONG: Error = Error::Parameters("the plaintext is too long for RSA-OAEP with this key and hash");
        self.public.seal_oaep(of_evp(hash), plaintext).map_err(|_| TOO_LONG)
    }

    pub(super) fn decrypt(&self, hash: hash::Algorithm, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.private.as_ref().ok_or(PUBLIC_ONLY)?;
        let mut out = Zeroizing::new(vec![0; key.output_len()]);
        let len = key.open_oaep(of_evp(hash), bytes, &mut out).map_err(|_| Error::Authentication)?;
        out.truncate(len);
        Ok(out)
    }

    pub(super) fn sign(&self, options: &SignOptions, input: &[u8]) -> Result<Vec<u8>, Error> {
        const TOO_LONG: Error = Error::Parameters("the salt or the input is too long for the key");
        let key = self.private.as_ref().ok_or(PUBLIC_ONLY)?;
        with_digest(options, input, |scheme, digest| key.sign(scheme, digest).map_err(|_| TOO_LONG))?
    }

    pub(super) fn verify(&self, options: &SignOptions, input: &[u8], signature: &[u8]) -> Result<bool, Error> {
        with_digest(options, input, |scheme, digest| self.public.verify(scheme, digest, signature).is_ok())
    }
}

fn with_digest<T>(options: &SignOptions, input: &[u8], run: impl FnOnce(evp::Scheme, &[u8]) -> T) -> Result<T, Error> {
    let scheme = match (options.hash, options.rsa) {
        (Some(hash), RsaPadding::Pkcs1v15) => evp::Scheme::RsaPkcs1(Some(of_evp(hash))),
        (Some(hash), RsaPadding::Pss(salt)) => evp::Scheme::RsaPss(of_evp(hash), salt_of(salt, hash)?),
        (None, RsaPadding::Pkcs1v15) if options.prehashed => evp::Scheme::RsaPkcs1(None),
        (None, RsaPadding::Pkcs1v15 | RsaPadding::Pss(_)) => {
            return Err(Error::Unsupported("no hash is for RSA with PKCS1 v1.5 and a hashed input alone"));
        }
    };
    match options.hash {
        Some(hash) => Ok(run(scheme, to_sign(hash, options.prehashed, input)?.as_bytes())),
        None => Ok(run(scheme, input)),
    }
}

fn salt_of(salt: Salt, hash: hash::Algorithm) -> Result<evp::Salt, Error> {
    Ok(match salt {
        Salt::Auto => evp::Salt::Auto,
        Salt::Bytes(len) => evp::Salt::Bytes(len),
        Salt::Hash => evp::Salt::Bytes(u16::try_from(hash.output_len()).map_err(|_| INVALID)?),
    })
}

pub(crate) fn of_evp(hash: hash::Algorithm) -> evp::Hash {
    match hash {
        hash::Algorithm::Sha1 => evp::Hash::Sha1,
        hash::Algorithm::Sha2_224 => evp::Hash::Sha2_224,
        hash::Algorithm::Sha2_256 => evp::Hash::Sha2_256,
        hash::Algorithm::Sha2_384 => evp::Hash::Sha2_384,
        hash::Algorithm::Sha2_512 => evp::Hash::Sha2_512,
        hash::Algorithm::Sha3_224 => evp::Hash::Sha3_224,
        hash::Algorithm::Sha3_256 => evp::Hash::Sha3_256,
        hash::Algorithm::Sha3_384 => evp::Hash::Sha3_384,
        hash::Algorithm::Sha3_512 => evp::Hash::Sha3_512,
    }
}

const INVALID: Error = Error::InvalidKey("not a valid RSA key");
