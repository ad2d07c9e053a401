//! A disk that fills up: first changes are refused, then reads too, while what protects goes on; and when there is
//! space again, everything does, without a restart.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    audit_log::{self, agent},
    http::Client,
    node::{Node, Server},
    wait::{PATIENCE, until},
};

const MIB: u64 = 1 << 20;
/// Two segments and the reserve of the log are 80 MiB.
const SIZE: u64 = 192 * MIB;
const FOR_CHANGES: u64 = 60 * MIB;
const FOR_READS: u64 = 30 * MIB;

#[test]
fn nearly_full_disk_refuses_changes_then_reads_and_recovers_without_a_restart() {
    let disk = SmallDisk::mount();
    let node = Node::at(&disk.path.join("data"));
    let (server, token) = start(&node, FOR_CHANGES, FOR_READS, &[]);
    let mut client = server.client().with_token(&token);
    make_key(&mut client);
    let revoked_later = token_of(&mut client);
    let revoked_last = token_of(&mut client);
    put(&mut client, "kept", "v1").expect(200);

    // Below the first mark.
    disk.leave(FOR_CHANGES - 10 * MIB);
    let refused = until("changes to be refused", PATIENCE, || {
        let answer = put(&mut client, "filler", "v");
        (!answer.is_success()).then_some(answer)
    });
    let text = String::from_utf8(refused.expect(503).body).unwrap();
    assert!(text.contains("disk"), "{text}");
    client.set_agent("refused-change");
    put(&mut client, "refused", "v").expect(503);
    let records = audit_log::on_disk(&node.audit_dir(), "refused-change");
    assert!(records.values().any(|record| record["out"] == "error"), "answered without a record");
    let native = client.send("PUT", "/api/v1/secrets/acme/REFUSED", Some(&json!({ "value": "v" }))).unwrap();
    assert_eq!(native.expect(507).json()["code"], "disk_full");
    client.post("/v1/auth/token/create", &json!({ "policies": ["default"] })).unwrap().expect(503);
    client.get("/v1/secret/data/kept").unwrap().expect(200);
    let audited = client.get("/api/v1/audit/entries?limit=1").unwrap().expect(200).json();
    assert!(audited["size"].as_u64().unwrap() > 5);

    // Below the second mark.
    disk.leave(FOR_READS - 10 * MIB);
    let refused = until("reads to be refused", PATIENCE, || {
        let answer = client.get("/v1/secret/data/kept").unwrap();
        (!answer.is_success()).then_some(answer)
    });
    let text = String::from_utf8(refused.expect(503).body).unwrap();
    assert!(text.contains("disk"), "{text}");
    put(&mut client, "refused", "v").expect(503);
    client.get("/v1/sys/health").unwrap().expect(200);
    client.get("/metrics").unwrap().expect(200);

    // Somebody else takes nearly all that is left, and what protects goes on, and is on record.
    disk.leave(MIB);
    assert!(disk.left() <= MIB);
    client.set_agent("essential-revoke");
    client.post("/v1/auth/token/revoke", &json!({ "token": revoked_later })).unwrap().expect(204);
    assert_recorded(&node, "essential-revoke");
    seal_and_unseal(&node, &server);

    // And when the last byte is gone: the store has space of its own for this, as the log has.
    disk.leave(0);
    assert_eq!(disk.left(), 0);
    client.set_agent("revoke-without-space");
    client.post("/v1/auth/token/revoke", &json!({ "token": revoked_last })).unwrap().expect(204);
    assert_recorded(&node, "revoke-without-space");
    client.set_agent("suspend-without-space");
    client.post("/api/v1/keys/k/suspend", &json!({})).unwrap().expect(200);
    assert_recorded(&node, "suspend-without-space");
    let sealed = node.cli(None, None, &["operator", "seal", "--local"]);
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));

    // There is space again: no restart.
    disk.free();
    let unsealed = node.cli(None, None, &["operator", "unseal", "--local"]);
    assert!(unsealed.status.success(), "{}", String::from_utf8_lossy(&unsealed.stderr));
    until("recovery", PATIENCE, || put(&mut client, "kept", "v2").is_success().then_some(()));
    assert_eq!(read(&mut client, "kept")["version"], 2);
    client.get("/v1/secret/data/refused").unwrap().expect(404);
    for revoked in [&revoked_later, &revoked_last] {
        let status = client.another().with_token(revoked).get("/v1/auth/token/lookup-self").unwrap().status;
        assert_eq!(status, 403);
    }
    audit_log::stop_and_verify(&node, server, &token);
}

#[test]
fn disk_without_a_byte_left_fails_requests_clearly_and_recovers_without_a_restart() {
    let disk = SmallDisk::mount();
    let node = Node::at(&disk.path.join("data"));
    // No marks: the store and the log run into the wall themselves.
    let (server, token) = start(&node, 0, 0, &[]);
    let mut client = server.client().with_token(&token);
    put(&mut client, "kept", "v1").expect(200);
    disk.leave(0);

    // Each write has room of its own to find, until there is none.
    let mut acknowledged = Vec::new();
    let large = "x".repeat(500_000);
    for i in 0.. {
        let name = format!("n{i}");
        let answer = put(&mut client, &name, &large);
        if answer.is_success() {
            acknowledged.push(name);
            continue;
        }
        let text = String::from_utf8(answer.expect(503).body).unwrap();
        assert!(text.contains("disk") || text.contains("audit"), "{text}");
        println!("refused: {text}");
        assert!(!text.contains(&large), "the value is in the error");
        break;
    }
    client.get("/v1/sys/health").unwrap().expect(200);
    let sealed = node.cli(None, None, &["operator", "seal", "--local"]);
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    disk.free();
    let unsealed = node.cli(None, None, &["operator", "unseal", "--local"]);
    assert!(unsealed.status.success(), "{}", String::from_utf8_lossy(&unsealed.stderr));
    until("recovery", PATIENCE, || put(&mut client, "kept", "v2").is_success().then_some(()));
    for name in &acknowledged {
        client.get(&format!("/v1/secret/data/{name}")).unwrap().expect(200);
    }
    audit_log::stop_and_verify(&node, server, &token);
}

#[test]
fn log_without_a_byte_left_takes_what_protects_when_it_refused_a_read() {
    revoke_suspend_and_seal_with_a_full_log("synced");
}

#[test]
fn log_without_a_byte_left_takes_what_protects_where_reads_wait_for_no_sync() {
    revoke_suspend_and_seal_with_a_full_log("written");
}

fn revoke_suspend_and_seal_with_a_full_log(read_durability: &str) {
    let disk = SmallDisk::mount();
    let node = Node::at(&disk.path.join("data"));
    // No marks, so that it is the log itself that meets the end of the disk.
    let (server, token) = start(&node, 0, 0, &["--audit-read-durability", read_durability]);
    let mut client = server.client().with_token(&token);
    make_key(&mut client);
    let revoked = token_of(&mut client);
    put(&mut client, "kept", "v1").expect(200);
    disk.leave(0);

    // Records of reads fill what the log has made ahead, those of refused ones as well.
    let long = format!("/v1/secret/data/{}x", "x/".repeat(900));
    let refused = (0..20_000).map(|_| client.get(&long).unwrap()).find(|answer| answer.status != 400);
    let text = String::from_utf8(refused.expect("the log took everything").expect(503).body).unwrap();
    // Whichever is first, the log or the look at the disk.
    assert!(text.contains("audit log") || text.contains("the disk is full"), "{text}");
    client.get("/v1/secret/data/kept").unwrap().expect(503);
    put(&mut client, "kept", "v2").expect(503);

    client.set_agent("revoke-with-a-full-log");
    client.post("/v1/auth/token/revoke", &json!({ "token": revoked })).unwrap().expect(204);
    assert_recorded(&node, "revoke-with-a-full-log");
    client.set_agent("suspend-with-a-full-log");
    client.post("/api/v1/keys/k/suspend", &json!({})).unwrap().expect(200);
    assert_recorded(&node, "suspend-with-a-full-log");
    client.set_agent("seal-with-a-full-log");
    client.send("PUT", "/v1/sys/seal", None).unwrap().expect(204);
    server.wait_for_state("sealed", PATIENCE);
    assert_recorded(&node, "seal-with-a-full-log");

    disk.free();
    let unsealed = node.cli(None, None, &["operator", "unseal", "--local"]);
    assert!(unsealed.status.success(), "{}", String::from_utf8_lossy(&unsealed.stderr));
    until("recovery", PATIENCE, || put(&mut client, "kept", "v2").is_success().then_some(()));
    let status = client.another().with_token(&revoked).get("/v1/auth/token/lookup-self").unwrap().status;
    assert_eq!(status, 403);
    let key = client.get("/api/v1/keys/k").unwrap().expect(200).json();
    assert_eq!(key["versions"][0]["state"], "suspended", "{key}");
    audit_log::stop_and_verify(&node, server, &token);
}

/// A filesystem in memory; gone with the value.
struct SmallDisk {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        fs::create_dir(&path).unwrap();
        let options = format!("size={SIZE},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "coffer-proof"]).arg(&path).output();
        let mounted = mounted.unwrap();
        let said = String::from_utf8_lossy(&mounted.stderr).into_owned();
        assert!(mounted.status.success(), "this test mounts a small filesystem, for which it must run as root: {said}");
        Self { path, _dir: dir }
    }

    /// Fills it up to so many free bytes.
    fn leave(&self, bytes: u64) {
        let ballast = self.path.join("ballast");
        let mut file = File::options().append(true).create(true).open(&ballast).unwrap();
        let block = vec![0xa5; 1 << 16];
        loop {
            let left = self.left().saturating_sub(bytes);
            if left == 0 {
                return;
            }
            let most = usize::try_from(left).unwrap().min(block.len());
            if file.write_all(&block[..most]).is_err() {
                return;
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.path.join("ballast")).unwrap();
    }

    fn left(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.path).unwrap();
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The server may still be on it; the mount goes when it does.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

fn start(node: &Node, for_changes: u64, for_reads: u64, more: &[&str]) -> (Server, String) {
    let percent = |bytes: u64| if bytes == 0 { "0" } else { "50" };
    let arguments = [
        "--min-free-percent-changes",
        percent(for_changes),
        "--min-free-bytes-changes",
        &for_changes.to_string(),
        "--min-free-percent-reads",
        percent(for_reads),
        "--min-free-bytes-reads",
        &for_reads.to_string(),
    ];
    let server = node.prepare().args(&arguments).args(more).start();
    let token = node.login(&server);
    (server, token)
}

fn put(client: &mut Client, name: &str, value: &str) -> crate::http::Answer {
    client.post(&format!("/v1/secret/data/{name}"), &json!({ "data": { "value": value } })).unwrap()
}

/// The metadata of a key's current version.
fn read(client: &mut Client, name: &str) -> Value {
    client.get(&format!("/v1/secret/data/{name}")).unwrap().expect(200).json()["data"]["metadata"].clone()
}

fn token_of(client: &mut Client) -> String {
    let granted = client.post("/v1/auth/token/create", &json!({ "policies": ["default"] })).unwrap().expect(200);
    granted.json()["auth"]["client_token"].as_str().unwrap().to_owned()
}

/// A key `k` that signs.
fn make_key(client: &mut Client) {
    client.post("/v1/sys/mounts/transit", &json!({ "type": "transit" })).unwrap().expect(204);
    client.post("/v1/transit/keys/k", &json!({ "type": "ed25519" })).unwrap().expect(200);
}

fn seal_and_unseal(node: &Node, server: &Server) {
    let sealed = node.cli(None, None, &["operator", "seal", "--local"]);
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    server.wait_for_state("sealed", PATIENCE);
    assert!(audit_log::on_disk(&node.audit_dir(), "system.seal").values().any(|it| it["out"] == "success"));
    let unsealed = node.cli(None, None, &["operator", "unseal", "--local"]);
    assert!(unsealed.status.success(), "{}", String::from_utf8_lossy(&unsealed.stderr));
    server.wait_for_state("active", PATIENCE);
}

fn assert_recorded(node: &Node, wanted: &str) {
    let records = audit_log::on_disk(&node.audit_dir(), wanted);
    assert!(records.values().any(|it| agent(it) == Some(wanted) && it["out"] == "success"), "{records:?}");
}
