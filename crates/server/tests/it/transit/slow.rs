//! Keys that take long to make keep nobody else waiting.

use std::{sync::Arc, time::Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::{PLAIN, ask, key, with_transit};

const MADE: usize = 24;
const ASKED: usize = 200;

// A runtime of one thread: whoever held it would be seen at once.
#[tokio::test]
async fn requests_are_answered_while_many_rsa_keys_are_made() {
    let server = Arc::new(with_transit().await);
    key(&server, "k", json!({})).await;
    server.root("POST", "/v1/secret/data/a", json!({"data": {"a": "b"}})).await.is(200);
    let mut making = JoinSet::new();
    for number in 0..MADE {
        let server = Arc::clone(&server);
        making.spawn(async move {
            ask(&server, "POST", &format!("keys/r{number}"), json!({"type": "rsa-4096"})).await.status
        });
    }
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let began = Instant::now();
        server.root("GET", "/v1/secret/data/a", json!(null)).await.is(200);
        server.root("POST", "/v1/transit/encrypt/k", json!({"plaintext": PLAIN})).await.is(200);
        took.push(began.elapsed());
    }
    let mut made = 0;
    while let Some(done) = making.try_join_next() {
        assert_eq!(done.unwrap(), 200);
        made += 1;
    }
    took.sort_unstable();
    assert!(made < MADE, "all keys were made before: nothing is shown");
    // Alone the two take a few milliseconds; a thread that seeks primes keeps its own for a second. All but two of them were
    // quick, and as many keys were being made meanwhile.
    assert!(took[ASKED / 2].as_millis() < 100, "{took:?}");
    assert!(took[ASKED - 3].as_millis() < 500, "{took:?}");
    // Who goes away leaves a place.
    making.shutdown().await;
    key(&server, "last", json!({"type": "rsa-2048"})).await;
    Arc::into_inner(server).unwrap().stop().await;
}
