//! A role's secret ids: issue, list, look up, destroy, tidy.

use std::collections::BTreeMap;

use axum::response::Response;
use coffer_api::Sensitive;
use coffer_core::{Destroyed, Error, Mount, SecretIdFound, SecretIdInfo, SecretIdIssue, SecretIdIssued, SecretIdRef};
use serde::Serialize;

use super::super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
    lenient::Fields,
    token_parameters::{count, seconds},
};
use crate::error;

/// Answers at one of the paths of secret ids below a role.
pub(super) async fn answer(call: &mut VaultCall, mount: &Mount, name: &str, path: &str) -> Outcome {
    match (path, call.verb) {
        ("secret-id/", Verb::List) => {
            let page = call.page().await?;
            let accessors = call.caller.secret_id_list(mount, name, page.part()).await?;
            call.keys(accessors)
        }
        ("secret-id", Verb::Write) => issue(call, mount, name, Choice::Random).await,
        ("custom-secret-id", Verb::Write) => issue(call, mount, name, Choice::Custom).await,
        ("secret-id/lookup", Verb::Write) => lookup(call, mount, name, By::Secret).await,
        ("secret-id-accessor/lookup", Verb::Write) => lookup(call, mount, name, By::Accessor).await,
        ("secret-id/destroy", Verb::Delete | Verb::Write) => destroy(call, mount, name, By::Secret).await,
        ("secret-id-accessor/destroy", Verb::Delete | Verb::Write) => destroy(call, mount, name, By::Accessor).await,
        _ => Err(Failure::unsupported_operation()),
    }
}

/// `tidy/secret-id`.
pub(super) async fn tidy(call: &mut VaultCall, mount: &Mount) -> Outcome {
    let params = call.params().await?;
    call.caller.secret_id_tidy(mount, &params.fields()?).await?;
    Ok(call.envelope_as(error::accepted(), Envelope::warning(TIDYING)))
}

/// Who chooses a secret id.
#[derive(Clone, Copy)]
enum Choice {
    Custom,
    Random,
}

/// How a secret id is named.
#[derive(Clone, Copy)]
enum By {
    Accessor,
    Secret,
}

impl By {
    fn parse(self, fields: &Fields<'_>) -> Result<SecretIdRef, Failure> {
        match self {
            Self::Accessor => match fields.given("secret_id_accessor")? {
                Some(accessor) => Ok(SecretIdRef::Accessor(accessor.to_string())),
                None => Err(Failure::invalid("missing secret_id_accessor")),
            },
            Self::Secret => Ok(SecretIdRef::Secret(secret(fields)?)),
        }
    }
}

async fn issue(call: &mut VaultCall, mount: &Mount, name: &str, choice: Choice) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let issue = SecretIdIssue {
        custom: match choice {
            Choice::Custom => Some(secret(&fields)?),
            Choice::Random => None,
        },
        metadata: metadata(&fields)?,
        cidr_list: fields.list("cidr_list")?.unwrap_or_default(),
        token_bound_cidrs: fields.list("token_bound_cidrs")?.unwrap_or_default(),
        num_uses: count(&fields, "num_uses", "num_uses cannot be negative")?,
        ttl: seconds(&fields, "ttl")?,
    };
    let issued = call.caller.secret_id_issue(mount, name, issue, &fields).await?;
    Ok(call.envelope(shown_issued(&issued)))
}

async fn lookup(call: &mut VaultCall, mount: &Mount, name: &str, by: By) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let of = by.parse(&fields)?;
    match (call.caller.secret_id_lookup(mount, name, &of, &fields).await?, of) {
        (SecretIdFound::Here(info), _) => Ok(call.data(&ShownSecretId::of(&info))),
        (SecretIdFound::Nowhere, SecretIdRef::Accessor(accessor)) => Ok(no_accessor(call, &accessor)),
        (SecretIdFound::Elsewhere, _) | (SecretIdFound::Nowhere, SecretIdRef::Secret(_)) => Ok(done()),
    }
}

async fn destroy(call: &mut VaultCall, mount: &Mount, name: &str, by: By) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let of = by.parse(&fields)?;
    let destroyed = call.caller.secret_id_destroy(mount, name, &of, call.verb.operation(), &fields).await?;
    match (destroyed, of) {
        (Destroyed::Nothing, SecretIdRef::Accessor(accessor)) => {
            let message = format!("1 error occurred:\n\t* {}\n\n", unknown_accessor(&accessor));
            Err(Failure::Recorded(Error::invalid(message)))
        }
        (Destroyed::Nothing, SecretIdRef::Secret(_)) | (Destroyed::One, _) => Ok(done()),
    }
}

fn secret(fields: &Fields<'_>) -> Result<Sensitive<String>, Failure> {
    fields.secret("secret_id")?.ok_or_else(|| Failure::invalid("missing secret_id"))
}

/// Metadata: an object, one as text, or `key=value` pairs with commas between them.
fn metadata(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, Failure> {
    if fields.raw("metadata").is_some_and(|raw| raw.get().starts_with('{')) {
        return Ok(fields.map("metadata")?.unwrap_or_default());
    }
    let Some(text) = fields.text("metadata")?.filter(|text| !text.trim().is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let wrong = || Failure::invalid("failed to parse metadata: failed to parse the input: invalid <key,value> format");
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text).map_err(|_| wrong());
    }
    let pair = |pair: &str| pair.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    text.split(',').map(|text| pair(text).ok_or_else(wrong)).collect()
}

fn no_accessor(call: &VaultCall, accessor: &str) -> Response {
    #[derive(Serialize)]
    struct Absent {
        error: String,
    }
    call.envelope_as(error::absent_with_body(), Envelope::data(&Absent { error: unknown_accessor(accessor) }))
}

fn unknown_accessor(accessor: &str) -> String {
    let shown: String = accessor.chars().take(100).collect();
    format!("failed to find accessor entry for secret_id_accessor: {shown:?}")
}

fn shown_issued(issued: &SecretIdIssued) -> Envelope {
    #[derive(Serialize)]
    struct Shown<'a> {
        secret_id: &'a str,
        secret_id_accessor: &'a str,
        secret_id_num_uses: u64,
        secret_id_ttl: u64,
    }
    Envelope::data(&Shown {
        secret_id: issued.secret_id.expose(),
        secret_id_accessor: &issued.accessor,
        secret_id_num_uses: issued.num_uses,
        secret_id_ttl: issued.ttl,
    })
    .carrying(issued.accessor.clone())
}

#[derive(Serialize)]
struct ShownSecretId<'a> {
    cidr_list: &'a [String],
    creation_time: &'a str,
    expiration_time: &'a str,
    last_updated_time: &'a str,
    metadata: &'a BTreeMap<String, String>,
    secret_id_accessor: &'a str,
    secret_id_num_uses: u64,
    secret_id_ttl: u64,
    token_bound_cidrs: &'a [String],
}

impl<'a> ShownSecretId<'a> {
    fn of(info: &'a SecretIdInfo) -> Self {
        Self {
            cidr_list: &info.cidr_list,
            creation_time: &info.created,
            expiration_time: info.expires.as_deref().unwrap_or(NEVER),
            last_updated_time: &info.updated,
            metadata: &info.metadata,
            secret_id_accessor: &info.accessor,
            secret_id_num_uses: info.num_uses,
            secret_id_ttl: info.ttl,
            token_bound_cidrs: &info.token_bound_cidrs,
        }
    }
}

/// How clients read "never".
const NEVER: &str = "0001-01-01T00:00:00Z";
const TIDYING: &str =
    "Tidy operation successfully started. Any information from the operation will be printed to the server's log.";
