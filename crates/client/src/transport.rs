//! One HTTP/1.1 exchange over TLS, TCP or a unix socket, within a time and a size; an idle connection is used again.

use std::{io, pin::Pin, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::Body as _,
    client::conn::http1::{self, SendRequest},
    header::{DATE, HeaderName, LOCATION, RETRY_AFTER},
};
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::Mutex,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use zeroize::Zeroizing;

use crate::{
    Address, Error,
    address::{Endpoint, Scheme},
    probe::{Handshake, Validity},
    trust::Trust,
};

/// A request's body.
pub(crate) type Body = Full<Bytes>;

/// What is kept of a reply.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// By the server's clock.
    pub(crate) date: Option<String>,
    pub(crate) retry_after: Option<u64>,
    /// Wiped on drop. What hyper's own read buffers held is the allocator's to wipe.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// What came of a request whose reply is read piece by piece.
pub(crate) enum Opened {
    /// Another status than success, with the whole reply.
    Refused(Reply),
    /// The reply begins.
    Success(Incoming),
}

/// A reply that is read piece by piece.
pub(crate) struct Incoming {
    address: Address,
    body: hyper::body::Incoming,
    timeout: Duration,
}

impl Incoming {
    /// The next piece, within the time limit; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = match tokio::time::timeout(self.timeout, self.body.frame()).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(None),
                Err(_) => return Err(Error::Timeout { address: self.address.clone(), after: self.timeout }),
            };
            let frame = frame.map_err(|source| Error::Transport { address: self.address.clone(), source })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}

/// Connects, sends and receives.
pub(crate) struct Transport {
    timeout: Duration,
    reply_limit: usize,
    trust: Trust,
    /// Owned by whichever exchange takes it out; put back after a complete reply.
    idle: Mutex<Option<(Address, SendRequest<Body>)>>,
}

impl Transport {
    pub(crate) fn new(timeout: Duration, reply_limit: usize) -> Self {
        Self { timeout, reply_limit, trust: Trust::machine(), idle: Mutex::new(None) }
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) fn set_trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    pub(crate) fn set_reply_limit(&mut self, bytes: usize) {
        self.reply_limit = bytes;
    }

    /// Sends a request and reads the whole reply. A request is sent again, on a new connection, only where the idle one was
    /// found closed before a byte of it was written.
    pub(crate) async fn exchange(&self, address: &Address, request: Request<Body>) -> Result<Reply, Error> {
        match tokio::time::timeout(self.timeout, self.exchange_now(address, request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { address: address.clone(), after: self.timeout }),
        }
    }

    /// Sends a request, and reads the reply whole unless it is a success: that is left to the caller.
    pub(crate) async fn open(&self, address: &Address, request: Request<Body>) -> Result<Opened, Error> {
        let opening = async {
            let (_, response) = self.send(address, request).await?;
            if !response.status().is_success() {
                return self.read(address, response).await.map(Opened::Refused);
            }
            let (address, body) = (address.clone(), response.into_body());
            Ok(Opened::Success(Incoming { address, body, timeout: self.timeout }))
        };
        match tokio::time::timeout(self.timeout, opening).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { address: address.clone(), after: self.timeout }),
        }
    }

    /// Speaks TLS with the server and hangs up; `None` where it speaks none.
    pub(crate) async fn handshake(&self, address: &Address) -> Result<Option<Handshake>, Error> {
        let Endpoint::Tcp(Scheme::Https, host, port) = address.endpoint() else { return Ok(None) };
        let shake = async {
            let failed = |source| Error::Connect { address: address.clone(), source };
            let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
            let stream = encrypt(address, host, stream, &self.trust).await?;
            let (_, connection) = stream.get_ref();
            let version = connection.protocol_version().and_then(|version| version.as_str());
            let chain = connection.peer_certificates().unwrap_or_default();
            Ok(Some(Handshake {
                version: version.unwrap_or("unknown").to_owned(),
                chain: chain.iter().filter_map(|certificate| Validity::of(certificate)).collect(),
            }))
        };
        match tokio::time::timeout(self.timeout, shake).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { address: address.clone(), after: self.timeout }),
        }
    }

    async fn exchange_now(&self, address: &Address, request: Request<Body>) -> Result<Reply, Error> {
        let (mut sender, response) = self.send(address, request).await?;
        let reply = self.read(address, response).await?;
        if sender.ready().await.is_ok() {
            *self.idle.lock().await = Some((address.clone(), sender));
        }
        Ok(reply)
    }

    async fn send(
        &self,
        address: &Address,
        mut request: Request<Body>,
    ) -> Result<(SendRequest<Body>, Response<hyper::body::Incoming>), Error> {
        let broke = |source| Error::Transport { address: address.clone(), source };
        let idle = self.idle.lock().await.take().filter(|(to, _)| to == address);
        if let Some((_, mut sender)) = idle
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(broke(failed.into_error())),
                },
            }
        }
        let mut sender = connect(address, &self.trust).await?;
        let response = sender.send_request(request).await.map_err(broke)?;
        Ok((sender, response))
    }

    async fn read(&self, address: &Address, response: Response<hyper::body::Incoming>) -> Result<Reply, Error> {
        let status = response.status().as_u16();
        let location = header(&response, LOCATION);
        let date = header(&response, DATE);
        let retry_after = header(&response, RETRY_AFTER).and_then(|text| text.parse().ok());
        let mut incoming = response.into_body();
        let too_large = || Error::ReplyTooLarge { address: address.clone(), limit: self.reply_limit };
        let expected = usize::try_from(incoming.size_hint().lower()).map_err(|_| too_large())?;
        if expected > self.reply_limit {
            return Err(too_large());
        }
        let mut body = Zeroizing::new(Vec::with_capacity(expected));
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|source| Error::Transport { address: address.clone(), source })?;
            if let Some(data) = frame.data_ref() {
                if data.len() > self.reply_limit.saturating_sub(body.len()) {
                    return Err(too_large());
                }
                append(&mut body, data);
            }
        }
        Ok(Reply { status, location, date, retry_after, body })
    }
}

/// A reallocation leaves the old copy behind, so growth goes through a new buffer and wipes the old one.
fn append(body: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    let wanted = body.len().saturating_add(data.len());
    if wanted > body.capacity() {
        let mut grown = Zeroizing::new(Vec::with_capacity(wanted.max(body.capacity().saturating_mul(2))));
        grown.extend_from_slice(body);
        *body = grown;
    }
    body.extend_from_slice(data);
}

fn header(response: &Response<hyper::body::Incoming>, name: HeaderName) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Whether a certificate was refused for being an authority's. The library tells by the name of the error alone.
fn is_of_authority(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match error {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(error))) => {
            error.to_string().contains("CaUsedAsEndEntity")
        }
        _ => false,
    }
}

/// Speaks TLS on a connection that stands.
async fn encrypt(
    address: &Address,
    host: &str,
    stream: TcpStream,
    trust: &Trust,
) -> Result<TlsStream<TcpStream>, Error> {
    let untrusted = |source| match is_of_authority(&source) {
        true => Error::Authority { address: address.clone() },
        false => Error::Tls { address: address.clone(), source },
    };
    let config = trust.config().map_err(|error| untrusted(io::Error::other(error)))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| untrusted(io::Error::other(error)))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(untrusted)
}

async fn connect(address: &Address, trust: &Trust) -> Result<SendRequest<Body>, Error> {
    let failed = |source| Error::Connect { address: address.clone(), source };
    let stream: Pin<Box<dyn Stream>> = match address.endpoint() {
        Endpoint::Tcp(scheme, host, port) => {
            let stream = TcpStream::connect((host, port)).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            match scheme {
                Scheme::Http => Box::pin(stream),
                Scheme::Https => Box::pin(encrypt(address, host, stream, trust).await?),
            }
        }
        Endpoint::Unix(path) => Box::pin(UnixStream::connect(path).await.map_err(failed)?),
    };
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|source| Error::Transport { address: address.clone(), source })?;
    // Ends when the sender is dropped or the peer closes; its error reaches the sender as the exchange's own.
    tokio::spawn(connection);
    Ok(sender)
}

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}
