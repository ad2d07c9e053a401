//! Token roles: rules for tokens that are created through them.

use coffer_api::token::TokenKind;
use serde::{Deserialize, Serialize};

use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec::{self, Persisted},
    commit::Edit,
    keys,
    policy::{Operation, Parameters},
};

/// A role as it is stored and as the API shows it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct RoleRow {
    /// Its name.
    pub name: String,
    /// Only these policies may be asked for; they are the default as well.
    pub allowed_policies: Vec<String>,
    /// Only policies that match one of these.
    pub allowed_policies_glob: Vec<String>,
    /// Never these.
    pub disallowed_policies: Vec<String>,
    /// Never those that match one of these.
    pub disallowed_policies_glob: Vec<String>,
    /// Aliases that a token may name.
    pub allowed_entity_aliases: Vec<String>,
    /// Tokens have no parent.
    pub orphan: bool,
    /// Appended to the tokens' path.
    pub path_suffix: String,
    /// Tokens may be renewed.
    pub renewable: bool,
    /// Period in seconds, 0 = none.
    pub period: u64,
    /// Bound on all renewals in seconds, 0 = none.
    pub explicit_max_ttl: u64,
    /// Addresses tokens may be used from.
    pub bound_cidrs: Vec<String>,
    /// Without the `default` policy.
    pub no_default_policy: bool,
    /// Uses, 0 = unlimited.
    pub num_uses: u64,
    /// `default-service`, `default-batch`, `service` or `batch`.
    pub token_type: String,
}

impl Persisted for RoleRow {}

impl RoleRow {
    pub(crate) fn limits_policies(&self) -> bool {
        !(self.allowed_policies.is_empty()
            && self.allowed_policies_glob.is_empty()
            && self.disallowed_policies.is_empty()
            && self.disallowed_policies_glob.is_empty())
    }

    pub(crate) fn kind(&self, asked: TokenKind) -> TokenKind {
        match self.token_type.as_str() {
            "batch" | "default-batch" => TokenKind::Batch,
            "service" => TokenKind::Service,
            _ => asked,
        }
    }

    /// # Errors
    /// Where a policy lies outside what the role allows.
    pub(crate) fn check(&self, policies: &[String]) -> Result<(), Error> {
        let allows_some = !(self.allowed_policies.is_empty() && self.allowed_policies_glob.is_empty());
        for name in policies.iter().filter(|name| *name != "default") {
            let allowed = self.allowed_policies.contains(name) || matches_any(&self.allowed_policies_glob, name);
            let refused = self.disallowed_policies.contains(name) || matches_any(&self.disallowed_policies_glob, name);
            if refused || (allows_some && !allowed) {
                return Err(Error::invalid("token policies must be subset of the role's allowed policies"));
            }
        }
        Ok(())
    }
}

impl Active {
    pub(crate) async fn token_role(&self, name: &str) -> Result<Option<RoleRow>, Error> {
        Ok(self.row(&role_row(name)?).await?.map(|found| found.value))
    }
}

impl Caller {
    /// A role, or `None`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `auth/token/roles/{name}`.
    pub async fn token_role_read(&self, name: &str) -> Result<Option<RoleRow>, Error> {
        let path = format!("auth/token/roles/{name}");
        self.recorded(self.record("token_role.read", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            Ok(Done::Unlogged(self.active.token_role(name).await?))
        })
        .await
    }

    /// Creates a role, or changes what `change` changes of one.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without create or update on the path.
    pub async fn token_role_write(
        &self,
        name: &str,
        parameters: &dyn Parameters,
        change: impl FnOnce(&mut RoleRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = format!("auth/token/roles/{name}");
        let record = self.record("token_role.write", &path);
        self.recorded(record.clone(), async {
            let row = role_row(name)?;
            let guard = self.active.locks.lock(&[&row]).await;
            let known = self.active.row::<RoleRow>(&row).await?;
            let operation = if known.is_some() { Operation::Update } else { Operation::Create };
            self.authorise(&path, operation, parameters)?;
            let mut role = known.map_or_else(
                || RoleRow {
                    name: name.to_owned(),
                    renewable: true,
                    token_type: "default-service".to_owned(),
                    ..RoleRow::default()
                },
                |found| found.value,
            );
            change(&mut role)?;
            crate::cidr::check_all(&role.bound_cidrs)?;
            let mut edit = Edit::under(guard);
            edit.put(row, codec::encode(&role)?, None);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Deletes a role.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on the path.
    pub async fn token_role_delete(&self, name: &str) -> Result<(), Error> {
        let path = format!("auth/token/roles/{name}");
        let record = self.record("token_role.delete", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Delete, &())?;
            let row = role_row(name)?;
            let mut edit = Edit::under(self.active.locks.lock(&[&row]).await);
            edit.delete(row, None);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Names of roles after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `auth/token/roles/`.
    pub async fn token_role_list(&self, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let path = "auth/token/roles/";
        self.recorded(self.record("token_role.list", path), async {
            self.authorise(path, Operation::List, &())?;
            Ok(Done::Unlogged(self.active.names(keys::TOKEN_ROLE, after, limit).await?.names))
        })
        .await
    }
}

fn role_row(name: &str) -> Result<String, Error> {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
        return Err(Error::invalid("a role's name has 1 to 128 letters, digits, '-', '_' or '.'"));
    }
    Ok(format!("{}{name}", keys::TOKEN_ROLE))
}

/// Names with `*` at the start, the end or both.
fn matches_any(globs: &[String], name: &str) -> bool {
    globs.iter().any(|glob| {
        let (prefix, suffix) = (glob.ends_with('*'), glob.starts_with('*'));
        let core = glob.trim_matches('*');
        match (suffix, prefix) {
            (true, true) => name.contains(core),
            (true, false) => name.ends_with(core),
            (false, true) => name.starts_with(core),
            (false, false) => name == glob,
        }
    })
}
