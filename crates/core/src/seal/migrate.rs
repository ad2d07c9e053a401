//! From one seal to the other, on the server's own machine.
//!
//! The root key is wrapped under the new seal beside the old one. The old wrap goes when a node started with the new seal
//! has opened the store with it, so that at no moment, whatever crashes, nothing opens the store that somebody holds.

use std::{path::PathBuf, sync::Arc};

use coffer_storage::{Expect, Revision};

use super::{
    SealKind,
    root::{self, RootRow, Wrapped},
    shares::{AskedSplit, NewShares, Share},
};
use crate::{
    Context, Core, Error,
    active::Active,
    commit::{Edit, Logged, Urgency},
    keys,
    locks::PathGuard,
    record::{Actor, Record},
};

/// Where to.
pub enum MigrateSeal {
    /// Nowhere: the wrap that was added goes, and what it was made for opens nothing.
    Abandon,
    /// To the key file, which is made where there is none; so many of the present shares prove the right to it.
    File(Vec<Share>),
    /// To shares.
    Shamir(AskedSplit),
}

/// What was done.
pub enum Migrated {
    /// Nothing is added any more.
    Abandoned,
    /// The store opens with this file as well.
    File(PathBuf),
    /// The store opens with these shares as well; they are told once.
    Shamir(NewShares),
}

impl Core {
    /// Adds a second seal to the store, or takes back that. Local callers only.
    ///
    /// # Errors
    /// Where the caller is not local or this node is not active; [`coffer_api::Code::Invalid`] where the store has that seal
    /// already, or the shares are wrong.
    pub async fn local_seal_migrate(&self, cx: Context, to: MigrateSeal) -> Result<Migrated, Error> {
        self.check_local(&cx).await?;
        let active = self.active()?;
        let actor = Actor { kind: "local", ..Actor::default() };
        let record = Record::of_request("seal.migrate", "sys/seal-migrate".to_owned(), actor, &cx);
        match self.migrate(&active, to, record.clone()).await {
            Ok((migrated, logged)) => {
                logged.spend();
                Ok(migrated)
            }
            Err(error) => {
                let mut record = record;
                record.fail(&error);
                active.log_synced(&record).await?;
                Err(error)
            }
        }
    }

    async fn migrate(
        &self,
        active: &Arc<Active>,
        to: MigrateSeal,
        record: Record,
    ) -> Result<(Migrated, Logged), Error> {
        let guard = active.locks.lock(&[keys::ROOT]).await;
        let mut held = Held::read(active, guard).await?;
        match (active.ceremonies.kind, to) {
            (SealKind::File | SealKind::Shamir, MigrateSeal::Abandon) => {
                if held.row.next.is_none() {
                    return Err(Error::invalid("the store is not on its way to another seal"));
                }
                held.keep_only(active.ceremonies.kind);
                let logged = held.commit(active, record.fact("abandoned", "true")).await?;
                Ok((Migrated::Abandoned, logged))
            }
            (SealKind::File, MigrateSeal::Shamir(asked)) => {
                let split = asked.checked();
                let split = split.map_err(|why| Error::invalid(format!("invalid seal configuration: {why}")))?;
                let (key, shares) = split.make()?;
                held.add(SealKind::Shamir, Wrapped::new(SealKind::Shamir, &key, Some(split), &active.root)?);
                let record = record
                    .fact("to", SealKind::Shamir.name())
                    .fact("shares", split.shares().to_string())
                    .fact("threshold", split.threshold().to_string());
                let logged = held.commit(active, record).await?;
                Ok((Migrated::Shamir(shares), logged))
            }
            (SealKind::Shamir, MigrateSeal::File(shares)) => {
                let given = Share::distinct(shares);
                if given.len() < usize::from(held.row.split()?.threshold()) {
                    let threshold = held.row.split()?.threshold();
                    return Err(Error::invalid(format!("{threshold} different shares are needed")));
                }
                held.row.open_with(&given).map(drop)?;
                drop(given);
                let failed = |error: crate::FileSealError| Error::invalid(error.to_string()).caused_by(error);
                // A file that is there already was left by an earlier seal or attempt, and serves as well as a new one.
                if self.seal.read().map_err(failed)?.is_none() {
                    self.seal.create().map_err(failed)?;
                }
                crate::failpoint::hit("after-seal-key-file");
                let key = self.seal.read().map_err(failed)?;
                let key = key.ok_or_else(|| Error::internal("the key file that was made is gone"))?;
                held.add(SealKind::File, Wrapped::new(SealKind::File, &key, None, &active.root)?);
                root::unwrap(&held.row, &self.seal)?;
                let logged = held.commit(active, record.fact("to", SealKind::File.name())).await?;
                Ok((Migrated::File(self.seal.path().to_owned()), logged))
            }
            (kind @ SealKind::File, MigrateSeal::File(_)) | (kind @ SealKind::Shamir, MigrateSeal::Shamir(_)) => {
                let advice = match kind {
                    SealKind::File => "",
                    SealKind::Shamir => "; `coffer operator rekey` makes new shares",
                };
                Err(Error::invalid(format!("the store is sealed with {kind} already{advice}")))
            }
        }
    }
}

/// After a node was opened with the seal to which its store is on its way: the others go.
pub(crate) async fn finish(active: &Arc<Active>) -> Result<(), Error> {
    let guard = active.locks.lock(&[keys::ROOT]).await;
    let mut held = Held::read(active, guard).await?;
    let kind = active.ceremonies.kind;
    if held.row.next.as_deref() != Some(kind.name()) {
        return Ok(());
    }
    held.keep_only(kind);
    crate::failpoint::hit("before-seal-removed");
    held.commit(active, Record::system("seal.migrated").fact("seal", kind.name())).await.map(Logged::spend)
}

/// The root row while it is changed.
struct Held {
    row: RootRow,
    revision: Revision,
    guard: PathGuard,
}

impl Held {
    async fn read(active: &Active, guard: PathGuard) -> Result<Self, Error> {
        let found = root::read_with_revision(active.store.as_ref()).await?;
        let (row, revision) = found.ok_or_else(|| Error::internal("the store lost its root row"))?;
        Ok(Self { row, revision, guard })
    }

    fn add(&mut self, kind: SealKind, wrapped: Wrapped) {
        self.row.wraps.insert(kind.name().to_owned(), wrapped);
        self.row.next = Some(kind.name().to_owned());
    }

    fn keep_only(&mut self, kind: SealKind) {
        self.row.wraps.retain(|held, _| held == kind.name());
        self.row.next = None;
    }

    async fn commit(self, active: &Arc<Active>, record: Record) -> Result<Logged, Error> {
        let Self { row, revision, guard } = self;
        let mut edit = Edit::under(guard);
        edit.put_sealed(keys::ROOT, row.sealed()?, Some(Expect::Revision(revision)));
        edit.in_force(move |active| active.ceremonies.seen.lock().see(&row));
        active.commit(edit, record, Urgency::Ordinary).await
    }
}
