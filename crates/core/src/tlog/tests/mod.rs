//! Tests of the log as a whole, and what they share.

mod crash;
pub(crate) mod dice;
mod faults;
mod index;
mod kinds;
mod live;
mod log;
mod oracle;
mod promised;
pub(crate) mod sim;
mod tamper;
pub(crate) mod vectors;

use std::{path::Path, sync::Arc, time::Duration};

use self::{
    sim::SimDisk,
    vectors::{signer, signing_key},
};
use super::{
    Head, Log, OpenError, Opened, Options,
    note::KeyName,
    verify::{Report, Verification, VerifyError, verify_dir},
};

/// Small files, so that tests cross their limits.
fn small() -> Options {
    Options {
        segment_bytes: 32 * 1024,
        reserve_bytes: 16 * 1024,
        max_batch_entries: 64,
        max_batch_bytes: 256 * 1024,
        pending_bytes: 64 * 1024,
        // Tests publish and look when they want to.
        publish_interval: Duration::from_secs(3600),
        check_interval: Duration::from_secs(3600),
        relaxed_sync_delay: Duration::ZERO,
        retry_after: Duration::ZERO,
        ..Options::new(KeyName::new(ORIGIN).unwrap())
    }
}

fn open(disk: &SimDisk, known: Option<Head>) -> Result<(Log, Opened), OpenError> {
    Log::open(Path::new(DIR), Arc::new(disk.clone()), signing_key(0), small(), known)
}

/// Appends and waits until it is synced; gives the index of the first.
async fn append(log: &Log, entries: Vec<Vec<u8>>) -> Result<u64, super::AppendError> {
    let ticket = log.append(entries).await?;
    log.synced(&ticket).await
}

/// Verifies the log from its first key; gives the entries too.
fn verify(disk: &SimDisk, since: Option<&str>) -> Result<(Report, Vec<Vec<u8>>), VerifyError> {
    let mut entries = Vec::new();
    let keys = [signer(ORIGIN, 0).verifier().clone()];
    let what = Verification { dir: Path::new(DIR), keys: &keys, since };
    let report = verify_dir(disk, what, &mut |index, entry| {
        assert_eq!(index, count(&entries));
        entries.push(entry.to_vec());
        Ok(())
    })?;
    Ok((report, entries))
}

fn count<T>(all: &[T]) -> u64 {
    u64::try_from(all.len()).unwrap()
}

const DIR: &str = "/data/log";
const ORIGIN: &str = "coffer.test/audit";
