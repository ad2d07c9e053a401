//! Where a backup lies: a folder with a file for each part, or one file with all of them.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use coffer_crypto::hash::Sha256;

use super::{
    BackupError, IDENTITY, MANIFEST, MAX_MANIFEST, Manifest, Part, PartInfo,
    pack::{MAGIC, MAX_NAME, part_name},
};

/// A backup, before anything of it is believed.
pub struct Source {
    path: PathBuf,
    /// Of one file: its parts, and where their first chunks begin.
    parts: Option<Vec<(String, u64)>>,
    watch: Option<Watch>,
}

/// Is told how many bytes more of a part were read.
pub type Watch = Arc<dyn Fn(u64) + Send + Sync>;

impl Source {
    /// Looks at what is there.
    ///
    /// # Errors
    /// [`BackupError::Io`]; [`BackupError::Damaged`] where it is no backup, or cut off.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let found = std::fs::metadata(path).map_err(|source| read_failed(path, source))?;
        if found.is_dir() {
            return Ok(Self { path: path.to_owned(), parts: None, watch: None });
        }
        let file = File::open(path).map_err(|source| read_failed(path, source))?;
        let parts = index(path, file, found.len())?;
        Ok(Self { path: path.to_owned(), parts: Some(parts), watch: None })
    }

    /// Has somebody told how far the reading of its parts has come.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn manifest(&self) -> Result<Manifest, BackupError> {
        let bytes = self.small(MANIFEST)?.ok_or_else(|| BackupError::damaged(MANIFEST, "is missing"))?;
        Manifest::read(&bytes)
    }

    /// The encrypted key of a backup under a passphrase.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn identity(&self) -> Result<Option<Vec<u8>>, BackupError> {
        self.small(IDENTITY)
    }

    /// The bytes of a part. Its end is an error where they are not what the manifest says: what is read is held against it each
    /// time, for it may be exchanged between two.
    ///
    /// # Errors
    /// [`BackupError::Io`], [`BackupError::Damaged`] where it is missing.
    pub(crate) fn part(&self, manifest: &Manifest, part: Part) -> Result<Box<dyn Read + Send>, BackupError> {
        let missing = || BackupError::damaged(part.name(), "is missing");
        let info = *manifest.part(part).ok_or_else(missing)?;
        Ok(Box::new(Held { input: self.bytes(part)?, info, digest: Sha256::new(), len: 0, ended: Ended::No }))
    }

    fn bytes(&self, part: Part) -> Result<Box<dyn Read + Send>, BackupError> {
        let input = self.reader(&part.file())?.ok_or_else(|| BackupError::damaged(part.name(), "is missing"))?;
        Ok(match &self.watch {
            None => input,
            Some(watch) => Box::new(Watched { input, watch: Arc::clone(watch) }),
        })
    }

    /// Whether there is such a part.
    pub(crate) fn has(&self, part: Part) -> Result<bool, BackupError> {
        Ok(self.reader(&part.file())?.is_some())
    }

    /// Holds a part against what the manifest says of it.
    ///
    /// # Errors
    /// [`BackupError::Damaged`], [`BackupError::Io`].
    pub(crate) fn check(&self, manifest: &Manifest, part: Part) -> Result<(), BackupError> {
        let Some(info) = manifest.part(part) else { return Ok(()) };
        let mut input = self.bytes(part)?;
        let (mut digest, mut len) = (Sha256::new(), 0_u64);
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(super::parts::failed(part, error)),
            };
            digest.update(buffer.get(..read).unwrap_or_default());
            len += u64::try_from(read).unwrap_or(u64::MAX);
        }
        let damaged = |what: &str| Err(BackupError::damaged(part.name(), what));
        match () {
            () if len < info.len => damaged("was cut off: it is shorter than the manifest says"),
            () if len > info.len => damaged("is longer than the manifest says"),
            () if digest.finish() != info.digest => damaged("was edited, or is of another backup"),
            () => Ok(()),
        }
    }

    fn small(&self, name: &str) -> Result<Option<Vec<u8>>, BackupError> {
        let Some(input) = self.reader(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = input.take(MAX_MANIFEST + 1).read_to_end(&mut bytes);
        read.map_err(|source| read_failed(&self.path.join(name), source))?;
        match u64::try_from(bytes.len()) {
            Ok(len) if len <= MAX_MANIFEST => Ok(Some(bytes)),
            Ok(_) | Err(_) => Err(BackupError::damaged(name, "is too long")),
        }
    }

    fn reader(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, BackupError> {
        let Some(parts) = &self.parts else {
            let path = self.path.join(name);
            return match File::open(&path) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(read_failed(&path, source)),
            };
        };
        let Some((_, at)) = parts.iter().find(|(part, _)| part == name) else { return Ok(None) };
        let mut file = File::open(&self.path).map_err(|source| read_failed(&self.path, source))?;
        file.seek(SeekFrom::Start(*at)).map_err(|source| read_failed(&self.path, source))?;
        Ok(Some(Box::new(Chunks { file, left: 0, ended: Ended::No })))
    }
}

/// The names of the parts in one file, and where they begin.
fn index(path: &Path, mut file: File, len: u64) -> Result<Vec<(String, u64)>, BackupError> {
    let mut parts: Vec<(String, u64)> = Vec::new();
    let shown = |parts: &[(String, u64)]| parts.last().map_or("the beginning".to_owned(), |(name, _)| name.clone());
    let mut at = 0_u64;
    let take = |file: &mut File, at: &mut u64, parts: &[(String, u64)], into: &mut [u8]| {
        file.read_exact(into).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::damaged(shown(parts), "was cut off"),
            _ => read_failed(path, error),
        })?;
        *at += u64::try_from(into.len()).unwrap_or(u64::MAX);
        Ok::<(), BackupError>(())
    };
    let mut magic = [0; MAGIC.len()];
    take(&mut file, &mut at, &parts, &mut magic)?;
    if magic != *MAGIC {
        return Err(BackupError::damaged(
            path.display().to_string(),
            "is not a backup of a format that this release knows",
        ));
    }
    loop {
        let mut name_len = [0];
        take(&mut file, &mut at, &parts, &mut name_len)?;
        let [name_len] = name_len;
        let mut name = vec![0; usize::from(name_len)];
        take(&mut file, &mut at, &parts, &mut name)?;
        let name = part_name(&name).filter(|_| (1..=MAX_NAME).contains(&name_len));
        let name =
            name.ok_or_else(|| BackupError::damaged(shown(&parts), "is followed by something else than a part"))?;
        if parts.iter().any(|(known, _)| *known == name) {
            return Err(BackupError::damaged(name, "is there twice"));
        }
        parts.push((name, at));
        loop {
            let mut chunk = [0; 4];
            take(&mut file, &mut at, &parts, &mut chunk)?;
            let chunk = u64::from(u32::from_be_bytes(chunk));
            if chunk == 0 {
                break;
            }
            at = at.saturating_add(chunk);
            if at > len {
                return Err(BackupError::damaged(shown(&parts), "was cut off"));
            }
            file.seek(SeekFrom::Start(at)).map_err(|source| read_failed(path, source))?;
        }
        if parts.last().is_some_and(|(name, _)| name == MANIFEST) {
            return match at == len {
                true => Ok(parts),
                false => Err(BackupError::damaged(MANIFEST, "is followed by something else")),
            };
        }
    }
}

/// A part on its way, measured.
struct Held {
    input: Box<dyn Read + Send>,
    info: PartInfo,
    digest: Sha256,
    len: u64,
    ended: Ended,
}

impl Read for Held {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        if read == 0 && !out.is_empty() && self.ended == Ended::No {
            let digest = std::mem::take(&mut self.digest).finish();
            if (self.len, digest) != (self.info.len, self.info.digest) {
                let changed = "is no longer what the manifest says: it changed while it was read";
                return Err(io::Error::new(io::ErrorKind::InvalidData, changed));
            }
            self.ended = Ended::Yes;
        }
        self.digest.update(out.get(..read).unwrap_or_default());
        self.len = self.len.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

/// A part on its way, counted for somebody.
struct Watched {
    input: Box<dyn Read + Send>,
    watch: Watch,
}

impl Read for Watched {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out)?;
        (self.watch)(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

/// The chunks of one part.
struct Chunks {
    file: File,
    left: u64,
    ended: Ended,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Ended {
    No,
    Yes,
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && self.ended == Ended::No && !out.is_empty() {
            let mut len = [0; 4];
            self.file.read_exact(&mut len)?;
            self.left = u64::from(u32::from_be_bytes(len));
            if self.left == 0 {
                self.ended = Ended::Yes;
            }
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let (out, _) = out.split_at_mut(most);
        if out.is_empty() {
            return Ok(0);
        }
        let read = self.file.read(out)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= u64::try_from(read).unwrap_or(0);
        Ok(read)
    }
}

fn read_failed(path: &Path, source: io::Error) -> BackupError {
    BackupError::Io { operation: "read", path: path.to_owned(), source }
}

const BUFFER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{backup::manifest::tests::manifest, tlog::tests::vectors::signer};

    #[test]
    fn part_that_changes_between_two_readings_is_refused_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(Part::Store.file());
        std::fs::write(&path, b"what was backed up").unwrap();
        let mut manifest = manifest(&signer("cluster/node", 0));
        let digest = coffer_crypto::hash::sha256(&[b"what was backed up"]);
        manifest.parts = vec![PartInfo { part: Part::Store, len: 18, digest, items: 1 }];
        let (seen, watch) = (Arc::new(std::sync::atomic::AtomicU64::new(0)), std::sync::atomic::Ordering::Relaxed);
        let counter = Arc::clone(&seen);
        let count: Watch = Arc::new(move |more| {
            counter.fetch_add(more, watch);
        });
        let source = Source::open(dir.path()).unwrap().watched(count);
        source.check(&manifest, Part::Store).unwrap();
        let read = |source: &Source| {
            let mut bytes = Vec::new();
            source.part(&manifest, Part::Store).unwrap().read_to_end(&mut bytes).map(|_| bytes)
        };
        assert_eq!(read(&source).unwrap(), b"what was backed up");
        assert_eq!(seen.load(watch), 36);
        for changed in [&b"what was smuggled!"[..], b"what was", b"what was backed up and more", b""] {
            std::fs::write(&path, changed).unwrap();
            let error = read(&source).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(matches!(super::super::parts::failed(Part::Store, error), BackupError::Damaged { .. }));
        }
    }
}
