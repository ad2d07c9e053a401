//! ES512 (RFC 7518): ECDSA with P-521 and SHA-512, signatures as two numbers of 66 bytes.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use zeroize::Zeroizing;

use crate::Error;

/// A private key, on the library's heap; freeing wipes it.
pub struct Es512Key(EcdsaKeyPair);

impl Es512Key {
    /// A fresh key, and its PKCS #8 form to be kept sealed.
    ///
    /// # Errors
    /// [`Error::Random`] where the library cannot make one.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), Error> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).map_err(|_| Error::Random)?;
        let document = pair.to_pkcs8v1().map_err(|_| Error::Random)?;
        Ok((Self(pair), Zeroizing::new(document.as_ref().to_vec())))
    }

    /// The key of a PKCS #8 form.
    ///
    /// # Errors
    /// [`Error::Parameters`] where it is none of this curve.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, pkcs8);
        pair.map(Self).map_err(|_| Error::Parameters("no PKCS #8 form of a P-521 key"))
    }

    /// Signs `message`, differently each time.
    ///
    /// # Errors
    /// [`Error::Random`] where the library cannot.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign(&SystemRandom::new(), message).map_err(|_| Error::Random)?;
        Ok(signature.as_ref().to_vec())
    }

    /// Checks a signature of this key's.
    ///
    /// # Errors
    /// [`Error::Authentication`] where it is none of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        let public = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, self.0.public_key());
        public.verify(message, signature).map_err(|_| Error::Authentication)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_holds_for_its_message_and_key_alone() {
        let (key, pkcs8) = Es512Key::generate().unwrap();
        let (other, _) = Es512Key::generate().unwrap();
        let signature = key.sign(b"message").unwrap();
        assert_eq!(signature.len(), 132);
        let again = Es512Key::from_pkcs8(&pkcs8).unwrap();
        assert!(again.verify(b"message", &signature).is_ok());
        assert!(again.verify(b"massage", &signature).is_err());
        assert!(other.verify(b"message", &signature).is_err());
        assert!(key.verify(b"message", &signature[..131]).is_err() && key.verify(b"message", &[0; 132]).is_err());
        assert!(Es512Key::from_pkcs8(&pkcs8[1..]).is_err());
    }
}
