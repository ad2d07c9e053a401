//! Which releases have run on the store, and since when.

use std::sync::Arc;

use coffer_storage::Expect;
use serde::{Deserialize, Serialize};

use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec::{self, Persisted},
    commit::{Edit, Urgency},
    keys,
    policy::Operation,
    record::Record,
    time::rfc3339,
};

/// A release that ran on the store (`version/{version}`).
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct VersionRow {
    installed_ms: i64,
}

impl Persisted for VersionRow {}

/// A release that ran on the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstalledVersion {
    /// As `1.2.3`.
    pub version: String,
    /// When it first ran, RFC 3339.
    pub installed: String,
    /// The one before it.
    pub previous: Option<String>,
}

/// Adds this release to a new store.
pub(crate) fn first(edit: &mut Edit, now: i64) -> Result<(), Error> {
    edit.put(row(RUNNING), codec::encode(&VersionRow { installed_ms: now })?, Some(Expect::Absent));
    Ok(())
}

impl Active {
    /// Adds this release to the store's, where it never ran on it.
    pub(crate) async fn note_version(self: &Arc<Self>) -> Result<(), Error> {
        let key = row(RUNNING);
        if self.row::<VersionRow>(&key).await?.is_some() {
            return Ok(());
        }
        let mut edit = Edit::default();
        edit.put(key, codec::encode(&VersionRow { installed_ms: self.clock.now() })?, Some(Expect::Absent));
        let record = Record::system("system.version").fact("version", RUNNING);
        self.commit(edit, record, Urgency::Essential).await?.spend();
        Ok(())
    }
}

impl Caller {
    /// The releases that ran on the store, in the order in which they came.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `sys/version-history/`.
    pub async fn version_history(&self) -> Result<Vec<InstalledVersion>, Error> {
        let path = "sys/version-history/";
        self.recorded(self.record("system.read", path), async {
            self.authorise(path, Operation::List, &())?;
            let mut rows = Vec::new();
            let collect = |key: &str, row: VersionRow| {
                rows.push((row.installed_ms, key.trim_start_matches(keys::VERSION).to_owned()));
                Ok(())
            };
            self.active.each(keys::VERSION, collect).await?;
            rows.sort_unstable();
            let mut previous = None;
            let installed = rows.into_iter().map(|(ms, version)| InstalledVersion {
                previous: previous.replace(version.clone()),
                version,
                installed: rfc3339(ms),
            });
            Ok(Done::Unlogged(installed.collect()))
        })
        .await
    }
}

fn row(version: &str) -> String {
    format!("{}{version}", keys::VERSION)
}

const RUNNING: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{caller, dev};

    #[tokio::test]
    async fn release_is_noted_once_and_follows_the_one_before() {
        let core = dev().await;
        let root = caller(&core, "root").await;
        let active = &root.active;
        let running = root.version_history().await.unwrap();
        assert_eq!(running.len(), 1);
        assert_eq!((running[0].version.as_str(), &running[0].previous), (RUNNING, &None));
        active.note_version().await.unwrap();
        assert_eq!(root.version_history().await.unwrap(), running);
        let mut edit = Edit::default();
        edit.put(row("0.0.1"), codec::encode(&VersionRow { installed_ms: 1 }).unwrap(), None);
        active.commit(edit, Record::system("system.version"), Urgency::Ordinary).await.unwrap().spend();
        let both = root.version_history().await.unwrap();
        assert_eq!((both[0].version.as_str(), &both[0].previous), ("0.0.1", &None));
        assert_eq!((both[1].version.as_str(), both[1].previous.as_deref()), (RUNNING, Some("0.0.1")));
    }
}
