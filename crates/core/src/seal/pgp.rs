//! OpenPGP keys that new shares and root tokens are encrypted to, so that nobody sees them on their way to their holders.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::pgp::Recipient;
use zeroize::Zeroizing;

use super::shares::to_hex;

/// Who gets what, in order.
pub(crate) struct Recipients(Vec<Recipient>);

impl Recipients {
    /// Reads public keys as clients send them: each in base64 of its binary form. `None` where there is none.
    ///
    /// # Errors
    /// What is wrong with the first that is, in the words that clients know.
    pub(crate) fn read(keys: &[String], now_ms: i64) -> Result<Option<Self>, String> {
        let now = u64::try_from(now_ms / 1000).unwrap_or(0);
        let read = |key: &String| {
            let bytes =
                STANDARD.decode(key).map_err(|_| "error decoding given PGP key: it is not base64".to_owned())?;
            Recipient::read(&bytes, now).map_err(|why| format!("error parsing given PGP key: {why}"))
        };
        let recipients = keys.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok((!recipients.is_empty()).then_some(Self(recipients)))
    }

    /// As [`Recipients::read`], of as many keys as there are shares.
    pub(crate) fn of_shares(keys: &[String], shares: u8, now_ms: i64, mismatch: &str) -> Result<Option<Self>, String> {
        // None is read of more than there can be.
        match keys.len() {
            0 => Ok(None),
            len if len == usize::from(shares) => Self::read(keys, now_ms),
            _ => Err(mismatch.to_owned()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// By which people know their keys.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(|recipient| to_hex(&recipient.fingerprint())).collect()
    }

    /// Each of these, in hexadecimal, to its own recipient.
    pub(crate) fn seal_hex<'a>(
        &self,
        secrets: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<Vec<u8>>, coffer_crypto::Error> {
        let pairs = self.0.iter().zip(secrets);
        pairs.map(|(recipient, secret)| recipient.seal(Zeroizing::new(to_hex(secret)).as_bytes())).collect()
    }

    /// A token to the first one, in base64.
    pub(crate) fn seal_token(&self, token: &str) -> Result<String, coffer_crypto::Error> {
        let recipient = self.0.first().ok_or(coffer_crypto::Error::Parameters("a token has one recipient"))?;
        recipient.seal(token.as_bytes()).map(|sealed| STANDARD.encode(sealed))
    }
}
