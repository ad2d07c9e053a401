//! The `token_*` parameters of roles and users, as clients write and read them, old spellings included.

use coffer_core::{LoginKind, OldSpelling, TokenParameters};
use serde::Serialize;

use super::{call::Failure, lenient::Fields};

/// How a login method takes them.
pub(crate) struct Dialect {
    /// Old spellings that it knows.
    pub(crate) old: &'static [OldSpelling],
    /// What it makes of `default-service` and `default-batch`.
    pub(crate) defaults: Defaults,
    /// Which numbers of uses it takes.
    pub(crate) uses: Uses,
}

/// Which numbers of uses are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Uses {
    /// Negative ones too: tokens without a use.
    Any,
    /// From 0.
    Counted,
}

/// What becomes of a token type that is meant for mounts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Defaults {
    /// It is taken for `service` or `batch`, with a warning.
    Adjusted,
    /// It is none.
    Refused,
}

/// What a write sets.
#[derive(Default)]
pub(crate) struct TokenChange {
    pub(crate) bound_cidrs: Option<Written<Vec<String>>>,
    pub(crate) explicit_max_ttl: Option<u64>,
    pub(crate) kind: Option<LoginKind>,
    pub(crate) max_ttl: Option<Written<u64>>,
    pub(crate) no_default_policy: Option<bool>,
    pub(crate) num_uses: Option<Written<i64>>,
    pub(crate) period: Option<Written<u64>>,
    pub(crate) policies: Option<Written<Vec<String>>>,
    pub(crate) strictly_bind_ip: Option<bool>,
    pub(crate) ttl: Option<Written<u64>>,
    /// What the client should know.
    pub(crate) warnings: Vec<String>,
}

/// A value, and how its name was spelled.
pub(crate) struct Written<T> {
    pub(crate) value: T,
    /// Whether the old name was sent, alone or beside the new one.
    spelled_old: bool,
}

impl TokenChange {
    pub(crate) fn parse(fields: &Fields<'_>, dialect: &Dialect) -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        let knows = |spelling: OldSpelling| dialect.old.contains(&spelling);
        let duration = |new, old, spelling| either(fields, new, old, knows(spelling), seconds);
        let list =
            |new, old, spelling| either(fields, new, old, knows(spelling), |fields, name| Ok(fields.list(name)?));
        Ok(Self {
            bound_cidrs: list("token_bound_cidrs", "bound_cidrs", OldSpelling::BoundCidrs)?,
            explicit_max_ttl: seconds(fields, "token_explicit_max_ttl")?,
            kind: kind(fields, dialect.defaults, &mut warnings)?,
            max_ttl: duration("token_max_ttl", "max_ttl", OldSpelling::MaxTtl)?,
            no_default_policy: fields.boolean("token_no_default_policy")?,
            num_uses: either(fields, "token_num_uses", "num_uses", knows(OldSpelling::NumUses), |fields, name| {
                let uses = fields.integer(name)?;
                match (dialect.uses, uses) {
                    (Uses::Counted, Some(..0)) => Err(Failure::invalid("'token_num_uses' cannot be negative")),
                    (Uses::Any | Uses::Counted, uses) => Ok(uses),
                }
            })?,
            period: duration("token_period", "period", OldSpelling::Period)?,
            policies: list("token_policies", "policies", OldSpelling::Policies)?,
            strictly_bind_ip: fields.boolean("token_strictly_bind_ip")?,
            ttl: duration("token_ttl", "ttl", OldSpelling::Ttl)?,
            warnings,
        })
    }

    pub(crate) fn apply(self, to: &mut TokenParameters) {
        let TokenParameters { spelled, .. } = to;
        let mut set = Spelling { spelled };
        set.written(OldSpelling::BoundCidrs, self.bound_cidrs, &mut to.bound_cidrs);
        set.written(OldSpelling::MaxTtl, self.max_ttl, &mut to.max_ttl);
        set.written(OldSpelling::NumUses, self.num_uses, &mut to.num_uses);
        set.written(OldSpelling::Period, self.period, &mut to.period);
        set.written(OldSpelling::Policies, self.policies, &mut to.policies);
        set.written(OldSpelling::Ttl, self.ttl, &mut to.ttl);
        to.explicit_max_ttl = self.explicit_max_ttl.unwrap_or(to.explicit_max_ttl);
        to.kind = self.kind.unwrap_or(to.kind);
        to.no_default_policy = self.no_default_policy.unwrap_or(to.no_default_policy);
        to.strictly_bind_ip = self.strictly_bind_ip.unwrap_or(to.strictly_bind_ip);
    }
}

/// Keeps account of how fields were spelled.
struct Spelling<'a> {
    spelled: &'a mut std::collections::BTreeSet<OldSpelling>,
}

impl Spelling<'_> {
    fn written<T>(&mut self, spelling: OldSpelling, written: Option<Written<T>>, to: &mut T) {
        let Some(Written { value, spelled_old }) = written else { return };
        *to = value;
        match spelled_old {
            true => self.spelled.insert(spelling),
            false => self.spelled.remove(&spelling),
        };
    }
}

/// The parameters as a read shows them; what was last written in its old spelling is shown in both.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_cidrs: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_uses: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<&'a [String]>,
    token_bound_cidrs: &'a [String],
    token_explicit_max_ttl: u64,
    token_max_ttl: u64,
    token_no_default_policy: bool,
    token_num_uses: i64,
    token_period: u64,
    token_policies: &'a [String],
    token_strictly_bind_ip: bool,
    token_ttl: u64,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
}

impl<'a> Shown<'a> {
    pub(crate) fn of(of: &'a TokenParameters) -> Self {
        Self {
            bound_cidrs: old_list(of, OldSpelling::BoundCidrs, &of.bound_cidrs),
            max_ttl: old_number(of, OldSpelling::MaxTtl, of.max_ttl),
            num_uses: (of.spelled.contains(&OldSpelling::NumUses) && of.num_uses > 0).then_some(of.num_uses),
            period: old_number(of, OldSpelling::Period, of.period),
            policies: old_list(of, OldSpelling::Policies, &of.policies),
            token_bound_cidrs: &of.bound_cidrs,
            token_explicit_max_ttl: of.explicit_max_ttl,
            token_max_ttl: of.max_ttl,
            token_no_default_policy: of.no_default_policy,
            token_num_uses: of.num_uses,
            token_period: of.period,
            token_policies: &of.policies,
            token_strictly_bind_ip: of.strictly_bind_ip,
            token_ttl: of.ttl,
            token_type: match of.kind {
                LoginKind::Batch => "batch",
                LoginKind::Default => "default",
                LoginKind::Service => "service",
            },
            ttl: old_number(of, OldSpelling::Ttl, of.ttl),
        }
    }
}

/// A list under its old name, where it was last written by that and is not empty.
pub(crate) fn old_list<'a>(of: &TokenParameters, spelling: OldSpelling, list: &'a [String]) -> Option<&'a [String]> {
    (of.spelled.contains(&spelling) && !list.is_empty()).then_some(list)
}

/// A number under its old name, where it was last written by that and is not 0.
pub(crate) fn old_number(of: &TokenParameters, spelling: OldSpelling, number: u64) -> Option<u64> {
    (of.spelled.contains(&spelling) && number > 0).then_some(number)
}

/// Whole seconds from 0.
pub(crate) fn seconds(fields: &Fields<'_>, name: &'static str) -> Result<Option<u64>, Failure> {
    let Some(duration) = fields.duration(name)? else { return Ok(None) };
    let seconds = duration.whole_secs().ok_or_else(|| {
        let negative = duration.nanos() / 1_000_000_000;
        Failure::invalid(format!(
            "error converting input for field {name:?}: cannot provide negative value '{negative}'"
        ))
    })?;
    Ok(Some(seconds))
}

/// A whole number from 0.
pub(crate) fn count(fields: &Fields<'_>, name: &'static str, negative: &'static str) -> Result<Option<u64>, Failure> {
    let number = fields.integer(name)?.map(u64::try_from).transpose();
    number.map_err(|_| Failure::invalid(negative))
}

/// A field by its new name, else by its old one where the method knows that.
fn either<'a, T>(
    fields: &Fields<'a>,
    new: &'static str,
    old: &'static str,
    knows_old: bool,
    read: impl Fn(&Fields<'a>, &'static str) -> Result<Option<T>, Failure>,
) -> Result<Option<Written<T>>, Failure> {
    let by_old = if knows_old { read(fields, old)? } else { None };
    Ok(match (read(fields, new)?, by_old) {
        (Some(value), by_old) => Some(Written { value, spelled_old: by_old.is_some() }),
        (None, Some(value)) => Some(Written { value, spelled_old: true }),
        (None, None) => None,
    })
}

fn kind(fields: &Fields<'_>, defaults: Defaults, warnings: &mut Vec<String>) -> Result<Option<LoginKind>, Failure> {
    let Some(text) = fields.text("token_type")? else { return Ok(None) };
    let (kind, adjusted) = match (text.as_str(), defaults) {
        ("" | "default", _) => (LoginKind::Default, None),
        ("service", _) => (LoginKind::Service, None),
        ("batch", _) => (LoginKind::Batch, None),
        ("default-service", Defaults::Adjusted) => (LoginKind::Service, Some("service")),
        ("default-batch", Defaults::Adjusted) => (LoginKind::Batch, Some("batch")),
        (other, _) => {
            let other: String = other.chars().take(64).collect();
            return Err(Failure::invalid(format!("invalid 'token_type' value {other:?}")));
        }
    };
    warnings.extend(adjusted.map(|kind| format!("default-{kind} has no useful meaning; adjusting to {kind}")));
    Ok(Some(kind))
}
