//! Keys that users own: made, imported, exported and used. docs/CRYPTO.md has every encoding.
//!
//! [`KeyMaterial`] is a key at rest, in its stored encoding and in locked memory. [`PreparedKey`] is the same key parsed
//! and checked once, to be used many times; it knows no usages, states or permissions, which are the core's business.

mod aead;
mod agree;
mod algorithm;
mod chacha;
pub(crate) mod der;
pub(crate) mod ec;
mod ed25519;
mod import;
mod kem;
mod mac;
mod material;
mod ml_dsa;
mod ml_kem;
mod options;
mod prepared;
mod public;
pub(crate) mod rsa;
mod text;
mod wrap;
mod written;
mod x_wing;

pub use algorithm::{Algorithm, Usage};
pub use ec::is_ecdsa_der;
pub use kem::Encapsulated;
pub use material::KeyMaterial;
pub use options::{Marshal, RsaPadding, Salt, SignOptions};
pub use prepared::PreparedKey;
pub use public::PublicKey;
pub use written::{WrittenPair, X25519Format, pkcs8_pem, ssh_ed25519, x25519};
