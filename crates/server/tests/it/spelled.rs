//! What can be asked for in several spellings: policies see what was sent, and what a path looks like to another login
//! method is of no account.

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

async fn with_names() -> TestServer {
    let server = with_logins().await;
    for (path, body) in [
        ("identity/entity/name/Ops-admin", json!({})),
        ("identity/group/name/ops", json!({})),
        ("auth/approle/role/web", json!({"role_id": "web", "policies": "p"})),
        ("auth/userpass/users/ada", json!({"password": "a"})),
        ("sys/policies/acl/strict", json!({"policy": "path \"x\" { capabilities = [\"read\"] }"})),
    ] {
        server.root("POST", &format!("/v1/{path}"), body).await.one_of(&[200, 204]);
    }
    server
}

#[tokio::test]
async fn entity_and_group_are_granted_and_denied_as_they_are_sent() {
    let server = with_names().await;
    let all = "capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\", \"sudo\"]";
    for kind in ["entity/name/Ops-admin", "group/name/ops"] {
        let own = format!("identity/{kind}");
        let other = own.to_uppercase().replace("IDENTITY/ENTITY/NAME", "identity/entity/name");
        let other = other.replace("IDENTITY/GROUP/NAME", "identity/group/name");
        let grant = format!("path {own:?} {{ {all} }}");
        let deny = format!("path \"*\" {{ {all} }}\npath {own:?} {{ capabilities = [\"deny\"] }}");
        let any = format!("path \"*\" {{ {all} }}\npath \"identity/+/name/*\" {{ capabilities = [\"deny\"] }}");
        for (policy, of_own, of_other) in [(grant, 200, 403), (deny, 403, 200), (any, 403, 403)] {
            let token = server.token_with(ROOT, &policy).await;
            for (path, status) in [(&own, of_own), (&other, of_other)] {
                server.as_token(&token, "GET", &format!("/v1/{path}"), Value::Null).await.is(status);
                server.root("GET", &format!("/v1/{path}"), Value::Null).await.is(200);
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn roles_users_and_policies_are_named_in_lower_case_to_policies() {
    let server = with_names().await;
    for (own, other) in [
        ("auth/approle/role/web", "auth/approle/role/WEB"),
        ("auth/approle/role/web/policies", "auth/approle/role/Web/policies"),
        ("auth/userpass/users/ada", "auth/userpass/users/ADA"),
        ("sys/policies/acl/strict", "sys/policies/acl/STRICT"),
        ("sys/policy/strict", "sys/policy/STRICT"),
    ] {
        let reads = |path: &str| format!("path {path:?} {{ capabilities = [\"read\"] }}");
        let denied =
            format!("path \"*\" {{ capabilities = [\"read\"] }}\npath {own:?} {{ capabilities = [\"deny\"] }}");
        for (policy, status) in [(reads(own), 200), (reads(other), 403), (denied, 403)] {
            let token = server.token_with(ROOT, &policy).await;
            for path in [own, other] {
                server.as_token(&token, "GET", &format!("/v1/{path}"), Value::Null).await.is(status);
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn lock_is_lifted_by_the_name_it_is_listed_by_alone() {
    let server = with_names().await;
    for _ in 0..6 {
        server.raw("POST", "/v1/auth/userpass/login/ADA", None, r#"{"password":"bad"}"#).await.one_of(&[400, 403]);
    }
    let accessor = server.root("GET", "/v1/sys/auth", Value::Null).await.data()["userpass/"]["accessor"].clone();
    let unlock = |name: &str| format!("/v1/sys/locked-users/{}/unlock/{name}", accessor.as_str().unwrap());
    for (name, left) in [("ADA", 1), ("ada", 0)] {
        server.root("POST", &unlock(name), json!({})).await.is(204);
        assert_eq!(server.root("GET", "/v1/sys/locked-users", Value::Null).await.data()["total"], left, "{name}");
    }
    // A role id may have capital letters.
    server.root("POST", "/v1/auth/approle/role/web", json!({"role_id": "WEB"})).await.is(204);
    for _ in 0..6 {
        let wrong = r#"{"role_id":"WEB","secret_id":"bad"}"#;
        server.raw("POST", "/v1/auth/approle/login", None, wrong).await.one_of(&[400, 403]);
    }
    let accessor = server.root("GET", "/v1/sys/auth", Value::Null).await.data()["approle/"]["accessor"].clone();
    let locked = async || server.root("GET", "/v1/sys/locked-users", Value::Null).await.data()["total"].clone();
    assert_eq!(locked().await, 1);
    let unlock = format!("/v1/sys/locked-users/{}/unlock/WEB", accessor.as_str().unwrap());
    server.root("POST", &unlock, json!({})).await.is(204);
    assert_eq!(locked().await, 0);
    server.stop().await;
}

#[tokio::test]
async fn id_has_one_spelling() {
    let server = with_names().await;
    let id = server.root("GET", "/v1/identity/entity/name/ops-admin", Value::Null).await.data()["id"].clone();
    let id = id.as_str().unwrap();
    server.root("GET", &format!("/v1/identity/entity/id/{id}"), Value::Null).await.is(200);
    let plain = id.replace('-', "");
    for other in [id.to_uppercase(), format!("urn:uuid:{id}"), format!("%7B{id}%7D"), plain] {
        let path = format!("/v1/identity/entity/id/{other}");
        server.root("GET", &path, Value::Null).await.is(404);
        server.root("POST", &path, json!({"disabled": true})).await.is(400);
        server.root("DELETE", &path, Value::Null).await.is(204);
    }
    let found = server.root("GET", &format!("/v1/identity/entity/id/{id}"), Value::Null).await.data();
    assert_eq!(found["disabled"], json!(false));
    server.stop().await;
}

#[tokio::test]
async fn mount_is_granted_and_denied_as_it_is_sent() {
    let server = with_logins().await;
    server.root("POST", "/v1/sys/mounts/kv", json!({"type": "kv"})).await.is(204);
    let all = "capabilities = [\"read\", \"delete\", \"sudo\"]";
    for own in ["sys/mounts/kv", "sys/mounts/kv/tune", "sys/auth/approle", "sys/auth/approle/tune"] {
        let other = format!("{own}/");
        let grant = format!("path {own:?} {{ {all} }}");
        let deny = format!("path \"sys/*\" {{ {all} }}\npath {own:?} {{ capabilities = [\"deny\"] }}");
        let any = format!("path \"sys/*\" {{ {all} }}\npath \"{own}*\" {{ capabilities = [\"deny\"] }}");
        for (policy, of_own, of_other) in [(grant, 200, 403), (deny, 403, 200), (any, 403, 403)] {
            let token = server.token_with(ROOT, &policy).await;
            for (path, status) in [(own, of_own), (other.as_str(), of_other)] {
                server.as_token(&token, "GET", &format!("/v1/{path}"), Value::Null).await.is(status);
                server.root("GET", &format!("/v1/{path}"), Value::Null).await.is(200);
            }
        }
    }
    let policy = format!("path \"sys/mounts/kv/\" {{ {all} }}");
    let token = server.token_with(ROOT, &policy).await;
    server.as_token(&token, "DELETE", "/v1/sys/mounts/kv", Value::Null).await.is(403);
    server.as_token(&token, "DELETE", "/v1/sys/mounts/kv/", Value::Null).await.is(204);
    server.stop().await;
}
