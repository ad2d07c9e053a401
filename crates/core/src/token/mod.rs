//! Tokens: what is stored of them, and the states kept in memory while they are in use.
//!
//! A service token is stored under its accessor, which is derived from the token by a keyed hash, as is the hash
//! that proves it; the token itself is nowhere. A batch token is its own sealed claims.

mod batch;
pub(crate) mod create;
pub(crate) mod leases;
pub(crate) mod lifetime;
pub(crate) mod manage;
mod memory;
pub(crate) mod role;
pub(crate) mod sweep;
pub(crate) mod wanted;
pub(crate) mod wrap;
pub(crate) mod wrap_jwt;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use coffer_api::token::TokenKind;
use coffer_crypto::{hash::HmacKey, rng};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Error,
    active::{Active, Found},
    caller::{SubjectIds, subject},
    clock::Expiry,
    codec::{self, Persisted},
    identity, keys,
    policy::{Acl, Policy},
    record::Actor,
};

use memory::Basis;
pub(crate) use memory::Tokens;

/// Prefixes by which tokens and leaked tokens are recognised.
pub(crate) const SERVICE_PREFIX: &str = "hvs.";
pub(crate) const BATCH_PREFIX: &str = "hvb.";
/// Bytes of a service token that was not chosen.
pub(crate) const SERVICE_LENGTH: usize = SERVICE_PREFIX.len() + 24;

/// Longest token accepted: a batch token with many policies.
const MAX_TOKEN: usize = 8 * 1024;
/// Parents above a token are followed this far; creation refuses deeper trees.
pub(crate) const MAX_DEPTH: usize = 64;
/// What a random token and an accessor are made of.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What is stored of a service token, and what a batch token carries.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct TokenEntry {
    /// The token's keyed hash (all zero for batch tokens) and the number of its key (0 in a batch token's claims, which
    /// carry the number of theirs outside).
    pub(crate) hash: [u8; 32],
    pub(crate) kid: u32,
    pub(crate) policies: Vec<String>,
    pub(crate) entity: Option<Uuid>,
    pub(crate) display_name: String,
    pub(crate) path: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_ms: i64,
    pub(crate) creation_ttl: u64,
    pub(crate) expires_ms: Option<i64>,
    pub(crate) explicit_max_ttl: u64,
    pub(crate) period: u64,
    pub(crate) renewable: bool,
    pub(crate) num_uses: u64,
    pub(crate) parent: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) last_renewal_ms: Option<i64>,
    pub(crate) bound_cidrs: Vec<String>,
    /// Made at the first start, to be exchanged for an administrator's token.
    pub(crate) initial: bool,
    /// Has had entries in its cubbyhole, which go with it.
    pub(crate) cubbyhole: bool,
    /// Stands for a wrapped response and can do nothing but unwrap it.
    pub(crate) wrapping: bool,
    /// The stay of the login method that gave it (`Mount::tenure`), which it does not outlive.
    pub(crate) tenure: Option<Uuid>,
    /// The login that gave it, where a renewal asks about that; no batch token has one.
    pub(crate) login: Option<Login>,
}

/// Where somebody logged in, for renewals to ask again.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Login {
    /// The accessor of the login method's mount.
    pub(crate) mount: String,
    /// The role or the user.
    pub(crate) name: String,
}

impl Persisted for TokenEntry {}

/// Uses left of a use-limited token.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct UsesRow {
    pub(crate) left: u64,
}

impl Persisted for UsesRow {}

/// A child token's row below its parent's accessor, and a tree being revoked.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Marker {}

impl Persisted for Marker {}

/// A token in use. There is one state per token, however many requests hold it.
pub(crate) struct TokenState {
    pub(crate) kind: TokenKind,
    /// Empty for batch tokens.
    pub(crate) accessor: String,
    pub(crate) entry: TokenEntry,
    pub(crate) parent: Option<Arc<TokenState>>,
    /// When it expires, UTC milliseconds; 0 = never. Moves with renewals.
    expires_ms: AtomicI64,
    revoked: AtomicBool,
    /// Its place in the tree changed: whoever asks for it, or for a token below it, reads anew.
    moved: AtomicBool,
    authority: ArcSwapOption<Authority>,
    actor: Arc<Actor>,
}

/// What a token may do, compiled at one value of `Active::authority`.
pub(crate) struct Authority {
    pub(crate) generation: u64,
    pub(crate) acl: Arc<Acl>,
    pub(crate) identity_policies: Vec<String>,
    pub(crate) entity_disabled: bool,
    /// Bytes that are this token's alone.
    weight: usize,
}

/// What reading a token's row and its parents' came to.
enum Read {
    Absent,
    Raced,
    State(Arc<TokenState>),
}

/// A token as its keyed hash sees it.
pub(crate) struct Hashed {
    pub(crate) hash: [u8; 32],
    pub(crate) kid: u32,
    pub(crate) accessor: String,
}

impl TokenState {
    pub(crate) fn new(kind: TokenKind, accessor: String, entry: TokenEntry, parent: Option<Arc<Self>>) -> Self {
        let expires_ms = AtomicI64::new(entry.expires_ms.unwrap_or(0));
        let (revoked, moved) = (AtomicBool::new(false), AtomicBool::new(false));
        let actor = Arc::new(crate::caller::actor_of(&accessor, &entry));
        Self { kind, accessor, entry, parent, expires_ms, revoked, moved, authority: ArcSwapOption::empty(), actor }
    }

    /// Who acts with it, as records say it.
    pub(crate) fn actor(&self) -> &Arc<Actor> {
        &self.actor
    }

    /// When it expires, renewals included.
    pub(crate) fn expires_ms(&self) -> Option<i64> {
        Some(self.expires_ms.load(Ordering::Acquire)).filter(|expires| *expires != 0)
    }

    /// Whether it and every token above it are neither revoked nor expired.
    pub(crate) fn is_alive(&self, clock: &crate::clock::Clock) -> bool {
        let expired = self.expires_ms().is_some_and(|at| match clock.expired(at) {
            Expiry::Valid => false,
            Expiry::Expired | Expiry::Refused => true,
        });
        !expired
            && !self.revoked.load(Ordering::Acquire)
            && self.parent.as_ref().is_none_or(|parent| parent.is_alive(clock))
    }

    /// Whether it was revoked since somebody has held it.
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// Whether neither it nor a token above it was moved in its tree since it was read.
    fn is_in_place(&self) -> bool {
        std::iter::successors(Some(self), |state| state.parent.as_deref())
            .all(|state| !state.moved.load(Ordering::Acquire))
    }

    /// Its depth in its tree: 0 for an orphan.
    pub(crate) fn depth(&self) -> usize {
        std::iter::successors(self.parent.as_ref(), |state| state.parent.as_ref()).count()
    }
}

impl Active {
    /// The state of a token that exists and is alive, and whose login method still stands.
    pub(crate) async fn token_state(&self, token: &str) -> Result<Option<Arc<TokenState>>, Error> {
        Ok(self.living_state(token).await?.filter(|state| self.logins_stand(state)))
    }

    /// Whether the login methods that a token and the tokens above it come from are where they were: a method that is
    /// disabled or moved takes its tokens along, also where another one comes to its path.
    pub(crate) fn logins_stand(&self, state: &TokenState) -> bool {
        std::iter::successors(Some(state), |state| state.parent.as_deref()).all(|state| {
            let stands = |tenure| self.mounts.resolve(&state.entry.path).is_some_and(|mount| mount.tenure == tenure);
            state.entry.tenure.is_none_or(stands)
        })
    }

    async fn living_state(&self, token: &str) -> Result<Option<Arc<TokenState>>, Error> {
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Ok(None);
        }
        if token.starts_with(BATCH_PREFIX) {
            return Box::pin(self.batch_state(token)).await;
        }
        for (kid, key) in self.keyrings.token.all().iter() {
            let hash = token_hash(token, key);
            if let Some(state) = self.tokens.cached(&hash) {
                return Ok(state.is_alive(&self.clock).then_some(state));
            }
            let visit = self.tokens.visit(&hash);
            if let Some(state) = Box::pin(self.state_of(&accessor(token, key))).await?
                && state.entry.kid == *kid
                && bool::from(state.entry.hash.ct_eq(&hash))
            {
                self.tokens.admit(visit, hash, &state);
                return Ok(state.is_alive(&self.clock).then_some(state));
            }
        }
        Ok(None)
    }

    /// The state of a service token by its accessor, alive or not yet swept.
    pub(crate) async fn state_of(&self, accessor: &str) -> Result<Option<Arc<TokenState>>, Error> {
        loop {
            let forgotten = self.tokens.forgotten();
            match self.read_state(accessor, forgotten).await? {
                Read::Absent => return Ok(None),
                Read::Raced => {}
                Read::State(state) => return Ok(Some(state)),
            }
        }
    }

    async fn read_state(&self, accessor: &str, forgotten: u64) -> Result<Read, Error> {
        // From the token up to its root, then back down, so that each state finds its parent's.
        let mut chain: Vec<(String, TokenEntry)> = Vec::new();
        let mut next = Some(accessor.to_owned());
        let mut above: Option<Arc<TokenState>> = None;
        while let Some(accessor) = next.take() {
            if let Some(known) = self.tokens.known(&accessor) {
                above = Some(known);
                break;
            }
            let Some(Found { value: entry, .. }) = self.token_entry(&accessor).await? else {
                return Ok(Read::Absent);
            };
            if chain.len() > MAX_DEPTH {
                return Err(codec::damaged(&token_row(&accessor), "its parents form a circle"));
            }
            next.clone_from(&entry.parent);
            chain.push((accessor, entry));
        }
        for (accessor, entry) in chain.into_iter().rev() {
            let state = TokenState::new(TokenKind::Service, accessor, entry, above.take());
            above = self.tokens.adopt(state, forgotten);
            if above.is_none() {
                return Ok(Read::Raced);
            }
        }
        Ok(above.map_or(Read::Absent, Read::State))
    }

    pub(crate) async fn token_entry(&self, accessor: &str) -> Result<Option<Found<TokenEntry>>, Error> {
        if !is_accessor(accessor) {
            return Ok(None);
        }
        self.row(&token_row(accessor)).await
    }

    /// What the token may do, compiled now or earlier.
    pub(crate) async fn authority_of(&self, state: &Arc<TokenState>) -> Result<Arc<Authority>, Error> {
        let generation = self.authority.load(Ordering::Acquire);
        if let Some(authority) = state.authority.load_full().filter(|authority| authority.generation == generation) {
            return Ok(authority);
        }
        let authority = Arc::new(Box::pin(self.compile(state, generation)).await?);
        self.tokens.keep(state, &authority);
        Ok(authority)
    }

    async fn compile(&self, state: &TokenState, generation: u64) -> Result<Authority, Error> {
        let entity = match state.entry.entity {
            Some(id) => self.entity_of_token(id).await?.map(|found| found.value),
            None => None,
        };
        let groups = match &entity {
            Some(entity) => {
                let (direct, inherited) = self.identity.groups_of(entity.id);
                [direct, inherited].concat()
            }
            None => Vec::new(),
        };
        let identity_policies = identity::policies_of(entity.as_ref(), &groups);
        let mut names = state.entry.policies.clone();
        names.extend(identity_policies.iter().cloned());
        names.sort_unstable();
        names.dedup();
        let basis = match (state.entry.policies == [crate::policies::ROOT], state.entry.wrapping) {
            (true, _) => Basis::Root,
            (false, true) => Basis::Wrapping,
            (false, false) => Basis::Named(names),
        };
        let policies: Vec<_> = match &basis {
            Basis::Root => vec![Arc::new(Policy::root())],
            Basis::Wrapping => vec![self.policies.response_wrapping()?],
            // `root` is no policy like others: it counts for a token that was made with it alone.
            Basis::Named(names) => names.iter().filter_map(|name| self.policies.find(name)).collect(),
        };
        let (acl, own) = if policies.iter().any(|policy| policy.is_templated()) {
            let ids = SubjectIds::new(entity.as_ref(), &groups);
            let subject = subject(entity.as_ref(), &groups, &ids);
            let acl = Acl::compile(policies.iter().map(AsRef::as_ref), &subject);
            let own = acl.weight();
            (Arc::new(acl), own)
        } else {
            let compile = || Acl::compile(policies.iter().map(AsRef::as_ref), &crate::policy::Subject::anonymous());
            (self.tokens.shared_acl(basis, generation, compile), 0)
        };
        let entity_disabled = match (&state.entry.entity, &entity) {
            (Some(_), Some(entity)) => entity.disabled,
            // An entity that was deleted takes its tokens' rights with it.
            (Some(_), None) => true,
            (None, _) => false,
        };
        let weight = own + identity_policies.iter().map(|name| name.len() + size_of::<String>()).sum::<usize>();
        Ok(Authority { generation, acl, identity_policies, entity_disabled, weight })
    }

    /// How a token is hashed today.
    pub(crate) fn hash_token(&self, token: &str) -> Result<Hashed, Error> {
        let (kid, key) = self.keyrings.token.current()?;
        Ok(Hashed { hash: token_hash(token, &key), kid, accessor: accessor(token, &key) })
    }
}

/// A random service token: prefix and 24 characters of base62.
pub(crate) fn random_service() -> Result<Zeroizing<String>, Error> {
    Ok(Zeroizing::new(format!("{SERVICE_PREFIX}{}", *base62(24)?)))
}

/// Whether text has an accessor's shape.
pub(crate) fn is_accessor(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

pub(crate) fn token_row(accessor: &str) -> String {
    format!("{}{accessor}", keys::TOKEN)
}

pub(crate) fn child_row(parent: &str, child: &str) -> String {
    format!("{}{parent}/{child}", keys::TOKEN_CHILD)
}

pub(crate) fn expiry_row(expires_ms: i64, accessor: &str) -> String {
    format!("{}{:010x}/{accessor}", keys::TOKEN_EXPIRY, expires_ms.max(0) / 60_000)
}

pub(crate) fn uses_row(accessor: &str) -> String {
    format!("{}{accessor}", keys::TOKEN_USES)
}

pub(crate) fn token_hash(token: &str, key: &HmacKey) -> [u8; 32] {
    key.mac(&[b"token\0", token.as_bytes()])
}

/// 24 digits of base62 from 192 bits of a keyed hash, by long division; what remains is dropped.
pub(crate) fn accessor(token: &str, key: &HmacKey) -> String {
    let hash = key.mac(&[b"accessor\0", token.as_bytes()]);
    let mut digits = [0; 24];
    digits.copy_from_slice(hash.first_chunk::<24>().expect("the hash has 32 bytes"));
    (0..24)
        .map(|_| {
            let mut remainder: u32 = 0;
            for digit in &mut digits {
                let value = remainder << 8 | u32::from(*digit);
                *digit = u8::try_from(value / 62).expect("a remainder below 62 gives a quotient below 256");
                remainder = value % 62;
            }
            char::from(usize::try_from(remainder).ok().and_then(|at| BASE62.get(at)).copied().unwrap_or(b'0'))
        })
        .collect()
}

pub(crate) fn base62(len: usize) -> Result<Zeroizing<String>, Error> {
    let mut text = Zeroizing::new(String::with_capacity(len));
    while text.len() < len {
        let mut bytes = [0; 32];
        rng::fill(&mut bytes)?;
        // 248 = 4 * 62: what lies above would favour some letters.
        for byte in bytes.iter().filter(|byte| **byte < 248).take(len - text.len()) {
            text.push(char::from(BASE62.get(usize::from(byte % 62)).copied().unwrap_or(b'0')));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use coffer_crypto::Secret;

    use super::*;

    #[test]
    fn accessor_is_stable_and_of_accessor_shape() {
        let key = HmacKey::new(&Secret::copy_from(&[7; 32]).unwrap());
        let one = accessor("hvs.abc", &key);
        assert!(is_accessor(&one));
        assert_eq!(one, accessor("hvs.abc", &key));
        assert_ne!(one, accessor("hvs.abd", &key));
        assert_ne!(token_hash("hvs.abc", &key), token_hash("hvs.abd", &key));
    }

    #[test]
    fn random_token_has_prefix_and_length() {
        let token = random_service().unwrap();
        assert_eq!(token.len(), 28);
        assert!(token.starts_with("hvs.") && token[4..].bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
