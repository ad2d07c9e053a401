//! How keys begin: created here, or with material from elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use coffer_api::Code;
use coffer_crypto::{
    keys::{Algorithm, Usage},
    rng,
};
use uuid::Uuid;

use super::{
    check_name,
    entry::{KeyEntry, Usages},
    keys_path,
    operate::agree::CURVES,
    state::KeyState,
    store::NewVersion,
    view::KeyView,
};
use crate::{
    Caller, Error, Mount,
    active::Active,
    caller::Done,
    commit::{Edit, Logged, Urgency},
    policy::{Operation, Parameters},
    record::Record,
};

/// Milliseconds of an hour: no key is rotated more often by itself.
pub(crate) const HOUR_MS: i64 = 60 * 60 * 1000;
/// Rotations come this much earlier at most than the period says, if nobody says how much: a tenth of it.
const JITTER_PART: i64 = 10;
/// How long a signing key's last version signs on after a rotation, if nobody says: a day.
const SIGNING_OVERLAP_MS: i64 = 24 * HOUR_MS;
/// Longest times that can be set, in milliseconds: ten years.
const MAX_PERIOD_MS: i64 = 10 * 366 * 24 * HOUR_MS;
const MAX_TAGS: usize = 64;
const MAX_TAG: usize = 128;
const MAX_DESCRIPTION: usize = 4096;
/// Bytes of an HMAC key of any size, as the Vault dialect has it.
const HMAC_SIZES: std::ops::RangeInclusive<u16> = 32..=512;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct KeyCreate {
    /// What it is.
    pub algorithm: Algorithm,
    /// Bytes of an [`Algorithm::Hmac`] key, 32 to 512; 0 for all others.
    pub key_size: u16,
    /// What it is for; absent: all that the algorithm is for, and in the Vault dialect MACs.
    pub usages: Option<Usages>,
    /// At most 64, each of 1 to 128 printable bytes.
    pub tags: BTreeSet<String>,
    /// At most 4 KiB.
    pub description: String,
    /// Its secret parts may be taken out. For good.
    pub exportable: bool,
    /// It may be backed up in the clear. For good.
    pub allow_plaintext_backup: bool,
    /// Only keys derived from it with a context are used.
    pub derived: bool,
    /// Equal plaintexts become equal ciphertexts; needs `derived`.
    pub convergent: bool,
    /// It came from outside; and then, whether it may be rotated here.
    pub imported: bool,
    /// See there.
    pub allow_rotation: bool,
    /// Milliseconds between rotations, an hour at least; 0 = none by itself.
    pub rotate_every_ms: i64,
    /// By how many milliseconds a rotation may come early; absent: a tenth of the period.
    pub rotate_jitter_ms: Option<i64>,
    /// A rotation ends what the version before may protect.
    pub deactivate_on_rotate: bool,
    /// So many milliseconds after it; absent: a day for keys that sign, else 0.
    pub overlap_ms: Option<i64>,
    /// The first version is in use at once, or only once it is activated.
    pub begin: Begin,
    /// What is answered where there is such a key.
    pub if_exists: IfExists,
}

/// How a version begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begin {
    /// In use, as the primary one.
    Active,
    /// Not in use before it is activated.
    PreActive,
}

/// What is answered to a request for a key that is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IfExists {
    /// The key as it is, unchanged, whatever was asked for: the Vault dialect's way.
    Answer,
    /// [`Code::Conflict`].
    Refuse,
}

impl KeyCreate {
    /// A key as the native API makes it.
    pub fn native(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            key_size: 0,
            usages: None,
            tags: BTreeSet::new(),
            description: String::new(),
            exportable: false,
            allow_plaintext_backup: false,
            derived: false,
            convergent: false,
            imported: false,
            allow_rotation: true,
            rotate_every_ms: 0,
            rotate_jitter_ms: None,
            deactivate_on_rotate: true,
            overlap_ms: None,
            begin: Begin::Active,
            if_exists: IfExists::Refuse,
        }
    }

    /// A key as the Vault dialect makes it: for all that the algorithm does and for MACs; old versions stay in use.
    pub fn transit(algorithm: Algorithm) -> Self {
        Self {
            usages: Some(Usages::of(algorithm).with(Usage::Mac)),
            rotate_jitter_ms: Some(0),
            deactivate_on_rotate: false,
            overlap_ms: Some(0),
            if_exists: IfExists::Answer,
            ..Self::native(algorithm)
        }
    }

    /// The key that it makes, without versions.
    pub(super) fn entry(&self, mount: Uuid, name: &str, now: i64) -> Result<KeyEntry, Error> {
        check_name(name)?;
        let usages = self.usages.unwrap_or_else(|| Usages::of(self.algorithm));
        let jitter = self.rotate_jitter_ms.unwrap_or(self.rotate_every_ms / JITTER_PART);
        let overlap = if usages.contains(Usage::Sign) { SIGNING_OVERLAP_MS } else { 0 };
        let mut entry = KeyEntry {
            id: Uuid::new_v4(),
            mount,
            name: name.to_owned(),
            algorithm: self.algorithm,
            key_size: self.key_size,
            description: self.description.clone(),
            tags: self.tags.clone(),
            usages,
            created_ms: now,
            updated_ms: now,
            deleted_ms: None,
            soft_deleted: false,
            enabled: true,
            exportable: self.exportable,
            allow_plaintext_backup: self.allow_plaintext_backup,
            deletion_allowed: false,
            derived: self.derived,
            convergent: self.convergent,
            imported: self.imported,
            allow_rotation: self.allow_rotation || !self.imported,
            rotate_every_ms: self.rotate_every_ms,
            rotate_jitter_ms: jitter,
            rotate_at_ms: None,
            deactivate_on_rotate: self.deactivate_on_rotate,
            overlap_ms: self.overlap_ms.unwrap_or(overlap),
            min_decryption: 1,
            min_encryption: 0,
            min_available: 0,
            primary: None,
            latest: 0,
            versions: Vec::new(),
            backup: None,
        };
        entry.check()?;
        entry.plan_rotation(now)?;
        Ok(entry)
    }
}

impl Caller {
    /// Makes a key with its first version.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}keys/{name}`; [`Code::Invalid`] where the parts do not fit together;
    /// [`Code::Conflict`] where there is a key of this name and that is to be refused.
    pub async fn key_create(
        &self,
        mount: &Mount,
        name: &str,
        create: KeyCreate,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let logical = keys_path(mount, name, None);
        let record = self.record("key.create", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            let active = &self.active;
            check_name(name)?;
            if active.key_entry(mount.id, name).await?.is_none() {
                // Made before the key's lock is taken: primes take their time.
                let entry = create.entry(mount.id, name, active.clock.now())?;
                let first = NewVersion::Secret(active.key_generate(&entry).await?);
                let guard = active.key_lock(mount.id, name).await;
                if active.key_entry(mount.id, name).await?.is_none() {
                    let (entry, logged) =
                        active.key_make(mount.id, name, &create, vec![first], Edit::under(guard), record).await?;
                    return Ok(Done::Logged(active.key_view(&entry).await?, logged));
                }
            }
            match (create.if_exists, active.key_entry(mount.id, name).await?) {
                (IfExists::Answer, Some(found)) => Ok(Done::Unlogged(active.key_view(&found.value).await?)),
                (IfExists::Answer | IfExists::Refuse, _) => {
                    Err(Error::new(Code::Conflict, format!("there is a key {name:?}")))
                }
            }
        })
        .await
    }
}

impl Active {
    /// Makes a key of these versions, of which there is one at least. Permission was settled, and the lock of the name is
    /// held by the edit. The last version is the primary one, if they begin in use.
    ///
    /// # Errors
    /// [`Code::Conflict`] where there is a key of this name; [`Code::Invalid`] where the parts do not fit together.
    pub(crate) async fn key_make(
        self: &Arc<Self>,
        mount: Uuid,
        name: &str,
        create: &KeyCreate,
        versions: Vec<NewVersion>,
        mut edit: Edit,
        record: Record,
    ) -> Result<(KeyEntry, Logged), Error> {
        let mut entry = create.entry(mount, name, self.clock.now())?;
        if self.key_entry(mount, name).await?.is_some() {
            return Err(Error::new(Code::Conflict, format!("there is a key {name:?}")));
        }
        let state = match create.begin {
            Begin::Active => KeyState::Active,
            Begin::PreActive => KeyState::PreActive,
        };
        for version in &versions {
            let number = self.new_version(&mut entry, version, state, &mut edit)?;
            if state == KeyState::Active {
                entry.make_primary(number, entry.created_ms)?;
            }
        }
        self.key_put(None, &entry, &mut edit)?;
        let record = key_record(record, &entry).fact("algorithm", entry.algorithm.name());
        let logged = self.commit(edit, record, Urgency::Ordinary).await?;
        Ok((entry, logged))
    }
}

impl KeyEntry {
    /// # Errors
    /// [`Code::Invalid`] where what people chose is out of bounds or does not fit together.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.usages.is_empty() {
            return Err(Error::invalid("a key has at least one usage"));
        }
        // A MAC is made with a key of the version's own, where the algorithm makes none; keys on a curve agree on others.
        if let Some(usage) = self.usages.iter().find(|usage| !self.supports(*usage)) {
            let algorithm = self.algorithm.name();
            return Err(Error::invalid(format!("{algorithm} is not for the usage {}", usage.name())));
        }
        if self.convergent && !self.derived {
            let vault = "convergent encryption requires derivation to be enabled";
            return Err(Error::invalid("convergent: only a derived key is").in_vault(vault));
        }
        if (self.derived && !self.algorithm.supports(Usage::Derive))
            || (self.convergent && !self.algorithm.supports(Usage::Encrypt))
        {
            let name = self.algorithm.name();
            let vault = format!("key derivation and convergent encryption not supported for keys of type {name}");
            let native = format!("keys of the algorithm {name} are neither derived nor convergent");
            return Err(Error::invalid(native).in_vault(vault));
        }
        match (self.algorithm == Algorithm::Hmac, self.key_size) {
            (true, size) if !HMAC_SIZES.contains(&size) => {
                let native = match size {
                    0 => "key_size: a key of the algorithm hmac needs one, of 32 to 512 bytes",
                    _ => "key_size: a key of the algorithm hmac has 32 to 512 bytes",
                };
                return Err(Error::invalid(native).in_vault(format!("invalid key_size {size}")));
            }
            (false, size) if size != 0 => return Err(Error::invalid("only hmac keys are of a size of one's choice")),
            (true | false, _) => {}
        }
        if self.rotate_every_ms != 0 && self.rotate_every_ms < HOUR_MS {
            let vault = "auto rotate period must be 0 to disable or at least an hour";
            return Err(Error::invalid("rotate_every: an hour at least, or 0 for never").in_vault(vault));
        }
        if self.rotate_every_ms != 0 && !self.allow_rotation {
            return Err(Error::invalid("an imported key that may not be rotated here cannot be rotated by itself"));
        }
        if self.rotate_every_ms > MAX_PERIOD_MS || !(0..=MAX_PERIOD_MS).contains(&self.overlap_ms) {
            return Err(Error::invalid("periods and overlaps are of ten years at most"));
        }
        if !(0..=self.rotate_every_ms / 2).contains(&self.rotate_jitter_ms) {
            return Err(Error::invalid("a rotation comes early by half its period at most"));
        }
        if self.tags.len() > MAX_TAGS {
            return Err(Error::invalid(format!("a key has at most {MAX_TAGS} tags")));
        }
        self.tags.iter().try_for_each(|tag| check_tag(tag))?;
        if self.description.len() > MAX_DESCRIPTION {
            return Err(Error::invalid(format!("a description has at most {MAX_DESCRIPTION} bytes")));
        }
        Ok(())
    }

    /// Sets when it is rotated next by itself: a period from now, less a part of the jitter by chance.
    pub(super) fn plan_rotation(&mut self, now: i64) -> Result<(), Error> {
        let most = u64::try_from(self.rotate_jitter_ms).unwrap_or(0);
        let chance = u64::from_be_bytes(rng::bytes::<8>()?).checked_rem(most.saturating_add(1)).unwrap_or(0);
        let early = i64::try_from(chance).unwrap_or(0);
        let at = now.saturating_add(self.rotate_every_ms).saturating_sub(early);
        self.rotate_at_ms = (self.rotate_every_ms > 0).then_some(at);
        Ok(())
    }

    fn supports(&self, usage: Usage) -> bool {
        match usage {
            Usage::Mac => true,
            // With somebody else's public key.
            Usage::Derive if CURVES.contains(&self.algorithm) => true,
            Usage::Derive | Usage::Encapsulate | Usage::Encrypt | Usage::Sign | Usage::Wrap => {
                self.algorithm.supports(usage)
            }
        }
    }
}

/// A record that names the key.
pub(super) fn key_record(record: Record, entry: &KeyEntry) -> Record {
    record.fact("key", entry.id.to_string()).fact("key_name", entry.name.clone())
}

/// # Errors
/// Where a text is no tag.
pub(super) fn check_tag(tag: &str) -> Result<(), Error> {
    match (1..=MAX_TAG).contains(&tag.len()) && !tag.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(Error::invalid(format!("a tag has 1 to {MAX_TAG} printable bytes"))),
    }
}
