//! New shares: the seal's key is replaced and split anew, and the root key wrapped under it, once enough of the present shares
//! were given. Where that is asked for, only after enough of the new ones were given back.

use coffer_crypto::Secret;
use coffer_storage::Expect;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{
    SealKind,
    asker::{Asker, Ceremony},
    backup::{KeptShares, ShareBackup},
    pgp::Recipients,
    retire::Untold,
    root::{self, Opened, RootRow, Tried, Wrapped},
    shares::{self, AskedSplit, Gave, Given, NewShares, Share, Split},
};
use crate::{
    Error,
    caller::Done,
    commit::{Edit, Logged, Urgency},
    keys,
    policy::Operation,
    record::Record,
};

/// Under which of its two names a rekey goes; there is one at a time for both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rekey {
    /// `sys/rekey`.
    Rekey,
    /// `sys/rotate/root`.
    RotateRoot,
}

/// Whether the new shares must be given back before they count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verification {
    /// The new shares count at once.
    Unneeded,
    /// The present shares count until then.
    Required,
}

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RekeyStart {
    /// The new shares.
    pub split: AskedSplit,
    /// Whether they are to be given back.
    pub verification: Verification,
    /// Whom they are encrypted to, one after the other: OpenPGP keys in base64. Where there is none, they are told.
    pub pgp_keys: Vec<String>,
    /// Whether they are kept, too; encrypted alone.
    pub backup: ShareBackup,
}

/// How far it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RekeyProgress {
    /// How many of the present shares are needed.
    pub required: u8,
    /// What is under way.
    pub round: Option<RekeyRound>,
}

/// What is under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RekeyRound {
    /// Its name.
    pub nonce: Uuid,
    /// The new split.
    pub split: Split,
    /// Present shares given.
    pub progress: u8,
    /// Whether the new shares are to be given back.
    pub verification: Verification,
    /// The name of that, once it is time.
    pub verification_nonce: Option<Uuid>,
    /// Of the keys that the new shares will be encrypted to, where they are.
    pub pgp_fingerprints: Option<Vec<String>>,
    /// Whether they will be kept, too.
    pub backup: ShareBackup,
}

/// What came of one more of the present shares.
pub enum RekeyEnd {
    /// The new shares.
    Made {
        /// Whose end this is.
        nonce: Uuid,
        /// To be told once.
        shares: NewShares,
        /// Where they must be given back, under which name.
        verification_nonce: Option<Uuid>,
        /// Whether they are kept, too.
        backup: ShareBackup,
    },
    /// More are needed.
    More(RekeyProgress),
}

/// How far the giving back is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerificationProgress {
    /// Its name, once it is time.
    pub nonce: Option<Uuid>,
    /// The new split.
    pub split: Split,
    /// New shares given back.
    pub progress: u8,
    /// All that are needed were: the new shares count now.
    pub complete: bool,
}

/// A rekey under way.
pub(crate) struct Round {
    nonce: Uuid,
    split: Split,
    verification: Verification,
    recipients: Option<Recipients>,
    backup: ShareBackup,
    given: Given,
    pending: Option<Pending>,
}

/// New shares that were told and do not count yet.
struct Pending {
    nonce: Uuid,
    key: Secret,
    given: Given,
}

impl Asker<'_> {
    /// How far a rekey is.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read and sudo on the path; [`coffer_api::Code::Invalid`] under another seal.
    pub async fn rekey_status(&self, name: Rekey) -> Result<RekeyProgress, Error> {
        let path = name.path("init");
        self.recorded(self.record("rekey.read", &path), async {
            self.authorise(&path, Operation::Read, Ceremony::Rekey)?;
            let round = self.active.ceremonies.rekey.lock().await;
            Ok(Done::Unlogged(self.progress(round.as_ref()).await?))
        })
        .await
    }

    /// Begins a rekey.
    ///
    /// # Errors
    /// As [`Asker::rekey_status`], for update; [`coffer_api::Code::Invalid`] where the split makes no sense or one is under
    /// way, for a key that nothing may be encrypted to, and for a backup without keys.
    pub async fn rekey_start(&self, name: Rekey, mut start: RekeyStart) -> Result<RekeyProgress, Error> {
        let path = name.path("init");
        let record = self.record("rekey.start", &path);
        let record =
            record.fact("shares", start.split.shares.to_string()).fact("threshold", start.split.threshold.to_string());
        self.recorded(record, async {
            self.authorise(&path, Operation::Update, Ceremony::Rekey)?;
            let refuse = |why: String| Error::invalid(format!("invalid {} seal configuration: {why}", name.verb()));
            let under_way = || Error::invalid(format!("{} already in progress", name.noun()));
            let keeps_nothing = start.backup == ShareBackup::Kept && start.pgp_keys.is_empty();
            match name {
                Rekey::Rekey if keeps_nothing => return Err(Error::invalid(NO_BACKUP)),
                Rekey::Rekey => {}
                // This one looks for another before all else, and passes over the wish.
                Rekey::RotateRoot if self.active.ceremonies.rekey.lock().await.is_some() => return Err(under_way()),
                Rekey::RotateRoot if keeps_nothing => start.backup = ShareBackup::Untouched,
                Rekey::RotateRoot => {}
            }
            if i64::try_from(start.pgp_keys.len()).is_ok_and(|len| len != 0 && len != start.split.shares) {
                return Err(Error::invalid(format!("incorrect number of PGP keys for {}", name.noun())));
            }
            let split = start.split.checked().map_err(|why| refuse(why.to_owned()))?;
            let recipients = Recipients::read(start.pgp_keys, self.active.clock.now()).await.map_err(refuse)?;
            let mut round = self.active.ceremonies.rekey.lock().await;
            if round.is_some() {
                return Err(under_way());
            }
            let verification = start.verification;
            *round = Some(Round {
                nonce: Uuid::new_v4(),
                split,
                verification,
                recipients,
                backup: start.backup,
                given: Given::default(),
                pending: None,
            });
            Ok(Done::Unlogged(self.progress(round.as_ref()).await?))
        })
        .await
    }

    /// Ends a rekey, whose new shares, if they were told, never count. Where there is none, nothing happens.
    ///
    /// # Errors
    /// As [`Asker::rekey_status`], for delete.
    pub async fn rekey_cancel(&self, name: Rekey) -> Result<(), Error> {
        let path = name.path("init");
        self.recorded(self.record("rekey.cancel", &path), async {
            self.authorise(&path, Operation::Delete, Ceremony::Rekey)?;
            self.active.ceremonies.rekey.lock().await.take();
            Ok(Done::Unlogged(()))
        })
        .await
    }

    /// Takes one of the present shares.
    ///
    /// # Errors
    /// As [`Asker::rekey_status`], for update; [`coffer_api::Code::Invalid`] where no rekey or another one is under way, for
    /// a share that was given before, and where the shares are wrong: then all are to be given anew.
    pub async fn rekey_share(&self, name: Rekey, nonce: &str, share: Share) -> Result<RekeyEnd, Error> {
        let path = name.path("update");
        self.recorded(self.record("rekey.share", &path), async {
            self.authorise(&path, Operation::Update, Ceremony::Rekey)?;
            let mut held = self.active.ceremonies.rekey.lock().await;
            let Some(round) = held.as_mut() else { return Err(Error::invalid(name.none())) };
            if let Some(pending) = &round.pending {
                return Err(Error::invalid(format!(
                    "{} operation already finished; verification must be performed; \
                     nonce for the verification operation is \"{}\"",
                    name.noun(),
                    pending.nonce
                )));
            }
            if round.nonce.to_string() != nonce {
                let of = name.of();
                return Err(Error::invalid(format!("incorrect nonce supplied; nonce for {of} is \"{}\"", round.nonce)));
            }
            let row = self.root_row().await?;
            let Opened { by, .. } = match row.give(&mut round.given, share)? {
                Tried::Again => return Err(Error::invalid(GIVEN_BEFORE)),
                Tried::More => return Ok(Done::Unlogged(RekeyEnd::More(self.progress(Some(round)).await?))),
                Tried::Enough(opened) => opened?,
            };
            let (key, shares) = round.split.make()?;
            let shares = shares.encrypted(round.recipients.as_ref())?;
            let (nonce, split, backup) = (round.nonce, round.split, round.backup);
            let kept = (backup == ShareBackup::Kept).then(|| KeptShares::of(nonce, &shares));
            match round.verification {
                Verification::Unneeded => {
                    // Whatever becomes of this request, somebody holds what opens the seal: the shares that it took stay
                    // good until the new ones are answered.
                    let change = |row: &mut RootRow, wrapped| row.supersede(by, wrapped);
                    let record =
                        encrypted_to(self.record("rekey.complete", &path), "encrypted_to", round.recipients.as_ref());
                    let (wrapped, logged) = self.rewrap(&key, split, record, kept, change).await?;
                    *self.active.ceremonies.untold.lock() = Some(Untold::new(self.request_id(), wrapped));
                    held.take();
                    Ok(Done::Logged(RekeyEnd::Made { nonce, shares, verification_nonce: None, backup }, logged))
                }
                Verification::Required => {
                    let pending = Pending { nonce: Uuid::new_v4(), key, given: Given::default() };
                    let verification_nonce = Some(pending.nonce);
                    let Some(kept) = kept else {
                        round.pending = Some(pending);
                        return Ok(Done::Unlogged(RekeyEnd::Made { nonce, shares, verification_nonce, backup }));
                    };
                    // They are not in force, and kept all the same: their nonce tells whose they are.
                    let mut edit = Edit::under(self.active.locks.lock(&[keys::SHARE_BACKUP]).await);
                    kept.put(&mut edit)?;
                    let record =
                        encrypted_to(self.record("rekey.backup", &path), "encrypted_to", round.recipients.as_ref());
                    let logged = self.active.commit(edit, record, Urgency::Ordinary).await?;
                    round.pending = Some(pending);
                    Ok(Done::Logged(RekeyEnd::Made { nonce, shares, verification_nonce, backup }, logged))
                }
            }
        })
        .await
    }

    /// How far the giving back of new shares is.
    ///
    /// # Errors
    /// As [`Asker::rekey_status`]; [`coffer_api::Code::Invalid`] where no rekey is under way.
    pub async fn rekey_verification(&self, name: Rekey) -> Result<VerificationProgress, Error> {
        let path = name.path("verify");
        self.recorded(self.record("rekey.read", &path), async {
            self.authorise(&path, Operation::Read, Ceremony::Rekey)?;
            let held = self.active.ceremonies.rekey.lock().await;
            let round = held.as_ref().ok_or_else(|| Error::invalid(name.no_configuration()))?;
            Ok(Done::Unlogged(round.verification_progress()))
        })
        .await
    }

    /// Forgets the new shares given back, which are all to be given anew.
    ///
    /// # Errors
    /// As [`Asker::rekey_verification`], for delete.
    pub async fn rekey_verification_restart(&self, name: Rekey) -> Result<VerificationProgress, Error> {
        let path = name.path("verify");
        self.recorded(self.record("rekey.verify_restart", &path), async {
            self.authorise(&path, Operation::Delete, Ceremony::Rekey)?;
            let mut held = self.active.ceremonies.rekey.lock().await;
            let round = held.as_mut().ok_or_else(|| Error::invalid(name.no_configuration()))?;
            if let Some(pending) = &mut round.pending {
                pending.restart();
            }
            Ok(Done::Unlogged(round.verification_progress()))
        })
        .await
    }

    /// Takes back one of the new shares.
    ///
    /// # Errors
    /// As [`Asker::rekey_share`], of the new shares.
    pub async fn rekey_verify(&self, name: Rekey, nonce: &str, share: Share) -> Result<VerificationProgress, Error> {
        let path = name.path("verify");
        self.recorded(self.record("rekey.verify", &path), async {
            self.authorise(&path, Operation::Update, Ceremony::Rekey)?;
            let mut held = self.active.ceremonies.rekey.lock().await;
            let Some(round) = held.as_mut() else { return Err(Error::invalid(name.none_to_verify())) };
            let split = round.split;
            let Some(pending) = &mut round.pending else {
                return Err(Error::invalid(format!("no {} verification in progress", name.noun())));
            };
            if pending.nonce.to_string() != nonce {
                return Err(Error::invalid(format!(
                    "incorrect nonce supplied; nonce for this verify operation is \"{}\"",
                    pending.nonce
                )));
            }
            let given = match pending.given.give(share, split.threshold()) {
                Gave::Again => return Err(Error::invalid(GIVEN_BEFORE)),
                Gave::More => return Ok(Done::Unlogged(round.verification_progress())),
                Gave::Enough(given) => given,
            };
            let combined = shares::combine(&given);
            if !combined.is_ok_and(|key| bool::from(key.expose().ct_eq(pending.key.expose()))) {
                pending.restart();
                let what = name.noun();
                return Err(Error::invalid(format!("{what} verification failed; incorrect key shares supplied")));
            }
            let nonce = Some(pending.nonce);
            // Both sets are in somebody's hands.
            let record = encrypted_to(self.record("rekey.complete", &path), "encrypted_to", round.recipients.as_ref());
            let (_, logged) = self.rewrap(&pending.key, split, record, None, RootRow::replace).await?;
            held.take();
            Ok(Done::Logged(VerificationProgress { nonce, split, progress: 0, complete: true }, logged))
        })
        .await
    }

    pub(crate) async fn root_row(&self) -> Result<RootRow, Error> {
        let row = root::read(self.active.store.as_ref()).await?;
        row.ok_or_else(|| Error::internal("the store lost its root row"))
    }

    async fn progress(&self, round: Option<&Round>) -> Result<RekeyProgress, Error> {
        let required = self.root_row().await?.split()?.threshold();
        let round = round.map(|round| RekeyRound {
            nonce: round.nonce,
            split: round.split,
            progress: round.given.progress(),
            verification: round.verification,
            verification_nonce: round.pending.as_ref().map(|pending| pending.nonce),
            pgp_fingerprints: round.recipients.as_ref().map(Recipients::fingerprints),
            backup: round.backup,
        });
        Ok(RekeyProgress { required, round })
    }

    /// Wraps the root key under the new key, for which `change` finds its place in the row.
    async fn rewrap(
        &self,
        key: &Secret,
        split: Split,
        record: Record,
        kept: Option<KeptShares>,
        change: impl FnOnce(&mut RootRow, Wrapped),
    ) -> Result<(Wrapped, Logged), Error> {
        let active = &self.active;
        let guard = active.locks.lock(&[keys::ROOT, keys::SHARE_BACKUP]).await;
        let found = root::read_with_revision(active.store.as_ref()).await?;
        let (mut row, revision) = found.ok_or_else(|| Error::internal("the store lost its root row"))?;
        let wrapped = Wrapped::new(SealKind::Shamir, key, Some(split), &active.root)?;
        change(&mut row, wrapped.clone());
        let mut edit = Edit::under(guard);
        edit.put_sealed(keys::ROOT, row.sealed()?, Some(Expect::Revision(revision)));
        if let Some(kept) = kept {
            kept.put(&mut edit)?;
        }
        edit.in_force(move |active| active.ceremonies.seen.lock().see(&row));
        let record = record.fact("shares", split.shares().to_string()).fact("threshold", split.threshold().to_string());
        Ok((wrapped, active.commit(edit, record, Urgency::Ordinary).await?))
    }
}

/// Says in a fact of this name to whose keys what was made is encrypted, where it is.
pub(crate) fn encrypted_to(record: Record, fact: &'static str, recipients: Option<&Recipients>) -> Record {
    match recipients {
        Some(recipients) => record.fact(fact, recipients.fingerprints().join(" ")),
        None => record,
    }
}

impl Round {
    fn verification_progress(&self) -> VerificationProgress {
        VerificationProgress {
            nonce: self.pending.as_ref().map(|pending| pending.nonce),
            split: self.split,
            progress: self.pending.as_ref().map_or(0, |pending| pending.given.progress()),
            complete: false,
        }
    }
}

impl Pending {
    fn restart(&mut self) {
        self.given.clear();
        self.nonce = Uuid::new_v4();
    }
}

/// The words that clients of either name know.
impl Rekey {
    fn path(self, last: &str) -> String {
        match self {
            Self::Rekey => format!("sys/rekey/{last}"),
            Self::RotateRoot => format!("sys/rotate/root/{last}"),
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Rekey => "rekey",
            Self::RotateRoot => "rotate",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Rekey => "rekey",
            Self::RotateRoot => "rotation",
        }
    }

    fn of(self) -> &'static str {
        match self {
            Self::Rekey => "this rekey operation",
            Self::RotateRoot => "rotation",
        }
    }

    fn none(self) -> &'static str {
        match self {
            Self::Rekey => "no barrier rekey in progress",
            Self::RotateRoot => "no rotation in progress",
        }
    }

    fn none_to_verify(self) -> &'static str {
        match self {
            Self::Rekey => "no rekey in progress",
            Self::RotateRoot => "no rotation in progress",
        }
    }

    fn no_configuration(self) -> &'static str {
        match self {
            Self::Rekey => "no rekey configuration found",
            Self::RotateRoot => "no rotation configuration found",
        }
    }
}

/// What a share that was given before is answered with.
const NO_BACKUP: &str = "cannot request a backup of the new keys without providing PGP keys for encryption";
pub(crate) const GIVEN_BEFORE: &str = "given key has already been provided during this generation operation";
