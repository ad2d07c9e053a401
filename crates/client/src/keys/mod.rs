//! Keys that stay on the server: their life here, what they do in `operations`, what leaves and comes in `moving`.

mod moving;
mod operations;

use coffer_api::{
    Page,
    keys::{
        Key, KeyCompromise, KeyConfigure, KeyCreate, KeyDestroy, KeyRecover, KeyRollback, KeyRotate, KeySettings,
        KeyVersions,
    },
};

use crate::{Client, Error, Paging, call::Call, route::Route};

/// Which keys are listed; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Of this algorithm.
    pub algorithm: Option<String>,
    /// With a version in this state.
    pub state: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// With this in its name.
    pub name: Option<String>,
}

/// A change of a key that says nothing but which versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyVerb {
    /// Put versions that wait into use.
    Activate,
    /// Call a scheduled destruction off.
    CancelDestroy,
    /// End what versions may encrypt and sign.
    Deactivate,
    /// End a suspension.
    Resume,
    /// Stop versions for now.
    Suspend,
}

/// Whether anything is done with a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeySwitch {
    /// Nothing.
    Disable,
    /// What its versions allow.
    Enable,
}

impl Client {
    /// One page of keys by name. It may have fewer than asked for and go on all the same.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_list(&self, filter: &KeyFilter, paging: &Paging) -> Result<Page<Key>, Error> {
        self.reply(Call::get(filtered(Route::api("keys"), filter, paging))).await
    }

    /// The same of deleted keys, which can be recovered until they are destroyed.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_deleted_list(&self, filter: &KeyFilter, paging: &Paging) -> Result<Page<Key>, Error> {
        self.reply(Call::get(filtered(Route::api("deleted-keys"), filter, paging))).await
    }

    /// Makes a key.
    ///
    /// # Errors
    /// Code `conflict` where there is one of that name; [`Error`] as for every call.
    pub async fn key_create(&self, create: &KeyCreate) -> Result<Key, Error> {
        self.reply(Call::post(Route::api("keys"), create)?).await
    }

    /// A key with its versions.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_read(&self, name: &str) -> Result<Key, Error> {
        self.reply(Call::get(key(name)?)).await
    }

    /// Changes what can be changed at any time.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_configure(&self, name: &str, configure: &KeyConfigure) -> Result<Key, Error> {
        self.reply(Call::patch(key(name)?, configure)?).await
    }

    /// Deletes a key that may be deleted.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_delete(&self, name: &str) -> Result<Key, Error> {
        self.reply(Call::delete(key(name)?)).await
    }

    /// Makes a new version.
    ///
    /// # Errors
    /// Code `key_state` where the key is disabled; [`Error`] as for every call.
    pub async fn key_rotate(&self, name: &str, rotate: KeyRotate) -> Result<Key, Error> {
        self.reply(Call::post(key(name)?.fixed("/rotate"), &rotate)?).await
    }

    /// Makes an older version the primary one again.
    ///
    /// # Errors
    /// Code `key_state` where its state does not allow it; [`Error`] as for every call.
    pub async fn key_rollback(&self, name: &str, rollback: KeyRollback) -> Result<Key, Error> {
        self.reply(Call::post(key(name)?.fixed("/rollback"), &rollback)?).await
    }

    /// Takes versions one step.
    ///
    /// # Errors
    /// Code `key_state` where a version's state does not allow it; [`Error`] as for every call.
    pub async fn key_step(&self, name: &str, verb: KeyVerb, versions: &KeyVersions) -> Result<Key, Error> {
        let path = match verb {
            KeyVerb::Activate => "/activate",
            KeyVerb::CancelDestroy => "/cancel-destroy",
            KeyVerb::Deactivate => "/deactivate",
            KeyVerb::Resume => "/resume",
            KeyVerb::Suspend => "/suspend",
        };
        self.reply(Call::post(key(name)?.fixed(path), versions)?).await
    }

    /// Marks versions as known to somebody else.
    ///
    /// # Errors
    /// As [`Self::key_step`].
    pub async fn key_compromise(&self, name: &str, compromise: &KeyCompromise) -> Result<Key, Error> {
        self.reply(Call::post(key(name)?.fixed("/compromise"), compromise)?).await
    }

    /// Schedules the destruction of versions.
    ///
    /// # Errors
    /// As [`Self::key_step`].
    pub async fn key_destroy(&self, name: &str, destroy: &KeyDestroy) -> Result<Key, Error> {
        self.reply(Call::post(key(name)?.fixed("/destroy"), destroy)?).await
    }

    /// Switches a key on or off.
    ///
    /// # Errors
    /// Code `key_state` where it is so already; [`Error`] as for every call.
    pub async fn key_switch(&self, name: &str, switch: KeySwitch) -> Result<Key, Error> {
        let path = match switch {
            KeySwitch::Disable => "/disable",
            KeySwitch::Enable => "/enable",
        };
        self.reply(Call::post_empty(key(name)?.fixed(path))).await
    }

    /// Gives a deleted key its name back, or another.
    ///
    /// # Errors
    /// Code `conflict` where the name is another key's; [`Error`] as for every call.
    pub async fn key_recover(&self, id: &str, recover: &KeyRecover) -> Result<Key, Error> {
        self.reply(Call::post(Route::api("deleted-keys").segment(id)?.fixed("/recover"), recover)?).await
    }

    /// The key engine's settings.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_settings(&self) -> Result<KeySettings, Error> {
        self.reply(Call::get(Route::api("key-settings"))).await
    }

    /// Sets them.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_settings_write(&self, settings: &KeySettings) -> Result<KeySettings, Error> {
        self.reply(Call::put(Route::api("key-settings"), settings)?).await
    }
}

pub use moving::PublicFormat;

fn key(name: &str) -> Result<Route, Error> {
    Route::api("keys").segment(name)
}

fn filtered(route: Route, filter: &KeyFilter, paging: &Paging) -> Route {
    let route = route.query("algorithm", filter.algorithm.as_deref()).query("state", filter.state.as_deref());
    route.query("tag", filter.tag.as_deref()).query("name", filter.name.as_deref()).paging(paging)
}
