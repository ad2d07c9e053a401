//! The end of the shares before a rekey: not before somebody has the new ones.

use std::sync::Arc;

use coffer_storage::Expect;
use uuid::Uuid;

use super::root::{self, Wrapped};
use crate::{
    Error,
    active::Active,
    commit::{Edit, Logged, Urgency},
    keys,
    record::Record,
};

/// Ends the shares before a rekey whose new ones were answered. Again and again, until it is done.
pub(crate) async fn retire(active: &Arc<Active>) -> Result<(), Error> {
    let told =
        active.ceremonies.untold.lock().as_ref().filter(|untold| untold.is_told).map(|told| told.wrapped.clone());
    let Some(present) = told else { return Ok(()) };
    retire_before(active, &present).await?;
    active.ceremonies.untold.lock().take_if(|untold| untold.wrapped == present);
    Ok(())
}

/// After a node was opened with the shares of a rekey: those before it go, as somebody has the new ones.
pub(crate) async fn finish(active: &Arc<Active>) -> Result<(), Error> {
    let by = active.ceremonies.seen.lock().by();
    match by {
        Some(present) => retire_before(active, &present).await,
        None => Ok(()),
    }
}

async fn retire_before(active: &Arc<Active>, present: &Wrapped) -> Result<(), Error> {
    let guard = active.locks.lock(&[keys::ROOT]).await;
    let found = root::read_with_revision(active.store.as_ref()).await?;
    let (mut row, revision) = found.ok_or_else(|| Error::internal("the store lost its root row"))?;
    if !row.retire(present) {
        return Ok(());
    }
    let mut edit = Edit::under(guard);
    edit.put_sealed(keys::ROOT, row.sealed()?, Some(Expect::Revision(revision)));
    edit.in_force(move |active| active.ceremonies.seen.lock().see(&row));
    active.commit(edit, Record::system("rekey.retire"), Urgency::Ordinary).await.map(Logged::spend)
}

/// New shares in force, and whether they left the server.
pub(crate) struct Untold {
    request: Uuid,
    wrapped: Wrapped,
    is_told: bool,
}

impl Untold {
    pub(crate) fn new(request: Uuid, wrapped: Wrapped) -> Self {
        Self { request, wrapped, is_told: false }
    }

    /// The answer to this request is complete.
    pub(crate) fn tell(&mut self, request: Uuid) -> bool {
        let is_it = self.request == request;
        self.is_told |= is_it;
        is_it
    }
}
