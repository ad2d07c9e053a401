//! What readers need: where entries lie, in bundles or segments, and the hashes of the tree.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use parking_lot::RwLock;

use super::{
    disk::{Disk, DiskError, DiskFile, Named},
    edge::Edge,
    merkle::{Hash, Nodes, root_over},
    paths::Paths,
    segment::{Frame, FrameReader, Next},
    tile::{MAX_ENTRY, TILE_WIDTH, TileKind, TilePath, decode_entries, decode_hashes},
};

/// Why something in the log could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is not what the log wrote.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What was asked for lies beyond the synced entries, or sizes are in the wrong order.
    #[error("asked for {asked}, of a log of {size} entries")]
    Range {
        /// The index or size asked for.
        asked: u64,
        /// The size of the log, or the size given.
        size: u64,
    },
}

/// A segment in use.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) ordinal: u64,
    /// The index of its first entry; the next segment's is its end.
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The length that the file must have.
    pub(crate) len: u64,
    /// Indexes and the offsets of their frames, rising, one every so many entries.
    marks: Vec<(u64, u64)>,
}

impl Segment {
    pub(crate) fn new(ordinal: u64, first: u64, path: PathBuf, file: Arc<dyn DiskFile>, len: u64) -> Self {
        Self { ordinal, first, path, file, len, marks: Vec::new() }
    }

    /// Remembers where an entry's frame, or that of a checkpoint right before it, begins; not every one is kept.
    pub(crate) fn mark(&mut self, index: u64, offset: u64) {
        let far = |(i, o): &(u64, u64)| index >= i + MARK_ENTRIES || index > *i && offset >= o + MARK_BYTES;
        if self.marks.last().is_none_or(far) {
            self.marks.push((index, offset));
        }
    }
}

/// What lies where; behind a lock that is never held while a file is read.
pub(crate) struct Tail {
    /// In their order; the last is being written.
    pub(crate) segments: Vec<Segment>,
    pub(crate) edge: Edge,
    /// The number of full bundles, and so of full tiles at level 0, that are on disk for good.
    pub(crate) bundles: u64,
}

impl Tail {
    /// Where to read the entry at `index` in the segments: a file, and an index and offset at or before it.
    fn locate(&self, index: u64) -> Option<Place> {
        let segment = self.segments.iter().rev().find(|segment| segment.first <= index)?;
        let after = segment.marks.partition_point(|(marked, _)| *marked <= index);
        let (marked, offset) = *segment.marks.get(after.checked_sub(1)?)?;
        Some(Place { path: segment.path.clone(), file: Arc::clone(&segment.file), marked, offset })
    }

    /// The index after the last entry of the segment that holds `index`.
    fn end_of(&self, index: u64) -> u64 {
        self.segments.iter().map(|segment| segment.first).find(|first| *first > index).unwrap_or(u64::MAX)
    }
}

/// A place in a segment at or before an entry that is looked for.
struct Place {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// The index of the first entry from `offset` on.
    marked: u64,
    offset: u64,
}

impl Place {
    /// The entries from `index` to `end`, or until they have `max_bytes`, at least one.
    fn entries(self, index: u64, end: u64, max_bytes: usize, out: &mut Vec<Vec<u8>>) -> Result<(), ReadError> {
        let Place { path, file, marked: mut at, offset } = self;
        let mut reader = FrameReader::new(file, offset);
        let mut bytes = 0;
        while at < end && (bytes < max_bytes || at <= index) {
            match reader.next().named("read", &path)? {
                Next::Frame(Frame::Entry(entry)) => {
                    if at >= index {
                        bytes += entry.len();
                        out.push(entry.to_vec());
                    }
                    at += 1;
                }
                Next::Frame(Frame::Checkpoint { .. }) => {}
                Next::End => return Err(ReadError::Damaged { path, what: "it ends before entries that were synced" }),
                Next::Torn => return Err(ReadError::Damaged { path, what: "a frame that was synced is not whole" }),
            }
        }
        Ok(())
    }
}

/// Reads entries and hashes of the synced part of a log.
pub(crate) struct Reader<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) paths: &'a Paths,
    pub(crate) tail: &'a RwLock<Tail>,
}

impl Reader<'_> {
    /// The entries `from..to`, all synced, fewer if they have more than `max_bytes` bytes, but at least one.
    pub(crate) fn entries(&self, from: u64, to: u64, max_bytes: usize) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut index = from;
        while index < to && (bytes < max_bytes || entries.is_empty()) {
            let before = entries.len();
            // Where to look is decided under one lock: a segment goes only after its bundles are there. An open file
            // stays readable when its name goes.
            let place = {
                let tail = self.tail.read();
                (index / TILE_WIDTH >= tail.bundles).then(|| (tail.locate(index), tail.end_of(index).min(to)))
            };
            match place {
                None => self.bundle_entries(index, to, &mut entries)?,
                Some((Some(place), end)) => place.entries(index, end, max_bytes.saturating_sub(bytes), &mut entries)?,
                Some((None, _)) => return Err(ReadError::Range { asked: index, size: to }),
            }
            let new = entries.get(before..).unwrap_or_default();
            bytes += new.iter().map(Vec::len).sum::<usize>();
            index += u64::try_from(new.len()).expect("a length in memory fits 64 bits");
            if new.is_empty() {
                return Err(ReadError::Range { asked: index, size: to });
            }
        }
        Ok(entries)
    }

    /// The entries from `index` to the end of its bundle or to `to`.
    fn bundle_entries(&self, index: u64, to: u64, out: &mut Vec<Vec<u8>>) -> Result<(), ReadError> {
        let bundle = index / TILE_WIDTH;
        let path = self.paths.tile(&TilePath::full(TileKind::Entries, bundle));
        let bytes = self.disk.read(&path, MAX_BUNDLE).named("read", &path)?;
        let damaged = ReadError::Damaged { path, what: "not a bundle of 256 entries" };
        let entries = decode_entries(&bytes, TILE_WIDTH).ok_or(damaged)?;
        let skip = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
        let take = usize::try_from(to - index).unwrap_or(usize::MAX);
        out.extend(entries.into_iter().skip(skip).take(take).map(<[u8]>::to_vec));
        Ok(())
    }

    /// The hashes of the log, for proofs about sizes up to the synced one.
    pub(crate) fn nodes(&self) -> TreeNodes<'_> {
        TreeNodes { disk: self.disk, paths: self.paths, edge: EdgeSource::Live(self.tail), tiles: HashMap::new() }
    }
}

/// The edge of a log in use, or of one being opened.
#[derive(Clone, Copy)]
pub(crate) enum EdgeSource<'a> {
    Live(&'a RwLock<Tail>),
    Still(&'a Edge),
}

/// Nodes from the edge in memory, where there is one, and from full tiles on disk, each read once.
pub(crate) struct TreeNodes<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) paths: &'a Paths,
    pub(crate) edge: EdgeSource<'a>,
    pub(crate) tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl Nodes for TreeNodes<'_> {
    type Error = ReadError;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, ReadError> {
        let level = u8::try_from(height / 8).expect("the height of a tree is at most 64");
        let (from, to) = (index << (height % 8), (index + 1) << (height % 8));
        let in_memory = match self.edge {
            EdgeSource::Live(tail) => tail.read().edge.hashes(level, from, to).map(root_over),
            EdgeSource::Still(edge) => edge.hashes(level, from, to).map(root_over),
        };
        if let Some(root) = in_memory {
            return Ok(root);
        }
        let (tile, within) = (from / TILE_WIDTH, from % TILE_WIDTH);
        let hashes = match self.tiles.entry((level, tile)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(read_tile(self.disk, self.paths, level, tile)?)
            }
        };
        let from = usize::try_from(within).unwrap_or(usize::MAX);
        let count = usize::try_from(to - tile * TILE_WIDTH).unwrap_or(usize::MAX);
        let hashes = hashes.get(from..count).ok_or_else(|| ReadError::Damaged {
            path: self.paths.tile(&TilePath::full(TileKind::Hashes(level), tile)),
            what: "it has too few hashes",
        })?;
        Ok(root_over(hashes))
    }
}

/// The hashes of a full tile on disk.
pub(crate) fn read_tile(disk: &dyn Disk, paths: &Paths, level: u8, index: u64) -> Result<Vec<Hash>, ReadError> {
    let path = paths.tile(&TilePath::full(TileKind::Hashes(level), index));
    let bytes = match disk.read(&path, 32 * TILE_WIDTH) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Vec::new(),
        result => result.named("read", &path)?,
    };
    decode_hashes(&bytes, TILE_WIDTH).ok_or(ReadError::Damaged { path, what: "not 256 hashes" })
}

/// The longest bundle: 256 of the longest entries with their lengths.
pub(crate) const MAX_BUNDLE: u64 = 256 * (2 + 65_535);
const _: () = assert!(MAX_ENTRY == 65_535);
const MARK_BYTES: u64 = 128 * 1024;
const MARK_ENTRIES: u64 = 64;
