//! Questions to a log with two thousand records of a server that wrote them: each filter, and all together.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

/// Spans more than one bundle of 256 entries, so that the index and not the newest entries alone answer.
const ROUNDS: usize = 120;

/// A filter: its name in the query, what it asks for, and whether a record is what it asks for.
struct Filter<'a> {
    query: String,
    holds: Box<dyn Fn(&Value) -> bool + 'a>,
}

impl<'a> Filter<'a> {
    fn new(query: String, holds: impl Fn(&Value) -> bool + 'a) -> Self {
        Self { query, holds: Box::new(holds) }
    }
}

/// Two tokens that read, write and are refused, and when the second half of it began.
struct Told {
    reader: String,
    middle: Timestamp,
    /// How many entries there were when all was done.
    size: u64,
}

#[tokio::test]
async fn query_by_any_filters_gives_exactly_what_they_describe() {
    let server = TestServer::dev().await;
    let told = happen(&server).await;
    let all = walk(&server, "", 1000, told.size).await;
    let indexes: Vec<u64> = all.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, (0..told.size).collect::<Vec<_>>(), "the whole log, each entry once");

    let time = |record: &Value| record["t"].as_str().unwrap().parse::<i128>().unwrap();
    let (middle, reader) = (told.middle, told.reader.as_str());
    let filters = [
        Filter::new(format!("since={middle}"), move |record| time(record) >= middle.as_nanosecond()),
        Filter::new(format!("until={middle}"), move |record| time(record) < middle.as_nanosecond()),
        Filter::new(format!("actor={reader}"), move |record| record["actor"]["accessor"] == reader),
        Filter::new("action=secret.read".into(), |record| record["cls"] == "secret.read"),
        Filter::new("path=secret/data/a".into(), |record| record["res"]["path"] == "secret/data/a"),
        Filter::new("outcome=denied".into(), |record| record["out"] == "denied"),
    ];

    // What was done, counted by who did it: a filter that reads the records wrongly would not give these.
    let count = async |chosen: &[usize]| {
        let query: Vec<&str> = chosen.iter().map(|i| filters[*i].query.as_str()).collect();
        walk(&server, &query.join("&"), 1000, told.size).await.len()
    };
    assert_eq!(count(&[2]).await, 3 * ROUNDS, "the reader: two reads and a write a round");
    assert_eq!(count(&[3]).await, 3 * ROUNDS, "reads: two of the reader, one of the writer");
    assert_eq!(count(&[4]).await, 3 * ROUNDS, "a: one read each, and a write");
    assert_eq!(count(&[5]).await, 2 * ROUNDS, "refused: the reader's read of b, and its write of it");
    assert_eq!(count(&[0, 2]).await, 3 * ROUNDS / 2, "the second half of the reader's");
    assert_eq!(count(&[1, 2]).await, 3 * ROUNDS / 2, "the first half");
    assert_eq!(count(&[0, 1]).await, 0, "no record is on both sides");
    assert_eq!(count(&[2, 3]).await, 2 * ROUNDS);
    assert_eq!(count(&[2, 3, 4]).await, ROUNDS);
    assert_eq!(count(&[2, 3, 5]).await, ROUNDS);
    assert_eq!(count(&[4, 5]).await, 0, "nobody is refused a");
    assert_eq!(count(&[0, 2, 3, 5]).await, ROUNDS / 2);

    // Every combination, by pages of two sizes: exactly the records that all its filters hold for.
    for chosen in 0_usize..1 << filters.len() {
        let chosen: Vec<&Filter> =
            filters.iter().enumerate().filter_map(|(i, filter)| (chosen >> i & 1 == 1).then_some(filter)).collect();
        let query: Vec<&str> = chosen.iter().map(|filter| filter.query.as_str()).collect();
        let query = query.join("&");
        let expected = all.iter().filter(|(_, record)| chosen.iter().all(|filter| (filter.holds)(record)));
        let expected: Vec<&(u64, Value)> = expected.collect();
        for limit in [37, 1000] {
            let found = walk(&server, &query, limit, told.size).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}, {limit} a page");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn cursor_gives_each_entry_once_while_the_log_grows() {
    let server = TestServer::dev().await;
    let told = happen(&server).await;
    // Each look is itself recorded, between one page and the next.
    for (limit, from) in [(1, told.size - 30), (7, 200), (256, 0), (257, 3)] {
        let found = walk(&server, &format!("from={from}"), limit, told.size).await;
        let indexes: Vec<u64> = found.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, (from..told.size).collect::<Vec<_>>(), "{limit} a page from {from}");
    }
    server.stop().await;
}

#[tokio::test]
async fn query_for_what_nobody_did_is_empty_and_a_wrong_question_is_refused() {
    let server = TestServer::dev().await;
    server.root("PUT", "/api/v1/secrets/acme/KEY", json!({"value": "v"})).await.is(200);
    for query in
        ["actor=nobody", "action=secret", "path=secret/data/acme", "outcome=maybe", "since=2999-01-01T00:00:00Z"]
    {
        assert!(walk(&server, query, 10, u64::MAX).await.is_empty(), "{query}");
    }
    assert!(!walk(&server, "until=2999-01-01T00:00:00Z", 1000, 1).await.is_empty());
    for query in ["since=yesterday", "until=1", "after=x", "from=-1", "limit=0", "limit=1001", "who=me"] {
        server.root("GET", &format!("/api/v1/audit/entries?{query}"), Value::Null).await.is(400);
    }
    server.stop().await;
}

/// Each round: a reader reads a (may) and b (may not) and writes b (may not); a writer writes a, reads it, writes b.
async fn happen(server: &TestServer) -> Told {
    let reader = server.token_with(ROOT, r#"path "secret/data/a" { capabilities = ["read"] }"#).await;
    let policy = r#"path "secret/data/*" { capabilities = ["create", "read", "update"] }"#;
    let writer = server.token_with(ROOT, policy).await;
    let known = server.root("POST", "/v1/auth/token/lookup", json!({"token": reader})).await.data();
    server.as_token(&writer, "POST", "/v1/secret/data/a", json!({"data": {}})).await.is(200);
    // That write is the first of a; its round is one write short.
    let mut middle = None;
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            middle = Some(next_millisecond());
        }
        for (token, method, path, status) in [
            (&reader, "GET", "/v1/secret/data/a", 200),
            (&reader, "GET", "/v1/secret/data/b", 403),
            (&reader, "POST", "/v1/secret/data/b", 403),
            (&writer, "POST", "/v1/secret/data/b", 200),
            (&writer, "GET", "/v1/secret/data/a", 200),
            (&writer, "POST", "/v1/secret/data/a", 200),
        ] {
            if round == 0 && token == &writer && method == "POST" && path.ends_with("/a") {
                continue;
            }
            let body = if method == "POST" { json!({"data": {}}) } else { Value::Null };
            server.as_token(token, method, path, body).await.is(status);
        }
    }
    let (reader, middle) = (known["accessor"].as_str().unwrap().to_owned(), middle.unwrap());
    Told { reader, middle, size: server.log_size().await }
}

/// The beginning of the next millisecond, once it has come: what is recorded from now on is not before it.
fn next_millisecond() -> Timestamp {
    let next = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + 1).unwrap();
    while Timestamp::now() < next {
        std::hint::spin_loop();
    }
    next
}

/// What a query gives, page by page, up to this index of the log. The looks themselves are recorded beyond it.
async fn walk(server: &TestServer, query: &str, limit: u32, size: u64) -> Vec<(u64, Value)> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/audit/entries?limit={limit}&{query}{cursor}");
        let page = server.root("GET", path.trim_end_matches('&'), Value::Null).await.is(200).json();
        let entries = page["entries"].as_array().unwrap();
        assert!(entries.len() <= usize::try_from(limit).unwrap(), "{path}: {} entries", entries.len());
        found.extend(entries.iter().map(|entry| (entry["index"].as_u64().unwrap(), entry["entry"].clone())));
        let is_beyond = found.last().is_some_and(|(index, _)| *index >= size);
        match page["next"].as_str() {
            Some(next) if !is_beyond => cursor = format!("&after={next}"),
            Some(_) | None => break,
        }
    }
    found.retain(|(index, _)| *index < size);
    found
}
