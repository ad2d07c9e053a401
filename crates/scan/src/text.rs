//! The engine: takes a text piece by piece, of whatever length, and holds little of it.
//!
//! Of each chunk the last `OVERLAP` bytes are looked at again with the next, so that what crosses a border is found whole up
//! to that length; and `CONTEXT` bytes before are kept for patterns that look behind, and for the line's beginning.

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use memchr::{memchr, memchr_iter, memmem, memrchr};
use zeroize::Zeroizing;

use crate::{
    allow::Seen,
    entropy::shannon,
    finding::{Finding, distinct},
    rule::{Rule, Rules},
    utf16::Utf16,
};

/// Where a text comes from.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file, with `/` between its parts.
    pub path: Arc<str>,
    /// The commit that the text was added in.
    pub commit: Option<Arc<str>>,
    /// The number of the text's first line.
    pub first_line: u64,
}

/// What a scan came to.
#[derive(Default)]
pub struct Scanned {
    /// What was found, by path and place.
    pub findings: Vec<Finding>,
    /// What was found beyond the most that is kept.
    pub more: u64,
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Files that hold no text.
    pub binary: u64,
    /// Files that could not be read, and why.
    pub unreadable: Vec<(String, String)>,
}

/// A scan of one text.
pub struct TextScan<'r> {
    rules: &'r Rules,
    place: Place,
    /// The rules that apply to this file.
    applicable: Vec<usize>,
    /// By rule: whether its keywords occur in the chunk.
    candidates: Vec<bool>,
    /// By rule: up to which byte of the text it has found what it finds.
    done: Vec<u64>,
    buffer: Vec<u8>,
    /// Bytes at the buffer's start that are there to be looked back at.
    context: usize,
    /// Where in the text the buffer begins, and after how many lines and characters of a line.
    offset: u64,
    lines: u64,
    characters: u64,
    findings: Vec<Finding>,
    more: u64,
}

impl Place {
    /// A whole file.
    pub fn file(path: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), commit: None, first_line: 1 }
    }
}

impl Scanned {
    /// Adds what another scan came to, up to the most that is kept.
    pub fn add(&mut self, other: Self) {
        let room = MAX_FINDINGS.saturating_sub(self.findings.len());
        self.more += other.more + count(other.findings.len().saturating_sub(room));
        self.findings.extend(other.findings.into_iter().take(room));
        self.files += other.files;
        self.bytes += other.bytes;
        self.binary += other.binary;
        let room = MAX_FINDINGS.saturating_sub(self.unreadable.len());
        self.unreadable.extend(other.unreadable.into_iter().take(room));
    }

    /// Puts findings in order: by path, place and rule.
    pub fn sort(&mut self) {
        let key =
            |finding: &Finding| (Arc::clone(&finding.path), finding.line, finding.column, Arc::clone(&finding.rule));
        self.findings.sort_by_cached_key(key);
        self.unreadable.sort_unstable();
    }
}

/// Scans all that a reader gives. What begins as binary files do is not read to its end. `scratch` is used for reading, and is
/// kept by the caller from file to file.
///
/// # Errors
/// As the reader's.
pub fn scan_reader(rules: &Rules, place: Place, reader: &mut impl Read, scratch: &mut Vec<u8>) -> io::Result<Scanned> {
    scratch.resize(READ, 0);
    let mut scan = TextScan::new(rules, place);
    if scan.is_allowed() {
        return Ok(Scanned { files: 1, ..Scanned::default() });
    }
    let mut bytes = 0;
    let mut decoder = None;
    let mut is_first = true;
    loop {
        let got = fill(reader, scratch)?;
        bytes += count(got);
        let piece = scratch.get(..got).unwrap_or_default();
        if std::mem::take(&mut is_first) {
            decoder = Utf16::of_beginning(piece);
            if decoder.is_none() && memchr(0, piece.get(..SNIFFED).unwrap_or(piece)).is_some() {
                let (findings, more) = scan.finish();
                return Ok(Scanned { findings, more, files: 1, bytes, binary: 1, ..Scanned::default() });
            }
        }
        match &mut decoder {
            Some(decoder) => scan.feed(decoder.decode(piece).as_bytes()),
            None => scan.feed(piece),
        }
        if got < READ {
            let (findings, more) = scan.finish();
            return Ok(Scanned { findings, more, files: 1, bytes, ..Scanned::default() });
        }
    }
}

/// Reads until the buffer is full or nothing more comes.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl<'r> TextScan<'r> {
    /// A scan of which nothing was fed yet.
    pub fn new(rules: &'r Rules, place: Place) -> Self {
        let applicable = rules.for_file(&place.path, place.commit.as_deref());
        let size = if applicable.is_empty() { 0 } else { rules.count() };
        Self {
            rules,
            place,
            applicable,
            candidates: vec![false; size],
            done: vec![0; size],
            buffer: Vec::new(),
            context: 0,
            offset: 0,
            lines: 0,
            characters: 0,
            findings: Vec::new(),
            more: 0,
        }
    }

    /// Whether nothing in this file can be found, whatever it holds.
    pub fn is_allowed(&self) -> bool {
        self.applicable.is_empty()
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        if self.is_allowed() {
            return;
        }
        while !bytes.is_empty() {
            let room = (CONTEXT + CHUNK).saturating_sub(self.buffer.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= CONTEXT + CHUNK {
                let cut = self.buffer.len().saturating_sub(OVERLAP);
                self.look(cut);
                self.forget(cut);
            }
        }
    }

    /// The text is at its end: what was found, in its order, and how much more there was than is kept.
    pub fn finish(mut self) -> (Vec<Finding>, u64) {
        self.look(usize::MAX);
        for index in std::mem::take(&mut self.applicable) {
            let Some(rule) = self.rules.rule(index).filter(|rule| rule.regex.is_none()) else { continue };
            let nothing = Seen {
                path: &self.place.path,
                commit: self.place.commit.as_deref(),
                line: b"",
                matched: b"",
                secret: b"",
            };
            if !self.rules.allows(rule, &nothing) {
                let first = self.place.first_line;
                self.findings.push(found(rule, &self.place, 0..0, [(first, 1), (first, 1)], &[]));
            }
        }
        (distinct(self.findings), self.more)
    }

    /// Looks for everything that begins in the buffer after the context and before `until`.
    fn look(&mut self, until: usize) {
        if self.buffer.len() <= self.context {
            return;
        }
        self.candidates.fill(false);
        self.rules.mark_candidates(&self.buffer, &mut self.candidates);
        for at in 0..self.applicable.len() {
            let Some(index) = self.applicable.get(at).copied() else { continue };
            if self.candidates.get(index) != Some(&true) {
                continue;
            }
            let rules = self.rules;
            if let Some(rule) = rules.rule(index) {
                self.look_for(index, rule, until);
            }
        }
    }

    fn look_for(&mut self, index: usize, rule: &Rule, until: usize) {
        let Some(regex) = rule.regex.as_ref().and_then(|pattern| pattern.get()) else { return };
        let done = self.done.get(index).copied().unwrap_or_default().saturating_sub(self.offset);
        let mut from = self.context.max(usize::try_from(done).unwrap_or(usize::MAX));
        while from <= self.buffer.len() {
            let Some(matched) = regex.find_at(&self.buffer, from).filter(|matched| matched.start() < until) else {
                break;
            };
            let range = matched.range();
            from = range.end.max(range.start + 1);
            if let Some(done) = self.done.get_mut(index) {
                *done = self.offset + count(from);
            }
            let secret = match regex.captures_len() {
                1 => Some(range.clone()),
                _ => regex.captures_at(&self.buffer, range.start).and_then(|groups| {
                    match rule.secret_group {
                        0 => groups.iter().skip(1).flatten().find(|group| !group.is_empty()).or_else(|| groups.get(0)),
                        group => groups.get(group),
                    }
                    .map(|group| group.range())
                }),
            };
            if let Some(finding) = secret.and_then(|secret| self.consider(rule, range, secret)) {
                if self.findings.len() < MAX_FINDINGS {
                    self.findings.push(finding);
                } else {
                    self.more += 1;
                }
            }
        }
    }

    /// A finding, unless it is not random enough or allowed.
    fn consider(&self, rule: &Rule, matched: Range<usize>, secret: Range<usize>) -> Option<Finding> {
        let matched = trimmed(&self.buffer, matched);
        let secret = trimmed(&self.buffer, secret);
        let text = self.buffer.get(secret.clone()).filter(|text| !text.is_empty())?;
        let line = self.buffer.get(self.line_around(&matched))?;
        if ALLOWED.iter().any(|marker| memmem::find(line, marker).is_some()) {
            return None;
        }
        if rule.entropy.is_some_and(|least| shannon(text) <= least) {
            return None;
        }
        let seen = Seen {
            path: &self.place.path,
            commit: self.place.commit.as_deref(),
            line,
            matched: self.buffer.get(matched.clone())?,
            secret: text,
        };
        if self.rules.allows(rule, &seen) {
            return None;
        }
        let range = self.offset + count(secret.start)..self.offset + count(secret.end);
        Some(found(rule, &self.place, range, [self.position(secret.start), self.position(secret.end)], text))
    }

    /// The lines that a match lies on, as far as they are in the buffer, and not without end.
    fn line_around(&self, matched: &Range<usize>) -> Range<usize> {
        let before = self.buffer.get(..matched.start).unwrap_or_default();
        let start = memrchr(b'\n', before).map_or(0, |at| at + 1).max(matched.start.saturating_sub(CONTEXT));
        let after = self.buffer.get(matched.end..).unwrap_or_default();
        let end = memchr(b'\n', after.get(..CONTEXT).unwrap_or(after)).unwrap_or(after.len().min(CONTEXT));
        start..matched.end + end
    }

    /// Line and column of a byte in the buffer.
    fn position(&self, at: usize) -> (u64, u64) {
        let before = self.buffer.get(..at).unwrap_or_default();
        // What a diff says its first line is may be anything.
        let here = self.lines + count(memchr_iter(b'\n', before).count());
        let line = self.place.first_line.saturating_add(here);
        let column = match memrchr(b'\n', before) {
            Some(newline) => characters(before.get(newline + 1..).unwrap_or_default()),
            None => self.characters + characters(before),
        };
        (line, column + 1)
    }

    /// Drops what lies before `cut`, but for the context.
    fn forget(&mut self, cut: usize) {
        let keep = cut.saturating_sub(CONTEXT);
        let gone = self.buffer.get(..keep).unwrap_or_default();
        self.lines += count(memchr_iter(b'\n', gone).count());
        self.characters = match memrchr(b'\n', gone) {
            Some(newline) => characters(gone.get(newline + 1..).unwrap_or_default()),
            None => self.characters + characters(gone),
        };
        self.offset += count(keep);
        self.context = cut - keep;
        self.buffer.drain(..keep);
    }
}

fn found(rule: &Rule, place: &Place, range: Range<u64>, [start, end]: [(u64, u64); 2], secret: &[u8]) -> Finding {
    Finding {
        rule: Arc::clone(&rule.id),
        description: Arc::clone(&rule.description),
        tags: Arc::clone(&rule.tags),
        path: Arc::clone(&place.path),
        commit: place.commit.clone(),
        line: start.0,
        column: start.1,
        end_line: end.0,
        end_column: end.1,
        range,
        secret: Zeroizing::new(secret.to_vec()),
    }
}

/// Without line breaks at its ends, which patterns take along.
fn trimmed(buffer: &[u8], range: Range<usize>) -> Range<usize> {
    let text = buffer.get(range.clone()).unwrap_or_default();
    let is_break = |byte: &&u8| matches!(**byte, b'\n' | b'\r');
    let start = range.start + text.iter().take_while(is_break).count();
    let end = range.end - text.iter().rev().take_while(is_break).count();
    start..end.max(start)
}

/// Characters of a text that is most likely UTF-8: bytes that continue none.
fn characters(text: &[u8]) -> u64 {
    count(text.iter().filter(|byte| **byte & 0xc0 != 0x80).count())
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// What a line says to be left alone: ours, that of gitleaks and that of detect-secrets.
const ALLOWED: [&[u8]; 3] = [b"coffer:allow", b"gitleaks:allow", b"pragma: allowlist secret"];

/// Findings that are kept of one scan.
const MAX_FINDINGS: usize = 100_000;

/// Bytes in which a zero says that a file holds no text, as git has it.
pub(crate) const SNIFFED: usize = 8000;

/// Bytes read at once.
const READ: usize = 64 << 10;

/// Bytes looked at together.
const CHUNK: usize = 256 << 10;

/// Bytes of a chunk's end that are looked at again: the longest secret that is found whole wherever it lies.
const OVERLAP: usize = 32 << 10;

/// Bytes kept before what is looked at.
const CONTEXT: usize = 4 << 10;
