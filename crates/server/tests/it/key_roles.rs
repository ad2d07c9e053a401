//! What the built-in roles may do with keys over the native API: every call and every step, by its row among the
//! endpoints. The paths of transit are in the core's table of the same kind; here its calls are made of an engine that
//! does not lie at `transit/`.

use std::collections::BTreeMap;

use serde_json::json;

use crate::{
    endpoints::{NATIVE, VAULT, fresh, furnish, rows},
    server::TestServer,
};

/// What a call is to the roles.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    /// Needs nothing but a token.
    Anyone,
    /// Tells what everybody may know.
    Look,
    /// Changes a key or its settings, and tells nothing secret.
    Manage,
    /// Needs no key, and is nobody's right but by a grant.
    Tool,
    /// Does something with a secret part, or takes it out.
    Use,
}

use Class::{Anyone, Look, Manage, Tool, Use};

const CALLS: [(&str, Class); 44] = [
    ("hash", Anyone),
    ("key_activate", Manage),
    ("key_agree", Use),
    ("key_backup", Use),
    ("key_certificate", Manage),
    ("key_compromise", Manage),
    ("key_configure", Manage),
    ("key_create", Manage),
    ("key_csr", Use),
    ("key_data_key", Use),
    ("key_deactivate", Manage),
    ("key_decapsulate", Use),
    ("key_decrypt", Use),
    ("key_delete", Manage),
    ("key_deleted_list", Look),
    ("key_deleted_read", Look),
    ("key_destroy", Manage),
    ("key_destroy_cancel", Manage),
    ("key_disable", Manage),
    ("key_enable", Manage),
    ("key_encapsulate", Use),
    ("key_encrypt", Use),
    ("key_export", Use),
    ("key_import_begin", Manage),
    ("key_import_version", Manage),
    ("key_list", Look),
    ("key_mac", Use),
    ("key_public", Look),
    ("key_read", Look),
    ("key_recover", Manage),
    ("key_restore", Manage),
    ("key_resume", Manage),
    ("key_rewrap", Use),
    ("key_rollback", Manage),
    ("key_rotate", Manage),
    ("key_settings", Look),
    ("key_settings_write", Manage),
    ("key_sign", Use),
    ("key_suspend", Manage),
    ("key_verify", Use),
    ("key_verify_mac", Use),
    ("key_wrap", Use),
    ("key_wrapping_key", Manage),
    ("random", Tool),
];

const ABOUT_KEYS: [&str; 5] =
    ["/api/v1/deleted-keys", "/api/v1/hash", "/api/v1/key-", "/api/v1/keys", "/api/v1/random"];

#[tokio::test]
async fn roles_may_call_what_the_table_says() {
    let server = TestServer::dev().await;
    let calls = BTreeMap::from(CALLS);
    let about_keys = |path: &str| ABOUT_KEYS.iter().any(|start| path.starts_with(start));
    let rows: Vec<_> = rows(NATIVE).into_iter().filter(|row| about_keys(row.path)).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), CALLS.len(), "{ids:?}: a call is in one table alone");
    furnish(&server).await;
    for (role, classes) in [
        ("administrator", &[Anyone, Look, Manage, Tool][..]),
        ("auditor", &[Anyone, Look]),
        ("operator", &[Anyone]),
        ("service", &[Anyone]),
    ] {
        let wanted = json!({"policies": [role]});
        let grant = server.root("POST", "/api/v1/tokens", wanted).await.is(200).json();
        let token = grant["token"].as_str().unwrap();
        let fresh = fresh(&server).await;
        for row in &rows {
            let class = calls.get(row.id).unwrap_or_else(|| panic!("{}: in no class", row.id));
            let reply = row.ask(&server, Some(token), &fresh).await;
            assert_eq!(reply.status != 403, classes.contains(class), "{role}: {}: {}", row.id, reply.text());
            assert!(reply.status < 500 && reply.status != 401, "{role}: {}: {}", row.id, reply.text());
        }
    }
    server.stop().await;
}

/// The calls of transit that use no key; all others do.
const SPARING: [&str; 20] = [
    "transit list",
    "transit read",
    "transit create",
    "transit config",
    "transit rotate",
    "transit trim",
    "transit delete",
    "transit soft-delete",
    "transit soft-delete-restore",
    "transit wrapping_key",
    "transit import",
    "transit import_version",
    "transit set-certificate",
    "transit random",
    "transit hash",
    "transit restore",
    "transit cache-config read",
    "transit cache-config",
    "transit config/keys read",
    "transit config/keys",
];

#[tokio::test]
async fn administrator_uses_no_key_of_transit_where_it_lies_elsewhere() {
    let server = TestServer::dev().await;
    furnish(&server).await;
    furnish(&server).await;
    let rows: Vec<_> = rows(VAULT).into_iter().filter(|row| row.path.starts_with("/v1/tk/")).collect();
    assert!(SPARING.iter().all(|id| rows.iter().any(|row| row.id == *id)), "a call in the list is in no table");
    assert!(rows.len() > SPARING.len());
    let wanted = json!({"policies": ["administrator"], "no_default_policy": true});
    let auth = server.root("POST", "/v1/auth/token/create", wanted).await.is(200).json();
    let token = auth["auth"]["client_token"].as_str().unwrap();
    let fresh = fresh(&server).await;
    for row in &rows {
        let reply = row.ask(&server, Some(token), &fresh).await;
        let spares = SPARING.contains(&row.id);
        assert_eq!(reply.status, if spares { row.status } else { 403 }, "{}: {}", row.id, reply.text());
    }
    server.stop().await;
}
