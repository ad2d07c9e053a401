//! Checking a log offline, from nothing but its directory and its first key.
//!
//! Every entry is hashed, every tile and bundle compared, every signed checkpoint held against the tree that it closes,
//! the keys followed through their changes. Memory does not grow with the log. The directory may be in use.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use super::{
    checkpoint::{Checkpoint, CheckpointError, Head},
    disk::{Disk, DiskError, Named},
    merkle::{Frontier, Hash, leaf_hash},
    note::{KeyName, VerifierKey},
    paths::Paths,
    replay::later_checkpoint,
    rotation::{KeyChain, RotationError},
    segment_stream::{Event, Leftover, SegmentStream, StreamError, grew, whole_entries},
    tail::MAX_BUNDLE,
    tile::{TILE_WIDTH, TileKind, TilePath, decode_entries},
    tile_check::{OTHER_HASH, TileCheck},
};

/// What is checked, and against what.
#[derive(Clone, Copy, Debug)]
pub struct Verification<'a> {
    /// The directory of the log, or a copy of its `checkpoint` and `tile` alone.
    pub dir: &'a Path,
    /// The first key of the log, at least; further keys must be those that followed it, in their order.
    pub keys: &'a [VerifierKey],
    /// A checkpoint kept elsewhere, of which the log must be a continuation.
    pub since: Option<&'a str>,
}

/// A log in which nothing was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// The size and root that the entries come to.
    pub head: Head,
    /// The size and root of the published checkpoint.
    pub published: Option<Head>,
    /// The keys that have signed, each vouched for by the one before it.
    pub keys: KeyChain,
    /// The signed checkpoints that were checked.
    pub checkpoints: u64,
    /// Entries of writes that failed, which were never acknowledged and are no part of the log.
    pub abandoned: u64,
    /// Bytes after the last checkpoint, which opening the log drops.
    pub unfinished_bytes: u64,
    /// Whether there are segments. Without them nothing is known of entries after the published checkpoint; with them
    /// and without a published checkpoint, nothing says that the end of the log is there.
    pub has_segments: bool,
}

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Finding {
    /// A segment is no longer what was written.
    #[error("entry {index} is altered: {} is damaged there, before entries that were acknowledged", path.display())]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// The first entry that is not whole, or whose checkpoint is not.
        index: u64,
    },
    /// An entry is not what it was.
    #[error("entry {index} is altered: {what}")]
    Entry {
        /// Its index.
        index: u64,
        /// How that shows.
        what: &'static str,
    },
    /// A file is there that the log did not write.
    #[error("{} does not belong to the log", .0.display())]
    Extra(PathBuf),
    /// A file is not what the log wrote.
    #[error("{} is altered: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// How that shows.
        what: &'static str,
    },
    /// The keys of the log are not those that were given.
    #[error("the log was never signed by {0}, or not in that order")]
    Keys(Box<VerifierKey>),
    /// A file is gone.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// An entry is not one that the caller would have logged.
    #[error("entry {index} is not in order: {reason}")]
    Record {
        /// Its index.
        index: u64,
        /// What the caller says.
        reason: String,
    },
    /// The entries do not come to the root that was signed.
    #[error("one of the entries {from} to {} is altered: the first {size} entries do not have the root that {by} states", size.saturating_sub(1))]
    Root {
        /// Those before this one have the root that was signed over them.
        from: u64,
        /// How many entries.
        size: u64,
        /// What states the root.
        by: String,
    },
    /// A change of key does not hold.
    #[error("entry {index}: {source}")]
    Rotation {
        /// Its index.
        index: u64,
        /// Why.
        source: RotationError,
    },
    /// The end of the log is missing.
    #[error("the log has {size} entries, {by} states {stated}")]
    Short {
        /// How many there are.
        size: u64,
        /// How many there should be.
        stated: u64,
        /// What states it.
        by: String,
    },
    /// A checkpoint is not signed as it should be.
    #[error("the checkpoint of size {size} in {by} is not signed by the key in force")]
    Signature {
        /// The size that it states.
        size: u64,
        /// Where it stands.
        by: String,
        /// What is wrong.
        source: CheckpointError,
    },
}

/// Why a log was not found good.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read: nothing is known.
    #[error("the log could not be read")]
    Disk(#[source] DiskError),
    /// Something is wrong with it.
    #[error(transparent)]
    Finding(Box<Finding>),
    /// What it was to be checked against cannot be used; the text says what.
    #[error("{0}")]
    Input(String),
}

impl From<DiskError> for VerifyError {
    /// What stands where a file belongs and cannot be one of the log's is no failure to read.
    fn from(error: DiskError) -> Self {
        let what = match &error {
            error if error.is_too_long() => "it is too long",
            error if error.is_another_kind() => "not a regular file, or not in a directory",
            _ => return Self::Disk(error),
        };
        Finding::File { path: error.path, what }.into()
    }
}

impl From<Finding> for VerifyError {
    fn from(finding: Finding) -> Self {
        Self::Finding(Box::new(finding))
    }
}

impl From<StreamError> for VerifyError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Disk(error) => error.into(),
            StreamError::Finding(finding) => finding.into(),
        }
    }
}

/// What the caller thinks of an entry; the text becomes [`Finding::Record`].
pub type EachEntry<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), String>;

/// Checks a log and hands each entry to `each`, in their order. Blocks.
///
/// # Errors
/// [`VerifyError::Finding`] with the first thing that is wrong, [`VerifyError::Disk`], [`VerifyError::Input`].
pub fn verify_dir(disk: &dyn Disk, what: Verification<'_>, each: EachEntry<'_>) -> Result<Report, VerifyError> {
    let first = what.keys.first().ok_or_else(|| VerifyError::Input("no key is given".to_owned()))?;
    let paths = Paths::new(what.dir);
    let since = what.since.map(|text| Checkpoint::parse(text.as_bytes())).transpose();
    let since = since.map_err(|error| VerifyError::Input(format!("the checkpoint to start from: {error}")))?;
    if let Some(since) = &since
        && since.origin != first.name().as_str()
    {
        return Err(VerifyError::Input(format!("the checkpoint to start from is one of {}", since.origin)));
    }
    // Read before the entries: while the log is in use they may grow, and must not fall behind these.
    let published = read_published(disk, &paths)?;
    let listed_keys = read_keys(disk, &paths)?;
    let tiles = TileCheck::walk(disk, &paths)?;
    let segments = SegmentStream::open(disk, &paths)?;
    let mut stated = VecDeque::new();
    stated.extend(published.iter().map(|c| (c.clone(), paths.checkpoint().display().to_string())));
    stated.extend(since.map(|c| (c, "the checkpoint to start from".to_owned())));
    let mut run = Run {
        disk,
        paths: &paths,
        origin: first.name().clone(),
        each,
        tiles,
        frontier: Frontier::new(),
        chain: KeyChain::new(first.clone()),
        stated: stated.into(),
        listed_keys,
        published: published.as_ref().map(|checkpoint| checkpoint.head.size),
        checkpoints: 0,
        proved: 0,
    };
    let mut report = Report {
        head: Head { size: 0, root: run.frontier.root() },
        published: published.as_ref().map(|checkpoint| checkpoint.head),
        keys: run.chain.clone(),
        checkpoints: 0,
        abandoned: 0,
        unfinished_bytes: 0,
        has_segments: segments.is_some(),
    };
    run.tiles.require_up_to(run.published.unwrap_or(0));
    run.check_stated()?;
    match segments {
        Some(segments) => run.segments(segments, &mut report)?,
        None => run.published_only(published.as_ref())?,
    }
    let size = run.frontier.size();
    if let Some((checkpoint, by)) = run.stated.first() {
        return Err(Finding::Short { size, stated: checkpoint.head.size, by: by.clone() }.into());
    }
    run.tiles.finish(size)?;
    run.check_promised()?;
    run.check_keys(what.keys, report.has_segments)?;
    report.head = Head { size, root: run.frontier.root() };
    report.keys = run.chain;
    report.checkpoints = run.checkpoints;
    Ok(report)
}

/// The state of a check in progress.
struct Run<'a> {
    disk: &'a dyn Disk,
    paths: &'a Paths,
    origin: KeyName,
    each: EachEntry<'a>,
    tiles: TileCheck<'a>,
    frontier: Frontier,
    chain: KeyChain,
    /// Checkpoints outside the segments that are still to be met, and where they stand.
    stated: Vec<(Checkpoint, String)>,
    /// The file of keys.
    listed_keys: Option<Vec<u8>>,
    /// The size of the checkpoint that the log has published.
    published: Option<u64>,
    checkpoints: u64,
    /// So many entries have the root of a checkpoint.
    proved: u64,
}

impl Run<'_> {
    /// The whole log: bundles up to the first segment, then segments.
    fn segments(&mut self, mut stream: SegmentStream, report: &mut Report) -> Result<(), VerifyError> {
        let first = stream.first_index();
        self.tiles.require_up_to(first.div_ceil(TILE_WIDTH).saturating_mul(TILE_WIDTH));
        self.bundles(first)?;
        loop {
            match stream.next(&self.frontier)? {
                Event::Entry(entry) => {
                    self.entry(&entry, leaf_hash(&entry))?;
                }
                Event::Checkpoint { checkpoint, path } => {
                    self.check_root(&checkpoint, &path.display().to_string())?;
                    self.check_signature(&checkpoint, &path.display().to_string())?;
                }
                Event::End => break,
            }
        }
        report.abandoned = stream.abandoned();
        report.unfinished_bytes = stream.unfinished_bytes()?;
        // The change to the key that signed may lie in what is damaged; for this, the list is good enough.
        let listed = self.listed_keys.as_deref().and_then(|bytes| KeyChain::parse(str::from_utf8(bytes).ok()?));
        let keys: Vec<&VerifierKey> = self.chain.keys().chain(listed.iter().flat_map(KeyChain::keys)).collect();
        let is_signed = |checkpoint: &Checkpoint| checkpoint.verify(&self.origin, keys.iter().copied()).is_ok();
        for Leftover { path, file, from } in stream.leftovers() {
            let size = self.frontier.size();
            let later = later_checkpoint(file.as_ref(), &path, from, size, &self.origin, is_signed)?;
            // Looked at last: a log in use goes on at any moment.
            if later.is_some() && !grew(&path, &file, from)? {
                let index = size + whole_entries(&path, &file, from)?;
                return Err(Finding::Damaged { path, index }.into());
            }
        }
        Ok(())
    }

    /// A copy without segments: full bundles, then the partial one of the published size.
    fn published_only(&mut self, published: Option<&Checkpoint>) -> Result<(), VerifyError> {
        let Some(published) = published else { return Err(Finding::Missing(self.paths.checkpoint()).into()) };
        let size = published.head.size;
        self.tiles.require_up_to(size);
        let full = size - size % TILE_WIDTH;
        self.bundles(full)?;
        if let Some(width) = u8::try_from(size % TILE_WIDTH).ok().filter(|width| *width > 0) {
            let tile = TilePath { kind: TileKind::Entries, index: size / TILE_WIDTH, partial: Some(width) };
            self.bundle(&tile, size)?;
        }
        Ok(())
    }

    /// Whether the partial tiles of the published checkpoint are there; the full ones were compared on the way.
    fn check_promised(&self) -> Result<(), VerifyError> {
        let Some(mut size) = self.published else { return Ok(()) };
        let mut attempts = 0;
        loop {
            let Some(missing) = self.tiles.missing_partial(size)? else { return Ok(()) };
            attempts += 1;
            // A log in use removes old ones only once it has published the next checkpoint; then that one promises. Its
            // signature does not matter here: a false one only asks for other files.
            match read_published(self.disk, self.paths)? {
                Some(now) if now.head.size > size && attempts < ATTEMPTS => size = now.head.size,
                Some(_) | None => return Err(Finding::Missing(missing).into()),
            }
        }
    }

    /// The entries of full bundles up to an index.
    fn bundles(&mut self, to: u64) -> Result<(), VerifyError> {
        while self.frontier.size() < to {
            self.bundle(&TilePath::full(TileKind::Entries, self.frontier.size() / TILE_WIDTH), to)?;
        }
        Ok(())
    }

    /// The entries of a bundle up to an index.
    fn bundle(&mut self, tile: &TilePath, to: u64) -> Result<(), VerifyError> {
        let path = self.paths.tile(tile);
        let bytes = match self.disk.read(&path, MAX_BUNDLE).named("read", &path) {
            Err(error) if error.is_missing() => return Err(Finding::Missing(path).into()),
            bytes => bytes?,
        };
        let entries = decode_entries(&bytes, tile.width());
        let entries = entries.ok_or(Finding::File { path, what: "not a bundle of its width" })?;
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        // At once, not when the tile is full: here it shows which entry differs, a root would only say that one does.
        self.tiles.check_leaves(tile, &leaves)?;
        // The rest of a bundle in which the first segment begins is met again there.
        let count = usize::try_from(to - self.frontier.size()).unwrap_or(usize::MAX);
        for (entry, leaf) in entries.into_iter().zip(leaves).take(count) {
            self.entry(entry, leaf)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &[u8], leaf: Hash) -> Result<(), VerifyError> {
        let index = self.frontier.size();
        self.tiles.entry(index, entry, leaf)?;
        self.frontier.push(leaf);
        self.chain.follow(entry, index).map_err(|source| Finding::Rotation { index, source })?;
        (self.each)(index, entry).map_err(|reason| Finding::Record { index, reason })?;
        self.check_stated()
    }

    /// Checks those checkpoints outside the segments whose size is reached.
    fn check_stated(&mut self) -> Result<(), VerifyError> {
        let size = self.frontier.size();
        while let Some(at) = self.stated.iter().position(|(checkpoint, _)| checkpoint.head.size == size) {
            let (checkpoint, by) = self.stated.swap_remove(at);
            self.check_signature(&checkpoint, &by)?;
            self.check_root(&checkpoint, &by)?;
        }
        Ok(())
    }

    fn check_root(&mut self, checkpoint: &Checkpoint, by: &str) -> Result<(), VerifyError> {
        let head = Head { size: self.frontier.size(), root: self.frontier.root() };
        if checkpoint.head == head {
            self.proved = head.size;
            return Ok(());
        }
        let from = self.proved;
        match self.tiles.altered_leaf()?.filter(|index| *index >= from) {
            Some(index) => Err(Finding::Entry { index, what: OTHER_HASH }.into()),
            None => Err(Finding::Root { from, size: head.size, by: by.to_owned() }.into()),
        }
    }

    /// Every key in force at the size must have signed.
    fn check_signature(&mut self, checkpoint: &Checkpoint, by: &str) -> Result<(), VerifyError> {
        let size = checkpoint.head.size;
        for key in self.chain.signers_of(size) {
            let verified = checkpoint.verify(&self.origin, [key]);
            verified.map_err(|source| Finding::Signature { size, by: by.to_owned(), source })?;
        }
        self.checkpoints += 1;
        Ok(())
    }

    /// Compares the keys with those given and with those listed.
    fn check_keys(&self, given: &[VerifierKey], has_segments: bool) -> Result<(), VerifyError> {
        let mut found = self.chain.keys();
        if let Some(missing) = given.iter().find(|key| found.next() != Some(*key)) {
            return Err(Finding::Keys(Box::new(missing.clone())).into());
        }
        let path = self.paths.keys();
        let Some(listed) = &self.listed_keys else {
            // Copies may do without; a log writes it before it first publishes.
            let needed = self.published.is_some() && has_segments;
            return if needed { Err(Finding::Missing(path).into()) } else { Ok(()) };
        };
        // It may lag behind the last change.
        let text = self.chain.to_text();
        let fits = text.as_bytes().starts_with(listed) && listed.last() == Some(&b'\n');
        if fits { Ok(()) } else { Err(Finding::File { path, what: "not the keys of the log" }.into()) }
    }
}

fn read_published(disk: &dyn Disk, paths: &Paths) -> Result<Option<Checkpoint>, VerifyError> {
    let path = paths.checkpoint();
    let bytes = match disk.read(&path, MAX_NOTE).named("read", &path) {
        Err(error) if error.is_missing() => return Ok(None),
        bytes => bytes?,
    };
    match Checkpoint::parse(&bytes) {
        Ok(checkpoint) => Ok(Some(checkpoint)),
        Err(_) => Err(Finding::File { path, what: "not a signed checkpoint" }.into()),
    }
}

fn read_keys(disk: &dyn Disk, paths: &Paths) -> Result<Option<Vec<u8>>, VerifyError> {
    let path = paths.keys();
    match disk.read(&path, MAX_KEYS).named("read", &path) {
        Err(error) if error.is_missing() => Ok(None),
        bytes => Ok(Some(bytes?)),
    }
}

/// How often the partial tiles are looked for anew in a log that goes on meanwhile.
const ATTEMPTS: u32 = 10;
const MAX_KEYS: u64 = 1 << 20;
const MAX_NOTE: u64 = 128 * 1024;
