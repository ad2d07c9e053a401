//! A signature packet of version 4 (RFC 9580 section 5.2.3), and whether it is what it says.

use coffer_evp as evp;

use super::FINGERPRINT_LEN;
use super::key::{self, Key, Material};
use super::packet::{Reader, Subpacket};
use crate::keys::{der, rsa};
use crate::{Error, hash, sign};

/// What a signature says. Only what it signs counts, but for who made it.
pub(super) struct Signature<'a> {
    pub(super) kind: u8,
    pub(super) created: u64,
    pub(super) is_primary: bool,
    /// What the key may be used for, where it is said.
    pub(super) flags: Option<u8>,
    expires_after: u64,
    key_expires_after: u64,
    issuer: Issuer,
    hash: hash::Algorithm,
    algorithm: u8,
    signed: &'a [u8],
    /// The hash's first two bytes.
    first: [u8; 2],
    numbers: Reader<'a>,
}

/// What was read of a signature packet.
pub(super) enum Read<'a> {
    Signature(Signature<'a>),
    /// One that nothing can be made of but its kind: another version, a hash that is none today (SHA-1), or a condition
    /// that is not known.
    Unknown(u8),
}

#[derive(Default)]
struct Issuer {
    fingerprints: Vec<[u8; FINGERPRINT_LEN]>,
    ids: Vec<[u8; 8]>,
}

impl<'a> Signature<'a> {
    /// # Errors
    /// [`Error::InvalidKey`] where it is malformed.
    pub(super) fn read(body: &'a [u8]) -> Result<Read<'a>, Error> {
        let mut reader = Reader(body);
        match reader.byte()? {
            4 => {}
            3 => {
                let [_, kind] = reader.array()?;
                return Ok(Read::Unknown(kind));
            }
            _ => return reader.byte().map(Read::Unknown),
        }
        let [kind, algorithm, hash] = reader.array()?;
        let unknown = Read::Unknown(kind);
        let hashed_len = reader.short()?;
        let mut hashed = Reader(reader.take(hashed_len)?);
        let unhashed_len = reader.short()?;
        let mut unhashed = Reader(reader.take(unhashed_len)?);
        let first = reader.array()?;
        let Some(hash) = hash_of(hash) else { return Ok(unknown) };
        let signed = Reader(body).take(6 + hashed_len)?;
        let mut read = Self {
            kind,
            created: 0,
            is_primary: false,
            flags: None,
            expires_after: 0,
            key_expires_after: 0,
            issuer: Issuer::default(),
            hash,
            algorithm,
            signed,
            first,
            numbers: reader,
        };
        let mut created = None;
        while let Some(Subpacket { is_critical, kind, mut content }) = hashed.subpacket()? {
            match kind {
                2 => created = Some(content.seconds()?),
                3 => read.expires_after = content.seconds()?,
                9 => read.key_expires_after = content.seconds()?,
                25 => read.is_primary = content.byte()? != 0,
                // Without a byte it allows nothing.
                27 => read.flags = Some(content.byte().unwrap_or(0)),
                16 | 33 => read.issuer.note(kind, content)?,
                // Preferences, features, and what a revocation's reason or an embedded signature adds.
                4 | 7 | 11 | 21 | 22 | 23 | 24 | 26 | 28 | 29 | 30 | 32 | 34 | 39 => {}
                _ if is_critical => return Ok(unknown),
                _ => {}
            }
        }
        while let Some(Subpacket { kind, content, .. }) = unhashed.subpacket()? {
            if let 16 | 33 = kind {
                read.issuer.note(kind, content)?;
            }
        }
        let Some(created) = created else { return Ok(unknown) };
        read.created = created;
        Ok(Read::Signature(read))
    }

    /// Whether it says that this key made it.
    pub(super) fn names(&self, key: &Key<'_>) -> bool {
        let fingerprint = key.fingerprint();
        self.issuer.fingerprints.contains(&fingerprint) || self.issuer.ids.iter().any(|id| fingerprint.ends_with(id))
    }

    /// Whether it says who made it.
    pub(super) fn is_anonymous(&self) -> bool {
        self.issuer.fingerprints.is_empty() && self.issuer.ids.is_empty()
    }

    /// Whether it holds now: made already, and not at its end.
    pub(super) fn is_alive(&self, now: u64) -> bool {
        is_within(self.created, self.expires_after, now)
    }

    /// Whether a key holds now, by what this signature over it says.
    pub(super) fn keeps(&self, key: &Key<'_>, now: u64) -> bool {
        is_within(key.created, self.key_expires_after, now)
    }

    /// Whether `by` made it over `subject`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it did not, and where `by` is too weak to make one.
    pub(super) fn verify(&self, by: &Key<'_>, subject: &[u8]) -> Result<(), Error> {
        let len = u32::try_from(self.signed.len()).map_err(|_| BAD)?;
        let message = [subject, self.signed, &[4, 0xff], &len.to_be_bytes()].concat();
        let digest = hash::digest(self.hash, &message);
        if !digest.starts_with(&self.first) {
            return Err(BAD);
        }
        let mut numbers = self.numbers;
        let is_good = match (&by.material, self.algorithm) {
            (Material::Rsa(rsa), key::RSA) if rsa.signs => {
                let signature = padded(numbers.number()?, rsa.len())?;
                let public = evp::PublicKey::from_spki(evp::Kind::Rsa, &rsa.spki()?).map_err(|_| BAD)?;
                let scheme = evp::Scheme::RsaPkcs1(Some(rsa::of_evp(self.hash)));
                public.verify(scheme, &digest, &signature).is_ok()
            }
            (Material::Ecdsa(curve, point), key::ECDSA) => {
                let (r, s) = (der::unsigned(numbers.number()?), der::unsigned(numbers.number()?));
                let spki = key::spki(curve.identifier(), point);
                let public = evp::PublicKey::from_spki(evp::Kind::Ec, &spki).map_err(|_| BAD)?;
                public.verify(evp::Scheme::Ecdsa, &digest, &der::element(der::SEQUENCE, &[&r, &s])).is_ok()
            }
            (Material::Ed25519(point), key::EDDSA | key::ED25519) => {
                let signature = match self.algorithm {
                    key::EDDSA => [padded(numbers.number()?, 32)?, padded(numbers.number()?, 32)?].concat(),
                    _ => numbers.take(64)?.to_vec(),
                };
                match (<[u8; 32]>::try_from(*point), <[u8; 64]>::try_from(signature)) {
                    (Ok(point), Ok(signature)) => sign::verify(&point, &digest, &signature).is_ok(),
                    _ => false,
                }
            }
            _ => false,
        };
        if is_good && numbers.is_empty() { Ok(()) } else { Err(BAD) }
    }
}

impl Issuer {
    fn note(&mut self, kind: u8, mut content: Reader<'_>) -> Result<(), Error> {
        match kind {
            16 => self.ids.push(content.array()?),
            // Of another version it is no key of ours.
            _ if content.byte()? == 4 => self.fingerprints.push(content.array()?),
            _ => {}
        }
        Ok(())
    }
}

/// As long as it must be, with zeros in front.
fn padded(number: &[u8], len: usize) -> Result<Vec<u8>, Error> {
    let zeros = len.checked_sub(number.len()).ok_or(BAD)?;
    Ok([&vec![0; zeros][..], number].concat())
}

/// Zero is no end.
fn is_within(from: u64, seconds: u64, now: u64) -> bool {
    from <= now && (seconds == 0 || now < from + seconds)
}

fn hash_of(identifier: u8) -> Option<hash::Algorithm> {
    match identifier {
        8 => Some(hash::Algorithm::Sha2_256),
        9 => Some(hash::Algorithm::Sha2_384),
        10 => Some(hash::Algorithm::Sha2_512),
        11 => Some(hash::Algorithm::Sha2_224),
        12 => Some(hash::Algorithm::Sha3_256),
        14 => Some(hash::Algorithm::Sha3_512),
        _ => None,
    }
}

const BAD: Error = Error::InvalidKey("a self-signature of the key does not verify");
