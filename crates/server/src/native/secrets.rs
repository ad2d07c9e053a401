//! `secrets/…` and `search`: native secrets by scope and name.

use std::collections::BTreeSet;

use axum::{Router, response::Response, routing};
use coffer_api::{
    Name, Page, Problem, Scope, Sensitive,
    copies::{CopyReply, SecretCopy},
    generate::{Generated, SecretPut, SecretRotate},
    secrets::{
        DueSecret, Effective, HistoryEvent, Identified, MetadataPatch, NamedSecretSet, PatchReply, PatchResult,
        Rollback, Secret, SecretChange, SecretInfo, SecretMetadata, SecretsPatch, ValueSearchSet, ValuesIdentify,
        Version, Versions,
    },
};
use coffer_core::{Depth, Error, ValueSearch};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    call::{Call, Json, Large, NoBody, NoQuery},
    page::{self, PageQuery},
};
use crate::{app::App, error};

pub(super) fn routes() -> Router<App> {
    let scope = || routing::get(secret_list).post(secret_create).patch(secret_patch);
    Router::new()
        .route("/secrets/{scope}", scope())
        .route("/secrets/{scope}/", scope())
        .route("/secrets/{scope}/{name}", routing::get(secret_get).put(secret_set).delete(secret_delete))
        .route("/secrets/{scope}/{name}/rollback", routing::post(secret_rollback))
        .route("/secrets/{scope}/{name}/undelete", routing::post(secret_undelete))
        .route("/secrets/{scope}/{name}/destroy", routing::post(secret_destroy))
        .route("/secrets/{scope}/{name}/versions", routing::get(secret_versions))
        .route("/secrets/{scope}/{name}/versions/{version}", routing::get(secret_version))
        .route("/secrets/{scope}/{name}/history", routing::get(secret_history))
        .route("/secrets/{scope}/{name}/rotate", routing::post(secret_rotate))
        .route("/secrets/{scope}/{name}/metadata", routing::get(secret_metadata).patch(secret_metadata_patch))
        .route("/due", routing::get(secret_due))
        .route("/secret-copies", routing::post(secret_copy))
        .route("/search", routing::get(secret_search))
        .route("/search/values", routing::post(secret_identify).put(value_search_set))
}

/// Which version is read.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionQuery {
    /// A version's number; absent = the current one.
    version: Option<u64>,
    /// Other secrets' values in the place of references (docs/REFERENCES.md).
    resolve: Option<bool>,
}

/// How a version is read.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ResolveQuery {
    /// Other secrets' values in the place of references (docs/REFERENCES.md).
    resolve: Option<bool>,
}

/// What a list shows.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Scopes below this one as well.
    recursive: Option<bool>,
    /// With values: `effective`, as a service of this scope sees them, or `own`, the scope's own; excludes the other keys.
    view: Option<View>,
    /// With `view=effective`: these names alone, with commas between them (at most 1,000).
    only: Option<String>,
    /// With `view=effective`: other secrets' values in the place of references (docs/REFERENCES.md).
    resolve: Option<bool>,
    /// Continue after this cursor.
    after: Option<String>,
    /// At most this many (1 to 1,000, default 100).
    limit: Option<u32>,
}

/// A way to look at a scope.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum View {
    /// Service over environment over project, with values.
    Effective,
    /// What lies in the scope itself, with values.
    Own,
}

/// Which secrets are due.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DueQuery {
    /// So many seconds ahead; 0 (the default) = only those whose time has passed.
    within: Option<u64>,
    /// Continue after this cursor.
    after: Option<String>,
    /// At most this many (1 to 1,000, default 100).
    limit: Option<u32>,
}

/// What is searched for.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// Part of a name, in any case.
    name: String,
    /// Continue after this cursor.
    after: Option<String>,
    /// At most this many (1 to 1,000, default 100).
    limit: Option<u32>,
}

/// Names and states below a scope; with `view` the values that a service of this scope sees, or the scope's own.
#[utoipa::path(get, path = "/api/v1/secrets/{scope}/", tag = "secrets", operation_id = "secret_list",
    params(("scope" = Scope, Path), ListQuery), security(("token" = [])),
    responses((status = 200, body = Listed), (status = "default", body = Problem)))]
pub(super) async fn secret_list(call: Call<Scope, ListQuery>) -> Response {
    let ListQuery { recursive, view, only, resolve, after, limit } = &call.query;
    match view {
        None | Some(View::Own) if only.is_some() || resolve.is_some() => {
            let error = Error::invalid("query: only and resolve go with view=effective");
            let refused = call.caller.refuse_unparsed(error).await;
            call.with::<()>(Err(refused)).await
        }
        Some(View::Effective | View::Own) if recursive.is_some() || after.is_some() || limit.is_some() => {
            let error = Error::invalid("query: view excludes recursive, after and limit");
            let refused = call.caller.refuse_unparsed(error).await;
            call.with::<()>(Err(refused)).await
        }
        Some(View::Effective) => {
            let effective = match (only_of(only.as_deref()), resolve) {
                (Ok(only), Some(true)) => call.caller.secret_effective_resolved(&call.path, only.as_ref()).await,
                (Ok(only), Some(false) | None) => call.caller.secret_effective(&call.path, only.as_ref()).await,
                (Err(error), _) => Err(call.caller.refuse_unparsed(error).await),
            };
            call.with(effective).await
        }
        Some(View::Own) => {
            let own = call.caller.secret_own(&call.path).await;
            call.with(own).await
        }
        None => {
            let depth = if *recursive == Some(true) { Depth::Recursive } else { Depth::Own };
            let page = match page::of(after.as_deref(), *limit) {
                Ok((after, limit)) => call.caller.secret_list(&call.path, depth, after, limit).await,
                Err(error) => Err(call.caller.refuse_unparsed(error).await),
            };
            call.with(page).await
        }
    }
}

fn only_of(only: Option<&str>) -> Result<Option<BTreeSet<Name>>, Error> {
    let Some(only) = only else { return Ok(None) };
    let names: Result<BTreeSet<Name>, _> = only.split(',').take(MAX_ONLY + 1).map(str::parse).collect();
    match names {
        Ok(names) if names.len() <= MAX_ONLY => Ok(Some(names)),
        Ok(_) => Err(Error::invalid(format!("query: only: more than {MAX_ONLY} names"))),
        Err(error) => Err(Error::invalid(format!("query: only: {error}"))),
    }
}

/// One or the other, as `view` asks.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the reply; handlers answer with the inner types")]
enum Listed {
    Effective(Effective),
    Page(Page<SecretInfo>),
}

/// Creates or updates a secret that is named in the body.
#[utoipa::path(post, path = "/api/v1/secrets/{scope}/", tag = "secrets", operation_id = "secret_create",
    params(("scope" = Scope, Path)), request_body = NamedSecretSet, security(("token" = [])),
    responses((status = 200, body = Version), (status = "default", body = Problem)))]
pub(super) async fn secret_create(call: Call<Scope, NoQuery, Json<NamedSecretSet>>) -> Response {
    let NamedSecretSet { name, value, options } = &call.body.0;
    let version = call.caller.secret_set(&call.path, name, value, *options).await;
    call.with(version).await
}

/// Sets several secrets, each on its own, in order; with `atomic` sets and deletes them together, or none.
#[utoipa::path(patch, path = "/api/v1/secrets/{scope}/", tag = "secrets", operation_id = "secret_patch",
    params(("scope" = Scope, Path)), request_body = SecretsPatch, security(("token" = [])),
    responses((status = 200, body = PatchReply), (status = "default", body = Problem)))]
pub(super) async fn secret_patch(call: Call<Scope, NoQuery, Large<SecretsPatch>>) -> Response {
    let patch = &call.body.value;
    if patch.atomic {
        let changed = call.caller.secret_patch_all(&call.path, patch).await;
        return call.with(changed).await;
    }
    let sets = match each(patch) {
        Ok(sets) => sets,
        Err(error) => {
            let refused = call.caller.refuse_unparsed(error).await;
            return call.with::<()>(Err(refused)).await;
        }
    };
    let mut results = Vec::with_capacity(sets.len());
    for (SecretChange { name, options, .. }, value) in sets {
        let (version, problem) = match call.caller.secret_set(&call.path, name, value, *options).await {
            Ok(version) => (Some(version), None),
            Err(error) => {
                error.log_cause(&call.reply.id);
                (None, Some(error::problem(&error, call.reply.id)))
            }
        };
        results.push(PatchResult { name: name.clone(), version, problem });
    }
    call.with(Ok(PatchReply { results, snapshot: None })).await
}

/// What is set on its own.
///
/// # Errors
/// Where there is too much, or something that is done together alone.
fn each(patch: &SecretsPatch) -> Result<Vec<(&SecretChange, &Sensitive<String>)>, Error> {
    let secrets = &patch.secrets;
    if secrets.is_empty() || secrets.len() > MAX_PATCH {
        return Err(Error::invalid(format!("body: 1 to {MAX_PATCH} secrets, not {}", secrets.len())));
    }
    if patch.layout.is_some() || patch.snapshot.is_some() || secrets.iter().any(|change| change.delete) {
        return Err(Error::invalid("body: deletions, a layout and a snapshot need \"atomic\": true"));
    }
    match secrets.iter().find(|change| change.value.is_none()) {
        Some(change) => Err(Error::invalid(format!("body: {} needs a value", change.name))),
        None => Ok(secrets.iter().filter_map(|change| change.value.as_ref().map(|value| (change, value))).collect()),
    }
}

/// A secret with its value.
#[utoipa::path(get, path = "/api/v1/secrets/{scope}/{name}", tag = "secrets", operation_id = "secret_get",
    params(("scope" = Scope, Path), ("name" = Name, Path), VersionQuery), security(("token" = [])),
    responses((status = 200, body = Secret), (status = "default", body = Problem)))]
pub(super) async fn secret_get(call: Call<(Scope, Name), VersionQuery>) -> Response {
    let (scope, name) = &call.path;
    let VersionQuery { version, resolve } = call.query;
    let secret = match resolve {
        Some(true) => call.caller.secret_get_resolved(scope, name, version).await,
        Some(false) | None => call.caller.secret_get(scope, name, version).await,
    };
    call.with(secret).await
}

/// Writes a new version: the value that is sent, or one that the server makes.
#[utoipa::path(put, path = "/api/v1/secrets/{scope}/{name}", tag = "secrets", operation_id = "secret_set",
    params(("scope" = Scope, Path), ("name" = Name, Path)), request_body = SecretPut, security(("token" = [])),
    responses((status = 200, body = Generated), (status = "default", body = Problem)))]
pub(super) async fn secret_set(call: Call<(Scope, Name), NoQuery, Json<SecretPut>>) -> Response {
    let ((scope, name), SecretPut { value, generate, options }) = (&call.path, &call.body.0);
    let written = match (value, generate) {
        (Some(value), None) => {
            let version = call.caller.secret_set(scope, name, value, *options).await;
            version.map(|version| Generated { version, entropy_bits: None, public: None })
        }
        (None, Some(recipe)) => call.caller.secret_generate(scope, name, recipe, *options).await,
        (Some(_), Some(_)) | (None, None) => {
            Err(call.caller.refuse_unparsed(Error::invalid("body: exactly one of value and generate")).await)
        }
    };
    call.with(written).await
}

/// Makes a new value by the secret's own recipe, or another.
#[utoipa::path(post, path = "/api/v1/secrets/{scope}/{name}/rotate", tag = "secrets", operation_id = "secret_rotate",
    params(("scope" = Scope, Path), ("name" = Name, Path)), request_body = SecretRotate, security(("token" = [])),
    responses((status = 200, body = Generated), (status = "default", body = Problem)))]
pub(super) async fn secret_rotate(call: Call<(Scope, Name), NoQuery, Json<SecretRotate>>) -> Response {
    let ((scope, name), SecretRotate { generate, options }) = (&call.path, &call.body.0);
    let written = call.caller.secret_rotate(scope, name, generate.as_ref(), *options).await;
    call.with(written).await
}

/// What is kept of a secret beside its versions.
#[utoipa::path(get, path = "/api/v1/secrets/{scope}/{name}/metadata", tag = "secrets", operation_id = "secret_metadata",
    params(("scope" = Scope, Path), ("name" = Name, Path)), security(("token" = [])),
    responses((status = 200, body = SecretMetadata), (status = "default", body = Problem)))]
pub(super) async fn secret_metadata(call: Call<(Scope, Name)>) -> Response {
    let (scope, name) = &call.path;
    let metadata = call.caller.secret_metadata(scope, name).await;
    call.with(metadata).await
}

/// Changes when a secret is to be replaced, who looks after it and what it is for.
#[utoipa::path(patch, path = "/api/v1/secrets/{scope}/{name}/metadata", tag = "secrets",
    operation_id = "secret_metadata_patch",
    params(("scope" = Scope, Path), ("name" = Name, Path)), request_body = MetadataPatch, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn secret_metadata_patch(call: Call<(Scope, Name), NoQuery, Json<MetadataPatch>>) -> Response {
    let (scope, name) = &call.path;
    let done = call.caller.secret_metadata_patch(scope, name, &call.body.0).await;
    call.done(done).await
}

/// Copies or moves secrets from one scope to another, all of them or none.
#[utoipa::path(post, path = "/api/v1/secret-copies", tag = "secrets", operation_id = "secret_copy",
    request_body = SecretCopy, security(("token" = [])),
    responses((status = 200, body = CopyReply), (status = "default", body = Problem)))]
pub(super) async fn secret_copy(call: Call<(), NoQuery, Json<SecretCopy>>) -> Response {
    let copied = call.caller.secret_copy(&call.body.0).await;
    call.with(copied).await
}

/// Secrets that are to be replaced, in every scope that the caller may list.
#[utoipa::path(get, path = "/api/v1/due", tag = "secrets", operation_id = "secret_due",
    params(DueQuery), security(("token" = [])),
    responses((status = 200, body = Page<DueSecret>), (status = "default", body = Problem)))]
pub(super) async fn secret_due(call: Call<(), DueQuery>) -> Response {
    let DueQuery { within, after, limit } = &call.query;
    let page = match page::of(after.as_deref(), *limit) {
        Ok((after, limit)) => {
            let within_ms = i64::try_from(within.unwrap_or(0)).unwrap_or(i64::MAX).saturating_mul(1000);
            call.caller.secret_due(within_ms, after, limit).await
        }
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(page).await
}

/// Deletes the current version; it can come back.
#[utoipa::path(delete, path = "/api/v1/secrets/{scope}/{name}", tag = "secrets", operation_id = "secret_delete",
    params(("scope" = Scope, Path), ("name" = Name, Path)), security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn secret_delete(call: Call<(Scope, Name)>) -> Response {
    let (scope, name) = &call.path;
    let deleted = call.caller.secret_delete(scope, name).await;
    call.done(deleted).await
}

/// Makes an older version's value the new current version.
#[utoipa::path(post, path = "/api/v1/secrets/{scope}/{name}/rollback", tag = "secrets", operation_id = "secret_rollback",
    params(("scope" = Scope, Path), ("name" = Name, Path)), request_body = Rollback, security(("token" = [])),
    responses((status = 200, body = Version), (status = "default", body = Problem)))]
pub(super) async fn secret_rollback(call: Call<(Scope, Name), NoQuery, Json<Rollback>>) -> Response {
    let ((scope, name), Rollback { version, cas }) = (&call.path, call.body.0);
    let version = call.caller.secret_rollback(scope, name, version, cas).await;
    call.with(version).await
}

/// Brings deleted versions back.
#[utoipa::path(post, path = "/api/v1/secrets/{scope}/{name}/undelete", tag = "secrets", operation_id = "secret_undelete",
    params(("scope" = Scope, Path), ("name" = Name, Path)), request_body = Versions, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn secret_undelete(call: Call<(Scope, Name), NoQuery, Json<Versions>>) -> Response {
    let (scope, name) = &call.path;
    let done = match page::versions(&call.body.0) {
        Ok(versions) => call.caller.secret_undelete(scope, name, versions).await,
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.done(done).await
}

/// Destroys versions for good.
#[utoipa::path(post, path = "/api/v1/secrets/{scope}/{name}/destroy", tag = "secrets", operation_id = "secret_destroy",
    params(("scope" = Scope, Path), ("name" = Name, Path)), request_body = Versions, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn secret_destroy(call: Call<(Scope, Name), NoQuery, Json<Versions>>) -> Response {
    let (scope, name) = &call.path;
    let done = match page::versions(&call.body.0) {
        Ok(versions) => call.caller.secret_destroy(scope, name, versions).await,
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.done(done).await
}

/// The versions kept, oldest first, without values.
#[utoipa::path(get, path = "/api/v1/secrets/{scope}/{name}/versions", tag = "secrets", operation_id = "secret_versions",
    params(("scope" = Scope, Path), ("name" = Name, Path), PageQuery), security(("token" = [])),
    responses((status = 200, body = Page<Version>), (status = "default", body = Problem)))]
pub(super) async fn secret_versions(call: Call<(Scope, Name), PageQuery>) -> Response {
    let (scope, name) = &call.path;
    let page = match call.query.numbered() {
        Ok((after, limit)) => {
            let versions = call.caller.secret_versions(scope, name).await;
            versions.map(|versions| page::cut(versions, limit, |version| version.version, after))
        }
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(page).await
}

/// One version with its value.
#[utoipa::path(get, path = "/api/v1/secrets/{scope}/{name}/versions/{version}", tag = "secrets",
    operation_id = "secret_version",
    params(("scope" = Scope, Path), ("name" = Name, Path), ("version" = u64, Path), ResolveQuery), security(("token" = [])),
    responses((status = 200, body = Secret), (status = "default", body = Problem)))]
pub(super) async fn secret_version(call: Call<(Scope, Name, u64), ResolveQuery>) -> Response {
    let (scope, name, version) = &call.path;
    let secret = match call.query.resolve {
        Some(true) => call.caller.secret_get_resolved(scope, name, Some(*version)).await,
        Some(false) | None => call.caller.secret_get(scope, name, Some(*version)).await,
    };
    call.with(secret).await
}

/// Who read or changed it, when and from where, oldest first, from this node's log.
#[utoipa::path(get, path = "/api/v1/secrets/{scope}/{name}/history", tag = "secrets", operation_id = "secret_history",
    params(("scope" = Scope, Path), ("name" = Name, Path), PageQuery), security(("token" = [])),
    responses((status = 200, body = Page<HistoryEvent>), (status = "default", body = Problem)))]
pub(super) async fn secret_history(call: Call<(Scope, Name), PageQuery, NoBody>) -> Response {
    let (scope, name) = &call.path;
    let page = match call.query.history() {
        Ok((after, limit)) => call.caller.secret_history(scope, name, after, limit).await,
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(page).await
}

/// Secrets whose name contains a text, over all scopes that the caller may list.
#[utoipa::path(get, path = "/api/v1/search", tag = "secrets", operation_id = "secret_search",
    params(SearchQuery), security(("token" = [])),
    responses((status = 200, body = Page<SecretInfo>), (status = "default", body = Problem)))]
pub(super) async fn secret_search(call: Call<(), SearchQuery>) -> Response {
    let SearchQuery { name, after, limit } = &call.query;
    let page = match page::of(after.as_deref(), *limit) {
        Ok((after, limit)) => call.caller.secret_search(name, after, limit).await,
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(page).await
}

/// Which secrets' current versions hold each of the values. What the caller may not read is not told, not even that it is
/// there.
#[utoipa::path(post, path = "/api/v1/search/values", tag = "secrets", operation_id = "secret_identify",
    request_body = ValuesIdentify, security(("token" = [])),
    responses((status = 200, body = Identified), (status = "default", body = Problem)))]
pub(super) async fn secret_identify(call: Call<(), NoQuery, Json<ValuesIdentify>>) -> Response {
    let identified = call.caller.secret_identify(&call.body.0.values).await;
    call.with(identified).await
}

/// Switches the search by value on or off. What is there when it is switched on is indexed in the background.
#[utoipa::path(put, path = "/api/v1/search/values", tag = "secrets", operation_id = "value_search_set",
    request_body = ValueSearchSet, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn value_search_set(call: Call<(), NoQuery, Json<ValueSearchSet>>) -> Response {
    let search = if call.body.0.enabled { ValueSearch::On } else { ValueSearch::Off };
    let set = call.caller.value_search_set(search).await;
    call.done(set).await
}

const MAX_PATCH: usize = 1000;

const MAX_ONLY: usize = 1000;
