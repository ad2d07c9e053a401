//! The segments of a log as one stream of entries and checkpoints, for verification: nothing is taken on trust.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    checkpoint::Checkpoint,
    disk::{Access, Disk, DiskError, DiskFile, Named},
    merkle::Frontier,
    paths::{Paths, RESERVE, SPARE, ordinal_of},
    replay::{Found, LookError, scan},
    segment::{FIRST_FRAME, Frame, FrameReader, Next},
    verify::{Finding, VerifyError},
    zeros::count_not_zero,
};

/// What comes next.
pub(crate) enum Event {
    /// A checkpoint that closes the entries before it; nothing about it was checked.
    Checkpoint {
        checkpoint: Box<Checkpoint>,
        path: PathBuf,
    },
    End,
    /// An entry of which the checkpoint follows.
    Entry(Vec<u8>),
}

/// Why the stream broke off.
pub(crate) enum StreamError {
    Disk(DiskError),
    Finding(Finding),
}

impl From<DiskError> for StreamError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<Finding> for StreamError {
    fn from(finding: Finding) -> Self {
        Self::Finding(finding)
    }
}

/// A file, and the offset from which it holds nothing that belongs to the log.
#[derive(Clone)]
pub(crate) struct Leftover {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) from: u64,
}

pub(crate) struct SegmentStream {
    first: u64,
    /// The segments still to be read; the first of them is being read.
    segments: VecDeque<Found>,
    reader: Option<FrameReader>,
    /// Entries whose checkpoint was found, and that checkpoint.
    ready: VecDeque<Event>,
    leftovers: Vec<Leftover>,
    abandoned: u64,
}

impl SegmentStream {
    /// Opens all segments, so that they stay readable when the log in use releases them. None for a copy of a log that
    /// has no directory of segments.
    pub(crate) fn open(disk: &dyn Disk, paths: &Paths) -> Result<Option<Self>, VerifyError> {
        let mut attempts = 0;
        loop {
            match Self::try_open(disk, paths) {
                // One was released between finding and opening it; then the bundles have its entries.
                Err(VerifyError::Disk(error)) if error.is_missing() && attempts < ATTEMPTS => attempts += 1,
                opened => return opened,
            }
        }
    }

    fn try_open(disk: &dyn Disk, paths: &Paths) -> Result<Option<Self>, VerifyError> {
        let dir = paths.segments();
        let listed = match disk.list(&dir).named("list", &dir) {
            Err(error) if error.is_missing() => return Ok(None),
            listed => listed?,
        };
        let mut segments = Vec::new();
        let mut leftovers = Vec::new();
        for listed in listed {
            let path = dir.join(&listed.name);
            let Some(ordinal) = ordinal_of(&listed.name) else {
                if [RESERVE, SPARE].contains(&listed.name.as_str()) {
                    continue;
                }
                return Err(Finding::Extra(path).into());
            };
            let file = disk.open(&path, Access::Read).named("open", &path)?;
            if file.stat().named("stat", &path)?.len > MAX_SEGMENT {
                return Err(Finding::File { path, what: "longer than any segment" }.into());
            }
            match look(&path, Arc::clone(&file))?.filter(|found| found.header.ordinal == ordinal) {
                Some(found) => segments.push(found),
                None => leftovers.push(Leftover { path, file, from: 0 }),
            }
        }
        segments.sort_by_key(|found| found.header.ordinal);
        let Some(first) = segments.first().map(|found| found.header.first) else {
            return Err(Finding::Missing(dir.join("*.seg")).into());
        };
        let segments = segments.into();
        let ready = VecDeque::new();
        Ok(Some(Self { first, segments, reader: None, ready, leftovers, abandoned: 0 }))
    }

    /// The index of the first entry in the segments.
    pub(crate) fn first_index(&self) -> u64 {
        self.first
    }

    /// Entries of failed writes that were passed over.
    pub(crate) fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Files and the offsets in them after which nothing belongs to the log.
    pub(crate) fn leftovers(&self) -> Vec<Leftover> {
        self.leftovers.clone()
    }

    /// How many bytes other than zero lie there.
    pub(crate) fn unfinished_bytes(&self) -> Result<u64, DiskError> {
        let mut bytes = 0;
        for Leftover { path, file, from } in &self.leftovers {
            scan(file.as_ref(), *from, 0, |window| bytes += count_not_zero(window)).named("read", path)?;
        }
        Ok(bytes)
    }

    /// The next event; `tree` is the tree of all entries given so far.
    pub(crate) fn next(&mut self, tree: &Frontier) -> Result<Event, StreamError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let Some(found) = self.segments.front() else { return Ok(Event::End) };
            let path = found.path.clone();
            let Some(reader) = &mut self.reader else {
                begins_where_it_should(found, tree)?;
                self.reader = Some(FrameReader::new(Arc::clone(&found.file), FIRST_FRAME));
                continue;
            };
            let next = self.segments.get(1).map(|next| next.header);
            // The first checkpoint of a segment was found when it was opened, but is still to be given out.
            let begun = reader.offset() > FIRST_FRAME;
            if let Some(next) = next
                && begun
                && tree.size() == next.first
            {
                self.pass_over(next.first, &path)?;
                continue;
            }
            let before = reader.offset();
            match read_batch(reader, &path)? {
                Some(events) => self.ready = events,
                None if next.is_some() => {
                    return Err(Finding::File { path, what: "it ends before the next segment begins" }.into());
                }
                None => {
                    if let Some(found) = self.segments.pop_front() {
                        self.leftovers.push(Leftover { path, file: found.file, from: before });
                    }
                    self.reader = None;
                }
            }
        }
    }

    /// Looks at what lies behind the place where the next segment takes over.
    fn pass_over(&mut self, end: u64, path: &Path) -> Result<(), StreamError> {
        while let Some(reader) = &mut self.reader
            && let Next::Frame(frame) = reader.next().named("read", path)?
        {
            match frame {
                Frame::Checkpoint { synced, .. } if synced > end => {
                    let what = "the next segment hides entries in it that were acknowledged";
                    return Err(Finding::File { path: path.to_owned(), what }.into());
                }
                Frame::Checkpoint { .. } => {}
                Frame::Entry(_) => self.abandoned += 1,
            }
        }
        self.segments.pop_front();
        self.reader = None;
        Ok(())
    }
}

/// Whether a log in use has gone on since the end of a file was met there.
pub(crate) fn grew(path: &Path, file: &Arc<dyn DiskFile>, from: u64) -> Result<bool, VerifyError> {
    if from == 0 {
        return Ok(look(path, Arc::clone(file))?.is_some());
    }
    let mut reader = FrameReader::new(Arc::clone(file), from);
    Ok(read_batch(&mut reader, path)?.is_some())
}

/// How many entries from an offset on are whole, up to what is not; none where the file's beginning is not.
pub(crate) fn whole_entries(path: &Path, file: &Arc<dyn DiskFile>, from: u64) -> Result<u64, DiskError> {
    let mut whole = 0;
    if from == 0 {
        return Ok(whole);
    }
    let mut reader = FrameReader::new(Arc::clone(file), from);
    while let Next::Frame(Frame::Entry(_)) = reader.next().named("read", path)? {
        whole += 1;
    }
    Ok(whole)
}

/// The entries of one batch and its checkpoint; none at the end of what is whole.
fn read_batch(reader: &mut FrameReader, path: &Path) -> Result<Option<VecDeque<Event>>, StreamError> {
    let mut events = VecDeque::new();
    let mut bytes = 0;
    loop {
        match reader.next().named("read", path)? {
            Next::Frame(Frame::Entry(entry)) => {
                bytes += entry.len();
                events.push_back(Event::Entry(entry.to_vec()));
                if bytes > MAX_BATCH {
                    let what = "a batch longer than any that is written";
                    return Err(Finding::File { path: path.to_owned(), what }.into());
                }
            }
            Next::Frame(Frame::Checkpoint { note, .. }) => {
                let bad = |_| Finding::File { path: path.to_owned(), what: "a frame with what is no checkpoint" };
                let checkpoint = Box::new(Checkpoint::parse(note).map_err(bad)?);
                events.push_back(Event::Checkpoint { checkpoint, path: path.to_owned() });
                return Ok(Some(events));
            }
            Next::End | Next::Torn => return Ok(None),
        }
    }
}

fn begins_where_it_should(found: &Found, tree: &Frontier) -> Result<(), Finding> {
    if found.header.first != tree.size() {
        let what = "it does not begin where the entries before it end";
        return Err(Finding::File { path: found.path.clone(), what });
    }
    if found.header.root != tree.root() {
        let (size, by) = (tree.size(), found.path.display().to_string());
        return Err(Finding::Root { from: size, size, by });
    }
    Ok(())
}

fn look(path: &Path, file: Arc<dyn DiskFile>) -> Result<Option<Found>, VerifyError> {
    Found::look(path, file).map_err(|error| match error {
        LookError::Disk(error) => error.into(),
        LookError::Newer { path, .. } => {
            Finding::File { path, what: "a format that this release does not know" }.into()
        }
    })
}

const ATTEMPTS: u32 = 10;
const MAX_BATCH: usize = 256 << 20;
/// Far more than the largest batch; a file without end, or a sparse one, is not read through.
const MAX_SEGMENT: u64 = 1 << 30;
