//! The newcomer: does what README.md says, line by line as it stands there, on an empty directory with the program
//! alone, and gets what it promises.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    node::{Engine, Node, Server},
    wait::{PATIENCE, until},
};

const URL: &str = "postgres://db/prod";

#[test]
fn newcomer_with_the_readme_alone_stores_runs_reads_is_refused_and_proves() {
    let readme = Readme::read();
    let node = Node::new(Engine::Sqlite);
    let mut newcomer = Newcomer::new(&node);

    // What is built and tested is this very program; that the two commands exist is all there is to see here.
    let [build, store, _shares, less, prove, offline] = readme.shell_blocks();
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for (line, target) in build.lines().zip(["run", "test"]) {
        assert!(line.starts_with(&format!("make {target} ")), "{line}");
        assert!(makefile.contains(&format!("\n{target}:\n")), "no target {target}");
    }
    let server = node.start();
    until("what to type next", PATIENCE, || server.log().contains("  coffer login --initial\n").then_some(()));
    newcomer.server = Some(server.url());

    newcomer.write_program("server", "#!/bin/sh\nprintf 'it sees %s' \"$DATABASE_URL\"\n");
    let [_login, _set, get, run] = newcomer.follow(store).try_into().unwrap();
    assert_eq!((get.stdout.as_str(), run.stdout.as_str()), (URL, format!("it sees {URL}").as_str()));

    let read = newcomer.python(readme.python_block());
    assert_eq!((read.stdout.trim(), read.code), (URL, 0), "{}", read.stderr);

    let [_file, explained, _write, _token, get, refused] = newcomer.follow(less).try_into().unwrap();
    assert!(explained.stdout.starts_with("denied: read secret/data/acme/prod/web/KEY"), "{}", explained.stdout);
    assert_eq!(get.stdout, URL);
    let missing = "error: permission denied: update on secret/data/acme/prod/api/DATABASE_URL";
    assert!(refused.stderr.starts_with(missing), "{}", refused.stderr);
    let forbidden = newcomer.python(FORBIDDEN);
    assert_eq!(forbidden.code, 0, "{}", forbidden.stderr);
    assert!(forbidden.stdout.contains("permission denied"), "{}", forbidden.stdout);

    newcomer.check_data_directory(prove);
    let entry = entry(&node, &server, 6);
    let [history, ..] = &newcomer.follow(prove)[..] else { panic!("nothing to prove") };
    assert!(history.stdout.contains("secret.read") && history.stdout.contains("127.0.0.1"), "{}", history.stdout);

    // No server, no data, no token: a copy, a proof and a key are left.
    server.stop();
    newcomer.server = None;
    fs::remove_dir_all(node.data()).unwrap();
    fs::remove_dir_all(node.home().join(".config")).unwrap();
    let [proof, log] = newcomer.follow(offline).try_into().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&proof.stdout).unwrap(), entry);
    assert!(log.stdout.starts_with("ORIGIN"), "{}", log.stdout);

    newcomer.check_refuses_what_was_changed(offline);
}

#[test]
fn newcomer_with_the_readme_alone_initialises_and_unseals_with_shares() {
    let readme = Readme::read();
    let [_, _, shares, ..] = readme.shell_blocks();
    let [serve, init, unseal] = &commands(shares)[..] else { panic!("{shares}") };
    let flags = serve.strip_prefix("coffer server ").unwrap().split_once('#').unwrap().0;
    let node = Node::new(Engine::Sqlite);
    let server = node.prepare().args(&flags.split_whitespace().collect::<Vec<_>>()).start_anyhow();
    let mut newcomer = Newcomer::new(&node);
    newcomer.server = Some(server.url());

    let [told] = newcomer.follow(init).try_into().unwrap();
    let told: Vec<&str> = told.stdout.split_whitespace().collect();
    let shares: Vec<&str> = told.iter().filter(|word| word.len() == 66).copied().collect();
    assert_eq!(shares.len(), 5, "{told:?}");
    let root = told.iter().find(|word| word.starts_with("hvs.")).unwrap();
    for (share, is_last) in shares.iter().skip(1).step_by(2).chain(&shares[..1]).zip([false, false, true]) {
        let step = newcomer.shell(&format!("echo {share} | {unseal}"));
        assert_eq!(step.code, 0, "{}{}", step.stdout, step.stderr);
        let sealed = server.client().get("/v1/sys/seal-status").unwrap().expect(200).json()["sealed"].clone();
        assert_eq!(sealed, Value::from(!is_last));
    }
    server.wait_for_state("active", PATIENCE);
    server.client().with_token(root).get("/v1/auth/token/lookup-self").unwrap().expect(200);
}

/// What a newcomer has: a directory, a shell, and variables that stay from one line to the next.
struct Newcomer<'a> {
    node: &'a Node,
    dir: PathBuf,
    server: Option<String>,
}

/// What a line came to.
#[derive(Debug)]
struct Step {
    code: i32,
    stdout: String,
    stderr: String,
}

impl<'a> Newcomer<'a> {
    fn new(node: &'a Node) -> Self {
        let dir = node.home().join("work");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(VARIABLES), "").unwrap();
        Self { node, dir, server: None }
    }

    fn write_program(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Runs the commands of a block; each must end as its comment says, which is well unless it names an exit code.
    fn follow(&self, block: &str) -> Vec<Step> {
        let steps = commands(block).into_iter().map(|command| {
            let step = self.shell(&command);
            assert_eq!(step.code, promised_code(&command), "{command}\n{}{}", step.stdout, step.stderr);
            step
        });
        steps.collect()
    }

    fn shell(&self, command: &str) -> Step {
        let script =
            format!("set -a\n. ./{VARIABLES}\n{{ {command}\n}}\ncode=$?\nexport -p > {VARIABLES}\nexit $code\n");
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]);
        self.run(shell)
    }

    fn python(&self, script: &str) -> Step {
        let python = root().join(".venv/bin/python");
        assert!(python.exists(), "{} is missing: run scripts/install-test-deps.sh", python.display());
        let script = format!("set -a; . ./{VARIABLES}; exec {} - <<'PYTHON'\n{script}\nPYTHON\n", python.display());
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]);
        self.run(shell)
    }

    fn run(&self, mut command: Command) -> Step {
        let programs = Path::new(env!("CARGO_BIN_EXE_coffer")).parent().unwrap();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        command.env_clear().env("PATH", path).env("HOME", self.node.home()).env("COFFER_DATA", self.node.data());
        if let Some(server) = &self.server {
            command.env("COFFER_ADDR", server);
        }
        let output = command.current_dir(&self.dir).stdin(Stdio::null()).output().unwrap();
        Step {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The line that finds the data directory is right for root, for others, and where the variable names it.
    fn check_data_directory(&self, prove: &str) {
        let line = prove.lines().find(|line| line.starts_with("DATA=")).unwrap();
        for (user, set, expected) in [
            (0, "unset COFFER_DATA", "/var/lib/coffer"),
            (1000, "unset COFFER_DATA; HOME=/home/ada", "/home/ada/.local/share/coffer"),
            (1000, "COFFER_DATA=/srv/coffer", "/srv/coffer"),
        ] {
            let found = self.shell(&format!("( id() {{ echo {user}; }}; {set}; {line}\n printf %s \"$DATA\" )"));
            assert_eq!(found.stdout, expected, "{}", found.stderr);
        }
    }

    /// The same two commands say so where the proof, the log or the key is another than it was.
    fn check_refuses_what_was_changed(&self, offline: &str) {
        let commands = commands(offline);
        let [verify_proof, verify_log] = &commands[..] else { panic!("{offline}") };
        let path = self.dir.join("entry-6.proof");
        let whole = fs::read_to_string(&path).unwrap();
        let proof: Value = serde_json::from_str(&whole).unwrap();
        // All but the lines that say what it is: the entry, hashes, and the checkpoint with its signature.
        let lines = |field: &str| proof[field].as_str().unwrap().lines().collect::<Vec<_>>();
        let count = lines("proof").len();
        assert!(count > 6, "{whole}");
        let filled = (2..count).filter(|line| !lines("proof")[*line].is_empty()).map(|line| ("proof", line));
        for (field, line) in [("entry", 0)].into_iter().chain(filled) {
            let mut changed = proof.clone();
            changed[field] = Value::from(change_line(proof[field].as_str().unwrap(), line));
            fs::write(&path, changed.to_string()).unwrap();
            let refused = self.shell(verify_proof);
            assert_eq!((refused.code, refused.stdout.as_str()), (8, ""), "{field}, line {line}: {}", refused.stderr);
        }
        fs::write(&path, &whole).unwrap();

        // Signed by the key that the proof itself names, and still not by the one that is trusted.
        let other = Node::new(Engine::Sqlite);
        let stranger = other.start();
        let token = other.login(&stranger);
        let stranger = stranger.client().with_token(&token).get("/api/v1/audit/proofs/0").unwrap().expect(200);
        fs::write(&path, &stranger.body).unwrap();
        let refused = self.shell(verify_proof);
        assert_eq!((refused.code, refused.stdout.as_str()), (8, ""), "{}", refused.stderr);
        fs::write(&path, &whole).unwrap();
        assert_eq!(self.shell(verify_proof).code, 0);

        let file = segment(&self.dir.join("audit-copy"));
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.windows(URL_PATH.len()).position(|window| window == URL_PATH).unwrap();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        let refused = self.shell(verify_log);
        assert_eq!(refused.code, 8, "{}{}", refused.stdout, refused.stderr);
    }
}

/// Variables of the shell, kept between its lines.
const VARIABLES: &str = ".variables";
const URL_PATH: &[u8] = b"secret/data/acme/prod/api/DATABASE_URL";

/// Asks for what the policy of the README's token does not cover.
const FORBIDDEN: &str = r#"
import os, hvac

client = hvac.Client(url=os.environ["COFFER_ADDR"], token=os.environ["READER"])
kv = client.secrets.kv.v2
assert kv.read_secret_version(path="acme/prod/api/DATABASE_URL", raise_on_deleted_version=False)
for refused in [
    lambda: kv.read_secret_version(path="acme/prod/web/KEY", raise_on_deleted_version=False),
    lambda: kv.create_or_update_secret(path="acme/prod/api/DATABASE_URL", secret={"value": "mine"}),
    lambda: kv.delete_metadata_and_all_versions(path="acme/prod/api/DATABASE_URL"),
]:
    try:
        refused()
    except hvac.exceptions.Forbidden as error:
        print(error)
    else:
        raise SystemExit("not refused")
"#;

struct Readme(String);

impl Readme {
    fn read() -> Self {
        Self(fs::read_to_string(root().join("README.md")).unwrap())
    }

    /// Every block of commands there is: one that nobody follows would rot.
    fn shell_blocks(&self) -> [&str; 6] {
        let blocks = self.blocks("sh");
        let count = blocks.len();
        blocks.try_into().unwrap_or_else(|_| panic!("README.md has {count} blocks of commands: follow each here"))
    }

    fn python_block(&self) -> &str {
        let blocks = self.blocks("python");
        let [block] = blocks[..] else { panic!("README.md has {} blocks of Python", blocks.len()) };
        block
    }

    fn blocks(&self, language: &str) -> Vec<&str> {
        let fenced = self.0.split("\n```").skip(1).step_by(2);
        fenced.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
    }
}

/// The commands of a block: its lines, a here-document with the line that begins it.
fn commands(block: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = block.lines();
    while let Some(line) = lines.next() {
        let mut command = line.to_owned();
        if let Some((_, mark)) = line.split_once("<<") {
            let mark = mark.trim_matches('\'');
            for line in lines.by_ref() {
                command = format!("{command}\n{line}");
                if line == mark {
                    break;
                }
            }
        }
        if !command.trim().is_empty() {
            commands.push(command);
        }
    }
    commands
}

fn promised_code(command: &str) -> i32 {
    let promised = command.split_once("# exit code ").map(|(_, code)| code);
    let digits = promised.map(|code| code.split(|c: char| !c.is_ascii_digit()).next().unwrap());
    digits.map_or(0, |code| code.parse().unwrap())
}

/// The record as the server shows it.
fn entry(node: &Node, server: &Server, index: u64) -> Value {
    let index = index.to_string();
    let shown = node.cli(Some(server), None, &["audit", "query", "--from", &index, "--limit", "1", "--format", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["entries"][0]["index"].to_string(), index, "{shown}");
    shown["entries"][0]["entry"].clone()
}

/// The text with one character of a line replaced, so that base64 stays base64 and a number one.
fn change_line(text: &str, line: usize) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = lines[line].len() * 3 / 4;
    let other = if lines[line].as_bytes()[at] == b'1' { "2" } else { "1" };
    lines[line].replace_range(at..=at, other);
    lines.join("\n") + if text.ends_with('\n') { "\n" } else { "" }
}

/// The file of a log that holds its entries.
fn segment(log: &Path) -> PathBuf {
    let files = crate::audit_log::files(&log.join("segments")).into_iter();
    let with_entry = |file: &PathBuf| fs::read(file).unwrap().windows(URL_PATH.len()).any(|window| window == URL_PATH);
    files.into_iter().find(with_entry).expect("no segment with the entry")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}
