//! Retiring the key under which the caller's own token stood: with a new token, and what is then left of the old one.

use crate::server::{Said, Server};

/// As [`Server::coffer`], with this token.
fn with_token(server: &Server, token: &str, args: &[&str]) -> Said {
    std::fs::write(server.home().join("token"), token).unwrap();
    std::fs::set_permissions(server.home().join("token"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let named = [args, &["--token-file", "token"]].concat();
    server.coffer(&named)
}

#[test]
fn old_administrator_is_out_once_the_new_one_has_retired_the_key() {
    let mut server = Server::start(&[]);
    server.stdout(&["login", "--initial"]);
    server.stdout(&["operator", "rotate", "--key", "token"]);
    let new = server.stdout(&["token", "create", "--policy", "administrator", "--orphan"]);
    assert_eq!(server.coffer(&["operator", "retire", "token", "--yes"]).code, 1, "its own token would end");
    let said = with_token(&server, &new, &["operator", "retire", "token", "--yes"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, "token key 1 is removed, 2 remains\n"));

    let check = |server: &Server| {
        assert_eq!(server.coffer(&["whoami"]).code, 4);
        let said = with_token(server, &new, &["operator", "keys"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stdout.ends_with("token  2       current  1\ntoken  1       retired  1\n"), "{said:?}");
    };
    check(&server);
    server.stop();
    server.start_again();
    check(&server);
}
