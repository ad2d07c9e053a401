//! All parts in one stream: how a backup leaves the server, and lies in one file.
//!
//! `"coffer-backup" 0x01`, then each part as the length of its name (u8), its name, chunks of a length (u32, big-endian, not
//! zero) and so many bytes, and a length of zero. The manifest comes last, and nothing after it.
//!
//! Where it is given up in the middle, bytes of 0xff stand in the place of a length, of a name or a chunk, then why as a length
//! (u16) and so many bytes of text. Only a server says so: what lies in a file is whole, or none.

use std::io::{self, Write};

use coffer_crypto::hash::Sha256;

use super::{BackupError, MANIFEST, MAX_MANIFEST, Manifest};

/// Where the parts of a backup go, one after the other.
pub trait Output {
    /// Begins a part.
    ///
    /// # Errors
    /// What the system says.
    fn begin(&mut self, name: &str) -> io::Result<()>;

    /// Adds to it.
    ///
    /// # Errors
    /// What the system says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Ends it.
    ///
    /// # Errors
    /// What the system says.
    fn end(&mut self) -> io::Result<()>;
}

/// Why the server gave a backup up: the error that [`Unpacker::feed`] returns then has it as its source.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Why(pub String);

/// Writes the stream.
pub struct Packer<W> {
    output: W,
    chunk: Vec<u8>,
    at: At,
}

/// Where the stream stands.
#[derive(Clone, Copy)]
enum At {
    /// Where a part may begin.
    Between,
    /// Where something was perhaps written in part.
    Broken,
    /// In a part, where a chunk may begin.
    Part,
}

impl<W: Write> Packer<W> {
    /// Begins it.
    ///
    /// # Errors
    /// What writing returns.
    pub fn new(mut output: W) -> io::Result<Self> {
        output.write_all(MAGIC)?;
        Ok(Self { output, chunk: Vec::with_capacity(CHUNK), at: At::Between })
    }

    /// What was written to, with everything in it.
    ///
    /// # Errors
    /// What flushing returns.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }

    /// Gives it up, and says why to whoever reads; nothing more can be written.
    ///
    /// # Errors
    /// What writing returns; where writing has failed before, that too.
    pub fn give_up(mut self, why: &str) -> io::Result<W> {
        match std::mem::replace(&mut self.at, At::Broken) {
            At::Between => self.output.write_all(&[GIVEN_UP_NAME])?,
            At::Broken => return Err(io::Error::other("the stream is broken")),
            At::Part => self.output.write_all(&GIVEN_UP_CHUNK.to_be_bytes())?,
        }
        let why = why.get(..why.floor_char_boundary(MAX_WHY.into())).unwrap_or_default();
        self.output.write_all(&u16::try_from(why.len()).map_err(io::Error::other)?.to_be_bytes())?;
        self.output.write_all(why.as_bytes())?;
        self.finish()
    }

    /// Writes what belongs together; should it fail, nobody knows how far it went.
    fn whole(&mut self, then: At, write: impl FnOnce(&mut W) -> io::Result<()>) -> io::Result<()> {
        self.at = At::Broken;
        write(&mut self.output)?;
        self.at = then;
        Ok(())
    }

    fn flush_chunk(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let len = u32::try_from(self.chunk.len()).map_err(io::Error::other)?;
        let chunk = std::mem::take(&mut self.chunk);
        self.whole(At::Part, |output| {
            output.write_all(&len.to_be_bytes())?;
            output.write_all(&chunk)
        })?;
        self.chunk = chunk;
        self.chunk.clear();
        Ok(())
    }
}

impl<W: Write> Output for Packer<W> {
    fn begin(&mut self, name: &str) -> io::Result<()> {
        let len = u8::try_from(name.len()).map_err(io::Error::other)?;
        self.whole(At::Part, |output| {
            output.write_all(&[len])?;
            output.write_all(name.as_bytes())
        })
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (some, rest) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(some);
            bytes = rest;
            if self.chunk.len() == CHUNK {
                self.flush_chunk()?;
            }
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.flush_chunk()?;
        self.whole(At::Between, |output| output.write_all(&0_u32.to_be_bytes()))
    }
}

/// Takes the stream apart as it comes in.
pub struct Unpacker<O> {
    output: O,
    state: State,
    /// The beginning of what is read whole: magic, name, length.
    held: Vec<u8>,
    name: String,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Magic,
    NameLen,
    Name(usize),
    ChunkLen,
    Chunk(usize),
    Done,
    WhyLen,
    Why(usize),
}

impl<O: Output> Unpacker<O> {
    /// Puts the parts into `output`.
    pub fn new(output: O) -> Self {
        Self { output, state: State::Magic, held: Vec::new(), name: String::new() }
    }

    /// Takes in the next bytes.
    ///
    /// # Errors
    /// What the output returns; [`io::ErrorKind::InvalidData`] where it is no backup.
    pub fn feed(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wanted = match self.state {
                State::Magic => MAGIC.len(),
                State::NameLen => 1,
                State::Name(len) => len,
                State::ChunkLen => 4,
                State::WhyLen => 2,
                State::Why(len) => len,
                State::Chunk(left) => {
                    let (some, rest) = bytes.split_at(bytes.len().min(left));
                    self.output.write(some)?;
                    bytes = rest;
                    self.state = if some.len() == left { State::ChunkLen } else { State::Chunk(left - some.len()) };
                    continue;
                }
                State::Done => return Err(invalid("something follows the manifest")),
            };
            let (some, rest) = bytes.split_at(bytes.len().min(wanted - self.held.len()));
            self.held.extend_from_slice(some);
            bytes = rest;
            if self.held.len() == wanted {
                let held = std::mem::take(&mut self.held);
                self.step(&held)?;
            }
        }
        Ok(())
    }

    /// What the parts were put into, if the stream came to its end.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where it did not.
    pub fn finish(self) -> io::Result<O> {
        match self.state {
            State::Done => Ok(self.output),
            State::Magic
            | State::NameLen
            | State::Name(_)
            | State::ChunkLen
            | State::Chunk(_)
            | State::WhyLen
            | State::Why(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the backup was cut off")),
        }
    }

    /// What the parts were put into so far.
    pub fn into_output(self) -> O {
        self.output
    }

    fn step(&mut self, held: &[u8]) -> io::Result<()> {
        self.state = match self.state {
            State::Magic if held == MAGIC => State::NameLen,
            State::Magic => return Err(invalid("not a backup of a format that this release knows")),
            State::NameLen => match held {
                [len @ 1..=MAX_NAME] => State::Name(usize::from(*len)),
                [GIVEN_UP_NAME] => State::WhyLen,
                _ => return Err(invalid("a part without a name")),
            },
            State::Name(_) => {
                self.name = part_name(held).ok_or_else(|| invalid("a part of another name"))?;
                self.output.begin(&self.name)?;
                State::ChunkLen
            }
            State::ChunkLen => match held.try_into().map(u32::from_be_bytes) {
                Ok(0) => {
                    self.output.end()?;
                    if self.name == MANIFEST { State::Done } else { State::NameLen }
                }
                Ok(GIVEN_UP_CHUNK) => State::WhyLen,
                Ok(len) => State::Chunk(usize::try_from(len).map_err(io::Error::other)?),
                Err(_) => return Err(invalid("a chunk without a length")),
            },
            State::WhyLen => match held.try_into().map(u16::from_be_bytes) {
                Ok(len @ 1..=MAX_WHY) => State::Why(usize::from(len)),
                Ok(_) | Err(_) => return Err(invalid("it was given up, and nothing says why")),
            },
            State::Why(_) => return Err(io::Error::other(Why(String::from_utf8_lossy(held).into_owned()))),
            State::Chunk(_) | State::Done => self.state,
        };
        Ok(())
    }
}

/// Passes parts on, and holds them against their manifest when they are all there.
pub struct Checked<O> {
    output: O,
    name: String,
    digest: Sha256,
    len: u64,
    parts: Vec<(String, u64, [u8; 32])>,
    manifest: Vec<u8>,
}

impl<O: Output> Checked<O> {
    /// Passes them on to `output`.
    pub fn new(output: O) -> Self {
        Self { output, name: String::new(), digest: Sha256::new(), len: 0, parts: Vec::new(), manifest: Vec::new() }
    }

    /// What they were passed on to, and the manifest, if every part is there as it says.
    ///
    /// # Errors
    /// [`BackupError::Damaged`].
    pub fn finish(self) -> Result<(O, Manifest), BackupError> {
        let manifest = Manifest::read(&self.manifest)?;
        for info in &manifest.parts {
            let found = self.parts.iter().find(|(name, _, _)| *name == info.part.file());
            match found {
                Some((_, len, digest)) if (*len, *digest) == (info.len, info.digest) => {}
                Some(_) => return Err(BackupError::damaged(info.part.name(), "is not what the manifest says")),
                None => return Err(BackupError::damaged(info.part.name(), "is missing")),
            }
        }
        Ok((self.output, manifest))
    }
}

impl<O: Output> Output for Checked<O> {
    fn begin(&mut self, name: &str) -> io::Result<()> {
        name.clone_into(&mut self.name);
        (self.digest, self.len) = (Sha256::new(), 0);
        self.output.begin(name)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.name == MANIFEST {
            self.manifest.extend_from_slice(bytes);
            if !u64::try_from(self.manifest.len()).is_ok_and(|len| len <= MAX_MANIFEST) {
                return Err(invalid("the manifest is too long"));
            }
        }
        self.digest.update(bytes);
        self.len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.output.write(bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        let digest = std::mem::take(&mut self.digest).finish();
        self.parts.push((std::mem::take(&mut self.name), self.len, digest));
        self.output.end()
    }
}

/// A part's name, as a file may be named: nothing in it leads elsewhere.
pub(crate) fn part_name(bytes: &[u8]) -> Option<String> {
    let plain = bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'-' | b'.')) && !bytes.starts_with(b".");
    std::str::from_utf8(bytes).ok().filter(|_| plain).map(str::to_owned)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

pub(crate) const MAGIC: &[u8; 14] = b"coffer-backup\x01";
pub(crate) const MAX_NAME: u8 = 32;
/// In the place of a length of a name or a chunk, neither of which can be so long.
const GIVEN_UP_NAME: u8 = u8::MAX;
const GIVEN_UP_CHUNK: u32 = u32::MAX;
/// Bytes of a text that says why.
const MAX_WHY: u16 = 1024;
/// Bytes of a chunk, all but the last of a part.
const CHUNK: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collected(Vec<(String, Vec<u8>)>);

    impl Output for Collected {
        fn begin(&mut self, name: &str) -> io::Result<()> {
            self.0.push((name.to_owned(), Vec::new()));
            Ok(())
        }

        fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.last_mut().unwrap().1.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn packed() -> Vec<u8> {
        let mut packer = Packer::new(Vec::new()).unwrap();
        for (name, len) in [("store.age", CHUNK + 5), ("log.age", 0), (MANIFEST, 9)] {
            packer.begin(name).unwrap();
            packer.write(&vec![7; len]).unwrap();
            packer.end().unwrap();
        }
        packer.finish().unwrap()
    }

    #[test]
    fn stream_comes_apart_however_it_is_cut_into_pieces() {
        let packed = packed();
        for piece in [1, 3, 1000, packed.len()] {
            let mut unpacker = Unpacker::new(Collected::default());
            packed.chunks(piece).for_each(|piece| unpacker.feed(piece).unwrap());
            let parts = unpacker.finish().unwrap().0;
            let sizes: Vec<_> = parts.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).collect();
            assert_eq!(sizes, [("store.age", CHUNK + 5), ("log.age", 0), (MANIFEST, 9)]);
        }
    }

    #[test]
    fn stream_that_is_cut_off_or_goes_on_is_refused() {
        let packed = packed();
        for at in (0..60).chain(packed.len() - 60..packed.len()) {
            let mut unpacker = Unpacker::new(Collected::default());
            unpacker.feed(&packed[..at]).unwrap();
            assert_eq!(unpacker.finish().err().unwrap().kind(), io::ErrorKind::UnexpectedEof, "{at}");
        }
        let mut unpacker = Unpacker::new(Collected::default());
        assert!(unpacker.feed(&[packed.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn stream_that_is_given_up_says_why_wherever_it_stands() {
        let why = format!("the disk is full {}", "é".repeat(1000));
        for written in 0..4 {
            let mut packer = Packer::new(Vec::new()).unwrap();
            if written > 0 {
                packer.begin("store.age").unwrap();
                packer.write(&vec![7; if written > 1 { CHUNK + 5 } else { 0 }]).unwrap();
            }
            if written > 2 {
                packer.end().unwrap();
            }
            let stream = packer.give_up(&why).unwrap();
            for piece in [1, stream.len()] {
                let mut unpacker = Unpacker::new(Collected::default());
                let error = stream.chunks(piece).find_map(|piece| unpacker.feed(piece).err()).unwrap();
                let told = error.get_ref().and_then(|error| error.downcast_ref::<Why>()).unwrap();
                assert!(why.starts_with(&told.0) && told.0.len() > 1000, "{written}: {told}");
            }
            let mut unpacker = Unpacker::new(Collected::default());
            unpacker.feed(&stream[..stream.len() - 1]).unwrap();
            assert!(unpacker.finish().is_err(), "{written}");
        }
    }

    #[test]
    fn stream_that_broke_in_the_middle_of_a_chunk_says_nothing_more() {
        /// Takes so many bytes.
        struct Narrow(usize);
        impl Write for Narrow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let some = bytes.len().min(self.0);
                self.0 -= some;
                if some == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(some) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut packer = Packer::new(Narrow(100)).unwrap();
        packer.begin("store.age").unwrap();
        assert!(packer.write(&vec![7; CHUNK]).is_err());
        assert!(packer.give_up("why").is_err());
    }

    #[test]
    fn name_that_leads_elsewhere_is_refused() {
        for name in [&b"../x"[..], b"..", b".x", b"/x", b"a/b", b"A", b"\xff"] {
            let len = u8::try_from(name.len()).unwrap();
            let mut unpacker = Unpacker::new(Collected::default());
            assert!(unpacker.feed(&[MAGIC.as_slice(), &[len], name].concat()).is_err());
        }
    }
}
