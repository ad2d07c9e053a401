//! Where the files of a log lie.
//!
//! `checkpoint` and `tile/` are what C2SP clients read; `segments/` holds the segments (`<ordinal>.seg`), the next one
//! (`spare`) and the one kept for a full disk (`reserve`); `keys` lists the log's keys; `index` serves queries; `tmp/`
//! holds files being written; `lock` is locked while a process has the log open.

use std::path::{Path, PathBuf};

use super::tile::TilePath;

/// The paths under the directory of a log.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    dir: PathBuf,
}

impl Paths {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.dir.join(CHECKPOINT)
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.dir.join(KEYS)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.dir.join("index")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    pub(crate) fn tiles(&self) -> PathBuf {
        self.dir.join(TILES)
    }

    pub(crate) fn tile(&self, tile: &TilePath) -> PathBuf {
        self.dir.join(tile.to_string())
    }

    /// The directory of the partial tiles of this tile.
    pub(crate) fn partials(&self, tile: &TilePath) -> PathBuf {
        self.dir.join(format!("{}.p", TilePath { partial: None, ..*tile }))
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.dir.join("segments")
    }

    pub(crate) fn segment(&self, ordinal: u64) -> PathBuf {
        self.segments().join(format!("{ordinal:020}{SEGMENT}"))
    }

    pub(crate) fn spare(&self) -> PathBuf {
        self.segments().join(SPARE)
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.segments().join(RESERVE)
    }
}

/// The ordinal of a segment by its file name.
pub(crate) fn ordinal_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const KEYS: &str = "keys";
pub(crate) const RESERVE: &str = "reserve";
pub(crate) const SPARE: &str = "spare";
pub(crate) const TILES: &str = "tile";
const SEGMENT: &str = ".seg";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinal_of_a_segment_is_read_from_its_name_alone() {
        let paths = Paths::new(Path::new("/log"));
        let path = paths.segment(12);
        assert_eq!(path, Path::new("/log/segments/00000000000000000012.seg"));
        assert_eq!(ordinal_of(path.file_name().unwrap().to_str().unwrap()), Some(12));
        for name in ["", ".seg", "12.seg", "spare", "0000000000000000001x.seg", "+0000000000000000012.seg"] {
            assert_eq!(ordinal_of(name), None, "{name}");
        }
    }
}
