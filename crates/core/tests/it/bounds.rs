//! Several native secrets at once, and lists over many scopes: what they are bounded by, and what is told to whom.

use std::sync::Arc;

use coffer_api::{
    Code, Scope,
    audit::AuditQuery,
    copies::SecretCopy,
    generate::Recipe,
    secrets::{SecretChange, SecretsPatch, SetOptions},
    snapshots::Restore,
    token::TokenCreate,
};
use coffer_core::{Caller, Core, CreatePath};

use crate::harness::{caller, dev, name, scope, value};

fn set(key: &str) -> SecretChange {
    SecretChange { name: name(key), value: Some(value("one")), delete: false, options: SetOptions::default() }
}

fn together(secrets: Vec<SecretChange>) -> SecretsPatch {
    SecretsPatch { secrets, atomic: true, ..SecretsPatch::default() }
}

fn with_snapshot(secrets: Vec<SecretChange>) -> SecretsPatch {
    SecretsPatch { snapshot: Some("before".to_owned()), ..together(secrets) }
}

async fn narrow(core: &Arc<Core>, root: &Caller, called: &str, policy: &str) -> Caller {
    root.policy_write(called, "sys/policies/acl/", policy, &()).await.unwrap();
    let request = TokenCreate { policies: vec![called.to_owned()], no_default_policy: true, ..TokenCreate::default() };
    let token = root.token_create(CreatePath::Child, request, &()).await.unwrap();
    caller(core, token.token.expose()).await
}

/// The paths of records of an action and outcome at or after an index of the log.
async fn records(root: &Caller, action: &str, outcome: &str, from: u64) -> Vec<String> {
    let mut query = AuditQuery {
        action: Some(action.to_owned()),
        outcome: Some(outcome.to_owned()),
        from: Some(from),
        ..AuditQuery::default()
    };
    let mut paths = Vec::new();
    loop {
        let page = root.audit_query(&query).await.unwrap();
        paths.extend(page.entries.iter().map(|entry| entry.entry["res"]["path"].as_str().unwrap().to_owned()));
        query.after = page.next;
        if query.after.is_none() {
            return paths;
        }
    }
}

fn log_size(core: &Core) -> u64 {
    let text = core.metrics();
    text.lines().find_map(|line| line.strip_prefix("coffer_log_entries ")).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scope_takes_no_more_names_than_can_be_put_back() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let (acme, other) = (scope("acme"), scope("other"));
    let many = |from: usize, to: usize| (from..to).map(|n| set(&format!("NAME_{n}"))).collect::<Vec<_>>();
    root.secret_patch_all(&acme, &together(many(0, 9_999))).await.unwrap();
    for patch in [together(many(9_998, 10_001)), with_snapshot(many(9_998, 10_001))] {
        let refused = root.secret_patch_all(&acme, &patch).await.unwrap_err();
        assert_eq!(refused.code(), Code::TooLarge);
        assert!(refused.public().contains("would have more than 10000 names"), "{}", refused.public());
    }
    assert_eq!(root.secret_own(&acme).await.unwrap().secrets.len(), 9_999);
    root.secret_patch_all(&other, &together(vec![set("X"), set("Y")])).await.unwrap();
    let copy = |names: &[&str]| SecretCopy {
        from: other.clone(),
        to: acme.clone(),
        names: names.iter().map(|text| name(text)).collect(),
        rename: None,
        moves: false,
        overwrite: false,
    };
    assert_eq!(root.secret_copy(&copy(&["X", "Y"])).await.unwrap_err().code(), Code::TooLarge);
    // Up to the last one, and what is there already may change.
    let last = root.secret_patch_all(&acme, &with_snapshot(many(9_998, 10_000))).await.unwrap();
    root.snapshot_restore(&acme, last.snapshot.unwrap(), Restore::default()).await.unwrap();
    assert_eq!(root.secret_own(&acme).await.unwrap().secrets.len(), 9_999);
    drop(root);
    core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_do_nothing_is_told_nothing_and_refused_before_anybody_waits() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let acme = scope("acme");
    let nobody = narrow(&core, &root, "nobody", "path \"secret/data/other/*\" { capabilities = [\"read\"] }").await;
    let many = |of: &str| (0..5_001).map(|n| set(&format!("{of}_{n}"))).collect::<Vec<_>>();
    for some in [many("A"), many("B")[..4_999].to_vec()] {
        root.secret_patch_all(&acme, &together(some)).await.unwrap();
    }
    // One by one there may be more, as another dialect has them.
    root.secret_set(&acme, &name("MORE"), &value("one"), SetOptions::default()).await.unwrap();
    assert_eq!(root.snapshot_create(&acme, "").await.unwrap_err().code(), Code::TooLarge);
    let before = log_size(&core);
    for refused in [
        nobody.snapshot_create(&acme, "").await.map(drop),
        nobody.secret_patch_all(&acme, &with_snapshot(vec![set("X")])).await.map(drop),
        nobody.secret_patch_all(&acme, &together(vec![set("X"), set("Y")])).await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::Denied, "{}", refused.public());
    }
    let denied = records(&root, "secret.write", "denied", before).await;
    assert_eq!(denied, ["secret/data/acme/X", "secret/data/acme/Y"], "each refused name has its record");

    // Somebody writes there and does not come to an end: who may do nothing is refused all the same.
    let writer = narrow(
        &core,
        &root,
        "writer",
        "path \"secret/data/acme/*\" { capabilities = [\"create\", \"update\"] }
         path \"secret/metadata/acme/\" { capabilities = [\"list\"] }",
    )
    .await;
    let (writer, nobody) = (Arc::new(writer), Arc::new(nobody));
    let writing = {
        let (writer, acme) = (Arc::clone(&writer), acme.clone());
        let changes = many("A");
        tokio::spawn(async move { writer.secret_patch_all(&acme, &together(changes)).await.map(drop) })
    };
    let refused = nobody.secret_patch_all(&acme, &together(many("A"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Denied);
    assert!(refused.public().contains("and 5000 more, so nothing was changed"), "{}", refused.public());
    writing.await.unwrap().unwrap();
    drop((root, writer, nobody));
    core.shutdown().await;
}

#[tokio::test]
async fn list_over_many_scopes_names_nothing_that_may_not_be_listed() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    // More than are looked at for one page, and what may be listed behind them.
    for n in 0..3 {
        let changes = (0..10_000).map(|n| set(&format!("HIDDEN_{n}"))).collect();
        root.secret_patch_all(&scope(&format!("acme:prod{n}")), &together(changes)).await.unwrap();
    }
    root.secret_patch_all(&scope("zeta"), &together(vec![set("SEEN_1"), set("SEEN_2")])).await.unwrap();
    let due = coffer_api::secrets::MetadataPatch {
        expires_at: Some(Some("2020-01-01T00:00:00Z".to_owned())),
        ..Default::default()
    };
    for seen in ["SEEN_1", "SEEN_2"] {
        root.secret_metadata_patch(&scope("zeta"), &name(seen), &due).await.unwrap();
    }
    let policy = "path \"secret/metadata/zeta/*\" { capabilities = [\"list\", \"read\"] }";
    let zeta = narrow(&core, &root, "zeta", policy).await;
    let (mut after, mut found, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let page = zeta.secret_search("e", &after, 1).await.unwrap();
        found.extend(page.items.iter().map(|item| item.name.clone()));
        pages += 1;
        let Some(next) = page.next else { break };
        assert!(!next.contains("acme") && !next.contains("HIDDEN"), "{next}");
        assert!(next.starts_with('/') || next.starts_with("zeta/"), "{next}");
        after = next;
    }
    assert_eq!(found, ["SEEN_1", "SEEN_2"]);
    assert!(pages > 2, "{pages}");
    let first = zeta.secret_due(0, "", 10).await.unwrap();
    let next = first.next.unwrap();
    assert!(first.items.is_empty() && next.starts_with('/'), "{next}");
    let second = zeta.secret_due(0, &next, 1).await.unwrap();
    assert_eq!((second.items.len(), second.next.as_deref()), (1, Some("zeta/SEEN_1")));
    assert_eq!(zeta.secret_due(0, "/AAAA", 1).await.unwrap_err().code(), Code::Invalid);
    drop((root, zeta));
    core.shutdown().await;
}

fn hex() -> Recipe {
    Recipe::Hex { bytes: None }
}

async fn recipe_of(root: &Caller, place: &Scope, secret: &str) -> Option<Recipe> {
    root.secret_metadata(place, &name(secret)).await.unwrap().recipe
}

#[tokio::test]
async fn copy_takes_the_place_of_how_a_value_is_made_and_a_rollback_leaves_it() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let (acme, other) = (scope("acme"), scope("other"));
    root.secret_generate(&acme, &name("MADE"), &hex(), SetOptions::default()).await.unwrap();
    root.secret_set(&acme, &name("PLAIN"), &value("password"), SetOptions::default()).await.unwrap();
    root.secret_generate(&other, &name("PLAIN"), &hex(), SetOptions::default()).await.unwrap();
    let copy = |secret: &str| SecretCopy {
        from: acme.clone(),
        to: other.clone(),
        names: vec![name(secret)],
        rename: None,
        moves: false,
        overwrite: true,
    };
    root.secret_copy(&copy("PLAIN")).await.unwrap();
    root.secret_copy(&copy("MADE")).await.unwrap();
    assert!(recipe_of(&root, &other, "PLAIN").await.is_none(), "what made another value does not make this one");
    assert!(recipe_of(&root, &other, "MADE").await.is_some());
    let refused = root.secret_rotate(&other, &name("PLAIN"), None, SetOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Conflict);
    root.secret_set(&other, &name("MADE"), &value("by hand"), SetOptions::default()).await.unwrap();
    root.secret_rollback(&other, &name("MADE"), 1, None).await.unwrap();
    assert!(recipe_of(&root, &other, "MADE").await.is_some());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn dry_restore_tells_of_a_version_to_who_may_read_it_and_records_what_it_compared() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let acme = scope("acme");
    root.secret_patch_all(&acme, &together(vec![set("GONE"), set("KEPT")])).await.unwrap();
    let id = root.snapshot_create(&acme, "").await.unwrap().id;
    let two = SecretChange { value: Some(value("two")), ..set("GONE") };
    root.secret_patch_all(&acme, &together(vec![two, set("KEPT")])).await.unwrap();
    root.secret_destroy(&acme, &name("GONE"), &[1]).await.unwrap();
    let base = "path \"secret/data/acme/.snapshots\" { capabilities = [\"read\"] }
        path \"secret/metadata/acme/\" { capabilities = [\"list\"] }
        path \"secret/data/acme/KEPT\" { capabilities = [\"read\"] }";
    let holder = narrow(&core, &root, "holder", base).await;
    let asked = Restore { dry_run: true, partial: true };
    let refused = holder.snapshot_restore(&acme, id, asked).await.unwrap_err();
    assert_eq!(refused.code(), Code::Denied);
    assert!(!refused.public().contains("destroyed"), "{}", refused.public());
    let reader = format!("{base} path \"secret/data/acme/GONE\" {{ capabilities = [\"read\"] }}");
    let reader = narrow(&core, &root, "reader", &reader).await;
    let before = log_size(&core);
    let plan = reader.snapshot_restore(&acme, id, asked).await.unwrap();
    assert_eq!((plan.gone.len(), plan.unchanged), (1, 1));
    let read = records(&root, "secret.read", "success", before).await;
    assert_eq!(read, ["secret/data/acme/KEPT", "secret/data/acme/KEPT"], "both versions were compared");
    drop((root, holder, reader));
    core.shutdown().await;
}
