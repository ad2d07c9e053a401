//! Re-verifies log and store in the background, slowly: every entry of the log hashed, every live entry of the store
//! compared with its last record. What it finds is logged once and raises a metric.

use std::{
    collections::BTreeSet,
    hash::RandomState,
    sync::Arc,
    time::{Duration, Instant},
};

use coffer_api::Code;
use coffer_storage::{Key, Limit, Prefix};

use super::{
    ledger::{Ledger, Standing},
    registered::{self, is_log},
};
use crate::{
    Error,
    active::Active,
    keys, outbox,
    record::Record,
    tlog::{
        ReadError, RealDisk,
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
/// How long records of commits may take to be in the log before the store is compared all the same.
const PATIENCE: Duration = Duration::from_secs(10);

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

    /// These, and what a round that was cut short found beyond them.
    fn joined(&self, cut_short: Self) -> Self {
        let mut all = self.clone();
        let unknown = cut_short.named.into_iter().filter(|finding| !self.named.contains(finding));
        unknown.for_each(|finding| all.add(finding));
        all.count = all.count.max(cut_short.count);
        all
    }
}

/// What rounds know of each other.
#[derive(Default)]
struct Rounds {
    reported: Findings,
    /// A revision since which this node leads without a break: what was committed later is in its log.
    led_since: Option<u64>,
    /// The fewest entries that a round found to be recorded in other nodes' logs.
    fewest_elsewhere: Option<u64>,
}

/// Begins a round `every` so long after the last, until the node is no longer active; `None` = never.
pub(crate) async fn scrub(active: Arc<Active>, dir: std::path::PathBuf, every: Option<Duration>) {
    let Some(every) = every else { return };
    let mut rounds = Rounds::default();
    let work = async {
        if let Err(error) = rounds.begin(&active).await {
            tracing::warn!(cause = ?error, "the scrub knows from its first round on since when this node leads");
        }
        loop {
            tokio::time::sleep(every).await;
            rounds.run(&active, &dir).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = active.stopped() => {}
    }
}

impl Rounds {
    async fn begin(&mut self, active: &Active) -> Result<u64, Error> {
        match self.led_since {
            Some(since) => Ok(since),
            None => {
                let since = outbox::register(active).await?.0;
                self.led_since = Some(since);
                Ok(since)
            }
        }
    }

    async fn run(&mut self, active: &Arc<Active>, dir: &std::path::Path) {
        let mut findings = Findings::default();
        let outcome = async {
            log_findings(active, dir, &mut findings).await?;
            self.store_findings(active, &mut findings).await
        }
        .await;
        let metrics = &active.metrics;
        let ended = u64::from(outcome.is_ok());
        let findings = match outcome {
            Ok(()) => {
                metrics.scrub_findings.set(findings.count);
                findings
            }
            // It clears nothing, but what it found stands.
            Err(error) => {
                tracing::warn!(cause = ?error, "a scrub did not come to its end; the next one starts over");
                let all = self.reported.joined(findings);
                metrics.scrub_findings.set(all.count.max(metrics.scrub_findings.value()));
                all
            }
        };
        if findings != self.reported {
            report(active, &findings).await;
            self.reported = findings;
        }
        metrics.scrub_rounds.add(ended);
    }

    /// Every live entry against its last record, a part of all keys at a time.
    async fn store_findings(&mut self, active: &Arc<Active>, findings: &mut Findings) -> Result<(), Error> {
        let led_since = self.begin(active).await?;
        let (until, size) = all_logged(active).await?;
        let alone = registered::nodes(active).await?.iter().all(|node| *node == active.node);
        let known = Known { until, here_from: if alone { 0 } else { led_since } };
        let parts = size.div_ceil(KEYS_AT_ONCE).max(1);
        let hasher = RandomState::new();
        let mut elsewhere = 0;
        for part in 0..parts {
            let mut ledger = Ledger::part(part, parts, hasher.clone());
            if let Err(finding) = read_log(active, &mut ledger, 0, size).await? {
                findings.add(finding);
                return Ok(());
            }
            elsewhere += compare_all(active, &mut ledger, known, findings).await?;
            let suspects: Vec<(String, u64)> = ledger
                .missing(active.clock.now())
                .filter(|(_, at)| *at <= until)
                .map(|(key, at)| (key.to_owned(), at))
                .collect();
            if suspects.is_empty() {
                continue;
            }
            // Deleted since, perhaps: then the log says so by now.
            let (_, end) = all_logged(active).await?;
            if let Err(finding) = read_log(active, &mut ledger, size, end).await? {
                findings.add(finding);
                return Ok(());
            }
            let still: BTreeSet<&str> = ledger.missing(active.clock.now()).map(|(key, _)| key).collect();
            for (key, at) in suspects.iter().filter(|(key, _)| still.contains(key.as_str())) {
                if known.is_here(*at) {
                    findings.add(format!("entry {key:?} is gone and no record deleted it"));
                } else {
                    elsewhere += 1;
                }
            }
        }
        active.metrics.scrub_elsewhere.set(elsewhere);
        // No other node has written anything since; what this one writes is in its own log from then on.
        let fewest = self.fewest_elsewhere.unwrap_or(elsewhere);
        if elsewhere > fewest {
            let more = elsewhere - fewest;
            findings.add(format!(
                "{more} entries more than before are recorded in no log of this node, and no other node led meanwhile"
            ));
        }
        self.fewest_elsewhere = Some(fewest.min(elsewhere));
        Ok(())
    }
}

/// Where the records of revisions are.
#[derive(Clone, Copy)]
struct Known {
    /// What came later is left to the next round.
    until: u64,
    /// Records of later revisions are in this node's log; those of earlier ones may be in another's.
    here_from: u64,
}

impl Known {
    fn is_here(self, revision: u64) -> bool {
        self.here_from == 0 || revision > self.here_from
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

/// Waits until what is committed by now is in the log; tells the last such revision, and the size of the log then.
async fn all_logged(active: &Active) -> Result<(u64, u64), Error> {
    let until = outbox::register(active).await?.0;
    let started = Instant::now();
    // A row from outside that lies among them, or a store that deletes none, is not waited for without end.
    while is_unlogged(active, until).await? && started.elapsed() < PATIENCE {
        if active.outbox.is_broken() {
            return Err(Error::new(Code::AuditUnavailable, "the audit log cannot be written"));
        }
        tokio::time::sleep(REST).await;
    }
    Ok((until, active.log.head().size))
}

/// Whether this node has a row in the outbox that is no younger than a revision.
async fn is_unlogged(active: &Active, until: u64) -> Result<bool, Error> {
    let prefix = Prefix::new(format!("{}{}/", keys::OUTBOX, active.node))?;
    let mut after: Option<Key> = None;
    loop {
        let page = active.store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
        if page.items.iter().any(|(_, entry)| entry.revision.0 <= until) {
            return Ok(true);
        }
        after = page.items.last().map(|(key, _)| key.clone());
        if !page.more {
            return Ok(false);
        }
    }
}

async fn read_log(active: &Arc<Active>, ledger: &mut Ledger, from: u64, to: u64) -> Result<Result<(), String>, Error> {
    let mut next = from;
    while next < to {
        let reading = Arc::clone(active);
        let entries = tokio::task::spawn_blocking(move || reading.log.read(next, BURST)).await;
        let entries = match entries.map_err(Error::internal)? {
            Err(damaged @ ReadError::Damaged { .. }) => return Ok(Err(damaged.to_string())),
            entries => entries.map_err(Error::internal)?,
        };
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

/// Compares what lies in the store; tells how many entries' records may be in other nodes' logs.
async fn compare_all(
    active: &Active,
    ledger: &mut Ledger,
    known: Known,
    findings: &mut Findings,
) -> Result<u64, Error> {
    let prefix = Prefix::new("")?;
    let limit = Limit::new(BURST)?;
    let mut elsewhere = 0;
    let mut after: Option<Key> = None;
    loop {
        let page = active.store.scan(&prefix, after.as_ref(), limit).await?;
        for (key, entry) in &page.items {
            let name = String::from_utf8_lossy(key.as_bytes());
            let revision = entry.revision.0;
            active.metrics.scrubbed.add(1);
            match ledger.compare(&name, revision, &entry.value) {
                Standing::Altered(finding) => findings.add(finding),
                Standing::Elsewhere if revision > known.until => {}
                Standing::Elsewhere if known.is_here(revision) => {
                    findings.add(format!("entry {name:?} has no record"));
                }
                Standing::Elsewhere if name.starts_with(keys::LOG) && !is_log(active, &name, &entry.value) => {
                    findings.add(format!("entry {name:?} has no record, and no node wrote it"));
                }
                Standing::Elsewhere => elsewhere += 1,
                Standing::Agrees | Standing::Outbox | Standing::Skipped => {}
            }
        }
        after = page.items.last().map(|(key, _)| key.clone());
        if !page.more {
            return Ok(elsewhere);
        }
        tokio::time::sleep(REST).await;
    }
}
