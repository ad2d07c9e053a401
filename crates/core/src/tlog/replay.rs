//! Reading segments from the beginning: every entry hashed, every checkpoint compared with the tree that it closes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    checkpoint::{Checkpoint, Head},
    disk::{DiskError, DiskFile, Named},
    merkle::{Frontier, Hash, leaf_hash},
    note::KeyName,
    open_error::OpenError,
    rotation::{KeyChain, is_envelope},
    segment::{
        FIRST_FRAME, FRAME_HEAD, Frame, FrameReader, Header, HeaderRead, Next, Parsed, parse_frame, read_header,
    },
    tail::{Segment, Tail},
    zeros::without_tail,
};

/// A segment as found, its header read and its first checkpoint found to fit.
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) len: u64,
}

/// Why it cannot be said whether a file is a segment.
pub(crate) enum LookError {
    Disk(DiskError),
    /// It has a format of a later release.
    Newer {
        path: PathBuf,
        format: u8,
    },
}

impl From<DiskError> for LookError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<LookError> for OpenError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Disk(error) => Self::Disk(error),
            LookError::Newer { path, format } => Self::Newer { path, format },
        }
    }
}

impl Found {
    /// Looks at a file; one that was made ahead, or whose first write did not come to its end, is none.
    pub(crate) fn look(path: &Path, file: Arc<dyn DiskFile>) -> Result<Option<Self>, LookError> {
        let header = match read_header(file.as_ref()).named("read", path)? {
            HeaderRead::Header(header) => header,
            HeaderRead::Other(format) => return Err(LookError::Newer { path: path.to_owned(), format }),
            HeaderRead::Torn | HeaderRead::Zero => return Ok(None),
        };
        let mut reader = FrameReader::new(Arc::clone(&file), FIRST_FRAME);
        let lead = match reader.next().named("read", path)? {
            Next::Frame(Frame::Checkpoint { note, .. }) => Checkpoint::parse(note).ok(),
            Next::Frame(Frame::Entry(_)) | Next::End | Next::Torn => None,
        };
        if lead.is_none_or(|lead| lead.head != Head { size: header.first, root: header.root }) {
            return Ok(None);
        }
        let len = file.stat().named("stat", path)?.len;
        Ok(Some(Self { header, path: path.to_owned(), file, len }))
    }
}

/// The last checkpoint to which the entries lead.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) head: Head,
    pub(crate) note: Arc<str>,
    /// The offset after it.
    pub(crate) end: u64,
    /// Where what may not be synced begins, although it can be read: at or before `end`.
    pub(crate) unsure_from: u64,
}

/// The state of the log after the segments read so far.
pub(crate) struct Replay {
    pub(crate) frontier: Frontier,
    pub(crate) tail: Tail,
    pub(crate) chain: KeyChain,
}

/// Entries since the last checkpoint.
#[derive(Default)]
struct Unclosed {
    leaves: Vec<Hash>,
    envelopes: Vec<(u64, Vec<u8>)>,
    /// The offset of the first of them.
    offset: u64,
}

impl Replay {
    /// Reads one segment: to its last checkpoint, or to where the next segment takes over.
    pub(crate) fn segment(&mut self, found: &Found, next: Option<&Header>) -> Result<Last, OpenError> {
        let Found { header, path, file, len } = found;
        let size = self.frontier.size();
        if header.first != size {
            return Err(OpenError::Gap { from: size, to: header.first });
        }
        if header.root != self.frontier.root() {
            return Err(OpenError::Diverged { size, by: "the header of a segment" });
        }
        let segment = Segment::new(header.ordinal, header.first, path.clone(), Arc::clone(file), *len);
        self.tail.segments.push(segment);
        let mut reader = FrameReader::new(Arc::clone(file), FIRST_FRAME);
        let mut unclosed = Unclosed { offset: FIRST_FRAME, ..Unclosed::default() };
        // Sizes and the offsets after their checkpoints.
        let mut closed: Vec<(u64, u64)> = Vec::new();
        let mut last: Option<(Last, u64)> = None;
        while next.is_none_or(|next| self.frontier.size() != next.first || last.is_none()) {
            match reader.next().named("read", path)? {
                Next::Frame(Frame::Entry(entry)) => {
                    if is_envelope(entry) {
                        let index = self.frontier.size() + len64(unclosed.leaves.len());
                        unclosed.envelopes.push((index, entry.to_vec()));
                    }
                    unclosed.leaves.push(leaf_hash(entry));
                }
                Next::Frame(Frame::Checkpoint { synced, note }) => {
                    let (head, note) = self.close(&mut unclosed, note, path)?;
                    let end = reader.offset();
                    unclosed.offset = end;
                    closed.push((head.size, end));
                    last = Some((Last { head, note, end, unsure_from: 0 }, synced));
                }
                Next::End | Next::Torn => break,
            }
        }
        let torn = OpenError::Torn { path: path.clone(), offset: reader.offset() };
        let (mut last, synced) = last.ok_or_else(|| torn.clone())?;
        if let Some(next) = next {
            if last.head.size != next.first {
                return Err(torn);
            }
            self.check_abandoned(reader, next, path)?;
        }
        let sure = closed.partition_point(|(size, _)| *size <= synced);
        last.unsure_from = sure.checked_sub(1).and_then(|at| closed.get(at)).map_or(0, |(_, end)| *end);
        Ok(last)
    }

    /// Takes the entries of a batch into the tree, if its checkpoint says what they come to.
    fn close(&mut self, unclosed: &mut Unclosed, note: &[u8], path: &Path) -> Result<(Head, Arc<str>), OpenError> {
        let base = self.frontier.size();
        let mut frontier = self.frontier.clone();
        unclosed.leaves.iter().for_each(|leaf| frontier.push(*leaf));
        let head = Head { size: frontier.size(), root: frontier.root() };
        let bad = |source| OpenError::BadCheckpoint { path: path.to_owned(), size: head.size, source };
        let checkpoint = Checkpoint::parse(note).map_err(bad)?;
        if checkpoint.head != head {
            return Err(OpenError::Diverged { size: head.size, by: "a signed checkpoint in a segment" });
        }
        self.frontier = frontier;
        if let Some(segment) = self.tail.segments.last_mut()
            && !unclosed.leaves.is_empty()
        {
            segment.mark(base, unclosed.offset);
        }
        unclosed.leaves.drain(..).for_each(|leaf| self.tail.edge.push(leaf));
        for (index, entry) in unclosed.envelopes.drain(..) {
            // One that does not hold changes nothing; verification reports it.
            let _ = self.chain.follow(&entry, index);
        }
        // The note was parsed, so it is text.
        Ok((head, String::from_utf8_lossy(note).into()))
    }

    /// Looks at what a segment holds beyond the place where the next one takes over: batches whose sync failed. That
    /// any of it was known to be synced would mean that the next segment was put there to hide it.
    fn check_abandoned(&self, mut reader: FrameReader, next: &Header, path: &Path) -> Result<(), OpenError> {
        while let Next::Frame(frame) = reader.next().named("read", path)? {
            match frame {
                Frame::Checkpoint { synced, .. } if synced > next.first => {
                    return Err(OpenError::Gap { from: next.first, to: synced });
                }
                Frame::Checkpoint { .. } | Frame::Entry(_) => {}
            }
        }
        Ok(())
    }
}

/// Searches a file from an offset for a checkpoint that shows that more than `size` entries were synced: one for a
/// greater size, found good by `is_signed`, written when a greater size was known to be synced.
pub(crate) fn later_checkpoint(
    file: &dyn DiskFile,
    path: &Path,
    from: u64,
    size: u64,
    origin: &KeyName,
    is_signed: impl Fn(&Checkpoint) -> bool,
) -> Result<Option<u64>, DiskError> {
    let start = format!("{origin}\n");
    let before = FRAME_HEAD + 8;
    let mut found = None;
    scan(file, from, WINDOW_OVERLAP, |window| {
        let window = without_tail(window);
        for at in window.windows(start.len()).enumerate().filter(|(_, w)| *w == start.as_bytes()).map(|(at, _)| at) {
            let frame = at.checked_sub(before).and_then(|at| window.get(at..));
            if let Some(Parsed::Frame(Frame::Checkpoint { synced, note }, _)) = frame.map(parse_frame)
                && synced > size
                && Checkpoint::parse(note).is_ok_and(|note| note.head.size > size && is_signed(&note))
            {
                found = found.max(Some(synced));
            }
        }
    })
    .named("read", path)?;
    Ok(found)
}

/// Reads a file from an offset to its end in windows that overlap.
pub(crate) fn scan(file: &dyn DiskFile, from: u64, overlap: usize, mut window: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; SCAN_BYTES];
    let (mut kept, mut offset) = (0, from);
    loop {
        let into = buffer.get_mut(kept..).unwrap_or_default();
        let count = file.read_at(into, offset)?;
        offset += len64(count);
        let filled = kept + count;
        window(buffer.get(..filled).unwrap_or_default());
        if count == 0 {
            return Ok(());
        }
        kept = filled.min(overlap);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory fits 64 bits")
}

const SCAN_BYTES: usize = 1 << 20;
/// More than the frame of a checkpoint has.
const WINDOW_OVERLAP: usize = 32 * 1024;
