//! The Merkle tree of RFC 6962 over SHA-256: hashes, the growing right edge, roots of ranges.

use coffer_crypto::hash::sha256;

/// A SHA-256 hash of a leaf or a node.
pub type Hash = [u8; 32];

/// The hash of an entry as a leaf of the tree.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// The hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The root of the tree without leaves.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The largest power of two smaller than `n`, where RFC 6962 splits a tree of `n` leaves; `n` is at least 2.
pub(crate) fn split_point(n: u64) -> u64 {
    1 << (u64::BITS - 1 - (n - 1).leading_zeros())
}

/// The roots of the perfect subtrees that make up a tree, largest first: all that appending needs.
///
/// One hash for each set bit of the size, so at most 64.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self { size: 0, peaks: Vec::new() }
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(0, leaf);
    }

    /// Adds a perfect subtree of `2^height` leaves by its root; the size must be a multiple of that number.
    pub(crate) fn push_subtree(&mut self, height: u32, root: Hash) {
        debug_assert!(self.size.trailing_zeros() >= height, "a subtree lies at a multiple of its own size");
        let mut node = root;
        let mut rest = self.size >> height;
        while rest & 1 == 1 {
            let left = self.peaks.pop().expect("each set bit of the size has its peak");
            node = node_hash(&left, &node);
            rest >>= 1;
        }
        self.peaks.push(node);
        self.size += 1 << height;
    }

    /// The root of the tree as it stands.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => empty_root(),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

/// The root over `hashes` taken as leaves of a tree of their own.
pub fn root_over(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    for hash in hashes {
        frontier.push(*hash);
    }
    frontier.root()
}

/// Where the roots of perfect subtrees come from.
pub trait Nodes {
    /// Why a node cannot be had.
    type Error;

    /// The root of the perfect subtree over the leaves `index * 2^height .. (index + 1) * 2^height`, all of which exist.
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the leaves `from..to`, not empty, where the range is one that the split of RFC 6962 makes.
pub(crate) fn range_root<N: Nodes + ?Sized>(nodes: &mut N, from: u64, to: u64) -> Result<Hash, N::Error> {
    let count = to - from;
    if count.is_power_of_two() {
        let height = count.trailing_zeros();
        return nodes.node(height, from >> height);
    }
    let middle = from + split_point(count);
    let left = range_root(nodes, from, middle)?;
    let right = range_root(nodes, middle, to)?;
    Ok(node_hash(&left, &right))
}

/// The root of the tree of the first `size` leaves.
pub(crate) fn root_at<N: Nodes + ?Sized>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range_root(nodes, 0, size) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::tests::vectors::{Vectors, entry, hash};

    #[test]
    fn roots_of_the_golden_vectors_agree() {
        let vectors = Vectors::load();
        assert_eq!(empty_root(), vectors.empty_root);
        assert_eq!(leaf_hash(b"entry-0"), vectors.leaf_0);
        assert_eq!(leaf_hash(b""), hash("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"));
        let mut frontier = Frontier::new();
        let mut checked = 0;
        for index in 0..70_000_u64 {
            frontier.push(leaf_hash(&entry(index)));
            if let Some(root) = vectors.roots.get(&(index + 1)) {
                assert_eq!(frontier.root(), *root, "{}", index + 1);
                checked += 1;
            }
        }
        assert_eq!(checked, vectors.roots.len());
    }

    #[test]
    fn frontier_built_from_subtrees_equals_one_built_from_leaves() {
        let leaves: Vec<Hash> = (0..300).map(|i| leaf_hash(&entry(i))).collect();
        let mut plain = Frontier::new();
        leaves.iter().for_each(|leaf| plain.push(*leaf));
        let mut jumped = Frontier::new();
        jumped.push_subtree(8, root_over(&leaves[..256]));
        jumped.push_subtree(5, root_over(&leaves[256..288]));
        leaves[288..].iter().for_each(|leaf| jumped.push(*leaf));
        assert_eq!(plain, jumped);
    }

    #[test]
    fn split_point_is_the_largest_power_below() {
        for (n, k) in [(2, 1), (3, 2), (4, 2), (5, 4), (256, 128), (257, 256), (u64::MAX, 1 << 63)] {
            assert_eq!(split_point(n), k);
        }
    }
}
