//! Moving many secrets at once, and a server that goes away in the middle.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use crate::server::Server;

/// What one import takes at most.
const MANY: usize = 10_000;

#[test]
fn ten_thousand_secrets_come_in_and_go_out_in_seconds() {
    let server = Server::start(&[]);
    server.stdout(&["login", "--initial"]);
    let mut text = String::new();
    for n in 0..MANY {
        text.push_str(&format!(
            "# number {n}\nSECRET_{n:05}=\"value {n} with some more of it to be of a usual length\"\n"
        ));
    }
    fs::write(server.home().join("many.env"), &text).unwrap();
    let scope = ["--scope", "acme:prod:api"];
    let timed = |args: &[&str]| {
        let begun = Instant::now();
        let said = server.coffer(&[args, &scope].concat());
        assert_eq!(said.code, 0, "{}", said.stderr);
        (said, begun.elapsed())
    };
    let (said, import) = timed(&["env", "import", "many.env", "--yes", "--timeout", "2m"]);
    assert!(said.stderr.contains("10000 added, 0 changed, 0 removed, 0 unchanged"), "{}", said.stderr);
    let (said, export) = timed(&["env", "export"]);
    assert!(said.stdout == text, "another file came out");
    println!("{MANY} secrets: imported in {import:?}, exported in {export:?}");
    if !cfg!(debug_assertions) {
        assert!(import < Duration::from_secs(10), "imported in {import:?}");
        assert!(export < Duration::from_secs(2), "exported in {export:?}");
    }
    let (said, _) = timed(&["env", "snapshot", "restore", "1", "--timeout", "2m"]);
    // The layout goes with the secrets.
    assert!(said.stderr.contains("10001 deleted"), "{}", said.stderr);
    let one_more = format!("{text}ONE_MORE=1\n");
    fs::write(server.home().join("more.env"), one_more).unwrap();
    let said = server.coffer(&[&["env", "import", "more.env"], &scope[..]].concat());
    assert_eq!(said.code, 1);
    assert!(said.stderr.starts_with("error: more.env holds 10001 secrets"), "{}", said.stderr);
}

#[test]
fn server_that_goes_away_in_the_middle_leaves_no_doubt_about_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            loop {
                let (mut request, mut length) = (String::new(), 0);
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 {
                        break;
                    }
                    if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                        length = text.trim().parse().unwrap();
                    }
                    request.push_str(&line);
                    if line == "\r\n" {
                        break;
                    }
                }
                if request.is_empty() || request.starts_with("PATCH") {
                    // It took the request, and dies.
                    let _ = reader.read_exact(&mut vec![0; length]);
                    break;
                }
                let body = match request.contains("view=own") {
                    true => r#"{"secrets":[],"hidden":0,"kv":0}"#,
                    false => r#"{"items":[]}"#,
                };
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
                let reply = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                reader.get_mut().write_all(reply.as_bytes()).unwrap();
            }
        }
    });
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a.env"), "A=canary\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_coffer"))
        .args(["env", "import", "a.env", "-p", "acme", "--yes"])
        .env_clear()
        .env("COFFER_ADDR", &address)
        .env("COFFER_TOKEN", "t")
        .current_dir(home.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.ends_with("hint: either all of it was written or nothing: the same command with --dry-run shows which\n"),
        "{said}"
    );
}
