//! Putting a scope back to what a snapshot says, together or not at all: older values become new versions, what came since
//! is deleted, what was deleted comes back.

use coffer_api::{
    Code, Name, Scope,
    secrets::{SetOptions, Version},
    snapshots::{Gone, Restore, RestoreAction, RestoreChange, Restored},
};
use serde_json::{Map, json};
use zeroize::Zeroizing;

use super::{
    KvPath,
    data::{Loaded, Remembered, Write},
    entry::{Head, VersionMeta},
    kept::{DataParameters, Kept, LayoutData},
    native::{MOUNT, Native, SetParameters},
    snapshot::version_of,
    together::{Extent, Gathering},
};
use crate::{Caller, Error, caller::Done, commit::Edit, policy::Operation, record::Record};

/// Versions that cannot be had any more and are named in a refusal.
const NAMED: usize = 5;

/// What is to become of one entry.
enum Step {
    /// Nothing.
    Keep,
    /// Its version cannot be had any more.
    Gone(&'static str),
    /// This.
    Change(RestoreAction, u64),
}

impl Caller {
    /// Puts the scope's own secrets, and its layout, back to a snapshot, after another one was taken.
    ///
    /// # Errors
    /// Where anything is wrong, nothing is changed. [`Code::Denied`] without read on `secret/data/{scope}/.snapshots`, list
    /// on `secret/metadata/{scope}/`, and for each secret that changes read and update, delete, or update on
    /// `secret/undelete/…`; [`Code::NotFound`] where there is no such snapshot; [`Code::Conflict`] where versions cannot be
    /// had any more, unless the rest is to be restored without them.
    pub async fn snapshot_restore(&self, scope: &Scope, id: u64, restore: Restore) -> Result<Restored, Error> {
        let mut record = self.record("snapshot.restore", format!("{MOUNT}data/{}/.snapshots", scope.path()));
        record.version = Some(id);
        self.recorded(record.clone(), async {
            let mount = self.native_mount()?;
            let taken = self.taken(&mount, scope, id).await?;
            self.authorise(&format!("{MOUNT}metadata/{}/", scope.path()), Operation::List, &())?;
            let named = taken.data.secrets.keys().map(Name::as_str);
            let mut gathering = Gathering::begin(self, scope, named, Extent::Whole).await?;
            let mut restored = Restored { changes: Vec::new(), unchanged: 0, gone: Vec::new(), snapshot: None };
            let mut names: Vec<Name> = taken.data.secrets.keys().cloned().collect();
            names.extend(gathering.names.iter().filter(|name| !taken.data.secrets.contains_key(*name)).cloned());
            names.sort_unstable();
            for name in &names {
                let wanted = taken.data.secrets.get(name).copied();
                gathering.restore(Entry::Secret(name), wanted, (id, taken.created_ms), &mut restored).await?;
            }
            gathering.restore(Entry::Layout, taken.data.layout, (id, taken.created_ms), &mut restored).await?;
            let is_refused = !restore.partial && !restored.gone.is_empty();
            if is_refused || restore.dry_run || gathering.is_empty() {
                gathering.settle().await?;
                let compared = gathering.ended();
                self.log_values(scope, compared).await?;
                return if is_refused { Err(gone(&restored.gone)) } else { Ok(Done::Unlogged(restored)) };
            }
            let before = gathering.snapshot(&format!("before restoring snapshot {id}")).await?;
            restored.snapshot = before.map(|before| before.id);
            let compared = std::mem::take(&mut gathering.compared);
            gathering.tell(record);
            let committed = gathering.commit().await?;
            // They may be twice as many as the changes, too many for the commit, and nobody waits for them.
            self.log_values(scope, compared).await?;
            Ok(match committed {
                Some(logged) => Done::Logged(restored, logged),
                None => Done::Unlogged(restored),
            })
        })
        .await
    }
}

/// What a snapshot names.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Layout,
    Secret(&'a Name),
}

impl Gathering<'_> {
    /// Gathers what is to be done with one entry.
    async fn restore(
        &mut self,
        entry: Entry<'_>,
        wanted: Option<u64>,
        (id, taken_ms): (u64, i64),
        restored: &mut Restored,
    ) -> Result<(), Error> {
        let name = entry.name();
        let text = self.path(name);
        let path = KvPath::parse(&text)?;
        let loaded = self.load(path).await?;
        let step = match self.step(entry, path, loaded.as_ref(), wanted, taken_ms).await {
            Ok(step) => step,
            Err(error) => {
                let record = self.caller.record("secret.read", format!("{MOUNT}data/{text}"));
                self.take(name, record, Err(error))?;
                return Ok(());
            }
        };
        match (step, loaded) {
            (Step::Gone(why), _) => {
                let (version, why) = (wanted.unwrap_or_default(), why.to_owned());
                restored.gone.push(Gone { name: name.to_owned(), version, why });
            }
            (Step::Change(action, of), Some(loaded)) => {
                let class = match action {
                    RestoreAction::Delete => "secret.delete",
                    RestoreAction::Rollback => "secret.rollback",
                    RestoreAction::Undelete => "secret.undelete",
                };
                let mut record =
                    self.caller.record(class, format!("{MOUNT}data/{text}")).fact("snapshot", id.to_string());
                let staged = match action {
                    RestoreAction::Delete => self.take_away(path, loaded, &mut record),
                    RestoreAction::Rollback => self.roll_back(entry, path, loaded, of, &mut record).await,
                    RestoreAction::Undelete => self.bring_back(&text, path, loaded, &mut record),
                };
                if let Some(version) = self.take(name, record, staged)? {
                    let version = version.version;
                    restored.changes.push(RestoreChange { name: name.to_owned(), action, of, version });
                }
            }
            (Step::Keep, _) | (Step::Change(..), None) => {
                if matches!(entry, Entry::Secret(_)) && wanted.is_some() {
                    restored.unchanged += 1;
                }
            }
        }
        Ok(())
    }

    async fn step(
        &mut self,
        entry: Entry<'_>,
        path: KvPath<'_>,
        loaded: Option<&Loaded>,
        wanted: Option<u64>,
        taken_ms: i64,
    ) -> Result<Step, Error> {
        let now = self.caller.active.clock.now();
        let current = loaded.and_then(|loaded| loaded.head.version(loaded.head.current)).copied();
        let is_live = current.is_some_and(|version| version.is_live(now));
        let Some(number) = wanted else {
            return Ok(match (loaded, current) {
                (Some(loaded), Some(current)) if is_live && self.fits(entry, path, loaded).await? => {
                    Step::Change(RestoreAction::Delete, current.number)
                }
                (Some(_) | None, _) => Step::Keep,
            });
        };
        let version = match version_of(loaded.map(|loaded| &loaded.head), number, taken_ms) {
            Ok(version) => version,
            Err(why) => {
                // What became of it is told to who might have read it.
                self.may_read(entry)?;
                return Ok(Step::Gone(why));
            }
        };
        let Some(loaded) = loaded else { return Ok(Step::Gone("is not there")) };
        if number == loaded.head.current {
            return Ok(if is_live { Step::Keep } else { Step::Change(RestoreAction::Undelete, number) });
        }
        let logical = self.may_read(entry)?;
        if !self.fits(entry, path, loaded).await? {
            return Ok(Step::Gone("has become an entry of another shape"));
        }
        // Whether the values are the same is told by what happens, so each of them is read.
        self.compared.extend(
            [number].into_iter().chain(current.map(|current| current.number)).map(|number| (logical.clone(), number)),
        );
        let (old, new) = (self.data(path, loaded, &version).await?, self.current(path, loaded, current).await?);
        Ok(match old {
            None => Step::Gone("is destroyed"),
            Some(old) if is_live && new.as_ref() == Some(&old) => Step::Keep,
            Some(_) => Step::Change(RestoreAction::Rollback, number),
        })
    }

    /// Whether the entry is what its name says.
    async fn fits(&self, entry: Entry<'_>, path: KvPath<'_>, loaded: &Loaded) -> Result<bool, Error> {
        match entry {
            Entry::Secret(_) => self.caller.is_native(&self.mount, path, loaded).await,
            Entry::Layout => {
                let current = loaded.head.version(loaded.head.current).copied();
                let data = self.current(path, loaded, current).await?;
                Ok(data.is_none_or(|data| Kept::Layout.fits(&data)))
            }
        }
    }

    fn take_away(&self, path: KvPath<'_>, loaded: Loaded, record: &mut Record) -> Result<(Edit, Version), Error> {
        self.caller.authorise(&record.path, Operation::Delete, &())?;
        let now = self.caller.active.clock.now();
        self.mark(path, loaded, |version| version.delete(now), record)
    }

    fn bring_back(
        &self,
        text: &str,
        path: KvPath<'_>,
        loaded: Loaded,
        record: &mut Record,
    ) -> Result<(Edit, Version), Error> {
        self.may_bring_back(text, loaded.head.current)?;
        record.path = format!("{MOUNT}undelete/{text}");
        self.mark(path, loaded, |version| version.deletion_ms = 0, record)
    }

    async fn roll_back(
        &self,
        entry: Entry<'_>,
        path: KvPath<'_>,
        loaded: Loaded,
        of: u64,
        record: &mut Record,
    ) -> Result<(Edit, Version), Error> {
        let version = loaded.head.version(of).copied().ok_or_else(Error::not_found)?;
        if !version.is_live(self.caller.active.clock.now()) {
            self.may_bring_back(&self.path(entry.name()), of)?;
        }
        let data = self.data(path, &loaded, &version).await?.ok_or_else(Error::not_found)?;
        match entry {
            Entry::Secret(_) => {
                let native: Native = serde_json::from_slice(&data).map_err(|_| super::native::foreign())?;
                let parameters = SetParameters { value: &native.value, options: &SetOptions::default() };
                self.caller.authorise(&record.path, Operation::Update, &parameters)?;
            }
            Entry::Layout => {
                serde_json::from_slice::<LayoutData>(&data).map_err(|_| super::native::foreign())?;
                self.caller.authorise(&record.path, Operation::Update, &DataParameters(&data))?;
            }
        }
        record.facts.push(("from", of.to_string()));
        // What was to be destroyed for good with its key stays so.
        let shred = version.object.is_some().then_some(true);
        let write = Write { data: &data, cas: Some(loaded.head.current), shred, recipe: Remembered::Kept };
        self.stage(path, Some(loaded), &Head::default(), write, record)
    }

    /// The logical path of an entry that the caller may read.
    fn may_read(&self, entry: Entry<'_>) -> Result<String, Error> {
        let logical = format!("{MOUNT}data/{}", self.path(entry.name()));
        self.caller.authorise(&logical, Operation::Read, &())?;
        Ok(logical)
    }

    fn may_bring_back(&self, text: &str, version: u64) -> Result<(), Error> {
        let mut parameters = Map::new();
        parameters.insert("versions".to_owned(), json!([version]));
        self.caller.authorise(&format!("{MOUNT}undelete/{text}"), Operation::Update, &parameters).map(drop)
    }

    async fn current(
        &self,
        path: KvPath<'_>,
        loaded: &Loaded,
        current: Option<VersionMeta>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        match current {
            Some(version) => self.data(path, loaded, &version).await,
            None => Ok(None),
        }
    }

    async fn data(
        &self,
        path: KvPath<'_>,
        loaded: &Loaded,
        version: &VersionMeta,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        self.caller.active.kv_data(&self.mount, path, &loaded.opened, &loaded.head, version).await
    }
}

impl<'a> Entry<'a> {
    fn name(self) -> &'a str {
        match self {
            Self::Layout => Kept::Layout.name(),
            Self::Secret(name) => name.as_str(),
        }
    }
}

fn gone(gone: &[Gone]) -> Error {
    let named: Vec<String> =
        gone.iter().take(NAMED).map(|gone| format!("version {} of {} {}", gone.version, gone.name, gone.why)).collect();
    let more = match gone.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Error::new(Code::Conflict, format!("nothing was changed: {}{more}", named.join(", ")))
}
