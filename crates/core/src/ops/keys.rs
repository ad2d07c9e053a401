//! The keys with numbers (tokens, batch tokens, audit hashes): listing them, making a new one current, and removing those
//! that it replaced.
//!
//! Retiring ends what an old key proves and nothing else. A token under it is unknown from then on. Its row stays, so
//! that the tree below it keeps its top: a child whose own hash is under a newer key lives on, and ends when the row
//! does, at its expiry or at a revocation by accessor. A token that was being made meanwhile counts as made before.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::{
    Code, Page,
    operator::{KeyInfo, KeyState, NumberedKey, Retired},
    token::TokenKind,
};
use coffer_crypto::Secret;
use coffer_storage::{Expect, Key, Limit, Prefix};

use crate::{
    Caller, Error,
    active::Active,
    auth::approle,
    barrier,
    caller::Done,
    codec,
    commit::{Edit, Logged, Urgency},
    engine::kv::list::MAX_LISTED,
    keyring::{self, Purpose, ReadyKeys, StoredKey},
    keys,
    ops::list::ListPart,
    policy::Operation,
    record::Record,
    token::TokenEntry,
};

/// Numbers of one purpose that are removed in one commit.
const TOGETHER: usize = 1000;
/// Pages of tokens that are counted, of 1,000 rows at most.
const PAGES_COUNTED: usize = 10;

impl Caller {
    /// The numbers of the keys that have numbers, by key, the newest first; of token keys also how many stored tokens
    /// stand under each.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `sys/key-status`.
    pub async fn keys(&self, part: ListPart<'_>) -> Result<Page<KeyInfo>, Error> {
        let path = "sys/key-status";
        self.recorded(self.record("key.list", path), async {
            // What the keys' status is read as has no parts.
            let granted = self.authorise_part(path, Operation::Read, ListPart::default(), MAX_LISTED)?;
            let part = granted.narrowed(part);
            let named = self.active.numbered_keys().await?.into_iter().map(|info| (cursor(&info), info));
            let Page { items, next } = part.of_named(named, |(name, _)| name)?;
            Ok(Done::Unlogged(Page { items: items.into_iter().map(|(_, info)| info).collect(), next }))
        })
        .await
    }

    /// Removes every number of a key but the current one, the oldest 1,000 at most. Where there is none, nothing
    /// happens.
    ///
    /// # Errors
    /// [`Code::Denied`] without update and sudo on `sys/rotate/retire`; [`Code::Invalid`] where that would end the
    /// caller's own token; [`Code::Unavailable`] while the clock is in doubt.
    pub async fn retire(&self, key: NumberedKey) -> Result<Retired, Error> {
        let path = "sys/rotate/retire";
        let purpose = purpose_of(key);
        let record = self.record("key.retire", path).fact("key", purpose.name());
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, &())?;
            if self.active.clock.is_in_doubt() {
                let message = "the clock is in doubt, so no key is removed; see `coffer operator clock-accept`";
                return Err(Error::new(Code::Unavailable, message));
            }
            let guard = self.active.locks.lock(&[keys::KEY]).await;
            let mut old = self.active.stored_keys(purpose).await?;
            let kept = old.split_off(old.len().saturating_sub(1).min(TOGETHER));
            let current = kept.last().ok_or_else(|| Error::internal("the store lacks one of its keys"))?.number;
            let removed: Vec<u32> = old.iter().map(|key| key.number).collect();
            let retired = Retired { current, key, removed };
            if retired.removed.is_empty() {
                return Ok(Done::Unlogged(retired));
            }
            self.check_not_its_own(purpose, &retired.removed)?;
            let mut edit = Edit::under(guard);
            for key in &kept {
                edit.check(key.row.clone(), Expect::Revision(key.revision));
            }
            for key in old {
                edit.delete(key.row, Some(Expect::Revision(key.revision)));
            }
            let numbers: Vec<String> = retired.removed.iter().map(u32::to_string).collect();
            let record = record.fact("current", current.to_string()).fact("removed", numbers.join(","));
            let keys = ReadyKeys::new(purpose, &numbered(kept))?;
            edit.in_force(move |active| active.put_in_force(keys));
            Ok(Done::Logged(retired, self.commit(edit, record).await?))
        })
        .await
    }

    /// Who retires a key would else be locked out by it.
    fn check_not_its_own(&self, purpose: Purpose, removed: &[u32]) -> Result<(), Error> {
        let number = match (purpose, self.token.kind) {
            (Purpose::Batch, TokenKind::Batch) | (Purpose::Token, TokenKind::Service) => self.token.entry.kid,
            (Purpose::Audit, TokenKind::Batch | TokenKind::Service)
            | (Purpose::Batch, TokenKind::Service)
            | (Purpose::Token, TokenKind::Batch) => return Ok(()),
        };
        match removed.contains(&number) {
            true => Err(Error::invalid(format!(
                "the token that asks stands under {} key {number}, which would be removed",
                purpose.name()
            ))),
            false => Ok(()),
        }
    }
}

impl Active {
    /// Makes a new number current; the older ones hold on.
    pub(crate) async fn rotate_ring(self: &Arc<Self>, purpose: Purpose, record: Record) -> Result<Logged, Error> {
        let guard = self.locks.lock(&[keys::KEY]).await;
        let held = self.stored_keys(purpose).await?;
        let number = held.last().map_or(0, |key| key.number) + 1;
        let secret = Secret::random(32)?;
        let row = purpose.row(number);
        let mut edit = Edit::under(guard);
        edit.put_sealed(row.clone(), barrier::wrap_under_root(&self.root, &row, &secret)?, Some(Expect::Absent));
        let mut held = numbered(held);
        held.push((number, secret));
        let keys = ReadyKeys::new(purpose, &held)?;
        edit.in_force(move |active| active.put_in_force(keys));
        self.commit(edit, record.fact("key", purpose.name()).fact("number", number.to_string()), Urgency::Ordinary)
            .await
    }

    fn put_in_force(&self, keys: ReadyKeys) {
        crate::failpoint::hit("before-keys-in-force");
        let purpose = keys.purpose();
        self.keyrings.replace(keys);
        match purpose {
            Purpose::Token => self.tokens.keep_only(&self.keyrings.numbers(purpose)),
            Purpose::Audit | Purpose::Batch => {}
        }
    }

    async fn stored_keys(&self, purpose: Purpose) -> Result<Vec<StoredKey>, Error> {
        keyring::stored_keys(self.store.as_ref(), &self.root, purpose).await
    }

    /// In the order of their cursors.
    async fn numbered_keys(&self) -> Result<Vec<KeyInfo>, Error> {
        let tokens = self.tokens_by_key().await?;
        let mut listed = Vec::new();
        for key in [NumberedKey::Audit, NumberedKey::Batch, NumberedKey::Token] {
            let numbers = self.keyrings.numbers(purpose_of(key));
            let count = |number: u32| match (key, &tokens) {
                (NumberedKey::Token, Some(tokens)) => Some(tokens.get(&number).copied().unwrap_or(0)),
                (NumberedKey::Token, None) | (NumberedKey::Audit | NumberedKey::Batch, _) => None,
            };
            let info = |number: u32, state: KeyState| KeyInfo { key, number, state, tokens: count(number) };
            let states = std::iter::once(KeyState::Current).chain(std::iter::repeat(KeyState::Held));
            listed.extend(numbers.iter().zip(states).map(|(number, state)| info(*number, state)));
            if let (NumberedKey::Token, Some(tokens)) = (key, &tokens) {
                let retired = tokens.keys().rev().filter(|number| !numbers.contains(number));
                listed.extend(retired.map(|number| info(*number, KeyState::Retired)));
            }
        }
        Ok(listed)
    }

    /// How many stored tokens and secret ids stand under each key; `None` where they are too many to be counted.
    async fn tokens_by_key(&self) -> Result<Option<BTreeMap<u32, u64>>, Error> {
        let mut counted = BTreeMap::new();
        let mut pages = PAGES_COUNTED;
        for rows in [keys::TOKEN, keys::SECRET_ID] {
            let prefix = Prefix::new(rows)?;
            let mut after: Option<Key> = None;
            loop {
                let Some(left) = pages.checked_sub(1) else { return Ok(None) };
                pages = left;
                let page = self.store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
                for (key, entry) in &page.items {
                    let row = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
                    let opened = self.barrier.open(row, &entry.value)?;
                    let kid = match rows {
                        keys::TOKEN => codec::decode::<TokenEntry>(row, &opened)?.kid,
                        _ => approle::key_of(row, &opened)?,
                    };
                    *counted.entry(kid).or_default() += 1;
                }
                match page.items.last() {
                    Some((last, _)) if page.more => after = Some(last.clone()),
                    Some(_) | None => break,
                }
            }
        }
        Ok(Some(counted))
    }
}

/// Where a page of keys goes on: cursors of newer numbers come first.
fn cursor(info: &KeyInfo) -> String {
    format!("{}/{:08x}", purpose_of(info.key).name(), u32::MAX - info.number)
}

fn purpose_of(key: NumberedKey) -> Purpose {
    match key {
        NumberedKey::Audit => Purpose::Audit,
        NumberedKey::Batch => Purpose::Batch,
        NumberedKey::Token => Purpose::Token,
    }
}

fn numbered(stored: Vec<StoredKey>) -> Vec<(u32, Secret)> {
    stored.into_iter().map(|key| (key.number, key.secret)).collect()
}

#[cfg(test)]
mod tests;
