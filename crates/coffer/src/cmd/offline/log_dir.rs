//! Whether a directory is one of a log at all, before anything that is missing from it counts as removed.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    path::Path,
};

use crate::failure::Failure;

/// Whether anything in the directory can only be a log's: one part that no other program writes so, or two names of parts.
/// A log from which parts were removed is told from a directory that never was one by what is left.
///
/// # Errors
/// Where nothing is, or there is no directory.
pub(super) fn check(dir: &Path) -> Result<(), Failure> {
    if !dir.is_dir() {
        return Err(Failure::local(format!("{} is not there, or not a directory", dir.display())).hint(HINT));
    }
    let parts = PARTS.iter().filter(|name| dir.join(name).symlink_metadata().is_ok()).count();
    let is_log = parts > 1
        || begins(&dir.join("keys"), "0 ")
        || begins(&dir.join("checkpoint"), "")
        || holds(&dir.join("segments"), |name| Path::new(name).extension().is_some_and(|kind| kind == "seg"))
        || holds(&dir.join("tile"), |name| name == "entries" || name == "0");
    if is_log {
        return Ok(());
    }
    Err(Failure::local(format!("{} holds nothing of a log", dir.display()))
        .hint(format!("{HINT}. If one was there, --since with a checkpoint kept elsewhere proves that it is gone")))
}

/// Whether this is a text that begins so and goes on with a log's name, as `<id>/<id>`.
fn begins(path: &Path, start: &str) -> bool {
    // What is no regular file is not waited for.
    if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        return false;
    }
    let mut text = Vec::new();
    if File::open(path).and_then(|file| file.take(NAME_LIMIT).read_to_end(&mut text)).is_err() {
        // It may be: what reads it says why it cannot be read.
        return true;
    }
    let first = text.split(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok());
    let ids = first.and_then(|line| line.strip_prefix(start)).and_then(|name| name.split_once('/'));
    let is_id = |id: &str| id.len() > 8 && id.chars().next().is_some_and(|c| c.is_ascii_hexdigit());
    ids.is_some_and(|(cluster, node)| is_id(cluster) && is_id(node))
}

fn holds(dir: &Path, is_part: impl Fn(&OsStr) -> bool) -> bool {
    fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(|entry| is_part(&entry.file_name())))
}

const HINT: &str = "name the directory of a log, or a copy of it: a server's is audit in its data directory";
const NAME_LIMIT: u64 = 1 << 12;
const PARTS: [&str; 6] = ["checkpoint", "index", "keys", "lock", "segments", "tile"];
