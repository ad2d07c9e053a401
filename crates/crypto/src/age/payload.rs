//! The payload of an age file: chunks of 64 KiB under ChaCha20-Poly1305, each in its place, the last one marked.

use std::io::{self, BufRead, BufReader, Read, Write};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use super::{Error, Opener, Sealer, header};
use crate::{kdf, rng};

/// Encrypts what is written to it. Without [`Encryptor::finish`] the file is cut off, and no reader takes it.
pub struct Encryptor<W> {
    output: W,
    chunks: Chunks,
    /// Plaintext that waits for more, at most a chunk.
    waiting: Zeroizing<Vec<u8>>,
}

impl<W: Write> Encryptor<W> {
    /// Begins a file with its header.
    ///
    /// # Errors
    /// What writing returns, and where a primitive fails.
    pub fn new(to: Sealer<'_>, mut output: W) -> io::Result<Self> {
        let (text, file_key) = header::write(to)?;
        output.write_all(&text)?;
        let nonce = rng::bytes::<NONCE_BYTES>().map_err(Error::from)?;
        output.write_all(&nonce)?;
        let chunks = Chunks::new(&file_key, &nonce)?;
        Ok(Self { output, chunks, waiting: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)) })
    }

    /// Writes the last chunk, and gives the output back.
    ///
    /// # Errors
    /// What writing returns.
    pub fn finish(mut self) -> io::Result<W> {
        self.seal(Place::Last)?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn seal(&mut self, place: Place) -> io::Result<()> {
        let nonce = self.chunks.next(place)?;
        let sealed = self.chunks.key.seal_in_place_separate_tag(nonce, Aad::empty(), self.waiting.as_mut_slice());
        let tag = sealed.map_err(|_| io::Error::other("a chunk cannot be sealed"))?;
        self.waiting.extend_from_slice(tag.as_ref());
        self.output.write_all(&self.waiting)?;
        // Ciphertext by now.
        self.waiting.clear();
        Ok(())
    }
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Whether a chunk is the last is known only once there is more.
        if self.waiting.len() == CHUNK && !bytes.is_empty() {
            self.seal(Place::Among)?;
        }
        let some = bytes.get(..bytes.len().min(CHUNK - self.waiting.len())).unwrap_or_default();
        self.waiting.extend_from_slice(some);
        Ok(some.len())
    }

    /// What waits for the rest of its chunk goes on waiting.
    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Decrypts what is read from it, chunk by chunk: each is found whole and in its place before a byte of it is given out, but
/// that the file is whole is known at its end alone.
pub struct Decryptor<R> {
    input: BufReader<R>,
    chunks: Chunks,
    buffer: Zeroizing<Vec<u8>>,
    /// What was given out of the buffer, and what there is in it.
    given: usize,
    len: usize,
    ended: Ended,
}

#[derive(Clone, Copy, PartialEq)]
enum Ended {
    No,
    Yes,
}

impl<R: Read> Decryptor<R> {
    /// Reads the header and unwraps its key.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(input: R, opener: Opener<'_>) -> Result<Self, Error> {
        let mut input = BufReader::with_capacity(2 * (CHUNK + TAG), input);
        let file_key = header::read(&mut input, opener)?;
        let mut nonce = [0; NONCE_BYTES];
        input.read_exact(&mut nonce).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Authentication,
            _ => Error::Read(error),
        })?;
        let chunks = Chunks::new(&file_key, &nonce)?;
        let buffer = Zeroizing::new(vec![0; CHUNK + TAG]);
        Ok(Self { input, chunks, buffer, given: 0, len: 0, ended: Ended::No })
    }

    fn open_next(&mut self) -> Result<(), Error> {
        let first = self.chunks.number == 0;
        let mut filled = 0;
        while let Some(free) = self.buffer.get_mut(filled..).filter(|free| !free.is_empty()) {
            match self.input.read(free) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
        let last = self.input.fill_buf().map_err(Error::Read)?.is_empty();
        let nonce = self.chunks.next(if last { Place::Last } else { Place::Among })?;
        let chunk = self.buffer.get_mut(..filled).unwrap_or_default();
        let opened = self.chunks.key.open_in_place(nonce, Aad::empty(), chunk).map_err(|_| Error::Authentication)?;
        (self.given, self.len) = (0, opened.len());
        if self.len == 0 && !first {
            return Err(Error::Authentication);
        }
        if last {
            self.ended = Ended::Yes;
        }
        Ok(())
    }
}

impl<R: Read> Read for Decryptor<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.len {
            if self.ended == Ended::Yes || out.is_empty() {
                return Ok(0);
            }
            if let Err(error) = self.open_next() {
                // Nothing more comes of it, however often it is asked.
                (self.given, self.len, self.ended) = (0, 0, Ended::No);
                self.buffer.zeroize();
                self.buffer.clear();
                return Err(error.into());
            }
        }
        let rest = self.buffer.get(self.given..self.len).unwrap_or_default();
        let count = rest.len().min(out.len());
        let (some, _) = out.split_at_mut(count);
        some.copy_from_slice(rest.get(..count).unwrap_or_default());
        self.given += count;
        Ok(count)
    }
}

/// The key of the chunks, and the number of the next.
struct Chunks {
    key: LessSafeKey,
    number: u64,
}

#[derive(Clone, Copy)]
enum Place {
    Among,
    Last,
}

impl Chunks {
    fn new(file_key: &header::FileKey, nonce: &[u8]) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        kdf::fill(file_key.as_slice(), nonce, &[b"payload"], key.as_mut_slice())?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice());
        let key = key.map_err(|_| crate::Error::Parameters("a payload's key"))?;
        Ok(Self { key: LessSafeKey::new(key), number: 0 })
    }

    /// Eleven bytes of number, of which 2^64 chunks need eight, and one that says whether it is the last.
    fn next(&mut self, place: Place) -> Result<Nonce, Error> {
        let mut nonce = [0; NONCE_LEN];
        let number = self.number.to_be_bytes();
        nonce.iter_mut().skip(3).zip(number).for_each(|(byte, of_number)| *byte = of_number);
        if let (Some(last), Place::Last) = (nonce.last_mut(), place) {
            *last = 1;
        }
        self.number = self.number.checked_add(1).ok_or(Error::Format("too many chunks"))?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

const CHUNK: usize = 64 << 10;
const TAG: usize = 16;
const NONCE_BYTES: usize = 16;
