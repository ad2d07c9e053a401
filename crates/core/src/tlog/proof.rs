//! Inclusion and consistency proofs of RFC 6962, made from stored nodes and verified from hashes alone.

use super::merkle::{Hash, Nodes, node_hash, range_root, split_point};

/// Why a proof was not made or not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofError {
    /// The index lies outside the tree.
    #[error("index {index} lies outside a tree of {size} entries")]
    Index {
        /// The index asked for.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The proof has more or fewer hashes than its sizes need.
    #[error("the proof has {found} hashes where {needed} belong")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        needed: usize,
    },
    /// The older size is greater than the newer one.
    #[error("size {old} is greater than {new}")]
    Order {
        /// The size said to be older.
        old: u64,
        /// The size said to be newer.
        new: u64,
    },
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Root,
}

/// The hashes that lead from the leaf at `index` to the root of the first `size` leaves, the leaf's sibling first.
///
/// The caller has checked `index < size`.
pub(crate) fn inclusion<N: Nodes + ?Sized>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split_point(to - from);
        if index < middle {
            path.push(range_root(nodes, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(nodes, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show that the first `old` leaves are a prefix of the first `new` ones.
///
/// Empty where `old` is 0 or equals `new`. The caller has checked `old <= new`.
pub(crate) fn consistency<N: Nodes + ?Sized>(nodes: &mut N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let mut path = Vec::new();
    if old == 0 || old == new {
        return Ok(path);
    }
    let (mut from, mut to) = (0, new);
    // Until the walk first turns right, the verifier knows the subtree that it ends in: it is the old root.
    let mut end_is_known = true;
    while old != to {
        let middle = from + split_point(to - from);
        if old <= middle {
            path.push(range_root(nodes, middle, to)?);
            to = middle;
        } else {
            path.push(range_root(nodes, from, middle)?);
            from = middle;
            end_is_known = false;
        }
    }
    if !end_is_known {
        path.push(range_root(nodes, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Checks that the entry with this leaf hash stands at `index` in the tree of `size` entries with this root.
///
/// # Errors
/// [`ProofError`]; a proof that is longer or shorter than the sizes need is refused.
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let needed = inclusion_length(index, size);
    if path.len() != needed {
        return Err(ProofError::Length { found: path.len(), needed });
    }
    // RFC 9162, section 2.1.3.2.
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree of `old` entries with `old_root` is a prefix of the tree of `new` entries with `new_root`.
///
/// # Errors
/// [`ProofError`]; a proof that is longer or shorter than the sizes need is refused.
pub fn verify_consistency(
    old: u64,
    new: u64,
    path: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Order { old, new });
    }
    if old == 0 || old == new {
        if !path.is_empty() {
            return Err(ProofError::Length { found: path.len(), needed: 0 });
        }
        let empty = super::merkle::empty_root();
        let holds = if old == new { old_root == new_root } else { *old_root == empty };
        return if holds { Ok(()) } else { Err(ProofError::Root) };
    }
    let needed = consistency_length(old, new);
    if path.len() != needed {
        return Err(ProofError::Length { found: path.len(), needed });
    }
    // RFC 9162, section 2.1.4.2.
    let mut rest = path.iter();
    let first = if old.is_power_of_two() { old_root } else { rest.next().ok_or(ProofError::Root)? };
    let shift = (old - 1).trailing_ones();
    let (mut node, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (mut left, mut right) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return Err(ProofError::Root);
        }
        if node & 1 == 1 || node == last {
            left = node_hash(hash, &left);
            right = node_hash(hash, &right);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            right = node_hash(&right, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && left == *old_root && right == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

fn inclusion_length(index: u64, size: u64) -> usize {
    let (mut from, mut to, mut length) = (0, size, 0);
    while to - from > 1 {
        let middle = from + split_point(to - from);
        if index < middle {
            to = middle
        } else {
            from = middle
        }
        length += 1;
    }
    length
}

fn consistency_length(old: u64, new: u64) -> usize {
    let (mut from, mut to, mut length) = (0, new, 0);
    while old != to {
        let middle = from + split_point(to - from);
        if old <= middle {
            to = middle
        } else {
            from = middle
        }
        length += 1;
    }
    length + usize::from(from != 0)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::super::merkle::{leaf_hash, root_at, root_over};
    use super::*;
    use crate::tlog::tests::vectors::{Vectors, entry};

    struct Leaves(Vec<Hash>);

    impl Leaves {
        fn new(count: u64) -> Self {
            Self((0..count).map(|i| leaf_hash(&entry(i))).collect())
        }
    }

    impl Nodes for Leaves {
        type Error = Infallible;
        fn node(&mut self, height: u32, index: u64) -> Result<Hash, Infallible> {
            let from = usize::try_from(index << height).unwrap();
            Ok(root_over(&self.0[from..from + (1 << height)]))
        }
    }

    #[test]
    fn proofs_of_the_golden_vectors_agree() {
        let vectors = Vectors::load();
        let mut leaves = Leaves::new(70_000);
        for case in &vectors.inclusion {
            let root = root_at(&mut leaves, case.size).unwrap();
            assert_eq!(
                inclusion(&mut leaves, case.index, case.size).unwrap(),
                case.proof,
                "{} of {}",
                case.index,
                case.size
            );
            verify_inclusion(case.index, case.size, &leaf_hash(&entry(case.index)), &case.proof, &root).unwrap();
        }
        for case in &vectors.consistency {
            assert_eq!(consistency(&mut leaves, case.old, case.new).unwrap(), case.proof, "{}..{}", case.old, case.new);
            let (old, new) = (root_at(&mut leaves, case.old).unwrap(), root_at(&mut leaves, case.new).unwrap());
            verify_consistency(case.old, case.new, &case.proof, &old, &new).unwrap();
        }
        assert!(vectors.inclusion.len() > 10 && vectors.consistency.len() > 5);
    }

    #[test]
    fn proofs_of_every_small_tree_verify_and_nothing_else_does() {
        let mut leaves = Leaves::new(40);
        let roots: Vec<Hash> = (0..=40).map(|n| root_at(&mut leaves, n).unwrap()).collect();
        for size in 1..=40_u64 {
            let root = roots[usize::try_from(size).unwrap()];
            for index in 0..size {
                let path = inclusion(&mut leaves, index, size).unwrap();
                let leaf = leaf_hash(&entry(index));
                assert_eq!(verify_inclusion(index, size, &leaf, &path, &root), Ok(()));
                assert!(verify_inclusion(index, size, &leaf_hash(b"another"), &path, &root).is_err());
                for other in (0..size).filter(|other| *other != index) {
                    assert!(
                        verify_inclusion(other, size, &leaf, &path, &root).is_err(),
                        "{index} as {other} of {size}"
                    );
                }
            }
            for old in 0..=size {
                let path = consistency(&mut leaves, old, size).unwrap();
                let old_root = roots[usize::try_from(old).unwrap()];
                assert_eq!(verify_consistency(old, size, &path, &old_root, &root), Ok(()), "{old} {size}");
                // Any tree continues the empty one.
                assert_eq!(verify_consistency(old, size, &path, &old_root, &[7; 32]).is_err(), old > 0);
                assert!(verify_consistency(old, size, &path, &[7; 32], &root).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn inclusion_with_any_change_is_refused(size in 1..200_u64, seed: u64, bit in 0..256_usize, longer: bool) {
            let mut leaves = Leaves::new(size);
            let index = seed % size;
            let root = root_at(&mut leaves, size).unwrap();
            let leaf = leaf_hash(&entry(index));
            let mut path = inclusion(&mut leaves, index, size).unwrap();
            if longer {
                path.push([0; 32]);
                prop_assert!(verify_inclusion(index, size, &leaf, &path, &root).is_err());
                path.pop();
            }
            if let Some(hash) = path.last_mut() {
                hash[bit / 8] ^= 1 << (bit % 8);
                prop_assert!(verify_inclusion(index, size, &leaf, &path, &root).is_err());
                path.pop();
                prop_assert!(verify_inclusion(index, size, &leaf, &path, &root).is_err());
            }
            prop_assert!(verify_inclusion(size, size, &leaf, &path, &root).is_err());
        }

        #[test]
        fn verification_of_arbitrary_input_never_panics(
            a: u64, b: u64, path in prop::collection::vec(any::<[u8; 32]>(), 0..70), root: [u8; 32],
        ) {
            let _ = verify_inclusion(a, b, &root, &path, &root);
            let _ = verify_consistency(a, b, &path, &root, &root);
            let _ = verify_consistency(a.min(b), a.max(b), &path, &root, &root);
        }
    }
}
