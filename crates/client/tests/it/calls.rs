//! What goes over the wire for each call, and what becomes of the replies.

use coffer_api::{
    Code, Name, Scope, Sensitive,
    audit::AuditQuery,
    operator::NodeState,
    policy::PolicyPut,
    secrets::{SecretChange, SecretSet, SecretsPatch, SetOptions, Versions},
    snapshots::{Restore, SnapshotCreate},
};
use coffer_client::{Depth, Error, Paging};

use crate::stub::{Stub, json};

#[tokio::test]
async fn secret_calls_send_the_documented_requests() {
    let stub = Stub::start(|asked| match asked.line.split(' ').next() {
        Some("GET") if asked.line.contains("view=effective") => json(200, r#"{"secrets":[],"hidden":0}"#),
        Some("GET") if asked.line.contains("/api/v1/secrets/acme:prod/A ") => {
            json(200, r#"{"scope":"acme:prod","name":"A","value":"v","created_time":"t","state":"active","version":3}"#)
        }
        Some("GET") => json(200, r#"{"items":[],"next":"n"}"#),
        Some("PUT") => json(200, r#"{"created_time":"t","state":"active","version":3}"#),
        _ => b"HTTP/1.1 204 X\r\n\r\n".to_vec(),
    })
    .await;
    let client = stub.client();
    let (scope, name): (Scope, Name) = ("acme:prod".parse().unwrap(), "A".parse().unwrap());
    let paging = Paging { after: Some("a/b".into()), limit: Some(7) };

    assert_eq!(client.secret_get(&scope, &name, None).await.unwrap().value.expose(), "v");
    let set = SecretSet { value: "x\"y".into(), options: SetOptions { cas: Some(2), shred: None } };
    assert_eq!(client.secret_set(&scope, &name, &set).await.unwrap().version, 3);
    let list = client.secret_list(&scope, Depth::Recursive, &paging).await.unwrap();
    assert_eq!(list.next.as_deref(), Some("n"));
    assert_eq!(client.secret_effective(&scope).await.unwrap().hidden, 0);
    client.secret_delete(&scope, &name).await.unwrap();
    client.secret_destroy(&scope, &name, &Versions { versions: vec![1, 2] }).await.unwrap();
    client.secret_search("DB", &Paging::default()).await.unwrap();

    let asked = stub.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "GET /api/v1/secrets/acme:prod/A HTTP/1.1",
            "PUT /api/v1/secrets/acme:prod/A HTTP/1.1",
            "GET /api/v1/secrets/acme:prod/?recursive=true&after=a%2Fb&limit=7 HTTP/1.1",
            "GET /api/v1/secrets/acme:prod/?view=effective HTTP/1.1",
            "DELETE /api/v1/secrets/acme:prod/A HTTP/1.1",
            "POST /api/v1/secrets/acme:prod/A/destroy HTTP/1.1",
            "GET /api/v1/search?name=DB HTTP/1.1",
        ]
    );
    assert_eq!(asked[1].body, r#"{"value":"x\"y","options":{"cas":2}}"#);
    assert_eq!(asked[5].body, r#"{"versions":[1,2]}"#);
    for asked in &asked {
        assert_eq!(asked.header("x-vault-token"), Some("canary-token"));
        assert_eq!(asked.header("host"), Some(stub.url.trim_start_matches("http://")));
    }
}

#[tokio::test]
async fn calls_for_a_whole_scope_send_the_documented_requests() {
    let stub = Stub::start(|asked| {
        json(
            200,
            match asked.line.split_once(' ').unwrap() {
                ("PATCH", _) => r#"{"results":[],"snapshot":4}"#,
                (_, path) if path.starts_with("/api/v1/layouts/") => r##"{"layout":"# x\n","version":2}"##,
                (_, path) if path.contains("/restore") => r#"{"changes":[],"unchanged":3}"#,
                (_, path) if path.contains("/values") => r#"{"secrets":[],"hidden":1}"#,
                (_, path) if path.contains("view=own") => r#"{"secrets":[],"hidden":2}"#,
                ("POST", _) => r#"{"id":5,"created_time":"t","state":"active"}"#,
                (_, path) if path.contains("/4 ") => {
                    r#"{"scope":"acme","id":4,"created_time":"t","reason":"r","secrets":{"A":1}}"#
                }
                _ => r#"{"items":[]}"#,
            },
        )
    })
    .await;
    let client = stub.client();
    let (scope, a): (Scope, Name) = ("acme".parse().unwrap(), "A".parse().unwrap());
    let change = |value: Option<&str>| SecretChange {
        name: a.clone(),
        delete: value.is_none(),
        value: value.map(Sensitive::from),
        options: SetOptions::default(),
    };
    let each = SecretsPatch { secrets: vec![change(Some("v"))], ..SecretsPatch::default() };
    client.secret_set_many(&scope, &each).await.unwrap();
    let together = SecretsPatch {
        secrets: vec![change(None)],
        atomic: true,
        layout: Some("A=*".into()),
        snapshot: Some("why".to_owned()),
    };
    assert_eq!(client.secret_set_many(&scope, &together).await.unwrap().snapshot, Some(4));
    assert_eq!(client.secret_own(&scope).await.unwrap().hidden, 2);
    assert_eq!(client.layout_read(&scope).await.unwrap().layout.expose(), "# x\n");
    let create = SnapshotCreate { reason: "r".to_owned() };
    assert_eq!(client.snapshot_create(&scope, &create).await.unwrap().id, 5);
    client.snapshot_list(&scope, &Paging { after: Some("3".into()), limit: None }).await.unwrap();
    assert_eq!(client.snapshot_read(&scope, 4).await.unwrap().secrets[&a], 1);
    assert_eq!(client.snapshot_values(&scope, 4).await.unwrap().hidden, 1);
    let restore = Restore { dry_run: true, partial: false };
    assert_eq!(client.snapshot_restore(&scope, 4, restore).await.unwrap().unchanged, 3);
    let asked = stub.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.trim_end_matches(" HTTP/1.1")).collect();
    assert_eq!(
        lines,
        [
            "PATCH /api/v1/secrets/acme/",
            "PATCH /api/v1/secrets/acme/",
            "GET /api/v1/secrets/acme/?view=own",
            "GET /api/v1/layouts/acme",
            "POST /api/v1/snapshots/acme",
            "GET /api/v1/snapshots/acme?after=3",
            "GET /api/v1/snapshots/acme/4",
            "GET /api/v1/snapshots/acme/4/values",
            "POST /api/v1/snapshots/acme/4/restore",
        ]
    );
    assert_eq!(asked[0].body, r#"{"secrets":[{"name":"A","value":"v","options":{}}]}"#);
    assert_eq!(
        asked[1].body,
        r#"{"secrets":[{"name":"A","delete":true,"options":{}}],"atomic":true,"layout":"A=*","snapshot":"why"}"#
    );
    assert_eq!(asked[8].body, r#"{"dry_run":true}"#);
}

#[tokio::test]
async fn logins_and_health_send_no_token_of_the_client() {
    let grant = r#"{"token":"t","accessor":"a","policies":[],"token_policies":[],"metadata":{},"lease_duration":1,
        "renewable":true,"entity_id":null,"kind":"service","orphan":true,"num_uses":0}"#;
    let stub =
        Stub::start(
            move |asked| {
                if asked.line.contains("healthz") { json(200, r#"{"status":"ok"}"#) } else { json(200, grant) }
            },
        )
        .await;
    let client = stub.client();
    let login = coffer_api::auth::UserpassLogin { mount: None, username: "ann".into(), password: "pw".into() };
    client.login_userpass(&login).await.unwrap();
    client.login_initial(&"initial".into()).await.unwrap();
    client.health().await.unwrap();
    let tokens: Vec<Option<String>> =
        stub.asked().iter().map(|asked| asked.header("x-vault-token").map(str::to_owned)).collect();
    assert_eq!(tokens, [None, Some("initial".to_owned()), None]);
}

#[tokio::test]
async fn status_of_a_sealed_node_is_a_status_and_not_an_error() {
    let stub = Stub::start(|_| {
        json(
            503,
            r#"{"active_address":null,"clock_in_doubt":false,"cluster_id":null,"initialized":true,"log_size":null,
               "node":"n","seal":"file","state":"sealed","storage":"memory","version":"0"}"#,
        )
    })
    .await;
    assert_eq!(stub.client().status().await.unwrap().state, NodeState::Sealed);
}

#[tokio::test]
async fn problem_details_become_a_problem() {
    let stub = Stub::start(|asked| {
        let body = r#"{"code":"rate_limited","status":429,"title":"too many","request_id":"r"}"#;
        if asked.line.contains("readyz") {
            json(503, r#"{"code":"unavailable","status":503,"title":"no","request_id":"r"}"#)
        } else {
            format!("HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
    })
    .await;
    let error = stub.client().policy_read("p").await.unwrap_err();
    assert!(matches!(&error, Error::Problem { status: 429, retry_after: Some(7), .. }), "{error:?}");
    assert_eq!(error.code(), Some(Code::RateLimited));
    assert_eq!(stub.client().status().await.unwrap_err().code(), Some(Code::Unavailable));
}

#[tokio::test]
async fn error_of_another_server_keeps_its_status() {
    let stub = Stub::start(|_| json(404, r#"{"errors":[]}"#)).await;
    let error = stub.client().policy_read("p").await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 404, .. }), "{error:?}");
}

#[tokio::test]
async fn reply_of_another_shape_is_refused_without_quoting_it() {
    let stub = Stub::start(|_| json(200, r#"{"name":["canary-value"],"policy":1}"#)).await;
    let error = stub.client().policy_read("p").await.unwrap_err();
    assert!(matches!(error, Error::Reply { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn policy_name_with_slashes_stays_one_segment() {
    let stub = Stub::start(|_| b"HTTP/1.1 204 X\r\n\r\n".to_vec()).await;
    let client = stub.client();
    client.policy_write("../../sys/x", &PolicyPut { policy: "p".into() }).await.unwrap();
    assert_eq!(stub.asked()[0].line, "PUT /api/v1/policies/..%2F..%2Fsys%2Fx HTTP/1.1");
    assert!(matches!(client.policy_delete("..").await.unwrap_err(), Error::Name(_)));
}

#[tokio::test]
async fn audit_query_sends_what_is_given() {
    let stub = Stub::start(|_| json(200, r#"{"entries":[],"size":0}"#)).await;
    let query = AuditQuery { actor: Some("a b".into()), from: Some(9), limit: Some(5), ..AuditQuery::default() };
    assert_eq!(stub.client().audit_query(&query).await.unwrap().size, 0);
    assert_eq!(stub.asked()[0].line, "GET /api/v1/audit/entries?actor=a%20b&from=9&limit=5 HTTP/1.1");
}
