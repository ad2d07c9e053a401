//! One node's life: sealed, standing by, active, and the way between them.

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
    Caller, Config, Context, Error, StartError, Started,
    activate::{self, Activated},
    active::Active,
    caller::{anonymous, log_refusal},
    clock::{Clock, SystemTimeSource},
    housekeeping,
    initial::{self, Recovered},
    lease::{LEASE, Lease, RENEW_EVERY, monotonic_ms},
    metrics::Metrics,
    outbox,
    record::Record,
    seal::{
        FileSeal, SealKind,
        root::{self, Root, RootRow},
        unseal::Unsealing,
    },
    space::Space,
};

/// How often a standby looks at the leader row.
const LOOK: Duration = Duration::from_millis(150);
/// How often a sealed node looks at the root row, which others may make or change.
const LOOK_AT_SEAL: Duration = Duration::from_secs(1);
/// How long a node that gave its leadership up leaves it to others.
const STEPPED_DOWN: Duration = Duration::from_secs(10);
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
    pub async fn start(mut config: Config) -> Result<(Arc<Self>, Started), StartError> {
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
            clock: ArcSwap::from_pointee(Clock::start(SystemTimeSource, None)),
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
        if coffer_crypto::lock_failures() > 0 {
            started.warnings.push(
                "memory could not be locked: keys may be written to swap; raise RLIMIT_MEMLOCK or switch swap off"
                    .to_owned(),
            );
        }
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

    /// Unseals with the key file. Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local, the seal takes shares, or the node does not become active or stand by.
    pub async fn local_unseal(&self, cx: Context) -> Result<(), Error> {
        self.check_local(&cx).await?;
        match self.config.seal {
            SealKind::File => {}
            SealKind::Shamir => {
                return Err(Error::invalid("this server's seal takes shares: give them with `coffer operator unseal`"));
            }
        }
        let opened = match root::read(self.store.as_ref()).await {
            Ok(Some(row)) => root::unwrap(&row, &self.seal).map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let failed = opened.as_ref().err().map(|_| Code::Invalid);
        self.note("system.unseal", &cx, failed, None).await?;
        if let Err(error) = opened {
            return Err(Error::invalid(format!("the store cannot be unsealed: {error}")));
        }
        self.reach(Wanted::Unsealed).await
    }

    /// Seals the node: every key leaves memory. Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local or the record cannot be logged.
    pub async fn local_seal(&self, cx: Context) -> Result<(), Error> {
        self.check_local(&cx).await?;
        if let Ok(active) = self.active() {
            active.log_local("system.seal", &cx, None).await?;
        }
        self.seal_now().await
    }

    /// Writes a fresh initial token beside the seal key, and puts the policy `administrator` back to its built-in text.
    /// Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local, or this node is not active.
    pub async fn local_initial_token(&self, cx: Context) -> Result<Recovered, Error> {
        self.check_local(&cx).await?;
        let active = self.active()?;
        initial::recover(&active, &self.config, &cx).await
    }

    /// Accepts the wall clock as it is. Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local or the record cannot be logged.
    pub async fn local_clock_accept(&self, cx: Context) -> Result<(), Error> {
        self.check_local(&cx).await?;
        let active = self.active()?;
        active.log_local("system.clock_accept", &cx, None).await?;
        active.clock.accept();
        housekeeping::persist_clock(&active).await
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
            SealKind::File => match self.seal.read()? {
                Some(key) => Ok(key),
                None => Ok(self.seal.create()?),
            },
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

    /// Lets in who comes over the unix socket as the server's own user, and records anybody else.
    ///
    /// # Errors
    /// [`Code::Denied`] for anybody else.
    pub async fn check_local(&self, cx: &Context) -> Result<(), Error> {
        if is_own(cx) {
            return Ok(());
        }
        self.note("system.local", cx, Some(Code::Denied), None).await?;
        Err(Error::new(Code::Denied, "only over the unix socket and as the server's own user"))
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

    async fn reach(&self, wanted: Wanted) -> Result<(), Error> {
        let mut reached = self.reached.subscribe();
        self.wanted.send_replace(wanted);
        let waited = tokio::time::timeout(DRAIN * 2, reached.wait_for(|reached| *reached == wanted)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::new(Code::Unavailable, NOT_IN_TIME)),
        }
    }

    async fn supervise(self: Arc<Self>, first: oneshot::Sender<Result<Activated, StartError>>) {
        let mut first = Some(first);
        let mut wanted = self.wanted.subscribe();
        loop {
            let now = *wanted.borrow_and_update();
            match now {
                Wanted::Stopped => {
                    self.opened.lock().forget();
                    return;
                }
                Wanted::Sealed => {
                    self.opened.lock().forget();
                    self.state.store(Arc::new(State::Sealed));
                    self.reached.send_replace(Wanted::Sealed);
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(Activated::default()));
                    }
                    while tokio::time::timeout(LOOK_AT_SEAL, wanted.changed()).await.is_err() {
                        self.look_at_seal().await;
                    }
                }
                Wanted::SteppedDown => self.stand_back(&mut wanted).await,
                Wanted::Unsealed => self.lead_or_stand_by(&mut first, &mut wanted).await,
            }
        }
    }

    /// Another node may initialise the store, split its key anew or lead it to another seal.
    async fn look_at_seal(&self) {
        // No other process can have this store open.
        if self.engine() != "postgresql" {
            return;
        }
        match root::read(self.store.as_ref()).await {
            Ok(Some(row)) => self.see_seal(&row),
            Ok(None) => {}
            Err(error) => tracing::debug!(cause = %error, "the root row cannot be read"),
        }
    }

    /// Notes what the root row says.
    pub(crate) fn see_seal(&self, row: &RootRow) {
        let _ = self.cluster_id.set(row.cluster_id);
        self.opened.lock().see(row);
    }

    async fn lead_or_stand_by(
        self: &Arc<Self>,
        first: &mut Option<oneshot::Sender<Result<Activated, StartError>>>,
        wanted: &mut watch::Receiver<Wanted>,
    ) {
        let asked = monotonic_ms();
        match self.store.lead(&self.node, &self.config.advertise, LEASE).await {
            Ok(Some(epoch)) => {
                self.state.store(Arc::new(State::Starting));
                let exclusive = self.engine() != "postgresql";
                let lease = Arc::new(if exclusive { Lease::exclusive() } else { Lease::granted(asked) });
                let renewal =
                    (!exclusive).then(|| tokio::spawn(renew(Arc::clone(&self.store), epoch, Arc::clone(&lease))));
                match activate::activate(self, epoch, Arc::clone(&lease)).await {
                    Ok((active, activated)) => {
                        self.state.store(Arc::new(State::Active(Arc::clone(&active))));
                        self.reached.send_replace(Wanted::Unsealed);
                        tracing::info!(node = self.node, epoch = epoch.0, "active");
                        if let Some(first) = first.take() {
                            let _ = first.send(Ok(activated));
                        }
                        self.hold(active, &lease, wanted).await;
                    }
                    Err(error) => {
                        tracing::error!(cause = %error, "this node leads but cannot become active");
                        lease.lose();
                        if let Err(error) = self.store.release(epoch).await {
                            tracing::warn!(cause = %error, "the leadership was not given back; it ends by itself");
                        }
                        match first.take() {
                            Some(first) => drop(first.send(Err(error))),
                            None => tokio::time::sleep(RENEW_EVERY).await,
                        }
                    }
                }
                if let Some(renewal) = renewal {
                    renewal.abort();
                }
            }
            Ok(None) => {
                let leader = self.store.leader().await.ok().flatten();
                let address = leader.map(|leader| leader.address);
                self.state.store(Arc::new(State::Standby { address }));
                self.reached.send_replace(Wanted::Unsealed);
                if let Some(first) = first.take() {
                    tracing::info!(node = self.node, "standing by");
                    let _ = first.send(Ok(Activated::default()));
                }
                wait(wanted).await;
            }
            Err(error) => {
                tracing::warn!(cause = %error, "the leader row cannot be read");
                self.state.store(Arc::new(State::Standby { address: None }));
                if let Some(first) = first.take() {
                    let _ = first.send(Err(error.into()));
                }
                wait(wanted).await;
            }
        }
    }

    /// Leaves the leadership to others: until one has it, at most for [`STEPPED_DOWN`].
    async fn stand_back(&self, wanted: &mut watch::Receiver<Wanted>) {
        tracing::info!(node = self.node, "stepped down");
        self.state.store(Arc::new(State::Standby { address: None }));
        self.reached.send_replace(Wanted::SteppedDown);
        let until = tokio::time::Instant::now() + STEPPED_DOWN;
        while *wanted.borrow_and_update() == Wanted::SteppedDown && tokio::time::Instant::now() < until {
            match self.store.leader().await {
                Ok(Some(leader)) if leader.node != self.node && !leader.remaining.is_zero() => break,
                Ok(_) | Err(_) => wait(wanted).await,
            }
        }
        // It may have been told something else meanwhile, which stands.
        self.wanted.send_if_modified(|wanted| {
            let stands_back = *wanted == Wanted::SteppedDown;
            if stands_back {
                *wanted = Wanted::Unsealed;
            }
            stands_back
        });
    }

    /// Stays active until told otherwise or until the leadership is lost.
    async fn hold(&self, active: Arc<Active>, lease: &Lease, wanted: &mut watch::Receiver<Wanted>) {
        let tasks = [
            tokio::spawn(outbox::tend(Arc::clone(&active))),
            tokio::spawn(housekeeping::keep(Arc::clone(&active))),
            tokio::spawn(crate::audit::scrub::scrub(
                Arc::clone(&active),
                self.config.audit.dir.clone(),
                self.config.audit.scrub_every,
            )),
        ];
        while !lease.is_lost() && *wanted.borrow() == Wanted::Unsealed {
            let _ = tokio::time::timeout(Duration::from_millis(100), wanted.changed()).await;
        }
        let lost = lease.is_lost();
        self.state.store(Arc::new(State::Starting));
        active.stop.send_replace(true);
        for task in tasks {
            let _ = task.await;
        }
        if lost {
            self.metrics.takeovers.add(1);
            tracing::warn!(node = self.node, "another node leads");
        }
        let epoch = active.epoch;
        deactivate(active).await;
        if !lost {
            let _ = self.store.release(epoch).await;
        }
    }
}

/// Whether a request came over the unix socket from the server's own user.
pub(crate) fn is_own(cx: &Context) -> bool {
    cx.local_uid == Some(rustix::process::geteuid().as_raw())
}

/// Ends everything that held keys.
async fn deactivate(active: Arc<Active>) {
    let deadline = tokio::time::Instant::now() + DRAIN;
    while Arc::strong_count(&active) > 1 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if !active.lease.is_lost() {
        if let Err(error) = outbox::delete_logged(&active).await {
            tracing::warn!(cause = ?error, "some outbox rows are left; the next start logs them again");
        }
        if let Err(error) = housekeeping::persist_clock(&active).await {
            tracing::warn!(cause = ?error, "the time was not noted; a start with an earlier clock may not notice");
        }
    }
    active.lease.lose();
    match Arc::try_unwrap(active) {
        Ok(active) => {
            let Active { log, index, .. } = active;
            drop(index);
            if let Err(error) = tokio::task::spawn_blocking(move || log.close()).await {
                tracing::warn!(cause = %error, "the log was not closed in order");
            }
        }
        Err(_) => {
            tracing::warn!("requests were still running after the time they are given; their keys go when they end")
        }
    }
}

async fn renew(store: Arc<dyn Store>, epoch: coffer_storage::Epoch, lease: Arc<Lease>) {
    while !lease.is_lost() {
        tokio::time::sleep(RENEW_EVERY).await;
        let asked = monotonic_ms();
        match tokio::time::timeout(LEASE, store.renew(epoch, LEASE)).await {
            Ok(Ok(())) => lease.renewed(asked),
            Ok(Err(coffer_storage::Error::Fenced)) => lease.lose(),
            Ok(Err(error)) => tracing::warn!(cause = %error, "the leadership could not be renewed"),
            Err(_) => tracing::warn!("renewing the leadership took too long"),
        }
    }
}

const NOT_IN_TIME: &str = "the node did not get there in time; see its log";

async fn wait(wanted: &mut watch::Receiver<Wanted>) {
    let _ = tokio::time::timeout(LOOK, wanted.changed()).await;
}
