//! Crashes: a process killed while it commits has lost nothing that it was told is committed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use coffer_storage::{Error, open};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::backend::{Backend, commit, limit, prefix, put, value};

const URL: &str = "COFFER_STORAGE_CRASH_TEST_URL";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_killed_while_committing_keeps_every_answered_commit() {
    killed_while_committing(&Backend::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_client_killed_while_committing_keeps_every_answered_commit() {
    killed_while_committing(&Backend::postgres()).await;
}

async fn killed_while_committing(backend: &Backend) {
    let mut next = 0;
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::commits_until_killed", "--nocapture", "--ignored"])
            .env(URL, &backend.url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answered = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .filter_map(|line| line.unwrap().strip_prefix("committed ").map(|number| number.parse::<u64>().unwrap()))
            .take(50)
            .last()
            .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let store = backend.open().await;
        for number in next..=answered {
            let expected = number.to_string();
            assert_eq!(value(&*store, format!("a/{number}")).await.unwrap(), expected);
            assert_eq!(value(&*store, format!("b/{number}")).await.unwrap(), expected);
        }
        // What was under way when the process died happened whole or not at all.
        let (a, b) = (format!("a/{}", answered + 1), format!("b/{}", answered + 1));
        assert_eq!(value(&*store, a).await, value(&*store, b).await);
        next = answered + 1;
        commit(&*store, vec![put("start", next.to_string())]).await.unwrap();
    }
}

/// Runs in a process of its own, for [`killed_while_committing`]; without its variable there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of the tests above, which kill it"]
async fn commits_until_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = open(&url).await.unwrap();
    let start = value(&*store, "start").await.map_or(0, |text| std::str::from_utf8(&text).unwrap().parse().unwrap());
    for number in start..u64::MAX {
        let text = number.to_string();
        commit(&*store, vec![put(format!("a/{number}"), &text), put(format!("b/{number}"), &text)]).await.unwrap();
        println!("committed {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_whose_log_cannot_be_written_fails_the_commit_and_recovers() {
    let backend = Backend::sqlite();
    // The limit on the size of a file, with its signal ignored, is an I/O error to whoever writes beyond it.
    let output = Command::new("/bin/sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "crash::commits_against_a_limit", "--nocapture", "--ignored"])
        .env(URL, &backend.url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let store = backend.open().await;
    assert_eq!(value(&*store, "before").await.unwrap(), "kept");
    assert_eq!(value(&*store, "after").await.unwrap(), "kept");
    let entries = store.scan(&prefix(""), None, limit(10)).await.unwrap().items;
    let names: Vec<&[u8]> = entries.iter().map(|(key, _)| key.as_bytes()).collect();
    assert_eq!(names, [b"after".as_slice(), b"before", b"between"]);
    assert!(commit(&*store, vec![put("new", "x")]).await.unwrap() > entries[0].1.revision);
}

/// Runs in a process of its own, for the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other half of the test above"]
async fn commits_against_a_limit() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = open(&url).await.unwrap();
    commit(&*store, vec![put("before", "kept")]).await.unwrap();
    let page = 4096;
    let limit_files = |current: Option<u64>| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    let large = vec![1; 40 * page];

    // Room for the commit that settles the failed one: it certainly did not happen.
    limit_files(store.stats().wal_bytes.map(|bytes| bytes + 8 * 4096));
    let outcome = commit(&*store, vec![put("lost", &large)]).await;
    assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
    assert_eq!(value(&*store, "before").await.unwrap(), "kept");
    commit(&*store, vec![put("between", "kept")]).await.unwrap();

    // No room at all: unknown, and the next commit that succeeds settles it.
    limit_files(Some(100));
    for _ in 0..3 {
        let outcome = commit(&*store, vec![put("lost", &large)]).await;
        assert!(matches!(outcome, Err(Error::Unknown { .. })), "{outcome:?}");
        assert_eq!(value(&*store, "lost").await, None);
    }
    limit_files(None);
    commit(&*store, vec![put("after", "kept")]).await.unwrap();
    assert_eq!(value(&*store, "lost").await, None);
    // Without closing, so that the next opener reads the log.
    std::process::exit(0);
}
