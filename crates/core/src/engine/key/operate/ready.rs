//! RSA keys: a new one takes from a tenth of a second to some seconds, so of each size that is in use one or two lie ready,
//! in locked memory, until the node is sealed. They are made by threads of the lowest priority, so few at once that
//! processors are left for everything else; so many wait for one at most, and beyond that they are refused.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use coffer_api::Code;
use coffer_crypto::keys::{Algorithm, KeyMaterial};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
};

use crate::{Error, active::Active};

/// Requests that wait for an RSA key at most, those included for which one is being made.
const MAX_WAITING: usize = 32;

/// RSA keys that nobody has yet, and how many wait for one.
pub(crate) struct ReadyKeys {
    rsa_2048: Shelf,
    rsa_3072: Shelf,
    rsa_4096: Shelf,
    /// Permits of those that seek primes.
    makers: Arc<Semaphore>,
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Shelf {
    keys: Mutex<Vec<KeyMaterial>>,
    /// Filled once at a time.
    filling: AtomicBool,
    /// Whether any was asked for: so long none is made ahead.
    in_use: AtomicBool,
}

/// One that waits. When the last one has its key, or went away, the shelves are filled again.
struct Waiting<'a>(&'a Arc<Active>);

impl ReadyKeys {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            rsa_2048: Shelf::default(),
            rsa_3072: Shelf::default(),
            rsa_4096: Shelf::default(),
            makers: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: AtomicUsize::new(0),
        }
    }

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

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.0.ready.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            SIZES.into_iter().for_each(|algorithm| self.0.refill(algorithm));
        }
    }
}

impl Shelf {
    fn take(&self) -> Option<KeyMaterial> {
        self.in_use.store(true, Ordering::Release);
        self.keys.lock().pop()
    }
}

impl Active {
    /// A new key: one that lies ready, or one made now, off the runtime's threads where that takes its time.
    ///
    /// # Errors
    /// [`Code::RateLimited`] where too many wait for an RSA key; others where the library cannot make one.
    pub(crate) async fn ready_material(self: &Arc<Self>, algorithm: Algorithm) -> Result<KeyMaterial, Error> {
        let Some((shelf, _)) = self.ready.shelf(algorithm) else { return Ok(KeyMaterial::generate(algorithm)?) };
        let material = match shelf.take() {
            Some(material) => material,
            None => {
                let _place = self.wait_for_primes()?;
                let permit = Arc::clone(&self.ready.makers).acquire_owned().await.map_err(Error::internal)?;
                // One may have come to lie ready meanwhile.
                match shelf.take() {
                    Some(material) => material,
                    None => make(algorithm, permit).await?,
                }
            }
        };
        self.refill(algorithm);
        Ok(material)
    }

    /// A place among those that wait.
    ///
    /// # Errors
    /// [`Code::RateLimited`] where there is none.
    fn wait_for_primes(self: &Arc<Self>) -> Result<Waiting<'_>, Error> {
        let place = Waiting(self);
        if self.ready.waiting.fetch_add(1, Ordering::AcqRel) < MAX_WAITING {
            return Ok(place);
        }
        Err(Error::new(Code::RateLimited, format!("{MAX_WAITING} RSA keys are being made; try again")))
    }

    /// Fills a shelf that is in use in the background, once nobody waits.
    fn refill(self: &Arc<Self>, algorithm: Algorithm) {
        // A request that went away may be dropped where no runtime is any more.
        let (Some((shelf, _)), Ok(runtime)) = (self.ready.shelf(algorithm), Handle::try_current()) else { return };
        if !shelf.in_use.load(Ordering::Acquire) || shelf.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        runtime.spawn(fill(Arc::downgrade(self), algorithm));
    }
}

/// Makes keys until the shelf is full, somebody waits for one (the last of whom fills it again) or the node is sealed.
async fn fill(active: Weak<Active>, algorithm: Algorithm) {
    loop {
        let wanted = |active: &Active| {
            let (shelf, most) = active.ready.shelf(algorithm)?;
            let is_wanted = || {
                let waiting = active.ready.waiting.load(Ordering::Acquire);
                shelf.keys.lock().len() < most && waiting == 0 && !*active.stop.borrow()
            };
            // Who found the shelf being filled at the last moment relies on it: then it is, by one of the two.
            let goes_on = is_wanted()
                || shelf.filling.swap(false, Ordering::AcqRel)
                    && is_wanted()
                    && !shelf.filling.swap(true, Ordering::AcqRel);
            goes_on.then(|| Arc::clone(&active.ready.makers))
        };
        // Not held while the primes are sought: sealing drops it.
        let Some(makers) = active.upgrade().and_then(|active| wanted(&active)) else { return };
        let Ok(permit) = makers.acquire_owned().await else { return };
        let made = make(algorithm, permit).await;
        let Some(active) = active.upgrade() else { return };
        let Some((shelf, _)) = active.ready.shelf(algorithm) else { return };
        match made {
            Ok(material) => shelf.keys.lock().push(material),
            Err(error) => {
                shelf.filling.store(false, Ordering::Release);
                tracing::warn!(cause = ?error, "an RSA key could not be made ahead; they are made when they are asked for");
                return;
            }
        }
    }
}

/// Makes a key on a thread of its own, so that nobody who stops waits for primes. The permit is held until it is made, also
/// where nobody waits for it any more.
async fn make(algorithm: Algorithm, permit: OwnedSemaphorePermit) -> Result<KeyMaterial, Error> {
    let (sender, receiver) = oneshot::channel();
    let seek = move || {
        let _permit = permit;
        yield_to_others();
        // Who asked may be gone.
        let _: Result<(), _> = sender.send(KeyMaterial::generate(algorithm));
    };
    std::thread::Builder::new().name("rsa-keys".to_owned()).spawn(seek).map_err(Error::internal)?;
    Ok(receiver.await.map_err(Error::internal)??)
}

/// Those whose primes are sought ahead.
const SIZES: [Algorithm; 3] = [Algorithm::Rsa2048, Algorithm::Rsa3072, Algorithm::Rsa4096];

/// Gives this thread the lowest priority, where threads have their own.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, LOWEST) {
        tracing::debug!(cause = %error, "RSA keys are made at the usual priority");
    }
}

#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;

#[cfg(test)]
mod tests {
    use std::{
        task::{Context, Waker},
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        ImportWrap, MountEnable, MountKind,
        tests::{caller, dev},
    };

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

    #[tokio::test]
    async fn shelf_is_filled_though_who_asked_or_waited_went_away() {
        let core = dev().await;
        let root = caller(&core, "root").await;
        let patience = Instant::now() + Duration::from_secs(120);
        let filled = async |active: &Arc<Active>| {
            while lying_ready(active, Algorithm::Rsa2048) < 2 {
                assert!(Instant::now() < patience, "the shelf stays empty");
                tokio::task::yield_now().await;
            }
        };
        let mut asked = Box::pin(root.active.ready_material(Algorithm::Rsa2048));
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(asked);
        filled(&root.active).await;
        // One that waits for another size, and goes away, stopped the filling of this one.
        let place = root.active.wait_for_primes().unwrap();
        drop(root.active.ready_material(Algorithm::Rsa2048).await.unwrap());
        let (shelf, _) = root.active.ready.shelf(Algorithm::Rsa2048).unwrap();
        while shelf.filling.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert_eq!(lying_ready(&root.active, Algorithm::Rsa2048), 1, "who waits comes first");
        drop(place);
        filled(&root.active).await;
        assert_eq!(lying_ready(&root.active, Algorithm::Rsa3072), 0, "nobody wants any");
        drop(root);
        core.shutdown().await;
    }

    #[tokio::test]
    async fn one_time_import_key_beyond_the_bound_is_refused_before_primes_are_sought() {
        let core = dev().await;
        let root = caller(&core, "root").await;
        root.mount_enable("transit/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
        let mount = root.resolve("transit/keys/k").unwrap();
        for _ in 0..256 {
            root.key_import_begin(&mount, ImportWrap::MlKem768, &()).await.unwrap();
        }
        // Whoever comes to ask for an RSA key now is told that.
        let places: Vec<Waiting<'_>> = (0..MAX_WAITING).map(|_| root.active.wait_for_primes().unwrap()).collect();
        let refused = root.key_import_begin(&mount, ImportWrap::RsaOaep, &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
        assert!(refused.public().starts_with("256 one-time import keys lie ready"), "{refused}");
        drop(places);
        drop(root);
        core.shutdown().await;
    }

    #[tokio::test]
    async fn more_requests_for_rsa_keys_than_may_wait_are_refused_and_who_goes_away_leaves_a_place() {
        let core = dev().await;
        let root = caller(&core, "root").await;
        let ask = || root.active.ready_material(Algorithm::Rsa4096);
        let mut waiting = (0..MAX_WAITING).map(|_| Box::pin(ask())).collect::<Vec<_>>();
        let mut nobody = Context::from_waker(Waker::noop());
        for request in &mut waiting {
            assert!(request.as_mut().poll(&mut nobody).is_pending(), "a key of 4096 bits was made in no time");
        }
        assert_eq!(ask().await.map(drop).unwrap_err().code(), Code::RateLimited);
        assert_eq!(root.active.ready.waiting.load(Ordering::Acquire), MAX_WAITING);
        // Keys of other algorithms wait for nobody.
        root.active.ready_material(Algorithm::Ed25519).await.unwrap();
        let first = waiting.remove(0);
        drop(waiting);
        assert_eq!(root.active.ready.waiting.load(Ordering::Acquire), 1);
        first.await.unwrap();
        assert_eq!(root.active.ready.waiting.load(Ordering::Acquire), 0);
        drop(root);
        core.shutdown().await;
    }
}
