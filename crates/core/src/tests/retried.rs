//! What meets another change starts over, and authority moves only where somebody's rights may have changed.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use coffer_api::{
    Code, Sensitive,
    token::{TokenCreate, TokenRenew},
};

use super::{caller, context, dev};
use crate::{AppRole, CreatePath, MountEnable, MountKind, SecretIdIssue};

const TIMES: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn children_are_made_and_secret_ids_issued_while_parent_and_role_are_written() {
    let core = dev().await;
    let root = Arc::new(caller(&core, "root").await);
    let request = || TokenCreate { ttl: Some(3600), ..TokenCreate::default() };
    let parent = root.token_create(CreatePath::Child, request(), &()).await.unwrap();
    let parent = Arc::new(caller(&core, parent.token.expose()).await);
    root.mount_enable("auth/approle/", MountKind::Approle, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("auth/approle/login").unwrap();
    let role = |ttl: u64| {
        move |role: &mut AppRole| {
            role.token.ttl = ttl;
            Ok(())
        }
    };
    root.approle_write(&mount, "r", None, &(), role(1)).await.unwrap();
    let writing = tokio::spawn({
        let (root, parent, mount) = (Arc::clone(&root), Arc::clone(&parent), Arc::clone(&mount));
        async move {
            for n in 0..TIMES {
                parent.token_renew(&TokenRenew::default(), &()).await.unwrap();
                let ttl = u64::try_from(n + 2).unwrap();
                root.approle_write(&mount, "r", None, &(), role(ttl)).await.unwrap();
            }
        }
    });
    let mut met = Vec::new();
    for n in 0..TIMES {
        let chosen = TokenCreate { id: Some(Sensitive::new(format!("chosen-{n}"))), ..request() };
        met.push(parent.token_create(CreatePath::Child, chosen, &()).await.map(drop));
        met.push(root.secret_id_issue(&mount, "r", SecretIdIssue::default(), &()).await.map(drop));
    }
    writing.await.unwrap();
    let met: Vec<_> = met.into_iter().filter_map(Result::err).collect();
    assert!(met.is_empty(), "{met:?}");
    drop((root, parent));
    core.shutdown().await;
}

#[tokio::test]
async fn metadata_of_a_login_moves_authority_only_where_a_policy_goes_by_it() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = core.active().unwrap();
    root.mount_enable("auth/approle/", MountKind::Approle, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("auth/approle/login").unwrap();
    let role = |role: &mut AppRole| {
        role.role_id = "r".to_owned();
        Ok(())
    };
    root.approle_write(&mount, "r", None, &(), role).await.unwrap();
    let mut secrets = Vec::new();
    for team in ["a", "b"] {
        let metadata = BTreeMap::from([("team".to_owned(), team.to_owned())]);
        let issue = SecretIdIssue { metadata, ..SecretIdIssue::default() };
        secrets.push(root.secret_id_issue(&mount, "r", issue, &()).await.unwrap().secret_id);
    }
    let moved = async || {
        core.login_approle(context(), "approle", "r", Some(&secrets[0])).await.unwrap();
        let before = active.authority.load(Ordering::Acquire);
        core.login_approle(context(), "approle", "r", Some(&secrets[1])).await.unwrap();
        active.authority.load(Ordering::Acquire) != before
    };
    assert!(!moved().await);
    let accessor = &mount.accessor;
    let text =
        format!("path \"kv/{{{{identity.entity.aliases.{accessor}.metadata.team}}}}\" {{ capabilities = [\"read\"] }}");
    root.policy_write("by-team", "sys/policies/acl/", &text, &()).await.unwrap();
    assert!(moved().await);
    root.policy_delete("by-team", "sys/policies/acl/").await.unwrap();
    assert!(!moved().await);
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn login_of_an_entity_with_the_policy_of_wrapping_tokens_is_refused() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    root.mount_enable("auth/approle/", MountKind::Approle, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("auth/approle/login").unwrap();
    let role = |role: &mut AppRole| {
        role.role_id = "r".to_owned();
        Ok(())
    };
    root.approle_write(&mount, "r", None, &(), role).await.unwrap();
    let secret = root.secret_id_issue(&mount, "r", SecretIdIssue::default(), &()).await.unwrap().secret_id;
    let log_in = async || core.login_approle(context(), "approle", "r", Some(&secret)).await;
    let id = log_in().await.unwrap().entity_id.unwrap().0.to_string();
    let write = crate::IdentityWrite {
        id: Some(id),
        policies: Some(vec!["response-wrapping".to_owned()]),
        ..crate::IdentityWrite::default()
    };
    root.entity_write("identity/entity", write, &()).await.unwrap();
    let refused = log_in().await.err().unwrap();
    assert_eq!((refused.code(), refused.public()), (Code::Invalid, "cannot assign policy \"response-wrapping\""));
    drop(root);
    core.shutdown().await;
}
