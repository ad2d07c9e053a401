//! Disks that fail and fill up, and what becomes of the log.

use std::{io::ErrorKind, path::Path};

use super::{
    super::{AppendError, Log},
    append, count, open,
    sim::{Op, SimDisk},
    vectors::{entry, signing_key},
    verify,
};

/// Appends until it succeeds; the fault has been taken away.
async fn append_again(log: &Log, bytes: &[u8]) -> u64 {
    for _ in 0..3 {
        if let Ok(index) = append(log, vec![bytes.to_vec()]).await {
            return index;
        }
    }
    panic!("the log does not recover");
}

async fn reopened_is_whole(disk: &SimDisk, log: Log, expected: &[&[u8]]) {
    log.close().unwrap();
    disk.crash(3);
    let (report, entries) = verify(disk, None).unwrap();
    assert_eq!(entries, expected);
    let (log, opened) = open(disk, Some(report.head)).unwrap();
    assert_eq!(opened.head, report.head);
    drop(log);
}

#[tokio::test]
async fn log_goes_on_by_itself_after_a_failed_write_or_sync_and_reuses_the_indexes() {
    for op in [Op::Write, Op::SyncData] {
        let disk = SimDisk::new();
        let (log, _) = open(&disk, None).unwrap();
        append(&log, vec![b"one".to_vec()]).await.unwrap();
        disk.fail(op, "segments", ErrorKind::Other);
        let failed = append(&log, vec![b"lost".to_vec()]).await;
        assert!(matches!(failed, Err(AppendError::Write(_))), "{op:?}");
        assert!(append(&log, vec![b"lost".to_vec(); 3]).await.is_err());
        assert_eq!(log.head().size, 1);
        assert_eq!(log.read(0, 9).unwrap(), [(0, b"one".to_vec())]);
        disk.set_fault(None);
        assert_eq!(append_again(&log, b"two").await, 1);
        assert_eq!(log.read(0, 9).unwrap().len(), 2);
        let stats = log.stats();
        assert!(stats.failures >= 2 && stats.pending_bytes == 0, "{stats:?}");
        reopened_is_whole(&disk, log, &[b"one", b"two"]).await;
    }
}

#[tokio::test]
async fn every_caller_of_a_failed_batch_gets_the_error_and_those_behind_it_are_served() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    let mut failed = false;
    disk.set_fault(Some(Box::new(move |op, path| {
        let now = op == Op::SyncData && path.to_string_lossy().contains("segments") && !failed;
        failed |= now;
        now.then_some(ErrorKind::Other)
    })));
    // Handed in one after the other, without waiting: at least the first batch fails.
    let tickets: Vec<_> = futures_join((0..10).map(|i| log.append(vec![entry(i)]))).await;
    let mut indexes = Vec::new();
    let mut errors = 0;
    for ticket in &tickets {
        match log.synced(ticket).await {
            Ok(index) => indexes.push(index),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 0);
    assert_eq!(indexes, (0..10 - errors).collect::<Vec<u64>>());
    append(&log, vec![entry(10)]).await.unwrap();
    assert_eq!(log.head().size, 11 - errors);
}

async fn futures_join<F: Future<Output = Result<T, E>>, T, E: std::fmt::Debug>(
    calls: impl Iterator<Item = F>,
) -> Vec<T> {
    let mut results = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        results.push(call.await.unwrap());
    }
    results
}

#[tokio::test]
async fn written_entries_whose_sync_fails_are_written_again_at_their_indexes() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    disk.fail(Op::SyncData, "segments", ErrorKind::Other);
    let ticket = log.append_relaxed(vec![b"kept".to_vec()]).await.unwrap();
    assert_eq!(log.written(&ticket).await.unwrap(), 0);
    assert!(append(&log, vec![b"lost".to_vec()]).await.is_err());
    disk.set_fault(None);
    assert_eq!(append_again(&log, b"next").await, 1);
    assert_eq!(log.read(0, 9).unwrap(), [(0, b"kept".to_vec()), (1, b"next".to_vec())]);
    reopened_is_whole(&disk, log, &[b"kept", b"next"]).await;
}

#[tokio::test]
async fn written_entries_are_written_again_without_another_call() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    let mut left = 2;
    disk.set_fault(Some(Box::new(move |op, path| {
        let fails = op == Op::SyncData && path.to_string_lossy().contains("segments") && left > 0;
        left -= i32::from(fails);
        fails.then_some(ErrorKind::Other)
    })));
    let ticket = log.append_relaxed(vec![b"kept".to_vec()]).await.unwrap();
    assert_eq!(log.written(&ticket).await.unwrap(), 0);
    // An error says that the sync failed; the log goes on trying for those who were told that it is written.
    let mut asked = 0;
    while log.synced(&ticket).await.is_err() {
        asked += 1;
        assert!(asked < 10_000_000, "it gave up");
        tokio::task::yield_now().await;
    }
    assert_eq!(log.head().size, 1);
    reopened_is_whole(&disk, log, &[b"kept"]).await;
}

#[tokio::test]
async fn full_disk_refuses_entries_takes_reserved_ones_and_recovers_when_there_is_space() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    log.publish().unwrap();
    disk.set_free(0);
    let mut expected: Vec<Vec<u8>> = Vec::new();
    let big = vec![b'x'; 2000];
    // The segment and the spare are used up first.
    let error = loop {
        match append(&log, vec![big.clone()]).await {
            Ok(_) => expected.push(big.clone()),
            Err(error) => break error,
        }
        assert!(expected.len() < 100);
    };
    assert!(matches!(&error, AppendError::Write(error) if error.is_full()), "{error}");
    for i in 0..3 {
        let bytes = format!("revoke {i}").into_bytes();
        let ticket = log.append_reserved(vec![bytes.clone()]).await.unwrap();
        assert_eq!(log.synced(&ticket).await.unwrap(), count(&expected));
        expected.push(bytes);
        // Ordinary entries do not eat into it.
        assert!(append(&log, vec![big.clone()]).await.is_err());
    }
    // In one batch, each gets its own answer.
    let calls =
        [log.append(vec![big.clone()]), log.append_reserved(vec![b"seal".to_vec()]), log.append(vec![big.clone()])];
    let tickets = futures_join(calls.into_iter()).await;
    assert!(log.synced(&tickets[0]).await.is_err() && log.synced(&tickets[2]).await.is_err());
    assert_eq!(log.synced(&tickets[1]).await.unwrap(), count(&expected));
    expected.push(b"seal".to_vec());
    disk.set_free(1 << 20);
    assert_eq!(append_again(&log, b"again").await, count(&expected));
    expected.push(b"again".to_vec());
    let read: Vec<Vec<u8>> = log.read(0, 999).unwrap().into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(read, expected);
    let expected: Vec<&[u8]> = expected.iter().map(Vec::as_slice).collect();
    reopened_is_whole(&disk, log, &expected).await;
    assert!(disk.files().contains(&Path::new(super::DIR).join("segments/reserve")), "made again");
}

#[tokio::test]
async fn log_that_cannot_publish_still_takes_entries_and_publishes_later() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    log.publish().unwrap();
    for op in [Op::Create, Op::Write, Op::SyncPaths, Op::Rename] {
        disk.fail(op, "tmp/0", ErrorKind::Other);
        let before = log.head().size;
        for index in before..before + 300 {
            append(&log, vec![entry(index)]).await.unwrap();
        }
        assert!(log.publish().is_err(), "{op:?}");
        disk.set_fault(None);
        log.publish().unwrap();
        let (report, entries) = verify(&disk, None).unwrap();
        assert_eq!((report.published, count(&entries)), (Some(log.head()), before + 300));
    }
    assert!(log.stats().publish_failures >= 4);
}

#[tokio::test]
async fn rotation_whose_sync_fails_leaves_the_old_key_in_force() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    append(&log, vec![b"one".to_vec()]).await.unwrap();
    let old = log.verifier_key();
    disk.fail(Op::SyncData, "segments", ErrorKind::Other);
    assert!(log.rotate_key(signing_key(50), |_, _| b"change".to_vec()).await.is_err());
    assert_eq!(log.verifier_key(), old);
    disk.set_fault(None);
    assert_eq!(append_again(&log, b"two").await, 1);
    reopened_is_whole(&disk, log, &[b"one", b"two"]).await;
}
