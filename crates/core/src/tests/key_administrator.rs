//! What the built-in administrator may do with keys, wherever their engine lies.

use std::sync::Arc;

use coffer_api::{Code, token::TokenCreate};

use super::{caller, dev};
use crate::{
    Caller, Core, CreatePath, EncryptItem, Error, Input, KeyAlgorithm, KeyCreate, MountEnable, MountKind, Operation,
    PolicyWrite, policy::builtin,
};

const FAMILY: &str = "sys/policies/acl/";

async fn with_policies(core: &Arc<Core>, root: &Caller, policies: &[&str]) -> Caller {
    let policies = policies.iter().map(|name| (*name).to_owned()).collect();
    let request = TokenCreate { policies, ttl: Some(600), ..TokenCreate::default() };
    let made = root.token_create(CreatePath::Child, request, &()).await.unwrap();
    caller(core, made.token.expose()).await
}

async fn encrypt(caller: &Caller, path: &str) -> Result<(), Error> {
    let mount = caller.resolve(path).unwrap();
    let item = EncryptItem { plaintext: Input::Raw(b"x"), ..EncryptItem::default() };
    let made = caller.key_encrypt(&mount, "k", &[item], &()).await?;
    assert!(made[0].is_ok());
    Ok(())
}

async fn held(caller: &Caller, path: &str) -> Vec<&'static str> {
    caller.capabilities_self(&[path.to_owned()], &()).await.unwrap().remove(0).1
}

async fn rewrite(root: &Caller, text: String) {
    let write = PolicyWrite { text: Some(text), ..PolicyWrite::default() };
    root.policy_set("administrator", FAMILY, Operation::Update, write, &()).await.unwrap();
}

#[tokio::test]
async fn administrator_uses_no_key_of_an_engine_that_was_mounted_or_moved_elsewhere() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let admin = with_policies(&core, &root, &["administrator"]).await;
    for path in ["transit/", "tk/"] {
        admin.mount_enable(path, MountKind::Transit, MountEnable::default(), &()).await.unwrap();
        let mount = admin.resolve(path).unwrap();
        admin.key_create(&mount, "k", KeyCreate::transit(KeyAlgorithm::Aes256Gcm), &()).await.unwrap();
    }
    admin.mount_enable("kv/", MountKind::KvV1, MountEnable::default(), &()).await.unwrap();
    for path in ["transit/", "tk/"] {
        assert_eq!(encrypt(&admin, path).await.unwrap_err().code(), Code::Denied, "{path}");
        encrypt(&root, path).await.unwrap();
    }
    assert_eq!(held(&admin, "tk/encrypt/k").await, ["deny"]);
    assert!(held(&admin, "tk/keys/k").await.contains(&"update"));
    assert!(held(&admin, "kv/encrypt/k").await.contains(&"update"), "that is no engine of keys");
    admin.mount_move("transit", "moved/deep", &()).await.unwrap();
    assert_eq!(encrypt(&admin, "moved/deep/").await.unwrap_err().code(), Code::Denied);

    root.policy_write("user", FAMILY, r#"path "tk/encrypt/k" { capabilities = ["update"] }"#, &()).await.unwrap();
    let user = with_policies(&core, &root, &["administrator", "user"]).await;
    encrypt(&user, "tk/").await.unwrap();
    assert_eq!(encrypt(&user, "moved/deep/").await.unwrap_err().code(), Code::Denied);
    drop((admin, user, root));
    core.shutdown().await;
}

#[tokio::test]
async fn administrator_policy_that_was_changed_says_all_that_counts() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for path in ["transit/", "tk/"] {
        root.mount_enable(path, MountKind::Transit, MountEnable::default(), &()).await.unwrap();
        let mount = root.resolve(path).unwrap();
        root.key_create(&mount, "k", KeyCreate::transit(KeyAlgorithm::Aes256Gcm), &()).await.unwrap();
    }
    let with = async || with_policies(&core, &root, &["administrator"]).await;
    rewrite(&root, format!("{}\npath \"tk/decrypt/*\" {{ capabilities = [\"deny\"] }}\n", builtin::ADMINISTRATOR))
        .await;
    encrypt(&with().await, "tk/").await.unwrap();
    assert_eq!(encrypt(&with().await, "transit/").await.unwrap_err().code(), Code::Denied, "the text denies it");
    rewrite(&root, builtin::ADMINISTRATOR.to_owned()).await;
    assert_eq!(encrypt(&with().await, "tk/").await.unwrap_err().code(), Code::Denied, "it is as it came again");
    drop(root);
    core.shutdown().await;
}
