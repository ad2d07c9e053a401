//! The seal: initialisation, unseal, new shares, root tokens. These speak below `/v1/sys`, as other clients of it do.

use coffer_api::seal::{
    SealInitialised, SealProgress, SealRekey, SealRootToken, SealRootTokenStart, SealShare, SealSplit,
};

use crate::{
    Client, Error,
    call::{Accept, Call},
    route::Route,
};

impl Client {
    /// Initialises an empty store under shares. No token is sent.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_init(&self, split: &SealSplit) -> Result<SealInitialised, Error> {
        self.reply_to(Call::put(Route::root("/v1/sys/init"), split)?, None, Accept::Success).await
    }

    /// Gives a share to the unseal, or forgets those given. No token is sent.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_unseal(&self, share: &SealShare) -> Result<SealProgress, Error> {
        self.reply_to(Call::put(Route::root("/v1/sys/unseal"), share)?, None, Accept::Success).await
    }

    /// How far a rekey is.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_rekey(&self) -> Result<SealRekey, Error> {
        self.reply(Call::get(Route::root(REKEY))).await
    }

    /// Begins a rekey.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_rekey_start(&self, split: &SealSplit) -> Result<SealRekey, Error> {
        self.reply(Call::put(Route::root(REKEY), split)?).await
    }

    /// Ends a rekey.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_rekey_cancel(&self) -> Result<(), Error> {
        self.done(Call::delete(Route::root(REKEY))).await
    }

    /// Gives one of the present shares to a rekey.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_rekey_share(&self, share: &SealShare) -> Result<SealRekey, Error> {
        self.reply(Call::put(Route::root("/v1/sys/rekey/update"), share)?).await
    }

    /// Gives back one of the new shares.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_rekey_verify(&self, share: &SealShare) -> Result<SealRekey, Error> {
        self.reply(Call::put(Route::root("/v1/sys/rekey/verify"), share)?).await
    }

    /// How far an attempt at a root token is.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_root_token(&self) -> Result<SealRootToken, Error> {
        self.reply(Call::get(Route::root(ROOT))).await
    }

    /// Begins an attempt at a root token.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_root_token_start(&self, start: &SealRootTokenStart) -> Result<SealRootToken, Error> {
        self.reply(Call::put(Route::root(ROOT), start)?).await
    }

    /// Ends an attempt at a root token.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_root_token_cancel(&self) -> Result<(), Error> {
        self.done(Call::delete(Route::root(ROOT))).await
    }

    /// Gives a share for a root token.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn seal_root_token_share(&self, share: &SealShare) -> Result<SealRootToken, Error> {
        self.reply(Call::put(Route::root("/v1/sys/generate-root/update"), share)?).await
    }
}

const REKEY: &str = "/v1/sys/rekey/init";
const ROOT: &str = "/v1/sys/generate-root/attempt";
