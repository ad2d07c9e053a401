//! The scrub of a running server: what was altered behind its back raises a figure and is said aloud.

use std::{fs, os::unix::fs::FileExt};

use crate::{
    audit_log,
    node::{Engine, Node},
    wait::{PATIENCE, until},
};

/// In the first entry of a segment: its head, the frame's head, some of the payload.
const INSIDE_THE_FIRST_ENTRY: u64 = 64 + 9 + 20;

#[test]
fn altered_log_of_a_running_server_is_found_and_said() {
    let node = Node::new(Engine::Sqlite);
    let server = node.prepare().env("COFFER_AUDIT_SCRUB_EVERY_SECONDS", "1").start();
    let token = node.login(&server);
    let rounds = || server.metric("coffer_scrub_rounds_total").unwrap();
    until("a round", PATIENCE, || (rounds() >= 1.0).then_some(()));
    assert_eq!(server.metric("coffer_scrub_findings"), Some(0.0));
    assert!(!server.log().contains("changed from outside"));

    let files = audit_log::files(&node.audit_dir().join("segments"));
    let segment = fs::File::options().read(true).write(true).open(files.iter().min().unwrap()).unwrap();
    let mut byte = [0];
    segment.read_exact_at(&mut byte, INSIDE_THE_FIRST_ENTRY).unwrap();
    segment.write_all_at(&[byte[0] ^ 1], INSIDE_THE_FIRST_ENTRY).unwrap();
    until("the finding", PATIENCE, || (server.metric("coffer_scrub_findings")? >= 1.0).then_some(()));
    until("the line", PATIENCE, || server.log().contains("changed from outside").then_some(()));
    // It goes on serving.
    server.client().with_token(&token).get("/v1/auth/token/lookup-self").unwrap().expect(200);
}
