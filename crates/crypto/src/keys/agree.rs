//! Agreement on a key (ECDH, SP 800-56A) between a private key on one of NIST's curves and a public one.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::algorithm::Family;
use super::ec::Curve;
use crate::keys::{Algorithm, KeyMaterial, PublicKey};
use crate::{Error, kdf};

impl KeyMaterial {
    /// The key that this one and theirs agree on: HKDF-SHA-256 of the shared point's x coordinate, without salt and info,
    /// as long as the algorithm's keys are.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a key on no such curve, and for an algorithm whose keys are no mere bytes;
    /// [`Error::InvalidKey`] where theirs is on another curve; [`Error::Memory`].
    pub fn agree(&self, theirs: &PublicKey, algorithm: Algorithm) -> Result<Self, Error> {
        let (Family::Ecdsa(curve), Family::Aead(cipher)) = (self.algorithm().family(), algorithm.family()) else {
            return Err(Error::Unsupported("agreement is between keys on NIST's curves, on a key that encrypts"));
        };
        if theirs.algorithm() != self.algorithm() {
            return Err(OTHER_CURVE);
        }
        let method = match curve {
            Curve::P256 => &agreement::ECDH_P256,
            Curve::P384 => &agreement::ECDH_P384,
            Curve::P521 => &agreement::ECDH_P521,
        };
        let ours = PrivateKey::from_private_key(method, self.encoded()).map_err(|_| OTHER_CURVE)?;
        let theirs = UnparsedPublicKey::new(method, theirs.raw());
        let mut key = Zeroizing::new(vec![0; cipher.key_len()]);
        agreement::agree(&ours, theirs, OTHER_CURVE, |shared| kdf::fill(shared, &[], &[], &mut key))?;
        Self::from_encoded(algorithm, &key)
    }
}

const OTHER_CURVE: Error = Error::InvalidKey("the two keys are not on the same curve");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Algorithm::{Aes128Gcm, Aes256Gcm, EcdsaP256, EcdsaP384, EcdsaP521, Ed25519};

    #[test]
    fn both_sides_agree_and_other_curves_do_not() {
        for curve in [EcdsaP256, EcdsaP384, EcdsaP521] {
            let [ours, theirs] = [(); 2].map(|()| KeyMaterial::generate(curve).unwrap());
            let public = |key: &KeyMaterial| key.public().unwrap().unwrap();
            for algorithm in [Aes128Gcm, Aes256Gcm] {
                let a = ours.agree(&public(&theirs), algorithm).unwrap();
                let b = theirs.agree(&public(&ours), algorithm).unwrap();
                assert_eq!(a.encoded(), b.encoded());
            }
            assert!(ours.agree(&public(&theirs), Ed25519).is_err());
            let other = if curve == EcdsaP256 { EcdsaP384 } else { EcdsaP256 };
            assert!(ours.agree(&public(&KeyMaterial::generate(other).unwrap()), Aes256Gcm).is_err());
        }
    }

    /// What OpenBao 2.7.2 made of the shared secret.
    #[test]
    fn key_is_the_one_that_openbao_derives() {
        let shared = [
            0x3f, 0xf4, 0x64, 0x30, 0x7b, 0x85, 0x56, 0xd6, 0xae, 0xd8, 0x42, 0xf3, 0x07, 0x67, 0x67, 0x32, 0x84, 0xe7,
            0x5d, 0x52, 0xba, 0x01, 0x1c, 0x43, 0x4c, 0x5b, 0x16, 0x5a, 0x2f, 0x25, 0x76, 0xcc,
        ];
        let mut key = [0; 32];
        kdf::fill(&shared, &[], &[], &mut key).unwrap();
        assert_eq!(key[..6], [0xee, 0x71, 0xcf, 0xe6, 0xdb, 0x63]);
    }
}
