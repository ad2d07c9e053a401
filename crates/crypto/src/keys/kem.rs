//! What the key encapsulation mechanisms have in common.

use zeroize::Zeroizing;

/// A shared secret, and what its other holder needs to find it.
pub struct Encapsulated {
    /// To be decapsulated with the private key.
    pub ciphertext: Vec<u8>,
    /// 32 bytes.
    pub shared: Zeroizing<Vec<u8>>,
}
