//! Entities that become one, and groups that a login method fills, through the Vault dialect.

use serde_json::{Value, json};

use crate::server::{Reply, TestServer};

const MERGE: &str = "/v1/identity/entity/merge";

/// An entity's id.
async fn entity(server: &TestServer, name: &str, policies: &str) -> String {
    let body = json!({"name": name, "policies": policies, "metadata": {"of": name}});
    let made = server.root("POST", "/v1/identity/entity", body).await.data();
    made["id"].as_str().unwrap().to_owned()
}

/// A login method's accessor.
async fn method(server: &TestServer, path: &str) -> String {
    server.root("POST", &format!("/v1/sys/auth/{path}"), json!({"type": "userpass"})).await.is(204);
    server.root("POST", &format!("/v1/auth/{path}/users/ada"), json!({"password": "pw"})).await.is(204);
    let mounts = server.root("GET", "/v1/sys/auth", Value::Null).await.data();
    mounts[format!("{path}/")]["accessor"].as_str().unwrap().to_owned()
}

async fn login(server: &TestServer, path: &str) -> Value {
    let path = format!("/v1/auth/{path}/login/ada");
    server.raw("POST", &path, None, r#"{"password":"pw"}"#).await.is(200).json()["auth"].take()
}

async fn merge(server: &TestServer, to: &str, from: &[&str]) -> Reply {
    server.root("POST", MERGE, json!({"to_entity_id": to, "from_entity_ids": from})).await
}

async fn alias(server: &TestServer, entity: &str, accessor: &str, name: &str) -> String {
    let body = json!({"canonical_id": entity, "mount_accessor": accessor, "name": name});
    let made = server.root("POST", "/v1/identity/entity-alias", body).await.data();
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn merged_entities_are_one_with_their_aliases_groups_and_tokens() {
    let server = TestServer::dev().await;
    let (one, other) = (method(&server, "one").await, method(&server, "other").await);
    let before = login(&server, "other").await;
    let from = before["entity_id"].as_str().unwrap();
    let to = entity(&server, "to", "p-to").await;
    let own = alias(&server, &to, &one, "ada").await;
    let group = json!({"name": "g", "member_entity_ids": [from], "policies": "p-group"});
    server.root("POST", "/v1/identity/group", group).await.is(200);
    assert!(merge(&server, &to, &[from]).await.is(204).body.is_empty());

    server.root("GET", &format!("/v1/identity/entity/id/{from}"), Value::Null).await.is(404);
    let shown = server.root("GET", "/v1/identity/entity/name/to", Value::Null).await.data();
    assert_eq!((&shown["merged_entity_ids"], &shown["metadata"]), (&json!([from]), &json!({"of": "to"})));
    let mut accessors: Vec<&str> =
        shown["aliases"].as_array().unwrap().iter().map(|a| a["mount_accessor"].as_str().unwrap()).collect();
    accessors.sort_unstable();
    let mut expected = [one.as_str(), other.as_str()];
    expected.sort_unstable();
    assert_eq!(accessors, expected);
    assert!(shown["aliases"].as_array().unwrap().iter().any(|alias| alias["id"] == json!(own)));
    let members = server.root("GET", "/v1/identity/group/name/g", Value::Null).await.data();
    assert_eq!(members["member_entity_ids"], json!([to]));

    // Both logins are one person now, and the older token has that one's policies.
    for path in ["one", "other"] {
        let auth = login(&server, path).await;
        assert_eq!((&auth["entity_id"], &auth["identity_policies"]), (&json!(to), &json!(["p-group", "p-to"])));
    }
    let token = before["client_token"].as_str().unwrap();
    let info = server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&info["entity_id"], &info["identity_policies"]), (&json!(from), &json!(["p-group", "p-to"])));
    server.stop().await;
}

#[tokio::test]
async fn merge_that_makes_no_sense_changes_nothing() {
    let server = TestServer::dev().await;
    let accessor = method(&server, "up").await;
    let (to, from) = (entity(&server, "to", "").await, entity(&server, "from", "").await);
    let (own, others) = (alias(&server, &to, &accessor, "own").await, alias(&server, &from, &accessor, "others").await);
    for body in [
        json!({}),
        json!({"to_entity_id": to}),
        json!({"from_entity_ids": [from]}),
        json!({"to_entity_id": "nosuch", "from_entity_ids": [from]}),
        json!({"to_entity_id": to, "from_entity_ids": ["nosuch"]}),
        json!({"to_entity_id": to, "from_entity_ids": [to]}),
        // Two aliases in one login method, and nobody says which stays.
        json!({"to_entity_id": to, "from_entity_ids": [from]}),
        json!({"to_entity_id": to, "from_entity_ids": [from], "conflicting_alias_ids_to_keep": ["neither"]}),
    ] {
        let refused = server.root("POST", MERGE, body.clone()).await.errors(400);
        assert_eq!(refused.as_array().unwrap().len(), 1, "{body}");
    }
    for id in [&to, &from] {
        let shown = server.root("GET", &format!("/v1/identity/entity/id/{id}"), Value::Null).await.data();
        assert_eq!((shown["aliases"].as_array().unwrap().len(), &shown["merged_entity_ids"]), (1, &Value::Null));
    }
    let body = json!({"to_entity_id": to, "from_entity_ids": [from], "conflicting_alias_ids_to_keep": [others]});
    let token = server.token_with(crate::server::ROOT, r#"path "identity/*" { capabilities = ["read"] }"#).await;
    server.as_token(&token, "POST", MERGE, body.clone()).await.is(403);
    server.root("POST", MERGE, body).await.is(204);
    let shown = server.root("GET", &format!("/v1/identity/entity/id/{to}"), Value::Null).await.data();
    assert_eq!((shown["aliases"].as_array().unwrap().len(), &shown["aliases"][0]["id"]), (1, &json!(others)));
    server.root("GET", &format!("/v1/identity/entity-alias/id/{own}"), Value::Null).await.is(404);
    for method in ["GET", "DELETE", "LIST"] {
        let status = server.root(method, MERGE, Value::Null).await.status;
        assert!(matches!(status, 404 | 405), "{method}: {status}");
    }
    server.stop().await;
}

#[tokio::test]
async fn external_group_has_one_alias_and_no_members_of_its_own() {
    let server = TestServer::dev().await;
    let accessor = method(&server, "up").await;
    let person = entity(&server, "person", "").await;
    let external = async |more: Value| {
        let mut body = json!({"name": "ext", "type": "external", "policies": "p-ext"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.root("POST", "/v1/identity/group", body).await
    };
    external(json!({"member_entity_ids": [person]})).await.is(400);
    server.root("GET", "/v1/identity/group/name/ext", Value::Null).await.is(404);
    let group = external(json!({})).await.data();
    let shown = server.root("GET", "/v1/identity/group/name/ext", Value::Null).await.data();
    assert_eq!((&shown["type"], &shown["policies"]), (&json!("external"), &json!(["p-ext"])));
    // It stays what it is.
    let id = group["id"].as_str().unwrap();
    server.root("POST", &format!("/v1/identity/group/id/{id}"), json!({"type": "internal"})).await.is(400);

    let internal = server.root("POST", "/v1/identity/group", json!({"name": "int"})).await.data();
    let body = |canonical: &Value| json!({"name": "team", "mount_accessor": accessor, "canonical_id": canonical});
    server.root("POST", "/v1/identity/group-alias", body(&internal["id"])).await.is(400);
    let made = server.root("POST", "/v1/identity/group-alias", body(&group["id"])).await.data();
    assert_eq!(made["canonical_id"], group["id"]);
    let path = format!("/v1/identity/group-alias/id/{}", made["id"].as_str().unwrap());
    let alias = server.root("GET", &path, Value::Null).await.data();
    assert_eq!((&alias["name"], &alias["mount_accessor"]), (&json!("team"), &json!(accessor)));
    let list = server.root("LIST", "/v1/identity/group-alias/id", Value::Null).await.data();
    assert_eq!(list["keys"], json!([made["id"]]));
    let clue = json!({"alias_name": "team", "alias_mount_accessor": accessor});
    let found = server.root("POST", "/v1/identity/lookup/group", clue).await.data();
    assert_eq!((&found["id"], &found["alias"]["name"]), (&group["id"], &json!("team")));

    // A group can be part of another; nobody who logs in here is in the external one.
    let parent = json!({"name": "int", "member_group_ids": [group["id"]]});
    server.root("POST", "/v1/identity/group", parent).await.one_of(&[200, 204]);
    let auth = login(&server, "up").await;
    assert_eq!(auth["policies"], json!(["default"]));

    server.root("DELETE", &path, Value::Null).await.is(204);
    server.root("GET", &path, Value::Null).await.is(404);
    server.root("POST", "/v1/identity/group-alias", body(&group["id"])).await.is(200);
    server.root("DELETE", "/v1/identity/group/name/ext", Value::Null).await.is(204);
    server.root("LIST", "/v1/identity/group-alias/id", Value::Null).await.is(404);
    server.stop().await;
}
