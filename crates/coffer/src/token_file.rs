//! The token file: 0600, replaced as a whole or not at all, and read only where it is the user's own regular file.

use std::{
    fs::{DirBuilder, File},
    hash::{BuildHasher, Hasher},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use coffer_api::Sensitive;
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::{environment::Environment, failure::Failure};

/// `~/.config/coffer/token`.
///
/// # Errors
/// Where `HOME` is not set.
pub(crate) fn default_path(environment: &Environment) -> Result<PathBuf, Failure> {
    match environment.path("HOME") {
        Some(home) => Ok(home.join(".config/coffer/token")),
        None => Err(Failure::local("the token file is unknown: HOME is not set").hint("name it with --token-file")),
    }
}

/// The token in a file, or `None` where there is no file.
///
/// # Errors
/// Where the file is a link or another special file, someone else's, open to others, too long, or no token.
pub(crate) fn read(path: &Path) -> Result<Option<Sensitive<String>>, Failure> {
    let refuse = |why: &str| Failure::local(format!("the token file {} {why}", path.display()));
    let Some(file) = open(path)? else { return Ok(None) };
    let metadata = file.metadata().map_err(|error| failed("examine", path, &error))?;
    if !metadata.is_file() {
        return Err(refuse("is not a regular file"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(refuse("belongs to another user").hint("log in again with a --token-file of your own"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(refuse("can be used by others").hint(format!("run 'chmod 600 {}'", path.display())));
    }
    let token = token_in(file, path)?;
    if token.expose().is_empty() {
        return Err(refuse("is empty").hint("log in again"));
    }
    Ok(Some(token))
}

/// The initial token that a server wrote. Root may read another user's, for a server that runs under its own.
///
/// # Errors
/// Where there is none, or it is no regular file.
pub(crate) fn read_initial(path: &Path) -> Result<Sensitive<String>, Failure> {
    let hint = "'coffer operator initial-token --local' on the server writes a new one";
    let file = open(path)?
        .ok_or_else(|| Failure::local(format!("there is no initial token at {}", path.display())).hint(hint))?;
    let metadata = file.metadata().map_err(|error| failed("examine", path, &error))?;
    if !metadata.is_file() {
        return Err(Failure::local(format!("{} is not a regular file", path.display())));
    }
    let token = token_in(file, path)?;
    if token.expose().is_empty() {
        return Err(Failure::local(format!("{} is empty", path.display())).hint(hint));
    }
    Ok(token)
}

/// Whether a token can be written there: asked before something that cannot be done again.
///
/// # Errors
/// As [`write()`].
pub(crate) fn check_place(path: &Path) -> Result<(), Failure> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(Failure::local(format!("{} is not a regular file and is left alone", path.display()))
                .hint("remove it, or name another with --token-file"))
        }
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => {
            Err(Failure::local(format!("{} belongs to another user", path.display()))
                .hint("name a file of your own with --token-file"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("examine", path, &error)),
    }
}

/// Writes the token: to a new file beside, synced, then renamed over the old one, so that a crash leaves one or the other.
///
/// # Errors
/// Where something else than the user's own regular file stands there, or the system refuses.
pub(crate) fn write(path: &Path, token: &Sensitive<String>) -> Result<(), Failure> {
    let directory = parent(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| failed("make the directory of", path, &error))?;
    check_place(path)?;
    let new = beside(path);
    let written = write_new(&new, token).and_then(|()| std::fs::rename(&new, path));
    if let Err(error) = written {
        // Nothing more can be done where even this fails; the file is 0600 like the one it was to be.
        let _ = std::fs::remove_file(&new);
        return Err(failed("write", path, &error));
    }
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| failed("sync", path, &error))
}

/// Removes the file; whether there was one.
///
/// # Errors
/// Where the system refuses.
pub(crate) fn remove(path: &Path) -> Result<Removed, Failure> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(Removed::Now),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removed::Before),
        Err(error) => Err(failed("remove", path, &error)),
    }
}

/// What [`remove`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Removed {
    /// Nothing.
    Before,
    /// The file, now gone.
    Now,
}

/// Opens without following a link in the last place and without waiting for a pipe's other end.
fn open(path: &Path) -> Result<Option<File>, Failure> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => Ok(Some(File::from(descriptor))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(rustix::io::Errno::LOOP) => {
            Err(Failure::local(format!("{} is a symbolic link, which is not followed", path.display()))
                .hint("name the file itself with --token-file"))
        }
        Err(error) => Err(failed("read", path, &error.into())),
    }
}

fn token_in(file: File, path: &Path) -> Result<Sensitive<String>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(TOKEN_LIMIT + 1));
    let one_more = u64::try_from(TOKEN_LIMIT).unwrap_or(u64::MAX).saturating_add(1);
    file.take(one_more).read_to_end(&mut bytes).map_err(|error| failed("read", path, &error))?;
    if bytes.len() > TOKEN_LIMIT {
        return Err(Failure::local(format!("{} is too long for a token", path.display())));
    }
    match std::str::from_utf8(bytes.trim_ascii()) {
        Ok(text) if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(Sensitive::from(text)),
        Ok(_) | Err(_) => Err(Failure::local(format!("{} holds no token", path.display())).hint("log in again")),
    }
}

fn write_new(path: &Path, token: &Sensitive<String>) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(token.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// A name beside the file that no other process makes at the same time.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let random = std::hash::RandomState::new().build_hasher().finish();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:x}-{random:x}.new", std::process::id()));
    path.with_file_name(name)
}

/// The directory that the file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}

fn failed(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::io(format!("cannot {doing} {}", path.display()), error)
}

const TOKEN_LIMIT: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn read_text(path: &Path) -> Result<Option<String>, Failure> {
        read(path).map(|token| token.map(|token| token.expose().clone()))
    }

    #[test]
    fn written_token_reads_back_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/deep/token");
        assert_eq!(read_text(&path).unwrap(), None);
        for token in ["first", "second"] {
            write(&path, &token.into()).unwrap();
            assert_eq!(read_text(&path).unwrap().as_deref(), Some(token));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
        assert_eq!(remove(&path).unwrap(), Removed::Now);
        assert_eq!(remove(&path).unwrap(), Removed::Before);
    }

    #[test]
    fn symbolic_link_is_neither_read_nor_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        write(&real, &"secret".into()).unwrap();
        symlink(&real, &link).unwrap();
        assert!(read(&link).unwrap_err().what().contains("symbolic link"));
        assert!(write(&link, &"other".into()).is_err());
        assert_eq!(read_text(&real).unwrap().as_deref(), Some("secret"));
        let dangling = directory.path().join("dangling");
        symlink(directory.path().join("nowhere"), &dangling).unwrap();
        assert!(write(&dangling, &"other".into()).is_err());
        assert!(!directory.path().join("nowhere").exists());
    }

    #[test]
    fn file_open_to_others_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        write(&path, &"secret".into()).unwrap();
        for mode in [0o640, 0o604, 0o610, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(read(&path).unwrap_err().what().contains("others"), "{mode:o}");
        }
        write(&path, &"again".into()).unwrap();
        assert_eq!(read_text(&path).unwrap().as_deref(), Some("again"), "a rewrite makes it private again");
    }

    #[test]
    fn file_of_another_user_is_refused() {
        // Only root can give a file away; the owner check is the same line for everybody.
        if rustix::process::geteuid().is_root() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("token");
            write(&path, &"secret".into()).unwrap();
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert!(read(&path).unwrap_err().what().contains("another user"));
            assert!(write(&path, &"x".into()).unwrap_err().what().contains("another user"));
            assert_eq!(read_initial(&path).unwrap().expose(), "secret");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let long = "a".repeat(TOKEN_LIMIT + 1);
        for content in ["", "\n", "canary two", "canary\nx", "canary\u{e4}", &long] {
            write(&path, &content.into()).unwrap();
            let failure = read(&path).unwrap_err();
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
        for (content, token) in [("tok\n", "tok"), (" tok\r\n", "tok")] {
            write(&path, &content.into()).unwrap();
            assert_eq!(read_text(&path).unwrap().as_deref(), Some(token));
        }
    }

    #[test]
    fn special_files_are_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).is_err());
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(read(&pipe).unwrap_err().what().contains("regular"));
        assert!(write(&pipe, &"x".into()).is_err());
    }

    #[test]
    fn initial_token_missing_or_empty_is_explained() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("initial-token");
        assert!(read_initial(&path).unwrap_err().what().contains("no initial token"));
        std::fs::write(&path, "").unwrap();
        assert!(read_initial(&path).is_err());
        std::fs::write(&path, "tok\n").unwrap();
        assert_eq!(read_initial(&path).unwrap().expose(), "tok");
    }
}
