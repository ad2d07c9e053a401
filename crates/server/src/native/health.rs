//! `/healthz`, `/readyz`, `/metrics`, `/openapi.json`: for anybody, sealed or not.

use axum::{Router, extract::State, http::StatusCode, response::Response, routing};
use bytes::Bytes;
use coffer_api::operator::{Health, Status};

use super::openapi;
use crate::{
    app::App,
    error::{self, Success},
    vault::envelope,
};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/healthz", routing::get(healthz))
        .route("/readyz", routing::get(readyz))
        .route("/metrics", routing::get(metrics))
        .route("/openapi.json", routing::get(openapi_json))
}

/// Whether the process serves HTTP.
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "health", security(()),
    responses((status = 200, body = Health)))]
pub(super) async fn healthz() -> Response {
    json(error::success(Success::Body), &Health { status: "ok".to_owned() })
}

/// Whether this node answers requests, and what it is doing otherwise.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "status", security(()),
    responses((status = 200, body = Status), (status = 503, body = Status)))]
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let status = app.core().status();
    json(error::readiness(status.state), &status)
}

/// Figures in Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(app): State<App>) -> Response {
    error::respond(error::success(Success::Body), error::TEXT, Bytes::from(app.core().metrics()))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", operation_id = "openapi", security(()),
    responses((status = 200, body = Object)))]
pub(super) async fn openapi_json() -> Response {
    error::respond(error::success(Success::Body), error::JSON, Bytes::from_static(openapi::TEXT.as_bytes()))
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    error::respond(status, error::JSON, envelope::bare(value))
}
