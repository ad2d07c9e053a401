//! What is sent to a recipient: a session key under their public key, and a literal packet under the session key
//! (RFC 9580 sections 5.1, 5.13.1 and 5.9).

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use zeroize::Zeroizing;

use super::key::{self, Ecdh, EcdhCurve, Key, Material};
use super::{FINGERPRINT_LEN, Recipient, packet};
use crate::keys::der::significant;
use crate::keys::ec::Curve;
use crate::{Error, hash, rng};

/// What encrypts.
pub(super) struct EncryptionKey {
    fingerprint: [u8; FINGERPRINT_LEN],
    algorithm: Algorithm,
}

enum Algorithm {
    Ecdh { curve: EcdhCurve, point: Vec<u8>, hash: hash::Algorithm, kek_len: usize, parameters: Vec<u8> },
    Rsa(Pkcs1PublicEncryptingKey),
}

impl EncryptionKey {
    /// Whether a key is of an algorithm that encrypts.
    pub(super) fn takes(key: &Key<'_>) -> bool {
        match &key.material {
            Material::Ecdh(_) => true,
            Material::Rsa(rsa) => rsa.encrypts,
            Material::Ecdsa(..) | Material::Ed25519(_) | Material::Unknown => false,
        }
    }

    pub(super) fn of(key: &Key<'_>) -> Result<Self, Error> {
        let fingerprint = key.fingerprint();
        let algorithm = match &key.material {
            Material::Ecdh(ecdh) => ecdh_of(ecdh, &fingerprint)?,
            Material::Rsa(rsa) => {
                let public = PublicEncryptingKey::from_der(&rsa.spki()?).map_err(|_| INVALID)?;
                Algorithm::Rsa(Pkcs1PublicEncryptingKey::new(public).map_err(|_| INVALID)?)
            }
            Material::Ecdsa(..) | Material::Ed25519(_) | Material::Unknown => return Err(INVALID),
        };
        let key = Self { fingerprint, algorithm };
        // A point is checked by agreeing with it: better now than when there is something to seal.
        key.session_key(&Zeroizing::new([0; SESSION_KEY_LEN]))?;
        Ok(key)
    }

    /// A packet with a session key in it, for who has the private key.
    fn session_key(&self, session_key: &[u8; SESSION_KEY_LEN]) -> Result<Vec<u8>, Error> {
        let sum = session_key.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        let block = Zeroizing::new([&[AES_256_CIPHER][..], session_key, &sum.to_be_bytes()].concat());
        let (_, id) = self.fingerprint.split_at(FINGERPRINT_LEN - 8);
        let mut body = [&[3], id].concat();
        match &self.algorithm {
            Algorithm::Ecdh { curve, point, hash, kek_len, parameters } => {
                let (ephemeral, kek) = agree(*curve, point, *hash, parameters, *kek_len)?;
                let wrapped = wrap(&kek, &block)?;
                body.push(key::ECDH);
                body.extend(number(&ephemeral));
                body.push(u8::try_from(wrapped.len()).map_err(|_| INVALID)?);
                body.extend(wrapped);
            }
            Algorithm::Rsa(key) => {
                let mut encrypted = vec![0; key.ciphertext_size()];
                let encrypted = key.encrypt(&block, &mut encrypted).map_err(|_| INVALID)?;
                body.push(key::RSA);
                body.extend(number(encrypted));
            }
        }
        Ok([&header(packet::PUBLIC_KEY_ENCRYPTED, body.len()), &body[..]].concat())
    }
}

impl Recipient {
    /// Seals to the recipient, in a message that `gpg --decrypt` and its like open: AES-256 with a modification detection
    /// code. It is not signed.
    ///
    /// # Errors
    /// [`Error::Random`]; [`Error::Parameters`] for more than 64 KiB.
    pub fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>, Error> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(Error::Parameters("at most 64 KiB are sealed to an OpenPGP key"));
        }
        let mut session_key = Zeroizing::new([0; SESSION_KEY_LEN]);
        rng::fill(session_key.as_mut_slice())?;
        let prefix: [u8; BLOCK] = rng::bytes()?;
        let (_, repeated) = prefix.split_at(BLOCK - 2);
        // Binary, without a file name and a date.
        let literal = [&header(packet::LITERAL, 6 + plaintext.len())[..], b"b\0\0\0\0\0"].concat();
        let head = [&prefix[..], repeated, &literal].concat();
        // As long as it will be, so that no shorter copy is left behind.
        let len = head.len() + plaintext.len() + MDC_HEADER.len() + SHA1_LEN;
        let mut content = Zeroizing::new(Vec::with_capacity(len));
        for part in [&head[..], plaintext, &MDC_HEADER] {
            content.extend_from_slice(part);
        }
        let mdc = hash::digest(hash::Algorithm::Sha1, &content);
        content.extend_from_slice(&mdc);
        encrypt(&session_key, &mut content)?;
        let body_header = [&header(packet::ENCRYPTED, 1 + content.len())[..], &[1]].concat();
        Ok([self.key.session_key(&session_key)?, body_header, content.to_vec()].concat())
    }
}

/// AES-256 in CFB mode from a block of zeros, in place: the content's first block is random and stands for the vector.
fn encrypt(session_key: &[u8; SESSION_KEY_LEN], content: &mut [u8]) -> Result<(), Error> {
    let key = UnboundCipherKey::new(&cipher::AES_256, session_key).map_err(|_| INVALID)?;
    let key = EncryptingKey::cfb128(key).map_err(|_| INVALID)?;
    let from_zeros = EncryptionContext::Iv128(FixedLength::from([0; BLOCK]));
    key.less_safe_encrypt(content, from_zeros).map(drop).map_err(|_| INVALID)
}

fn ecdh_of(ecdh: &Ecdh<'_>, fingerprint: &[u8; FINGERPRINT_LEN]) -> Result<Algorithm, Error> {
    const OTHER: Error = Error::Unsupported("the key derives with a hash or wraps with a cipher that is not taken");
    let hash = match ecdh.hash {
        8 => hash::Algorithm::Sha2_256,
        9 => hash::Algorithm::Sha2_384,
        10 => hash::Algorithm::Sha2_512,
        _ => return Err(OTHER),
    };
    let kek_len = match ecdh.cipher {
        AES_128_CIPHER => 16,
        AES_192_CIPHER => 24,
        AES_256_CIPHER => 32,
        _ => return Err(OTHER),
    };
    let point = match (ecdh.curve, ecdh.point) {
        (EcdhCurve::X25519, [key::NATIVE_POINT, point @ ..]) => point,
        (EcdhCurve::Nist(_), point) => point,
        (EcdhCurve::X25519, _) => return Err(INVALID),
    };
    let oid_len = u8::try_from(ecdh.oid.len()).map_err(|_| INVALID)?;
    let end = [key::ECDH, 3, 1, ecdh.hash, ecdh.cipher];
    let parameters = [&[oid_len], ecdh.oid, &end, b"Anonymous Sender    ", fingerprint].concat();
    Ok(Algorithm::Ecdh { curve: ecdh.curve, point: point.to_vec(), hash, kek_len, parameters })
}

/// A fresh point, and the key that wraps (RFC 9580 section 11.5).
fn agree(
    curve: EcdhCurve,
    point: &[u8],
    hash: hash::Algorithm,
    parameters: &[u8],
    kek_len: usize,
) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Error> {
    let (method, prefix) = match curve {
        EcdhCurve::Nist(Curve::P256) => (&agreement::ECDH_P256, &[][..]),
        EcdhCurve::Nist(Curve::P384) => (&agreement::ECDH_P384, &[][..]),
        EcdhCurve::Nist(Curve::P521) => (&agreement::ECDH_P521, &[][..]),
        EcdhCurve::X25519 => (&agreement::X25519, &[key::NATIVE_POINT][..]),
    };
    let ours = PrivateKey::generate(method).map_err(|_| Error::Random)?;
    let public = ours.compute_public_key().map_err(|_| Error::Random)?;
    let kek = agreement::agree(&ours, UnparsedPublicKey::new(method, point), INVALID, |shared| {
        let input = Zeroizing::new([&[0, 0, 0, 1], shared, parameters].concat());
        let mut kek = Zeroizing::new(hash::digest(hash, &input));
        kek.truncate(kek_len);
        Ok(kek)
    })?;
    Ok(([prefix, public.as_ref()].concat(), kek))
}

/// AES key wrap (RFC 3394) of a block, padded to whole words. The library's own knows no key of 192 bits, which GnuPG wants
/// for P-384.
fn wrap(kek: &[u8], block: &[u8]) -> Result<Vec<u8>, Error> {
    let padding = 8 - block.len() % 8;
    let padding_byte = u8::try_from(padding).map_err(|_| INVALID)?;
    let mut words = Zeroizing::new([block, &vec![padding_byte; padding]].concat());
    let cipher = match kek.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        _ => &cipher::AES_256,
    };
    let key = UnboundCipherKey::new(cipher, kek).map_err(|_| INVALID)?;
    let key = EncryptingKey::ecb(key).map_err(|_| INVALID)?;
    let (mut check, mut step) = (0xa6a6_a6a6_a6a6_a6a6_u64.to_be_bytes(), 0_u64);
    for _ in 0..6 {
        for word in words.chunks_exact_mut(8) {
            step += 1;
            let mut pair = Zeroizing::new([&check[..], word].concat());
            key.encrypt(&mut pair).map_err(|_| INVALID)?;
            let (first, second) = pair.split_at(8);
            word.copy_from_slice(second);
            check = (u64::from_be_bytes(first.try_into().map_err(|_| INVALID)?) ^ step).to_be_bytes();
        }
    }
    Ok([&check[..], &words].concat())
}

/// A number with its length in bits.
fn number(bytes: &[u8]) -> Vec<u8> {
    let bytes = significant(bytes);
    let zeros = bytes.first().map_or(0, |first| first.leading_zeros());
    let bits = u32::try_from(bytes.len() * 8).unwrap_or(u32::MAX).saturating_sub(zeros);
    let bits = u16::try_from(bits).expect("a modulus has at most 8192 bits");
    [&bits.to_be_bytes(), bytes].concat()
}

/// A packet's tag and length, in the new format and as short as can be.
fn header(tag: u8, len: usize) -> Vec<u8> {
    let len = u32::try_from(len).expect("a packet has at most 64 KiB and a little");
    match len {
        ..8384 => {
            let [.., high, low] = len.saturating_sub(192).to_be_bytes();
            let [.., short] = len.to_be_bytes();
            if len < 192 { vec![0xc0 | tag, short] } else { vec![0xc0 | tag, high + 192, low] }
        }
        8384.. => [&[0xc0 | tag, 0xff][..], &len.to_be_bytes()].concat(),
    }
}

const INVALID: Error = Error::InvalidKey("the key to encrypt to is not valid");
const AES_128_CIPHER: u8 = 7;
const AES_192_CIPHER: u8 = 8;
const AES_256_CIPHER: u8 = 9;
const BLOCK: usize = 16;
const MAX_PLAINTEXT: usize = 1 << 16;
const MDC_HEADER: [u8; 2] = [0xd3, 20];
const SESSION_KEY_LEN: usize = 32;
const SHA1_LEN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_block_comes_back_from_under_the_library_with_its_padding() {
        use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap as _};
        for (kek, cipher) in [([1_u8; 16].to_vec(), &AES_128), ([2; 32].to_vec(), &AES_256)] {
            for len in [8, 35, 40] {
                let wrapped = wrap(&kek, &vec![7; len]).unwrap();
                let mut out = vec![0; wrapped.len()];
                let back = AesKek::new(cipher, &kek).unwrap().unwrap(&wrapped, &mut out).unwrap();
                let padding = 8 - len % 8;
                assert_eq!(*back, [vec![7; len], vec![u8::try_from(padding).unwrap(); padding]].concat());
            }
        }
    }

    #[test]
    fn numbers_are_written_with_their_bits() {
        for (bytes, written) in [
            (&[][..], &[0, 0][..]),
            (&[0, 0], &[0, 0]),
            (&[1], &[0, 1, 1]),
            (&[0, 0x40, 0], &[0, 15, 0x40, 0]),
            (&[0xff, 0], &[0, 16, 0xff, 0]),
        ] {
            assert_eq!(number(bytes), written);
        }
    }
}
