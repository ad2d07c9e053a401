//! What is particular to the SQLite engine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use coffer_storage::{Error, open};

use crate::backend::{Backend, commit, put, value};

fn path(backend: &Backend) -> &Path {
    Path::new(backend.url.strip_prefix("sqlite:").unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_opened_twice_is_locked_and_says_where() {
    let backend = Backend::sqlite();
    let store = backend.open().await;
    commit(&*store, vec![put("a", "x")]).await.unwrap();
    let error = open(&backend.url).await.err().unwrap();
    assert!(matches!(error, Error::Locked { .. }), "{error:?}");
    let directory = path(&backend).parent().unwrap().canonicalize().unwrap();
    assert!(error.to_string().contains(directory.to_str().unwrap()), "{error}");
    // Another file in the same directory is under the same lock.
    let other = format!("sqlite:{}/other.db", directory.display());
    assert!(matches!(open(&other).await.err().unwrap(), Error::Locked { .. }));
    store.close().await;
    let again = backend.open().await;
    assert_eq!(value(&*again, "a").await.unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_files_are_closed_to_others() {
    let backend = Backend::sqlite();
    let store = backend.open().await;
    commit(&*store, vec![put("a", "x")]).await.unwrap();
    let directory = path(&backend).parent().unwrap();
    let mut names = Vec::new();
    for file in fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.path());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["lock", "store.db", "store.db-reserve", "store.db-shm", "store.db-wal"]);
    store.close().await;
    assert!(!directory.join("store.db-wal").exists(), "closing empties the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_deleted_value_is_gone_from_the_files() {
    let backend = Backend::sqlite();
    let store = backend.open().await;
    let canary = b"canary-8d1f0a".repeat(60);
    let found = || {
        let files = fs::read_dir(path(&backend).parent().unwrap()).unwrap();
        let bytes: Vec<u8> = files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        bytes.windows(13).any(|window| window == b"canary-8d1f0a")
    };
    commit(&*store, (0..20).map(|number| put(number.to_string(), &canary)).collect()).await.unwrap();
    assert!(found());
    commit(&*store, (0..10).map(|number| put(number.to_string(), "new")).collect()).await.unwrap();
    commit(&*store, (10..20).map(|number| crate::backend::delete(number.to_string())).collect()).await.unwrap();
    store.close().await;
    assert!(!found());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_log_stays_bounded_under_load() {
    let backend = Backend::sqlite();
    let store = backend.open().await;
    let large = vec![1; 1024 * 1024];
    let mut highest = 0;
    for round in 0..200 {
        commit(&*store, vec![put((round % 7).to_string(), &large)]).await.unwrap();
        highest = highest.max(store.stats().wal_bytes.unwrap());
    }
    // 200 MiB went through the log.
    assert!(highest < 48 * 1024 * 1024, "the log grew to {highest} bytes");
    assert!(store.stats().checkpoints > 0);
}

#[tokio::test]
async fn sqlite_url_without_a_file_is_invalid() {
    for url in ["sqlite:", "sqlite:/", "sqlite", "file:/tmp/x", "", "memory:x", "mysql://x"] {
        assert!(matches!(open(url).await.err().unwrap(), Error::Invalid(_)), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_damaged_file_is_corrupt() {
    let backend = Backend::sqlite();
    fs::write(path(&backend), vec![b'x'; 16_384]).unwrap();
    let error = open(&backend.url).await.err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}
