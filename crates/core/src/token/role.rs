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
    ops::list::ListPart,
    policies,
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
    /// What was written under its old name and is shown under both.
    pub old_names: OldNames,
}

/// Fields of a role that were last written under their old names.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct OldNames {
    /// `bound_cidrs`.
    pub bound_cidrs: bool,
    /// `explicit_max_ttl`.
    pub explicit_max_ttl: bool,
    /// `period`.
    pub period: bool,
}

impl Persisted for RoleRow {}

impl RoleRow {
    pub(crate) fn limits_policies(&self) -> bool {
        !(self.allowed_policies.is_empty()
            && self.allowed_policies_glob.is_empty()
            && self.disallowed_policies.is_empty()
            && self.disallowed_policies_glob.is_empty())
    }

    pub(crate) fn kind(&self, asked: Option<TokenKind>) -> TokenKind {
        match (self.token_type.as_str(), asked) {
            ("batch", _) | ("default-batch", None) => TokenKind::Batch,
            ("service", _) => TokenKind::Service,
            (_, asked) => asked.unwrap_or_default(),
        }
    }

    /// The policies of a token made through a role that limits them: those asked for, else all it allows, else the
    /// creator's.
    ///
    /// # Errors
    /// Where a policy lies outside what the role allows.
    pub(crate) fn policies(&self, asked: Vec<String>, own: &[String], no_default: bool) -> Result<Vec<String>, Error> {
        let is_disallowed = |name: &str| {
            self.disallowed_policies.iter().any(|known| known == name)
                || matches_any(&self.disallowed_policies_glob, name)
        };
        let adds_default = !no_default && !self.no_default_policy && !is_disallowed("default");
        let sanitized = |names: &[String]| {
            let mut names = names.to_vec();
            if policies::has_root(&names) {
                names = vec![policies::ROOT.to_owned()];
            } else if adds_default && !names.iter().any(|name| name == "default") {
                names.push("default".to_owned());
            }
            names.sort_unstable();
            names
        };
        let asked = if asked.is_empty() { asked } else { sanitized(&asked) };
        let allows_some = !(self.allowed_policies.is_empty() && self.allowed_policies_glob.is_empty());
        let chosen = match (allows_some, asked.is_empty()) {
            (true, true) => sanitized(&self.allowed_policies),
            (false, true) => sanitized(own),
            (true, false) => {
                let allowed = sanitized(&self.allowed_policies);
                let is_allowed =
                    |name: &String| allowed.contains(name) || matches_any(&self.allowed_policies_glob, name);
                if !asked.iter().all(is_allowed) {
                    return Err(Error::invalid(format!(
                        "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
                        quoted(&asked),
                        quoted(&allowed),
                        quoted(&self.allowed_policies_glob)
                    )));
                }
                asked
            }
            (false, false) => asked,
        };
        match chosen.iter().find(|name| is_disallowed(name)) {
            Some(name) => Err(Error::invalid(format!("token policy {name:?} is disallowed by this role"))),
            None => Ok(chosen),
        }
    }

    /// Whether a token may be made for whom this alias names; upper and lower case are the same.
    pub(crate) fn allows_alias(&self, alias: &str) -> bool {
        let alias = alias.to_lowercase();
        let allowed: Vec<String> = self.allowed_entity_aliases.iter().map(|known| known.to_lowercase()).collect();
        matches_any(&allowed, &alias)
    }

    /// # Errors
    /// Where its settings exclude each other or mean nothing.
    fn check_whole(&self) -> Result<(), Error> {
        crate::cidr::check_all(&self.bound_cidrs)?;
        let batch =
            |what: &str| Error::invalid(format!("'token_type' cannot be 'batch' when role is set to generate {what}"));
        if self.token_type == "batch" {
            if !self.orphan {
                return Err(batch("non-orphan tokens"));
            }
            if self.period > 0 {
                return Err(batch("periodic tokens"));
            }
            if self.renewable {
                return Err(batch("renewable tokens"));
            }
            if self.explicit_max_ttl > 0 {
                return Err(batch("tokens with an explicit max TTL"));
            }
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let suffix = &self.path_suffix;
        let inner = suffix.chars().all(|c| word(c) || matches!(c, '-' | '.'));
        let is_good =
            inner && suffix.len() >= 3 && suffix.len() <= 256 && suffix.starts_with(word) && suffix.ends_with(word);
        if !suffix.is_empty() && !is_good {
            return Err(Error::invalid(
                "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w",
            ));
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
            role.check_whole()?;
            role.bound_cidrs = crate::cidr::shown(&role.bound_cidrs);
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

    /// Names of roles.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `auth/token/roles/`.
    pub async fn token_role_list(&self, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        let path = "auth/token/roles/";
        self.recorded(self.record("token_role.list", path), async {
            let part = self.authorise_list(path, part)?;
            Ok(Done::Unlogged(self.active.list(keys::TOKEN_ROLE, part).await?.items))
        })
        .await
    }
}

fn role_row(name: &str) -> Result<String, Error> {
    if !crate::AppRole::is_name(name) {
        return Err(Error::new(coffer_api::Code::NotFound, crate::auth::login::one_error("unsupported path")));
    }
    Ok(format!("{}{name}", keys::TOKEN_ROLE))
}

/// A list as Go prints one of quoted texts.
fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", names.join(" "))
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
