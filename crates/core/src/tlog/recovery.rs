//! Opening a log: finds the last signed checkpoint on disk that all before it leads to, and refuses a log of which
//! something acknowledged is missing or changed.
//!
//! What follows the last checkpoint was never acknowledged and is dropped. Entries in segments are hashed again, older
//! ones stand in full tiles, of which only those at the right edge are read.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::{
    checkpoint::{Checkpoint, CheckpointError, Head, sign_head},
    disk::{Access, Blocks, Disk, DiskError, DiskFile, Named},
    edge::Edge,
    merkle::{Frontier, root_at, root_over},
    note::{NoteError, NoteSigner},
    open_error::OpenError,
    paths::{KEYS, Paths, ordinal_of},
    replay::{Found, Last, Replay, later_checkpoint, scan},
    rotation::KeyChain,
    segment::{Header, push_checkpoint_frame},
    tail::{EdgeSource, Segment, Tail, TreeNodes, read_tile},
    tile::{LEVELS, TILE_WIDTH, TileKind, TilePath, hashes_at},
    zeros::count_not_zero,
};

/// What was found when the log was opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opened {
    /// The last synced size and root.
    pub head: Head,
    /// Whether the log is new or was there.
    pub origin: LogOrigin,
    /// Bytes after the last checkpoint that were dropped: of entries whose callers never got an answer.
    pub dropped_bytes: u64,
}

/// Whether a log is new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogOrigin {
    /// It was made.
    Created,
    /// It was there.
    Found,
}

/// The segment that the log goes on writing.
pub(crate) struct Reopened {
    pub(crate) header: Header,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) at: u64,
    pub(crate) len: u64,
}

/// A log as found or made.
pub(crate) struct Recovered {
    pub(crate) frontier: Frontier,
    pub(crate) note: Arc<str>,
    pub(crate) tail: Tail,
    pub(crate) segment: Reopened,
    pub(crate) next_ordinal: u64,
    pub(crate) chain: KeyChain,
    /// Whether the file `keys` must be written.
    pub(crate) keys_changed: bool,
    /// The size of the published checkpoint.
    pub(crate) published: Option<u64>,
    pub(crate) opened: Opened,
}

/// The files in the directory of segments.
struct Segments {
    /// Those with entries or room for them, in their order.
    found: Vec<Found>,
    /// Those whose first write did not come to its end.
    unused: Vec<(PathBuf, Arc<dyn DiskFile>)>,
    next_ordinal: u64,
}

pub(crate) struct Recovery<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) paths: &'a Paths,
    pub(crate) signer: &'a NoteSigner,
    pub(crate) first_segment_bytes: u64,
}

impl Recovery<'_> {
    /// Opens the log, or makes one if there is none and none is known.
    pub(crate) fn run(&self, known: Option<Head>) -> Result<Recovered, OpenError> {
        self.clean_tmp()?;
        let Segments { mut found, unused, next_ordinal } = self.find_segments()?;
        let stated = self.keys_file()?;
        let published = self.published()?;
        let Some(first) = found.first().map(|segment| segment.header.first) else {
            return self.create(known, published, &unused, next_ordinal);
        };
        let (edge, bundles) = self.edge_at(first)?;
        let frontier = edge.frontier(first).ok_or(OpenError::Gap { from: 0, to: first })?;
        let chain = stated.clone().unwrap_or_else(|| KeyChain::new(self.signer.verifier().clone()));
        let mut replay = Replay { frontier, tail: Tail { segments: Vec::new(), edge, bundles }, chain };
        let mut last = Err(OpenError::Gap { from: 0, to: first });
        for (at, segment) in found.iter().enumerate() {
            last = Ok(replay.segment(segment, found.get(at + 1).map(|next| &next.header))?);
        }
        let last = last?;
        let segment = found.pop().ok_or(OpenError::Gap { from: 0, to: first })?;
        // What is missing first: the rest may look odd because of it.
        self.check_known(&replay, known, published.as_ref(), last.head.size)?;
        self.check_nothing_later(&replay, &segment, &unused, &last)?;
        self.check_signature(&last, &segment, &replay.chain, stated.as_ref())?;
        let dropped_bytes = settle(&segment, &last)?;
        for (path, _) in &unused {
            self.disk.remove(path).named("remove", path)?;
        }
        self.sync_dirs()?;
        // Without the file, the keys before the current one are unknown: writing it would state a wrong first key.
        let keys_changed = stated.as_ref().is_some_and(|stated| *stated != replay.chain);
        Ok(Recovered {
            frontier: replay.frontier,
            note: last.note,
            tail: replay.tail,
            segment: Reopened {
                header: segment.header,
                file: segment.file,
                path: segment.path,
                at: last.end,
                len: segment.len,
            },
            next_ordinal,
            chain: replay.chain,
            keys_changed,
            published: published.map(|published| published.head.size),
            opened: Opened { head: last.head, origin: LogOrigin::Found, dropped_bytes },
        })
    }

    /// Makes a log without entries, unless there must be one already.
    fn create(
        &self,
        known: Option<Head>,
        published: Option<Checkpoint>,
        unused: &[(PathBuf, Arc<dyn DiskFile>)],
        ordinal: u64,
    ) -> Result<Recovered, OpenError> {
        let size = known.or(published.map(|published| published.head)).map(|head| head.size);
        let bundle = self.paths.tile(&TilePath::full(TileKind::Entries, 0));
        if size.is_some() || self.exists(&bundle)? {
            return Err(OpenError::Missing { dir: self.paths.segments(), size: size.unwrap_or(TILE_WIDTH) });
        }
        for (path, _) in unused {
            self.disk.remove(path).named("remove", path)?;
        }
        // First: a log that can be opened has its list of keys.
        let chain = KeyChain::new(self.signer.verifier().clone());
        self.write_keys(&chain)?;
        let frontier = Frontier::new();
        let head = Head { size: 0, root: frontier.root() };
        let note: Arc<str> = sign_head(self.signer.verifier().name(), &head, [self.signer]).into();
        let header = Header { ordinal, first: 0, root: head.root };
        let mut bytes = header.encode();
        push_checkpoint_frame(&mut bytes, 0, &note);
        let path = self.paths.segment(ordinal);
        let file = self.disk.create(&path).named("make", &path)?;
        let len = self.first_segment_bytes;
        file.allocate(len, Blocks::Written).and_then(|()| file.write_at(&bytes, 0)).named("write", &path)?;
        file.sync_data().named("sync", &path)?;
        self.sync_dirs()?;
        let at = u64::try_from(bytes.len()).expect("a length in memory fits 64 bits");
        let segments = vec![Segment::new(ordinal, 0, path.clone(), Arc::clone(&file), len)];
        Ok(Recovered {
            frontier,
            note,
            tail: Tail { segments, edge: Edge::new(), bundles: 0 },
            segment: Reopened { header, file, path, at, len },
            next_ordinal: ordinal + 1,
            chain,
            keys_changed: false,
            published: None,
            opened: Opened { head, origin: LogOrigin::Created, dropped_bytes: 0 },
        })
    }

    fn find_segments(&self) -> Result<Segments, OpenError> {
        let dir = self.paths.segments();
        let mut segments = Segments { found: Vec::new(), unused: Vec::new(), next_ordinal: 1 };
        for listed in self.disk.list(&dir).named("list", &dir)? {
            let Some(ordinal) = ordinal_of(&listed.name) else { continue };
            let path = self.paths.segment(ordinal);
            let file = self.disk.open(&path, Access::Write).named("open", &path)?;
            segments.next_ordinal = segments.next_ordinal.max(ordinal + 1);
            match Found::look(&path, Arc::clone(&file))?.filter(|found| found.header.ordinal == ordinal) {
                Some(found) => segments.found.push(found),
                None => segments.unused.push((path, file)),
            }
        }
        segments.found.sort_by_key(|found| found.header.ordinal);
        Ok(segments)
    }

    /// The hashes at the right edge of the first `size` entries, and the number of full bundles that hold all of them.
    fn edge_at(&self, size: u64) -> Result<(Edge, u64), OpenError> {
        let mut edge = Edge::new();
        for level in 0..LEVELS {
            let count = hashes_at(level, size);
            let start = count - count % TILE_WIDTH;
            let hashes = match level.checked_sub(1) {
                None if start == count => Vec::new(),
                None => {
                    let mut hashes = read_tile(self.disk, self.paths, 0, start / TILE_WIDTH)?;
                    hashes.truncate(usize::try_from(count - start).unwrap_or(0));
                    hashes
                }
                Some(below) => (start..count)
                    .map(|tile| Ok(root_over(&read_tile(self.disk, self.paths, below, tile)?)))
                    .collect::<Result<_, OpenError>>()?,
            };
            edge.load(level, start, hashes);
        }
        Ok((edge, size.div_ceil(TILE_WIDTH)))
    }

    fn check_signature(
        &self,
        last: &Last,
        segment: &Found,
        chain: &KeyChain,
        stated: Option<&KeyChain>,
    ) -> Result<(), OpenError> {
        let key = self.signer.verifier();
        let bad = |source| OpenError::BadCheckpoint { path: segment.path.clone(), size: last.head.size, source };
        let checkpoint = Checkpoint::parse(last.note.as_bytes()).map_err(bad)?;
        let other = |signed_by: String| Err(OpenError::OtherKey { signed_by });
        match checkpoint.verify(key.name(), [key]) {
            // Both keys have signed where the log ends in a change of key; the new one is in force.
            Ok(_) if stated.is_some() && chain.current() != key => other(chain.current().to_string()),
            Ok(_) => Ok(()),
            Err(CheckpointError::Note(NoteError::Unsigned)) => {
                other(stated.map_or_else(|| "another key".to_owned(), |_| chain.current().to_string()))
            }
            Err(error) => Err(bad(error)),
        }
    }

    /// Compares the log with what others say of it.
    fn check_known(
        &self,
        replay: &Replay,
        known: Option<Head>,
        published: Option<&Checkpoint>,
        size: u64,
    ) -> Result<(), OpenError> {
        let name = self.signer.verifier().name();
        // One that is not signed says nothing; it is replaced with the next that is published.
        let published = published.filter(|published| published.verify(name, replay.chain.keys()).is_ok());
        let stated = known.map(|head| (head, "the store"));
        let published = published.map(|published| (published.head, "its published checkpoint"));
        for (head, by) in stated.into_iter().chain(published) {
            if head.size > size {
                return Err(OpenError::Shorter { found: size, known: head.size, by });
            }
            let mut nodes = TreeNodes {
                disk: self.disk,
                paths: self.paths,
                edge: EdgeSource::Still(&replay.tail.edge),
                tiles: HashMap::new(),
            };
            if root_at(&mut nodes, head.size)? != head.root {
                return Err(OpenError::Diverged { size: head.size, by });
            }
        }
        let bundle = size / TILE_WIDTH;
        if self.exists(&self.paths.tile(&TilePath::full(TileKind::Entries, bundle)))? {
            let known = (bundle + 1) * TILE_WIDTH;
            return Err(OpenError::Shorter { found: size, known, by: "one of its entry bundles" });
        }
        Ok(())
    }

    /// Makes sure that what will be dropped was never acknowledged.
    fn check_nothing_later(
        &self,
        replay: &Replay,
        segment: &Found,
        unused: &[(PathBuf, Arc<dyn DiskFile>)],
        last: &Last,
    ) -> Result<(), OpenError> {
        let name = self.signer.verifier().name();
        let is_signed = |checkpoint: &Checkpoint| checkpoint.verify(name, replay.chain.keys()).is_ok();
        let dropped = std::iter::once((&segment.path, &segment.file, last.end));
        let dropped = dropped.chain(unused.iter().map(|(path, file)| (path, file, 0)));
        for (path, file, offset) in dropped {
            if later_checkpoint(file.as_ref(), path, offset, last.head.size, name, is_signed)?.is_some() {
                return Err(OpenError::Torn { path: path.clone(), offset });
            }
        }
        Ok(())
    }

    fn keys_file(&self) -> Result<Option<KeyChain>, OpenError> {
        let path = self.paths.keys();
        let bytes = match self.disk.read(&path, MAX_KEYS).named("read", &path) {
            Err(error) if error.is_missing() => return Ok(None),
            bytes => bytes?,
        };
        let chain = String::from_utf8(bytes).ok().and_then(|text| KeyChain::parse(&text));
        if chain.is_none() {
            tracing::warn!(path = %path.display(), "the list of the log's keys is damaged");
        }
        Ok(chain)
    }

    fn write_keys(&self, chain: &KeyChain) -> Result<(), DiskError> {
        let (path, beside) = (self.paths.keys(), self.paths.tmp().join(KEYS));
        let text = chain.to_text();
        let written = self.disk.create(&beside).and_then(|file| {
            file.write_at(text.as_bytes(), 0)?;
            file.sync_data()
        });
        written.and_then(|()| self.disk.rename(&beside, &path)).named("write", &path)?;
        self.disk.sync(&[self.paths.dir().to_owned()]).named("sync", self.paths.dir())
    }

    fn published(&self) -> Result<Option<Checkpoint>, OpenError> {
        let path = self.paths.checkpoint();
        let bytes = match self.disk.read(&path, MAX_CHECKPOINT_FILE).named("read", &path) {
            Err(error) if error.is_missing() => return Ok(None),
            bytes => bytes?,
        };
        let parsed = Checkpoint::parse(&bytes);
        if let Err(error) = &parsed {
            tracing::warn!(path = %path.display(), %error, "the published checkpoint is damaged");
        }
        Ok(parsed.ok())
    }

    fn clean_tmp(&self) -> Result<(), DiskError> {
        for dir in [self.paths.segments(), self.paths.tiles(), self.paths.tmp()] {
            self.disk.create_dirs(&dir).named("make", &dir)?;
        }
        let tmp = self.paths.tmp();
        for listed in self.disk.list(&tmp).named("list", &tmp)? {
            let path = tmp.join(listed.name);
            self.disk.remove(&path).named("remove", &path)?;
        }
        Ok(())
    }

    fn sync_dirs(&self) -> Result<(), DiskError> {
        let dir = self.paths.dir();
        let mut dirs = vec![self.paths.segments(), dir.to_owned()];
        dirs.extend(dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map(PathBuf::from));
        self.disk.sync(&dirs).named("sync", dir)
    }

    fn exists(&self, path: &std::path::Path) -> Result<bool, DiskError> {
        match self.disk.stat(path).named("stat", path) {
            Err(error) if error.is_missing() => Ok(false),
            stat => stat.map(|_| true),
        }
    }
}

/// Makes the end of the last segment what the log goes on from: what can be read is synced, and zeros follow it.
///
/// A sync that failed may have left in memory what is not on disk, and a later sync would not write it. So what is not
/// known to have been synced is written again.
fn settle(segment: &Found, last: &Last) -> Result<u64, DiskError> {
    let Found { path, file, .. } = segment;
    let mut offset = last.unsure_from;
    let mut buffer = vec![0; SETTLE_BYTES];
    while offset < last.end {
        let count = usize::try_from(last.end - offset).map_or(SETTLE_BYTES, |rest| rest.min(SETTLE_BYTES));
        let into = buffer.get_mut(..count).unwrap_or_default();
        let count = file.read_at(into, offset).named("read", path)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        file.write_at(bytes, offset).named("write", path)?;
        offset += u64::try_from(count.max(1)).expect("a length in memory fits 64 bits");
    }
    let mut dropped: u64 = 0;
    let mut dirty = Vec::new();
    let mut offset = last.end;
    scan(file.as_ref(), last.end, 0, |window| {
        let length = u64::try_from(window.len()).expect("a length in memory fits 64 bits");
        let count = count_not_zero(window);
        if count > 0 {
            dropped += count;
            dirty.push((offset, window.len()));
        }
        offset += length;
    })
    .named("read", path)?;
    for (offset, length) in dirty {
        file.write_at(&vec![0; length], offset).named("write", path)?;
    }
    file.sync_data().named("sync", path)?;
    Ok(dropped)
}

const MAX_CHECKPOINT_FILE: u64 = 128 * 1024;
const MAX_KEYS: u64 = 1 << 20;
const SETTLE_BYTES: usize = 1 << 20;
