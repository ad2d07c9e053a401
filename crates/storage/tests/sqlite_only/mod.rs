//! What is particular to the SQLite engine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use coffer_storage::{Error, Purged, Sealed, open};

use crate::backend::{Backend, commit, limit, prefix, put, value};

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

/// Whether any file of the store's directory holds these bytes.
fn holds(backend: &Backend, needle: &[u8]) -> bool {
    let files = fs::read_dir(path(backend).parent().unwrap()).unwrap();
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).any(|file| contains(&file, needle))
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_purged_values_of_the_wiped_length_are_in_no_file_of_the_open_store() {
    let backend = Backend::sqlite();
    let store = backend.open().await;
    // Keys in no order, and among the values that are to go others that grow and shrink, so that pages are split and
    // joined and their rows moved about.
    let name = |number: u32| format!("object/{:08x}-0123-4567-89ab-cdef01234567", number.wrapping_mul(2_654_435_761));
    let secret = |number: u32| {
        let canary = format!("canary-{number:06}");
        [vec![b'x'; Sealed::WIPED_LEN / 2], canary.repeat(Sealed::WIPED_LEN).into_bytes()].concat()
    };
    let put_secret = |number: &u32| put(name(*number), &secret(*number)[..Sealed::WIPED_LEN]);
    const ROWS: u32 = 1_000;
    let neighbour = |number: &u32, len: usize| put(format!("n/{number}"), "y".repeat(len));
    for numbers in (0..ROWS).collect::<Vec<_>>().chunks(20) {
        let both = numbers.iter().flat_map(|number| [put_secret(number), neighbour(number, 40)]);
        commit(&*store, both.collect()).await.unwrap();
    }
    for round in 0..3_u32 {
        for numbers in (0..ROWS).step_by(3).collect::<Vec<_>>().chunks(20) {
            let grown = |n: &u32| neighbour(n, usize::try_from((n * 7 + round * 311) % 1_900).unwrap());
            commit(&*store, numbers.iter().map(grown).collect()).await.unwrap();
        }
    }
    let gone: Vec<u32> = (0..ROWS).filter(|number| number % 2 == 0).collect();
    assert!(holds(&backend, b"canary-000006"));
    for numbers in gone.chunks(7) {
        commit(&*store, numbers.iter().map(|n| crate::backend::delete(name(*n))).collect()).await.unwrap();
    }
    assert_eq!(store.purge().await.unwrap(), Purged::Whole);
    assert_eq!(store.stats().wal_bytes, Some(0));
    let files = fs::read_dir(path(&backend).parent().unwrap()).unwrap();
    let bytes: Vec<u8> = files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
    let mut left: Vec<u32> = bytes
        .windows(13)
        .filter_map(|window| std::str::from_utf8(window).ok()?.strip_prefix("canary-")?.parse().ok())
        .collect();
    left.sort_unstable();
    left.dedup();
    assert!(left.iter().all(|number| number % 2 == 1), "deleted values lie in the files: {left:?}");
    assert_eq!(left.len(), 500, "what was not deleted is there");
    for number in (1..ROWS).step_by(2) {
        assert_eq!(value(&*store, name(number)).await.unwrap(), &secret(number)[..Sealed::WIPED_LEN]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_purge_waits_for_a_reader_of_an_older_state_and_holds_nobody_up() {
    let backend = Backend::sqlite();
    let store = backend.open().await;
    commit(&*store, vec![put("a", "canary-one")]).await.unwrap();
    let reader = rusqlite::Connection::open(path(&backend)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader.query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap();
    commit(&*store, vec![crate::backend::delete("a")]).await.unwrap();
    for round in 0..3 {
        let began = std::time::Instant::now();
        assert_eq!(store.purge().await.unwrap(), Purged::Waiting);
        commit(&*store, vec![put("b", round.to_string())]).await.unwrap();
        assert!(began.elapsed() < std::time::Duration::from_secs(3), "a reader's patience is everybody's");
    }
    assert!(holds(&backend, b"canary-one"));
    drop(reader);
    assert_eq!(store.purge().await.unwrap(), Purged::Whole);
    assert!(!holds(&backend, b"canary-one"));
    assert_eq!(value(&*store, "b").await.unwrap(), "2");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_snapshot_is_ended_once_the_log_grew_beyond_its_bound_and_commits_go_on() {
    const GROWTH: u64 = 4 << 20;
    let backend = Backend::sqlite();
    let store = backend.open().await;
    commit(&*store, vec![put("a", "x")]).await.unwrap();
    let snapshot = store.snapshot(GROWTH).await.unwrap();
    let others = store.snapshot(1 << 40).await.unwrap();
    assert_eq!(snapshot.scan(&prefix(""), None, limit(10)).await.unwrap().items.len(), 1);
    let value_of = |round: u8| put("large", vec![round; 1 << 20]);
    let mut rounds = 0;
    let refused = loop {
        rounds += 1;
        assert!(rounds < 100, "the log grew without bound");
        commit(&*store, vec![value_of(rounds)]).await.unwrap();
        if let Err(refused) = snapshot.scan(&prefix(""), None, limit(10)).await {
            break refused;
        }
    };
    assert!(rounds > 2, "it was ended early");
    assert!(matches!(refused, Error::Outgrown) && refused.to_string().contains("grew beyond its bound"));
    assert!(store.stats().wal_bytes.unwrap() < 4 * GROWTH);
    assert_eq!(others.scan(&prefix(""), None, limit(10)).await.unwrap().items.len(), 1);
    drop(others);
    // The log can begin anew: what comes now does not make it longer.
    let length = store.stats().wal_bytes.unwrap();
    for round in 0..60 {
        commit(&*store, vec![value_of(round)]).await.unwrap();
    }
    assert!(store.stats().wal_bytes.unwrap() <= 2 * length.max(64 << 20));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_snapshot_that_is_held_keeps_no_commit_and_no_close_waiting() {
    let backend = Backend::sqlite();
    let store = backend.open().await;
    let snapshot = store.snapshot(1 << 40).await.unwrap();
    let begun = std::time::Instant::now();
    // Beyond the length at which the log would be begun anew, several times over.
    for round in 0..60 {
        commit(&*store, vec![put("large", vec![round; 1 << 20])]).await.unwrap();
    }
    let committed = begun.elapsed();
    store.close().await;
    // Each wait for a reader would be five seconds.
    assert!(begun.elapsed() < committed + std::time::Duration::from_secs(4));
    assert!(committed < std::time::Duration::from_secs(30), "{committed:?}");
    assert!(matches!(snapshot.scan(&prefix(""), None, limit(10)).await, Err(Error::Unavailable { .. })));
}
