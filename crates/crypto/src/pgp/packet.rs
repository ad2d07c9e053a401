//! Packets one after the other (RFC 9580 section 4.2), and the numbers in them.

use crate::Error;

pub(super) const PUBLIC_KEY_ENCRYPTED: u8 = 1;
pub(super) const SIGNATURE: u8 = 2;
pub(super) const SECRET_KEY: u8 = 5;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const SECRET_SUBKEY: u8 = 7;
pub(super) const MARKER: u8 = 10;
pub(super) const LITERAL: u8 = 11;
pub(super) const TRUST: u8 = 12;
pub(super) const USER_ID: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;
pub(super) const ENCRYPTED: u8 = 18;
/// The first of the tags that a reader may pass over where it does not know them.
pub(super) const FIRST_UNCRITICAL: u8 = 40;

/// Bytes read from the front, each no more than once.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| TRUNCATED)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Error> {
        self.array().map(|[byte]| byte)
    }

    /// A number of two bytes.
    pub(super) fn short(&mut self) -> Result<usize, Error> {
        self.array().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    /// A time, or a number of seconds.
    pub(super) fn seconds(&mut self) -> Result<u64, Error> {
        self.array().map(|bytes| u64::from(u32::from_be_bytes(bytes)))
    }

    fn long(&mut self) -> Result<usize, Error> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| TRUNCATED)
    }

    /// A number of any length, without leading zeros.
    pub(super) fn number(&mut self) -> Result<&'a [u8], Error> {
        let bits = self.short()?;
        self.take(bits.div_ceil(8)).map(crate::keys::der::significant)
    }

    /// The length of a new packet or of a subpacket. Of a packet it may say that only the next part has one.
    fn length(&mut self) -> Result<Length, Error> {
        Ok(match self.byte()? {
            first @ ..192 => Length::Whole(usize::from(first)),
            first @ 192..224 => Length::Whole((usize::from(first - 192) << 8) + usize::from(self.byte()?) + 192),
            255 => Length::Whole(self.long()?),
            first @ 224.. => Length::Part(first),
        })
    }

    /// A packet's tag and content, until there is none.
    pub(super) fn packet(&mut self) -> Result<Option<(u8, &'a [u8])>, Error> {
        let Some(first) = self.0.first().copied() else { return Ok(None) };
        if first & 0x80 == 0 {
            return Err(NO_PACKET);
        }
        self.byte()?;
        let (tag, len) = match first & 0x40 {
            0 => {
                let len = match first & 3 {
                    0 => usize::from(self.byte()?),
                    1 => self.short()?,
                    2 => self.long()?,
                    _ => return Err(PARTIAL),
                };
                (first >> 2 & 15, len)
            }
            _ => match self.length()? {
                Length::Whole(len) => (first & 63, len),
                Length::Part(_) => return Err(PARTIAL),
            },
        };
        Ok(Some((tag, self.take(len)?)))
    }

    /// The next subpacket of a signature, until there is none.
    pub(super) fn subpacket(&mut self) -> Result<Option<Subpacket<'a>>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let len = match self.length()? {
            Length::Whole(len) => len,
            // Of a subpacket these, too, are the first of two bytes.
            Length::Part(first) => (usize::from(first - 192) << 8) + usize::from(self.byte()?) + 192,
        };
        let mut content = Self(self.take(len)?);
        let kind = content.byte()?;
        Ok(Some(Subpacket { is_critical: kind & 0x80 != 0, kind: kind & 0x7f, content }))
    }
}

/// What a signature says, besides what it is over.
pub(super) struct Subpacket<'a> {
    /// Whether who does not know it must not take the signature.
    pub(super) is_critical: bool,
    pub(super) kind: u8,
    pub(super) content: Reader<'a>,
}

enum Length {
    Part(u8),
    Whole(usize),
}

const NO_PACKET: Error = Error::InvalidKey("these bytes are no OpenPGP key in its binary form");
const PARTIAL: Error = Error::InvalidKey("a packet of the key has no length");
const TRUNCATED: Error = Error::InvalidKey("the key is truncated");
