//! Keys under keys: AES-256 key wrap with padding (RFC 5649, SP 800-38F), under a key that the wrapping key gives.

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};
use zeroize::Zeroizing;

use crate::{Error, kdf};

pub(super) const KEK_LEN: usize = 32;
/// A key that wraps: wiped, since it lives for one call.
pub(super) type Kek = Zeroizing<[u8; KEK_LEN]>;

/// A wrapping key of its own, apart from whatever else is derived from the same bytes: contexts of users are derived
/// without a salt.
pub(super) fn derive(ikm: &[u8], algorithm: &str) -> Result<Kek, Error> {
    let mut kek = Zeroizing::new([0; KEK_LEN]);
    kdf::fill(ikm, b"coffer key-wrap 1", &[algorithm.as_bytes()], kek.as_mut_slice())?;
    Ok(kek)
}

pub(super) fn wrap(kek: &Kek, key: &[u8]) -> Result<Vec<u8>, Error> {
    const WRONG: Error = Error::Parameters("a key to be wrapped has 1 to 65536 bytes");
    if key.is_empty() || key.len() > MAX_LEN {
        return Err(WRONG);
    }
    let mut out = vec![0; key.len() + 15];
    let cipher = AesKek::new(&AES_256, kek.as_slice()).map_err(|_| WRONG)?;
    let len = cipher.wrap_with_padding(key, &mut out).map_err(|_| WRONG)?.len();
    out.truncate(len);
    Ok(out)
}

pub(super) fn unwrap(kek: &Kek, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    if wrapped.len() > MAX_LEN + 15 {
        return Err(Error::Authentication);
    }
    let mut out = Zeroizing::new(vec![0; wrapped.len()]);
    let cipher = AesKek::new(&AES_256, kek.as_slice()).map_err(|_| Error::Authentication)?;
    let len = cipher.unwrap_with_padding(wrapped, &mut out).map_err(|_| Error::Authentication)?.len();
    out.truncate(len);
    Ok(out)
}

const MAX_LEN: usize = 1 << 16;
