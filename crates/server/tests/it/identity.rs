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
    server.root("POST", "/v1/identity/entity/name/e1", json!({"policies": "p2,p3"})).await.is(204);
    server.root("POST", &format!("/v1/identity/entity/id/{id}"), json!({"name": "e2"})).await.is(204);
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

    server.root("POST", "/v1/identity/group", json!({"name": "g2", "type": "bogus"})).await.is(400);
    server.root("POST", "/v1/identity/entity-alias", json!({"name": "x"})).await.is(400);
    server.root("DELETE", "/v1/identity/group/name/g1", Value::Null).await.is(204);
    server.root("LIST", "/v1/identity/group/id", Value::Null).await.is(404);
    server.stop().await;
}

/// An entity `e1` with the alias `a` of a userpass mount: the entity's id, the alias's, and the mount's accessor.
async fn with_alias(server: &TestServer) -> (String, String, String) {
    server.root("POST", "/v1/sys/auth/userpass", json!({"type": "userpass"})).await.is(204);
    let mounts = server.root("GET", "/v1/sys/auth", Value::Null).await.data();
    let accessor = mounts["userpass/"]["accessor"].as_str().unwrap().to_owned();
    let entity = server.root("POST", "/v1/identity/entity", json!({"name": "e1"})).await.data();
    let alias = json!({"name": "a", "canonical_id": entity["id"], "mount_accessor": accessor});
    let alias = server.root("POST", "/v1/identity/entity-alias", alias).await.data();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&entity["id"]), text(&alias["id"]), accessor)
}

#[tokio::test]
async fn entity_is_found_by_each_clue_and_by_one_at_a_time() {
    let server = TestServer::dev().await;
    let (entity, alias, accessor) = with_alias(&server).await;
    let path = "/v1/identity/lookup/entity";
    let read = server.root("GET", "/v1/identity/entity/name/e1", Value::Null).await.data();
    for clue in [
        json!({"id": entity}),
        json!({"name": "e1"}),
        json!({"alias_id": alias}),
        json!({"alias_name": "a", "alias_mount_accessor": accessor}),
    ] {
        assert_eq!(server.root("POST", path, clue).await.data(), read);
    }
    for clue in [
        json!({"id": "bogus"}),
        json!({"name": "none"}),
        json!({"alias_id": entity}),
        json!({"alias_name": "b", "alias_mount_accessor": accessor}),
    ] {
        assert!(server.root("POST", path, clue).await.is(204).body.is_empty());
    }
    let refused = |body: Value| {
        let server = &server;
        async move { server.root("POST", path, body).await.errors(400)[0].as_str().unwrap().to_owned() }
    };
    assert_eq!(refused(json!({})).await, "query parameter not supplied");
    assert_eq!(
        refused(json!({"alias_name": "a"})).await,
        "both 'alias_name' and 'alias_mount_accessor' needs to be set"
    );
    assert!(refused(json!({"id": entity, "name": "e1"})).await.starts_with("query parameter conflict"));
    server.root("GET", path, Value::Null).await.is(405);
    let reader =
        server.token_with(crate::server::ROOT, "path \"identity/lookup/entity\" { capabilities = [\"read\"] }").await;
    server.as_token(&reader, "POST", path, json!({"name": "e1"})).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn group_is_found_by_id_or_name_with_its_parents() {
    let server = TestServer::dev().await;
    let inner = server.root("POST", "/v1/identity/group", json!({"name": "inner"})).await.data();
    let outer = json!({"name": "outer", "member_group_ids": [inner["id"]]});
    let outer = server.root("POST", "/v1/identity/group", outer).await.data();
    let path = "/v1/identity/lookup/group";
    let shown = server.root("POST", path, json!({"id": inner["id"]})).await.data();
    assert_eq!(
        (&shown["parent_group_ids"], &shown["member_entity_ids"], &shown["policies"], &shown["modify_index"]),
        (&json!([outer["id"]]), &Value::Null, &Value::Null, &json!(1))
    );
    assert_eq!(server.root("POST", path, json!({"name": "inner"})).await.data(), shown);
    server.root("POST", "/v1/identity/group", json!({"name": "inner", "policies": "p"})).await.is(204);
    let again = server.root("GET", "/v1/identity/group/name/inner", Value::Null).await.data();
    assert_eq!((&again["modify_index"], &again["policies"]), (&json!(2), &json!(["p"])));
    server.root("POST", path, json!({"name": "none"})).await.is(204);
    server.root("POST", path, json!({})).await.is(400);
    server.root("POST", path, json!({"name": "inner", "id": inner["id"]})).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn alias_is_read_listed_and_deleted_by_id() {
    let server = TestServer::dev().await;
    let (entity, alias, accessor) = with_alias(&server).await;
    server.root("POST", "/v1/auth/userpass/users/a", json!({"password": "pw"})).await.is(204);
    server.root("POST", "/v1/auth/userpass/users/b", json!({"password": "pw"})).await.is(204);
    let login = |name: &'static str| {
        let server = &server;
        async move {
            let path = format!("/v1/auth/userpass/login/{name}");
            let reply = server.raw("POST", &path, None, r#"{"password":"pw"}"#).await.is(200).json();
            reply["auth"]["entity_id"].as_str().unwrap().to_owned()
        }
    };
    assert_eq!(login("a").await, entity);
    let other = login("b").await;

    let path = format!("/v1/identity/entity-alias/id/{alias}");
    let shown = server.root("GET", &path, Value::Null).await.data();
    assert_eq!(
        (&shown["canonical_id"], &shown["mount_accessor"], &shown["name"], &shown["namespace_id"], &shown["local"]),
        (&json!(entity), &json!(accessor), &json!("a"), &json!("root"), &json!(false))
    );
    let list = server.root("LIST", "/v1/identity/entity-alias/id", Value::Null).await.data();
    assert_eq!(list["keys"].as_array().unwrap().len(), 2);
    assert_eq!(list["key_info"][&alias]["canonical_id"], json!(entity));
    let entities = server.root("LIST", "/v1/identity/entity/id", Value::Null).await.data();
    assert_eq!(entities["key_info"][&entity]["aliases"][0]["id"], json!(alias));
    assert_eq!(entities["key_info"][&other]["aliases"][0]["name"], "b");

    server.root("DELETE", &path, Value::Null).await.is(204);
    server.root("DELETE", &path, Value::Null).await.is(204);
    server.root("GET", &path, Value::Null).await.is(404);
    server.root("GET", "/v1/identity/entity-alias/id/none", Value::Null).await.is(404);
    assert_eq!(server.root("GET", "/v1/identity/entity/name/e1", Value::Null).await.data()["aliases"], json!([]));
    assert_ne!(login("a").await, entity, "the alias is gone, so who logs in by it is somebody new");
    server.stop().await;
}

#[tokio::test]
async fn entities_are_deleted_together_with_their_aliases() {
    let server = TestServer::dev().await;
    let (first, alias, _) = with_alias(&server).await;
    let second = server.root("POST", "/v1/identity/entity", json!({"name": "e2"})).await.data();
    let path = "/v1/identity/entity/batch-delete";
    server.root("POST", path, json!({})).await.is(400);
    server.root("POST", path, json!({"entity_ids": ["bogus"]})).await.is(204);
    server.root("GET", "/v1/identity/entity/name/e1", Value::Null).await.is(200);
    let absent = "00000000-0000-0000-0000-000000000000";
    server.root("POST", path, json!({"entity_ids": [first, second["id"], absent, first, "bogus"]})).await.is(204);
    server.root("LIST", "/v1/identity/entity/id", Value::Null).await.is(404);
    server.root("LIST", "/v1/identity/entity/name", Value::Null).await.is(404);
    server.root("LIST", "/v1/identity/entity-alias/id", Value::Null).await.is(404);
    server.root("GET", &format!("/v1/identity/entity-alias/id/{alias}"), Value::Null).await.is(404);
    server.stop().await;
}
