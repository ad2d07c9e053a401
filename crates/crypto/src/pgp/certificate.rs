//! A transferable public key (RFC 9580 section 10.1): whether it stands, and which part of it may be sealed to.

use std::cmp::Reverse;

use super::Recipient;
use super::key::Key;
use super::message::EncryptionKey;
use super::packet::{self, Reader};
use super::signature::{Read, Signature};
use crate::Error;

impl Recipient {
    /// Reads a public key in its binary form, as of `now` in seconds of Unix time. What is sealed is sealed to the newest
    /// subkey that is marked for communications; where there is none, to the primary key, if that is not marked otherwise.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for what is malformed or longer than 1 MiB, for two keys at once, a private key, one that is
    /// revoked, expired or not made yet, one without a user id or whose self-signatures do not verify, RSA of fewer than 2048
    /// bits, and where no part of it may encrypt. [`Error::Unsupported`] for algorithms that are not taken.
    pub fn read(bytes: &[u8], now: u64) -> Result<Self, Error> {
        if bytes.len() > MAX_LEN {
            return Err(Error::InvalidKey("the key is longer than 1 MiB"));
        }
        let certificate = Certificate::read(bytes)?;
        let key = certificate.encryption_key(now)?;
        Ok(Self { fingerprint: certificate.primary.fingerprint(), key: EncryptionKey::of(key)? })
    }
}

struct Certificate<'a> {
    primary: Key<'a>,
    is_revoked: bool,
    /// The primary key, then what is bound to it.
    parts: Vec<Signed<'a>>,
}

/// Something, and the signatures that follow it.
struct Signed<'a> {
    part: Part<'a>,
    signatures: Vec<Signature<'a>>,
    /// Whoever revoked it: nothing is sealed to what a revocation hangs on that cannot be told from one that counts.
    is_revoked: bool,
}

enum Part<'a> {
    /// Pictures and the like: what is signed about them is of no concern.
    Other,
    Primary,
    Subkey(Key<'a>),
    UserId(&'a [u8]),
}

impl<'a> Certificate<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        let primary = match reader.packet()? {
            Some((packet::PUBLIC_KEY, body)) => Key::read(body)?,
            Some((packet::SECRET_KEY, _)) => return Err(PRIVATE),
            Some(_) | None => return Err(Error::InvalidKey("the first packet is no public key")),
        };
        let mut certificate = Self { primary, is_revoked: false, parts: Vec::new() };
        let mut signed = Signed::new(Part::Primary);
        while let Some((tag, body)) = reader.packet()? {
            let part = match tag {
                packet::SIGNATURE => {
                    certificate.is_revoked |= signed.take(body)?;
                    continue;
                }
                packet::USER_ID => Part::UserId(body),
                packet::USER_ATTRIBUTE => Part::Other,
                packet::PUBLIC_SUBKEY => Part::Subkey(Key::read(body)?),
                packet::PUBLIC_KEY => return Err(Error::InvalidKey("these are several keys: send one")),
                packet::SECRET_KEY | packet::SECRET_SUBKEY => return Err(PRIVATE),
                packet::MARKER | packet::TRUST | packet::FIRST_UNCRITICAL.. => continue,
                _ => return Err(Error::InvalidKey("a packet is none of a public key")),
            };
            certificate.parts.push(std::mem::replace(&mut signed, Signed::new(part)));
        }
        certificate.parts.push(signed);
        Ok(certificate)
    }

    fn encryption_key(&self, now: u64) -> Result<&Key<'a>, Error> {
        let primary = self.stands(now)?;
        let mut newest: Option<(u64, &Key<'a>)> = None;
        for signed in &self.parts {
            let Part::Subkey(subkey) = &signed.part else { continue };
            let subject = [self.primary.hashed(), subkey.hashed()].concat();
            let Some(binding) = self.newest(signed, &[SUBKEY_BINDING], &subject)? else { continue };
            let is_for_it = binding.flags.is_some_and(|flags| flags & COMMUNICATIONS != 0);
            let is_alive = binding.is_alive(now) && binding.keeps(subkey, now);
            let is_newer = newest.is_none_or(|(created, _)| binding.created > created);
            if !signed.is_revoked && is_for_it && is_alive && is_newer && EncryptionKey::takes(subkey) {
                newest = Some((binding.created, subkey));
            }
        }
        let is_for_it = primary.flags.is_none_or(|flags| flags & COMMUNICATIONS != 0);
        let itself = (is_for_it && EncryptionKey::takes(&self.primary)).then_some(&self.primary);
        newest.map(|(_, subkey)| subkey).or(itself).ok_or(Error::InvalidKey(
            "no part of the key may encrypt: it needs a subkey for encryption, neither expired nor revoked, of RSA, \
             Curve25519 or one of NIST's curves",
        ))
    }

    /// What the primary key is good for: the newest self-signature over its first user id, once the key stands.
    fn stands(&self, now: u64) -> Result<&Signature<'a>, Error> {
        if self.is_revoked {
            return Err(Error::InvalidKey("the key is revoked"));
        }
        let own = self.primary.hashed();
        let (mut direct, mut ids) = (None, Vec::new());
        for signed in &self.parts {
            match &signed.part {
                Part::Primary => direct = self.newest(signed, &[DIRECT], &own)?,
                Part::UserId(id) => {
                    let len = u32::try_from(id.len()).map_err(|_| Error::InvalidKey("a user id is too long"))?;
                    let subject = [&own[..], &[0xb4], &len.to_be_bytes(), id].concat();
                    let revoked = self.newest(signed, &[CERTIFICATION_REVOCATION], &subject)?;
                    let certified = self.newest(signed, &CERTIFICATIONS, &subject)?;
                    ids.extend(certified.filter(|_| revoked.is_none() && !signed.is_revoked));
                }
                Part::Other | Part::Subkey(_) => {}
            }
        }
        let first = ids.into_iter().min_by_key(|certified| Reverse((certified.is_primary, certified.created)));
        let first = first.ok_or(Error::InvalidKey(
            "the key has no user id with a self-signature over a hash of today (SHA-2, SHA-3) that is not revoked",
        ))?;
        let says_so = |signature: &Signature<'_>| signature.is_alive(now) && signature.keeps(&self.primary, now);
        match says_so(first) && direct.is_none_or(says_so) {
            true => Ok(first),
            false => Err(Error::InvalidKey("the key is expired, or was made in the future")),
        }
    }

    /// The newest of the primary key's own signatures of these kinds.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where one of them does not verify: somebody has changed the key.
    fn newest<'s>(
        &self,
        signed: &'s Signed<'a>,
        kinds: &[u8],
        subject: &[u8],
    ) -> Result<Option<&'s Signature<'a>>, Error> {
        let is_own = |signature: &&Signature<'_>| {
            kinds.contains(&signature.kind) && (signature.names(&self.primary) || signature.is_anonymous())
        };
        let own: Vec<_> = signed.signatures.iter().filter(is_own).collect();
        // Of a key that is renewed every month for ten years there are fewer.
        if own.len() > MAX_SIGNATURES {
            return Err(Error::InvalidKey("the key has too many self-signatures"));
        }
        for signature in &own {
            signature.verify(&self.primary, subject)?;
        }
        Ok(own.into_iter().max_by_key(|signature| signature.created))
    }
}

impl<'a> Signed<'a> {
    fn new(part: Part<'a>) -> Self {
        Self { part, signatures: Vec::new(), is_revoked: false }
    }

    /// Takes a signature; whether it revokes all.
    fn take(&mut self, body: &'a [u8]) -> Result<bool, Error> {
        let kind = match Signature::read(body)? {
            Read::Signature(signature) => {
                let kind = signature.kind;
                self.signatures.push(signature);
                // That of a user id may be somebody else's, and it is looked at who made it.
                if kind == CERTIFICATION_REVOCATION { None } else { Some(kind) }
            }
            Read::Unknown(kind) => Some(kind),
        };
        self.is_revoked |= kind.is_some_and(|kind| [SUBKEY_REVOCATION, CERTIFICATION_REVOCATION].contains(&kind));
        Ok(kind == Some(KEY_REVOCATION))
    }
}

const PRIVATE: Error = Error::InvalidKey("this is a private key: keep it, and send the public one");
const MAX_LEN: usize = 1 << 20;
const MAX_SIGNATURES: usize = 200;
/// The flag of a key that encrypts communications.
const COMMUNICATIONS: u8 = 0x04;
const CERTIFICATIONS: [u8; 4] = [0x10, 0x11, 0x12, 0x13];
const SUBKEY_BINDING: u8 = 0x18;
const DIRECT: u8 = 0x1f;
const KEY_REVOCATION: u8 = 0x20;
const SUBKEY_REVOCATION: u8 = 0x28;
const CERTIFICATION_REVOCATION: u8 = 0x30;
