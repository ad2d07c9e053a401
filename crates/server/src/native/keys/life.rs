//! `keys/…`, `deleted-keys/…` and `key-settings`: the life of keys.

use axum::{Router, response::Response, routing};
use coffer_api::{
    Page, Problem,
    keys::{
        Key, KeyCompromise, KeyConfigure, KeyCreate, KeyDestroy, KeyRecover, KeyRollback, KeyRotate, KeySettings,
        KeyVersions,
    },
};
use coffer_core::{Begin, Caller, Error, Kept, KeyAlgorithm, KeyFilter, KeyState, KeyView, ListPart, Mount, Operation};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    super::{
        call::{Call, Fields, Known, MaybeSent, NoQuery, Sent},
        page,
    },
    Asked, imported, oaep, parameters, shown,
};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/keys", routing::get(key_list).post(key_create))
        .route("/keys/{name}", routing::get(key_read).patch(key_configure).delete(key_delete))
        .route("/keys/{name}/activate", routing::post(key_activate))
        .route("/keys/{name}/cancel-destroy", routing::post(key_destroy_cancel))
        .route("/keys/{name}/compromise", routing::post(key_compromise))
        .route("/keys/{name}/deactivate", routing::post(key_deactivate))
        .route("/keys/{name}/destroy", routing::post(key_destroy))
        .route("/keys/{name}/disable", routing::post(key_disable))
        .route("/keys/{name}/enable", routing::post(key_enable))
        .route("/keys/{name}/resume", routing::post(key_resume))
        .route("/keys/{name}/rollback", routing::post(key_rollback))
        .route("/keys/{name}/rotate", routing::post(key_rotate))
        .route("/keys/{name}/suspend", routing::post(key_suspend))
        .route("/deleted-keys", routing::get(key_deleted_list))
        .route("/deleted-keys/{id}", routing::get(key_deleted_read))
        .route("/deleted-keys/{id}/recover", routing::post(key_recover))
        .route("/key-settings", routing::get(key_settings).put(key_settings_write))
}

/// Which keys are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct KeyQuery {
    /// Of this algorithm.
    algorithm: Option<String>,
    /// With a version in this state.
    state: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// With this in its name.
    name: Option<String>,
    /// Continue after this cursor.
    after: Option<String>,
    /// At most this many (1 to 1,000, default 100); a page may have fewer, and more after it.
    limit: Option<u32>,
}

/// A page of keys by name, without public keys.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", operation_id = "key_list",
    params(KeyQuery), security(("token" = [])),
    responses((status = 200, body = Page<Key>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_list(call: Call<(), KeyQuery>) -> Response {
    let page = list(&call.caller, &call.query, Kept::Named).await;
    call.with(page).await
}

/// A page of deleted keys, which can be recovered until they are destroyed.
#[utoipa::path(get, path = "/api/v1/deleted-keys", tag = "keys", operation_id = "key_deleted_list",
    params(KeyQuery), security(("token" = [])),
    responses((status = 200, body = Page<Key>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_deleted_list(call: Call<(), KeyQuery>) -> Response {
    let page = list(&call.caller, &call.query, Kept::Deleted).await;
    call.with(page).await
}

/// Makes a key, or imports one; where no key engine is mounted, mounts it first.
#[utoipa::path(post, path = "/api/v1/keys", tag = "keys", operation_id = "key_create",
    request_body = KeyCreate, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_create(call: Call<(), NoQuery, Sent<KeyCreate>>) -> Response {
    let made = create(&call).await;
    call.with(shown(made)).await
}

/// A key with its versions and their public keys.
#[utoipa::path(get, path = "/api/v1/keys/{name}", tag = "keys", operation_id = "key_read",
    params(("name" = String, Path)), security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_read(call: Call<String>) -> Response {
    let read = async {
        let mount = call.caller.key_engine(Operation::Read, &format!("keys/{}", call.path)).await?;
        call.caller.key_read(&mount, &call.path).await
    };
    let read = read.await;
    call.with(shown(read)).await
}

/// Changes what can be changed at any time.
#[utoipa::path(patch, path = "/api/v1/keys/{name}", tag = "keys", operation_id = "key_configure",
    params(("name" = String, Path)), request_body = KeyConfigure, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_configure(call: Call<String, NoQuery, Sent<KeyConfigure>>) -> Response {
    let asked = Asked::to_change(&call, format!("keys/{}/config", call.path), parameters::configure);
    let changed = asked.run(Ok(()), async |mount, (), known| {
        call.caller.key_configure(mount, &call.path, (&call.body.value).into(), known).await
    });
    let changed = changed.await;
    call.with(shown(changed)).await
}

/// Deletes a key that may be deleted: its name is free at once, its versions are destroyed at their time.
#[utoipa::path(delete, path = "/api/v1/keys/{name}", tag = "keys", operation_id = "key_delete",
    params(("name" = String, Path)), security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_delete(call: Call<String>) -> Response {
    let deleted = async {
        let mount = call.caller.key_engine(Operation::Delete, &format!("keys/{}", call.path)).await?;
        call.caller.key_delete(&mount, &call.path).await
    };
    let deleted = deleted.await;
    call.with(shown(deleted)).await
}

/// Makes a new version, primary at once or waiting to be activated.
#[utoipa::path(post, path = "/api/v1/keys/{name}/rotate", tag = "keys", operation_id = "key_rotate",
    params(("name" = String, Path)), request_body = KeyRotate, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_rotate(call: Call<String, NoQuery, Sent<KeyRotate>>) -> Response {
    let rotated = change(&call, "rotate", async |mount, known| {
        call.caller.key_rotate(mount, &call.path, Begin::from(&call.body.value), known).await
    });
    let rotated = rotated.await;
    call.with(shown(rotated)).await
}

/// Makes an older version the primary one again.
#[utoipa::path(post, path = "/api/v1/keys/{name}/rollback", tag = "keys", operation_id = "key_rollback",
    params(("name" = String, Path)), request_body = KeyRollback, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_rollback(call: Call<String, NoQuery, Sent<KeyRollback>>) -> Response {
    let back = change(&call, "rollback", async |mount, known| {
        call.caller.key_rollback(mount, &call.path, call.body.value.version, known).await
    });
    let back = back.await;
    call.with(shown(back)).await
}

/// Puts versions that wait into use.
#[utoipa::path(post, path = "/api/v1/keys/{name}/activate", tag = "keys", operation_id = "key_activate",
    params(("name" = String, Path)), request_body = KeyVersions, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_activate(call: Call<String, NoQuery, Sent<KeyVersions>>) -> Response {
    let done = change(&call, "activate", async |mount, known| {
        call.caller.key_activate(mount, &call.path, &call.body.value.versions, known).await
    });
    let done = done.await;
    call.with(shown(done)).await
}

/// Stops versions for now.
#[utoipa::path(post, path = "/api/v1/keys/{name}/suspend", tag = "keys", operation_id = "key_suspend",
    params(("name" = String, Path)), request_body = KeyVersions, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_suspend(call: Call<String, NoQuery, Sent<KeyVersions>>) -> Response {
    let done = change(&call, "suspend", async |mount, known| {
        call.caller.key_suspend(mount, &call.path, &call.body.value.versions, known).await
    });
    let done = done.await;
    call.with(shown(done)).await
}

/// Ends the suspension of versions.
#[utoipa::path(post, path = "/api/v1/keys/{name}/resume", tag = "keys", operation_id = "key_resume",
    params(("name" = String, Path)), request_body = KeyVersions, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_resume(call: Call<String, NoQuery, Sent<KeyVersions>>) -> Response {
    let done = change(&call, "resume", async |mount, known| {
        call.caller.key_resume(mount, &call.path, &call.body.value.versions, known).await
    });
    let done = done.await;
    call.with(shown(done)).await
}

/// Ends what versions may encrypt and sign.
#[utoipa::path(post, path = "/api/v1/keys/{name}/deactivate", tag = "keys", operation_id = "key_deactivate",
    params(("name" = String, Path)), request_body = KeyVersions, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_deactivate(call: Call<String, NoQuery, Sent<KeyVersions>>) -> Response {
    let done = change(&call, "deactivate", async |mount, known| {
        call.caller.key_deactivate(mount, &call.path, &call.body.value.versions, known).await
    });
    let done = done.await;
    call.with(shown(done)).await
}

/// Marks versions as known to somebody else.
#[utoipa::path(post, path = "/api/v1/keys/{name}/compromise", tag = "keys", operation_id = "key_compromise",
    params(("name" = String, Path)), request_body = KeyCompromise, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_compromise(call: Call<String, NoQuery, Sent<KeyCompromise>>) -> Response {
    let done = change(&call, "compromise", async |mount, known| {
        let KeyCompromise { reason, versions } = &call.body.value;
        call.caller.key_compromise(mount, &call.path, versions, reason, known).await
    });
    let done = done.await;
    call.with(shown(done)).await
}

/// Switches a key on.
#[utoipa::path(post, path = "/api/v1/keys/{name}/enable", tag = "keys", operation_id = "key_enable",
    params(("name" = String, Path)), security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_enable(call: Call<String>) -> Response {
    let done = change(&call, "enable", async |mount, known| call.caller.key_enable(mount, &call.path, known).await);
    let done = done.await;
    call.with(shown(done)).await
}

/// Switches a key off: nothing is done with it.
#[utoipa::path(post, path = "/api/v1/keys/{name}/disable", tag = "keys", operation_id = "key_disable",
    params(("name" = String, Path)), security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_disable(call: Call<String>) -> Response {
    let done = change(&call, "disable", async |mount, known| call.caller.key_disable(mount, &call.path, known).await);
    let done = done.await;
    call.with(shown(done)).await
}

/// Schedules the destruction of versions.
#[utoipa::path(post, path = "/api/v1/keys/{name}/destroy", tag = "keys", operation_id = "key_destroy",
    params(("name" = String, Path)), request_body = KeyDestroy, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_destroy(call: Call<String, NoQuery, Sent<KeyDestroy>>) -> Response {
    let done = change(&call, "destroy", async |mount, known| {
        let KeyDestroy { versions, after } = &call.body.value;
        let after = after.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000));
        call.caller.key_destroy(mount, &call.path, versions, after, known).await
    });
    let done = done.await;
    call.with(shown(done)).await
}

/// Calls the destruction of versions off.
#[utoipa::path(post, path = "/api/v1/keys/{name}/cancel-destroy", tag = "keys", operation_id = "key_destroy_cancel",
    params(("name" = String, Path)), request_body = KeyVersions, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_destroy_cancel(call: Call<String, NoQuery, Sent<KeyVersions>>) -> Response {
    let done = change(&call, "cancel-destroy", async |mount, known| {
        call.caller.key_destroy_cancel(mount, &call.path, &call.body.value.versions, known).await
    });
    let done = done.await;
    call.with(shown(done)).await
}

/// A deleted key.
#[utoipa::path(get, path = "/api/v1/deleted-keys/{id}", tag = "keys", operation_id = "key_deleted_read",
    params(("id" = String, Path)), security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_deleted_read(call: Call<Uuid>) -> Response {
    let read = async {
        let mount = call.caller.key_engine(Operation::Read, &format!("keys/{}", call.path)).await?;
        call.caller.key_deleted_read(&mount, call.path).await
    };
    let read = read.await;
    call.with(shown(read)).await
}

/// Gives a deleted key its name back, or another; a rotation or a rollback puts it into use.
#[utoipa::path(post, path = "/api/v1/deleted-keys/{id}/recover", tag = "keys", operation_id = "key_recover",
    params(("id" = String, Path)), request_body = Option<KeyRecover>, security(("token" = [])),
    responses((status = 200, body = Key), (status = "default", body = Problem)))]
pub(in super::super) async fn key_recover(call: Call<Uuid, NoQuery, MaybeSent<KeyRecover>>) -> Response {
    let recovered = async {
        let mount = call.caller.key_engine(Operation::Update, &format!("keys/{}/recover", call.path)).await?;
        let MaybeSent(body) = &call.body;
        call.caller.key_recover(&mount, call.path, body.value.name.as_deref(), &body.known(parameters::as_sent)).await
    };
    let recovered = recovered.await;
    call.with(shown(recovered)).await
}

/// The engine's settings.
#[utoipa::path(get, path = "/api/v1/key-settings", tag = "keys", operation_id = "key_settings",
    security(("token" = [])),
    responses((status = 200, body = KeySettings), (status = "default", body = Problem)))]
pub(in super::super) async fn key_settings(call: Call) -> Response {
    let read = async {
        let mount = call.caller.key_engine(Operation::Read, SETTINGS).await?;
        call.caller.key_settings(&mount, SETTINGS).await
    };
    let read = read.await.map(|settings| KeySettings::from(&settings));
    call.with(read).await
}

/// Sets how long destruction waits for keys of a tag. What runs is never made shorter by it.
#[utoipa::path(put, path = "/api/v1/key-settings", tag = "keys", operation_id = "key_settings_write",
    request_body = KeySettings, security(("token" = [])),
    responses((status = 200, body = KeySettings), (status = "default", body = Problem)))]
pub(in super::super) async fn key_settings_write(call: Call<(), NoQuery, Sent<KeySettings>>) -> Response {
    let written = async {
        let mount = call.caller.key_engine(Operation::Update, SETTINGS).await?;
        let set = |settings: &mut coffer_core::KeySettings| {
            settings.set(&call.body.value);
            Ok(())
        };
        call.caller.key_settings_change(&mount, SETTINGS, &call.body.known(parameters::as_sent), set).await
    };
    let written = written.await.map(|settings| KeySettings::from(&settings));
    call.with(written).await
}

async fn create(call: &Call<(), NoQuery, Sent<KeyCreate>>) -> Result<KeyView, Error> {
    let wire = &call.body.value;
    let below = match wire.source {
        None => format!("keys/{}", wire.name),
        Some(_) => format!("keys/{}/import", wire.name),
    };
    let hash = wire.source.as_ref().map(oaep).transpose();
    let parsed = coffer_core::KeyCreate::try_from(wire).and_then(|create| Ok((create, hash?)));
    Asked::to_begin(call, below, parameters::create)
        .run(parsed, async |mount, (create, hash), known| match wire.source.as_ref().zip(hash) {
            None => call.caller.key_create(mount, &wire.name, create, known).await,
            Some((source, hash)) => {
                let source = imported(source, hash);
                call.caller.key_import(mount, &wire.name, create, source, known).await
            }
        })
        .await
}

async fn list(caller: &Caller, query: &KeyQuery, kept: Kept) -> Result<Page<Key>, Error> {
    let parsed = || {
        let unknown = |what: &str| Error::invalid(format!("query: no such {what}"));
        let algorithm = query.algorithm.as_deref().map(|name| KeyAlgorithm::parse(name).ok_or(unknown("algorithm")));
        let state = query.state.as_deref().map(|name| KeyState::parse(name).ok_or(unknown("state")));
        let (after, limit) = page::of(query.after.as_deref(), query.limit)?;
        let filter = KeyFilter {
            algorithm: algorithm.transpose()?,
            state: state.transpose()?,
            tag: query.tag.clone(),
            name: query.name.clone(),
            kept,
        };
        Ok((filter, ListPart { after, limit: Some(limit) }))
    };
    let (filter, part) = match parsed() {
        Ok(parsed) => parsed,
        Err(error) => return Err(caller.refuse(Operation::List, "transit/keys/", error).await),
    };
    let page = caller.native_key_list(&filter, part).await?;
    Ok(Page { items: page.items.iter().map(Key::from).collect(), next: page.next })
}

/// Runs a change of a key by its verb.
async fn change<B: Fields>(
    call: &Call<String, NoQuery, B>,
    verb: &str,
    run: impl AsyncFnOnce(&Mount, &Known<'_>) -> Result<KeyView, Error>,
) -> Result<KeyView, Error> {
    let asked = Asked::to_change(call, format!("keys/{}/{verb}", call.path), parameters::as_sent);
    asked.run(Ok(()), async |mount, (), known| run(mount, known).await).await
}

/// The path of the settings below the engine.
const SETTINGS: &str = "config/keys";
