//! Start, seal, unseal, restart.

use coffer_api::{Code, operator::NodeState, secrets::SetOptions};

use crate::harness::{caller, config, context, dev, local, name, scope, sqlite, value};

#[tokio::test]
async fn first_start_writes_a_token_that_is_exchanged_once() {
    let dir = tempfile::tempdir().unwrap();
    let (core, started) = sqlite(&dir).await;
    let path = started.initial_token_path.unwrap();
    let token = std::fs::read_to_string(&path).unwrap();
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
async fn log_that_is_missing_or_shorter_is_refused() {
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
