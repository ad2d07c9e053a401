//! Cubbyholes: a private store of each service token, which goes with the token. Nobody sees another's, `root` neither.

use coffer_api::{Code, Sensitive, token::TokenKind};
use coffer_storage::{Expect, Revision};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::kv::check_directory;
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    codec::{self, Persisted},
    commit::{Edit, Logged, again},
    keys,
    locks::PathGuard,
    ops::list::ListPart,
    policy::{Operation, Parameters},
    record::Record,
    token::{TokenEntry, token_row},
};

/// Largest entry, in bytes of JSON.
const MAX_VALUE: usize = 1 << 20;
/// Entries of one token at most: they are deleted with it, in one commit.
const MAX_ENTRIES: usize = 256;
/// Longest path of an entry, in bytes.
const MAX_PATH: usize = 512;

/// An entry as it is stored.
#[derive(Deserialize, Serialize)]
struct CubbyholeRow {
    /// A JSON object, as it came.
    data: Sensitive<String>,
}

impl Persisted for CubbyholeRow {}

impl Caller {
    /// An entry of the caller's own cubbyhole, as JSON.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `cubbyhole/{path}`; [`Code::NotFound`] where there is none; [`Code::Invalid`]
    /// for a batch token.
    pub async fn cubbyhole_read(&self, path: &str) -> Result<Sensitive<String>, Error> {
        let logical = format!("cubbyhole/{path}");
        self.recorded(self.record("cubbyhole.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            self.check_has_cubbyhole()?;
            check_directory(path)?;
            let found = self.active.row::<CubbyholeRow>(&row(&self.token.accessor, path)).await?;
            Ok(Done::Unlogged(found.ok_or_else(Error::not_found)?.value.data))
        })
        .await
    }

    /// Writes an entry of the caller's own cubbyhole.
    ///
    /// # Errors
    /// [`Code::Denied`] without create (for a new path) or update on `cubbyhole/{path}`; [`Code::Invalid`] for a batch
    /// token, an unusable path, and beyond 256 entries; [`Code::TooLarge`] above 1 MiB.
    pub async fn cubbyhole_write(&self, path: &str, data: &RawValue, parameters: &dyn Parameters) -> Result<(), Error> {
        let logical = format!("cubbyhole/{path}");
        let record = self.record("cubbyhole.write", &logical);
        self.recorded(record.clone(), async {
            let accessor = &self.token.accessor;
            let row = row(accessor, path);
            // The token may be renewed meanwhile.
            again!(async {
                let guard = self.active.locks.lock(&[&cubbyhole_lock(accessor)]).await;
                let exists = !accessor.is_empty() && self.active.open(&row).await?.is_some();
                let operation = if exists { Operation::Update } else { Operation::Create };
                self.authorise(&logical, operation, parameters)?;
                self.check_has_cubbyhole()?;
                check_path(path)?;
                if data.get().len() > MAX_VALUE {
                    return Err(Error::new(Code::TooLarge, "an entry holds at most 1 MiB of JSON"));
                }
                if !exists && self.active.cubbyhole_rows(accessor).await?.len() >= MAX_ENTRIES {
                    return Err(Error::invalid(format!("a token has at most {MAX_ENTRIES} entries in its cubbyhole")));
                }
                Ok(Done::Logged((), self.put_entry(&row, data, guard, record.clone()).await?))
            })
        })
        .await
    }

    /// Whether the caller's own cubbyhole has an entry.
    pub(crate) async fn cubbyhole_has(&self, path: &str) -> Result<bool, Error> {
        let accessor = &self.token.accessor;
        Ok(!accessor.is_empty() && check_path(path).is_ok() && self.active.open(&row(accessor, path)).await?.is_some())
    }

    /// Deletes an entry of the caller's own cubbyhole; nothing there is no error.
    ///
    /// # Errors
    /// [`Code::Denied`] without delete on `cubbyhole/{path}`; [`Code::Invalid`] for a batch token.
    pub async fn cubbyhole_delete(&self, path: &str) -> Result<(), Error> {
        let logical = format!("cubbyhole/{path}");
        let record = self.record("cubbyhole.delete", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Delete, &())?;
            self.check_has_cubbyhole()?;
            check_directory(path)?;
            let accessor = &self.token.accessor;
            let row = row(accessor, path);
            let guard = self.active.locks.lock(&[&cubbyhole_lock(accessor)]).await;
            if self.active.open(&row).await?.is_none() {
                return Ok(Done::Unlogged(()));
            }
            let mut edit = Edit::under(guard);
            edit.delete(row, None);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Names below a directory (`""` or `a/b/`) of the caller's own cubbyhole, sorted; sub-directories end in `/`.
    ///
    /// # Errors
    /// [`Code::Denied`] without list on `cubbyhole/{directory}`; [`Code::Invalid`] for a batch token.
    pub async fn cubbyhole_list(&self, directory: &str, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        let logical = format!("cubbyhole/{directory}");
        self.recorded(self.record("cubbyhole.list", &logical), async {
            let part = self.authorise_list(&logical, part)?;
            self.check_has_cubbyhole()?;
            check_directory(directory.trim_end_matches('/'))?;
            let prefix = row(&self.token.accessor, directory);
            let mut names: Vec<String> = Vec::new();
            for row in self.active.cubbyhole_rows(&self.token.accessor).await? {
                let Some(name) = row.strip_prefix(&prefix) else { continue };
                let listed = match name.split_once('/') {
                    Some((folder, _)) => format!("{folder}/"),
                    None => name.to_owned(),
                };
                names.push(listed);
            }
            // A directory's names need not lie together: `a-b` sorts between `a` and `a/`.
            names.sort_unstable();
            names.dedup();
            Ok(Done::Unlogged(part.of(names)?.items))
        })
        .await
    }

    fn check_has_cubbyhole(&self) -> Result<(), Error> {
        match self.token.kind {
            TokenKind::Batch => Err(Error::invalid("cubbyhole operations are only supported by 'service' type tokens")),
            TokenKind::Service => Ok(()),
        }
    }

    /// Writes an entry while the cubbyhole is locked. The token must still be there at the commit, and from its first
    /// entry on its own row says that it has some.
    async fn put_entry(
        &self,
        row: &str,
        data: &RawValue,
        guard: PathGuard,
        mut record: Record,
    ) -> Result<Logged, Error> {
        let accessor = &self.token.accessor;
        let Some(Found { value: token, revision }) = self.active.token_entry(accessor).await? else {
            return Err(Error::new(Code::Unauthenticated, "permission denied"));
        };
        record.value = Some(self.active.value_hash(data.get().as_bytes())?);
        let mut edit = Edit::under(guard);
        let stored = CubbyholeRow { data: Sensitive::from(data.get()) };
        edit.put(row, codec::encode(&stored)?, None);
        keep_token(accessor, token, revision, &mut edit)?;
        self.commit(edit, record).await
    }
}

impl Active {
    /// The rows of a token's cubbyhole.
    pub(crate) async fn cubbyhole_rows(&self, accessor: &str) -> Result<Vec<String>, Error> {
        let prefix = row(accessor, "");
        let page = self.names(&prefix, "", MAX_ENTRIES).await?;
        Ok(page.names.iter().map(|path| format!("{prefix}{path}")).collect())
    }
}

/// What a token's cubbyhole is locked by: for a write, and for the token's end.
pub(crate) fn cubbyhole_lock(accessor: &str) -> String {
    row(accessor, "")
}

fn keep_token(accessor: &str, mut token: TokenEntry, revision: Revision, edit: &mut Edit) -> Result<(), Error> {
    let expect = Expect::Revision(revision);
    if token.cubbyhole {
        edit.check(token_row(accessor), expect);
    } else {
        token.cubbyhole = true;
        edit.put_expiring(token_row(accessor), codec::encode(&token)?, Some(expect), token.expires_ms);
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), Error> {
    check_directory(path)?;
    if path.is_empty() {
        return Err(Error::invalid("1 error occurred:\n\t* missing path\n\n"));
    }
    if path.len() > MAX_PATH {
        return Err(Error::invalid(format!("a path in a cubbyhole has at most {MAX_PATH} bytes")));
    }
    Ok(())
}

fn row(accessor: &str, path: &str) -> String {
    format!("{}{accessor}/{path}", keys::CUBBYHOLE)
}
