//! KV v2: versioned values at paths, and the native secrets on the same entries. KV v1 on entries with one version.

mod before;
mod carried;
pub(crate) mod cursor;
pub(crate) mod data;
mod due;
pub(crate) mod entry;
mod generated;
mod identify;
mod kept;
pub(crate) mod list;
pub(crate) mod metadata;
pub(crate) mod native;
pub(crate) mod patch;
mod resolve;
mod restore;
mod snapshot;
mod together;
mod unversioned;
pub(crate) mod value;
mod versions;
pub(crate) mod view;

use serde::{Deserialize, Serialize};

use crate::{Error, mount::Mount};

pub use data::{KvRead, KvWrite};
pub use identify::ValueSearch;
pub use metadata::{KvMetadata, KvVersionMeta, MetadataWrite};
pub use patch::KvPatched;

/// Versions kept where neither key nor mount says how many.
pub(crate) const DEFAULT_MAX_VERSIONS: u64 = 10;
/// Versions that may be kept at most: their metadata lies in one entry.
pub(crate) const MAX_VERSIONS: u64 = 10_000;
/// Longest path below a mount, in bytes.
const MAX_PATH: usize = 1024;

/// Settings of a KV mount.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct KvConfig {
    /// Every write must carry `cas`.
    pub cas_required: bool,
    /// Every change of a key's metadata must carry `metadata_cas`.
    pub metadata_cas_required: bool,
    /// Milliseconds until a new version is deleted; 0 = never, negative = never, whatever the key says.
    pub delete_version_after_ms: i64,
    /// Versions kept; 0 = the default.
    pub max_versions: u64,
}

/// A path below a mount, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvPath<'a>(&'a str);

impl<'a> KvPath<'a> {
    /// # Errors
    /// Where the path is empty, too long, ends in `/` or has empty, relative or unprintable segments.
    pub(crate) fn parse(path: &'a str) -> Result<Self, Error> {
        if path.ends_with('/') {
            return Err(Error::invalid("cannot write to a path ending in '/'"));
        }
        check_directory(path)?;
        if path.is_empty() {
            return Err(Error::invalid("a path is missing"));
        }
        Ok(Self(path))
    }

    /// The entry with the current version.
    pub(crate) fn row(self, mount: &Mount) -> String {
        format!("{}{}", prefix(mount), self.0)
    }

    /// The entry of a superseded version.
    pub(crate) fn version_row(self, mount: &Mount, slot: u32) -> String {
        format!("{}{}/{}\0{slot:08x}", crate::keys::KV_VERSION, mount.id.simple(), self.0)
    }
}

/// The prefix of a mount's entries.
pub(crate) fn prefix(mount: &Mount) -> String {
    format!("{}{}/", crate::keys::KV, mount.id.simple())
}

/// # Errors
/// Where a directory's path (empty, or without its trailing slash) is unusable.
pub(crate) fn check_directory(path: &str) -> Result<(), Error> {
    if path.len() > MAX_PATH {
        return Err(Error::invalid(format!("a path has at most {MAX_PATH} bytes")));
    }
    if path.chars().any(char::is_control) {
        return Err(Error::invalid("a path has printable characters only"));
    }
    if !path.is_empty() && path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(Error::invalid("a path has no empty or relative segments"));
    }
    Ok(())
}
