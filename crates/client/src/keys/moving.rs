//! Keys that leave and come: public parts, exports, wrapping, imports, backups, certificates.

use coffer_api::keys::{
    Key, KeyAgree, KeyBackup, KeyCertificate, KeyCsr, KeyCsrMade, KeyExport, KeyExported, KeyImportBegin, KeyImportKey,
    KeyImportVersion, KeyPublic, KeyRestore, KeyWrap, KeyWrapped, KeyWrappingKey,
};

use super::key;
use crate::{Client, Error, call::Call, route::Route};

/// How a public key is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublicFormat {
    /// JSON Web Key.
    Jwk,
    /// SubjectPublicKeyInfo in PEM.
    Pem,
}

impl Client {
    /// A version's public key; without a number that of the primary one, or else the highest.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_public(&self, name: &str, version: Option<u32>, format: PublicFormat) -> Result<KeyPublic, Error> {
        let version = version.map(|version| version.to_string());
        let format = match format {
            PublicFormat::Jwk => "jwk",
            PublicFormat::Pem => "pem",
        };
        let route = key(name)?.fixed("/public").query("version", version.as_deref()).query("format", Some(format));
        self.reply(Call::get(route)).await
    }

    /// Takes parts of a key out.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_export(&self, name: &str, wanted: &KeyExport) -> Result<KeyExported, Error> {
        self.reply(Call::post(key(name)?.fixed("/export"), wanted)?).await
    }

    /// Wraps another key under this one.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_wrap(&self, wrapping: &str, wanted: &KeyWrap) -> Result<KeyWrapped, Error> {
        self.reply(Call::post(key(wrapping)?.fixed("/wrap"), wanted)?).await
    }

    /// Makes a key of this one and somebody else's public one.
    ///
    /// # Errors
    /// Code `conflict` where there is one of that name; [`Error`] as for every call.
    pub async fn key_agree(&self, name: &str, wanted: &KeyAgree) -> Result<Key, Error> {
        self.reply(Call::post(key(name)?.fixed("/agree"), wanted)?).await
    }

    /// A key with all that is known of it, in the clear.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_backup(&self, name: &str) -> Result<KeyBackup, Error> {
        self.reply(Call::post_empty(key(name)?.fixed("/backup"))).await
    }

    /// Brings a backup back.
    ///
    /// # Errors
    /// Code `conflict` where there is a key of that name; [`Error`] as for every call.
    pub async fn key_restore(&self, restore: &KeyRestore) -> Result<Key, Error> {
        self.reply(Call::post(Route::api("key-restore"), restore)?).await
    }

    /// Makes a one-time import key.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_import_begin(&self, begin: &KeyImportBegin) -> Result<KeyImportKey, Error> {
        self.reply(Call::post(Route::api("key-imports"), begin)?).await
    }

    /// Imports a version of a key, or the private part of one.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_import_version(&self, name: &str, import: &KeyImportVersion) -> Result<Key, Error> {
        self.reply(Call::post(key(name)?.fixed("/import-version"), import)?).await
    }

    /// The store's wrapping key, for imports.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_wrapping_key(&self) -> Result<KeyWrappingKey, Error> {
        self.reply(Call::get(Route::api("key-wrapping-key"))).await
    }

    /// A certificate signing request.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_csr(&self, name: &str, wanted: &KeyCsr) -> Result<KeyCsrMade, Error> {
        self.reply(Call::post(key(name)?.fixed("/csr"), wanted)?).await
    }

    /// Puts a chain of certificates on a version.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn key_set_certificate(&self, name: &str, certificate: &KeyCertificate) -> Result<Key, Error> {
        self.reply(Call::put(key(name)?.fixed("/certificate"), certificate)?).await
    }
}
