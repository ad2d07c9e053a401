//! A server that goes away in the middle: what each command says, and what lies there after.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

/// What the server does with its requests, one after the other.
enum Does {
    /// Answers with this.
    Answers(&'static str),
    /// Takes the request, and dies.
    Dies,
    /// Begins an answer that never ends, and dies.
    DiesWithin(&'static str),
}

use Does::{Answers, Dies, DiesWithin};

/// A server of such replies; whoever asks after the last is not answered either.
fn server(does: Vec<Does>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let does = Arc::new(Mutex::new(does.into_iter()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let does = Arc::clone(&does);
            std::thread::spawn(move || while serve(&mut BufReader::new(stream.as_ref().unwrap()), &does) {});
        }
    });
    address
}

/// Whether the connection goes on.
fn serve(reader: &mut BufReader<&TcpStream>, does: &Mutex<std::vec::IntoIter<Does>>) -> bool {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let _ = reader.read_exact(&mut vec![0; length]);
    let mut stream = *reader.get_ref();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    match does.lock().unwrap().next() {
        Some(Answers(body)) => {
            write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
            true
        }
        Some(DiesWithin(part)) => {
            write!(stream, "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{part}\r\n", part.len()).unwrap();
            let _ = stream.shutdown(std::net::Shutdown::Both);
            false
        }
        Some(Dies) | None => {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            false
        }
    }
}

/// All files below a folder with what is in them.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => {
                found.insert(path.display().to_string(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
/// What a restore would do.
const RESTORED: &str = r#"{"changes":[{"action":"delete","name":"A","of":1,"version":2}],"unchanged":0,"gone":[]}"#;
const READ_FIRST: &str = "whether the request took effect is unknown: read before you repeat it";
const ALL_OR_NOTHING: &str = "either all of it was done or nothing: read one of the names before you repeat it";

#[test]
fn command_says_what_to_do_and_leaves_nothing_half_done() {
    let cases: [(&[&str], Vec<Does>, &str); 9] = [
        (
            &["backup", "create", "--recipient", RECIPIENT, "--out", "kept"],
            vec![DiesWithin("half")],
            "nothing is kept of it: take another; where the server ended it, its log says why",
        ),
        (
            &["backup", "create", "--recipient", RECIPIENT, "--out", "new"],
            vec![DiesWithin("half")],
            "nothing is kept of it: take another; where the server ended it, its log says why",
        ),
        (&["secrets", "set", "--from-file", "a.env", "-p", "acme"], vec![Dies], ALL_OR_NOTHING),
        (&["secrets", "copy", "A", "--to-env", "dev", "-p", "acme", "-e", "prod"], vec![Dies], ALL_OR_NOTHING),
        (&["secrets", "move", "A", "--as", "B", "-p", "acme"], vec![Dies], ALL_OR_NOTHING),
        (
            &["env", "snapshot", "restore", "1", "--yes", "-p", "acme"],
            vec![Answers(RESTORED), Dies],
            "either all of it was put back or nothing: the same command with --dry-run shows which",
        ),
        (&["env", "export", "--out", "old", "-p", "acme"], vec![DiesWithin("{\"secrets\":[")], READ_FIRST),
        (&["inject", "-i", "template", "-o", "old"], vec![Dies], READ_FIRST),
        (&["scan", "--config", "rules.toml", "--against-store", "a.env"], vec![Dies], READ_FIRST),
    ];
    for (args, does, hint) in cases {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("kept")).unwrap();
        for (name, text) in [
            ("a.env", "A=canary-0123456789\n"),
            ("old", "as it was"),
            ("template", "{{ coffer://acme/A }}"),
            ("rules.toml", "[[rules]]\nid = \"demo\"\nregex = \"canary-[0-9]{10}\"\n"),
        ] {
            fs::write(home.path().join(name), text).unwrap();
        }
        let before = files(home.path());
        let output = Command::new(env!("CARGO_BIN_EXE_coffer"))
            .args(args)
            .env_clear()
            .env("COFFER_ADDR", server(does))
            .env("COFFER_TOKEN", "t")
            .current_dir(home.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.ends_with(&format!("hint: {hint}\n")), "{args:?}: {said}");
        assert!(!said.contains("canary"), "{args:?}: {said}");
        assert_eq!(files(home.path()), before, "{args:?}");
        assert_eq!(fs::read_dir(home.path().join("kept")).unwrap().count(), 0, "{args:?}");
    }
}
