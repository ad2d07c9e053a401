//! Looking tokens up, renewing and revoking them.

use std::sync::Arc;

use coffer_api::{
    Code, EntityId, Sensitive,
    token::{TokenGrant, TokenInfo, TokenKind, TokenRef, TokenRenew},
};
use coffer_storage::{Expect, Key, Limit, Prefix};

use super::{
    Marker, TokenEntry, TokenState, UsesRow, child_row, create::ROOT_PATH, expiry_row, lifetime, token_row, uses_row,
    wrap::wrapped_row,
};
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    clock::Expiry,
    codec,
    commit::{Edit, Logged, Urgency, again},
    engine::cubbyhole::cubbyhole_lock,
    keys,
    mount::signed,
    ops::list::ListPart,
    policy::{Operation, Parameters},
    record::Record,
    time::rfc3339,
};

/// Tokens revoked in one commit.
const REVOKED_TOGETHER: usize = 100;
/// With so many rows a commit takes no further token: their names lie in its record.
const ROWS_TOGETHER: usize = 500;

impl Caller {
    /// What is known of the caller's own token. `operation` is read or update, as the request came.
    ///
    /// # Errors
    /// [`Code::Denied`] without that on `auth/token/lookup-self`.
    pub async fn token_lookup_self(&self, operation: Operation) -> Result<TokenInfo, Error> {
        let path = "auth/token/lookup-self";
        self.recorded(self.record("token.lookup", path), async {
            self.authorise(path, operation, &())?;
            let mut info = self.active.token_info(&self.token).await?;
            if let Some(left) = self.uses_left {
                info.num_uses = if left == 0 { -1 } else { i64::try_from(left).unwrap_or(i64::MAX) };
            }
            Ok(Done::Unlogged(info))
        })
        .await
    }

    /// What is known of a token.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `auth/token/lookup` or `…-accessor`; [`Code::NotFound`] where there is no
    /// such token.
    pub async fn token_lookup(&self, of: &TokenRef, parameters: &dyn Parameters) -> Result<TokenInfo, Error> {
        self.token_lookup_as(Operation::Update, of, parameters).await
    }

    /// As [`Caller::token_lookup`], with the operation as the request came: read or update.
    ///
    /// # Errors
    /// As there.
    pub async fn token_lookup_as(
        &self,
        operation: Operation,
        of: &TokenRef,
        parameters: &dyn Parameters,
    ) -> Result<TokenInfo, Error> {
        let path = match &of.accessor {
            Some(_) => "auth/token/lookup-accessor",
            None => "auth/token/lookup",
        };
        self.recorded(self.record("token.lookup", path), async {
            self.authorise(path, operation, parameters)?;
            let state = self.referred(of).await?;
            Ok(Done::Unlogged(self.active.token_info(&state).await?))
        })
        .await
    }

    /// Renews a token; the caller's own where none is named.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on the path; [`Code::Invalid`] where the token is not renewable.
    pub async fn token_renew(&self, request: &TokenRenew, parameters: &dyn Parameters) -> Result<TokenGrant, Error> {
        let of = TokenRef { token: request.token.clone(), accessor: request.accessor.clone() };
        let path = match (&of.token, &of.accessor) {
            (_, Some(_)) => "auth/token/renew-accessor",
            (Some(_), None) => "auth/token/renew",
            (None, None) => "auth/token/renew-self",
        };
        let record = self.record("token.renew", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let state = match (&of.token, &of.accessor) {
                (None, None) => Arc::clone(&self.token),
                _ => self.referred(&of).await?,
            };
            let record = record.fact("accessor", state.accessor.clone());
            // The token may change meanwhile: its parent goes, say, and leaves it an orphan.
            let renewed = again!(async {
                let (grant, edit) = self.active.renewal(&state, request.increment.unwrap_or(0)).await?;
                Ok((grant, self.commit(edit, record.clone()).await?))
            });
            let (mut grant, logged) = renewed?;
            grant.identity_policies.clone_from(&self.active.authority_of(&state).await?.identity_policies);
            grant.policies = [grant.token_policies.clone(), grant.identity_policies.clone()].concat();
            grant.policies.sort_unstable();
            grant.policies.dedup();
            if let Some(token) = &of.token {
                grant.token = token.clone();
            }
            Ok(Done::Logged(grant, logged))
        })
        .await
    }

    /// Revokes a token with its whole tree.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `auth/token/revoke` or `…-accessor`; [`Code::NotFound`] where there is no
    /// such token; [`Code::Invalid`] for a batch token.
    pub async fn token_revoke(&self, of: &TokenRef, parameters: &dyn Parameters) -> Result<(), Error> {
        let path = match &of.accessor {
            Some(_) => "auth/token/revoke-accessor",
            None => "auth/token/revoke",
        };
        self.revoke_as(path, of, parameters).await
    }

    /// Revokes a token; its children live on as orphans.
    ///
    /// # Errors
    /// As [`Caller::token_revoke`], on `auth/token/revoke-orphan`; [`Code::Invalid`] without sudo there.
    pub async fn token_revoke_orphan(&self, of: &TokenRef, parameters: &dyn Parameters) -> Result<(), Error> {
        let path = "auth/token/revoke-orphan";
        let record = self.record("token.revoke", path);
        self.recorded(record.clone(), async {
            if !self.authorise(path, Operation::Update, parameters)?.sudo {
                return Err(Error::invalid("root or sudo privileges required to revoke and orphan"));
            }
            let state = self.referred(of).await?;
            // A child may be renewed meanwhile.
            again!(self.active.orphan_children(&state.accessor, &record))?;
            let record = record.fact("accessor", state.accessor.clone());
            let logged = self.active.revoke_tree(&state.accessor, record).await?;
            Ok(Done::Logged((), logged))
        })
        .await
    }

    /// Revokes the caller's own token with its whole tree.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `auth/token/revoke-self`; [`Code::Invalid`] for a batch token.
    pub async fn token_revoke_self(&self) -> Result<(), Error> {
        let path = "auth/token/revoke-self";
        let record = self.record("token.revoke", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, &())?;
            if self.token.kind == TokenKind::Batch {
                return Err(Error::invalid("batch tokens cannot be revoked"));
            }
            let logged = self.active.revoke_tree(&self.token.accessor, record).await?;
            Ok(Done::Logged((), logged))
        })
        .await
    }

    /// Accessors of service tokens.
    ///
    /// # Errors
    /// [`Code::Denied`] without list and sudo on `auth/token/accessors/`.
    pub async fn token_list(&self, part: ListPart<'_>) -> Result<coffer_api::Page<String>, Error> {
        let path = "auth/token/accessors/";
        self.recorded(self.record("token.list", path), async {
            let part = self.authorise_list(path, part)?;
            Ok(Done::Unlogged(self.active.list(keys::TOKEN, part).await?))
        })
        .await
    }

    async fn revoke_as(&self, path: &str, of: &TokenRef, parameters: &dyn Parameters) -> Result<(), Error> {
        let record = self.record("token.revoke", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let state = self.referred(of).await?;
            if state.kind == TokenKind::Batch {
                return Err(Error::invalid("batch tokens cannot be revoked"));
            }
            let record = record.fact("accessor", state.accessor.clone());
            let logged = self.active.revoke_tree(&state.accessor, record).await?;
            Ok(Done::Logged((), logged))
        })
        .await
    }

    /// The token that a request speaks of.
    pub(crate) async fn referred(&self, of: &TokenRef) -> Result<Arc<TokenState>, Error> {
        let found = match (&of.token, &of.accessor) {
            (Some(token), None) => self.active.token_state(token.expose()).await?,
            (None, Some(accessor)) => {
                self.active.state_of(accessor).await?.filter(|state| state.is_alive(&self.active.clock))
            }
            (Some(_), Some(_)) | (None, None) => {
                return Err(Error::invalid("name a token or an accessor, and not both"));
            }
        };
        found.ok_or_else(|| Error::new(Code::NotFound, "token not found"))
    }
}

impl Active {
    /// What the API shows of a token.
    pub(crate) async fn token_info(&self, state: &Arc<TokenState>) -> Result<TokenInfo, Error> {
        // The row has what moved since the state was made: renewals.
        let stored = match state.kind {
            TokenKind::Batch => None,
            TokenKind::Service => self.token_entry(&state.accessor).await?,
        };
        let entry = stored.as_ref().map_or(&state.entry, |found| &found.value);
        let uses = match entry.num_uses {
            0 => 0,
            _ => self.row::<UsesRow>(&uses_row(&state.accessor)).await?.map_or(0, |uses| uses.value.left),
        };
        let ttl = entry.expires_ms.map_or(0, |at| at.saturating_sub(self.clock.now()).max(0) / 1000);
        Ok(TokenInfo {
            accessor: state.accessor.clone(),
            bound_cidrs: crate::cidr::shown(&entry.bound_cidrs),
            creation_time: entry.created_ms / 1000,
            creation_ttl: entry.creation_ttl,
            display_name: entry.display_name.clone(),
            entity_id: entry.entity.map(EntityId),
            expire_time: entry.expires_ms.map(rfc3339),
            explicit_max_ttl: entry.explicit_max_ttl,
            identity_policies: self.authority_of(state).await?.identity_policies.clone(),
            issue_time: rfc3339(entry.created_ms),
            last_renewal: entry.last_renewal_ms.map(|at| at / 1000),
            metadata: entry.metadata.clone(),
            num_uses: i64::try_from(uses).unwrap_or(i64::MAX),
            orphan: entry.parent.is_none(),
            path: entry.path.clone(),
            period: entry.period,
            policies: entry.policies.clone(),
            renewable: entry.renewable,
            role: entry.role.clone(),
            ttl: u64::try_from(ttl).unwrap_or(0),
            kind: state.kind,
        })
    }

    /// The rows of a renewal.
    async fn renewal(&self, state: &TokenState, increment: u64) -> Result<(TokenGrant, Edit), Error> {
        if state.kind == TokenKind::Batch {
            return Err(Error::invalid("batch tokens cannot be renewed"));
        }
        let guard = self.locks.lock(&[&token_row(&state.accessor)]).await;
        let Some(Found { value: mut entry, revision }) = self.token_entry(&state.accessor).await? else {
            return Err(Error::new(Code::NotFound, "token not found"));
        };
        let Some(old_expiry) = entry.expires_ms.filter(|_| entry.renewable) else {
            let refused = Error::invalid("lease is not renewable");
            return Err(if entry.path == ROOT_PATH { refused.in_vault("invalid lease ID") } else { refused });
        };
        if !self.keyrings.token.holds(entry.kid) {
            return Err(Error::invalid(
                "the key that this token stands under is retired: it can be revoked, not renewed",
            ));
        }
        let now = self.clock.now();
        let mut warnings = Vec::new();
        let terms = self.renewal_terms(&entry).await?;
        let ttl = lifetime::renewed(&entry, terms, now, increment, &mut warnings);
        let expires = now.saturating_add(ttl);
        entry.expires_ms = Some(expires);
        entry.last_renewal_ms = Some(now);
        let mut edit = Edit::under(guard);
        edit.put_expiring(
            token_row(&state.accessor),
            codec::encode(&entry)?,
            Some(Expect::Revision(revision)),
            Some(expires),
        );
        let (old_row, new_row) = (expiry_row(old_expiry, &state.accessor), expiry_row(expires, &state.accessor));
        if old_row != new_row {
            edit.delete(old_row, None);
            edit.put(new_row, codec::encode(&Marker {})?, None);
        }
        if let Some(parent) = &entry.parent {
            edit.put_expiring(child_row(parent, &state.accessor), codec::encode(&Marker {})?, None, Some(expires));
        }
        let accessor = state.accessor.clone();
        edit.in_force(move |active| active.tokens.renewed(&accessor, Some(expires)));
        let grant = TokenGrant {
            token: Sensitive::new(String::new()),
            accessor: state.accessor.clone(),
            policies: entry.policies.clone(),
            token_policies: entry.policies,
            identity_policies: Vec::new(),
            metadata: entry.metadata,
            lease_duration: signed(seconds(ttl)),
            renewable: true,
            entity_id: entry.entity.map(EntityId),
            kind: TokenKind::Service,
            orphan: entry.parent.is_none(),
            num_uses: signed(entry.num_uses),
            warnings,
        };
        Ok((grant, edit))
    }

    /// Revokes a token and everything below it, children before parents, and survives a crash half way: what was
    /// begun is on a list that the next start works off. The token itself is refused from the first commit on.
    pub(crate) async fn revoke_tree(self: &Arc<Self>, accessor: &str, record: Record) -> Result<Logged, Error> {
        if self.children(accessor).await?.is_empty() {
            let mut edit = Edit::under(self.locks.lock(&[&cubbyhole_lock(accessor)]).await);
            self.revocation(accessor, &mut edit).await?;
            return self.commit(edit, record, Urgency::Essential).await;
        }
        let mut edit = Edit::default();
        edit.put(format!("{}{accessor}", keys::REVOKING), codec::encode(&Marker {})?, None);
        if let Some(Found { value: mut entry, .. }) = self.token_entry(accessor).await? {
            // Expired since 1970: refused at every use, and with it all that lives below it.
            entry.expires_ms = Some(1);
            edit.put_expiring(token_row(accessor), codec::encode(&entry)?, None, entry.expires_ms);
        }
        forget(accessor, &mut edit);
        let logged = self.commit(edit, record.clone().fact("begun", "true"), Urgency::Essential).await?;
        self.continue_revocation(accessor, record).await?;
        Ok(logged)
    }

    /// Works off what [`Active::revoke_tree`] began.
    pub(crate) async fn continue_revocation(self: &Arc<Self>, accessor: &str, record: Record) -> Result<(), Error> {
        loop {
            // Down to tokens without children, which go first.
            let mut front = vec![accessor.to_owned()];
            loop {
                let mut below = Vec::new();
                for token in &front {
                    below.extend(self.children(token).await?);
                    if below.len() >= REVOKED_TOGETHER {
                        break;
                    }
                }
                if below.is_empty() {
                    break;
                }
                front = below;
            }
            front.truncate(REVOKED_TOGETHER);
            let (mut edit, count) = self.revocations(&front).await?;
            let last = front.iter().take(count).any(|token| token == accessor);
            if last {
                edit.delete(format!("{}{accessor}", keys::REVOKING), None);
            }
            let record = record.clone().fact("count", count.to_string());
            self.commit(edit, record, Urgency::Essential).await?.spend();
            if last {
                return Ok(());
            }
        }
    }

    /// The end of the first of these tokens, as many as one commit takes; tells how many.
    pub(crate) async fn revocations(&self, accessors: &[String]) -> Result<(Edit, usize), Error> {
        let locks: Vec<String> = accessors.iter().map(|accessor| cubbyhole_lock(accessor)).collect();
        let locks: Vec<&str> = locks.iter().map(String::as_str).collect();
        let mut edit = Edit::under(self.locks.lock(&locks).await);
        let mut count = 0;
        for accessor in accessors {
            self.revocation(accessor, &mut edit).await?;
            count += 1;
            if edit.len() >= ROWS_TOGETHER {
                break;
            }
        }
        Ok((edit, count))
    }

    /// Adds the end of one token, whose cubbyhole is locked: its rows are deleted, and it leaves memory.
    async fn revocation(&self, accessor: &str, edit: &mut Edit) -> Result<(), Error> {
        let entry = self.token_entry(accessor).await?.map(|found| found.value);
        forget(accessor, edit);
        edit.delete(token_row(accessor), None);
        if let Some(entry) = entry {
            if let Some(expires) = entry.expires_ms {
                edit.delete(expiry_row(expires, accessor), None);
            }
            if let Some(parent) = &entry.parent {
                edit.delete(child_row(parent, accessor), None);
            }
            if entry.num_uses > 0 {
                edit.delete(uses_row(accessor), None);
            }
            if entry.cubbyhole {
                for row in self.cubbyhole_rows(accessor).await? {
                    edit.delete(row, None);
                }
            }
            if entry.wrapping {
                edit.delete(wrapped_row(accessor), None);
            }
        }
        Ok(())
    }

    /// Up to [`REVOKED_TOGETHER`] children of a token.
    pub(crate) async fn children(&self, accessor: &str) -> Result<Vec<String>, Error> {
        let prefix = format!("{}{accessor}/", keys::TOKEN_CHILD);
        Ok(self.names(&prefix, "", REVOKED_TOGETHER).await?.names)
    }

    async fn orphan_children(self: &Arc<Self>, accessor: &str, record: &Record) -> Result<(), Error> {
        loop {
            let children = self.children(accessor).await?;
            if children.is_empty() {
                return Ok(());
            }
            let mut edit = Edit::default();
            for child in &children {
                if let Some(Found { value: mut entry, revision }) = self.token_entry(child).await? {
                    entry.parent = None;
                    let expect = Some(Expect::Revision(revision));
                    edit.put_expiring(token_row(child), codec::encode(&entry)?, expect, entry.expires_ms);
                }
                edit.delete(child_row(accessor, child), None);
            }
            let record = record.clone().fact("orphaned", children.join(","));
            edit.in_force(move |active| children.iter().for_each(|child| active.tokens.moved(child)));
            self.commit(edit, record, Urgency::Essential).await?.spend();
        }
    }

    /// Whether the token has expired by every clock, so that the sweep may remove it.
    pub(crate) fn has_expired(&self, entry: &TokenEntry) -> bool {
        entry.expires_ms.is_some_and(|at| matches!(self.clock.expired(at), Expiry::Expired))
    }

    /// Revocations that a crash interrupted.
    pub(crate) async fn interrupted_revocations(&self) -> Result<Vec<String>, Error> {
        let prefix = Prefix::new(keys::REVOKING)?;
        let page = self.store.scan_keys(&prefix, None::<&Key>, Limit::MAX).await?;
        let text = page.items.iter().filter_map(|key| std::str::from_utf8(key.as_bytes()).ok());
        Ok(text.filter_map(|key| key.strip_prefix(keys::REVOKING)).map(str::to_owned).collect())
    }
}

/// Milliseconds to the nearest second.
pub(crate) fn seconds(ms: i64) -> u64 {
    u64::try_from(ms.saturating_add(500) / 1000).unwrap_or(0)
}

/// Ends a token in memory where the edit ends it in the store.
pub(crate) fn forget(accessor: &str, edit: &mut Edit) {
    let accessor = accessor.to_owned();
    edit.in_force(move |active| active.tokens.forget(&accessor));
}
