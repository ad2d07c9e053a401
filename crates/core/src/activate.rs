//! From leading to active: keys out of the store, the log opened and brought level with it, caches filled.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::{Secret, envelope::TermKey, rng, sign::SigningKey};
use coffer_storage::{Batch, Epoch, Expect, Key, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Config, Context, Error, StartError,
    active::Active,
    audit::{catch_up, query::summarise, registered},
    auth::Logins,
    backup::restored,
    barrier::{self, Barrier},
    cache::Coherent,
    clock::Clock,
    codec::{self, Persisted},
    commit::{self, Edit},
    engine::key::{
        operate::{loaded::LoadedKeys, ready::ReadyKeys},
        uses::UseCounters,
    },
    engine::kv::{cursor::Cursors, value::ValueKeys},
    housekeeping,
    identity::Identity,
    initial,
    keyring::{self, Keyrings},
    keys,
    lease::Lease,
    locks::PathLocks,
    mount::{Mount, Mounts, Moves, Standing},
    node::Core,
    ops,
    outbox::{LogHead, Outbox},
    policies::{Policies, PolicyRow},
    policy::builtin,
    record::{Actor, Record},
    refusals::Refusals,
    seal::{
        SealKind,
        asker::Ceremonies,
        migrate, retire,
        root::{self, Birth, Reservation, Root, counter_row},
    },
    tlog::{
        Head, Log, OpenError, Options, RealDisk,
        index::Index,
        note::{KeyName, VerifierKey},
    },
    token::{Tokens, create::Wanted},
    versions,
};

/// Bits of a mode by which others may write.
const OTHERS_WRITE: u32 = 0o022;

/// What a node's log is called and signed with (`log/{node}`).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct LogRow {
    pub(crate) origin: String,
    /// The key the log began with; verifiers follow the chain from here.
    pub(crate) first_vkey: String,
    /// Number of the current signing key: `sys/key/log/{node}/{number:08x}`.
    pub(crate) key_number: u32,
}

impl Persisted for LogRow {}

/// What a first activation did.
#[derive(Default)]
pub(crate) struct Activated {
    pub(crate) initial_token_path: Option<PathBuf>,
    pub(crate) dev_root_token: Option<String>,
}

/// Refuses a data directory of somebody else's, or one that others may write to, before anything is made in it.
fn check_data_directory(path: &Path) -> Result<(), StartError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StartError::Data { path: path.to_owned(), operation: "look at it", source }),
        Ok(metadata) => metadata,
    };
    let (owner, own, mode) = (metadata.uid(), rustix::process::geteuid().as_raw(), metadata.mode() & 0o7777);
    if !metadata.is_dir() {
        let source = io::ErrorKind::NotADirectory.into();
        return Err(StartError::Data { path: path.to_owned(), operation: "use it", source });
    }
    if owner != own {
        return Err(StartError::DataOwner { path: path.to_owned(), owner, own });
    }
    if mode & OTHERS_WRITE != 0 {
        return Err(StartError::DataMode { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Makes the directories; in development mode a temporary one, which is returned.
pub(crate) fn prepare_directories(config: &mut Config) -> Result<Option<PathBuf>, StartError> {
    let mut scratch = None;
    if config.dev.is_some() {
        let suffix = u64::from_be_bytes(rng::bytes::<8>()?);
        let dir = std::env::temp_dir().join(format!("coffer-dev-{suffix:016x}"));
        config.storage = "memory:".to_owned();
        config.seal_key_file = dir.join("seal.key");
        config.audit.dir = dir.join("audit");
        config.data.clone_from(&dir);
        scratch = Some(dir);
    }
    check_data_directory(&config.data)?;
    check_data_directory(&config.audit.dir)?;
    for dir in [&config.data, &config.audit.dir] {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|source| StartError::Data {
            path: dir.clone(),
            operation: "create it",
            source,
        })?;
    }
    Ok(scratch)
}

/// The node's id: made once, kept in the data directory.
pub(crate) fn node_id(config: &Config) -> Result<String, StartError> {
    let path = config.data.join("node-id");
    let failed = |operation| {
        let path = path.clone();
        move |source| StartError::Data { path, operation, source }
    };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.trim();
            let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if text.is_empty() || text.len() > 64 || !plain {
                return Err(failed("use it: it does not hold a node id")(io::ErrorKind::InvalidData.into()));
            }
            Ok(text.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::new_v4().simple().to_string();
            let id = id.get(..12).unwrap_or(&id).to_owned();
            write_private(&path, format!("{id}\n").as_bytes()).map_err(failed("write it"))?;
            Ok(id)
        }
        Err(error) => Err(failed("read it")(error)),
    }
}

/// Makes the node active at `epoch`.
pub(crate) async fn activate(
    core: &Core,
    epoch: Epoch,
    lease: Arc<Lease>,
) -> Result<(Arc<Active>, Activated), StartError> {
    let store = Arc::clone(&core.store);
    restored::check(store.as_ref()).await?;
    let (root, barrier, is_new) = match root::read(store.as_ref()).await? {
        Some(row) => {
            let root = core.open_root(&row)?;
            core.see_seal(&row);
            let barrier = open_barrier(store.as_ref(), &root.key).await?;
            (root, barrier, false)
        }
        None => {
            let seal_key = core.first_seal_key()?;
            let record = Record::system("system.birth");
            let birth = root::create(SealKind::File, &seal_key, None, core.clock.load().now())?;
            let (root, barrier) = give_birth(core, epoch, birth, record).await?;
            (root, barrier, true)
        }
    };
    let _ = core.cluster_id.set(root.cluster_id);
    reserve_first_block(store.as_ref(), epoch, &barrier).await?;
    let clock = start_clock(core, &barrier).await?;
    let keyrings = Keyrings::read(store.as_ref(), &root.key).await?;
    let (log, first_vkey, known) = open_log(core, epoch, &root, &barrier).await?;
    let index = Index::open(&log, Box::new(summarise)).map_err(Error::internal)?;
    let limits = core.config.limits;
    let active = Arc::new(Active {
        node: core.node.clone(),
        epoch,
        store,
        root: root.key,
        barrier,
        keyrings,
        clock,
        index,
        log,
        first_vkey,
        outbox: Outbox::default(),
        cache: Coherent::new(limits.cache_bytes, 1024),
        locks: PathLocks::new(),
        lease,
        space: Arc::clone(&core.space),
        limits,
        read_durability: core.config.audit.read_durability,
        mounts: Mounts::default(),
        moves: Moves::default(),
        policies: Policies::default(),
        identity: Identity::default(),
        tokens: Tokens::new(limits.token_cache_bytes),
        refusals: Refusals::default(),
        logins: Logins::new(),
        key_uses: UseCounters::default(),
        backing_up: Arc::default(),
        key_sweep: tokio::sync::Mutex::default(),
        settings: crate::ops::settings::Settings::default(),
        value_keys: ValueKeys::default(),
        purging: tokio::sync::Mutex::default(),
        loaded: LoadedKeys::new(),
        ready: ReadyKeys::new(),
        metrics: Arc::clone(&core.metrics),
        cursors: Cursors::new()?,
        authority: AtomicU64::new(1),
        sweep_asked: Notify::new(),
        secrets_sweep_asked: Notify::new(),
        leftovers_asked: Notify::new(),
        sweeping_secrets: tokio::sync::Mutex::default(),
        ceremonies: Ceremonies::new(core.config.seal, Arc::clone(&core.opened)),
        wrapping_key: OnceLock::new(),
        stop: watch::Sender::new(false),
    });
    restored::begin_log(&active).await?;
    catch_up(&active, known).await?;
    active.load_mounts().await?;
    active.load_value_keys().await?;
    active.load_policies().await?;
    active.load_settings().await?;
    active.load_groups().await?;
    let started = Record::system(if is_new { "system.init" } else { "system.start" })
        .fact("version", env!("CARGO_PKG_VERSION"))
        .fact("epoch", epoch.0.to_string())
        .fact("logs", registered::digest_now(&active).await?)
        .fact("cluster", root.cluster_id.to_string());
    active.log_synced(&started).await?;
    for attempt in core.take_attempts() {
        let kind = if attempt.cx.local_uid.is_some() { "local" } else { "anonymous" };
        let actor = Actor { kind, ..Actor::default() };
        let mut record = Record::of_request(attempt.class, String::new(), actor, &attempt.cx)
            .fact("time_ms", attempt.time_ms.to_string());
        record.facts.extend(attempt.progress.map(|progress| ("progress", progress)));
        if let Some(code) = attempt.failed {
            record.fail(&Error::new(code, ""));
        }
        active.log_synced(&record).await?;
    }
    // It waits for the next start rather than keep this one from serving.
    if let Err(error) = migrate::finish(&active).await {
        tracing::warn!(cause = ?error, "the seal that the store has left is still in it");
    }
    if let Err(error) = retire::finish(&active).await {
        tracing::warn!(cause = ?error, "the shares before the rekey still open the seal");
    }
    restored::finish(&active).await?;
    housekeeping::persist_clock(&active).await?;
    active.note_version().await?;
    let mut activated = Activated::default();
    match &core.config.dev {
        Some(dev) if is_new => activated.dev_root_token = Some(dev_root(&active, dev.root_token.clone()).await?),
        Some(_) => {}
        None => activated.initial_token_path = initial::first(&active, &core.config).await?,
    }
    Ok((active, activated))
}

impl Active {
    /// Logs what a local caller did.
    pub(crate) async fn log_local(
        &self,
        class: &'static str,
        cx: &Context,
        failed: Option<coffer_api::Code>,
    ) -> Result<(), Error> {
        let kind = if cx.local_uid.is_some() { "local" } else { "anonymous" };
        let mut record = Record::of_request(class, String::new(), Actor { kind, ..Actor::default() }, cx);
        if let Some(code) = failed {
            record.fail(&Error::new(code, ""));
        }
        self.log_synced(&record).await
    }
}

async fn dev_root(active: &Arc<Active>, id: Option<String>) -> Result<String, Error> {
    // One of the operator's choice is made like any other token, as clients of development servers know it.
    let (display_name, path) = match &id {
        Some(_) => ("token", "auth/token/create"),
        None => ("root", "auth/token/root"),
    };
    let wanted = Wanted { display_name: display_name.to_owned(), path: path.to_owned(), ..Wanted::root() };
    let record = Record::system("token.create_root");
    let grant = active.issue(wanted, record, id.map(Zeroizing::new)).await?;
    Ok(grant.token.expose().clone())
}

/// A store's first commit: root, term, keys, policies, mounts. Two nodes that try at once end with one root.
pub(crate) async fn give_birth(
    core: &Core,
    epoch: Epoch,
    birth: Birth,
    record: Record,
) -> Result<(Root, Barrier), StartError> {
    let now = core.clock.load().now();
    let Birth { root, barrier, mut edit, .. } = birth;
    for policy in builtin::ALL {
        let row = PolicyRow::plain(policy.text, now);
        edit.put(ops::policy::row(policy.name)?, codec::encode(&row)?, Some(Expect::Absent));
    }
    // In development mode they are what clients expect to find, as of other servers in that mode.
    let standing = match core.config.dev {
        Some(_) => Standing::Chosen,
        None => Standing::Provisional,
    };
    for mount in Mount::first(now, standing)? {
        edit.put(Mount::row(&mount.path), codec::encode(&mount)?, Some(Expect::Absent));
    }
    match (core.config.seal, &core.config.dev) {
        (SealKind::File, None) => initial::announce(&mut edit)?,
        // The root token is told by who asks for the store.
        (SealKind::File, Some(_)) | (SealKind::Shamir, _) => {}
    }
    versions::first(&mut edit, now)?;
    let record = record.fact("cluster", root.cluster_id.to_string());
    let batch = commit::sealed_batch(&barrier, &core.node, epoch, now, edit, record)?;
    crate::failpoint::hit("before-birth");
    core.store.commit(batch).await?;
    crate::failpoint::hit("after-birth");
    Ok((root, barrier))
}

async fn open_barrier(store: &dyn Store, root: &Secret) -> Result<Barrier, StartError> {
    let mut terms = Vec::new();
    for (key, entry) in keyring::rows(store, keys::TERM).await? {
        let number = keyring::number_after(&key, keys::TERM)?;
        terms.push(TermKey::new(number, &barrier::unwrap_under_root(root, &key, &entry.value)?)?);
    }
    let Some(current) = terms.iter().map(TermKey::term).max() else {
        return Err(Error::internal("the store holds no term key").into());
    };
    let barrier = Barrier::new(terms, 0)?;
    let row = counter_row(current);
    let reserved = match store.get(&Key::new(row.clone())?).await? {
        Some(entry) => codec::decode::<Reservation>(&row, &barrier.open(&row, &entry.value)?)?.total,
        None => return Err(Error::internal("the counter of the current term is missing").into()),
    };
    barrier.resume(reserved);
    Ok(barrier)
}

/// Pays for the first seals of this epoch: nothing of an older block is used again.
async fn reserve_first_block(store: &dyn Store, epoch: Epoch, barrier: &Barrier) -> Result<(), StartError> {
    if let Some(block) = barrier.wanted_block() {
        let row = counter_row(block.term());
        let value = block.seal(&row, &[&codec::encode(&Reservation { total: block.total() })?])?;
        let change = coffer_storage::Change::Put { key: Key::new(row)?, value, expect: None };
        store.commit(Batch { epoch: Some(epoch), changes: vec![change], ..Batch::default() }).await?;
        block.grant();
    }
    Ok(())
}

/// The clock, from the store's high-water mark on.
async fn start_clock(core: &Core, barrier: &Barrier) -> Result<Arc<Clock>, StartError> {
    let mark = match core.store.get(&Key::new(keys::CLOCK)?).await? {
        Some(entry) => {
            let row: housekeeping::ClockRow = codec::decode(keys::CLOCK, &barrier.open(keys::CLOCK, &entry.value)?)?;
            Some(row.mark_ms)
        }
        None => None,
    };
    let clock = Arc::new(Clock::start(Arc::clone(&core.time), mark));
    core.clock.store(Arc::clone(&clock));
    if clock.is_in_doubt() {
        tracing::error!(
            "the clock is in doubt: irreversible work waits; set it, or see `coffer operator clock-accept`"
        );
    }
    Ok(clock)
}

/// Opens this node's log, or makes it. Tells up to where the store knows it.
async fn open_log(
    core: &Core,
    epoch: Epoch,
    root: &Root,
    barrier: &Barrier,
) -> Result<(Log, String, Option<Head>), StartError> {
    let log_row = format!("{}{}", keys::LOG, core.node);
    let head_row = format!("{}{}", keys::LOG_HEAD, core.node);
    let stored: Option<LogRow> = match core.store.get(&Key::new(log_row.clone())?).await? {
        Some(entry) => Some(codec::decode(&log_row, &barrier.open(&log_row, &entry.value)?)?),
        None => None,
    };
    let (row, seed) = match stored {
        Some(row) => {
            let key = log_key_row(&core.node, row.key_number);
            let entry = core.store.get(&Key::new(key.clone())?).await?;
            let entry = entry.ok_or_else(|| Error::internal(format!("the log's key {key:?} is missing")))?;
            (row, barrier::unwrap_under_root(&root.key, &key, &entry.value)?)
        }
        None => {
            let seed = Secret::random(32)?;
            let origin = format!("{}/{}", root.cluster_id, core.node);
            let first_vkey = vkey(&origin, &SigningKey::from_seed(&seed)?.public_key())?;
            let row = LogRow { origin, first_vkey, key_number: 1 };
            let mut edit = Edit::default();
            let key = log_key_row(&core.node, 1);
            let wrapped = barrier::wrap_under_root(&root.key, &key, &seed)?;
            edit.put_sealed(key, wrapped, Some(Expect::Absent));
            edit.put(log_row.clone(), codec::encode(&row)?, Some(Expect::Absent));
            let head = LogHead { size: 0, root: [0; 32] };
            edit.put(head_row.clone(), codec::encode(&head)?, None);
            let record = Record::system("log.create").fact("vkey", row.first_vkey.clone());
            let batch = commit::sealed_batch(barrier, &core.node, epoch, core.clock.load().now(), edit, record)?;
            core.store.commit(batch).await?;
            (row, seed)
        }
    };
    let known: Option<LogHead> = match core.store.get(&Key::new(head_row.clone())?).await? {
        Some(entry) => Some(codec::decode(&head_row, &barrier.open(&head_row, &entry.value)?)?),
        None => None,
    };
    // Size 0 registers that the log exists before its directory does: nothing was logged yet that could be missing.
    let known = known.filter(|head| head.size > 0).map(|head| Head { size: head.size, root: head.root });
    let log = match open_with(core, &row, &seed, known).await? {
        Ok(log) => log,
        // A rotation reached the log and not the row: the next key is stored, and it is the one in force.
        Err(OpenError::OtherKey { signed_by }) => {
            let number = row.key_number + 1;
            let key = log_key_row(&core.node, number);
            let entry = core.store.get(&Key::new(key.clone())?).await?;
            let entry = entry.ok_or_else(|| {
                StartError::Log(format!("it is signed by {signed_by}, which the store does not hold"))
            })?;
            let seed = barrier::unwrap_under_root(&root.key, &key, &entry.value)?;
            let log = open_with(core, &row, &seed, known).await?.map_err(|error| StartError::Log(explain(&error)))?;
            let mut edit = Edit::default();
            let row = LogRow { key_number: number, ..row.clone() };
            edit.put(log_row, codec::encode(&row)?, None);
            let record = Record::system("log.rotate").fact("resumed", "true");
            let batch = commit::sealed_batch(barrier, &core.node, epoch, core.clock.load().now(), edit, record)?;
            core.store.commit(batch).await?;
            log
        }
        Err(error) => return Err(StartError::Log(explain(&error))),
    };
    Ok((log, row.first_vkey, known))
}

async fn open_with(
    core: &Core,
    row: &LogRow,
    seed: &Secret,
    known: Option<Head>,
) -> Result<Result<Log, OpenError>, StartError> {
    let dir = core.config.audit.dir.clone();
    let signer = SigningKey::from_seed(seed)?;
    let origin = KeyName::new(&row.origin).map_err(Error::internal)?;
    let options = Options::new(origin);
    let opening = move || Log::open(&dir, Arc::new(RealDisk), signer, options, known);
    let opened = tokio::task::spawn_blocking(opening).await.map_err(Error::internal)?;
    Ok(opened.map(|(log, opened)| {
        let root = STANDARD.encode(opened.head.root);
        tracing::info!(size = opened.head.size, root, dropped_bytes = opened.dropped_bytes, "audit log opened");
        log
    }))
}

/// The row of a log's signing key.
pub(crate) fn log_key_row(node: &str, number: u32) -> String {
    format!("{}log/{node}/{number:08x}", keys::KEY)
}

/// A verifier key as text.
pub(crate) fn vkey(origin: &str, public: &[u8; 32]) -> Result<String, Error> {
    let name = KeyName::new(origin).map_err(Error::internal)?;
    Ok(VerifierKey::new(name, *public).to_string())
}

fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Writes a file of mode 0600 whole or not at all.
pub(crate) fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let suffix = rng::bytes::<6>().map_err(io::Error::other)?;
    let suffix: String = suffix.iter().map(|b| format!("{b:02x}")).collect();
    let temporary = path.with_extension(format!("{suffix}.new"));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path))?;
    fs::File::open(path.parent().unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all())
}
