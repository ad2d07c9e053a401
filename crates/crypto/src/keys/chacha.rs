//! HChaCha20 (draft-irtf-cfrg-xchacha), which makes a ChaCha20 key of a key and 16 bytes of a longer nonce.
//!
//! Our own, because aws-lc keeps its own to itself: forty lines of additions, rotations and exclusive ors, without tables
//! or branches, so the time says nothing about the key.

use zeroize::Zeroizing;

/// The subkey for the first 16 bytes of a nonce.
pub(super) fn hchacha20(key: &[u8; 32], nonce: &[u8; 16]) -> Zeroizing<[u8; 32]> {
    let mut state = Zeroizing::new([0_u32; 16]);
    let constants = b"expand 32-byte k".chunks_exact(4);
    let words = constants.chain(key.chunks_exact(4)).chain(nonce.chunks_exact(4));
    for (word, bytes) in state.iter_mut().zip(words) {
        *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let [x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15] = &mut *state;
    for _ in 0..10 {
        quarter_round(x0, x4, x8, x12);
        quarter_round(x1, x5, x9, x13);
        quarter_round(x2, x6, x10, x14);
        quarter_round(x3, x7, x11, x15);
        quarter_round(x0, x5, x10, x15);
        quarter_round(x1, x6, x11, x12);
        quarter_round(x2, x7, x8, x13);
        quarter_round(x3, x4, x9, x14);
    }
    let mut out = Zeroizing::new([0; 32]);
    let words = state.iter().take(4).chain(state.iter().skip(12));
    for (bytes, word) in out.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn quarter_round(a: &mut u32, b: &mut u32, c: &mut u32, d: &mut u32) {
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(16);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(12);
    *a = a.wrapping_add(*b);
    *d = (*d ^ *a).rotate_left(8);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hchacha20_published_vector_holds() {
        // draft-irtf-cfrg-xchacha-03, section 2.2.1.
        let key: Vec<u8> = (0..32).collect();
        let nonce = [0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0, 0x31, 0x41, 0x59, 0x27];
        let hex: String =
            hchacha20(&key.try_into().unwrap(), &nonce).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
    }
}
