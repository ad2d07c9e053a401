//! New shares that are encrypted to their holders' keys, kept where that was asked for until somebody deletes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::shares::NewShares;
use crate::{
    Caller, Error,
    caller::Done,
    codec::{self, Persisted},
    commit::{Edit, Urgency},
    keys,
    policy::Operation,
};

/// Whether a rekey's new shares are kept, encrypted as they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ShareBackup {
    /// In the place of those that were kept before.
    Kept,
    /// They are told, and nothing else.
    Untouched,
}

/// The row under `SHARE_BACKUP`: what the last rekey with a backup told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeptShares {
    /// The rekey that made them.
    pub nonce: Uuid,
    /// Encrypted shares by their holders' fingerprints.
    pub shares: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Persisted for KeptShares {}

impl KeptShares {
    pub(crate) fn of(nonce: Uuid, new: &NewShares) -> Self {
        let mut shares: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for (fingerprint, sealed) in new.sealed() {
            shares.entry(fingerprint.to_owned()).or_default().push(sealed.to_vec());
        }
        Self { nonce, shares }
    }

    /// Puts it in the place of what was kept before.
    pub(crate) fn put(&self, edit: &mut Edit) -> Result<(), Error> {
        edit.put(keys::SHARE_BACKUP, codec::encode(self)?, None);
        Ok(())
    }
}

impl Caller {
    /// What was kept of the last rekey that asked for it.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on the path, which is one of those that have it;
    /// [`coffer_api::Code::Invalid`] where nothing is kept.
    pub async fn kept_shares(&self, path: &str) -> Result<KeptShares, Error> {
        self.recorded(self.record("rekey.backup_read", path), async {
            self.authorise(path, Operation::Read, &())?;
            let found = self.active.row::<KeptShares>(keys::SHARE_BACKUP).await?;
            let found = found.ok_or_else(|| Error::invalid("no backed-up keys found"))?;
            Ok(Done::Unlogged(found.value))
        })
        .await
    }

    /// Deletes it. Where nothing is kept, nothing happens.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on the path.
    pub async fn delete_kept_shares(&self, path: &str) -> Result<(), Error> {
        let record = self.record("rekey.backup_delete", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Delete, &())?;
            let guard = self.active.locks.lock(&[keys::SHARE_BACKUP]).await;
            if self.active.row::<KeptShares>(keys::SHARE_BACKUP).await?.is_none() {
                return Ok(Done::Unlogged(()));
            }
            let mut edit = Edit::under(guard);
            edit.delete(keys::SHARE_BACKUP, None);
            Ok(Done::Logged((), self.active.commit(edit, record, Urgency::Ordinary).await?))
        })
        .await
    }
}
