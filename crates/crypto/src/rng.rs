//! Random bytes from the library's generator, which is seeded by the kernel and reseeds after a fork.

use crate::Error;

/// Fills `out` with random bytes.
///
/// # Errors
/// [`Error::Random`] if the generator fails; `out` must then not be used.
pub fn fill(out: &mut [u8]) -> Result<(), Error> {
    aws_lc_rs::rand::fill(out).map_err(|_| Error::Random)
}

/// `N` random bytes, for what is not a secret: nonces, salts, identifiers. A key is made by [`crate::Secret::random`].
///
/// # Errors
/// As [`fill`].
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}
