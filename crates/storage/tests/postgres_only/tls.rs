//! TLS to a real server, with certificates made here: what each `sslmode` takes and what it refuses.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use coffer_storage::open;

use crate::postgres_server::{PostgresServer, give_to_server};

/// A certificate for localhost and its key, in files that the server's account may read.
fn certificate(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    give_to_server(&key);
    (certificate, key)
}

/// A server on a port that was free a moment ago.
fn server(settings: &[(&str, &str)]) -> (PostgresServer, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let own = [("listen_addresses", "127.0.0.1"), ("port", port.as_str())];
    (PostgresServer::start(&[&own, settings].concat()), port)
}

/// Opens the store and tells how the server sees the connection: `Some(true)` = encrypted; `None` = it was refused.
async fn encrypted(server: &PostgresServer, url: &str) -> Option<bool> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    // Sessions of the case before may take a moment to end.
    let name = format!("case{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let store = open(&format!("{url}&application_name={name}")).await.ok()?;
    let sessions = "pg_stat_ssl JOIN pg_stat_activity USING (pid)";
    let seen =
        server.sql("postgres", &format!("SELECT DISTINCT ssl FROM {sessions} WHERE application_name = '{name}'"));
    store.close().await;
    Some(match seen.as_str() {
        "t" => true,
        "f" => false,
        other => panic!("{url}: {other:?}"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_with_tls_is_spoken_to_as_sslmode_asks() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (certificate, key) = self::certificate(dir.path(), "server");
    let (other, _) = self::certificate(dir.path(), "other");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let other = other.to_str().unwrap();
    let (server, port) = server(&[("ssl", "on"), ("ssl_cert_file", certificate), ("ssl_key_file", key)]);
    server.create_database();
    for (host, options, expected) in [
        ("localhost", String::new(), Some(true)),
        ("localhost", "sslmode=disable".to_owned(), Some(false)),
        ("localhost", "sslmode=prefer".to_owned(), Some(true)),
        ("127.0.0.1", "sslmode=require".to_owned(), Some(true)),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={other}"), None),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={certificate}"), Some(true)),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={other}"), None),
        ("localhost", format!("sslmode=verify-full&sslrootcert={certificate}"), Some(true)),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={certificate}"), None),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), None),
    ] {
        let url = format!("postgres://postgres@{host}:{port}/postgres?{options}");
        assert_eq!(encrypted(&server, &url).await, expected, "{host} {options}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_without_tls_is_refused_where_sslmode_requires_it() {
    let (server, port) = server(&[("ssl", "off")]);
    for (mode, expected) in [("prefer", Some(false)), ("require", None)] {
        let url = format!("postgres://postgres@localhost:{port}/postgres?sslmode={mode}");
        assert_eq!(encrypted(&server, &url).await, expected, "{mode}");
    }
}
