//! Tokens.

use coffer_api::{
    Page,
    token::{TokenCreate, TokenGrant, TokenInfo, TokenRef, TokenRenew},
};

use crate::{Client, Error, Paging, call::Call, route::Route};

impl Client {
    /// Creates a token below the caller's.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn token_create(&self, create: &TokenCreate) -> Result<TokenGrant, Error> {
        self.reply(Call::post(Route::api("tokens"), create)?).await
    }

    /// One page of accessors.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn token_list(&self, paging: &Paging) -> Result<Page<String>, Error> {
        self.reply(Call::get(Route::api("tokens").paging(paging))).await
    }

    /// What is known of the caller's own token.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn token_lookup_self(&self) -> Result<TokenInfo, Error> {
        self.reply(Call::get(Route::api("tokens/self"))).await
    }

    /// What is known of a token.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn token_lookup(&self, token: &TokenRef) -> Result<TokenInfo, Error> {
        self.reply(Call::post(Route::api("tokens/lookup"), token)?).await
    }

    /// Renews a token.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn token_renew(&self, renew: &TokenRenew) -> Result<TokenGrant, Error> {
        self.reply(Call::post(Route::api("tokens/renew"), renew)?).await
    }

    /// Revokes a token and every token below it.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn token_revoke(&self, token: &TokenRef) -> Result<(), Error> {
        self.done(Call::post(Route::api("tokens/revoke"), token)?).await
    }

    /// Revokes the caller's own token and every token below it.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn token_revoke_self(&self) -> Result<(), Error> {
        self.done(Call::delete(Route::api("tokens/self"))).await
    }
}
