//! What is known here of the versions of a backup: no backup makes a version better than it is.
//!
//! A version is known again by its fingerprint, so that neither its number nor the id of its key matters.

use std::collections::BTreeMap;

use coffer_storage::{Limit, Prefix, Revision};
use uuid::Uuid;

use super::super::super::{
    deleted_prefix,
    entry::{Compromise, KeyEntry, KeyVersion, NameRow},
    state::KeyState,
};
use crate::{
    Error, Mount,
    active::{Active, Found},
    codec,
};

/// What is known of a backup's versions.
pub(super) struct Known {
    /// The key whose place the restored one would take.
    live: Option<(Uuid, Revision)>,
    enabled: bool,
    versions: BTreeMap<Vec<u8>, KnownVersion>,
}

/// A version, wherever it is here.
#[derive(Default)]
pub(super) struct KnownVersion {
    /// As the key has it whose place the restored one would take.
    live: Option<KeyVersion>,
    compromise: Option<Compromise>,
    /// Uses that may have been made of it with random nonces.
    pub(super) uses: u64,
}

impl Known {
    /// What the key of this name knows, and as far as versions were compromised and used, those that the backup is of or that
    /// were deleted under either name.
    pub(super) async fn of(active: &Active, mount: &Mount, name: &str, backed_up: &str) -> Result<Self, Error> {
        let live = active.key_entry(mount.id, name).await?;
        let mut known = Self {
            live: live.as_ref().map(|found| (found.value.id, found.revision)),
            enabled: live.as_ref().is_none_or(|found| found.value.enabled),
            versions: BTreeMap::new(),
        };
        let mut others = deleted(active, mount.id, name).await?;
        if backed_up != name {
            others.extend(active.key_entry(mount.id, backed_up).await?.map(|found| found.value));
            others.extend(deleted(active, mount.id, backed_up).await?);
        }
        for other in &others {
            known.note(active, other).await?;
        }
        if let Some(Found { value: entry, .. }) = live {
            known.note(active, &entry).await?;
            for version in entry.versions {
                let fingerprint = version.fingerprint.clone();
                known.versions.entry(fingerprint).or_default().live = Some(version);
            }
        }
        Ok(known)
    }

    /// Whether the key of the name is still the one that was looked at.
    pub(super) fn is_of(&self, found: Option<&Found<KeyEntry>>) -> bool {
        self.live == found.map(|found| (found.value.id, found.revision))
    }

    /// Whether the restored key is switched on.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// What is known of the version of this fingerprint.
    pub(super) fn version(&self, fingerprint: &[u8]) -> Option<&KnownVersion> {
        self.versions.get(fingerprint)
    }

    async fn note(&mut self, active: &Active, entry: &KeyEntry) -> Result<(), Error> {
        for version in &entry.versions {
            let uses = active.use_counter(entry, version.number).await?.map_or(0, |counter| counter.total());
            let known = self.versions.entry(version.fingerprint.clone()).or_default();
            known.uses = known.uses.max(uses);
            if known.compromise.is_none() {
                known.compromise.clone_from(&version.compromise);
            }
        }
        Ok(())
    }
}

impl KnownVersion {
    /// The version, where it is destroyed for good, as one of this number.
    pub(super) fn destroyed(&self, number: u32) -> Option<KeyVersion> {
        let live = self.live.as_ref().filter(|live| live.state == KeyState::Destroyed)?;
        Some(KeyVersion { number, object: None, ..live.clone() })
    }

    /// Gives the restored version the worse of both states.
    pub(super) fn worsen(&self, restored: &mut KeyVersion) {
        if restored.compromise.is_none() && self.compromise.is_some() {
            restored.compromise.clone_from(&self.compromise);
            restored.state = restored.state.max(KeyState::Compromised);
        }
        let Some(live) = &self.live else { return };
        // From here on they stand in the order in which each allows less.
        if live.state >= KeyState::Suspended && live.state > restored.state {
            restored.state = live.state;
            restored.deactivated_ms = live.deactivated_ms;
            restored.scheduled_ms = live.scheduled_ms;
            restored.destroy_at_ms = live.destroy_at_ms;
        }
    }
}

/// The keys that had this name when they were deleted.
async fn deleted(active: &Active, mount: Uuid, name: &str) -> Result<Vec<KeyEntry>, Error> {
    let prefix = Prefix::new(deleted_prefix(mount, name))?;
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = active.store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
        for (key, found) in &page.items {
            let row = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
            let named: NameRow = codec::decode(row, &active.barrier.open(row, &found.value)?)?;
            entries.extend(active.key_by_id(mount, named.id).await?.map(|found| found.value));
        }
        match page.items.last() {
            Some((last, _)) if page.more => after = Some(last.clone()),
            Some(_) | None => return Ok(entries),
        }
    }
}
