//! The audit log as it lies on disk, read without the product's help: segments and entry bundles.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::node::{Node, Server};

/// Bytes before the first frame of a segment, and before the payload of a frame.
const SEGMENT_HEAD: usize = 64;
const FRAME_HEAD: usize = 9;
const ENTRY: u8 = 1;

/// Records by their id. A record that is there twice (legal after a crash) must be there with the same content.
pub type Records = BTreeMap<String, Value>;

/// Every whole record with this text in it that the files of a log hold at this moment, synced or not.
pub fn on_disk(dir: &Path, text: &str) -> Records {
    let mut records = Records::new();
    for file in files(dir) {
        let Ok(bytes) = fs::read(&file) else { continue };
        let name = file.strip_prefix(dir).unwrap().to_str().unwrap();
        let entries = if name.starts_with("segments/") && name.ends_with(".seg") {
            segment(&bytes)
        } else if name.starts_with("tile/entries/") {
            bundle(&bytes)
        } else {
            continue;
        };
        for entry in entries {
            // The envelope of a new signing key stands before the record that it is about.
            let Some(record) = record_text(entry) else {
                continue;
            };
            if !record.contains(text) {
                continue;
            }
            let Ok(record) = serde_json::from_str::<Value>(record) else { continue };
            let id = record["id"].as_str().unwrap().to_owned();
            let before = records.insert(id, record.clone());
            assert!(before.is_none_or(|before| before == record), "two records with one id: {record}");
        }
    }
    records
}

/// Every file below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // A file may go away while we look.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(_) => found.push(entry.path()),
            Err(_) => {}
        }
    }
    found
}

/// The user agent of a record's request.
pub fn agent(record: &Value) -> Option<&str> {
    record["src"]["ua"].as_str()
}

/// Stops the server and verifies its log and its store with the public key alone: nothing may be wrong, nothing open.
pub fn stop_and_verify(node: &Node, server: Server, token: &str) {
    let vkey = vkey(&server, token);
    server.stop();
    let dir = node.audit_dir();
    let verify = |more: &[&str]| {
        let arguments = [&["audit", "verify", dir.to_str().unwrap(), "--vkey", &vkey], more].concat();
        let verified = node.cli(None, None, &arguments);
        let said = [verified.stdout, verified.stderr].concat();
        assert!(verified.status.success(), "{more:?}: {}: {}", verified.status, String::from_utf8_lossy(&said));
    };
    verify(&[]);
    verify(&["--store", &node.storage()]);
}

/// The first key of the log of the server that is active.
pub fn vkey(server: &Server, token: &str) -> String {
    let checkpoint = server.client().with_token(token).get("/api/v1/audit/checkpoint").unwrap().expect(200).json();
    checkpoint["vkey"].as_str().unwrap().to_owned()
}

/// Verifies the store of stopped nodes with the logs of these: the exit code, and what was said to stderr.
pub fn verify_store(node: &Node, logs: &[&Node], vkeys: &[&str]) -> (Option<i32>, String) {
    let (first, more) = logs.split_first().unwrap();
    let text = |node: &Node| node.audit_dir().to_str().unwrap().to_owned();
    let mut arguments = vec!["audit".to_owned(), "verify".to_owned(), text(first)];
    arguments.extend(["--store".to_owned(), node.storage()]);
    for log in more {
        arguments.extend(["--log".to_owned(), text(log)]);
    }
    for vkey in vkeys {
        arguments.extend(["--vkey".to_owned(), (*vkey).to_owned()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let verified = node.cli(None, None, &arguments);
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    println!("{}{said}", String::from_utf8_lossy(&verified.stdout));
    (verified.status.code(), said)
}

fn record_text(entry: &[u8]) -> Option<&str> {
    let start = entry.iter().position(|byte| *byte == b'{')?;
    std::str::from_utf8(&entry[start..]).ok()
}

fn segment(bytes: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    let mut rest = bytes.get(SEGMENT_HEAD..).unwrap_or_default();
    while let Some((head, after)) = rest.split_at_checked(FRAME_HEAD) {
        let length = usize::try_from(u32::from_be_bytes(head[..4].try_into().unwrap())).unwrap();
        let Some((payload, after)) = after.split_at_checked(length) else { break };
        if length == 0 {
            break;
        }
        if head[8] == ENTRY {
            entries.push(payload);
        }
        rest = after;
    }
    entries
}

fn bundle(bytes: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let Some((entry, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
        entries.push(entry);
        rest = after;
    }
    entries
}
