//! A server of the program under test, on a port of the system's choice, ended with the test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal};

pub struct Server {
    child: Child,
    url: String,
    home: tempfile::TempDir,
}

/// What a command said and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Server {
    /// `coffer server --dev` with the root token `root`.
    pub fn dev() -> Self {
        Self::start(&["--dev", "--dev-root-token-id", "root"])
    }

    /// `coffer server` with these options and a home of its own.
    pub fn start(options: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (child, url) = spawn(home.path(), options);
        Self { child, url, home }
    }

    /// Starts a stopped server again, on its data.
    pub fn start_again(&mut self) {
        self.start_again_with(&[]);
    }

    /// As [`Self::start_again`], with these options.
    pub fn start_again_with(&mut self, options: &[&str]) {
        (self.child, self.url) = spawn(self.home.path(), options);
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The directory that holds the server's data in `data`, and is the client's home as well.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs a command against this server, as a user at home here.
    pub fn coffer(&self, args: &[&str]) -> Said {
        self.coffer_with_input(args, "")
    }

    /// As [`Self::coffer`], with this token.
    pub fn coffer_as(&self, token: &str, args: &[&str]) -> Said {
        let file = self.home().join("token");
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        self.coffer(&[args, &["--token-file", "token"]].concat())
    }

    /// Starts a command against this server, with pipes.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A command against this server, without input, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.home())
            .env("COFFER_DATA", self.home().join("data"))
            .env("COFFER_ADDR", &self.url)
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// As [`Self::coffer`], with something on stdin.
    pub fn coffer_with_input(&self, args: &[&str], input: &str) -> Said {
        let mut child = self.spawn(args);
        // A command that does not read its input breaks the pipe, which is its right.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Sends a request of the Vault dialect, for what has no command, and asserts that it succeeds.
    pub fn vault(&self, path: &str, body: &str) {
        let host = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        let length = body.len();
        let head = format!("POST /v1/{path} HTTP/1.1\r\nhost: {host}\r\nx-vault-token: root\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 20"), "{path}: {reply}");
    }

    /// As [`Self::coffer`], for a command that must succeed: what it wrote to stdout.
    pub fn stdout(&self, args: &[&str]) -> String {
        let said = self.coffer(args);
        assert_eq!(said.code, 0, "coffer {}: {said:?}", args.join(" "));
        said.stdout
    }

    /// What of its memory is in use, in KiB; the peak is counted from here on.
    pub fn memory_now(&self) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
        self.memory("VmRSS:")
    }

    /// The most that was in use since, in KiB.
    pub fn memory_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Has the server read its files again.
    pub fn hang_up(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::HUP).unwrap();
    }

    /// Stops the server as an operator does, and waits until it has.
    pub fn stop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(home: &Path, options: &[&str]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_coffer"))
        .args(["server", "--listen", "127.0.0.1:0"])
        .args(options)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("COFFER_DATA", home.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let url = loop {
        let Some(Ok(line)) = lines.next() else {
            let _ = child.kill();
            panic!("the server did not start: {}", said.join("\n"));
        };
        if let Some((_, url)) = line.split_once("listening on http") {
            break format!("http{}", url.split_whitespace().next().unwrap());
        }
        said.push(line);
    };
    // Read on, or the server would stand still at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (child, url)
}
