//! User names and passwords.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::{Code, Sensitive, token::TokenGrant};
use coffer_crypto::password;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Caller, Context, Error,
    active::Active,
    auth::LoginName,
    caller::{Done, anonymous, log_refusal},
    codec::{self, Persisted},
    commit::Edit,
    identity::{self, AliasKey},
    keys,
    mount::{Mount, MountKind},
    policies,
    policy::{Operation, Parameters},
    record::{Actor, Record},
    token::create::{NO_ROOT_BY_LOGIN, Wanted},
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

/// Names locked out of one login method.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LockedUsers {
    /// The accessor of its mount.
    pub accessor: String,
    /// Lower case, in order.
    pub names: Vec<String>,
}

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

    /// Creates a user, which needs a password, or changes one; a lock after failed logins ends, unless only the
    /// policies are written.
    ///
    /// # Errors
    /// [`Code::Denied`] without create or update on `{mount}users/{name}` (or the sub-path given in `field`);
    /// [`Code::Invalid`] where `root` is among the policies.
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
            user.policies = policies::normalised(&user.policies);
            if policies::has_root(&user.policies) {
                return Err(Error::invalid(NO_ROOT_BY_LOGIN));
            }
            crate::cidr::check_all(&user.bound_cidrs)?;
            match password {
                Some(password) if password.expose().is_empty() => return Err(Error::invalid("missing password")),
                Some(password) => user.hash = self.active.hash_password(password).await?,
                None if !exists => return Err(Error::invalid("missing password")),
                None => {}
            }
            let mut edit = Edit::under(guard);
            edit.put(row, codec::encode(&user)?, None);
            // Whoever sets the password decides who logs in; another setting is no such decision.
            if password.is_some() {
                let login = login_name(mount, name);
                edit.in_force(move |active| active.logins.clear(&login));
            }
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

    /// Names locked out after failed logins, of all login methods or of the one with this accessor, in order.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `sys/locked-users`.
    pub async fn locked_users(
        &self,
        accessor: Option<&str>,
        parameters: &dyn Parameters,
    ) -> Result<Vec<LockedUsers>, Error> {
        let path = "sys/locked-users";
        self.recorded(self.record("user.locked", path), async {
            self.authorise(path, Operation::Read, parameters)?;
            let mut found: Vec<LockedUsers> = Vec::new();
            for LoginName { mount, name } in self.active.logins.locked() {
                if accessor.is_some_and(|accessor| accessor != mount) {
                    continue;
                }
                match found.last_mut().filter(|last| last.accessor == mount) {
                    Some(last) => last.names.push(name),
                    None => found.push(LockedUsers { accessor: mount, names: vec![name] }),
                }
            }
            Ok(Done::Unlogged(found))
        })
        .await
    }

    /// Lets somebody log in again who was locked out; nobody locked out is no error.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `sys/locked-users/{accessor}/unlock/{name}`; [`Code::Invalid`] where there
    /// is no such login method.
    pub async fn user_unlock(&self, accessor: &str, name: &str, parameters: &dyn Parameters) -> Result<(), Error> {
        let path = format!("sys/locked-users/{accessor}/unlock/{name}");
        let record = self.record("user.unlock", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Update, parameters)?;
            let mounts = self.active.mounts.all();
            let mount = mounts.iter().find(|mount| mount.accessor == accessor && mount.path.starts_with("auth/"));
            let mount = mount.ok_or_else(|| Error::invalid("invalid mount accessor"))?;
            // First the record: a lock ends by nobody's hand unseen.
            let logged = self.active.log_change(&record).await?;
            self.active.logins.clear(&login_name(mount, name));
            Ok(Done::Logged((), logged))
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
        let mut record = Record::of_request("auth.login", logical, anonymous(), cx);
        match self.log_in(&path, &name, password, cx, &mut record).await {
            Ok(grant) => Ok(grant),
            // It is committed, and will be logged.
            Err(error) if error.code() == Code::AuditUnavailable => Err(error),
            Err(error) => Err(log_refusal(self, record, error).await),
        }
    }

    async fn log_in(
        self: &Arc<Self>,
        path: &str,
        name: &str,
        password: &Sensitive<String>,
        cx: &Context,
        record: &mut Record,
    ) -> Result<TokenGrant, Error> {
        let (mount, user) = self.check_password(path, name, password, cx).await?;
        let key = AliasKey {
            mount_accessor: &mount.accessor,
            mount_type: "userpass",
            mount_path: &mount.path,
            name,
            entity_name: None,
        };
        let entity = self.entity_of_login(&key).await?;
        if entity.disabled {
            // As for a wrong password, lock included: nobody learns that it was right.
            self.logins.failed(&login_name(&mount, name));
            record.facts.push(("disabled_entity", entity.id.to_string()));
            return Err(wrong_credentials());
        }
        self.logins.clear(&login_name(&mount, name));
        record.actor = Arc::new(Actor {
            kind: "user",
            id: Some(entity.id.to_string()),
            name: Some(name.to_owned()),
            auth: Some(mount.path.clone()),
            accessor: None,
        });
        let display = mount.path.trim_start_matches("auth/").trim_end_matches('/').replace('/', "-");
        let (direct, inherited) = self.identity.groups_of(entity.id);
        let wanted = Wanted {
            kind: mount.token_kind(&user.token_type),
            policies: user.policies,
            no_default_policy: user.no_default_policy,
            entity: Some(entity.id),
            identity_policies: identity::policies_of(Some(&entity), &[direct, inherited].concat()),
            display_name: format!("{display}-{name}"),
            path: record.path.clone(),
            metadata: BTreeMap::from([("username".to_owned(), name.to_owned())]),
            ttl: Some(user.ttl).filter(|ttl| *ttl > 0),
            max_ttl: Some(user.max_ttl).filter(|max| *max > 0),
            explicit_max_ttl: user.explicit_max_ttl,
            period: user.period,
            renewable: true,
            num_uses: user.num_uses,
            bound_cidrs: user.bound_cidrs,
            ..Wanted::default()
        };
        self.issue(wanted, record.clone(), None).await
    }

    async fn check_password(
        &self,
        path: &str,
        name: &str,
        password: &Sensitive<String>,
        cx: &Context,
    ) -> Result<(Arc<Mount>, User), Error> {
        self.may_read()?;
        let mount = self.mounts.at(path).filter(|mount| mount.kind == MountKind::Userpass);
        let mount = mount.ok_or_else(|| Error::new(Code::Unauthenticated, "permission denied"))?;
        let login = login_name(&mount, name);
        self.logins.check(&login)?;
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
            Some(user) => Ok((mount, user)),
            None => {
                self.logins.failed(&login);
                Err(wrong_credentials())
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

fn wrong_credentials() -> Error {
    Error::new(Code::InvalidCredentials, "invalid username or password")
}

fn login_name(mount: &Mount, name: &str) -> LoginName {
    LoginName { mount: mount.accessor.clone(), name: name.to_lowercase() }
}

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
    use crate::tests::{caller, context, dev};

    #[test]
    fn hash_of_nobody_is_computed_and_never_matches() {
        assert!(matches!(password::verify(b"", UNKNOWN), Err(coffer_crypto::Error::Authentication)));
    }

    #[tokio::test]
    async fn root_that_an_earlier_release_stored_comes_by_no_login() {
        let core = dev().await;
        let active = core.active().unwrap();
        let root = caller(&core, "root").await;
        let enabled = root.mount_enable("auth/up/", MountKind::Userpass, crate::MountEnable::default(), &()).await;
        enabled.unwrap();
        let mount = active.mounts.at("auth/up/").unwrap();
        let password = Sensitive::from("correct horse");
        let hash = active.hash_password(&password).await.unwrap();
        for (name, policies) in [("ada", vec!["root".to_owned()]), ("bob", vec!["x".to_owned()])] {
            let user = User { hash: hash.clone(), policies, no_default_policy: true, ..User::default() };
            let mut edit = Edit::default();
            edit.put(user_row(&mount, name).unwrap(), codec::encode(&user).unwrap(), None);
            root.commit(edit, root.record("user.write", "test")).await.unwrap().spend();
        }
        let refused = core.login_userpass(context(), "up", "ada", &password).await.unwrap_err();
        assert_eq!((refused.code(), refused.public()), (Code::Invalid, NO_ROOT_BY_LOGIN));
        let wanted = Wanted { policies: vec!["root".to_owned()], ..Wanted::default() };
        assert_eq!(active.make_token(wanted, None).await.err().unwrap().code(), Code::Invalid, "whoever asks for it");

        let grant = core.login_userpass(context(), "up", "bob", &password).await.unwrap();
        let members = std::collections::BTreeSet::from([grant.entity_id.unwrap().0]);
        let policies = vec!["root".to_owned()];
        active.identity.put(identity::Group { policies, members, ..identity::Group::default() });
        active.authority_changed();
        let grant = core.login_userpass(context(), "up", "bob", &password).await.unwrap();
        assert!(!grant.policies.contains(&"root".to_owned()), "{:?}", grant.policies);
        let bob = core.caller(context(), Some(grant.token.expose())).await.unwrap();
        assert!(!bob.is_root() && bob.authorise("sys/mounts", Operation::Read, &()).is_err());
        drop((root, bob, active));
        core.shutdown().await;
    }
}
