//! A server from Vault's own configuration, over TLS: our client, and hvac.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::server::Server;

/// A certificate for 127.0.0.1 and its key, over those that are there; the certificate once more under another name.
fn pair(dir: &Path, copy: &str) -> PathBuf {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (key, copy) = (dir.join("key.pem"), dir.join(copy));
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(&copy, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    copy
}

#[test]
fn server_from_hcl_is_reached_over_tls_and_takes_a_new_certificate_on_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let first = pair(dir.path(), "first.pem");
    let first = first.to_str().unwrap();
    let config = dir.path().join("server.hcl");
    let text = format!(
        r#"
        ui = false
        disable_mlock = true
        storage "file" {{ path = "{0}/unused" }}
        listener "tcp" {{
            address       = "127.0.0.1:8200"
            tls_cert_file = "{0}/cert.pem"
            tls_key_file  = "{0}/key.pem"
        }}
        telemetry {{ prometheus_retention_time = "30s" }}
        "#,
        dir.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let server = Server::start(&[&format!("-config={}", config.display())]);
    assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());

    assert_eq!(server.coffer(&["login", "--initial", "--ca-cert", first]).code, 0);
    let set = ["secrets", "set", "GREETING=hello", "--project", "demo", "--ca-cert", first];
    assert_eq!(server.coffer(&set).code, 0, "{:?}", server.coffer(&set));
    let distrusted = server.coffer(&["whoami"]);
    assert_eq!(distrusted.code, 2);
    assert!(
        distrusted.stderr.contains("no TLS connection") && distrusted.stderr.contains("COFFER_CACERT"),
        "{distrusted:?}"
    );
    hvac_reads(&server, first);

    let second = pair(dir.path(), "second.pem");
    let second = second.to_str().unwrap();
    assert_eq!(server.coffer(&["whoami", "--ca-cert", second]).code, 2);
    server.hang_up();
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.coffer(&["whoami", "--ca-cert", second]).code != 0 {
        assert!(Instant::now() < deadline, "the new certificate is not presented");
    }
    assert_eq!(server.coffer(&["whoami", "--ca-cert", first]).code, 2);
}

fn hvac_reads(server: &Server, authority: &str) {
    let script = r#"
import os, hvac
client = hvac.Client(url=os.environ["URL"], token=os.environ["TOKEN"], verify=os.environ["AUTHORITY"])
assert client.sys.is_sealed() is False
assert client.is_authenticated()
print(client.auth.token.lookup_self()["data"]["path"])
"#;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let token = std::fs::read_to_string(server.home().join(".config/coffer/token")).unwrap();
    let output = Command::new(root.join(".venv/bin/python"))
        .args(["-c", script])
        .env_clear()
        .env("URL", server.url())
        .env("TOKEN", token.trim())
        .env("AUTHORITY", authority)
        .output()
        .expect("the Python environment is missing; run `make test`, which installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "login/initial");
}
