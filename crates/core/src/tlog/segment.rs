//! Segments: the files that entries are first written to, before any tile.
//!
//! A segment starts with a header of 64 bytes (format, magic, ordinal, index of its first entry, root before it,
//! checksum) and goes on with frames `length u32 | crc32c u32 | kind u8 | payload`, all numbers big-endian; the length
//! is that of the payload, the checksum covers length, kind and payload. Each batch ends in a frame with its signed
//! checkpoint, before which stands the size that was known to be synced when the batch was made. Files are longer than
//! what is used of them: zeros end the frames.

use std::{io, sync::Arc};

use super::{disk::DiskFile, merkle::Hash, tile::MAX_ENTRY};

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    /// The place of the segment among the segments; a later one takes over from where it starts.
    pub(crate) ordinal: u64,
    /// The index of the first entry in it.
    pub(crate) first: u64,
    /// The root of the entries before it.
    pub(crate) root: Hash,
}

/// What stands where a header belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeaderRead {
    Header(Header),
    /// A format of another release.
    Other(u8),
    /// Not what was written: torn, or changed.
    Torn,
    /// Nothing: a segment allocated ahead.
    Zero,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.ordinal.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> HeaderRead {
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderRead::Zero;
        }
        let (body, check) = bytes.split_at(HEADER_LEN - 8);
        let good = check.split_first_chunk::<4>().is_some_and(|(crc, zeros)| {
            u32::from_be_bytes(*crc) == crc32c::crc32c(body) && zeros.iter().all(|byte| *byte == 0)
        });
        let fields = body.split_first().and_then(|(format, rest)| {
            let rest = rest.strip_prefix(MAGIC.as_slice())?;
            let (ordinal, rest) = rest.split_first_chunk::<8>()?;
            let (first, root) = rest.split_first_chunk::<8>()?;
            Some((*format, u64::from_be_bytes(*ordinal), u64::from_be_bytes(*first), root.try_into().ok()?))
        });
        match fields {
            Some((FORMAT, ordinal, first, root)) if good => HeaderRead::Header(Header { ordinal, first, root }),
            Some((format, ..)) if good => HeaderRead::Other(format),
            _ => HeaderRead::Torn,
        }
    }
}

/// One frame, as read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Frame<'a> {
    Checkpoint {
        /// The size that was known to be synced when this was written.
        synced: u64,
        note: &'a [u8],
    },
    Entry(&'a [u8]),
}

/// Adds the frame of an entry of 1 to 65,535 bytes.
pub(crate) fn push_entry_frame(out: &mut Vec<u8>, entry: &[u8]) {
    push_frame(out, KIND_ENTRY, &[entry]);
}

/// Adds the frame of a signed checkpoint.
pub(crate) fn push_checkpoint_frame(out: &mut Vec<u8>, synced: u64, note: &str) {
    push_frame(out, KIND_CHECKPOINT, &[&synced.to_be_bytes(), note.as_bytes()]);
}

fn push_frame(out: &mut Vec<u8>, kind: u8, payload: &[&[u8]]) {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).expect("a payload is an entry or a note, both bounded").to_be_bytes();
    let mut crc = crc32c::crc32c_append(crc32c::crc32c(&length), &[kind]);
    for part in payload {
        crc = crc32c::crc32c_append(crc, part);
    }
    out.extend_from_slice(&length);
    out.extend_from_slice(&crc.to_be_bytes());
    out.push(kind);
    payload.iter().for_each(|part| out.extend_from_slice(part));
}

/// What the bytes at one place are.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Parsed<'a> {
    /// The zeros after the last frame.
    End,
    /// A frame, and its length in bytes.
    Frame(Frame<'a>, usize),
    /// The beginning of a frame of so many bytes.
    Short(usize),
    /// Neither a frame nor zeros.
    Torn,
}

/// Reads one frame from the start of `bytes`.
pub(crate) fn parse_frame(bytes: &[u8]) -> Parsed<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD>() else { return Parsed::Short(FRAME_HEAD) };
    if head.iter().all(|byte| *byte == 0) {
        return Parsed::End;
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3, kind] = *head;
    let Ok(length) = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])) else { return Parsed::Torn };
    let fits = match kind {
        KIND_ENTRY => (1..=MAX_ENTRY).contains(&length),
        KIND_CHECKPOINT => (9..=MAX_CHECKPOINT).contains(&length),
        _ => false,
    };
    if !fits {
        return Parsed::Torn;
    }
    let Some(payload) = rest.get(..length) else { return Parsed::Short(FRAME_HEAD + length) };
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&[l0, l1, l2, l3]), &[kind]), payload);
    if crc != u32::from_be_bytes([c0, c1, c2, c3]) {
        return Parsed::Torn;
    }
    let frame = match payload.split_first_chunk::<8>() {
        Some((synced, note)) if kind == KIND_CHECKPOINT => {
            Frame::Checkpoint { synced: u64::from_be_bytes(*synced), note }
        }
        _ => Frame::Entry(payload),
    };
    Parsed::Frame(frame, FRAME_HEAD + length)
}

/// Reads the frames of a file one after the other, in bounded memory.
pub(crate) struct FrameReader {
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    /// The offset in the file of the first byte of `buffer`.
    start: u64,
    /// How much of `buffer` lies behind.
    used: usize,
}

/// What came next in a segment.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Next<'a> {
    /// Zeros, or the end of the file.
    End,
    Frame(Frame<'a>),
    Torn,
}

impl FrameReader {
    /// Starts at an offset where a frame begins.
    pub(crate) fn new(file: Arc<dyn DiskFile>, offset: u64) -> Self {
        Self { file, buffer: Vec::new(), start: offset, used: 0 }
    }

    /// The offset of the next frame.
    pub(crate) fn offset(&self) -> u64 {
        self.start + u64::try_from(self.used).expect("a buffer is smaller than a file may be")
    }

    /// The next frame. After `End` and `Torn` the reader stays where it is.
    pub(crate) fn next(&mut self) -> io::Result<Next<'_>> {
        let mut need = FRAME_HEAD;
        let length = loop {
            let have = self.buffer.len() - self.used;
            if have < need && !self.fill(need)? {
                let rest = self.buffer.get(self.used..).unwrap_or_default();
                return Ok(if rest.iter().all(|byte| *byte == 0) { Next::End } else { Next::Torn });
            }
            match parse_frame(self.buffer.get(self.used..).unwrap_or_default()) {
                Parsed::Short(more) => need = more,
                Parsed::End => return Ok(Next::End),
                Parsed::Torn => return Ok(Next::Torn),
                Parsed::Frame(_, length) => break length,
            }
        };
        let from = self.used;
        self.used += length;
        // Parsed a second time, since what the loop borrowed cannot leave it; the checksum is cheap.
        match parse_frame(self.buffer.get(from..).unwrap_or_default()) {
            Parsed::Frame(frame, _) => Ok(Next::Frame(frame)),
            Parsed::End | Parsed::Short(_) | Parsed::Torn => Ok(Next::Torn),
        }
    }

    /// Reads on until `need` bytes are there; says whether they are.
    fn fill(&mut self, need: usize) -> io::Result<bool> {
        self.start = self.offset();
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut have = self.buffer.len();
        self.buffer.resize(need.max(READ_AHEAD), 0);
        while have < self.buffer.len() {
            let offset = self.start + u64::try_from(have).expect("a buffer is smaller than a file may be");
            let into = self.buffer.get_mut(have..).unwrap_or_default();
            match self.file.read_at(into, offset) {
                Ok(0) => break,
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buffer.truncate(have);
                    return Err(error);
                }
            }
        }
        self.buffer.truncate(have);
        Ok(have >= need)
    }
}

/// The header of a segment, which a file shorter than one has not.
pub(crate) fn read_header(file: &dyn DiskFile) -> io::Result<HeaderRead> {
    let mut bytes = [0; HEADER_LEN];
    let mut have = 0;
    while let Some(into) = bytes.get_mut(have..).filter(|into| !into.is_empty()) {
        match file.read_at(into, u64::try_from(have).unwrap_or(0)) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(if have == HEADER_LEN || bytes.iter().all(|byte| *byte == 0) {
        Header::decode(&bytes)
    } else {
        HeaderRead::Torn
    })
}

/// Where the first frame of a segment begins.
pub(crate) const HEADER_LEN: usize = 64;
/// The same as an offset in the file.
pub(crate) const FIRST_FRAME: u64 = 64;
const FORMAT: u8 = 1;
const MAGIC: &[u8; 7] = b"tlogseg";
/// Length, checksum and kind.
pub(crate) const FRAME_HEAD: usize = 9;
pub(crate) const KIND_CHECKPOINT: u8 = 2;
const KIND_ENTRY: u8 = 1;
/// Two signatures and the longest name need 2 KiB.
const MAX_CHECKPOINT: usize = 16 * 1024;
const READ_AHEAD: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tlog::disk::{Disk, RealDisk};

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, Arc<dyn DiskFile>) {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&dir.path().join("file")).unwrap();
        file.write_at(bytes, 0).unwrap();
        (dir, file)
    }

    #[test]
    fn header_written_is_read_back_until_any_bit_changes() {
        let header = Header { ordinal: 7, first: u64::MAX, root: [9; 32] };
        let bytes: [u8; HEADER_LEN] = header.encode().try_into().unwrap();
        assert_eq!(Header::decode(&bytes), HeaderRead::Header(header));
        for bit in 0..HEADER_LEN * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&changed), HeaderRead::Torn, "{bit}");
        }
        assert_eq!(Header::decode(&[0; HEADER_LEN]), HeaderRead::Zero);
        let mut newer = bytes;
        newer[0] = FORMAT + 1;
        let crc = crc32c::crc32c(&newer[..56]).to_be_bytes();
        newer[56..60].copy_from_slice(&crc);
        assert_eq!(Header::decode(&newer), HeaderRead::Other(FORMAT + 1));
    }

    #[test]
    fn frames_longer_than_the_buffer_are_read_and_zeros_end_them() {
        let mut bytes = Vec::new();
        let entries: Vec<Vec<u8>> = [1, 65_535, 3, 65_535, 65_535, 40_000].map(|len| vec![7; len]).to_vec();
        for entry in &entries {
            push_entry_frame(&mut bytes, entry);
            push_checkpoint_frame(&mut bytes, 3, "note");
        }
        let end = u64::try_from(bytes.len()).unwrap();
        bytes.extend_from_slice(&[0; 1000]);
        let (_dir, file) = file_of(&bytes);
        let mut reader = FrameReader::new(file, 0);
        for entry in &entries {
            assert_eq!(reader.next().unwrap(), Next::Frame(Frame::Entry(entry)));
            assert_eq!(reader.next().unwrap(), Next::Frame(Frame::Checkpoint { synced: 3, note: b"note" }));
        }
        assert_eq!(reader.next().unwrap(), Next::End);
        assert_eq!(reader.next().unwrap(), Next::End);
        assert_eq!(reader.offset(), end);
    }

    proptest! {
        #[test]
        fn frames_with_one_changed_byte_or_cut_short_are_torn_or_end(
            lens in prop::collection::vec(1..300_usize, 1..8), at: prop::sample::Index, bit in 0..8_u8, cut: prop::sample::Index,
        ) {
            let mut bytes = Vec::new();
            lens.iter().for_each(|len| push_entry_frame(&mut bytes, &vec![1; *len]));
            let read = |bytes: &[u8]| {
                let (_dir, file) = file_of(bytes);
                let mut reader = FrameReader::new(file, 0);
                let mut frames = 0;
                while let Next::Frame(Frame::Entry(entry)) = reader.next().unwrap() {
                    assert_eq!(entry, vec![1; lens[frames]]);
                    frames += 1;
                }
                frames
            };
            prop_assert_eq!(read(&bytes), lens.len());
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= 1 << bit;
            prop_assert!(read(&changed) < lens.len());
            prop_assert!(read(&bytes[..cut.index(bytes.len())]) < lens.len());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse_frame(&bytes);
            let (_dir, file) = file_of(&bytes);
            let _ = read_header(file.as_ref()).unwrap();
            let mut reader = FrameReader::new(file, 0);
            while matches!(reader.next().unwrap(), Next::Frame(_)) {}
        }
    }
}
