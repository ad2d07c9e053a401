//! `auth/token/…` through the Vault dialect.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

async fn create(server: &TestServer, by: &str, body: Value) -> Value {
    server.as_token(by, "POST", "/v1/auth/token/create", body).await.is(200).json()["auth"].take()
}

fn token(auth: &Value) -> &str {
    auth["client_token"].as_str().unwrap()
}

#[tokio::test]
async fn created_token_has_the_auth_block_that_clients_expect() {
    let server = TestServer::dev().await;
    let auth = create(
        &server,
        ROOT,
        json!({"policies": "default", "ttl": "1h", "explicit_max_ttl": "2h", "display_name": "bob", "meta": {"k": "v"}, "num_uses": "10"}),
    )
    .await;
    let text = token(&auth);
    assert!(text.starts_with("hvs.") && text.len() == 28, "{text}");
    assert_eq!(auth["accessor"].as_str().unwrap().len(), 24);
    let mut rest = auth.clone();
    rest.as_object_mut().unwrap().retain(|key, _| key != "client_token" && key != "accessor");
    assert_eq!(
        rest,
        json!({"policies": ["default"], "token_policies": ["default"], "metadata": {"k": "v"}, "lease_duration": 3600,
            "renewable": true, "entity_id": "", "token_type": "service", "orphan": false, "mfa_requirement": null,
            "num_uses": 10})
    );
    let auth = create(&server, ROOT, Value::Null).await;
    assert_eq!(
        (&auth["policies"], &auth["lease_duration"], &auth["renewable"]),
        (&json!(["root"]), &json!(0), &json!(false))
    );
    assert_eq!(auth["metadata"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn lookup_shows_what_clients_require() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"], "ttl": 3600})).await;
    let data = server.as_token(token(&auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    for key in [
        "accessor",
        "creation_time",
        "creation_ttl",
        "display_name",
        "entity_id",
        "expire_time",
        "explicit_max_ttl",
        "id",
        "issue_time",
        "meta",
        "num_uses",
        "orphan",
        "path",
        "policies",
        "renewable",
        "ttl",
        "type",
    ] {
        assert!(data.get(key).is_some(), "{key} is missing");
    }
    assert!(data.get("last_renewal").is_none() && data.get("period").is_none());
    assert_eq!(
        (&data["id"], &data["type"], &data["path"]),
        (&auth["client_token"], &json!("service"), &json!("auth/token/create"))
    );
    assert!((3590..=3600).contains(&data["ttl"].as_i64().unwrap()));

    let root = server.root("GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&root["expire_time"], &root["ttl"], &root["meta"]), (&Value::Null, &json!(0), &Value::Null));

    let body = json!({"token": token(&auth)});
    assert_eq!(server.root("POST", "/v1/auth/token/lookup", body).await.data()["id"], auth["client_token"]);
    let path = format!("/v1/auth/token/lookup?token={}", token(&auth));
    assert_eq!(server.root("GET", &path, Value::Null).await.data()["id"], auth["client_token"]);
    assert_eq!(server.root("POST", "/v1/auth/token/lookup", json!({})).await.data()["id"], ROOT);
    let body = json!({"accessor": auth["accessor"]});
    assert_eq!(server.root("POST", "/v1/auth/token/lookup-accessor", body).await.data()["id"], "");
    let unknown = server.root("POST", "/v1/auth/token/lookup", json!({"token": "nosuch"})).await;
    assert_eq!(unknown.errors(403), json!(["bad token"]));
    let unknown = server.root("POST", "/v1/auth/token/lookup-accessor", json!({"accessor": "nosuch"})).await;
    assert_eq!(unknown.errors(400), json!(["1 error occurred:\n\t* invalid accessor\n\n"]));
    let refused = server.as_token(token(&auth), "POST", "/v1/auth/token/lookup", json!({"token": ROOT})).await;
    refused.is(403);
    for (capability, get, post) in [("read", 200, 403), ("update", 403, 200)] {
        let policy = format!(r#"path "auth/token/lookup" {{ capabilities = ["{capability}"] }}"#);
        let by = server.token_with(ROOT, &policy).await;
        let path = format!("/v1/auth/token/lookup?token={}", token(&auth));
        server.as_token(&by, "GET", &path, Value::Null).await.is(get);
        server.as_token(&by, "POST", "/v1/auth/token/lookup", json!({"token": token(&auth)})).await.is(post);
    }
    server.stop().await;
}

#[tokio::test]
async fn renewal_gives_time_again_and_shows_it() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"], "ttl": "1h"})).await;
    let renew = async |body: Value| server.as_token(token(&auth), "PUT", "/v1/auth/token/renew-self", body).await;
    for (body, duration) in
        [(Value::Null, 3600), (json!({"increment": 0}), 3600), (json!({"increment": "10m"}), 600), (Value::Null, 600)]
    {
        let renewed = renew(body).await.is(200).json()["auth"].take();
        assert_eq!((&renewed["lease_duration"], &renewed["client_token"]), (&json!(duration), &auth["client_token"]));
    }
    let data = server.as_token(token(&auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert!(data["last_renewal"].is_string() && data["last_renewal_time"].is_i64());
    let backwards =
        server.as_token(token(&auth), "POST", "/v1/auth/token/renew-self", json!({"increment": "-5m"})).await;
    let told = backwards.errors(400)[0].as_str().unwrap().to_owned();
    assert!(told.ends_with("\"increment\": cannot provide negative value '-300'"), "{told}");
    let body = json!({"token": token(&auth), "increment": "30m"});
    assert_eq!(server.root("POST", "/v1/auth/token/renew", body).await.json()["auth"]["lease_duration"], 1800);
    let body = json!({"accessor": auth["accessor"], "increment": 60});
    let renewed = server.root("POST", "/v1/auth/token/renew-accessor", body).await.json()["auth"].take();
    assert_eq!((&renewed["client_token"], &renewed["lease_duration"]), (&json!(""), &json!(60)));
    let root = server.root("POST", "/v1/auth/token/renew-self", json!({})).await;
    assert_eq!(root.errors(400), json!(["lease is not renewable"]));
    let unknown = server.root("POST", "/v1/auth/token/renew", json!({"token": "nosuch"})).await;
    assert_eq!(unknown.errors(400), json!(["token not found"]));
    server.stop().await;
}

#[tokio::test]
async fn revoked_token_is_refused_with_its_children() {
    let server = TestServer::dev().await;
    let policy = r#"path "auth/token/*" { capabilities = ["update", "sudo"] }"#;
    let parent = server.token_with(ROOT, policy).await;
    let child = create(&server, &parent, Value::Null).await;
    let orphan =
        server.as_token(&parent, "POST", "/v1/auth/token/create-orphan", Value::Null).await.json()["auth"].take();
    let alive = async |of: &Value| {
        server.root("POST", "/v1/auth/token/lookup", json!({"token": of["client_token"]})).await.status
    };
    assert_eq!((alive(&child).await, alive(&orphan).await), (200, 200));
    for _ in 0..2 {
        server.root("POST", "/v1/auth/token/revoke", json!({"token": parent})).await.is(204);
    }
    assert_eq!((alive(&child).await, alive(&orphan).await), (403, 200));
    let body = json!({"accessor": orphan["accessor"]});
    server.root("POST", "/v1/auth/token/revoke-accessor", body.clone()).await.is(204);
    let again = server.root("POST", "/v1/auth/token/revoke-accessor", body).await.is(200).json();
    assert_eq!(again["warnings"], json!(["No token found with this accessor"]));
    let own = create(&server, ROOT, json!({"policies": ["default"]})).await;
    server.as_token(token(&own), "POST", "/v1/auth/token/revoke-self", Value::Null).await.is(204);
    server.as_token(token(&own), "POST", "/v1/auth/token/revoke-self", Value::Null).await.is(403);
    assert_eq!(server.root("POST", "/v1/auth/token/revoke", json!({})).await.errors(400), json!(["missing token ID"]));
    server.stop().await;
}

#[tokio::test]
async fn revoke_orphan_leaves_the_children() {
    let server = TestServer::dev().await;
    let parent = server.token_with(ROOT, r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let child = create(&server, &parent, Value::Null).await;
    server.root("POST", "/v1/auth/token/revoke-orphan", json!({"token": parent})).await.is(204);
    let data = server.root("POST", "/v1/auth/token/lookup", json!({"token": token(&child)})).await.data();
    assert_eq!(data["orphan"], true);
    server.root("POST", "/v1/auth/token/lookup", json!({"token": parent})).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn batch_token_is_not_renewed_or_revoked() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"], "type": "batch", "ttl": "1h"})).await;
    assert!(token(&auth).starts_with("hvb."));
    assert_eq!(
        (&auth["accessor"], &auth["renewable"], &auth["token_type"]),
        (&json!(""), &json!(false), &json!("batch"))
    );
    let ask = async |path: &str| server.as_token(token(&auth), "POST", path, json!({})).await;
    assert_eq!(ask("/v1/auth/token/renew-self").await.errors(400), json!(["batch tokens cannot be renewed"]));
    assert_eq!(ask("/v1/auth/token/revoke-self").await.errors(400), json!(["batch tokens cannot be revoked"]));
    let data = server.as_token(token(&auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&data["type"], &data["id"]), (&json!("batch"), &auth["client_token"]));
    server.stop().await;
}

#[tokio::test]
async fn last_use_works_and_then_the_token_is_gone() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"], "num_uses": 2})).await;
    let ask = async || server.as_token(token(&auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await;
    assert_eq!(ask().await.data()["num_uses"], 1);
    assert_eq!(ask().await.data()["num_uses"], -1);
    ask().await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn escalation_is_refused() {
    let server = TestServer::dev().await;
    let by = server.token_with(ROOT, r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    for (body, error) in [
        (json!({"policies": ["other"]}), "child policies must be subset of parent"),
        (json!({"policies": ["root"]}), "child policies must be subset of parent"),
        (json!({"no_parent": true}), "root or sudo privileges required to create orphan token"),
        (json!({"id": "abc"}), "root or sudo privileges required to specify token id"),
        (json!({"period": "1h"}), "root or sudo privileges required to create periodic token"),
        (json!({"ttl": -5}), "ttl must be positive"),
        (json!({"type": "magic"}), "invalid 'token_type' value"),
    ] {
        let reply = server.as_token(&by, "POST", "/v1/auth/token/create", body.clone()).await;
        assert_eq!(reply.errors(400), json!([error]), "{body}");
    }
    let bogus = server.root("POST", "/v1/auth/token/create", json!({"ttl": "bogus"})).await;
    assert_eq!(bogus.errors(400), json!(["time: invalid duration \"bogus\""]));
    server.root("GET", "/v1/auth/token/create", Value::Null).await.is(405);
    let capped =
        server.root("POST", "/v1/auth/token/create", json!({"ttl": "99999h", "policies": ["nosuch"]})).await.json();
    assert_eq!(capped["auth"]["lease_duration"], 2_764_800);
    assert_eq!(capped["warnings"].as_array().unwrap().len(), 2, "{capped}");
    server.stop().await;
}

#[tokio::test]
async fn roles_rule_the_tokens_made_through_them() {
    let server = TestServer::dev().await;
    let path = "/v1/auth/token/roles/r1";
    let role = json!({"allowed_policies": "p1,default", "orphan": true, "token_period": "1h", "path_suffix": "sfx"});
    server.root("POST", path, role).await.is(204);
    assert_eq!(
        server.root("GET", path, Value::Null).await.data(),
        json!({"allowed_entity_aliases": null, "allowed_policies": ["default", "p1"], "allowed_policies_glob": [],
            "disallowed_policies": [], "disallowed_policies_glob": [], "explicit_max_ttl": 0, "name": "r1",
            "orphan": true, "path_suffix": "sfx", "period": 0, "renewable": true, "token_explicit_max_ttl": 0,
            "token_no_default_policy": false, "token_period": 3600, "token_type": "default-service"})
    );
    assert_eq!(server.root("LIST", "/v1/auth/token/roles", Value::Null).await.data(), json!({"keys": ["r1"]}));
    let made = server.root("POST", "/v1/auth/token/create/r1", json!({"policies": ["p1"]})).await.is(200).json();
    assert_eq!((&made["auth"]["orphan"], &made["auth"]["lease_duration"]), (&json!(true), &json!(3600)));
    server.root("POST", "/v1/auth/token/create/r1", json!({"policies": ["other"]})).await.is(400);
    let unknown = server.root("POST", "/v1/auth/token/create/nosuch", Value::Null).await;
    assert_eq!(unknown.errors(400), json!(["unknown role nosuch"]));
    server.root("DELETE", path, Value::Null).await.is(204);
    assert_eq!(server.root("GET", path, Value::Null).await.errors(404), json!([]));
    server.root("LIST", "/v1/auth/token/roles", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn accessors_are_listed() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"]})).await;
    let keys = server.root("LIST", "/v1/auth/token/accessors", Value::Null).await.data()["keys"].take();
    assert!(keys.as_array().unwrap().contains(&auth["accessor"]), "{keys}");
    server.stop().await;
}

#[tokio::test]
async fn lifetimes_are_capped_with_a_warning_in_the_words_that_clients_know() {
    let server = TestServer::dev().await;
    for (body, duration, warning) in [
        (
            json!({"ttl": "99999h"}),
            2_764_800,
            Some("TTL of \"99999h\" exceeded the effective max_ttl of \"768h\"; TTL"),
        ),
        (
            json!({"ttl": "800h30m"}),
            2_764_800,
            Some("TTL of \"800h30m\" exceeded the effective max_ttl of \"768h\"; TTL"),
        ),
        (
            json!({"ttl": "2h", "explicit_max_ttl": "1h"}),
            3600,
            Some("TTL of \"2h\" exceeded the effective max_ttl of \"1h\"; TTL"),
        ),
        (
            json!({"explicit_max_ttl": "2h"}),
            7200,
            Some("TTL of \"768h\" exceeded the effective max_ttl of \"2h\"; TTL"),
        ),
        (
            json!({"period": "99999h"}),
            2_764_800,
            Some("period of \"99999h\" exceeded the effective max_ttl of \"768h\"; period"),
        ),
        (
            json!({"period": "1h", "explicit_max_ttl": "30m"}),
            1800,
            Some("period of \"1h\" exceeded the effective max_ttl of \"30m\"; period"),
        ),
        (json!({"period": "1h", "ttl": "2h"}), 3600, None),
        (json!({"ttl": "1h30m10s"}), 5410, None),
        (json!({"ttl": "1d"}), 86_400, None),
        (json!({"ttl": "0"}), 2_764_800, None),
        (json!({"lease": "1h"}), 3600, None),
        (json!({"explicit_max_ttl": "99999h"}), 2_764_800, None),
    ] {
        let mut request = body.clone();
        request["policies"] = json!(["default"]);
        let reply = server.root("POST", "/v1/auth/token/create", request).await.is(200).json();
        assert_eq!(reply["auth"]["lease_duration"], duration, "{body}");
        let expected = warning.map(|warning| json!([format!("{warning} value is capped accordingly")]));
        assert_eq!(reply["warnings"], expected.unwrap_or(Value::Null), "{body}");
    }
    let auth = create(&server, ROOT, json!({"policies": ["default"], "ttl": "1h"})).await;
    let renewed =
        server.as_token(token(&auth), "POST", "/v1/auth/token/renew-self", json!({"increment": "5000h"})).await;
    let renewed = renewed.json();
    let capped = "TTL of \"5000h\" exceeded the effective max_ttl of \"768h\"; TTL value is capped accordingly";
    assert_eq!((&renewed["auth"]["lease_duration"], &renewed["warnings"]), (&json!(2_764_800), &json!([capped])));
    // Only a root token that never ends has no limit.
    let root = server.root("POST", "/v1/auth/token/create", json!({"explicit_max_ttl": "1h"})).await.json();
    assert_eq!((&root["auth"]["lease_duration"], &root["warnings"]), (&json!(3600), &Value::Null));
    server.stop().await;
}

#[tokio::test]
async fn policies_of_a_token_are_those_that_its_maker_may_give() {
    let server = TestServer::dev().await;
    let policies = async |by: &str, body: Value| create(&server, by, body).await["policies"].clone();
    assert_eq!(policies(ROOT, json!({"policies": ["default", "root"]})).await, json!(["root"]));
    assert_eq!(policies(ROOT, json!({"policies": ["DEFAULT", "A"]})).await, json!(["a", "default"]));
    let none = json!({"policies": ["default", "a"], "no_default_policy": true});
    assert_eq!(policies(ROOT, none).await, json!(["a"]));
    // Without the default policy itself, a token cannot hand it out, nor does it come by itself.
    let by = server.token_with(ROOT, r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let own = policies(&by, json!({})).await;
    assert_eq!(own.as_array().unwrap().len(), 1, "{own}");
    assert_eq!(policies(&by, json!({"policies": own})).await, own);
    let refused = server.as_token(&by, "POST", "/v1/auth/token/create", json!({"policies": ["default"]})).await;
    assert_eq!(refused.errors(400), json!(["child policies must be subset of parent"]));
    server.stop().await;
}

#[tokio::test]
async fn ids_of_ones_own_are_checked() {
    let server = TestServer::dev().await;
    let ask = async |id: &str| server.root("POST", "/v1/auth/token/create", json!({"id": id})).await;
    for (id, why) in [
        ("s.foo", "custom token ID cannot have the 's.' prefix"),
        ("hvs.x", "custom token ID cannot have the 'hvs.' prefix"),
        ("my.own", "custom token ID cannot have a '.' in the value"),
    ] {
        assert_eq!(ask(id).await.errors(400), json!([why]));
    }
    let made = ask("my-own-id").await.is(200).json();
    assert_eq!(made["auth"]["client_token"], "my-own-id");
    assert!(made["warnings"][0].as_str().unwrap().starts_with("Supplying a custom ID for the token"));
    assert_eq!(ask("my-own-id").await.errors(400), json!(["cannot create a token with a duplicate ID"]));
    for (body, why) in [
        (json!({"type": "batch"}), "batch tokens cannot be root tokens"),
        (json!({"type": "batch", "policies": ["a"], "num_uses": 3}), "batch tokens cannot have \"num_uses\" set"),
        (json!({"type": "batch", "policies": ["a"], "period": "1h"}), "batch tokens cannot have \"period\" set"),
        (
            json!({"type": "batch", "policies": ["a"], "explicit_max_ttl": 1}),
            "batch tokens cannot have \"explicit_max_ttl\" set",
        ),
        (json!({"entity_alias": "bob"}), "'entity_alias' is only allowed in combination with token role"),
        (json!({"num_uses": -1}), "number of uses cannot be negative"),
    ] {
        let reply = server.root("POST", "/v1/auth/token/create", body.clone()).await;
        assert_eq!(reply.errors(400), json!([why]), "{body}");
    }
    server.stop().await;
}

async fn role(server: &TestServer, name: &str, body: Value) -> crate::server::Reply {
    server.root("POST", &format!("/v1/auth/token/roles/{name}"), body).await
}

#[tokio::test]
async fn role_limits_the_policies_of_its_tokens() {
    let server = TestServer::dev().await;
    role(
        &server,
        "g",
        json!({"allowed_policies_glob": "dev-*,p?", "disallowed_policies": "dev-x",
        "disallowed_policies_glob": "*-adm"}),
    )
    .await
    .is(204);
    role(&server, "a", json!({"allowed_policies": "p1,p2"})).await.is(204);
    role(&server, "n", json!({"allowed_policies": "p1", "token_no_default_policy": true})).await.is(204);
    role(&server, "d", json!({"disallowed_policies": "bad"})).await.is(204);
    role(&server, "dd", json!({"disallowed_policies": "default"})).await.is(204);
    let subset = |asked: &str, allowed: &str, globs: &str| {
        Err(format!(
            "token policies ([{asked}]) must be subset of the role's allowed policies ([{allowed}]) or glob policies ([{globs}])"
        ))
    };
    let globs = "\"dev-*\" \"p?\"";
    let disallowed = |name: &str| Err(format!("token policy \"{name}\" is disallowed by this role"));
    for (role, body, expected) in [
        ("g", json!({"policies": ["dev-a"]}), Ok(json!(["default", "dev-a"]))),
        ("g", json!({"policies": ["dev-x"]}), disallowed("dev-x")),
        ("g", json!({"policies": ["dev-adm"]}), disallowed("dev-adm")),
        ("g", json!({"policies": ["p1"]}), subset("\"default\" \"p1\"", "\"default\"", globs)),
        ("g", json!({"policies": ["root"]}), subset("\"root\"", "\"default\"", globs)),
        ("g", json!({}), Ok(json!(["default"]))),
        ("a", json!({}), Ok(json!(["default", "p1", "p2"]))),
        ("a", json!({"no_default_policy": true}), Ok(json!(["p1", "p2"]))),
        ("a", json!({"policies": ["other"]}), subset("\"default\" \"other\"", "\"default\" \"p1\" \"p2\"", "")),
        ("n", json!({}), Ok(json!(["p1"]))),
        ("d", json!({}), Ok(json!(["root"]))),
        ("d", json!({"policies": ["bad"]}), disallowed("bad")),
        ("d", json!({"policies": ["other"]}), Ok(json!(["default", "other"]))),
        ("dd", json!({"policies": ["other"]}), Ok(json!(["other"]))),
    ] {
        let reply = server.root("POST", &format!("/v1/auth/token/create/{role}"), body.clone()).await;
        match expected {
            Ok(policies) => assert_eq!(reply.is(200).json()["auth"]["policies"], policies, "{role} {body}"),
            Err(why) => assert_eq!(reply.errors(400), json!([why]), "{role} {body}"),
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn role_decides_the_kind_and_the_bounds_of_its_tokens() {
    let server = TestServer::dev().await;
    for (kind, asked, made) in [
        ("service", None, "service"),
        ("service", Some("batch"), "service"),
        ("default-batch", None, "batch"),
        ("default-batch", Some("service"), "service"),
        ("default-service", Some("batch"), "batch"),
        ("batch", Some("service"), "batch"),
    ] {
        let is_batch = kind == "batch";
        role(&server, "k", json!({"token_type": kind, "orphan": is_batch, "renewable": !is_batch})).await.is(204);
        let body = json!({"policies": ["default"], "type": asked.unwrap_or_default()});
        let auth = server.root("POST", "/v1/auth/token/create/k", body).await.is(200).json()["auth"].take();
        assert_eq!(auth["token_type"], made, "{kind} {asked:?}");
    }
    for (body, why) in [
        (
            json!({"token_type": "batch"}),
            "'token_type' cannot be 'batch' when role is set to generate non-orphan tokens",
        ),
        (json!({"token_type": "x"}), "invalid 'token_type' value \"x\""),
        (json!({"token_type": ""}), "invalid 'token_type' value \"\""),
        (
            json!({"path_suffix": "a/b"}),
            "given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w",
        ),
        (json!({"token_num_uses": -1}), "error parsing role fields: 'token_num_uses' cannot be negative"),
        (
            json!({"token_period": "-1h"}),
            "error converting input for field \"token_period\": cannot provide negative value '-3600'",
        ),
    ] {
        assert_eq!(role(&server, "bad", body.clone()).await.errors(400), json!([why]), "{body}");
    }
    role(&server, "bad", json!({"token_bound_cidrs": "nonsense"})).await.is(400);
    let bounds = json!({"token_num_uses": 5, "token_explicit_max_ttl": "2h", "token_bound_cidrs": "127.0.0.1/32"});
    role(&server, "num", bounds).await.is(204);
    let body = json!({"policies": ["default"], "num_uses": 9, "explicit_max_ttl": "1h", "ttl": "5h"});
    let made = server.root("POST", "/v1/auth/token/create/num", body).await.is(200).json();
    assert_eq!(
        made["warnings"],
        json!([
            "Explicit max TTL specified both during creation call and in role; using the lesser value of 3600 seconds",
            "TTL of \"5h\" exceeded the effective max_ttl of \"1h\"; TTL value is capped accordingly"
        ])
    );
    let known = server.as_token(token(&made["auth"]), "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!(
        (&known["num_uses"], &known["bound_cidrs"], &known["role"], &known["path"], &known["explicit_max_ttl"]),
        (&json!(4), &json!(["127.0.0.1"]), &json!("num"), &json!("auth/token/create/num"), &json!(3600))
    );
    role(&server, "far", json!({"token_bound_cidrs": "10.0.0.0/8"})).await.is(204);
    let far = server.root("POST", "/v1/auth/token/create/far", json!({"policies": ["default"]})).await.json();
    server.as_token(token(&far["auth"]), "GET", "/v1/auth/token/lookup-self", Value::Null).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn old_names_of_a_roles_fields_are_shown_where_they_were_used() {
    let server = TestServer::dev().await;
    let old = json!({"period": "1h", "explicit_max_ttl": "2h", "bound_cidrs": "127.0.0.1"});
    role(&server, "old", old).await.is(204);
    let shown = server.root("GET", "/v1/auth/token/roles/old", Value::Null).await.data();
    for key in ["period", "token_period"] {
        assert_eq!(shown[key], 3600, "{key}");
    }
    for key in ["explicit_max_ttl", "token_explicit_max_ttl"] {
        assert_eq!(shown[key], 7200, "{key}");
    }
    for key in ["bound_cidrs", "token_bound_cidrs"] {
        assert_eq!(shown[key], json!(["127.0.0.1"]), "{key}");
    }
    let both = role(&server, "both", json!({"token_period": "1h", "period": "2h"})).await.is(200).json();
    let why = "Both 'token_period' and deprecated 'period' value supplied, ignoring the deprecated value";
    assert_eq!((&both["warnings"], &both["data"]), (&json!([why]), &Value::Null));
    let shown = server.root("GET", "/v1/auth/token/roles/both", Value::Null).await.data();
    assert_eq!((&shown["period"], &shown["token_period"]), (&json!(0), &json!(3600)));
    server.stop().await;
}

#[tokio::test]
async fn role_lets_a_token_stand_for_whom_an_alias_names() {
    let server = TestServer::dev().await;
    role(&server, "al", json!({"allowed_entity_aliases": ["svc-*", "Bob"]})).await.is(204);
    let ask = async |role: &str, alias: &str| {
        let body = json!({"entity_alias": alias, "policies": ["default"]});
        server.root("POST", &format!("/v1/auth/token/create/{role}"), body).await
    };
    let one = ask("al", "bob").await.is(200).json()["auth"].take();
    let again = ask("al", "bob").await.is(200).json()["auth"].take();
    let other = ask("al", "SVC-1").await.is(200).json()["auth"].take();
    assert!(one["entity_id"].as_str().unwrap().len() == 36 && one["entity_id"] == again["entity_id"]);
    assert_ne!(one["entity_id"], other["entity_id"]);
    let known = server.as_token(token(&other), "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&known["entity_id"], &known["role"]), (&other["entity_id"], &json!("al")));
    role(&server, "none", json!({})).await.is(204);
    for (role, alias) in [("al", "eve"), ("none", "bob")] {
        assert_eq!(ask(role, alias).await.errors(400), json!(["invalid 'entity_alias' value"]));
    }
    server.stop().await;
}
