//! `auth/token/…`: create, look up, renew, revoke, accessors, roles.

use std::collections::BTreeMap;

use coffer_api::{
    Code,
    token::{TokenCreate, TokenGrant, TokenInfo, TokenKind, TokenRef, TokenRenew},
};
use coffer_core::{AppRole, CreateMore, CreatePath, Error, ROOT_PATH, is_of_gone_user};
use serde::Serialize;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::{Auth, Envelope},
    leases,
    lenient::{Fields, GoDuration},
    token_parameters::seconds,
    token_role,
};
use crate::app::token_of;

/// Answers below `auth/token/`.
pub(crate) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    match (rest, call.verb) {
        ("create", Verb::Write) => create(call, CreatePath::Child).await,
        ("create-orphan", Verb::Write) => create(call, CreatePath::Orphan).await,
        ("lookup-self", Verb::Read | Verb::Write) => lookup_self(call).await,
        ("lookup", Verb::Read | Verb::Write) => lookup(call).await,
        ("lookup-accessor", Verb::Write) => lookup_accessor(call).await,
        ("renew-self", Verb::Write) => renew_self(call).await,
        ("renew", Verb::Write) => renew(call).await,
        ("renew-accessor", Verb::Write) => renew_accessor(call).await,
        ("revoke-self", Verb::Write) => {
            call.caller.token_revoke_self().await?;
            Ok(done())
        }
        ("revoke", Verb::Write) => revoke(call).await,
        ("revoke-accessor", Verb::Write) => revoke_accessor(call).await,
        ("revoke-orphan", Verb::Write) => revoke_orphan(call).await,
        ("tidy", Verb::Write) => leases::tidy(call).await,
        ("accessors/", Verb::List) => {
            let page = call.page().await?;
            let found = call.caller.token_list(page.part()).await?;
            call.keys(found.items)
        }
        ("roles/", Verb::List) => {
            let page = call.page().await?;
            let names = call.caller.token_role_list(page.part()).await?;
            call.keys(names)
        }
        (
            "create" | "create-orphan" | "lookup-self" | "lookup" | "lookup-accessor" | "renew-self" | "renew"
            | "renew-accessor" | "tidy" | "revoke-self" | "revoke" | "revoke-accessor" | "revoke-orphan" | "accessors/"
            | "roles/",
            _,
        ) => Err(Failure::unsupported_operation()),
        _ => match (rest.split_once('/'), call.verb) {
            (Some(("roles" | "create", role)), _) if !AppRole::is_name(role) => Err(Failure::unsupported_path()),
            (Some(("create", role)), Verb::Write) => create(call, CreatePath::Role(role)).await,
            (Some(("roles", role)), Verb::Read) => token_role::read(call, role).await,
            (Some(("roles", role)), Verb::Write) => token_role::write(call, role).await,
            (Some(("roles", role)), Verb::Delete) => {
                call.caller.token_role_delete(role).await?;
                Ok(done())
            }
            (Some(("create" | "roles", _)), _) => Err(Failure::unsupported_operation()),
            _ => Err(Failure::unsupported_path()),
        },
    }
}

/// A login's, creation's or renewal's reply. `client_token` is shown where the grant holds no token of its own.
pub(crate) fn granted(grant: &TokenGrant, client_token: Option<&str>) -> Envelope {
    let own = grant.token.expose().as_str();
    Envelope::auth(&Auth {
        client_token: if own.is_empty() { client_token.unwrap_or_default() } else { own },
        accessor: &grant.accessor,
        policies: &grant.policies,
        token_policies: &grant.token_policies,
        identity_policies: &grant.identity_policies,
        metadata: Some(&grant.metadata).filter(|metadata| !metadata.is_empty()),
        lease_duration: grant.lease_duration,
        renewable: grant.renewable,
        entity_id: grant.entity_id.map_or_else(String::new, |id| id.0.to_string()),
        token_type: kind_name(grant.kind),
        orphan: grant.orphan,
        mfa_requirement: None,
        num_uses: grant.num_uses,
    })
    .with_warnings(grant.warnings.clone())
}

async fn create(call: &mut VaultCall, how: CreatePath<'_>) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let request = wanted(&fields)?;
    let more = CreateMore {
        kind: kind(&fields)?,
        entity_alias: fields.text("entity_alias")?.map(|alias| alias.to_string()).filter(|alias| !alias.is_empty()),
    };
    let grant = call.caller.token_create_with(how, request, more, &fields).await?;
    Ok(call.envelope(granted(&grant, None)))
}

fn wanted(fields: &Fields<'_>) -> Result<TokenCreate, Failure> {
    let ttl = match positive(fields, "ttl")? {
        Some(ttl) => Some(ttl),
        None => positive(fields, "lease")?,
    };
    let num_uses = fields.integer("num_uses")?.unwrap_or(0);
    Ok(TokenCreate {
        policies: policies(fields)?,
        no_default_policy: fields.boolean("no_default_policy")?.unwrap_or(false),
        display_name: fields.text("display_name")?.map(|name| name.to_string()),
        metadata: fields.map("meta")?.unwrap_or_default(),
        ttl,
        explicit_max_ttl: positive(fields, "explicit_max_ttl")?,
        period: positive(fields, "period")?,
        num_uses: u64::try_from(num_uses).map_err(|_| Failure::invalid("number of uses cannot be negative"))?,
        orphan: fields.boolean("no_parent")?.unwrap_or(false),
        renewable: fields.boolean("renewable")?,
        kind: TokenKind::default(),
        role: None,
        id: fields.secret("id")?,
    })
}

/// A list of names; a text is one name, commas and all.
fn policies(fields: &Fields<'_>) -> Result<Vec<String>, Failure> {
    if fields.raw("policies").is_some_and(|raw| raw.get().starts_with('"')) {
        let name = fields.given("policies")?;
        return Ok(name.map(|name| name.to_string()).into_iter().collect());
    }
    Ok(fields.list("policies")?.unwrap_or_default())
}

fn kind(fields: &Fields<'_>) -> Result<Option<TokenKind>, Failure> {
    match fields.text("type")?.as_ref().map(|kind| kind.as_str()) {
        None | Some("") => Ok(None),
        Some("service") => Ok(Some(TokenKind::Service)),
        Some("batch") => Ok(Some(TokenKind::Batch)),
        Some(_) => Err(Failure::invalid("invalid 'token_type' value")),
    }
}

async fn lookup_self(call: &mut VaultCall) -> Outcome {
    // Nothing of it is asked for; what is sent is told to be passed over.
    call.params().await?.fields()?;
    let info = call.caller.token_lookup_self(call.verb.operation()).await?;
    let own = token_of(&call.parts.headers);
    Ok(call.data(&shown(&info, own.as_ref().map_or("", |own| own.expose()))))
}

async fn lookup(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let Some(token) = fields.secret("token")?.or_else(|| token_of(&call.parts.headers)) else {
        return Err(Failure::invalid("missing token ID"));
    };
    let of = TokenRef { token: Some(token.clone()), accessor: None };
    match call.caller.token_lookup_as(call.verb.operation(), &of, &fields).await {
        Ok(info) => Ok(call.data(&shown(&info, token.expose()))),
        Err(error) if error.code() == Code::NotFound => Err(Failure::Recorded(Error::new(Code::Denied, "bad token"))),
        Err(error) => Err(error.into()),
    }
}

async fn lookup_accessor(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let of = by_accessor(&fields)?;
    let info = call.caller.token_lookup(&of, &fields).await.map_err(invalid_accessor)?;
    Ok(call.data(&shown(&info, "")))
}

async fn renew_self(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let request = TokenRenew { increment: seconds(&fields, "increment")?, ..TokenRenew::default() };
    let Some(grant) = renewed(call.caller.token_renew(&request, &fields).await)? else { return Ok(done()) };
    let own = token_of(&call.parts.headers);
    Ok(call.envelope(granted(&grant, own.as_ref().map(|own| own.expose().as_str()))))
}

async fn renew(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let Some(token) = fields.secret("token")? else { return Err(Failure::invalid("missing token ID")) };
    let increment = seconds(&fields, "increment")?;
    let request = TokenRenew { token: Some(token.clone()), increment, ..TokenRenew::default() };
    let Some(grant) = renewed(call.caller.token_renew(&request, &fields).await)? else { return Ok(done()) };
    Ok(call.envelope(granted(&grant, Some(token.expose()))))
}

async fn renew_accessor(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let accessor = by_accessor(&fields)?.accessor;
    let request = TokenRenew { accessor, increment: seconds(&fields, "increment")?, ..TokenRenew::default() };
    let grant = call.caller.token_renew(&request, &fields).await.map_err(invalid_accessor)?;
    Ok(call.envelope(granted(&grant, None)))
}

async fn revoke(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let of = by_token(&fields)?;
    match call.caller.token_revoke(&of, &fields).await {
        Err(error) if error.code() != Code::NotFound => Err(error.into()),
        // Gone is what was asked for.
        Ok(()) | Err(_) => Ok(done()),
    }
}

async fn revoke_orphan(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let of = by_token(&fields)?;
    call.caller.token_revoke_orphan(&of, &fields).await.map_err(|error| match error.code() {
        Code::NotFound => Error::invalid("token to revoke not found"),
        _ => error,
    })?;
    Ok(done())
}

async fn revoke_accessor(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let of = by_accessor(&fields)?;
    match call.caller.token_revoke(&of, &fields).await {
        Ok(()) => Ok(done()),
        Err(error) if error.code() == Code::NotFound => {
            Ok(call.envelope(Envelope::warning("No token found with this accessor")))
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Serialize)]
struct ShownToken<'a> {
    accessor: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    bound_cidrs: &'a [String],
    creation_time: i64,
    creation_ttl: u64,
    display_name: &'a str,
    entity_id: String,
    expire_time: Option<&'a str>,
    explicit_max_ttl: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_namespace_policies: Option<BTreeMap<String, Vec<String>>>,
    id: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    identity_policies: &'a [String],
    /// Of the first root token, and of those that shares make, neither this nor `renewable` is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    issue_time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal_time: Option<i64>,
    meta: Option<&'a BTreeMap<String, String>>,
    num_uses: i64,
    orphan: bool,
    path: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    period: u64,
    policies: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    renewable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    ttl: u64,
    #[serde(rename = "type")]
    kind: &'static str,
}

fn shown<'a>(info: &'a TokenInfo, id: &'a str) -> ShownToken<'a> {
    let has_identity = !info.identity_policies.is_empty();
    let has_lease = info.path != ROOT_PATH;
    let renewed = info.last_renewal.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    ShownToken {
        accessor: &info.accessor,
        bound_cidrs: &info.bound_cidrs,
        creation_time: info.creation_time,
        creation_ttl: info.creation_ttl,
        display_name: &info.display_name,
        entity_id: info.entity_id.map_or_else(String::new, |id| id.0.to_string()),
        expire_time: info.expire_time.as_deref(),
        explicit_max_ttl: info.explicit_max_ttl,
        external_namespace_policies: has_identity.then(BTreeMap::new),
        id,
        identity_policies: &info.identity_policies,
        issue_time: has_lease.then_some(info.issue_time.as_str()),
        last_renewal: renewed.map(|time| time.to_string()),
        last_renewal_time: info.last_renewal,
        meta: Some(&info.metadata).filter(|metadata| !metadata.is_empty()),
        num_uses: info.num_uses,
        orphan: info.orphan,
        path: &info.path,
        period: info.period,
        policies: &info.policies,
        renewable: has_lease.then_some(info.renewable),
        role: info.role.as_deref(),
        ttl: info.ttl,
        kind: kind_name(info.kind),
    }
}

fn by_token(fields: &Fields<'_>) -> Result<TokenRef, Failure> {
    match fields.secret("token")? {
        Some(token) => Ok(TokenRef { token: Some(token), accessor: None }),
        None => Err(Failure::invalid("missing token ID")),
    }
}

fn by_accessor(fields: &Fields<'_>) -> Result<TokenRef, Failure> {
    match fields.given("accessor")? {
        Some(accessor) => Ok(TokenRef { token: None, accessor: Some(accessor.to_string()) }),
        None => Err(Failure::invalid("1 error occurred:\n\t* missing accessor\n\n")),
    }
}

fn duration(text: &str) -> Result<GoDuration, Failure> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Failure::invalid(format!("time: invalid duration {shown:?}"))
    })
}

/// Whole seconds from 0, of a request for a token.
fn positive(fields: &Fields<'_>, field: &'static str) -> Result<Option<u64>, Failure> {
    match fields.text(field)? {
        None => Ok(None),
        Some(text) => match duration(&text)?.whole_secs() {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(Failure::invalid(format!("{field} must be positive"))),
        },
    }
}

/// A renewal's grant; none where the user is gone, of which clients are told nothing: the token lives on as it was.
fn renewed(renewal: Result<TokenGrant, Error>) -> Result<Option<TokenGrant>, Error> {
    match renewal {
        Ok(grant) => Ok(Some(grant)),
        Err(error) if is_of_gone_user(&error) => Ok(None),
        Err(error) => Err(unknown_token(error)),
    }
}

fn unknown_token(error: Error) -> Error {
    match error.code() {
        Code::NotFound => Error::invalid("token not found"),
        _ => error,
    }
}

fn invalid_accessor(error: Error) -> Error {
    match error.code() {
        Code::NotFound => Error::invalid("1 error occurred:\n\t* invalid accessor\n\n"),
        _ if is_of_gone_user(&error) => Error::invalid("1 error occurred:\n\t* failed to lookup the token\n\n"),
        _ => error,
    }
}

fn kind_name(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Batch => "batch",
        TokenKind::Service => "service",
    }
}

pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}
