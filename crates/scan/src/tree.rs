//! All files below folders, on several threads.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Mutex,
};

use ignore::{DirEntry, WalkBuilder, WalkState};

use crate::{
    error::Error,
    rule::Rules,
    text::{Place, Scanned, scan_reader},
};

/// What is to be scanned.
pub struct Tree<'a> {
    /// Files and folders. Links below them are not followed.
    pub roots: &'a [PathBuf],
    /// Where the scan stands: paths below it are told from there.
    pub base: &'a Path,
    /// Whether `.gitignore` and the like count.
    pub ignore_files: IgnoreFiles,
    /// Threads to read on.
    pub threads: usize,
    /// Told of each piece that was read, on whatever thread, how many bytes it had.
    pub watch: &'a (dyn Fn(u64) + Sync),
}

/// A file that tells how far it is read.
struct Watched<'a> {
    file: File,
    watch: &'a (dyn Fn(u64) + Sync),
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        (self.watch)(u64::try_from(read).unwrap_or(0));
        Ok(read)
    }
}

/// Whether the files count by which git leaves others out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IgnoreFiles {
    /// What git leaves out is not scanned.
    Honoured,
    /// All is scanned but git's own folder.
    PassedOver,
}

/// Scans every file. What cannot be read is told with the rest.
///
/// # Errors
/// Where one of the roots is not there.
pub fn scan_tree(rules: &Rules, tree: &Tree<'_>) -> Result<Scanned, Error> {
    let all = Mutex::new(Scanned::default());
    let Some((first, others)) = tree.roots.split_first() else { return Ok(Scanned::default()) };
    for root in tree.roots {
        std::fs::metadata(root).map_err(|source| Error::Read { path: root.clone(), source })?;
    }
    let honoured = tree.ignore_files == IgnoreFiles::Honoured;
    let mut walk = WalkBuilder::new(first);
    others.iter().for_each(|root| {
        walk.add(root);
    });
    walk.standard_filters(false)
        .parents(honoured)
        .ignore(honoured)
        .git_ignore(honoured)
        .git_global(honoured)
        .git_exclude(honoured)
        .require_git(false)
        .threads(tree.threads.max(1))
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != OsStr::new(".git"));
    walk.build_parallel().run(|| {
        let mut scratch = Vec::new();
        let all = &all;
        Box::new(move |entry| {
            let scanned = match entry {
                Ok(entry) if is_file(&entry) => file(rules, entry.path(), tree, &mut scratch),
                Ok(_) => return WalkState::Continue,
                Err(error) => unreadable("", &error),
            };
            if let Ok(mut all) = all.lock() {
                all.add(scanned);
            }
            WalkState::Continue
        })
    });
    let mut all = all.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    all.sort();
    Ok(all)
}

fn is_file(entry: &DirEntry) -> bool {
    // A root may be a link, or a pipe that somebody named on purpose.
    match entry.depth() {
        0 => !entry.path().is_dir(),
        _ => entry.file_type().is_some_and(|kind| kind.is_file()),
    }
}

fn file(rules: &Rules, path: &Path, tree: &Tree<'_>, scratch: &mut Vec<u8>) -> Scanned {
    let shown = shown(path, tree.base);
    let place = Place::file(shown.as_str());
    let scanned =
        File::open(path).and_then(|file| scan_reader(rules, place, &mut Watched { file, watch: tree.watch }, scratch));
    scanned.unwrap_or_else(|error| unreadable(&shown, &error))
}

fn unreadable(path: &str, error: &dyn std::error::Error) -> Scanned {
    Scanned { unreadable: vec![(path.to_owned(), error.to_string())], ..Scanned::default() }
}

/// A path as findings have it: from where the scan stands, if it lies below.
fn shown(path: &Path, base: &Path) -> String {
    let path = path.strip_prefix(base).unwrap_or(path);
    let path = path.strip_prefix(".").unwrap_or(path);
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_told_from_where_the_scan_stands() {
        let base = Path::new("/home/me");
        for (path, told) in
            [("./a/b", "a/b"), ("a/b", "a/b"), ("/home/me/a", "a"), ("/etc/a", "/etc/a"), ("../a", "../a")]
        {
            assert_eq!(shown(Path::new(path), base), told);
        }
    }
}
