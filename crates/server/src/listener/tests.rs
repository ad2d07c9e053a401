//! Connections as clients make them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Counts each request that has come in, and answers when the gate lets it.
#[derive(Clone)]
struct Echo {
    entered: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

impl Answer for Echo {
    async fn answer(&self, peer: Peer, _: Request<Arriving>) -> Response<Body> {
        self.entered.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        Response::new(Body::from(format!("{peer:?}")))
    }
}

struct Server {
    address: SocketAddr,
    entered: Arc<Semaphore>,
    gate: Arc<Semaphore>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    dir: tempfile::TempDir,
}

const LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 2, head: HALF_MINUTE, handshake: HALF_MINUTE, drain: HALF_MINUTE };
const HALF_MINUTE: Duration = Duration::from_secs(30);

async fn start(limits: ConnectionLimits, gate: usize) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let local = LocalSocket::bind(&dir.path().join("coffer.sock")).unwrap();
    let (entered, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(gate)));
    let echo = Echo { entered: entered.clone(), gate: gate.clone() };
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(tcp, None, Some(local), limits, echo, stopped));
    Server { address, entered, gate, stop, task, dir }
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn unix_peer_is_known_by_its_uid() {
    let server = start(LIMITS, 1).await;
    let path = server.dir.path().join("coffer.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let uid = rustix::process::geteuid().as_raw();
    assert!(until_closed(&mut stream).await.ends_with(&format!("Local {{ uid: {uid} }}")));
    server.stop.send(true).unwrap();
    server.task.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn socket_left_behind_is_replaced_and_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(LocalSocket::bind(&path).unwrap());
    std::fs::write(&path, "precious").unwrap();
    assert!(LocalSocket::bind(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let long = dir.path().join("x".repeat(120));
    assert!(LocalSocket::bind(&long).err().unwrap().to_string().contains("unix socket"));
}

#[tokio::test]
async fn connection_beyond_the_limit_waits_for_a_slot() {
    let server = start(LIMITS, 0).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(ASK).await.unwrap();
        streams.push(stream);
    }
    server.gate.add_permits(3);
    for stream in &mut streams {
        assert!(until_closed(stream).await.contains("Network("));
    }
}

#[tokio::test]
async fn head_that_never_ends_is_cut_off() {
    let limits = ConnectionLimits { head: Duration::from_millis(50), ..LIMITS };
    let server = start(limits, 0).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
    let answered = until_closed(&mut stream).await;
    assert!(!answered.contains("200 OK"), "{answered}");
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    until_closed(&mut idle).await;
}

#[tokio::test]
async fn body_that_nobody_reads_ends_the_connection_only_where_it_comes_late_and_that_is_said() {
    let server = start(LIMITS, 8).await;
    let ask = |more: &str| format!("GET / HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    // Here already: it is passed over, and the next request is answered.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("{}hello", ask("content-length: 5\r\n")).as_bytes()).await.unwrap();
    stream.write_all(ask("connection: close\r\n").as_bytes()).await.unwrap();
    let both = until_closed(&mut stream).await;
    assert_eq!((both.matches("200 OK").count(), both.matches("connection: close").count()), (2, 1), "{both}");
    // On its way: nobody waits for it.
    for more in ["content-length: 5\r\n", "content-length: 5\r\nexpect: 100-continue\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(ask(more).as_bytes()).await.unwrap();
        let one = until_closed(&mut stream).await;
        assert_eq!((one.matches("200 OK").count(), one.matches("connection: close").count()), (1, 1), "{one}");
        assert!(!one.contains("100 Continue"), "{one}");
    }
}

#[tokio::test]
async fn handshake_that_never_ends_is_cut_off_and_frees_its_slot() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = crate::config::TlsFiles {
        cert_file: dir.path().join("cert.pem"),
        key_file: dir.path().join("key.pem"),
        min_version: crate::config::TlsVersion::Tls12,
    };
    std::fs::write(&files.cert_file, made.cert.pem()).unwrap();
    std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&files.key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let tls = Arc::new(Tls::load(files).unwrap());
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let limits = ConnectionLimits { connections: 1, handshake: Duration::from_millis(50), ..LIMITS };
    let echo = Echo { entered: Arc::new(Semaphore::new(0)), gate: Arc::new(Semaphore::new(0)) };
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(serve(tcp, Some(tls), None, limits, echo, stopped));
    // The second waits for the only slot until the first is cut off.
    let mut first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    first.write_all(b"\x16\x03").await.unwrap();
    assert_eq!(until_closed(&mut first).await, "");
    assert_eq!(until_closed(&mut second).await, "");
}

#[tokio::test]
async fn request_under_way_is_finished_when_the_server_stops() {
    let server = start(LIMITS, 0).await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.entered.acquire().await.unwrap().forget();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    server.stop.send(true).unwrap();
    until_closed(&mut idle).await;
    server.gate.add_permits(1);
    assert!(until_closed(&mut busy).await.contains("200 OK"));
    server.task.await.unwrap();
}

#[tokio::test]
async fn request_that_outlasts_the_drain_is_cut_off() {
    let limits = ConnectionLimits { drain: Duration::from_millis(10), ..LIMITS };
    let server = start(limits, 0).await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.entered.acquire().await.unwrap().forget();
    server.stop.send(true).unwrap();
    server.task.await.unwrap();
    assert_eq!(until_closed(&mut busy).await, "");
}
