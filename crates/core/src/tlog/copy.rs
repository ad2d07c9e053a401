//! A copy of a log's first entries, as a directory of tiles with its checkpoint: what a verifier needs, without segments.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use super::{
    merkle::{Hash, leaf_hash, root_over},
    paths::Paths,
    tile::{LEVELS, TILE_WIDTH, TileKind, TilePath, partial_tiles, push_entry},
};

/// A directory being filled, entry by entry.
pub(crate) struct Copy {
    paths: Paths,
    size: u64,
    bundle: Vec<u8>,
    /// The hashes of the tile that is not full yet, level by level.
    edge: Vec<Vec<Hash>>,
}

impl Copy {
    /// Makes the directory, which must not be there.
    pub(crate) fn create(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir.parent().unwrap_or(Path::new(".")))?;
        DirBuilder::new().mode(0o700).create(dir)?;
        let edge = (0..LEVELS).map(|_| Vec::new()).collect();
        Ok(Self { paths: Paths::new(dir), size: 0, bundle: Vec::new(), edge })
    }

    /// Adds the next entry.
    pub(crate) fn push(&mut self, entry: &[u8]) -> io::Result<()> {
        push_entry(&mut self.bundle, entry);
        self.size += 1;
        if self.size.is_multiple_of(TILE_WIDTH) {
            let bundle = std::mem::take(&mut self.bundle);
            self.write(TilePath::full(TileKind::Entries, self.size / TILE_WIDTH - 1), &bundle)?;
        }
        let mut hash = leaf_hash(entry);
        for level in 0..LEVELS {
            let Some(tile) = self.edge.get_mut(usize::from(level)) else { break };
            tile.push(hash);
            if !u64::try_from(tile.len()).is_ok_and(|len| len == TILE_WIDTH) {
                break;
            }
            let tile = std::mem::take(tile);
            hash = root_over(&tile);
            let index = (self.size >> (8 * (u32::from(level) + 1))) - 1;
            self.write(TilePath::full(TileKind::Hashes(level), index), tile.as_flattened())?;
        }
        Ok(())
    }

    /// Writes what is left, the keys and the checkpoint, and makes all of it durable.
    pub(crate) fn finish(self, keys: &str, checkpoint: &str) -> io::Result<()> {
        for tile in partial_tiles(self.size) {
            match tile.kind {
                TileKind::Entries => self.write(tile, &self.bundle)?,
                TileKind::Hashes(level) => {
                    let hashes = self.edge.get(usize::from(level)).map_or(&[][..], Vec::as_slice);
                    self.write(tile, hashes.as_flattened())?;
                }
            }
        }
        write(&self.paths.keys(), keys.as_bytes())?;
        write(&self.paths.checkpoint(), checkpoint.as_bytes())?;
        // Thousands of files: the file system's own sync is one call.
        rustix::fs::syncfs(File::open(self.paths.dir())?)?;
        Ok(())
    }

    fn write(&self, tile: TilePath, bytes: &[u8]) -> io::Result<()> {
        write(&self.paths.tile(&tile), bytes)
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(Path::new("."));
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            options.open(path)
        }
        opened => opened,
    };
    file?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::{
        RealDisk,
        checkpoint::{Head, sign_head},
        merkle::Frontier,
        rotation::KeyChain,
        tests::vectors::{entry, signer},
        verify::{Verification, verify_dir},
    };

    #[test]
    fn copy_of_any_size_is_found_whole() {
        for size in [1, 255, 256, 257, 1000, 65_536, 66_000] {
            let scratch = tempfile::tempdir().unwrap();
            let dir = scratch.path().join("a/log");
            let (mut copy, mut frontier) = (Copy::create(&dir).unwrap(), Frontier::new());
            for index in 0..size {
                copy.push(&entry(index)).unwrap();
                frontier.push(leaf_hash(&entry(index)));
            }
            let key = signer("coffer.test/audit", 0);
            let head = Head { size, root: frontier.root() };
            let checkpoint = sign_head(key.verifier().name(), &head, [&key]);
            copy.finish(&KeyChain::new(key.verifier().clone()).to_text(), &checkpoint).unwrap();
            let keys = [key.verifier().clone()];
            let what = Verification { dir: &dir, keys: &keys, since: None };
            let mut entries = 0;
            let report = verify_dir(&RealDisk, what, &mut |index, found| {
                entries += 1;
                (found == entry(index)).then_some(()).ok_or_else(|| "another".to_owned())
            });
            let report = report.unwrap_or_else(|error| panic!("{size}: {error}"));
            assert_eq!((report.head, report.published, entries), (head, Some(head), size));
        }
    }
}
