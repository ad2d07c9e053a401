//! What people do to a key and its versions by hand: rotate, roll back, suspend and the rest. Each is one step of the
//! table in `state.rs` for one or several versions, all or none, with one record.

use std::sync::Arc;

use coffer_api::Code;

use super::{
    create::{Begin, key_record},
    entry::KeyEntry,
    keys_path,
    settings::{KeySettings, MAX_DESTROY_AFTER_MS},
    state::{KeyState, KeyStep, Past},
    store::{NewVersion, StoredMaterial},
    view::KeyView,
};
use crate::{
    Caller, Error, Mount,
    active::{Active, Found},
    caller::Done,
    commit::{Edit, Logged},
    policy::{Operation, Parameters},
    record::Record,
};

/// Longest reason, in bytes.
const MAX_REASON: usize = 512;

/// A change of a key under way.
struct Change<'a> {
    entry: &'a mut KeyEntry,
    settings: &'a KeySettings,
    now: i64,
}

impl Caller {
    /// A key with its versions.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}keys/{name}`; [`Code::NotFound`] where there is none.
    pub async fn key_read(&self, mount: &Mount, name: &str) -> Result<KeyView, Error> {
        let logical = keys_path(mount, name, None);
        self.recorded(self.record("key.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let found = self.active.key_entry(mount.id, name).await?.ok_or_else(Error::not_found)?;
            Ok(Done::Unlogged(self.active.key_view(&found.value).await?))
        })
        .await
    }

    /// Makes a new version and puts it into use as the primary one; or makes it ready to be activated.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}keys/{name}/rotate`; [`Code::NotFound`] without such a key;
    /// [`Code::KeyState`] where it is disabled, or imported and not to be rotated here.
    pub async fn key_rotate(
        &self,
        mount: &Mount,
        name: &str,
        begin: Begin,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let logical = keys_path(mount, name, Some("rotate"));
        let record = self.record("key.rotate", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            let found = self.active.key_entry(mount.id, name).await?.ok_or_else(Error::not_found)?;
            check_rotates(&found.value)?;
            let material = self.active.key_generate(&found.value).await?;
            let (entry, logged) = self.active.key_add(&found.value, material, begin, |_| true, record).await?;
            Ok(Done::Logged(self.active.key_view(&entry).await?, logged))
        })
        .await
    }

    /// Puts versions that were made ready into use; the highest becomes the primary one. None named: all of them.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}keys/{name}/activate`; [`Code::NotFound`] without such a key or
    /// version; [`Code::KeyState`] where a version's state does not allow it.
    pub async fn key_activate(
        &self,
        mount: &Mount,
        name: &str,
        versions: &[u32],
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_change(mount, name, "activate", "key.activate", parameters, |change, record| {
            change.entry.check_enabled()?;
            let numbers = change.every(versions, KeyStep::Activate)?;
            for number in &numbers {
                change.entry.step(*number, KeyStep::Activate, change.now)?;
                change.entry.make_primary(*number, change.now)?;
            }
            Ok(record.fact("versions", list(&numbers)))
        })
        .await
    }

    /// Makes an older version the primary one again, and puts it back into use where it was deactivated. None named:
    /// the highest that can be, below the primary one.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/rollback`.
    pub async fn key_rollback(
        &self,
        mount: &Mount,
        name: &str,
        version: Option<u32>,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_change(mount, name, "rollback", "key.rollback", parameters, |change, mut record| {
            let entry = &mut *change.entry;
            entry.check_enabled()?;
            let before = entry.primary;
            let below = |number: u32| before.is_none_or(|primary| number < primary);
            let fits = |state: KeyState| state.after(KeyStep::Rollback, Past::Clean).is_some();
            let mut older = entry.versions.iter().rev();
            let newest = older.find(|version| below(version.number) && fits(version.state));
            let nothing = || {
                let message = format!("the key {:?} has no version that it could be rolled back to", entry.name);
                Error::new(Code::KeyState, message)
            };
            let number = version.or(newest.map(|version| version.number)).ok_or_else(nothing)?;
            record.version = Some(u64::from(number));
            entry.roll_back(number, change.now)?;
            Ok(record.fact("from", before.map_or_else(|| "none".to_owned(), |from| from.to_string())))
        })
        .await
    }

    /// Stops versions for now; none named: the primary one. Works from the space kept for it when the disk is full.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/suspend`.
    pub async fn key_suspend(
        &self,
        mount: &Mount,
        name: &str,
        versions: &[u32],
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_steps(mount, name, "key.suspend", KeyStep::Suspend, versions, parameters).await
    }

    /// Ends the suspension of versions; none named: of all. What was the primary version is not so again by this.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/resume`.
    pub async fn key_resume(
        &self,
        mount: &Mount,
        name: &str,
        versions: &[u32],
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_steps(mount, name, "key.resume", KeyStep::Resume, versions, parameters).await
    }

    /// Ends what versions may protect; none named: the primary one.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/deactivate`.
    pub async fn key_deactivate(
        &self,
        mount: &Mount,
        name: &str,
        versions: &[u32],
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_steps(mount, name, "key.deactivate", KeyStep::Deactivate, versions, parameters).await
    }

    /// Marks versions as known to somebody else; none named: the primary one. The reason, of 1 to 512 printable bytes,
    /// is recorded.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/compromise`; [`Code::Invalid`] for an unusable reason.
    pub async fn key_compromise(
        &self,
        mount: &Mount,
        name: &str,
        versions: &[u32],
        reason: &str,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_change(mount, name, "compromise", "key.compromise", parameters, |change, record| {
            if !(1..=MAX_REASON).contains(&reason.len()) || reason.chars().any(char::is_control) {
                return Err(Error::invalid(format!("a reason has 1 to {MAX_REASON} printable bytes")));
            }
            let numbers = change.named_or_primary(versions)?;
            for number in &numbers {
                change.entry.compromise(*number, reason.to_owned(), change.now)?;
            }
            Ok(record.fact("versions", list(&numbers)).fact("reason", reason))
        })
        .await
    }

    /// Switches a key on.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/enable`.
    pub async fn key_enable(&self, mount: &Mount, name: &str, parameters: &dyn Parameters) -> Result<KeyView, Error> {
        self.key_change(mount, name, "enable", "key.enable", parameters, |change, record| {
            if change.entry.enabled {
                let message = format!("the key {:?} is enabled; allowed: disable", change.entry.name);
                return Err(Error::new(Code::KeyState, message));
            }
            change.entry.enabled = true;
            Ok(record)
        })
        .await
    }

    /// Switches a key off: nothing is done with any version until it is on again.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/disable`.
    pub async fn key_disable(&self, mount: &Mount, name: &str, parameters: &dyn Parameters) -> Result<KeyView, Error> {
        self.key_change(mount, name, "disable", "key.disable", parameters, |change, record| {
            change.entry.check_enabled()?;
            change.entry.enabled = false;
            Ok(record)
        })
        .await
    }

    /// Schedules the destruction of versions after so many milliseconds (a day at least, more where a tag says so, and
    /// 90 days at most; absent: seven days at least). What was never in use is destroyed at once. None named: every
    /// version that can be.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/destroy`; [`Code::Invalid`] for a time out of its bounds.
    pub async fn key_destroy(
        &self,
        mount: &Mount,
        name: &str,
        versions: &[u32],
        after_ms: Option<i64>,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_change(mount, name, "destroy", "key.destroy", parameters, |change, record| {
            let least = change.settings.least_wait(change.entry);
            let wait = after_ms.unwrap_or_else(|| change.settings.usual_wait(change.entry));
            if !(least..=MAX_DESTROY_AFTER_MS).contains(&wait) {
                let hours = least / super::create::HOUR_MS;
                return Err(Error::invalid(format!("destruction waits {hours} hours at least and 90 days at most")));
            }
            let numbers = change.every(versions, KeyStep::ScheduleDestroy)?;
            let at = change.now.saturating_add(wait);
            for number in &numbers {
                change.entry.schedule(*number, at, change.now)?;
            }
            Ok(record.fact("versions", list(&numbers)).fact("destroy_at", crate::time::rfc3339(at)))
        })
        .await
    }

    /// Calls the destruction of versions off; none named: of all. They are deactivated then, or compromised if they
    /// were ever.
    ///
    /// # Errors
    /// As [`Caller::key_activate`], on `{mount}keys/{name}/cancel-destroy`.
    pub async fn key_destroy_cancel(
        &self,
        mount: &Mount,
        name: &str,
        versions: &[u32],
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_steps(mount, name, "key.destroy_cancel", KeyStep::CancelDestroy, versions, parameters).await
    }

    /// One step for one or several versions.
    async fn key_steps(
        &self,
        mount: &Mount,
        name: &str,
        class: &'static str,
        step: KeyStep,
        versions: &[u32],
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        self.key_change(mount, name, step.name(), class, parameters, |change, record| {
            let numbers = match step {
                KeyStep::Suspend | KeyStep::Deactivate | KeyStep::Compromise | KeyStep::Rollback => {
                    change.named_or_primary(versions)?
                }
                KeyStep::Activate
                | KeyStep::CancelDestroy
                | KeyStep::Discard
                | KeyStep::Reap
                | KeyStep::Resume
                | KeyStep::ScheduleDestroy => change.every(versions, step)?,
            };
            for number in &numbers {
                match step {
                    KeyStep::Resume => change.entry.resume(*number, change.now)?,
                    KeyStep::Activate
                    | KeyStep::CancelDestroy
                    | KeyStep::Compromise
                    | KeyStep::Deactivate
                    | KeyStep::Discard
                    | KeyStep::Reap
                    | KeyStep::Rollback
                    | KeyStep::ScheduleDestroy
                    | KeyStep::Suspend => change.entry.step(*number, step, change.now)?,
                }
                if step == KeyStep::CancelDestroy {
                    // A trim had put it out of reach.
                    change.entry.min_available = change.entry.min_available.min(*number);
                }
            }
            Ok(record.fact("versions", list(&numbers)))
        })
        .await
    }

    /// Changes a key by a verb below its path, with one record.
    async fn key_change(
        &self,
        mount: &Mount,
        name: &str,
        verb: &str,
        class: &'static str,
        parameters: &dyn Parameters,
        change: impl FnOnce(&mut Change<'_>, Record) -> Result<Record, Error>,
    ) -> Result<KeyView, Error> {
        let logical = keys_path(mount, name, Some(verb));
        let record = self.record(class, &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            let active = &self.active;
            let guard = active.key_lock(mount.id, name).await;
            let found = active.key_entry(mount.id, name).await?.ok_or_else(Error::not_found)?;
            let settings = active.key_settings(mount.id).await?.value;
            let mut entry = found.value.clone();
            let record = key_record(record, &entry);
            let now = active.clock.now();
            let record = change(&mut Change { entry: &mut entry, settings: &settings, now }, record)?;
            entry.updated_ms = now;
            let mut edit = Edit::under(guard);
            active.key_put(Some(&found), &entry, &mut edit)?;
            let urgency = record.urgency();
            let logged = active.commit(edit, record, urgency).await?;
            Ok(Done::Logged(active.key_view(&entry).await?, logged))
        })
        .await
    }
}

impl Change<'_> {
    /// The versions that are named, else the primary one.
    fn named_or_primary(&self, versions: &[u32]) -> Result<Vec<u32>, Error> {
        if !versions.is_empty() {
            return Ok(sorted(versions));
        }
        let none = || {
            let message = format!("the key {:?} has no primary version; name the versions", self.entry.name);
            Error::new(Code::KeyState, message)
        };
        self.entry.primary.map(|primary| vec![primary]).ok_or_else(none)
    }

    /// The versions that are named, else all that can take the step.
    fn every(&self, versions: &[u32], step: KeyStep) -> Result<Vec<u32>, Error> {
        if !versions.is_empty() {
            return Ok(sorted(versions));
        }
        let all = self.entry.versions.iter().filter(|version| version.state.after(step, version.past()).is_some());
        let all: Vec<u32> = all.map(|version| version.number).collect();
        match all.is_empty() {
            true => {
                let message =
                    format!("no version of the key {:?} is in a state that allows {}", self.entry.name, step.name());
                Err(Error::new(Code::KeyState, message))
            }
            false => Ok(all),
        }
    }
}

impl Active {
    /// Adds a version to a key that was read before its lock was taken, if it is still wanted, and puts it into use or
    /// makes it ready.
    ///
    /// # Errors
    /// As [`Caller::key_rotate`]; [`Code::Conflict`] where the key is gone or the version is wanted no more.
    pub(crate) async fn key_add(
        self: &Arc<Self>,
        read: &KeyEntry,
        material: StoredMaterial,
        begin: Begin,
        wanted: impl FnOnce(&KeyEntry) -> bool,
        record: Record,
    ) -> Result<(KeyEntry, Logged), Error> {
        let guard = self.key_lock(read.mount, &read.name).await;
        let found: Option<Found<KeyEntry>> = self.key_by_id(read.mount, read.id).await?;
        let found = found.filter(|found| found.value.deleted_ms.is_none() && wanted(&found.value));
        let found = found.ok_or_else(|| Error::new(Code::Conflict, "the key changed meanwhile; try again"))?;
        let mut entry = found.value.clone();
        check_rotates(&entry)?;
        let now = self.clock.now();
        let mut edit = Edit::under(guard);
        let state = match begin {
            Begin::Active => KeyState::Active,
            Begin::PreActive => KeyState::PreActive,
        };
        let number = self.new_version(&mut entry, &NewVersion::Secret(material), state, &mut edit)?;
        if state == KeyState::Active {
            entry.make_primary(number, now)?;
            entry.plan_rotation(now)?;
        }
        self.key_put(Some(&found), &entry, &mut edit)?;
        let mut record = key_record(record, &entry).fact("state", state.name());
        record.version = Some(u64::from(number));
        let urgency = record.urgency();
        let logged = self.commit(edit, record, urgency).await?;
        Ok((entry, logged))
    }
}

/// # Errors
/// [`Code::KeyState`] where a key cannot be rotated.
pub(super) fn check_rotates(entry: &KeyEntry) -> Result<(), Error> {
    entry.check_enabled()?;
    if !entry.allow_rotation {
        let message = format!("the key {:?} was imported as one that is not rotated here", entry.name);
        let vault = format!("imported key {} does not allow rotation within Vault", entry.name);
        return Err(Error::new(Code::KeyState, message).in_vault(vault));
    }
    Ok(())
}

/// Numbers as a fact.
pub(super) fn list(numbers: &[u32]) -> String {
    let shown: Vec<String> = numbers.iter().map(u32::to_string).collect();
    shown.join(",")
}

fn sorted(numbers: &[u32]) -> Vec<u32> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}
