//! OpenPGP keys that new shares and root tokens are encrypted to, so that nobody sees them on their way to their holders.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::pgp::Recipient;
use zeroize::Zeroizing;

use super::shares::to_hex;

/// Who gets what, in order.
pub(crate) struct Recipients(Vec<Recipient>);

impl Recipients {
    /// Reads public keys as clients send them: each in base64 of its binary form. `None` where there is none. Many
    /// keys, or hostile ones, take a while, so the runtime's threads do something else meanwhile.
    ///
    /// # Errors
    /// What is wrong with the first that is, in the words that clients know.
    pub(crate) async fn read(keys: Vec<String>, now_ms: i64) -> Result<Option<Self>, String> {
        if keys.is_empty() {
            return Ok(None);
        }
        let now = u64::try_from(now_ms / 1000).unwrap_or(0);
        let read = tokio::task::spawn_blocking(move || keys.iter().map(|key| read_one(key, now)).collect());
        let recipients: Result<Vec<Recipient>, String> =
            read.await.unwrap_or_else(|_| Err("error reading given PGP keys".to_owned()));
        recipients.map(|recipients| Some(Self(recipients)))
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

fn read_one(key: &str, now: u64) -> Result<Recipient, String> {
    let bytes = STANDARD.decode(key).map_err(|_| "error decoding given PGP key: it is not base64".to_owned())?;
    Recipient::read(&bytes, now).map_err(|why| format!("error parsing given PGP key: {why}"))
}
