//! `login/…`: the requests that need no token.

use axum::{Router, extract::State, response::Response, routing};
use coffer_api::{Code, Problem, auth::UserpassLogin, token::TokenGrant};
use coffer_core::Error;

use super::call::{Anonymous, Json, NoBody};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/login/userpass", routing::post(login_userpass))
        .route("/login/initial", routing::post(login_initial))
}

/// Logs in with user name and password.
#[utoipa::path(post, path = "/api/v1/login/userpass", tag = "login", operation_id = "login_userpass",
    request_body = UserpassLogin, security(()),
    responses((status = 200, body = TokenGrant), (status = "default", body = Problem)))]
pub(super) async fn login_userpass(State(app): State<App>, login: Anonymous<Json<UserpassLogin>>) -> Response {
    let UserpassLogin { mount, username, password } = &login.body.0;
    let mount = mount.as_deref().unwrap_or("userpass");
    login.reply.json(app.core().login_userpass(login.cx, mount, username, password).await)
}

/// Exchanges the initial token for an administrator's token.
#[utoipa::path(post, path = "/api/v1/login/initial", tag = "login", operation_id = "login_initial",
    security(("token" = [])),
    responses((status = 200, body = TokenGrant), (status = "default", body = Problem)))]
pub(super) async fn login_initial(State(app): State<App>, login: Anonymous<NoBody>) -> Response {
    let Some(token) = login.token else {
        let missing = Error::new(Code::Unauthenticated, "the initial token is missing: send it as X-Vault-Token");
        return login.reply.json::<TokenGrant>(Err(app.core().refuse_anonymous(login.cx, missing).await));
    };
    login.reply.json(app.core().login_initial(login.cx, token.expose()).await)
}
