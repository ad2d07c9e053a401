//! AppRole through the Vault dialect: roles, their settings, secret ids, logins.

use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

const ROLE: &str = "/v1/auth/approle/role/r1";

async fn enabled() -> TestServer {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/auth/approle", json!({"type": "approle"})).await.is(204);
    server
}

/// A role with a role id that is its name.
async fn role(server: &TestServer, name: &str, mut body: Value) {
    body["role_id"] = json!(name);
    server.root("POST", &format!("/v1/auth/approle/role/{name}"), body).await.is(204);
}

async fn secret_id(server: &TestServer, role: &str, body: Value) -> Value {
    server.root("POST", &format!("/v1/auth/approle/role/{role}/secret-id"), body).await.data()
}

async fn login(server: &TestServer, body: Value) -> Reply {
    server.raw("POST", "/v1/auth/approle/login", None, &body.to_string()).await
}

async fn lookup_self(server: &TestServer, auth: &Value) -> Value {
    let token = auth["client_token"].as_str().unwrap();
    server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data()
}

fn shown(fields: Value) -> Value {
    let mut all = json!({"bind_secret_id": true, "local_secret_ids": false, "secret_id_bound_cidrs": null,
        "secret_id_num_uses": 0, "secret_id_ttl": 0, "token_bound_cidrs": [], "token_explicit_max_ttl": 0,
        "token_max_ttl": 0, "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0,
        "token_policies": [], "token_strictly_bind_ip": false, "token_ttl": 0, "token_type": "default"});
    for (key, value) in fields.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

#[tokio::test]
async fn role_is_written_shown_listed_and_deleted() {
    let server = enabled().await;
    let body = json!({"token_policies": ["p1"], "token_ttl": "20m", "token_max_ttl": "30m", "secret_id_ttl": "10m",
        "secret_id_num_uses": 3, "token_num_uses": 5, "bind_secret_id": true});
    server.root("POST", ROLE, body).await.is(204);
    let first = shown(json!({"secret_id_num_uses": 3, "secret_id_ttl": 600, "token_max_ttl": 1800,
        "token_num_uses": 5, "token_policies": ["p1"], "token_ttl": 1200}));
    assert_eq!(server.root("GET", "/v1/auth/approle/role/R1", Value::Null).await.data(), first);
    assert_eq!(server.root("LIST", "/v1/auth/approle/role", Value::Null).await.data(), json!({"keys": ["r1"]}));
    let id = server.root("GET", &format!("{ROLE}/role-id"), Value::Null).await.data();
    assert_eq!(id["role_id"].as_str().unwrap().len(), 36);
    assert_eq!(server.root("GET", &format!("{ROLE}/role-id"), Value::Null).await.data(), id);
    for (body, error) in [
        (json!({"token_ttl": "5h"}), "'token_ttl' cannot be greater than 'token_max_ttl'"),
        (json!({"token_type": "x"}), "invalid 'token_type' value \"x\""),
        (
            json!({"token_type": "batch"}),
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
        ),
        (json!({"secret_id_num_uses": -5}), "secret_id_num_uses cannot be negative"),
        (
            json!({"token_ttl": -5}),
            "error converting input for field \"token_ttl\": cannot provide negative value '-5'",
        ),
        (
            json!({"token_ttl": "-1h30m"}),
            "error converting input for field \"token_ttl\": cannot provide negative value '-5400'",
        ),
        (json!({"local_secret_ids": true}), "local_secret_ids can only be modified during role creation"),
        (json!({"role_id": ""}), "invalid role_id supplied, or failed to generate a role_id"),
        (
            json!({"bind_secret_id": false}),
            "1 error occurred:\n\t* at least one constraint should be enabled on the role\n\n",
        ),
        (
            json!({"token_bound_cidrs": "x"}),
            "error parsing address \"x\": Unable to convert \"x\" to an IPv4 or IPv6 address, or a UNIX Socket",
        ),
    ] {
        assert_eq!(server.root("POST", ROLE, body).await.errors(400), json!([error]));
    }
    assert_eq!(server.root("GET", ROLE, Value::Null).await.data(), first, "what is refused changes nothing");
    let warned = server.root("POST", ROLE, json!({"token_max_ttl": "9999h", "token_type": "default-service"})).await;
    let warned = warned.is(200).json();
    assert_eq!(warned["data"], Value::Null);
    assert_eq!(
        warned["warnings"],
        json!([
            "default-service has no useful meaning; adjusting to service",
            "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be truncated"
        ])
    );
    server.root("DELETE", ROLE, Value::Null).await.is(204);
    server.root("DELETE", ROLE, Value::Null).await.is(204);
    assert_eq!(server.root("GET", ROLE, Value::Null).await.errors(404), json!([]));
    server.root("LIST", "/v1/auth/approle/role", Value::Null).await.is(404);
    for (method, path, status) in [
        ("GET", "/v1/auth/approle/role", 405),
        ("GET", "/v1/auth/approle/x", 404),
        ("GET", "/v1/auth/approle/role/we%20ird", 404),
        ("POST", "/v1/auth/approle/role/a@b", 404),
        ("POST", "/v1/auth/approle/role/-a", 404),
        ("LIST", "/v1/auth/approle/role/r1", 404),
        ("GET", "/v1/auth/approle/tidy/secret-id", 405),
        ("GET", "/v1/auth/approle/login?role_id=x", 405),
    ] {
        server.root(method, path, Value::Null).await.is(status);
    }
    server.stop().await;
}

#[tokio::test]
async fn settings_have_paths_of_their_own() {
    let server = enabled().await;
    role(&server, "r1", json!({})).await;
    for (path, field, sent, shown, reset) in [
        ("policies", "token_policies", json!("x,y"), json!(["x", "y"]), json!([])),
        ("secret-id-num-uses", "secret_id_num_uses", json!(4), json!(4), json!(0)),
        ("secret-id-ttl", "secret_id_ttl", json!("1m"), json!(60), json!(0)),
        ("token-ttl", "token_ttl", json!(60), json!(60), json!(0)),
        ("token-max-ttl", "token_max_ttl", json!("120"), json!(120), json!(0)),
        ("token-num-uses", "token_num_uses", json!(3), json!(3), json!(0)),
        ("period", "token_period", json!("30s"), json!(30), json!(0)),
        ("secret-id-bound-cidrs", "secret_id_bound_cidrs", json!("127.0.0.0/8"), json!(["127.0.0.0/8"]), Value::Null),
        ("token-bound-cidrs", "token_bound_cidrs", json!("127.0.0.1/32"), json!(["127.0.0.1"]), Value::Null),
    ] {
        let at = format!("{ROLE}/{path}");
        server.root("POST", &at, json!({field: sent})).await.is(204);
        assert_eq!(server.root("GET", &at, Value::Null).await.data(), json!({field: shown}), "{path}");
        assert_eq!(server.root("GET", ROLE, Value::Null).await.data()[field], shown);
        let bare = server.root("POST", &at, json!({})).await.status;
        assert_eq!(bare, if path.ends_with("cidrs") { 204 } else { 400 }, "{path}");
        server.root("DELETE", &at, Value::Null).await.is(204);
        assert_eq!(server.root("GET", &at, Value::Null).await.data(), json!({field: reset}), "{path}");
        let nobody = format!("/v1/auth/approle/role/none/{path}");
        server.root("POST", &nobody, json!({field: 1})).await.is(404);
        assert_eq!(server.root("GET", &nobody, Value::Null).await.errors(404), json!([]));
        server.root("DELETE", &nobody, Value::Null).await.is(204);
    }
    server.root("POST", &format!("{ROLE}/bound-cidr-list"), json!({"bound_cidr_list": "127.0.0.0/8"})).await.is(204);
    let deprecated = server.root("GET", &format!("{ROLE}/bound-cidr-list"), Value::Null).await.is(200).json();
    assert_eq!(deprecated["data"], json!({"bound_cidr_list": null}));
    assert_eq!(deprecated["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(server.root("GET", ROLE, Value::Null).await.data()["secret_id_bound_cidrs"], json!(["127.0.0.0/8"]));
    let local = format!("{ROLE}/local-secret-ids");
    assert_eq!(server.root("GET", &local, Value::Null).await.data(), json!({"local_secret_ids": false}));
    server.root("POST", &local, json!({"local_secret_ids": true})).await.is(405);
    for unknown in ["bind-secret-id", "token-type", "foo", "secret-id/foo", "secret-id-accessor"] {
        server.root("GET", &format!("{ROLE}/{unknown}"), Value::Null).await.is(404);
    }
    server.root("POST", &format!("{ROLE}/token-max-ttl"), json!({"token_max_ttl": 10})).await.is(204);
    let refused = server.root("POST", &format!("{ROLE}/token-ttl"), json!({"token_ttl": 20})).await;
    assert_eq!(refused.errors(400), json!(["token_ttl should not be greater than token_max_ttl"]));
    server.stop().await;
}

#[tokio::test]
async fn old_spellings_are_taken_and_shown_while_they_are_used() {
    let server = enabled().await;
    let old = json!({"policies": "p2", "period": "1m", "bound_cidr_list": "127.0.0.1/32", "ttl": "9m", "num_uses": 3});
    server.root("POST", ROLE, old).await.is(204);
    let read = async || server.root("GET", ROLE, Value::Null).await.data();
    let mut expected = shown(json!({"policies": ["p2"], "period": 60, "secret_id_bound_cidrs": ["127.0.0.1/32"],
        "token_period": 60, "token_policies": ["p2"]}));
    assert_eq!(read().await, expected);
    server.root("POST", ROLE, json!({"token_policies": "p3"})).await.is(204);
    expected.as_object_mut().unwrap().remove("policies");
    expected["token_policies"] = json!(["p3"]);
    assert_eq!(read().await, expected);
    server.root("POST", &format!("{ROLE}/policies"), json!({"policies": "p9"})).await.is(204);
    let both = json!({"policies": ["p9"], "token_policies": ["p9"]});
    assert_eq!(server.root("GET", &format!("{ROLE}/policies"), Value::Null).await.data(), both);
    server.stop().await;
}

#[tokio::test]
async fn role_id_stands_for_one_role() {
    let server = enabled().await;
    role(&server, "a", json!({})).await;
    role(&server, "b", json!({})).await;
    let taken = json!(["1 error occurred:\n\t* role_id already in use\n\n"]);
    let of = |name: &str| format!("/v1/auth/approle/role/{name}/role-id");
    assert_eq!(server.root("POST", &of("a"), json!({"role_id": "b"})).await.errors(400), taken);
    assert_eq!(server.root("POST", "/v1/auth/approle/role/c", json!({"role_id": "b"})).await.errors(400), taken);
    server.root("GET", "/v1/auth/approle/role/c", Value::Null).await.is(404);
    server.root("POST", &of("a"), json!({"role_id": "a"})).await.is(204);
    server.root("POST", &of("a"), json!({})).await.is(400);
    let secret = secret_id(&server, "a", json!({})).await["secret_id"].take();
    server.root("POST", &of("a"), json!({"role_id": "new"})).await.is(204);
    login(&server, json!({"role_id": "a", "secret_id": secret})).await.is(400);
    login(&server, json!({"role_id": "new", "secret_id": secret})).await.is(200);
    server.root("POST", &of("b"), json!({"role_id": "a"})).await.is(204);
    // Another mount knows nothing of it.
    server.root("POST", "/v1/sys/auth/deep/er", json!({"type": "approle"})).await.is(204);
    server.root("POST", "/v1/auth/deep/er/role/a", json!({"role_id": "a"})).await.is(204);
    let secret = server.root("POST", "/v1/auth/deep/er/role/a/secret-id", Value::Null).await.data();
    let body = json!({"role_id": "a", "secret_id": secret["secret_id"]});
    login(&server, body.clone()).await.is(400);
    let auth = server.raw("PUT", "/v1/auth/deep/er/login", None, &body.to_string()).await.is(200).json()["auth"].take();
    assert_eq!(lookup_self(&server, &auth).await["display_name"], "deep-er");
    server.stop().await;
}

#[tokio::test]
async fn login_gives_a_token_of_the_role() {
    let server = enabled().await;
    let body = json!({"token_policies": ["p1"], "token_ttl": "20m", "token_num_uses": 5, "secret_id_num_uses": 3,
        "secret_id_ttl": 600});
    role(&server, "r1", body).await;
    let sent = json!({"metadata": "{\"a\": \"b\", \"role_name\": \"evil\"}", "cidr_list": ["127.0.0.0/8"]});
    let made = secret_id(&server, "r1", sent).await;
    assert_eq!((&made["secret_id_num_uses"], &made["secret_id_ttl"]), (&json!(3), &json!(600)));
    let credential = json!({"role_id": "r1", "secret_id": made["secret_id"]});
    let auth = login(&server, credential.clone()).await.is(200).json()["auth"].take();
    let mut expected = json!({"client_token": auth["client_token"], "accessor": auth["accessor"],
        "policies": ["default", "p1"], "token_policies": ["default", "p1"],
        "metadata": {"a": "b", "role_name": "r1"}, "lease_duration": 1200, "renewable": true,
        "entity_id": auth["entity_id"], "token_type": "service", "orphan": true, "mfa_requirement": null,
        "num_uses": 5});
    assert_eq!(auth, expected);
    let info = lookup_self(&server, &auth).await;
    assert_eq!((&info["display_name"], &info["path"]), (&json!("approle"), &json!("auth/approle/login")));
    let entity = format!("/v1/identity/entity/id/{}", auth["entity_id"].as_str().unwrap());
    let alias = server.root("GET", &entity, Value::Null).await.data()["aliases"][0].take();
    assert_eq!((&alias["name"], &alias["metadata"]), (&json!("r1"), &json!({"a": "b", "role_name": "r1"})));

    let looked = |path: &str, body: Value| {
        let path = format!("{ROLE}/{path}/lookup");
        let server = &server;
        async move { server.root("POST", &path, body).await }
    };
    let by_secret = looked("secret-id", json!({"secret_id": made["secret_id"]})).await.data();
    let by_accessor =
        looked("secret-id-accessor", json!({"secret_id_accessor": made["secret_id_accessor"]})).await.data();
    assert_eq!(by_secret, by_accessor);
    let mut shown = by_secret.clone();
    for time in ["creation_time", "expiration_time", "last_updated_time"] {
        assert!(shown[time].take().as_str().unwrap().starts_with("20"), "{by_secret}");
    }
    assert_eq!(
        shown,
        json!({"cidr_list": ["127.0.0.0/8"], "creation_time": null, "expiration_time": null, "last_updated_time": null,
            "metadata": {"a": "b", "role_name": "evil"}, "secret_id_accessor": made["secret_id_accessor"],
            "secret_id_num_uses": 2, "secret_id_ttl": 600, "token_bound_cidrs": []})
    );
    for _ in 0..2 {
        let again = login(&server, credential.clone()).await.is(200).json()["auth"].take();
        expected["client_token"] = again["client_token"].clone();
        expected["accessor"] = again["accessor"].clone();
        assert_eq!(again, expected, "the same entity too");
    }
    assert_eq!(login(&server, credential).await.errors(400), json!(["invalid role or secret ID"]));
    looked("secret-id", json!({"secret_id": made["secret_id"]})).await.is(204);
    let gone = looked("secret-id-accessor", json!({"secret_id_accessor": made["secret_id_accessor"]})).await;
    let error = format!("failed to find accessor entry for secret_id_accessor: {}", made["secret_id_accessor"]);
    assert_eq!(gone.is(404).json()["data"], json!({"error": error}));
    server.root("LIST", &format!("{ROLE}/secret-id"), Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_lock_out() {
    let server = enabled().await;
    role(&server, "r1", json!({})).await;
    let good = secret_id(&server, "r1", json!({})).await["secret_id"].take();
    let wrong = json!(["invalid role or secret ID"]);
    for (body, error) in [
        (json!({"role_id": "bad", "secret_id": good}), &wrong),
        (json!({"role_id": "bad"}), &wrong),
        (json!({"role_id": "x".repeat(600), "secret_id": good}), &wrong),
        (json!({"role_id": "r1"}), &json!(["missing secret_id"])),
        (json!({"role_id": "r1", "secret_id": ""}), &json!(["missing secret_id"])),
        (json!({"secret_id": good}), &json!(["missing role_id"])),
        (json!({}), &json!(["missing role_id"])),
        (Value::Null, &json!(["missing role_id"])),
    ] {
        assert_eq!(login(&server, body).await.errors(400), *error);
    }
    login(&server, json!({"role_id": "x".repeat(70_000)})).await.is(413);
    server.raw("POST", "/v1/auth/approle/login", None, "{").await.is(400);
    for _ in 0..5 {
        let bad = json!({"role_id": "r1", "secret_id": "bad"});
        assert_eq!(login(&server, bad).await.errors(400), wrong);
    }
    let right = json!({"role_id": "r1", "secret_id": good});
    assert_eq!(login(&server, right.clone()).await.errors(403), json!(["permission denied"]));
    let locked = server.root("GET", "/v1/sys/locked-users", Value::Null).await.data();
    let of_mount = &locked["by_namespace"][0]["mount_accessors"][0];
    assert_eq!(of_mount["alias_identifiers"], json!(["r1"]));
    let unlock = format!("/v1/sys/locked-users/{}/unlock/r1", of_mount["mount_accessor"].as_str().unwrap());
    server.root("POST", &unlock, Value::Null).await.is(204);
    login(&server, right.clone()).await.is(200);
    for nowhere in ["/v1/auth/nosuch/login", "/v1/auth/approle/login/x"] {
        let refused = server.raw("POST", nowhere, None, &right.to_string()).await;
        assert_eq!(refused.errors(403), json!(["permission denied"]));
    }
    server.root("DELETE", "/v1/sys/auth/approle", Value::Null).await.is(204);
    login(&server, right.clone()).await.is(403);
    server.root("POST", "/v1/sys/auth/approle", json!({"type": "approle"})).await.is(204);
    assert_eq!(login(&server, right).await.errors(400), wrong, "what was there is not there again");
    server.root("GET", ROLE, Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn secret_id_is_bounded_by_its_role() {
    let server = enabled().await;
    let limits = json!({"secret_id_num_uses": 3, "secret_id_ttl": 600, "secret_id_bound_cidrs": "127.0.0.0/8",
        "token_bound_cidrs": "127.0.0.0/8"});
    role(&server, "r1", limits).await;
    let issue = async |body: Value| server.root("POST", &format!("{ROLE}/secret-id"), body).await;
    let subset = |outer: &str, inner: &str| {
        format!(
            "1 error occurred:\n\t* failed to verify subset relationship between CIDR blocks on the role [{outer:?}] and \
             CIDR blocks on the secret ID [{inner:?}]\n\n"
        )
    };
    for (body, error) in [
        (json!({"num_uses": 5}), "num_uses cannot be higher than the role's secret_id_num_uses".to_owned()),
        (json!({"num_uses": 0}), "num_uses cannot be higher than the role's secret_id_num_uses".to_owned()),
        (json!({"num_uses": -1}), "num_uses cannot be negative".to_owned()),
        (json!({"ttl": 700}), "ttl cannot be longer than the role's secret_id_ttl".to_owned()),
        (json!({"ttl": 0}), "ttl cannot be longer than the role's secret_id_ttl".to_owned()),
        (json!({"cidr_list": "10.0.0.0/8"}), subset("127.0.0.0/8", "10.0.0.0/8")),
        (json!({"cidr_list": "0.0.0.0/0"}), subset("127.0.0.0/8", "0.0.0.0/0")),
        (json!({"token_bound_cidrs": "10.0.0.0/8"}), subset("127.0.0.0/8", "10.0.0.0/8")),
        (
            json!({"cidr_list": "10.0.0.1"}),
            "1 error occurred:\n\t* failed to validate CIDR blocks: invalid CIDR address: 10.0.0.1\n\n".to_owned(),
        ),
        (
            json!({"metadata": "nothing"}),
            "failed to parse metadata: failed to parse the input: invalid <key,value> format".to_owned(),
        ),
    ] {
        assert_eq!(issue(body).await.errors(400), json!([error]));
    }
    let made = issue(json!({"num_uses": 2, "ttl": 60})).await.data();
    assert_eq!((&made["secret_id_num_uses"], &made["secret_id_ttl"]), (&json!(2), &json!(60)));
    issue(json!({"cidr_list": "127.0.0.0/16", "metadata": {"a": 1}, "token_bound_cidrs": ""})).await.is(200);
    issue(json!({"metadata": "a=b, c=d"})).await.is(200);
    assert_eq!(issue(Value::Null).await.data()["secret_id_ttl"], 600);
    role(&server, "free", json!({})).await;
    let long = secret_id(&server, "free", json!({"ttl": "9999h"})).await;
    assert_eq!(long["secret_id_ttl"], 2_764_800, "the system's bound");
    server.stop().await;
}

#[tokio::test]
async fn chosen_secret_id_is_taken_once_per_role() {
    let server = enabled().await;
    role(&server, "r1", json!({})).await;
    role(&server, "r2", json!({})).await;
    let custom = async |role: &str, body: Value| {
        server.root("POST", &format!("/v1/auth/approle/role/{role}/custom-secret-id"), body).await
    };
    let mine = json!({"secret_id": "mysecret"});
    assert_eq!(custom("r1", mine.clone()).await.data()["secret_id"], "mysecret");
    let taken = json!(["1 error occurred:\n\t* failed to store secret_id: SecretID is already registered\n\n"]);
    assert_eq!(custom("r1", mine.clone()).await.errors(400), taken);
    custom("r2", mine.clone()).await.is(200);
    for bad in [json!({}), json!({"secret_id": ""}), json!({"secret_id": "x".repeat(600)})] {
        custom("r1", bad).await.is(400);
    }
    login(&server, json!({"role_id": "r1", "secret_id": "mysecret"})).await.is(200);
    for _ in 0..2 {
        server.root("POST", &format!("{ROLE}/secret-id/destroy"), mine.clone()).await.is(204);
    }
    login(&server, json!({"role_id": "r1", "secret_id": "mysecret"})).await.is(400);
    login(&server, json!({"role_id": "r2", "secret_id": "mysecret"})).await.is(200);
    custom("r1", mine).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn secret_ids_are_destroyed_by_accessor_and_with_their_role() {
    let server = enabled().await;
    role(&server, "r1", json!({})).await;
    role(&server, "other", json!({})).await;
    let [one, two] = [secret_id(&server, "r1", json!({})).await, secret_id(&server, "r1", json!({})).await];
    let mut keys = vec![one["secret_id_accessor"].clone(), two["secret_id_accessor"].clone()];
    keys.sort_by_key(|key| key.as_str().unwrap().to_owned());
    let list = format!("{ROLE}/secret-id");
    assert_eq!(server.root("LIST", &list, Value::Null).await.data(), json!({"keys": keys}));
    let accessor = one["secret_id_accessor"].as_str().unwrap();
    let destroy = |role: &str| format!("/v1/auth/approle/role/{role}/secret-id-accessor/destroy");
    let by = json!({"secret_id_accessor": accessor});
    let elsewhere = server.root("POST", &destroy("other"), by.clone()).await;
    assert_eq!(elsewhere.errors(403), json!(["invalid secret id accessor"]));
    server.root("POST", &destroy("other").replace("destroy", "lookup"), by.clone()).await.is(204);
    for odd in ["none", "../x", "", "r1/secret-id"] {
        server.root("POST", &destroy("r1"), json!({"secret_id_accessor": odd})).await.is(400);
    }
    login(&server, json!({"role_id": "r1", "secret_id": one["secret_id"]})).await.is(200);
    server.root("POST", &destroy("r1"), by.clone()).await.is(204);
    server.root("POST", &destroy("r1"), by).await.is(400);
    login(&server, json!({"role_id": "r1", "secret_id": one["secret_id"]})).await.is(400);
    let two_again = json!({"role_id": "r1", "secret_id": two["secret_id"]});
    login(&server, two_again.clone()).await.is(200);
    let query = format!("{}?secret_id_accessor={}", destroy("r1"), two["secret_id_accessor"].as_str().unwrap());
    server.root("DELETE", &query, Value::Null).await.is(204);
    login(&server, two_again).await.is(400);
    server.root("LIST", &list, Value::Null).await.is(404);

    let left = secret_id(&server, "r1", json!({})).await;
    server.root("DELETE", ROLE, Value::Null).await.is(204);
    role(&server, "r1", json!({})).await;
    login(&server, json!({"role_id": "r1", "secret_id": left["secret_id"]})).await.is(400);
    server.root("LIST", &list, Value::Null).await.is(404);
    let none = "/v1/auth/approle/role/none/secret-id";
    let missing = json!(["role \"none\" does not exist"]);
    assert_eq!(server.root("POST", none, Value::Null).await.errors(404), missing);
    assert_eq!(server.root("LIST", none, Value::Null).await.errors(400), missing);
    server.root("POST", &format!("{none}/lookup"), json!({"secret_id": "x"})).await.is(400);
    server.root("POST", &format!("{none}/destroy"), json!({"secret_id": "x"})).await.is(400);
    for (method, path) in
        [("GET", "secret-id"), ("DELETE", "secret-id"), ("GET", "secret-id/lookup"), ("DELETE", "secret-id/lookup")]
    {
        server.root(method, &format!("{ROLE}/{path}"), Value::Null).await.is(405);
    }
    server.stop().await;
}

#[tokio::test]
async fn addresses_bind_logins_and_tokens() {
    let server = enabled().await;
    let refused = async |role: &str, secret: &Value| {
        login(&server, json!({"role_id": role, "secret_id": secret})).await.errors(400)[0].as_str().unwrap().to_owned()
    };
    role(&server, "free", json!({})).await;
    let elsewhere = secret_id(&server, "free", json!({"cidr_list": "10.0.0.0/8", "num_uses": 1})).await;
    assert_eq!(
        refused("free", &elsewhere["secret_id"]).await,
        "source address \"127.0.0.1\" unauthorized through CIDR restrictions on the secret ID"
    );
    let lookup = json!({"secret_id": elsewhere["secret_id"]});
    let left = server.root("POST", "/v1/auth/approle/role/free/secret-id/lookup", lookup).await.data();
    assert_eq!(left["secret_id_num_uses"], 1, "a refusal takes no use");
    let here = secret_id(&server, "free", json!({"token_bound_cidrs": "127.0.0.1/32"})).await;
    let auth =
        login(&server, json!({"role_id": "free", "secret_id": here["secret_id"]})).await.is(200).json()["auth"].take();
    assert_eq!(lookup_self(&server, &auth).await["bound_cidrs"], json!(["127.0.0.1"]));

    role(&server, "far", json!({"secret_id_bound_cidrs": "10.0.0.1/32"})).await;
    let secret = secret_id(&server, "far", json!({})).await["secret_id"].take();
    assert_eq!(
        refused("far", &secret).await,
        "source address \"127.0.0.1\" unauthorized by CIDR restrictions on the role"
    );
    // Nobody knows at the login where a token is to be used from.
    role(&server, "used-far", json!({"token_bound_cidrs": "10.0.0.1/32"})).await;
    let secret = secret_id(&server, "used-far", json!({})).await["secret_id"].take();
    let auth = login(&server, json!({"role_id": "used-far", "secret_id": secret})).await.is(200).json()["auth"].take();
    let token = auth["client_token"].as_str().unwrap();
    server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.is(403);

    role(&server, "open", json!({"bind_secret_id": false, "token_bound_cidrs": "127.0.0.1/32"})).await;
    login(&server, json!({"role_id": "open"})).await.is(200);
    login(&server, json!({"role_id": "open", "secret_id": "whatever"})).await.is(200);
    let none = server.root("POST", "/v1/auth/approle/role/open/secret-id", Value::Null).await;
    assert_eq!(none.errors(400), json!(["bind_secret_id is not set on the role"]));
    let last = server.root("DELETE", "/v1/auth/approle/role/open/token-bound-cidrs", Value::Null).await;
    assert_eq!(
        last.errors(400),
        json!(["1 error occurred:\n\t* at least one constraint should be enabled on the role\n\n"])
    );
    // A role that became narrower than its secret ids.
    let wide = secret_id(&server, "free", json!({"cidr_list": "127.0.0.0/8"})).await["secret_id"].take();
    let narrow = json!({"secret_id_bound_cidrs": "127.0.0.1/32"});
    server.root("POST", "/v1/auth/approle/role/free", narrow).await.is(204);
    assert!(refused("free", &wide).await.starts_with("failed to verify subset relationship"));
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_as_the_role_says() {
    let server = enabled().await;
    for (parameters, auth, info, warning) in [
        (
            json!({"token_type": "batch", "token_ttl": 60}),
            json!({"token_type": "batch", "lease_duration": 60, "renewable": false, "accessor": ""}),
            json!({"type": "batch", "creation_ttl": 60}),
            None,
        ),
        (json!({"token_period": 60}), json!({"lease_duration": 60}), json!({"period": 60}), None),
        (
            json!({"token_explicit_max_ttl": 30, "token_ttl": 60}),
            json!({"lease_duration": 30, "renewable": true}),
            json!({"explicit_max_ttl": 30}),
            Some("TTL of \"1m\" exceeded the effective max_ttl of \"30s\"; TTL value is capped accordingly"),
        ),
        (
            json!({"token_ttl": "9000h"}),
            json!({"lease_duration": 2_764_800}),
            json!({}),
            Some("TTL of \"9000h\" exceeded the effective max_ttl of \"768h\"; TTL value is capped accordingly"),
        ),
        (
            json!({"token_max_ttl": 20}),
            json!({"lease_duration": 20}),
            json!({}),
            Some("TTL of \"768h\" exceeded the effective max_ttl of \"20s\"; TTL value is capped accordingly"),
        ),
        (
            json!({"token_period": 600, "token_explicit_max_ttl": 30}),
            json!({"lease_duration": 30}),
            json!({}),
            Some("period of \"10m\" exceeded the effective max_ttl of \"30s\"; period value is capped accordingly"),
        ),
        (
            json!({"token_type": "batch", "token_explicit_max_ttl": 30}),
            json!({"lease_duration": 30, "token_type": "batch"}),
            json!({}),
            Some("TTL of \"768h\" exceeded the effective max_ttl of \"30s\"; TTL value is capped accordingly"),
        ),
        (json!({"token_num_uses": 2}), json!({"num_uses": 2}), json!({"num_uses": 1}), None),
        (json!({"token_strictly_bind_ip": true}), json!({}), json!({"bound_cidrs": null}), None),
        (
            json!({"token_policies": "P1,p1, x "}),
            json!({"policies": ["default", "p1", "x"]}),
            json!({"policies": ["default", "p1", "x"]}),
            None,
        ),
    ] {
        server.root("DELETE", "/v1/auth/approle/role/lt", Value::Null).await.is(204);
        role(&server, "lt", parameters.clone()).await;
        let secret = secret_id(&server, "lt", json!({})).await["secret_id"].take();
        let reply = login(&server, json!({"role_id": "lt", "secret_id": secret})).await.is(200).json();
        let found = lookup_self(&server, &reply["auth"]).await;
        for (of, expected) in [(&reply["auth"], auth), (&found, info)] {
            for (key, value) in expected.as_object().unwrap() {
                assert_eq!(&of[key], value, "{key} of {parameters}");
            }
        }
        let warnings = warning.map_or(Value::Null, |warning| json!([warning]));
        assert_eq!(reply["warnings"], warnings, "{parameters}");
    }
    for (policies, error) in [
        ("root", "auth methods cannot create root tokens"),
        ("response-wrapping", "cannot assign policy \"response-wrapping\""),
    ] {
        role(&server, "lt", json!({"token_policies": policies})).await;
        let secret = secret_id(&server, "lt", json!({})).await["secret_id"].take();
        assert_eq!(login(&server, json!({"role_id": "lt", "secret_id": secret})).await.errors(400), json!([error]));
    }
    role(&server, "none", json!({"token_no_default_policy": true})).await;
    let secret = secret_id(&server, "none", json!({})).await["secret_id"].take();
    let auth = login(&server, json!({"role_id": "none", "secret_id": secret})).await.is(200).json()["auth"].take();
    assert_eq!((&auth["policies"], auth.get("token_policies")), (&json!([]), None));
    server.stop().await;
}

#[tokio::test]
async fn renewal_goes_by_what_the_role_says_by_then() {
    let server = enabled().await;
    role(&server, "rn", json!({"token_ttl": 60, "token_max_ttl": 600})).await;
    let secret = secret_id(&server, "rn", json!({})).await["secret_id"].take();
    let auth = login(&server, json!({"role_id": "rn", "secret_id": secret})).await.is(200).json()["auth"].take();
    let token = auth["client_token"].as_str().unwrap();
    let renew = async |body: Value| server.as_token(token, "POST", "/v1/auth/token/renew-self", body).await;
    let change = async |body: Value| server.root("POST", "/v1/auth/approle/role/rn", body).await.is(204);
    assert_eq!(renew(json!({})).await.is(200).json()["auth"]["lease_duration"], 60);
    assert_eq!(renew(json!({"increment": 300})).await.is(200).json()["auth"]["lease_duration"], 300);
    change(json!({"token_ttl": 90, "token_max_ttl": 100})).await;
    let lease = renew(json!({})).await.is(200).json()["auth"]["lease_duration"].as_u64().unwrap();
    assert!((80..=90).contains(&lease), "{lease}");
    let capped = renew(json!({"increment": 300})).await.is(200).json();
    assert!((80..=100).contains(&capped["auth"]["lease_duration"].as_u64().unwrap()), "{capped}");
    let warning = "TTL of \"5m\" exceeded the effective max_ttl of \"1m40s\"; TTL value is capped accordingly";
    assert_eq!(capped["warnings"], json!([warning]));
    change(json!({"token_period": 45})).await;
    assert_eq!(renew(json!({})).await.is(200).json()["auth"]["lease_duration"], 45);
    server.root("DELETE", "/v1/auth/approle/role/rn", Value::Null).await.is(204);
    let gone = "1 error occurred:\n\t* failed to renew entry: role \"rn\" does not exist during renewal\n\n";
    assert_eq!(renew(json!({})).await.errors(400), json!([gone]));
    server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn policies_of_a_caller_hold_for_every_path() {
    let server = enabled().await;
    role(&server, "r1", json!({})).await;
    let create = server.token_with(ROOT, r#"path "auth/approle/role/*" { capabilities = ["create"] }"#).await;
    server.as_token(&create, "POST", "/v1/auth/approle/role/new", json!({})).await.is(204);
    server.as_token(&create, "POST", "/v1/auth/approle/role/new", json!({})).await.is(403);
    server.as_token(&create, "POST", "/v1/auth/approle/role/r1/secret-id", Value::Null).await.is(403);
    let issue = server.token_with(ROOT, r#"path "auth/approle/role/r1/secret-id" { capabilities = ["update"] }"#).await;
    server.as_token(&issue, "POST", "/v1/auth/approle/role/r1/secret-id", Value::Null).await.is(200);
    for (method, path) in [
        ("GET", "role/r1"),
        ("GET", "role/none"),
        ("LIST", "role"),
        ("DELETE", "role/r1"),
        ("POST", "role/r1"),
        ("GET", "role/r1/role-id"),
        ("POST", "role/r1/token-ttl"),
        ("DELETE", "role/none/token-ttl"),
        ("LIST", "role/r1/secret-id"),
        ("POST", "role/r1/custom-secret-id"),
        ("POST", "role/r1/secret-id/lookup"),
        ("POST", "role/r1/secret-id-accessor/destroy"),
        ("POST", "role/bad@name"),
        ("POST", "tidy/secret-id"),
    ] {
        let body = if method == "POST" {
            json!({"secret_id": "x", "secret_id_accessor": "x", "token_ttl": 1})
        } else {
            Value::Null
        };
        server.as_token(&issue, method, &format!("/v1/auth/approle/{path}"), body).await.is(403);
    }
    let tidied = server.root("POST", "/v1/auth/approle/tidy/secret-id", Value::Null).await.is(202).json();
    assert_eq!((&tidied["data"], tidied["warnings"].as_array().unwrap().len()), (&Value::Null, 1));
    server.stop().await;
}

#[tokio::test]
async fn negative_number_of_uses_gives_tokens_without_any() {
    let server = enabled().await;
    role(&server, "r", json!({"token_policies": "default"})).await;
    let whole = json!({"token_num_uses": -1});
    server.root("POST", "/v1/auth/approle/role/r", whole.clone()).await.is(400);
    let alone = "/v1/auth/approle/role/r/token-num-uses";
    server.root("POST", alone, whole).await.is(204);
    assert_eq!(server.root("GET", alone, Value::Null).await.data(), json!({"token_num_uses": -1}));
    assert_eq!(server.root("GET", "/v1/auth/approle/role/r", Value::Null).await.data()["token_num_uses"], -1);
    let role_id = server.root("GET", "/v1/auth/approle/role/r/role-id", Value::Null).await.data();
    let secret = secret_id(&server, "r", json!({})).await;
    let body = json!({"role_id": role_id["role_id"], "secret_id": secret["secret_id"]});
    let given = login(&server, body).await.is(200).json()["auth"].take();
    assert_eq!(given["num_uses"], -1);
    let token = given["client_token"].as_str().unwrap();
    for _ in 0..2 {
        server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.is(403);
    }
    server.root("DELETE", alone, Value::Null).await.is(204);
    assert_eq!(server.root("GET", alone, Value::Null).await.data(), json!({"token_num_uses": 0}));
    server.stop().await;
}

#[tokio::test]
async fn login_takes_no_other_operation() {
    let server = enabled().await;
    for method in ["GET", "DELETE"] {
        let unsupported = server.raw(method, "/v1/auth/approle/login?role_id=x", None, "").await;
        assert_eq!(unsupported.errors(405), json!(["unsupported operation"]), "{method}");
        server.raw(method, "/v1/auth/approle/login", None, "").await.is(400);
    }
    server.raw("LIST", "/v1/auth/approle/login", None, "").await.is(403);
    server.stop().await;
}
