//! Settings of a key engine: what the Vault dialect configures, and how long destruction waits for keys of a tag.

use std::collections::BTreeMap;

use coffer_storage::Expect;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entry::KeyEntry;
use crate::{
    Caller, Error, Mount,
    active::{Active, Found},
    caller::Done,
    codec::{self, Persisted},
    commit::Edit,
    keys,
    policy::{Operation, Parameters},
};

/// The shortest time between scheduling a destruction and it, in milliseconds: a day.
pub const MIN_DESTROY_AFTER_MS: i64 = 24 * 60 * 60 * 1000;
/// The time where nobody says another: seven days.
pub const DESTROY_AFTER_MS: i64 = 7 * MIN_DESTROY_AFTER_MS;
/// The longest: 90 days.
pub const MAX_DESTROY_AFTER_MS: i64 = 90 * MIN_DESTROY_AFTER_MS;
/// Tags with a time of their own at most.
const MAX_WINDOWS: usize = 64;

/// Settings of a key engine (`key-config/{mount id}`).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeySettings {
    /// The Vault dialect's encrypt makes no key that is not there.
    pub disable_upsert: bool,
    /// Keys that the Vault dialect was told to cache; shown, and of no effect.
    pub cache_size: u64,
    /// Tag -> milliseconds that the destruction of its keys waits at least.
    pub destroy_windows: BTreeMap<String, i64>,
}

impl Persisted for KeySettings {}

impl KeySettings {
    /// Milliseconds that a destruction of this key waits at least.
    pub(crate) fn least_wait(&self, key: &KeyEntry) -> i64 {
        let own = key.tags.iter().filter_map(|tag| self.destroy_windows.get(tag)).max();
        own.copied().unwrap_or(0).max(MIN_DESTROY_AFTER_MS)
    }

    /// Milliseconds that it waits where nobody says how long.
    pub(crate) fn usual_wait(&self, key: &KeyEntry) -> i64 {
        self.least_wait(key).max(DESTROY_AFTER_MS)
    }

    fn check(&self) -> Result<(), Error> {
        let bounds = MIN_DESTROY_AFTER_MS..=MAX_DESTROY_AFTER_MS;
        if self.destroy_windows.len() > MAX_WINDOWS {
            return Err(Error::invalid(format!("at most {MAX_WINDOWS} tags have a time of their own")));
        }
        if self.destroy_windows.values().any(|wait| !bounds.contains(wait)) {
            return Err(Error::invalid("destruction waits 24 hours at least and 90 days at most"));
        }
        self.destroy_windows.keys().try_for_each(|tag| super::create::check_tag(tag))
    }
}

impl Caller {
    /// An engine's settings, asked for at one of its paths (`config/keys`, `cache-config`).
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `{mount}{path}`.
    pub async fn key_settings(&self, mount: &Mount, path: &str) -> Result<KeySettings, Error> {
        let logical = format!("{}{path}", mount.path);
        self.recorded(self.record("key.settings_read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            Ok(Done::Unlogged(self.active.key_settings(mount.id).await?.value))
        })
        .await
    }

    /// Changes an engine's settings, at one of its paths.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}{path}`; [`coffer_api::Code::Invalid`] where a setting is
    /// out of its bounds.
    pub async fn key_settings_change(
        &self,
        mount: &Mount,
        path: &str,
        parameters: &dyn Parameters,
        change: impl FnOnce(&mut KeySettings) -> Result<(), Error>,
    ) -> Result<KeySettings, Error> {
        let logical = format!("{}{path}", mount.path);
        let record = self.record("key.settings", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            let row = settings_row(mount.id);
            let guard = self.active.locks.lock(&[&row]).await;
            let Settings { mut value, expect } = self.active.key_settings(mount.id).await?;
            change(&mut value)?;
            value.check()?;
            let mut edit = Edit::under(guard);
            edit.put(row, codec::encode(&value)?, Some(expect));
            Ok(Done::Logged(value, self.commit(edit, record).await?))
        })
        .await
    }
}

/// Settings with what a change that rests on them must expect.
pub(crate) struct Settings {
    pub(crate) value: KeySettings,
    pub(crate) expect: Expect,
}

impl Active {
    /// The settings of an engine, the defaults where nobody set any.
    pub(crate) async fn key_settings(&self, mount: Uuid) -> Result<Settings, Error> {
        Ok(match self.row::<KeySettings>(&settings_row(mount)).await? {
            Some(Found { value, revision }) => Settings { value, expect: Expect::Revision(revision) },
            None => Settings { value: KeySettings::default(), expect: Expect::Absent },
        })
    }
}

/// The row of an engine's settings.
pub(crate) fn settings_row(mount: Uuid) -> String {
    format!("{}{}", keys::KEY_CONFIG, mount.simple())
}
