//! Entities that become one, and that go in numbers.

use std::sync::Arc;

use coffer_api::{Code, Sensitive, audit::AuditQuery, token::TokenGrant};
use coffer_core::{
    AliasWrite, By, Caller, Core, Deleted, EntityMerge, IdentityWrite, MountEnable, MountKind, Password, User,
};

use crate::harness::{caller, context, dev, sqlite};

const MERGE: &str = "identity/entity/merge";

#[tokio::test]
async fn tokens_of_a_merged_entity_have_the_policies_of_the_survivor_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let token = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(context(), token.trim()).await.unwrap();
    let admin = async |core: &Core| caller(core, admin.token.expose()).await;
    let root = admin(&core).await;
    root.policy_write("one", "sys/policies/acl/", r#"path "identity/entity/id/*" { capabilities = ["read"] }"#, &())
        .await
        .unwrap();
    let grant = log_in(&core, &root).await;
    let gone = grant.entity_id.unwrap().0.to_string();
    let middle = entity(&root, "middle", &[]).await;
    let last = entity(&root, "last", &["one"]).await;
    let asks = async |core: &Core| {
        let caller = caller(core, grant.token.expose()).await;
        caller.entity_read(&format!("identity/entity/id/{last}"), By::Id(&last)).await.map(|_| ()).map_err(|e| e.code())
    };
    assert_eq!(asks(&core).await, Err(Code::Denied));
    merge(&root, &middle, &[&gone]).await.unwrap();
    assert_eq!(asks(&core).await, Err(Code::Denied));
    merge(&root, &last, &[&middle]).await.unwrap();
    assert_eq!(asks(&core).await, Ok(()));
    drop(root);
    core.shutdown().await;

    let (core, _) = sqlite(&dir).await;
    assert_eq!(asks(&core).await, Ok(()));
    let root = admin(&core).await;
    let shown = root.entity_read("identity/entity/id", By::Id(&last)).await.unwrap().unwrap();
    assert_eq!(shown.merged_entity_ids, [gone.clone(), middle.clone()]);
    assert_eq!(shown.aliases[0].merged_from_canonical_ids, [gone.clone(), middle]);
    // Who logs in is the survivor.
    assert_eq!(
        core.login_userpass(context(), "userpass", "ada", &password()).await.unwrap().entity_id.unwrap().0.to_string(),
        last
    );
    // A survivor that is disabled, then deleted, takes the tokens of the others with it.
    let disabled =
        |disabled| IdentityWrite { id: Some(last.clone()), disabled: Some(disabled), ..IdentityWrite::default() };
    root.entity_write("identity/entity", disabled(true), &()).await.unwrap();
    assert!(core.caller(context(), Some(grant.token.expose())).await.is_err());
    root.entity_write("identity/entity", disabled(false), &()).await.unwrap();
    assert_eq!(asks(&core).await, Ok(()));
    root.identity_delete("identity/entity/id", Deleted::Entity(By::Id(&last))).await.unwrap();
    assert!(core.caller(context(), Some(grant.token.expose())).await.is_err());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn concurrent_merges_of_one_entity_let_one_through() {
    let core = dev().await;
    let root = Arc::new(caller(&core, "root").await);
    let gone = entity(&root, "gone", &[]).await;
    let mut merges = tokio::task::JoinSet::new();
    for n in 0..8 {
        let survivor = entity(&root, &format!("survivor-{n}"), &[]).await;
        let (root, gone) = (Arc::clone(&root), gone.clone());
        merges.spawn(async move { merge(&root, &survivor, &[&gone]).await.map_err(|e| e.code()) });
    }
    let done = merges.join_all().await;
    assert_eq!(done.iter().filter(|merged| merged.is_ok()).count(), 1, "{done:?}");
    assert!(done.iter().all(|merged| matches!(merged, Ok(()) | Err(Code::Invalid))), "{done:?}");
    let merged = root.entity_views("identity/entity/id", coffer_core::ListPart::default()).await.unwrap();
    let having = merged.iter().filter(|entity| entity.merged_entity_ids == [gone.as_str()]).count();
    assert_eq!((merged.len(), having), (8, 1));
    let records = root
        .audit_query(&AuditQuery { action: Some("entity.merge".to_owned()), ..AuditQuery::default() })
        .await
        .unwrap();
    assert_eq!(records.entries.len(), 8, "each is on record, the refused ones too");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn merges_in_a_circle_leave_one_entity() {
    let core = dev().await;
    let root = Arc::new(caller(&core, "root").await);
    let (a, b) = (entity(&root, "a", &[]).await, entity(&root, "b", &[]).await);
    let (one, two) = (Arc::clone(&root), Arc::clone(&root));
    let ids = (a.clone(), b.clone());
    let (first, second) =
        tokio::join!(async { merge(&one, &ids.0, &[&ids.1]).await }, async { merge(&two, &ids.1, &[&ids.0]).await });
    assert!(first.is_ok() != second.is_ok());
    assert_eq!(root.entity_views("identity/entity/id", coffer_core::ListPart::default()).await.unwrap().len(), 1);
    drop((one, two, root));
    core.shutdown().await;
}

#[tokio::test]
async fn aliases_of_one_login_method_stay_as_told_and_leave_no_row_behind() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mount = MountEnable::default();
    root.mount_enable("auth/userpass/", MountKind::Userpass, mount, &()).await.unwrap();
    let accessor = root.resolve("auth/userpass/users/ada").unwrap().accessor.clone();
    let alias = async |entity: &str, name: &str| {
        let write = AliasWrite {
            name: Some(name.to_owned()),
            mount_accessor: Some(accessor.clone()),
            canonical_id: Some(entity.to_owned()),
            ..AliasWrite::default()
        };
        root.alias_write("identity/entity-alias", write, &()).await.unwrap().unwrap().id
    };
    for keep_own in [true, false] {
        let n = u8::from(keep_own);
        let to = entity(&root, &format!("to-{n}"), &[]).await;
        let from = entity(&root, &format!("from-{n}"), &[]).await;
        let (own, other) = (alias(&to, &format!("own-{n}")).await, alias(&from, &format!("other-{n}")).await);
        let (stays, goes) = if keep_own { (&own, &other) } else { (&other, &own) };
        let wanted = EntityMerge { to: to.clone(), from: vec![from.clone()], keep: Vec::new() };
        assert_eq!(root.entity_merge(MERGE, &wanted, &()).await.unwrap_err().code(), Code::Invalid);
        let wanted = EntityMerge { keep: vec!["neither".to_owned()], ..wanted };
        assert_eq!(root.entity_merge(MERGE, &wanted, &()).await.unwrap_err().code(), Code::Invalid);
        assert!(root.entity_read("identity/entity/id", By::Id(&from)).await.unwrap().is_some(), "nothing was changed");
        root.entity_merge(MERGE, &EntityMerge { keep: vec![stays.clone()], ..wanted }, &()).await.unwrap();
        let shown = root.entity_read("identity/entity/id", By::Id(&to)).await.unwrap().unwrap();
        let ids: Vec<&str> = shown.aliases.iter().map(|alias| alias.id.as_str()).collect();
        assert_eq!(ids, [stays.as_str()]);
        assert!(root.alias_read("identity/entity-alias/id", goes).await.unwrap().is_none());
        // The name is free again.
        let name = if keep_own { format!("other-{n}") } else { format!("own-{n}") };
        let fresh = entity(&root, &format!("fresh-{n}"), &[]).await;
        alias(&fresh, &name).await;
    }
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn many_entities_are_deleted_in_steps_and_leave_their_groups() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mut ids = Vec::new();
    for n in 0..520 {
        ids.push(entity(&root, &format!("e-{n}"), &[]).await);
    }
    let (stays, go) = ids.split_last().unwrap();
    let members = IdentityWrite {
        name: Some("all".to_owned()),
        member_entity_ids: Some(ids.clone()),
        ..IdentityWrite::default()
    };
    root.group_write("identity/group", members, &()).await.unwrap();
    root.entities_delete("identity/entity/batch-delete", go, &()).await.unwrap();
    let left = root.entity_views("identity/entity/id", coffer_core::ListPart::default()).await.unwrap();
    assert_eq!(left.iter().map(|entity| &entity.id).collect::<Vec<_>>(), [stays]);
    let group = root.group_read("identity/group", By::Name("all")).await.unwrap().unwrap();
    assert_eq!(group.member_entity_ids, Some(vec![stays.clone()]));
    let question = AuditQuery { action: Some("identity.delete".to_owned()), ..AuditQuery::default() };
    assert!(root.audit_query(&question).await.unwrap().entries.len() >= 2, "each step is on record");
    drop(root);
    core.shutdown().await;
}

async fn entity(root: &Caller, name: &str, policies: &[&str]) -> String {
    let write = IdentityWrite {
        name: Some(name.to_owned()),
        policies: Some(policies.iter().map(|name| (*name).to_owned()).collect()),
        ..IdentityWrite::default()
    };
    root.entity_write("identity/entity", write, &()).await.unwrap().0.id
}

async fn merge(root: &Caller, to: &str, from: &[&str]) -> Result<(), coffer_core::Error> {
    let from = from.iter().map(|id| (*id).to_owned()).collect();
    root.entity_merge(MERGE, &EntityMerge { to: to.to_owned(), from, keep: Vec::new() }, &()).await
}

/// Who logs in for the first time, as a new user of a new userpass mount.
async fn log_in(core: &Core, root: &Caller) -> TokenGrant {
    root.mount_enable("auth/userpass/", MountKind::Userpass, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("auth/userpass/users/ada").unwrap();
    let change = |_: &mut User| Ok(());
    root.user_write(&mount, "ada", None, Some(Password::Plain(&password())), &(), change).await.unwrap();
    core.login_userpass(context(), "userpass", "ada", &password()).await.unwrap()
}

fn password() -> Sensitive<String> {
    Sensitive::from("correct horse")
}
