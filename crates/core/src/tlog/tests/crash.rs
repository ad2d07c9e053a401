//! Losses of power at any point, a thousand of them.

use std::sync::Arc;

use super::{
    super::{Head, Log, OpenError},
    open,
    sim::{Dice, SimDisk},
    small,
    vectors::signing_key,
};

/// What callers were told.
#[derive(Default)]
struct Told {
    synced: Vec<(u64, Vec<u8>)>,
    /// The heads that were registered elsewhere.
    head: Option<Head>,
}

/// Appends until the power goes, or for so many rounds.
async fn work(log: &Log, dice: &mut Dice, told: &mut Told, round: u64) {
    for step in 0..dice.below(60) {
        let count = 1 + dice.below(40);
        let entries: Vec<Vec<u8>> =
            (0..count).map(|i| format!("{round}/{step}/{i}/{}", "x".repeat(dice.below(300) as usize)).into()).collect();
        let relaxed = dice.one_in(4);
        let call = if relaxed { log.append_relaxed(entries.clone()) } else { log.append(entries.clone()) };
        let Ok(ticket) = call.await else { return };
        let done = if relaxed { log.written(&ticket).await } else { log.synced(&ticket).await };
        let Ok(first) = done else { return };
        if !relaxed {
            told.synced.extend((first..).zip(entries));
            told.head = Some(log.head());
        }
        if dice.one_in(6) && log.publish().is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn log_after_a_loss_of_power_has_every_acknowledged_entry_and_goes_on() {
    for seed in 0..1000_u64 {
        let disk = SimDisk::new();
        let mut dice = Dice(seed);
        let mut told = Told::default();
        for round in 0..3 {
            // The last round always comes up.
            if round < 2 {
                let most = if dice.one_in(3) { 20 } else { 300 };
                disk.cut_power_after(dice.below(most));
            }
            if std::env::var("DBG").is_ok() {
                println!("seed {seed} round {round} known {:?}", told.head.map(|h| h.size));
                dump(&disk);
            }
            if let Ok((log, opened)) = open(&disk, told.head) {
                check(&log, opened.head, &told, seed);
                work(&log, &mut dice, &mut told, round).await;
                if round < 2 {
                    disk.cut_power_after(0);
                } else {
                    log.close().unwrap();
                }
            } else {
                // Only the missing power may keep it from opening.
                let error = open(&disk, told.head).err();
                assert!(matches!(error, Some(OpenError::Disk(_))) && round < 2, "{seed}: {error:?}");
            }
            if round < 2 {
                if dice.one_in(3) { disk.kill() } else { disk.crash(dice.next()) }
            }
        }
        let (log, opened) = open(&disk, told.head).unwrap_or_else(|error| panic!("{seed}: {error}"));
        check(&log, opened.head, &told, seed);
    }
}

fn check(log: &Log, head: Head, told: &Told, seed: u64) {
    let all = log.read(0, usize::MAX).unwrap();
    assert_eq!(all.len() as u64, head.size, "{seed}");
    for (index, entry) in &told.synced {
        assert_eq!(all.get(*index as usize), Some(&(*index, entry.clone())), "{seed}: entry {index}");
    }
    if let Some(known) = told.head {
        let path = log.prove_consistency(known.size, head.size).unwrap();
        super::super::proof::verify_consistency(known.size, head.size, &path, &known.root, &head.root).unwrap();
    }
}

#[tokio::test]
async fn log_whose_sync_failed_before_a_kill_is_written_again_before_it_is_trusted() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    super::append(&log, vec![b"one".to_vec()]).await.unwrap();
    // The sync fails, the process ends before it can go on: the batch can still be read, and is not on disk.
    disk.fail(super::sim::Op::SyncData, "segments", std::io::ErrorKind::Other);
    assert!(super::append(&log, vec![b"two".to_vec()]).await.is_err());
    disk.cut_power_after(0);
    drop(log);
    disk.kill();
    let (log, opened) = open(&disk, None).unwrap();
    let head = opened.head;
    drop(log);
    disk.crash(1);
    let (_, opened) =
        Log::open(std::path::Path::new(super::DIR), Arc::new(disk.clone()), signing_key(0), small(), Some(head))
            .unwrap();
    assert_eq!(opened.head, head);
}

fn dump(disk: &SimDisk) {
    use crate::tlog::segment::*;
    for path in disk.files() {
        let bytes = disk.contents(&path);
        println!("{} {}", path.display(), bytes.len());
        if path.to_string_lossy().ends_with(".seg") && bytes.len() > 64 {
            println!("   {:?}", Header::decode(bytes[..64].try_into().unwrap()));
            let mut at = 64;
            let mut entries = 0;
            loop {
                match parse_frame(&bytes[at..]) {
                    Parsed::Frame(Frame::Entry(_), n) => {
                        entries += 1;
                        at += n;
                    }
                    Parsed::Frame(Frame::Checkpoint { synced, note }, n) => {
                        at += n;
                        let note = crate::tlog::checkpoint::Checkpoint::parse(note).unwrap();
                        println!("   {at}: checkpoint {} after {entries}, synced {synced}", note.head.size);
                    }
                    other => {
                        println!("   {at}: {other:?} after {entries}");
                        break;
                    }
                }
            }
        }
    }
}
