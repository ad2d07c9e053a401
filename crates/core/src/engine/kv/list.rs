//! Listing a directory: one level, without reading what lies below its sub-directories, or all that lies below.

use super::{KvMetadata, KvPath, check_directory, metadata::describe, prefix};
use crate::{Caller, Error, active::Active, caller::Done, mount::Mount, ops::list::ListPart, policy::Operation};

/// Entries of a list that is not paged by its caller.
pub const MAX_LISTED: usize = 100_000;
/// Keys that are described in one list.
const MAX_DESCRIBED: usize = 10_000;
/// Names read at once.
const PAGE: usize = 1000;

/// How far a list reaches.
#[derive(Clone, Copy, Debug)]
pub enum KvReach<'a> {
    /// All keys below, by their paths, a directory's own keys before those of its sub-directories.
    Below {
        /// What was asked for: policies bound it, and the answer is whole all the same.
        limit: Option<usize>,
    },
    /// One level; sub-directories end in `/`.
    Level {
        /// Names after this one.
        after: &'a str,
        /// At most so many.
        limit: Option<usize>,
    },
}

impl Caller {
    /// Names below a directory (`""` or `a/b/`).
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list (or scan, as it reaches) on `{mount}metadata/{directory}`;
    /// [`coffer_api::Code::Invalid`] where more than [`MAX_LISTED`] names would have to be answered at once.
    pub async fn kv_list(&self, mount: &Mount, directory: &str, reach: KvReach<'_>) -> Result<Vec<String>, Error> {
        let directory = directory.trim_end_matches('/');
        let logical = logical(mount, "metadata", directory);
        self.recorded(self.record("metadata.list", &logical), async {
            Ok(Done::Unlogged(self.found(mount, &logical, directory, reach, MAX_LISTED).await?))
        })
        .await
    }

    /// As [`Caller::kv_list`], with the metadata of each key; a sub-directory has none.
    ///
    /// # Errors
    /// As there, on `{mount}detailed-metadata/{directory}`, and from 10,000 names.
    pub async fn kv_list_detailed(
        &self,
        mount: &Mount,
        directory: &str,
        reach: KvReach<'_>,
    ) -> Result<Vec<(String, Option<KvMetadata>)>, Error> {
        let directory = directory.trim_end_matches('/');
        let logical = logical(mount, "detailed-metadata", directory);
        self.recorded(self.record("metadata.list", &logical), async {
            let names = self.found(mount, &logical, directory, reach, MAX_DESCRIBED).await?;
            let now = self.active.clock.now();
            let mut described = Vec::with_capacity(names.len());
            for name in names {
                let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
                let metadata = match name.ends_with('/') {
                    true => None,
                    // A key that went since its name was read is left out.
                    false => match self.active.kv_load(mount, KvPath::parse(&path)?).await? {
                        Some(loaded) => Some(describe(&loaded.head, now)),
                        None => continue,
                    },
                };
                described.push((name, metadata));
            }
            Ok(Done::Unlogged(described))
        })
        .await
    }

    /// The names, where the caller may list (or scan) `logical`.
    pub(super) async fn found(
        &self,
        mount: &Mount,
        logical: &str,
        directory: &str,
        reach: KvReach<'_>,
        most: usize,
    ) -> Result<Vec<String>, Error> {
        let (operation, part) = match reach {
            KvReach::Below { limit } => (Operation::Scan, ListPart { after: "", limit }),
            KvReach::Level { after, limit } => (Operation::List, ListPart { after, limit }),
        };
        let part = self.authorise_part(logical, operation, part, most)?;
        check_directory(directory)?;
        part.checked(match reach {
            KvReach::Below { .. } => self.active.kv_below(mount, directory, part.whole().limit.min(most + 1)).await?,
            KvReach::Level { .. } => self.active.kv_names(mount, directory, part.after, part.limit).await?,
        })
    }
}

impl Active {
    /// All keys below a directory, at most `limit`, in the order of [`KvReach::Below`].
    async fn kv_below(&self, mount: &Mount, directory: &str, limit: usize) -> Result<Vec<String>, Error> {
        let prefix = below(mount, directory);
        let (mut names, mut after) = (Vec::<String>::new(), String::new());
        loop {
            let page = self.names(&prefix, &after, PAGE).await?;
            after = page.names.last().cloned().unwrap_or_default();
            names.extend(page.names);
            if !page.more || names.len() >= limit {
                break;
            }
        }
        names.truncate(limit);
        let mut ordered = Vec::with_capacity(names.len());
        order(&names, 0, &mut ordered);
        Ok(ordered)
    }

    /// One level of names, sorted by bytes; a name that is both key and directory appears as both.
    pub(crate) async fn kv_names(
        &self,
        mount: &Mount,
        directory: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let prefix = below(mount, directory);
        let mut names: Vec<String> = Vec::new();
        let mut after = past(after);
        loop {
            let page = self.names(&prefix, &after, PAGE).await?;
            for name in page.names {
                let listed = match name.split_once('/') {
                    Some((folder, _)) => format!("{folder}/"),
                    None => name,
                };
                // What is left of a directory is passed over in one step by the next page.
                after = past(&listed);
                if names.last() != Some(&listed) {
                    if names.len() >= limit {
                        return Ok(names);
                    }
                    names.push(listed);
                }
            }
            if !page.more {
                return Ok(names);
            }
        }
    }
}

fn logical(mount: &Mount, area: &str, directory: &str) -> String {
    match directory {
        "" => format!("{}{area}/", mount.path),
        directory => format!("{}{area}/{directory}/", mount.path),
    }
}

fn below(mount: &Mount, directory: &str) -> String {
    match directory {
        "" => prefix(mount),
        directory => format!("{}{directory}/", prefix(mount)),
    }
}

/// Sorted names with the same directory in their first `depth` bytes: its keys first, then its sub-directories from the
/// last to the first, as the original's stack of directories brings them.
fn order(names: &[String], depth: usize, ordered: &mut Vec<String>) {
    let folder = |name: &String| name.get(depth..).and_then(|rest| rest.find('/')).map(|end| depth + end + 1);
    let mut folders = Vec::new();
    let mut rest = names;
    while let [name, after @ ..] = rest {
        match folder(name) {
            None => {
                ordered.push(name.clone());
                rest = after;
            }
            Some(end) => {
                let same = rest.partition_point(|other| other.get(..end) == name.get(..end));
                let (inside, after) = rest.split_at(same);
                folders.push((inside, end));
                rest = after;
            }
        }
    }
    for (inside, end) in folders.into_iter().rev() {
        order(inside, end, ordered);
    }
}

/// Where to go on after a name: for a directory, behind everything in it, since no character sorts after U+10FFFF.
fn past(name: &str) -> String {
    if name.ends_with('/') { format!("{name}\u{10ffff}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_directory_come_before_those_of_its_last_sub_directory() {
        let names = ["a", "a/b", "a/b/c", "a/d/e", "a0", "c", "z/y/x"].map(str::to_owned);
        let mut ordered = Vec::new();
        order(&names, 0, &mut ordered);
        assert_eq!(ordered, ["a", "a0", "c", "z/y/x", "a/b", "a/d/e", "a/b/c"]);
    }
}
