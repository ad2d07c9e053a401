//! Shares of a seal key: how many, how they are written, and those that were given so far.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::Sensitive;
use coffer_crypto::{
    Secret,
    shamir::{self, Shares, Threshold},
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::pgp::Recipients;
use crate::Error;

/// A split as somebody asks for it, whatever the numbers are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AskedSplit {
    /// How many shares.
    pub shares: i64,
    /// How many of them give the key.
    pub threshold: i64,
}

/// How a seal key is split; stored beside its wrap.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Split {
    shares: u8,
    threshold: u8,
}

/// One share, as its holder sends it.
pub struct Share(Secret);

/// A new split's shares on their way to their holders: encrypted to their keys, or nowhere else.
pub struct NewShares(Told);

enum Told {
    Clear(Vec<Secret>),
    Encrypted { shares: Vec<Vec<u8>>, fingerprints: Vec<String> },
}

/// Shares given so far, one at a time: at most as many as the threshold, all different.
#[derive(Default)]
pub(crate) struct Given {
    nonce: Uuid,
    shares: Vec<Secret>,
}

/// What came of giving one more share.
pub(crate) enum Gave {
    /// It had been given before.
    Again,
    /// All shares that are needed; none is kept.
    Enough(Vec<Secret>),
    /// More are needed.
    More,
}

impl AskedSplit {
    /// The split, if there can be such a one.
    ///
    /// # Errors
    /// What is wrong with the numbers, in the words that clients know.
    pub fn checked(self) -> Result<Split, &'static str> {
        let Self { shares, threshold } = self;
        match (u8::try_from(shares), u8::try_from(threshold)) {
            _ if shares < 1 => Err("shares must be at least one"),
            _ if threshold < 1 => Err("threshold must be at least one"),
            _ if shares > 1 && threshold == 1 => Err("threshold must be greater than one for multiple shares"),
            (Err(_), _) => Err("shares must be less than 256"),
            (_, Err(_)) => Err("threshold must be less than 256"),
            _ if threshold > shares => Err("threshold cannot be larger than shares"),
            (Ok(shares), Ok(threshold)) => Ok(Split { shares, threshold }),
        }
    }
}

impl Split {
    /// How many shares there are.
    pub fn shares(self) -> u8 {
        self.shares
    }

    /// How many of them open the seal.
    pub fn threshold(self) -> u8 {
        self.threshold
    }

    /// A new key and its shares.
    pub(crate) fn make(self) -> Result<(Secret, NewShares), Error> {
        let key = Secret::random(KEY_BYTES)?;
        let shares = shamir::split(&key, Shares(self.shares), Threshold(self.threshold))?;
        Ok((key, NewShares(Told::Clear(shares))))
    }
}

impl Share {
    /// Reads a share: hexadecimal where that gives a share's length, else base64.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where it is neither, or not as long as shares are.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let bytes = match from_hex(text).filter(|bytes| LENGTHS.contains(&bytes.len())) {
            Some(bytes) => bytes,
            None => STANDARD.decode(text).map(Zeroizing::new).map_err(|_| Error::invalid(NOT_A_SHARE))?,
        };
        match bytes.len() {
            0 => Err(Error::invalid(NOT_A_SHARE)),
            length if length < *LENGTHS.start() => {
                Err(Error::invalid("invalid key: key is shorter than minimum 16 bytes"))
            }
            length if length > *LENGTHS.end() => {
                Err(Error::invalid("invalid key: key is longer than maximum 33 bytes"))
            }
            _ => Ok(Self(Secret::copy_from(&bytes)?)),
        }
    }

    /// These shares, each once; as many as there can be at most.
    pub(crate) fn distinct(shares: Vec<Self>) -> Vec<Secret> {
        let mut given = Given::default();
        for share in shares {
            if let Gave::Enough(all) = given.give(share, u8::MAX) {
                return all;
            }
        }
        given.shares
    }
}

impl NewShares {
    /// In hexadecimal: of an encrypted share, the message that has it, in hexadecimal, as its text.
    pub fn hex(&self) -> Vec<Sensitive<String>> {
        self.bytes().map(|share| Sensitive::new(to_hex(share))).collect()
    }

    /// In base64, the same.
    pub fn base64(&self) -> Vec<Sensitive<String>> {
        self.bytes().map(|share| Sensitive::new(STANDARD.encode(share))).collect()
    }

    /// Of the keys that they are encrypted to, where they are.
    pub fn fingerprints(&self) -> Option<&[String]> {
        match &self.0 {
            Told::Clear(_) => None,
            Told::Encrypted { fingerprints, .. } => Some(fingerprints),
        }
    }

    /// Encrypts each share to a recipient of its own, where there are any.
    pub(crate) fn encrypted(self, recipients: Option<&Recipients>) -> Result<Self, Error> {
        let Some(recipients) = recipients else { return Ok(self) };
        if recipients.len() != self.bytes().count() {
            return Err(Error::internal("there are more shares than recipients, or fewer"));
        }
        let shares = recipients.seal_hex(self.bytes())?;
        Ok(Self(Told::Encrypted { shares, fingerprints: recipients.fingerprints() }))
    }

    /// Those that are encrypted, each with its holder's fingerprint.
    pub(crate) fn sealed(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fingerprints().unwrap_or_default().iter().map(String::as_str).zip(self.bytes())
    }

    fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        let (clear, encrypted) = match &self.0 {
            Told::Clear(shares) => (shares.as_slice(), &[][..]),
            Told::Encrypted { shares, .. } => (&[][..], shares.as_slice()),
        };
        clear.iter().map(Secret::expose).chain(encrypted.iter().map(Vec::as_slice))
    }
}

impl Given {
    /// Names this round; nil where nothing was given yet.
    pub(crate) fn nonce(&self) -> Option<Uuid> {
        (!self.shares.is_empty()).then_some(self.nonce)
    }

    /// How many were given.
    pub(crate) fn progress(&self) -> u8 {
        u8::try_from(self.shares.len()).unwrap_or(u8::MAX)
    }

    /// Takes one more share.
    pub(crate) fn give(&mut self, share: Share, threshold: u8) -> Gave {
        // The time it takes says how many were given, and nothing of what is in them.
        let again =
            self.shares.iter().fold(0, |again, given| again | given.expose().ct_eq(share.0.expose()).unwrap_u8());
        if again == 1 {
            return Gave::Again;
        }
        if self.shares.is_empty() {
            self.nonce = Uuid::new_v4();
        }
        self.shares.push(share.0);
        match self.progress() >= threshold {
            true => Gave::Enough(std::mem::take(&mut self.shares)),
            false => Gave::More,
        }
    }

    /// Those that were given.
    pub(crate) fn held(&self) -> &[Secret] {
        &self.shares
    }

    /// Forgets them.
    pub(crate) fn clear(&mut self) {
        self.shares.clear();
    }
}

/// The key that these shares give.
///
/// # Errors
/// [`coffer_api::Code::Invalid`] where they do not go together. Where they do and are not the right ones, only the wrap
/// tells.
pub(crate) fn combine(shares: &[Secret]) -> Result<Secret, Error> {
    let key = shamir::combine(shares).map_err(|error| match error {
        coffer_crypto::Error::Parameters(why) => {
            let refused = Error::invalid(format!("invalid key: failed to compute combined key: {why}"));
            let vault = |why: &str| format!("invalid key: failed to compute combined key: {why}");
            let x = |share: &Secret| share.expose().last().copied();
            let mut seen = std::collections::BTreeSet::new();
            if shares.windows(2).any(|pair| matches!(pair, [one, other] if one.len() != other.len())) {
                refused.in_vault(vault("all parts must be the same length"))
            } else if !shares.iter().all(|share| seen.insert(x(share))) {
                refused.in_vault(vault("duplicate part detected"))
            } else {
                Error::invalid(WRONG_SHARES)
            }
        }
        error => error.into(),
    })?;
    match key.len() {
        KEY_BYTES => Ok(key),
        16 | 24 => Err(Error::invalid(WRONG_SHARES)),
        len => Err(Error::invalid(WRONG_SHARES)
            .in_vault(format!("invalid key: failed to setup unseal key: crypto/aes: invalid key size {len}"))),
    }
}

/// The error of shares that were given to an unseal: those that go together and open nothing have Vault's words for that.
pub(crate) fn at_unseal(error: Error) -> Error {
    if error.vault_words() != WRONG_SHARES {
        return error;
    }
    error.in_vault(
        "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: message \
         authentication failed",
    )
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !text.len().is_multiple_of(2) || text.len() > 2 * *LENGTHS.end() {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in text.as_bytes().chunks_exact(2) {
        let &[high, low] = pair else { return None };
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    Some(bytes)
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    // As long as it will be, so that no shorter copy is left behind.
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend([byte >> 4, byte & 15].iter().filter_map(|digit| char::from_digit(u32::from(*digit), 16)));
    }
    text
}

/// What shares that are none of this seal's, or too few, are answered with.
pub(crate) const WRONG_SHARES: &str = "invalid key: these shares do not open the seal; at least one is not of its present set, and all are to be given anew";
const NOT_A_SHARE: &str = "'key' must be a valid hex or base64 string";
const KEY_BYTES: usize = 32;
/// Bytes of what can be a share.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=33;

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Share::parse(text).err().map(|error| error.public().to_owned()).unwrap_or_default()
    }

    #[test]
    fn split_is_refused_in_the_words_that_clients_know() {
        let why = |shares, threshold| AskedSplit { shares, threshold }.checked().err().unwrap_or_default();
        for (shares, threshold, said) in [
            (0, 0, "shares must be at least one"),
            (-1, 2, "shares must be at least one"),
            (3, 0, "threshold must be at least one"),
            (3, i64::MIN, "threshold must be at least one"),
            (2, 1, "threshold must be greater than one for multiple shares"),
            (256, 2, "shares must be less than 256"),
            (i64::MAX, i64::MAX, "shares must be less than 256"),
            (3, 256, "threshold must be less than 256"),
            (1, 2, "threshold cannot be larger than shares"),
            (1, 1, ""),
            (255, 255, ""),
            (5, 3, ""),
        ] {
            assert_eq!(why(shares, threshold), said, "{shares} {threshold}");
        }
    }

    #[test]
    fn share_is_read_as_hexadecimal_then_as_base64() {
        let (_, shares) = AskedSplit { shares: 3, threshold: 2 }.checked().unwrap().make().unwrap();
        for (hex, base64) in shares.hex().iter().zip(shares.base64()) {
            let (one, other) = (Share::parse(hex.expose()).unwrap(), Share::parse(base64.expose()).unwrap());
            assert_eq!(one.0.expose(), other.0.expose());
            assert_eq!((hex.expose().len(), base64.expose().len()), (66, 44));
            assert!(Share::parse(&format!(" {}\n", hex.expose().to_uppercase())).is_ok());
        }
        for bad in ["", "zz", "00", "aa", "é", "eHh4eHh4\u{0}", &"a".repeat(65)] {
            assert_eq!(refused(bad), NOT_A_SHARE, "{bad}");
        }
        // Neither is hexadecimal of the right length, and both are base64.
        assert!(refused(&"a".repeat(132)).contains("longer than maximum 33 bytes"));
        assert!(refused("AAAA").contains("shorter than minimum 16 bytes"));
        assert!(refused(&"A".repeat(1 << 16)).contains("longer"));
    }

    #[test]
    fn given_shares_are_counted_once_and_none_is_kept_at_the_end() {
        let share = |byte: u8| Share(Secret::copy_from(&[byte; 33]).unwrap());
        let mut given = Given::default();
        assert_eq!((given.progress(), given.nonce()), (0, None));
        assert!(matches!(given.give(share(1), 3), Gave::More));
        let nonce = given.nonce();
        assert!(matches!(given.give(share(1), 3), Gave::Again));
        assert!(matches!(given.give(share(2), 3), Gave::More));
        assert_eq!((given.progress(), given.nonce()), (2, nonce));
        assert!(matches!(given.give(share(3), 3), Gave::Enough(all) if all.len() == 3));
        assert_eq!((given.progress(), given.nonce()), (0, None));
        given.give(share(1), 3);
        assert_ne!(given.nonce(), nonce);
        given.clear();
        assert_eq!(given.progress(), 0);
    }
}
