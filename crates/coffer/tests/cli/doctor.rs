//! `coffer doctor` against servers that are reached over TLS, sealed, or stand by.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use crate::{
    case::Reply,
    server::{Said, Server},
    stub::Stub,
};

/// The verdict and the words of one look.
fn look<'a>(said: &'a Said, check: &str) -> (&'a str, &'a str) {
    let found = said.stdout.lines().find_map(|line| {
        let (verdict, rest) = line.split_once("  ")?;
        let (name, what) = rest.trim_start().split_once("  ")?;
        (name.trim() == check).then(|| (verdict.trim(), what.trim()))
    });
    found.unwrap_or_else(|| panic!("no look at {check}: {said:?}"))
}

/// A server over TLS whose certificate is good for so many days.
fn over_tls(directory: &Path, days: u64) -> Server {
    let since_2000 = Duration::from_secs(u64::try_from(jiff::Timestamp::now().as_second() - 946_684_800).unwrap());
    let mut parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    // Half a day more, for what the test itself takes.
    parameters.not_after = rcgen::date_time_ymd(2000, 1, 1) + since_2000 + Duration::from_secs(days * 86_400 + 43_200);
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = directory.join("key.pem");
    std::fs::write(directory.join("cert.pem"), parameters.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    Server::start(&["--tls-cert-file", &file("cert.pem"), "--tls-key-file", &file("key.pem")])
}

#[test]
fn certificate_is_trusted_and_its_end_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("cert.pem");
    let authority = authority.to_str().unwrap();
    for (days, verdict) in [(90, "fine"), (10, "warning")] {
        let server = over_tls(directory.path(), days);
        server.stdout(&["login", "--initial", "--ca-cert", authority]);
        let said = server.coffer(&["doctor", "--ca-cert", authority]);
        assert_eq!(said.code, 0, "{said:?}");
        let (found, what) = look(&said, "tls");
        assert_eq!(found, verdict, "{what}");
        assert!(what.contains(&format!("in {days} days")) && what.contains("TLS"), "{what}");
        assert_eq!(said.stdout.contains("mend: renew it"), verdict == "warning", "{said:?}");
        assert_eq!((look(&said, "seal").0, look(&said, "login").0), ("fine", "fine"), "{said:?}");
    }
}

#[test]
fn certificate_that_nobody_vouches_for_is_wrong_and_nothing_is_sent_there() {
    let directory = tempfile::tempdir().unwrap();
    let server = over_tls(directory.path(), 90);
    let said = server.coffer(&["doctor"]);
    assert_eq!(said.code, 2, "{said:?}");
    let (verdict, what) = look(&said, "server");
    assert!(verdict == "wrong" && what.contains("no TLS connection"), "{said:?}");
    assert!(said.stdout.contains("COFFER_CACERT"), "how to mend it: {said:?}");
    // A look at something has its name in a column of its own.
    assert!(!said.stdout.contains("  login  ") && !said.stdout.contains("  seal  "), "{said:?}");
}

#[test]
fn sealed_server_is_wrong_with_the_code_of_the_seal() {
    let server = Server::start(&[]);
    server.stdout(&["login", "--initial"]);
    assert_eq!(server.coffer(&["doctor"]).code, 0);
    server.stdout(&["operator", "seal"]);
    let said = server.coffer(&["doctor"]);
    assert_eq!(said.code, 7, "{said:?}");
    assert_eq!(look(&said, "seal"), ("wrong", "the server is sealed; its kind is file"));
    assert!(said.stdout.contains("mend: 'coffer operator unseal --local' on the server"), "{said:?}");
    assert_eq!((look(&said, "seal key").0, look(&said, "disk").0), ("fine", "fine"), "{said:?}");

    // A key file that others can read, and then behind a link.
    let key = server.home().join("data/seal.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    assert_eq!(look(&server.coffer(&["doctor"]), "seal key").0, "wrong");
    let real = server.home().join("elsewhere.key");
    std::fs::rename(&key, &real).unwrap();
    std::os::unix::fs::symlink(&real, &key).unwrap();
    let said = server.coffer(&["doctor"]);
    assert!(look(&said, "seal key").0 == "wrong" && said.stdout.contains("mend: chmod 600 "), "{said:?}");
    assert!(said.stdout.contains("elsewhere.key, and count"), "{said:?}");
    mode(0o600);
    assert_eq!(look(&server.coffer(&["doctor"]), "seal key").0, "fine");
}

#[test]
fn server_of_shares_tells_how_many_are_missing() {
    let server = Server::start(&["--seal", "shamir"]);
    let said = server.coffer(&["doctor"]);
    assert_eq!((said.code, look(&said, "seal").0), (7, "wrong"), "{said:?}");
    assert!(said.stdout.contains("mend: run 'coffer operator init'"), "{said:?}");
    server.stdout(&["operator", "init", "--shares", "3", "--threshold", "2"]);
    let said = server.coffer(&["doctor"]);
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.stdout.contains("mend: 'coffer operator unseal' with 2 more of 3 shares"), "{said:?}");
}

#[test]
fn server_that_stands_by_is_fine() {
    let status = format!(
        r#"{{"active_address":"http://a:1","clock_in_doubt":false,"initialized":true,"node":"n","seal":"file",
            "seal_migration":false,"state":"standby","storage":"postgres","version":"{}"}}"#,
        env!("CARGO_PKG_VERSION")
    );
    let denied = r#"{"code":"denied","status":403,"title":"denied","request_id":"r"}"#;
    let stub = Stub::start(vec![
        Reply { request: "GET /readyz ".to_owned(), status: 200, body: status },
        Reply { request: "GET /api/v1/tokens/self ".to_owned(), status: 403, body: denied.to_owned() },
    ]);
    let home = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_coffer"))
        .arg("doctor")
        .env_clear()
        .env("HOME", home.path())
        .env("COFFER_ADDR", stub.url())
        .env("COFFER_TOKEN", "t")
        .output()
        .unwrap();
    let said = Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert_eq!(look(&said, "seal"), ("fine", "open, and this node stands by; its kind is file"), "{said:?}");
    // It is asked about the token like any other.
    assert_eq!((look(&said, "login").0, said.code), ("wrong", 4), "{said:?}");
}
