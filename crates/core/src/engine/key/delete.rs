//! The Vault dialect's ends of a key: trim and delete. Both deactivate what is in use and schedule its destruction in one
//! step; what is deleted loses its name at once, and comes back by its id until it is destroyed.

use coffer_api::Code;
use uuid::Uuid;

use super::{
    check_name,
    create::key_record,
    entry::KeyEntry,
    keys_path,
    manage::list,
    settings::KeySettings,
    state::{KeyState, KeyStep},
    view::KeyView,
};
use crate::{
    Caller, Error, Mount,
    active::{Active, Found},
    caller::Done,
    commit::Edit,
    policy::{Operation, Parameters},
    record::Record,
};

impl Caller {
    /// Ends every version below one: they are absent to the Vault dialect at once, and destroyed at their time.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}keys/{name}/trim`; [`Code::NotFound`] without such a key;
    /// [`Code::Invalid`] where the floors do not allow it.
    pub async fn key_trim(
        &self,
        mount: &Mount,
        name: &str,
        min_available: i64,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let logical = keys_path(mount, name, Some("trim"));
        let record = self.record("key.trim", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            let active = &self.active;
            let guard = active.key_lock(mount.id, name).await;
            let found = active.key_entry(mount.id, name).await?.ok_or_else(Error::not_found)?;
            let settings = active.key_settings(mount.id).await?.value;
            let mut entry = found.value.clone();
            let floor = trim_floor(&entry, min_available)?;
            entry.min_available = floor;
            let now = active.clock.now();
            let ended = end(&mut entry, &settings, now, |number| number < floor)?;
            entry.updated_ms = now;
            let mut edit = Edit::under(guard);
            active.key_put(Some(&found), &entry, &mut edit)?;
            let record = key_record(record, &entry).fact("versions", list(&ended)).fact("below", floor.to_string());
            let logged = self.commit(edit, record).await?;
            Ok(Done::Logged(active.key_view(&entry).await?, logged))
        })
        .await
    }

    /// Deletes a key: its name is free at once, and every version is destroyed at its time. It can be recovered by
    /// its id until then.
    ///
    /// # Errors
    /// [`Code::Denied`] without delete on `{mount}keys/{name}`; [`Code::NotFound`] without such a key; [`Code::Invalid`]
    /// where it may not be deleted.
    pub async fn key_delete(&self, mount: &Mount, name: &str) -> Result<KeyView, Error> {
        let logical = keys_path(mount, name, None);
        let record = self.record("key.delete", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Delete, &())?;
            let active = &self.active;
            let guard = active.key_lock(mount.id, name).await;
            let found = active.key_entry(mount.id, name).await?.ok_or_else(Error::not_found)?;
            check_deletable(&found.value)?;
            let mut edit = Edit::under(guard);
            let (entry, record) = active.key_end(&found, record, &mut edit).await?;
            let logged = self.commit(edit, record).await?;
            Ok(Done::Logged(active.key_view(&entry).await?, logged))
        })
        .await
    }

    /// A key that was deleted, by its id.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}keys/{its name}`; [`Code::NotFound`] where no such key was deleted.
    pub async fn key_deleted_read(&self, mount: &Mount, id: Uuid) -> Result<KeyView, Error> {
        let found = self.active.key_by_id(mount.id, id).await?.filter(|found| found.value.deleted_ms.is_some());
        let logical = keys_path(mount, &name_or_id(found.as_ref().map(|found| &found.value), id), None);
        self.recorded(self.record("key.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let found = found.ok_or_else(Error::not_found)?;
            Ok(Done::Unlogged(self.active.key_view(&found.value).await?))
        })
        .await
    }

    /// Gives a deleted key its name back, or another one, and calls the destruction off that its deletion began. Its
    /// versions are deactivated then (or compromised): a rollback or a rotation puts it into use.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}keys/{its name}/recover`, and for another name on
    /// `{mount}keys/{that name}`; [`Code::NotFound`] where no such key was deleted; [`Code::Conflict`] where the name is
    /// another key's; [`Code::KeyState`] where all is destroyed.
    pub async fn key_recover(
        &self,
        mount: &Mount,
        id: Uuid,
        rename: Option<&str>,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let known = self.active.key_by_id(mount.id, id).await?.filter(|found| found.value.deleted_ms.is_some());
        let name = name_or_id(known.as_ref().map(|found| &found.value), id);
        let logical = keys_path(mount, &name, Some("recover"));
        let record = self.record("key.recover", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            let to = rename.unwrap_or(&name);
            if to != name {
                check_name(to)?;
                self.authorise(&keys_path(mount, to, None), Operation::Update, &())?;
            }
            let active = &self.active;
            let guard = active.key_locks(mount.id, [&name, to]).await;
            let found = active.key_by_id(mount.id, id).await?.filter(|found| found.value.deleted_ms.is_some());
            let found = found.ok_or_else(Error::not_found)?;
            if found.value.name != name {
                return Err(Error::new(Code::Conflict, "the key changed meanwhile; try again"));
            }
            if active.key_entry(mount.id, to).await?.is_some() {
                let message = format!("there is another key {to:?}: recover this one under a name of its own");
                return Err(Error::new(Code::Conflict, message));
            }
            let mut entry = found.value.clone();
            to.clone_into(&mut entry.name);
            let now = active.clock.now();
            // What was to be destroyed before the key was deleted still is.
            let back = entry.versions.iter().filter(|version| {
                version.state == KeyState::DestroyScheduled && version.scheduled_ms >= entry.deleted_ms
            });
            let back: Vec<u32> = back.map(|version| version.number).collect();
            if back.is_empty() {
                let message = format!("every version of the key {name:?} is destroyed or was about to be");
                return Err(Error::new(Code::KeyState, message));
            }
            for number in &back {
                entry.step(*number, KeyStep::CancelDestroy, now)?;
            }
            entry.deleted_ms = None;
            entry.plan_rotation(now)?;
            let mut edit = Edit::under(guard);
            active.key_put(Some(&found), &entry, &mut edit)?;
            let mut record = key_record(record, &entry).fact("versions", list(&back));
            if to != name {
                record = record.fact("was", name.clone());
            }
            let logged = self.commit(edit, record).await?;
            Ok(Done::Logged(active.key_view(&entry).await?, logged))
        })
        .await
    }
}

impl Active {
    /// Deletes a key as by hand, whether or not it allows that: it loses its name, and the end of every version begins. The
    /// lock of its name is held. Gives the key as it is then, and the record with what belongs to each of this.
    pub(super) async fn key_end(
        &self,
        found: &Found<KeyEntry>,
        record: Record,
        edit: &mut Edit,
    ) -> Result<(KeyEntry, Record), Error> {
        let settings = self.key_settings(found.value.mount).await?.value;
        let (mut entry, now) = (found.value.clone(), self.clock.now());
        let ended = end(&mut entry, &settings, now, |_| true)?;
        entry.deleted_ms = Some(now);
        entry.updated_ms = now;
        self.key_put(Some(found), &entry, edit)?;
        let record = key_record(record, &entry).fact("versions", list(&ended));
        let record = if entry.deletion_allowed { record } else { record.fact("deletion_allowed", "false") };
        Ok((entry, record))
    }
}

/// Takes every version that is named out of use and schedules its destruction, where its state is not beyond that.
fn end(entry: &mut KeyEntry, settings: &KeySettings, now: i64, which: impl Fn(u32) -> bool) -> Result<Vec<u32>, Error> {
    let at = now.saturating_add(settings.usual_wait(entry));
    let all = entry.versions.iter().filter(|version| which(version.number));
    let all: Vec<(u32, KeyState)> = all.map(|version| (version.number, version.state)).collect();
    let mut ended = Vec::new();
    for (number, state) in all {
        match state {
            KeyState::Active => entry.step(number, KeyStep::Deactivate, now)?,
            KeyState::PreActive | KeyState::Suspended | KeyState::Deactivated | KeyState::Compromised => {}
            KeyState::DestroyScheduled | KeyState::Destroyed => continue,
        }
        entry.schedule(number, at, now)?;
        ended.push(number);
    }
    Ok(ended)
}

/// # Errors
/// [`Code::Invalid`] where the key may not be deleted.
pub(super) fn check_deletable(entry: &KeyEntry) -> Result<(), Error> {
    match entry.deletion_allowed {
        true => Ok(()),
        false => Err(Error::invalid("deletion is not allowed for this key")),
    }
}

/// The floor that a trim sets, in the order in which the original looks.
fn trim_floor(entry: &KeyEntry, wanted: i64) -> Result<u32, Error> {
    let why = if wanted < i64::from(entry.min_available) {
        "minimum available version cannot be decremented"
    } else if entry.min_encryption == 0 {
        "minimum available version cannot be set when minimum encryption version is not set"
    } else if wanted > i64::from(entry.min_encryption) {
        "minimum available version cannot be greater than minmum encryption version"
    } else if wanted > i64::from(entry.min_decryption) {
        "minimum available version cannot be greater than minimum decryption version"
    } else if wanted < 0 {
        "minimum available version cannot be negative"
    } else if wanted == 0 {
        "minimum available version should be positive"
    } else {
        return u32::try_from(wanted).map_err(Error::internal);
    };
    Err(Error::invalid(why))
}

/// What policies are asked about: they speak of names. An id that no key has is its own.
fn name_or_id(entry: Option<&KeyEntry>, id: Uuid) -> String {
    entry.map_or_else(|| id.to_string(), |entry| entry.name.clone())
}
