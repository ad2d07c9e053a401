//! `audit/…`: this node's log.

use axum::{Router, response::Response, routing};
use coffer_api::{
    Problem,
    audit::{AuditPage, AuditQuery, Checkpoint, Proof},
};

use super::{call::Call, page};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/audit/entries", routing::get(audit_query))
        .route("/audit/checkpoint", routing::get(audit_checkpoint))
        .route("/audit/proofs/{index}", routing::get(audit_prove))
}

/// Entries that match all filters, in the log's order.
#[utoipa::path(get, path = "/api/v1/audit/entries", tag = "audit", operation_id = "audit_query",
    params(AuditQuery), security(("token" = [])),
    responses((status = 200, body = AuditPage), (status = "default", body = Problem)))]
pub(super) async fn audit_query(call: Call<(), AuditQuery>) -> Response {
    let AuditQuery { after, limit, .. } = &call.query;
    let page = match page::of(after.as_deref(), *limit) {
        Ok(_) => call.caller.audit_query(&call.query).await,
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(page).await
}

/// The latest signed checkpoint.
#[utoipa::path(get, path = "/api/v1/audit/checkpoint", tag = "audit", operation_id = "audit_checkpoint",
    security(("token" = [])),
    responses((status = 200, body = Checkpoint), (status = "default", body = Problem)))]
pub(super) async fn audit_checkpoint(call: Call) -> Response {
    let checkpoint = call.caller.audit_checkpoint().await;
    call.with(checkpoint).await
}

/// A proof that an entry is in the log, to be verified offline.
#[utoipa::path(get, path = "/api/v1/audit/proofs/{index}", tag = "audit", operation_id = "audit_prove",
    params(("index" = u64, Path)), security(("token" = [])),
    responses((status = 200, body = Proof), (status = "default", body = Problem)))]
pub(super) async fn audit_prove(call: Call<u64>) -> Response {
    let proof = call.caller.audit_prove(call.path).await;
    call.with(proof).await
}
