//! `operator/…`: seal, and rotate, list and retire keys with a token; over the unix socket, without one, what only the machine's own
//! operator may do.

use axum::{
    Router,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
    routing,
};
use coffer_api::{
    Page, Problem,
    operator::{InitialToken, KeyInfo, Retire, Retired, Rotate, Rotated, SealMigrate, SealMigrated, SealTarget},
};
use coffer_core::{AskedSplit, Error, ListPart, MigrateSeal, Migrated, RotateKey, Share};

use super::{
    call::{Call, FromBody, Json, Local, NoQuery},
    page::PageQuery,
};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/operator/seal", routing::post(operator_seal))
        .route("/operator/rotate", routing::post(operator_rotate))
        .route("/operator/keys", routing::get(operator_keys))
        .route("/operator/keys/retire", routing::post(operator_retire))
        .route("/operator/unseal", routing::post(operator_unseal))
        .route("/operator/initial-token", routing::post(operator_initial_token))
        .route("/operator/seal-migrate", routing::post(operator_seal_migrate))
        .route("/operator/clock-accept", routing::post(operator_clock_accept))
}

/// Seals this node: every key leaves memory. Over the unix socket, as the server's own user, without a token.
#[utoipa::path(post, path = "/api/v1/operator/seal", tag = "operator", operation_id = "operator_seal",
    security(("token" = []), ()),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn operator_seal(State(app): State<App>, request: axum::extract::Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let local = match Local::from_request_parts(&mut parts, &app).await {
        Ok(local) => local,
        Err(response) => return response,
    };
    if local.cx.local_uid.is_some() {
        let sealed = app.core().local_seal(local.cx).await;
        return local.reply.done(sealed);
    }
    let request = axum::extract::Request::from_parts(parts, body);
    match <Call as axum::extract::FromRequest<App>>::from_request(request, &app).await {
        Ok(Call { caller, reply, .. }) => reply.done(app.core().seal(caller).await),
        Err(response) => response.into_response(),
    }
}

/// Replaces a key by a new one; what the old one made stays readable. Numbered keys hold on until they are retired.
#[utoipa::path(post, path = "/api/v1/operator/rotate", tag = "operator", operation_id = "operator_rotate",
    request_body = Rotate, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn operator_rotate(call: Call<(), NoQuery, Json<Rotate>>) -> Response {
    let key = match call.body.0.key {
        Rotated::Audit => RotateKey::Audit,
        Rotated::Barrier => RotateKey::Barrier,
        Rotated::Batch => RotateKey::Batch,
        Rotated::Log => RotateKey::Log,
        Rotated::Token => RotateKey::Token,
    };
    let rotated = call.caller.rotate(key).await;
    call.done(rotated).await
}

/// The numbers of the keys of tokens, batch tokens and audit hashes, by key, the newest first, and how many tokens stand
/// under each.
#[utoipa::path(get, path = "/api/v1/operator/keys", tag = "operator", operation_id = "operator_keys",
    params(PageQuery), security(("token" = [])),
    responses((status = 200, body = Page<KeyInfo>), (status = "default", body = Problem)))]
pub(super) async fn operator_keys(call: Call<(), PageQuery>) -> Response {
    let keys = match call.query.named() {
        Ok((after, limit)) => call.caller.keys(ListPart { after, limit: Some(limit) }).await,
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(keys).await
}

/// Removes all numbers of a key but the current one. Tokens under the removed ones are refused from then on; values in
/// the log can no longer be recognised by their hashes.
#[utoipa::path(post, path = "/api/v1/operator/keys/retire", tag = "operator", operation_id = "operator_retire",
    request_body = Retire, security(("token" = [])),
    responses((status = 200, body = Retired), (status = "default", body = Problem)))]
pub(super) async fn operator_retire(call: Call<(), NoQuery, Json<Retire>>) -> Response {
    let retired = call.caller.retire(call.body.0.key).await;
    call.with(retired).await
}

/// Unseals this node with its key file. Unix socket only.
#[utoipa::path(post, path = "/api/v1/operator/unseal", tag = "operator", operation_id = "operator_unseal", security(()),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn operator_unseal(State(app): State<App>, local: Local) -> Response {
    let unsealed = app.core().local_unseal(local.cx).await;
    local.reply.done(unsealed)
}

/// Writes a fresh initial token beside the key file, and puts the policy `administrator` back to its built-in text where
/// it is gone or changed. Unix socket only.
#[utoipa::path(post, path = "/api/v1/operator/initial-token", tag = "operator", operation_id = "operator_initial_token",
    security(()),
    responses((status = 200, body = InitialToken), (status = "default", body = Problem)))]
pub(super) async fn operator_initial_token(State(app): State<App>, local: Local) -> Response {
    let recovered = app.core().local_initial_token(local.cx).await;
    local.reply.json(recovered.map(|recovered| InitialToken {
        administrator_policy_restored: recovered.administrator_policy_restored,
        entity_replaced: recovered.entity_replaced,
        path: recovered.initial_token_path.display().to_string(),
    }))
}

/// Adds a second seal to the store, which stays once the server was started and opened with it; or takes it back. Unix
/// socket only.
#[utoipa::path(post, path = "/api/v1/operator/seal-migrate", tag = "operator", operation_id = "operator_seal_migrate",
    request_body = SealMigrate, security(()),
    responses((status = 200, body = SealMigrated), (status = "default", body = Problem)))]
pub(super) async fn operator_seal_migrate(State(app): State<App>, request: axum::extract::Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let Local { cx, reply } = match Local::from_request_parts(&mut parts, &app).await {
        Ok(local) => local,
        Err(response) => return response,
    };
    // Nothing is read from anybody else.
    if let Err(error) = app.core().check_local(&cx).await {
        return reply.error(&error);
    }
    let asked = match Json::<SealMigrate>::from_small_body(&app, &parts, body).await {
        Ok(Json(asked)) => migration(&asked).map(|to| (asked.to, to)),
        Err(error) => Err(error),
    };
    let (target, to) = match asked {
        Ok(asked) => asked,
        Err(error) => return reply.error(&app.core().refuse_anonymous(cx, error).await),
    };
    let migrated = app.core().local_seal_migrate(cx, to).await;
    reply.json(migrated.map(|migrated| match migrated {
        Migrated::Abandoned => SealMigrated { keys: Vec::new(), path: None, to: target },
        Migrated::File(path) => SealMigrated { keys: Vec::new(), path: Some(path.display().to_string()), to: target },
        Migrated::Shamir(shares) => SealMigrated { keys: shares.hex(), path: None, to: target },
    }))
}

fn migration(asked: &SealMigrate) -> Result<MigrateSeal, Error> {
    let shares: Result<Vec<Share>, Error> = asked.given.iter().map(|share| Share::parse(share.expose())).collect();
    Ok(match asked.to {
        SealTarget::File => MigrateSeal::File(shares?),
        SealTarget::Neither => MigrateSeal::Abandon,
        SealTarget::Shamir => {
            MigrateSeal::Shamir(AskedSplit { shares: asked.shares.into(), threshold: asked.threshold.into() })
        }
    })
}

/// Accepts the wall clock as it is. Unix socket only.
#[utoipa::path(post, path = "/api/v1/operator/clock-accept", tag = "operator", operation_id = "operator_clock_accept",
    security(()),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn operator_clock_accept(State(app): State<App>, local: Local) -> Response {
    let accepted = app.core().local_clock_accept(local.cx).await;
    local.reply.done(accepted)
}
