//! Login with user name and password, and what the policies of the user then allow.

use crate::server::Server;

fn with_user() -> Server {
    let server = Server::dev();
    server.vault("sys/auth/userpass", r#"{"type":"userpass"}"#);
    let read = r#"path \"secret/data/acme/prod/*\" { capabilities = [\"read\"] }"#;
    let list = r#"path \"secret/metadata/acme/*\" { capabilities = [\"list\"] }"#;
    server.vault("sys/policies/acl/reader", &format!(r#"{{"policy":"{read} {list}"}}"#));
    server.vault("auth/userpass/users/ann", r#"{"password":"canary-password","token_policies":["reader"]}"#);
    server.vault("secret/data/acme/prod/A", r#"{"data":{"value":"x"}}"#);
    server.vault("secret/data/acme/B", r#"{"data":{"value":"y"}}"#);
    server
}

const LOGIN: [&str; 5] = ["login", "--method", "userpass", "--username", "ann"];

#[test]
fn password_from_stdin_logs_in_and_the_policy_decides() {
    let server = with_user();
    let said = server.coffer_with_input(&LOGIN, "canary-password\n");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("with policies default, reader; token in"), "{said:?}");
    assert_eq!(server.stdout(&["secrets", "get", "A", "--scope", "acme:prod"]), "x");

    let denied = server.coffer(&["secrets", "get", "B", "--scope", "acme"]);
    assert_eq!(denied.code, 4);
    assert!(denied.stderr.contains("secret/data/acme/B") && denied.stderr.contains("read"), "{denied:?}");
    assert_eq!(server.coffer(&["secrets", "set", "A=z", "--scope", "acme:prod"]).code, 4);

    let run = server.coffer(&["run", "--scope", "acme:prod", "--", "sh", "-c", "echo never"]);
    assert_eq!((run.code, run.stdout.as_str()), (4, ""), "B is hidden: {run:?}");
    let run = server.coffer(&["run", "--scope", "acme:prod", "--allow-hidden", "--", "sh", "-c", "echo $A${B-none}"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "xnone\n"), "{run:?}");
}

#[test]
fn wrong_password_is_refused_and_leaves_no_token() {
    let server = with_user();
    for password in ["wrong\n", "canary-password \n"] {
        let said = server.coffer_with_input(&LOGIN, password);
        assert_eq!(said.code, 4, "{said:?}");
        assert!(!format!("{said:?}").contains("canary"), "{said:?}");
    }
    assert!(!server.home().join(".config").exists());
}

#[test]
fn token_not_kept_is_printed_alone() {
    let server = with_user();
    let login: Vec<&str> = LOGIN.iter().copied().chain(["--no-store"]).collect();
    let said = server.coffer_with_input(&login, "canary-password");
    assert_eq!((said.code, said.stdout.lines().count()), (0, 1), "{said:?}");
    assert!(!server.home().join(".config").exists());
}
