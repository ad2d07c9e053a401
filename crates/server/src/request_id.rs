//! Request ids: unique within the process and unlikely ever to meet again, without a system call for each.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// Makes ids. An id names a request in answers and logs; it is never a capability, so it may be predictable.
pub(crate) struct RequestIds {
    high: u64,
    low: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Seeds the sequence from the system's randomness.
    pub(crate) fn new() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        Self { high, low, next: AtomicU64::new(0) }
    }

    /// The next id, in the form of a version 4 UUID.
    pub(crate) fn next(&self) -> Uuid {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let high = mixed(self.high.wrapping_add(n));
        let low = mixed(self.low ^ n);
        uuid::Builder::from_u128(u128::from(high) << 64 | u128::from(low))
            .with_variant(uuid::Variant::RFC4122)
            .with_version(uuid::Version::Random)
            .into_uuid()
    }
}

/// The finaliser of SplitMix64, a bijection.
fn mixed(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_within_and_across_processes() {
        let (a, b) = (RequestIds::new(), RequestIds::new());
        let ids: HashSet<Uuid> = (0..10_000).flat_map(|_| [a.next(), b.next()]).collect();
        assert_eq!(ids.len(), 20_000);
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
    }
}
