//! The right edge of the tree in memory: the hashes that are not yet in full tiles on disk, level by level.

use super::{
    merkle::{Frontier, Hash, root_over},
    tile::{LEVELS, TILE_WIDTH, hashes_at},
};

/// The hashes at one level of tiles from `start` on, a multiple of 256.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Level {
    start: u64,
    hashes: Vec<Hash>,
}

/// Hashes of the last tiles of each level; those of full tiles stay until [`Edge::trim`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Edge {
    levels: [Level; 8],
}

impl Edge {
    /// The edge of the tree without leaves.
    pub(crate) fn new() -> Self {
        Self { levels: Default::default() }
    }

    /// Adds hashes to a level that stands at a multiple of 256, for building the edge of a log from its tiles.
    pub(crate) fn load(&mut self, level: u8, start: u64, hashes: Vec<Hash>) {
        if let Some(slot) = self.levels.get_mut(usize::from(level)) {
            *slot = Level { start, hashes };
        }
    }

    /// Adds a leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in &mut self.levels {
            level.hashes.push(hash);
            match level.last_tile() {
                Some(tile) => hash = root_over(tile),
                None => return,
            }
        }
    }

    /// The hashes `from..to` of a level, if all of them are here.
    pub(crate) fn hashes(&self, level: u8, from: u64, to: u64) -> Option<&[Hash]> {
        let level = self.levels.get(usize::from(level))?;
        let from = usize::try_from(from.checked_sub(level.start)?).ok()?;
        let to = usize::try_from(to.checked_sub(level.start)?).ok()?;
        level.hashes.get(from..to)
    }

    /// Forgets hashes of full tiles, so many from the beginning of the level, which are on disk now.
    pub(crate) fn trim(&mut self, level: u8, tiles: u64) {
        let Some(level) = self.levels.get_mut(usize::from(level)) else { return };
        let start = tiles * TILE_WIDTH;
        let count = usize::try_from(start.saturating_sub(level.start)).unwrap_or(usize::MAX);
        if count > 0 && count <= level.hashes.len() {
            level.hashes.drain(..count);
            level.start = start;
        }
    }

    /// The peaks of the tree of which this is the edge.
    pub(crate) fn frontier(&self, size: u64) -> Option<Frontier> {
        let mut frontier = Frontier::new();
        for level in (0..LEVELS).rev() {
            let count = hashes_at(level, size);
            let from = count - count % TILE_WIDTH;
            for hash in self.hashes(level, from, count)? {
                frontier.push_subtree(8 * u32::from(level), *hash);
            }
        }
        (frontier.size() == size).then_some(frontier)
    }
}

impl Level {
    /// The last tile, if it is full.
    fn last_tile(&self) -> Option<&[Hash]> {
        let width = usize::try_from(TILE_WIDTH).ok()?;
        let whole = self.hashes.len().is_multiple_of(width) && !self.hashes.is_empty();
        if whole { self.hashes.get(self.hashes.len() - width..) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::{
        merkle::leaf_hash,
        tests::vectors::{Vectors, entry},
    };

    #[test]
    fn edge_across_two_levels_has_the_frontier_of_the_tree() {
        let vectors = Vectors::load();
        let mut edge = Edge::new();
        let mut plain = Frontier::new();
        for index in 0..70_000_u64 {
            let leaf = leaf_hash(&entry(index));
            edge.push(leaf);
            plain.push(leaf);
            let size = index + 1;
            if size % TILE_WIDTH == 0 && size > 512 {
                // As the log does: a full tile goes once it is written.
                for level in 0..LEVELS {
                    edge.trim(level, hashes_at(level, size) / TILE_WIDTH);
                }
            }
            if vectors.roots.contains_key(&size) || size.is_multiple_of(997) {
                assert_eq!(edge.frontier(size).unwrap(), plain, "{size}");
            }
        }
        assert_eq!(edge.hashes(1, 256, 273).unwrap().len(), 17);
        assert_eq!(edge.hashes(1, 255, 273), None);
        assert_eq!(edge.hashes(0, 273 * 256, 70_001), None);
        assert_eq!(edge.frontier(70_001), None);
    }
}
