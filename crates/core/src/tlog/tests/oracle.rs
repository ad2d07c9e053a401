//! The log against other implementations of the same formats.

use std::path::Path;

use ct_merkle::{
    digest::{FixedOutput, HashMarker, Output, OutputSizeUser, Update, consts::U32},
    mem_backed_tree::MemoryBackedTree,
};
use proptest::prelude::*;
use tlog_tiles::{HashReader, Tile, TileHashReader, TileReader};

use super::{
    super::{
        Head, Log,
        checkpoint::Checkpoint,
        merkle::{Frontier, Hash, leaf_hash},
        proof::{verify_consistency, verify_inclusion},
    },
    DIR, append, count,
    sim::SimDisk,
    small,
    vectors::{Vectors, entry, signing_key},
    verify,
};

/// Our SHA-256 as the other crate wants it.
#[derive(Clone, Default)]
struct Sha256(Vec<u8>);

impl HashMarker for Sha256 {}

impl OutputSizeUser for Sha256 {
    type OutputSize = U32;
}

impl Update for Sha256 {
    fn update(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
    }
}

impl FixedOutput for Sha256 {
    fn finalize_into(self, out: &mut Output<Self>) {
        out.copy_from_slice(&coffer_crypto::hash::sha256(&[&self.0]));
    }
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks::<32>().0.to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn proofs_of_another_implementation_are_accepted(
        entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..120),
        at: prop::sample::Index, old: prop::sample::Index,
    ) {
        let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut ours = Frontier::new();
        let (at, old) = (at.index(entries.len()), 1 + old.index(entries.len()));
        let mut old_root = ours.root();
        for (index, entry) in entries.iter().enumerate() {
            theirs.push(entry.clone());
            ours.push(leaf_hash(entry));
            if index + 1 == old {
                old_root = ours.root();
            }
        }
        let root = ours.root();
        let their_root = theirs.root();
        prop_assert_eq!(their_root.as_bytes().as_slice(), root.as_slice());
        let path = hashes(theirs.prove_inclusion(at).as_bytes());
        let index = u64::try_from(at).unwrap();
        prop_assert_eq!(verify_inclusion(index, count(&entries), &leaf_hash(&entries[at]), &path, &root), Ok(()));
        let path = hashes(theirs.prove_consistency(entries.len() - old).as_bytes());
        prop_assert_eq!(verify_consistency(u64::try_from(old).unwrap(), count(&entries), &path, &old_root, &root), Ok(()));
    }
}

/// The published directory, read as a client of the Go layout would.
struct Published<'a>(&'a SimDisk);

impl TileReader for Published<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let path = |tile: &Tile| Path::new(DIR).join(tile.path().replacen("tile/8/", "tile/", 1));
        Ok(tiles.iter().map(|tile| self.0.contents(&path(tile))).collect())
    }

    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

#[tokio::test]
async fn log_across_two_levels_of_tiles_is_read_by_another_implementation_and_reopened() {
    let disk = SimDisk::new();
    let vectors = Vectors::load();
    let options =
        super::Options { max_batch_entries: 4096, segment_bytes: 512 * 1024, pending_bytes: 1 << 20, ..small() };
    let start = || Log::open(Path::new(DIR), std::sync::Arc::new(disk.clone()), signing_key(0), options.clone(), None);
    let (mut log, _) = start().unwrap();
    for stop in [3000, 65_535, 65_536, 65_537, 70_000] {
        while log.head().size < stop {
            let size = log.head().size;
            let to = stop.min(size + 4000);
            append(&log, (size..to).map(entry).collect()).await.unwrap();
        }
        // Opened again here and there, with tiles of two levels full, partial and empty at their edges.
        log.publish().unwrap();
        log.close().unwrap();
        (log, _) = start().unwrap();
        let root = vectors.roots.get(&stop).copied().unwrap_or(log.head().root);
        assert_eq!(log.head(), Head { size: stop, root });
    }
    for case in vectors.inclusion.iter().filter(|case| case.size > 10_000) {
        assert_eq!(log.prove_inclusion(case.index, case.size).unwrap(), case.proof, "{} of {}", case.index, case.size);
    }
    for case in &vectors.consistency {
        assert_eq!(log.prove_consistency(case.old, case.new).unwrap(), case.proof, "{}..{}", case.old, case.new);
    }
    let text = disk.contents(&Path::new(DIR).join("checkpoint"));
    let head = Checkpoint::parse(&text).unwrap().head;
    let published = Published(&disk);
    let reader = TileHashReader::new(head.size, tlog_tiles::Hash(head.root), &published);
    for index in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
        // Checks each tile against the root.
        let found = reader.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]).unwrap();
        assert_eq!(found[0].0, leaf_hash(&entry(index)));
        let theirs = tlog_tiles::prove_record(head.size, index, &reader).unwrap();
        let ours = log.prove_inclusion(index, head.size).unwrap();
        assert_eq!(theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(), ours);
    }
    log.close().unwrap();
    let (report, entries) = verify(&disk, None).unwrap();
    assert_eq!((report.head.size, count(&entries)), (70_000, 70_000));
}
