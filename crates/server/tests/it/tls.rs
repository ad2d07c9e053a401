//! TLS on the listener, with certificates made here.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use coffer_server::config::{Dev, TlsOverrides, TlsVersion};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::server::{ROOT, TestServer};

const ASK: &str = "GET /v1/sys/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A certificate for localhost and its key, in files.
struct Pair {
    der: CertificateDer<'static>,
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl Pair {
    /// Written to `dir`, over those that are there.
    fn make(dir: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert_file, key_file) = (dir.join("cert.pem"), dir.join("key.pem"));
        std::fs::write(&cert_file, made.cert.pem()).unwrap();
        std::fs::write(&key_file, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { der: made.cert.der().clone(), cert_file, key_file }
    }

    fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

async fn start(dir: &Path, min_version: TlsVersion) -> (TestServer, Pair) {
    let pair = Pair::make(dir);
    let tls = TlsOverrides {
        cert_file: Some(pair.cert_file.clone()),
        key_file: Some(pair.key_file.clone()),
        min_version: Some(min_version),
    };
    let server = TestServer::with(|overrides, _| {
        overrides.dev = Some(Dev { root_token: Some(ROOT.into()) });
        overrides.tls = tls;
    })
    .await;
    (server, pair)
}

async fn connect(server: &TestServer, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn ask(mut stream: TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

#[tokio::test]
async fn listener_with_a_pair_speaks_tls_and_http_1_1() {
    let dir = tempfile::tempdir().unwrap();
    let (server, pair) = start(dir.path(), TlsVersion::Tls12).await;
    assert!(server.greeting.contains("https://"), "{}", server.greeting);
    let stream = connect(&server, pair.client()).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let reply = ask(stream, ASK).await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(reply.contains("strict-transport-security: max-age=31536000"), "{reply}");
    let refused = ask(connect(&server, pair.client()).await.unwrap(), "NONSENSE\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn plain_http_on_a_tls_listener_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = start(dir.path(), TlsVersion::Tls12).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(ASK.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert_eq!(reply, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
    for nonsense in [&b"\x16\x03\x01\xff\xff"[..], b"\0\0\0\0", b"\x80\x2e\x01"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        assert!(!reply.starts_with(b"HTTP"), "{reply:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn lowest_version_is_what_was_set() {
    let dir = tempfile::tempdir().unwrap();
    let (older, pair) = start(dir.path(), TlsVersion::Tls12).await;
    let only_1_2 = |pair: &Pair| {
        let mut roots = RootCertStore::empty();
        roots.add(pair.der.clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    };
    let stream = connect(&older, only_1_2(&pair)).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let (newer, pair) = start(dir.path(), TlsVersion::Tls13).await;
    assert!(connect(&newer, only_1_2(&pair)).await.is_err());
    assert!(ask(connect(&newer, pair.client()).await.unwrap(), ASK).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn client_that_never_shakes_hands_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (server, pair) = start(dir.path(), TlsVersion::Tls12).await;
    let mut silent = Vec::new();
    for sent in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            silent.push(stream);
        }
    }
    assert!(ask(connect(&server, pair.client()).await.unwrap(), ASK).await.starts_with("HTTP/1.1 200"));
    // They do not delay the end either.
    server.stop().await;
}

#[tokio::test]
async fn reloaded_pair_is_for_new_connections_and_a_bad_one_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let (server, first) = start(dir.path(), TlsVersion::Tls12).await;
    let standing = connect(&server, first.client()).await.unwrap();

    std::fs::write(&first.cert_file, "half").unwrap();
    assert!(server.reloader.reload().is_err());
    let still = connect(&server, first.client()).await.unwrap();
    assert!(ask(still, ASK).await.starts_with("HTTP/1.1 200"));

    let second = Pair::make(dir.path());
    server.reloader.reload().unwrap();
    assert!(connect(&server, first.client()).await.is_err());
    let fresh = connect(&server, second.client()).await.unwrap();
    assert!(ask(fresh, ASK).await.starts_with("HTTP/1.1 200"));
    assert!(ask(standing, ASK).await.starts_with("HTTP/1.1 200"));
    server.stop().await;
}
