//! Offline verification of a stopped server's store against its logs (`coffer audit verify --store`). Needs no key of
//! the barrier: records carry digests of sealed entries.

use std::{collections::BTreeMap, path::PathBuf};

use coffer_storage::{Key, Limit, Prefix};
use thiserror::Error;

use crate::{
    audit::{
        ledger::{Ledger, Standing},
        registered,
    },
    clock::{SystemTimeSource, TimeSource},
    keys,
    tlog::{
        RealDisk,
        note::VerifierKey,
        verify::{Report, Verification, VerifyError, verify_dir},
    },
};

/// Findings named; further ones are counted.
const NAMED: usize = 100;

/// A log to be read along.
#[derive(Clone, Debug)]
pub struct GivenLog {
    /// Its directory.
    pub dir: PathBuf,
    /// Its first key, and later ones if known.
    pub keys: Vec<VerifierKey>,
    /// A checkpoint kept elsewhere.
    pub since: Option<String>,
}

/// What the comparison came to.
#[derive(Clone, Debug, Default)]
pub struct StoreReport {
    /// Live entries compared.
    pub entries: u64,
    /// Entries that are not what was recorded, missing or without a record: the first hundred.
    pub findings: Vec<String>,
    /// How many there are in all.
    pub finding_count: u64,
    /// Entries whose record is in no log given, by the origins of the registered logs that were not.
    pub recorded_elsewhere: BTreeMap<String, u64>,
    /// Outbox rows whose record is not in the log yet: start the server once.
    pub unlogged: u64,
}

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum StoreVerifyError {
    /// A log itself is not good or cannot be read.
    #[error("the log in {dir}: {source}")]
    Log {
        /// Which log.
        dir: PathBuf,
        /// What is wrong.
        source: VerifyError,
    },
    /// There is no such store.
    #[error("{0} is not there")]
    Missing(PathBuf),
    /// The store cannot be read.
    #[error("the store: {0}")]
    Store(#[from] coffer_storage::Error),
}

impl StoreReport {
    /// Whether nothing is wrong and nothing is left open.
    pub fn is_conclusive(&self) -> bool {
        self.recorded_elsewhere.is_empty() && self.unlogged == 0
    }

    fn find(&mut self, finding: String) {
        self.finding_count += 1;
        if self.findings.len() < NAMED {
            self.findings.push(finding);
        }
    }
}

/// Verifies the logs, then compares every live entry of the store with its last record over all of them.
///
/// # Errors
/// [`StoreVerifyError`]; what is wrong with the store itself is in the report.
pub async fn verify_store(url: &str, logs: Vec<GivenLog>) -> Result<(Vec<Report>, StoreReport), StoreVerifyError> {
    // Opening a SQLite store makes one where there is none.
    if let Some(path) = url.strip_prefix("sqlite:").map(PathBuf::from)
        && !path.exists()
    {
        return Err(StoreVerifyError::Missing(path));
    }
    let mut ledger = Ledger::whole();
    let mut reports = Vec::new();
    let mut origins = Vec::new();
    for log in logs {
        let what = Verification { dir: &log.dir, keys: &log.keys, since: log.since.as_deref() };
        let report = verify_dir(&RealDisk, what, &mut |_, entry| ledger.absorb(entry));
        reports.push(report.map_err(|source| StoreVerifyError::Log { dir: log.dir.clone(), source })?);
        origins.extend(log.keys.first().map(|key| key.name().as_str().to_owned()));
    }
    let store = coffer_storage::open(url).await?;
    let report = compare(store.as_ref(), &mut ledger, &origins).await;
    store.close().await;
    Ok((reports, report?))
}

async fn compare(
    store: &dyn coffer_storage::Store,
    ledger: &mut Ledger,
    origins: &[String],
) -> Result<StoreReport, coffer_storage::Error> {
    let mut report = StoreReport::default();
    let mut elsewhere: Vec<(String, u64)> = Vec::new();
    let mut outbox: BTreeMap<u64, String> = BTreeMap::new();
    let mut nodes = Vec::new();
    let prefix = Prefix::new("")?;
    let mut after: Option<Key> = None;
    loop {
        let page = store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
        for (key, entry) in &page.items {
            let name = String::from_utf8_lossy(key.as_bytes());
            report.entries += 1;
            nodes.extend(name.strip_prefix(keys::LOG).map(str::to_owned));
            match ledger.compare(&name, entry.revision.0, &entry.value) {
                Standing::Agrees | Standing::Skipped => {}
                Standing::Altered(finding) => report.find(finding),
                Standing::Elsewhere => elsewhere.push((name.into_owned(), entry.revision.0)),
                Standing::Outbox => drop(outbox.insert(entry.revision.0, name.into_owned())),
            }
        }
        after = page.items.last().map(|(key, _)| key.clone());
        if !page.more {
            break;
        }
    }
    // All logs of a store bear its cluster's name before their node's.
    let cluster = origins.first().and_then(|origin| origin.rsplit_once('/')).map_or("", |(cluster, _)| cluster);
    let registered = nodes.iter().map(|node| format!("{cluster}/{node}"));
    let not_given: Vec<String> = registered.filter(|origin| !origins.contains(origin)).collect();
    // Any row can be put there from outside, to excuse others. Who led last knew which logs there are, and no node has
    // made one since.
    let leader = store.leader().await?;
    if let (Some(start), Some(leader)) = (ledger.last_start(), leader)
        && (start.epoch, &start.node) == (leader.epoch.0, &leader.node)
        && start.logs != registered::digest(nodes.iter().map(String::as_str))
    {
        let unknown = not_given.join(", ");
        report.find(format!("the store registers other logs than at its last start; not given: {unknown}"));
    }
    let unlogged = settle(&mut report, elsewhere, &outbox, &not_given);
    report.unlogged = unlogged;
    let now = SystemTimeSource.wall();
    let missing: Vec<(String, u64)> = ledger.missing(now).map(|(key, at)| (key.to_owned(), at)).collect();
    for (key, at) in missing {
        // A deletion whose record is not in the log yet leaves an outbox row of a later revision.
        if outbox.range(at + 1..).next().is_some() {
            continue;
        }
        match not_given.first() {
            Some(node) => *report.recorded_elsewhere.entry(node.clone()).or_default() += 1,
            None => report.find(format!("entry {key:?} is gone and no record deleted it")),
        }
    }
    Ok(report)
}

/// Sorts out entries without a record: in the outbox, in a log that was not given, or a finding. Tells how many outbox
/// rows are not known to be logged.
fn settle(
    report: &mut StoreReport,
    elsewhere: Vec<(String, u64)>,
    outbox: &BTreeMap<u64, String>,
    not_given: &[String],
) -> u64 {
    let mut unlogged = 0;
    let mut explained = None;
    for (key, revision) in elsewhere {
        if outbox.contains_key(&revision) {
            if explained != Some(revision) {
                unlogged += 1;
                explained = Some(revision);
            }
        } else if let Some(node) = not_given.first() {
            *report.recorded_elsewhere.entry(node.clone()).or_default() += 1;
        } else {
            report.find(format!("entry {key:?} has no record"));
        }
    }
    unlogged.max(u64::try_from(outbox.len()).unwrap_or(u64::MAX))
}
