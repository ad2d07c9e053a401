//! A real PostgreSQL server for tests: started in a directory of its own, reached through a unix socket there, gone with
//! the test process. Needs the standard library alone, so that other crates can include this file with `#[path]`.

#![allow(dead_code, reason = "each crate that includes this file uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "a test whose server does not start has failed")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server; stopped and removed on drop, or when the test process ends in whatever way.
#[derive(Debug)]
pub(crate) struct PostgresServer {
    account: Option<(u32, u32)>,
    binaries: PathBuf,
    root: PathBuf,
    settings: Vec<(String, String)>,
    watcher: Option<(Child, ChildStdin)>,
}

impl PostgresServer {
    /// The server that all tests of this process share, each with a database of its own.
    pub(crate) fn shared() -> &'static PostgresServer {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| PostgresServer::start(&[]))
    }

    /// Creates and starts a server with `settings` beside the defaults.
    pub(crate) fn start(settings: &[(&str, &str)]) -> PostgresServer {
        let binaries = find_binaries();
        let account = account();
        let root = create_root(account);
        let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut server = PostgresServer { account, binaries, root, settings, watcher: None };
        server.watch();
        let data = server.data();
        server.run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        server.start_again();
        server
    }

    /// Starts the server after [`PostgresServer::crash`]; returns once it takes connections.
    pub(crate) fn start_again(&self) {
        let mut options = format!("-k {} -c listen_addresses= -c max_connections=200", self.root.display());
        for (name, value) in &self.settings {
            options.push_str(&format!(" -c {name}={value}"));
        }
        let log = self.root.join("log").to_str().unwrap().to_owned();
        self.run("pg_ctl", &["-D", &self.data(), "-l", &log, "-w", "-t", "60", "-o", &options, "start"]);
    }

    /// Kills every process of the server without letting it save anything; returns once they are gone.
    pub(crate) fn crash(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    /// Creates an empty database and returns its URL.
    pub(crate) fn create_database(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database of this server.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.root.to_str().unwrap().replace('/', "%2F"))
    }

    /// Runs SQL in a database, named or by its URL, and returns what it prints, without decoration.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let database = database.rsplit('/').next().unwrap();
        let root = self.root.to_str().unwrap();
        let port = self.settings.iter().find(|(name, _)| name == "port").map_or("5432", |(_, port)| port);
        self.run(
            "psql",
            &["-h", root, "-p", port, "-U", "postgres", "-d", database, "-v", "ON_ERROR_STOP=1", "-qAtc", sql],
        )
    }

    fn data(&self) -> String {
        self.root.join("data").to_str().unwrap().to_owned()
    }

    /// Starts a shell that waits for the end of its standard input, which comes with the end of this process at the
    /// latest, and then stops the server and removes its directory.
    fn watch(&mut self) {
        let script = r#"trap '' INT TERM HUP
            cat
            "$1/pg_ctl" -D "$2/data" -m immediate -w stop
            rm -rf "$2""#;
        let mut watcher = self
            .command(Path::new("/bin/sh"))
            .args(["-c", script, "sh"])
            .args([&self.binaries, &self.root])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = watcher.stdin.take().unwrap();
        self.watcher = Some((watcher, stdin));
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(&self.binaries.join(program)).args(arguments).stdin(Stdio::null()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() {
            let log = fs::read_to_string(self.root.join("log")).unwrap_or_default();
            panic!("{program} failed: {stdout} {} {log}", String::from_utf8_lossy(&output.stderr));
        }
        stdout
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Settings of the developer's own PostgreSQL must not reach the test's.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").current_dir("/");
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some((mut watcher, stdin)) = self.watcher.take() {
            drop(stdin);
            watcher.wait().unwrap();
        }
    }
}

/// The newest installed server's programs, else those in the search path.
fn find_binaries() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|version| Some((version.file_name().to_str()?.parse().ok()?, version.path().join("bin"))))
        .collect();
    versions.sort();
    let searched = std::env::var_os("PATH").unwrap_or_default();
    let candidates = versions.into_iter().rev().map(|(_, path)| path).chain(std::env::split_paths(&searched));
    candidates
        .into_iter()
        .find(|path| ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|program| path.join(program).is_file()))
        .expect("PostgreSQL is not installed; run `make test`, which installs it")
}

/// The account to run the server under where this process is root, which PostgreSQL refuses.
fn account() -> Option<(u32, u32)> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let own = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    if own.split_whitespace().nth(1) != Some("0") {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let fields = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map_while(|field| field.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    Some(fields("postgres").or_else(|| fields("nobody")).expect("root needs an account postgres or nobody"))
}

/// Gives a file to the account that servers run under.
pub(crate) fn give_to_server(path: &Path) {
    if let Some((user, group)) = account() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// A new directory; in `/tmp`, because the path of a unix socket is at most 107 bytes long.
fn create_root(account: Option<(u32, u32)>) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let process = std::process::id();
    let root = loop {
        let name = format!("coffer-postgres-{process}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new("/tmp").join(name);
        match fs::create_dir(&path) {
            Ok(()) => break path,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("creating {}: {error}", path.display()),
        }
    };
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    if let Some((user, group)) = account {
        chown(&root, Some(user), Some(group)).unwrap();
    }
    root
}
