//! Lost connections and crashed servers: what was answered stays, what is unknown can be found out.

use std::sync::Arc;

use coffer_storage::{Error, open};
use tokio::task::JoinSet;

use super::proxy::{Cut, Proxy};
use super::safety::until;
use crate::backend::{Backend, commit, key, put, value};
use crate::postgres_server::PostgresServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_commit_whose_answer_is_lost_is_unknown_and_found_by_reading() {
    let backend = Backend::postgres();
    let (proxy, url) = Proxy::start(&backend.url);
    let store = open(&url).await.unwrap();
    for (name, cut, happened) in [("a", Cut::AfterDelivery, true), ("b", Cut::BeforeDelivery, false)] {
        proxy.arm(cut, b"COMMIT");
        let outcome = commit(&*store, vec![put(name, "x")]).await;
        assert!(matches!(outcome, Err(Error::Unknown { .. })), "{cut:?}: {outcome:?}");
        let mut found = None;
        until(async || {
            found = store.get(&key(name)).await.ok();
            found.is_some()
        })
        .await;
        assert_eq!(found.unwrap().is_some(), happened, "{cut:?}");
        until(async || commit(&*store, vec![put("later", name)]).await.is_ok()).await;
    }
    assert_eq!(value(&*store, "later").await.unwrap(), "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_read_waits_until_a_lost_commit_can_no_longer_happen() {
    let backend = Backend::postgres();
    let (proxy, url) = Proxy::start(&backend.url);
    let store = open(&url).await.unwrap();
    commit(&*store, vec![put("a", "old")]).await.unwrap();
    assert_eq!(value(&*store, "a").await.unwrap(), "old");
    // The server holds the transaction open; were its commit still on its way, it could happen at any time.
    proxy.arm(Cut::Silently, b"COMMIT");
    let outcome = commit(&*store, vec![put("a", "new")]).await;
    assert!(matches!(outcome, Err(Error::Unknown { .. })), "{outcome:?}");
    for _ in 0..20 {
        let read = store.get(&key("a")).await;
        assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    }
    proxy.let_go();
    until(async || store.get(&key("a")).await.is_ok()).await;
    assert_eq!(value(&*store, "a").await.unwrap(), "old");
    commit(&*store, vec![put("a", "new")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_connection_lost_before_the_commit_is_replaced_unnoticed() {
    let backend = Backend::postgres();
    let (proxy, url) = Proxy::start(&backend.url);
    let store = open(&url).await.unwrap();
    for cut in [Cut::AfterDelivery, Cut::BeforeDelivery] {
        proxy.arm(cut, b"BEGIN");
        commit(&*store, vec![put("a", "x")]).await.unwrap();
        assert!(proxy.has_cut());
    }
    assert_eq!(store.stats().commits, 2);
    assert_eq!(store.stats().losses, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_connections_ended_by_the_server_are_replaced() {
    let server = PostgresServer::shared();
    let backend = Backend::postgres();
    let store = backend.open().await;
    let epoch = store.lead("node", "", std::time::Duration::from_secs(60)).await.unwrap().unwrap();
    for round in 0..3 {
        commit(&*store, vec![put("a", round.to_string())]).await.unwrap();
        for _ in 0..6 {
            assert_eq!(value(&*store, "a").await.unwrap(), round.to_string());
        }
        server.sql(
            &backend.url,
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        assert_eq!(value(&*store, "a").await.unwrap(), round.to_string());
        until(async || store.renew(epoch, std::time::Duration::from_secs(60)).await.is_ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_crashed_under_load_keeps_every_answered_commit_and_serves_again() {
    let server = PostgresServer::start(&[]);
    let url = server.create_database();
    let store = open(&url).await.unwrap();
    for round in 0..2 {
        let mut tasks = JoinSet::new();
        for number in 0..16 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                let mut answered = Vec::new();
                for step in 0.. {
                    let name = format!("{round}/{number}/{step}");
                    match commit(&*store, vec![put(&name, &name)]).await {
                        Ok(_) => answered.push(name),
                        Err(Error::Unavailable { .. } | Error::Unknown { .. }) => break,
                        Err(other) => panic!("{other:?}"),
                    }
                }
                answered
            });
        }
        let committed = store.stats().commits + 100;
        until(async || store.stats().commits >= committed).await;
        server.crash();
        let answered: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
        assert!(answered.len() >= 50);
        assert!(matches!(store.get(&key("x")).await, Err(Error::Unavailable { .. })));
        assert!(matches!(commit(&*store, vec![put("x", "x")]).await, Err(Error::Unavailable { .. })));
        server.start_again();
        until(async || commit(&*store, vec![put("back", round.to_string())]).await.is_ok()).await;
        until(async || store.get(&key("back")).await.is_ok()).await;
        for name in &answered {
            assert_eq!(&value(&*store, name).await.expect("it was answered"), name);
        }
    }
}
