//! `auth/token/roles/…`: the rules for tokens that are made through a role.

use coffer_core::{Error, RoleRow};
use serde::Serialize;

use super::{
    call::{Failure, Outcome, VaultCall, done},
    envelope::Envelope,
    lenient::Fields,
    token::is_zero,
    token_parameters::{count, seconds},
};

/// `GET auth/token/roles/{name}`.
pub(crate) async fn read(call: &mut VaultCall, name: &str) -> Outcome {
    let role = call.caller.token_role_read(name).await?.ok_or_else(Error::not_found)?;
    Ok(call.data(&ShownRole::of(&role)))
}

/// `POST auth/token/roles/{name}`.
pub(crate) async fn write(call: &mut VaultCall, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let change = RoleChange::parse(&fields)?;
    let warnings = change.warnings.clone();
    call.caller.token_role_write(name, &fields, |role| change.apply(role)).await?;
    if warnings.is_empty() {
        return Ok(done());
    }
    Ok(call.envelope(Envelope::default().with_warnings(warnings)))
}

/// What a role's write sets.
struct RoleChange {
    lists: [Option<Vec<String>>; 5],
    flags: [Option<bool>; 3],
    bound_cidrs: Option<Renamed<Vec<String>>>,
    explicit_max_ttl: Option<Renamed<u64>>,
    period: Option<Renamed<u64>>,
    num_uses: Option<u64>,
    path_suffix: Option<String>,
    token_type: Option<String>,
    warnings: Vec<String>,
}

/// A value, and whether it came under its old name.
struct Renamed<T> {
    value: T,
    is_old: bool,
}

impl RoleChange {
    fn parse(fields: &Fields<'_>) -> Result<Self, Failure> {
        let token_type = fields.text("token_type")?.map(|kind| kind.to_string());
        match token_type.as_deref() {
            None | Some("default-service" | "default-batch" | "service" | "batch") => {}
            Some(other) => {
                let shown: String = other.chars().take(64).collect();
                return Err(Failure::invalid(format!("invalid 'token_type' value {shown:?}")));
            }
        }
        let mut warnings = Vec::new();
        Ok(Self {
            lists: [
                fields.list("allowed_policies")?,
                fields.list("allowed_policies_glob")?,
                fields.list("disallowed_policies")?,
                fields.list("disallowed_policies_glob")?,
                fields.list("allowed_entity_aliases")?,
            ],
            flags: [
                fields.boolean("orphan")?,
                fields.boolean("renewable")?,
                fields.boolean("token_no_default_policy")?,
            ],
            bound_cidrs: renamed(
                fields.list("token_bound_cidrs")?,
                fields.list("bound_cidrs")?,
                "bound_cidrs",
                &mut warnings,
            ),
            explicit_max_ttl: renamed(
                seconds(fields, "token_explicit_max_ttl")?,
                seconds(fields, "explicit_max_ttl")?,
                "explicit_max_ttl",
                &mut warnings,
            ),
            period: renamed(seconds(fields, "token_period")?, seconds(fields, "period")?, "period", &mut warnings),
            num_uses: count(
                fields,
                "token_num_uses",
                "error parsing role fields: 'token_num_uses' cannot be negative",
            )?,
            path_suffix: fields.text("path_suffix")?.map(|suffix| suffix.to_string()),
            token_type,
            warnings,
        })
    }

    fn apply(self, role: &mut RoleRow) -> Result<(), Error> {
        let [allowed, allowed_glob, disallowed, disallowed_glob, aliases] = self.lists;
        let [orphan, renewable, no_default_policy] = self.flags;
        set(&mut role.allowed_policies, allowed.map(sorted));
        set(&mut role.allowed_policies_glob, allowed_glob.map(sorted));
        set(&mut role.disallowed_policies, disallowed.map(sorted));
        set(&mut role.disallowed_policies_glob, disallowed_glob.map(sorted));
        set(&mut role.allowed_entity_aliases, aliases.map(sorted));
        set(&mut role.orphan, orphan);
        set(&mut role.renewable, renewable);
        set(&mut role.no_default_policy, no_default_policy);
        set_renamed(&mut role.bound_cidrs, &mut role.old_names.bound_cidrs, self.bound_cidrs);
        set_renamed(&mut role.explicit_max_ttl, &mut role.old_names.explicit_max_ttl, self.explicit_max_ttl);
        set_renamed(&mut role.period, &mut role.old_names.period, self.period);
        set(&mut role.num_uses, self.num_uses);
        set(&mut role.path_suffix, self.path_suffix);
        set(&mut role.token_type, self.token_type);
        Ok(())
    }
}

#[derive(Serialize)]
struct ShownRole<'a> {
    allowed_entity_aliases: Option<&'a [String]>,
    allowed_policies: &'a [String],
    allowed_policies_glob: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    bound_cidrs: &'a [String],
    disallowed_policies: &'a [String],
    disallowed_policies_glob: &'a [String],
    explicit_max_ttl: u64,
    name: &'a str,
    orphan: bool,
    path_suffix: &'a str,
    period: u64,
    renewable: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    token_bound_cidrs: &'a [String],
    token_explicit_max_ttl: u64,
    token_no_default_policy: bool,
    #[serde(skip_serializing_if = "is_zero")]
    token_num_uses: u64,
    token_period: u64,
    token_type: &'a str,
}

impl<'a> ShownRole<'a> {
    fn of(role: &'a RoleRow) -> Self {
        let old = role.old_names;
        Self {
            allowed_entity_aliases: Some(role.allowed_entity_aliases.as_slice()).filter(|aliases| !aliases.is_empty()),
            allowed_policies: &role.allowed_policies,
            allowed_policies_glob: &role.allowed_policies_glob,
            bound_cidrs: if old.bound_cidrs { &role.bound_cidrs } else { &[] },
            disallowed_policies: &role.disallowed_policies,
            disallowed_policies_glob: &role.disallowed_policies_glob,
            explicit_max_ttl: if old.explicit_max_ttl { role.explicit_max_ttl } else { 0 },
            name: &role.name,
            orphan: role.orphan,
            path_suffix: &role.path_suffix,
            period: if old.period { role.period } else { 0 },
            renewable: role.renewable,
            token_bound_cidrs: &role.bound_cidrs,
            token_explicit_max_ttl: role.explicit_max_ttl,
            token_no_default_policy: role.no_default_policy,
            token_num_uses: role.num_uses,
            token_period: role.period,
            token_type: &role.token_type,
        }
    }
}

/// The value under its new name, else under its old one.
fn renamed<T>(new: Option<T>, old: Option<T>, name: &str, warnings: &mut Vec<String>) -> Option<Renamed<T>> {
    match (new, old) {
        (Some(value), old) => {
            if old.is_some() {
                warnings.push(format!(
                    "Both 'token_{name}' and deprecated '{name}' value supplied, ignoring the deprecated value"
                ));
            }
            Some(Renamed { value, is_old: false })
        }
        (None, Some(value)) => Some(Renamed { value, is_old: true }),
        (None, None) => None,
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn set_renamed<T>(slot: &mut T, is_old: &mut bool, value: Option<Renamed<T>>) {
    if let Some(renamed) = value {
        *slot = renamed.value;
        *is_old = renamed.is_old;
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}
