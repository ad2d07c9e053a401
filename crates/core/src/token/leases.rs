//! Leases. In this release they are those of tokens: a lease's id is the path its token came from and the token's
//! accessor, so that no row of its own is needed.

use std::{collections::BTreeSet, sync::Arc};

use coffer_storage::{Key, Limit, Prefix};

use super::{TokenEntry, is_accessor};
use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    clock::Expiry,
    codec,
    commit::Urgency,
    engine::kv::list::MAX_LISTED,
    keys,
    ops::list::ListPart,
    policy::{Operation, Parameters},
    record::Record,
    time::rfc3339,
};

/// Tokens of one page that are revoked together at most.
const TOGETHER: usize = 100;

/// What is known of a lease. Times are RFC 3339.
#[derive(Clone, Debug)]
pub struct LeaseInfo {
    /// Its id.
    pub id: String,
    /// Where it came from.
    pub path: String,
    /// When it began.
    pub issue_time: String,
    /// When it ends; absent = never.
    pub expire_time: Option<String>,
    /// When it was last renewed.
    pub last_renewal: Option<String>,
    /// Whether what it stands for may be renewed.
    pub renewable: bool,
    /// Seconds left; 0 where it never ends.
    pub ttl: u64,
}

impl Caller {
    /// What is known of a lease.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `sys/leases/lookup`; [`coffer_api::Code::Invalid`] where there is no such lease.
    pub async fn lease_lookup(&self, id: &str, parameters: &dyn Parameters) -> Result<LeaseInfo, Error> {
        let path = "sys/leases/lookup";
        self.recorded(self.record("lease.read", path), async {
            self.authorise(path, Operation::Update, parameters)?;
            let (_, entry) = self.active.lease(id).await?.ok_or_else(|| Error::invalid("invalid lease"))?;
            let now = self.active.clock.now();
            let left = entry.expires_ms.map_or(0, |at| at.saturating_sub(now).max(0) / 1000);
            Ok(Done::Unlogged(LeaseInfo {
                id: id.to_owned(),
                issue_time: rfc3339(entry.created_ms),
                expire_time: entry.expires_ms.map(rfc3339),
                last_renewal: entry.last_renewal_ms.map(rfc3339),
                renewable: entry.renewable,
                ttl: u64::try_from(left).unwrap_or(0),
                path: entry.path,
            }))
        })
        .await
    }

    /// One level of lease ids below a prefix (`""` or `auth/userpass/`), sorted; what has more below it ends in `/`.
    /// Reads every token, a page at a time.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list and sudo on `sys/leases/lookup/{prefix}`; [`coffer_api::Code::Invalid`] beyond
    /// [`MAX_LISTED`] names.
    pub async fn lease_list(&self, prefix: &str, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        let path = format!("sys/leases/lookup/{prefix}");
        self.recorded(self.record("lease.list", &path), async {
            let part = self.authorise_list(&path, part)?;
            let mut names = BTreeSet::new();
            let mut after = None;
            loop {
                let (page, next) = self.active.lease_page(after.as_ref()).await?;
                for id in &page {
                    let Some(rest) = id.text.strip_prefix(prefix) else { continue };
                    names.insert(match rest.split_once('/') {
                        Some((folder, _)) => format!("{folder}/"),
                        None => rest.to_owned(),
                    });
                }
                if names.len() > MAX_LISTED {
                    return Err(Error::invalid(format!("more than {MAX_LISTED} leases; list a longer prefix")));
                }
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok(Done::Unlogged(part.of(names)?.items)),
                }
            }
        })
        .await
    }

    /// Refuses to renew a lease, as there is none yet that is renewed this way: tokens are renewed by their own paths.
    ///
    /// # Errors
    /// Always: [`coffer_api::Code::Denied`] without update on `path`, else [`coffer_api::Code::Invalid`] with the reason.
    pub async fn lease_renew(&self, path: &str, id: &str, parameters: &dyn Parameters) -> Result<(), Error> {
        self.recorded(self.record("lease.renew", path), async {
            self.authorise(path, Operation::Update, parameters)?;
            Err(Error::invalid(match self.active.lease(id).await? {
                None => "lease not found",
                Some((_, entry)) if !entry.renewable => "lease is not renewable",
                Some(_) => "tokens cannot be renewed through this endpoint",
            }))
        })
        .await
    }

    /// Revokes a lease with what it stands for; nothing there is no error.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`.
    pub async fn lease_revoke(&self, path: &str, id: &str, parameters: &dyn Parameters) -> Result<(), Error> {
        let record = self.record("token.revoke", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let Some((accessor, _)) = self.active.lease(id).await? else { return Ok(Done::Unlogged(())) };
            let record = record.fact("accessor", accessor.clone());
            Ok(Done::Logged((), self.active.revoke_tree(&accessor, record).await?))
        })
        .await
    }

    /// Revokes every lease at or below a prefix, with the trees of its tokens. Reads every token, a page at a time,
    /// and revokes in batches, each with its record; a failure leaves those before it revoked.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update and sudo on `path`.
    pub async fn lease_revoke_prefix(
        &self,
        path: &str,
        prefix: &str,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let record = self.record("token.revoke", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            if let Some((accessor, _)) = self.active.lease(prefix).await? {
                let record = record.fact("accessor", accessor.clone());
                return Ok(Done::Logged((), self.active.revoke_tree(&accessor, record).await?));
            }
            let below = format!("{}/", prefix.trim_end_matches('/'));
            let mut after = None;
            loop {
                let (page, next) = self.active.lease_page(after.as_ref()).await?;
                let matched: Vec<String> =
                    page.into_iter().filter(|id| id.text.starts_with(&below)).map(|id| id.accessor).collect();
                for some in matched.chunks(TOGETHER) {
                    self.active.revoke_all(some, &record).await?;
                }
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok(Done::Unlogged(())),
                }
            }
        })
        .await
    }

    /// How many leases cannot be revoked: none, as tokens always can.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `path` (and, on `sys/leases`, sudo).
    pub async fn lease_irrevocable(&self, path: &str, parameters: &dyn Parameters) -> Result<usize, Error> {
        self.recorded(self.record("lease.read", path), async {
            self.authorise(path, Operation::Read, parameters)?;
            Ok(Done::Unlogged(0))
        })
        .await
    }

    /// Has expired tokens swept away soon rather than at the next turn.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`.
    pub async fn tidy(&self, path: &str) -> Result<(), Error> {
        self.recorded(self.record("token.tidy", path), async {
            self.authorise(path, Operation::Update, &())?;
            self.active.sweep_asked.notify_one();
            Ok(Done::Unlogged(()))
        })
        .await
    }
}

/// A lease's id, and the accessor in it.
struct LeaseId {
    text: String,
    accessor: String,
}

impl Active {
    /// The token that a lease stands for, unless it has expired.
    async fn lease(&self, id: &str) -> Result<Option<(String, TokenEntry)>, Error> {
        let Some((path, accessor)) = id.rsplit_once('/') else { return Ok(None) };
        if !is_accessor(accessor) {
            return Ok(None);
        }
        let found = self.token_entry(accessor).await?.map(|found| found.value);
        let found = found.filter(|entry| entry.path == path && self.is_current(entry));
        Ok(found.map(|entry| (accessor.to_owned(), entry)))
    }

    /// The leases of one page of tokens, and where to go on.
    async fn lease_page(&self, after: Option<&Key>) -> Result<(Vec<LeaseId>, Option<Key>), Error> {
        let prefix = Prefix::new(keys::TOKEN)?;
        let page = self.store.scan(&prefix, after, Limit::MAX).await?;
        let mut ids = Vec::with_capacity(page.items.len());
        for (key, stored) in &page.items {
            let name = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
            let entry: TokenEntry = codec::decode(name, &self.barrier.open(name, &stored.value)?)?;
            let accessor = name.strip_prefix(keys::TOKEN).unwrap_or_default();
            if self.is_current(&entry) {
                ids.push(LeaseId { text: format!("{}/{accessor}", entry.path), accessor: accessor.to_owned() });
            }
        }
        let next = page.items.last().map(|(key, _)| key.clone()).filter(|_| page.more);
        Ok((ids, next))
    }

    /// Revokes tokens with their trees; those without children together.
    async fn revoke_all(self: &Arc<Self>, accessors: &[String], record: &Record) -> Result<(), Error> {
        let mut leaves = Vec::with_capacity(accessors.len());
        for accessor in accessors {
            if self.children(accessor).await?.is_empty() {
                leaves.push(accessor.clone());
            } else {
                let record = record.clone().fact("accessor", accessor.clone());
                self.revoke_tree(accessor, record).await?.spend();
            }
        }
        while !leaves.is_empty() {
            let (edit, count) = self.revocations(&leaves).await?;
            let record = record.clone().fact("count", count.to_string());
            self.commit(edit, record, Urgency::Essential).await?.spend();
            leaves.drain(..count);
        }
        Ok(())
    }

    fn is_current(&self, entry: &TokenEntry) -> bool {
        entry.expires_ms.is_none_or(|at| matches!(self.clock.expired(at), Expiry::Valid))
    }
}
