//! A server with its data on disk: the first five minutes, sealing, and the offline checks of what it leaves behind.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::server::{Said, Server};

/// A server whose administrator has logged in, with one secret.
fn started() -> Server {
    let server = Server::start(&[]);
    server.stdout(&["login", "--initial"]);
    server.stdout(&["secrets", "set", "A=one", "-p", "acme"]);
    server
}

fn vkey(server: &Server) -> String {
    let checkpoint: Value = serde_json::from_str(&server.stdout(&["audit", "checkpoint", "--format", "json"])).unwrap();
    checkpoint["vkey"].as_str().unwrap().to_owned()
}

/// A copy of the log, as an auditor takes it away.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn segment(log: &Path) -> PathBuf {
    let mut segments: Vec<PathBuf> = fs::read_dir(log.join("segments"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    segments.sort();
    segments.remove(0)
}

#[test]
fn first_login_leaves_a_private_token_and_no_initial_one() {
    let server = Server::start(&[]);
    let initial = server.home().join("data/initial-token");
    assert_eq!(fs::metadata(&initial).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&initial).unwrap();
    let said = server.coffer(&["login", "--initial"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    assert!(said.stderr.starts_with("logged in for 30d with policies administrator"), "{said:?}");

    let token = server.home().join(".config/coffer/token");
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(fs::read_to_string(&token).unwrap().trim(), kept.trim());

    fs::write(&initial, kept).unwrap();
    assert_eq!(server.coffer(&["login", "--initial"]).code, 4, "it works once");
    assert_eq!(server.coffer(&["whoami"]).code, 0, "a failed login leaves the old token in place");

    let path = server.stdout(&["operator", "initial-token", "--local"]);
    assert_eq!(path.trim(), initial.to_str().unwrap());
    server.stdout(&["login", "--initial"]);
}

#[test]
fn recovery_puts_the_administrators_policy_back_and_says_so() {
    let server = started();
    fs::write(server.home().join("deny.hcl"), "path \"*\" { capabilities = [\"deny\"] }").unwrap();
    server.stdout(&["policy", "write", "administrator", "deny.hcl"]);
    assert_eq!(server.coffer(&["secrets", "get", "A", "-p", "acme"]).code, 4);
    let restored = "the policy administrator was gone or changed: it is the built-in text again";
    let said = server.coffer(&["operator", "initial-token", "--local"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains(restored), "{said:?}");
    server.stdout(&["login", "--initial"]);
    assert_eq!(server.stdout(&["secrets", "get", "A", "-p", "acme"]), "one");
    let said = server.coffer(&["operator", "initial-token", "--local"]);
    assert!(!said.stderr.contains(restored), "once: {said:?}");
}

#[test]
fn sealed_server_answers_7_until_it_is_unsealed() {
    let server = started();
    server.stdout(&["operator", "seal"]);
    assert_eq!(server.coffer(&["secrets", "get", "A", "-p", "acme"]).code, 7);
    assert_eq!(server.coffer(&["run", "-p", "acme", "--", "true"]).code, 7);
    let status = server.coffer(&["status"]);
    assert_eq!(status.code, 7);
    assert!(status.stdout.starts_with("state           sealed\n"), "{status:?}");
    assert_eq!(server.coffer(&["health"]).code, 0);
    server.stdout(&["operator", "unseal", "--local"]);
    assert_eq!(server.stdout(&["secrets", "get", "A", "-p", "acme"]), "one");
    server.stdout(&["operator", "seal", "--local"]);
    server.stdout(&["operator", "unseal", "--local"]);
    server.stdout(&["operator", "clock-accept", "--local"]);
    for key in ["barrier", "audit", "batch", "log", "token"] {
        server.stdout(&["operator", "rotate", "--key", key]);
        assert_eq!(server.stdout(&["secrets", "get", "A", "-p", "acme"]), "one", "{key}");
    }
}

#[test]
fn untouched_log_and_store_verify_and_an_unvouched_key_is_inconclusive() {
    let mut server = started();
    let key = vkey(&server);
    fs::write(server.home().join("kept"), server.stdout(&["audit", "checkpoint"])).unwrap();
    server.stdout(&["operator", "rotate", "--key", "log"]);
    server.stdout(&["secrets", "set", "A=two", "-p", "acme"]);
    server.stop();
    let store = format!("sqlite:{}", server.home().join("data/store.db").display());
    let verify = ["audit", "verify", "data/audit", "--vkey", &key, "--since", "kept", "--store", &store];
    let said = server.coffer(&verify);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    assert!(said.stdout.contains("store: "), "{said:?}");

    let said = server.coffer(&["audit", "verify", "data/audit"]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.stderr.starts_with("error: nothing is wrong, but nobody vouches for the key\n"), "{said:?}");
}

#[test]
fn altered_log_is_named_and_exits_8() {
    let mut server = started();
    let key = vkey(&server);
    fs::write(server.home().join("kept"), server.stdout(&["audit", "checkpoint"])).unwrap();
    server.stop();
    let log = server.home().join("data/audit");
    let verify =
        |server: &Server, dir: &str| server.coffer(&["audit", "verify", dir, "--vkey", &key, "--since", "kept"]);

    let altered = server.home().join("altered");
    copy(&log, &altered);
    let path = segment(&altered);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(12).position(|window| window == b"secret.write").unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let said = verify(&server, "altered");
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.stderr.starts_with("error: altered: entry "), "{said:?}");

    // A log that was made anew, or cut before the kept checkpoint, is found out by the checkpoint alone.
    let cut = server.home().join("cut");
    copy(&log, &cut);
    fs::remove_dir_all(cut.join("segments")).unwrap();
    fs::remove_dir_all(cut.join("tile")).unwrap();
    assert_eq!(verify(&server, "cut").code, 8);

    let said = verify(&server, "missing");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.starts_with("error: missing is not there") && said.stderr.contains("hint: "), "{said:?}");
    assert_eq!(server.coffer(&["audit", "verify", "data/audit", "--vkey", "nonsense"]).code, 1);
}

#[test]
fn altered_store_is_found_by_its_logs() {
    let mut server = started();
    let key = vkey(&server);
    let data = server.home().join("data");
    server.stop();
    copy(&data, &server.home().join("older"));
    let older = format!("sqlite:{}", server.home().join("older/store.db").display());
    let verify = |server: &Server, store: &str| -> Said {
        server.coffer(&["audit", "verify", "data/audit", "--vkey", &key, "--store", store])
    };
    assert_eq!(verify(&server, &older).code, 0);
    assert_eq!(verify(&server, "sqlite:/nowhere/store.db").code, 1);

    // The log goes on, the store is put back: what the log records since is missing there.
    server.start_again();
    server.stdout(&["secrets", "set", "B=new", "-p", "acme"]);
    server.stop();
    let said = verify(&server, &older);
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.stderr.starts_with("error: the store is not what its logs record"), "{said:?}");
}

#[test]
fn proof_holds_for_its_entry_and_key_alone() {
    let server = started();
    let key = vkey(&server);
    let query: Value = serde_json::from_str(&server.stdout(&[
        "audit",
        "query",
        "--action",
        "secret.write",
        "--path",
        "secret/data/acme/A",
        "--format",
        "json",
    ]))
    .unwrap();
    let index = query["entries"][0]["index"].to_string();
    let text = server.stdout(&["audit", "prove", &index]);
    fs::write(server.home().join("proof"), &text).unwrap();
    let verify = |file: &str, key: &str| server.coffer(&["audit", "verify", "--proof", file, "--vkey", key]);
    let said = verify("proof", &key);
    assert_eq!(said.code, 0, "{said:?}");
    let record: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(record["cls"], "secret.write");

    let mut proof: Value = serde_json::from_str(&text).unwrap();
    // Another entry of the same length: one base64 digit differs.
    let entry = proof["entry"].as_str().unwrap().to_owned();
    let other = if entry.as_bytes()[40] == b'A' { "B" } else { "A" };
    proof["entry"] = Value::String(format!("{}{other}{}", &entry[..40], &entry[41..]));
    fs::write(server.home().join("altered"), proof.to_string()).unwrap();
    assert_eq!(verify("altered", &key).code, 8);

    let stranger = Server::start(&[]);
    stranger.stdout(&["login", "--initial"]);
    assert_eq!(verify("proof", &vkey(&stranger)).code, 8);
    assert_eq!(server.coffer(&["audit", "verify", "--proof", "proof"]).code, 5);
    fs::write(server.home().join("nonsense"), "{}").unwrap();
    assert_eq!(verify("nonsense", &key).code, 1);
}

#[test]
fn tail_shows_the_newest_entries_alone() {
    let server = started();
    for _ in 0..5 {
        server.stdout(&["secrets", "get", "A", "-p", "acme"]);
    }
    let tail = server.stdout(&["audit", "tail", "-n", "5"]);
    let lines: Vec<&str> = tail.lines().collect();
    assert!(lines.len() <= 7 && !tail.contains("system.init"), "{tail}");
    assert!(lines.iter().filter(|line| line.contains("secret.read")).count() >= 3, "{tail}");
}

#[test]
fn tail_that_follows_prints_what_comes_and_not_its_own_looks() {
    let server = started();
    let mut child = server.spawn(&["audit", "tail", "-n", "1", "--follow"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().is_some(), "what is there already");
    server.stdout(&["secrets", "set", "LATER=x", "-p", "acme"]);
    let later = lines.by_ref().inspect(|line| assert!(!line.contains("audit.query"), "{line}"));
    assert!(later.take(20).any(|line| line.contains("secret/data/acme/LATER")));
    drop(lines);
    // The reader is gone: the next line to be printed ends the command as it ends any other.
    server.stdout(&["secrets", "set", "LATER=y", "-p", "acme"]);
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn logout_revokes_the_kept_token() {
    let server = started();
    let token = fs::read_to_string(server.home().join(".config/coffer/token")).unwrap();
    server.stdout(&["logout"]);
    assert!(!server.home().join(".config/coffer/token").exists());
    let kept = server.home().join("kept");
    fs::write(&kept, token).unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(server.coffer(&["whoami", "--token-file", "kept"]).code, 4);
    let said = server.coffer(&["logout", "--token-file", "kept"]);
    assert_eq!(said.code, 0, "a token that is no longer known counts as revoked: {said:?}");
    assert!(!kept.exists());
}
