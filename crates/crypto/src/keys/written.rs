//! Fresh key pairs in the files that other programs read: OpenSSH's, PEM, WireGuard's base64.

use aws_lc_rs::agreement::{PrivateKey, X25519};
use zeroize::Zeroizing;

use super::{der, text};
use crate::{
    Error, Secret,
    keys::{Algorithm, KeyMaterial},
    rng,
};

/// A private key and its public part, both as text with a line break at the end where the format has one.
pub struct WrittenPair {
    /// Wiped on drop.
    pub private: Zeroizing<String>,
    /// The public part.
    pub public: String,
}

/// How an X25519 key is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum X25519Format {
    /// Both parts as base64 of 32 bytes, as WireGuard has them.
    Base64,
    /// PKCS#8 and SubjectPublicKeyInfo (RFC 8410).
    Pem,
}

/// A fresh Ed25519 key as OpenSSH writes it, without a passphrase; the public part is a line of `authorized_keys`. The
/// comment is a single line.
///
/// # Errors
/// [`Error::Random`], [`Error::Memory`]; [`Error::Parameters`] for a comment with control characters.
pub fn ssh_ed25519(comment: &str) -> Result<WrittenPair, Error> {
    if comment.chars().any(char::is_control) {
        return Err(Error::Parameters("a comment is one line of text"));
    }
    let expanded = KeyMaterial::generate(Algorithm::Ed25519)?.export()?;
    let point = expanded.get(32..).unwrap_or_default();
    let public = [ssh_string(SSH_NAME)?, ssh_string(point)?].concat();
    let check = rng::bytes::<4>()?;
    let mut private = Zeroizing::new(Vec::with_capacity(512));
    private.extend_from_slice(&check);
    private.extend_from_slice(&check);
    private.extend_from_slice(&public);
    private.extend_from_slice(&Zeroizing::new(ssh_string(&expanded)?));
    private.extend_from_slice(&ssh_string(comment.as_bytes())?);
    // Padded with 1, 2, 3 to whole blocks, which have eight bytes where nothing is encrypted.
    let padding = (8 - private.len() % 8) % 8;
    private.extend((1..8_u8).take(padding));
    let mut file = Zeroizing::new(Vec::with_capacity(private.len() + 256));
    file.extend_from_slice(b"openssh-key-v1\0");
    for part in [&ssh_string(b"none")?, &ssh_string(b"none")?, &ssh_string(b"")?, &1_u32.to_be_bytes().to_vec()] {
        file.extend_from_slice(part);
    }
    file.extend_from_slice(&ssh_string(&public)?);
    file.extend_from_slice(&Zeroizing::new(ssh_string(&private)?));
    let comment = if comment.is_empty() { String::new() } else { format!(" {comment}") };
    Ok(WrittenPair {
        private: text::pem("OPENSSH PRIVATE KEY", &file),
        public: format!("ssh-ed25519 {}{comment}\n", text::base64(&public).as_str()),
    })
}

/// A fresh X25519 key.
///
/// # Errors
/// [`Error::Random`], [`Error::Memory`].
pub fn x25519(format: X25519Format) -> Result<WrittenPair, Error> {
    let number = Secret::random(32)?;
    let mut clamped = Zeroizing::new(number.expose().to_vec());
    // As every use of the number does, and as other programs write it.
    if let [first, .., last] = clamped.as_mut_slice() {
        *first &= 0xf8;
        *last = (*last & 0x7f) | 0x40;
    }
    let key = PrivateKey::from_private_key(&X25519, &clamped).map_err(|_| UNUSABLE)?;
    let public = key.compute_public_key().map_err(|_| UNUSABLE)?;
    Ok(match format {
        X25519Format::Base64 => {
            WrittenPair { private: text::base64(&clamped), public: text::base64(public.as_ref()).as_str().to_owned() }
        }
        X25519Format::Pem => {
            let inner = der::element(der::OCTET_STRING, &[&clamped]);
            let key = der::element(der::OCTET_STRING, &[&inner]);
            let pkcs8 = der::element(der::SEQUENCE, &[&der::unsigned(&[]), X25519_IDENTIFIER, &key]);
            let bits = der::element(der::BIT_STRING, &[&[0], public.as_ref()]);
            let spki = der::element(der::SEQUENCE, &[X25519_IDENTIFIER, &bits]);
            WrittenPair {
                private: text::pem("PRIVATE KEY", &pkcs8),
                public: text::pem("PUBLIC KEY", &spki).as_str().to_owned(),
            }
        }
    })
}

/// A key of an algorithm with a PKCS#8 encoding, as PEM of that and of SubjectPublicKeyInfo.
///
/// # Errors
/// [`Error::Unsupported`] for other algorithms; [`Error::InvalidKey`] if the bytes are no key.
pub fn pkcs8_pem(key: &KeyMaterial) -> Result<WrittenPair, Error> {
    let private = text::pem("PRIVATE KEY", &key.export_pkcs8()?);
    let public = key.public()?.ok_or(Error::Unsupported("keys of this algorithm have no public part"))?;
    Ok(WrittenPair { private, public: public.pem()? })
}

/// A string of the SSH protocol (RFC 4251): its length and its bytes.
fn ssh_string(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let len = u32::try_from(bytes.len()).map_err(|_| Error::Parameters("too long for a key file"))?;
    Ok([&len.to_be_bytes(), bytes].concat())
}

const SSH_NAME: &[u8] = b"ssh-ed25519";
/// The `AlgorithmIdentifier` (RFC 8410), in DER.
const X25519_IDENTIFIER: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x6e";
const UNUSABLE: Error = Error::InvalidKey("the library does not take the number");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_key_has_the_parts_that_openssh_reads() {
        let pair = ssh_ed25519("me@host").unwrap();
        let file = text::from_pem("OPENSSH PRIVATE KEY", &pair.private).unwrap();
        assert!(file.starts_with(b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0\0\0\0\x01\0\0\0\x33"));
        // 15 + 8 + 8 + 4 + 4 + 4 + 51 bytes before the length of the private part.
        let (head, private) = file.split_at(98);
        let len = u32::from_be_bytes(head[94..].try_into().unwrap());
        assert_eq!(private.len(), usize::try_from(len).unwrap());
        assert_eq!(private.len() % 8, 0);
        assert_eq!(private[..4], private[4..8]);
        // The point is at the end of the public part, in the private part, and behind the seed.
        let point = &head[62..94];
        assert_eq!(&private[8 + 15 + 4..][..32], point);
        let expanded = &private[8 + 51 + 4..][..64];
        assert_eq!(&expanded[32..], point);
        let again = KeyMaterial::import(Algorithm::Ed25519, expanded).unwrap();
        assert_eq!(again.public().unwrap().unwrap().raw(), point);
        assert!(
            pair.public.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI") && pair.public.ends_with(" me@host\n")
        );
        assert!(ssh_ed25519("two\nlines").is_err());
    }

    #[test]
    fn x25519_key_agrees_with_itself_in_either_format() {
        let pem = x25519(X25519Format::Pem).unwrap();
        let der = text::from_pem("PRIVATE KEY", &pem.private).unwrap();
        assert!(der.starts_with(b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20"));
        let public = text::from_pem("PUBLIC KEY", &pem.public).unwrap();
        let key = PrivateKey::from_private_key(&X25519, &der[16..]).unwrap();
        assert_eq!(key.compute_public_key().unwrap().as_ref(), &public[12..]);
        let bare = x25519(X25519Format::Base64).unwrap();
        assert_eq!((bare.private.len(), bare.public.len()), (44, 44));
        assert_ne!(bare.private.as_str(), bare.public);
    }
}
