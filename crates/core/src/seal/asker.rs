//! Who gives shares to an unsealed server, for a rekey or a new root token: a caller with sudo, the server's own user over
//! the unix socket, or anybody where a setting with `insecure` in its name says so.

use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::{SealKind, generate_root, rekey, retire, unseal::Unsealing};
use crate::{
    Caller, Context, Core, Error, ShareGivers,
    active::Active,
    caller::{Done, anonymous, log_refusal, refuse},
    node::is_own,
    policy::Operation,
    record::{Actor, Record},
};

/// Somebody who may ask for what shares are given for.
pub struct Asker<'a> {
    pub(crate) active: Arc<Active>,
    who: Who<'a>,
}

/// What shares are given for, but for the unseal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ceremony {
    /// New shares.
    Rekey,
    /// A root token.
    RootToken,
}

/// What is under way on an active node, and ends with its keys.
pub(crate) struct Ceremonies {
    pub(crate) kind: SealKind,
    pub(crate) seen: Arc<Mutex<Unsealing>>,
    pub(crate) rekey: tokio::sync::Mutex<Option<rekey::Round>>,
    pub(crate) root_token: tokio::sync::Mutex<Option<generate_root::Round>>,
    /// New shares whose answer may not have left yet.
    pub(crate) untold: Mutex<Option<retire::Untold>>,
}

enum Who<'a> {
    Anybody(Context),
    Known(&'a Caller),
    Local(Context),
    Token(Box<Caller>),
}

impl Core {
    /// Lets a request to `sys/rekey` or `sys/generate-root` in. A token counts for more than where it comes from.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where the seal is a key file; [`coffer_api::Code::Unauthenticated`] for a token that is
    /// none, and without one unless it is local or the settings allow it; what keeps this node from answering.
    pub async fn asker(&self, cx: Context, token: Option<&str>, ceremony: Ceremony) -> Result<Asker<'static>, Error> {
        let active = self.active()?;
        if let Err(error) = active.ceremonies.check(ceremony) {
            let record = Record::of_request("request.refused", String::new(), anonymous(), &cx);
            return Err(log_refusal(&active, record, error).await);
        }
        let who = match (token, self.config.share_givers) {
            (Some(_), ShareGivers::Anybody | ShareGivers::Known) => {
                let caller = Caller::authenticate(Arc::clone(&active), cx, token).await?;
                Who::Token(Box::new(caller))
            }
            (None, ShareGivers::Anybody | ShareGivers::Known) if is_own(&cx) => Who::Local(cx),
            (None, ShareGivers::Anybody) => Who::Anybody(cx),
            (None, ShareGivers::Known) => return Err(refuse(&active, &cx).await),
        };
        active.may_read()?;
        Ok(Asker { active, who })
    }
}

impl<'a> Asker<'a> {
    /// A caller with a token.
    pub fn of(caller: &'a Caller) -> Self {
        Self { active: Arc::clone(&caller.active), who: Who::Known(caller) }
    }

    /// Records a request that did not become an operation, and gives the error to answer.
    pub async fn refuse(&self, operation: Operation, path: &str, error: Error) -> Error {
        match self.caller() {
            Some(caller) => caller.refuse(operation, path, error).await,
            None => self.failed(self.record("request.refused", path), error).await,
        }
    }

    /// As [`Caller::answered`].
    pub fn answered(&self) {
        self.active.answered(self.request_id());
    }

    /// As [`Caller::finish`], of a caller that was let in here.
    pub async fn finish(self) {
        match self.who {
            Who::Anybody(_) | Who::Known(_) | Who::Local(_) => {}
            Who::Token(caller) => caller.finish().await,
        }
    }

    /// Asks the policies, where there is a token, and whether the seal takes shares.
    pub(crate) fn authorise(&self, path: &str, operation: Operation, ceremony: Ceremony) -> Result<(), Error> {
        if let Some(caller) = self.caller() {
            caller.authorise(path, operation, &())?;
        }
        self.active.ceremonies.check(ceremony)
    }

    /// The request's name.
    pub(crate) fn request_id(&self) -> Uuid {
        match &self.who {
            Who::Anybody(cx) | Who::Local(cx) => cx.request_id,
            Who::Known(caller) => caller.context().request_id,
            Who::Token(caller) => caller.context().request_id,
        }
    }

    /// A record of this request.
    pub(crate) fn record(&self, class: &'static str, path: &str) -> Record {
        match &self.who {
            Who::Anybody(cx) => Record::of_request(class, path.to_owned(), anonymous(), cx),
            Who::Local(cx) => {
                Record::of_request(class, path.to_owned(), Actor { kind: "local", ..Actor::default() }, cx)
            }
            Who::Known(caller) => caller.record(class, path),
            Who::Token(caller) => caller.record(class, path),
        }
    }

    /// As [`Caller::recorded`].
    pub(crate) async fn recorded<T>(
        &self,
        record: Record,
        work: impl Future<Output = Result<Done<T>, Error>>,
    ) -> Result<T, Error> {
        if let Some(caller) = self.caller() {
            return caller.recorded(record, work).await;
        }
        match work.await {
            Ok(done) => self.active.done(&record, done).await,
            Err(error) => Err(self.failed(record, error).await),
        }
    }

    async fn failed(&self, mut record: Record, error: Error) -> Error {
        match &self.who {
            Who::Anybody(_) => log_refusal(&self.active, record, error).await,
            Who::Local(_) => {
                record.fail(&error);
                match self.active.log_read(&record).await {
                    Ok(()) => error,
                    Err(unlogged) => unlogged,
                }
            }
            Who::Known(caller) => caller.failed(record, error).await,
            Who::Token(caller) => caller.failed(record, error).await,
        }
    }

    fn caller(&self) -> Option<&Caller> {
        match &self.who {
            Who::Anybody(_) | Who::Local(_) => None,
            Who::Known(caller) => Some(caller),
            Who::Token(caller) => Some(caller),
        }
    }
}

impl Active {
    /// The answer to a request is complete. Where it tells new shares, those before them end now: in the background, so
    /// that a client that goes away in between finds one of the two sets good.
    pub(crate) fn answered(self: &Arc<Self>, request: Uuid) {
        let told = self.ceremonies.untold.lock().as_mut().is_some_and(|untold| untold.tell(request));
        if !told {
            return;
        }
        // A node that is sealed waits for it, as it holds on to the keys.
        let active = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = retire::retire(&active).await {
                tracing::warn!(cause = ?error, "the shares before the rekey still open the seal; it is tried again");
            }
        });
    }
}

impl Ceremonies {
    pub(crate) fn new(kind: SealKind, seen: Arc<Mutex<Unsealing>>) -> Self {
        let (rekey, root_token) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        Self { kind, seen, rekey, root_token, untold: Mutex::default() }
    }

    /// Whether shares can be given at all.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] with the command that does it on the server's machine.
    fn check(&self, ceremony: Ceremony) -> Result<(), Error> {
        match (self.kind, ceremony) {
            (SealKind::Shamir, Ceremony::Rekey | Ceremony::RootToken) => Ok(()),
            (SealKind::File, Ceremony::Rekey) => Err(Error::invalid(
                "this server's seal is a key file, which has no shares: `coffer operator seal-migrate` leads to shares",
            )),
            (SealKind::File, Ceremony::RootToken) => Err(Error::invalid(
                "this server's seal is a key file, which has no shares: \
                 run `coffer operator initial-token --local` on its machine",
            )),
        }
    }
}
