//! What git says was added: `git diff` and `git log --patch` without lines of context, read as they come.

use std::{
    io::{BufRead, Read},
    path::PathBuf,
    sync::Arc,
};

use crate::{
    added::Added,
    error::Error,
    rule::Rules,
    text::{Place, Scanned},
};

/// Scans the added lines of each hunk, whatever git takes them for; those that hold no text are counted by file. Before the diffs of a commit stands a line `commit ID`; without one there is none.
/// The prefix of new files is `b/`. Of two findings alike the first is told.
///
/// # Errors
/// Where the diff cannot be read, or is none.
pub fn scan_diff(rules: &Rules, diff: &mut impl BufRead) -> Result<Scanned, Error> {
    let mut lines = Lines { reader: diff, number: 0 };
    let mut scanned = Scanned::default();
    let mut known = std::collections::HashSet::new();
    let mut commit: Option<Arc<str>> = None;
    let mut path: Option<Arc<str>> = None;
    let mut is_binary = false;
    let mut line = Vec::new();
    while lines.header(&mut line)? {
        if let Some(id) = line.strip_prefix(b"commit ") {
            commit = Some(Arc::from(String::from_utf8_lossy(id).as_ref()));
            path = None;
        } else if line.starts_with(b"diff --git ") {
            path = None;
        } else if let Some(name) = line.strip_prefix(b"+++ ") {
            path = new_path(name).map(Arc::from);
            is_binary = false;
            scanned.files += u64::from(path.is_some());
        } else if line.starts_with(b"@@ ") {
            let hunk = Hunk::parse(&line).ok_or_else(|| lines.wrong("no hunk that can be read"))?;
            let place = path.as_ref().map(|path| Place {
                path: Arc::clone(path),
                commit: commit.clone(),
                first_line: hunk.first_line,
            });
            let added = lines.hunk(hunk, place.map(|place| Added::new(rules, place)), &mut scanned.bytes)?;
            let Some(Scanned { findings, more, binary, .. }) = added.map(Added::finish) else { continue };
            let findings = findings.into_iter().filter(|finding| known.insert(finding.fingerprint())).collect();
            let binary = if is_binary { 0 } else { binary };
            is_binary |= binary > 0;
            scanned.add(Scanned { findings, more, binary, ..Scanned::default() });
        } else if line.starts_with(b"Binary files ") {
            scanned.binary += 1;
        }
        // Anything else says how files were made, renamed or made executable.
    }
    scanned.sort();
    Ok(scanned)
}

/// How many lines went and came, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Hunk {
    old: u64,
    new: u64,
    first_line: u64,
}

impl Hunk {
    /// From `@@ -a[,b] +c[,d] @@`.
    fn parse(line: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(line);
        let mut words = text.strip_prefix("@@ -")?.split(' ');
        let range = |word: &str| -> Option<(u64, u64)> {
            match word.split_once(',') {
                Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
                None => Some((word.parse().ok()?, 1)),
            }
        };
        let (_, old) = range(words.next()?)?;
        let (first_line, new) = range(words.next()?.strip_prefix('+')?)?;
        (words.next() == Some("@@")).then_some(Self { old, new, first_line })
    }
}

/// The diff's lines, of which only headers are held whole.
struct Lines<'a, R> {
    reader: &'a mut R,
    number: u64,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line without its end; false at the end of all.
    fn header(&mut self, line: &mut Vec<u8>) -> Result<bool, Error> {
        line.clear();
        self.number += 1;
        let limit = u64::try_from(MAX_HEADER).unwrap_or(u64::MAX);
        let got = self.reader.by_ref().take(limit).read_until(b'\n', line).map_err(read_error)?;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if got == MAX_HEADER {
            return Err(self.wrong("a line of more than 64 KiB that belongs to no hunk"));
        }
        Ok(got > 0)
    }

    /// Passes a hunk's added lines on, in pieces.
    fn hunk<'r>(
        &mut self,
        hunk: Hunk,
        mut scan: Option<Added<'r>>,
        bytes: &mut u64,
    ) -> Result<Option<Added<'r>>, Error> {
        let Hunk { mut old, mut new, .. } = hunk;
        while old > 0 || new > 0 {
            self.number += 1;
            let sign = self.byte()?.ok_or_else(|| self.wrong("the end in the midst of a hunk"))?;
            match sign {
                b'+' if new > 0 => {
                    new -= 1;
                    self.rest_of_line(|piece| {
                        *bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
                        if let Some(scan) = &mut scan {
                            scan.feed(piece);
                        }
                    })?;
                }
                b'-' if old > 0 => {
                    old -= 1;
                    self.rest_of_line(|_| {})?;
                }
                b' ' if old > 0 && new > 0 => {
                    (old, new) = (old - 1, new - 1);
                    self.rest_of_line(|piece| {
                        if let Some(scan) = &mut scan {
                            scan.feed(piece);
                        }
                    })?;
                }
                // "\ No newline at end of file"
                b'\\' => self.rest_of_line(|_| {})?,
                _ => return Err(self.wrong("a line that is neither added nor removed within a hunk")),
            }
        }
        Ok(scan)
    }

    fn byte(&mut self) -> Result<Option<u8>, Error> {
        let first = self.reader.fill_buf().map_err(read_error)?.first().copied();
        if first.is_some() {
            self.reader.consume(1);
        }
        Ok(first)
    }

    /// The rest of a line with its end, in pieces of whatever length.
    fn rest_of_line(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        loop {
            let piece = self.reader.fill_buf().map_err(read_error)?;
            let (taken, is_end) = match memchr::memchr(b'\n', piece) {
                Some(at) => (at + 1, true),
                None => (piece.len(), piece.is_empty()),
            };
            each(piece.get(..taken).unwrap_or_default());
            self.reader.consume(taken);
            if is_end {
                return Ok(());
            }
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::Diff { line: self.number, what: what.to_owned() }
    }
}

/// The name after `+++ `, without its prefix; none where the file is gone.
fn new_path(name: &[u8]) -> Option<String> {
    let name = name.strip_suffix(b"\t").unwrap_or(name);
    let name = match name.strip_prefix(b"\"") {
        Some(quoted) => unquoted(quoted),
        None => name.to_vec(),
    };
    let name = name.strip_prefix(b"b/")?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// A name as git quotes it: like a string in C.
fn unquoted(quoted: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => match bytes.next() {
                Some(digit @ b'0'..=b'3') => {
                    let mut value = digit - b'0';
                    for _ in 0..2 {
                        if let Some(next) = bytes.next_if(|next| (b'0'..=b'7').contains(next)) {
                            value = value.wrapping_mul(8).wrapping_add(next - b'0');
                        }
                    }
                    name.push(value);
                }
                Some(b'a') => name.push(7),
                Some(b'b') => name.push(8),
                Some(b't') => name.push(b'\t'),
                Some(b'n') => name.push(b'\n'),
                Some(b'v') => name.push(11),
                Some(b'f') => name.push(12),
                Some(b'r') => name.push(b'\r'),
                Some(other) => name.push(other),
                None => break,
            },
            other => name.push(other),
        }
    }
    name
}

fn read_error(source: std::io::Error) -> Error {
    Error::Read { path: PathBuf::from("what git writes"), source }
}

/// Bytes of a line outside of hunks: names of files, at most.
const MAX_HEADER: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_are_read_with_and_without_counts() {
        let hunk = |old, new, first_line| Some(Hunk { old, new, first_line });
        for (line, read) in [
            ("@@ -1 +2 @@ fn x", hunk(1, 1, 2)),
            ("@@ -0,0 +1,30 @@", hunk(0, 30, 1)),
            ("@@ -5,2 +4,0 @@", hunk(2, 0, 4)),
            ("@@ -a +2 @@", None),
            ("@@ -1 2 @@", None),
            ("@@ -1 +2", None),
            ("@@ -1 +99999999999999999999 @@", None),
        ] {
            assert_eq!(Hunk::parse(line.as_bytes()), read, "{line}");
        }
    }

    #[test]
    fn names_are_unquoted_and_lose_their_prefix() {
        for (name, path) in [
            ("b/a c\t", Some("a c")),
            ("/dev/null", None),
            ("\"b/\\303\\244\\t\\\"\\\\x\"", Some("ä\t\"\\x")),
            ("\"b/x", Some("x")),
        ] {
            assert_eq!(new_path(name.as_bytes()).as_deref(), path, "{name}");
        }
    }
}
