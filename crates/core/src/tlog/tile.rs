//! Tiles and entry bundles (C2SP `tlog-tiles`): their paths, widths and bytes.

use std::fmt;

use super::{checkpoint::parse_decimal, merkle::Hash};

/// The number of hashes in a full tile, and of entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// The longest entry, since its length is written in two bytes.
pub const MAX_ENTRY: usize = 65_535;

/// What a tile holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum TileKind {
    /// The entries themselves.
    Entries,
    /// Hashes at this level, at most 63: of leaves at level 0, of full tiles of the level below at the others.
    Hashes(u8),
}

/// The place of one tile: a full one, or a partial one of 1 to 255 hashes or entries.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TilePath {
    /// What it holds.
    pub kind: TileKind,
    /// Its number within the level.
    pub index: u64,
    /// The width of a partial tile; a full one has none.
    pub partial: Option<u8>,
}

impl TilePath {
    /// The path of a full tile.
    pub fn full(kind: TileKind, index: u64) -> Self {
        Self { kind, index, partial: None }
    }

    /// How many hashes or entries it holds.
    pub fn width(&self) -> u64 {
        self.partial.map_or(TILE_WIDTH, u64::from)
    }

    /// Reads a path such as `tile/0/x001/234.p/5`; only the one canonical spelling is accepted.
    pub fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("tile/")?;
        let (kind, rest) = rest.split_once('/')?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(parse_decimal(level).and_then(|level| u8::try_from(level).ok())?),
        };
        if matches!(kind, TileKind::Hashes(level) if level > MAX_LEVEL) {
            return None;
        }
        let (number, partial) = match rest.split_once(".p/") {
            None => (rest, None),
            Some((number, width)) => {
                let width = u8::try_from(parse_decimal(width)?).ok().filter(|width| *width > 0)?;
                (number, Some(width))
            }
        };
        let mut index: u64 = 0;
        let mut groups = number.split('/').peekable();
        while let Some(group) = groups.next() {
            let digits = if groups.peek().is_some() { group.strip_prefix('x')? } else { group };
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        let tile = Self { kind, index, partial };
        // Leading groups of zeros would be a second spelling.
        (tile.to_string() == path).then_some(tile)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Entries => f.write_str("tile/entries/")?,
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = Vec::new();
        let mut rest = self.index;
        loop {
            groups.push(rest % 1000);
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        while groups.len() > 1 {
            write!(f, "x{:03}/", groups.pop().unwrap_or(0))?;
        }
        write!(f, "{:03}", groups.pop().unwrap_or(0))?;
        match self.partial {
            None => Ok(()),
            Some(width) => write!(f, ".p/{width}"),
        }
    }
}

/// How many hashes the tree of `size` entries has at a level of tiles: one for each full tile of the level below.
pub(crate) fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// The partial tiles of the tree of `size` entries: at most one for each level, and the bundle.
pub(crate) fn partial_tiles(size: u64) -> Vec<TilePath> {
    let at = |kind, count: u64| {
        let partial = u8::try_from(count % TILE_WIDTH).ok().filter(|width| *width > 0)?;
        Some(TilePath { kind, index: count / TILE_WIDTH, partial: Some(partial) })
    };
    let levels = (0..LEVELS).filter_map(|level| at(TileKind::Hashes(level), hashes_at(level, size)));
    at(TileKind::Entries, size).into_iter().chain(levels).collect()
}

/// The hashes of a tile of this width, or `None` if its length is another.
pub(crate) fn decode_hashes(bytes: &[u8], width: u64) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    let whole = rest.is_empty() && u64::try_from(hashes.len()).ok()? == width;
    whole.then(|| hashes.to_vec())
}

/// Adds an entry to the bytes of a bundle; it is at most [`MAX_ENTRY`] long.
pub(crate) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).expect("no entry is longer than its length field can say");
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// The entries of a bundle of this width, or `None` if it does not hold exactly so many.
pub(crate) fn decode_entries(bytes: &[u8], width: u64) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    for _ in 0..width {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        rest = after;
    }
    rest.is_empty().then_some(entries)
}

/// The levels that a tree of 2^64 entries can have.
pub(crate) const LEVELS: u8 = 8;
const MAX_LEVEL: u8 = 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tlog::tests::vectors::{entry, hash};

    #[test]
    fn path_is_written_in_groups_of_three() {
        for (index, path) in [(0, "000"), (999, "999"), (1000, "x001/000"), (1_234_067, "x001/x234/067")] {
            let tile = TilePath::full(TileKind::Hashes(0), index);
            assert_eq!(tile.to_string(), format!("tile/0/{path}"));
            assert_eq!(TilePath::parse(&tile.to_string()), Some(tile));
        }
        let partial = TilePath { kind: TileKind::Entries, index: 273, partial: Some(112) };
        assert_eq!(partial.to_string(), "tile/entries/273.p/112");
        assert_eq!(TilePath::parse("tile/entries/273.p/112"), Some(partial));
    }

    #[test]
    fn path_in_another_spelling_is_refused() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/x/000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/+00",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/../0/000",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/entries/000.p/1.p/1",
        ] {
            assert_eq!(TilePath::parse(path), None, "{path}");
        }
        let last = TilePath::full(TileKind::Hashes(0), u64::MAX);
        assert_eq!(TilePath::parse(&last.to_string()), Some(last));
    }

    #[test]
    fn partial_tiles_of_seventy_thousand_entries_are_those_of_the_specification() {
        let paths: Vec<String> = partial_tiles(70_000).iter().map(TilePath::to_string).collect();
        assert_eq!(paths, ["tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
        let paths: Vec<String> = partial_tiles(256).iter().map(TilePath::to_string).collect();
        assert_eq!(paths, ["tile/1/000.p/1"]);
        assert!(partial_tiles(0).is_empty());
        assert_eq!(partial_tiles(u64::MAX).len(), 9);
    }

    #[test]
    fn bundle_of_the_golden_vectors_is_written_and_read() {
        let mut bundle = Vec::new();
        (0..5).for_each(|i| push_entry(&mut bundle, &entry(i)));
        let expected: Vec<u8> = (0..5).flat_map(|i| [&[0, 7][..], &entry(i)].concat()).collect();
        assert_eq!(bundle, expected);
        let entries: Vec<Vec<u8>> = (0..5).map(entry).collect();
        assert_eq!(decode_entries(&bundle, 5).unwrap(), entries);
        let tile: Vec<u8> = entries.iter().flat_map(|entry| super::super::merkle::leaf_hash(entry)).collect();
        assert_eq!(
            coffer_crypto::hash::sha256(&[&tile]),
            hash("989366cfb10f5dd2da8b8bbc2edde16e26bab99ce76da96f93e2cc246fe2f758")
        );
    }

    #[test]
    fn bundle_of_another_width_is_refused() {
        let mut bundle = Vec::new();
        push_entry(&mut bundle, &[1; MAX_ENTRY]);
        push_entry(&mut bundle, &[]);
        assert_eq!(decode_entries(&bundle, 2).unwrap(), [&[1; MAX_ENTRY][..], &[]]);
        assert!(decode_entries(&bundle, 1).is_none() && decode_entries(&bundle, 3).is_none());
        assert!(decode_entries(&bundle[..bundle.len() - 1], 2).is_none());
        assert!(decode_hashes(&[0; 64], 1).is_none() && decode_hashes(&[0; 63], 2).is_none());
        assert_eq!(decode_hashes(&[0; 64], 2).unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn path_written_is_read_back(level in 0..=63_u8, entries: bool, index: u64, partial in prop::option::of(1..=255_u8)) {
            let kind = if entries { TileKind::Entries } else { TileKind::Hashes(level) };
            let tile = TilePath { kind, index, partial };
            prop_assert_eq!(TilePath::parse(&tile.to_string()), Some(tile));
        }

        #[test]
        fn path_is_that_of_another_implementation(level in 0..8_u8, entries: bool, index in 0..u64::MAX >> 12, width in 1..=256_u16) {
            let partial = u8::try_from(width).ok();
            let (kind, level) = if entries { (TileKind::Entries, 0) } else { (TileKind::Hashes(level), level) };
            let ours = TilePath { kind, index, partial }.to_string();
            let theirs = tlog_tiles::Tile::new(8, level, index, u32::from(width), entries).path();
            // Go's layout has the height in the path, and says `data` for `entries`.
            let theirs = theirs.replacen("tile/8/data/", "tile/entries/", 1).replacen("tile/8/", "tile/", 1);
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn arbitrary_input_never_panics(path in "(tile/)?(entries|[0-9]{0,3})(/x?[0-9]{0,4}){0,4}(\\.p/[0-9]{0,4})?", bytes: Vec<u8>, width in 0..300_u64) {
            if let Some(tile) = TilePath::parse(&path) {
                prop_assert_eq!(tile.to_string(), path);
            }
            let _ = decode_entries(&bytes, width);
            let _ = decode_hashes(&bytes, width);
        }

        #[test]
        fn bundle_written_is_read_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..40)) {
            let mut bundle = Vec::new();
            entries.iter().for_each(|entry| push_entry(&mut bundle, entry));
            prop_assert_eq!(decode_entries(&bundle, u64::try_from(entries.len()).unwrap()).unwrap(), entries);
        }
    }
}
