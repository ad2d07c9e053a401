//! User names and passwords.

use std::{collections::BTreeMap, fmt, sync::Arc};

use coffer_api::{Code, Sensitive, token::TokenGrant};
use coffer_crypto::password;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    Caller, Context, Error,
    active::Active,
    auth::{
        LoginName,
        approle::AppRole,
        login::{Known, display, one_error},
        parameters::TokenParameters,
    },
    caller::{Done, anonymous},
    codec::{self, Persisted},
    commit::Edit,
    keys,
    mount::{Mount, MountKind},
    ops::list::ListPart,
    policy::{Operation, Parameters},
    record::Record,
};

/// A user as stored and, without the hash, as shown.
#[derive(Clone, Default, Deserialize, Serialize)]
pub struct User {
    /// Argon2id as a PHC string, or what was given as a bcrypt hash.
    hash: String,
    /// The tokens of the user's logins.
    pub token: TokenParameters,
}

/// A user's password, as somebody sets it.
#[derive(Clone, Copy)]
pub enum Password<'a> {
    /// Its bcrypt hash (`$2a$`, `$2b$` or `$2y$`), of a cost from 5 to 12.
    Bcrypt(&'a Sensitive<String>),
    /// Itself, at most 4,096 bytes.
    Plain(&'a Sensitive<String>),
}

impl Persisted for User {}

/// The row below [`keys::USER_COST`]: every login on the mount takes as much work as one of this cost.
#[derive(Deserialize, Serialize)]
struct CostliestRow {
    cost: u32,
}

impl Persisted for CostliestRow {}

/// Without the hash.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Names locked out of one login method.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LockedUsers {
    /// The accessor of its mount.
    pub accessor: String,
    /// As the method tells them apart, in order.
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

    /// Creates a user, which needs a password, or changes one. A lock after failed logins stays.
    ///
    /// # Errors
    /// [`Code::Denied`] without create or update on `{mount}users/{name}` (or the sub-path given in `field`).
    pub async fn user_write(
        &self,
        mount: &Mount,
        name: &str,
        field: Option<&str>,
        password: Option<Password<'_>>,
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
            let may = |exists: bool| {
                let operation = if exists || field.is_some() { Operation::Update } else { Operation::Create };
                self.authorise(&path, operation, parameters)?;
                match (field, exists) {
                    (Some(_), false) => Err(Error::invalid(one_error("username does not exist"))),
                    (Some(_), true) | (None, _) => Ok(()),
                }
            };
            may(self.active.row::<User>(&row).await?.is_some())?;
            // Before the lock: it takes its time, and others wait for the path.
            let hash = match password {
                Some(password) => Some(self.active.hash_password(password).await?),
                None => None,
            };
            let cost_row = cost_row(mount);
            let guard = self.active.locks.lock(&[&row, &cost_row]).await;
            let known_cost = self.active.costliest(mount).await?;
            let known = self.active.row::<User>(&row).await?;
            let exists = known.is_some();
            may(exists)?;
            let mut user = known.map(|found| found.value).unwrap_or_default();
            change(&mut user)?;
            user.token.settle()?;
            let mut edit = Edit::under(guard);
            match hash {
                Some(hash) => {
                    let cost = password::bcrypt_cost(&hash);
                    if let Some(cost) = cost.filter(|cost| *cost > known_cost.unwrap_or_default()) {
                        edit.put(cost_row, codec::encode(&CostliestRow { cost })?, None);
                    }
                    user.hash = hash;
                }
                None if !exists => return Err(Error::invalid(NO_PASSWORD)),
                None => {}
            }
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

    /// Lets somebody log in again who was locked out, by the name that [`Caller::locked_users`] tells; nobody locked out
    /// is no error.
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
            self.active.logins.clear(&LoginName { mount: mount.accessor.clone(), name: name.to_owned() });
            Ok(Done::Logged((), logged))
        })
        .await
    }

    /// Names of users.
    ///
    /// # Errors
    /// [`Code::Denied`] without list on `{mount}users/`.
    pub async fn user_list(&self, mount: &Mount, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        let path = format!("{}users/", mount.path);
        self.recorded(self.record("user.list", &path), async {
            let part = self.authorise_list(&path, part)?;
            let prefix = format!("{}{}/", keys::USER, mount.id);
            Ok(Done::Unlogged(self.active.list(&prefix, part).await?.items))
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
        match self.log_in_user(&path, &name, password, cx, &mut record).await {
            Ok(grant) => Ok(grant),
            Err(error) => Err(self.login_failed(record, error).await),
        }
    }

    async fn log_in_user(
        self: &Arc<Self>,
        path: &str,
        name: &str,
        password: &Sensitive<String>,
        cx: &Context,
        record: &mut Record,
    ) -> Result<TokenGrant, Error> {
        let (mount, user) = self.check_password(path, name, password, cx).await?;
        let login = login_name(&mount, name);
        let known = Known {
            alias: login.name.clone(),
            alias_metadata: None,
            display_name: format!("{}-{name}", display(&mount)),
            metadata: BTreeMap::from([("username".to_owned(), name.to_owned())]),
            mount,
            name: name.to_owned(),
            parameters: user.token,
            wrong: WRONG,
        };
        let wanted = self.admit(known, cx, record).await?;
        let grant = self.issue(wanted, record.clone(), None).await?;
        self.logins.clear(&login);
        Ok(grant)
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
        let row = user_row(&mount, name).ok();
        let user = match &row {
            Some(row) => self.row::<User>(row).await?.map(|found| found.value),
            None => None,
        };
        // Somebody unknown costs as much as anybody, and who has a bcrypt hash as much as who has none.
        let costliest = self.costliest(&mount).await?;
        let hash = user.as_ref().map(|user| user.hash.clone());
        let attempt = Zeroizing::new(password.expose().clone());
        let verify = move || password::verify_evenly(attempt.as_bytes(), hash.as_deref(), costliest).is_ok();
        let matches = self.logins.hashing(|| self.logins.check(&login), verify).await?;
        let Some(user) = user.filter(|_| matches) else {
            // A name that nobody can have need not be locked out.
            if row.is_some() {
                self.logins.failed(&login)?;
            }
            return Err(wrong_credentials());
        };
        self.logins.check(&login)?;
        if !is_bound_here(&user, cx) {
            return Err(Error::new(Code::Unauthenticated, "permission denied"));
        }
        Ok((mount, user))
    }

    async fn costliest(&self, mount: &Mount) -> Result<Option<u32>, Error> {
        Ok(self.row::<CostliestRow>(&cost_row(mount)).await?.map(|found| found.value.cost))
    }

    pub(crate) async fn user(&self, mount: &Mount, name: &str) -> Result<Option<User>, Error> {
        Ok(self.row(&user_row(mount, name)?).await?.map(|found| found.value))
    }

    async fn hash_password(&self, password: Password<'_>) -> Result<String, Error> {
        match password {
            Password::Bcrypt(hash) => match password::bcrypt_cost(hash.expose()) {
                None => Err(Error::invalid("password_hash is not a valid bcrypt hash")),
                Some(cost) if cost < MIN_COST => {
                    Err(Error::invalid(format!("bcrypt cost of {cost} is too low, want {MIN_COST} at minimum")))
                }
                Some(cost) if cost > password::MAX_BCRYPT_COST => {
                    let most = password::MAX_BCRYPT_COST;
                    Err(Error::invalid(format!("bcrypt cost of {cost} exceeds maximum cost of {most}")))
                }
                Some(_) => Ok(hash.expose().clone()),
            },
            Password::Plain(password) if password.expose().is_empty() => Err(Error::invalid(NO_PASSWORD)),
            Password::Plain(password) => {
                let password = Zeroizing::new(password.expose().clone());
                let hash = move || password::hash(password.as_bytes());
                let hashed = self.logins.hashing(|| Ok(()), hash).await?;
                let too_long = "the password cannot be hashed (at most 4,096 bytes)";
                hashed.map_err(|error| Error::invalid(too_long).caused_by(error))
            }
        }
    }
}

/// The cheapest bcrypt hash that is taken.
const MIN_COST: u32 = 5;
const WRONG: &str = "invalid username or password";
const NO_PASSWORD: &str = "must provide either password or password_hash";

fn wrong_credentials() -> Error {
    Error::new(Code::InvalidCredentials, WRONG)
}

fn is_bound_here(user: &User, cx: &Context) -> bool {
    let blocks = &user.token.bound_cidrs;
    blocks.is_empty() || cx.remote.is_some_and(|remote| crate::cidr::any_contains(blocks, remote.ip()))
}

fn cost_row(mount: &Mount) -> String {
    format!("{}{}/bcrypt", keys::USER_COST, mount.id)
}

fn login_name(mount: &Mount, name: &str) -> LoginName {
    LoginName { mount: mount.accessor.clone(), name: name.to_lowercase() }
}

fn user_row(mount: &Mount, name: &str) -> Result<String, Error> {
    if !AppRole::is_name(name) {
        return Err(Error::new(Code::NotFound, super::login::one_error("unsupported path")));
    }
    let name = name.to_lowercase();
    Ok(format!("{}{}/{name}", keys::USER, mount.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity,
        tests::{caller, context, dev},
        token::create::{NO_ROOT_BY_LOGIN, Wanted},
    };

    #[test]
    fn user_shows_no_hash() {
        let user = User { hash: "$argon2id$x".to_owned(), ..User::default() };
        assert!(!format!("{user:?}").contains("argon2id"));
    }

    #[tokio::test]
    async fn costliest_hash_that_a_mount_ever_had_is_what_every_login_on_it_costs() {
        let core = dev().await;
        let active = core.active().unwrap();
        let root = caller(&core, "root").await;
        for path in ["auth/up/", "auth/other/"] {
            root.mount_enable(path, MountKind::Userpass, crate::MountEnable::default(), &()).await.unwrap();
        }
        let (mount, other) = (active.mounts.at("auth/up/").unwrap(), active.mounts.at("auth/other/").unwrap());
        let hash =
            |cost: u32| Sensitive::new(format!("$2y${cost:02}$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
        let plain = Sensitive::from("correct horse");
        let (five, seven) = (hash(5), hash(7));
        for (name, password, costliest) in [
            ("ada", Password::Plain(&plain), None),
            ("bob", Password::Bcrypt(&five), Some(5)),
            ("eve", Password::Bcrypt(&seven), Some(7)),
            ("bob", Password::Bcrypt(&five), Some(7)),
            ("eve", Password::Plain(&plain), Some(7)),
        ] {
            root.user_write(&mount, name, None, Some(password), &(), |_| Ok(())).await.unwrap();
            assert_eq!(active.costliest(&mount).await.unwrap(), costliest, "{name}");
        }
        assert_eq!(active.costliest(&other).await.unwrap(), None);
        for (name, password) in [("ada", "correct horse"), ("bob", "U*U"), ("eve", "correct horse")] {
            core.login_userpass(context(), "up", name, &Sensitive::from(password)).await.unwrap();
            let wrong = core.login_userpass(context(), "up", name, &Sensitive::from("wrong")).await.unwrap_err();
            assert_eq!(wrong.code(), Code::InvalidCredentials, "{name}");
        }
        drop((root, active));
        core.shutdown().await;
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
        let hash = active.hash_password(Password::Plain(&password)).await.unwrap();
        for (name, policies) in [("ada", vec!["root".to_owned()]), ("bob", vec!["x".to_owned()])] {
            let token = TokenParameters { policies, no_default_policy: true, ..TokenParameters::default() };
            let user = User { hash: hash.clone(), token };
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
