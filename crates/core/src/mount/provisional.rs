//! Mounts that came with the store and that nobody asked for: they give way to what a client enables at their path, as
//! if nothing were there, until something is stored in them.
//!
//! A mount is provisional until the commit that stores the first row below it, which says so in the same batch; both
//! such commits and those that change the table hold the lock of [`keys::MOUNT`]. So nothing that was stored is ever
//! lost to a mount that takes the place.

use std::sync::{Arc, atomic::Ordering};

use coffer_api::Code;
use serde::{Deserialize, Serialize};

use super::{Mount, MountKind, Mounts};
use crate::{
    Error,
    active::Active,
    codec,
    commit::{Edit, Part},
    keys,
    locks::PathGuard,
    record::Record,
};

/// Whose choice a mount is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Standing {
    /// A client's: it enabled it, or moved it where it is.
    Chosen,
    /// The store's own, with nothing in it: it gives way to any other.
    Provisional,
    /// The store's own, with something in it: who enables the same at its path gets it as it is.
    Used,
}

/// What becomes of what is at the path of a mount to be.
pub(super) enum Place {
    /// It is given to whoever asked for the same.
    Adopted(Arc<Mount>),
    /// These go.
    Free(Vec<Arc<Mount>>),
}

impl Mounts {
    /// The place for a mount of a kind at `path`.
    ///
    /// # Errors
    /// [`Code::Invalid`] where something is there that stays.
    pub(super) fn place(&self, path: &str, kind: MountKind) -> Result<Place, Error> {
        let mut gone = Vec::new();
        for known in self.overlapping(path) {
            let shown = known.path.strip_prefix("auth/").unwrap_or(&known.path);
            match known.standing {
                Standing::Provisional => gone.push(known),
                Standing::Used if known.path == path && known.kind == kind => return Ok(Place::Adopted(known)),
                Standing::Used => {
                    return Err(Error::invalid(format!(
                        "path is already in use at {shown}: it came with the store and is in use as {}: enable it as \
                         that, or disable it first, which makes its data unreachable",
                        known.kind.described()
                    )));
                }
                Standing::Chosen => return Err(Error::invalid(format!("path is already in use at {shown}"))),
            }
        }
        Ok(Place::Free(gone))
    }

    /// What gives way to a mount that moves to a path.
    ///
    /// # Errors
    /// [`Code::Invalid`] where something is there that stays; what moves does not make way for itself.
    pub(super) fn place_of_move(&self, from: &str, to: &str) -> Result<Vec<Arc<Mount>>, Error> {
        let known = self.overlapping(to);
        match known.iter().find(|known| known.standing != Standing::Provisional || known.path == from) {
            Some(stays) => Err(Error::invalid(format!("path already in use at {:?}", stays.path))),
            None => Ok(known),
        }
    }

    /// To be called after every change of the table.
    pub(super) fn note_provisional(&self) {
        let any = self.table.load().values().any(|mount| mount.standing == Standing::Provisional);
        self.has_provisional.store(any, Ordering::Release);
    }

    fn provisional(&self) -> Vec<Arc<Mount>> {
        if !self.has_provisional.load(Ordering::Acquire) {
            return Vec::new();
        }
        let table = self.table.load();
        table.values().filter(|mount| mount.standing == Standing::Provisional).cloned().collect()
    }
}

/// Adds the end of mounts that give way to one at `path`, where a row is written anyway.
pub(super) fn displace(gone: &[Arc<Mount>], path: &str, edit: &mut Edit, record: Record) -> Record {
    let mut record = record;
    for mount in gone {
        record = record.fact("replaced", mount.accessor.clone());
        if mount.path == path {
            continue;
        }
        edit.delete(Mount::row(&mount.path), None);
        let left = mount.path.clone();
        edit.in_force(move |active| active.mounts.remove(&left));
    }
    record
}

impl Mount {
    /// As it was asked for, with what is stored below `known`.
    pub(super) fn in_place_of(self, known: &Self) -> Self {
        Self {
            accessor: known.accessor.clone(),
            id: known.id,
            kv: known.kv,
            created_ms: known.created_ms,
            tenure: known.tenure,
            ..self
        }
    }

    /// Whether it came with the store and nothing is in it: to clients it is not there until something is.
    pub(crate) fn is_unused(&self) -> bool {
        self.standing == Standing::Provisional
    }

    /// Something was set in it.
    pub(crate) fn used(&mut self) {
        match self.standing {
            Standing::Provisional => self.standing = Standing::Used,
            Standing::Chosen | Standing::Used => {}
        }
    }
}

impl Active {
    /// Waits for the turn on rows below a mount that may be written. A provisional mount cannot be replaced meanwhile.
    ///
    /// # Errors
    /// [`Code::NotFound`] where the mount has given way since the request was routed to it.
    pub(crate) async fn lock_in(&self, mount: &Mount, rows: &[&str]) -> Result<PathGuard, Error> {
        if !self.mounts.provisional().iter().any(|known| known.id == mount.id) && !self.has_left(mount) {
            return Ok(self.locks.lock(rows).await);
        }
        let guard = self.locks.lock(&[rows, &[keys::MOUNT]].concat()).await;
        if self.has_left(mount) {
            return Err(Error::new(Code::NotFound, "the mount was replaced meanwhile: try again"));
        }
        Ok(guard)
    }

    /// Whether what the request was routed to was provisional and is there no more.
    fn has_left(&self, mount: &Mount) -> bool {
        mount.standing == Standing::Provisional && self.mounts.at(&mount.path).is_none_or(|now| now.id != mount.id)
    }

    /// Adds to edits of one commit that store something below provisional mounts that they are in use. Rows of a mount have
    /// its id behind their prefix.
    pub(crate) fn note_use(&self, parts: &mut [Part]) -> Result<(), Error> {
        for mount in self.mounts.provisional() {
            let (id, simple) = (mount.id.to_string(), mount.id.simple().to_string());
            // That it is disabled is nothing stored in it.
            let below = |key: &str| {
                let place = key.split('/').nth(1).filter(|_| !key.starts_with(keys::MOUNT_PURGE));
                place.is_some_and(|place| place == id || place == simple)
            };
            let row = Mount::row(&mount.path);
            let puts = |is: &dyn Fn(&str) -> bool| parts.iter().any(|(edit, _)| edit.puts(is));
            if puts(&below)
                && !puts(&|key| key == row)
                && let Some((edit, _)) = parts.first_mut()
            {
                let mut mount = mount.as_ref().clone();
                mount.used();
                edit.put(row, codec::encode(&mount)?, None);
                edit.in_force(move |active| active.mounts.put(mount));
            }
        }
        Ok(())
    }
}

impl MountKind {
    fn described(self) -> &'static str {
        match self {
            Self::KvV1 => "kv version 1",
            Self::KvV2 => "kv version 2",
            Self::Approle
            | Self::Cubbyhole
            | Self::Generic
            | Self::Identity
            | Self::System
            | Self::Token
            | Self::Transit
            | Self::Userpass => self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MountEnable;

    fn mounts(standing: Standing) -> Mounts {
        let mounts = Mounts::default();
        let mount = Mount::new("secret/", MountKind::KvV2, MountEnable::default(), 0).unwrap();
        mounts.put(Mount { standing, ..mount });
        mounts
    }

    #[test]
    fn provisional_mount_gives_way_and_used_one_to_its_like_alone() {
        for (standing, path, kind, expected) in [
            (Standing::Provisional, "secret/", MountKind::KvV1, "free 1"),
            (Standing::Provisional, "secret/", MountKind::KvV2, "free 1"),
            (Standing::Provisional, "secret/sub/", MountKind::KvV1, "free 1"),
            (Standing::Provisional, "other/", MountKind::KvV1, "free 0"),
            (Standing::Used, "secret/", MountKind::KvV2, "adopted"),
            (Standing::Used, "secret/", MountKind::KvV1, "refused"),
            (Standing::Used, "secret/", MountKind::Generic, "refused"),
            (Standing::Used, "secret/sub/", MountKind::KvV2, "refused"),
            (Standing::Chosen, "secret/", MountKind::KvV2, "refused"),
            (Standing::Chosen, "secret/sub/", MountKind::KvV2, "refused"),
        ] {
            let found = match mounts(standing).place(path, kind) {
                Ok(Place::Adopted(_)) => "adopted".to_owned(),
                Ok(Place::Free(gone)) => format!("free {}", gone.len()),
                Err(error) => {
                    assert!(error.public().starts_with("path is already in use at secret/"), "{error:?}");
                    "refused".to_owned()
                }
            };
            assert_eq!(found, expected, "{standing:?} {path} {kind:?}");
        }
    }
}
