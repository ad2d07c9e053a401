//! `snapshots/…` and `layouts/…`: a scope as it was, and the file that its secrets came from.

use axum::{Router, response::Response, routing};
use coffer_api::{
    Page, Problem, Scope,
    snapshots::{Layout, Restore, Restored, Snapshot, SnapshotCreate, SnapshotInfo, SnapshotValues},
};

use super::{
    call::{Call, Json, NoQuery},
    page::PageQuery,
};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/layouts/{scope}", routing::get(layout_read))
        .route("/snapshots/{scope}", routing::get(snapshot_list).post(snapshot_create))
        .route("/snapshots/{scope}/{id}", routing::get(snapshot_read))
        .route("/snapshots/{scope}/{id}/restore", routing::post(snapshot_restore))
        .route("/snapshots/{scope}/{id}/values", routing::get(snapshot_values))
}

/// The `.env` file that a scope's secrets came from, without its values.
#[utoipa::path(get, path = "/api/v1/layouts/{scope}", tag = "secrets", operation_id = "layout_read",
    params(("scope" = Scope, Path)), security(("token" = [])),
    responses((status = 200, body = Layout), (status = "default", body = Problem)))]
pub(super) async fn layout_read(call: Call<Scope>) -> Response {
    let layout = call.caller.secret_layout(&call.path).await;
    call.with(layout).await
}

/// The snapshots of a scope that are kept, oldest first.
#[utoipa::path(get, path = "/api/v1/snapshots/{scope}", tag = "secrets", operation_id = "snapshot_list",
    params(("scope" = Scope, Path), PageQuery), security(("token" = [])),
    responses((status = 200, body = Page<SnapshotInfo>), (status = "default", body = Problem)))]
pub(super) async fn snapshot_list(call: Call<Scope, PageQuery>) -> Response {
    let page = match call.query.numbered() {
        Ok((after, limit)) => call.caller.snapshot_list(&call.path, after, limit).await,
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(page).await
}

/// Notes which version of each of a scope's secrets is in force now.
#[utoipa::path(post, path = "/api/v1/snapshots/{scope}", tag = "secrets", operation_id = "snapshot_create",
    params(("scope" = Scope, Path)), request_body = SnapshotCreate, security(("token" = [])),
    responses((status = 200, body = SnapshotInfo), (status = "default", body = Problem)))]
pub(super) async fn snapshot_create(call: Call<Scope, NoQuery, Json<SnapshotCreate>>) -> Response {
    let taken = call.caller.snapshot_create(&call.path, &call.body.0.reason).await;
    call.with(taken).await
}

/// A snapshot: names and versions.
#[utoipa::path(get, path = "/api/v1/snapshots/{scope}/{id}", tag = "secrets", operation_id = "snapshot_read",
    params(("scope" = Scope, Path), ("id" = u64, Path)), security(("token" = [])),
    responses((status = 200, body = Snapshot), (status = "default", body = Problem)))]
pub(super) async fn snapshot_read(call: Call<(Scope, u64)>) -> Response {
    let (scope, id) = &call.path;
    let snapshot = call.caller.snapshot_read(scope, *id).await;
    call.with(snapshot).await
}

/// Puts a scope back to a snapshot, all of it or nothing, after another one was taken.
#[utoipa::path(post, path = "/api/v1/snapshots/{scope}/{id}/restore", tag = "secrets",
    operation_id = "snapshot_restore",
    params(("scope" = Scope, Path), ("id" = u64, Path)), request_body = Restore, security(("token" = [])),
    responses((status = 200, body = Restored), (status = "default", body = Problem)))]
pub(super) async fn snapshot_restore(call: Call<(Scope, u64), NoQuery, Json<Restore>>) -> Response {
    let (scope, id) = &call.path;
    let restored = call.caller.snapshot_restore(scope, *id, call.body.0).await;
    call.with(restored).await
}

/// The values that a snapshot stands for.
#[utoipa::path(get, path = "/api/v1/snapshots/{scope}/{id}/values", tag = "secrets", operation_id = "snapshot_values",
    params(("scope" = Scope, Path), ("id" = u64, Path)), security(("token" = [])),
    responses((status = 200, body = SnapshotValues), (status = "default", body = Problem)))]
pub(super) async fn snapshot_values(call: Call<(Scope, u64)>) -> Response {
    let (scope, id) = &call.path;
    let values = call.caller.snapshot_values(scope, *id).await;
    call.with(values).await
}
