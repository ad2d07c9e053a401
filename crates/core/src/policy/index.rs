//! Finding the patterns that match a path without trying them all.
//!
//! Slots are numbers that the owner gives to patterns. Neither search allocates.

use std::collections::HashMap;

/// Finds the longest of many prefixes.
#[derive(Clone, Debug, Default)]
pub(super) struct PrefixIndex {
    /// Sorted by prefix.
    entries: Vec<PrefixEntry>,
}

#[derive(Clone, Debug)]
struct PrefixEntry {
    prefix: Box<str>,
    slot: usize,
    /// The entry with the longest prefix that is a prefix of this one.
    parent: Option<usize>,
}

impl PrefixIndex {
    /// Bytes that it holds, about, beside itself.
    pub(super) fn weight(&self) -> usize {
        let texts: usize = self.entries.iter().map(|entry| entry.prefix.len()).sum();
        texts + self.entries.capacity() * size_of::<PrefixEntry>()
    }

    /// Builds the index; every prefix may be given once.
    pub(super) fn build(mut prefixes: Vec<(Box<str>, usize)>) -> PrefixIndex {
        prefixes.sort();
        let mut entries: Vec<PrefixEntry> = Vec::with_capacity(prefixes.len());
        let mut open: Vec<usize> = Vec::new();
        for (prefix, slot) in prefixes {
            let starts = |index: &usize| entries.get(*index).is_some_and(|entry| prefix.starts_with(&*entry.prefix));
            while open.last().is_some_and(|index| !starts(index)) {
                open.pop();
            }
            let parent = open.last().copied();
            open.push(entries.len());
            entries.push(PrefixEntry { prefix, slot, parent });
        }
        PrefixIndex { entries }
    }

    /// The slot of the longest prefix of `path` among those whose slot is `live`.
    pub(super) fn longest(&self, path: &str, live: impl Fn(usize) -> bool) -> Option<usize> {
        let after = self.entries.partition_point(|entry| &*entry.prefix <= path);
        // Every prefix of `path` in the index is a prefix of its greatest entry that is not greater than `path`.
        let mut next = after.checked_sub(1);
        let mut common: Option<usize> = None;
        while let Some(entry) = next.and_then(|index| self.entries.get(index)) {
            let common = *common.get_or_insert_with(|| common_length(&entry.prefix, path));
            if entry.prefix.len() <= common && live(entry.slot) {
                return Some(entry.slot);
            }
            next = entry.parent;
        }
        None
    }
}

fn common_length(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// Finds patterns with whole-segment wildcards: a tree whose edges are segments.
#[derive(Clone, Debug)]
pub(super) struct SegmentIndex {
    nodes: Vec<SegmentNode>,
}

#[derive(Clone, Debug, Default)]
struct SegmentNode {
    literal: HashMap<Box<str>, usize>,
    plus: Option<usize>,
    /// The pattern that ends with the segment that leads here.
    end: Option<usize>,
    /// The patterns that end in `*`, by what stands between the last `/` and the `*`.
    open: PrefixIndex,
    /// The same before [`SegmentIndex::finish`].
    unsorted: Vec<(Box<str>, usize)>,
}

impl SegmentIndex {
    pub(super) fn new() -> SegmentIndex {
        SegmentIndex { nodes: vec![SegmentNode::default()] }
    }

    /// Bytes that it holds, about, beside itself.
    pub(super) fn weight(&self) -> usize {
        let of_node = |node: &SegmentNode| {
            let texts = node.literal.keys().map(|segment| segment.len()).sum::<usize>();
            // A hash table has a seventh more places than it says, and a byte beside each.
            let literal = node.literal.capacity() * 8 / 7 * (size_of::<(Box<str>, usize)>() + 1);
            texts + literal + node.open.weight() + node.unsorted.capacity() * size_of::<(Box<str>, usize)>()
        };
        self.nodes.capacity() * size_of::<SegmentNode>() + self.nodes.iter().map(of_node).sum::<usize>()
    }

    /// Adds the pattern that matches exactly the segments of `stem`.
    pub(super) fn insert_whole(&mut self, stem: &str, slot: usize) {
        let node = self.node(stem.split('/'));
        if let Some(node) = self.nodes.get_mut(node) {
            node.end = Some(slot);
        }
    }

    /// Adds the pattern that matches whatever begins with `stem`.
    pub(super) fn insert_open(&mut self, stem: &str, slot: usize) {
        let (node, tail) = match stem.rsplit_once('/') {
            Some((head, tail)) => (self.node(head.split('/')), tail),
            None => (0, stem),
        };
        if let Some(node) = self.nodes.get_mut(node) {
            node.unsorted.push((tail.into(), slot));
        }
    }

    /// To be called after the last pattern.
    pub(super) fn finish(&mut self) {
        for node in &mut self.nodes {
            node.open = PrefixIndex::build(std::mem::take(&mut node.unsorted));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Shows `found` the slots of the patterns that match `path` and are `live`. Of patterns that differ only in what
    /// stands between their last `/` and a final `*` it sees the longest alone.
    pub(super) fn each_match(&self, path: &str, live: &impl Fn(usize) -> bool, found: &mut impl FnMut(usize)) {
        self.visit(0, Some(path), live, found);
    }

    /// `rest` is what follows the segments that led to the node; `None` if nothing, not even a `/`, does.
    /// The depth is bounded by the longest pattern, not by the path.
    fn visit(&self, node: usize, rest: Option<&str>, live: &impl Fn(usize) -> bool, found: &mut impl FnMut(usize)) {
        let Some(node) = self.nodes.get(node) else { return };
        let Some(rest) = rest else {
            if let Some(slot) = node.end.filter(|slot| live(*slot)) {
                found(slot);
            }
            return;
        };
        if let Some(slot) = node.open.longest(rest, live) {
            found(slot);
        }
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        for child in [node.literal.get(segment).copied(), node.plus].into_iter().flatten() {
            self.visit(child, rest, live, found);
        }
    }

    /// The node at the end of `segments`, made if need be.
    fn node<'s>(&mut self, segments: impl Iterator<Item = &'s str>) -> usize {
        let mut at = 0;
        for segment in segments {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return at };
            at = match segment {
                "+" => *node.plus.get_or_insert(fresh),
                literal => *node.literal.entry(literal.into()).or_insert(fresh),
            };
            if at == fresh {
                self.nodes.push(SegmentNode::default());
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_index_with_nested_prefixes_finds_the_longest_live_one() {
        let prefixes = ["", "a", "a/b", "a/b/c", "a/c", "b"];
        let index = PrefixIndex::build(prefixes.iter().enumerate().map(|(i, p)| ((*p).into(), i)).collect());
        for (path, longest) in [("a/b/c/d", 3), ("a/b/d", 2), ("a/bb", 2), ("a/d", 1), ("z", 0), ("", 0), ("a/b", 2)] {
            assert_eq!(index.longest(path, |_| true), Some(longest), "{path}");
        }
        assert_eq!(index.longest("a/b/c/d", |slot| slot != 3), Some(2));
        assert_eq!(index.longest("a/b/c/d", |slot| slot == 0), Some(0));
        assert_eq!(index.longest("a", |_| false), None);
        assert_eq!(PrefixIndex::default().longest("a", |_| true), None);
    }

    #[test]
    fn segment_index_of_a_deep_pattern_and_a_long_path_terminates() {
        let mut index = SegmentIndex::new();
        index.insert_whole(&vec!["+"; 2048].join("/"), 7);
        index.finish();
        let mut found = Vec::new();
        index.each_match(&vec!["a"; 2048].join("/"), &|_| true, &mut |slot| found.push(slot));
        index.each_match(&vec!["a"; 100_000].join("/"), &|_| true, &mut |slot| found.push(slot));
        assert_eq!(found, [7]);
    }
}
