//! Connections: TCP and the unix socket, with limits in number and time, until the server is told to stop.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

use crate::{arriving::Arriving, tls::Tls};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    /// A process on this machine, by the kernel's word.
    Local {
        /// Its effective user id when it connected.
        uid: u32,
    },
    /// Somebody on the network.
    Network(SocketAddr),
}

/// The unix socket; removes its file when dropped.
pub(crate) struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// What bounds connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// TCP connections at a time; more wait in the system's queue.
    pub(crate) connections: usize,
    /// A request's head must be complete, and an idle connection used, within this time.
    pub(crate) head: Duration,
    /// Hands must be shaken within this time, where TLS is spoken.
    pub(crate) handshake: Duration,
    /// Time for requests under way when the server stops.
    pub(crate) drain: Duration,
}

/// Why the unix socket cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on the unix socket {path}")]
pub struct SocketError {
    /// Where it should have been.
    path: PathBuf,
    /// What the system said; a path of more than about 100 bytes is too long for a socket.
    source: io::Error,
}

/// Answers one request.
pub(crate) trait Answer: Clone + Send + Sync + 'static {
    /// Must not fail: an error is an answer too.
    fn answer(&self, peer: Peer, request: Request<Arriving>) -> impl Future<Output = Response<Body>> + Send;
}

impl LocalSocket {
    /// Listens at `path` with mode 0600. A socket that a dead process left there is replaced; the caller holds the
    /// data directory's lock, so there is no live one. Anything but a socket is left alone and refused.
    pub(crate) fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "something else is there")));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // Under another name first, so that the socket never stands at its place with wider permissions.
        let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
        let bind = || {
            remove_if_there(&fresh)?;
            let listener = UnixListener::bind(&fresh)?;
            std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))?;
            std::fs::rename(&fresh, path)?;
            Ok(listener)
        };
        let listener = bind().map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // Best effort: the next start replaces what is left.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves both listeners, the network's over TLS where there is any, until `stop` turns true or its sender is gone, then lets the requests under way finish
/// within `limits.drain` and cuts the rest off.
pub(crate) async fn serve(
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
    local: Option<LocalSocket>,
    limits: ConnectionLimits,
    answer: impl Answer,
    stop: watch::Receiver<bool>,
) {
    let network = serve_tcp(tcp, tls, limits, answer.clone(), stop.clone());
    match local {
        Some(local) => {
            tokio::join!(network, serve_local(local, limits, answer, stop));
        }
        None => network.await,
    }
}

async fn serve_tcp(
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: ConnectionLimits,
    answer: impl Answer,
    stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let mut stopping = stop.clone();
    while let Some((slot, accepted)) = next(&slots, tcp.accept(), &mut connections, &mut stopping).await {
        match accepted {
            Ok((stream, remote)) => {
                tune(&stream);
                let (peer, answer, stop) = (Peer::Network(remote), answer.clone(), stop.clone());
                match tls.clone() {
                    Some(tls) => connections.spawn(secured(stream, tls, peer, limits, answer, stop, slot)),
                    None => connections.spawn(connection(stream, peer, limits, answer, stop, slot)),
                };
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(tcp);
    drain(connections, limits.drain).await;
}

async fn serve_local(local: LocalSocket, limits: ConnectionLimits, answer: impl Answer, stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(LOCAL_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut stopping = stop.clone();
    while let Some((slot, accepted)) = next(&slots, local.listener.accept(), &mut connections, &mut stopping).await {
        match accepted.and_then(|(stream, _)| peer_uid(&stream).map(|uid| (stream, uid))) {
            Ok((stream, uid)) => {
                let peer = Peer::Local { uid };
                connections.spawn(connection(stream, peer, limits, answer.clone(), stop.clone(), slot));
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(local);
    drain(connections, limits.drain).await;
}

/// The next connection with its slot, or `None` when it is time to stop. A slot is taken before the connection, so
/// that what is too much waits in the system's queue.
async fn next<T>(
    slots: &Arc<Semaphore>,
    accept: impl Future<Output = io::Result<T>>,
    connections: &mut JoinSet<()>,
    stop: &mut watch::Receiver<bool>,
) -> Option<(OwnedSemaphorePermit, io::Result<T>)> {
    let accepted = async {
        let slot = slots.clone().acquire_owned().await.ok()?;
        Some((slot, accept.await))
    };
    tokio::pin!(accepted);
    loop {
        tokio::select! {
            biased;
            () = told_to_stop(stop) => return None,
            Some(_) = connections.join_next() => {}
            accepted = &mut accepted => return accepted,
        }
    }
}

/// Shakes hands in the connection's own task, so that a slow client keeps nobody waiting but itself.
async fn secured(
    stream: TcpStream,
    tls: Arc<Tls>,
    peer: Peer,
    limits: ConnectionLimits,
    answer: impl Answer,
    mut stop: watch::Receiver<bool>,
    slot: OwnedSemaphorePermit,
) {
    let shaken = tokio::select! {
        biased;
        () = told_to_stop(&mut stop) => return,
        shaken = tokio::time::timeout(limits.handshake, tls.accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => connection(stream, peer, limits, answer, stop, slot).await,
        Ok(Err(error)) => tracing::debug!(?peer, %error, "no TLS connection came about"),
        Err(_) => tracing::debug!(?peer, "no TLS connection came about in time"),
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: Peer,
    limits: ConnectionLimits,
    answer: impl Answer,
    mut stop: watch::Receiver<bool>,
    slot: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            // Where a length came along with it, which hyper does not tell, somebody on the way may have seen another end
            // of the body (RFC 9112, 6.3): what follows must not be taken for a request.
            let ends_here = request.headers().contains_key(header::TRANSFER_ENCODING);
            let too_large = head_bytes(&request) > HEAD_BYTES;
            // Who waits to be told to go on is not told to by reading on.
            let waits = request.headers().contains_key(header::EXPECT);
            let (parts, body) = request.into_parts();
            let (body, rest) = Arriving::of(body);
            let request = Request::from_parts(parts, body);
            let mut response = match too_large {
                true => head_too_large(),
                false => answer.answer(peer, request).await,
            };
            if ends_here || too_large || !(if waits { rest.is_read() } else { rest.pass_over().await }) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let outcome = tokio::select! {
        biased;
        outcome = &mut serving => outcome,
        () = told_to_stop(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(?peer, %error, "connection ended early");
    }
    drop(slot);
}

/// The bytes of a request's line and headers. The buffer alone is no exact bound: a read may fill more of it.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    request.headers().iter().fold(target, |sum, (name, value)| sum + name.as_str().len() + value.len() + ": \r\n".len())
}

fn head_too_large() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    response
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the server.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn drain(mut connections: JoinSet<()>, within: Duration) {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(within, all).await.is_err() {
        tracing::warn!(count = connections.len(), "requests cut off: they did not finish in time");
        connections.shutdown().await;
    }
}

fn tune(stream: &TcpStream) {
    // Neither is needed for correctness, and a socket may be gone already.
    let _ = stream.set_nodelay(true);
    // A peer that takes no bytes of its answer for this long is cut off by the kernel.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, UNREAD_MILLIS);
}

fn peer_uid(stream: &UnixStream) -> io::Result<u32> {
    stream.peer_cred().map(|credentials| credentials.uid())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Out of file descriptors or memory: the next try may come too soon, so wait a moment. A connection that was gone
/// before it was accepted costs the same moment, which is rare.
async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// The unix socket is the operator's way in, so its slots are its own.
const LOCAL_CONNECTIONS: usize = 32;
/// A request's head; also the largest piece in which a body is read.
const HEAD_BYTES: usize = 64 << 10;
const UNREAD_MILLIS: u32 = 60_000;

#[cfg(test)]
mod tests;
