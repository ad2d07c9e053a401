//! The key-value engine in both versions, and the cubbyhole.

use std::collections::HashMap;

use serde_json::{Value, json};
use vaultrs::{
    api::kv2::requests::{SetConfigurationRequest, SetSecretMetadataRequest, SetSecretRequestOptions},
    cubbyhole, kv1, kv2,
};

use crate::{
    refused, succeeds,
    table::{Table, Wrong, dev, pair},
};

pub async fn version_1(t: &mut Table) -> Result<(), Wrong> {
    let mount = t.mount("kv").await?;
    let data = HashMap::from([("key", json!({"deep": [1, true]}))]);
    let empty: HashMap<&str, Value> = HashMap::new();
    succeeds!(t, kv1::set(&t.root, &mount, "dir/a", &data), |()| true);
    refused!(t, 400, kv1::set(&t.root, &mount, "dir/a", &empty));
    refused!(t, 403, kv1::set(&t.weak, &mount, "dir/a", &data));
    succeeds!(t, kv1::get(&t.root, &mount, "dir/a"), |v: &Value| *v == json!({"key": {"deep": [1, true]}}));
    let refused: Result<Value, _> = kv1::get(&t.weak, &mount, "dir/a").await;
    t.refused("kv1::get", refused.map(drop), 403)?;
    let refused: Result<Value, _> = kv1::get(&t.root, &mount, "none").await;
    t.refused("kv1::get", refused.map(drop), 404)?;
    succeeds!(t, kv1::get_raw(&t.root, &mount, "dir/a"), |v| v.lease_duration == 2_764_800 && v.lease_id.is_empty());
    refused!(t, 404, kv1::get_raw(&t.root, &mount, "none"));
    succeeds!(t, kv1::list(&t.root, &mount, ""), |v| v.data.keys == ["dir/"]);
    refused!(t, 404, kv1::list(&t.root, &mount, "none"));
    refused!(t, 403, kv1::list(&t.weak, &mount, ""));
    succeeds!(t, kv1::delete(&t.root, &mount, "dir/a"), |()| true);
    refused!(t, 403, kv1::delete(&t.weak, &mount, "dir/a"));
    Ok(())
}

pub async fn version_2(t: &mut Table) -> Result<(), Wrong> {
    let mount = t.mount("kv-v2").await?;
    let m = mount.as_str();
    succeeds!(t, kv2::set(&t.root, m, "a", &json!({"n": 1})), |v| v.version == 1 && v.deletion_time.is_empty());
    refused!(t, 403, kv2::set(&t.weak, m, "a", &json!({"n": 1})));
    let cas = |cas| SetSecretRequestOptions { cas };
    succeeds!(t, kv2::set_with_options(&t.root, m, "a", &json!({"n": 2}), cas(1)), |v| v.version == 2);
    refused!(t, 400, kv2::set_with_options(&t.root, m, "a", &json!({"n": 3}), cas(1)));
    succeeds!(t, kv2::read(&t.root, m, "a"), |v: &Value| *v == json!({"n": 2}));
    let refused: Result<Value, _> = kv2::read(&t.root, m, "none").await;
    t.refused("kv2::read", refused.map(drop), 404)?;
    let refused: Result<Value, _> = kv2::read(&t.weak, m, "a").await;
    t.refused("kv2::read", refused.map(drop), 403)?;
    succeeds!(t, kv2::read_version(&t.root, m, "a", 1), |v: &Value| *v == json!({"n": 1}));
    let refused: Result<Value, _> = kv2::read_version(&t.root, m, "a", 9).await;
    t.refused("kv2::read_version", refused.map(drop), 404)?;
    succeeds!(t, kv2::list(&t.root, m, ""), |v| v == &["a"]);
    refused!(t, 404, kv2::list(&t.root, m, "none"));

    let mut options = SetSecretMetadataRequest::builder();
    options.max_versions(5_u64).custom_metadata(pair("owner", "me"));
    succeeds!(t, kv2::set_metadata(&t.root, m, "a", Some(&mut options)), |()| true);
    let mut wrong = SetSecretMetadataRequest::builder();
    wrong.custom_metadata(pair("owner", &"x".repeat(513)));
    refused!(t, 400, kv2::set_metadata(&t.root, m, "a", Some(&mut wrong)));
    succeeds!(t, kv2::read_metadata(&t.root, m, "a"), |v| v.max_versions == 5
        && v.custom_metadata == Some(pair("owner", "me"))
        && v.versions.len() == 2
        && v.delete_version_after == "0s");
    refused!(t, 404, kv2::read_metadata(&t.root, m, "none"));

    let gone = async |version: &str| {
        kv2::read_metadata(&dev("root"), m, "a").await.map(|v| !v.versions[version].deletion_time.is_empty())
    };
    succeeds!(t, kv2::delete_versions(&t.root, m, "a", vec![1]), |()| true);
    assert!(t.prepared(gone("1").await)?);
    refused!(t, 403, kv2::delete_versions(&t.weak, m, "a", vec![1]));
    succeeds!(t, kv2::undelete_versions(&t.root, m, "a", vec![1]), |()| true);
    assert!(!t.prepared(gone("1").await)?);
    refused!(t, 403, kv2::undelete_versions(&t.weak, m, "a", vec![1]));
    succeeds!(t, kv2::delete_latest(&t.root, m, "a"), |()| true);
    assert!(t.prepared(gone("2").await)?);
    refused!(t, 403, kv2::delete_latest(&t.weak, m, "a"));
    succeeds!(t, kv2::destroy_versions(&t.root, m, "a", vec![1]), |()| true);
    assert!(t.prepared(kv2::read_metadata(&t.root, m, "a").await)?.versions["1"].destroyed);
    refused!(t, 403, kv2::destroy_versions(&t.weak, m, "a", vec![1]));
    succeeds!(t, kv2::delete_metadata(&t.root, m, "a"), |()| true);
    refused!(t, 403, kv2::delete_metadata(&t.weak, m, "a"));

    let mut options = SetConfigurationRequest::builder();
    options.max_versions(3_u64).delete_version_after("1h");
    succeeds!(t, kv2::config::set(&t.root, m, Some(&mut options)), |()| true);
    refused!(t, 403, kv2::config::set(&t.weak, m, None));
    succeeds!(t, kv2::config::read(&t.root, m), |v| v.max_versions == 3 && v.delete_version_after == "1h0m0s");
    refused!(t, 403, kv2::config::read(&t.weak, m));
    Ok(())
}

pub async fn cubbyhole(t: &mut Table) -> Result<(), Wrong> {
    let mine = dev(&t.token(&["default"]).await?.client_token);
    let data = HashMap::from([("key", "value")]);
    succeeds!(t, cubbyhole::set(&mine, "cubbyhole", "a", &data), |()| true);
    refused!(t, 403, cubbyhole::set(&t.weak, "cubbyhole", "a", &data));
    succeeds!(t, cubbyhole::get(&mine, "cubbyhole", "a"), |v: &Value| *v == json!({"key": "value"}));
    let of_root: Result<Value, _> = cubbyhole::get(&t.root, "cubbyhole", "a").await;
    t.refused("cubbyhole::get", of_root.map(drop), 404)?;
    succeeds!(t, cubbyhole::get_raw(&mine, "cubbyhole", "a"), |v| v.data == json!({"key": "value"}));
    refused!(t, 404, cubbyhole::get_raw(&mine, "cubbyhole", "none"));
    succeeds!(t, cubbyhole::list(&mine, "cubbyhole", ""), |v| v.data.keys == ["a"]);
    refused!(t, 404, cubbyhole::list(&t.root, "cubbyhole", "none"));
    succeeds!(t, cubbyhole::delete(&mine, "cubbyhole", "a"), |()| true);
    refused!(t, 403, cubbyhole::delete(&t.weak, "cubbyhole", "a"));
    Ok(())
}
