//! The unix socket as another user of the machine sees it who reaches it all the same: it opens nothing that is for the
//! server's own user.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    thread,
};

use rustix::{process::Uid, thread::set_thread_uid};

use crate::{
    audit_log,
    node::{Engine, Node},
};

/// Nobody in particular.
const OTHER: u32 = 65_534;

#[test]
fn other_user_at_the_socket_is_refused_and_recorded_as_anybody_on_the_network() {
    let node = Node::new(Engine::Sqlite);
    let server = node.start();
    let token = node.login(&server);
    let socket = node.data().join("coffer.sock");
    for (path, mode) in [(node.home(), 0o755), (node.data(), 0o755), (&socket, 0o666)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let initial = node.data().join("initial-token");
    assert!(!initial.exists(), "the first one was exchanged");

    for operation in ["initial-token", "unseal", "clock-accept", "seal-migrate"] {
        assert_eq!(asks_as(Some(OTHER), &socket, operation, None), 403, "{operation}");
    }
    assert!(matches!(asks_as(Some(OTHER), &socket, "seal", None), 401 | 403));
    assert!(!initial.exists(), "another user got an initial token");
    let records = audit_log::on_disk(&node.audit_dir(), "system.local");
    assert_eq!(records.len(), 4, "{records:?}");
    for record in records.values() {
        assert_eq!((&record["out"], &record["actor"]["type"]), (&"denied".into(), &"anonymous".into()), "{record}");
    }

    // The same request of the server's own user.
    assert_eq!(asks_as(None, &socket, "initial-token", None), 200);
    assert!(initial.exists());
    // A token counts wherever it comes from.
    assert_eq!(asks_as(Some(OTHER), &socket, "seal", Some(&token)), 204);
    server.wait_for_state("sealed", crate::wait::PATIENCE);
    assert_eq!(asks_as(Some(OTHER), &socket, "unseal", None), 403);
    assert_eq!(asks_as(None, &socket, "unseal", None), 204);
    server.stop();
}

/// The status that a user gets over the socket; `None` is the server's own.
fn asks_as(user: Option<u32>, socket: &Path, operation: &str, token: Option<&str>) -> u16 {
    let ask = || {
        if let Some(user) = user {
            // A thread has users of its own, and this one ends with the request.
            let became = set_thread_uid(Uid::from_raw(user));
            became.expect("this test becomes another user, for which it must run as root");
        }
        let mut stream = UnixStream::connect(socket).unwrap();
        let token = token.map(|token| format!("X-Vault-Token: {token}\r\n")).unwrap_or_default();
        let head = format!("POST /api/v1/operator/{operation} HTTP/1.1\r\nHost: localhost\r\n{token}");
        stream.write_all(format!("{head}Connection: close\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    };
    thread::scope(|scope| scope.spawn(ask).join().unwrap())
}
