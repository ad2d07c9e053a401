//! Making tokens: at a login, by a caller, at the first start.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::{
    Code, EntityId, Sensitive,
    token::{TokenCreate, TokenGrant, TokenKind},
};
use coffer_storage::Expect;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    BATCH_PREFIX, Login, MAX_DEPTH, Marker, SERVICE_PREFIX, TokenEntry, UsesRow, child_row, expiry_row,
    lifetime::Bounds, random_service, role::RoleRow, token_row, uses_row,
};
use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec,
    commit::{Edit, Urgency},
    policies,
    policy::{Grant, Operation, Parameters},
    record::Record,
};

/// Bounds on what a caller may put into a token.
const MAX_METADATA: usize = 64;
const MAX_METADATA_BYTES: usize = 512;
const MAX_POLICIES: usize = 1000;
const MAX_NAME: usize = 256;
/// Why a login gives no root token.
pub(crate) const NO_ROOT_BY_LOGIN: &str = "auth methods cannot create root tokens";
/// How often a creation that met a renewal of its parent starts over.
const RETRIES: u32 = 8;

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
    pub(crate) num_uses: u64,
    pub(crate) parent: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) bound_cidrs: Vec<String>,
    pub(crate) initial: bool,
    /// The bounds of the mount, where they are not the system's.
    pub(crate) bounds: Option<Bounds>,
    /// The login that it is for.
    pub(crate) login: Option<Login>,
    pub(crate) warnings: Vec<String>,
}

/// A token made but not yet committed: its rows are in the edit.
pub(crate) struct Made {
    pub(crate) grant: TokenGrant,
    pub(crate) edit: Edit,
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
        let path = match how {
            CreatePath::Child => "auth/token/create".to_owned(),
            CreatePath::Orphan => "auth/token/create-orphan".to_owned(),
            CreatePath::Role(role) => format!("auth/token/create/{role}"),
        };
        let record = self.record("token.create", &path);
        self.recorded(record.clone(), async {
            let grant = self.authorise(&path, Operation::Update, parameters)?;
            let id = request.id.as_ref().map(|id| Zeroizing::new(id.expose().clone()));
            let wanted = self.wanted(how, &path, grant, request).await?;
            let record = describe(record, &wanted);
            let mut tries = 0;
            loop {
                let made = self.active.make_token(wanted.clone(), id.clone()).await?;
                if made.edit.is_empty() {
                    return Ok(Done::Unlogged(made.grant));
                }
                match self.commit(made.edit, record.clone()).await {
                    Ok(logged) => return Ok(Done::Logged(made.grant, logged)),
                    // The parent was renewed meanwhile; a chosen id that is taken stays taken.
                    Err(error) if error.code() == Code::Conflict && id.is_none() && tries < RETRIES => tries += 1,
                    Err(error) if error.code() == Code::Conflict && id.is_some() => {
                        return Err(Error::invalid("cannot create a token with a duplicate ID"));
                    }
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }

    async fn wanted(
        &self,
        how: CreatePath<'_>,
        path: &str,
        grant: Grant,
        request: TokenCreate,
    ) -> Result<Wanted, Error> {
        let entry = &self.token.entry;
        if self.token.kind == TokenKind::Batch {
            return Err(Error::invalid("batch tokens cannot create more tokens"));
        }
        if entry.num_uses > 0 {
            return Err(Error::invalid("restricted use token cannot generate child tokens"));
        }
        let privileged = grant.root || grant.sudo;
        let role = match (how, &request.role) {
            (CreatePath::Role(name), _) => Some(self.active.token_role(name).await?),
            (CreatePath::Child | CreatePath::Orphan, Some(name)) => Some(self.active.token_role(name).await?),
            (CreatePath::Child | CreatePath::Orphan, None) => None,
        };
        let role = match role {
            Some(None) => {
                let name = match how {
                    CreatePath::Role(name) => name.to_owned(),
                    CreatePath::Child | CreatePath::Orphan => request.role.unwrap_or_default(),
                };
                return Err(Error::invalid(format!("unknown role {name}")));
            }
            Some(role) => role,
            None => None,
        };
        let needs = |what: &str| Error::invalid(format!("root or sudo privileges required to {what}"));
        if !privileged {
            if request.id.is_some() {
                return Err(needs("specify token id"));
            }
            if request.period.is_some_and(|period| period > 0) && role.is_none() {
                return Err(needs("create periodic token"));
            }
            if request.orphan && how == CreatePath::Child && role.is_none() {
                return Err(needs("create orphan token"));
            }
        }
        let mut warnings = Vec::new();
        let own = &entry.policies;
        let policies = self.policies_for(privileged, &request, role.as_ref(), &mut warnings)?;
        let (orphan, kind) = match &role {
            Some(role) => (role.orphan, role.kind(request.kind)),
            None => (request.orphan || how == CreatePath::Orphan, request.kind),
        };
        let display_name = match &request.display_name {
            Some(name) if !name.is_empty() => format!("token-{}", clean(name)),
            Some(_) | None => "token".to_owned(),
        };
        let from_role = |of_role: u64, asked: Option<u64>| match (of_role, asked.unwrap_or(0)) {
            (0, asked) => asked,
            (of_role, 0) => of_role,
            (of_role, asked) => of_role.min(asked),
        };
        let role_name = role.as_ref().map(|role| role.name.clone());
        let path = match role.as_ref().map(|role| role.path_suffix.as_str()) {
            Some(suffix) if !suffix.is_empty() => format!("{path}/{suffix}"),
            Some(_) | None => path.to_owned(),
        };
        let no_entity = orphan && role.is_none() && how == CreatePath::Orphan;
        Ok(Wanted {
            kind,
            root: if policies::has_root(own) { RootPolicy::Allowed } else { RootPolicy::Refused },
            policies,
            no_default_policy: request.no_default_policy || role.as_ref().is_some_and(|role| role.no_default_policy),
            entity: entry.entity.filter(|_| !no_entity),
            identity_policies: self.authority.identity_policies.clone(),
            display_name,
            path,
            metadata: request.metadata,
            ttl: request.ttl.filter(|ttl| *ttl > 0),
            max_ttl: None,
            explicit_max_ttl: from_role(
                role.as_ref().map_or(0, |role| role.explicit_max_ttl),
                request.explicit_max_ttl,
            ),
            period: role.as_ref().map_or(0, |role| role.period).max(request.period.filter(|_| privileged).unwrap_or(0)),
            renewable: request.renewable.unwrap_or(true) && role.as_ref().is_none_or(|role| role.renewable),
            num_uses: from_role(role.as_ref().map_or(0, |role| role.num_uses), Some(request.num_uses)),
            parent: (!orphan).then(|| self.token.accessor.clone()),
            role: role_name,
            bound_cidrs: role.map(|role| role.bound_cidrs).unwrap_or_default(),
            warnings,
            ..Wanted::default()
        })
    }

    fn policies_for(
        &self,
        privileged: bool,
        request: &TokenCreate,
        role: Option<&RoleRow>,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<String>, Error> {
        let own = &self.token.entry.policies;
        let mut policies = policies::normalised(&request.policies);
        if let Some(role) = role.filter(|role| role.limits_policies()) {
            if policies.is_empty() {
                policies.clone_from(&role.allowed_policies);
            }
            role.check(&policies)?;
        } else if policies.is_empty() {
            policies.clone_from(own);
            if request.no_default_policy {
                policies.retain(|name| name != "default");
            }
        } else if !privileged {
            let held = |name: &String| name == "default" || own.contains(name);
            if !policies.iter().all(held) {
                return Err(Error::invalid("child policies must be subset of parent"));
            }
        }
        if policies::has_root(&policies) && !policies::has_root(own) {
            return Err(Error::invalid("root tokens may not be created without parent token being root"));
        }
        if policies.iter().any(|name| name == "response-wrapping") {
            return Err(Error::invalid("policy \"response-wrapping\" cannot be given to a token"));
        }
        for name in policies.iter().filter(|name| *name != policies::ROOT && self.active.policies.find(name).is_none())
        {
            warnings.push(format!("Policy {name:?} does not exist"));
        }
        Ok(policies)
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
        if is_root && wanted.root == RootPolicy::Refused {
            return Err(Error::invalid(NO_ROOT_BY_LOGIN));
        }
        if is_root && policies.len() > 1 {
            return Err(Error::invalid("root tokens cannot have other policies"));
        }
        if !is_root && !wanted.no_default_policy && !policies.iter().any(|name| name == "default") {
            policies.push("default".to_owned());
            policies.sort_unstable();
        }
        let ttl = self.lifetime(&wanted, is_root, &mut warnings);
        let mut entry = TokenEntry {
            policies,
            entity: wanted.entity,
            display_name: wanted.display_name,
            path: wanted.path,
            metadata: wanted.metadata,
            created_ms: now,
            creation_ttl: ttl,
            expires_ms: (ttl > 0).then(|| now.saturating_add(milliseconds(ttl))),
            explicit_max_ttl: wanted.explicit_max_ttl,
            period: wanted.period,
            renewable: wanted.renewable && ttl > 0 && wanted.kind == TokenKind::Service,
            num_uses: wanted.num_uses,
            parent: wanted.parent,
            role: wanted.role,
            bound_cidrs: wanted.bound_cidrs,
            initial: wanted.initial,
            login: wanted.login.filter(|_| wanted.kind == TokenKind::Service),
            ..TokenEntry::default()
        };
        let (token, accessor, edit) = match wanted.kind {
            TokenKind::Batch => {
                refuse_for_batch(&entry, id.is_some(), is_root)?;
                (self.make_batch(&entry)?, String::new(), Edit::default())
            }
            TokenKind::Service => self.make_service(&mut entry, id, &mut warnings).await?,
        };
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
            lease_duration: ttl,
            renewable: entry.renewable,
            entity_id: entry.entity.map(EntityId),
            kind: wanted.kind,
            orphan: entry.parent.is_none(),
            num_uses: entry.num_uses,
            warnings,
        };
        Ok(Made { grant, edit })
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
        let token = match id {
            Some(id) => {
                check_chosen(&id)?;
                warnings.push("Supplying a custom ID for the token uses the weaker secret you chose".to_owned());
                id
            }
            None => random_service()?,
        };
        let hashed = self.hash_token(&token)?;
        entry.hash = hashed.hash;
        entry.kid = hashed.kid;
        let accessor = hashed.accessor;
        let mut edit = Edit::default();
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
    if id.starts_with(SERVICE_PREFIX) || id.starts_with("s.") || id.starts_with(BATCH_PREFIX) {
        return Err(Error::invalid("custom token ID cannot have the 'hvs.' prefix"));
    }
    let plain = id.bytes().all(|b| b.is_ascii_graphic() && b != b'.');
    if !plain || id.len() > 256 {
        return Err(Error::invalid("custom token ID must be 1 to 256 printable characters other than '.'"));
    }
    Ok(())
}

fn refuse_for_batch(entry: &TokenEntry, has_id: bool, is_root: bool) -> Result<(), Error> {
    let why = match entry {
        _ if is_root => "batch tokens cannot be root tokens",
        _ if has_id => "batch tokens cannot have a token ID",
        entry if entry.period > 0 => "batch tokens cannot be periodic",
        entry if entry.explicit_max_ttl > 0 => "batch tokens cannot have an explicit max TTL",
        entry if entry.num_uses > 0 => "batch tokens cannot have limited use count",
        _ => return Ok(()),
    };
    Err(Error::new(Code::Invalid, why))
}

fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}
