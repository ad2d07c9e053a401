//! Certificate signing requests (PKCS #10, RFC 2986), and as much of certificates (X.509, RFC 5280) as it takes to hold one
//! against a key.

use crate::{
    Error,
    hash::Algorithm as Hash,
    keys::{
        Algorithm, Marshal, PreparedKey, PublicKey, RsaPadding, SignOptions,
        der::{BIT_STRING, INTEGER, OCTET_STRING, Reader, SEQUENCE, element},
    },
};

/// What a certificate says of its key. Its signature is not looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    spki: Vec<u8>,
    is_authority: bool,
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where the bytes are not one in DER.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let mut outer = Reader::new(der);
        let mut certificate = Reader::new(outer.element(SEQUENCE)?);
        outer.end()?;
        let mut signed = Reader::new(certificate.element(SEQUENCE)?);
        certificate.element(SEQUENCE)?;
        certificate.element(BIT_STRING)?;
        certificate.end()?;
        signed.optional(VERSION)?;
        signed.element(INTEGER)?;
        // Algorithm, issuer, validity, subject.
        for _ in 0..4 {
            signed.element(SEQUENCE)?;
        }
        let spki = element(SEQUENCE, &[signed.element(SEQUENCE)?]).to_vec();
        signed.optional(ISSUER_ID)?;
        signed.optional(SUBJECT_ID)?;
        let is_authority = match signed.optional(EXTENSIONS)? {
            Some(extensions) => is_authority(extensions)?,
            None => false,
        };
        signed.end()?;
        Ok(Self { spki, is_authority })
    }

    /// Its public key as SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether it may certify others.
    pub fn is_authority(&self) -> bool {
        self.is_authority
    }
}

/// A request in DER, signed by the key: of the subject and with the attributes of `template` (a request in DER itself, whose key
/// and signature do not matter), or of nobody and with none.
///
/// # Errors
/// [`Error::InvalidKey`] where the template is no request; [`Error::Unsupported`] for keys that sign nothing, or have no
/// form in certificates.
pub fn request(key: &PreparedKey, public: &PublicKey, template: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    let (identifier, hash) = signature_algorithm(key.algorithm())?;
    let (subject, attributes) = template.map(read_template).transpose()?.unwrap_or_default();
    let version = element(INTEGER, &[&[0]]);
    let subject = element(SEQUENCE, &[subject]);
    let attributes = element(ATTRIBUTES, &[attributes]);
    let info = element(SEQUENCE, &[&version, &subject, &public.spki()?, &attributes]);
    let options = SignOptions { hash: Some(hash), prehashed: false, rsa: RsaPadding::Pkcs1v15, marshal: Marshal::Der };
    let signature = element(BIT_STRING, &[&[0], &key.sign(&options, &info)?]);
    Ok(element(SEQUENCE, &[&info, identifier, &signature]).to_vec())
}

/// The content of subject and attributes.
fn read_template(der: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let mut outer = Reader::new(der);
    let mut request = Reader::new(outer.element(SEQUENCE)?);
    outer.end()?;
    let mut info = Reader::new(request.element(SEQUENCE)?);
    request.element(SEQUENCE)?;
    request.element(BIT_STRING)?;
    request.end()?;
    info.element(INTEGER)?;
    let subject = info.element(SEQUENCE)?;
    info.element(SEQUENCE)?;
    let attributes = info.optional(ATTRIBUTES)?.unwrap_or_default();
    info.end()?;
    Ok((subject, attributes))
}

fn is_authority(extensions: &[u8]) -> Result<bool, Error> {
    let mut outer = Reader::new(extensions);
    let mut list = Reader::new(outer.element(SEQUENCE)?);
    outer.end()?;
    while let Some(extension) = list.optional(SEQUENCE)? {
        let mut extension = Reader::new(extension);
        let id = extension.element(OBJECT_IDENTIFIER)?;
        extension.optional(BOOLEAN)?;
        let value = extension.element(OCTET_STRING)?;
        extension.end()?;
        if id == BASIC_CONSTRAINTS {
            let mut value = Reader::new(value);
            let mut constraints = Reader::new(value.element(SEQUENCE)?);
            return Ok(constraints.optional(BOOLEAN)? == Some(&[0xff][..]));
        }
    }
    list.end()?;
    Ok(false)
}

/// The identifier in DER of what a key signs requests with, and its hash.
fn signature_algorithm(algorithm: Algorithm) -> Result<(&'static [u8], Hash), Error> {
    match algorithm {
        Algorithm::EcdsaP256 => Ok((ECDSA_SHA256, Hash::Sha2_256)),
        Algorithm::EcdsaP384 => Ok((ECDSA_SHA384, Hash::Sha2_384)),
        Algorithm::EcdsaP521 => Ok((ECDSA_SHA512, Hash::Sha2_512)),
        Algorithm::Ed25519 => Ok((ED25519, Hash::Sha2_512)),
        Algorithm::MlDsa44 => Ok((ML_DSA_44, Hash::Sha2_512)),
        Algorithm::MlDsa65 => Ok((ML_DSA_65, Hash::Sha2_512)),
        Algorithm::MlDsa87 => Ok((ML_DSA_87, Hash::Sha2_512)),
        Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => Ok((RSA_SHA256, Hash::Sha2_256)),
        Algorithm::Aes128Gcm
        | Algorithm::Aes256Gcm
        | Algorithm::ChaCha20Poly1305
        | Algorithm::Hmac
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512
        | Algorithm::MlKem512
        | Algorithm::MlKem768
        | Algorithm::MlKem1024
        | Algorithm::XChaCha20Poly1305
        | Algorithm::XWing
        | Algorithm::Xaes256Gcm => Err(Error::Unsupported("keys of this algorithm do not sign requests")),
    }
}

const ATTRIBUTES: u8 = 0xa0;
const BOOLEAN: u8 = 0x01;
const EXTENSIONS: u8 = 0xa3;
const ISSUER_ID: u8 = 0x81;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SUBJECT_ID: u8 = 0x82;
const VERSION: u8 = 0xa0;

/// 2.5.29.19
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];

// RFC 5758, 3.2.
const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ECDSA_SHA512: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
// RFC 8410, 3.
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
// RFC 8017, A.2.4.
const RSA_SHA256: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00];
// RFC 9881, 2.
const ML_DSA_44: &[u8] = &[0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x11];
const ML_DSA_65: &[u8] = &[0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];
const ML_DSA_87: &[u8] = &[0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x13];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::KeyMaterial;

    #[test]
    fn request_of_every_key_that_signs_verifies_under_it_and_serves_as_a_template() {
        let signing = Algorithm::ALL.into_iter().filter(|algorithm| signature_algorithm(*algorithm).is_ok());
        // Larger RSA keys differ in nothing but their size.
        for algorithm in signing.filter(|algorithm| !matches!(algorithm, Algorithm::Rsa3072 | Algorithm::Rsa4096)) {
            let material = KeyMaterial::generate(algorithm).unwrap();
            let (key, public) = (material.prepare().unwrap(), material.public().unwrap().unwrap());
            let bare = request(&key, &public, None).unwrap();
            assert_eq!(read_template(&bare).unwrap(), (&[][..], &[][..]));
            // SEQUENCE { SET { SEQUENCE { 2.5.4.3, UTF8String "a" } } }
            let name = [0x31, 10, 0x30, 8, 6, 3, 0x55, 4, 3, 0x0c, 1, b'a'];
            let version = element(INTEGER, &[&[0]]);
            let info = element(SEQUENCE, &[&version, &element(SEQUENCE, &[&name]), &element(SEQUENCE, &[])]);
            let template = element(SEQUENCE, &[&info, &element(SEQUENCE, &[]), &element(BIT_STRING, &[&[0]])]);
            let named = request(&key, &public, Some(&template)).unwrap();
            assert_eq!(read_template(&named).unwrap().0, name);

            let mut outer = Reader::new(&named);
            let mut parts = Reader::new(outer.element(SEQUENCE).unwrap());
            let info = element(SEQUENCE, &[parts.element(SEQUENCE).unwrap()]);
            let (identifier, hash) = signature_algorithm(algorithm).unwrap();
            assert_eq!(element(SEQUENCE, &[parts.element(SEQUENCE).unwrap()]).as_slice(), identifier);
            let signature = &parts.element(BIT_STRING).unwrap()[1..];
            let options =
                SignOptions { hash: Some(hash), prehashed: false, rsa: RsaPadding::Pkcs1v15, marshal: Marshal::Der };
            assert!(public.prepare().unwrap().verify(&options, &info, signature).unwrap(), "{algorithm:?}");
        }
    }

    #[test]
    fn keys_that_sign_nothing_request_nothing() {
        let material = KeyMaterial::generate(Algorithm::MlKem768).unwrap();
        let (key, public) = (material.prepare().unwrap(), material.public().unwrap().unwrap());
        assert!(matches!(request(&key, &public, None), Err(Error::Unsupported(_))));
    }

    proptest! {
        #[test]
        fn reading_anything_never_panics(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Certificate::parse(&der);
            let _ = read_template(&der);
            let inner = element(SEQUENCE, &[&element(SEQUENCE, &[&der]), &element(SEQUENCE, &[]), &element(BIT_STRING, &[])]);
            let _ = Certificate::parse(&inner);
            let _ = read_template(&inner);
        }
    }
}
