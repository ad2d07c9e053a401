//! The engines under test, each test with a store of its own, and short forms of what the tests write.

use std::sync::Arc;

use bytes::Bytes;
use coffer_storage::{Batch, Change, Epoch, Error, Expect, Key, Limit, Prefix, Revision, Sealed, Store, open};
use tempfile::TempDir;

use crate::postgres_server::PostgresServer;

/// An engine and the place of one store.
pub(crate) struct Backend {
    pub(crate) engine: Engine,
    pub(crate) url: String,
    /// Removed with the backend.
    _directory: Option<TempDir>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    Postgres,
    Sqlite,
}

impl Backend {
    pub(crate) fn memory() -> Backend {
        Backend { engine: Engine::Memory, url: "memory:".to_owned(), _directory: None }
    }

    pub(crate) fn postgres() -> Backend {
        let url = PostgresServer::shared().create_database();
        Backend { engine: Engine::Postgres, url, _directory: None }
    }

    pub(crate) fn sqlite() -> Backend {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}/store.db", directory.path().display());
        Backend { engine: Engine::Sqlite, url, _directory: Some(directory) }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        open(&self.url).await.unwrap()
    }
}

pub(crate) fn key(bytes: impl AsRef<[u8]>) -> Key {
    Key::new(bytes.as_ref()).unwrap()
}

pub(crate) fn prefix(bytes: impl AsRef<[u8]>) -> Prefix {
    Prefix::new(bytes.as_ref()).unwrap()
}

pub(crate) fn limit(items: usize) -> Limit {
    Limit::new(items).unwrap()
}

pub(crate) fn sealed(bytes: impl AsRef<[u8]>) -> Sealed {
    Sealed::from_barrier(Bytes::copy_from_slice(bytes.as_ref())).unwrap()
}

pub(crate) fn put(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Change {
    Change::Put { key: key(name), value: sealed(value), expect: None }
}

pub(crate) fn put_if(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>, expect: Expect) -> Change {
    Change::Put { key: key(name), value: sealed(value), expect: Some(expect) }
}

pub(crate) fn delete(name: impl AsRef<[u8]>) -> Change {
    Change::Delete { key: key(name), expect: None }
}

pub(crate) fn delete_if(name: impl AsRef<[u8]>, expect: Expect) -> Change {
    Change::Delete { key: key(name), expect: Some(expect) }
}

pub(crate) fn check(name: impl AsRef<[u8]>, expect: Expect) -> Change {
    Change::Check { key: key(name), expect }
}

pub(crate) async fn commit(store: &dyn Store, changes: Vec<Change>) -> Result<Revision, Error> {
    store.commit(Batch { changes, ..Batch::default() }).await
}

pub(crate) async fn commit_under(store: &dyn Store, epoch: Epoch, changes: Vec<Change>) -> Result<Revision, Error> {
    store.commit(Batch { epoch: Some(epoch), changes, ..Batch::default() }).await
}

/// The value of a key, if there is an entry.
pub(crate) async fn value(store: &dyn Store, name: impl AsRef<[u8]>) -> Option<Bytes> {
    store.get(&key(name)).await.unwrap().map(|entry| entry.value)
}

/// The revision of a key, if there is an entry.
pub(crate) async fn revision(store: &dyn Store, name: impl AsRef<[u8]>) -> Option<Revision> {
    store.get(&key(name)).await.unwrap().map(|entry| entry.revision)
}
