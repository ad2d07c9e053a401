//! Ed25519 (RFC 8032) signatures.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::{Error, Secret};

/// An Ed25519 private key, expanded on the library's heap; freeing wipes it.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl SigningKey {
    /// The key pair of a 32-byte seed.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a seed of another length.
    pub fn from_seed(seed: &Secret) -> Result<Self, Error> {
        const WRONG: Error = Error::Parameters("an Ed25519 seed has 32 bytes");
        if seed.len() != 32 {
            return Err(WRONG);
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(|_| WRONG)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| WRONG)?;
        Ok(Self { pair, public })
    }

    /// The public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// Signs `message`; the same message gives the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

/// Checks a signature.
///
/// # Errors
/// [`Error::Authentication`] if it is not `public`'s signature of `message`, or `public` is no point of the curve.
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), Error> {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).map_err(|_| Error::Authentication)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testdata::Vector;

    #[test]
    fn ed25519_published_vectors_hold() {
        let (vectors, must_fail) = Vector::load("ed25519.json");
        assert_eq!((vectors.len(), must_fail), (151, 63));
        for vector in vectors {
            let public = vector.bytes("public").try_into().unwrap();
            // A signature of another length is refused by the type.
            let signature: Result<[u8; 64], _> = vector.bytes("signature").try_into();
            let verified = signature.is_ok_and(|s| verify(&public, &vector.bytes("message"), &s).is_ok());
            assert_eq!(verified, vector.is_valid(), "{}", vector.id());
        }
    }

    #[test]
    fn rfc8032_keys_sign_as_published() {
        // RFC 8032 section 7.1, tests 1 and 2.
        let empty = SigningKey::from_seed(&secret("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        let empty = empty.unwrap();
        assert_eq!(hex(&empty.public_key()), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signature = empty.sign(b"");
        assert_eq!(
            hex(&signature),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
        assert!(verify(&empty.public_key(), b"", &signature).is_ok());
        assert!(matches!(verify(&empty.public_key(), b"x", &signature), Err(Error::Authentication)));
        let one = SigningKey::from_seed(&secret("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
        assert!(matches!(verify(&one.unwrap().public_key(), b"", &signature), Err(Error::Authentication)));
    }

    fn secret(hex: &str) -> Secret {
        let pairs = hex.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).unwrap());
        Secret::copy_from(&pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect::<Vec<_>>()).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn seed_of_another_length_is_refused() {
        for len in [1, 31, 33, 64] {
            let seed = Secret::random(len).unwrap();
            assert!(matches!(SigningKey::from_seed(&seed), Err(Error::Parameters(_))), "{len}");
        }
    }
}
