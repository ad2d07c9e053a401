//! A node: a directory of its own, a store, and the server process on it, started as often as the test likes.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    http::Client,
    postgres_server::PostgresServer,
    wait::{PATIENCE, until},
};

/// Where a node's entries are stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Engine {
    Postgres,
    Sqlite,
}

/// A data directory and a store; outlives the processes on it.
pub struct Node {
    dir: tempfile::TempDir,
    data: PathBuf,
    storage: Option<String>,
    environment: Vec<(&'static str, String)>,
}

/// A running server; killed with the value.
pub struct Server {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

/// A server that is to be started.
pub struct Start {
    command: Command,
}

impl Node {
    /// With a new store.
    pub fn new(engine: Engine) -> Self {
        match engine {
            Engine::Postgres => Self::on(Some(PostgresServer::shared().create_database())),
            Engine::Sqlite => Self::on(None),
        }
    }

    /// On the PostgreSQL database with this URL, else on SQLite in its own data directory.
    pub fn on(storage: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        Self { dir, data, storage, environment: Vec::new() }
    }

    /// Another node on the same store, under the same seal. The first must have started once.
    pub fn sibling(&self) -> Self {
        let sibling = Self::on(self.storage.clone());
        std::fs::create_dir(&sibling.data).unwrap();
        std::fs::set_permissions(&sibling.data, PermissionsExt::from_mode(0o700)).unwrap();
        let key = sibling.data.join("seal.key");
        std::fs::copy(self.data.join("seal.key"), &key).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        sibling
    }

    /// With its data in this directory, on SQLite.
    pub fn at(data: &Path) -> Self {
        Self { data: data.to_owned(), ..Self::on(None) }
    }

    /// Sets a variable for the server and for the command line.
    pub fn env(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_owned()));
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn audit_dir(&self) -> PathBuf {
        self.data.join("audit")
    }

    pub fn home(&self) -> &Path {
        self.dir.path()
    }

    /// The store as `audit verify --store` takes it.
    pub fn storage(&self) -> String {
        let sqlite = || format!("sqlite:{}", self.data.join("store.db").display());
        self.storage.clone().unwrap_or_else(sqlite)
    }

    /// Starts the server and waits until it is active.
    pub fn start(&self) -> Server {
        self.prepare().start()
    }

    /// A server to be started with more.
    pub fn prepare(&self) -> Start {
        self.prepare_with(Command::new(env!("CARGO_BIN_EXE_coffer")))
    }

    /// As [`Node::prepare`], under another program that runs what follows on its command line.
    pub fn prepare_under(&self, mut program: Command) -> Start {
        program.arg(env!("CARGO_BIN_EXE_coffer"));
        self.prepare_with(program)
    }

    fn prepare_with(&self, mut command: Command) -> Start {
        command.args(["server", "--listen", "127.0.0.1:0"]);
        self.environment(&mut command);
        if let Some(storage) = &self.storage {
            command.env("COFFER_STORAGE", storage);
        }
        Start { command }
    }

    /// Runs the program's command line against a server.
    pub fn cli(&self, server: Option<&Server>, token: Option<&str>, arguments: &[&str]) -> Output {
        self.cli_command(server, token, arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs it over the server's socket, with these lines on stdin.
    pub fn cli_fed(&self, arguments: &[&str], lines: &[&str]) -> Output {
        let mut command = self.cli_command(None, None, arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who reads nothing may have ended.
        let _: io::Result<()> = child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes());
        child.wait_with_output().unwrap()
    }

    fn cli_command(&self, server: Option<&Server>, token: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command.args(arguments);
        self.environment(&mut command);
        if let Some(server) = server {
            command.env("COFFER_ADDR", format!("http://{}", server.address));
        }
        if let Some(token) = token {
            command.env("COFFER_TOKEN", token);
        }
        command
    }

    /// Exchanges the initial token for an administrator's, which it returns.
    pub fn login(&self, server: &Server) -> String {
        let initial = std::fs::read_to_string(self.data.join("initial-token")).unwrap();
        let mut client = server.client().with_token(initial.trim());
        let granted = client.send_bytes("POST", "/api/v1/login/initial", "application/json", b"").unwrap().expect(200);
        granted.json()["token"].as_str().unwrap().to_owned()
    }

    fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.dir.path())
            .env("COFFER_DATA", &self.data)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
    }
}

impl Start {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Starts it and waits until it is active: on PostgreSQL, once the lease of a dead one has run out.
    pub fn start(self) -> Server {
        let server = self.start_anyhow();
        server.wait_for_state("active", PATIENCE);
        server
    }

    /// Starts it and waits until it listens, active or not.
    pub fn start_anyhow(self) -> Server {
        self.attempt().unwrap_or_else(|said| panic!("the server did not start: {said}"))
    }

    /// Starts it; what it said, where it ends before it listens.
    pub fn attempt(mut self) -> Result<Server, String> {
        let mut child = self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, receiver) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&log);
        // Reads on to the end, or the server would stand still at a full pipe.
        thread::spawn(move || {
            let mut sender = Some(sender);
            for line in lines.split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                let address = line.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
                if let (Some(address), Some(sender)) = (address, sender.take_if(|_| address.is_some())) {
                    let _: Result<(), _> = sender.send(address);
                }
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        match receiver.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Server { child, address, log }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(log.lock().unwrap().clone())
            }
        }
    }
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// What it wrote to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The process that was started: under another program, that one.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Asks it to stop and waits for it.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Waits for the process to kill itself at a fail point.
    pub fn wait_killed(mut self) {
        let status = self.wait();
        assert_eq!(status.signal(), Some(9), "{status}: {}", self.log());
    }

    /// Waits until `readyz` shows this state.
    pub fn wait_for_state(&self, state: &str, within: Duration) -> Value {
        let mut client = self.client().with_timeout(Duration::from_secs(5));
        until(&format!("state {state}"), within, || {
            let status = client.get("/readyz").ok()?.json();
            (status["state"] == state).then_some(status)
        })
    }

    /// A figure of `/metrics`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = String::from_utf8(self.client().get("/metrics").unwrap().body).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        until("the end of the process", PATIENCE, || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopped process is killed all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the server's log:\n{}---", self.log());
        }
    }
}
