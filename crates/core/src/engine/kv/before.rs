//! What is asked of several changes of one scope before any path is locked: whether they make sense, whether the policies
//! grant them, and whether the scope has room for them.

use std::collections::{BTreeMap, BTreeSet};

use coffer_api::{Code, Name, Scope, secrets::SecretsPatch};

use super::{
    KvPath,
    data::write_operation,
    kept::{DataParameters, Kept, LayoutData, SnapshotData, json},
    native::{MAX_EFFECTIVE, MOUNT, SetParameters},
    together::{Extent, LOADS_AT_ONCE},
};
use crate::{Caller, Error, mount::Mount, policy::Operation, record::Record};

/// Secrets that are changed together at most.
const MAX_NAMES: usize = 10_000;
/// Bytes of new values that are written together at most.
const MAX_NEW_BYTES: usize = 32 << 20;
/// Characters of a snapshot's reason.
const MAX_REASON: usize = 200;
/// Names that are looked at at a time.
const PAGE: usize = 1000;

impl Caller {
    /// What the policies refuse is refused before any path is locked: nobody waits for who may do nothing. Looked at again
    /// under the locks.
    pub(super) async fn look_before(&self, scope: &Scope, patch: &SecretsPatch, extent: Extent) -> Result<(), Error> {
        let mount = self.native_mount()?;
        let mut refused = Vec::new();
        let mut new = 0;
        if extent == Extent::Whole {
            self.authorise(&format!("{MOUNT}metadata/{}/", scope.path()), Operation::List, &())?;
        }
        for (index, change) in patch.secrets.iter().enumerate() {
            if index % LOADS_AT_ONCE == LOADS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let path = format!("{}/{}", scope.path(), change.name);
            let logical = format!("{MOUNT}data/{path}");
            let (class, allowed) = match &change.value {
                Some(value) => {
                    let loaded = self.active.kv_load(&mount, KvPath::parse(&path)?).await?;
                    new += usize::from(loaded.is_none());
                    let parameters = SetParameters { value, options: &change.options };
                    ("secret.write", self.authorise(&logical, write_operation(loaded.as_ref()), &parameters))
                }
                None => ("secret.delete", self.authorise(&logical, Operation::Delete, &())),
            };
            if let Err(error) = allowed {
                let mut record = self.record(class, logical);
                record.fail(&error);
                refused.push((record, error));
            }
        }
        let fresh =
            SnapshotData { layout: None, reason: patch.snapshot.clone().unwrap_or_default(), secrets: BTreeMap::new() };
        for (kept, data) in [
            (
                Kept::Layout,
                patch.layout.as_ref().map(|layout| json(&LayoutData { layout: layout.clone() })).transpose()?,
            ),
            (Kept::Snapshots, patch.snapshot.as_ref().map(|_| json(&fresh)).transpose()?),
        ] {
            let Some(data) = data else { continue };
            let path = format!("{}/{}", scope.path(), kept.name());
            let logical = format!("{MOUNT}data/{path}");
            let loaded = self.active.kv_load(&mount, KvPath::parse(&path)?).await?;
            if let Err(error) = self.authorise(&logical, write_operation(loaded.as_ref()), &DataParameters(&data)) {
                let mut record = self.record("secret.write", logical);
                record.fail(&error);
                refused.push((record, error));
            }
        }
        self.refuse_all(refused).await?;
        self.has_room(&mount, scope, new).await
    }

    /// Whether so many new names have room in a scope: what has more can be viewed, exported and put back no longer.
    ///
    /// # Errors
    /// [`Code::TooLarge`].
    pub(super) async fn has_room(&self, mount: &Mount, scope: &Scope, new: usize) -> Result<(), Error> {
        if new == 0 || self.own_names(mount, scope).await?.len().saturating_add(new) <= MAX_EFFECTIVE {
            return Ok(());
        }
        let message =
            format!("scope {scope} would have more than {MAX_EFFECTIVE} names, those of deleted secrets included");
        Err(Error::new(Code::TooLarge, message))
    }

    /// Refuses where anything was wrong, with a record for each.
    ///
    /// # Errors
    /// What was wrong first, a refusal of the policies before all else.
    pub(super) async fn refuse_all(&self, refused: Vec<(Record, Error)>) -> Result<(), Error> {
        let (records, mut errors): (Vec<Record>, Vec<Error>) = refused.into_iter().unzip();
        if errors.is_empty() {
            return Ok(());
        }
        self.active.log_reads(&records).await?;
        let first = errors.iter().position(|error| error.code() == Code::Denied).unwrap_or(0);
        let first = errors.swap_remove(first);
        Err(match errors.len() {
            0 => first,
            more => Error::new(first.code(), format!("{}; and {more} more, so nothing was changed", first.public())),
        })
    }

    /// The names of a scope's own entries that native secrets can have.
    pub(super) async fn own_names(&self, mount: &Mount, scope: &Scope) -> Result<Vec<Name>, Error> {
        let (mut names, mut after): (Vec<Name>, String) = (Vec::new(), String::new());
        loop {
            let page = self.active.kv_names(mount, &scope.path(), &after, PAGE).await?;
            names.extend(page.iter().filter_map(|name| name.parse().ok()));
            if names.len() > MAX_EFFECTIVE {
                return Err(Error::new(Code::TooLarge, format!("scope {scope} has more than {MAX_EFFECTIVE} names")));
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after.clone_from(last),
                Some(_) | None => return Ok(names),
            }
        }
    }
}

/// # Errors
/// Where the request makes no sense, or is too large.
pub(super) fn check(patch: &SecretsPatch) -> Result<(), Error> {
    if patch.secrets.is_empty() && patch.layout.is_none() {
        return Err(Error::invalid("body: there is nothing to change"));
    }
    if patch.secrets.len() > MAX_NAMES {
        let message = format!("body: at most {MAX_NAMES} secrets are changed together, not {}", patch.secrets.len());
        return Err(Error::new(Code::TooLarge, message));
    }
    let mut seen = BTreeSet::new();
    let mut bytes = 0_usize;
    for change in &patch.secrets {
        let name = &change.name;
        if !seen.insert(name) {
            return Err(Error::invalid(format!("body: {name} is named twice")));
        }
        match (&change.value, change.delete) {
            (Some(value), false) => bytes = bytes.saturating_add(value.expose().len()),
            (None, true) if change.options.shred.is_none() => {}
            (None, true) => return Err(Error::invalid(format!("body: {name} is deleted, so it cannot be shredded"))),
            (Some(_), true) | (None, false) => {
                return Err(Error::invalid(format!("body: {name} needs either a value or \"delete\": true")));
            }
        }
    }
    if bytes > MAX_NEW_BYTES {
        return Err(Error::new(Code::TooLarge, "body: at most 32 MiB of values are written together"));
    }
    patch.snapshot.as_deref().map_or(Ok(()), check_reason)
}

/// # Errors
/// Where a reason is too long or unprintable.
pub(super) fn check_reason(reason: &str) -> Result<(), Error> {
    if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(Error::invalid(format!("a snapshot's reason has at most {MAX_REASON} printable characters")));
    }
    Ok(())
}
