//! Backups that do not come to their end, how far they are, and the memory that a large one takes.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::server::Server;

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n";

/// How a server's reply goes on after its first bytes.
#[derive(Clone, Copy)]
enum Then {
    /// The connection breaks.
    Cut,
    /// It ends as replies do.
    End,
    /// Nothing more comes for now.
    Nothing,
    /// More and more comes of the part.
    Pieces,
}

/// A server that begins to send a backup.
struct Sender {
    url: String,
}

impl Sender {
    fn start(body: Vec<u8>, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let body = body.clone();
                std::thread::spawn(move || send(stream.unwrap(), &body, then));
            }
        });
        Self { url }
    }

    fn command(&self, at: &Path, out: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command
            .args(["backup", "create", "--recipient", RECIPIENT, "--out", out])
            .env_clear()
            .env("COFFER_ADDR", &self.url)
            .env("COFFER_TOKEN", "t")
            .current_dir(at)
            .stdin(Stdio::null());
        command
    }
}

fn send(stream: TcpStream, body: &[u8], then: Then) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
    }
    let mut stream = reader.into_inner();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    stream.write_all(&[head.as_bytes(), &chunk(body)].concat()).unwrap();
    match then {
        Then::Cut => {}
        Then::End => stream.write_all(b"0\r\n\r\n").unwrap(),
        // Until whoever reads goes away.
        Then::Nothing => drop(stream.read(&mut [0; 1 << 16]).and_then(|_| stream.read(&mut [0]))),
        Then::Pieces => {
            let piece = chunk(&[&1000_u32.to_be_bytes()[..], &[7; 1000]].concat());
            while stream.write_all(&piece).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

/// The beginning of a backup: a part with something in it.
fn begun() -> Vec<u8> {
    [b"coffer-backup\x01\x09store.age".as_slice(), &1000_u32.to_be_bytes(), &[7; 1000]].concat()
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn backup_that_does_not_come_to_its_end_says_why_and_leaves_nothing() {
    let given_up = |at: &[u8]| [at, &13_u16.to_be_bytes(), b"the disk fell"].concat();
    let in_part = [begun(), given_up(&[0xff; 4])].concat();
    let between = [begun(), vec![0; 4], given_up(&[0xff])].concat();
    let kept = "hint: nothing of it was kept; make another\n";
    for (body, then, code, what) in [
        (in_part, Then::End, 7, "the server gave the backup up: the disk fell"),
        (between, Then::End, 7, "the server gave the backup up: the disk fell"),
        (begun(), Then::End, 2, "the server sent no whole backup: the backup was cut off"),
        (b"no backup at all".to_vec(), Then::End, 2, "the server sent no whole backup: "),
        (begun(), Then::Cut, 2, ""),
    ] {
        let sender = Sender::start(body, then);
        for out in ["there/", "one.coffer-backup"] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("there")).unwrap();
            let (found, stderr) = said(&sender.command(dir.path(), out).output().unwrap());
            assert_eq!(found, Some(code), "{stderr}");
            assert!(stderr.starts_with(&format!("error: {what}")) && stderr.ends_with(kept), "{stderr}");
            assert_eq!(names(&dir.path().join("there")), [""; 0]);
            assert_eq!(names(dir.path()), ["there"]);
        }
    }
}

#[test]
fn what_a_killed_command_left_is_gone_with_the_next_and_nothing_that_still_runs() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    let hanging = Sender::start(begun(), Then::Nothing);
    let started = |before: usize| {
        let child = hanging.command(dir.path(), "there/").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !there.exists() || names(&there).len() <= before {
            std::thread::yield_now();
        }
        child
    };
    let mut killed = started(0);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(names(&there).len(), 1, "nobody was left to take it away");
    let mut running = started(0);
    let left = || names(&there).len();
    while left() > 1 {
        std::thread::yield_now();
    }
    let cut = Sender::start(begun(), Then::Cut);
    assert_eq!(said(&cut.command(dir.path(), "there/").output().unwrap()).0, Some(2));
    assert_eq!(left(), 1, "that of the command that runs");
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(said(&cut.command(dir.path(), "there/").output().unwrap()).0, Some(2));
    assert_eq!(left(), 0);
}

#[test]
fn long_backup_shows_on_a_terminal_how_far_it_is_and_elsewhere_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sender = Sender::start(begun(), Then::Pieces);
    let program = env!("CARGO_BIN_EXE_coffer");
    let line = format!("{program} backup create --recipient {RECIPIENT} --out there/");
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("SHELL", "/bin/sh")
        .env("COFFER_ADDR", &sender.url)
        .env("COFFER_TOKEN", "t")
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut screen, mut shown, mut byte) = (child.stdout.take().unwrap(), String::new(), [0]);
    while !(shown.contains("backing up  ") && shown.contains("B/s")) {
        assert_eq!(screen.read(&mut byte).unwrap(), 1, "no bar in {shown:?}");
        shown.push(char::from(byte[0]));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn memory_stays_flat_however_large_the_store_is() {
    let mut server = Server::start(&[]);
    server.stdout(&["login", "--initial"]);
    fs::write(server.home().join("key"), IDENTITY).unwrap();
    fs::write(server.home().join("value"), "v".repeat((1 << 20) - 4096)).unwrap();
    let mut grown = Vec::new();
    for (name, values) in [("small", 1), ("large", 96)] {
        for several in (0..values).collect::<Vec<_>>().chunks(24) {
            let names: Vec<String> = several.iter().map(|n| format!("{}_{n}=@value", name.to_uppercase())).collect();
            let names = names.iter().map(String::as_str);
            server.stdout(&["secrets", "set", "--scope", "acme"].into_iter().chain(names).collect::<Vec<_>>());
        }
        let before = server.memory_now();
        let arguments = ["backup", "create", "--recipient", RECIPIENT, "--out", name];
        limited(&server, &arguments);
        grown.push(server.memory_peak().saturating_sub(before));
    }
    let size = fs::metadata(server.home().join("large")).unwrap().len();
    assert!(size > 96 << 20, "{size}");
    assert!(grown[1] < grown[0] + 48 * 1024, "{grown:?}");
    server.stop();
    for name in ["small", "large"] {
        limited(&server, &["backup", "verify", name, "--identity", "key"]);
        let data = format!("new-{name}");
        limited(&server, &["backup", "restore", name, "--identity", "key", "--data", &data]);
    }
}

/// Runs a command that may have less memory than the large backup is long.
fn limited(server: &Server, arguments: &[&str]) {
    let inner = server.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -d {} && exec \"$@\"", 72 << 10), "sh"]).arg(inner.get_program());
    command.args(inner.get_args()).env_clear().current_dir(server.home()).stdin(Stdio::null());
    for (name, value) in inner.get_envs().filter(|(name, _)| *name != "COFFER_DATA") {
        command.env(name, value.unwrap());
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {told}");
}
