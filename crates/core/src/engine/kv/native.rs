//! Native secrets: KV entries on `secret/` whose data is exactly `{"value": string}`. Each operation stands for the
//! logical requests of docs/API.md and is allowed only if all of them are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use coffer_api::{
    Code, Name, Page, Scope, Sensitive,
    secrets::{Effective, Kind, Secret, SecretInfo, SetOptions, State, Version},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{
    KvPath,
    data::{Loaded, Remembered, Write, kv_mount, write_operation},
    entry::{Head, VersionMeta},
    kept::Kept,
    prefix,
};
use crate::{
    Caller, Error,
    caller::Done,
    commit::Edit,
    mount::Mount,
    policy::{self, Operation, Parameters},
    record::Record,
    time::rfc3339,
};

/// Where native secrets lie.
pub(super) const MOUNT: &str = "secret/";
/// Names an effective view holds at most.
pub(super) const MAX_EFFECTIVE: usize = 10_000;
/// Bytes of values that one view holds at most.
pub(super) const MAX_VIEW_BYTES: usize = 48 << 20;
/// Keys looked at for one page of a recursive list or a search.
const MAX_LOOKED_AT: usize = 20_000;

/// Which directories a caller may list, as far as it was asked.
pub(super) type Listable = BTreeMap<String, bool>;

/// How far a list reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// The scope's own names.
    Own,
    /// The scopes below it too.
    Recursive,
}

/// The data of a native secret.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Native {
    pub(super) value: Sensitive<String>,
}

/// What a policy's parameter rules see of a native write.
pub(super) struct SetParameters<'a> {
    pub(super) value: &'a Sensitive<String>,
    pub(super) options: &'a SetOptions,
}

impl Parameters for SetParameters<'_> {
    fn load(&self) -> policy::Loaded {
        let mut options = Map::new();
        if let Some(cas) = self.options.cas {
            options.insert("cas".to_owned(), json!(cas));
        }
        if let Some(shred) = self.options.shred {
            options.insert("shred".to_owned(), json!(shred));
        }
        let mut all = Map::new();
        all.insert("data".to_owned(), json!({ "value": self.value.expose() }));
        all.insert("options".to_owned(), Value::Object(options));
        Ok(Some(all))
    }
}

impl Caller {
    /// Reads a secret; `None` means the current version.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `secret/data/{path}`; [`Code::NotFound`] where there is none, it is deleted
    /// or destroyed, or it is a KV entry of another shape.
    pub async fn secret_get(&self, scope: &Scope, name: &Name, version: Option<u64>) -> Result<Secret, Error> {
        let path = format!("{}/{name}", scope.path());
        let mut record = self.record("secret.read", format!("{MOUNT}data/{path}"));
        let result = self.get(scope, name, &path, version, &mut record.version).await;
        self.recorded(record, async { result?.map(Done::Unlogged).ok_or_else(unreadable) }).await
    }

    /// `None` where an entry of another shape lies there.
    pub(super) async fn get(
        &self,
        scope: &Scope,
        name: &Name,
        path: &str,
        version: Option<u64>,
        number: &mut Option<u64>,
    ) -> Result<Option<Secret>, Error> {
        self.authorise(&format!("{MOUNT}data/{path}"), Operation::Read, &())?;
        let mount = self.native_mount()?;
        let path = KvPath::parse(path)?;
        let loaded = self.active.kv_load(&mount, path).await?.ok_or_else(Error::not_found)?;
        let meta = loaded.head.version(version.unwrap_or(loaded.head.current)).copied().ok_or_else(Error::not_found)?;
        *number = Some(meta.number);
        if !meta.is_live(self.active.clock.now()) {
            let what = if meta.destroyed { "destroyed" } else { "deleted" };
            return Err(Error::new(Code::NotFound, format!("version {} is {what}", meta.number)));
        }
        let data = self.active.kv_data(&mount, path, &loaded.opened, &loaded.head, &meta).await?;
        let data = data.ok_or_else(Error::not_found)?;
        let Ok(native) = serde_json::from_slice::<Native>(&data) else { return Ok(None) };
        Ok(Some(Secret {
            scope: scope.clone(),
            name: name.clone(),
            value: native.value,
            version: self.describe(&loaded.head, &meta),
        }))
    }

    /// Writes a new version.
    ///
    /// # Errors
    /// [`Code::Denied`] without create or update on `secret/data/{path}`; [`Code::Conflict`] where `cas` does not
    /// match, or a KV entry of another shape lies there; [`Code::TooLarge`] above 1 MiB.
    pub async fn secret_set(
        &self,
        scope: &Scope,
        name: &Name,
        value: &Sensitive<String>,
        options: SetOptions,
    ) -> Result<Version, Error> {
        let path = format!("{}/{name}", scope.path());
        let logical = format!("{MOUNT}data/{path}");
        let record = self.record("secret.write", &logical);
        self.recorded(record.clone(), async {
            let mount = self.native_mount()?;
            let path = KvPath::parse(&path)?;
            let guard = self.active.lock_in(&mount, &[&path.row(&mount)]).await?;
            let loaded = self.active.kv_load(&mount, path).await?;
            let operation = write_operation(loaded.as_ref());
            self.authorise(&logical, operation, &SetParameters { value, options: &options })?;
            if let Some(loaded) = &loaded {
                self.refuse_foreign(&mount, path, loaded).await?;
            }
            let data = native_json(value)?;
            let write = Write { data: &data, cas: options.cas, shred: options.shred, recipe: Remembered::Kept };
            let (head, logged) = self.kv_put(&mount, path, loaded, write, Edit::under(guard), record).await?;
            let meta = head.version(head.current).copied().unwrap_or_default();
            Ok(Done::Logged(self.describe(&head, &meta), logged))
        })
        .await
    }

    /// All versions kept, oldest first.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `secret/metadata/{path}`; [`Code::NotFound`] where there is no such secret.
    pub async fn secret_versions(&self, scope: &Scope, name: &Name) -> Result<Vec<Version>, Error> {
        let path = format!("{}/{name}", scope.path());
        let logical = format!("{MOUNT}metadata/{path}");
        self.recorded(self.record("metadata.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let mount = self.native_mount()?;
            let loaded = self.active.kv_load(&mount, KvPath::parse(&path)?).await?.ok_or_else(Error::not_found)?;
            let versions = loaded.head.versions.iter().map(|version| self.describe(&loaded.head, version)).collect();
            Ok(Done::Unlogged(versions))
        })
        .await
    }

    /// Writes an older version's value as a new version.
    ///
    /// # Errors
    /// [`Code::Denied`] without read and update on `secret/data/{path}`; [`Code::NotFound`] where the version is not
    /// there to be read; [`Code::Conflict`] where `cas` does not match.
    pub async fn secret_rollback(
        &self,
        scope: &Scope,
        name: &Name,
        version: u64,
        cas: Option<u64>,
    ) -> Result<Version, Error> {
        let path = format!("{}/{name}", scope.path());
        let logical = format!("{MOUNT}data/{path}");
        let record = self.record("secret.rollback", &logical).fact("from", version.to_string());
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Read, &())?;
            let mount = self.native_mount()?;
            let path = KvPath::parse(&path)?;
            let guard = self.active.lock_in(&mount, &[&path.row(&mount)]).await?;
            let loaded = self.active.kv_load(&mount, path).await?.ok_or_else(Error::not_found)?;
            let gone = || Error::new(Code::NotFound, format!("version {version} is not there to be rolled back to"));
            let meta = loaded.head.version(version).copied().ok_or_else(gone)?;
            if !meta.is_live(self.active.clock.now()) {
                return Err(gone());
            }
            let data =
                self.active.kv_data(&mount, path, &loaded.opened, &loaded.head, &meta).await?.ok_or_else(gone)?;
            let native: Native = serde_json::from_slice(&data).map_err(|_| foreign())?;
            let options = SetOptions { cas, shred: None };
            self.authorise(&logical, Operation::Update, &SetParameters { value: &native.value, options: &options })?;
            // What was to be destroyed for good with its key stays so.
            let shred = meta.object.is_some().then_some(true);
            let write = Write { data: &data, cas, shred, recipe: Remembered::Kept };
            let (head, logged) = self.kv_put(&mount, path, Some(loaded), write, Edit::under(guard), record).await?;
            let meta = head.version(head.current).copied().unwrap_or_default();
            Ok(Done::Logged(self.describe(&head, &meta), logged))
        })
        .await
    }

    /// What lies in a scope, by path; `after` is the last path seen.
    ///
    /// # Errors
    /// [`Code::Denied`] without list on `secret/metadata/{scope}/` (a recursive list passes over directories that
    /// the caller may not list).
    pub async fn secret_list(
        &self,
        scope: &Scope,
        depth: Depth,
        after: &str,
        limit: usize,
    ) -> Result<Page<SecretInfo>, Error> {
        let directory = scope.path();
        let logical = format!("{MOUNT}metadata/{directory}/");
        self.recorded(self.record("metadata.list", &logical), async {
            self.authorise(&logical, Operation::List, &())?;
            Ok(Done::Unlogged(self.walk(&directory, depth, after, limit, |_| true).await?))
        })
        .await
    }

    /// Names that contain `text` (case-insensitive), in every scope that the caller may list.
    ///
    /// # Errors
    /// [`Code::Invalid`] where the text is empty.
    pub async fn secret_search(&self, text: &str, after: &str, limit: usize) -> Result<Page<SecretInfo>, Error> {
        let record = self.record("metadata.search", format!("{MOUNT}metadata/"));
        self.recorded(record, async {
            if text.is_empty() || text.len() > 256 {
                return Err(Error::invalid("a search has 1 to 256 bytes"));
            }
            let text = text.to_lowercase();
            let page =
                self.walk("", Depth::Recursive, after, limit, |name| name.to_lowercase().contains(&text)).await?;
            Ok(Done::Unlogged(page))
        })
        .await
    }

    /// What a service sees: its own secrets over its environment's over its project's.
    ///
    /// # Errors
    /// [`Code::Denied`] without list on the scope's own directory; [`Code::TooLarge`] beyond 10,000 names of one scope, or
    /// 48 MiB. Names that cannot be read are counted, not shown. With `only`, nothing else is looked at.
    pub async fn secret_effective(&self, scope: &Scope, only: Option<&BTreeSet<Name>>) -> Result<Effective, Error> {
        let logical = format!("{MOUNT}metadata/{}/", scope.path());
        let record = self.record("secret.effective", &logical);
        let mut read = Vec::new();
        let result = self.effective(scope, only, &logical, &mut read).await;
        self.log_values(scope, read).await?;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    /// One record for each value that leaves with a view, as if it were read by itself.
    pub(super) async fn log_values(&self, scope: &Scope, read: Vec<(String, u64)>) -> Result<(), Error> {
        let values = read.into_iter().map(|(path, version)| {
            let record = self.record("secret.read", path).fact("view", scope.to_string());
            Record { version: Some(version), ..record }
        });
        self.active.log_reads(&values.collect::<Vec<_>>()).await
    }

    pub(super) async fn effective(
        &self,
        scope: &Scope,
        only: Option<&BTreeSet<Name>>,
        logical: &str,
        read: &mut Vec<(String, u64)>,
    ) -> Result<Effective, Error> {
        self.authorise(logical, Operation::List, &())?;
        let mount = self.native_mount()?;
        let mut secrets: BTreeMap<Name, Secret> = BTreeMap::new();
        let mut seen: BTreeMap<Name, bool> = BTreeMap::new();
        let (mut hidden, mut kv, mut bytes) = (0, 0, 0);
        for origin in std::iter::successors(Some(scope.clone()), Scope::parent) {
            let limit = MAX_EFFECTIVE + Kept::ALL.len() + 1;
            let names = self.active.kv_names(&mount, &origin.path(), "", limit).await?;
            if names.iter().filter(|name| Kept::named(name).is_none()).count() > MAX_EFFECTIVE {
                return Err(Error::new(Code::TooLarge, format!("scope {origin} has more than {MAX_EFFECTIVE} names")));
            }
            for name in names {
                let Ok(name) = name.parse::<Name>() else {
                    // Not the name of a directory, so that of an entry that no native call can name.
                    if only.is_none()
                        && !name.contains('/')
                        && self.kept_beside(&mount, &origin, &name).await?.is_none()
                    {
                        kv += 1;
                    }
                    continue;
                };
                if seen.contains_key(&name) || only.is_some_and(|only| !only.contains(&name)) {
                    continue;
                }
                let mut number = None;
                let path = format!("{}/{name}", origin.path());
                match self.get(&origin, &name, &path, None, &mut number).await {
                    Ok(Some(secret)) => {
                        read.push((format!("{MOUNT}data/{path}"), secret.version.version));
                        bytes += secret.value.expose().len();
                        if bytes > MAX_VIEW_BYTES {
                            let what = "the values of this view are more than 48 MiB; ask for some of them by name";
                            return Err(Error::new(Code::TooLarge, what));
                        }
                        seen.insert(name.clone(), true);
                        secrets.insert(name, secret);
                    }
                    // A nearer origin that may not be read still stands before a farther one.
                    Err(error) if error.code() == Code::Denied => {
                        hidden += 1;
                        seen.insert(name, false);
                    }
                    // Of another shape: it stands before nothing, and nobody should miss it unawares.
                    Ok(None) => kv += 1,
                    // Deleted: it stands before nothing.
                    Err(error) if error.code() == Code::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Effective { secrets: secrets.into_values().collect(), hidden, kv })
    }

    /// Walks keys below a directory in order, as far as the caller may list them.
    async fn walk(
        &self,
        directory: &str,
        depth: Depth,
        after: &str,
        limit: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Page<SecretInfo>, Error> {
        let mount = self.native_mount()?;
        let prefix = match directory {
            "" => prefix(&mount),
            directory => format!("{}{directory}/", prefix(&mount)),
        };
        let limit = limit.clamp(1, 1000);
        let mut items = Vec::new();
        let mut after = self.active.cursors.path(after)?;
        let mut looked_at = 0;
        let mut listable = Listable::new();
        loop {
            let page = self.active.names(&prefix, &after, 1000).await?;
            for name in &page.names {
                if items.len() >= limit || looked_at >= MAX_LOOKED_AT {
                    return Ok(Page { items, next: Some(self.cursor(&mut listable, directory, after)?) });
                }
                looked_at += 1;
                after.clone_from(name);
                if depth == Depth::Own && name.contains('/') {
                    continue;
                }
                let full = match directory {
                    "" => name.clone(),
                    directory => format!("{directory}/{name}"),
                };
                let Some((parent, leaf)) = full.rsplit_once('/') else { continue };
                if !wanted(leaf) {
                    continue;
                }
                if self.is_listable(&mut listable, parent)
                    && let Some(info) = self.info(&mount, &full).await?
                {
                    items.push(info);
                }
            }
            if !page.more {
                return Ok(Page { items, next: None });
            }
        }
    }

    /// Whether the caller may list a directory; each is asked about once.
    pub(super) fn is_listable(&self, listable: &mut Listable, directory: &str) -> bool {
        if let Some(known) = listable.get(directory) {
            return *known;
        }
        let may = self.authorise(&format!("{MOUNT}metadata/{directory}/"), Operation::List, &()).is_ok();
        listable.insert(directory.to_owned(), may);
        may
    }

    /// Where a walk goes on that came as far as `after`, a path below `directory`: nothing of it is told to who may not
    /// list it.
    pub(super) fn cursor(&self, listable: &mut Listable, directory: &str, after: String) -> Result<String, Error> {
        let full = if directory.is_empty() { after.clone() } else { format!("{directory}/{after}") };
        let parent = full.rsplit_once('/').map(|(parent, _)| parent);
        match parent.is_some_and(|parent| self.is_listable(listable, parent)) {
            true => Ok(after),
            false => self.active.cursors.hidden(&after),
        }
    }

    async fn info(&self, mount: &Arc<Mount>, full: &str) -> Result<Option<SecretInfo>, Error> {
        let path = KvPath::parse(full)?;
        let segments: Vec<&str> = full.split('/').collect();
        let scope_len = segments.len().saturating_sub(1).clamp(1, 3);
        let Some((scope, rest)) = segments.split_at_checked(scope_len) else { return Ok(None) };
        let Ok(scope) = Scope::from_path(&scope.join("/")) else { return Ok(None) };
        let Some(loaded) = self.active.kv_load(mount, path).await? else { return Ok(None) };
        let name = rest.join("/");
        let kind = if name.parse::<Name>().is_ok() && self.is_native(mount, path, &loaded).await? {
            Kind::Secret
        } else {
            self.kept_beside(mount, &scope, &name).await?.map_or(Kind::Kv, Kept::kind)
        };
        let version = loaded.head.version(loaded.head.current).map(|version| self.describe(&loaded.head, version));
        Ok(Some(SecretInfo { scope, name, kind, version }))
    }

    pub(super) async fn refuse_foreign(&self, mount: &Mount, path: KvPath<'_>, loaded: &Loaded) -> Result<(), Error> {
        if self.is_native(mount, path, loaded).await? { Ok(()) } else { Err(foreign()) }
    }

    /// Whether the newest version with data has the native shape (or there is none).
    pub(super) async fn is_native(&self, mount: &Mount, path: KvPath<'_>, loaded: &Loaded) -> Result<bool, Error> {
        for version in loaded.head.versions.iter().rev().filter(|version| !version.destroyed) {
            let data = self.active.kv_data(mount, path, &loaded.opened, &loaded.head, version).await?;
            if let Some(data) = data {
                return Ok(serde_json::from_slice::<Native>(&data).is_ok());
            }
        }
        Ok(true)
    }

    pub(super) fn native_mount(&self) -> Result<Arc<Mount>, Error> {
        kv_mount(self.active.mounts.at(MOUNT))
            .map_err(|_| Error::new(Code::NotFound, "there is no KV v2 mount at secret/"))
    }

    pub(super) fn describe(&self, head: &Head, version: &VersionMeta) -> Version {
        let now = self.active.clock.now();
        let state = if version.destroyed {
            State::Destroyed
        } else if !version.is_live(now) {
            State::Deleted
        } else if version.number == head.current {
            State::Active
        } else {
            State::Archived
        };
        Version {
            created_time: rfc3339(version.created_ms),
            deletion_time: version.deletion_time().map(rfc3339),
            state,
            version: version.number,
        }
    }
}

pub(super) fn native_json(value: &Sensitive<String>) -> Result<Zeroizing<Vec<u8>>, Error> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        value: &'a str,
    }
    let mut json = Zeroizing::new(Vec::with_capacity(value.expose().len() + 32));
    serde_json::to_writer(&mut *json, &Borrowed { value: value.expose() }).map_err(Error::internal)?;
    Ok(json)
}

pub(super) fn unreadable() -> Error {
    Error::new(Code::NotFound, "a KV entry of another shape lies here; read it through the KV v2 API")
}

pub(super) fn foreign() -> Error {
    Error::new(Code::Conflict, "a KV entry of another shape lies here; the native API never rewrites one")
}
