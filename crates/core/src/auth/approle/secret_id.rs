//! Secret ids: issue, look up, list, destroy.

use std::collections::BTreeMap;

use coffer_api::{Code, Sensitive};
use coffer_crypto::rng;
use coffer_storage::Expect;
use zeroize::Zeroizing;

use super::{
    AppRole, Hashed, MAX_BLOCKS, MAX_ID, Marker, SecretId, expiry_of_row, role::role_path, role_row, secret_prefix,
    secret_row, too_many_blocks,
};
use crate::{
    Caller, Error, Mount,
    active::Found,
    auth::login::one_error,
    caller::Done,
    cidr, codec,
    commit::{Edit, again},
    keys,
    ops::list::ListPart,
    policy::{Operation, Parameters},
    record::Record,
    time::rfc3339,
    token::create::milliseconds,
};

/// Roles looked at together, where an accessor may be another role's.
const ROLES_AT_ONCE: usize = 1000;
/// Metadata of one secret id: pairs, and bytes of a key or a value. It goes into tokens, which hold one pair more.
const MAX_METADATA: usize = 63;
const MAX_METADATA_BYTES: usize = 512;

/// A secret id to be made.
#[derive(Default)]
pub struct SecretIdIssue {
    /// The caller's own choice of it, by the path that is for that.
    pub custom: Option<Sensitive<String>>,
    /// Goes into the tokens.
    pub metadata: BTreeMap<String, String>,
    /// Addresses to log in from, within the role's; empty = the role's.
    pub cidr_list: Vec<String>,
    /// Addresses to use the tokens from, within the role's; empty = the role's.
    pub token_bound_cidrs: Vec<String>,
    /// Logins, 0 = any number, absent = as the role says; no more than that.
    pub num_uses: Option<u64>,
    /// Seconds, 0 = for ever, absent = as the role says; no longer than that, nor than the mount allows.
    pub ttl: Option<u64>,
}

/// A secret id made.
pub struct SecretIdIssued {
    /// Shown once.
    pub secret_id: Sensitive<String>,
    /// Names it from here on; no credential.
    pub accessor: String,
    /// Logins, 0 = any number.
    pub num_uses: u64,
    /// Seconds, 0 = for ever.
    pub ttl: u64,
}

/// Which secret id is meant.
pub enum SecretIdRef {
    /// The one with this accessor.
    Accessor(String),
    /// Itself.
    Secret(Sensitive<String>),
}

/// What is known of a secret id.
#[derive(Clone, Debug)]
pub struct SecretIdInfo {
    /// Its accessor.
    pub accessor: String,
    /// Addresses to log in from.
    pub cidr_list: Vec<String>,
    /// RFC 3339.
    pub created: String,
    /// RFC 3339; absent = never.
    pub expires: Option<String>,
    /// Last use that counted, RFC 3339.
    pub updated: String,
    /// Goes into the tokens.
    pub metadata: BTreeMap<String, String>,
    /// Logins left, 0 = any number.
    pub num_uses: u64,
    /// Addresses to use the tokens from.
    pub token_bound_cidrs: Vec<String>,
    /// Seconds that it was made for, 0 = for ever.
    pub ttl: u64,
}

impl Caller {
    /// Makes a secret id of a role.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}role/{name}/secret-id` (or `custom-secret-id`); [`Code::NotFound`]
    /// without the role; [`Code::Invalid`] beyond what the role allows, or where the chosen one is taken.
    pub async fn secret_id_issue(
        &self,
        mount: &Mount,
        name: &str,
        issue: SecretIdIssue,
        parameters: &dyn Parameters,
    ) -> Result<SecretIdIssued, Error> {
        let field = if issue.custom.is_some() { "custom-secret-id" } else { "secret-id" };
        let path = role_path(mount, name, Some(field));
        let record = self.record("secret_id.issue", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Update, parameters)?;
            // The role may be written meanwhile.
            again!(self.issue_secret(mount, name, &issue, record.clone()))
        })
        .await
    }

    /// Accessors of a role's secret ids; what has expired may be among them until it is swept.
    ///
    /// # Errors
    /// [`Code::Denied`] without list on `{mount}role/{name}/secret-id/`; [`Code::Invalid`] without the role.
    pub async fn secret_id_list(&self, mount: &Mount, name: &str, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        let path = role_path(mount, name, Some("secret-id/"));
        self.recorded(self.record("secret_id.list", &path), async {
            let part = self.authorise_list(&path, part)?;
            let role = self.active.approle(mount, name).await?.ok_or_else(|| Error::invalid(no_role(name)))?;
            let prefix = secret_prefix(mount, &role.value);
            Ok(Done::Unlogged(self.active.list(&prefix, part).await?.items))
        })
        .await
    }

    /// What is known of a secret id, unless it is unknown, expired or used up.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on the path of the lookup; [`Code::Invalid`] without the role.
    pub async fn secret_id_lookup(
        &self,
        mount: &Mount,
        name: &str,
        of: &SecretIdRef,
        parameters: &dyn Parameters,
    ) -> Result<SecretIdFound, Error> {
        let path = role_path(mount, name, Some(of.field("lookup")));
        self.recorded(self.record("secret_id.lookup", &path), async {
            self.authorise(&path, Operation::Update, parameters)?;
            let role = self.role_of_secret(mount, name).await?;
            let found = self.referred_secret(mount, &role, of).await?;
            let found = match found.filter(|(_, found)| found.value.is_alive(&self.active)) {
                Some((accessor, found)) => SecretIdFound::Here(Box::new(shown(accessor, found.value))),
                None if self.is_elsewhere(mount, &role, of).await? => SecretIdFound::Elsewhere,
                None => SecretIdFound::Nowhere,
            };
            Ok(Done::Unlogged(found))
        })
        .await
    }

    /// Destroys a secret id; tells whether there was one.
    ///
    /// # Errors
    /// [`Code::Denied`] without `operation` (update or delete, as the request came) on the path, and for the accessor of
    /// another role's; [`Code::Invalid`] without the role.
    pub async fn secret_id_destroy(
        &self,
        mount: &Mount,
        name: &str,
        of: &SecretIdRef,
        operation: Operation,
        parameters: &dyn Parameters,
    ) -> Result<Destroyed, Error> {
        let path = role_path(mount, name, Some(of.field("destroy")));
        let record = self.record("secret_id.destroy", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, operation, parameters)?;
            let role = self.role_of_secret(mount, name).await?;
            let Some((accessor, _)) = self.referred_secret(mount, &role, of).await? else {
                if self.is_elsewhere(mount, &role, of).await? {
                    return Err(Error::new(Code::Denied, "invalid secret id accessor"));
                }
                return Ok(Done::Unlogged(Destroyed::Nothing));
            };
            let row = secret_row(mount, &role, &accessor);
            let guard = self.active.locks.lock(&[&row]).await;
            let Some(found) = self.active.row::<SecretId>(&row).await? else {
                return Ok(Done::Unlogged(Destroyed::Nothing));
            };
            let mut edit = Edit::under(guard);
            if let Some(expires) = found.value.expires_ms {
                edit.delete(expiry_of_row(&row, expires), None);
            }
            edit.delete(row, Some(Expect::Revision(found.revision)));
            let record = record.fact("secret_id_accessor", accessor);
            Ok(Done::Logged(Destroyed::One, self.commit(edit, record).await?))
        })
        .await
    }

    /// Starts to remove what has expired, of every mount; the server does so by itself all the time.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}tidy/secret-id`.
    pub async fn secret_id_tidy(&self, mount: &Mount, parameters: &dyn Parameters) -> Result<(), Error> {
        let path = format!("{}tidy/secret-id", mount.path);
        self.recorded(self.record("secret_id.tidy", &path), async {
            self.authorise(&path, Operation::Update, parameters)?;
            self.active.secrets_sweep_asked.notify_one();
            Ok(Done::Unlogged(()))
        })
        .await
    }

    async fn issue_secret(
        &self,
        mount: &Mount,
        name: &str,
        issue: &SecretIdIssue,
        record: Record,
    ) -> Result<Done<SecretIdIssued>, Error> {
        let Some(Found { value: role, revision }) = self.active.approle(mount, name).await? else {
            return Err(Error::new(Code::NotFound, no_role(name)));
        };
        if !role.bind_secret_id {
            return Err(Error::invalid("bind_secret_id is not set on the role"));
        }
        check_blocks(&role, issue)?;
        check_metadata(&issue.metadata)?;
        let num_uses = within("num_uses", "higher", "secret_id_num_uses", issue.num_uses, role.secret_id_num_uses)?;
        let ttl = within("ttl", "longer", "secret_id_ttl", issue.ttl, role.secret_id_ttl)?;
        let ttl = if ttl > 0 {
            self.active.limits.lease_ttls(Some(mount)).most().map_or(ttl, |most| ttl.min(most))
        } else {
            0
        };
        let secret_id = match &issue.custom {
            Some(custom) => {
                check_chosen(custom.expose())?;
                custom.clone()
            }
            None => Sensitive::new(random()?.to_string()),
        };
        let (kid, key) = self.active.keyrings.token.current()?;
        let hashed = Hashed::of(kid, &key, &role, secret_id.expose());
        let row = secret_row(mount, &role, &hashed.accessor);
        let guard = self.active.locks.lock(&[&row]).await;
        let taken = self.active.secret_id(mount, &role, secret_id.expose()).await?;
        if taken.is_some() {
            return Err(Error::invalid(one_error("failed to store secret_id: SecretID is already registered")));
        }
        let now = self.active.clock.now();
        let expires_ms = (ttl > 0).then(|| now.saturating_add(milliseconds(ttl)));
        let stored = SecretId {
            hash: hashed.hash,
            kid,
            num_uses,
            left: num_uses,
            ttl,
            created_ms: now,
            updated_ms: now,
            expires_ms,
            metadata: issue.metadata.clone(),
            cidr_list: issue.cidr_list.clone(),
            token_bound_cidrs: issue.token_bound_cidrs.clone(),
        };
        let mut edit = Edit::under(guard);
        // The role must still be there: what lies under a deleted one is nobody's.
        edit.check(role_row(mount, name)?, Expect::Revision(revision));
        if let Some(expires) = expires_ms {
            edit.put(expiry_of_row(&row, expires), codec::encode(&Marker {})?, None);
        }
        edit.put_expiring(row, codec::encode(&stored)?, None, expires_ms);
        let record = record.fact("secret_id_accessor", hashed.accessor.clone());
        let issued = SecretIdIssued { secret_id, accessor: hashed.accessor, num_uses, ttl };
        Ok(Done::Logged(issued, self.commit(edit, record).await?))
    }

    async fn role_of_secret(&self, mount: &Mount, name: &str) -> Result<AppRole, Error> {
        let found = self.active.approle(mount, name).await?;
        found.map(|found| found.value).ok_or_else(|| Error::invalid(one_error(&no_role(name))))
    }

    /// Whether an accessor is one of another role's. It is looked for role by role, which only somebody waits for who
    /// asked with the wrong one.
    async fn is_elsewhere(&self, mount: &Mount, role: &AppRole, of: &SecretIdRef) -> Result<bool, Error> {
        let SecretIdRef::Accessor(accessor) = of else { return Ok(false) };
        let Ok(accessor) = accessor.parse::<uuid::Uuid>() else { return Ok(false) };
        let accessor = accessor.to_string();
        let roles = format!("{}{}/", keys::APPROLE, mount.id);
        let mut after = String::new();
        loop {
            let page = self.active.names(&roles, &after, ROLES_AT_ONCE).await?;
            for name in &page.names {
                let Some(other) = self.active.approle(mount, name).await? else { continue };
                let row = secret_row(mount, &other.value, &accessor);
                if other.value.uid != role.uid && self.active.row::<SecretId>(&row).await?.is_some() {
                    return Ok(true);
                }
            }
            match page.names.into_iter().next_back().filter(|_| page.more) {
                Some(last) => after = last,
                None => return Ok(false),
            }
        }
    }

    async fn referred_secret(
        &self,
        mount: &Mount,
        role: &AppRole,
        of: &SecretIdRef,
    ) -> Result<Option<(String, Found<SecretId>)>, Error> {
        match of {
            SecretIdRef::Secret(secret) => self.active.secret_id(mount, role, secret.expose()).await,
            SecretIdRef::Accessor(accessor) => {
                // What is no accessor would name another row.
                let Ok(accessor) = accessor.parse::<uuid::Uuid>() else { return Ok(None) };
                let accessor = accessor.to_string();
                let found = self.active.row::<SecretId>(&secret_row(mount, role, &accessor)).await?;
                Ok(found.map(|found| (accessor, found)))
            }
        }
    }
}

/// Where a secret id was found.
#[derive(Clone, Debug)]
pub enum SecretIdFound {
    /// It is the role's.
    Here(Box<SecretIdInfo>),
    /// The accessor is that of another role's secret id.
    Elsewhere,
    /// There is none.
    Nowhere,
}

/// What a destruction came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destroyed {
    /// There was no such thing.
    Nothing,
    /// It is gone.
    One,
}

impl SecretIdRef {
    fn field(&self, verb: &'static str) -> &'static str {
        match (self, verb) {
            (Self::Accessor(_), "lookup") => "secret-id-accessor/lookup",
            (Self::Accessor(_), _) => "secret-id-accessor/destroy",
            (Self::Secret(_), "lookup") => "secret-id/lookup",
            (Self::Secret(_), _) => "secret-id/destroy",
        }
    }
}

fn shown(accessor: String, of: SecretId) -> SecretIdInfo {
    SecretIdInfo {
        accessor,
        cidr_list: of.cidr_list,
        created: rfc3339(of.created_ms),
        expires: of.expires_ms.map(rfc3339),
        updated: rfc3339(of.updated_ms),
        metadata: of.metadata,
        num_uses: of.left,
        token_bound_cidrs: of.token_bound_cidrs,
        ttl: of.ttl,
    }
}

fn no_role(name: &str) -> String {
    let name = name.to_lowercase();
    format!("role {name:?} does not exist")
}

/// What is asked for, no more than the role's bound (0 = none, and more than any bound).
fn within(what: &str, how: &str, of_role: &str, asked: Option<u64>, bound: u64) -> Result<u64, Error> {
    match asked {
        None => Ok(bound),
        Some(asked) if bound > 0 && (asked == 0 || asked > bound) => {
            Err(Error::invalid(format!("{what} cannot be {how} than the role's {of_role}")))
        }
        Some(asked) => Ok(asked),
    }
}

fn check_blocks(role: &AppRole, issue: &SecretIdIssue) -> Result<(), Error> {
    if issue.cidr_list.len().max(issue.token_bound_cidrs.len()) > MAX_BLOCKS {
        return Err(too_many_blocks());
    }
    cidr::check_blocks("CIDR", &issue.cidr_list).map_err(wrapped)?;
    cidr::check_blocks("token CIDR", &issue.token_bound_cidrs).map_err(wrapped)?;
    are_within(&issue.cidr_list, &role.secret_id_bound_cidrs).map_err(wrapped)?;
    are_within(&issue.token_bound_cidrs, &role.token.bound_cidrs).map_err(wrapped)
}

fn wrapped(error: Error) -> Error {
    Error::invalid(one_error(error.public()))
}

/// # Errors
/// Where a secret id's blocks reach beyond its role's.
pub(super) fn are_within(blocks: &[String], of_role: &[String]) -> Result<(), Error> {
    if of_role.is_empty() || cidr::are_within(blocks, of_role) {
        return Ok(());
    }
    let quoted = |list: &[String]| list.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(" ");
    Err(Error::invalid(format!(
        "failed to verify subset relationship between CIDR blocks on the role [{}] and CIDR blocks on the secret ID [{}]",
        quoted(of_role),
        quoted(blocks)
    )))
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    let too_long = metadata.iter().any(|(key, value)| key.len().max(value.len()) > MAX_METADATA_BYTES);
    match too_long || metadata.len() > MAX_METADATA {
        true => Err(Error::invalid(format!(
            "a secret id has at most {MAX_METADATA} metadata pairs of at most {MAX_METADATA_BYTES} bytes each"
        ))),
        false => Ok(()),
    }
}

/// # Errors
/// Where a chosen secret id cannot be one.
fn check_chosen(secret_id: &str) -> Result<(), Error> {
    match secret_id.len() {
        0 => Err(Error::invalid("missing secret_id")),
        1..=MAX_ID => Ok(()),
        _ => Err(Error::invalid(format!("a secret_id has at most {MAX_ID} bytes"))),
    }
}

fn random() -> Result<Zeroizing<String>, Error> {
    let bytes = Zeroizing::new(rng::bytes::<16>()?);
    Ok(Zeroizing::new(uuid::Builder::from_random_bytes(*bytes).into_uuid().to_string()))
}
