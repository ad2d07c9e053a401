//! TLS on the listener: certificate and key from PEM files, read at the start and again on request.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustix::fs::OFlags;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use zeroize::Zeroizing;

use crate::config::{TlsFiles, TlsVersion};

/// What the listener presents. Shared by the listener and whoever reads the files again.
pub(crate) struct Tls {
    files: TlsFiles,
    /// Replaced whole; a connection keeps the one it began with.
    config: ArcSwap<ServerConfig>,
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the file.
    #[error("TLS certificate file {path}: no PEM certificate in it")]
    Certificate {
        /// Which file.
        path: PathBuf,
    },
    /// The key needs a passphrase.
    #[error("TLS key file {path}: the key is encrypted, and nobody is asked for a passphrase; decrypt it first")]
    Encrypted {
        /// Which file.
        path: PathBuf,
    },
    /// No private key in the file.
    #[error("TLS key file {path}: no PEM private key in it")]
    Key {
        /// Which file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("TLS key file {path}: mode {mode:o} lets others read it; run `chmod o=` on it, or consider it leaked")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Certificate and key are no pair, or of a kind that is not supported.
    #[error("TLS certificate {certificate} and key {key} cannot be used together")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// A file cannot be read.
    #[error("TLS file {path} cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Where one of them is missing, not PEM or larger than 1 MiB, others may read the key, or the two are no pair.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = ArcSwap::from_pointee(read(&files)?);
        Ok(Self { files, config })
    }

    /// Reads the files again, for connections that come from now on.
    ///
    /// # Errors
    /// As [`Tls::load`]; what was in force then stays in force.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// Shakes hands. Takes as long as the client does: the caller bounds it. A client that speaks plain HTTP is told so.
    pub(crate) async fn accept(&self, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first.first().is_some_and(u8::is_ascii_uppercase) {
            // What it sent is taken first: closing a socket with unread bytes could take the answer back.
            let mut request = Zeroizing::new([0; 4096]);
            let _ = stream.read(request.as_mut_slice()).await?;
            stream.write_all(PLAIN_HTTP).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP on a TLS listener"));
        }
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let text = read_file(&files.cert_file, |_| Ok(()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| TlsError::Certificate { path: files.cert_file.clone() })?;
    let text = read_file(&files.key_file, |metadata| match metadata.mode() & 0o7777 {
        mode if mode & 0o007 != 0 => Err(TlsError::Mode { path: files.key_file.clone(), mode }),
        _ => Ok(()),
    })?;
    if ENCRYPTED.iter().any(|mark| text.windows(mark.len()).any(|window| window == *mark)) {
        return Err(TlsError::Encrypted { path: files.key_file.clone() });
    }
    // What the parser would say may repeat a line of the file.
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::Key { path: files.key_file.clone() })?;
    let pair = |source| TlsError::Pair { certificate: files.cert_file.clone(), key: files.key_file.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&versions(files.min_version))
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn versions(lowest: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match lowest {
        TlsVersion::Tls12 => vec![&TLS13, &TLS12],
        TlsVersion::Tls13 => vec![&TLS13],
    }
}

/// A whole file, wiped on drop. `check` sees what was opened, so that nothing can change in between.
fn read_file(
    path: &Path,
    check: impl FnOnce(&std::fs::Metadata) -> Result<(), TlsError>,
) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let file = open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    check(&metadata)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(MAX_FILE)).unwrap_or(0) + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE) {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    Ok(bytes)
}

/// Neither a pipe without a writer nor a terminal is waited for.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).map_err(io::Error::other)?;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

const MAX_FILE: u64 = 1 << 20;
/// How keys with a passphrase are marked: PKCS #8, and the older form.
const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
/// What Vault's listener says; its clients recognise it.
const PLAIN_HTTP: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Pair {
        dir: tempfile::TempDir,
        files: TlsFiles,
    }

    fn pair() -> Pair {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = TlsFiles {
            cert_file: dir.path().join("cert.pem"),
            key_file: dir.path().join("key.pem"),
            min_version: TlsVersion::Tls12,
        };
        std::fs::write(&files.cert_file, made.cert.pem()).unwrap();
        std::fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
        chmod(&files.key_file, 0o600);
        Pair { dir, files }
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(files: &TlsFiles) -> TlsError {
        Tls::load(files.clone()).err().unwrap()
    }

    #[test]
    fn pair_is_taken_and_the_key_is_kept_from_others() {
        let pair = pair();
        for mode in [0o600, 0o400, 0o640] {
            chmod(&pair.files.key_file, mode);
            assert!(Tls::load(pair.files.clone()).is_ok(), "{mode:o}");
        }
        for mode in [0o644, 0o604, 0o602, 0o601] {
            chmod(&pair.files.key_file, mode);
            assert!(matches!(refusal(&pair.files), TlsError::Mode { mode: found, .. } if found == mode), "{mode:o}");
        }
    }

    #[test]
    fn files_that_are_of_no_use_are_refused_by_name() {
        let pair = pair();
        let write = |name: &str, text: &[u8]| {
            let path = pair.dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            chmod(&path, 0o600);
            path
        };
        let with_key = |key_file| TlsFiles { key_file, ..pair.files.clone() };
        let with_cert = |cert_file| TlsFiles { cert_file, ..pair.files.clone() };
        let cert = std::fs::read_to_string(&pair.files.cert_file).unwrap();
        let key = std::fs::read_to_string(&pair.files.key_file).unwrap();

        assert!(matches!(refusal(&with_cert(pair.dir.path().join("none"))), TlsError::Read { .. }));
        assert!(matches!(refusal(&with_cert(pair.dir.path().to_owned())), TlsError::Read { .. }));
        assert!(matches!(refusal(&with_key(pair.dir.path().join("none"))), TlsError::Read { .. }));
        assert!(matches!(refusal(&with_cert(write("big", &vec![b'x'; (1 << 20) + 1]))), TlsError::Read { .. }));
        for text in ["", "nonsense", &key, &cert[..cert.len() / 2], "-----BEGIN CERTIFICATE-----\n"] {
            assert!(
                matches!(refusal(&with_cert(write("bad", text.as_bytes()))), TlsError::Certificate { .. }),
                "{text}"
            );
        }
        for text in ["", "nonsense", &cert, &key[..key.len() / 2], "-----BEGIN PRIVATE KEY-----\n"] {
            assert!(matches!(refusal(&with_key(write("bad", text.as_bytes()))), TlsError::Key { .. }), "{text}");
        }
        for text in ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED"]
        {
            assert!(matches!(refusal(&with_key(write("bad", text.as_bytes()))), TlsError::Encrypted { .. }), "{text}");
        }
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = write("other", other.signing_key.serialize_pem().as_bytes());
        assert!(matches!(refusal(&with_key(other)), TlsError::Pair { .. }));
        let garbage = write("garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        assert!(matches!(refusal(&with_key(garbage)), TlsError::Pair { .. }));
    }

    #[test]
    fn refused_reload_leaves_what_was_in_force() {
        let pair = pair();
        let tls = Tls::load(pair.files.clone()).unwrap();
        let before = tls.config.load_full();
        std::fs::write(&pair.files.cert_file, "half a cert").unwrap();
        assert!(tls.reload().is_err());
        assert!(Arc::ptr_eq(&before, &tls.config.load_full()));
        let next = self::pair();
        std::fs::copy(&next.files.cert_file, &pair.files.cert_file).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Pair { .. })));
        assert!(Arc::ptr_eq(&before, &tls.config.load_full()));
        std::fs::copy(&next.files.key_file, &pair.files.key_file).unwrap();
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.config.load_full()));
    }
}
