//! From a credential that was right to a token: what every login method shares, and what a renewal asks it again.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::{Code, token::TokenKind};

use crate::{
    Context, Error, Mount, MountKind, TokenParameters,
    active::Active,
    auth::LoginName,
    caller::log_refusal,
    identity::{self, AliasKey},
    policies,
    record::{Actor, Record},
    token::{Login, TokenEntry, create::Wanted, lifetime::Terms, manage::seconds},
};

/// Somebody whose credential was right, as their login method knows them.
pub(crate) struct Known {
    pub(crate) mount: Arc<Mount>,
    /// The role or the user: who a renewal asks about.
    pub(crate) name: String,
    /// Their name in the identity store.
    pub(crate) alias: String,
    pub(crate) alias_metadata: Option<BTreeMap<String, String>>,
    pub(crate) display_name: String,
    /// The token's.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) parameters: TokenParameters,
    /// What a wrong credential is answered, and with it somebody whose entity is disabled.
    pub(crate) wrong: &'static str,
}

impl Active {
    /// The token for somebody known, to be issued; their entity and alias are made at the first time. Hold no lock
    /// of a path meanwhile.
    ///
    /// # Errors
    /// [`Code::InvalidCredentials`] where their entity is disabled; [`Code::Invalid`] where a login gives no such token.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        known: Known,
        cx: &Context,
        record: &mut Record,
    ) -> Result<Wanted, Error> {
        let Known { mount, name, alias, alias_metadata, display_name, metadata, parameters, wrong } = known;
        let login = LoginName { mount: mount.accessor.clone(), name: alias };
        let entity = self
            .entity_of_login(&AliasKey {
                mount_accessor: &mount.accessor,
                mount_type: mount.kind.name(),
                mount_path: &mount.path,
                name: &login.name,
                metadata: alias_metadata.as_ref(),
                entity_name: None,
            })
            .await?;
        if entity.disabled {
            // As for a wrong credential, lock included: nobody learns that it was right.
            self.logins.failed(&login)?;
            record.facts.push(("disabled_entity", entity.id.to_string()));
            return Err(Error::new(Code::InvalidCredentials, wrong));
        }
        record.actor = Arc::new(Actor {
            kind: "user",
            id: Some(entity.id.to_string()),
            name: Some(name.clone()),
            auth: Some(mount.path.clone()),
            accessor: None,
        });
        let kind = parameters.kind_at(&mount);
        let max_ttl = match kind {
            // What a batch token carries cannot be renewed: its two bounds are one.
            TokenKind::Batch => smaller(parameters.max_ttl, parameters.explicit_max_ttl),
            TokenKind::Service => parameters.max_ttl,
        };
        let (direct, inherited) = self.identity.groups_of(entity.id);
        let policies = policies::normalised(&parameters.policies);
        let identity_policies = identity::policies_of(Some(&entity), &[direct, inherited].concat());
        if policies.iter().chain(&identity_policies).any(|name| name == policies::RESPONSE_WRAPPING) {
            return Err(Error::invalid("cannot assign policy \"response-wrapping\""));
        }
        let bound_cidrs = match (parameters.strictly_bind_ip, cx.remote) {
            (true, Some(remote)) => vec![remote.ip().to_canonical().to_string()],
            (true, None) => {
                return Err(Error::invalid("the token is bound to an address, and the login came from none"));
            }
            (false, _) => parameters.bound_cidrs,
        };
        Ok(Wanted {
            kind,
            policies,
            no_default_policy: parameters.no_default_policy,
            entity: Some(entity.id),
            identity_policies,
            display_name,
            path: record.path.clone(),
            metadata,
            ttl: Some(parameters.ttl).filter(|ttl| *ttl > 0),
            max_ttl: Some(max_ttl).filter(|max| *max > 0),
            explicit_max_ttl: if kind == TokenKind::Batch { 0 } else { parameters.explicit_max_ttl },
            period: parameters.period,
            renewable: true,
            num_uses: parameters.num_uses,
            bound_cidrs,
            tenure: Some(mount.tenure),
            login: Some(Login { mount: mount.accessor.clone(), name }),
            ..Wanted::default()
        })
    }

    /// Sees to the record of a login that came to nothing.
    pub(crate) async fn login_failed(self: &Arc<Self>, record: Record, error: Error) -> Error {
        match error.code() {
            // It is committed, and will be logged.
            Code::AuditUnavailable => error,
            _ => log_refusal(self, record, error).await,
        }
    }

    /// What a renewal of this token goes by: the token's own, or what its role or user says today.
    ///
    /// # Errors
    /// [`Code::Invalid`] where the role or user is gone or gives other policies by now.
    pub(crate) async fn renewal_terms(&self, entry: &TokenEntry) -> Result<Terms, Error> {
        let Some(login) = &entry.login else {
            let of_mount = self.limits.lease_ttls(self.mounts.resolve(&entry.path).as_deref());
            // As long as it was given the last time.
            let began = entry.last_renewal_ms.unwrap_or(entry.created_ms);
            let ttl = entry.expires_ms.map_or(0, |expires| seconds(expires.saturating_sub(began)));
            return Ok(Terms { ttl, max: of_mount.most()?, period: entry.period });
        };
        let gone = || not_renewed("the login method that gave the token is gone");
        let mount = self.mounts.with_accessor(&login.mount).ok_or_else(gone)?;
        let parameters = match mount.kind {
            MountKind::Approle => self
                .approle(&mount, &login.name)
                .await?
                .map(|role| role.value.token)
                .ok_or_else(|| not_renewed(&format!("role {:?} does not exist during renewal", login.name)))?,
            MountKind::Userpass => {
                let user = self.user(&mount, &login.name).await?;
                let user = user.ok_or_else(|| not_renewed(USER_GONE))?;
                if !gives(&user.token.policies, &entry.policies) {
                    return Err(not_renewed("policies have changed, not renewing"));
                }
                user.token
            }
            MountKind::Cubbyhole
            | MountKind::Generic
            | MountKind::Identity
            | MountKind::KvV1
            | MountKind::KvV2
            | MountKind::System
            | MountKind::Token
            | MountKind::Transit => return Err(gone()),
        };
        let bounds = self.limits.lease_ttls(Some(&mount));
        let default = u64::try_from(bounds.default).unwrap_or_default();
        let ttl = if parameters.ttl > 0 { parameters.ttl } else { default };
        Ok(Terms { ttl, max: smaller(bounds.most()?, parameters.max_ttl), period: parameters.period })
    }
}

/// A mount's path as it shows in names: `approle`, `a-b`.
pub(crate) fn display(mount: &Mount) -> String {
    mount.path.strip_prefix("auth/").unwrap_or(&mount.path).trim_end_matches('/').replace('/', "-")
}

/// Where several things went wrong, or one, as clients of this dialect read it.
pub(crate) fn one_error(message: &str) -> String {
    format!("1 error occurred:\n\t* {message}\n\n")
}

/// Whether a renewal came to nothing since the user whose login gave the token is gone.
pub fn is_of_gone_user(error: &Error) -> bool {
    error.public().contains(USER_GONE)
}

fn not_renewed(why: &str) -> Error {
    Error::invalid(one_error(&format!("failed to renew entry: {why}")))
}

/// Whether these policies, as written, are those of a token but for `default`.
fn gives(written: &[String], of_token: &[String]) -> bool {
    let mut given = policies::normalised(written);
    given.retain(|name| name != "default");
    given.sort_unstable();
    given.iter().eq(of_token.iter().filter(|name| *name != "default"))
}

/// The smaller of two bounds, 0 being none.
fn smaller(one: u64, other: u64) -> u64 {
    match (one, other) {
        (0, bound) | (bound, 0) => bound,
        (one, other) => one.min(other),
    }
}

/// Why nothing is renewed, of a token whose user was deleted.
const USER_GONE: &str = "the user that the token was given to does not exist";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_compared_as_sets_without_default() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(gives(&names(&["P2", "p1", "default"]), &names(&["default", "p1", "p2"])));
        assert!(gives(&[], &names(&["default"])) && gives(&names(&["default"]), &[]));
        assert!(!gives(&names(&["p1"]), &names(&["default", "p1", "p2"])));
        assert!(!gives(&names(&["p1", "p2"]), &names(&["p1"])));
    }
}
