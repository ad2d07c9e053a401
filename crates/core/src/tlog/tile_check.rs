//! Holding the files under `tile/` against entries that are read one after the other.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    disk::{Disk, Named},
    merkle::{Hash, root_over},
    paths::{Paths, TILES},
    tail::MAX_BUNDLE,
    tile::{LEVELS, TILE_WIDTH, TileKind, TilePath, decode_entries, hashes_at, partial_tiles, push_entry},
    verify::{Finding, VerifyError},
};

pub(crate) struct TileCheck<'a> {
    disk: &'a dyn Disk,
    paths: &'a Paths,
    /// Files that are no tiles; the first that was found.
    extra: Option<PathBuf>,
    /// The highest full tile of each kind.
    highest: BTreeMap<TileKind, u64>,
    /// The widths of the partial tiles there are, by what they are part of.
    partials: BTreeMap<(TileKind, u64), Vec<u8>>,
    /// Entries up to here must be in full tiles where these are full; those after it may be in segments alone.
    required: u64,
    /// The bundle being filled, and where each of its entries ends.
    bundle: Vec<u8>,
    ends: Vec<usize>,
    /// The tile being filled at each level, and its number.
    levels: Vec<(u64, Vec<Hash>)>,
}

impl<'a> TileCheck<'a> {
    /// Finds out what files there are.
    pub(crate) fn walk(disk: &'a dyn Disk, paths: &'a Paths) -> Result<Self, VerifyError> {
        let mut check = Self {
            disk,
            paths,
            extra: None,
            highest: BTreeMap::new(),
            partials: BTreeMap::new(),
            required: 0,
            bundle: Vec::new(),
            ends: Vec::new(),
            levels: vec![(0, Vec::new()); usize::from(LEVELS)],
        };
        let mut found = 0;
        check.walk_dir(&paths.tiles(), TILES, 0, &mut found)?;
        Ok(check)
    }

    /// Says that the full tiles of the entries up to `size` must be there: a checkpoint that was published promises
    /// them, or no segment holds the entries.
    pub(crate) fn require_up_to(&mut self, size: u64) {
        self.required = self.required.max(size);
    }

    /// The first of the partial tiles of this size that is not there, and neither is the full one that replaced it.
    pub(crate) fn missing_partial(&self, size: u64) -> Result<Option<PathBuf>, VerifyError> {
        for tile in partial_tiles(size) {
            let path = self.paths.tile(&tile);
            // In this order: a log in use removes the partial one once the full one is there.
            if self.read_partial(&path)?.is_none()
                && self.read_partial(&self.paths.tile(&TilePath { partial: None, ..tile }))?.is_none()
            {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Takes the next entry, and compares the tiles that it completes.
    pub(crate) fn entry(&mut self, index: u64, entry: &[u8], leaf: Hash) -> Result<(), VerifyError> {
        push_entry(&mut self.bundle, entry);
        self.ends.push(self.bundle.len());
        let mut hash = leaf;
        for level in 0..LEVELS {
            let Some((number, hashes)) = self.levels.get_mut(usize::from(level)) else { break };
            hashes.push(hash);
            if !is_full(hashes) {
                return Ok(());
            }
            let tile = TilePath::full(TileKind::Hashes(level), *number);
            *number += 1;
            let hashes = std::mem::take(hashes);
            hash = root_over(&hashes);
            if level == 0 {
                self.full_bundle(index / TILE_WIDTH, &hashes)?;
            }
            self.full_tile(level, &tile, &hashes)?;
        }
        Ok(())
    }

    /// Compares the hashes of a bundle's entries with the tile of its width.
    pub(crate) fn check_leaves(&self, bundle: &TilePath, leaves: &[Hash]) -> Result<(), VerifyError> {
        let tile = TilePath { kind: TileKind::Hashes(0), ..*bundle };
        match self.read(&tile, 0)?.and_then(|found| first_difference(&found, leaves)) {
            None => Ok(()),
            Some(at) => Err(Finding::Entry { index: bundle.index * TILE_WIDTH + at, what: OTHER_HASH }.into()),
        }
    }

    /// The first of the entries of the tile being filled whose hash is not the one that a partial tile has.
    pub(crate) fn altered_leaf(&self) -> Result<Option<u64>, VerifyError> {
        let Some((number, hashes)) = self.levels.first() else { return Ok(None) };
        let kind = TileKind::Hashes(0);
        let widest = self.partials.get(&(kind, *number)).and_then(|widths| widths.iter().max());
        let Some(width) = widest else { return Ok(None) };
        let path = self.paths.tile(&TilePath { kind, index: *number, partial: Some(*width) });
        let Some(found) = self.read_partial(&path)? else { return Ok(None) };
        let (found, _) = found.as_chunks::<32>();
        let at = found.iter().zip(hashes).position(|(one, other)| one != other);
        Ok(at.and_then(|at| u64::try_from(at).ok()).map(|at| number * TILE_WIDTH + at))
    }

    fn finish_partials(&mut self) -> Result<(), VerifyError> {
        let bundle = self.levels.first().map_or(0, |(number, _)| *number);
        let entries = (std::mem::take(&mut self.bundle), std::mem::take(&mut self.ends));
        self.partial_bundles(bundle, &entries.0, &entries.1)?;
        for (level, (number, hashes)) in (0..LEVELS).zip(std::mem::take(&mut self.levels)) {
            self.partial_tiles(level, number, &hashes)?;
        }
        Ok(())
    }

    /// Compares the partial tiles at the end of the log, and makes sure that no file is left over.
    pub(crate) fn finish(&mut self, size: u64) -> Result<(), VerifyError> {
        self.finish_partials()?;
        if let Some(extra) = self.extra.take() {
            return Err(Finding::Extra(extra).into());
        }
        for (kind, index) in &self.highest {
            let tiles = match kind {
                TileKind::Entries => size / TILE_WIDTH,
                TileKind::Hashes(level) => hashes_at(*level, size) / TILE_WIDTH,
            };
            if *index >= tiles {
                return Err(Finding::Extra(self.paths.tile(&TilePath::full(*kind, *index))).into());
            }
        }
        if let Some(((kind, index), widths)) = self.partials.first_key_value() {
            let tile = TilePath { kind: *kind, index: *index, partial: widths.first().copied() };
            return Err(Finding::Extra(self.paths.tile(&tile)).into());
        }
        Ok(())
    }

    fn full_bundle(&mut self, index: u64, hashes: &[Hash]) -> Result<(), VerifyError> {
        let (bytes, ends) = (std::mem::take(&mut self.bundle), std::mem::take(&mut self.ends));
        let tile = TilePath::full(TileKind::Entries, index);
        if let Some(found) = self.read(&tile, 0)? {
            compare_bundle(&self.paths.tile(&tile), index, &found, &bytes, &ends)?;
        }
        self.check_leaves(&tile, hashes)?;
        self.partial_bundles(index, &bytes, &ends)
    }

    fn full_tile(&mut self, level: u8, tile: &TilePath, hashes: &[Hash]) -> Result<(), VerifyError> {
        if let Some(found) = self.read(tile, level)?
            && found != hashes.as_flattened()
        {
            let what = "not the hashes of the tiles below it";
            return Err(Finding::File { path: self.paths.tile(tile), what }.into());
        }
        self.partial_tiles(level, tile.index, hashes)
    }

    fn partial_bundles(&mut self, index: u64, bytes: &[u8], ends: &[usize]) -> Result<(), VerifyError> {
        for width in self.take_partials(TileKind::Entries, index) {
            let tile = TilePath { kind: TileKind::Entries, index, partial: Some(width) };
            let path = self.paths.tile(&tile);
            let Some(ends) = ends.get(..usize::from(width)) else { return Err(Finding::Extra(path).into()) };
            let bytes = bytes.get(..ends.last().copied().unwrap_or(0)).unwrap_or_default();
            if let Some(found) = self.read_partial(&path)? {
                compare_bundle(&path, index, &found, bytes, ends)?;
            }
        }
        Ok(())
    }

    fn partial_tiles(&mut self, level: u8, index: u64, hashes: &[Hash]) -> Result<(), VerifyError> {
        for width in self.take_partials(TileKind::Hashes(level), index) {
            let path = self.paths.tile(&TilePath { kind: TileKind::Hashes(level), index, partial: Some(width) });
            let Some(hashes) = hashes.get(..usize::from(width)) else { return Err(Finding::Extra(path).into()) };
            if self.read_partial(&path)?.is_some_and(|found| found != hashes.as_flattened()) {
                return Err(Finding::File { path, what: "not the hashes of what it is about" }.into());
            }
        }
        Ok(())
    }

    fn take_partials(&mut self, kind: TileKind, index: u64) -> Vec<u8> {
        self.partials.remove(&(kind, index)).unwrap_or_default()
    }

    /// A full tile; one that must be there and is not is a finding.
    fn read(&self, tile: &TilePath, level: u8) -> Result<Option<Vec<u8>>, VerifyError> {
        let path = self.paths.tile(tile);
        let end = (tile.index + 1).checked_mul(TILE_WIDTH).and_then(|end| end.checked_shl(8 * u32::from(level)));
        match self.disk.read(&path, MAX_BUNDLE).named("read", &path) {
            Err(error) if error.is_missing() && end.is_some_and(|end| end <= self.required) => {
                Err(Finding::Missing(path).into())
            }
            Err(error) if error.is_missing() => Ok(None),
            bytes => Ok(Some(bytes?)),
        }
    }

    /// A tile, which if it is partial a log in use may have removed since it was found.
    fn read_partial(&self, path: &Path) -> Result<Option<Vec<u8>>, VerifyError> {
        match self.disk.read(path, MAX_BUNDLE).named("read", path) {
            Err(error) if error.is_missing() => Ok(None),
            bytes => Ok(Some(bytes?)),
        }
    }

    /// Notes the files of a directory and those below it; the names in `path` go on from `tile`.
    fn walk_dir(&mut self, dir: &Path, path: &str, depth: u32, found: &mut usize) -> Result<(), VerifyError> {
        let listed = match self.disk.list(dir).named("list", dir) {
            Err(error) if error.is_missing() => return Ok(()),
            listed => listed?,
        };
        for listed in listed {
            let (dir, path) = (dir.join(&listed.name), format!("{path}/{}", listed.name));
            if listed.is_dir && depth < MAX_DEPTH {
                self.walk_dir(&dir, &path, depth + 1, found)?;
                continue;
            }
            match TilePath::parse(&path).filter(|_| !listed.is_dir) {
                None => self.extra = self.extra.take().or(Some(dir)),
                Some(TilePath { kind, index, partial: None }) => {
                    let highest = self.highest.entry(kind).or_insert(index);
                    *highest = index.max(*highest);
                }
                Some(TilePath { kind, index, partial: Some(width) }) => {
                    *found += 1;
                    if *found > MAX_PARTIALS {
                        let what = "more partial tiles than a log has";
                        return Err(Finding::File { path: self.paths.tiles(), what }.into());
                    }
                    self.partials.entry((kind, index)).or_default().push(width);
                }
            }
        }
        Ok(())
    }
}

/// Finds the first entry in which a bundle differs from what it should be.
fn compare_bundle(path: &Path, index: u64, found: &[u8], expected: &[u8], ends: &[usize]) -> Result<(), Finding> {
    if found == expected {
        return Ok(());
    }
    let width = u64::try_from(ends.len()).unwrap_or(0);
    let (Some(found), Some(expected)) = (decode_entries(found, width), decode_entries(expected, width)) else {
        return Err(Finding::File { path: path.to_owned(), what: "not a bundle of its width" });
    };
    let at = found.iter().zip(&expected).position(|(one, other)| one != other).unwrap_or(0);
    let index = index * TILE_WIDTH + u64::try_from(at).unwrap_or(0);
    Err(Finding::Entry { index, what: "its bundle has another one than its segment, or than the full bundle" })
}

fn first_difference(found: &[u8], hashes: &[Hash]) -> Option<u64> {
    if found == hashes.as_flattened() {
        return None;
    }
    let (found, _) = found.as_chunks::<32>();
    let same = found.iter().zip(hashes).take_while(|(one, other)| one == other).count();
    u64::try_from(same).ok()
}

fn is_full(hashes: &[Hash]) -> bool {
    u64::try_from(hashes.len()).is_ok_and(|len| len == TILE_WIDTH)
}

/// How an altered entry shows by its tile.
pub(crate) const OTHER_HASH: &str = "it does not have the hash that its tile has";
const MAX_DEPTH: u32 = 12;
const MAX_PARTIALS: usize = 100_000;
