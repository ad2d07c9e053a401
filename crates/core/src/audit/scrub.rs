//! Re-verifies log and store in the background, slowly: every entry of the log hashed, every live entry of the store
//! compared with its last record. What it finds is logged once and raises a metric.

use std::{collections::BTreeSet, hash::RandomState, sync::Arc, time::Duration};

use coffer_storage::{Key, Limit, Prefix};

use super::ledger::{Ledger, Standing};
use crate::{
    Error,
    active::Active,
    commit::Edit,
    housekeeping, keys,
    record::Record,
    tlog::{
        RealDisk,
        verify::{Verification, VerifyError, verify_dir},
    },
};

/// Keys whose last records are held at once, roughly.
const KEYS_AT_ONCE: u64 = 200_000;
/// Entries between two rests, and how long a rest is: about 20,000 entries a second.
const BURST: usize = 500;
const REST: Duration = Duration::from_millis(25);
/// Findings named in the server's log; further ones are counted.
const NAMED: usize = 100;

/// What one round found: how much in all, and the first of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Findings {
    count: u64,
    named: Vec<String>,
}

impl Findings {
    fn add(&mut self, finding: String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(finding);
        }
    }
}

/// Begins a round `every` so long after the last, until the node is no longer active; `None` = never.
pub(crate) async fn scrub(active: Arc<Active>, dir: std::path::PathBuf, every: Option<Duration>) {
    let Some(every) = every else { return };
    let mut reported = Findings::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = active.stopped() => return,
        }
        let mut findings = Findings::default();
        let round = async {
            log_findings(&active, &dir, &mut findings).await?;
            store_findings(&active, &mut findings).await
        };
        let outcome = tokio::select! {
            outcome = round => outcome,
            () = active.stopped() => return,
        };
        if let Err(error) = &outcome {
            tracing::warn!(cause = ?error, "a scrub did not come to its end; the next one starts over");
        }
        // A round that was cut short clears nothing, but what it found stands.
        if outcome.is_ok() || findings.count > 0 {
            active.metrics.scrub_findings.set(findings.count);
            if findings != reported {
                report(&active, &findings).await;
                reported = findings;
            }
        }
        active.metrics.scrub_rounds.add(1);
    }
}

/// Names findings that the round before did not have.
async fn report(active: &Active, findings: &Findings) {
    for finding in &findings.named {
        tracing::error!(finding, "log or store were changed from outside");
    }
    if let Some(first) = findings.named.first() {
        let record =
            Record::system("audit.scrub").fact("findings", findings.count.to_string()).fact("first", first.clone());
        if let Err(error) = active.log_synced(&record).await {
            tracing::warn!(cause = ?error, "the scrub's findings could not be logged");
        }
    }
}

/// The log itself: leaves, tiles, roots, signatures.
async fn log_findings(active: &Arc<Active>, dir: &std::path::Path, findings: &mut Findings) -> Result<(), Error> {
    let dir = dir.to_owned();
    let active = Arc::clone(active);
    let checked = tokio::task::spawn_blocking(move || {
        let first = crate::tlog::note::VerifierKey::parse(&active.first_vkey).map_err(Error::internal)?;
        let keys = [first];
        let what = Verification { dir: &dir, keys: &keys, since: None };
        let mut since_rest = 0;
        let result = verify_dir(&RealDisk, what, &mut |_, _| {
            active.metrics.scrubbed.add(1);
            since_rest += 1;
            if since_rest >= BURST {
                since_rest = 0;
                std::thread::sleep(REST);
            }
            // The record itself is looked at with the store; here only a stop ends it early.
            if *active.stop.borrow() { Err("stopped".to_owned()) } else { Ok(()) }
        });
        match result {
            Ok(_) => Ok(None),
            Err(VerifyError::Finding(finding)) if !*active.stop.borrow() => Ok(Some(finding.to_string())),
            Err(error) => Err(Error::internal(error)),
        }
    });
    if let Some(finding) = checked.await.map_err(Error::internal)?? {
        findings.add(finding);
    }
    Ok(())
}

/// Every live entry against its last record, a part of all keys at a time.
async fn store_findings(active: &Arc<Active>, findings: &mut Findings) -> Result<(), Error> {
    // What is committed by now is in the log a moment later; later revisions are left to the next round.
    let mut edit = Edit::default();
    let mark_ms = active.clock.now();
    if active.clock.mark_to_persist().is_none() {
        return Ok(());
    }
    edit.put(keys::CLOCK, crate::codec::encode(&housekeeping::ClockRow { mark_ms })?, None);
    let until = active.commit_bookkeeping(edit).await?.0;
    tokio::time::sleep(Duration::from_secs(2)).await;
    if active.outbox.is_broken() {
        return Ok(());
    }
    let size = active.log.head().size;
    let parts = size.div_ceil(KEYS_AT_ONCE).max(1);
    let hasher = RandomState::new();
    let others = other_logs(active).await?;
    for part in 0..parts {
        let mut ledger = Ledger::part(part, parts, hasher.clone());
        if let Err(finding) = read_log(active, &mut ledger, 0, size).await? {
            findings.add(finding);
            return Ok(());
        }
        compare_all(active, &mut ledger, until, others, findings).await?;
        let suspects: BTreeSet<String> =
            ledger.missing(active.clock.now()).filter(|(_, at)| *at <= until).map(|(key, _)| key.to_owned()).collect();
        if !suspects.is_empty() {
            // Deleted since, perhaps: by us (then the log says so by now) or by another node.
            let end = active.log.head().size;
            if let Err(finding) = read_log(active, &mut ledger, size, end).await? {
                findings.add(finding);
                return Ok(());
            }
            let still: BTreeSet<&str> = ledger.missing(active.clock.now()).map(|(key, _)| key).collect();
            for key in suspects.iter().filter(|key| still.contains(key.as_str()) && others == 0) {
                findings.add(format!("entry {key:?} is gone and no record deleted it"));
            }
        }
    }
    Ok(())
}

async fn read_log(active: &Arc<Active>, ledger: &mut Ledger, from: u64, to: u64) -> Result<Result<(), String>, Error> {
    let mut next = from;
    while next < to {
        let reading = Arc::clone(active);
        let entries = tokio::task::spawn_blocking(move || reading.log.read(next, BURST)).await;
        let entries = entries.map_err(Error::internal)?.map_err(Error::internal)?;
        let Some((last, _)) = entries.last() else { break };
        next = last + 1;
        for (index, entry) in &entries {
            if let Err(what) = ledger.absorb(entry) {
                return Ok(Err(format!("entry {index} of the log is no record: {what}")));
            }
        }
        tokio::time::sleep(REST).await;
    }
    Ok(Ok(()))
}

async fn compare_all(
    active: &Active,
    ledger: &mut Ledger,
    until: u64,
    others: usize,
    findings: &mut Findings,
) -> Result<(), Error> {
    let prefix = Prefix::new("")?;
    let limit = Limit::new(BURST)?;
    let mut after: Option<Key> = None;
    loop {
        let page = active.store.scan(&prefix, after.as_ref(), limit).await?;
        for (key, entry) in &page.items {
            let name = String::from_utf8_lossy(key.as_bytes());
            active.metrics.scrubbed.add(1);
            match ledger.compare(&name, entry.revision.0, &entry.value) {
                Standing::Altered(finding) => findings.add(finding),
                Standing::Elsewhere if entry.revision.0 <= until && others == 0 => {
                    findings.add(format!("entry {name:?} has no record"));
                }
                Standing::Agrees | Standing::Elsewhere | Standing::Outbox | Standing::Skipped => {}
            }
        }
        after = page.items.last().map(|(key, _)| key.clone());
        if !page.more {
            return Ok(());
        }
        tokio::time::sleep(REST).await;
    }
}

/// How many other nodes' logs the store registers.
async fn other_logs(active: &Active) -> Result<usize, Error> {
    let logs = active.names(keys::LOG, "", 1000).await?;
    Ok(logs.names.iter().filter(|node| **node != active.node).count())
}
