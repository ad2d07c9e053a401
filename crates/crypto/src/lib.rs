//! Bytes in, bytes out: the one place that touches cryptographic primitives.
//!
//! It must never log, print, serialise or store anything, and must never learn what the bytes mean: it has no tracing,
//! no serde and no runtime among its dependencies. Formats and key hierarchy are described in docs/CRYPTO.md.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod aead;
pub mod age;
pub mod certificate;
pub mod envelope;
mod error;
pub mod file;
pub mod hash;
pub mod kdf;
pub mod keys;
pub mod object;
pub mod password;
pub mod pgp;
pub mod rng;
mod secret;
pub mod shamir;
pub mod sign;
#[cfg(test)]
mod testdata;
pub mod wrap;

pub use coffer_lockmem::{harden_process, lock_failures};
pub use error::Error;
pub use secret::Secret;
/// Wipes the plaintext that `open` gives back.
pub use zeroize::Zeroizing;
