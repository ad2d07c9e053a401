//! Readers, provers and verifiers beside a log that is being written.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    super::{
        Log,
        merkle::leaf_hash,
        payload,
        proof::{verify_consistency, verify_inclusion},
    },
    DIR, append, count,
    dice::Dice,
    open,
    sim::{Op, SimDisk},
    small,
    vectors::{entry, signing_key},
    verify,
};

/// Writes and publishes on a thread of its own while `read` is called again and again.
fn beside(disk: &SimDisk, mut read: impl FnMut(&Log)) {
    let options = super::Options { retry_after: std::time::Duration::from_millis(1), ..small() };
    let (log, _) = Log::open(Path::new(DIR), Arc::new(disk.clone()), signing_key(0), options, None).unwrap();
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut index = 0;
                // As long as it takes for the reader to have its share.
                while index < 4000 || reads.load(Ordering::Acquire) < 20 && index < 400_000 {
                    append(&log, (index..index + 20).map(entry).collect()).await.unwrap();
                    if index % 200 == 0 {
                        log.publish().unwrap();
                    }
                    if index == 2000 {
                        log.rotate_key(signing_key(50), |_, _| b"change".to_vec()).await.unwrap();
                    }
                    index += 20;
                }
            });
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            if log.head().size > 0 {
                read(&log);
                reads.fetch_add(1, Ordering::Release);
            }
        }
    });
    log.close().unwrap();
}

/// The entry that the writer above put at an index.
fn written(index: u64) -> Vec<u8> {
    match index {
        2020 => b"change".to_vec(),
        later if later > 2020 => entry(later - 1),
        earlier => entry(earlier),
    }
}

#[test]
fn entries_and_proofs_read_beside_the_writer_are_right_while_segments_turn_into_bundles() {
    let disk = SimDisk::new();
    let mut dice = Dice(9);
    let mut rounds = 0;
    beside(&disk, |log| {
        let head = log.head();
        rounds += 1;
        let from = dice.below(head.size);
        let read = log.read(from, 300).unwrap();
        assert!(!read.is_empty() && read[0].0 == from);
        assert!(read.iter().all(|(index, entry)| payload(entry) == written(*index)), "from {from}");
        let path = log.prove_inclusion(from, head.size).unwrap();
        verify_inclusion(from, head.size, &leaf_hash(&read[0].1), &path, &head.root).unwrap();
        let next = log.head();
        let path = log.prove_consistency(head.size, next.size).unwrap();
        verify_consistency(head.size, next.size, &path, &head.root, &next.root).unwrap();
        let proof = log.proof_file(from, None).unwrap();
        let keys = log.keys();
        proof.verify(&read[0].1, &super::KeyName::new(super::ORIGIN).unwrap(), keys.keys()).unwrap();
    });
    assert!(rounds > 5, "{rounds}");
}

#[test]
fn log_in_use_verifies_at_any_moment() {
    let disk = SimDisk::new();
    let mut sizes = Vec::new();
    beside(&disk, |_| {
        let (report, entries) = verify(&disk, None).unwrap();
        assert_eq!(report.head.size, count(&entries));
        assert!(report.published.is_none_or(|published| published.size <= report.head.size));
        sizes.push(report.head.size);
    });
    assert!(sizes.is_sorted() && sizes.len() > 5, "{sizes:?}");
}

#[tokio::test]
async fn entries_of_a_failed_write_are_reported_as_no_part_of_the_log() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    append(&log, vec![entry(0)]).await.unwrap();
    // The write succeeds, its sync does not: the batch stays in the old segment.
    disk.fail(Op::SyncData, "segments", std::io::ErrorKind::Other);
    assert!(append(&log, vec![b"lost".to_vec(); 3]).await.is_err());
    disk.set_fault(None);
    append(&log, vec![entry(1)]).await.unwrap();
    log.close().unwrap();
    let (report, entries) = verify(&disk, None).unwrap();
    assert_eq!((report.abandoned, entries), (3, vec![entry(0), entry(1)]));
    let (log, opened) = open(&disk, Some(report.head)).unwrap();
    assert_eq!((opened.head, opened.dropped_bytes), (report.head, 0));
    assert_eq!(log.read(0, 9).unwrap().len(), 2);
}

#[tokio::test]
async fn segment_put_in_to_hide_acknowledged_entries_is_found_and_not_opened() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    for index in 0..4 {
        append(&log, vec![entry(index)]).await.unwrap();
    }
    log.close().unwrap();
    // Forged from what the log itself wrote: its header and its first checkpoint of size 2, as a new segment.
    let first = Path::new(DIR).join("segments/00000000000000000001.seg");
    let bytes = disk.contents(&first);
    let second = {
        use super::super::segment::{FRAME_HEAD, Frame, Header, Parsed, parse_frame, push_checkpoint_frame};
        let mut at = 64;
        loop {
            let Parsed::Frame(frame, length) = parse_frame(&bytes[at..]) else { panic!("no such checkpoint") };
            at += length;
            let Frame::Checkpoint { note, .. } = frame else { continue };
            let checkpoint = super::super::checkpoint::Checkpoint::parse(note).unwrap();
            if checkpoint.head.size == 2 {
                let header = Header { ordinal: 2, first: 2, root: checkpoint.head.root };
                let mut forged = header.encode();
                push_checkpoint_frame(&mut forged, 2, str::from_utf8(note).unwrap());
                assert!(forged.len() > 64 + FRAME_HEAD);
                break forged;
            }
        }
    };
    for file in disk.files() {
        if file.starts_with(Path::new(DIR).join("tile")) || file.ends_with("checkpoint") {
            super::super::disk::Disk::remove(&disk, &file).unwrap();
        }
    }
    let forged = Path::new(DIR).join("segments/00000000000000000002.seg");
    super::super::disk::Disk::create(&disk, &forged).unwrap().write_at(&second, 0).unwrap();
    assert!(verify(&disk, None).is_err());
    assert!(open(&disk, None).is_err());
}
