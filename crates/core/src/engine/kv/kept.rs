//! What lies beside a scope's secrets and is none: the layout of its `.env` file, and its snapshots. Both are KV entries
//! under names that no native secret can have, so that policies, records, versions and their end are those of any entry.

use std::collections::BTreeMap;

use coffer_api::{Name, Scope, Sensitive, secrets::Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::KvPath;
use crate::{
    Caller, Error,
    mount::Mount,
    policy::{self, Parameters, Unreadable},
};

/// Which of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kept {
    Layout,
    Snapshots,
}

/// The data of a layout.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LayoutData {
    pub(super) layout: Sensitive<String>,
}

/// The data of a snapshot.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotData {
    /// The layout's version.
    pub(super) layout: Option<u64>,
    pub(super) reason: String,
    pub(super) secrets: BTreeMap<Name, u64>,
}

/// What a policy's parameter rules see of a write of JSON.
pub(super) struct DataParameters<'a>(pub(super) &'a [u8]);

impl Kept {
    pub(super) const ALL: [Self; 2] = [Self::Layout, Self::Snapshots];

    /// Its name in the scope's directory.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Layout => ".env",
            Self::Snapshots => ".snapshots",
        }
    }

    /// Which of them a name in the scope's directory may be.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kept| kept.name() == name)
    }

    /// What lists call it.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Layout => Kind::Layout,
            Self::Snapshots => Kind::Snapshots,
        }
    }

    /// Whether data under its name is its own.
    pub(super) fn fits(self, data: &[u8]) -> bool {
        match self {
            Self::Layout => serde_json::from_slice::<LayoutData>(data).is_ok(),
            Self::Snapshots => serde_json::from_slice::<SnapshotData>(data).is_ok(),
        }
    }
}

impl Parameters for DataParameters<'_> {
    fn load(&self) -> policy::Loaded {
        let data: Value = serde_json::from_slice(self.0).map_err(|_| Unreadable("data".to_owned()))?;
        let mut all = Map::new();
        all.insert("data".to_owned(), data);
        all.insert("options".to_owned(), Value::Object(Map::new()));
        Ok(Some(all))
    }
}

impl Caller {
    /// What of these an entry of a scope is; `None` for anything else, and where another's data lies under its name.
    pub(super) async fn kept_beside(&self, mount: &Mount, scope: &Scope, name: &str) -> Result<Option<Kept>, Error> {
        let Some(kept) = Kept::named(name) else { return Ok(None) };
        let path = format!("{}/{name}", scope.path());
        let path = KvPath::parse(&path)?;
        let Some(loaded) = self.active.kv_load(mount, path).await? else { return Ok(None) };
        for version in loaded.head.versions.iter().rev() {
            let data = self.active.kv_data(mount, path, &loaded.opened, &loaded.head, version).await?;
            if let Some(data) = data {
                return Ok(Some(kept).filter(|kept| kept.fits(&data)));
            }
        }
        Ok(Some(kept))
    }
}

/// Data as it is stored.
pub(super) fn json(data: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut json = Zeroizing::new(Vec::new());
    serde_json::to_writer(&mut *json, data).map_err(Error::internal)?;
    Ok(json)
}
