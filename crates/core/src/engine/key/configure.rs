//! What can be changed of a key at any time: floors, permissions that only grow, rotation by itself, words about it.

use std::collections::BTreeSet;

use coffer_api::Code;

use super::{create::key_record, entry::KeyEntry, keys_path, settings::KeySettings, view::KeyView};
use crate::{
    Caller, Error, Mount,
    caller::Done,
    commit::Edit,
    policy::{Operation, Parameters},
};

/// Changes of a key; absent fields stay as they are.
#[derive(Clone, Debug, Default)]
pub struct KeyConfigure {
    /// The oldest version that decrypts and verifies; 0 is 1.
    pub min_decryption: Option<i64>,
    /// The oldest version that encrypts and signs; 0 = the primary one unless another is asked for.
    pub min_encryption: Option<i64>,
    /// It may be deleted.
    pub deletion_allowed: Option<bool>,
    /// Its secret parts may be taken out; once on it stays on.
    pub exportable: Option<bool>,
    /// It may be backed up in the clear; once on it stays on.
    pub allow_plaintext_backup: Option<bool>,
    /// Milliseconds between rotations, an hour at least; 0 = none by itself. Counts from now.
    pub rotate_every_ms: Option<i64>,
    /// By how much a rotation may come early; absent where the period changes: a tenth of it at most.
    pub rotate_jitter_ms: Option<i64>,
    /// A rotation ends what the version before may protect.
    pub deactivate_on_rotate: Option<bool>,
    /// So many milliseconds after it.
    pub overlap_ms: Option<i64>,
    /// All tags.
    pub tags: Option<BTreeSet<String>>,
    /// For people.
    pub description: Option<String>,
}

impl Caller {
    /// Changes a key.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}keys/{name}/config`, or without sudo there where a tag goes that
    /// destruction waits for; [`coffer_api::Code::NotFound`] without such a key; [`coffer_api::Code::Invalid`] where a change is out of its bounds; nothing is changed then.
    pub async fn key_configure(
        &self,
        mount: &Mount,
        name: &str,
        configure: KeyConfigure,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let logical = keys_path(mount, name, Some("config"));
        let record = self.record("key.configure", &logical);
        self.recorded(record.clone(), async {
            let grant = self.authorise(&logical, Operation::Update, parameters)?;
            let active = &self.active;
            let guard = active.key_lock(mount.id, name).await;
            let found = active.key_entry(mount.id, name).await?.ok_or_else(Error::not_found)?;
            let mut entry = found.value.clone();
            if !grant.sudo
                && let Some(tags) = &configure.tags
            {
                check_waits(&active.key_settings(mount.id).await?.value, &entry, tags, &logical)?;
            }
            let now = active.clock.now();
            configure.apply(&mut entry, now)?;
            entry.updated_ms = now;
            let mut edit = Edit::under(guard);
            active.key_put(Some(&found), &entry, &mut edit)?;
            let logged = self.commit(edit, key_record(record, &entry)).await?;
            Ok(Done::Logged(active.key_view(&entry).await?, logged))
        })
        .await
    }
}

impl KeyConfigure {
    fn apply(self, entry: &mut KeyEntry, now: i64) -> Result<(), Error> {
        if let Some(wanted) = self.min_decryption {
            entry.min_decryption = floor("decryption", wanted, entry.min_decryption, entry.latest)?.max(1);
        }
        if let Some(wanted) = self.min_encryption {
            entry.min_encryption = floor("encryption", wanted, entry.min_encryption, entry.latest)?;
        }
        check_floors(entry)?;
        entry.deletion_allowed = self.deletion_allowed.unwrap_or(entry.deletion_allowed);
        entry.exportable = for_good("exportable", entry.exportable, self.exportable)?;
        entry.allow_plaintext_backup =
            for_good("allow_plaintext_backup", entry.allow_plaintext_backup, self.allow_plaintext_backup)?;
        entry.deactivate_on_rotate = self.deactivate_on_rotate.unwrap_or(entry.deactivate_on_rotate);
        entry.overlap_ms = self.overlap_ms.unwrap_or(entry.overlap_ms);
        if let Some(tags) = self.tags {
            entry.tags = tags;
        }
        if let Some(description) = self.description {
            entry.description = description;
        }
        let period = self.rotate_every_ms.unwrap_or(entry.rotate_every_ms);
        let jitter = self.rotate_jitter_ms.unwrap_or_else(|| entry.rotate_jitter_ms.min(period.max(0) / 10));
        let changed = (period, jitter) != (entry.rotate_every_ms, entry.rotate_jitter_ms);
        (entry.rotate_every_ms, entry.rotate_jitter_ms) = (period, jitter);
        entry.check()?;
        if changed {
            entry.plan_rotation(now)?;
        }
        Ok(())
    }
}

/// With a tag its wait would go.
///
/// # Errors
/// [`Code::Denied`] where a tag is to go that destruction waits for.
fn check_waits(settings: &KeySettings, entry: &KeyEntry, tags: &BTreeSet<String>, logical: &str) -> Result<(), Error> {
    match entry.tags.difference(tags).find(|tag| settings.destroy_windows.contains_key(*tag)) {
        None => Ok(()),
        Some(tag) => Err(Error::new(
            Code::Denied,
            format!(
                "permission denied: update on {logical}: the destruction of this key waits for its tag {tag:?}; whoever \
                 takes that off needs the capability sudo on this path as well"
            ),
        )),
    }
}

/// A switch that is on for good once it is on.
fn for_good(what: &str, now: bool, wanted: Option<bool>) -> Result<bool, Error> {
    match (now, wanted) {
        (true, Some(false)) => Err(Error::invalid(format!("{what} is on for good: copies may exist by now"))),
        (_, wanted) => Ok(wanted.unwrap_or(now)),
    }
}

/// A floor that was asked for.
fn floor(what: &str, wanted: i64, now: u32, latest: u32) -> Result<u32, Error> {
    if wanted < 0 {
        let native = format!("min_{what}_version cannot be negative");
        return Err(Error::invalid(native).in_vault(format!("min {what} version cannot be negative")));
    }
    match u32::try_from(wanted) {
        Ok(wanted) if wanted == now || wanted <= latest => Ok(wanted),
        Ok(_) | Err(_) => {
            let vault = format!("cannot set min {what} version of {wanted}, latest key version is {latest}");
            let native = format!("min_{what}_version: the key's highest version is {latest}");
            Err(Error::invalid(native).in_vault(vault))
        }
    }
}

fn check_floors(entry: &KeyEntry) -> Result<(), Error> {
    let (decryption, encryption, available) = (entry.min_decryption, entry.min_encryption, entry.min_available);
    if encryption > 0 && encryption < decryption {
        let vault = format!(
            "cannot set min encryption/decryption values; min encryption version of {encryption} must be greater than or \
             equal to min decryption version of {decryption}"
        );
        let native = "min_encryption_version cannot be below min_decryption_version";
        return Err(Error::invalid(native).in_vault(vault));
    }
    if available > encryption {
        let native = format!("min_encryption_version cannot be below {available}: the key was trimmed to there");
        let vault = "min encryption version should not be less than min available version";
        return Err(Error::invalid(native).in_vault(vault));
    }
    if available > decryption {
        let native = format!("min_decryption_version cannot be below {available}: the key was trimmed to there");
        let vault = "min decryption version should not be less then min available version";
        return Err(Error::invalid(native).in_vault(vault));
    }
    match entry.primary {
        // What it encrypts could not be decrypted.
        Some(primary) if primary < decryption => Err(Error::invalid(format!(
            "min_decryption_version cannot be above the primary version, which is {primary}"
        ))
        .in_vault(format!("cannot set min decryption version of {decryption}, primary key version is {primary}"))),
        Some(_) | None => Ok(()),
    }
}
