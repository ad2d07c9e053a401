//! A server whose key is split among people, by its commands: from the first shares to a key file and back.

use crate::server::{Said, Server};

const SHAMIR: &[&str] = &["--seal", "shamir"];

/// Runs a command that asks for a secret, and expects it to succeed.
fn give(server: &Server, args: &[&str], secret: &str) -> Said {
    let said = server.coffer_with_input(args, secret);
    assert_eq!(said.code, 0, "coffer {}: {said:?}", args.join(" "));
    said
}

/// The second column of a table of shares, whose first must be these.
fn column(table: &str, names: &[&str]) -> Vec<String> {
    let rows: Vec<(&str, &str)> = table.lines().map(|line| line.rsplit_once(' ').unwrap()).collect();
    assert_eq!(rows.iter().map(|(name, _)| name.trim_end()).collect::<Vec<_>>(), names, "{table}");
    rows.iter().map(|(_, value)| (*value).to_owned()).collect()
}

fn log_in(server: &Server, token: &str) {
    give(server, &["login"], token);
}

fn state(server: &Server) -> String {
    let status = server.coffer(&["status"]).stdout;
    status.lines().next().unwrap().split_whitespace().last().unwrap().to_owned()
}

/// A server of two shares of three, unsealed; its shares and root token.
fn initialised() -> (Server, Vec<String>, String) {
    let server = Server::start(SHAMIR);
    let said = server.coffer(&["operator", "init", "--shares", "3", "--threshold", "2"]);
    assert_eq!(said.code, 0, "{said:?}");
    let notes = "these are not shown again: give each share to another holder. Any 2 of the 3 unseal\n\
                 the server is sealed; holders run 'coffer operator unseal'\n";
    assert_eq!(said.stderr, notes);
    let mut shares = column(&said.stdout, &["share 1", "share 2", "share 3", "root token"]);
    let root = shares.pop().unwrap();
    unseal(&server, &shares[..2]);
    (server, shares, root)
}

fn unseal(server: &Server, shares: &[String]) {
    assert_eq!(state(server), "sealed");
    let last = shares.len() - 1;
    for (index, share) in shares.iter().enumerate() {
        let said = give(server, &["operator", "unseal"], share);
        let told = match index == last {
            true => "unsealed\n".to_owned(),
            false => format!("sealed: {} of the {} shares needed were given\n", index + 1, shares.len()),
        };
        assert_eq!((said.stdout.as_str(), said.stderr), ("", told));
    }
    assert_eq!(state(server), "active");
}

#[test]
fn shares_of_an_empty_store_unseal_it_and_each_one_counts_once() {
    let (mut server, shares, root) = initialised();
    log_in(&server, &root);
    server.stdout(&["secrets", "set", "A=one", "-p", "acme"]);
    let again = server.coffer(&["operator", "init"]);
    assert_eq!((again.code, again.stderr.as_str()), (1, "error: Vault is already initialized\n"));

    server.stop();
    server.start_again_with(SHAMIR);
    for already in ["", "this share was among those given already; "] {
        let said = give(&server, &["operator", "unseal"], &shares[0]);
        assert_eq!(said.stderr, format!("sealed: {already}1 of the 2 shares needed were given\n"));
    }
    give(&server, &["operator", "unseal", "--reset"], "");
    let wrong = server.coffer_with_input(&["operator", "unseal"], "not a share");
    assert!(wrong.code == 1 && wrong.stderr.starts_with("error: "), "{wrong:?}");
    unseal(&server, &shares[1..]);
    assert_eq!(server.stdout(&["secrets", "get", "A", "-p", "acme"]), "one");
}

#[test]
fn rekey_counts_once_the_new_shares_came_back() {
    let (mut server, shares, root) = initialised();
    log_in(&server, &root);
    let started = server.coffer(&["operator", "rekey", "start", "--shares", "2", "--threshold", "2"]);
    assert_eq!((started.code, started.stderr.as_str()), (0, "0 of the 2 shares needed were given\n"));
    give(&server, &["operator", "rekey", "share"], &shares[0]);
    let early = server.coffer_with_input(&["operator", "rekey", "verify"], "00");
    assert!(early.code == 1 && early.stderr.contains("the new shares are not made yet"), "{early:?}");
    let said = give(&server, &["operator", "rekey", "share"], &shares[2]);
    let new = column(&said.stdout, &["share 1", "share 2"]);
    assert!(said.stderr.contains("count only once holders ran 'coffer operator rekey verify'"), "{said:?}");

    // Until they are back, the old ones unseal.
    server.stop();
    server.start_again_with(SHAMIR);
    unseal(&server, &shares[..2]);

    server.stdout(&["operator", "rekey", "start", "--shares", "2", "--threshold", "2"]);
    give(&server, &["operator", "rekey", "share"], &shares[0]);
    let lost = new;
    let new = column(&give(&server, &["operator", "rekey", "share"], &shares[1]).stdout, &["share 1", "share 2"]);
    assert_ne!(new, lost);
    let said = give(&server, &["operator", "rekey", "verify"], &new[0]);
    assert_eq!(said.stderr, "1 of the 2 new shares needed came back\n");
    let said = give(&server, &["operator", "rekey", "verify"], &new[1]);
    assert_eq!(said.stderr, "the new shares count from now on, and the old ones unseal nothing\n");
    let status = server.coffer(&["operator", "rekey", "status"]);
    assert_eq!((status.code, status.stderr.as_str()), (0, "no rekey is under way\n"));

    server.stop();
    server.start_again_with(SHAMIR);
    give(&server, &["operator", "unseal"], &shares[0]);
    let old = server.coffer_with_input(&["operator", "unseal"], &shares[1]);
    assert_eq!((old.code, state(&server).as_str()), (1, "sealed"), "{old:?}");
    unseal(&server, &new);
}

#[test]
fn root_token_is_made_by_shares_and_comes_from_under_its_pad() {
    let (server, shares, root) = initialised();
    log_in(&server, &root);
    let pad = server.stdout(&["operator", "generate-root", "start"]);
    let said = give(&server, &["operator", "generate-root", "share"], &shares[2]);
    assert_eq!(said.stderr, "1 of the 2 shares needed were given\n");
    let encoded = give(&server, &["operator", "generate-root", "share"], &shares[0]).stdout;
    assert!(!encoded.contains("hvs."), "it comes under a pad");
    let decode = |pad: &str| server.coffer_with_input(&["operator", "generate-root", "decode", encoded.trim()], pad);
    let wrong = decode(&"0".repeat(28));
    assert_eq!((wrong.code, wrong.stderr.as_str()), (1, "error: this token was not under that pad\n"));
    let token = decode(pad.trim()).stdout;
    assert_ne!(token.trim(), root);
    log_in(&server, token.trim());
    let who = server.stdout(&["whoami"]);
    assert!(who.contains("root"), "{who}");
    let over = server.coffer_with_input(&["operator", "generate-root", "share"], &shares[0]);
    assert!(over.code == 1 && over.stderr.contains("no attempt at a root token is under way"), "{over:?}");
}

#[test]
fn seal_is_led_to_a_key_file_and_back_to_shares() {
    let (mut server, shares, root) = initialised();
    log_in(&server, &root);
    server.stdout(&["secrets", "set", "A=one", "-p", "acme"]);
    let few = server.coffer_with_input(&["operator", "seal-migrate", "file"], &shares[0]);
    assert_eq!(few.code, 1, "{few:?}");
    let given = shares[1..].join("\n");
    let path = give(&server, &["operator", "seal-migrate", "file"], &given).stdout;
    assert!(std::path::Path::new(path.trim()).is_file(), "{path}");
    server.stop();
    server.start_again();
    assert_eq!(
        (state(&server).as_str(), server.stdout(&["secrets", "get", "A", "-p", "acme"]).as_str()),
        ("active", "one")
    );

    let said = give(&server, &["operator", "seal-migrate", "shamir", "--shares", "3", "--threshold", "2"], "");
    let new = column(&said.stdout, &["share 1", "share 2", "share 3"]);
    server.stop();
    server.start_again_with(SHAMIR);
    unseal(&server, &new[..2]);
    assert_eq!(server.stdout(&["secrets", "get", "A", "-p", "acme"]), "one");
    server.stop();
    server.start_again_with(SHAMIR);
    unseal(&server, &new[1..]);
}
