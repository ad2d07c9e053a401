//! Which algorithms there are, and what each is for.

use aws_lc_rs::rsa::KeySize;

use super::aead::Cipher;
use super::ec::Curve;
use super::ml_dsa::MlDsa;
use super::ml_kem::MlKem;
use crate::hash;

/// An algorithm, with the size of its key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// AES-128-GCM with random 96-bit nonces.
    Aes128Gcm,
    /// AES-256-GCM with random 96-bit nonces.
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 8439) with random 96-bit nonces.
    ChaCha20Poly1305,
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// Ed25519 (RFC 8032), pure.
    Ed25519,
    /// HMAC with a key of 32 to 512 bytes and a hash of the caller's choice.
    Hmac,
    /// HMAC-SHA-256 with a key of 32 bytes.
    HmacSha256,
    /// HMAC-SHA-384 with a key of 48 bytes.
    HmacSha384,
    /// HMAC-SHA-512 with a key of 64 bytes.
    HmacSha512,
    /// ML-DSA-44 (FIPS 204), pure, with an empty context.
    MlDsa44,
    /// ML-DSA-65.
    MlDsa65,
    /// ML-DSA-87.
    MlDsa87,
    /// ML-KEM-1024 (FIPS 203).
    MlKem1024,
    /// ML-KEM-512.
    MlKem512,
    /// ML-KEM-768.
    MlKem768,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// XChaCha20-Poly1305 with random 192-bit nonces.
    XChaCha20Poly1305,
    /// X-Wing: X25519 and ML-KEM-768 in one (draft-connolly-cfrg-xwing-kem).
    XWing,
    /// XAES-256-GCM (C2SP) with random 192-bit nonces.
    Xaes256Gcm,
}

impl Algorithm {
    /// All of them, by name.
    pub const ALL: [Self; 23] = [
        Self::Aes128Gcm,
        Self::Aes256Gcm,
        Self::ChaCha20Poly1305,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Ed25519,
        Self::Hmac,
        Self::HmacSha256,
        Self::HmacSha384,
        Self::HmacSha512,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
        Self::MlKem1024,
        Self::MlKem512,
        Self::MlKem768,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::XChaCha20Poly1305,
        Self::XWing,
        Self::Xaes256Gcm,
    ];

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name, as `aes-256-gcm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes-128-gcm",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::EcdsaP521 => "ecdsa-p521",
            Self::Ed25519 => "ed25519",
            Self::Hmac => "hmac",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
            Self::MlDsa87 => "ml-dsa-87",
            Self::MlKem1024 => "ml-kem-1024",
            Self::MlKem512 => "ml-kem-512",
            Self::MlKem768 => "ml-kem-768",
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa3072 => "rsa-3072",
            Self::Rsa4096 => "rsa-4096",
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
            Self::XWing => "x-wing",
            Self::Xaes256Gcm => "xaes-256-gcm",
        }
    }

    /// Whether a key of this algorithm can be used so.
    pub fn supports(self, usage: Usage) -> bool {
        match self.family() {
            Family::Aead(_) => matches!(usage, Usage::Derive | Usage::Encrypt | Usage::Wrap),
            Family::Ecdsa(_) | Family::MlDsa(_) => usage == Usage::Sign,
            Family::Ed25519 => matches!(usage, Usage::Derive | Usage::Sign),
            Family::Mac(_) => usage == Usage::Mac,
            Family::MlKem(_) | Family::XWing => matches!(usage, Usage::Encapsulate | Usage::Wrap),
            Family::Rsa(_) => matches!(usage, Usage::Encrypt | Usage::Sign | Usage::Wrap),
        }
    }

    /// Whether a key has a public part.
    pub fn is_asymmetric(self) -> bool {
        !matches!(self.family(), Family::Aead(_) | Family::Mac(_))
    }

    /// How many messages one key may encrypt, where there is a bound to keep: 2^31 with random 96-bit nonces, so that
    /// two are equal with a chance of about 2^-35.
    pub fn uses(self) -> Option<u64> {
        matches!(self, Self::Aes128Gcm | Self::Aes256Gcm | Self::ChaCha20Poly1305).then_some(1 << 31)
    }

    pub(super) fn family(self) -> Family {
        match self {
            Self::Aes128Gcm => Family::Aead(Cipher::Aes128Gcm),
            Self::Aes256Gcm => Family::Aead(Cipher::Aes256Gcm),
            Self::ChaCha20Poly1305 => Family::Aead(Cipher::ChaCha20Poly1305),
            Self::EcdsaP256 => Family::Ecdsa(Curve::P256),
            Self::EcdsaP384 => Family::Ecdsa(Curve::P384),
            Self::EcdsaP521 => Family::Ecdsa(Curve::P521),
            Self::Ed25519 => Family::Ed25519,
            Self::Hmac => Family::Mac(None),
            Self::HmacSha256 => Family::Mac(Some(hash::Algorithm::Sha2_256)),
            Self::HmacSha384 => Family::Mac(Some(hash::Algorithm::Sha2_384)),
            Self::HmacSha512 => Family::Mac(Some(hash::Algorithm::Sha2_512)),
            Self::MlDsa44 => Family::MlDsa(MlDsa::MlDsa44),
            Self::MlDsa65 => Family::MlDsa(MlDsa::MlDsa65),
            Self::MlDsa87 => Family::MlDsa(MlDsa::MlDsa87),
            Self::MlKem1024 => Family::MlKem(MlKem::MlKem1024),
            Self::MlKem512 => Family::MlKem(MlKem::MlKem512),
            Self::MlKem768 => Family::MlKem(MlKem::MlKem768),
            Self::Rsa2048 => Family::Rsa(KeySize::Rsa2048),
            Self::Rsa3072 => Family::Rsa(KeySize::Rsa3072),
            Self::Rsa4096 => Family::Rsa(KeySize::Rsa4096),
            Self::XChaCha20Poly1305 => Family::Aead(Cipher::XChaCha20Poly1305),
            Self::XWing => Family::XWing,
            Self::Xaes256Gcm => Family::Aead(Cipher::Xaes256Gcm),
        }
    }
}

/// Algorithms that have a file here in common, with what tells them apart.
#[derive(Clone, Copy)]
pub(super) enum Family {
    Aead(Cipher),
    Ecdsa(Curve),
    Ed25519,
    /// With the one hash that it takes, or any.
    Mac(Option<hash::Algorithm>),
    MlDsa(MlDsa),
    MlKem(MlKem),
    Rsa(KeySize),
    XWing,
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Usage {
    /// Deriving other keys of its algorithm from contexts.
    Derive,
    /// Encapsulating and decapsulating shared secrets.
    Encapsulate,
    /// Encrypting and decrypting.
    Encrypt,
    /// Authenticating with a keyed hash.
    Mac,
    /// Signing and verifying.
    Sign,
    /// Wrapping and unwrapping other keys.
    Wrap,
}

impl Usage {
    /// All of them, by name.
    pub const ALL: [Self; 6] = [Self::Derive, Self::Encapsulate, Self::Encrypt, Self::Mac, Self::Sign, Self::Wrap];

    /// The usage of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.name() == name)
    }

    /// Its name, as `encrypt`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Derive => "derive",
            Self::Encapsulate => "encapsulate",
            Self::Encrypt => "encrypt",
            Self::Mac => "mac",
            Self::Sign => "sign",
            Self::Wrap => "wrap",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_are_all_different() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
        }
        for usage in Usage::ALL {
            assert_eq!(Usage::parse(usage.name()), Some(usage));
        }
        assert_eq!(Algorithm::parse("AES-256-GCM"), None);
        assert_eq!(Algorithm::parse(""), None);
    }

    #[test]
    fn algorithms_without_a_use_do_not_exist() {
        for algorithm in Algorithm::ALL {
            assert!(Usage::ALL.into_iter().any(|usage| algorithm.supports(usage)), "{algorithm:?}");
        }
        assert!(!Algorithm::Ed25519.supports(Usage::Encrypt) && !Algorithm::Aes256Gcm.supports(Usage::Sign));
    }
}
