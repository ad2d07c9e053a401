//! A relay in front of the server that cuts connections at a chosen moment.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the next message of a client that contains the text that the relay waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It reaches the server; its answer is lost.
    AfterDelivery,
    /// It is lost, and the server learns that the client has gone.
    BeforeDelivery,
    /// It is lost, and the server goes on believing in the client until [`Proxy::let_go`].
    Silently,
}

/// A relay on a unix socket of its own.
pub(super) struct Proxy {
    directory: TempDir,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    armed: Mutex<Option<(Cut, &'static [u8])>>,
    let_go: watch::Sender<()>,
    server: PathBuf,
}

impl Proxy {
    /// Starts a relay to the server behind `url`; returns it and the URL through it.
    pub(super) fn start(url: &str) -> (Proxy, String) {
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let (host, database) = url.strip_prefix("postgres://postgres@").unwrap().split_once('/').unwrap();
        let server = Path::new(&host.replace("%2F", "/")).join(SOCKET);
        let listener = UnixListener::bind(directory.path().join(SOCKET)).unwrap();
        let shared = Arc::new(Shared { armed: Mutex::new(None), let_go: watch::Sender::new(()), server });
        let accepting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&accepting);
                tokio::spawn(async move { shared.relay(client).await });
            }
        });
        let through = directory.path().to_str().unwrap().replace('/', "%2F");
        let proxy = Proxy { directory, shared, task };
        (proxy, format!("postgres://postgres@{through}/{database}"))
    }

    /// Cuts the next connection whose client sends `text`.
    pub(super) fn arm(&self, cut: Cut, text: &'static [u8]) {
        *self.shared.armed.lock() = Some((cut, text));
    }

    /// Whether the cut has happened.
    pub(super) fn has_cut(&self) -> bool {
        self.shared.armed.lock().is_none()
    }

    /// Ends the connections to the server that were kept after a silent cut.
    pub(super) fn let_go(&self) {
        self.shared.let_go.send_replace(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.let_go();
        assert!(self.directory.path().exists());
    }
}

impl Shared {
    /// Ends without a word whenever one side does; the sockets close with it.
    async fn relay(&self, mut client: UnixStream) {
        let Ok(mut server) = UnixStream::connect(&self.server).await else { return };
        let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let Ok(count @ 1..) = read else { return };
                    match self.cut(&up[..count]) {
                        None => {
                            if server.write_all(&up[..count]).await.is_err() { return }
                        }
                        Some((Cut::BeforeDelivery, _)) => return,
                        Some((Cut::AfterDelivery, text)) => {
                            server.write_all(&up[..count]).await.unwrap();
                            until_answered(&mut server, text).await;
                            return;
                        }
                        Some((Cut::Silently, _)) => {
                            let mut let_go = self.let_go.subscribe();
                            drop(client);
                            drop(let_go.changed().await);
                            return;
                        }
                    }
                }
                read = server.read(&mut down) => {
                    let Ok(count @ 1..) = read else { return };
                    if client.write_all(&down[..count]).await.is_err() { return }
                }
            }
        }
    }

    fn cut(&self, sent: &[u8]) -> Option<(Cut, &'static [u8])> {
        let mut armed = self.armed.lock();
        match *armed {
            Some((cut, text)) if contains(sent, text) => {
                *armed = None;
                Some((cut, text))
            }
            Some(_) | None => None,
        }
    }
}

/// Waits until the server reports the command as done, by repeating its name; what it says goes nowhere.
async fn until_answered(server: &mut UnixStream, text: &[u8]) {
    let mut answer = Vec::new();
    while !contains(&answer, text) {
        assert!(server.read_buf(&mut answer).await.unwrap() > 0, "the server hung up");
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

const SOCKET: &str = ".s.PGSQL.5432";
