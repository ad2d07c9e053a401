//! The names that transit has for the types of keys.

use coffer_core::KeyAlgorithm;

/// A type of key by its name in requests; `None` for what transit does not know.
pub(super) fn algorithm(name: &str) -> Option<KeyAlgorithm> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// The name of a type of key; the native one where transit has none.
pub(crate) fn type_name(algorithm: KeyAlgorithm) -> &'static str {
    NAMES.iter().find(|(_, known)| *known == algorithm).map_or_else(|| algorithm.name(), |(name, _)| name)
}

/// The name of a public key's kind.
pub(super) fn public_name(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => "P-256",
        KeyAlgorithm::EcdsaP384 => "P-384",
        KeyAlgorithm::EcdsaP521 => "P-521",
        other => type_name(other),
    }
}

/// Whether a first use of a key may make one of this type.
pub(super) fn is_made_by_use(algorithm: KeyAlgorithm) -> bool {
    matches!(
        algorithm,
        KeyAlgorithm::Aes128Gcm
            | KeyAlgorithm::Aes256Gcm
            | KeyAlgorithm::ChaCha20Poly1305
            | KeyAlgorithm::XChaCha20Poly1305
    )
}

const NAMES: [(&str, KeyAlgorithm); 12] = [
    ("aes128-gcm96", KeyAlgorithm::Aes128Gcm),
    ("aes256-gcm96", KeyAlgorithm::Aes256Gcm),
    ("chacha20-poly1305", KeyAlgorithm::ChaCha20Poly1305),
    ("ecdsa-p256", KeyAlgorithm::EcdsaP256),
    ("ecdsa-p384", KeyAlgorithm::EcdsaP384),
    ("ecdsa-p521", KeyAlgorithm::EcdsaP521),
    ("ed25519", KeyAlgorithm::Ed25519),
    ("hmac", KeyAlgorithm::Hmac),
    ("rsa-2048", KeyAlgorithm::Rsa2048),
    ("rsa-3072", KeyAlgorithm::Rsa3072),
    ("rsa-4096", KeyAlgorithm::Rsa4096),
    ("xchacha20-poly1305", KeyAlgorithm::XChaCha20Poly1305),
];
