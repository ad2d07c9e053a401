//! What can be asked for in several spellings is the same thing: what is denied of it stays denied, and what a path looks
//! like to another login method is of no account.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

async fn with_logins() -> TestServer {
    let server = TestServer::dev().await;
    for kind in ["approle", "userpass"] {
        server.root("POST", &format!("/v1/sys/auth/{kind}"), json!({"type": kind})).await.is(204);
    }
    server
}

#[tokio::test]
async fn roles_and_users_named_login_are_administered() {
    let server = with_logins().await;
    server.root("POST", "/v1/auth/approle/role/login", json!({"role_id": "r"})).await.is(204);
    let secret = server.root("POST", "/v1/auth/approle/role/login/secret-id", json!({})).await.data();
    assert_eq!(secret["secret_id"].as_str().unwrap().len(), 36);
    let accessor = json!({"secret_id_accessor": secret["secret_id_accessor"]});
    let path = "/v1/auth/approle/role/login/secret-id-accessor/lookup";
    assert_eq!(server.root("POST", path, accessor).await.data()["secret_id_accessor"], secret["secret_id_accessor"]);
    server.root("POST", "/v1/auth/approle/role/login/period", json!({"period": 60})).await.is(204);
    let sent = json!({"role_id": "r", "secret_id": secret["secret_id"]}).to_string();
    server.raw("POST", "/v1/auth/approle/login", None, &sent).await.is(200);

    server.root("POST", "/v1/auth/userpass/users/login", json!({"password": "a"})).await.is(204);
    server.root("POST", "/v1/auth/userpass/users/login/password", json!({"password": "b"})).await.is(204);
    let login = |mount: &str| format!("/v1/auth/{mount}/login/login");
    server.raw("POST", &login("userpass"), None, r#"{"password":"b"}"#).await.is(200);

    // Mounts may be called so too.
    for path in ["login", "a/login"] {
        server.root("POST", &format!("/v1/sys/auth/{path}"), json!({"type": "userpass"})).await.is(204);
        server.root("POST", &format!("/v1/auth/{path}/users/login"), json!({"password": "c"})).await.is(204);
        server.raw("POST", &login(path), None, r#"{"password":"c"}"#).await.is(200);
    }
    // No path of another engine is a login, and none that nobody answers.
    let refused = server.raw("POST", "/v1/auth/approle/role/login/secret-id", None, r#"{"password":"b"}"#).await;
    assert_eq!(refused.errors(403), json!(["permission denied"]));
    server.raw("POST", &login("nosuch"), None, "{").await.is(403);
    server.root("POST", &login("nosuch"), json!({"password": "b"})).await.is(404);
    server.stop().await;
}
