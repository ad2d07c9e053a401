//! What is done beside the log thread: segments made ahead, tiles and the checkpoint published, segments released once
//! their entries are in bundles, and a look at whether the files are still there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    checkpoint::Head,
    disk::{Access, Blocks, DiskError, DiskFile, Named},
    merkle::leaf_hash,
    paths::{RESERVE, SPARE},
    replay::scan,
    shared::{Ahead, AheadFile, Shared},
    tail::{MAX_BUNDLE, ReadError, Segment},
    tile::{LEVELS, TILE_WIDTH, TileKind, TilePath, hashes_at, partial_tiles, push_entry},
    zeros::is_zero,
};

/// Why publishing failed; it is tried again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log could not be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is on disk is not what was logged.
    #[error("the log's files were changed from outside: {0}")]
    Tampered(Arc<str>),
}

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    /// The size of the published checkpoint.
    published: Option<u64>,
    last_publish: Option<Instant>,
    /// How long the last attempt took.
    publish_time: Duration,
    last_check: Option<Instant>,
    /// Directories under `tile/` that exist for good.
    dirs: BTreeSet<PathBuf>,
    /// Whether the last attempt failed, so that a lasting failure is logged once.
    failing: bool,
}

/// One file of a group that is written, synced and named together.
struct Staged {
    path: PathBuf,
    /// None where the file is there already, so that only its name may not be durable.
    bytes: Option<Vec<u8>>,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>, published: Option<u64>) -> Self {
        Self {
            shared,
            published,
            last_publish: None,
            publish_time: Duration::ZERO,
            last_check: None,
            dirs: BTreeSet::new(),
            failing: false,
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self) {
        self.make_reserve();
        self.make_spare();
        let now = Instant::now();
        let due = |last: Option<Instant>, every| last.is_none_or(|last| now.duration_since(last) >= every);
        if due(self.last_check, self.shared.options.check_interval) {
            self.last_check = Some(now);
            self.check_segments();
        }
        // Under load, publishing competes with the log thread for the disk: it gets a tenth of the time.
        let pause = (self.publish_time * 9).min(LONGEST_PAUSE).max(self.shared.options.publish_interval);
        if due(self.last_publish, pause) {
            // Counted and logged there; the next tick tries again.
            let _ = self.publish();
            self.publish_time = now.elapsed();
            self.last_publish = Some(Instant::now());
        }
    }

    /// Makes the segment kept for when the disk is full, if it is missing.
    pub(crate) fn make_reserve(&self) {
        let shared = &self.shared;
        if shared.ahead.lock().reserve.is_some() {
            return;
        }
        // Quickly: a start waits for it, and when it is used nobody looks at the time.
        let (path, len) = (shared.paths.reserve(), shared.options.reserve_bytes);
        self.make_file(RESERVE, &path, len, Blocks::Reserved, |ahead, file| ahead.reserve = Some(file));
    }

    /// Makes the next segment, if it is missing.
    fn make_spare(&self) {
        let shared = &self.shared;
        if shared.ahead.lock().spare.is_some() {
            return;
        }
        let (path, len) = (shared.paths.spare(), shared.options.segment_bytes);
        self.make_file(SPARE, &path, len, Blocks::Written, |ahead, file| ahead.spare = Some(file));
    }

    /// A zeroed file in its place: one that an earlier run left there, else a new one. `take` hands it over, under the lock
    /// under which the log thread takes it from there. What fails is told once, and tried again.
    fn make_file(&self, name: &str, place: &Path, len: u64, blocks: Blocks, take: impl FnOnce(&mut Ahead, AheadFile)) {
        let made = self.adopt_or_make(name, place, len, blocks, take);
        let failing = made.as_ref().is_err_and(|error| error.cause.kind() != std::io::ErrorKind::StorageFull);
        if failing
            && !self.shared.making_failed.swap(true, Ordering::Relaxed)
            && let Err(error) = made
        {
            tracing::warn!(%error, cause = %error.cause, "room for the log could not be made ahead of use");
        } else if !failing {
            self.shared.making_failed.store(false, Ordering::Relaxed);
        }
    }

    fn adopt_or_make(
        &self,
        name: &str,
        place: &Path,
        len: u64,
        blocks: Blocks,
        take: impl FnOnce(&mut Ahead, AheadFile),
    ) -> Result<(), DiskError> {
        let shared = &self.shared;
        if let Some(file) = self.adopt(place, len)? {
            take(&mut shared.ahead.lock(), AheadFile { file, len });
            return Ok(());
        }
        let beside = shared.paths.tmp().join(name);
        let file = shared.allocate(&beside, len, blocks)?;
        let mut ahead = shared.ahead.lock();
        shared.disk.rename(&beside, place).named("rename", place).inspect_err(|_| {
            // It is in nobody's way there, but takes room.
            let _ = shared.disk.remove(&beside);
        })?;
        take(&mut ahead, AheadFile { file, len });
        Ok(())
    }

    /// A file made ahead of use, if it is as long as it should be and zero.
    fn adopt(&self, place: &Path, len: u64) -> Result<Option<Arc<dyn DiskFile>>, DiskError> {
        let file = match self.shared.disk.open(place, Access::Write).named("open", place) {
            Err(error) if error.is_missing() => return Ok(None),
            file => file?,
        };
        let mut zero = file.stat().named("stat", place)?.len == len;
        if zero {
            scan(file.as_ref(), 0, 0, |window| zero &= is_zero(window)).named("read", place)?;
        }
        if zero {
            // A copy may have left the zeros out, and with them its place on the disk.
            file.allocate(len, Blocks::Reserved).named("allocate", place)?;
        }
        Ok(zero.then_some(file))
    }

    /// Finds out whether a segment was removed, replaced or cut short.
    pub(crate) fn check_segments(&self) {
        let shared = &self.shared;
        let segments = shared.tail.read().segments.clone();
        for segment in segments {
            let Some(what) = changed_from_outside(shared, &segment) else { continue };
            // The log thread itself removes a segment in which nothing was synced.
            let in_use = shared.tail.read().segments.iter().any(|other| other.ordinal == segment.ordinal);
            if in_use {
                shared.report_tampering(&format!("{} {what}", segment.path.display()));
            }
        }
    }

    /// Publishes the synced state: full tiles and bundles, partial ones, then the checkpoint.
    pub(crate) fn publish(&mut self) -> Result<(), PublishError> {
        let result = self.try_publish();
        match &result {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.shared.counters.publish_failures.fetch_add(1, Ordering::Relaxed);
                if !self.failing {
                    tracing::warn!(log = %self.shared.options.origin, %error, "publishing the log failed");
                }
                self.failing = true;
            }
        }
        result
    }

    fn try_publish(&mut self) -> Result<(), PublishError> {
        if let Some(what) = self.shared.tampered() {
            return Err(PublishError::Tampered(what));
        }
        if self.shared.keys_changed() {
            let text = self.shared.chain.lock().to_text();
            self.shared.keys_changed.store(false, Ordering::Release);
            let path = self.shared.paths.keys();
            let written = self.replace(vec![Staged { path, bytes: Some(text.into_bytes()) }]);
            if written.is_err() {
                self.shared.keys_changed.store(true, Ordering::Release);
            }
            written?;
        }
        let (head, note) = self.shared.ledger.latest();
        if self.published == Some(head.size) {
            return Ok(());
        }
        self.write_full_tiles(head.size / TILE_WIDTH)?;
        let partials = partial_tiles(head.size);
        let staged = partials.iter().map(|tile| self.stage_partial(tile, &head)).collect::<Result<Vec<_>, _>>()?;
        self.replace(staged)?;
        let path = self.shared.paths.checkpoint();
        self.replace(vec![Staged { path, bytes: Some(note.as_bytes().to_vec()) }])?;
        self.published = Some(head.size);
        if let Some(bundle) = partials.iter().find(|tile| tile.kind == TileKind::Entries) {
            self.trim_partial_bundles(bundle)?;
        }
        self.release_segments()
    }

    /// Writes the full tiles that the first `bundles` bundles make, a bounded group at a time.
    fn write_full_tiles(&mut self, bundles: u64) -> Result<(), PublishError> {
        let mut done = self.shared.tail.read().bundles;
        while done < bundles {
            let mut staged = Vec::new();
            let mut tiles = Vec::new();
            let mut bytes = 0;
            while done < bundles && staged.len() < GROUP_FILES && bytes < GROUP_BYTES {
                let hashes = self.stage_bundle(done, &mut staged)?;
                bytes += staged.last().and_then(|file: &Staged| file.bytes.as_ref()).map_or(0, Vec::len);
                tiles.push(TilePath::full(TileKind::Entries, done));
                self.stage_tile(0, done, &hashes, &mut staged, &mut tiles)?;
                done += 1;
                // A tile of a higher level is full with the last tile below it.
                for level in 1..LEVELS {
                    let below = done.checked_shr(8 * u32::from(level)).unwrap_or(0);
                    if below == 0 || below << (8 * u32::from(level)) != done {
                        break;
                    }
                    let index = below - 1;
                    let hashes = self.edge_hashes(level, index * TILE_WIDTH, (index + 1) * TILE_WIDTH)?;
                    self.stage_tile(level, index, &hashes, &mut staged, &mut tiles)?;
                }
            }
            self.replace(staged)?;
            let mut tail = self.shared.tail.write();
            tail.bundles = done;
            for level in 0..LEVELS {
                let full = hashes_at(level, done * TILE_WIDTH) / TILE_WIDTH;
                tail.edge.trim(level, full);
            }
            drop(tail);
            for tile in &tiles {
                self.remove_partials(tile)?;
            }
        }
        Ok(())
    }

    /// Reads a bundle's entries back and stages it; gives the hashes of its entries, which must be those that were signed.
    fn stage_bundle(&mut self, bundle: u64, staged: &mut Vec<Staged>) -> Result<Vec<u8>, PublishError> {
        let (from, to) = (bundle * TILE_WIDTH, (bundle + 1) * TILE_WIDTH);
        let path = TilePath::full(TileKind::Entries, bundle);
        let (bytes, hashes) = self.read_back(from, to)?;
        self.stage(&path, bytes, staged)?;
        Ok(hashes)
    }

    fn stage_tile(
        &mut self,
        level: u8,
        index: u64,
        hashes: &[u8],
        staged: &mut Vec<Staged>,
        tiles: &mut Vec<TilePath>,
    ) -> Result<(), PublishError> {
        let tile = TilePath::full(TileKind::Hashes(level), index);
        tiles.push(tile);
        self.stage(&tile, hashes.to_vec(), staged)
    }

    /// Stages a full tile. One that is there already, from before a crash, must be the same.
    fn stage(&mut self, tile: &TilePath, bytes: Vec<u8>, staged: &mut Vec<Staged>) -> Result<(), PublishError> {
        let path = self.shared.paths.tile(tile);
        let bytes = match self.shared.disk.read(&path, MAX_BUNDLE).named("read", &path) {
            Err(error) if error.is_missing() => Some(bytes),
            Ok(found) if found == bytes => None,
            Err(error) if !error.is_too_long() => return Err(error.into()),
            Ok(_) | Err(_) => return Err(self.tampered(&path, "differs from the entries in the segments")),
        };
        staged.push(Staged { path, bytes });
        Ok(())
    }

    fn stage_partial(&self, tile: &TilePath, head: &Head) -> Result<Staged, PublishError> {
        let from = tile.index * TILE_WIDTH;
        let to = from + tile.width();
        let bytes = match tile.kind {
            TileKind::Entries => self.read_back(from, to)?.0,
            TileKind::Hashes(level) => {
                debug_assert!(to == hashes_at(level, head.size), "the partial tile of this size");
                self.edge_hashes(level, from, to)?
            }
        };
        Ok(Staged { path: self.shared.paths.tile(tile), bytes: Some(bytes) })
    }

    /// The entries `from..to` as a bundle, read from disk, and their hashes, compared with those that were signed.
    fn read_back(&self, from: u64, to: u64) -> Result<(Vec<u8>, Vec<u8>), PublishError> {
        let mut index = from;
        let (mut bundle, mut hashes) = (Vec::new(), Vec::new());
        while index < to {
            for entry in self.shared.reader().entries(index, to, usize::MAX)? {
                hashes.extend_from_slice(&leaf_hash(&entry));
                push_entry(&mut bundle, &entry);
                index += 1;
            }
        }
        if hashes != self.edge_hashes(0, from, to)? {
            let path = self.shared.paths.segments();
            return Err(self.tampered(&path, &format!("entries {from} to {to} are not those that were signed")));
        }
        Ok((bundle, hashes))
    }

    fn edge_hashes(&self, level: u8, from: u64, to: u64) -> Result<Vec<u8>, PublishError> {
        let tail = self.shared.tail.read();
        let hashes = tail.edge.hashes(level, from, to).map(|hashes| hashes.as_flattened().to_vec());
        // Held in memory until the full tile is on disk.
        hashes.ok_or(PublishError::Read(ReadError::Range { asked: to, size: from }))
    }

    fn tampered(&self, path: &Path, what: &str) -> PublishError {
        let what = format!("{} {what}", path.display());
        self.shared.report_tampering(&what);
        PublishError::Tampered(what.into())
    }

    /// Writes files beside their places, syncs them, gives them their names, syncs those: whoever finds a file under
    /// its name finds it whole, also after a crash.
    fn replace(&mut self, files: Vec<Staged>) -> Result<(), DiskError> {
        let disk = self.shared.disk.as_ref();
        let tmp = self.shared.paths.tmp();
        if files.is_empty() {
            return Ok(());
        }
        let mut beside = Vec::new();
        for (number, bytes) in files.iter().filter_map(|file| file.bytes.as_ref()).enumerate() {
            let path = tmp.join(number.to_string());
            let written = disk.create(&path).and_then(|open| open.write_at(bytes, 0)).named("write", &path);
            beside.push(path);
            written.inspect_err(|_| {
                // On a full disk they would be missed; those that stay are replaced by the next attempt.
                beside.iter().for_each(|path| drop(disk.remove(path)));
            })?;
        }
        disk.sync(&beside).named("sync", &tmp)?;
        let mut beside = beside.iter();
        let mut changed = BTreeSet::new();
        for file in &files {
            let dir = file.path.parent().unwrap_or(self.shared.paths.dir());
            self.note_new_dirs(dir, &mut changed);
            disk.create_dirs(dir).named("make", dir)?;
            if let Some(path) = file.bytes.as_ref().and_then(|_| beside.next()) {
                disk.rename(path, &file.path).named("rename", &file.path)?;
            }
            changed.insert(dir.to_owned());
        }
        let changed: Vec<PathBuf> = changed.into_iter().collect();
        disk.sync(&changed).named("sync", self.shared.paths.dir())?;
        self.dirs.extend(changed);
        Ok(())
    }

    /// Adds to `changed` the directories in which `dir` and those above it may be new names.
    fn note_new_dirs(&self, dir: &Path, changed: &mut BTreeSet<PathBuf>) {
        let mut dir = dir;
        while dir != self.shared.paths.dir() && !self.dirs.contains(dir) {
            let Some(parent) = dir.parent() else { return };
            changed.insert(parent.to_owned());
            dir = parent;
        }
    }

    /// Removes the partial tiles of a tile that is full now.
    fn remove_partials(&mut self, tile: &TilePath) -> Result<(), DiskError> {
        let dir = self.shared.paths.partials(tile);
        for name in self.list_or_nothing(&dir)? {
            let path = dir.join(name);
            self.shared.disk.remove(&path).named("remove", &path)?;
        }
        match self.shared.disk.remove_dir(&dir).named("remove", &dir) {
            Err(error) if !error.is_missing() => Err(error),
            _ => {
                self.dirs.remove(&dir);
                Ok(())
            }
        }
    }

    /// Keeps the partial bundles of one tile within bounds, the newest ones; C2SP asks to keep all until the full one
    /// is there, which long entries would make dear.
    fn trim_partial_bundles(&self, newest: &TilePath) -> Result<(), DiskError> {
        let dir = self.shared.paths.partials(newest);
        let mut widths: Vec<u64> = self.list_or_nothing(&dir)?.iter().filter_map(|name| name.parse().ok()).collect();
        widths.sort_unstable_by(|one, other| other.cmp(one));
        let mut bytes = 0;
        for width in widths {
            let path = dir.join(width.to_string());
            bytes += self.shared.disk.stat(&path).named("stat", &path)?.len;
            if bytes > PARTIAL_BYTES && width != newest.width() {
                self.shared.disk.remove(&path).named("remove", &path)?;
            }
        }
        Ok(())
    }

    fn list_or_nothing(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        match self.shared.disk.list(dir).named("list", dir) {
            Ok(names) => Ok(names.into_iter().map(|listed| listed.name).collect()),
            Err(error) if error.is_missing() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Removes segments all of whose entries are in full bundles; the one being written stays.
    ///
    /// One by one and in their order, each removal made durable: what is left has no gap, whenever the machine stops.
    fn release_segments(&self) -> Result<(), PublishError> {
        let segments = self.shared.paths.segments();
        loop {
            let path = {
                let tail = self.shared.tail.read();
                match tail.segments.as_slice() {
                    // The first one has the checkpoint of the empty log, without which there would be no log.
                    [oldest, next, ..] if next.first > 0 && next.first <= tail.bundles * TILE_WIDTH => {
                        oldest.path.clone()
                    }
                    _ => return Ok(()),
                }
            };
            match self.shared.disk.remove(&path).named("remove", &path) {
                Err(error) if !error.is_missing() => return Err(error.into()),
                _ => self.shared.disk.sync(std::slice::from_ref(&segments)).named("sync", &segments)?,
            }
            self.shared.tail.write().segments.retain(|segment| segment.path != path);
        }
    }
}

/// Says how a segment on disk differs from the one that is open.
fn changed_from_outside(shared: &Shared, segment: &Segment) -> Option<&'static str> {
    let found = shared.disk.stat(&segment.path);
    let open = segment.file.stat();
    match (found, open) {
        (Err(error), _) if error.kind() == std::io::ErrorKind::NotFound => Some("is gone"),
        // A disk that does not answer is not tampering; writing meets it too.
        (Err(_), _) | (_, Err(_)) => None,
        (Ok(found), Ok(open)) if found.id != open.id => Some("was replaced"),
        (Ok(found), Ok(_)) if found.len < segment.len => Some("was cut short"),
        (Ok(_), Ok(_)) => None,
    }
}

const GROUP_BYTES: usize = 16 << 20;
const GROUP_FILES: usize = 512;
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const PARTIAL_BYTES: u64 = 8 << 20;
