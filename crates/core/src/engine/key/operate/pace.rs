//! Work by the batch. What is quick is done at once; what is slow waits for a turn and leaves the runtime's threads to others.

use coffer_crypto::keys::Algorithm;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use super::fault::KeyOperation;
use crate::{Error, active::Active};

/// Nanoseconds that a request may keep a thread of the runtime.
const AT_ONCE: u64 = 1_500_000;
/// Nanoseconds of one turn: then others come, and a caller that has gone away is noticed.
const TURN: u64 = 20_000_000;

impl Active {
    /// Does the work on each item, in their order. `cost` estimates nanoseconds.
    pub(super) async fn paced<'i, I, T>(
        &self,
        items: &'i [I],
        cost: impl Fn(&I) -> u64,
        mut work: impl FnMut(&'i I) -> T,
    ) -> Vec<T> {
        let mut done = Vec::with_capacity(items.len());
        let total = items.iter().fold(0_u64, |total, item| total.saturating_add(cost(item)));
        if total <= AT_ONCE {
            done.extend(items.iter().map(work));
            return done;
        }
        let mut rest = items;
        while !rest.is_empty() {
            let mut spent = 0_u64;
            // At least one, whatever it costs.
            let fits = rest.iter().take_while(|item| {
                let begins = spent < TURN;
                spent = spent.saturating_add(cost(item));
                begins
            });
            let (turn, after) = rest.split_at(fits.count().max(1));
            // The semaphore is never closed; were it, the work would be done without waiting.
            let _permit = self.loaded.turns.acquire().await;
            aside(|| done.extend(turn.iter().map(&mut work)));
            rest = after;
        }
        done
    }

    /// The same up to the first item that is refused.
    ///
    /// # Errors
    /// That item's.
    pub(super) async fn paced_while_sound<'i, I, T>(
        &self,
        items: &'i [I],
        cost: impl Fn(&I) -> u64,
        mut work: impl FnMut(&'i I) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut refused = None;
        let work = |item| match refused {
            Some(_) => None,
            None => work(item).map_err(|error| refused = Some(error)).ok(),
        };
        let done = self.paced(items, cost, work).await;
        match refused {
            Some(error) => Err(error),
            None => Ok(done.into_iter().flatten().collect()),
        }
    }

    /// Does one piece of work of so many nanoseconds.
    pub(super) async fn paced_once<T>(&self, cost: u64, work: impl FnOnce() -> T) -> T {
        if cost <= AT_ONCE {
            return work();
        }
        // As above.
        let _permit = self.loaded.turns.acquire().await;
        aside(work)
    }
}

/// What an operation on so many bytes costs, in nanoseconds, on the slower side.
pub(super) fn nanos(algorithm: Algorithm, operation: KeyOperation, bytes: usize) -> u64 {
    let (private, public) = match algorithm {
        Algorithm::Aes128Gcm
        | Algorithm::Aes256Gcm
        | Algorithm::ChaCha20Poly1305
        | Algorithm::Hmac
        | Algorithm::HmacSha256
        | Algorithm::HmacSha384
        | Algorithm::HmacSha512
        | Algorithm::XChaCha20Poly1305
        | Algorithm::Xaes256Gcm => (1_000, 1_000),
        Algorithm::EcdsaP256 | Algorithm::Ed25519 => (30_000, 80_000),
        Algorithm::EcdsaP384 => (200_000, 250_000),
        Algorithm::EcdsaP521 => (300_000, 350_000),
        Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => (500_000, 150_000),
        Algorithm::MlKem512 | Algorithm::MlKem768 | Algorithm::MlKem1024 => (50_000, 50_000),
        Algorithm::Rsa2048 => (700_000, 25_000),
        Algorithm::Rsa3072 => (2_000_000, 50_000),
        Algorithm::Rsa4096 => (4_500_000, 80_000),
        Algorithm::XWing => (150_000, 150_000),
    };
    let once = match operation {
        KeyOperation::Decapsulate | KeyOperation::Decrypt | KeyOperation::Sign => private,
        KeyOperation::Encapsulate | KeyOperation::Encrypt | KeyOperation::Mac | KeyOperation::Verify => public,
    };
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    // Ciphers take half a nanosecond a byte, hashes two to four.
    bytes.saturating_mul(2).saturating_add(once)
}

/// Runs work on this thread once the runtime has given its other tasks to another.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // A runtime of one thread has nobody to give them to.
        Ok(_) | Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        time::{Duration, Instant},
    };

    use super::*;
    use crate::tests::{caller, dev};

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn slow_work_keeps_its_order_and_leaves_the_runtime_to_others() {
        let core = dev().await;
        let root = caller(&core, "root").await;
        let beats = Arc::new(AtomicU64::new(0));
        let others = tokio::spawn({
            let beats = Arc::clone(&beats);
            async move {
                loop {
                    beats.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        let slow = tokio::spawn(async move {
            let items: Vec<u32> = (0..5).collect();
            let work = |item: &u32| {
                let (before, patience) = (beats.load(Ordering::Relaxed), Instant::now() + Duration::from_secs(20));
                while beats.load(Ordering::Relaxed) == before {
                    assert!(Instant::now() < patience, "no other task ran");
                    std::thread::yield_now();
                }
                *item
            };
            // Of several turns, the first of two items.
            root.active.paced(&items, |_| TURN / 2, work).await
        });
        assert_eq!(slow.await.unwrap(), [0, 1, 2, 3, 4]);
        others.abort();
        core.shutdown().await;
    }

    #[test]
    fn private_operations_of_large_rsa_keys_are_slow_and_small_batches_of_ciphers_are_not() {
        assert!(nanos(Algorithm::Rsa4096, KeyOperation::Sign, 0) > AT_ONCE);
        assert!(nanos(Algorithm::Rsa2048, KeyOperation::Sign, 64) < AT_ONCE, "one is done where it is asked for");
        assert!(nanos(Algorithm::Aes256Gcm, KeyOperation::Encrypt, 64) * 1000 < AT_ONCE);
        assert!(nanos(Algorithm::Aes256Gcm, KeyOperation::Encrypt, usize::MAX) > AT_ONCE);
    }
}
