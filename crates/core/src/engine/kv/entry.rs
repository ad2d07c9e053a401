//! The bytes of a KV entry: a fixed header that answers most questions about the current version, the metadata as
//! it is answered, and the data as it came. A read of the current version decodes nothing else.
//!
//! ```text
//! current:    0x01 | flags u8 | version u64 LE | deletion ms i64 LE | head length u32 LE | metadata length u32 LE | head | metadata | data
//! superseded: 0x01 | flags u8 | version u64 LE | data
//! ```
//! `head` is [`Head`] in postcard, `metadata` the five keys of the API as JSON, `data` JSON, or bytes sealed under an
//! object key where the flag says so.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Error, codec, generate::Recipe, time::rfc3339};

const FORMAT: u8 = 1;
const HAS_DATA: u8 = 1;
const DESTROYED: u8 = 2;
const SHREDDED: u8 = 4;
const KNOWN: u8 = HAS_DATA | DESTROYED | SHREDDED;
const HEADER: usize = 26;
const VERSION_HEADER: usize = 10;

/// Everything about a key but its values.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Head {
    pub(crate) current: u64,
    pub(crate) oldest: u64,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) max_versions: u64,
    pub(crate) cas_required: bool,
    pub(crate) delete_version_after_ms: i64,
    pub(crate) custom: Option<BTreeMap<String, String>>,
    pub(crate) metadata_version: u64,
    pub(crate) metadata_cas_required: bool,
    /// Later versions get an object key each.
    pub(crate) shred: bool,
    /// Ascending by number.
    pub(crate) versions: Vec<VersionMeta>,
    /// How the server made its value, to make the next one.
    pub(crate) recipe: Option<Recipe>,
}

/// One version.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct VersionMeta {
    pub(crate) number: u64,
    pub(crate) created_ms: i64,
    /// 0 = not deleted; above: the time at which its own lifetime deletes it; below: it was deleted by hand at the time
    /// without the sign, which no clock that is set back undoes.
    pub(crate) deletion_ms: i64,
    pub(crate) destroyed: bool,
    /// Where its data lies once superseded; reused when the version goes, so that a write changes two rows.
    pub(crate) slot: Option<u32>,
    /// The object key under which its data is sealed.
    pub(crate) object: Option<Uuid>,
}

/// A version's data as stored.
pub(crate) enum Data<'a> {
    /// Destroyed, or a key without versions.
    Nothing,
    /// JSON.
    Plain(&'a [u8]),
    /// JSON sealed under the object key.
    Shredded(&'a [u8]),
}

/// An opened entry with the places of its parts.
pub(crate) struct Opened {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    flags: u8,
    /// The current version's number.
    pub(crate) current: u64,
    deletion_ms: i64,
    head: Range<usize>,
    pub(crate) metadata: Range<usize>,
    pub(crate) data: Range<usize>,
}

impl Head {
    pub(crate) fn version(&self, number: u64) -> Option<&VersionMeta> {
        self.versions.binary_search_by_key(&number, |version| version.number).ok().and_then(|at| self.versions.get(at))
    }

    pub(crate) fn version_mut(&mut self, number: u64) -> Option<&mut VersionMeta> {
        let at = self.versions.binary_search_by_key(&number, |version| version.number).ok()?;
        self.versions.get_mut(at)
    }

    /// The lowest slot that no kept version occupies.
    pub(crate) fn free_slot(&self) -> u32 {
        let mut taken: Vec<u32> = self.versions.iter().filter_map(|version| version.slot).collect();
        taken.sort_unstable();
        let mut free = 0;
        for slot in taken {
            if slot == free {
                free += 1;
            }
        }
        free
    }

    /// The five metadata keys of a version, as the API answers them.
    pub(crate) fn metadata_json(&self, version: &VersionMeta) -> Vec<u8> {
        #[derive(Serialize)]
        struct Block<'a> {
            created_time: String,
            custom_metadata: &'a Option<BTreeMap<String, String>>,
            deletion_time: String,
            destroyed: bool,
            version: u64,
        }
        serde_json::to_vec(&Block {
            created_time: rfc3339(version.created_ms),
            custom_metadata: &self.custom,
            deletion_time: version.deletion_time().map(rfc3339).unwrap_or_default(),
            destroyed: version.destroyed,
            version: version.number,
        })
        .expect("strings, numbers and booleans always serialise")
    }
}

impl VersionMeta {
    /// Neither deleted by now nor destroyed.
    pub(crate) fn is_live(&self, now: i64) -> bool {
        !self.destroyed && is_kept(self.deletion_ms, now)
    }

    /// Deleted by now, destroyed or not.
    pub(crate) fn is_deleted(&self, now: i64) -> bool {
        !is_kept(self.deletion_ms, now)
    }

    /// Deletes it by hand.
    pub(crate) fn delete(&mut self, now: i64) {
        self.deletion_ms = -now.max(1);
    }

    /// When it was or will be deleted.
    pub(crate) fn deletion_time(&self) -> Option<i64> {
        (self.deletion_ms != 0).then(|| self.deletion_ms.saturating_abs())
    }
}

/// Whether a deletion, as [`VersionMeta`] holds it, has not come yet.
fn is_kept(deletion_ms: i64, now: i64) -> bool {
    deletion_ms == 0 || deletion_ms > now.max(0)
}

impl Opened {
    /// Finds the parts of an opened entry.
    pub(crate) fn parse(key: &str, bytes: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        match bytes.first() {
            Some(&FORMAT) => {}
            Some(format) => return Err(codec::unknown_format(key, *format, FORMAT)),
            None => return Err(codec::damaged(key, "empty")),
        }
        let parts = (|| {
            let flags = *bytes.get(1)?;
            let current = u64::from_le_bytes(*bytes.get(2..)?.first_chunk()?);
            let deletion_ms = i64::from_le_bytes(*bytes.get(10..)?.first_chunk()?);
            let head_len = usize::try_from(u32::from_le_bytes(*bytes.get(18..)?.first_chunk()?)).ok()?;
            let metadata_len = usize::try_from(u32::from_le_bytes(*bytes.get(22..)?.first_chunk()?)).ok()?;
            let head = HEADER..HEADER.checked_add(head_len)?;
            let metadata = head.end..head.end.checked_add(metadata_len)?;
            let data = metadata.end..bytes.len();
            let fits = metadata.end <= bytes.len() && flags & !KNOWN == 0;
            fits.then_some((flags, current, deletion_ms, head, metadata, data))
        })();
        let Some((flags, current, deletion_ms, head, metadata, data)) = parts else {
            return Err(codec::damaged(key, "its parts do not fit"));
        };
        Ok(Self { bytes, flags, current, deletion_ms, head, metadata, data })
    }

    /// Whether there is a current version with data that may be read now.
    pub(crate) fn is_live(&self, now: i64) -> bool {
        self.flags & HAS_DATA != 0 && is_kept(self.deletion_ms, now)
    }

    /// Whether there is any version at all.
    pub(crate) fn has_version(&self) -> bool {
        self.flags & (HAS_DATA | DESTROYED) != 0
    }

    pub(crate) fn is_shredded(&self) -> bool {
        self.flags & SHREDDED != 0
    }

    pub(crate) fn head(&self, key: &str) -> Result<Head, Error> {
        let bytes = self.bytes.get(self.head.clone()).unwrap_or_default();
        postcard::from_bytes(bytes).map_err(|error| codec::damaged(key, error))
    }

    /// The current version's data as stored.
    pub(crate) fn data(&self) -> Data<'_> {
        stored(self.flags, self.bytes.get(self.data.clone()).unwrap_or_default())
    }
}

/// The bytes of an entry.
pub(crate) fn current(head: &Head, data: &Data<'_>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let encoded = postcard::to_allocvec(head).map_err(Error::internal)?;
    let version = head.version(head.current);
    let metadata = version.map(|version| head.metadata_json(version)).unwrap_or_default();
    let destroyed = version.is_some_and(|version| version.destroyed);
    let (mut flags, data) = flags_and_bytes(data);
    if destroyed {
        flags |= DESTROYED;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEADER + encoded.len() + metadata.len() + data.len()));
    bytes.push(FORMAT);
    bytes.push(flags);
    bytes.extend_from_slice(&head.current.to_le_bytes());
    bytes.extend_from_slice(&version.map_or(0, |version| version.deletion_ms).to_le_bytes());
    for len in [encoded.len(), metadata.len()] {
        bytes.extend_from_slice(&u32::try_from(len).map_err(Error::internal)?.to_le_bytes());
    }
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(&metadata);
    bytes.extend_from_slice(data);
    Ok(bytes)
}

/// The bytes of a superseded version.
pub(crate) fn superseded(number: u64, data: &Data<'_>) -> Zeroizing<Vec<u8>> {
    let (flags, data) = flags_and_bytes(data);
    let mut bytes = Zeroizing::new(Vec::with_capacity(VERSION_HEADER + data.len()));
    bytes.extend_from_slice(&[FORMAT, flags]);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The data of a superseded version; its number is part of the entry, so that an older tenant of the slot does not
/// pass for it.
pub(crate) fn parse_superseded<'a>(key: &str, number: u64, bytes: &'a [u8]) -> Result<Data<'a>, Error> {
    match bytes {
        [FORMAT, flags, rest @ ..] if flags & !KNOWN == 0 => match rest.split_first_chunk::<8>() {
            Some((stored_number, data)) if u64::from_le_bytes(*stored_number) == number => Ok(stored(*flags, data)),
            Some(_) => Err(codec::damaged(key, format!("it does not hold version {number}"))),
            None => Err(codec::damaged(key, "truncated")),
        },
        [format, ..] if *format != FORMAT => Err(codec::unknown_format(key, *format, FORMAT)),
        _ => Err(codec::damaged(key, "its parts do not fit")),
    }
}

fn stored(flags: u8, data: &[u8]) -> Data<'_> {
    match (flags & HAS_DATA != 0, flags & SHREDDED != 0) {
        (false, _) => Data::Nothing,
        (true, false) => Data::Plain(data),
        (true, true) => Data::Shredded(data),
    }
}

fn flags_and_bytes<'a>(data: &Data<'a>) -> (u8, &'a [u8]) {
    match *data {
        Data::Nothing => (0, &[]),
        Data::Plain(data) => (HAS_DATA, data),
        Data::Shredded(data) => (HAS_DATA | SHREDDED, data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let version = |number, slot| VersionMeta { number, created_ms: 1, slot, ..VersionMeta::default() };
        Head {
            current: 3,
            versions: vec![version(1, Some(0)), version(2, Some(1)), version(3, None)],
            ..Head::default()
        }
    }

    #[test]
    fn entry_reads_back_and_truncation_is_noticed() {
        let bytes = current(&head(), &Data::Plain(b"{\"a\":1}")).unwrap();
        let opened = Opened::parse("k", bytes.clone()).unwrap();
        assert_eq!(opened.head("k").unwrap(), head());
        assert!(matches!(opened.data(), Data::Plain(b"{\"a\":1}")));
        let metadata = br#"{"created_time":"1970-01-01T00:00:00.001Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":3}"#;
        assert_eq!(&opened.bytes[opened.metadata.clone()], metadata);
        for len in 0..bytes.len() - 8 {
            assert!(Opened::parse("k", Zeroizing::new(bytes[..len].to_vec())).is_err(), "{len}");
        }
    }

    #[test]
    fn version_deleted_by_hand_stays_so_when_the_clock_goes_back_and_one_whose_life_ends_does_not() {
        let mut version = VersionMeta::default();
        assert!(version.is_live(i64::MAX) && version.deletion_time().is_none());
        version.delete(5000);
        for now in [i64::MIN, -6000, 0, 1, 4999, 5000, i64::MAX] {
            assert!(!version.is_live(now) && version.is_deleted(now), "{now}");
            let head = Head { current: 1, versions: vec![VersionMeta { number: 1, ..version }], ..Head::default() };
            let bytes = current(&head, &Data::Plain(b"{}")).unwrap();
            assert!(!Opened::parse("k", bytes).unwrap().is_live(now), "{now}");
        }
        assert_eq!(version.deletion_time(), Some(5000));
        version.deletion_ms = 5000;
        assert!(version.is_live(4999) && !version.is_live(5000));
        assert_eq!(version.deletion_time(), Some(5000));
    }

    #[test]
    fn older_tenant_of_slot_is_refused() {
        let bytes = superseded(2, &Data::Plain(b"{}"));
        assert!(matches!(parse_superseded("k", 2, &bytes), Ok(Data::Plain(b"{}"))));
        assert!(parse_superseded("k", 12, &bytes).is_err());
    }

    #[test]
    fn slots_are_reused_lowest_first() {
        let mut head = head();
        assert_eq!(head.free_slot(), 2);
        head.versions.remove(0);
        assert_eq!(head.free_slot(), 0);
    }
}
