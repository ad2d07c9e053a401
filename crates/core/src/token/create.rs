//! Making tokens: at a login, by a caller, at the first start.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::{
    Code, EntityId, Sensitive,
    token::{TokenCreate, TokenGrant, TokenKind},
};
use coffer_crypto::{Secret, hash::HmacKey};
use coffer_storage::Expect;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    BATCH_PREFIX, Login, MAX_DEPTH, Marker, SERVICE_PREFIX, TokenEntry, UsesRow, accessor, child_row, expiry_row,
    random_service, token_hash, token_row, uses_row, wanted::CreateMore,
};
use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec,
    commit::{Edit, Urgency, again},
    policies,
    policy::{Operation, Parameters},
    record::Record,
};

/// Bounds on what a caller may put into a token.
const MAX_METADATA: usize = 64;
const MAX_METADATA_BYTES: usize = 512;
const MAX_POLICIES: usize = 1000;
pub(super) const MAX_NAME: usize = 256;
/// The policy that a token gets unless somebody says no.
pub(super) const DEFAULT: &str = "default";
/// Why a login gives no root token.
pub(crate) const NO_ROOT_BY_LOGIN: &str = "auth methods cannot create root tokens";

/// Whether a token may carry `root`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum RootPolicy {
    /// The caller's token is a root token, or the server was started in development mode.
    Allowed,
    /// What every login method gets that says nothing else.
    #[default]
    Refused,
}

/// A token to be made, all questions of permission answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) kind: TokenKind,
    pub(crate) policies: Vec<String>,
    pub(crate) root: RootPolicy,
    pub(crate) no_default_policy: bool,
    pub(crate) entity: Option<Uuid>,
    pub(crate) identity_policies: Vec<String>,
    pub(crate) display_name: String,
    pub(crate) path: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) ttl: Option<u64>,
    pub(crate) max_ttl: Option<u64>,
    pub(crate) explicit_max_ttl: u64,
    pub(crate) period: u64,
    pub(crate) renewable: bool,
    /// 0 = unlimited, negative = none.
    pub(crate) num_uses: i64,
    pub(crate) parent: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) bound_cidrs: Vec<String>,
    pub(crate) initial: bool,
    /// A token that wraps a response: alone with its fixed policy.
    pub(crate) wrapping: bool,
    /// The stay of the login method that checked the credential; the token does not outlive it.
    pub(crate) tenure: Option<Uuid>,
    /// The login that it is for.
    pub(crate) login: Option<Login>,
    pub(crate) warnings: Vec<String>,
}

/// Where root tokens come from that no token asked for.
pub const ROOT_PATH: &str = "auth/token/root";

impl Wanted {
    /// A root token of nobody's asking.
    pub(crate) fn root() -> Self {
        Self {
            kind: TokenKind::Service,
            policies: vec![policies::ROOT.to_owned()],
            root: RootPolicy::Allowed,
            display_name: "root".to_owned(),
            path: ROOT_PATH.to_owned(),
            ..Self::default()
        }
    }
}

/// A token made but not yet committed: its rows are in the edit.
pub(crate) struct Made {
    pub(crate) grant: TokenGrant,
    pub(crate) edit: Edit,
    pub(crate) created_ms: i64,
}

/// By which path a caller asks for a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CreatePath<'a> {
    /// `auth/token/create`.
    Child,
    /// `auth/token/create-orphan`.
    Orphan,
    /// `auth/token/create/{role}`.
    Role(&'a str),
}

impl Caller {
    /// Creates a token. A child of the caller's, unless it asks for an orphan.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on the path; [`Code::Invalid`] where the caller may not hand out what it
    /// asks for.
    pub async fn token_create(
        &self,
        how: CreatePath<'_>,
        request: TokenCreate,
        parameters: &dyn Parameters,
    ) -> Result<TokenGrant, Error> {
        let more = CreateMore { kind: Some(request.kind), entity_alias: None };
        self.token_create_with(how, request, more, parameters).await
    }

    /// As [`Caller::token_create`], with what only Vault's clients say.
    ///
    /// # Errors
    /// As there.
    pub async fn token_create_with(
        &self,
        how: CreatePath<'_>,
        request: TokenCreate,
        more: CreateMore,
        parameters: &dyn Parameters,
    ) -> Result<TokenGrant, Error> {
        let path = match how {
            CreatePath::Child => "auth/token/create".to_owned(),
            CreatePath::Orphan => "auth/token/create-orphan".to_owned(),
            CreatePath::Role(role) => format!("auth/token/create/{role}"),
        };
        let record = self.record("token.create", &path);
        self.recorded(record.clone(), async {
            let grant = self.authorise(&path, Operation::Update, parameters)?;
            let id = request.id.as_ref().map(|id| Zeroizing::new(id.expose().clone()));
            let wanted = self.wanted(how, &path, grant, request, more).await?;
            let record = describe(record, &wanted);
            // The parent may be renewed meanwhile, or a chosen id taken: it is looked at again.
            again!(async {
                // Of two who choose one id while the key changes, the later one sees the earlier one's.
                let turn = match &id {
                    Some(id) => Some(self.active.locks.lock(&[id.as_str()]).await),
                    None => None,
                };
                let mut made = self.active.make_token(wanted.clone(), id.clone()).await?;
                if made.edit.is_empty() {
                    return Ok(Done::Unlogged(made.grant));
                }
                if let Some(turn) = turn {
                    made.edit.hold(turn);
                }
                Ok(Done::Logged(made.grant, self.commit(made.edit, record.clone()).await?))
            })
        })
        .await
    }
}

impl Active {
    /// Makes a token and the rows that store it; nothing is committed yet.
    pub(crate) async fn make_token(&self, wanted: Wanted, id: Option<Zeroizing<String>>) -> Result<Made, Error> {
        check_bounds(&wanted)?;
        let mut warnings = wanted.warnings.clone();
        let now = self.clock.now();
        let mut policies = wanted.policies.clone();
        policies.sort_unstable();
        policies.dedup();
        let is_root = policies::has_root(&policies);
        if !wanted.wrapping && policies.iter().any(|name| name == policies::RESPONSE_WRAPPING) {
            return Err(Error::invalid("cannot assign policy \"response-wrapping\""));
        }
        if is_root && wanted.root == RootPolicy::Refused {
            return Err(Error::invalid(NO_ROOT_BY_LOGIN));
        }
        // A caller's choice of root is alone already; a login's that names more is a mistake.
        if is_root && policies.len() > 1 {
            return Err(Error::invalid("root tokens cannot have other policies"));
        }
        if !is_root && !wanted.no_default_policy && !policies.iter().any(|name| name == DEFAULT) {
            policies.push(DEFAULT.to_owned());
            policies.sort_unstable();
        }
        let lifetime = self.lifetime(&wanted, is_root, &mut warnings)?;
        let ttl = u64::try_from(lifetime).unwrap_or_default();
        // Over before it begins, or without a use: it is given out as was asked, and nothing knows it.
        let is_void = lifetime < 0 || wanted.num_uses < 0;
        let mut entry = TokenEntry {
            policies,
            entity: wanted.entity,
            tenure: wanted.tenure,
            display_name: wanted.display_name,
            path: wanted.path,
            metadata: wanted.metadata,
            created_ms: now,
            creation_ttl: ttl,
            expires_ms: (lifetime != 0).then(|| now.saturating_add(lifetime.saturating_mul(1000))),
            explicit_max_ttl: wanted.explicit_max_ttl,
            period: wanted.period,
            renewable: wanted.renewable && lifetime != 0 && wanted.kind == TokenKind::Service,
            num_uses: wanted.num_uses.unsigned_abs(),
            parent: wanted.parent,
            role: wanted.role,
            bound_cidrs: wanted.bound_cidrs,
            initial: wanted.initial,
            wrapping: wanted.wrapping,
            login: wanted.login.filter(|_| wanted.kind == TokenKind::Service),
            ..TokenEntry::default()
        };
        let (token, accessor, edit) = match wanted.kind {
            TokenKind::Batch => {
                refuse_for_batch(&entry, is_root)?;
                if id.is_some() {
                    warnings.push("A batch token is made by its server: the ID is ignored".to_owned());
                }
                (self.make_batch(&entry)?, String::new(), Edit::default())
            }
            TokenKind::Service => self.make_service(&mut entry, id, &mut warnings).await?,
        };
        let edit = if is_void { Edit::default() } else { edit };
        let mut all = [entry.policies.clone(), wanted.identity_policies.clone()].concat();
        all.sort_unstable();
        all.dedup();
        let grant = TokenGrant {
            token: Sensitive::new(token.to_string()),
            accessor,
            policies: all,
            token_policies: entry.policies,
            identity_policies: wanted.identity_policies,
            metadata: entry.metadata,
            lease_duration: lifetime,
            renewable: entry.renewable,
            entity_id: entry.entity.map(EntityId),
            kind: wanted.kind,
            orphan: entry.parent.is_none(),
            num_uses: wanted.num_uses,
            warnings,
        };
        Ok(Made { grant, edit, created_ms: now })
    }

    /// Makes, commits and records a token of nobody's asking: at a login, at the first start.
    pub(crate) async fn issue(
        self: &Arc<Self>,
        wanted: Wanted,
        record: Record,
        id: Option<Zeroizing<String>>,
    ) -> Result<TokenGrant, Error> {
        self.issue_with(wanted, record, id, Edit::default()).await
    }

    /// As [`Active::issue`], together with what else must change or still hold: one commit, or none at all where
    /// neither the token nor the rest changes a row.
    pub(crate) async fn issue_with(
        self: &Arc<Self>,
        wanted: Wanted,
        record: Record,
        id: Option<Zeroizing<String>>,
        mut edit: Edit,
    ) -> Result<TokenGrant, Error> {
        let record = describe(record, &wanted);
        let made = self.make_token(wanted, id).await?;
        edit.append(made.edit);
        if edit.writes() {
            self.commit(edit, record, Urgency::Ordinary).await?.spend();
        } else {
            self.log_synced(&record).await?;
        }
        Ok(made.grant)
    }

    async fn make_service(
        &self,
        entry: &mut TokenEntry,
        id: Option<Zeroizing<String>>,
        warnings: &mut Vec<String>,
    ) -> Result<(Zeroizing<String>, String, Edit), Error> {
        let mut edit = Edit::default();
        let is_chosen = id.is_some();
        let token = match id {
            Some(id) => {
                check_chosen(&id)?;
                warnings.push("Supplying a custom ID for the token uses the weaker secret you chose".to_owned());
                id
            }
            None => random_service()?,
        };
        let hashed = self.hash_token(&token)?;
        if is_chosen {
            // Under an older key it has another row. There may be none when this one is written.
            for (kid, key) in self.keyrings.token.all().iter() {
                let accessor = accessor(&token, key);
                if self.token_entry(&accessor).await?.is_some() {
                    return Err(Error::invalid("cannot create a token with a duplicate ID"));
                }
                if *kid != hashed.kid {
                    edit.check(token_row(&accessor), Expect::Absent);
                }
            }
        }
        entry.hash = hashed.hash;
        entry.kid = hashed.kid;
        let accessor = hashed.accessor;
        edit.put_expiring(token_row(&accessor), codec::encode(entry)?, Some(Expect::Absent), entry.expires_ms);
        if let Some(expires) = entry.expires_ms {
            edit.put(expiry_row(expires, &accessor), codec::encode(&Marker {})?, None);
        }
        if entry.num_uses > 0 {
            edit.put(uses_row(&accessor), codec::encode(&UsesRow { left: entry.num_uses })?, None);
        }
        if let Some(parent) = &entry.parent {
            let state = self.state_of(parent).await?.ok_or_else(|| Error::invalid("parent token not found"))?;
            if state.depth() + 1 >= MAX_DEPTH {
                return Err(Error::invalid(format!("token trees are at most {MAX_DEPTH} deep")));
            }
            let found = self.token_entry(parent).await?.ok_or_else(|| Error::invalid("parent token not found"))?;
            // The parent must still be there at the commit: a child of a revoked token would outlive the tree.
            edit.check(token_row(parent), Expect::Revision(found.revision));
            edit.put_expiring(child_row(parent, &accessor), codec::encode(&Marker {})?, None, entry.expires_ms);
        }
        Ok((token, accessor, edit))
    }
}

/// The root token of a store that is being made, under the first token key: its rows are in the edit.
pub(crate) fn first_root(token_key: &Secret, now: i64, edit: &mut Edit) -> Result<Zeroizing<String>, Error> {
    let wanted = Wanted::root();
    let token = random_service()?;
    let key = HmacKey::new(token_key);
    let entry = TokenEntry {
        hash: token_hash(&token, &key),
        kid: 1,
        policies: wanted.policies,
        display_name: wanted.display_name,
        path: wanted.path,
        created_ms: now,
        ..TokenEntry::default()
    };
    edit.put_expiring(token_row(&accessor(&token, &key)), codec::encode(&entry)?, Some(Expect::Absent), None);
    Ok(token)
}

/// Seconds as milliseconds.
pub(crate) fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
}

fn describe(record: Record, wanted: &Wanted) -> Record {
    record.fact("policies", wanted.policies.join(",")).fact("display_name", wanted.display_name.clone())
}

fn check_bounds(wanted: &Wanted) -> Result<(), Error> {
    let too_long = wanted.metadata.iter().any(|(k, v)| k.len() > MAX_METADATA_BYTES || v.len() > MAX_METADATA_BYTES);
    if wanted.metadata.len() > MAX_METADATA || too_long {
        return Err(Error::invalid(format!(
            "a token has at most {MAX_METADATA} metadata pairs of at most {MAX_METADATA_BYTES} bytes each"
        )));
    }
    if wanted.policies.len() > MAX_POLICIES || wanted.policies.iter().any(|name| name.len() > MAX_NAME) {
        return Err(Error::invalid(format!(
            "a token has at most {MAX_POLICIES} policies with names of at most {MAX_NAME} bytes"
        )));
    }
    if wanted.display_name.len() > MAX_NAME {
        return Err(Error::invalid(format!("a display name has at most {MAX_NAME} bytes")));
    }
    crate::cidr::check_all(&wanted.bound_cidrs)
}

fn check_chosen(id: &str) -> Result<(), Error> {
    for prefix in [SERVICE_PREFIX, "s.", BATCH_PREFIX] {
        if id.starts_with(prefix) {
            return Err(Error::invalid(format!("custom token ID cannot have the '{prefix}' prefix")));
        }
    }
    if id.contains('.') {
        return Err(Error::invalid("custom token ID cannot have a '.' in the value"));
    }
    let plain = id.bytes().all(|b| b.is_ascii_graphic());
    if !plain || id.len() > 256 {
        return Err(Error::invalid("custom token ID must be 1 to 256 printable characters"));
    }
    Ok(())
}

fn refuse_for_batch(entry: &TokenEntry, is_root: bool) -> Result<(), Error> {
    let why = match entry {
        _ if is_root => "batch tokens cannot be root tokens",
        entry if entry.period > 0 => "batch tokens cannot have \"period\" set",
        entry if entry.explicit_max_ttl > 0 => "batch tokens cannot have \"explicit_max_ttl\" set",
        entry if entry.num_uses > 0 => "batch tokens cannot have \"num_uses\" set",
        _ => return Ok(()),
    };
    Err(Error::new(Code::Invalid, why))
}
