//! `tokens…`.

use axum::{Router, response::Response, routing};
use coffer_api::{
    Page, Problem,
    token::{TokenCreate, TokenGrant, TokenInfo, TokenKind, TokenRef, TokenRenew},
};
use coffer_core::{CreatePath, ListPart, Loaded, Operation, Parameters};
use serde_json::{Map, Value, json};

use super::{
    call::{Call, Json, NoQuery},
    page::PageQuery,
};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/tokens", routing::get(token_list).post(token_create))
        .route("/tokens/self", routing::get(token_self).delete(token_revoke_self))
        .route("/tokens/lookup", routing::post(token_lookup))
        .route("/tokens/renew", routing::post(token_renew))
        .route("/tokens/revoke", routing::post(token_revoke))
}

/// Creates a token.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "token_create",
    request_body = TokenCreate, security(("token" = [])),
    responses((status = 200, body = TokenGrant), (status = "default", body = Problem)))]
pub(super) async fn token_create(call: Call<(), NoQuery, Json<TokenCreate>>) -> Response {
    let request = call.body.0.clone();
    let parameters = CreateParameters(request.clone());
    let role = request.role.clone();
    let how = role.as_deref().map_or(CreatePath::Child, CreatePath::Role);
    let grant = call.caller.token_create(how, request, &parameters).await;
    call.with(grant).await
}

/// Accessors of all tokens.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "token_list",
    params(PageQuery), security(("token" = [])),
    responses((status = 200, body = Page<String>), (status = "default", body = Problem)))]
pub(super) async fn token_list(call: Call<(), PageQuery>) -> Response {
    let page = match call.query.named() {
        Ok((after, limit)) => call.caller.token_list(ListPart { after, limit: Some(limit) }).await,
        Err(error) => Err(call.caller.refuse_unparsed(error).await),
    };
    call.with(page).await
}

/// What is known of the caller's own token.
#[utoipa::path(get, path = "/api/v1/tokens/self", tag = "tokens", operation_id = "token_self",
    security(("token" = [])),
    responses((status = 200, body = TokenInfo), (status = "default", body = Problem)))]
pub(super) async fn token_self(call: Call) -> Response {
    let info = call.caller.token_lookup_self(Operation::Read).await;
    call.with(info).await
}

/// Revokes the caller's own token with all that came from it.
#[utoipa::path(delete, path = "/api/v1/tokens/self", tag = "tokens", operation_id = "token_revoke_self",
    security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn token_revoke_self(call: Call) -> Response {
    let revoked = call.caller.token_revoke_self().await;
    call.done(revoked).await
}

/// What is known of a token.
#[utoipa::path(post, path = "/api/v1/tokens/lookup", tag = "tokens", operation_id = "token_lookup",
    request_body = TokenRef, security(("token" = [])),
    responses((status = 200, body = TokenInfo), (status = "default", body = Problem)))]
pub(super) async fn token_lookup(call: Call<(), NoQuery, Json<TokenRef>>) -> Response {
    let info = call.caller.token_lookup(&call.body.0, &RefParameters(call.body.0.clone())).await;
    call.with(info).await
}

/// Renews a token; the caller's own where none is named.
#[utoipa::path(post, path = "/api/v1/tokens/renew", tag = "tokens", operation_id = "token_renew",
    request_body = TokenRenew, security(("token" = [])),
    responses((status = 200, body = TokenGrant), (status = "default", body = Problem)))]
pub(super) async fn token_renew(call: Call<(), NoQuery, Json<TokenRenew>>) -> Response {
    let grant = call.caller.token_renew(&call.body.0, &RenewParameters(call.body.0.clone())).await;
    call.with(grant).await
}

/// Revokes a token with all that came from it.
#[utoipa::path(post, path = "/api/v1/tokens/revoke", tag = "tokens", operation_id = "token_revoke",
    request_body = TokenRef, security(("token" = [])),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn token_revoke(call: Call<(), NoQuery, Json<TokenRef>>) -> Response {
    let revoked = call.caller.token_revoke(&call.body.0, &RefParameters(call.body.0.clone())).await;
    call.done(revoked).await
}

/// The data of the logical request that a creation stands for: only what was sent, under the names that policies know.
struct CreateParameters(TokenCreate);

struct RefParameters(TokenRef);

struct RenewParameters(TokenRenew);

impl Parameters for CreateParameters {
    fn load(&self) -> Loaded {
        let TokenCreate {
            policies,
            no_default_policy,
            display_name,
            metadata,
            ttl,
            explicit_max_ttl,
            period,
            num_uses,
            orphan,
            renewable,
            kind,
            // In the path.
            role: _,
            id,
        } = &self.0;
        let flag = |set: bool| set.then_some(Value::Bool(true));
        let sent = [
            ("display_name", display_name.as_ref().map(|name| json!(name))),
            ("explicit_max_ttl", explicit_max_ttl.map(Value::from)),
            ("id", id.as_ref().map(|id| json!(id.expose()))),
            ("meta", (!metadata.is_empty()).then(|| json!(metadata))),
            ("no_default_policy", flag(*no_default_policy)),
            ("no_parent", flag(*orphan)),
            ("num_uses", (*num_uses > 0).then(|| Value::from(*num_uses))),
            ("period", period.map(Value::from)),
            ("policies", (!policies.is_empty()).then(|| json!(policies))),
            ("renewable", renewable.map(Value::Bool)),
            ("ttl", ttl.map(Value::from)),
            ("type", (*kind == TokenKind::Batch).then(|| json!("batch"))),
        ];
        loaded(sent)
    }
}

impl Parameters for RefParameters {
    fn load(&self) -> Loaded {
        let TokenRef { token, accessor } = &self.0;
        loaded([
            ("accessor", accessor.as_ref().map(|accessor| json!(accessor))),
            ("token", token.as_ref().map(|token| json!(token.expose()))),
        ])
    }
}

impl Parameters for RenewParameters {
    fn load(&self) -> Loaded {
        let TokenRenew { token, accessor, increment } = &self.0;
        loaded([
            ("accessor", accessor.as_ref().map(|accessor| json!(accessor))),
            ("increment", increment.map(Value::from)),
            ("token", token.as_ref().map(|token| json!(token.expose()))),
        ])
    }
}

fn loaded<const N: usize>(sent: [(&str, Option<Value>); N]) -> Loaded {
    let map: Map<String, Value> =
        sent.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    Ok((!map.is_empty()).then_some(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creation_loads_only_what_was_sent() {
        assert!(CreateParameters(TokenCreate::default()).load().unwrap().is_none());
        let request: TokenCreate = serde_json::from_value(
            json!({"policies": ["a"], "orphan": true, "ttl": 5, "kind": "batch", "metadata": {"k": "v"}, "role": "r"}),
        )
        .unwrap();
        let loaded = Value::Object(CreateParameters(request).load().unwrap().unwrap());
        assert_eq!(
            loaded,
            json!({"policies": ["a"], "no_parent": true, "ttl": 5, "type": "batch", "meta": {"k": "v"}})
        );
    }
}
