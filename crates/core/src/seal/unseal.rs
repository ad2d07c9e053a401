//! The unseal with shares, one request each, open to whoever reaches the listener.

use coffer_api::operator::{ShareStatus, Status};

use super::{
    SealKind,
    root::{self, Opened, Root, RootRow, Tried, Wrapped},
    shares::{self, Given, Share, Split},
};
use crate::{
    Context, Core, Error, StartError,
    caller::{anonymous, log_refusal},
    record::Record,
};

/// Shares given so far, what they opened, and what the root row says of the seal.
#[derive(Default)]
pub(crate) struct Unsealing {
    given: Given,
    /// From the last share to the seal: a standby needs it when it takes over.
    opened: Option<Opened>,
    split: Option<Split>,
    migrating: bool,
}

impl Core {
    /// Takes one share. The last one needed unseals the node, or leaves it sealed with nothing given.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where the store is not initialised, the seal takes no shares or the shares are not its own;
    /// [`coffer_api::Code::Unavailable`] where the node does not become active or stand by.
    pub async fn unseal(&self, cx: Context, share: Share) -> Result<Status, Error> {
        self.takes_shares(&cx).await?;
        let turn = self.unsealing.lock().await;
        if !self.is_sealed() {
            let record =
                Record::of_request("system.unseal", String::new(), anonymous(), &cx).fact("already", "unsealed");
            if let Ok(active) = self.active()
                && active.refusals.is_single()
            {
                active.log_read(&record).await?;
            }
            return Ok(self.status());
        }
        let Some(row) = root::read(self.store.as_ref()).await? else {
            return Err(self.refuse_seal("system.unseal", &cx, Error::invalid("Vault is not initialized")).await);
        };
        self.see_seal(&row);
        let split = row.split().map_err(|error| Error::invalid(error.to_string()))?;
        let tried = row.give(&mut self.opened.lock().given, share)?;
        let opened = match tried {
            Tried::Again => return Ok(self.status()),
            Tried::More => {
                let progress = format!("{}/{}", self.opened.lock().given.progress(), split.threshold());
                self.note("system.unseal", &cx, None, Some(progress)).await?;
                return Ok(self.status());
            }
            Tried::Enough(opened) => opened.map_err(shares::at_unseal),
        };
        let progress = format!("{0}/{0}", split.threshold());
        self.note("system.unseal", &cx, opened.as_ref().err().map(Error::code), Some(progress)).await?;
        self.opened.lock().opened = Some(opened?);
        self.unseal_now().await?;
        drop(turn);
        Ok(self.status())
    }

    /// Forgets the shares given to the unseal.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where the node is unsealed, or its seal takes no shares.
    pub async fn unseal_reset(&self, cx: Context) -> Result<Status, Error> {
        self.takes_shares(&cx).await?;
        let _turn = self.unsealing.lock().await;
        if !self.is_sealed() {
            return Err(self.refuse_seal("system.unseal_reset", &cx, Error::invalid("vault is unsealed")).await);
        }
        let forgot = {
            let given = &mut self.opened.lock().given;
            let forgot = given.progress();
            given.clear();
            forgot
        };
        if forgot > 0 {
            self.note("system.unseal_reset", &cx, None, Some(format!("{forgot} forgotten"))).await?;
        }
        Ok(self.status())
    }

    /// Records a request to initialise or unseal that does not parse, and gives the error to answer.
    pub async fn refuse_at_seal(&self, cx: &Context, error: Error) -> Error {
        self.refuse_seal("request.refused", cx, error).await
    }

    /// Records what anybody asked of the seal and does not get, and gives the error to answer.
    pub(crate) async fn refuse_seal(&self, class: &'static str, cx: &Context, error: Error) -> Error {
        match self.active() {
            Ok(active) => {
                let record = Record::of_request(class, String::new(), anonymous(), cx);
                log_refusal(&active, record, error).await
            }
            Err(_) => match self.note(class, cx, Some(error.code()), None).await {
                Ok(()) => error,
                Err(unlogged) => unlogged,
            },
        }
    }

    async fn takes_shares(&self, cx: &Context) -> Result<(), Error> {
        match self.config.seal {
            SealKind::File => {
                let why = "this server's seal is a key file: run `coffer operator unseal --local` on its machine";
                Err(self.refuse_seal("system.unseal", cx, Error::invalid(why)).await)
            }
            SealKind::Shamir => Ok(()),
        }
    }
}

impl Unsealing {
    /// Notes what the root row says.
    pub(crate) fn see(&mut self, row: &RootRow) {
        self.split = row.split().ok();
        self.migrating = row.next.is_some();
    }

    /// Every key and share leaves memory.
    pub(crate) fn forget(&mut self) {
        self.given.clear();
        self.opened = None;
    }

    /// The root key that shares have opened.
    pub(crate) fn root(&self, row: &RootRow) -> Result<Root, StartError> {
        row.check(SealKind::Shamir)?;
        let root = self.opened.as_ref().map(|opened| opened.root.clone());
        root.filter(|root| root.cluster_id == row.cluster_id)
            .ok_or_else(|| StartError::Seal("no shares were given for this store".to_owned()))
    }

    /// The wrap that shares have opened.
    pub(crate) fn by(&self) -> Option<Wrapped> {
        self.opened.as_ref().map(|opened| opened.by.clone())
    }

    /// Whether the store is on its way to another seal.
    pub(crate) fn is_migrating(&self) -> bool {
        self.migrating
    }

    /// What anybody may know.
    pub(crate) fn shares(&self) -> ShareStatus {
        ShareStatus {
            given: self.given.progress(),
            nonce: self.given.nonce().map(|nonce| nonce.to_string()),
            shares: self.split.map_or(0, Split::shares),
            threshold: self.split.map_or(0, Split::threshold),
        }
    }
}

/// A row that cannot be read is no reason to give a stranger its cause.
impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Core(error) => error,
            StartError::Store(error) => error.into(),
            StartError::Seal(why) => Self::invalid(why),
            error @ (StartError::Data { .. }
            | StartError::DataMode { .. }
            | StartError::DataOwner { .. }
            | StartError::HalfRestored { .. }
            | StartError::Log(_)
            | StartError::SealFile(_)) => Self::internal(error),
        }
    }
}
