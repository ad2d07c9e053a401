//! Login: a user name and a password, or the initial token, for a token.

use coffer_api::{Sensitive, auth::UserpassLogin, token::TokenGrant};

use crate::{
    Client, Error,
    call::{Accept, Call, Credential},
    route::Route,
};

impl Client {
    /// Logs in with user name and password. The client's own token is not sent.
    ///
    /// # Errors
    /// Code `invalid_credentials` where they do not match; [`Error`] as for every call.
    pub async fn login_userpass(&self, login: &UserpassLogin) -> Result<TokenGrant, Error> {
        self.reply_to(Call::post(Route::api("login/userpass"), login)?, None, Accept::Success).await
    }

    /// Exchanges the initial token, which ends with it, for an administrator's token.
    ///
    /// # Errors
    /// Code `unauthenticated` where it is unknown, used or expired; [`Error`] as for every call.
    pub async fn login_initial(&self, token: &Sensitive<String>) -> Result<TokenGrant, Error> {
        let credential = Credential::new(token)?;
        self.reply_to(Call::post_empty(Route::api("login/initial")), Some(&credential), Accept::Success).await
    }
}
