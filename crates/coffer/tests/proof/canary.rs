//! Canaries: secrets like no others go through a full run, values, passwords and tokens in requests that succeed and
//! requests that are refused, and are then looked for in everything that the program and its store wrote, and, once it
//! is sealed and nobody is connected, in its memory, with the keys.

mod needle;
mod operations;
mod process;
mod refusals;
mod requests;
mod scopes;
mod vault;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Instant,
};

use rustix::process::Signal;
use serde_json::Value;

use self::{needle::Needles, process::Process};
use crate::{
    audit_log,
    http::Answer,
    node::{Engine, Node},
    postgres_server::PostgresServer,
    wait::{PATIENCE, until},
};

#[test]
fn full_run_on_sqlite_leaves_no_secret_in_what_it_writes_nor_in_sealed_memory() {
    full_run(Engine::Sqlite);
}

#[test]
fn full_run_on_postgres_leaves_no_secret_in_what_it_writes_nor_in_sealed_memory() {
    full_run(Engine::Postgres);
}

fn full_run(engine: Engine) {
    let mut run = Run::new(engine);

    let server = run.start();
    run.login(&server);
    requests::make_all(&mut run, &server, 1);
    run.check_files("while the server runs");
    requests::write_until_killed(&mut run, server);
    run.check_files("after kill -9");

    let server = run.start();
    requests::make_all(&mut run, &server, 2);
    run.verify(server);
    run.check_files("after a stop");

    let server = run.start();
    requests::make_all(&mut run, &server, 3);
    server.wait_for_no_connection();
    run.cli(&server, None, &["operator", "seal", "--local"], "");
    run.learn_keys();
    run.check_memory(&server, "after a seal over the unix socket");

    run.cli(&server, None, &["operator", "unseal", "--local"], "");
    run.check_unsealed_memory(&server);
    requests::read_again(&run, &server);
    let mut admin = server.client().with_token(&run.token);
    until("the seal", PATIENCE, || (admin.post("/v1/sys/seal", &Value::Null).unwrap().status == 204).then_some(()));
    drop(admin);
    run.check_memory(&server, "after a seal over HTTP");

    requests::knock_while_sealed(&mut run, &server);
    run.check_memory(&server, "after requests while sealed");
    run.check_files("while sealed");
    server.end(Signal::TERM);
    run.check_files("at the end");
}

/// A store, what runs on it, and everything that must not be found.
struct Run {
    node: Node,
    postgres: Option<Postgres>,
    /// What servers, command lines and refusals said.
    outputs: tempfile::TempDir,
    needles: Needles,
    /// Non-secrets by which a search shows that it searches: a secret's name, and the path of the data directory.
    controls: Needles,
    /// Canaries that are in the store, sealed, to the end.
    kept: RefCell<Vec<String>>,
    /// The administrator's.
    token: String,
    starts: u32,
}

struct Postgres {
    server: PostgresServer,
    url: String,
    root: PathBuf,
}

/// The name of a secret in each round, to be found in the store and in the log.
const CONTROL_NAME: &str = "name of a secret";
const CONTROL_PATH: &str = "path of the data directory";
/// The command line's exit code for a server that is not sure that it leads, as may happen on a loaded machine.
const UNAVAILABLE: i32 = 7;

impl Run {
    fn new(engine: Engine) -> Self {
        let postgres = (engine == Engine::Postgres).then(Postgres::start);
        let node = Node::on(postgres.as_ref().map(|postgres| postgres.url.clone()));
        fs::create_dir(node.home().join("tmp")).unwrap();
        let mut controls = Needles::default();
        controls.canary(CONTROL_NAME);
        controls.add(CONTROL_PATH, node.data().to_str().unwrap().as_bytes());
        Self {
            node,
            postgres,
            outputs: tempfile::tempdir().unwrap(),
            needles: Needles::default(),
            controls,
            kept: RefCell::default(),
            token: String::new(),
            starts: 0,
        }
    }

    /// Starts the server as talkative as it can be.
    fn start(&mut self) -> Process {
        self.starts += 1;
        let mut command = self.program(&["server", "--listen", "127.0.0.1:0"]);
        // Smaller than the largest value, so that either limit is reached.
        command.env("COFFER_LOG", "trace").env("COFFER_REQUEST_BODY_BYTES", (2 << 20).to_string());
        if let Some(postgres) = &self.postgres {
            command.env("COFFER_STORAGE", &postgres.url);
        }
        Process::start(command, self.outputs.path(), &format!("server-{}", self.starts))
    }

    /// Exchanges the initial token, on the command line.
    fn login(&mut self, server: &Process) {
        let initial = self.node.data().join("initial-token");
        self.needles.add("the initial token", fs::read(&initial).unwrap().trim_ascii());
        self.cli(server, None, &["login", "--initial"], "");
        assert!(!initial.exists(), "the initial token outlives its exchange");
        self.token = fs::read_to_string(self.token_file()).unwrap().trim().to_owned();
        self.needles.add("the administrator's token", self.token.as_bytes());
    }

    fn token_file(&self) -> PathBuf {
        self.node.home().join(".config/coffer/token")
    }

    /// The program with an environment of its own.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.node.home())
            .env("TMPDIR", self.node.home().join("tmp"))
            .env("COFFER_DATA", self.node.data());
        command
    }

    /// Runs a command that must succeed and whose every word is searched.
    #[track_caller]
    fn cli(&self, server: &Process, token: Option<&str>, arguments: &[&str], stdin: &str) -> Output {
        let output = self.cli_gives(server, token, arguments, stdin);
        self.keep("cli.stdout", &output.stdout);
        output
    }

    /// Runs a command that must succeed and is meant to give out a value on stdout.
    #[track_caller]
    fn cli_gives(&self, server: &Process, token: Option<&str>, arguments: &[&str], stdin: &str) -> Output {
        let output = until("a leader", PATIENCE, || {
            let output = self.cli_attempt(server, token, arguments, stdin);
            (output.status.code() != Some(UNAVAILABLE)).then_some(output)
        });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
        output
    }

    /// Runs a command that must fail, saying no secret.
    #[track_caller]
    fn cli_fails(&self, server: &Process, token: Option<&str>, arguments: &[&str], stdin: &str) {
        let output = self.cli_attempt(server, token, arguments, stdin);
        assert!(!output.status.success(), "{arguments:?} does not fail");
        self.keep("cli.stdout", &output.stdout);
    }

    fn cli_attempt(&self, server: &Process, token: Option<&str>, arguments: &[&str], stdin: &str) -> Output {
        let mut command = self.program(arguments);
        command.env("COFFER_ADDR", server.url()).env("COFFER_LOG", "trace").env("RUST_LOG", "trace");
        command.env("RUST_BACKTRACE", "1");
        if let Some(token) = token {
            command.env("COFFER_TOKEN", token);
        }
        let output = feed(command, stdin.as_bytes());
        self.keep("cli.stderr", &output.stderr);
        output
    }

    /// Adds to a file that will be searched.
    fn keep(&self, name: &str, bytes: &[u8]) {
        let file = fs::File::options().create(true).append(true).open(self.outputs.path().join(name));
        file.unwrap().write_all(bytes).unwrap();
    }

    /// Adds an answer that holds no value of its own to what will be searched.
    fn keep_answer(&self, answer: &Answer) {
        self.keep("answers", format!("{answer}\n").as_bytes());
    }

    /// Searches everything that was written.
    #[track_caller]
    fn check_files(&self, moment: &str) {
        if let Some(postgres) = &self.postgres {
            postgres.server.sql("postgres", "CHECKPOINT");
        }
        let begun = Instant::now();
        let mut found = Vec::new();
        let mut with_name: BTreeMap<&str, usize> = BTreeMap::new();
        let mut bytes = 0;
        // The key file and the token file hold what they are for.
        let without_seal = self.needles.only(|name| name != "seal key");
        for (kind, dir) in self.places() {
            for file in audit_log::files(&dir) {
                if file == self.token_file() {
                    continue;
                }
                let Some(content) = read(&file) else { continue };
                bytes += content.len();
                let is_key_file = file == self.node.data().join("seal.key");
                let needles = if is_key_file { &without_seal } else { &self.needles };
                let forms = needles.find(&content);
                found.extend(forms.iter().map(|form| format!("{form} in {}", file.display())));
                let has_name = self.controls.find(&content).iter().any(|form| form.starts_with(CONTROL_NAME));
                let is_server_log = self.postgres.as_ref().is_some_and(|postgres| file == postgres.root.join("log"));
                let kind = if is_server_log { "PostgreSQL's log" } else { kind };
                *with_name.entry(kind).or_default() += usize::from(has_name);
            }
        }
        println!("{moment}: {bytes} bytes of files in {:?}, {with_name:?}", begun.elapsed());
        assert!(found.is_empty(), "{moment}:\n{}", found.join("\n"));
        let also = self.postgres.as_ref().map(|_| "PostgreSQL's log");
        for kind in ["the audit log", "the store"].into_iter().chain(also) {
            assert!(with_name[kind] > 0, "{moment}: a secret's name is in the clear in {kind}, but was not found");
        }
    }

    /// Every directory that something is written to, with what it is.
    fn places(&self) -> Vec<(&'static str, PathBuf)> {
        let data = self.node.data();
        let mut places = vec![("the audit log", self.node.audit_dir()), ("the rest", self.outputs.path().to_owned())];
        for entry in fs::read_dir(self.node.home()).unwrap().map(|entry| entry.unwrap().path()) {
            if entry != data {
                places.push(("the rest", entry));
            }
        }
        match &self.postgres {
            Some(postgres) => places.extend([("the store", postgres.root.clone()), ("the rest", data.to_owned())]),
            None => places.push(("the store", data.to_owned())),
        }
        places
    }

    /// Opens the sealed store with the seal key, as a thief of both would, to know what to look for from now on.
    fn learn_keys(&mut self) {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
        assert!(python.exists(), "{} is missing: run scripts/install-test-deps.sh", python.display());
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof/canary/keys.py"));
        command.arg(self.node.data().join("seal.key"));
        let copy = tempfile::tempdir().unwrap();
        let rows = match &self.postgres {
            Some(postgres) => postgres
                .server
                .sql(&postgres.url, "SELECT encode(key, 'hex') || ' ' || encode(value, 'hex') FROM coffer.entries"),
            None => {
                for name in ["store.db", "store.db-wal"] {
                    fs::copy(self.node.data().join(name), copy.path().join(name)).unwrap();
                }
                command.arg(copy.path().join("store.db"));
                String::new()
            }
        };
        let output = feed(command, rows.as_bytes());
        assert!(output.status.success(), "keys.py: {}", String::from_utf8_lossy(&output.stderr));
        let read: Value = serde_json::from_slice(&output.stdout).unwrap();
        for (name, key) in read["keys"].as_object().unwrap() {
            self.needles.add(name, &from_hex(key.as_str().unwrap()));
        }
        let names: Vec<&str> = self.needles.names().collect();
        for name in ["root key", "seal key", "sys/key/token/00000002", "sys/term/00000001", "sys/term/00000004"] {
            assert!(names.contains(&name), "{name} is not in the store: {names:?}");
        }
        // The canaries did arrive where they are kept: under the seal they are all there.
        let opened = read["opened"].as_object().unwrap();
        let opened: Vec<Vec<u8>> = opened.values().map(|value| from_hex(value.as_str().unwrap())).collect();
        for name in self.kept.borrow().iter() {
            let needle = self.needles.only(|candidate| candidate == name);
            assert!(opened.iter().any(|value| !needle.find(value).is_empty()), "{name} is not in the store");
        }
        assert!(!self.kept.borrow().is_empty());
    }

    /// Searches the memory of a sealed server. What its last requests held goes with their tasks, a moment after the
    /// answers.
    #[track_caller]
    fn check_memory(&self, server: &Process, moment: &str) {
        server.wait_for_no_connection();
        let begun = Instant::now();
        let needles = self.needles.and(&self.controls.only(|name| name == CONTROL_PATH));
        loop {
            let memory = server.memory(&needles);
            let (controls, found): (Vec<_>, Vec<_>) =
                memory.found.iter().partition(|found| found.starts_with(CONTROL_PATH));
            assert!(!controls.is_empty(), "{moment}: the search does not even find {CONTROL_PATH}");
            if found.is_empty() && memory.unread.is_empty() {
                println!("{moment}: {} bytes of memory in {:?}", memory.bytes, begun.elapsed());
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{moment}: found {found:#?}, unread {:#?}", memory.unread);
        }
    }

    /// An unsealed server has its keys in memory, where the same search finds them.
    #[track_caller]
    fn check_unsealed_memory(&self, server: &Process) {
        let working = |name: &str| name == "root key" || name.ends_with(", its cipher");
        let needles = self.needles.only(working);
        server.wait_until_active();
        let found = server.memory(&needles).found;
        for name in needles.names() {
            assert!(found.iter().any(|found| found.starts_with(name)), "unsealed, {name} is not found: {found:#?}");
        }
        self.check_where_keys_are(server);
    }

    /// Keys as they are lie only where nothing is swapped out or dumped. What the library makes of them is on its heap, and of
    /// the key that signs the log that is its seed.
    #[track_caller]
    fn check_where_keys_are(&self, server: &Process) {
        let is_key = |name: &str| name == "root key" || name.starts_with("sys/term/") || name.starts_with("sys/key/");
        let raw = self.needles.only(|name| is_key(name) && !name.contains(", its "));
        let signing = raw.names().filter(|name| name.starts_with("sys/key/log/")).max().unwrap();
        let is_guarded = |found: &&String| found.contains(" lo ") && found.contains(" dd ");
        let begun = Instant::now();
        loop {
            let found = server.memory(&raw).found;
            let (guarded, outside): (Vec<&String>, Vec<&String>) = found.iter().partition(is_guarded);
            assert!(guarded.iter().any(|found| found.starts_with("root key")), "not where it should be: {found:#?}");
            let is_of_library = |found: &&String| found.starts_with(signing);
            let (of_library, loose): (Vec<&String>, Vec<&String>) = outside.iter().copied().partition(is_of_library);
            let mappings: BTreeSet<&str> =
                of_library.iter().map(|found| found.split_once(") in ").unwrap().1).collect();
            if loose.is_empty() && mappings.len() <= 1 {
                return;
            }
            // What a request had in its hands goes with it.
            assert!(begun.elapsed() < PATIENCE, "outside of locked memory: {outside:#?}");
        }
    }

    /// Stops the server and verifies its log and its store.
    fn verify(&self, server: Process) {
        let checkpoint = self.cli(&server, None, &["audit", "checkpoint", "--format", "json"], "");
        let checkpoint: Value = serde_json::from_slice(&checkpoint.stdout).unwrap();
        let address = server.url();
        server.end(Signal::TERM);
        let audit = self.node.audit_dir();
        let storage = self.node.storage();
        for more in [&[][..], &["--store", &storage]] {
            let vkey = checkpoint["vkey"].as_str().unwrap();
            let arguments = [&["audit", "verify", audit.to_str().unwrap(), "--vkey", vkey], more].concat();
            let mut command = self.program(&arguments);
            command.env("COFFER_ADDR", &address);
            let output = feed(command, b"");
            self.keep("verify", &[&output.stdout[..], &output.stderr].concat());
            assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

impl Postgres {
    /// A server that writes all it is told into its log.
    fn start() -> Self {
        let talkative = [
            ("log_statement", "all"),
            ("log_min_duration_statement", "0"),
            ("log_parameter_max_length", "-1"),
            ("log_parameter_max_length_on_error", "-1"),
            ("log_min_messages", "debug1"),
        ];
        let server = PostgresServer::start(&talkative);
        let url = server.create_database();
        let host = url.split(['@', '/']).nth(3).unwrap();
        let root = PathBuf::from(host.replace("%2F", "/"));
        Self { server, url, root }
    }
}

/// Runs a command with this on its stdin.
fn feed(mut command: Command, stdin: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // It may end without reading.
        scope.spawn(move || drop(pipe.write_all(stdin)));
        child.wait_with_output().unwrap()
    })
}

/// A file's content; none where it is gone, or no file.
fn read(file: &Path) -> Option<Vec<u8>> {
    match fs::read(file) {
        Ok(content) => Some(content),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            let is_socket = fs::symlink_metadata(file).unwrap().file_type().is_socket();
            assert!(is_socket, "{}: {error}", file.display());
            None
        }
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}
