//! Operations with keys as callers see them.

mod cipher;
mod coherence;
mod leaving;
mod moving;
mod sign;
mod states;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::token::TokenCreate;
use coffer_crypto::keys::Algorithm;

use super::*;
use crate::{
    Core, CreatePath, MountEnable, MountKind,
    engine::key::create::KeyCreate,
    tests::{caller, dev},
};

/// A core with `transit/`.
struct World {
    core: Arc<Core>,
    root: Caller,
    mount: Arc<Mount>,
}

impl World {
    async fn new() -> Self {
        let core = dev().await;
        let root = caller(&core, "root").await;
        let mount = Self::mounted(&root, "transit/").await;
        Self { core, root, mount }
    }

    async fn mounted(root: &Caller, path: &str) -> Arc<Mount> {
        root.mount_enable(path, MountKind::Transit, MountEnable::default(), &()).await.unwrap();
        root.resolve(&format!("{path}keys/x")).unwrap()
    }

    /// A key as the Vault dialect makes it, exportable.
    async fn key(&self, name: &str, algorithm: Algorithm) {
        self.make(name, KeyCreate { exportable: true, ..KeyCreate::transit(algorithm) }).await;
    }

    async fn make(&self, name: &str, create: KeyCreate) {
        self.root.key_create(&self.mount, name, create, &()).await.unwrap();
    }

    async fn rotate(&self, name: &str) {
        self.root.key_rotate(&self.mount, name, crate::engine::key::create::Begin::Active, &()).await.unwrap();
    }

    /// Somebody whose policy says so much.
    async fn caller_with(&self, name: &str, policy: &str) -> Caller {
        self.root.policy_write(name, "sys/policies/acl/", policy, &()).await.unwrap();
        let request = TokenCreate { policies: vec![name.to_owned()], ttl: Some(600), ..TokenCreate::default() };
        let token = self.root.token_create(CreatePath::Child, request, &()).await.unwrap();
        caller(&self.core, token.token.expose()).await
    }

    async fn encrypted(&self, name: &str, plaintext: &[u8]) -> String {
        let item = EncryptItem { plaintext: Input::Raw(plaintext), ..EncryptItem::default() };
        one(self.root.key_encrypt(&self.mount, name, &[item], &()).await).unwrap().ciphertext
    }

    async fn decrypted(&self, name: &str, ciphertext: &str) -> Result<Vec<u8>, String> {
        let item = DecryptItem { ciphertext, ..DecryptItem::default() };
        let opened = one(self.root.key_decrypt(&self.mount, name, &[item], &()).await);
        opened.map(|opened| STANDARD.decode(opened.plaintext.as_bytes()).unwrap())
    }

    async fn end(self) {
        drop(self.root);
        self.core.shutdown().await;
    }
}

/// The only result of a request, its fault as text.
fn one<T>(batch: Result<Batch<T>, Error>) -> Result<T, String> {
    let mut batch = batch.unwrap();
    assert_eq!(batch.len(), 1);
    batch.remove(0).map_err(|fault| fault.to_string())
}
