//! Requests that no client sends: each gets the status it deserves, changes nothing it should not, and the server goes
//! on to serve the next one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::server::{ROOT, TestServer};

/// The answers' statuses on one connection, in order, until the server closes it.
async fn statuses(server: &TestServer, sent: &[u8]) -> Vec<u16> {
    answers(server, sent).await.into_iter().map(|(status, _)| status).collect()
}

/// Sends bytes and a last request that ends the connection, and reads every answer but that one's. Where the server
/// ended it before, or took the last request for something else, all are the bytes' own.
async fn answers(server: &TestServer, sent: &[u8]) -> Vec<(u16, String)> {
    let last = b"GET /v1/sys/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut answers = exchange(server, &[sent, last].concat(), Ending::Open).await;
    if answers.last().is_some_and(|(status, body)| *status == 200 && body.contains("server_time_utc")) {
        answers.pop();
    }
    answers
}

/// Whether the client ends its side.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Ending {
    Cut,
    Open,
}

async fn exchange(server: &TestServer, sent: &[u8], ending: Ending) -> Vec<(u16, String)> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // A server that refuses early may close before all is sent.
    let _ = stream.write_all(sent).await;
    if ending == Ending::Cut {
        let _ = stream.shutdown().await;
    }
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the server ends the connection");
    let text = String::from_utf8_lossy(&bytes);
    let mut rest = text.as_ref();
    let mut answers = Vec::new();
    while let Some(after) = rest.strip_prefix("HTTP/1.1 ") {
        let (head, body) = after.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        answers.push((head[..3].parse().unwrap(), body[..length].to_owned()));
        rest = &body[length..];
    }
    assert!(rest.is_empty(), "{rest:?} is no answer");
    answers
}

fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nx-vault-token: {ROOT}\r\n{headers}\r\n")
}

fn post(path: &str, body: &str) -> String {
    head("POST", path, &format!("content-length: {}\r\n", body.len())) + body
}

/// The server still answers, and `secret/` holds exactly these keys.
async fn still_holds(server: &TestServer, keys: &[&str]) {
    server.raw("GET", "/v1/sys/health", None, "").await.is(200);
    let listed = server.root("GET", "/v1/secret/metadata?scan=true", Value::Null).await.data();
    let listed = listed["keys"].as_array().cloned().unwrap_or_default();
    assert_eq!(listed, keys.iter().map(|key| json!(key)).collect::<Vec<_>>());
}

#[tokio::test]
async fn body_that_is_larger_than_it_may_be_is_413_however_it_is_sent() {
    let server = TestServer::dev().await;
    let path = "/v1/secret/data/a";
    for length in [(32 << 20) + 1, 1 << 40, u64::MAX >> 1] {
        let sent = head("POST", path, &format!("content-length: {length}\r\n"));
        assert_eq!(statuses(&server, sent.as_bytes()).await, [413], "{length}");
    }
    let mut chunked = head("POST", path, "transfer-encoding: chunked\r\n").into_bytes();
    for _ in 0..33 {
        chunked.extend_from_slice(b"100000\r\n");
        chunked.resize(chunked.len() + (1 << 20), b' ');
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert!(statuses(&server, &chunked).await.iter().all(|status| *status == 413));
    // Who is not known may not even send that much.
    let login = "POST /v1/auth/userpass/login/x HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    assert_eq!(statuses(&server, login.as_bytes()).await, [403], "nobody answers there, and nothing is read");
    server.root("POST", "/v1/sys/auth/userpass", json!({"type": "userpass"})).await.is(204);
    assert_eq!(statuses(&server, login.as_bytes()).await, [413]);
    for length in ["99999999999999999999999", "-1", "+5", "5, 6", "0x10", ""] {
        let sent = head("POST", path, &format!("content-length: {length}\r\n")) + "{\"data\":{}}";
        assert_eq!(statuses(&server, sent.as_bytes()).await, [400], "{length:?}");
    }
    still_holds(&server, &[]).await;
    server.stop().await;
}

#[tokio::test]
async fn deep_and_broken_json_is_400() {
    let server = TestServer::dev().await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [200, 100_000] {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let body = format!("{{\"data\":{{\"x\":{value}}}}}");
            assert_eq!(statuses(&server, post("/v1/secret/data/a", &body).as_bytes()).await, [400], "{depth} {open}");
        }
    }
    for body in [
        "{\"data\":",
        "{\"data\":{}",
        "{\"data\":{}}}",
        "{\"data\":{\"a\":01}}",
        "{'data':{}}",
        "{\"data\":NaN}",
        "\u{feff}{}",
    ] {
        assert_eq!(statuses(&server, post("/v1/secret/data/a", body).as_bytes()).await, [400], "{body}");
    }
    for body in
        [&b"{\"data\":{\"x\":\"\xff\xfe\"}}"[..], b"{\"data\":{\"x\":\"\x00\"}}", b"\xff\xff\xff", b"{\"\xc3\x28\":1}"]
    {
        let mut sent = head("POST", "/v1/secret/data/a", &format!("content-length: {}\r\n", body.len())).into_bytes();
        sent.extend_from_slice(body);
        assert_eq!(statuses(&server, &sent).await, [400], "{body:?}");
    }
    still_holds(&server, &[]).await;
    server.stop().await;
}

#[tokio::test]
async fn odd_methods_are_405_and_what_is_no_request_is_400() {
    let server = TestServer::dev().await;
    let long = "M".repeat(1000);
    for method in ["BREW", "get", "Post", "PROPFIND", "HEADS", "L", &long] {
        let [(status, body)] = &answers(&server, head(method, "/v1/sys/mounts", "").as_bytes()).await[..] else {
            panic!("{method}")
        };
        assert_eq!((*status, body.as_str()), (405, "{\"errors\":[]}"), "{method}");
    }
    for line in [
        "GET /v1/sys/mounts",
        "GET  /v1/sys/mounts HTTP/1.1",
        "GET /v1/sys/mounts HTTP/9.9",
        "GET /v1/sys mounts HTTP/1.1",
        "\u{1}\u{2}\u{3} / HTTP/1.1",
        "/v1/sys/mounts",
        "G\u{e9}T /v1/sys/mounts HTTP/1.1",
    ] {
        assert_eq!(statuses(&server, format!("{line}\r\nhost: x\r\n\r\n").as_bytes()).await, [400], "{line}");
    }
    still_holds(&server, &[]).await;
    server.stop().await;
}

#[tokio::test]
async fn path_tricks_reach_nothing_but_the_path_they_spell() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/top/key", json!({"data": {"x": 1}})).await.is(200);
    let long = format!("/v1/secret/data/{}", "a".repeat(5000));
    for path in [
        "/v1/secret/data/a/../top/key",
        "/v1/secret/data/a/./b",
        "/v1/secret/data/..",
        "/v1/secret/data/../metadata/top/key",
        "/v1/secret/data/%2e%2e/metadata/top/key",
        "/v1/secret/data/%2E%2e%2Fmetadata",
        "/v1/secret/data/a%2f..%2ftop",
        "/v1/secret/data/a%2f%2fb",
        "/v1/secret//data/top/key",
        "/v1//secret/data/top/key",
        "/v1/secret/data/top/key%00",
        "/v1/secret/data/top/%0d%0akey",
        "/v1/secret/data/%7f",
        "/v1/secret/data/%c2%85",
        "/v1/secret/data/%ff",
        "/v1/secret/data/%c0%af",
        "/v1/secret/data/%",
        "/v1/secret/data/%2",
        "/v1/secret/data/%zz",
        "/v1/secret/data/a/",
        long.as_str(),
    ] {
        let sent = post(path, "{\"data\":{}}");
        assert_eq!(statuses(&server, sent.as_bytes()).await, [400], "{path:.60}");
        let get = statuses(&server, head("GET", path, "").as_bytes()).await;
        assert!(matches!(get[..], [400 | 404]), "{path:.60}: {get:?}");
    }
    // One level of escapes is undone, and no second: this names a key with a percent sign.
    assert_eq!(statuses(&server, post("/v1/secret/data/%252e%252e", "{\"data\":{}}").as_bytes()).await, [200]);
    // An escaped slash is a slash, to the policies as to the engine.
    let token = server.token_with(ROOT, r#"path "secret/data/+" { capabilities = ["read"] }"#).await;
    server.as_token(&token, "GET", "/v1/secret/data/top%2fkey", Value::Null).await.is(403);
    server.as_token(&token, "GET", "/v1/secret/data/..%252ftop", Value::Null).await.is(404);
    still_holds(&server, &["%2e%2e", "top/key"]).await;
    server.stop().await;
}

#[tokio::test]
async fn flood_of_headers_is_refused_and_of_several_tokens_the_first_counts() {
    let server = TestServer::dev().await;
    let many: String = (0..200).map(|n| format!("x-flood-{n}: y\r\n")).collect();
    assert_eq!(statuses(&server, head("GET", "/v1/sys/mounts", &many).as_bytes()).await, [431]);
    let large = format!("x-flood: {}\r\n", "y".repeat(100_000));
    assert_eq!(statuses(&server, head("GET", "/v1/sys/mounts", &large).as_bytes()).await, [431]);
    let target = format!("/v1/{}", "a".repeat(100_000));
    assert!(matches!(statuses(&server, head("GET", &target, "").as_bytes()).await[..], [414 | 431]));

    let asked = async |headers: &str| statuses(&server, head("GET", "/v1/sys/mounts", headers).as_bytes()).await;
    assert_eq!(asked("x-vault-token: bad\r\nauthorization: Bearer bad\r\n").await, [200]);
    for first in ["bad", "r\u{e9}", "a b", "\t"] {
        let sent = format!(
            "GET /v1/sys/mounts HTTP/1.1\r\nhost: x\r\nx-vault-token: {first}\r\nx-vault-token: {ROOT}\r\n\r\n"
        );
        assert_eq!(statuses(&server, sent.as_bytes()).await, [403], "{first:?}");
    }
    let huge = format!("GET /v1/sys/mounts HTTP/1.1\r\nhost: x\r\nx-vault-token: hvs.{}\r\n\r\n", "A".repeat(60_000));
    assert_eq!(statuses(&server, huge.as_bytes()).await, [403]);
    for broken in ["x y: z\r\n", ": z\r\n", "x: a\r\n b\r\n", "x: \u{0}\r\n", "x\r\n"] {
        assert_eq!(asked(broken).await, [400], "{broken:?}");
    }
    still_holds(&server, &[]).await;
    server.stop().await;
}

#[tokio::test]
async fn write_that_is_cut_off_writes_nothing_and_those_in_a_row_are_all_answered() {
    let server = TestServer::dev().await;
    let whole = post("/v1/secret/data/cut", "{\"data\":{\"x\":1}}");
    for end in [10, 40, whole.len() - 5, whole.len() - 1] {
        let cut = exchange(&server, &whole.as_bytes()[..end], Ending::Cut).await;
        assert!(cut.iter().all(|(status, _)| *status == 400), "{end}: {cut:?}");
    }
    let chunked = head("POST", "/v1/secret/data/cut", "transfer-encoding: chunked\r\n") + "f\r\n{\"data\":{\"x\":1}";
    let cut = exchange(&server, chunked.as_bytes(), Ending::Cut).await;
    assert!(cut.iter().all(|(status, _)| *status == 400), "{cut:?}");
    still_holds(&server, &[]).await;

    let row: String = (0..50).map(|n| post(&format!("/v1/secret/data/row{n:02}"), "{\"data\":{}}")).collect();
    assert_eq!(statuses(&server, row.as_bytes()).await, [200; 50]);
    let mixed = post("/v1/secret/data/row00", "{bad")
        + &head("GET", "/v1/sys/nosuch", "")
        + &head("HEAD", "/v1/sys/health", "");
    let closing = "content-length: 11\r\nconnection: close\r\n";
    let mixed = mixed + &head("POST", "/v1/secret/data/last", closing) + "{\"data\":{}}";
    // The answer to HEAD has a length and no body, so that is where this reader stops to understand.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(mixed.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let found: Vec<&str> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(found, ["400", "404", "200", "200"]);
    let keys: Vec<String> = std::iter::once("last".into()).chain((0..50).map(|n| format!("row{n:02}"))).collect();
    still_holds(&server, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    server.stop().await;
}

#[tokio::test]
async fn chunked_body_ends_where_it_says_and_nothing_after_it_is_a_request() {
    let server = TestServer::dev().await;
    let chunked = |path: &str, headers: &str, body: &str| {
        head("POST", path, &format!("transfer-encoding: chunked\r\n{headers}")) + body
    };
    let body = "b\r\n{\"data\":{}}\r\n0\r\n\r\n";
    let smuggled = head("DELETE", "/v1/secret/metadata/kept", "");
    server.root("POST", "/v1/secret/data/kept", json!({"data": {}})).await.is(200);

    assert_eq!(statuses(&server, chunked("/v1/secret/data/a", "", body).as_bytes()).await, [200]);
    let extended = "B;name=\"a;b\"\r\n{\"data\":{}}\r\n0\r\nx-vault-token: trailer\r\n\r\n";
    assert_eq!(statuses(&server, chunked("/v1/secret/data/b", "", extended).as_bytes()).await, [200]);
    // Somebody on the way may go by the length; whichever end is right, what follows is never a request.
    for length in ["4", "0", "1000"] {
        let both = chunked("/v1/secret/data/c", &format!("content-length: {length}\r\n"), body) + &smuggled;
        assert_eq!(statuses(&server, both.as_bytes()).await.len(), 1, "{length}");
        let reversed =
            head("POST", "/v1/secret/data/c", &format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"));
        assert_eq!(statuses(&server, (reversed + body + &smuggled).as_bytes()).await.len(), 1, "{length}");
    }
    for (headers, sent) in [
        ("content-length: 5\r\ncontent-length: 6\r\n", "{\"data\":{}}"),
        ("transfer-encoding: gzip\r\n", body),
        ("transfer-encoding: chunked, gzip\r\n", body),
        ("transfer-encoding: xchunked\r\n", body),
    ] {
        let sent = head("POST", "/v1/secret/data/d", headers) + sent + &smuggled;
        assert_eq!(statuses(&server, sent.as_bytes()).await, [400], "{headers}");
    }
    for broken in
        ["zz\r\n", "fffffffffffffffffff\r\n", "-1\r\n", "b\r\n{\"data\":{}}XX0\r\n\r\n", "b {\"data\":{}}\r\n0\r\n\r\n"]
    {
        let found = statuses(&server, (chunked("/v1/secret/data/d", "", broken) + &smuggled).as_bytes()).await;
        assert!(matches!(found[..], [] | [400]), "{broken:?}: {found:?}");
    }
    let ancient =
        format!("POST /v1/secret/data/d HTTP/1.0\r\nx-vault-token: {ROOT}\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    assert_eq!(statuses(&server, ancient.as_bytes()).await, [400]);
    still_holds(&server, &["a", "b", "c", "kept"]).await;
    server.stop().await;
}
