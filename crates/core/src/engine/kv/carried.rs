//! Native secrets copied and moved between scopes: one commit, with records on both ends.

use std::collections::BTreeSet;

use coffer_api::{
    Code, Name, Scope,
    copies::{CopiedSecret, CopyReply, SecretCopy},
    secrets::SetOptions,
};
use coffer_storage::Expect;
use zeroize::Zeroizing;

use super::{
    KvPath,
    data::{Loaded, Remembered, Write, write_operation},
    entry::{self, Head, VersionMeta},
    native::{MOUNT, Native, SetParameters, foreign},
};
use crate::{
    Caller, Error,
    caller::Done,
    commit::{Edit, Part, Urgency},
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// Secrets that are copied together at most.
const MAX_NAMES: usize = 1000;
/// Bytes that are written together at most, with what they supersede.
const MAX_BYTES: usize = 64 << 20;

/// One secret on its way.
struct Way<'a> {
    mount: &'a Mount,
    /// Where it lies, below the mount, and as messages call it.
    from: (String, String),
    to: (String, String),
    copy: &'a SecretCopy,
}

/// What lies at both ends of a way.
struct Ends {
    source: String,
    target: String,
    loaded: Loaded,
    meta: VersionMeta,
    data: Zeroizing<Vec<u8>>,
    existing: Option<Loaded>,
}

impl Caller {
    /// Copies the current values of secrets, with how they are made, to another scope or name; moves them where that is
    /// asked for. All of them, or none.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on the one `secret/data/{path}` and create or update on the other, and for a move
    /// delete on the one; [`Code::NotFound`] where one is not there; [`Code::Conflict`] where one lies in its place, unless
    /// that may be overwritten, or an entry of another shape does; [`Code::TooLarge`] where they are too many.
    pub async fn secret_copy(&self, copy: &SecretCopy) -> Result<CopyReply, Error> {
        let record = self.record("secret.copy", format!("{MOUNT}data/{}/", copy.from.path()));
        self.recorded(record, async {
            let targets = targets(copy)?;
            let mount = self.native_mount()?;
            let place = |scope: &Scope, name: &Name| (format!("{}/{name}", scope.path()), format!("{name} in {scope}"));
            let ways: Vec<Way<'_>> = copy
                .names
                .iter()
                .zip(targets)
                .map(|(name, target)| Way {
                    mount: &mount,
                    from: place(&copy.from, name),
                    to: place(&copy.to, target),
                    copy,
                })
                .collect();
            let mut rows = BTreeSet::new();
            for way in &ways {
                rows.insert(KvPath::parse(&way.from.0)?.row(&mount));
                rows.insert(KvPath::parse(&way.to.0)?.row(&mount));
            }
            // Nobody waits for who may do nothing: asked before any path is locked, and again under the locks.
            let mut new = 0;
            for way in &ways {
                new += usize::from(self.look(way).await?.existing.is_none());
                tokio::task::yield_now().await;
            }
            self.has_room(&mount, &copy.to, new).await?;
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let guard = self.active.lock_in(&mount, &rows).await?;
            let mut parts: Vec<Part> = Vec::new();
            let mut bytes = 0;
            let mut secrets = Vec::with_capacity(ways.len());
            for (way, target) in ways.iter().zip(self::targets(copy)?) {
                let before = parts.len();
                let version = self.carry(way, &mut parts).await?;
                secrets.push(CopiedSecret { name: target.clone(), version });
                bytes += parts.iter().skip(before).map(|(edit, _)| edit.bytes()).sum::<usize>();
                if bytes > MAX_BYTES {
                    return Err(Error::new(Code::TooLarge, "these values are too many for one change; copy fewer"));
                }
            }
            if let Some((edit, _)) = parts.first_mut() {
                edit.hold(guard);
            }
            let logged = self.active.commit_all(parts, Urgency::Ordinary).await?;
            Ok(Done::Logged(CopyReply { secrets }, logged))
        })
        .await
    }

    /// Asks for one end of a way; a refusal is recorded there too.
    async fn authorise_end(&self, path: &str, operation: Operation, parameters: &dyn Parameters) -> Result<(), Error> {
        match self.authorise(path, operation, parameters) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(self.record("secret.copy", path), error).await),
        }
    }

    /// What lies at both ends of a way, where it may be gone.
    async fn look(&self, way: &Way<'_>) -> Result<Ends, Error> {
        let (source, target) = (format!("{MOUNT}data/{}", way.from.0), format!("{MOUNT}data/{}", way.to.0));
        self.authorise_end(&source, Operation::Read, &()).await?;
        let path = KvPath::parse(&way.from.0)?;
        let gone = || Error::new(Code::NotFound, format!("there is no secret {}", way.from.1));
        let loaded = self.active.kv_load(way.mount, path).await?.ok_or_else(gone)?;
        let now = self.active.clock.now();
        let meta =
            loaded.head.version(loaded.head.current).copied().filter(|meta| meta.is_live(now)).ok_or_else(gone)?;
        let data = self.active.kv_data(way.mount, path, &loaded.opened, &loaded.head, &meta).await?.ok_or_else(gone)?;
        let native: Native = serde_json::from_slice(&data).map_err(|_| foreign())?;
        let there = KvPath::parse(&way.to.0)?;
        let existing = self.active.kv_load(way.mount, there).await?;
        let parameters = SetParameters { value: &native.value, options: &SetOptions::default() };
        self.authorise_end(&target, write_operation(existing.as_ref()), &parameters).await?;
        if way.copy.moves {
            self.authorise_end(&source, Operation::Delete, &()).await?;
        }
        if let Some(existing) = &existing {
            self.refuse_foreign(way.mount, there, existing).await?;
            let current = existing.head.version(existing.head.current).filter(|version| version.is_live(now));
            if let Some(current) = current.filter(|_| !way.copy.overwrite) {
                let message = format!("{} is there already, version {}", way.to.1, current.number);
                return Err(Error::new(Code::Conflict, message));
            }
        }
        Ok(Ends { source, target, loaded, meta, data, existing })
    }

    /// Adds what one secret's way comes to.
    async fn carry(&self, way: &Way<'_>, parts: &mut Vec<Part>) -> Result<coffer_api::secrets::Version, Error> {
        let Ends { source, target, loaded, meta, data, existing } = self.look(way).await?;
        let (path, there) = (KvPath::parse(&way.from.0)?, KvPath::parse(&way.to.0)?);
        let now = self.active.clock.now();
        let mut record = self.record("secret.write", &target).fact("copied_from", &source);
        let mut edit = Edit::default();
        let cas = existing.as_ref().map_or(0, |existing| existing.head.current);
        // What is to be destroyed for good with its key stays so, whatever lay there; and how it is made goes with it, for
        // what made another value does not make this one.
        let shred = meta.object.is_some().then_some(true);
        let recipe = Remembered::Set(loaded.head.recipe.clone());
        let write = Write { data: &data, cas: Some(cas), shred, recipe };
        let fresh = Head { shred: loaded.head.shred, ..Head::default() };
        let head = self.active.kv_stage(way.mount, there, existing, &fresh, write, (&mut edit, &mut record))?;
        let written = head.version(head.current).copied().unwrap_or_default();
        if way.copy.moves {
            let told = self.record("secret.delete", &source).fact("moved_to", &target);
            parts.push((self.deleted(way, path, loaded, now)?, Record { version: Some(meta.number), ..told }));
        } else {
            let told = self.record("secret.copy", &source).fact("to", &target);
            edit.tell(Record { version: Some(meta.number), ..told });
        }
        parts.push((edit, record));
        Ok(self.describe(&head, &written))
    }

    /// The current version marked as deleted by hand.
    fn deleted(&self, way: &Way<'_>, path: KvPath<'_>, loaded: Loaded, now: i64) -> Result<Edit, Error> {
        let Loaded { opened, mut head, revision } = loaded;
        let (current, data) = (head.current, opened.data());
        head.version_mut(current).ok_or_else(Error::not_found)?.delete(now);
        let mut edit = Edit::default();
        self.active.follow_value(way.mount, path, &data, &entry::Data::Nothing, &mut edit)?;
        edit.put(path.row(way.mount), entry::current(&head, &data)?, Some(Expect::Revision(revision)));
        Ok(edit)
    }
}

/// The names there, one for each.
///
/// # Errors
/// Where the request makes no sense.
fn targets(copy: &SecretCopy) -> Result<Vec<&Name>, Error> {
    let names: BTreeSet<&Name> = copy.names.iter().collect();
    if copy.names.is_empty() || copy.names.len() > MAX_NAMES {
        return Err(Error::invalid(format!("body: 1 to {MAX_NAMES} names, not {}", copy.names.len())));
    }
    if names.len() != copy.names.len() {
        return Err(Error::invalid("body: a name stands twice"));
    }
    let targets: Vec<&Name> = match (&copy.rename, copy.names.as_slice()) {
        (None, names) => names.iter().collect(),
        (Some(rename), [_]) => vec![rename],
        (Some(_), _) => return Err(Error::invalid("body: only one secret at a time is renamed")),
    };
    if copy.from == copy.to && targets.iter().any(|target| names.contains(target)) {
        return Err(Error::invalid("body: a secret cannot take its own place"));
    }
    Ok(targets)
}
