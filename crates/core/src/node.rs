//! One node's life: sealed, standing by, active, and the way between them.

mod local;
mod supervise;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use coffer_api::{
    Code, Sensitive,
    operator::{NodeState, Status},
    token::TokenGrant,
};
use coffer_storage::Store;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::{
    Caller, Config, Context, Error, StartError, Started, activate,
    active::Active,
    backup::restored,
    caller::{anonymous, log_refusal},
    clock::{Clock, SystemTimeSource, TimeSource},
    initial,
    lease::LEASE,
    metrics::Metrics,
    record::Record,
    seal::{
        FileSeal, SealKind,
        root::{self, Root, RootRow},
        unseal::Unsealing,
    },
    space::Space,
};

pub(crate) use local::is_own;

/// How long requests in flight may take to end when a node stops being active.
const DRAIN: Duration = Duration::from_secs(10);
/// Attempts to seal and unseal that are kept while there is no log to write them to.
const MAX_ATTEMPTS: usize = 1000;

/// One node: from here every request starts.
pub struct Core {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) seal: FileSeal,
    pub(crate) node: String,
    pub(crate) time: Arc<dyn TimeSource>,
    /// Until the store's mark is known, the clock of this process alone.
    pub(crate) clock: ArcSwap<Clock>,
    pub(crate) space: Arc<Space>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cluster_id: OnceLock<uuid::Uuid>,
    state: ArcSwap<State>,
    wanted: watch::Sender<Wanted>,
    reached: watch::Sender<Wanted>,
    attempts: Mutex<VecDeque<Attempt>>,
    /// Initialisation and unsealing, one request at a time.
    pub(crate) unsealing: tokio::sync::Mutex<()>,
    /// Shares given to the unseal, what they opened, and what is known of the seal; emptied where the node is sealed.
    pub(crate) opened: Arc<Mutex<Unsealing>>,
    supervisor: Mutex<Option<tokio::task::JoinHandle<()>>>,
    /// Removed with the process: the directory of development mode.
    _scratch: Option<ScratchDir>,
}

/// What the node does.
enum State {
    Active(Arc<Active>),
    Sealed,
    Standby { address: Option<String> },
    Starting,
}

/// What it was told to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wanted {
    Sealed,
    /// To let another node lead, for a while.
    SteppedDown,
    Stopped,
    Unsealed,
}

/// An attempt at a seal while there was no log.
pub(crate) struct Attempt {
    pub(crate) class: &'static str,
    pub(crate) cx: Context,
    pub(crate) time_ms: i64,
    pub(crate) failed: Option<Code>,
    /// Shares given and needed.
    pub(crate) progress: Option<String>,
}

struct ScratchDir(PathBuf);

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Core {
    /// Opens the store and starts the node; returns when it is active or stands by, or is sealed until shares are given.
    ///
    /// # Errors
    /// Where the store, the seal key or the log is not as it must be.
    pub async fn start(config: Config) -> Result<(Arc<Self>, Started), StartError> {
        Self::start_by(config, Arc::new(SystemTimeSource)).await
    }

    /// As [`Core::start`], by other clocks than the machine's.
    pub(crate) async fn start_by(
        mut config: Config,
        time: Arc<dyn TimeSource>,
    ) -> Result<(Arc<Self>, Started), StartError> {
        let mut started = Started::default();
        if coffer_crypto::harden_process().is_err() {
            started.warnings.push("core dumps could not be switched off".to_owned());
        }
        let scratch = activate::prepare_directories(&mut config)?.map(ScratchDir);
        let store = coffer_storage::open(&config.storage).await?;
        let node = activate::node_id(&config)?;
        let seal = FileSeal::new(config.seal_key_file.clone());
        let cluster_id = OnceLock::new();
        let mut opened = Unsealing::default();
        restored::check(store.as_ref()).await?;
        // Wrong keys are found before anything else is touched.
        if let Some(row) = root::read(store.as_ref()).await? {
            row.check(config.seal)?;
            match config.seal {
                SealKind::File => drop(root::unwrap(&row, &seal)?),
                SealKind::Shamir => {}
            }
            let _ = cluster_id.set(row.cluster_id);
            opened.see(&row);
        }
        let wanted = match config.seal {
            SealKind::File => Wanted::Unsealed,
            SealKind::Shamir => Wanted::Sealed,
        };
        let watched = vec![config.data.clone(), config.audit.dir.clone()];
        let space = Space::new(watched, config.limits.free_for_changes, config.limits.free_for_reads);
        let core = Arc::new(Self {
            store,
            seal,
            node,
            clock: ArcSwap::from_pointee(Clock::start(Arc::clone(&time), None)),
            time,
            space: Arc::new(space),
            metrics: Arc::new(Metrics::default()),
            cluster_id,
            state: ArcSwap::from_pointee(State::Starting),
            wanted: watch::Sender::new(wanted),
            reached: watch::Sender::new(Wanted::Stopped),
            attempts: Mutex::default(),
            unsealing: tokio::sync::Mutex::default(),
            opened: Arc::new(Mutex::new(opened)),
            supervisor: Mutex::default(),
            _scratch: scratch,
            config,
        });
        let (first, outcome) = oneshot::channel();
        let supervisor = tokio::spawn(Arc::clone(&core).supervise(first));
        *core.supervisor.lock() = Some(supervisor);
        let activated = match outcome.await.map_err(|_| Error::internal("the node's supervisor ended"))? {
            Ok(activated) => activated,
            Err(error) => {
                core.shutdown().await;
                return Err(error);
            }
        };
        started.initial_token_path = activated.initial_token_path;
        started.dev_root_token = activated.dev_root_token;
        started.warnings.extend(core.metrics.unlocked.warning().map(str::to_owned));
        Ok((core, started))
    }

    /// What the node does, for probes and people.
    pub fn status(&self) -> Status {
        let state = self.state.load();
        let (node_state, active_address, log_size) = match state.as_ref() {
            State::Active(active) if active.lease.check().is_ok() => {
                (NodeState::Active, Some(self.config.advertise.clone()), Some(active.log.head().size))
            }
            State::Active(_) | State::Starting => (NodeState::Starting, None, None),
            State::Sealed => (NodeState::Sealed, None, None),
            State::Standby { address } => (NodeState::Standby, address.clone(), None),
        };
        let opened = self.opened.lock();
        Status {
            active_address,
            clock_in_doubt: self.clock.load().is_in_doubt(),
            cluster_id: self.cluster_id.get().map(uuid::Uuid::to_string),
            initialized: self.cluster_id.get().is_some(),
            log_size,
            node: self.node.clone(),
            seal: self.config.seal.name().to_owned(),
            seal_migration: opened.is_migrating(),
            shares: match self.config.seal {
                SealKind::File => None,
                SealKind::Shamir => Some(opened.shares()),
            },
            state: node_state,
            storage: self.engine().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Stops: requests in flight end, the log is closed, leadership is given up.
    pub async fn shutdown(&self) {
        self.wanted.send_replace(Wanted::Stopped);
        let supervisor = self.supervisor.lock().take();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.await;
        }
        self.store.close().await;
    }

    /// Authenticates a request.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] (recorded) without a valid token; [`Code::Sealed`], [`Code::Standby`] or
    /// [`Code::Unavailable`] where this node cannot answer.
    pub async fn caller(&self, cx: Context, token: Option<&str>) -> Result<Caller, Error> {
        Caller::authenticate(self.active()?, cx, token).await
    }

    /// Whether something is mounted at this very path; false where this node cannot tell.
    pub fn has_mount(&self, path: &str) -> bool {
        self.active().is_ok_and(|active| active.mounts.at(path).is_some())
    }

    /// The time, UTC milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.clock.load().now()
    }

    /// Logs in with user name and password.
    ///
    /// # Errors
    /// [`Code::InvalidCredentials`] where they do not match; [`Code::Unauthenticated`] for an unknown mount or while
    /// locked out.
    pub async fn login_userpass(
        &self,
        cx: Context,
        mount: &str,
        user: &str,
        password: &Sensitive<String>,
    ) -> Result<TokenGrant, Error> {
        self.active()?.login_userpass(&cx, mount, user, password).await
    }

    /// Logs in with a role id and, where the role wants one, a secret id at the AppRole mount `auth/{mount}/`.
    ///
    /// # Errors
    /// [`Code::InvalidCredentials`] for a wrong role id, or a secret id that is wrong, expired or used up;
    /// [`Code::Unauthenticated`] while the role is locked out and where there is no such mount; [`Code::Invalid`] where
    /// something is missing, or the address is none to log in from.
    pub async fn login_approle(
        &self,
        cx: Context,
        mount: &str,
        role_id: &str,
        secret_id: Option<&Sensitive<String>>,
    ) -> Result<TokenGrant, Error> {
        self.active()?.login_approle(&cx, mount, role_id, secret_id).await
    }

    /// The mount that a path lies below, before anybody is known; `None` where nothing is mounted, and while this node
    /// does not lead.
    pub fn resolve(&self, path: &str) -> Option<Arc<crate::Mount>> {
        self.active().ok()?.mounts.resolve(path)
    }

    /// Records a request without a token that failed before it became an operation, and gives the error to answer.
    pub async fn refuse_anonymous(&self, cx: Context, error: Error) -> Error {
        match self.active() {
            Ok(active) => {
                let record = Record::of_request("request.refused", String::new(), anonymous(), &cx);
                log_refusal(&active, record, error).await
            }
            Err(error) => error,
        }
    }

    /// Exchanges the initial token, which is revoked, for an administrator's token of 30 days.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] where it is not the initial token or was exchanged before.
    pub async fn login_initial(&self, cx: Context, token: &str) -> Result<TokenGrant, Error> {
        let grant = self.active()?.exchange_initial(&cx, token).await?;
        initial::remove_token_file(&self.config, token);
        Ok(grant)
    }

    /// Seals the node; the caller's request is authorised and recorded already.
    pub(crate) async fn seal_now(&self) -> Result<(), Error> {
        self.reach(Wanted::Sealed).await
    }

    /// Lets another node lead; the caller's request is authorised and recorded already.
    pub(crate) async fn step_down_now(&self) -> Result<(), Error> {
        // No other process can have this store open.
        if self.engine() != "postgresql" {
            return Ok(());
        }
        let mut reached = self.reached.subscribe();
        let leads = |wanted: &mut Wanted| {
            let leads = *wanted == Wanted::Unsealed;
            if leads {
                *wanted = Wanted::SteppedDown;
            }
            leads
        };
        if !self.wanted.send_if_modified(leads) {
            return Ok(());
        }
        // Whatever comes next, this node does not lead then.
        match tokio::time::timeout(DRAIN * 2, reached.changed()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::new(Code::Unavailable, NOT_IN_TIME)),
        }
    }

    /// Leaves the sealed state with what shares have opened.
    pub(crate) async fn unseal_now(&self) -> Result<(), Error> {
        self.reach(Wanted::Unsealed).await
    }

    /// Whether it holds no key and was not told to get one.
    pub(crate) fn is_sealed(&self) -> bool {
        *self.wanted.borrow() == Wanted::Sealed && matches!(self.state.load().as_ref(), State::Sealed)
    }

    /// The root key, out of the seal that this node is started with.
    pub(crate) fn open_root(&self, row: &RootRow) -> Result<Root, StartError> {
        match self.config.seal {
            SealKind::File => root::unwrap(row, &self.seal),
            SealKind::Shamir => self.opened.lock().root(row),
        }
    }

    /// The key of the file seal of a new store: the file's, or a new one in it.
    pub(crate) fn first_seal_key(&self) -> Result<coffer_crypto::Secret, StartError> {
        match self.config.seal {
            SealKind::File => {
                let key = match self.seal.read()? {
                    Some(key) => key,
                    None => self.seal.create()?,
                };
                self.seal.note_opened(&key);
                Ok(key)
            }
            SealKind::Shamir => Err(StartError::Seal("the store is not initialised".to_owned())),
        }
    }

    /// Gives `work` the leadership of a store that is not unsealed yet, and gives it back.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where another node leads; what `work` returns.
    pub(crate) async fn leading<T>(
        &self,
        work: impl AsyncFnOnce(coffer_storage::Epoch) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(epoch) = self.store.lead(&self.node, &self.config.advertise, LEASE).await? else {
            return Err(Error::new(Code::Unavailable, "another node leads; ask it, or try again"));
        };
        let done = work(epoch).await;
        if let Err(error) = self.store.release(epoch).await {
            tracing::warn!(cause = %error, "the leadership was not given back; it ends by itself");
        }
        done
    }

    /// The state of a leading, unsealed node.
    pub(crate) fn active(&self) -> Result<Arc<Active>, Error> {
        match self.state.load().as_ref() {
            State::Active(active) => {
                active.lease.check()?;
                Ok(Arc::clone(active))
            }
            State::Sealed => Err(Error::new(Code::Sealed, "Vault is sealed")),
            State::Standby { address } => Err(Error::standby(address.clone())),
            State::Starting => Err(Error::new(Code::Unavailable, "this node is starting; try again")),
        }
    }

    pub(crate) fn take_attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().drain(..).collect()
    }

    pub(crate) fn engine(&self) -> &'static str {
        match self.config.storage.split_once(':').map(|(scheme, _)| scheme) {
            Some("memory") => "memory",
            Some("postgres" | "postgresql") => "postgresql",
            Some(_) | None => "sqlite",
        }
    }

    /// Records an attempt at the seal: in the log, or while there is none in a bounded list that is logged first.
    pub(crate) async fn note(
        &self,
        class: &'static str,
        cx: &Context,
        failed: Option<Code>,
        progress: Option<String>,
    ) -> Result<(), Error> {
        if let Ok(active) = self.active() {
            return active.log_local(class, cx, failed).await;
        }
        let mut attempts = self.attempts.lock();
        if attempts.len() >= MAX_ATTEMPTS {
            attempts.pop_front();
        }
        attempts.push_back(Attempt { class, cx: cx.clone(), time_ms: self.clock.load().now(), failed, progress });
        Ok(())
    }

    /// Notes what the root row says.
    pub(crate) fn see_seal(&self, row: &RootRow) {
        let _ = self.cluster_id.set(row.cluster_id);
        self.opened.lock().see(row);
    }

    async fn reach(&self, wanted: Wanted) -> Result<(), Error> {
        let mut reached = self.reached.subscribe();
        self.wanted.send_replace(wanted);
        let waited = tokio::time::timeout(DRAIN * 2, reached.wait_for(|reached| *reached == wanted)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::new(Code::Unavailable, NOT_IN_TIME)),
        }
    }
}

const NOT_IN_TIME: &str = "the node did not get there in time; see its log";
