//! Health, status and the operator's commands. Those marked local answer on the server's unix socket alone.

use coffer_api::{
    Page,
    operator::{Health, InitialToken, KeyInfo, Retire, Retired, Rotate, SealMigrate, SealMigrated, Status},
};

use crate::{
    Client, Error, Paging,
    call::{Accept, Call},
    route::Route,
};

impl Client {
    /// Whether the process serves HTTP. No token is sent.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn health(&self) -> Result<Health, Error> {
        self.reply_to(Call::get(Route::root("/healthz")), None, Accept::Success).await
    }

    /// What the node does, sealed and standing by included. No token is sent.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn status(&self) -> Result<Status, Error> {
        self.reply_to(Call::get(Route::root("/readyz")), None, Accept::SuccessOrUnavailable).await
    }

    /// Seals the node: with a token, or local.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn operator_seal(&self) -> Result<(), Error> {
        self.done(Call::post_empty(Route::api("operator/seal"))).await
    }

    /// Unseals the node. Local.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn operator_unseal(&self) -> Result<(), Error> {
        self.done(Call::post_empty(Route::api("operator/unseal"))).await
    }

    /// Leads the store to another seal. Local.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn operator_seal_migrate(&self, migrate: &SealMigrate) -> Result<SealMigrated, Error> {
        self.reply(Call::post(Route::api("operator/seal-migrate"), migrate)?).await
    }

    /// Replaces a key by a new one.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn operator_rotate(&self, rotate: Rotate) -> Result<(), Error> {
        self.done(Call::post(Route::api("operator/rotate"), &rotate)?).await
    }

    /// The numbers of the keys of tokens, batch tokens and audit hashes.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn operator_keys(&self, paging: &Paging) -> Result<Page<KeyInfo>, Error> {
        self.reply(Call::get(Route::api("operator/keys").paging(paging))).await
    }

    /// Removes all numbers of a key but the current one, and so ends what they made.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn operator_retire(&self, retire: Retire) -> Result<Retired, Error> {
        self.reply(Call::post(Route::api("operator/keys/retire"), &retire)?).await
    }

    /// Has the server write a fresh initial token and tells where. Local.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn operator_initial_token(&self) -> Result<InitialToken, Error> {
        self.reply(Call::post_empty(Route::api("operator/initial-token"))).await
    }

    /// Accepts the machine's clock as it stands. Local.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn operator_clock_accept(&self) -> Result<(), Error> {
        self.done(Call::post_empty(Route::api("operator/clock-accept"))).await
    }
}
