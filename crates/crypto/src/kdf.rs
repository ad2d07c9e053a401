//! HKDF-SHA256 (RFC 5869).

use aws_lc_rs::hkdf;

use crate::{Error, Secret};

/// Derives `len` bytes from `ikm`. The parts of `info` are joined without a separator: a caller whose parts vary in
/// length puts the lengths among them.
///
/// # Errors
/// [`Error::Parameters`] unless `len` is 1 to 8160, [`Error::Memory`].
pub fn hkdf_sha256(ikm: &Secret, salt: &[u8], info: &[&[u8]], len: usize) -> Result<Secret, Error> {
    Secret::zeroed_with(len, |out| fill(ikm.expose(), salt, info, out))
}

/// As [`hkdf_sha256`], into a place that the caller wipes.
pub(crate) fn fill(ikm: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<(), Error> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
    prk.expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| Error::Parameters("HKDF-SHA256 gives at most 8160 bytes"))
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testdata::Vector;

    #[test]
    fn hkdf_published_vectors_hold() {
        let (vectors, must_fail) = Vector::load("hkdf-sha256.json");
        assert_eq!((vectors.len(), must_fail), (83, 3));
        for vector in vectors {
            let mut okm = vec![0; vector.number("size")];
            let filled = fill(&vector.bytes("ikm"), &vector.bytes("salt"), &[&vector.bytes("info")], &mut okm);
            assert_eq!(filled.is_ok(), vector.is_valid(), "{}", vector.id());
            assert!(filled.is_err() || okm == vector.bytes("okm"), "{}", vector.id());
        }
    }

    #[test]
    fn hkdf_length_out_of_bounds_is_refused() {
        let ikm = Secret::copy_from(&[7; 32]).unwrap();
        for len in [0, 8161, 1 << 20] {
            assert!(matches!(hkdf_sha256(&ikm, b"", &[b"info"], len), Err(Error::Parameters(_))), "{len}");
        }
        assert_eq!(hkdf_sha256(&ikm, b"", &[b"info"], 8160).unwrap().len(), 8160);
    }

    #[test]
    fn hkdf_info_parts_are_joined() {
        let ikm = Secret::copy_from(&[7; 32]).unwrap();
        let joined = hkdf_sha256(&ikm, b"salt", &[b"info"], 32).unwrap();
        let parts = hkdf_sha256(&ikm, b"salt", &[b"in", b"", b"fo"], 32).unwrap();
        let other = hkdf_sha256(&ikm, b"salt", &[b"inf"], 32).unwrap();
        assert_eq!(joined.expose(), parts.expose());
        assert_ne!(joined.expose(), other.expose());
    }
}
