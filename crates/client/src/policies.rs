//! Policies.

use coffer_api::{
    Page,
    policy::{PolicyPut, PolicyText},
};

use crate::{Client, Error, Paging, call::Call, route::Route};

impl Client {
    /// One page of policy names.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn policy_list(&self, paging: &Paging) -> Result<Page<String>, Error> {
        self.reply(Call::get(Route::api("policies").paging(paging))).await
    }

    /// A policy's text.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn policy_read(&self, name: &str) -> Result<PolicyText, Error> {
        self.reply(Call::get(Route::api("policies").segment(name)?)).await
    }

    /// Writes a policy, new or over an old one.
    ///
    /// # Errors
    /// Code `invalid` where the text is no policy; [`Error`] as for every call.
    pub async fn policy_write(&self, name: &str, policy: &PolicyPut) -> Result<(), Error> {
        self.done(Call::put(Route::api("policies").segment(name)?, policy)?).await
    }

    /// Deletes a policy; tokens that name it lose what it granted.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn policy_delete(&self, name: &str) -> Result<(), Error> {
        self.done(Call::delete(Route::api("policies").segment(name)?)).await
    }
}
