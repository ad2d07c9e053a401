//! What keys do: one item a call, or a list of them with a result each.

use coffer_api::keys::{
    Hash, HashMade, KeyBatch, KeyDataKey, KeyDataKeyMade, KeyDecapsulate, KeyDecapsulated, KeyDecryptItem,
    KeyDecrypted, KeyEncapsulate, KeyEncapsulated, KeyEncryptItem, KeyEncrypted, KeyItems, KeyMacItem, KeyMacMade,
    KeyMacOptions, KeyResult, KeyResults, KeyRewrapItem, KeySignItem, KeySignOptions, KeySigned, KeyVerified,
    KeyVerifyItem, KeyVerifyMacItem, KeyVerifyMacOptions, KeyVerifyOptions, NoOptions, Random, RandomMade,
};
use serde::{Serialize, de::DeserializeOwned};

use super::key;
use crate::{Client, Error, call::Call, route::Route};

impl Client {
    /// Encrypts.
    ///
    /// # Errors
    /// Code `key_state` where the key's state does not allow it; [`Error`] as for every call.
    pub async fn key_encrypt(&self, name: &str, item: KeyEncryptItem) -> Result<KeyEncrypted, Error> {
        self.one(name, "/encrypt", item, NoOptions {}).await
    }

    /// The same of many items, each with a result of its own.
    ///
    /// # Errors
    /// [`Error`] as for every call; a failed item is none.
    pub async fn key_encrypt_many(
        &self,
        name: &str,
        items: Vec<KeyEncryptItem>,
    ) -> Result<Vec<KeyResult<KeyEncrypted>>, Error> {
        self.many(name, "/encrypt", items, NoOptions {}).await
    }

    /// Opens a ciphertext.
    ///
    /// # Errors
    /// Code `key_state` where the key's state does not allow it; [`Error`] as for every call.
    pub async fn key_decrypt(&self, name: &str, item: KeyDecryptItem) -> Result<KeyDecrypted, Error> {
        self.one(name, "/decrypt", item, NoOptions {}).await
    }

    /// The same of many items, each with a result of its own.
    ///
    /// # Errors
    /// [`Error`] as for every call; a failed item is none.
    pub async fn key_decrypt_many(
        &self,
        name: &str,
        items: Vec<KeyDecryptItem>,
    ) -> Result<Vec<KeyResult<KeyDecrypted>>, Error> {
        self.many(name, "/decrypt", items, NoOptions {}).await
    }

    /// Makes a ciphertext anew, without showing what is in it.
    ///
    /// # Errors
    /// Code `key_state` where the key's state does not allow it; [`Error`] as for every call.
    pub async fn key_rewrap(&self, name: &str, item: KeyRewrapItem) -> Result<KeyEncrypted, Error> {
        self.one(name, "/rewrap", item, NoOptions {}).await
    }

    /// The same of many items, each with a result of its own.
    ///
    /// # Errors
    /// [`Error`] as for every call; a failed item is none.
    pub async fn key_rewrap_many(
        &self,
        name: &str,
        items: Vec<KeyRewrapItem>,
    ) -> Result<Vec<KeyResult<KeyEncrypted>>, Error> {
        self.many(name, "/rewrap", items, NoOptions {}).await
    }

    /// Signs.
    ///
    /// # Errors
    /// Code `key_state` where the key's state does not allow it; [`Error`] as for every call.
    pub async fn key_sign(&self, name: &str, item: KeySignItem, options: &KeySignOptions) -> Result<KeySigned, Error> {
        self.one(name, "/sign", item, options.clone()).await
    }

    /// The same of many items, each with a result of its own.
    ///
    /// # Errors
    /// [`Error`] as for every call; a failed item is none.
    pub async fn key_sign_many(
        &self,
        name: &str,
        items: Vec<KeySignItem>,
        options: &KeySignOptions,
    ) -> Result<Vec<KeyResult<KeySigned>>, Error> {
        self.many(name, "/sign", items, options.clone()).await
    }

    /// Checks a signature; one that does not hold is no error.
    ///
    /// # Errors
    /// Code `key_state` where the key's state does not allow it; [`Error`] as for every call.
    pub async fn key_verify(
        &self,
        name: &str,
        item: KeyVerifyItem,
        options: &KeyVerifyOptions,
    ) -> Result<KeyVerified, Error> {
        self.one(name, "/verify", item, options.clone()).await
    }

    /// The same of many items, each with a result of its own.
    ///
    /// # Errors
    /// [`Error`] as for every call; a failed item is none.
    pub async fn key_verify_many(
        &self,
        name: &str,
        items: Vec<KeyVerifyItem>,
        options: &KeyVerifyOptions,
    ) -> Result<Vec<KeyResult<KeyVerified>>, Error> {
        self.many(name, "/verify", items, options.clone()).await
    }

    /// Authenticates.
    ///
    /// # Errors
    /// Code `key_state` where the key's state does not allow it; [`Error`] as for every call.
    pub async fn key_mac(&self, name: &str, item: KeyMacItem, options: &KeyMacOptions) -> Result<KeyMacMade, Error> {
        self.one(name, "/mac", item, options.clone()).await
    }

    /// The same of many items, each with a result of its own.
    ///
    /// # Errors
    /// [`Error`] as for every call; a failed item is none.
    pub async fn key_mac_many(
        &self,
        name: &str,
        items: Vec<KeyMacItem>,
        options: &KeyMacOptions,
    ) -> Result<Vec<KeyResult<KeyMacMade>>, Error> {
        self.many(name, "/mac", items, options.clone()).await
    }

    /// Checks a MAC; one that does not hold is no error.
    ///
    /// # Errors
    /// Code `key_state` where the key's state does not allow it; [`Error`] as for every call.
    pub async fn key_verify_mac(
        &self,
        name: &str,
        item: KeyVerifyMacItem,
        options: &KeyVerifyMacOptions,
    ) -> Result<KeyVerified, Error> {
        self.one(name, "/verify-mac", item, options.clone()).await
    }

    /// The same of many items, each with a result of its own.
    ///
    /// # Errors
    /// [`Error`] as for every call; a failed item is none.
    pub async fn key_verify_mac_many(
        &self,
        name: &str,
        items: Vec<KeyVerifyMacItem>,
        options: &KeyVerifyMacOptions,
    ) -> Result<Vec<KeyResult<KeyVerified>>, Error> {
        self.many(name, "/verify-mac", items, options.clone()).await
    }

    /// Makes a data key, which the key encrypts.
    ///
    /// # Errors
    /// As [`Self::key_encrypt`].
    pub async fn key_data_key(&self, name: &str, wanted: &KeyDataKey) -> Result<KeyDataKeyMade, Error> {
        self.reply(Call::post(key(name)?.fixed("/data-key"), wanted)?).await
    }

    /// Makes a shared secret and its capsule.
    ///
    /// # Errors
    /// As [`Self::key_encrypt`].
    pub async fn key_encapsulate(&self, name: &str, wanted: KeyEncapsulate) -> Result<KeyEncapsulated, Error> {
        self.reply(Call::post(key(name)?.fixed("/encapsulate"), &wanted)?).await
    }

    /// Opens a capsule.
    ///
    /// # Errors
    /// As [`Self::key_encrypt`].
    pub async fn key_decapsulate(&self, name: &str, capsule: &KeyDecapsulate) -> Result<KeyDecapsulated, Error> {
        self.reply(Call::post(key(name)?.fixed("/decapsulate"), capsule)?).await
    }

    /// Random bytes of the server.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn random(&self, wanted: &Random) -> Result<RandomMade, Error> {
        self.reply(Call::post(Route::api("random"), wanted)?).await
    }

    /// A hash, without a key.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn hash(&self, wanted: &Hash) -> Result<HashMade, Error> {
        self.reply(Call::post(Route::api("hash"), wanted)?).await
    }

    async fn one<I: Serialize, O: Serialize, T: DeserializeOwned>(
        &self,
        name: &str,
        verb: &'static str,
        item: I,
        options: O,
    ) -> Result<T, Error> {
        let batch = KeyBatch { items: KeyItems::One(item), options };
        self.reply(Call::post(key(name)?.fixed(verb), &batch)?).await
    }

    async fn many<I: Serialize, O: Serialize, T: DeserializeOwned>(
        &self,
        name: &str,
        verb: &'static str,
        items: Vec<I>,
        options: O,
    ) -> Result<Vec<KeyResult<T>>, Error> {
        let batch = KeyBatch { items: KeyItems::Many { items }, options };
        let reply: KeyResults<T> = self.reply(Call::post(key(name)?.fixed(verb), &batch)?).await?;
        Ok(reply.items)
    }
}
