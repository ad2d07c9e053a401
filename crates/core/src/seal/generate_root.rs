//! A root token, made once enough shares were given, and told under a one-time pad that only its asker has.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use coffer_api::Sensitive;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    asker::{Asker, Ceremony},
    pgp::Recipients,
    rekey::{GIVEN_BEFORE, encrypted_to},
    root::Tried,
    shares::{Given, Share},
};
use crate::{
    Error,
    caller::Done,
    commit::Urgency,
    policy::Operation,
    token::{SERVICE_LENGTH, base62, create::Wanted},
};

/// Under which of its two names an attempt goes; there is one at a time for both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RootGeneration {
    /// `sys/generate-root`.
    GenerateRoot,
    /// `sys/generate-root-token`.
    GenerateRootToken,
}

/// What the token is told under.
pub enum RootOtp {
    /// Somebody's OpenPGP key, in base64, to which it is encrypted.
    Encrypted(String),
    /// The asker's own.
    Given(Sensitive<String>),
    /// One to be made and told now.
    Made,
}

/// How far it is.
pub struct RootProgress {
    /// How many shares are needed.
    pub required: u8,
    /// What is under way.
    pub round: Option<RootAttempt>,
}

/// What is under way, or has come to its end.
pub struct RootAttempt {
    /// Its name.
    pub nonce: Uuid,
    /// Shares given.
    pub progress: u8,
    /// Of the key that the token is encrypted to, where it is.
    pub pgp_fingerprint: Option<String>,
    /// The pad, where it was just made.
    pub otp: Option<Sensitive<String>>,
    /// The token under the pad, or the message that has it, in base64: this was the last share.
    pub encoded_token: Option<Sensitive<String>>,
}

/// An attempt under way.
pub(crate) struct Round {
    nonce: Uuid,
    told: Told,
    given: Given,
}

/// How its token will be told.
enum Told {
    Encrypted(Recipients),
    Padded(Zeroizing<String>),
}

impl Told {
    fn recipient(&self) -> Option<&Recipients> {
        match self {
            Self::Encrypted(recipient) => Some(recipient),
            Self::Padded(_) => None,
        }
    }
}

/// Bytes of a pad: as many as the token has.
pub(crate) const OTP_LENGTH: usize = SERVICE_LENGTH;

impl RootGeneration {
    fn attempt(self) -> &'static str {
        match self {
            Self::GenerateRoot => "sys/generate-root/attempt",
            Self::GenerateRootToken => "sys/generate-root-token/attempt",
        }
    }

    fn update(self) -> &'static str {
        match self {
            Self::GenerateRoot => "sys/generate-root/update",
            Self::GenerateRootToken => "sys/generate-root-token/update",
        }
    }
}

impl RootProgress {
    /// Bytes that a pad must have.
    pub const OTP_LENGTH: usize = OTP_LENGTH;
}

impl Asker<'_> {
    /// How far an attempt is.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read and sudo on the path; [`coffer_api::Code::Invalid`] under another seal.
    pub async fn root_status(&self, name: RootGeneration) -> Result<RootProgress, Error> {
        self.recorded(self.record("root_token.read", name.attempt()), async {
            self.authorise(name.attempt(), Operation::Read, Ceremony::RootToken)?;
            let round = self.active.ceremonies.root_token.lock().await;
            Ok(Done::Unlogged(self.root_progress(round.as_ref()).await?))
        })
        .await
    }

    /// Begins an attempt.
    ///
    /// # Errors
    /// As [`Asker::root_status`], for update; [`coffer_api::Code::Invalid`] for a pad of another length, for a key that nothing
    /// may be encrypted to, and where an attempt is under way.
    pub async fn root_start(&self, name: RootGeneration, otp: RootOtp) -> Result<RootProgress, Error> {
        self.recorded(self.record("root_token.start", name.attempt()), async {
            self.authorise(name.attempt(), Operation::Update, Ceremony::RootToken)?;
            let (told, pad) = match otp {
                RootOtp::Encrypted(key) => {
                    let refuse = |why| Error::invalid(format!("error parsing PGP key: {why}"));
                    let recipient = Recipients::read(vec![key], self.active.clock.now()).await.map_err(refuse)?;
                    let recipient = recipient.ok_or_else(|| Error::internal("one key was read as none"))?;
                    (Told::Encrypted(recipient), None)
                }
                RootOtp::Given(otp) if otp.expose().len() == OTP_LENGTH => {
                    (Told::Padded(Zeroizing::new(otp.expose().clone())), None)
                }
                RootOtp::Given(_) => return Err(Error::invalid("OTP string has incorrect length")),
                RootOtp::Made => {
                    let otp = base62(OTP_LENGTH)?;
                    let pad = Sensitive::new(otp.to_string());
                    (Told::Padded(otp), Some(pad))
                }
            };
            let mut held = self.active.ceremonies.root_token.lock().await;
            if held.is_some() {
                return Err(Error::invalid("root generation already in progress for this namespace"));
            }
            *held = Some(Round { nonce: Uuid::new_v4(), told, given: Given::default() });
            let mut progress = self.root_progress(held.as_ref()).await?;
            if let Some(round) = &mut progress.round {
                round.otp = pad;
            }
            Ok(Done::Unlogged(progress))
        })
        .await
    }

    /// Ends an attempt. Where there is none, nothing happens.
    ///
    /// # Errors
    /// As [`Asker::root_status`], for delete.
    pub async fn root_cancel(&self, name: RootGeneration) -> Result<(), Error> {
        self.recorded(self.record("root_token.cancel", name.attempt()), async {
            self.authorise(name.attempt(), Operation::Delete, Ceremony::RootToken)?;
            self.active.ceremonies.root_token.lock().await.take();
            Ok(Done::Unlogged(()))
        })
        .await
    }

    /// Takes one share; with the last one needed comes the token.
    ///
    /// # Errors
    /// As [`Asker::root_status`], for update; [`coffer_api::Code::Invalid`] where no attempt or another one is under way, for a
    /// share that was given before, and where the shares are wrong: then all are to be given anew.
    pub async fn root_share(&self, name: RootGeneration, nonce: &str, share: Share) -> Result<RootProgress, Error> {
        self.recorded(self.record("root_token.share", name.update()), async {
            self.authorise(name.update(), Operation::Update, Ceremony::RootToken)?;
            let mut held = self.active.ceremonies.root_token.lock().await;
            let Some(round) = held.as_mut() else { return Err(Error::invalid("no root generation in progress")) };
            if round.nonce.to_string() != nonce {
                return Err(Error::invalid(format!(
                    "incorrect nonce supplied; nonce for this root generation operation is \"{}\"",
                    round.nonce
                )));
            }
            let row = self.root_row().await?;
            let required = row.split()?.threshold();
            match row.give(&mut round.given, share)? {
                Tried::Again => return Err(Error::invalid(GIVEN_BEFORE)),
                Tried::More => return Ok(Done::Unlogged(self.root_progress(Some(round)).await?)),
                Tried::Enough(opened) => opened.map(drop)?,
            }
            let made = self.active.make_token(Wanted::root(), None).await?;
            let encoded = match &round.told {
                Told::Encrypted(recipient) => Sensitive::new(recipient.seal_token(made.grant.token.expose())?),
                Told::Padded(otp) => padded(made.grant.token.expose(), otp)?,
            };
            let record = self.record("token.create_root", name.update()).fact("made", made.grant.accessor.clone());
            let record = encrypted_to(record, "encrypted_to", round.told.recipient());
            let logged = self.active.commit(made.edit, record, Urgency::Ordinary).await?;
            let attempt = RootAttempt { progress: required, encoded_token: Some(encoded), ..round.attempt() };
            held.take();
            Ok(Done::Logged(RootProgress { required, round: Some(attempt) }, logged))
        })
        .await
    }

    async fn root_progress(&self, round: Option<&Round>) -> Result<RootProgress, Error> {
        let required = self.root_row().await?.split()?.threshold();
        Ok(RootProgress { required, round: round.map(Round::attempt) })
    }
}

impl Round {
    fn attempt(&self) -> RootAttempt {
        let fingerprint = self.told.recipient().and_then(|recipient| recipient.fingerprints().pop());
        RootAttempt {
            nonce: self.nonce,
            progress: self.given.progress(),
            pgp_fingerprint: fingerprint,
            otp: None,
            encoded_token: None,
        }
    }
}

/// The token under the pad.
fn padded(token: &str, otp: &str) -> Result<Sensitive<String>, Error> {
    if token.len() != otp.len() {
        return Err(Error::internal("a root token is not as long as its pad"));
    }
    let bytes = token.bytes().zip(otp.bytes()).map(|(token, otp)| token ^ otp);
    Ok(Sensitive::new(STANDARD_NO_PAD.encode(Zeroizing::new(bytes.collect::<Vec<u8>>()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_comes_back_from_under_its_pad() {
        let encoded = padded("hvs.abcdefghijklmnopqrstuvwx", "0123456789012345678901234567").unwrap();
        let bytes = STANDARD_NO_PAD.decode(encoded.expose()).unwrap();
        let token: Vec<u8> = bytes.iter().zip(b"0123456789012345678901234567").map(|(a, b)| a ^ b).collect();
        assert_eq!(token, b"hvs.abcdefghijklmnopqrstuvwx");
        assert!(padded("short", "longer").is_err());
    }
}
