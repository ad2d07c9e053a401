//! Start, seal, unseal, restart.

use std::path::Path;

use coffer_api::{Code, audit::AuditQuery, operator::NodeState, secrets::SetOptions};

use crate::harness::{caller, config, context, dev, local, name, scope, sqlite, value};

#[tokio::test]
async fn first_start_writes_a_token_that_is_exchanged_once() {
    let dir = tempfile::tempdir().unwrap();
    let (core, started) = sqlite(&dir).await;
    let path = started.initial_token_path.unwrap();
    let token = std::fs::read_to_string(&path).unwrap();
    let initial = caller(&core, token.trim()).await;
    let info = initial.token_lookup_self(coffer_core::Operation::Read).await.unwrap();
    assert_eq!((info.creation_ttl, info.renewable), (24 * 3600, false));
    assert!(info.expire_time.is_some());
    drop(initial);
    let grant = core.login_initial(context(), token.trim()).await.unwrap();
    assert_eq!(grant.token_policies, ["administrator"]);
    assert_eq!(grant.lease_duration, 30 * 24 * 3600);
    assert!(grant.renewable && !path.exists());
    assert_eq!(core.login_initial(context(), token.trim()).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(core.caller(context(), Some(grant.token.expose())).await.is_ok());
    core.shutdown().await;
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let token = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(context(), token.trim()).await.unwrap();
    let at = (scope("acme:prod:api"), name("KEY"));
    let writer = caller(&core, admin.token.expose()).await;
    writer.secret_set(&at.0, &at.1, &value("one"), SetOptions::default()).await.unwrap();
    let version = writer.secret_set(&at.0, &at.1, &value("two"), SetOptions::default()).await.unwrap();
    assert_eq!(version.version, 2);
    drop(writer);
    core.shutdown().await;
    drop(core);
    for _ in 0..2 {
        let (core, started) = sqlite(&dir).await;
        assert!(started.initial_token_path.is_none());
        let reader = caller(&core, admin.token.expose()).await;
        assert_eq!(reader.secret_get(&at.0, &at.1, None).await.unwrap().value.expose(), "two");
        assert_eq!(reader.secret_get(&at.0, &at.1, Some(1)).await.unwrap().value.expose(), "one");
        drop(reader);
        core.shutdown().await;
    }
}

#[tokio::test]
async fn second_server_on_the_same_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let second = coffer_core::Core::start(config(dir.path())).await;
    assert!(second.is_err_and(|error| error.to_string().contains("in use by another process")));
    core.shutdown().await;
}

#[tokio::test]
async fn sealed_node_answers_nothing_until_unsealed() {
    let core = dev().await;
    core.local_seal(local()).await.unwrap();
    assert_eq!(core.status().state, NodeState::Sealed);
    assert_eq!(core.caller(context(), Some("root")).await.err().unwrap().code(), Code::Sealed);
    assert_eq!(core.local_unseal(context()).await.unwrap_err().code(), Code::Denied, "not over TCP");
    core.local_unseal(local()).await.unwrap();
    assert_eq!(core.status().state, NodeState::Active);
    core.shutdown().await;
}

#[tokio::test]
async fn store_with_another_key_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    core.shutdown().await;
    drop(core);
    let other = tempfile::tempdir().unwrap();
    let (second, _) = sqlite(&other).await;
    second.shutdown().await;
    std::fs::rename(dir.path().join("seal.key"), dir.path().join("kept")).unwrap();
    let missing = coffer_core::Core::start(config(dir.path())).await.err().unwrap().to_string();
    assert!(missing.contains("missing"), "{missing}");
    std::fs::copy(other.path().join("seal.key"), dir.path().join("seal.key")).unwrap();
    let wrong = coffer_core::Core::start(config(dir.path())).await.err().unwrap().to_string();
    assert!(wrong.contains("another store"), "{wrong}");
    std::fs::rename(dir.path().join("kept"), dir.path().join("seal.key")).unwrap();
    sqlite(&dir).await.0.shutdown().await;
}

#[tokio::test]
async fn log_that_is_missing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    core.shutdown().await;
    drop(core);
    std::fs::rename(dir.path().join("audit"), dir.path().join("away")).unwrap();
    let missing = coffer_core::Core::start(config(dir.path())).await.err().unwrap().to_string();
    assert!(missing.contains("audit log is refused"), "{missing}");
    std::fs::remove_dir_all(dir.path().join("audit")).unwrap();
    std::fs::rename(dir.path().join("away"), dir.path().join("audit")).unwrap();
    sqlite(&dir).await.0.shutdown().await;
}

#[tokio::test]
async fn log_that_is_shorter_than_the_store_knows_is_refused() {
    let (dir, token) = stopped().await;
    let old = tempfile::tempdir().unwrap();
    copy(&dir.path().join("audit"), &old.path().join("audit"));
    write(dir.path(), &token, 3).await;
    replace_log(dir.path(), &old.path().join("audit"));
    refused(dir.path(), "its end is missing").await;
}

#[tokio::test]
async fn log_of_another_history_of_the_same_store_is_refused() {
    let (dir, token) = stopped().await;
    let fork = tempfile::tempdir().unwrap();
    copy(dir.path(), &fork.path().join("data"));
    write(dir.path(), &token, 3).await;
    // Signed with the same key, longer than what the store knows, and not what the store knows.
    write(&fork.path().join("data"), &token, 9).await;
    replace_log(dir.path(), &fork.path().join("data/audit"));
    refused(dir.path(), "has another root").await;
}

#[tokio::test]
async fn attempts_while_sealed_are_logged_first_after_the_unseal_and_bounded() {
    let core = dev().await;
    core.local_seal(local()).await.unwrap();
    let mut asked = Vec::new();
    for _ in 0..KEPT + 5 {
        let cx = context();
        asked.push(cx.request_id.to_string());
        assert_eq!(core.local_unseal(cx).await.unwrap_err().code(), Code::Denied);
    }
    let unseal = local();
    asked.push(unseal.request_id.to_string());
    core.local_unseal(unseal).await.unwrap();

    let root = caller(&core, "root").await;
    let mut records = Vec::new();
    let mut question = AuditQuery { limit: Some(1000), ..AuditQuery::default() };
    loop {
        let page = root.audit_query(&question).await.unwrap();
        records.extend(page.entries.into_iter().map(|entry| entry.entry));
        question.after = page.next;
        if question.after.is_none() {
            break;
        }
    }
    let class = |record: &serde_json::Value| record["cls"].as_str().unwrap().to_owned();
    let sealed = records.iter().position(|record| class(record) == "system.seal").unwrap();
    let after = &records[sealed + 1..];
    assert_eq!(class(&after[0]), "system.start");
    let kept = &after[1..=KEPT];
    for record in &kept[..KEPT - 1] {
        assert_eq!((class(record).as_str(), record["out"].as_str()), ("system.local", Some("denied")), "{record}");
        assert!(record["facts"]["time_ms"].as_str().unwrap().parse::<i64>().unwrap() > 0, "{record}");
    }
    let last = &kept[KEPT - 1];
    assert_eq!((class(last).as_str(), last["out"].as_str()), ("system.unseal", Some("success")), "{last}");
    // The oldest gave way.
    let told: Vec<String> = kept.iter().map(|record| record["req"]["id"].as_str().unwrap().to_owned()).collect();
    assert!(told == asked[asked.len() - KEPT..], "{told:?}");
    assert!(after[1 + KEPT..].iter().all(|record| class(record) != "system.local"));
    drop(root);
    core.shutdown().await;
}

/// Attempts that are kept while there is no log.
const KEPT: usize = 1000;

/// A stopped server's directory, and an administrator's token.
async fn stopped() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let initial = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(context(), initial.trim()).await.unwrap();
    core.shutdown().await;
    (dir, admin.token.expose().clone())
}

/// Starts a core on a directory, writes some secrets and stops it.
async fn write(dir: &Path, token: &str, times: usize) {
    let (core, _) = coffer_core::Core::start(config(dir)).await.unwrap();
    let writer = caller(&core, token).await;
    for _ in 0..times {
        let at = (scope("acme:prod:api"), name("KEY"));
        writer.secret_set(&at.0, &at.1, &value("x"), SetOptions::default()).await.unwrap();
    }
    drop(writer);
    core.shutdown().await;
}

fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn replace_log(dir: &Path, with: &Path) {
    std::fs::rename(dir.join("audit"), dir.join("kept")).unwrap();
    copy(with, &dir.join("audit"));
}

/// The start fails and says so; with the log it had, it succeeds.
async fn refused(dir: &Path, why: &str) {
    let said = coffer_core::Core::start(config(dir)).await.err().unwrap().to_string();
    assert!(said.contains("audit log is refused") && said.contains(why), "{said}");
    std::fs::remove_dir_all(dir.join("audit")).unwrap();
    std::fs::rename(dir.join("kept"), dir.join("audit")).unwrap();
    coffer_core::Core::start(config(dir)).await.unwrap().0.shutdown().await;
}
