//! Entities, aliases and groups through the Vault dialect.

use serde_json::{Value, json};

use crate::server::TestServer;

#[tokio::test]
async fn entity_is_written_and_read_by_id_and_name() {
    let server = TestServer::dev().await;
    let body = json!({"name": "e1", "metadata": {"a": "b"}, "policies": ["p1"]});
    let made = server.root("POST", "/v1/identity/entity", body).await.data();
    assert_eq!((&made["name"], &made["aliases"]), (&json!("e1"), &Value::Null));
    let id = made["id"].as_str().unwrap();
    let by_name = server.root("GET", "/v1/identity/entity/name/e1", Value::Null).await.data();
    assert_eq!(by_name, server.root("GET", &format!("/v1/identity/entity/id/{id}"), Value::Null).await.data());
    for key in [
        "aliases",
        "creation_time",
        "direct_group_ids",
        "disabled",
        "group_ids",
        "id",
        "inherited_group_ids",
        "last_update_time",
        "merged_entity_ids",
        "metadata",
        "name",
        "namespace_id",
        "policies",
    ] {
        assert!(by_name.get(key).is_some(), "{key} is missing");
    }
    assert_eq!((&by_name["metadata"], &by_name["policies"]), (&json!({"a": "b"}), &json!(["p1"])));
    server.root("POST", "/v1/identity/entity/name/e1", json!({"policies": "p2,p3"})).await.is(200);
    server.root("POST", &format!("/v1/identity/entity/id/{id}"), json!({"name": "e2"})).await.is(200);
    let data = server.root("GET", "/v1/identity/entity/name/e2", Value::Null).await.data();
    assert_eq!((&data["policies"], &data["metadata"]), (&json!(["p2", "p3"]), &json!({"a": "b"})));
    server.root("GET", "/v1/identity/entity/name/e1", Value::Null).await.is(404);
    assert_eq!(server.root("LIST", "/v1/identity/entity/name", Value::Null).await.data(), json!({"keys": ["e2"]}));
    assert_eq!(server.root("LIST", "/v1/identity/entity/id", Value::Null).await.data()["keys"], json!([id]));
    server.root("POST", "/v1/identity/entity", json!({"id": "bogus"})).await.is(400);
    server.root("DELETE", "/v1/identity/entity/name/e2", Value::Null).await.is(204);
    server.root("GET", &format!("/v1/identity/entity/id/{id}"), Value::Null).await.is(404);
    server.root("LIST", "/v1/identity/entity/name", Value::Null).await.is(404);
    server.root("GET", "/v1/identity/entity", Value::Null).await.is(405);
    server.root("GET", "/v1/identity/nosuch", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn group_policies_reach_who_logs_in_by_alias() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/auth/userpass", json!({"type": "userpass"})).await.is(204);
    server.root("POST", "/v1/auth/userpass/users/alice", json!({"password": "pw"})).await.is(204);
    let mounts = server.root("GET", "/v1/sys/auth", Value::Null).await.data();
    let made = server.root("POST", "/v1/identity/entity", json!({"name": "alice"})).await.data();
    let alias = json!({"name": "alice", "canonical_id": made["id"], "mount_accessor": mounts["userpass/"]["accessor"]});
    let alias = server.root("POST", "/v1/identity/entity-alias", alias).await.data();
    assert_eq!(alias["canonical_id"], made["id"]);
    let group = json!({"name": "g1", "member_entity_ids": [made["id"]], "policies": ["p3"]});
    let group = server.root("POST", "/v1/identity/group", group).await.data();
    let shown = server.root("GET", "/v1/identity/group/name/g1", Value::Null).await.data();
    assert_eq!((&shown["id"], &shown["type"], &shown["policies"]), (&group["id"], &json!("internal"), &json!(["p3"])));
    let list = server.root("LIST", "/v1/identity/group/id", Value::Null).await.data();
    assert_eq!(list["keys"], json!([group["id"]]));
    assert_eq!(list["key_info"][group["id"].as_str().unwrap()]["name"], "g1");

    let login = server.raw("POST", "/v1/auth/userpass/login/alice", None, r#"{"password":"pw"}"#).await.is(200).json();
    let auth = &login["auth"];
    assert_eq!(
        (&auth["entity_id"], &auth["policies"], &auth["token_policies"], &auth["identity_policies"]),
        (&made["id"], &json!(["default", "p3"]), &json!(["default"]), &json!(["p3"]))
    );
    let token = auth["client_token"].as_str().unwrap();
    let data = server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&data["identity_policies"], &data["external_namespace_policies"]), (&json!(["p3"]), &json!({})));

    server.root("POST", "/v1/identity/group", json!({"name": "g2", "type": "external"})).await.is(400);
    server.root("POST", "/v1/identity/entity-alias", json!({"name": "x"})).await.is(400);
    server.root("DELETE", "/v1/identity/group/name/g1", Value::Null).await.is(204);
    server.root("LIST", "/v1/identity/group/id", Value::Null).await.is(404);
    server.stop().await;
}
