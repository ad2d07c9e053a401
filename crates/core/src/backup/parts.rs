//! What lies inside of the parts, once they are decrypted. Integers are big-endian.
//!
//! Rows: `"coffer-rows" 0x01`, the backup's id (16), the revision (u64); each row as the length of its key (u16, not zero), its
//! revision (u64), the length of its value (u32), key, value; then a length of zero and the number of rows (u64).
//!
//! Log: `"coffer-log" 0x01`, the backup's id, the size (u64), the list of keys and the checkpoint, each with its length (u32)
//! before it; then each entry with its length (u16).
//!
//! Seal key: `"coffer-seal" 0x01`, the backup's id, the text of the key file.

use std::io::{self, Read, Write};

use bytes::Bytes;
use coffer_storage::{Entry, Key, Revision, Sealed};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{BackupError, Part};
use crate::tlog::tile::MAX_ENTRY;

/// Writes rows.
pub(crate) struct RowsWriter<W> {
    output: W,
    count: u64,
}

impl<W: Write> RowsWriter<W> {
    pub(crate) fn new(mut output: W, backup: Uuid, revision: u64) -> io::Result<Self> {
        output.write_all(ROWS)?;
        output.write_all(backup.as_bytes())?;
        output.write_all(&revision.to_be_bytes())?;
        Ok(Self { output, count: 0 })
    }

    pub(crate) fn push(&mut self, key: &Key, entry: &Entry) -> io::Result<()> {
        let key = key.as_bytes();
        let key_len = u16::try_from(key.len()).map_err(io::Error::other)?;
        let value_len = u32::try_from(entry.value.len()).map_err(io::Error::other)?;
        let mut head = [0; ROW_HEAD];
        let parts = [&key_len.to_be_bytes()[..], &entry.revision.0.to_be_bytes(), &value_len.to_be_bytes()];
        head.iter_mut().zip(parts.concat()).for_each(|(byte, of_part)| *byte = of_part);
        self.output.write_all(&head)?;
        self.output.write_all(key)?;
        self.output.write_all(&entry.value)?;
        self.count += 1;
        Ok(())
    }

    /// Ends the rows; gives the output and their number.
    pub(crate) fn finish(mut self) -> io::Result<(W, u64)> {
        self.output.write_all(&0_u16.to_be_bytes())?;
        self.output.write_all(&self.count.to_be_bytes())?;
        Ok((self.output, self.count))
    }
}

/// Reads a part, and names it where it is not what it should be.
pub(crate) struct PartReader<R> {
    input: R,
    part: Part,
}

impl<R: Read> PartReader<R> {
    /// Reads as far as the id, which must be that of `backup`.
    fn open(mut input: R, part: Part, magic: &[u8], backup: Uuid) -> Result<Self, BackupError> {
        let mut found = vec![0; magic.len()];
        read_exact(&mut input, part, &mut found)?;
        if found != magic {
            return Err(BackupError::damaged(part.name(), "holds something else, or in a format of a later release"));
        }
        let mut reader = Self { input, part };
        if reader.array::<16>()? != *backup.as_bytes() {
            return Err(BackupError::damaged(part.name(), "belongs to another backup"));
        }
        Ok(reader)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        read_exact(&mut self.input, self.part, &mut bytes)?;
        Ok(bytes)
    }

    fn bytes(&mut self, len: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = vec![0; len];
        read_exact(&mut self.input, self.part, &mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, BackupError> {
        let len = usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX);
        if len > MAX_TEXT {
            return Err(self.damaged("a text is too long"));
        }
        let bytes = self.bytes(len)?;
        String::from_utf8(bytes).map_err(|_| self.damaged("a text is none"))
    }

    /// The end must be here.
    fn end(&mut self) -> Result<(), BackupError> {
        let mut one = [0];
        match self.input.read(&mut one).map_err(|error| failed(self.part, error))? {
            0 => Ok(()),
            _ => Err(self.damaged("goes on after its end")),
        }
    }

    fn damaged(&self, what: &str) -> BackupError {
        BackupError::damaged(self.part.name(), what)
    }
}

/// Reads rows, whose keys rise.
pub(crate) struct RowsReader<R> {
    reader: PartReader<R>,
    revision: u64,
    last: Option<Key>,
    count: u64,
}

impl<R: Read> RowsReader<R> {
    pub(crate) fn open(input: R, part: Part, backup: Uuid, revision: u64) -> Result<Self, BackupError> {
        let mut reader = PartReader::open(input, part, ROWS, backup)?;
        if u64::from_be_bytes(reader.array()?) != revision {
            return Err(reader.damaged("is of another revision"));
        }
        Ok(Self { reader, revision, last: None, count: 0 })
    }

    /// The next row; `None` at the end, where the number of rows must be right.
    pub(crate) fn next(&mut self) -> Result<Option<(Key, Entry)>, BackupError> {
        let key_len = usize::from(u16::from_be_bytes(self.reader.array()?));
        if key_len == 0 {
            if u64::from_be_bytes(self.reader.array()?) != self.count {
                return Err(self.reader.damaged("rows are missing"));
            }
            self.reader.end()?;
            return Ok(None);
        }
        let revision = u64::from_be_bytes(self.reader.array()?);
        let value_len = usize::try_from(u32::from_be_bytes(self.reader.array()?)).unwrap_or(usize::MAX);
        if key_len > Key::MAX || value_len > Sealed::MAX || revision > self.revision {
            return Err(self.reader.damaged("a row that no store has"));
        }
        let key = Key::new(self.reader.bytes(key_len)?).map_err(|_| self.reader.damaged("a row without a key"))?;
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(self.reader.damaged("rows are not in their order"));
        }
        let value = Bytes::from(self.reader.bytes(value_len)?);
        self.last = Some(key.clone());
        self.count += 1;
        Ok(Some((key, Entry { value, revision: Revision(revision) })))
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

/// Writes what stands before the log's entries.
pub(crate) fn begin_log(
    output: &mut impl Write,
    backup: Uuid,
    size: u64,
    keys: &str,
    checkpoint: &str,
) -> io::Result<()> {
    output.write_all(LOG)?;
    output.write_all(backup.as_bytes())?;
    output.write_all(&size.to_be_bytes())?;
    for text in [keys, checkpoint] {
        output.write_all(&u32::try_from(text.len()).map_err(io::Error::other)?.to_be_bytes())?;
        output.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// Writes an entry of the log.
pub(crate) fn push_log_entry(output: &mut impl Write, entry: &[u8]) -> io::Result<()> {
    output.write_all(&u16::try_from(entry.len()).map_err(io::Error::other)?.to_be_bytes())?;
    output.write_all(entry)
}

/// Reads the log.
pub(crate) struct LogReader<R> {
    reader: PartReader<R>,
    left: u64,
    pub(crate) size: u64,
    pub(crate) keys: String,
    pub(crate) checkpoint: String,
}

impl<R: Read> LogReader<R> {
    pub(crate) fn open(input: R, backup: Uuid) -> Result<Self, BackupError> {
        let mut reader = PartReader::open(input, Part::Log, LOG, backup)?;
        let size = u64::from_be_bytes(reader.array()?);
        let (keys, checkpoint) = (reader.text()?, reader.text()?);
        Ok(Self { reader, left: size, size, keys, checkpoint })
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        if self.left == 0 {
            self.reader.end()?;
            return Ok(None);
        }
        self.left -= 1;
        let len = usize::from(u16::from_be_bytes(self.reader.array()?));
        debug_assert!(len <= MAX_ENTRY);
        self.reader.bytes(len).map(Some)
    }
}

/// Writes the seal key's file.
pub(crate) fn write_seal_key(output: &mut impl Write, backup: Uuid, text: &str) -> io::Result<()> {
    output.write_all(SEAL_KEY)?;
    output.write_all(backup.as_bytes())?;
    output.write_all(text.as_bytes())
}

/// Reads the seal key's file.
pub(crate) fn read_seal_key(input: impl Read, backup: Uuid) -> Result<Zeroizing<String>, BackupError> {
    let mut reader = PartReader::open(input, Part::SealKey, SEAL_KEY, backup)?;
    let mut text = Zeroizing::new(String::with_capacity(MAX_SEAL_KEY));
    let read = reader.input.by_ref().take(128).read_to_string(&mut text);
    read.map_err(|error| failed(Part::SealKey, error))?;
    reader.end()?;
    Ok(text)
}

fn read_exact(input: &mut impl Read, part: Part, into: &mut [u8]) -> Result<(), BackupError> {
    input.read_exact(into).map_err(|error| failed(part, error))
}

/// What reading a part failed with: it is damaged, where it was not the system's fault.
pub(crate) fn failed(part: Part, error: io::Error) -> BackupError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::damaged(part.name(), "was cut off"),
        io::ErrorKind::InvalidData => BackupError::damaged(part.name(), error.to_string()),
        _ => BackupError::Io { operation: "read", path: part.file().into(), source: error },
    }
}

const ROWS: &[u8; 12] = b"coffer-rows\x01";
const LOG: &[u8; 11] = b"coffer-log\x01";
const SEAL_KEY: &[u8; 12] = b"coffer-seal\x01";
const ROW_HEAD: usize = 2 + 8 + 4;
/// Keys and checkpoint of a log.
const MAX_TEXT: usize = 1 << 20;
/// More than a key file has, so that reading one leaves no copy behind.
const MAX_SEAL_KEY: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(part: &[(&str, u64, usize)]) -> Vec<u8> {
        let mut writer = RowsWriter::new(Vec::new(), Uuid::from_u128(1), 9).unwrap();
        for (key, revision, len) in part {
            let entry = Entry { value: Bytes::from(vec![1; *len]), revision: Revision(*revision) };
            writer.push(&Key::new(*key).unwrap(), &entry).unwrap();
        }
        writer.finish().unwrap().0
    }

    fn read(bytes: &[u8]) -> Result<u64, BackupError> {
        let mut reader = RowsReader::open(bytes, Part::Store, Uuid::from_u128(1), 9)?;
        while reader.next()?.is_some() {}
        Ok(reader.count())
    }

    #[test]
    fn rows_are_read_back_and_cut_or_longer_ones_are_refused() {
        let bytes = rows(&[("a", 1, 0), ("b", 9, 300)]);
        assert_eq!(read(&bytes).unwrap(), 2);
        assert_eq!(read(&rows(&[])).unwrap(), 0);
        for at in 0..bytes.len() {
            assert!(matches!(read(&bytes[..at]), Err(BackupError::Damaged { .. })), "{at}");
        }
        assert!(read(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn rows_out_of_order_of_later_revisions_or_of_another_backup_are_refused() {
        assert!(read(&rows(&[("b", 1, 0), ("a", 1, 0)])).is_err());
        assert!(read(&rows(&[("a", 1, 0), ("a", 1, 0)])).is_err());
        assert!(read(&rows(&[("a", 10, 0)])).is_err());
        let bytes = rows(&[("a", 1, 0)]);
        assert!(RowsReader::open(bytes.as_slice(), Part::Store, Uuid::from_u128(2), 9).is_err());
        assert!(RowsReader::open(bytes.as_slice(), Part::Store, Uuid::from_u128(1), 8).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let id = Uuid::from_u128(1);
            let head = |magic: &[u8]| [magic, id.as_bytes(), &9_u64.to_be_bytes(), &bytes].concat();
            let _ = read(&head(ROWS));
            if let Ok(mut log) = LogReader::open(head(LOG).as_slice(), id) {
                while let Ok(Some(_)) = log.next() {}
            }
            let _ = read_seal_key(head(SEAL_KEY).as_slice(), id);
        }
    }

    #[test]
    fn log_is_read_back_and_a_cut_one_is_refused() {
        let mut bytes = Vec::new();
        begin_log(&mut bytes, Uuid::from_u128(1), 2, "keys", "checkpoint").unwrap();
        push_log_entry(&mut bytes, b"one").unwrap();
        push_log_entry(&mut bytes, b"two").unwrap();
        let read = |bytes: &[u8]| {
            let mut reader = LogReader::open(bytes, Uuid::from_u128(1))?;
            let mut entries = Vec::new();
            while let Some(entry) = reader.next()? {
                entries.push(entry);
            }
            Ok::<_, BackupError>((reader.size, reader.keys, reader.checkpoint, entries))
        };
        let expected = (2, "keys".to_owned(), "checkpoint".to_owned(), vec![b"one".to_vec(), b"two".to_vec()]);
        assert_eq!(read(&bytes).unwrap(), expected);
        for at in 0..bytes.len() {
            assert!(read(&bytes[..at]).is_err(), "{at}");
        }
    }
}
