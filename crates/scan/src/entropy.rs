//! How random a text looks.

/// Shannon's entropy in bits a byte: 0 for one byte over and over, 4 for random hex, about 5 for random base64 of 40.
pub(crate) fn shannon(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    let Ok(len) = u32::try_from(text.len()) else { return 0.0 };
    let len = f64::from(len);
    let of = |count: &u32| {
        let share = f64::from(*count) / len;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_is_that_of_the_bytes() {
        for (text, bits) in [("", 0.0), ("aaaa", 0.0), ("abab", 1.0), ("abcdabcd", 2.0), ("0123456789abcdef", 4.0)] {
            assert!((shannon(text.as_bytes()) - bits).abs() < 1e-9, "{text}");
        }
    }
}
