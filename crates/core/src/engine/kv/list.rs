//! Listing a directory, one level, without reading what lies below its sub-directories.

use serde_json::{Map, json};

use super::{check_directory, prefix};
use crate::{Caller, Error, active::Active, caller::Done, mount::Mount, policy::Operation};

/// Entries of a list that is not paged by its caller.
pub const MAX_LISTED: usize = 100_000;
/// Names read at once.
const PAGE: usize = 1000;

impl Caller {
    /// Names below a directory (`""` or `a/b/`), after `after`, at most `limit`; sub-directories end in `/`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `{mount}metadata/{directory}`; [`coffer_api::Code::Invalid`]
    /// where more than [`MAX_LISTED`] names would have to be answered at once.
    pub async fn kv_list(
        &self,
        mount: &Mount,
        directory: &str,
        after: &str,
        limit: Option<usize>,
    ) -> Result<Vec<String>, Error> {
        let directory = directory.trim_end_matches('/');
        let logical = match directory {
            "" => format!("{}metadata/", mount.path),
            directory => format!("{}metadata/{directory}/", mount.path),
        };
        self.recorded(self.record("metadata.list", &logical), async {
            let mut parameters = Map::new();
            if let Some(limit) = limit {
                parameters.insert("limit".to_owned(), json!(limit));
            }
            if !after.is_empty() {
                parameters.insert("after".to_owned(), json!(after));
            }
            let grant = self.authorise(&logical, Operation::List, &parameters)?;
            check_directory(directory)?;
            let capped = grant.pagination_limit.and_then(|most| usize::try_from(most).ok());
            let limit = match (limit.filter(|limit| *limit > 0), capped) {
                (Some(limit), Some(capped)) => limit.min(capped),
                (Some(limit), None) => limit,
                (None, Some(capped)) => capped,
                (None, None) => MAX_LISTED + 1,
            };
            let names = self.active.kv_names(mount, directory, after, limit).await?;
            if names.len() > MAX_LISTED {
                return Err(Error::invalid(format!(
                    "more than {MAX_LISTED} names; list them in pages with after and limit"
                )));
            }
            Ok(Done::Unlogged(names))
        })
        .await
    }
}

impl Active {
    /// One level of names, sorted by bytes; a name that is both key and directory appears as both.
    pub(crate) async fn kv_names(
        &self,
        mount: &Mount,
        directory: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let prefix = match directory {
            "" => prefix(mount),
            directory => format!("{}{directory}/", prefix(mount)),
        };
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

/// Where to go on after a name: for a directory, behind everything in it, since no character sorts after U+10FFFF.
fn past(name: &str) -> String {
    if name.ends_with('/') { format!("{name}\u{10ffff}") } else { name.to_owned() }
}
