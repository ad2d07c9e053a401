//! Logging in with a role id and a secret id.
//!
//! A use of a secret id is taken in the commit that makes the token, or where a batch token makes none, in one before:
//! there is no token without its use.

use std::sync::Arc;

use coffer_api::{Code, Sensitive, token::TokenGrant};
use coffer_storage::{Expect, Revision};

use super::{
    AppRole, MAX_ID, RoleIdRow, SecretId, expiry_of_row, role_id_row, role_row, secret_id::are_within, secret_row,
};
use crate::{
    Context, Error, Mount, MountKind, TokenParameters,
    active::{Active, Found},
    auth::{
        LoginName,
        login::{Known, display},
    },
    caller::anonymous,
    cidr, codec,
    commit::{Edit, again},
    record::Record,
};

const WRONG: &str = "invalid role or secret ID";

/// The rows by which somebody logged in, as they were found.
struct Place {
    role: (String, Revision),
    secret: Option<Secret>,
}

struct Secret {
    row: String,
    revision: Revision,
    is_limited: bool,
}

impl Active {
    /// Checks role id and secret id, and makes a token for the role's entity.
    pub(crate) async fn login_approle(
        self: &Arc<Self>,
        cx: &Context,
        mount_path: &str,
        role_id: &str,
        secret_id: Option<&Sensitive<String>>,
    ) -> Result<TokenGrant, Error> {
        let path = format!("auth/{}/", mount_path.trim_matches('/'));
        let mut record = Record::of_request("auth.login", format!("{path}login"), anonymous(), cx);
        // Role or secret id may change meanwhile.
        let login = again!(self.log_in_role(&path, role_id, secret_id, cx, &mut record));
        let failed = match login {
            Ok(grant) => return Ok(grant),
            Err(error) => error,
        };
        Err(self.login_failed(record, failed).await)
    }

    async fn log_in_role(
        self: &Arc<Self>,
        path: &str,
        role_id: &str,
        secret_id: Option<&Sensitive<String>>,
        cx: &Context,
        record: &mut Record,
    ) -> Result<TokenGrant, Error> {
        self.may_read()?;
        record.facts.clear();
        let mount = self.mounts.at(path).filter(|mount| mount.kind == MountKind::Approle);
        let mount = mount.ok_or_else(|| Error::new(Code::Unauthenticated, "permission denied"))?;
        if role_id.is_empty() {
            return Err(Error::invalid("missing role_id"));
        }
        if role_id.len() > MAX_ID {
            return Err(wrong());
        }
        let login = LoginName { mount: mount.accessor.clone(), name: role_id.to_owned() };
        self.logins.check(&login)?;
        let (known, place) = match self.check_role(&mount, role_id, secret_id, cx, record).await {
            Ok(found) => found,
            Err(error) => {
                if error.code() == Code::InvalidCredentials {
                    self.logins.failed(&login)?;
                }
                return Err(error);
            }
        };
        self.logins.check(&login)?;
        let wanted = self.admit(known, cx, record).await?;
        let edit = self.take_use(place).await?;
        let grant = self.issue_with(wanted, record.clone(), None, edit).await?;
        self.logins.clear(&login);
        Ok(grant)
    }

    async fn check_role(
        &self,
        mount: &Arc<Mount>,
        role_id: &str,
        secret_id: Option<&Sensitive<String>>,
        cx: &Context,
        record: &mut Record,
    ) -> Result<(Known, Place), Error> {
        let named = self.row_cached::<RoleIdRow>(&role_id_row(mount, role_id)).await?;
        let Some(Found { value: RoleIdRow { name }, .. }) = named else { return Err(wrong()) };
        let Some(Found { value: role, revision }) = self.approle(mount, &name).await? else { return Err(wrong()) };
        record.facts.push(("role", name.clone()));
        let mut place = Place { role: (role_row(mount, &name)?, revision), secret: None };
        let secret = match role.bind_secret_id {
            true => {
                let given = secret_id.filter(|secret| !secret.expose().is_empty());
                let given = given.ok_or_else(|| Error::invalid("missing secret_id"))?;
                Some(self.check_secret(mount, &role, given, cx, record, &mut place).await?)
            }
            false => None,
        };
        check_address(cx, &role.secret_id_bound_cidrs, "by CIDR restrictions on the role")?;
        let mut metadata = secret.as_ref().map(|secret| secret.metadata.clone()).unwrap_or_default();
        metadata.insert("role_name".to_owned(), name.clone());
        let bound_cidrs = match secret {
            Some(secret) if !secret.token_bound_cidrs.is_empty() => cidr::canonical(&secret.token_bound_cidrs)?,
            Some(_) | None => role.token.bound_cidrs.clone(),
        };
        let known = Known {
            mount: Arc::clone(mount),
            alias: role.role_id,
            alias_metadata: Some(metadata.clone()),
            display_name: display(mount),
            metadata,
            // As in the original, which keeps `strictly_bind_ip` of a role and heeds it for users alone.
            parameters: TokenParameters { bound_cidrs, strictly_bind_ip: false, ..role.token },
            name,
            wrong: WRONG,
        };
        Ok((known, place))
    }

    /// The secret id, where it may be used from here and now.
    async fn check_secret(
        &self,
        mount: &Mount,
        role: &AppRole,
        given: &Sensitive<String>,
        cx: &Context,
        record: &mut Record,
        place: &mut Place,
    ) -> Result<SecretId, Error> {
        let Some((accessor, found)) = self.secret_id(mount, role, given.expose()).await? else { return Err(wrong()) };
        let row = secret_row(mount, role, &accessor);
        record.facts.push(("secret_id_accessor", accessor));
        are_within(&found.value.cidr_list, &role.secret_id_bound_cidrs)?;
        are_within(&found.value.token_bound_cidrs, &role.token.bound_cidrs)?;
        check_address(cx, &found.value.cidr_list, "through CIDR restrictions on the secret ID")?;
        check_address(cx, &role.secret_id_bound_cidrs, "by CIDR restrictions on the role")?;
        place.secret = Some(Secret { row, revision: found.revision, is_limited: found.value.num_uses > 0 });
        Ok(found.value)
    }

    /// What must change, or still hold, where the token is made: of a limited secret id, one use goes.
    async fn take_use(&self, place: Place) -> Result<Edit, Error> {
        let mut edit = Edit::default();
        // Who deletes or changes role or secret id meanwhile comes first.
        let (role, revision) = place.role;
        edit.check(role, Expect::Revision(revision));
        let Some(Secret { row, revision, is_limited }) = place.secret else { return Ok(edit) };
        if !is_limited {
            edit.check(row, Expect::Revision(revision));
            return Ok(edit);
        }
        // One after the other; each sees what the one before left.
        edit.hold(self.locks.lock(&[&row]).await);
        let Some(Found { value: mut secret, revision }) = self.row::<SecretId>(&row).await? else {
            return Err(wrong());
        };
        if !secret.is_alive(self) {
            return Err(wrong());
        }
        secret.left -= 1;
        secret.updated_ms = self.clock.now();
        match secret.left {
            0 => {
                if let Some(expires) = secret.expires_ms {
                    edit.delete(expiry_of_row(&row, expires), None);
                }
                edit.delete(row, Some(Expect::Revision(revision)));
            }
            _ => edit.put_expiring(row, codec::encode(&secret)?, Some(Expect::Revision(revision)), secret.expires_ms),
        }
        Ok(edit)
    }
}

fn check_address(cx: &Context, blocks: &[String], how: &str) -> Result<(), Error> {
    let address = cx.remote.map(|remote| remote.ip().to_canonical());
    if blocks.is_empty() || address.is_some_and(|address| cidr::any_contains(blocks, address)) {
        return Ok(());
    }
    let shown = address.map(|address| address.to_string()).unwrap_or_default();
    Err(Error::invalid(format!("source address {shown:?} unauthorized {how}")))
}

fn wrong() -> Error {
    Error::new(Code::InvalidCredentials, WRONG)
}
