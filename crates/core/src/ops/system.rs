//! The system itself: seal, rotation of keys.

use coffer_crypto::{Secret, sign::SigningKey};

use crate::{
    Caller, Core, Error,
    activate::{LogRow, log_key_row},
    barrier,
    caller::Done,
    codec,
    commit::{Edit, Logged, Urgency},
    housekeeping,
    keyring::Purpose,
    keys,
    policy::Operation,
    record::Record,
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

impl Caller {
    /// Number of the barrier's term and the seals reserved for it.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/key-status`.
    pub async fn key_status(&self) -> Result<(u32, u64), Error> {
        let path = "sys/key-status";
        self.recorded(self.record("barrier.read", path), async {
            self.authorise(path, Operation::Read, &())?;
            Ok(Done::Unlogged((self.active.barrier.term(), self.active.barrier.seals())))
        })
        .await
    }

    /// Replaces a key by a new one; what the old one made stays readable, until [`Caller::retire`] where there is that.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update and sudo on `sys/rotate`.
    pub async fn rotate(&self, key: RotateKey) -> Result<(), Error> {
        let path = "sys/rotate";
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
}
