//! TLS to the database: what `sslmode` and `sslrootcert` of its URL mean.

use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use crate::error::Error;

/// What `sslmode` asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Mode {
    /// A plain connection.
    Disable,
    /// TLS if the server offers it, whoever it is.
    #[default]
    Prefer,
    /// TLS, whoever the server is; with `sslrootcert` as [`Mode::VerifyCa`], as libpq has it.
    Require,
    /// TLS with a server whose certificate one of the authorities signed.
    VerifyCa,
    /// The same, and the certificate is for the host of the URL.
    VerifyFull,
}

/// Makes connections encrypted.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

impl Mode {
    /// [`Error::Invalid`] for what is no mode, or one that gives nothing (`allow`).
    pub(super) fn parse(text: &str) -> Result<Mode, Error> {
        match text {
            "disable" => Ok(Mode::Disable),
            "prefer" => Ok(Mode::Prefer),
            "require" => Ok(Mode::Require),
            "verify-ca" => Ok(Mode::VerifyCa),
            "verify-full" => Ok(Mode::VerifyFull),
            _ => Err(invalid("sslmode is one of disable, prefer, require, verify-ca and verify-full")),
        }
    }

    /// As the driver knows it: it does not know who verifies.
    pub(super) fn of_driver(self) -> SslMode {
        match self {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }
}

impl Tls {
    /// `authorities` is the path of a PEM file, or `system` for those that the machine trusts.
    ///
    /// [`Error::Invalid`] where the mode verifies and they are missing or cannot be used.
    pub(super) fn new(mode: Mode, authorities: Option<&str>) -> Result<Tls, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| invalid("TLS is not available"))?;
        let config = match (mode, authorities) {
            (Mode::VerifyFull, Some(authorities)) => builder.with_root_certificates(read(authorities)?),
            (Mode::VerifyCa | Mode::Require, Some(authorities)) => {
                let verifier = SignedByAuthority { roots: read(authorities)?, provider };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            (Mode::VerifyCa | Mode::VerifyFull, None) => {
                return Err(invalid("sslmode verify-ca and verify-full need sslrootcert, a PEM file or system"));
            }
            (Mode::Disable | Mode::Prefer, _) | (Mode::Require, None) => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            }
        };
        Ok(Tls(TlsConnector::from(Arc::new(config.with_no_client_auth()))))
    }
}

fn read(authorities: &str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if authorities == "system" {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    } else {
        let unreadable = |error: io::Error| invalid(&format!("the file of sslrootcert cannot be read: {error}"));
        let mut text = Vec::new();
        let file = std::fs::File::open(authorities).map_err(unreadable)?;
        file.take(MAX_FILE).read_to_end(&mut text).map_err(unreadable)?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|_| invalid("the file of sslrootcert is not PEM"))?;
            roots.add(certificate).map_err(|_| invalid("a certificate of sslrootcert cannot be an authority's"))?;
        }
    }
    if roots.is_empty() { Err(invalid("sslrootcert names no certificate")) } else { Ok(roots) }
}

fn invalid(message: &str) -> Error {
    Error::Invalid(message.to_owned())
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        // A unix socket has no name, and its connections are never asked for one.
        let name = ServerName::try_from(domain.to_owned()).ok();
        Ok(Handshake { connector: self.0.clone(), name })
    }
}

/// One connection's TLS, yet to begin.
pub(super) struct Handshake {
    connector: TlsConnector,
    name: Option<ServerName<'static>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = self.name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the host has no name"))?;
            Ok(Encrypted(self.connector.connect(name, stream).await?))
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Believes every server: only who listens is kept out, not who answers in the server's place.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    // Who holds the key of a certificate that anybody could have made is of no use to know; and certificates that are too
    // old to be parsed, as some servers make for themselves, are let pass.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Believes every server whose certificate an authority signed, whatever name is in it.
#[derive(Debug)]
struct SignedByAuthority {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for SignedByAuthority {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let certificate = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A file of authorities is read up to this many bytes.
const MAX_FILE: u64 = 4 << 20;
