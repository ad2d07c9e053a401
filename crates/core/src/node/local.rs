//! What only the server's own user may do, over the unix socket.

use coffer_api::Code;

use super::{Core, Wanted};
use crate::{
    Context, Error, housekeeping,
    initial::{self, Recovered},
    seal::{SealKind, root},
};

impl Core {
    /// Unseals with the key file. Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local, the seal takes shares, or the node does not become active or stand by.
    pub async fn local_unseal(&self, cx: Context) -> Result<(), Error> {
        self.check_local(&cx).await?;
        match self.config.seal {
            SealKind::File => {}
            SealKind::Shamir => {
                return Err(Error::invalid("this server's seal takes shares: give them with `coffer operator unseal`"));
            }
        }
        let opened = match root::read(self.store.as_ref()).await {
            Ok(Some(row)) => root::unwrap(&row, &self.seal).map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let failed = opened.as_ref().err().map(|_| Code::Invalid);
        self.note("system.unseal", &cx, failed, None).await?;
        if let Err(error) = opened {
            return Err(Error::invalid(format!("the store cannot be unsealed: {error}")));
        }
        self.reach(Wanted::Unsealed).await
    }

    /// Seals the node: every key leaves memory. Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local or the record cannot be logged.
    pub async fn local_seal(&self, cx: Context) -> Result<(), Error> {
        self.check_local(&cx).await?;
        if let Ok(active) = self.active() {
            active.log_local("system.seal", &cx, None).await?;
        }
        self.seal_now().await
    }

    /// Writes a fresh initial token beside the seal key, and puts the policy `administrator` back to its built-in text.
    /// Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local, or this node is not active.
    pub async fn local_initial_token(&self, cx: Context) -> Result<Recovered, Error> {
        self.check_local(&cx).await?;
        let active = self.active()?;
        initial::recover(&active, &self.config, &cx).await
    }

    /// Accepts the wall clock as it is. Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local or the record cannot be logged.
    pub async fn local_clock_accept(&self, cx: Context) -> Result<(), Error> {
        self.check_local(&cx).await?;
        let active = self.active()?;
        active.log_local("system.clock_accept", &cx, None).await?;
        active.clock.accept();
        housekeeping::persist_clock(&active).await
    }

    /// Lets in who comes over the unix socket as the server's own user, and records anybody else.
    ///
    /// # Errors
    /// [`Code::Denied`] for anybody else.
    pub async fn check_local(&self, cx: &Context) -> Result<(), Error> {
        if is_own(cx) {
            return Ok(());
        }
        self.note("system.local", cx, Some(Code::Denied), None).await?;
        Err(Error::new(Code::Denied, "only over the unix socket and as the server's own user"))
    }
}

/// Whether a request came over the unix socket from the server's own user.
pub(crate) fn is_own(cx: &Context) -> bool {
    cx.local_uid == Some(rustix::process::geteuid().as_raw())
}
