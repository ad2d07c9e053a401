//! Mounts, policies, wrapping and the rest of `sys`, and the client's own methods.

use vaultrs::{
    api::{
        self,
        sys::requests::{EnableAuthRequest, EnableEngineRequest, RandomRequest},
        token::requests::LookupTokenSelfRequest,
    },
    client::Client,
    sys,
};

use crate::{
    refused, succeeds,
    table::{Table, Wrong, dev, is_oracle, pair, shamir},
};

const POLICY: &str = r#"path "secret/*" { capabilities = ["read"] }"#;

pub async fn mounts(t: &mut Table) -> Result<(), Wrong> {
    let path = t.name("path/to/secret engine");
    let mut options = EnableEngineRequest::builder();
    options.description("d").options(pair("version", "2"));
    succeeds!(t, sys::mount::enable(&t.root, &path, "kv", Some(&mut options)), |()| true);
    refused!(t, 400, sys::mount::enable(&t.root, &path, "kv", None));
    refused!(t, 403, sys::mount::enable(&t.weak, "other", "kv", None));
    succeeds!(t, sys::mount::list(&t.root), |v| v[&format!("{path}/")].options == Some(pair("version", "2"))
        && v["cubbyhole/"].local);
    refused!(t, 403, sys::mount::list(&t.weak));
    succeeds!(t, sys::mount::get_configuration_of_a_secret_engine(&t.root, "secret"), |v| v.mount_type == "kv"
        && v.options == Some(pair("version", "2")));
    refused!(t, 400, sys::mount::get_configuration_of_a_secret_engine(&t.root, "none"));
    let to = t.name("moved");
    let moved = succeeds!(t, sys::remount::remount(&t.root, &path, &to), |v| !v.migration_id.is_empty()).migration_id;
    refused!(t, 400, sys::remount::remount(&t.root, "none", "other"));
    succeeds!(t, sys::remount::remount_status(&t.root, &moved), |v| v.migration_id == moved
        && v.migration_info.target_mount == format!("{to}/")
        && ["in-progress", "success"].contains(&v.migration_info.status.as_str()));
    refused!(t, 403, sys::remount::remount_status(&t.weak, &moved));
    while t.prepared(sys::remount::remount_status(&t.root, &moved).await)?.migration_info.status == "in-progress" {}
    succeeds!(t, sys::mount::disable(&t.root, &to), |()| true);
    refused!(t, 400, sys::mount::disable(&t.root, "cubbyhole"));

    let path = t.name("userpass");
    let mut options = EnableAuthRequest::builder();
    options.description("d");
    succeeds!(t, sys::auth::enable(&t.root, &path, "userpass", Some(&mut options)), |()| true);
    refused!(t, 400, sys::auth::enable(&t.root, &path, "userpass", None));
    succeeds!(t, sys::auth::list(&t.root), |v| v[&format!("{path}/")].description == "d"
        && v["token/"].config.token_type == "default-service");
    refused!(t, 403, sys::auth::list(&t.weak));
    succeeds!(t, sys::auth::disable(&t.root, &path), |()| true);
    refused!(t, 400, sys::auth::disable(&t.root, "token"));
    Ok(())
}

pub async fn policies(t: &mut Table) -> Result<(), Wrong> {
    succeeds!(t, sys::policy::set(&t.root, "p-vaultrs", POLICY), |()| true);
    refused!(t, 400, sys::policy::set(&t.root, "p-vaultrs", "path {"));
    succeeds!(t, sys::policy::read(&t.root, "p-vaultrs"), |v| v.name == "p-vaultrs" && v.rules == POLICY);
    refused!(t, 404, sys::policy::read(&t.root, "none"));
    succeeds!(t, sys::policy::list(&t.root), |v| ["default", "p-vaultrs", "root"]
        .iter()
        .all(|name| v.policies.iter().any(|policy| policy == name)));
    refused!(t, 403, sys::policy::list(&t.weak));
    succeeds!(t, sys::policy::delete(&t.root, "p-vaultrs"), |()| true);
    refused!(t, 400, sys::policy::delete(&t.root, "default"));
    Ok(())
}

pub async fn wrapping(t: &mut Table) -> Result<(), Wrong> {
    let endpoint = || LookupTokenSelfRequest::builder().build().expect("it takes nothing");
    let wrapped = t.prepared(api::wrap(&t.root, endpoint()).await)?;
    t.succeeded("api::wrap", Ok(wrapped.info.creation_path.clone()), |path| path == "auth/token/lookup-self")?;
    t.refused("api::wrap", api::wrap(&t.weak, endpoint()).await.map(drop), 403)?;
    let lookup = wrapped.lookup(&t.nobody).await;
    t.succeeded("api::lookup", lookup, |v| v.creation_path == "auth/token/lookup-self" && v.creation_ttl > 0)?;
    t.succeeded("api::unwrap", wrapped.unwrap(&t.root).await, |v| v.id == "root")?;
    t.refused("api::lookup", wrapped.lookup(&t.nobody).await.map(drop), 400)?;
    t.refused("api::unwrap", wrapped.unwrap(&t.root).await.map(drop), 400)?;

    let wrapped = t.prepared(api::wrap(&t.root, endpoint()).await)?;
    let token = wrapped.info.token.as_str();
    succeeds!(t, sys::wrapping::lookup(&t.nobody, token), |v| v.creation_path == "auth/token/lookup-self");
    succeeds!(t, sys::wrapping::unwrap(&dev(token), None), |v: &serde_json::Value| v["id"] == "root");
    refused!(t, 400, sys::wrapping::lookup(&t.nobody, token));
    let again: Result<serde_json::Value, _> = sys::wrapping::unwrap(&t.root, Some(token)).await;
    t.refused("sys::wrapping::unwrap", again.map(drop), 400)?;

    let mut options = RandomRequest::builder();
    options.bytes(8_u64).format("hex");
    succeeds!(t, sys::tools::random(&t.root, Some(&mut options)), |v| v.random_bytes.len() == 16);
    let mut wrong = RandomRequest::builder();
    wrong.format("roman");
    refused!(t, 400, sys::tools::random(&t.root, Some(&mut wrong)));
    Ok(())
}

pub async fn client(t: &mut Table) -> Result<(), Wrong> {
    let mine = dev(&t.token(&["default"]).await?.client_token);
    t.succeeded("client::lookup", mine.lookup().await, |v| v.policies == ["default"])?;
    t.refused("client::lookup", t.weak.lookup().await.map(drop), 403)?;
    t.succeeded("client::renew", mine.renew(Some("10m")).await, |v| v.lease_duration == 600)?;
    t.refused("client::renew", t.root.renew(None).await.map(drop), 400)?;
    t.succeeded("client::revoke", mine.revoke().await, |()| true)?;
    t.refused("client::revoke", mine.revoke().await, 403)?;
    t.succeeded("client::status", shamir("").status().await, |v| matches!(v, sys::ServerStatus::UNINITIALIZED))?;
    succeeds!(t, sys::status(&shamir("")), |v| matches!(v, sys::ServerStatus::UNINITIALIZED));
    // OpenBao leaves out `performance_standby`, without which vaultrs understands no good health.
    if !is_oracle() {
        t.succeeded("client::status", t.nobody.status().await, |v| matches!(v, sys::ServerStatus::OK))?;
        succeeds!(t, sys::health(&t.nobody), |v| v.initialized && !v.sealed && !v.standby && !v.version.is_empty());
    }
    refused!(t, 501, sys::health(&shamir("")));
    Ok(())
}
