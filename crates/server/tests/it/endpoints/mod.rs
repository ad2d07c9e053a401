//! The tables of all endpoints: what each answers to nobody, to the wrong policy, to the right one, and while sealed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

/// The native API, by operation id.
pub(crate) const NATIVE: &str = include_str!("native.txt");
/// The Vault dialect, by names of our own.
pub(crate) const VAULT: &str = include_str!("vault.txt");

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum For {
    /// Whoever asks, sealed or not.
    Anybody,
    /// Who comes over the unix socket as the server's own user.
    Local,
    /// Who brings a credential of another kind in the request.
    Login,
    /// Who has a token with a policy.
    Token,
}

/// One endpoint.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    pub(crate) whom: For,
    pub(crate) changes: bool,
    method: &'static str,
    pub(crate) path: &'static str,
    /// With the right policy.
    pub(crate) status: u16,
    policy: String,
    body: &'static str,
}

/// A token that a row may act upon.
pub(crate) struct Fresh {
    token: String,
    accessor: String,
    /// The id of a key that is deleted.
    deleted: String,
}

/// The rows of a table.
pub(crate) fn rows(table: &'static str) -> Vec<Row> {
    table.lines().filter(|line| !line.starts_with('#')).map(Row::parse).collect()
}

impl Row {
    fn parse(line: &'static str) -> Self {
        let columns: Vec<&str> = line.splitn(7, '|').map(str::trim).collect();
        let [id, whom, effect, request, status, policy, body] = columns[..] else { panic!("seven columns: {line}") };
        let (method, path) = request.split_once(' ').unwrap();
        let rule = |rule: &str| {
            let (capabilities, path) = rule.trim().split_once(' ')?;
            let capabilities: Vec<&str> = capabilities.split(',').collect();
            Some(format!("path \"{path}\" {{ capabilities = {capabilities:?} }}\n"))
        };
        let policy = policy.split(';').map(rule).collect::<Option<String>>().unwrap_or_else(|| NO_POLICY.to_owned());
        Self {
            id,
            whom: match whom {
                "anybody" => For::Anybody,
                "local" => For::Local,
                "login" => For::Login,
                "token" => For::Token,
                other => panic!("{other}"),
            },
            changes: match effect {
                "changes" => true,
                "reads" => false,
                other => panic!("{other}"),
            },
            method,
            path,
            status: status.parse().unwrap(),
            policy,
            body,
        }
    }

    fn anonymous(&self) -> u16 {
        match (self.whom, self.path.starts_with("/v1/")) {
            (For::Anybody | For::Local | For::Login, _) => self.status,
            (For::Token, true) => 403,
            (For::Token, false) => 401,
        }
    }

    pub(crate) async fn ask(&self, server: &TestServer, token: Option<&str>, fresh: &Fresh) -> Reply {
        let body = self.body.replace("{token}", &fresh.token).replace("{accessor}", &fresh.accessor);
        server.raw(self.method, &self.path_of(fresh), token, &body).await
    }

    pub(crate) fn path_of(&self, fresh: &Fresh) -> String {
        self.path.replace("{deleted}", &fresh.deleted)
    }
}

/// Operations of the OpenAPI document that have no row. May only shrink.
const WITHOUT_ROW: &[&str] = &[];

/// A public key that has no other half here.
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvhzNAQKwxT5DdkwdICHIU/dqEWVX
bM2Z8elivDkUEsgWbvQPO9ya5BJZLnllFB7E/x+ZaKxSqHqVM58grkN5eg==
-----END PUBLIC KEY-----";

const NO_POLICY: &str = r#"path "nothing" { capabilities = ["read"] }"#;

/// Sees to it that there is something for each row to act upon, whatever the rows before it did.
pub(crate) async fn furnish(server: &TestServer) {
    let is_new = server.root("GET", "/v1/auth/userpass/users/ada", Value::Null).await.status == 404;
    for (method, path, body) in [
        ("POST", "/v1/sys/auth/userpass", json!({"type": "userpass"})),
        ("POST", "/v1/sys/mounts/kv", json!({"type": "kv-v2"})),
        ("POST", "/v1/sys/mounts/kv1", json!({"type": "kv-v1"})),
        ("POST", "/v1/kv1/a", json!({"x": 1})),
        ("POST", "/v1/sys/mounts/tk", json!({"type": "transit"})),
        ("DELETE", "/v1/sys/mounts/transit9", Value::Null),
        ("POST", "/v1/tk/keys/k", json!({"exportable": true, "allow_plaintext_backup": true})),
        ("POST", "/v1/tk/keys/k/config", json!({"min_encryption_version": 1})),
        ("POST", "/v1/tk/keys/s", json!({"type": "ecdsa-p256"})),
        ("POST", "/v1/tk/keys/r", json!({"type": "rsa-2048"})),
        ("POST", "/v1/tk/keys/doomed", json!({})),
        ("POST", "/v1/tk/keys/doomed/config", json!({"deletion_allowed": true})),
        ("POST", "/v1/tk/keys/here", json!({})),
        ("POST", "/v1/tk/keys/here/soft-delete-restore", json!({})),
        ("POST", "/v1/tk/keys/gone", json!({})),
        ("DELETE", "/v1/tk/keys/gone/soft-delete", Value::Null),
        ("DELETE", "/v1/sys/mounts/kv9", Value::Null),
        ("DELETE", "/v1/sys/auth/up2", Value::Null),
        ("DELETE", "/v1/secret/metadata/fresh", Value::Null),
        ("DELETE", "/v1/secret/metadata/acme/NEW", Value::Null),
        ("POST", "/v1/auth/token/roles/r1", json!({"orphan": true})),
        ("POST", "/v1/identity/entity", json!({"name": "e1"})),
        ("POST", "/v1/identity/group", json!({"name": "g1"})),
        ("PUT", "/v1/sys/policy/x", json!({"policy": "path \"x\" { capabilities = [\"read\"] }"})),
        ("DELETE", "/v1/secret/metadata/acme/KEY", Value::Null),
        ("DELETE", "/v1/secret/metadata/acme/.snapshots", Value::Null),
        (
            "PATCH",
            "/api/v1/secrets/acme/",
            json!({"atomic": true, "secrets": [{"name": "LAID", "value": "v"}], "layout": "LAID=\n", "snapshot": "x"}),
        ),
        ("PUT", "/api/v1/secrets/acme/KEY", json!({"value": "v"})),
        ("PUT", "/api/v1/secrets/acme/KEY", json!({"value": "w"})),
        ("DELETE", "/v1/secret/metadata/acme/GONE", Value::Null),
        ("PUT", "/api/v1/secrets/acme/GONE", json!({"value": "v"})),
        ("DELETE", "/api/v1/secrets/acme/GONE", Value::Null),
        ("POST", "/api/v1/keys", json!({"name": "k"})),
        ("POST", "/api/v1/keys/k/rotate", json!({})),
        ("POST", "/api/v1/keys", json!({"name": "ready"})),
        ("POST", "/api/v1/keys/ready/rotate", json!({"pre_active": true})),
        ("POST", "/api/v1/keys", json!({"name": "idle"})),
        ("POST", "/api/v1/keys/idle/rotate", json!({})),
        ("POST", "/api/v1/keys/idle/suspend", json!({})),
        ("POST", "/api/v1/keys", json!({"name": "doomed"})),
        ("POST", "/api/v1/keys/doomed/rotate", json!({})),
        ("POST", "/api/v1/keys/doomed/destroy", json!({})),
        ("POST", "/api/v1/keys", json!({"name": "on"})),
        ("POST", "/api/v1/keys/on/enable", Value::Null),
        ("POST", "/api/v1/keys", json!({"name": "off"})),
        ("POST", "/api/v1/keys/off/disable", Value::Null),
        ("POST", "/api/v1/keys", json!({"name": "going"})),
        ("PATCH", "/api/v1/keys/going", json!({"deletion_allowed": true})),
        ("POST", "/api/v1/keys", json!({"name": "new"})),
        ("PATCH", "/api/v1/keys/new", json!({"deletion_allowed": true})),
        ("DELETE", "/api/v1/keys/new", Value::Null),
        ("POST", "/api/v1/keys", json!({"name": "use", "exportable": true})),
        ("PATCH", "/api/v1/keys/use", json!({"allow_plaintext_backup": true})),
        ("POST", "/api/v1/keys", json!({"name": "wrapping"})),
        ("POST", "/api/v1/keys", json!({"name": "p256", "algorithm": "ecdsa-p256", "usages": ["derive", "sign"]})),
        ("POST", "/api/v1/keys", json!({"name": "mac", "algorithm": "hmac-sha256"})),
        ("POST", "/api/v1/keys", json!({"name": "kem", "algorithm": "ml-kem-768"})),
        ("POST", "/api/v1/keys", json!({"name": "came", "algorithm": "ecdsa-p256", "source": {"public_key": P256}})),
    ] {
        let reply = server.root(method, path, body).await;
        let is_there = path.starts_with("/v1/sys/") && reply.text().contains("already in use")
            || path.starts_with("/api/v1/keys") && reply.status == 409;
        assert!(reply.status < 300 || is_there, "{method} {path}: {}", reply.text());
    }
    if is_new {
        server.root("POST", "/v1/auth/userpass/users/ada", json!({"password": "pw"})).await.is(204);
    }
}

pub(crate) async fn fresh(server: &TestServer) -> Fresh {
    let auth = server
        .root("POST", "/v1/auth/token/create", json!({"policies": ["default"], "ttl": "1h"}))
        .await
        .is(200)
        .json();
    let text = |key: &str| auth["auth"][key].as_str().unwrap().to_owned();
    server.root("POST", "/api/v1/keys", json!({"name": "gone"})).await;
    server.root("PATCH", "/api/v1/keys/gone", json!({"deletion_allowed": true})).await.is(200);
    let deleted = server.root("DELETE", "/api/v1/keys/gone", Value::Null).await.is(200).json();
    let deleted = deleted["id"].as_str().unwrap().to_owned();
    Fresh { token: text("client_token"), accessor: text("accessor"), deleted }
}

/// A token for a row with exactly its policy.
pub(crate) async fn allowed(server: &TestServer, row: &Row) -> String {
    server.token_with(ROOT, &row.policy).await
}

async fn check(table: &'static str) {
    let rows = rows(table);
    let mut server = TestServer::dev().await;
    for row in &rows {
        furnish(&server).await;
        let fresh = fresh(&server).await;
        let wrong = server.token_with(ROOT, NO_POLICY).await;
        let right = allowed(&server, row).await;
        let got = row.ask(&server, None, &fresh).await;
        assert_eq!(got.status, row.anonymous(), "{} without a token: {}", row.id, got.text());
        if row.whom == For::Token {
            let before = server.log_size().await;
            let got = row.ask(&server, Some(&wrong), &fresh).await;
            if row.id == "secret_patch" {
                assert_eq!(got.json()["results"][0]["problem"]["code"], "denied");
            } else if ["secret_due", "secret_search"].contains(&row.id) {
                // What may not be listed is not found.
                assert_eq!(got.is(200).json()["items"], json!([]));
            } else if row.id == "secret_identify" {
                // What may not be read is not told.
                assert_eq!(got.is(200).json()["matches"], json!([]));
            } else {
                assert_eq!(got.status, 403, "{} with the wrong policy: {}", row.id, got.text());
            }
            assert!(server.log_size().await > before, "{}: a refusal without a record", row.id);
        }
        let got = row.ask(&server, Some(&right), &fresh).await;
        assert_eq!(got.status, row.status, "{} with the right policy: {}", row.id, got.text());
        if row.path.ends_with("/seal") {
            server.stop().await;
            server = TestServer::dev().await;
        }
    }
    let fresh = fresh(&server).await;
    server.root("PUT", "/v1/sys/seal", Value::Null).await.is(204);
    for row in &rows {
        let expected = match row.whom {
            For::Anybody if ["status", "sys/health"].contains(&row.id) => 503,
            For::Anybody | For::Local => row.status,
            // Sealed already.
            For::Login | For::Token if row.id == "sys/seal" => 204,
            For::Login | For::Token => 503,
        };
        let got = row.ask(&server, Some(ROOT), &fresh).await;
        assert_eq!(got.status, expected, "{} while sealed: {}", row.id, got.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn native_endpoints_answer_by_who_asks() {
    check(NATIVE).await;
}

#[tokio::test]
async fn vault_endpoints_answer_by_who_asks() {
    check(VAULT).await;
}

#[test]
fn openapi_operation_without_row_fails() {
    let document: Value = serde_json::from_str(&coffer_server::openapi_document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations: BTreeSet<&str> = paths
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let known: BTreeSet<&str> = rows(NATIVE).iter().map(|row| row.id).chain(WITHOUT_ROW.iter().copied()).collect();
    assert_eq!(operations, known);
}
