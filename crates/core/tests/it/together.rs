//! Secrets that change together or not at all, snapshots, and back to them.

use std::sync::Arc;

use coffer_api::{
    Code, Scope,
    secrets::{Kind, SecretChange, SecretsPatch, SetOptions},
    snapshots::{Restore, RestoreAction, RestoreChange, Restored},
    token::TokenCreate,
};
use coffer_core::{
    Caller, Core, CreatePath, Depth, KvReach, KvWrite,
    tlog::note::VerifierKey,
    verify::{GivenLog, verify_store},
};
use serde_json::value::RawValue;

use crate::harness::{caller, dev, name, scope, sqlite, value};

fn set(key: &str, text: &str) -> SecretChange {
    SecretChange { name: name(key), value: Some(value(text)), delete: false, options: SetOptions::default() }
}

fn delete(key: &str) -> SecretChange {
    SecretChange { name: name(key), value: None, delete: true, options: SetOptions::default() }
}

fn at(change: SecretChange, cas: u64) -> SecretChange {
    SecretChange { options: SetOptions { cas: Some(cas), ..change.options }, ..change }
}

fn together(secrets: Vec<SecretChange>) -> SecretsPatch {
    SecretsPatch { secrets, atomic: true, ..SecretsPatch::default() }
}

fn with_snapshot(secrets: Vec<SecretChange>) -> SecretsPatch {
    SecretsPatch { snapshot: Some("before".to_owned()), ..together(secrets) }
}

async fn patch(root: &Caller, secrets: Vec<SecretChange>) {
    root.secret_patch_all(&scope("acme"), &together(secrets)).await.unwrap();
}

/// What lies in `acme`, as `NAME=value`.
async fn own(root: &Caller) -> Vec<String> {
    let own = root.secret_own(&scope("acme")).await.unwrap();
    own.secrets.iter().map(|secret| format!("{}={}", secret.name, secret.value.expose())).collect()
}

async fn narrow(core: &Arc<Core>, root: &Caller, policy: &str) -> Caller {
    let called = format!("p{}", policy.len());
    root.policy_write(&called, "sys/policies/acl/", policy, &()).await.unwrap();
    let request = TokenCreate { policies: vec![called], no_default_policy: true, ..TokenCreate::default() };
    let token = root.token_create(CreatePath::Child, request, &()).await.unwrap();
    caller(core, token.token.expose()).await
}

fn log_size(core: &Core) -> u64 {
    let text = core.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix("coffer_log_entries ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn secrets_change_together() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    patch(&root, vec![set("A", "1"), set("B", "1"), set("C", "1")]).await;
    let changes = vec![at(set("A", "2"), 1), at(delete("B"), 1), at(set("D", "1"), 0)];
    let reply = root.secret_patch_all(&scope("acme"), &together(changes)).await.unwrap();
    let versions: Vec<(String, u64)> = reply
        .results
        .iter()
        .map(|result| (result.name.to_string(), result.version.as_ref().unwrap().version))
        .collect();
    assert_eq!(versions, [("A".into(), 2), ("B".into(), 1), ("D".into(), 1)]);
    assert_eq!(own(&root).await, ["A=2", "C=1", "D=1"]);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn anything_wrong_with_one_leaves_all_as_they_were() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    patch(&root, vec![set("A", "1"), set("B", "1"), set("GONE", "1")]).await;
    root.secret_delete(&scope("acme"), &name("GONE")).await.unwrap();
    let mount = root.resolve("secret/data/x").unwrap();
    let raw = RawValue::from_string("{\"a\":1}".to_owned()).unwrap();
    let write = || KvWrite { data: &raw, cas: None, shred: None };
    root.kv_write(&mount, "acme/FOREIGN", write(), &()).await.unwrap();
    let large = "\"".repeat(600_000);
    for (wrong, code, says) in [
        (at(set("B", "canary"), 7), Code::Conflict, "B: check-and-set"),
        (at(delete("B"), 7), Code::Conflict, "B: check-and-set"),
        (delete("NONE"), Code::NotFound, "NONE: there is no such secret"),
        (delete("GONE"), Code::NotFound, "GONE: it is deleted already"),
        (set("FOREIGN", "canary"), Code::Conflict, "FOREIGN: a KV entry of another shape"),
        (set("B", &large), Code::TooLarge, "B: a value holds at most 1 MiB"),
        (set("A", "canary"), Code::Invalid, "A is named twice"),
        (SecretChange { delete: true, ..set("B", "canary") }, Code::Invalid, "B needs either"),
        (SecretChange { delete: false, ..delete("B") }, Code::Invalid, "B needs either"),
    ] {
        let patch = with_snapshot(vec![set("A", "2"), wrong, set("C", "1")]);
        let refused = root.secret_patch_all(&scope("acme"), &patch).await.unwrap_err();
        assert_eq!(refused.code(), code, "{}", refused.public());
        assert!(refused.public().contains(says) && !refused.public().contains("canary"), "{}", refused.public());
        assert_eq!(own(&root).await, ["A=1", "B=1"], "{says}");
    }
    assert!(root.snapshot_list(&scope("acme"), 0, 10).await.unwrap().items.is_empty(), "a snapshot was left");
    let nothing = root.secret_patch_all(&scope("acme"), &together(Vec::new())).await.unwrap_err();
    assert_eq!(nothing.code(), Code::Invalid);
    let many = (0..10_001).map(|n| set(&format!("N{n}"), "")).collect();
    assert_eq!(root.secret_patch_all(&scope("acme"), &together(many)).await.unwrap_err().code(), Code::TooLarge);
    let heavy = (0..33).map(|n| set(&format!("N{n}"), &"x".repeat(1_040_000))).collect();
    assert_eq!(root.secret_patch_all(&scope("acme"), &together(heavy)).await.unwrap_err().code(), Code::TooLarge);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn every_name_is_decided_by_the_policies_and_every_refusal_recorded() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    patch(&root, vec![set("A", "1"), set("B", "1")]).await;
    let policy = r#"
        path "secret/data/acme/A" { capabilities = ["update"] }
        path "secret/data/acme/B" { capabilities = ["update"] }
        path "secret/data/acme/NEW" { capabilities = ["create"] }
    "#;
    let caller = narrow(&core, &root, policy).await;
    let acme = scope("acme");
    caller.secret_patch_all(&acme, &together(vec![set("A", "2"), set("B", "ok"), set("NEW", "1")])).await.unwrap();
    let before = log_size(&core);
    for (changes, says) in [
        (vec![set("A", "3"), set("Z", "1")], "secret/data/acme/Z"),
        (vec![set("A", "3"), delete("A")], "named twice"),
        (vec![set("A", "3"), delete("B")], "delete on secret/data/acme/B"),
        (vec![set("A", "3"), set("X", "1"), set("Y", "1")], "and 1 more, so nothing was changed"),
    ] {
        let refused = caller.secret_patch_all(&acme, &together(changes)).await.unwrap_err();
        assert!(refused.public().contains(says), "{}", refused.public());
    }
    // One for each name that was refused, one for each request.
    assert_eq!(log_size(&core), before + 8);
    let snapshot = caller.secret_patch_all(&acme, &with_snapshot(vec![set("A", "3")])).await.unwrap_err();
    assert_eq!(snapshot.code(), Code::Denied);
    let layout = SecretsPatch { layout: Some(value("A=*\n")), ..together(vec![set("A", "3")]) };
    let layout = caller.secret_patch_all(&acme, &layout).await.unwrap_err();
    assert!(layout.public().contains("secret/data/acme/.env"), "{}", layout.public());
    assert_eq!(own(&root).await, ["A=2", "B=ok", "NEW=1"]);
    drop((root, caller));
    core.shutdown().await;
}

#[tokio::test]
async fn layout_and_snapshots_are_kept_beside_and_are_no_strangers() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let acme = scope("acme");
    assert_eq!(root.secret_layout(&acme).await.unwrap_err().code(), Code::NotFound);
    let first = SecretsPatch { layout: Some(value("A=*\n")), ..with_snapshot(vec![set("A", "1")]) };
    let reply = root.secret_patch_all(&acme, &first).await.unwrap();
    assert_eq!(reply.snapshot, Some(1));
    // The same layout is no new version.
    root.secret_patch_all(&acme, &SecretsPatch { secrets: vec![set("A", "2")], ..first.clone() }).await.unwrap();
    let layout = root.secret_layout(&acme).await.unwrap();
    assert_eq!((layout.layout.expose().as_str(), layout.version), ("A=*\n", 1));
    let view = root.secret_effective(&acme, None).await.unwrap();
    assert_eq!((view.secrets.len(), view.kv, view.hidden), (1, 0, 0));
    let list = root.secret_list(&acme, Depth::Own, "", 10).await.unwrap();
    let kinds: Vec<_> = list.items.iter().map(|info| (info.name.as_str(), info.kind)).collect();
    assert_eq!(kinds, [(".env", Kind::Layout), (".snapshots", Kind::Snapshots), ("A", Kind::Secret)]);
    // Another's entry under that name is a stranger, and is never written over.
    let mount = root.resolve("secret/data/x").unwrap();
    let raw = RawValue::from_string("{\"a\":1}".to_owned()).unwrap();
    root.kv_write(&mount, "other/.env", KvWrite { data: &raw, cas: None, shred: None }, &()).await.unwrap();
    assert_eq!(root.secret_effective(&scope("other"), None).await.unwrap().kv, 1);
    let refused = root.secret_patch_all(&scope("other"), &first).await.unwrap_err();
    assert_eq!(refused.code(), Code::Conflict);
    assert_eq!(root.kv_list(&mount, "other", KvReach::Level { after: "", limit: None }).await.unwrap(), [".env"]);
    drop(root);
    core.shutdown().await;
}

fn shown(restored: &Restored) -> Vec<(&str, RestoreAction, u64, u64)> {
    let of = |change: &RestoreChange| (change.action, change.of, change.version);
    restored.changes.iter().map(|change| (change.name.as_str(), of(change).0, of(change).1, of(change).2)).collect()
}

async fn restore(root: &Caller, acme: &Scope, id: u64) -> Restored {
    root.snapshot_restore(acme, id, Restore::default()).await.unwrap()
}

#[tokio::test]
async fn restore_puts_back_deletes_and_undeletes_and_can_itself_be_undone() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let acme = scope("acme");
    let first = SecretsPatch {
        layout: Some(value("KEPT=*\n")),
        ..together(vec![set("KEPT", "1"), set("ROLLED", "1"), set("DELETED", "1"), set("BOTH", "1")])
    };
    root.secret_patch_all(&acme, &first).await.unwrap();
    let changes = vec![set("ROLLED", "2"), delete("DELETED"), set("BOTH", "2"), set("NEW", "1")];
    let second = SecretsPatch { layout: Some(value("# other\nKEPT=*\n")), ..with_snapshot(changes) };
    let id = root.secret_patch_all(&acme, &second).await.unwrap().snapshot.unwrap();
    root.secret_delete(&acme, &name("BOTH")).await.unwrap();
    assert_eq!(own(&root).await, ["KEPT=1", "NEW=1", "ROLLED=2"]);
    let snapshot = root.snapshot_read(&acme, id).await.unwrap();
    assert_eq!((snapshot.secrets.len(), snapshot.layout, snapshot.reason.as_str()), (4, Some(1), "before"));
    let values = root.snapshot_values(&acme, id).await.unwrap();
    let values: Vec<String> = values.secrets.iter().map(|s| format!("{}={}", s.name, s.value.expose())).collect();
    // What is deleted is not read by way of a snapshot.
    assert_eq!(values, ["BOTH=1", "KEPT=1", "ROLLED=1"]);

    let asked = Restore { dry_run: true, partial: false };
    let plan = root.snapshot_restore(&acme, id, asked).await.unwrap();
    let expected = [
        ("BOTH", RestoreAction::Rollback, 1, 3),
        ("DELETED", RestoreAction::Undelete, 1, 1),
        ("NEW", RestoreAction::Delete, 1, 1),
        ("ROLLED", RestoreAction::Rollback, 1, 3),
        (".env", RestoreAction::Rollback, 1, 3),
    ];
    assert_eq!((shown(&plan), plan.unchanged, plan.snapshot), (expected.to_vec(), 1, None));
    assert_eq!(own(&root).await, ["KEPT=1", "NEW=1", "ROLLED=2"], "asking changes nothing");

    let restored = restore(&root, &acme, id).await;
    assert_eq!((shown(&restored), restored.snapshot), (expected.to_vec(), Some(2)));
    assert_eq!(own(&root).await, ["BOTH=1", "DELETED=1", "KEPT=1", "ROLLED=1"]);
    assert_eq!(root.secret_layout(&acme).await.unwrap().layout.expose(), "KEPT=*\n");
    // Twice is once.
    let again = restore(&root, &acme, id).await;
    assert_eq!((again.changes.len(), again.unchanged, again.snapshot), (0, 4, None));

    restore(&root, &acme, 2).await;
    assert_eq!(own(&root).await, ["KEPT=1", "NEW=1", "ROLLED=2"]);
    assert_eq!(root.secret_layout(&acme).await.unwrap().layout.expose(), "# other\nKEPT=*\n");
    let list = root.snapshot_list(&acme, 0, 10).await.unwrap();
    let reasons: Vec<_> = list.items.iter().map(|item| (item.id, item.reason.as_deref().unwrap())).collect();
    assert_eq!(reasons, [(1, "before"), (2, "before restoring snapshot 1"), (3, "before restoring snapshot 2")]);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn version_that_is_gone_stops_a_restore_unless_the_rest_is_wanted() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let acme = scope("acme");
    patch(
        &root,
        vec![set("DESTROYED", "1"), set("PRUNED", "1"), set("REMOVED", "1"), set("ANEW", "1"), set("FINE", "1")],
    )
    .await;
    let id = root.snapshot_create(&acme, "").await.unwrap().id;
    patch(&root, vec![set("DESTROYED", "2"), set("FINE", "2")]).await;
    root.secret_destroy(&acme, &name("DESTROYED"), &[1]).await.unwrap();
    for n in 0..10 {
        patch(&root, vec![set("PRUNED", &format!("{n}"))]).await;
    }
    let mount = root.resolve("secret/data/x").unwrap();
    for removed in ["REMOVED", "ANEW"] {
        root.kv_metadata_delete(&mount, &format!("acme/{removed}")).await.unwrap();
    }
    // Another secret of that name, with a version of that number, and not of the same millisecond.
    let taken = root.snapshot_read(&acme, id).await.unwrap().created_time;
    loop {
        patch(&root, vec![set("ANEW", "other")]).await;
        if root.secret_versions(&acme, &name("ANEW")).await.unwrap()[0].created_time != taken {
            break;
        }
        root.kv_metadata_delete(&mount, "acme/ANEW").await.unwrap();
    }
    let before = own(&root).await;
    let refused = root.snapshot_restore(&acme, id, Restore::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Conflict);
    for says in
        ["version 1 of DESTROYED is destroyed", "version 1 of PRUNED was pruned", "version 1 of ANEW was removed"]
    {
        assert!(refused.public().contains(says), "{}", refused.public());
    }
    assert_eq!(own(&root).await, before);
    let partial = Restore { dry_run: false, partial: true };
    let restored = root.snapshot_restore(&acme, id, partial).await.unwrap();
    assert_eq!(shown(&restored), [("FINE", RestoreAction::Rollback, 1, 3)]);
    assert_eq!(restored.gone.len(), 4);
    let missing = root.snapshot_restore(&acme, 99, Restore::default()).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn restore_needs_what_each_of_its_changes_needs() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let acme = scope("acme");
    patch(&root, vec![set("ROLLED", "1"), set("DELETED", "1")]).await;
    let id = root.snapshot_create(&acme, "").await.unwrap().id;
    patch(&root, vec![set("ROLLED", "2"), delete("DELETED"), set("NEW", "1")]).await;
    let before = own(&root).await;
    let base = r#"
        path "secret/data/acme/.snapshots" { capabilities = ["read", "update"] }
        path "secret/metadata/acme/" { capabilities = ["list"] }
    "#;
    let rules = [
        r#"path "secret/data/acme/ROLLED" { capabilities = ["read", "update"] }"#,
        r#"path "secret/undelete/acme/DELETED" { capabilities = ["update"] }"#,
        r#"path "secret/data/acme/NEW" { capabilities = ["delete"] }"#,
    ];
    for missing in 0..rules.len() {
        let granted: Vec<&str> = (0..rules.len()).filter(|n| *n != missing).map(|n| rules[n]).collect();
        let caller = narrow(&core, &root, &format!("{base}{}{}", granted.join("\n"), " ".repeat(missing))).await;
        let refused = caller.snapshot_restore(&acme, id, Restore::default()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Denied, "{}", refused.public());
        assert_eq!(own(&root).await, before);
    }
    let caller = narrow(&core, &root, &format!("{base}{}", rules.join("\n"))).await;
    assert_eq!(restore(&caller, &acme, id).await.changes.len(), 3);
    assert_eq!(own(&root).await, ["DELETED=1", "ROLLED=1"]);
    drop((root, caller));
    core.shutdown().await;
}

#[tokio::test]
async fn policy_of_the_documentation_is_enough_for_one_scope() {
    let documentation = include_str!("../../../../docs/ENV.md");
    let policy = documentation.split("```hcl\n").nth(1).unwrap().split("```").next().unwrap();
    let core = dev().await;
    let root = caller(&core, "root").await;
    let caller = narrow(&core, &root, policy).await;
    let api = scope("acme:prod:api");
    let first = SecretsPatch { layout: Some(value("A=*\n")), ..with_snapshot(vec![set("A", "1"), set("B", "1")]) };
    caller.secret_patch_all(&api, &first).await.unwrap();
    let second = SecretsPatch { layout: Some(value("B=*\n")), ..with_snapshot(vec![delete("A"), set("B", "2")]) };
    let id = caller.secret_patch_all(&api, &second).await.unwrap().snapshot.unwrap();
    assert_eq!(caller.secret_own(&api).await.unwrap().secrets.len(), 1);
    caller.secret_list(&api, Depth::Own, "", 10).await.unwrap();
    caller.secret_layout(&api).await.unwrap();
    assert_eq!(caller.snapshot_values(&api, id).await.unwrap().secrets.len(), 1);
    let list = caller.snapshot_list(&api, 0, 10).await.unwrap();
    assert!(list.items.iter().all(|snapshot| snapshot.reason.is_some()));
    assert_eq!(restore(&caller, &api, id).await.changes.len(), 3);
    caller.snapshot_create(&api, "").await.unwrap();
    assert_eq!(caller.secret_own(&scope("acme:prod")).await.unwrap_err().code(), Code::Denied);
    drop((root, caller));
    core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_is_of_one_moment_whatever_is_written_meanwhile() {
    let core = dev().await;
    let root = Arc::new(caller(&core, "root").await);
    let acme = scope("acme");
    let both = |n: u64| vec![set("A", &n.to_string()), set("B", &n.to_string()), set(&format!("N{n}"), "1")];
    patch(&root, both(0)).await;
    let writer = {
        let root = Arc::clone(&root);
        tokio::spawn(async move {
            for n in 1..40 {
                patch(&root, both(n)).await;
            }
        })
    };
    let mut taken = Vec::new();
    while !writer.is_finished() {
        taken.push(root.snapshot_create(&acme, "").await.unwrap().id);
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    let mut looked_at = 0;
    for id in taken {
        // The oldest give way.
        let Ok(snapshot) = root.snapshot_read(&acme, id).await else { continue };
        let version = snapshot.secrets[&name("A")];
        assert_eq!(snapshot.secrets[&name("B")], version, "both were written together");
        assert_eq!(u64::try_from(snapshot.secrets.len()).unwrap(), version + 2);
        looked_at += 1;
    }
    assert!(looked_at > 0);
    drop(root);
    core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_as_may_be_are_written_in_one_commit_with_a_record_each_and_the_log_covers_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (core, started) = sqlite(&dir).await;
    let initial = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(crate::harness::context(), initial.trim()).await.unwrap();
    let admin = caller(&core, admin.token.expose()).await;
    let acme = scope("acme");
    drop(started);
    let all = |text: &str| (0..10_000).map(|n| set(&format!("NAME_{n}"), text)).collect::<Vec<_>>();
    admin.secret_patch_all(&acme, &with_snapshot(all("one"))).await.unwrap();
    let reply = admin.secret_patch_all(&acme, &with_snapshot(all("two"))).await.unwrap();
    assert_eq!((reply.results.len(), reply.snapshot), (10_000, Some(2)));
    let history = admin.secret_history(&acme, &name("NAME_9999"), None, 10).await.unwrap();
    let actions: Vec<&str> = history.items.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["secret.write", "secret.write"]);
    admin.snapshot_restore(&acme, 1, Restore::default()).await.unwrap();
    assert_eq!(own(&admin).await, Vec::<String>::new());
    admin.snapshot_restore(&acme, 2, Restore::default()).await.unwrap();
    let own = admin.secret_own(&acme).await.unwrap();
    assert!(own.secrets.len() == 10_000 && own.secrets.iter().all(|secret| secret.value.expose() == "one"));
    let vkey = admin.audit_checkpoint().await.unwrap().vkey;
    drop(admin);
    core.shutdown().await;
    let log = GivenLog { dir: dir.path().join("audit"), keys: vec![VerifierKey::parse(&vkey).unwrap()], since: None };
    let url = format!("sqlite:{}", dir.path().join("store.db").display());
    let report = verify_store(&url, vec![log]).await.unwrap().1;
    assert!(report.findings.is_empty() && report.is_conclusive(), "{report:?}");
}
