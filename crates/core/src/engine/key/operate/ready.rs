//! Keys made ahead. A new RSA key takes from a tenth of a second to some seconds, so of each size that is in use one or two
//! lie ready, in locked memory, until the node is sealed.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, Ordering},
};

use coffer_crypto::keys::{Algorithm, KeyMaterial};
use parking_lot::Mutex;

use crate::{Error, active::Active};

/// RSA keys that nobody has yet.
#[derive(Default)]
pub(crate) struct ReadyKeys {
    rsa_2048: Shelf,
    rsa_3072: Shelf,
    rsa_4096: Shelf,
}

#[derive(Default)]
struct Shelf {
    keys: Mutex<Vec<KeyMaterial>>,
    /// One thread fills a shelf at a time.
    filling: AtomicBool,
}

impl ReadyKeys {
    fn shelf(&self, algorithm: Algorithm) -> Option<(&Shelf, usize)> {
        match algorithm {
            Algorithm::Rsa2048 => Some((&self.rsa_2048, 2)),
            Algorithm::Rsa3072 => Some((&self.rsa_3072, 1)),
            Algorithm::Rsa4096 => Some((&self.rsa_4096, 1)),
            Algorithm::Aes128Gcm
            | Algorithm::Aes256Gcm
            | Algorithm::ChaCha20Poly1305
            | Algorithm::EcdsaP256
            | Algorithm::EcdsaP384
            | Algorithm::EcdsaP521
            | Algorithm::Ed25519
            | Algorithm::Hmac
            | Algorithm::HmacSha256
            | Algorithm::HmacSha384
            | Algorithm::HmacSha512
            | Algorithm::MlDsa44
            | Algorithm::MlDsa65
            | Algorithm::MlDsa87
            | Algorithm::MlKem512
            | Algorithm::MlKem768
            | Algorithm::MlKem1024
            | Algorithm::XChaCha20Poly1305
            | Algorithm::XWing
            | Algorithm::Xaes256Gcm => None,
        }
    }
}

impl Active {
    /// A new key: one that lies ready, or one made now, off the runtime's threads where that takes its time.
    ///
    /// # Errors
    /// Where the library cannot make one.
    pub(crate) async fn ready_material(self: &Arc<Self>, algorithm: Algorithm) -> Result<KeyMaterial, Error> {
        let Some((shelf, _)) = self.ready.shelf(algorithm) else { return Ok(KeyMaterial::generate(algorithm)?) };
        let ready = shelf.keys.lock().pop();
        let material = match ready {
            Some(material) => material,
            None => tokio::task::spawn_blocking(move || KeyMaterial::generate(algorithm))
                .await
                .map_err(Error::internal)??,
        };
        self.refill(algorithm);
        Ok(material)
    }

    /// Fills a shelf in the background. A thread of its own, so that nobody who stops waits for primes.
    fn refill(self: &Arc<Self>, algorithm: Algorithm) {
        let Some((shelf, _)) = self.ready.shelf(algorithm) else { return };
        if shelf.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let active = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("ready-keys".to_owned());
        if let Err(error) = thread.spawn(move || fill(&active, algorithm)) {
            shelf.filling.store(false, Ordering::Release);
            tracing::warn!(cause = %error, "no thread to make RSA keys ahead; they are made when they are asked for");
        }
    }
}

/// Makes keys until the shelf is full or the node is sealed.
fn fill(active: &Weak<Active>, algorithm: Algorithm) {
    loop {
        let wanted = |active: &Active| {
            let (shelf, most) = active.ready.shelf(algorithm)?;
            if shelf.keys.lock().len() < most && !*active.stop.borrow() {
                return Some(());
            }
            shelf.filling.store(false, Ordering::Release);
            None
        };
        // Not held while the primes are sought: sealing drops it.
        if active.upgrade().and_then(|active| wanted(&active)).is_none() {
            return;
        }
        let made = KeyMaterial::generate(algorithm);
        let Some(active) = active.upgrade() else { return };
        let Some((shelf, _)) = active.ready.shelf(algorithm) else { return };
        match made {
            Ok(material) => shelf.keys.lock().push(material),
            Err(error) => {
                shelf.filling.store(false, Ordering::Release);
                tracing::warn!(cause = %error, "an RSA key could not be made ahead");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::tests::{caller, dev};

    fn lying_ready(active: &Active, algorithm: Algorithm) -> usize {
        active.ready.shelf(algorithm).map_or(0, |(shelf, _)| shelf.keys.lock().len())
    }

    #[tokio::test]
    async fn rsa_keys_lie_ready_once_one_was_asked_for_and_go_at_the_seal() {
        let core = dev().await;
        let root = caller(&core, "root").await;
        assert_eq!(lying_ready(&root.active, Algorithm::Rsa2048), 0, "nobody wants any");
        let first = root.active.ready_material(Algorithm::Rsa2048).await.unwrap();
        let patience = Instant::now() + Duration::from_secs(120);
        while lying_ready(&root.active, Algorithm::Rsa2048) < 2 {
            assert!(Instant::now() < patience, "no keys were made ahead");
            tokio::task::yield_now().await;
        }
        let second = root.active.ready_material(Algorithm::Rsa2048).await.unwrap();
        assert_ne!(first.encoded(), second.encoded());
        assert_eq!(lying_ready(&root.active, Algorithm::Rsa4096), 0);
        let active = Arc::downgrade(&root.active);
        drop(root);
        core.shutdown().await;
        while active.upgrade().is_some() {
            assert!(Instant::now() < patience, "what lay ready outlived the seal");
            tokio::task::yield_now().await;
        }
    }
}
