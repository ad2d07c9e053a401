//! Summaries of bundles: which terms and times may be found in one, in a record of fixed size.
//!
//! A record has 1024 bytes, numbers big-endian: number of the bundle u64, root over its leaves, earliest and latest
//! time u64, number of entries that were summarised u32, a Bloom filter of 960 bytes over their terms, and the CRC-32C
//! of all before it.

use super::merkle::Hash;

/// What of one entry is searched for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Summary {
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
    /// Hashes of its terms, such as the actor and the path. What a hash stands for is the caller's choice.
    pub terms: Vec<u64>,
}

/// A range of times, each end of which may be open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TimeRange {
    /// The earliest time, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// The first time that is too late.
    pub until_ms: Option<u64>,
}

/// The summary of one bundle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BundleSummary {
    bundle: u64,
    root: Hash,
    earliest: u64,
    latest: u64,
    count: u32,
    filter: Box<[u8; FILTER]>,
}

impl BundleSummary {
    /// The summary of a bundle whose entries are summed up by [`BundleSummary::add`].
    pub(crate) fn new(bundle: u64, root: Hash) -> Self {
        Self { bundle, root, earliest: u64::MAX, latest: 0, count: 0, filter: Box::new([0; FILTER]) }
    }

    pub(crate) fn add(&mut self, entry: &Summary) {
        self.earliest = self.earliest.min(entry.time_ms);
        self.latest = self.latest.max(entry.time_ms);
        self.count += 1;
        for term in &entry.terms {
            for (byte, bit) in places(*term) {
                if let Some(byte) = self.filter.get_mut(byte) {
                    *byte |= bit;
                }
            }
        }
    }

    /// Whether an entry with all these terms, one of those (if there are any) and a time in the range may be in the
    /// bundle.
    pub(crate) fn may_have(&self, terms: &[u64], any_of: &[u64], times: &TimeRange) -> bool {
        let set =
            |term: &u64| places(*term).all(|(byte, bit)| self.filter.get(byte).is_some_and(|byte| byte & bit != 0));
        self.count > 0
            && times.from_ms.is_none_or(|from| self.latest >= from)
            && times.until_ms.is_none_or(|until| self.earliest < until)
            && terms.iter().all(set)
            && (any_of.is_empty() || any_of.iter().any(set))
    }

    pub(crate) fn root(&self) -> &Hash {
        &self.root
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORD);
        bytes.extend_from_slice(&self.bundle.to_be_bytes());
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&self.earliest.to_be_bytes());
        bytes.extend_from_slice(&self.latest.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(self.filter.as_slice());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// The record of a bundle, unless it is damaged or that of another bundle.
    pub(crate) fn decode(bytes: &[u8], bundle: u64) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*crc) != crc32c::crc32c(body) {
            return None;
        }
        let (number, rest) = body.split_first_chunk::<8>()?;
        let (root, rest) = rest.split_first_chunk::<32>()?;
        let (earliest, rest) = rest.split_first_chunk::<8>()?;
        let (latest, rest) = rest.split_first_chunk::<8>()?;
        let (count, filter) = rest.split_first_chunk::<4>()?;
        let summary = Self {
            bundle: u64::from_be_bytes(*number),
            root: *root,
            earliest: u64::from_be_bytes(*earliest),
            latest: u64::from_be_bytes(*latest),
            count: u32::from_be_bytes(*count),
            filter: Box::new(filter.try_into().ok()?),
        };
        (summary.bundle == bundle).then_some(summary)
    }
}

/// The bits of the filter that a term sets: byte and mask.
fn places(term: u64) -> impl Iterator<Item = (usize, u8)> {
    // Terms may be poor hashes; mixed, their bits are independent (the finaliser of splitmix64).
    let mut z = term.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let (start, step) = (z >> 32, z & 0xffff_ffff | 1);
    (0..HASHES).map(move |i| {
        let bit = start.wrapping_add(step.wrapping_mul(i)) % FILTER_BITS;
        let byte = usize::try_from(bit / 8).expect("smaller than the filter");
        (byte, 1 << (bit % 8))
    })
}

/// The length of a record.
pub(crate) const RECORD: usize = 1024;
const FILTER: usize = RECORD - 8 - 32 - 8 - 8 - 4 - 4;
const FILTER_BITS: u64 = 960 * 8;
const _: () = assert!(FILTER == 960);
/// With 600 different terms in a bundle, one search in 400 opens it in vain; with 1500, one in ten.
const HASHES: u64 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn summary_never_denies_what_is_there_and_is_read_back(
            entries in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u64>(), 0..6)), 0..256),
        ) {
            let mut summary = BundleSummary::new(7, [3; 32]);
            for (time_ms, terms) in &entries {
                summary.add(&Summary { time_ms: *time_ms, terms: terms.clone() });
            }
            let read = BundleSummary::decode(&summary.encode(), 7).unwrap();
            prop_assert_eq!(&read, &summary);
            prop_assert_eq!(BundleSummary::decode(&summary.encode(), 8), None);
            for (time, terms) in &entries {
                let exact = TimeRange { from_ms: Some(*time), until_ms: time.checked_add(1) };
                prop_assert!(read.may_have(terms, &[], &exact));
            }
        }

        #[test]
        fn record_with_one_changed_bit_is_refused(at in 0..RECORD, bit in 0..8_u8) {
            let mut bytes = BundleSummary::new(7, [3; 32]).encode();
            prop_assert_eq!(bytes.len(), RECORD);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(BundleSummary::decode(&bytes, 7), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = BundleSummary::decode(&bytes, 0);
        }
    }

    #[test]
    fn summary_denies_most_of_what_is_not_there() {
        let mut summary = BundleSummary::new(0, [0; 32]);
        for entry in 0..256_u64 {
            summary.add(&Summary { time_ms: 1000 + entry, terms: vec![entry, entry + 1000, 77] });
        }
        let all = TimeRange::default();
        let wrong = (10_000..20_000).filter(|term| summary.may_have(&[*term], &[], &all)).count();
        assert!(wrong < 100, "{wrong} of 10000");
        assert!(!summary.may_have(&[5], &[], &TimeRange { from_ms: Some(1256), until_ms: None }));
        assert!(!summary.may_have(&[5], &[], &TimeRange { from_ms: None, until_ms: Some(1000) }));
        assert!(!BundleSummary::new(0, [0; 32]).may_have(&[], &[], &all));
    }
}
