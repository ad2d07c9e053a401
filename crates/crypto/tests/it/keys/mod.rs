//! Keys that users own: every algorithm by published vectors, beside second implementations, and under attack.

mod acvp;
mod agreement;
mod certificate;
mod golden;
mod hostile;
mod jwk;
mod macs;
mod openssl;
mod round_trip;
mod second;
mod vectors;
mod xaes;

use coffer_crypto::hash::Algorithm as Hash;
use coffer_crypto::keys::{Algorithm, KeyMaterial, PreparedKey, PublicKey, SignOptions};

fn prepared(algorithm: Algorithm, encoded: &[u8]) -> PreparedKey {
    KeyMaterial::from_encoded(algorithm, encoded).unwrap().prepare().unwrap()
}

fn over(hash: Hash) -> SignOptions {
    SignOptions { hash: Some(hash), ..SignOptions::default() }
}

fn public(key: &PreparedKey) -> &PublicKey {
    key.public().unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
