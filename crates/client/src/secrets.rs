//! Secrets of a scope.

use coffer_api::{
    Name, Page, Scope,
    secrets::{
        Effective, HistoryEvent, NamedSecretSet, PatchReply, Rollback, Secret, SecretInfo, SecretSet, SecretsPatch,
        Version, Versions,
    },
};

use crate::{Client, Error, Paging, call::Call, route::Route};

/// How far below a scope a list goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// The scope alone.
    Flat,
    /// The scope and everything below it.
    Recursive,
}

impl Client {
    /// One page of what lies in a scope, without values.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_list(&self, scope: &Scope, depth: Depth, paging: &Paging) -> Result<Page<SecretInfo>, Error> {
        let recursive = match depth {
            Depth::Flat => None,
            Depth::Recursive => Some("true"),
        };
        self.reply(Call::get(listing(scope)?.query("recursive", recursive).paging(paging))).await
    }

    /// Every value in force at a scope: its own over its parents'.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_effective(&self, scope: &Scope) -> Result<Effective, Error> {
        self.reply(Call::get(listing(scope)?.query("view", Some("effective")))).await
    }

    /// The values that lie in a scope itself, without its parents'.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_own(&self, scope: &Scope) -> Result<Effective, Error> {
        self.reply(Call::get(listing(scope)?.query("view", Some("own")))).await
    }

    /// A secret's value: the current version, or the one named.
    ///
    /// # Errors
    /// Code `not_found` where it, or its value, is gone; [`Error`] as for every call.
    pub async fn secret_get(&self, scope: &Scope, name: &Name, version: Option<u64>) -> Result<Secret, Error> {
        let version = version.map(|version| version.to_string());
        self.reply(Call::get(secret(scope, name)?.query("version", version.as_deref()))).await
    }

    /// Writes a new version.
    ///
    /// # Errors
    /// Code `conflict` where `cas` does not hold; [`Error`] as for every call.
    pub async fn secret_set(&self, scope: &Scope, name: &Name, set: &SecretSet) -> Result<Version, Error> {
        self.reply(Call::put(secret(scope, name)?, set)?).await
    }

    /// As [`Self::secret_set`], the name in the body.
    ///
    /// # Errors
    /// As [`Self::secret_set`].
    pub async fn secret_create(&self, scope: &Scope, set: &NamedSecretSet) -> Result<Version, Error> {
        self.reply(Call::post(listing(scope)?, set)?).await
    }

    /// Sets several, each on its own; the reply says which succeeded. With `atomic`, all or none.
    ///
    /// # Errors
    /// [`Error`] as for every call; a failed item is no error of the call, unless with `atomic`.
    pub async fn secret_set_many(&self, scope: &Scope, patch: &SecretsPatch) -> Result<PatchReply, Error> {
        self.reply(Call::patch(listing(scope)?, patch)?).await
    }

    /// Deletes the current version; [`Self::secret_undelete`] brings it back.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_delete(&self, scope: &Scope, name: &Name) -> Result<(), Error> {
        self.done(Call::delete(secret(scope, name)?)).await
    }

    /// Brings deleted versions back.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_undelete(&self, scope: &Scope, name: &Name, versions: &Versions) -> Result<(), Error> {
        self.done(Call::post(secret(scope, name)?.fixed("/undelete"), versions)?).await
    }

    /// Destroys versions for good.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_destroy(&self, scope: &Scope, name: &Name, versions: &Versions) -> Result<(), Error> {
        self.done(Call::post(secret(scope, name)?.fixed("/destroy"), versions)?).await
    }

    /// One page of a secret's versions, oldest first, without values.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_versions(&self, scope: &Scope, name: &Name, paging: &Paging) -> Result<Page<Version>, Error> {
        self.reply(Call::get(secret(scope, name)?.fixed("/versions").paging(paging))).await
    }

    /// Writes an older version's value as the new current version.
    ///
    /// # Errors
    /// Code `conflict` where `cas` does not hold; [`Error`] as for every call.
    pub async fn secret_rollback(&self, scope: &Scope, name: &Name, rollback: &Rollback) -> Result<Version, Error> {
        self.reply(Call::post(secret(scope, name)?.fixed("/rollback"), rollback)?).await
    }

    /// One page of who did what with a secret.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_history(
        &self,
        scope: &Scope,
        name: &Name,
        paging: &Paging,
    ) -> Result<Page<HistoryEvent>, Error> {
        self.reply(Call::get(secret(scope, name)?.fixed("/history").paging(paging))).await
    }

    /// One page of secrets whose name contains the text, over all scopes the caller may list.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_search(&self, name: &str, paging: &Paging) -> Result<Page<SecretInfo>, Error> {
        self.reply(Call::get(Route::api("search").query("name", Some(name)).paging(paging))).await
    }
}

fn listing(scope: &Scope) -> Result<Route, Error> {
    Ok(Route::api("secrets").segment(&scope.to_string())?.fixed("/"))
}

fn secret(scope: &Scope, name: &Name) -> Result<Route, Error> {
    Route::api("secrets").segment(&scope.to_string())?.segment(name.as_str())
}
