//! Searching the log: a file of summaries, one for each full bundle, that says which bundles need not be opened.
//!
//! The index is no evidence: it is made from the log, made again where it is missing, damaged or another log's, and
//! who can write it can hide entries from searches (never from verification). The file begins with 64 bytes (format,
//! magic, SHA-256 of the log's name, checksum); records follow in the order of bundles.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire},
    },
};

use coffer_crypto::hash::sha256;
use parking_lot::Mutex;

use super::{
    Log,
    disk::{Access, DiskFile, Named},
    merkle::{leaf_hash, root_over},
    shared::Shared,
    summary::{BundleSummary, RECORD, Summary, TimeRange},
    tail::ReadError,
    tile::TILE_WIDTH,
};

/// Says what of an entry is searched for; nothing, for one that no search shall find.
pub type Summarise = dyn Fn(&[u8]) -> Option<Summary> + Send + Sync;

/// From which end a search begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// The last entry first.
    Newest,
    /// The first entry first.
    Oldest,
}

/// What is searched for.
#[derive(Clone, Debug)]
pub struct Query {
    /// From which end.
    pub order: Order,
    /// Where the last page left off ([`QueryPage::next`]); none for the first.
    pub cursor: Option<u64>,
    /// Terms that an entry must all have, as its summary names them. None finds every entry that has a summary.
    pub terms: Vec<u64>,
    /// Terms of which an entry must have at least one; any entry will do where there are none.
    pub any_of: Vec<u64>,
    /// When it must have been.
    pub times: TimeRange,
    /// The most entries of a page.
    pub limit: usize,
    /// The most work for a page.
    pub budget: Budget,
}

/// What one page of a search may cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Summaries read, of 1 KiB each, for 256 entries.
    pub summaries: u64,
    /// Bundles opened, of up to 256 entries each; at least one is.
    pub bundles: u64,
}

/// A part of what was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct QueryPage {
    /// The entries, with their indexes.
    pub entries: Vec<(u64, Vec<u8>)>,
    /// Where to go on; none when everything has been searched. There may be more even where nothing was found.
    pub next: Option<u64>,
    /// Entries that were looked at.
    pub scanned: u64,
}

/// The index of a log. It keeps the log's files readable, and is to be dropped before the log is opened again.
pub struct Index {
    shared: Arc<Shared>,
    summarise: Box<Summarise>,
    file: Arc<dyn DiskFile>,
    /// How many bundles from the first on have a record.
    indexed: AtomicU64,
    /// Held while records are written.
    writing: Mutex<()>,
}

impl Index {
    /// Opens the index of a log, or makes an empty one; [`Index::catch_up`] fills it.
    ///
    /// # Errors
    /// [`ReadError`] where the file can be neither read nor made, or the log cannot be read.
    pub fn open(log: &Log, summarise: Box<Summarise>) -> Result<Self, ReadError> {
        let shared = log.shared();
        let path = shared.paths.index();
        let header = header(shared.options.origin.as_str());
        let file = match shared.disk.open(&path, Access::Write).named("open", &path) {
            Err(error) if error.is_missing() => None,
            file => Some(file?),
        };
        let indexed = match &file {
            Some(file) => usable_records(&shared, file.as_ref(), &header)?,
            None => None,
        };
        let (file, indexed) = match (file, indexed) {
            (Some(file), Some(indexed)) => (file, indexed),
            _ => {
                let file = shared.disk.create(&path).named("make", &path)?;
                file.write_at(&header, 0).named("write", &path)?;
                (file, 0)
            }
        };
        Ok(Self { shared, summarise, file, indexed: AtomicU64::new(indexed), writing: Mutex::new(()) })
    }

    /// Adds summaries of at most so many bundles, and says how many full bundles are still without. Blocks.
    ///
    /// Searches find everything in any case; those of bundles without a summary cost more.
    ///
    /// # Errors
    /// [`ReadError`]; it can be tried again.
    pub fn catch_up(&self, bundles: u64) -> Result<u64, ReadError> {
        let _writing = self.writing.lock();
        let full = self.shared.ledger.size() / TILE_WIDTH;
        for _ in 0..bundles {
            let bundle = self.indexed.load(Acquire);
            if bundle >= full {
                break;
            }
            let record = self.summarise_bundle(bundle)?.encode();
            let path = self.shared.paths.index();
            self.file.write_at(&record, record_offset(bundle)).named("write", &path)?;
            // A search that meets a damaged record sets it back; then the next round begins there.
            let _ = self.indexed.compare_exchange(bundle, bundle + 1, AcqRel, Acquire);
        }
        Ok(full.saturating_sub(self.indexed.load(Acquire)))
    }

    /// One page of the synced entries for which `matches` says so, among those that the query allows. Blocks.
    ///
    /// `matches` decides; the query's terms and times only spare it entries: they must follow from it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn query(&self, query: &Query, matches: &dyn Fn(&[u8]) -> bool) -> Result<QueryPage, ReadError> {
        let size = self.shared.ledger.size();
        let indexed = self.indexed.load(Acquire);
        let Budget { mut summaries, bundles } = query.budget;
        let mut bundles = bundles.max(1);
        let mut page = QueryPage::default();
        let mut at = query.cursor.unwrap_or(match query.order {
            Order::Newest => size,
            Order::Oldest => 0,
        });
        at = at.min(size);
        while let Some((bundle, from, to)) = step(query.order, at, size) {
            page.next = Some(at);
            let summary = if bundle < indexed {
                if summaries == 0 {
                    return Ok(page);
                }
                summaries -= 1;
                self.record(bundle)?
            } else {
                None
            };
            at = match query.order {
                Order::Newest => from,
                Order::Oldest => to,
            };
            if summary.is_some_and(|summary| !summary.may_have(&query.terms, &query.any_of, &query.times)) {
                continue;
            }
            if bundles == 0 || page.entries.len() >= query.limit {
                return Ok(page);
            }
            bundles -= 1;
            if let Some(rest) = self.search(from, to, query, matches, &mut page)? {
                page.next = Some(rest);
                return Ok(page);
            }
        }
        page.next = None;
        Ok(page)
    }

    /// Looks at the entries of a part of a bundle; says where to go on if the page is full before its end.
    fn search(
        &self,
        from: u64,
        to: u64,
        query: &Query,
        matches: &dyn Fn(&[u8]) -> bool,
        page: &mut QueryPage,
    ) -> Result<Option<u64>, ReadError> {
        let mut entries: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut at = from;
        while at < to {
            let read = self.shared.reader().entries(at, to, usize::MAX)?;
            let count = read.len();
            entries.extend((at..).zip(read));
            at += u64::try_from(count).expect("a length in memory fits 64 bits");
        }
        if query.order == Order::Newest {
            entries.reverse();
        }
        for (index, entry) in entries {
            if page.entries.len() >= query.limit {
                return Ok(Some(match query.order {
                    Order::Newest => index + 1,
                    Order::Oldest => index,
                }));
            }
            page.scanned += 1;
            if matches(&entry) {
                page.entries.push((index, entry));
            }
        }
        Ok(None)
    }

    /// The summary of a bundle; none where its record is damaged, so that the bundle is opened.
    fn record(&self, bundle: u64) -> Result<Option<BundleSummary>, ReadError> {
        let path = self.shared.paths.index();
        let mut bytes = [0; RECORD];
        let read = read_full(self.file.as_ref(), &mut bytes, record_offset(bundle)).named("read", &path)?;
        let summary = if read { BundleSummary::decode(&bytes, bundle) } else { None };
        if summary.is_none() {
            // Written again by the next `catch_up`, with those after it, which is cheap enough for what never happens.
            self.indexed.fetch_min(bundle, AcqRel);
        }
        Ok(summary)
    }

    fn summarise_bundle(&self, bundle: u64) -> Result<BundleSummary, ReadError> {
        let (from, to) = (bundle * TILE_WIDTH, (bundle + 1) * TILE_WIDTH);
        let mut leaves = Vec::new();
        let mut found = Vec::new();
        let mut at = from;
        while at < to {
            for entry in self.shared.reader().entries(at, to, usize::MAX)? {
                leaves.push(leaf_hash(&entry));
                found.extend((self.summarise)(&entry));
                at += 1;
            }
        }
        let mut summary = BundleSummary::new(bundle, root_over(&leaves));
        found.iter().for_each(|entry| summary.add(entry));
        Ok(summary)
    }
}

/// The bundle to look at next, and the part of it that is still to be looked at.
fn step(order: Order, at: u64, size: u64) -> Option<(u64, u64, u64)> {
    match order {
        Order::Oldest if at < size => {
            let bundle = at / TILE_WIDTH;
            Some((bundle, at, size.min((bundle + 1) * TILE_WIDTH)))
        }
        Order::Newest if at > 0 => {
            let bundle = (at - 1) / TILE_WIDTH;
            Some((bundle, bundle * TILE_WIDTH, at))
        }
        Order::Newest | Order::Oldest => None,
    }
}

/// How many records of a file can be used; none if it is not the index of this log.
fn usable_records(shared: &Shared, file: &dyn DiskFile, header: &[u8]) -> Result<Option<u64>, ReadError> {
    let path = shared.paths.index();
    let mut found = [0; HEADER];
    if !read_full(file, &mut found, 0).named("read", &path)? || found != header {
        return Ok(None);
    }
    let len = file.stat().named("stat", &path)?.len;
    let records = len.saturating_sub(record_offset(0)) / (record_offset(1) - record_offset(0));
    let records = records.min(shared.ledger.size() / TILE_WIDTH);
    let Some(last) = records.checked_sub(1) else { return Ok(Some(0)) };
    let mut bytes = [0; RECORD];
    read_full(file, &mut bytes, record_offset(last)).named("read", &path)?;
    // A log that was put back and went on differently has another root there.
    let root = super::merkle::Nodes::node(&mut shared.reader().nodes(), 8, last)?;
    Ok(BundleSummary::decode(&bytes, last).filter(|summary| *summary.root() == root).map(|_| records))
}

fn read_full(file: &dyn DiskFile, into: &mut [u8], offset: u64) -> std::io::Result<bool> {
    let mut have = 0;
    while let Some(rest) = into.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + u64::try_from(have).unwrap_or(0))? {
            0 => return Ok(false),
            count => have += count,
        }
    }
    Ok(true)
}

fn header(origin: &str) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&sha256(&[origin.as_bytes()]));
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    bytes.resize(HEADER, 0);
    bytes
}

fn record_offset(bundle: u64) -> u64 {
    let [header, record] = [HEADER, RECORD].map(|len| u64::try_from(len).expect("a small number"));
    header + bundle * record
}

const FORMAT: u8 = 1;
const HEADER: usize = 64;
const MAGIC: &[u8; 7] = b"tlogidx";
