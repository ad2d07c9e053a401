//! `operator/…`: seal and rotate with a token; over the unix socket, without one, what only the machine's own
//! operator may do.

use axum::{
    Router,
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
    routing,
};
use coffer_api::{
    Problem,
    operator::{InitialToken, Rotate, Rotated},
};
use coffer_core::RotateKey;

use super::call::{Call, Json, Local, NoQuery};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/operator/seal", routing::post(operator_seal))
        .route("/operator/rotate", routing::post(operator_rotate))
        .route("/operator/unseal", routing::post(operator_unseal))
        .route("/operator/initial-token", routing::post(operator_initial_token))
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

/// Replaces a key by a new one; what the old one made stays readable.
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

/// Unseals this node with its key file. Unix socket only.
#[utoipa::path(post, path = "/api/v1/operator/unseal", tag = "operator", operation_id = "operator_unseal", security(()),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn operator_unseal(State(app): State<App>, local: Local) -> Response {
    let unsealed = app.core().local_unseal(local.cx).await;
    local.reply.done(unsealed)
}

/// Writes a fresh initial token beside the key file. Unix socket only.
#[utoipa::path(post, path = "/api/v1/operator/initial-token", tag = "operator", operation_id = "operator_initial_token",
    security(()),
    responses((status = 200, body = InitialToken), (status = "default", body = Problem)))]
pub(super) async fn operator_initial_token(State(app): State<App>, local: Local) -> Response {
    let path = app.core().local_initial_token(local.cx).await;
    local.reply.json(path.map(|path| InitialToken { path: path.display().to_string() }))
}

/// Accepts the wall clock as it is. Unix socket only.
#[utoipa::path(post, path = "/api/v1/operator/clock-accept", tag = "operator", operation_id = "operator_clock_accept",
    security(()),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn operator_clock_accept(State(app): State<App>, local: Local) -> Response {
    let accepted = app.core().local_clock_accept(local.cx).await;
    local.reply.done(accepted)
}
