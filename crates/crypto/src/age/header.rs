//! The header of an age file: the file key, wrapped for whoever may open it, under a MAC of its own.

use std::io::{BufRead, Read};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::{Error, Identity, KEY_LEN, Opener, Sealer, agree, ephemeral};
use crate::{hash::HmacKey, kdf, rng};

/// What the payload's key is derived from.
pub(super) type FileKey = Zeroizing<[u8; FILE_KEY_LEN]>;

/// A header around a fresh file key.
pub(super) fn write(to: Sealer<'_>) -> Result<(Vec<u8>, FileKey), Error> {
    let file_key = Zeroizing::new(rng::bytes::<FILE_KEY_LEN>()?);
    let (kind, arguments, wrapped) = match to {
        Sealer::Passphrase(passphrase) => {
            let salt = rng::bytes::<SALT_LEN>()?;
            let key = stretched(passphrase, &salt, WORK)?;
            ("scrypt", format!("{} {WORK}", STANDARD_NO_PAD.encode(salt)), wrap(&key, &file_key)?)
        }
        Sealer::Recipient(recipient) => {
            let (private, public) = ephemeral()?;
            let key = agree(&private, &recipient.0, |shared| x25519_key(shared, &public, &recipient.0))?;
            ("X25519", STANDARD_NO_PAD.encode(public), wrap(&key, &file_key)?)
        }
    };
    let mut text = format!("{VERSION}\n-> {kind} {arguments}\n{}\n---", STANDARD_NO_PAD.encode(wrapped));
    let mac = mac(&file_key, text.as_bytes())?;
    text.push(' ');
    text.push_str(&STANDARD_NO_PAD.encode(mac));
    text.push('\n');
    Ok((text.into_bytes(), file_key))
}

/// Reads a header as far as the payload, and unwraps the file key.
pub(super) fn read(input: &mut impl BufRead, opener: Opener<'_>) -> Result<FileKey, Error> {
    let mut lines = Lines { input: input.take(MAX_HEADER), read: Vec::new() };
    if lines.next()? != VERSION {
        return Err(Error::Format("another version, or none"));
    }
    let mut stanzas = Vec::new();
    let tag = loop {
        let line = lines.next()?;
        if let Some(tag) = line.strip_prefix("--- ") {
            break decode(tag)?;
        }
        let arguments = line.strip_prefix("-> ").ok_or(Error::Format("a line that belongs to no stanza"))?;
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let visible = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !arguments.iter().all(visible) {
            return Err(Error::Format("a stanza's arguments"));
        }
        stanzas.push(Stanza { arguments, body: lines.body()? });
    };
    // What the MAC covers ends behind the three dashes.
    let covered = lines.read.len().checked_sub(lines.last_len() - "---".len()).and_then(|end| lines.read.get(..end));
    let covered = covered.ok_or(Error::Format("its last line"))?;
    let file_key = unwrap(&stanzas, opener)?.ok_or(Error::NoMatch)?;
    HmacKey::from_bytes(mac_key(&file_key)?.as_slice()).verify(&[covered], &tag).map_err(|_| Error::Authentication)?;
    Ok(file_key)
}

struct Stanza {
    arguments: Vec<String>,
    body: Vec<u8>,
}

/// The lines of a header, kept as they were for the MAC.
struct Lines<R> {
    input: std::io::Take<R>,
    read: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<String, Error> {
        let from = self.read.len();
        self.input.read_until(b'\n', &mut self.read).map_err(Error::Read)?;
        let line = self.read.get(from..).and_then(|line| line.strip_suffix(b"\n"));
        let line = line.ok_or(Error::Format("its header is cut off, or too long"))?;
        Ok(std::str::from_utf8(line).map_err(|_| Error::Format("a header that is no text"))?.to_owned())
    }

    /// The body of a stanza: lines of 64 characters of base64, and one that is shorter.
    fn body(&mut self) -> Result<Vec<u8>, Error> {
        let mut text = String::new();
        loop {
            let line = self.next()?;
            if line.len() > BODY_COLUMNS {
                return Err(Error::Format("a stanza's body"));
            }
            text.push_str(&line);
            if line.len() < BODY_COLUMNS {
                return decode(&text);
            }
        }
    }

    /// The length of the last line read, with its newline.
    fn last_len(&self) -> usize {
        let lines = self.read.strip_suffix(b"\n").unwrap_or_default();
        self.read.len() - lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
    }
}

/// The file key out of the first stanza that opens.
fn unwrap(stanzas: &[Stanza], opener: Opener<'_>) -> Result<Option<FileKey>, Error> {
    let kind = |stanza: &Stanza| stanza.arguments.first().cloned().unwrap_or_default();
    // A passphrase stands alone, or somebody who knows it could have been given another's file.
    if stanzas.len() > 1 && stanzas.iter().any(|stanza| kind(stanza) == "scrypt") {
        return Err(Error::Format("a passphrase beside other recipients"));
    }
    for stanza in stanzas {
        let opened = match (kind(stanza).as_str(), opener) {
            ("X25519", Opener::Identities(identities)) => {
                let [_, share] = stanza.arguments.as_slice() else { return Err(Error::Format("an X25519 stanza")) };
                let share: [u8; KEY_LEN] =
                    decode(share)?.try_into().map_err(|_| Error::Format("an X25519 stanza's share"))?;
                unwrap_x25519(identities, &share, &stanza.body)?
            }
            ("scrypt", Opener::Passphrase(passphrase)) => {
                let [_, salt, work] = stanza.arguments.as_slice() else { return Err(Error::Format("a scrypt stanza")) };
                let salt = decode(salt)?;
                let plain = !work.starts_with('0') && work.bytes().all(|byte| byte.is_ascii_digit());
                let work = work.parse::<u8>().ok().filter(|work| plain && salt.len() == SALT_LEN && *work > 0);
                let work = work.ok_or(Error::Format("a scrypt stanza's arguments"))?;
                if work > MAX_WORK {
                    return Err(Error::Format("a passphrase that asks for more than 2^20 rounds of work"));
                }
                open(&stretched(passphrase, &salt, work)?, &stanza.body)?
            }
            (_, Opener::Identities(_) | Opener::Passphrase(_)) => None,
        };
        if opened.is_some() {
            return Ok(opened);
        }
    }
    Ok(None)
}

fn unwrap_x25519(identities: &[Identity], share: &[u8; KEY_LEN], body: &[u8]) -> Result<Option<FileKey>, Error> {
    for identity in identities {
        let own = identity.recipient()?;
        let key = agree(&identity.private()?, share, |shared| x25519_key(shared, share, &own.0))?;
        if let Some(file_key) = open(&key, body)? {
            return Ok(Some(file_key));
        }
    }
    Ok(None)
}

fn x25519_key(shared: &[u8], share: &[u8], recipient: &[u8]) -> Result<WrapKey, Error> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    kdf::fill(shared, &[share, recipient].concat(), &[b"age-encryption.org/v1/X25519"], key.as_mut_slice())?;
    Ok(key)
}

fn stretched(passphrase: &str, salt: &[u8], work: u8) -> Result<WrapKey, Error> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    let salt = [b"age-encryption.org/v1/scrypt".as_slice(), salt].concat();
    super::scrypt::stretch(passphrase.as_bytes(), &salt, work, &mut key)?;
    Ok(key)
}

fn wrap(key: &WrapKey, file_key: &FileKey) -> Result<Vec<u8>, Error> {
    let mut out = file_key.to_vec();
    let tag = cipher(key)?.seal_in_place_separate_tag(zero_nonce(), Aad::empty(), &mut out);
    out.extend_from_slice(tag.map_err(|_| crate::Error::Parameters("a file key"))?.as_ref());
    Ok(out)
}

fn open(key: &WrapKey, body: &[u8]) -> Result<Option<FileKey>, Error> {
    // Compared before it is opened: a longer body could be made to open under several keys.
    if body.len() != FILE_KEY_LEN + TAG_LEN {
        return Err(Error::Format("a wrapped key of another length"));
    }
    let mut body = Zeroizing::new(body.to_vec());
    let opened = cipher(key)?.open_in_place(zero_nonce(), Aad::empty(), body.as_mut_slice());
    Ok(opened.ok().and_then(|opened| <[u8; FILE_KEY_LEN]>::try_from(&*opened).ok()).map(Zeroizing::new))
}

/// The key seals one file key and nothing else.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn cipher(key: &WrapKey) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice());
    Ok(LessSafeKey::new(key.map_err(|_| crate::Error::Parameters("a wrapping key"))?))
}

fn mac(file_key: &FileKey, text: &[u8]) -> Result<[u8; 32], Error> {
    Ok(HmacKey::from_bytes(mac_key(file_key)?.as_slice()).mac(&[text]))
}

fn mac_key(file_key: &FileKey) -> Result<WrapKey, Error> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    kdf::fill(file_key.as_slice(), &[], &[b"header"], key.as_mut_slice())?;
    Ok(key)
}

fn decode(text: &str) -> Result<Vec<u8>, Error> {
    // Bits that are left over must be zero, as the engine has it: one spelling for the same bytes.
    STANDARD_NO_PAD.decode(text).map_err(|_| Error::Format("base64 that is none"))
}

type WrapKey = Zeroizing<[u8; KEY_LEN]>;

const VERSION: &str = "age-encryption.org/v1";
const FILE_KEY_LEN: usize = 16;
const SALT_LEN: usize = 16;
const TAG_LEN: usize = 16;
const BODY_COLUMNS: usize = 64;
const MAX_HEADER: u64 = 64 << 10;
/// The work of a passphrase, as a power of two: that of `age`, about a second.
const WORK: u8 = 18;
/// The most work that a file may ask for: about 1 GiB of memory.
const MAX_WORK: u8 = 20;
