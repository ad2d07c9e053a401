//! User names and passwords.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::{
    Code, Sensitive,
    token::{TokenGrant, TokenKind},
};
use coffer_crypto::password;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Caller, Context, Error,
    active::Active,
    caller::{Done, anonymous, log_refusal},
    codec::{self, Persisted},
    commit::Edit,
    identity::AliasKey,
    keys,
    mount::{Mount, MountKind},
    policy::{Operation, Parameters},
    record::{Actor, Record},
    token::create::Wanted,
};

/// A user as stored and, without the hash, as shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct User {
    /// Argon2id, as a PHC string.
    hash: String,
    /// Policies of its tokens.
    pub policies: Vec<String>,
    /// Seconds, 0 = the system's.
    pub ttl: u64,
    /// Seconds, 0 = the system's.
    pub max_ttl: u64,
    /// Seconds, 0 = none.
    pub explicit_max_ttl: u64,
    /// Seconds, 0 = not periodic.
    pub period: u64,
    /// Uses of a token, 0 = unlimited.
    pub num_uses: u64,
    /// Without the `default` policy.
    pub no_default_policy: bool,
    /// Addresses to log in and use tokens from.
    pub bound_cidrs: Vec<String>,
    /// `default`, `service` or `batch`.
    pub token_type: String,
}

impl Persisted for User {}

impl Caller {
    /// A user, or `None`.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}users/{name}`.
    pub async fn user_read(&self, mount: &Mount, name: &str) -> Result<Option<User>, Error> {
        let path = format!("{}users/{}", mount.path, name.to_lowercase());
        self.recorded(self.record("user.read", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            Ok(Done::Unlogged(self.active.user(mount, name).await?))
        })
        .await
    }

    /// Creates a user, which needs a password, or changes one.
    ///
    /// # Errors
    /// [`Code::Denied`] without create or update on `{mount}users/{name}` (or the sub-path given in `field`).
    pub async fn user_write(
        &self,
        mount: &Mount,
        name: &str,
        field: Option<&str>,
        password: Option<&Sensitive<String>>,
        parameters: &dyn Parameters,
        change: impl FnOnce(&mut User) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut path = format!("{}users/{}", mount.path, name.to_lowercase());
        if let Some(field) = field {
            path = format!("{path}/{field}");
        }
        let record = self.record("user.write", &path);
        self.recorded(record.clone(), async {
            let row = user_row(mount, name)?;
            let guard = self.active.locks.lock(&[&row]).await;
            let known = self.active.row::<User>(&row).await?;
            let exists = known.is_some();
            let operation = if exists || field.is_some() { Operation::Update } else { Operation::Create };
            self.authorise(&path, operation, parameters)?;
            if field.is_some() && !exists {
                return Err(Error::invalid("username does not exist"));
            }
            let mut user = known.map(|found| found.value).unwrap_or_default();
            change(&mut user)?;
            crate::cidr::check_all(&user.bound_cidrs)?;
            match password {
                Some(password) if password.expose().is_empty() => return Err(Error::invalid("missing password")),
                Some(password) => user.hash = self.active.hash_password(password).await?,
                None if !exists => return Err(Error::invalid("missing password")),
                None => {}
            }
            let mut edit = Edit::under(guard);
            edit.put(row, codec::encode(&user)?, None);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Deletes a user; tokens it has live on until they expire.
    ///
    /// # Errors
    /// [`Code::Denied`] without delete on `{mount}users/{name}`.
    pub async fn user_delete(&self, mount: &Mount, name: &str) -> Result<(), Error> {
        let path = format!("{}users/{}", mount.path, name.to_lowercase());
        let record = self.record("user.delete", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Delete, &())?;
            let row = user_row(mount, name)?;
            let mut edit = Edit::under(self.active.locks.lock(&[&row]).await);
            edit.delete(row, None);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Names of users after `after`, at most `limit` (1 to 1,000).
    ///
    /// # Errors
    /// [`Code::Denied`] without list on `{mount}users/`.
    pub async fn user_list(&self, mount: &Mount, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let path = format!("{}users/", mount.path);
        self.recorded(self.record("user.list", &path), async {
            self.authorise(&path, Operation::List, &())?;
            let prefix = format!("{}{}/", keys::USER, mount.accessor);
            Ok(Done::Unlogged(self.active.names(&prefix, after, limit).await?.names))
        })
        .await
    }
}

impl Active {
    /// Checks a password and makes a token for the user's entity.
    pub(crate) async fn login_userpass(
        self: &Arc<Self>,
        cx: &Context,
        mount_path: &str,
        name: &str,
        password: &Sensitive<String>,
    ) -> Result<TokenGrant, Error> {
        let path = format!("auth/{}/", mount_path.trim_matches('/'));
        let name = name.to_lowercase();
        let logical = format!("{path}login/{}", name.chars().take(128).collect::<String>());
        let record = Record::of_request("auth.login", logical.clone(), anonymous(), cx);
        match self.check_password(&path, &name, password, cx).await {
            Ok((mount, user)) => {
                let key = AliasKey {
                    mount_accessor: &mount.accessor,
                    mount_type: "userpass",
                    mount_path: &mount.path,
                    name: &name,
                };
                let entity = self.entity_of_login(&key).await?;
                let actor = Actor {
                    kind: "user",
                    id: Some(entity.id.to_string()),
                    name: Some(name.clone()),
                    auth: Some(mount.path.clone()),
                    accessor: None,
                };
                let record = Record { actor, ..record };
                let display = mount.path.trim_start_matches("auth/").trim_end_matches('/').replace('/', "-");
                let (direct, inherited) = self.identity.groups_of(entity.id);
                let groups = direct.iter().chain(&inherited);
                let mut identity_policies: Vec<String> =
                    groups.flat_map(|group| group.policies.clone()).chain(entity.policies.clone()).collect();
                identity_policies.sort_unstable();
                identity_policies.dedup();
                let wanted = Wanted {
                    kind: if user.token_type == "batch" { TokenKind::Batch } else { TokenKind::Service },
                    policies: user.policies,
                    no_default_policy: user.no_default_policy,
                    entity: Some(entity.id),
                    identity_policies,
                    display_name: format!("{display}-{name}"),
                    path: logical,
                    metadata: BTreeMap::from([("username".to_owned(), name)]),
                    ttl: Some(user.ttl).filter(|ttl| *ttl > 0),
                    max_ttl: Some(user.max_ttl).filter(|max| *max > 0),
                    explicit_max_ttl: user.explicit_max_ttl,
                    period: user.period,
                    renewable: true,
                    num_uses: user.num_uses,
                    bound_cidrs: user.bound_cidrs,
                    ..Wanted::default()
                };
                self.issue(wanted, record, None).await
            }
            Err(error) => Err(log_refusal(self, record, error).await),
        }
    }

    async fn check_password(
        &self,
        path: &str,
        name: &str,
        password: &Sensitive<String>,
        cx: &Context,
    ) -> Result<(Arc<Mount>, User), Error> {
        self.may_read()?;
        let wrong = || Error::new(Code::InvalidCredentials, "invalid username or password");
        let mount = self.mounts.at(path).filter(|mount| mount.kind == MountKind::Userpass);
        let mount = mount.ok_or_else(|| Error::new(Code::Unauthenticated, "permission denied"))?;
        let locked_name = format!("{path}{name}");
        self.logins.check(&locked_name)?;
        let user = match user_row(&mount, name) {
            Ok(row) => self.row::<User>(&row).await?.map(|found| found.value),
            Err(_) => None,
        };
        let here = user.as_ref().is_none_or(|user| {
            user.bound_cidrs.is_empty()
                || cx.remote.is_some_and(|remote| crate::cidr::any_contains(&user.bound_cidrs, remote.ip()))
        });
        // Somebody unknown costs as much as somebody known.
        let hash = user.as_ref().map_or_else(|| UNKNOWN.to_owned(), |user| user.hash.clone());
        let attempt = Zeroizing::new(password.expose().clone());
        let matches = self.logins.hashing(move || password::verify(attempt.as_bytes(), &hash).is_ok()).await?;
        match user.filter(|_| matches && here) {
            Some(user) => {
                self.logins.succeeded(&locked_name);
                Ok((mount, user))
            }
            None => {
                self.logins.failed(&locked_name);
                Err(wrong())
            }
        }
    }

    async fn user(&self, mount: &Mount, name: &str) -> Result<Option<User>, Error> {
        Ok(self.row(&user_row(mount, name)?).await?.map(|found| found.value))
    }

    async fn hash_password(&self, password: &Sensitive<String>) -> Result<String, Error> {
        let password = Zeroizing::new(password.expose().clone());
        let hashed = self.logins.hashing(move || password::hash(password.as_bytes())).await?;
        hashed.map_err(|error| Error::invalid("the password cannot be hashed (at most 4,096 bytes)").caused_by(error))
    }
}

/// The hash of nobody's password, with the parameters of every other one.
const UNKNOWN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn user_row(mount: &Mount, name: &str) -> Result<String, Error> {
    let name = name.to_lowercase();
    let plain = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
        return Err(Error::invalid("a user's name has 1 to 128 letters, digits, '-', '_', '.', '@' or '+'"));
    }
    Ok(format!("{}{}/{name}", keys::USER, mount.accessor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_nobody_is_computed_and_never_matches() {
        assert!(matches!(password::verify(b"", UNKNOWN), Err(coffer_crypto::Error::Authentication)));
    }
}
