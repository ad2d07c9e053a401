//! `policies…`.

use axum::{Router, response::Response, routing};
use coffer_api::{
    Page, Problem,
    policy::{PolicyPut, PolicyText},
};
use coffer_core::{ListPart, Operation, PolicyNames};
use serde_json::{Map, Value};

use super::{
    call::{Call, Json, NoQuery},
    page::PageQuery,
};
use crate::app::App;

/// The logical path that stands for all of them.
const FAMILY: &str = "sys/policies/acl/";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/policies", routing::get(policy_list))
        .route("/policies/{name}", routing::get(policy_read).put(policy_write).delete(policy_delete))
}

/// Names of all policies.
#[utoipa::path(get, path = "/api/v1/policies", tag = "policies", operation_id = "policy_list",
    params(PageQuery), security(("token" = [])),
    responses((status = 200, body = Page<String>), (status = "default", body = Problem)))]
pub(super) async fn policy_list(call: Call<(), PageQuery>) -> Response {
    let page = match call.query.named() {
        Ok((after, limit)) => {
            let part = ListPart { after, limit: Some(limit) };
            call.caller.policy_list(Operation::List, FAMILY, PolicyNames::All, part).await
        }
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(page).await
}

/// A policy's text.
#[utoipa::path(get, path = "/api/v1/policies/{name}", tag = "policies", operation_id = "policy_read",
    params(("name" = String, Path)), security(("token" = [])),
    responses((status = 200, body = PolicyText), (status = "default", body = Problem)))]
pub(super) async fn policy_read(call: Call<String>) -> Response {
    let policy = call.caller.policy_read(&call.path, FAMILY).await.map(|found| found.text);
    call.with(policy).await
}

/// Writes a policy.
#[utoipa::path(put, path = "/api/v1/policies/{name}", tag = "policies", operation_id = "policy_write",
    params(("name" = String, Path)), request_body = PolicyPut, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn policy_write(call: Call<String, NoQuery, Json<PolicyPut>>) -> Response {
    let text = &call.body.0.policy;
    let parameters = Map::from_iter([("policy".to_owned(), Value::String(text.clone()))]);
    let written = call.caller.policy_write(&call.path, FAMILY, text, &parameters).await;
    call.done(written).await
}

/// Deletes a policy.
#[utoipa::path(delete, path = "/api/v1/policies/{name}", tag = "policies", operation_id = "policy_delete",
    params(("name" = String, Path)), security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn policy_delete(call: Call<String>) -> Response {
    let deleted = call.caller.policy_delete_existing(&call.path).await;
    call.done(deleted).await
}
