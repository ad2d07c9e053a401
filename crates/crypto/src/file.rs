//! Files of any size in constant memory: chunks that cannot be cut off, put in another order or taken from another file;
//! and what is signed for a file.
//!
//! Format 1: `"coffer-file" 0x01 | envelope length u32 | envelope | salt 32 | commitment 32 | chunks`, integers big-endian.
//! The envelope is the data key as whoever can open it wants it, and means nothing here. Salt, envelope and data key give
//! the chunks' key and the commitment by HKDF-SHA256. A chunk is 64 KiB of plaintext under AES-256-GCM, the last one
//! shorter or full, and empty in an empty file alone. Its nonce is its number (11 bytes) and whether it is the last (0 or
//! 1). docs/CRYPTO.md says why.

use std::io::{self, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::keys::Algorithm;
use crate::{Secret, kdf, rng};

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file was not sealed with this data key, or was edited, cut off or put together from parts.
    #[error("the file was damaged, or sealed with another key")]
    Authentication,
    /// A primitive failed: no memory, no random bytes, a data key of another length than 32 bytes.
    #[error(transparent)]
    Crypto(#[from] crate::Error),
    /// The file is none of this format.
    #[error("not an encrypted file of a format that this release knows")]
    Format,
    /// Reading failed.
    #[error("cannot read the file")]
    Read(#[source] io::Error),
    /// Writing failed.
    #[error("cannot write the file")]
    Write(#[source] io::Error),
}

/// Encrypts all of `input`, and gives the number of bytes read.
///
/// # Errors
/// [`Error::Format`] for an envelope of more than [`MAX_ENVELOPE_LEN`] bytes, [`Error::Crypto`], [`Error::Read`],
/// [`Error::Write`]; what was written by then is no valid file.
pub fn encrypt(
    data_key: &Secret,
    envelope: &[u8],
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<u64, Error> {
    let len = u32::try_from(envelope.len()).ok().filter(|_| envelope.len() <= MAX_ENVELOPE_LEN).ok_or(Error::Format)?;
    let salt: [u8; SALT_LEN] = rng::bytes()?;
    let keys = Keys::derive(data_key, envelope, &salt)?;
    for part in [MAGIC.as_slice(), &len.to_be_bytes(), envelope, &salt, keys.commitment.as_slice()] {
        output.write_all(part).map_err(Error::Write)?;
    }
    let mut chunks = Chunks::read(input, CHUNK_LEN)?;
    let mut total = 0;
    while let Some(chunk) = chunks.next(input)? {
        let (nonce, text) = (chunk.nonce(), chunk.bytes);
        total += u64::try_from(text.len()).unwrap_or(u64::MAX);
        let tag = keys.chunks.seal_in_place_separate_tag(nonce, Aad::empty(), &mut *text).map_err(|_| Error::Format)?;
        output.write_all(text).map_err(Error::Write)?;
        output.write_all(tag.as_ref()).map_err(Error::Write)?;
    }
    output.flush().map_err(Error::Write)?;
    Ok(total)
}

/// The beginning of an encrypted file, read; nothing of it is to be trusted before the file is decrypted whole.
pub struct Header {
    envelope: Vec<u8>,
    salt: [u8; SALT_LEN],
    commitment: [u8; COMMITMENT_LEN],
}

impl Header {
    /// Reads as far as the chunks.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Authentication`] where it ends or goes wrong after the format's name, [`Error::Read`].
    pub fn read(input: &mut impl Read) -> Result<Self, Error> {
        let mut magic = [0; MAGIC.len()];
        let mut len = [0; 4];
        if fill_up(input, &mut magic)? != magic.len() {
            return Err(Error::Format);
        }
        if magic != *MAGIC {
            return Err(Error::Format);
        }
        // It is one of ours, and what is amiss from here on was done to it.
        let mut rest = |part: &mut [u8]| match fill_up(input, part)? == part.len() {
            true => Ok(()),
            false => Err(Error::Authentication),
        };
        rest(&mut len)?;
        let len = usize::try_from(u32::from_be_bytes(len)).ok().filter(|len| *len <= MAX_ENVELOPE_LEN);
        let len = len.ok_or(Error::Authentication)?;
        let mut header = Self { envelope: vec![0; len], salt: [0; SALT_LEN], commitment: [0; COMMITMENT_LEN] };
        rest(&mut header.envelope)?;
        rest(&mut header.salt)?;
        rest(&mut header.commitment)?;
        Ok(header)
    }

    /// The data key, as [`encrypt`] was given it.
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// Decrypts the chunks that follow, and gives the number of bytes written. Each chunk is written once it is found to
    /// be whole and in its place; that the file ends where it ended is known only at the end, so what was written is to
    /// be thrown away after an error.
    ///
    /// # Errors
    /// [`Error::Authentication`], [`Error::Crypto`], [`Error::Read`], [`Error::Write`].
    pub fn decrypt(&self, data_key: &Secret, input: &mut impl Read, output: &mut impl Write) -> Result<u64, Error> {
        let keys = Keys::derive(data_key, &self.envelope, &self.salt)?;
        if !bool::from(keys.commitment.as_slice().ct_eq(&self.commitment)) {
            return Err(Error::Authentication);
        }
        let mut chunks = Chunks::read(input, CHUNK_LEN + TAG_LEN)?;
        let mut total = 0;
        while let Some(chunk) = chunks.next(input)? {
            let (is_first, nonce) = (chunk.number == 0, chunk.nonce());
            let text =
                keys.chunks.open_in_place(nonce, Aad::empty(), chunk.bytes).map_err(|_| Error::Authentication)?;
            if text.is_empty() && !is_first {
                return Err(Error::Authentication);
            }
            total += u64::try_from(text.len()).unwrap_or(u64::MAX);
            output.write_all(text).map_err(Error::Write)?;
        }
        output.flush().map_err(Error::Write)?;
        Ok(total)
    }
}

/// What is signed for a file: `"coffer-file-v1" 0x00 | algorithm's name | length u64 | SHA-512`.
///
/// # Errors
/// [`Error::Read`].
pub fn message_to_sign(algorithm: Algorithm, input: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut hash = digest::Context::new(&digest::SHA512);
    let mut buffer = Zeroizing::new(vec![0; CHUNK_LEN]);
    let mut total = 0_u64;
    loop {
        let read = fill_up(input, &mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else { break };
        hash.update(part);
        total += u64::try_from(read).unwrap_or(u64::MAX);
    }
    let hash = hash.finish();
    Ok([b"coffer-file-v1\0".as_slice(), algorithm.name().as_bytes(), &total.to_be_bytes(), hash.as_ref()].concat())
}

/// The longest envelope, in bytes.
pub const MAX_ENVELOPE_LEN: usize = 1 << 16;
/// The plaintext of a chunk, in bytes.
pub const CHUNK_LEN: usize = 1 << 16;

struct Keys {
    chunks: LessSafeKey,
    commitment: Zeroizing<[u8; COMMITMENT_LEN]>,
}

impl Keys {
    fn derive(data_key: &Secret, envelope: &[u8], salt: &[u8; SALT_LEN]) -> Result<Self, Error> {
        const WRONG: crate::Error = crate::Error::Parameters("a file's data key has 32 bytes");
        if data_key.len() != KEY_LEN {
            return Err(WRONG.into());
        }
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let mut commitment = Zeroizing::new([0; COMMITMENT_LEN]);
        kdf::fill(data_key.expose(), salt, &[b"coffer file 1 aes-256-gcm", envelope], key.as_mut_slice())?;
        kdf::fill(data_key.expose(), salt, &[b"coffer file 1 commitment", envelope], commitment.as_mut_slice())?;
        let chunks = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| WRONG)?;
        Ok(Self { chunks: LessSafeKey::new(chunks), commitment })
    }
}

/// Chunks of a length, read one ahead, so that the last is known as such.
struct Chunks {
    current: Zeroizing<Vec<u8>>,
    ahead: Zeroizing<Vec<u8>>,
    ahead_len: usize,
    next: Option<u64>,
}

struct Chunk<'a> {
    bytes: &'a mut [u8],
    number: u64,
    is_last: bool,
}

impl Chunk<'_> {
    fn nonce(&self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        let number = self.number.to_be_bytes().into_iter().chain([u8::from(self.is_last)]);
        nonce.iter_mut().skip(NONCE_LEN - 9).zip(number).for_each(|(byte, of_number)| *byte = of_number);
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Chunks {
    fn read(input: &mut impl Read, len: usize) -> Result<Self, Error> {
        let [current, mut ahead] = [(); 2].map(|()| Zeroizing::new(vec![0; len]));
        let ahead_len = fill_up(input, &mut ahead)?;
        Ok(Self { current, ahead, ahead_len, next: Some(0) })
    }

    fn next(&mut self, input: &mut impl Read) -> Result<Option<Chunk<'_>>, Error> {
        let Some(number) = self.next else { return Ok(None) };
        std::mem::swap(&mut self.current, &mut self.ahead);
        let len = self.ahead_len;
        self.ahead_len = if len == self.current.len() { fill_up(input, &mut self.ahead)? } else { 0 };
        let is_last = self.ahead_len == 0;
        self.next = if is_last { None } else { Some(number + 1) };
        let (bytes, _) = self.current.split_at_mut(len);
        Ok(Some(Chunk { bytes, number, is_last }))
    }
}

/// As much as there is, up to the length of the buffer.
fn fill_up(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut rest = buffer;
    let mut filled = 0;
    while !rest.is_empty() {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => {
                filled += read;
                rest = rest.split_at_mut(read).1;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Read(error)),
        }
    }
    Ok(filled)
}

const MAGIC: &[u8; 12] = b"coffer-file\x01";
const KEY_LEN: usize = 32;
const SALT_LEN: usize = 32;
const COMMITMENT_LEN: usize = 32;
const TAG_LEN: usize = 16;
