//! Who keeps control: root stays with root, the administrator comes back, and nobody is locked out for good.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    sync::Arc,
};

use coffer_api::{
    Code, Sensitive,
    audit::AuditQuery,
    secrets::{HistoryEvent, SetOptions},
    token::TokenGrant,
};
use coffer_core::{
    By, Caller, Core, Deleted, Error, IdentityWrite, LockedUsers, MetadataWrite, Mount, MountEnable, MountKind,
    Password, StartError, User,
};
use tempfile::TempDir;

use crate::harness::{caller, config, context, dev, local, name, scope, sqlite, value};

async fn with_userpass() -> (Arc<Core>, Caller, Arc<Mount>) {
    let core = dev().await;
    let root = caller(&core, "root").await;
    root.mount_enable("auth/userpass/", MountKind::Userpass, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("auth/userpass/users/ada").unwrap();
    (core, root, mount)
}

async fn write_user(root: &Caller, mount: &Mount, field: Option<&str>, policies: &[&str]) -> Result<(), Error> {
    let policies = policies.iter().map(|name| (*name).to_owned()).collect();
    let change = |user: &mut User| {
        user.token.policies = policies;
        Ok(())
    };
    let password = Sensitive::from("correct horse");
    root.user_write(mount, "ada", field, field.is_none().then_some(Password::Plain(&password)), &(), change).await
}

async fn log_in(core: &Core, password: &str) -> Result<TokenGrant, Error> {
    core.login_userpass(context(), "userpass", "ada", &Sensitive::from(password)).await
}

/// Class and outcome of the records of a class, in order.
async fn records(caller: &Caller, action: &str) -> Vec<serde_json::Value> {
    let question = AuditQuery { action: Some(action.to_owned()), ..AuditQuery::default() };
    let page = caller.audit_query(&question).await.unwrap();
    page.entries.into_iter().map(|entry| entry.entry).collect()
}

fn entity(name: &str, policies: &[&str]) -> IdentityWrite {
    IdentityWrite {
        name: Some(name.to_owned()),
        policies: Some(policies.iter().map(|name| (*name).to_owned()).collect()),
        ..IdentityWrite::default()
    }
}

#[tokio::test]
async fn user_with_the_policy_root_does_not_log_in() {
    let (core, root, mount) = with_userpass().await;
    for policies in [&["root"][..], &["x", " ROOT "]] {
        write_user(&root, &mount, None, policies).await.unwrap();
        let refused = log_in(&core, "correct horse").await.unwrap_err();
        assert_eq!((refused.code(), refused.public()), (Code::Invalid, "auth methods cannot create root tokens"));
    }
    write_user(&root, &mount, Some("policies"), &["x"]).await.unwrap();
    assert_eq!(log_in(&core, "correct horse").await.unwrap().token_policies, ["default", "x"]);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn names_of_policies_count_in_lower_case() {
    let (core, root, mount) = with_userpass().await;
    write_user(&root, &mount, None, &["Ops", " ops ", "Dev"]).await.unwrap();
    assert_eq!(root.user_read(&mount, "ada").await.unwrap().unwrap().token.policies, ["Ops", " ops ", "Dev"]);
    assert_eq!(log_in(&core, "correct horse").await.unwrap().token_policies, ["default", "dev", "ops"]);
    let made = root.entity_write("identity/entity", entity("e", &["Ops"]), &()).await.unwrap();
    assert_eq!(made.0.policies, ["ops"]);
    let made = root.group_write("identity/group", entity("g", &["Ops"]), &()).await.unwrap();
    assert_eq!(made.0.policies.unwrap(), ["ops"]);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn entity_or_group_with_the_policy_root_is_not_written() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for policies in [&["root"][..], &["x", "Root"]] {
        let refused = root.entity_write("identity/entity", entity("e", policies), &()).await.unwrap_err();
        assert_eq!((refused.code(), refused.public()), (Code::Invalid, "policies cannot contain root"));
        let refused = root.group_write("identity/group", entity("g", policies), &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Invalid);
    }
    assert!(root.entity_read("identity/entity/name/e", By::Name("e")).await.unwrap().is_none());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn group_cannot_be_in_itself() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let write = |name: &str, members: &[&str]| IdentityWrite {
        name: Some(name.to_owned()),
        member_group_ids: Some(members.iter().map(|id| (*id).to_owned()).collect()),
        ..IdentityWrite::default()
    };
    let path = "identity/group";
    let inner = root.group_write(path, write("inner", &[]), &()).await.unwrap().0.id;
    let middle = root.group_write(path, write("middle", &[&inner]), &()).await.unwrap().0.id;
    let outer = root.group_write(path, write("outer", &[&middle]), &()).await.unwrap().0.id;
    for members in [[inner.as_str()], [&middle], [&outer]] {
        assert_eq!(root.group_write(path, write("inner", &members), &()).await.unwrap_err().code(), Code::Invalid);
    }
    root.group_write(path, write("outer", &[&middle, &inner]), &()).await.unwrap();
    let kept = root.group_read(path, By::Name("inner")).await.unwrap().unwrap();
    assert!(kept.member_group_ids.is_empty());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn disabled_entity_logs_in_no_more_than_with_a_wrong_password() {
    let (core, root, mount) = with_userpass().await;
    write_user(&root, &mount, None, &["x"]).await.unwrap();
    let id = log_in(&core, "correct horse").await.unwrap().entity_id.unwrap().0.to_string();
    let disabled =
        |disabled| IdentityWrite { id: Some(id.clone()), disabled: Some(disabled), ..IdentityWrite::default() };
    root.entity_write("identity/entity", disabled(true), &()).await.unwrap();
    let (right, wrong) = (log_in(&core, "correct horse").await.unwrap_err(), log_in(&core, "wrong").await.unwrap_err());
    assert_eq!((right.code(), right.public()), (Code::InvalidCredentials, wrong.public()));
    let logins = records(&root, "auth.login").await;
    let denied: Vec<_> = logins.iter().filter(|record| record["out"] == "denied").collect();
    assert_eq!((logins.len(), denied.len()), (3, 2), "{logins:?}");
    assert_eq!(denied[0]["facts"]["disabled_entity"], id.as_str(), "{logins:?}");
    root.entity_write("identity/entity", disabled(false), &()).await.unwrap();
    log_in(&core, "correct horse").await.unwrap();
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn lock_after_failed_logins_is_shown_and_ends_by_an_administrators_hand() {
    let (core, root, mount) = with_userpass().await;
    write_user(&root, &mount, None, &["x"]).await.unwrap();
    let lock = async || {
        for _ in 0..5 {
            assert_eq!(log_in(&core, "wrong").await.unwrap_err().code(), Code::InvalidCredentials);
        }
        assert_eq!(log_in(&core, "correct horse").await.unwrap_err().code(), Code::Unauthenticated);
    };
    lock().await;
    let locked = [LockedUsers { accessor: mount.accessor.clone(), names: vec!["ada".to_owned()] }];
    assert_eq!(root.locked_users(None, &()).await.unwrap(), locked);
    assert_eq!(root.locked_users(Some(&mount.accessor), &()).await.unwrap(), locked);
    assert!(root.locked_users(Some("other"), &()).await.unwrap().is_empty());
    assert_eq!(root.user_unlock("other", "ada", &()).await.unwrap_err().code(), Code::Invalid);
    // Neither policies nor a new password say that somebody guessed no more.
    write_user(&root, &mount, Some("policies"), &["y"]).await.unwrap();
    assert_eq!(log_in(&core, "correct horse").await.unwrap_err().code(), Code::Unauthenticated);
    root.user_unlock(&mount.accessor, "ada", &()).await.unwrap();
    assert!(root.locked_users(None, &()).await.unwrap().is_empty());
    log_in(&core, "correct horse").await.unwrap();
    let outs: Vec<_> = records(&root, "user.unlock").await.iter().map(|record| record["out"].clone()).collect();
    assert_eq!(outs, ["error", "success"]);
    for field in [Some("password"), None] {
        lock().await;
        let password = Sensitive::from("correct horse");
        root.user_write(&mount, "ada", field, Some(Password::Plain(&password)), &(), |_| Ok(())).await.unwrap();
        assert_eq!(log_in(&core, "correct horse").await.unwrap_err().code(), Code::Unauthenticated);
        root.user_unlock(&mount.accessor, "ada", &()).await.unwrap();
        log_in(&core, "correct horse").await.unwrap();
    }
    drop(root);
    core.shutdown().await;
}

async fn log_in_initial(core: &Core, dir: &TempDir) -> TokenGrant {
    let token = fs::read_to_string(dir.path().join("initial-token")).unwrap();
    core.login_initial(context(), token.trim()).await.unwrap()
}

#[tokio::test]
async fn administrator_cannot_be_deleted() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for name in ["administrator", "Administrator", "default", "root"] {
        let refused = root.policy_delete(name, "sys/policies/acl/").await.unwrap_err();
        assert_eq!(refused.code(), Code::Invalid, "{name}");
    }
    let refused = root.policy_delete("administrator", "sys/policy/").await.unwrap_err();
    assert!(refused.public().starts_with("cannot delete \"administrator\" policy: "), "{}", refused.public());
    let text = r#"path "x" { capabilities = ["read"] }"#;
    root.policy_write("administrator", "sys/policies/acl/", text, &()).await.unwrap();
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn recovery_gives_back_control_whatever_was_done_to_policies_and_entities() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let admin = log_in_initial(&core, &dir).await;
    let nothing = core.local_initial_token(local()).await.unwrap();
    assert!(!nothing.administrator_policy_restored && !nothing.entity_replaced);
    let caller_of = async |grant: &TokenGrant| caller(&core, grant.token.expose()).await;
    let first = caller_of(&admin).await;
    let id = admin.entity_id.unwrap().0.to_string();
    let deny = r#"path "*" { capabilities = ["deny"] }"#;
    let known = first.policy_read("administrator", "sys/policies/acl/").await.unwrap().text.policy;
    // All in one go: each by itself would be enough to lock the administrator out.
    first.policy_write("deny", "sys/policies/acl/", deny, &()).await.unwrap();
    let members = IdentityWrite { member_entity_ids: Some(vec![id.clone()]), ..entity("all", &["deny"]) };
    let root_of_all = caller_of(&admin).await;
    root_of_all.policy_write("default", "sys/policies/acl/", deny, &()).await.unwrap();
    let last = caller_of(&admin).await;
    last.group_write("identity/group", members, &()).await.unwrap();
    drop((first, root_of_all, last));
    assert_eq!(
        caller_of(&admin).await.policy_read("default", "sys/policies/acl/").await.unwrap_err().code(),
        Code::Denied
    );

    let recovered = core.local_initial_token(local()).await.unwrap();
    assert!(!recovered.administrator_policy_restored && recovered.entity_replaced);
    let second = log_in_initial(&core, &dir).await;
    assert_ne!(second.entity_id, admin.entity_id);
    caller_of(&second).await.policy_write("administrator", "sys/policies/acl/", deny, &()).await.unwrap();
    let refused = caller_of(&second).await.policy_read("default", "sys/policies/acl/").await.unwrap_err();
    assert_eq!(refused.code(), Code::Denied);

    let recovered = core.local_initial_token(local()).await.unwrap();
    assert!(recovered.administrator_policy_restored && !recovered.entity_replaced);
    let third = log_in_initial(&core, &dir).await;
    assert_eq!(third.entity_id, second.entity_id);
    let third = caller_of(&third).await;
    assert_eq!(third.policy_read("administrator", "sys/policies/acl/").await.unwrap().text.policy, known);
    let facts: Vec<_> = records(&third, "token.create_initial").await.iter().map(|r| r["facts"].clone()).collect();
    assert!(facts.iter().any(|facts| facts["policy_restored"] == "administrator"), "{facts:?}");
    assert!(facts.iter().any(|facts| facts["entity_replaced"] == id.as_str()), "{facts:?}");
    // A disabled one is no way in, nor in the way.
    let disabled = IdentityWrite {
        id: Some(second.entity_id.unwrap().0.to_string()),
        disabled: Some(true),
        ..IdentityWrite::default()
    };
    core.local_initial_token(local()).await.unwrap();
    third.entity_write("identity/entity", disabled, &()).await.unwrap();
    let token = fs::read_to_string(dir.path().join("initial-token")).unwrap();
    assert_eq!(core.login_initial(context(), token.trim()).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(core.local_initial_token(local()).await.unwrap().entity_replaced);
    let fourth = log_in_initial(&core, &dir).await;
    caller_of(&fourth)
        .await
        .policy_list(
            coffer_core::Operation::List,
            "sys/policies/acl/",
            coffer_core::PolicyNames::All,
            coffer_core::ListPart::default(),
        )
        .await
        .unwrap();
    drop(third);
    core.shutdown().await;
    // And it holds over a restart.
    let (core, _) = sqlite(&dir).await;
    let fourth = caller(&core, fourth.token.expose()).await;
    assert_eq!(fourth.policy_read("administrator", "sys/policies/acl/").await.unwrap().text.policy, known);
    drop(fourth);
    core.shutdown().await;
}

#[tokio::test]
async fn initial_logins_have_one_entity_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let one = log_in_initial(&core, &dir).await;
    core.local_initial_token(local()).await.unwrap();
    let two = log_in_initial(&core, &dir).await;
    assert!(one.entity_id.is_some() && one.entity_id == two.entity_id);
    let admin = caller(&core, two.token.expose()).await;
    let path = "identity/entity/name/initial-administrator";
    let shown = admin.entity_read(path, By::Name("initial-administrator")).await.unwrap().unwrap();
    assert_eq!(shown.id, one.entity_id.unwrap().0.to_string());
    let alias = &shown.aliases[0];
    assert_eq!((alias.name.as_str(), alias.mount_path.as_str()), ("initial-administrator", "auth/token/"));
    // Deleted, it is made again.
    core.local_initial_token(local()).await.unwrap();
    admin.identity_delete(path, Deleted::Entity(By::Name("initial-administrator"))).await.unwrap();
    assert_ne!(log_in_initial(&core, &dir).await.entity_id, one.entity_id);
    drop(admin);
    core.shutdown().await;
}

#[tokio::test]
async fn history_shows_whatever_was_done_to_a_secret_page_by_page() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let (at, other) = ((scope("acme:prod"), name("KEY")), (scope("acme:prod"), name("KEY2")));
    let mount = root.resolve("secret/").unwrap();
    for _ in 0..3 {
        root.secret_set(&at.0, &at.1, &value("x"), SetOptions::default()).await.unwrap();
        root.secret_set(&other.0, &other.1, &value("x"), SetOptions::default()).await.unwrap();
    }
    let path = "acme/prod/KEY";
    root.kv_delete_versions(&mount, path, &[1], &()).await.unwrap();
    root.kv_undelete(&mount, path, &[1], &()).await.unwrap();
    root.kv_destroy(&mount, path, &[2], &()).await.unwrap();
    root.secret_versions(&at.0, &at.1).await.unwrap();
    root.kv_delete(&mount, path).await.unwrap();
    root.kv_metadata_delete(&mount, path).await.unwrap();
    let expected = [
        "secret.write",
        "secret.write",
        "secret.write",
        "secret.delete",
        "secret.undelete",
        "secret.destroy",
        "metadata.read",
        "secret.delete",
        "metadata.delete",
    ];
    let all = root.secret_history(&at.0, &at.1, None, 100).await.unwrap();
    let actions = |events: &[HistoryEvent]| events.iter().map(|event| event.action.clone()).collect::<Vec<_>>();
    assert_eq!((actions(&all.items), all.next), (expected.map(str::to_owned).to_vec(), None));
    assert!(all.items.is_sorted_by_key(|event| event.index));
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = root.secret_history(&at.0, &at.1, after, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        paged.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(actions(&paged), expected);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn data_directory_of_another_or_open_to_others_is_refused_before_anything_is_made_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let refused = async |data: &std::path::Path| Core::start(config(data)).await.err().unwrap();
    for mode in [0o777, 0o720, 0o702] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(&data).await;
        assert!(matches!(error, StartError::DataMode { mode: found, .. } if found == mode), "{error}");
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    // Who cannot give it away has one of root's at hand.
    if chown(&data, Some(12345), None).is_ok() {
        let error = refused(&data).await;
        assert!(matches!(error, StartError::DataOwner { owner: 12345, .. }), "{error}");
        assert!(error.to_string().contains("belongs to user 12345"), "{error}");
    } else {
        assert!(matches!(refused(std::path::Path::new("/")).await, StartError::DataOwner { owner: 0, .. }));
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(refused(&dir.path().join("file")).await, StartError::Data { .. }));
}

#[tokio::test]
async fn version_that_its_lifetime_will_delete_is_not_undeleted_natively_and_loses_it_through_kv() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let (at, key) = (scope("acme:prod"), name("KEY"));
    let mount = root.resolve("secret/").unwrap();
    let write = MetadataWrite { delete_version_after_ms: Some(3_600_000), ..MetadataWrite::default() };
    root.kv_metadata_write(&mount, "acme/prod/KEY", write, &()).await.unwrap();
    root.secret_set(&at, &key, &value("x"), SetOptions::default()).await.unwrap();
    let ends = || async { root.secret_versions(&at, &key).await.unwrap()[0].deletion_time.clone() };
    let refused = root.secret_undelete(&at, &key, &[1]).await.unwrap_err();
    assert_eq!((refused.code(), refused.public()), (Code::Conflict, "version 1 of KEY in acme:prod is not deleted"));
    assert!(ends().await.is_some(), "its lifetime is gone");
    root.kv_undelete(&mount, "acme/prod/KEY", &[1], &()).await.unwrap();
    assert!(ends().await.is_none());
    drop(root);
    core.shutdown().await;
}
