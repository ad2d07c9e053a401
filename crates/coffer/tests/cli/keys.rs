//! Retiring the key under which the caller's own token stood: with a new token, and what is then left of the old one. Keys that
//! are deleted and recovered, by the id that is told.

use crate::server::Server;

#[test]
fn old_administrator_is_out_once_the_new_one_has_retired_the_key() {
    let mut server = Server::start(&[]);
    server.stdout(&["login", "--initial"]);
    server.stdout(&["operator", "rotate", "--key", "token"]);
    let new = server.stdout(&["token", "create", "--policy", "administrator", "--orphan"]);
    assert_eq!(server.coffer(&["operator", "retire", "token", "--yes"]).code, 1, "its own token would end");
    let said = server.coffer_as(&new, &["operator", "retire", "token", "--yes"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, "token key 1 is removed, 2 remains\n"));

    let check = |server: &Server| {
        assert_eq!(server.coffer(&["whoami"]).code, 4);
        let said = server.coffer_as(&new, &["operator", "keys"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stdout.ends_with("token  2       current  1\ntoken  1       retired  1\n"), "{said:?}");
    };
    check(&server);
    server.stop();
    server.start_again();
    check(&server);
}

#[test]
fn deleted_key_is_recovered_by_the_id_that_its_deletion_told() {
    let server = Server::start(&[]);
    server.stdout(&["login", "--initial"]);
    server.stdout(&["keys", "create", "cards"]);
    server.stdout(&["keys", "set", "cards", "--deletion-allowed", "true"]);
    let mut name = "cards";
    for (recovered, as_name) in [("cards", &[][..]), ("letters", &["--name", "letters"])] {
        let deleted = server.coffer(&["keys", "delete", name]);
        assert_eq!(deleted.code, 0, "{deleted:?}");
        let id = deleted.stderr.split_once("'coffer keys recover ").unwrap().1.split_once('\'').unwrap().0;
        assert_eq!(server.coffer(&["keys", "show", name]).code, 3);
        let said = server.coffer(&[&["keys", "recover", id], as_name].concat());
        let told = format!("recovered key {recovered}; roll it back or rotate it to use it\n");
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (0, "", told.as_str()));
        let shown = server.stdout(&["keys", "show", recovered]);
        assert!(shown.contains(id), "{id} is not the id of what came back: {shown}");
        name = recovered;
    }
    let said = server.coffer(&["keys", "rollback", "letters", "--version", "1"]);
    assert_eq!((said.code, said.stderr.as_str()), (0, "rolled back letters; version 1 is primary\n"));
    let unknown = server.coffer(&["keys", "recover", "00000000-0000-0000-0000-000000000000"]);
    assert_eq!(unknown.code, 3, "{unknown:?}");
}
