//! Looking for what is not zero in files that mostly are.

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(BLOCK.len()).all(|block| BLOCK.starts_with(block))
}

/// How many bytes are not zero.
pub(crate) fn count_not_zero(bytes: &[u8]) -> u64 {
    let blocks = bytes.chunks(BLOCK.len()).filter(|block| !BLOCK.starts_with(block));
    let count: usize = blocks.map(|block| block.iter().filter(|byte| **byte != 0).count()).sum();
    u64::try_from(count).expect("a length in memory fits 64 bits")
}

/// The bytes without most of the zeros at their end.
pub(crate) fn without_tail(bytes: &[u8]) -> &[u8] {
    let blocks = bytes.chunks(BLOCK.len()).rev().take_while(|block| BLOCK.starts_with(block));
    let zeros: usize = blocks.map(<[u8]>::len).sum();
    bytes.get(..bytes.len() - zeros).unwrap_or_default()
}

// Whole blocks are compared: a loop over bytes is a hundred times slower, which shows when a segment is opened.
static BLOCK: [u8; 4096] = [0; 4096];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_zero_are_found_wherever_they_are() {
        for len in [1, 4095, 4096, 4097, 20_000] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes) && count_not_zero(&bytes) == 0 && without_tail(&bytes).is_empty());
            for at in [0, len / 2, len - 1] {
                bytes[at] = 1;
                assert!(!is_zero(&bytes) && count_not_zero(&bytes) == 1 && without_tail(&bytes).len() > at);
                bytes[at] = 0;
            }
        }
        assert!(is_zero(&[]) && without_tail(&[]).is_empty());
    }
}
