//! A role's settings one by one: `role/<name>/<setting>`.

use coffer_core::{AppRole, Error, Mount, OldSpelling};
use serde_json::{Map, Value, json};

use super::{
    super::{
        call::{Failure, Outcome, VaultCall, Verb, done},
        envelope::Envelope,
        lenient::Fields,
        token_parameters::{Dialect, TokenChange, Uses, count, old_list, old_number, seconds},
    },
    DIALECT, RoleChange, filled,
};

/// A setting that has a path of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Setting {
    /// Never shows anything: the field is an old name of `secret_id_bound_cidrs`.
    BoundCidrList,
    LocalSecretIds,
    Period,
    Policies,
    RoleId,
    SecretIdBoundCidrs,
    SecretIdNumUses,
    SecretIdTtl,
    TokenBoundCidrs,
    TokenMaxTtl,
    TokenNumUses,
    TokenTtl,
}

impl Setting {
    pub(super) fn parse(path: &str) -> Option<Self> {
        ALL.into_iter().find(|setting| setting.path() == path)
    }

    /// The last segment of its path.
    fn path(self) -> &'static str {
        match self {
            Self::BoundCidrList => "bound-cidr-list",
            Self::LocalSecretIds => "local-secret-ids",
            Self::Period => "period",
            Self::Policies => "policies",
            Self::RoleId => "role-id",
            Self::SecretIdBoundCidrs => "secret-id-bound-cidrs",
            Self::SecretIdNumUses => "secret-id-num-uses",
            Self::SecretIdTtl => "secret-id-ttl",
            Self::TokenBoundCidrs => "token-bound-cidrs",
            Self::TokenMaxTtl => "token-max-ttl",
            Self::TokenNumUses => "token-num-uses",
            Self::TokenTtl => "token-ttl",
        }
    }

    fn takes(self, verb: Verb) -> bool {
        match verb {
            Verb::Read => true,
            Verb::Write => self != Self::LocalSecretIds,
            Verb::Delete => !matches!(self, Self::LocalSecretIds | Self::RoleId),
            Verb::List | Verb::Patch | Verb::Scan => false,
        }
    }
}

/// Answers at a setting's path.
pub(super) async fn answer(call: &mut VaultCall, mount: &Mount, name: &str, setting: Setting) -> Outcome {
    if !setting.takes(call.verb) {
        return Err(Failure::unsupported_operation());
    }
    let path = setting.path();
    match call.verb {
        Verb::Write => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let change = sent(setting, &fields)?;
            let change = |role: &mut AppRole| {
                change.apply(role);
                Ok(())
            };
            // What there is to be told is told where the whole role is written.
            call.caller.approle_write(mount, name, Some(path), &fields, change).await?;
            Ok(done())
        }
        Verb::Delete => {
            call.caller.approle_reset(mount, name, path, |role| reset(setting, role)).await?;
            Ok(done())
        }
        Verb::List | Verb::Patch | Verb::Read | Verb::Scan => {
            let found = call.caller.approle_read(mount, name, Some(path)).await?.ok_or_else(Error::not_found)?;
            let envelope = Envelope::data(&shown(setting, &found));
            Ok(match setting {
                Setting::BoundCidrList => call.envelope(envelope.with_warnings(vec![DEPRECATED.to_owned()])),
                _ => call.envelope(envelope),
            })
        }
    }
}

/// The change of the one setting; whatever else was sent means nothing here.
fn sent(setting: Setting, fields: &Fields<'_>) -> Result<RoleChange, Failure> {
    let missing = |field: &str| Failure::invalid(format!("missing {field}"));
    // Alone it may be negative, in a role as a whole it may not.
    let token = TokenChange::parse(fields, &Dialect { uses: Uses::Any, ..DIALECT })?;
    let of_token = |token: TokenChange| RoleChange { token, ..RoleChange::default() };
    Ok(match setting {
        Setting::BoundCidrList => {
            RoleChange { secret_id_bound_cidrs: fields.list("bound_cidr_list")?, ..RoleChange::default() }
        }
        Setting::SecretIdBoundCidrs => {
            RoleChange { secret_id_bound_cidrs: fields.list("secret_id_bound_cidrs")?, ..RoleChange::default() }
        }
        Setting::LocalSecretIds => return Err(Failure::unsupported_operation()),
        Setting::RoleId => {
            let role_id = fields.given("role_id")?.ok_or_else(|| missing("role_id"))?;
            RoleChange { role_id: Some(role_id.to_string()), ..RoleChange::default() }
        }
        Setting::SecretIdNumUses => {
            let uses = count(fields, "secret_id_num_uses", "secret_id_num_uses cannot be negative")?;
            let uses = uses.ok_or_else(|| missing("secret_id_num_uses"))?;
            RoleChange { secret_id_num_uses: Some(uses), ..RoleChange::default() }
        }
        Setting::SecretIdTtl => {
            let ttl = seconds(fields, "secret_id_ttl")?.ok_or_else(|| missing("secret_id_ttl"))?;
            RoleChange { secret_id_ttl: Some(ttl), ..RoleChange::default() }
        }
        Setting::Period => {
            let period = Some(token.period.ok_or_else(|| missing("period"))?);
            of_token(TokenChange { period, ..TokenChange::default() })
        }
        Setting::Policies => {
            let policies = Some(token.policies.ok_or_else(|| missing("token_policies"))?);
            of_token(TokenChange { policies, ..TokenChange::default() })
        }
        Setting::TokenBoundCidrs => of_token(TokenChange { bound_cidrs: token.bound_cidrs, ..TokenChange::default() }),
        Setting::TokenMaxTtl => {
            let max_ttl = Some(token.max_ttl.ok_or_else(|| missing("token_max_ttl"))?);
            of_token(TokenChange { max_ttl, ..TokenChange::default() })
        }
        Setting::TokenNumUses => {
            let num_uses = Some(token.num_uses.ok_or_else(|| missing("token_num_uses"))?);
            of_token(TokenChange { num_uses, ..TokenChange::default() })
        }
        Setting::TokenTtl => {
            let ttl = Some(token.ttl.ok_or_else(|| missing("token_ttl"))?);
            of_token(TokenChange { ttl, ..TokenChange::default() })
        }
    })
}

/// Back to what a role has that says nothing about it.
fn reset(setting: Setting, role: &mut AppRole) {
    let token = &mut role.token;
    match setting {
        Setting::BoundCidrList | Setting::SecretIdBoundCidrs => role.secret_id_bound_cidrs.clear(),
        Setting::LocalSecretIds | Setting::RoleId => {}
        Setting::Period => token.period = 0,
        Setting::Policies => token.policies.clear(),
        Setting::SecretIdNumUses => role.secret_id_num_uses = 0,
        Setting::SecretIdTtl => role.secret_id_ttl = 0,
        Setting::TokenBoundCidrs => token.bound_cidrs.clear(),
        Setting::TokenMaxTtl => token.max_ttl = 0,
        Setting::TokenNumUses => token.num_uses = 0,
        Setting::TokenTtl => token.ttl = 0,
    }
}

fn shown(setting: Setting, role: &AppRole) -> Map<String, Value> {
    let token = &role.token;
    let mut shown = Map::new();
    let mut show = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    match setting {
        Setting::BoundCidrList => show("bound_cidr_list", Value::Null),
        Setting::LocalSecretIds => show("local_secret_ids", json!(role.local_secret_ids)),
        Setting::Period => {
            show("token_period", json!(token.period));
            if let Some(period) = old_number(token, OldSpelling::Period, token.period) {
                show("period", json!(period));
            }
        }
        Setting::Policies => {
            show("token_policies", json!(token.policies));
            if let Some(policies) = old_list(token, OldSpelling::Policies, &token.policies) {
                show("policies", json!(policies));
            }
        }
        Setting::RoleId => show("role_id", json!(role.role_id)),
        Setting::SecretIdBoundCidrs => show("secret_id_bound_cidrs", json!(filled(&role.secret_id_bound_cidrs))),
        Setting::SecretIdNumUses => show("secret_id_num_uses", json!(role.secret_id_num_uses)),
        Setting::SecretIdTtl => show("secret_id_ttl", json!(role.secret_id_ttl)),
        Setting::TokenBoundCidrs => show("token_bound_cidrs", json!(filled(&token.bound_cidrs))),
        Setting::TokenMaxTtl => show("token_max_ttl", json!(token.max_ttl)),
        Setting::TokenNumUses => show("token_num_uses", json!(token.num_uses)),
        Setting::TokenTtl => show("token_ttl", json!(token.ttl)),
    }
    shown
}

const ALL: [Setting; 12] = [
    Setting::BoundCidrList,
    Setting::LocalSecretIds,
    Setting::Period,
    Setting::Policies,
    Setting::RoleId,
    Setting::SecretIdBoundCidrs,
    Setting::SecretIdNumUses,
    Setting::SecretIdTtl,
    Setting::TokenBoundCidrs,
    Setting::TokenMaxTtl,
    Setting::TokenNumUses,
    Setting::TokenTtl,
];

const DEPRECATED: &str = "The \"bound_cidr_list\" field is deprecated and will be removed. Please use \
                          \"secret_id_bound_cidrs\" instead.";
