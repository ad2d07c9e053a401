//! User names and passwords, through both dialects.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

/// The bcrypt hash of `U*U`.
const HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

async fn enabled() -> TestServer {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/auth/userpass", json!({"type": "userpass"})).await.is(204);
    server
}

#[tokio::test]
async fn user_is_written_shown_listed_and_deleted() {
    let server = enabled().await;
    let path = "/v1/auth/userpass/users/Bob";
    let body = json!({"password": "pw", "token_policies": "p1", "token_ttl": "30m"});
    server.root("POST", path, body).await.is(204);
    assert_eq!(
        server.root("GET", "/v1/auth/userpass/users/bob", Value::Null).await.data(),
        json!({"token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0, "token_no_default_policy": false,
            "token_num_uses": 0, "token_period": 0, "token_policies": ["p1"], "token_strictly_bind_ip": false, "token_ttl": 1800, "token_type": "default"})
    );
    assert_eq!(server.root("LIST", "/v1/auth/userpass/users", Value::Null).await.data(), json!({"keys": ["bob"]}));
    server.root("POST", "/v1/auth/userpass/users/bob/policies", json!({"token_policies": ["p1", "p3"]})).await.is(204);
    assert_eq!(server.root("GET", path, Value::Null).await.data()["token_policies"], json!(["p1", "p3"]));
    server.root("POST", "/v1/auth/userpass/users/bob/policies", json!({})).await.is(204);
    assert_eq!(server.root("GET", path, Value::Null).await.data()["token_policies"], json!(["p1", "p3"]));
    for (path, body, error) in [
        ("users/new", json!({}), "must provide either password or password_hash"),
        ("users/new", json!({"password": ""}), "must provide either password or password_hash"),
        ("users/bob/password", json!({}), "must provide either password or password_hash"),
        ("users/bob", json!({"password_hash": "$2a$"}), "password_hash is not a valid bcrypt hash"),
        (
            "users/bob",
            json!({"password_hash": HASH.replace("$05$", "$04$")}),
            "bcrypt cost of 4 is too low, want 5 at minimum",
        ),
        (
            "users/bob",
            json!({"password_hash": HASH.replace("$05$", "$13$")}),
            "bcrypt cost of 13 exceeds maximum cost of 12",
        ),
        (
            "users/bob",
            json!({"password": "x", "password_hash": HASH}),
            "only one of password or password_hash may be provided",
        ),
        ("users/none/password", json!({"password": "x"}), "1 error occurred:\n\t* username does not exist\n\n"),
        ("users/none/policies", json!({"policies": "x"}), "1 error occurred:\n\t* username does not exist\n\n"),
        ("users/bob", json!({"token_type": "default-batch"}), "invalid 'token_type' value \"default-batch\""),
    ] {
        let refused = server.root("POST", &format!("/v1/auth/userpass/{path}"), body).await;
        assert_eq!(refused.errors(400), json!([error]), "{path}");
    }
    server.root("DELETE", path, Value::Null).await.is(204);
    assert_eq!(server.root("GET", path, Value::Null).await.errors(404), json!([]));
    server.root("LIST", "/v1/auth/userpass/users", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn login_needs_no_token_and_makes_an_entity() {
    let server = enabled().await;
    let body = json!({"password": "pw", "token_policies": ["p1"], "token_ttl": "30m"});
    server.root("POST", "/v1/auth/userpass/users/bob", body).await.is(204);
    let login =
        async |user: &str, body: &str| server.raw("POST", &format!("/v1/auth/userpass/login/{user}"), None, body).await;
    let auth = login("BOB", r#"{"password":"pw"}"#).await.is(200).json()["auth"].take();
    assert_eq!(
        (&auth["policies"], &auth["metadata"], &auth["lease_duration"], &auth["orphan"]),
        (&json!(["default", "p1"]), &json!({"username": "bob"}), &json!(1800), &json!(true))
    );
    assert_eq!(auth["entity_id"].as_str().unwrap().len(), 36);
    let again = login("bob", r#"{"password":"pw"}"#).await.is(200).json()["auth"].take();
    assert_eq!(again["entity_id"], auth["entity_id"]);
    let data =
        server.as_token(auth["client_token"].as_str().unwrap(), "GET", "/v1/auth/token/lookup-self", Value::Null);
    assert_eq!(data.await.data()["display_name"], "userpass-bob");

    let native = r#"{"username":"bob","password":"pw"}"#;
    let grant = server.raw("POST", "/api/v1/login/userpass", None, native).await.is(200).json();
    assert_eq!(grant["entity_id"], auth["entity_id"]);

    for (user, body) in [("bob", r#"{"password":"bad"}"#), ("none", r#"{"password":"bad"}"#)] {
        assert_eq!(login(user, body).await.errors(400), json!(["invalid username or password"]));
    }
    for body in ["", "{}", r#"{"password":""}"#, "{"] {
        login("bob", body).await.is(400);
    }
    let wrong = r#"{"username":"bob","password":"bad"}"#;
    assert_eq!(
        server.raw("POST", "/api/v1/login/userpass", None, wrong).await.is(401).json()["code"],
        "invalid_credentials"
    );
    let missing = r#"{"username":"bob"}"#;
    server.raw("POST", "/api/v1/login/userpass", None, missing).await.is(400);
    let nowhere = server.raw("POST", "/v1/auth/nosuch/login/bob", None, r#"{"password":"pw"}"#).await;
    assert_eq!(nowhere.errors(403), json!(["permission denied"]));
    let long = format!("{{\"password\":\"{}\"}}", "x".repeat(70_000));
    login("bob", &long).await.is(413);
    server.stop().await;
}

#[tokio::test]
async fn root_is_no_policy_of_a_user() {
    let server = enabled().await;
    let path = "/v1/auth/userpass/users/bob";
    server.root("POST", path, json!({"password": "pw", "token_policies": "root"})).await.is(204);
    let refused = server.raw("POST", "/v1/auth/userpass/login/bob", None, r#"{"password":"pw"}"#).await;
    assert_eq!(refused.errors(400), json!(["auth methods cannot create root tokens"]));
    server.root("POST", "/v1/identity/entity", json!({"name": "e", "policies": ["root"]})).await.is(400);
    server.root("POST", "/v1/identity/group", json!({"name": "g", "policies": ["root"]})).await.is(400);
    server.root("DELETE", "/v1/sys/policies/acl/administrator", Value::Null).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn fifth_wrong_password_locks_the_user_out() {
    let server = enabled().await;
    server.root("POST", "/v1/auth/userpass/users/bob", json!({"password": "pw"})).await.is(204);
    let login = async |password: &str| {
        let body = json!({"password": password}).to_string();
        server.raw("POST", "/v1/auth/userpass/login/bob", None, &body).await.status
    };
    for _ in 0..5 {
        login("bad").await;
    }
    assert_eq!(login("pw").await, 403);
    let accessor = server.root("GET", "/v1/sys/auth", Value::Null).await.data()["userpass/"]["accessor"].take();
    let locked = json!({"by_namespace": [{"namespace_id": "root", "namespace_path": "", "counts": 1,
        "mount_accessors": [{"mount_accessor": accessor, "counts": 1, "alias_identifiers": ["bob"]}]}], "total": 1});
    assert_eq!(server.root("GET", "/v1/sys/locked-users", Value::Null).await.data(), locked);
    let of = format!("/v1/sys/locked-users?mount_accessor={}", accessor.as_str().unwrap());
    assert_eq!(server.root("GET", &of, Value::Null).await.data(), locked);
    let nobody = |mounts: Value| {
        let root = json!({"namespace_id": "root", "namespace_path": "", "counts": 0, "mount_accessors": mounts});
        json!({"by_namespace": [root], "total": 0})
    };
    let of = "/v1/sys/locked-users?mount_accessor=nosuch";
    let nosuch = json!([{"mount_accessor": "nosuch", "counts": 0, "alias_identifiers": null}]);
    assert_eq!(server.root("GET", of, Value::Null).await.data(), nobody(nosuch));
    let unlock = format!("/v1/sys/locked-users/{}/unlock/bob", accessor.as_str().unwrap());
    server.root("GET", &unlock, Value::Null).await.is(405);
    server.root("PUT", &unlock, Value::Null).await.is(204);
    server.root("POST", &unlock, Value::Null).await.is(204);
    assert_eq!(server.root("GET", "/v1/sys/locked-users?mount_accessor=", Value::Null).await.data(), nobody(json!([])));
    assert_eq!(login("pw").await, 200);
    server.stop().await;
}

#[tokio::test]
async fn changed_password_is_the_one_that_counts() {
    let server = enabled().await;
    server.root("POST", "/v1/auth/userpass/users/bob", json!({"password": "pw"})).await.is(204);
    server.root("POST", "/v1/auth/userpass/users/bob/password", json!({"password": "pw2"})).await.is(204);
    let login = async |password: &str| {
        let body = json!({"password": password}).to_string();
        server.raw("PUT", "/v1/auth/userpass/login/bob", Some(ROOT), &body).await.status
    };
    assert_eq!((login("pw").await, login("pw2").await), (400, 200));
    server.stop().await;
}

#[tokio::test]
async fn bcrypt_hash_stands_for_its_password() {
    let server = enabled().await;
    let login = async |password: &str| {
        let body = json!({"password": password}).to_string();
        server.raw("POST", "/v1/auth/userpass/login/bob", None, &body).await.status
    };
    server.root("POST", "/v1/auth/userpass/users/bob", json!({"password_hash": HASH})).await.is(204);
    assert_eq!((login("U*U").await, login("U*V").await), (200, 400));
    server.root("POST", "/v1/auth/userpass/users/bob/password", json!({"password": "pw"})).await.is(204);
    assert_eq!((login("U*U").await, login("pw").await), (400, 200));
    server.root("POST", "/v1/auth/userpass/users/bob/password", json!({"password_hash": HASH})).await.is(204);
    assert_eq!(login("U*U").await, 200);
    server.stop().await;
}

#[tokio::test]
async fn old_spellings_are_taken_and_shown_while_they_are_used() {
    let server = enabled().await;
    let path = "/v1/auth/userpass/users/o";
    let old = json!({"password": "pw", "policies": "p2", "ttl": "5m", "max_ttl": "10m", "bound_cidrs": "127.0.0.1",
        "period": 3, "num_uses": 2});
    server.root("POST", path, old).await.is(204);
    let mut expected = json!({"bound_cidrs": ["127.0.0.1"], "max_ttl": 600, "policies": ["p2"],
        "token_bound_cidrs": ["127.0.0.1"], "token_explicit_max_ttl": 0, "token_max_ttl": 600,
        "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0, "token_policies": ["p2"],
        "token_strictly_bind_ip": false, "token_ttl": 300, "token_type": "default", "ttl": 300});
    assert_eq!(server.root("GET", path, Value::Null).await.data(), expected);
    server.root("POST", path, json!({"token_ttl": 60})).await.is(204);
    server.root("POST", &format!("{path}/policies"), json!({"token_policies": "yy"})).await.is(204);
    for key in ["ttl", "policies"] {
        expected.as_object_mut().unwrap().remove(key);
    }
    expected["token_ttl"] = json!(60);
    expected["token_policies"] = json!(["yy"]);
    assert_eq!(server.root("GET", path, Value::Null).await.data(), expected);
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_as_the_user_says_and_renewed_by_that() {
    let server = enabled().await;
    let login = async |user: &str| {
        server.raw("POST", &format!("/v1/auth/userpass/login/{user}"), None, r#"{"password":"pw"}"#).await
    };
    let write = async |user: &str, mut body: Value| {
        body["password"] = json!("pw");
        server.root("POST", &format!("/v1/auth/userpass/users/{user}"), body).await.is(204);
    };
    write("batch", json!({"token_type": "batch", "token_ttl": 60})).await;
    let auth = login("batch").await.is(200).json()["auth"].take();
    assert_eq!((&auth["token_type"], &auth["lease_duration"]), (&json!("batch"), &json!(60)));
    write("bound", json!({"token_strictly_bind_ip": true, "token_num_uses": 2})).await;
    let auth = login("bound").await.is(200).json()["auth"].take();
    let token = auth["client_token"].as_str().unwrap();
    let info = server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&info["bound_cidrs"], &info["num_uses"]), (&json!(["127.0.0.1"]), &json!(1)));
    write("far", json!({"token_bound_cidrs": "10.0.0.1"})).await;
    assert_eq!(login("far").await.errors(403), json!(["permission denied"]));

    write("rn", json!({"token_ttl": 60, "token_policies": "p1"})).await;
    let auth = login("rn").await.is(200).json()["auth"].take();
    let token = auth["client_token"].as_str().unwrap();
    let renew = async || server.as_token(token, "POST", "/v1/auth/token/renew-self", json!({"increment": 300})).await;
    assert_eq!(renew().await.is(200).json()["auth"]["lease_duration"], 300);
    write("rn", json!({"token_policies": "p2"})).await;
    let changed = "1 error occurred:\n\t* failed to renew entry: policies have changed, not renewing\n\n";
    assert_eq!(renew().await.errors(400), json!([changed]));
    write("rn", json!({"token_policies": "default,P1", "token_max_ttl": 100})).await;
    assert!(renew().await.is(200).json()["auth"]["lease_duration"].as_u64().unwrap() <= 100);
    server.root("DELETE", "/v1/auth/userpass/users/rn", Value::Null).await.is(204);
    // Nothing is renewed, and nothing is said.
    let left = async || {
        server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data()["expire_time"].take()
    };
    let before = left().await;
    assert!(renew().await.is(204).body.is_empty());
    server.root("POST", "/v1/auth/token/renew", json!({"token": token})).await.is(204);
    assert_eq!(left().await, before);
    let accessor = json!({"accessor": auth["accessor"]});
    let lookup = "1 error occurred:\n\t* failed to lookup the token\n\n";
    assert_eq!(server.root("POST", "/v1/auth/token/renew-accessor", accessor).await.errors(400), json!([lookup]));
    write("rn", json!({"token_policies": "p1", "token_ttl": 60})).await;
    renew().await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn name_that_no_user_can_have_is_no_path() {
    let server = enabled().await;
    server.root("POST", "/v1/auth/userpass/users/ada", json!({"password": "pw"})).await.is(204);
    let password = r#"{"password":"pw"}"#;
    for name in ["b!b", "ada.", "-ada", "a@b.c", "ada/x", "%C3%A9"] {
        for by in [None, Some("nosuch")] {
            let refused = server.raw("POST", &format!("/v1/auth/userpass/login/{name}"), by, password).await;
            assert_eq!(refused.errors(404), json!(["unsupported path"]), "{name}");
        }
    }
    for method in ["GET", "DELETE", "PATCH"] {
        let refused = server.raw(method, "/v1/auth/userpass/login/ada", None, "").await;
        assert_eq!(refused.errors(405), json!(["unsupported operation"]), "{method}");
    }
    let refused = server.raw("LIST", "/v1/auth/userpass/login/ada", None, "").await;
    assert_eq!(refused.errors(404), json!(["unsupported path"]));
    server.raw("POST", "/v1/auth/userpass/login", None, password).await.is(403);
    server.raw("POST", "/v1/auth/nosuch/login/b!b", None, password).await.is(403);
    server.raw("POST", "/v1/auth/userpass/login/Ada", None, password).await.is(200);
    server.stop().await;
}
