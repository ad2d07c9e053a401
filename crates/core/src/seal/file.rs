//! The `file` seal: a key file of mode 0600. Whoever reads it and the store reads every secret (SECURITY.md).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_crypto::{Secret, hash::sha256, rng};
use parking_lot::Mutex;
use rustix::fs::OFlags;
use thiserror::Error;
use zeroize::Zeroizing;

/// What stands before the key in the file: kind and format.
const PREFIX: &str = "coffer-file-seal-1:";
const KEY_BYTES: usize = 32;

/// Why a key file is of no use.
#[derive(Debug, Error)]
pub enum FileSealError {
    /// The key could not be made or kept in memory.
    #[error("the seal key cannot be handled: {0}")]
    Crypto(#[from] coffer_crypto::Error),
    /// Not what this release wrote.
    #[error("seal key file {path}: not a seal key file of this release")]
    Format {
        /// Which file.
        path: PathBuf,
    },
    /// The filesystem said no.
    #[error("seal key file {path}: cannot {operation}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Not a regular file, so not one that this release wrote.
    #[error("seal key file {path}: not a regular file")]
    Kind {
        /// Which file.
        path: PathBuf,
    },
    /// Others may read it.
    #[error("seal key file {path}: mode {mode:o} lets others read it; run `chmod 600` on it, or consider it leaked")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// A key file's path, and the id of the key that opened the store.
#[derive(Clone, Debug)]
pub(crate) struct FileSeal {
    path: PathBuf,
    opened: Arc<Mutex<Option<String>>>,
}

impl FileSeal {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, opened: Arc::default() }
    }

    /// Notes which key opened the store: the file may be there for the start alone.
    pub(crate) fn note_opened(&self, key: &Secret) {
        *self.opened.lock() = Some(Self::id(key));
    }

    /// The id of the key that opened the store, if one out of this file did.
    pub(crate) fn opened(&self) -> Option<String> {
        self.opened.lock().clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The key, `None` where there is no file.
    pub(crate) fn read(&self) -> Result<Option<Secret>, FileSealError> {
        // Neither a pipe without a writer nor a terminal is waited for.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = i32::try_from(flags.bits()).map_err(|error| self.io("open it", io::Error::other(error)))?;
        let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("open it", error)),
        };
        let metadata = file.metadata().map_err(|error| self.io("stat it", error))?;
        if !metadata.is_file() {
            return Err(FileSealError::Kind { path: self.path.clone() });
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(FileSealError::Mode { path: self.path.clone(), mode: metadata.mode() & 0o7777 });
        }
        let mut text = Zeroizing::new([0_u8; 128]);
        let mut len = 0;
        while let Some(free) = text.get_mut(len..).filter(|free| !free.is_empty()) {
            match file.read(free).map_err(|error| self.io("read it", error))? {
                0 => break,
                n => len += n,
            }
        }
        let malformed = || FileSealError::Format { path: self.path.clone() };
        let encoded = text.get(..len).and_then(|text| text.strip_prefix(PREFIX.as_bytes())).ok_or_else(malformed)?;
        let secret =
            Secret::zeroed_with(KEY_BYTES, |key| match URL_SAFE_NO_PAD.decode_slice(encoded.trim_ascii_end(), key) {
                Ok(KEY_BYTES) => Ok(()),
                Ok(_) | Err(_) => Err(coffer_crypto::Error::Parameters("a seal key of another length")),
            });
        secret.map(Some).map_err(|_| malformed())
    }

    /// Names a key, and tells nothing of it.
    pub(crate) fn id(key: &Secret) -> String {
        let digest = sha256(&[b"coffer seal key id 1\0", key.expose()]);
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// A key file's text.
    pub(crate) fn text(key: &Secret) -> Zeroizing<String> {
        // All at once, so that growing it leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(key.expose(), &mut text);
        text.push('\n');
        text
    }

    /// Makes a new key file; one that exists is never overwritten. Durable on return.
    pub(crate) fn create(&self) -> Result<Secret, FileSealError> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(|error| self.io("create its directory", error))?;
        let secret = Secret::random(KEY_BYTES)?;
        let mut text = Zeroizing::new([0_u8; PREFIX.len() + 44]);
        let mut text_len = 0;
        if let Some((head, tail)) = text.split_at_mut_checked(PREFIX.len()) {
            head.copy_from_slice(PREFIX.as_bytes());
            let encoded = URL_SAFE_NO_PAD.encode_slice(secret.expose(), tail);
            text_len = PREFIX.len() + encoded.map_err(|_| FileSealError::Format { path: self.path.clone() })?;
        }
        if let Some(end) = text.get_mut(text_len) {
            *end = b'\n';
        }
        // Written under another name and linked, so that the file is whole whenever it exists.
        let suffix = URL_SAFE_NO_PAD.encode(rng::bytes::<6>()?);
        let temporary = self.path.with_extension(format!("{suffix}.new"));
        let written = write_new(&temporary, text.get(..=text_len).unwrap_or_default())
            .and_then(|()| fs::hard_link(&temporary, &self.path));
        let removed = fs::remove_file(&temporary);
        written.map_err(|error| self.io("write it", error))?;
        removed.map_err(|error| self.io("remove the temporary file beside it", error))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| self.io("sync its directory", error))?;
        Ok(secret)
    }

    fn io(&self, operation: &'static str, source: io::Error) -> FileSealError {
        FileSealError::Io { path: self.path.clone(), operation, source }
    }
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn created_key_reads_back_and_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let seal = FileSeal::new(dir.path().join("sub/seal.key"));
        assert!(seal.read().unwrap().is_none());
        let made = seal.create().unwrap();
        assert_eq!(seal.read().unwrap().unwrap().expose(), made.expose());
        assert!(matches!(seal.create(), Err(FileSealError::Io { .. })));
        assert_eq!(seal.read().unwrap().unwrap().expose(), made.expose());
        assert_eq!(fs::read_dir(dir.path().join("sub")).unwrap().count(), 1, "the temporary file is gone");
    }

    #[test]
    fn key_file_open_to_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let seal = FileSeal::new(dir.path().join("seal.key"));
        seal.create().unwrap();
        fs::set_permissions(seal.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(seal.read(), Err(FileSealError::Mode { .. })));
    }

    #[test]
    fn key_file_that_is_no_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        for path in [fifo.as_path(), dir.path(), Path::new("/dev/zero"), Path::new("/dev/null")] {
            let read = FileSeal::new(path.to_owned()).read();
            assert!(matches!(read, Err(FileSealError::Kind { .. })), "{}", path.display());
        }
    }

    #[test]
    fn damaged_key_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let seal = FileSeal::new(dir.path().join("seal.key"));
        seal.create().unwrap();
        let text = fs::read(seal.path()).unwrap();
        for bad in [&text[..0], &text[..text.len() - 3], b"hello", &[b'x'; 4096]] {
            fs::write(seal.path(), bad).unwrap();
            assert!(matches!(seal.read(), Err(FileSealError::Format { .. })), "{bad:?}");
        }
    }
}
