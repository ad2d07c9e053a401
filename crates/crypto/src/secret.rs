//! Bytes that nobody prints, copies or compares by accident.

use coffer_lockmem::Locked;

use crate::{Error, rng};

/// Secret bytes in locked, undumpable pages of their own, zeroed on drop; never empty.
///
/// It has no `Debug`, `Clone`, `PartialEq` or serialisation on purpose. Each takes three pages of address space and one
/// of locked memory, so it is for keys, not for the values that they seal.
pub struct Secret(Locked);

impl Secret {
    /// `len` fresh random bytes.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a length of zero, [`Error::Memory`], [`Error::Random`].
    pub fn random(len: usize) -> Result<Self, Error> {
        Self::zeroed_with(len, rng::fill)
    }

    /// A copy of `bytes`; wiping the original is the caller's part.
    ///
    /// # Errors
    /// [`Error::Parameters`] for an empty slice, [`Error::Memory`].
    pub fn copy_from(bytes: &[u8]) -> Result<Self, Error> {
        Self::zeroed_with(bytes.len(), |out| {
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    /// `len` zero bytes, handed to `fill` in place.
    ///
    /// # Errors
    /// [`Error::Parameters`] for a length of zero, [`Error::Memory`], and whatever `fill` returns.
    pub fn zeroed_with(len: usize, fill: impl FnOnce(&mut [u8]) -> Result<(), Error>) -> Result<Self, Error> {
        if len == 0 {
            return Err(Error::Parameters("a secret has at least one byte"));
        }
        let mut locked = Locked::zeroed(len).map_err(Error::Memory)?;
        fill(locked.as_bytes_mut())?;
        Ok(Self(locked))
    }

    /// The bytes, for the line that uses them.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The number of bytes, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a secret is never empty")]
    pub fn len(&self) -> usize {
        self.expose().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_copied_exposes_the_same_bytes() {
        let secret = Secret::copy_from(b"key bytes").unwrap();
        assert_eq!(secret.expose(), b"key bytes");
        assert_eq!(secret.len(), 9);
    }

    #[test]
    fn secret_random_differs_each_time() {
        let (one, other) = (Secret::random(32).unwrap(), Secret::random(32).unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_ne!(one.expose(), [0; 32]);
    }

    #[test]
    fn secret_empty_is_refused() {
        assert!(matches!(Secret::random(0), Err(Error::Parameters(_))));
        assert!(matches!(Secret::copy_from(&[]), Err(Error::Parameters(_))));
    }

    #[test]
    fn secret_fill_failed_passes_the_error_on() {
        assert!(matches!(Secret::zeroed_with(4, |_| Err(Error::Authentication)), Err(Error::Authentication)));
    }
}
