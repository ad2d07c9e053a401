//! The log in use.

use std::{path::Path, sync::Arc};

use coffer_crypto::hash::sha256;

use super::{
    super::{
        AppendError, Head, Log, LogOrigin, OpenError, Options, ReadError,
        checkpoint::Checkpoint,
        disk::RealDisk,
        index::Index,
        merkle::leaf_hash,
        note::KeyName,
        proof::{verify_consistency, verify_inclusion},
        summary::Summary,
    },
    DIR, append, count, open,
    sim::SimDisk,
    small,
    vectors::{Vectors, entry, signing_key},
};

#[tokio::test]
async fn long_log_is_opened_from_its_last_full_tiles_and_what_follows_them() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    let length = 70_000;
    for first in (0..length).step_by(50) {
        let entries = (first..first + 50).map(|index| [entry(index), vec![b'.'; 60]].concat());
        append(&log, entries.collect()).await.unwrap();
        if first % 5_000 == 0 {
            log.publish().unwrap();
        }
    }
    let head = log.head();
    log.close().unwrap();
    let whole: usize = disk.files().iter().map(|file| disk.contents(file).len()).sum();
    disk.take_read();
    let (log, opened) = open(&disk, Some(head)).unwrap();
    assert_eq!((opened.head, log.head().size), (head, length));
    let read = disk.take_read();
    // The last segments, the files made ahead, and of each level the tile at the edge.
    assert!(read < 400_000, "{read} bytes of {whole} are read");
    assert!(whole > 7_000_000, "{whole} bytes");
    log.close().unwrap();
}

#[tokio::test]
async fn log_on_the_real_disk_has_the_roots_of_the_golden_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = Vectors::load();
    let start = || Log::open(&dir.path().join("log"), Arc::new(RealDisk), signing_key(0), small(), None);
    let (log, opened) = start().unwrap();
    assert_eq!(opened.origin, LogOrigin::Created);
    assert_eq!(append(&log, (0..5).map(entry).collect()).await.unwrap(), 0);
    assert_eq!(log.head(), Head { size: 5, root: vectors.roots[&5] });
    assert_eq!(log.checkpoint(), vectors.checkpoint);
    log.close().unwrap();
    let published = std::fs::read_to_string(dir.path().join("log/checkpoint")).unwrap();
    assert_eq!(published, vectors.checkpoint);
    let bundle = std::fs::read(dir.path().join("log/tile/entries/000.p/5")).unwrap();
    assert_eq!(bundle.len(), 45);
    let (log, opened) = start().unwrap();
    assert_eq!((opened.origin, opened.head, opened.dropped_bytes), (LogOrigin::Found, log.head(), 0));
    for index in 5..1000 {
        let ticket = log.append(vec![entry(index)]).await.unwrap();
        if index % 50 == 0 {
            assert_eq!(log.synced(&ticket).await.unwrap(), index);
        }
    }
    let last = append(&log, vec![entry(1000)]).await.unwrap();
    assert_eq!(last, 1000);
    log.close().unwrap();
    let (log, _) = start().unwrap();
    assert_eq!(log.head().size, 1001);
    let read = log.read(0, 2000).unwrap();
    assert!(read.iter().all(|(index, bytes)| *bytes == entry(*index)) && read.len() == 1001);
    let root = vectors.roots[&1000];
    for (index, size) in [(0, 1000), (255, 1000), (256, 1000), (767, 1000), (999, 1000)] {
        let path = log.prove_inclusion(index, size).unwrap();
        verify_inclusion(index, size, &leaf_hash(&entry(index)), &path, &root).unwrap();
    }
    for old in [0, 1, 5, 255, 256, 511, 513, 1000] {
        let path = log.prove_consistency(old, 1000).unwrap();
        let old_root = vectors.roots.get(&old).copied().unwrap_or(vectors.empty_root);
        verify_consistency(old, 1000, &path, &old_root, &root).unwrap();
    }
    assert!(matches!(log.prove_inclusion(1001, 1001), Err(ReadError::Range { .. })));
    assert!(matches!(log.prove_inclusion(0, 1002), Err(ReadError::Range { .. })));
    assert!(matches!(log.read(1002, 1), Err(ReadError::Range { .. })));
    assert!(log.read(1001, 5).unwrap().is_empty() && log.read(0, 0).unwrap().is_empty());
    let proof = log.proof_file(999, None).unwrap();
    proof.verify(&entry(999), &KeyName::new("coffer.test/audit").unwrap(), [&log.verifier_key()]).unwrap();
}

#[tokio::test]
async fn log_opened_twice_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Log::open(dir.path(), Arc::new(RealDisk), signing_key(0), small(), None);
    let (log, _) = start().unwrap();
    assert!(matches!(start(), Err(OpenError::Locked(_))));
    drop(log);
    assert!(start().is_ok());
}

#[tokio::test]
async fn entries_of_many_callers_get_each_index_once_and_those_of_a_call_lie_together() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    let log = Arc::new(log);
    let tasks: Vec<_> = (0..64_u64)
        .map(|task| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut indexes = Vec::new();
                for round in 0..20_u64 {
                    let entries: Vec<Vec<u8>> = (0..=task % 3).map(|i| format!("{task}/{round}/{i}").into()).collect();
                    let first = append(&log, entries.clone()).await.unwrap();
                    indexes.extend((first..).zip(entries));
                }
                indexes
            })
        })
        .collect();
    let mut indexes = Vec::new();
    for task in tasks {
        indexes.extend(task.await.unwrap());
    }
    indexes.sort();
    let read = log.read(0, usize::MAX).unwrap();
    assert_eq!(read, indexes);
    let stats = log.stats();
    assert_eq!((stats.entries, stats.failures, stats.pending_bytes), (log.head().size, 0, 0));
    assert!(stats.batches < 1280, "64 callers share batches: {}", stats.batches);
}

#[tokio::test]
async fn entry_of_a_length_that_cannot_be_is_refused_and_the_longest_is_taken() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    for entry in [vec![], vec![0; 65_536]] {
        let len = entry.len();
        assert!(matches!(append(&log, vec![entry]).await, Err(AppendError::EntrySize(n)) if n == len));
    }
    assert!(matches!(append(&log, vec![]).await, Err(AppendError::CallSize { .. })));
    assert!(matches!(append(&log, vec![vec![1]; 65]).await, Err(AppendError::CallSize { .. })));
    let forged = b"tlog-key-rotation/v1\nanything".to_vec();
    assert!(matches!(append(&log, vec![forged]).await, Err(AppendError::Reserved)));
    // Longer than a segment, and than what may be pending.
    assert_eq!(append(&log, vec![vec![7; 65_535]; 3]).await.unwrap(), 0);
    assert_eq!(log.read(1, 1).unwrap(), [(1, vec![7; 65_535])]);
    assert_eq!(append(&log, vec![b"next".to_vec()]).await.unwrap(), 3);
    log.close().unwrap();
    let (log, opened) = open(&disk, None).unwrap();
    assert_eq!(opened.head.size, 4);
    assert_eq!(log.read(0, 9).unwrap().len(), 4);
}

#[tokio::test]
async fn callers_beyond_what_may_be_pending_wait_in_their_order_and_one_that_leaves_takes_its_entries_back() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    // The log thread is busy until the fault is taken away: it sleeps in a write.
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let mut blocked = Some(blocked);
    disk.set_fault(Some(Box::new(move |op, path| {
        if op == super::sim::Op::Write && path.to_string_lossy().contains("segments") {
            blocked.take().map(|blocked| blocked.recv());
        }
        None
    })));
    let first = log.append(vec![vec![1; 40_000]]).await.unwrap();
    let second = log.append(vec![vec![2; 20_000]]).await.unwrap();
    let mut parked: Vec<_> = (3..7_u8).map(|i| Box::pin(log.append(vec![vec![i; 10_000]]))).collect();
    for waiting in &mut parked {
        assert!(futures_pending(waiting.as_mut()).await);
    }
    drop(parked.remove(1));
    release.send(()).unwrap();
    assert_eq!(log.synced(&first).await.unwrap(), 0);
    assert_eq!(log.synced(&second).await.unwrap(), 1);
    let mut indexes = Vec::new();
    for waiting in parked {
        indexes.push(log.synced(&waiting.await.unwrap()).await.unwrap());
    }
    assert_eq!(indexes, [2, 3, 4]);
    let firsts: Vec<u8> = log.read(0, 9).unwrap().iter().map(|(_, entry)| entry[0]).collect();
    assert_eq!(firsts, [1, 2, 3, 5, 6]);
}

async fn futures_pending<F: Future + ?Sized>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn relaxed_entries_are_read_once_they_are_synced_in_the_background() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    for index in 0..300_u64 {
        let ticket = log.append_relaxed(vec![entry(index)]).await.unwrap();
        assert_eq!(log.written(&ticket).await.unwrap(), index);
        if index % 100 == 99 {
            assert_eq!(log.synced(&ticket).await.unwrap(), index);
            assert_eq!(log.read(index, 1).unwrap(), [(index, entry(index))]);
        }
    }
    disk.kill();
    drop(log);
    let (log, opened) = open(&disk, None).unwrap();
    assert_eq!(opened.head.size, 300);
    assert_eq!(log.read(0, 999).unwrap().len(), 300);
}

#[tokio::test]
async fn key_rotated_signs_from_then_on_and_the_old_one_is_refused() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    append(&log, vec![b"before".to_vec()]).await.unwrap();
    let old = log.verifier_key();
    let index = log.rotate_key(signing_key(50), |old, new| format!("{old} -> {new}").into_bytes()).await.unwrap();
    assert_eq!(index, 1);
    let new = log.verifier_key();
    assert_ne!(old, new);
    let origin = KeyName::new("coffer.test/audit").unwrap();
    let both = Checkpoint::parse(log.checkpoint().as_bytes()).unwrap();
    assert_eq!(both.verify(&origin, [&old, &new]).unwrap().len(), 2);
    let (_, entry) = log.read(1, 1).unwrap().remove(0);
    assert_eq!(super::super::payload(&entry), format!("{old} -> {new}").as_bytes());
    let known = log.head();
    log.close().unwrap();
    // The log ends in the change: both keys have signed, and the new one is in force.
    assert!(matches!(open(&disk, Some(known)), Err(OpenError::OtherKey { signed_by }) if signed_by == new.to_string()));
    let reopen = |key| Log::open(Path::new(super::DIR), Arc::new(disk.clone()), signing_key(key), small(), Some(known));
    let (log, _) = reopen(50).unwrap();
    append(&log, vec![b"after".to_vec()]).await.unwrap();
    let one = Checkpoint::parse(log.checkpoint().as_bytes()).unwrap();
    assert_eq!(one.verify(&origin, [&old, &new]).unwrap(), [&new]);
    assert_eq!(log.keys().keys().collect::<Vec<_>>(), [&old, &new]);
    log.close().unwrap();
    assert!(matches!(open(&disk, None), Err(OpenError::OtherKey { .. })));
    assert!(matches!(reopen(51), Err(OpenError::OtherKey { .. })));
    assert!(reopen(50).is_ok());
}

#[tokio::test]
async fn log_of_a_name_that_would_confuse_statements_is_refused() {
    let options = Options::new(KeyName::new("tlog-key-rotation/v1").unwrap());
    let opened = Log::open(Path::new("/x"), Arc::new(SimDisk::new()), signing_key(0), options, None);
    assert!(matches!(opened, Err(OpenError::Name(_))));
}

/// The bytes of every format of the log's own, so that a change of one does not go unnoticed. A log written with these
/// bytes must stay readable.
#[tokio::test]
async fn files_of_a_small_log_have_the_golden_bytes() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    let digest = |name: &str| {
        let digest = sha256(&[&disk.contents(&Path::new(DIR).join(name))]);
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    append(&log, (0..5).map(entry).collect()).await.unwrap();
    log.rotate_key(signing_key(50), |old, new| format!("{old} {new}").into_bytes()).await.unwrap();
    append(&log, vec![entry(6)]).await.unwrap();
    // Header, entries, checkpoints by one key and by two, the envelope of a change of key, zeros.
    let segment = digest("segments/00000000000000000001.seg");
    assert_eq!(segment, "68f51c69288ef9e178234dc89665ab47696292c62093c664d280b5e2344866bb");
    for index in 0..25 {
        append(&log, (0..10).map(|i| entry(index * 10 + i)).collect()).await.unwrap();
    }
    let index = Index::open(&log, Box::new(|entry| Some(Summary { time_ms: count(entry), terms: vec![7] }))).unwrap();
    index.catch_up(9).unwrap();
    log.close().unwrap();
    assert_eq!(digest("index"), "5c8269c101c47e1cedd68f38fb4f0df85bc3228d131183a635c73f97d1e0e833");
    assert_eq!(digest("keys"), "725c08100414a9065768830551537b380bc13aac5b4c8ff30871a47aca2bdfb2");
}
