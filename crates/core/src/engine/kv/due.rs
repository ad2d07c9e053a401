//! What is kept of a native secret beside its versions, and which are to be replaced.

use std::collections::BTreeMap;

use coffer_api::{
    Name, Page, Scope,
    secrets::{DueSecret, DueState, MetadataPatch, SecretMetadata},
};
use serde_json::{Map, Value};

use super::{
    KvPath, MetadataWrite,
    entry::Head,
    native::{Listable, MOUNT},
    prefix,
};
use crate::{
    Caller, Error,
    caller::Done,
    policy::{self, Operation, Parameters},
    time::{parse_rfc3339, rfc3339},
};

/// Under these names they lie among the custom metadata of the entry.
const EXPIRES_AT: &str = "expires_at";
const OWNER: &str = "owner";
const DESCRIPTION: &str = "description";
/// Entries that are looked at for one page.
const MAX_LOOKED_AT: usize = 20_000;
/// Names read at once.
const PAGE: usize = 1000;

/// The change as a Vault client would send it.
struct PatchParameters<'a>(&'a BTreeMap<String, Option<String>>);

impl Parameters for PatchParameters<'_> {
    fn load(&self) -> policy::Loaded {
        let pairs = self.0.iter().map(|(key, value)| (key.clone(), value.clone().map_or(Value::Null, Value::String)));
        let mut all = Map::new();
        all.insert("custom_metadata".to_owned(), Value::Object(pairs.collect()));
        Ok(Some(all))
    }
}

impl Caller {
    /// What is kept of a secret beside its versions.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `secret/metadata/{path}`; [`coffer_api::Code::NotFound`] where there is
    /// no such secret.
    pub async fn secret_metadata(&self, scope: &Scope, name: &Name) -> Result<SecretMetadata, Error> {
        let path = format!("{}/{name}", scope.path());
        let logical = format!("{MOUNT}metadata/{path}");
        self.recorded(self.record("metadata.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let mount = self.native_mount()?;
            let head = self.active.kv_load(&mount, KvPath::parse(&path)?).await?.ok_or_else(Error::not_found)?.head;
            Ok(Done::Unlogged(SecretMetadata {
                scope: scope.clone(),
                name: name.clone(),
                expires_at: custom(&head, EXPIRES_AT),
                owner: custom(&head, OWNER),
                description: custom(&head, DESCRIPTION),
                recipe: head.recipe.as_ref().map(crate::generate::Recipe::shown),
                created_time: rfc3339(head.created_ms),
                updated_time: rfc3339(head.updated_ms),
                version: head.current,
            }))
        })
        .await
    }

    /// Changes when a secret is to be replaced, who looks after it and what it is for.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without patch on `secret/metadata/{path}`; [`coffer_api::Code::NotFound`] where there is
    /// no such secret; [`coffer_api::Code::Invalid`] for what is no time, is empty or too long.
    pub async fn secret_metadata_patch(&self, scope: &Scope, name: &Name, patch: &MetadataPatch) -> Result<(), Error> {
        let path = format!("{}/{name}", scope.path());
        let mut merge = BTreeMap::new();
        for (key, value) in [(EXPIRES_AT, &patch.expires_at), (OWNER, &patch.owner), (DESCRIPTION, &patch.description)]
        {
            if let Some(value) = value {
                merge.insert(key.to_owned(), value.clone());
            }
        }
        let parameters = PatchParameters(&merge);
        let logical = format!("{MOUNT}metadata/{path}");
        let mut texts = [&patch.owner, &patch.description].into_iter().flatten().flatten();
        let is_text = |text: &String| (1..=512).contains(&text.len()) && !text.chars().any(char::is_control);
        let time = patch.expires_at.as_ref().and_then(|time| time.as_deref()).map_or(Ok(0), parse_rfc3339);
        let wrong = if let Err(error) = time {
            Some(error)
        } else if !texts.all(is_text) {
            Some(Error::invalid("body: owner and description are 1 to 512 bytes of printable text"))
        } else if merge.is_empty() {
            Some(Error::invalid("body: nothing to change"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(self.refuse_with(Operation::Patch, &logical, &parameters, wrong).await);
        }
        let mount = match self.native_mount() {
            Ok(mount) => mount,
            Err(error) => return Err(self.refuse_with(Operation::Patch, &logical, &parameters, error).await),
        };
        let write = MetadataWrite { custom_metadata_merge: Some(merge.clone()), ..MetadataWrite::default() };
        self.kv_metadata_patch(&mount, &path, write, &parameters).await
    }

    /// Secrets whose `expires_at` comes within so many milliseconds, has passed, or is no time; by path. Those that the caller
    /// may not list, or whose metadata it may not read, are passed over.
    ///
    /// # Errors
    /// Where the store fails. A page may have few of them, or none, and go on all the same.
    pub async fn secret_due(&self, within_ms: i64, after: &str, limit: usize) -> Result<Page<DueSecret>, Error> {
        let record = self.record("metadata.due", format!("{MOUNT}metadata/"));
        self.recorded(record, async { Ok(Done::Unlogged(self.due(within_ms, after, limit).await?)) }).await
    }

    async fn due(&self, within_ms: i64, after: &str, limit: usize) -> Result<Page<DueSecret>, Error> {
        let mount = self.native_mount()?;
        let now = self.active.clock.now();
        let until = now.saturating_add(within_ms);
        let prefix = prefix(&mount);
        let (mut items, mut after, mut looked_at) = (Vec::new(), self.active.cursors.path(after)?, 0);
        let mut listable = Listable::new();
        loop {
            let page = self.active.names(&prefix, &after, PAGE).await?;
            for path in page.names {
                if items.len() >= limit || looked_at >= MAX_LOOKED_AT {
                    return Ok(Page { items, next: Some(self.cursor(&mut listable, "", after)?) });
                }
                looked_at += 1;
                after.clone_from(&path);
                let Some((directory, name)) = path.rsplit_once('/') else { continue };
                let (Ok(scope), Ok(name)) = (Scope::from_path(directory), name.parse::<Name>()) else { continue };
                if !self.is_listable(&mut listable, directory)
                    || self.authorise(&format!("{MOUNT}metadata/{path}"), Operation::Read, &()).is_err()
                {
                    continue;
                }
                let Some(loaded) = self.active.kv_load(&mount, KvPath::parse(&path)?).await? else { continue };
                let head = loaded.head;
                let is_there = head.version(head.current).is_some_and(|version| version.is_live(now));
                let Some(expires_at) = custom(&head, EXPIRES_AT).filter(|_| is_there) else { continue };
                let state = match parse_rfc3339(&expires_at) {
                    Err(_) => DueState::Invalid,
                    Ok(at) if at <= now => DueState::Expired,
                    Ok(at) if at <= until => DueState::Due,
                    Ok(_) => continue,
                };
                let (owner, description) = (custom(&head, OWNER), custom(&head, DESCRIPTION));
                items.push(DueSecret { scope, name, expires_at, state, owner, description });
            }
            if !page.more {
                return Ok(Page { items, next: None });
            }
        }
    }
}

fn custom(head: &Head, key: &str) -> Option<String> {
    head.custom.as_ref().and_then(|custom| custom.get(key).cloned())
}
