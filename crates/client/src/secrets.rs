//! Secrets of a scope.

use coffer_api::{
    Name, Page, Scope,
    copies::{CopyReply, SecretCopy},
    generate::{Generated, SecretGenerate, SecretRotate},
    secrets::{
        DueSecret, Effective, HistoryEvent, Identified, MetadataPatch, NamedSecretSet, PatchReply, Rollback, Secret,
        SecretInfo, SecretMetadata, SecretSet, SecretsPatch, ValueSearchSet, ValuesIdentify, Version, Versions,
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

    /// As [`Self::secret_effective`], with other secrets' values in the place of references; with `only`, these names
    /// alone.
    ///
    /// # Errors
    /// Code `unresolved` where a reference leads nowhere; [`Error`] as for every call.
    pub async fn secret_effective_resolved(&self, scope: &Scope, only: Option<&[Name]>) -> Result<Effective, Error> {
        let route = listing(scope)?.query("view", Some("effective")).query("resolve", Some("true"));
        self.reply(Call::get(route.query("only", only.map(joined).as_deref()))).await
    }

    /// As [`Self::secret_effective`]; with `only`, these names alone.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_effective_of(&self, scope: &Scope, only: Option<&[Name]>) -> Result<Effective, Error> {
        let route = listing(scope)?.query("view", Some("effective"));
        self.reply(Call::get(route.query("only", only.map(joined).as_deref()))).await
    }

    /// As [`Self::secret_get`], with other secrets' values in the place of references.
    ///
    /// # Errors
    /// Code `unresolved` where a reference leads nowhere, `denied` where to what may not be read; [`Error`] as for every
    /// call.
    pub async fn secret_get_resolved(&self, scope: &Scope, name: &Name, version: Option<u64>) -> Result<Secret, Error> {
        let version = version.map(|version| version.to_string());
        let route = secret(scope, name)?.query("version", version.as_deref()).query("resolve", Some("true"));
        self.reply(Call::get(route)).await
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

    /// Writes a new version whose value the server makes.
    ///
    /// # Errors
    /// As [`Self::secret_set`].
    pub async fn secret_generate(&self, scope: &Scope, name: &Name, set: &SecretGenerate) -> Result<Generated, Error> {
        self.reply(Call::put(secret(scope, name)?, set)?).await
    }

    /// Copies or moves secrets from one scope to another, all of them or none.
    ///
    /// # Errors
    /// Code `conflict` where one lies there already and may not be overwritten; [`Error`] as for every call.
    pub async fn secret_copy(&self, copy: &SecretCopy) -> Result<CopyReply, Error> {
        self.reply(Call::post(Route::api("secret-copies"), copy)?).await
    }

    /// Makes a new value by a secret's own recipe, or another.
    ///
    /// # Errors
    /// Code `conflict` where it has none and none is given; [`Error`] as for every call.
    pub async fn secret_rotate(&self, scope: &Scope, name: &Name, rotate: &SecretRotate) -> Result<Generated, Error> {
        self.reply(Call::post(secret(scope, name)?.fixed("/rotate"), rotate)?).await
    }

    /// What is kept of a secret beside its versions.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_metadata(&self, scope: &Scope, name: &Name) -> Result<SecretMetadata, Error> {
        self.reply(Call::get(secret(scope, name)?.fixed("/metadata"))).await
    }

    /// Changes when a secret is to be replaced, who looks after it and what it is for.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_metadata_patch(&self, scope: &Scope, name: &Name, patch: &MetadataPatch) -> Result<(), Error> {
        self.done(Call::patch(secret(scope, name)?.fixed("/metadata"), patch)?).await
    }

    /// One page of secrets that are to be replaced within so many seconds, or were to be.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_due(&self, within: u64, paging: &Paging) -> Result<Page<DueSecret>, Error> {
        let within = within.to_string();
        self.reply(Call::get(Route::api("due").query("within", Some(&within)).paging(paging))).await
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

    /// Which secrets that the caller may read hold each of the values, by their current versions.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn secret_identify(&self, values: &ValuesIdentify) -> Result<Identified, Error> {
        self.reply(Call::post(Route::api("search/values"), values)?).await
    }

    /// Switches the search by value on or off.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn value_search_set(&self, set: ValueSearchSet) -> Result<(), Error> {
        self.done(Call::put(Route::api("search/values"), &set)?).await
    }
}

fn listing(scope: &Scope) -> Result<Route, Error> {
    Ok(Route::api("secrets").segment(&scope.to_string())?.fixed("/"))
}

fn joined(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(",")
}

fn secret(scope: &Scope, name: &Name) -> Result<Route, Error> {
    Route::api("secrets").segment(&scope.to_string())?.segment(name.as_str())
}
