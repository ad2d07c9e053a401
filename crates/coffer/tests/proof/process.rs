//! The server's process as the system sees it: closed to a debugger of the same user, no core dump, and its seal key
//! where it was told to keep it.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::{
    node::{Engine, Node},
    wait::{PATIENCE, until},
};

#[test]
fn running_server_leaves_no_core_and_is_closed_to_its_own_user() {
    let node = Node::new(Engine::Sqlite);
    let is_root = rustix::process::geteuid().is_root();
    let prepared = if is_root { node.prepare_under(unprivileged()) } else { node.prepare() };
    let server = prepared.start();
    let pid = server.pid().as_raw_nonzero().get();

    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"], "soft and hard");

    // A program that closes nothing, under the same user with the same rights: it shows that the look itself works.
    let open = as_same_user(is_root, &["sleep", "600"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let open = KilledOnDrop(open.unwrap());
    let looks = |pid: u32, file: &str| {
        let path = format!("/proc/{pid}/{file}");
        as_same_user(is_root, &["head", "-c", "1", &path]).output().unwrap()
    };
    // `setpriv` becomes `sleep` only after a moment.
    until("a look into a process of the same user", PATIENCE, || {
        looks(open.0.id(), "environ").status.success().then_some(())
    });
    assert!(!looks(open.0.id(), "environ").stdout.is_empty());
    for file in ["environ", "maps", "auxv", "mem"] {
        let seen = looks(u32::try_from(pid).unwrap(), file);
        let said = String::from_utf8(seen.stderr).unwrap();
        assert!(!seen.status.success() && seen.stdout.is_empty(), "{file} can be read");
        assert!(said.contains("Permission denied") || said.contains("not permitted"), "{file}: {said}");
    }
    server.stop();
}

#[test]
fn server_whose_memory_cannot_be_locked_says_so_once_counts_it_and_goes_on() {
    let node = Node::new(Engine::Sqlite);
    let server = node.prepare_under(without_locked_memory()).start();
    let said = || server.log().matches("memory could not be locked").count();
    until("the warning", PATIENCE, || (said() > 0).then_some(()));
    let failures = server.metric("coffer_memory_lock_failures_total").unwrap();
    assert!(failures >= 1.0);

    // Each further key fails as well, and is not worth a line.
    let mut client = server.client().with_token(&node.login(&server));
    let value = json!({ "data": { "k": "v" } });
    client.post("/v1/secret/data/a", &value).unwrap().expect(200);
    client.send("PUT", "/v1/sys/rotate", None).unwrap().expect(204);
    let ticks = server.metric("coffer_store_commits_total").unwrap() + 3.0;
    until("housekeeping", PATIENCE, || (server.metric("coffer_store_commits_total")? >= ticks).then_some(()));
    assert!(server.metric("coffer_memory_lock_failures_total").unwrap() > failures);
    assert_eq!(said(), 1);
    client.get("/v1/secret/data/a").unwrap().expect(200);
    server.stop();
}

#[test]
fn key_that_cannot_be_locked_after_the_start_is_warned_of_then() {
    let node = Node::new(Engine::Sqlite);
    // Sealed, a server holds no key.
    let server = node.prepare_under(without_locked_memory()).args(&["--seal", "shamir"]).start_anyhow();
    let said = || server.log().matches("memory could not be locked").count();
    let before = said();
    let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
    let told = server.client().send("PUT", "/v1/sys/init", Some(&body)).unwrap().expect(200).json();
    let share = json!({ "key": told["keys"][0] });
    server.client().send("PUT", "/v1/sys/unseal", Some(&share)).unwrap().expect(200);
    server.wait_for_state("active", PATIENCE);
    until("the warning", PATIENCE, || (said() == 1).then_some(()));
    assert_eq!(before, 0, "there was nothing to lock before");
    server.stop();
}

/// Starts what follows so that it may lock no page, root or not.
fn without_locked_memory() -> Command {
    let mut command = match rustix::process::geteuid().is_root() {
        true => {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock", "prlimit"]);
            setpriv
        }
        false => Command::new("prlimit"),
    };
    command.arg("--memlock=0:0");
    command
}

#[test]
fn seal_key_elsewhere_is_made_there_and_needed_there() {
    let node = Node::new(Engine::Sqlite);
    let apart = node.home().join("apart");
    fs::create_dir(&apart).unwrap();
    fs::set_permissions(&apart, PermissionsExt::from_mode(0o700)).unwrap();
    let key = apart.join("other.key");
    let path = key.to_str().unwrap();

    let server = node.prepare().args(&["--seal-key-file", path]).start();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!is_there(&node.data().join("seal.key")), "a key in the data directory all the same");
    // The initial token lies beside the key, and nowhere else.
    let initial = apart.join("initial-token");
    assert!(!is_there(&node.data().join("initial-token")));
    let initial = ["login", "--initial", "--initial-token-file", initial.to_str().unwrap()];
    let run = |server: Option<&_>, arguments: &[&str]| {
        let done = node.cli(server, None, arguments);
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    run(Some(&server), &initial);
    run(Some(&server), &["secrets", "set", "A=one", "--project", "acme"]);
    run(None, &["operator", "seal", "--local"]);
    run(None, &["operator", "unseal", "--local"]);
    server.stop();

    // Without it there is no second key and no second beginning, and what is stored stays.
    let said = node.prepare().attempt().map(drop).unwrap_err();
    assert!(said.contains("error: ") && said.contains("seal.key"), "{said}");
    assert!(!is_there(&node.data().join("seal.key")), "a new key for a store that has one");

    // The variable says the same as the flag; the flag stands before it.
    let server = node.prepare().env("COFFER_SEAL_KEY_FILE", path).start();
    assert_eq!(run(Some(&server), &["secrets", "get", "A", "--project", "acme"]), b"one");
    server.stop();
    let wrong = apart.join("wrong.key");
    let prepared = node.prepare().env("COFFER_SEAL_KEY_FILE", wrong.to_str().unwrap());
    let server = prepared.args(&["--seal-key-file", path]).start();
    assert_eq!(run(Some(&server), &["secrets", "get", "A", "--project", "acme"]), b"one");
    server.stop();
    assert!(!is_there(&wrong));
}

/// A program under this user, without what lets root look into every process.
fn as_same_user(is_root: bool, program: &[&str]) -> Command {
    let mut command = if is_root { unprivileged() } else { Command::new("env") };
    command.args(program);
    command
}

/// Runs what follows as the same user, root, but without the capabilities that let root look into every process.
fn unprivileged() -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={WHAT_LOOKS}")).arg(format!("--inh-caps={WHAT_LOOKS}"));
    command
}

const WHAT_LOOKS: &str = "-sys_ptrace,-perfmon,-sys_admin";

struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display());
            false
        }
    }
}
