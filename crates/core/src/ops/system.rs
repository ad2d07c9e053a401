//! The system itself: seal, rotation of keys.

use coffer_crypto::{Secret, sign::SigningKey};

use crate::{
    Caller, Core, Error,
    activate::{LogRow, log_key_row},
    barrier,
    caller::Done,
    codec,
    commit::{Edit, Logged, Urgency},
    housekeeping::{self, TermBegan},
    keyring::Purpose,
    keys,
    policy::Operation,
    record::Record,
    time::rfc3339,
};

/// Keys that rotate on demand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RotateKey {
    /// Keyed hashes of values in the log.
    Audit,
    /// The barrier's term.
    Barrier,
    /// The sealing of batch tokens.
    Batch,
    /// The signing key of this node's log.
    Log,
    /// Keyed hashes of tokens.
    Token,
}

/// The barrier's term.
#[derive(Clone, Debug)]
pub struct KeyStatus {
    /// Its number, from 1.
    pub term: u32,
    /// Since when it seals, RFC 3339.
    pub began: String,
    /// What was sealed under it; crashes may have added some that were not.
    pub seals: u64,
}

/// When the barrier's term is replaced by itself.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// At this age, in seconds.
    pub max_age: u64,
    /// After so many seals.
    pub max_seals: u64,
}

impl Caller {
    /// The barrier's term.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/key-status`.
    pub async fn key_status(&self) -> Result<KeyStatus, Error> {
        let path = "sys/key-status";
        self.recorded(self.record("barrier.read", path), async {
            self.authorise(path, Operation::Read, &())?;
            let began = self.active.row::<TermBegan>(keys::TERM_BEGAN).await?;
            let began = began.ok_or_else(|| Error::internal("when the term began is missing"))?.value;
            Ok(Done::Unlogged(KeyStatus {
                term: self.active.barrier.term(),
                began: rfc3339(began.began_ms),
                seals: self.active.barrier.used(),
            }))
        })
        .await
    }

    /// When the barrier's term is replaced by itself, asked for as `logical`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `logical`.
    pub async fn rotation(&self, logical: &str) -> Result<Rotation, Error> {
        self.recorded(self.record("barrier.read", logical), async {
            self.authorise(logical, Operation::Read, &())?;
            Ok(Done::Unlogged(Rotation { max_age: self.active.limits.term_max_age, max_seals: barrier::REPLACED_AT }))
        })
        .await
    }

    /// Whether the caller may know about the machine.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/host-info`.
    pub async fn host_read(&self) -> Result<(), Error> {
        let path = "sys/host-info";
        self.recorded(self.record("system.read", path), async {
            self.authorise(path, Operation::Read, &()).map(|_| Done::Unlogged(()))
        })
        .await
    }

    /// Whether the caller may know what `path` tells of the running server.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `path`.
    pub async fn system_read(&self, path: &str) -> Result<(), Error> {
        self.recorded(self.record("system.read", path), async {
            self.authorise(path, Operation::Read, &()).map(|_| Done::Unlogged(()))
        })
        .await
    }

    /// Replaces a key by a new one; what the old one made stays readable, until [`Caller::retire`] where there is that.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update and sudo on `sys/rotate`.
    pub async fn rotate(&self, key: RotateKey) -> Result<(), Error> {
        self.rotate_at("sys/rotate", key).await
    }

    /// As [`Caller::rotate`], asked for as `path`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`, and sudo where it is one of those that need it.
    pub async fn rotate_at(&self, path: &str, key: RotateKey) -> Result<(), Error> {
        let class = match key {
            RotateKey::Audit | RotateKey::Batch | RotateKey::Token => "key.rotate",
            RotateKey::Barrier => "barrier.rotate",
            RotateKey::Log => "log.rotate",
        };
        let record = self.record(class, path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, &())?;
            let logged = match key {
                RotateKey::Audit => self.active.rotate_ring(Purpose::Audit, record).await?,
                RotateKey::Barrier => housekeeping::rotate_term(&self.active, record).await?,
                RotateKey::Batch => self.active.rotate_ring(Purpose::Batch, record).await?,
                RotateKey::Log => self.rotate_log(record).await?,
                RotateKey::Token => self.active.rotate_ring(Purpose::Token, record).await?,
            };
            Ok(Done::Logged((), logged))
        })
        .await
    }

    /// The new key is stored; then the old one signs the entry that names it; the row moves on last. A start in
    /// between finds either key in force and knows both.
    async fn rotate_log(&self, record: Record) -> Result<Logged, Error> {
        let active = &self.active;
        let row_key = format!("{}{}", keys::LOG, active.node);
        let guard = active.locks.lock(&[&row_key]).await;
        let found = active.row::<LogRow>(&row_key).await?;
        let mut row = found.ok_or_else(|| Error::internal("the log's row is missing"))?.value;
        row.key_number += 1;
        let seed = Secret::random(32)?;
        let key = log_key_row(&active.node, row.key_number);
        let mut edit = Edit::default();
        // A rotation that failed half way left a key that was never in force; it is replaced.
        edit.put_sealed(key.clone(), barrier::wrap_under_root(&active.root, &key, &seed)?, None);
        active.commit(edit, record.clone().fact("begun", "true"), Urgency::Ordinary).await?.spend();
        let node = active.node.clone();
        let now = active.clock.now();
        let told = record.clone();
        let entry = move |old: &str, new: &str| {
            let record = told.fact("old", old).fact("new", new);
            record.encode(&node, now).into_iter().next().map(crate::record::Encoded::into_entry).unwrap_or_default()
        };
        let rotated = active.log.rotate_key(SigningKey::from_seed(&seed)?, entry).await;
        rotated.map_err(|error| {
            Error::new(coffer_api::Code::AuditUnavailable, "the log's key could not be changed; try again")
                .caused_by(error)
        })?;
        let mut edit = Edit::under(guard);
        edit.put(row_key, codec::encode(&row)?, None);
        active.commit(edit, record, Urgency::Ordinary).await
    }
}

impl Core {
    /// Seals the node for a caller who may.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update and sudo on `sys/seal`.
    pub async fn seal(&self, caller: Caller) -> Result<(), Error> {
        let path = "sys/seal";
        let record = caller.record("system.seal", path);
        let recorded = caller.recorded(record, async {
            caller.authorise(path, Operation::Update, &())?;
            Ok(Done::Unlogged(()))
        });
        recorded.await?;
        drop(caller);
        self.seal_now().await
    }

    /// Gives the leadership up for a caller who may; nothing more where no other node could take it.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update and sudo on `sys/step-down`; [`coffer_api::Code::Unavailable`] where
    /// what runs does not end in time.
    pub async fn step_down(&self, caller: Caller) -> Result<(), Error> {
        let path = "sys/step-down";
        let record = caller.record("system.step_down", path);
        let recorded = caller.recorded(record, async {
            caller.authorise(path, Operation::Update, &())?;
            Ok(Done::Unlogged(()))
        });
        recorded.await?;
        drop(caller);
        self.step_down_now().await
    }
}
