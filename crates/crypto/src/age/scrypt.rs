//! scrypt (RFC 7914), for passphrases alone.

use super::Error;

/// A key of a passphrase, with 2^`work` rounds in so many KiB of memory.
pub(super) fn stretch(passphrase: &[u8], salt: &[u8], work: u8, key: &mut [u8; 32]) -> Result<(), Error> {
    let refused = || Error::Format("a passphrase's work");
    let params = scrypt::Params::new(work, BLOCK, PARALLEL).map_err(|_| refused())?;
    scrypt::scrypt(passphrase, salt, &params, key).map_err(|_| refused())
}

const BLOCK: u32 = 8;
const PARALLEL: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrypt_is_repeatable_and_depends_on_all_it_is_given() {
        let key = |passphrase: &[u8], salt: &[u8], work| {
            let mut key = [0; 32];
            stretch(passphrase, salt, work, &mut key).unwrap();
            key
        };
        let one = key(b"passphrase", b"salt", 4);
        assert_eq!(one, key(b"passphrase", b"salt", 4));
        assert!(
            ![key(b"passphrasf", b"salt", 4), key(b"passphrase", b"salu", 4), key(b"passphrase", b"salt", 5)]
                .contains(&one)
        );
    }
}
