//! Writing a file in a thread of its own, while more of it is made.

use std::{
    fs::File,
    io::{self, Write},
    sync::mpsc::{Receiver, SyncSender, channel, sync_channel},
    thread::{self, JoinHandle},
};

/// Buffers what it is given, and writes each full buffer behind the back of whoever makes the next. Little is written where it is:
/// the thread begins with the first full buffer. Dropped, it has written what was in full buffers, and nothing of the last.
pub(crate) struct Behind {
    file: File,
    buffer: Vec<u8>,
    /// Told of all that is written, in the order of the file.
    written: fn(&File, u64),
    thread: Option<Thread>,
}

struct Thread {
    full: SyncSender<Vec<u8>>,
    /// Buffers to be filled again.
    empty: Receiver<Vec<u8>>,
    outcome: JoinHandle<io::Result<()>>,
}

impl Behind {
    /// `written` is told, after each write, how many bytes of the file are.
    pub(crate) fn new(file: File, written: fn(&File, u64)) -> Self {
        Self { file, buffer: Vec::new(), written, thread: None }
    }

    /// The file. What it was given last may not be in it yet.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let thread = match &mut self.thread {
            Some(thread) => thread,
            None => self.thread.insert(Thread::start(self.file.try_clone()?, self.written)?),
        };
        let empty = thread.empty.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut self.buffer, empty);
        match thread.full.send(full) {
            Ok(()) => Ok(()),
            // It ended, with the reason.
            Err(_) => self.end(),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(Thread { full, outcome, .. }) = self.thread.take() else { return Ok(()) };
        drop(full);
        outcome.join().map_err(|_| io::Error::other("the thread that writes ended"))?
    }
}

impl Thread {
    fn start(mut file: File, written: fn(&File, u64)) -> io::Result<Self> {
        let (full, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let (done, empty) = channel();
        let write = move || {
            let mut len = 0;
            while let Ok(mut buffer) = waiting.recv() {
                file.write_all(&buffer)?;
                len += u64::try_from(buffer.len()).expect("a length in memory fits 64 bits");
                written(&file, len);
                buffer.clear();
                // Nobody may be left who fills it again.
                let _ = done.send(buffer);
            }
            Ok(())
        };
        let outcome = thread::Builder::new().name("write".to_owned()).spawn(write)?;
        Ok(Self { full, empty, outcome })
    }
}

impl Write for Behind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= BUFFER {
            self.hand_over()?;
        }
        if self.buffer.capacity() < BUFFER && self.buffer.len() + bytes.len() > self.buffer.capacity() {
            // Small outputs are the most: they get no large buffer.
            let wanted = (2 * self.buffer.capacity()).clamp(4096, BUFFER);
            self.buffer.reserve_exact(wanted - self.buffer.len());
        }
        let taken = bytes.get(..bytes.len().min(BUFFER - self.buffer.len())).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.end()?;
        let outcome = self.file.write_all(&self.buffer);
        self.buffer.clear();
        outcome
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // Nobody asks any more how it went; but nothing is written once this is gone.
        let _ = self.end();
    }
}

/// Bytes that are written at once.
pub(crate) const BUFFER: usize = 256 << 10;
/// Full buffers that wait for the disk at most.
const WAITING: usize = 8;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn scratch() -> File {
        tempfile::tempfile().unwrap()
    }

    fn content(behind: &Behind) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut file = behind.file().try_clone().unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn everything_is_written_in_order_in_pieces_of_any_size() {
        for piece in [1000, BUFFER - 1, BUFFER, BUFFER + 1, 5 * BUFFER] {
            let bytes: Vec<u8> = (0..20 * BUFFER + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut behind = Behind::new(scratch(), |_, _| {});
            for piece in bytes.chunks(piece) {
                behind.write_all(piece).unwrap();
            }
            behind.flush().unwrap();
            assert!(content(&behind) == bytes, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_small_needs_no_thread() {
        let mut behind = Behind::new(scratch(), |_, _| {});
        behind.write_all(b"small").unwrap();
        assert!(behind.thread.is_none() && behind.buffer.capacity() < BUFFER);
        behind.flush().unwrap();
        assert_eq!(content(&behind), b"small");
        behind.write_all(b"er").unwrap();
        behind.flush().unwrap();
        assert_eq!(content(&behind), b"smaller");
    }

    #[test]
    fn failure_to_write_is_told_to_who_writes_on_or_flushes() {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let bytes = vec![0; BUFFER];
        let mut behind = Behind::new(full(), |_, _| {});
        let failed =
            (0..100).find_map(|_| behind.write_all(&bytes).err()).expect("it fails at the latest when buffers run out");
        assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
        let mut behind = Behind::new(full(), |_, _| {});
        behind.write_all(&[bytes.as_slice(), b"x"].concat()).unwrap();
        assert_eq!(behind.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
