//! A public key packet of version 4 (RFC 9580 section 5.5.2), primary or subkey.

use super::FINGERPRINT_LEN;
use super::packet::Reader;
use crate::keys::der;
use crate::keys::ec::Curve;
use crate::{Error, hash};

/// A key, and the packet that it was in.
pub(super) struct Key<'a> {
    pub(super) created: u64,
    pub(super) material: Material<'a>,
    body: &'a [u8],
}

pub(super) enum Material<'a> {
    Ecdh(Ecdh<'a>),
    Ecdsa(Curve, &'a [u8]),
    Ed25519(&'a [u8]),
    Rsa(Rsa<'a>),
    /// An algorithm or a curve that is not taken.
    Unknown,
}

/// An RSA key, which may be for one of its two uses alone.
pub(super) struct Rsa<'a> {
    pub(super) encrypts: bool,
    pub(super) signs: bool,
    modulus: &'a [u8],
    exponent: &'a [u8],
}

/// A key for agreement (RFC 9580 section 5.5.5.6).
#[derive(Clone, Copy)]
pub(super) struct Ecdh<'a> {
    pub(super) curve: EcdhCurve,
    /// The curve's object identifier, as it goes into the derivation.
    pub(super) oid: &'a [u8],
    pub(super) point: &'a [u8],
    /// The identifiers of the hash that derives, and of the cipher that wraps.
    pub(super) hash: u8,
    pub(super) cipher: u8,
}

#[derive(Clone, Copy)]
pub(super) enum EcdhCurve {
    Nist(Curve),
    X25519,
}

impl<'a> Key<'a> {
    /// # Errors
    /// [`Error::InvalidKey`] for another version, and for what is malformed.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader(body);
        match reader.byte()? {
            4 => {}
            _ => return Err(Error::InvalidKey("the key is not of version 4")),
        }
        // A fingerprint has but two bytes for the length.
        if u16::try_from(body.len()).is_err() {
            return Err(Error::InvalidKey("the key is too long"));
        }
        let created = reader.seconds()?;
        let (material, is_known) = match reader.byte()? {
            algorithm @ RSA..=RSA_SIGN_ONLY => {
                let (encrypts, signs) = (algorithm != RSA_SIGN_ONLY, algorithm != RSA_ENCRYPT_ONLY);
                (Material::Rsa(Rsa { encrypts, signs, modulus: reader.number()?, exponent: reader.number()? }), true)
            }
            ECDH => {
                let oid = oid(&mut reader)?;
                let point = reader.number()?;
                let parameters_len = usize::from(reader.byte()?);
                let parameters = reader.take(parameters_len)?;
                match (parameters, ecdh_curve(oid)) {
                    (&[1, hash, cipher], Some(curve)) => {
                        (Material::Ecdh(Ecdh { curve, oid, point, hash, cipher }), true)
                    }
                    _ => (Material::Unknown, true),
                }
            }
            ECDSA => {
                let (curve, point) = (nist_curve(oid(&mut reader)?), reader.number()?);
                (curve.map_or(Material::Unknown, |curve| Material::Ecdsa(curve, point)), true)
            }
            EDDSA => match (oid(&mut reader)?, reader.number()?) {
                (OID_ED25519, [NATIVE_POINT, point @ ..]) => (Material::Ed25519(point), true),
                _ => (Material::Unknown, true),
            },
            ED25519 => (Material::Ed25519(reader.take(32)?), true),
            _ => (Material::Unknown, false),
        };
        if is_known && !reader.is_empty() {
            return Err(Error::InvalidKey("a packet of the key has bytes that are none of it"));
        }
        Ok(Self { created, material, body })
    }

    /// What a signature over the key is made over (section 5.2.4), which also gives the fingerprint.
    pub(super) fn hashed(&self) -> Vec<u8> {
        let len = u16::try_from(self.body.len()).expect("the length was checked when it was read");
        [&[0x99][..], &len.to_be_bytes(), self.body].concat()
    }

    pub(super) fn fingerprint(&self) -> [u8; FINGERPRINT_LEN] {
        let digest = hash::digest(hash::Algorithm::Sha1, &self.hashed());
        digest.try_into().expect("SHA-1 gives 20 bytes")
    }
}

impl Rsa<'_> {
    /// `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for a modulus of fewer than 2048 bits or more than 8192.
    pub(super) fn spki(&self) -> Result<Vec<u8>, Error> {
        let zeros = self.modulus.first().map_or(8, |first| first.leading_zeros());
        let bits = (self.modulus.len() * 8).saturating_sub(usize::try_from(zeros).unwrap_or(8));
        match bits {
            2048..=8192 => {}
            ..2048 => return Err(Error::InvalidKey("an RSA key of fewer than 2048 bits is too weak")),
            _ => return Err(Error::InvalidKey("an RSA key has at most 8192 bits")),
        }
        let numbers = [&der::unsigned(self.modulus)[..], &der::unsigned(self.exponent)];
        Ok(spki(crate::keys::rsa::IDENTIFIER, &der::element(der::SEQUENCE, &numbers)))
    }

    pub(super) fn len(&self) -> usize {
        self.modulus.len()
    }
}

/// `SubjectPublicKeyInfo` in DER.
pub(super) fn spki(identifier: &[u8], key: &[u8]) -> Vec<u8> {
    der::element(der::SEQUENCE, &[identifier, &der::element(der::BIT_STRING, &[&[0], key])]).to_vec()
}

fn oid<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let len = usize::from(reader.byte()?);
    reader.take(len)
}

fn nist_curve(oid: &[u8]) -> Option<Curve> {
    match oid {
        b"\x2a\x86\x48\xce\x3d\x03\x01\x07" => Some(Curve::P256),
        b"\x2b\x81\x04\x00\x22" => Some(Curve::P384),
        b"\x2b\x81\x04\x00\x23" => Some(Curve::P521),
        _ => None,
    }
}

fn ecdh_curve(oid: &[u8]) -> Option<EcdhCurve> {
    match oid {
        OID_CURVE25519 => Some(EcdhCurve::X25519),
        oid => nist_curve(oid).map(EcdhCurve::Nist),
    }
}

/// What stands before a point of Curve25519 and Ed25519, which has its own encoding.
pub(super) const NATIVE_POINT: u8 = 0x40;
/// The algorithm's identifier, in keys and in what is sealed to them.
pub(super) const ECDH: u8 = 18;
pub(super) const RSA: u8 = 1;
const RSA_ENCRYPT_ONLY: u8 = 2;
const RSA_SIGN_ONLY: u8 = 3;
pub(super) const ECDSA: u8 = 19;
pub(super) const EDDSA: u8 = 22;
pub(super) const ED25519: u8 = 27;
const OID_CURVE25519: &[u8] = b"\x2b\x06\x01\x04\x01\x97\x55\x01\x05\x01";
const OID_ED25519: &[u8] = b"\x2b\x06\x01\x04\x01\xda\x47\x0f\x01";
