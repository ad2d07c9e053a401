//! Cases: each file of `tests/cmd` is one, run in a directory of its own.
//!
//! ```toml
//! server = "dev"              # a fresh `coffer server --dev` on a free port; without it, and without [[stub]], none
//! redact = ["ID", "TIME"]     # what [ID], [TIME] and so on in expected output stand for: see expect.rs
//!
//! [[stub]]                    # or a server of canned replies, by the start of the request line
//! request = "GET /api/v1/tokens/self"
//! status = 403
//! body = '{"code":"denied", …}'
//!
//! [[file]]                    # files beforehand; [DIR] stands for the directory everywhere, [ADDR] for the server
//! path = "policy.hcl"
//! text = "…"
//! mode = 0o600
//!
//! [[step]]
//! args = ["secrets", "get", "A"]
//! env = { COFFER_TOKEN = "root" }
//! stdin = "…"
//! stdout = "…"                # exact, as is stderr; both empty unless given
//! code = 0
//! ```
//!
//! The environment holds `PATH`, `HOME` ([DIR]), `COFFER_ADDR` and, with a server, `COFFER_TOKEN=root`; a step's `env` adds
//! to it, and an empty value unsets.

use std::{
    collections::BTreeMap,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde::Deserialize;

use crate::{expect, server::Server, stub::Stub};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    server: Option<ServerKind>,
    #[serde(default)]
    redact: Vec<String>,
    #[serde(default)]
    stub: Vec<Reply>,
    #[serde(default)]
    file: Vec<File>,
    step: Vec<Step>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ServerKind {
    Dev,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    pub request: String,
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: PathBuf,
    text: String,
    mode: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    #[serde(default)]
    code: i32,
}

#[test]
fn cases_without_a_server_print_what_they_should() {
    run_all(|case| case.server.is_none());
}

#[test]
fn cases_on_a_dev_server_print_what_they_should() {
    run_all(|case| case.server.is_some());
}

fn run_all(wanted: impl Fn(&Case) -> bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let mut failures = Vec::new();
    let mut count = 0;
    for path in case_files(&root) {
        let case: Case = toml::from_str(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if wanted(&case) {
            count += 1;
            failures.extend(run(&case).into_iter().map(|failure| format!("{}: {failure}", path.display())));
        }
    }
    assert!(count > 0, "no case was found below {}", root.display());
    assert!(failures.is_empty(), "{} of {count} cases:\n\n{}", failures.len(), failures.join("\n"));
}

/// What went wrong first, if anything.
fn run(case: &Case) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    for file in &case.file {
        let path = directory.path().join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &file.text).unwrap();
        let mode = file.mode.unwrap_or(0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let stub = (!case.stub.is_empty()).then(|| Stub::start(case.stub.clone()));
    let server = case.server.map(|kind| match kind {
        ServerKind::Dev => Server::dev(),
    });
    let address = match (&server, &stub) {
        (Some(server), _) => server.url().to_owned(),
        (None, Some(stub)) => stub.url().to_owned(),
        (None, None) => "http://127.0.0.1:1".to_owned(),
    };
    let fill = |text: &str| text.replace("[DIR]", directory.path().to_str().unwrap()).replace("[ADDR]", &address);
    for (index, step) in case.step.iter().enumerate() {
        let output = perform(step, directory.path(), &address, &fill);
        let got = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (got(&output.stdout), got(&output.stderr));
        let matches = output.status.code() == Some(step.code)
            && expect::matches(&fill(&step.stdout), &stdout, &case.redact)
            && expect::matches(&fill(&step.stderr), &stderr, &case.redact);
        if !matches {
            return Some(format!(
                "step {}, coffer {}:\ncode {:?}, not {}\n--- stdout expected\n{}--- stdout\n{stdout}--- stderr expected\n{}--- stderr\n{stderr}",
                index + 1,
                step.args.join(" "),
                output.status.code(),
                step.code,
                fill(&step.stdout),
                fill(&step.stderr),
            ));
        }
    }
    None
}

fn perform(step: &Step, directory: &Path, address: &str, fill: &impl Fn(&str) -> String) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_coffer"))
        .args(step.args.iter().map(|argument| fill(argument)))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", directory)
        .env("COFFER_ADDR", address)
        .env("COFFER_TOKEN", "root")
        .envs(step.env.iter().map(|(name, value)| (name, fill(value))))
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input breaks the pipe, which is its right.
    let _ = child.stdin.take().unwrap().write_all(fill(&step.stdin).as_bytes());
    child.wait_with_output().unwrap()
}

fn case_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(case_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn ok() -> u16 {
    200
}
