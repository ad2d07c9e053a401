//! The native API under `/api/v1/`, and what lies beside it: health, readiness, metrics, the OpenAPI document.

mod audit;
mod backup;
mod call;
mod health;
mod keys;
mod login;
mod openapi;
mod operator;
mod page;
mod policies;
mod secrets;
mod snapshots;
mod tokens;

use axum::{
    Router,
    body::Body,
    http::{Request, Uri},
    response::Response,
};
use coffer_api::Code;
use coffer_core::Error;

use self::call::Call;
use crate::app::App;

pub use self::openapi::document;

/// All routes.
pub(crate) fn routes(app: App) -> Router {
    let api = Router::new()
        .merge(audit::routes())
        .merge(backup::routes())
        .merge(keys::routes())
        .merge(login::routes())
        .merge(operator::routes())
        .merge(policies::routes())
        .merge(secrets::routes())
        .merge(snapshots::routes())
        .merge(tokens::routes());
    Router::new()
        .nest("/api/v1", api)
        .merge(health::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .with_state(app)
}

/// The request for the native path that `/v1/secrets/…` stands for.
pub(crate) fn unalias(mut request: Request<Body>) -> Request<Body> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    if let Ok(uri) = format!("/api{target}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

async fn no_route(call: Call<(), call::AnyQuery>) -> Response {
    let refused = call.caller.refuse_unparsed(Error::new(Code::NotFound, call::NO_PATH)).await;
    call.done(Err(refused)).await
}

async fn no_method(call: Call<(), call::AnyQuery>) -> Response {
    let refused =
        call.caller.refuse_unparsed(Error::new(Code::MethodNotAllowed, "this path does not know the method")).await;
    call.done(Err(refused)).await
}
