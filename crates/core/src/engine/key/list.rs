//! Lists of keys: names for the Vault dialect, and pages by algorithm, state, tag and name out of the name rows, which
//! hold what is filtered by. A page looks at a bounded number of rows, so that it may have few keys, or none, and more
//! after it.

use coffer_api::Page;
use coffer_crypto::keys::Algorithm;
use coffer_storage::{Key, Limit, Prefix};
use uuid::Uuid;

use super::{
    entry::NameRow,
    keys_of,
    state::KeyState,
    view::{KeyView, view},
};
use crate::{
    Caller, Error, Mount,
    active::Active,
    caller::Done,
    codec, keys,
    ops::list::{GrantedPart, ListPart},
};

/// Keys of a page at most.
pub const MAX_KEYS_LISTED: usize = 200;
/// Name rows that one page looks at: some ten milliseconds.
const VISITED: usize = 3_000;

/// Which keys are listed; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Of this algorithm.
    pub algorithm: Option<Algorithm>,
    /// With a version in this state.
    pub state: Option<KeyState>,
    /// With this tag.
    pub tag: Option<String>,
    /// With this in its name.
    pub name: Option<String>,
    /// Those that have their names, or those that lost them.
    pub kept: Kept,
}

/// Whether keys have their names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kept {
    /// They lost them: deleted, and perhaps to be recovered.
    Deleted,
    /// They have them.
    #[default]
    Named,
}

impl Caller {
    /// The names of an engine's keys, sorted.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `{mount}keys/`.
    pub async fn key_names(&self, mount: &Mount, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        let logical = format!("{}keys/", mount.path);
        self.recorded(self.record("key.list", &logical), async {
            let part = self.authorise_list(&logical, part)?;
            Ok(Done::Unlogged(self.active.list(&keys_of(keys::KEY_NAME, mount.id), part).await?.items))
        })
        .await
    }

    /// A page of keys by name, without their public parts. It may have fewer keys than asked for and go on all the same:
    /// `next` tells.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `{mount}keys/`.
    pub async fn key_list(
        &self,
        mount: &Mount,
        filter: &KeyFilter,
        part: ListPart<'_>,
    ) -> Result<Page<KeyView>, Error> {
        let logical = format!("{}keys/", mount.path);
        self.recorded(self.record("key.list", &logical), async {
            let part = self.authorise_list(&logical, part)?;
            Ok(Done::Unlogged(self.active.key_page(mount.id, filter, part).await?))
        })
        .await
    }
}

impl Active {
    async fn key_page(&self, mount: Uuid, filter: &KeyFilter, part: GrantedPart<'_>) -> Result<Page<KeyView>, Error> {
        let start = keys_of(
            match filter.kept {
                Kept::Deleted => keys::KEY_DELETED,
                Kept::Named => keys::KEY_NAME,
            },
            mount,
        );
        let limit = part.limit.clamp(1, MAX_KEYS_LISTED);
        let rows = Prefix::new(start.clone())?;
        let mut after = match part.after {
            "" => None,
            after => Some(Key::new(format!("{start}{}", cursor(after, filter.kept)))?),
        };
        let mut items = Vec::new();
        let mut visited = 0;
        loop {
            let page = self.store.scan(&rows, after.as_ref(), Limit::MAX).await?;
            for (key, found) in &page.items {
                let row = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
                let name = row.strip_prefix(&start).unwrap_or_default();
                if items.len() >= limit || visited >= VISITED {
                    let last = after.as_ref().and_then(|key| std::str::from_utf8(key.as_bytes()).ok());
                    let next = last.and_then(|last| last.strip_prefix(&start)).map(|last| last.replace('\0', "/"));
                    return Ok(Page { items, next });
                }
                visited += 1;
                after = Some(key.clone());
                let listed: NameRow = codec::decode(row, &self.barrier.open(row, &found.value)?)?;
                if filter.matches(name.split('\0').next().unwrap_or_default(), &listed)
                    // One that went since its name was read is left out.
                    && let Some(found) = self.key_by_id(mount, listed.id).await?
                {
                    items.push(view(&found.value, std::collections::BTreeMap::new())?);
                }
            }
            if !page.more {
                return Ok(Page { items, next: None });
            }
        }
    }
}

impl KeyFilter {
    fn matches(&self, name: &str, key: &NameRow) -> bool {
        self.algorithm.is_none_or(|algorithm| key.algorithm == algorithm)
            && self.state.is_none_or(|state| key.states.contains(&state))
            && self.tag.as_ref().is_none_or(|tag| key.tags.contains(tag))
            && self.name.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }
}

/// Where a page of deleted keys goes on: two of them may have had the same name.
fn cursor(after: &str, kept: Kept) -> String {
    match kept {
        Kept::Deleted => after.replace('/', "\0"),
        Kept::Named => after.to_owned(),
    }
}
