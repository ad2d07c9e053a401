//! `coffer backup create`: takes what the server sends apart into files, and keeps it only where it is whole.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use coffer_api::backup::BackupCreate;
use coffer_core::{
    age::Recipient,
    backup::{BackupDir, Checked, IDENTITY, Manifest, Output, Packer, Unpacker, Why, verify::lock},
};
use serde::Serialize;

use super::{Shown, age_failure, failure, needed};
use crate::{
    cmd::backup::Create,
    failure::{Exit, Failure},
    session::Session,
    stream::{Readers, Target},
};

#[derive(Serialize)]
struct Created {
    path: String,
    #[serde(flatten)]
    backup: Shown,
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses, the place cannot be written, or what comes is not whole.
pub(crate) async fn run(session: &Session, arguments: &Create) -> Result<(), Failure> {
    let (recipient, identity) = match (&arguments.recipient, arguments.passphrase()?) {
        (Some(recipient), _) => (Recipient::parse(recipient).map_err(age_failure)?.to_string(), None),
        (None, Some(passphrase)) => {
            // The server never sees the passphrase: it is given a key, which lies in the backup under the passphrase.
            let (recipient, locked) = lock(passphrase.expose()).map_err(age_failure)?;
            (recipient.to_string(), Some(locked))
        }
        (None, None) => return Err(Failure::local("neither a recipient nor a passphrase is given")),
    };
    let client = session.client()?;
    let place = Place::of(&arguments.out)?;
    let unwritten = |error: &io::Error| Failure::io(format!("cannot write {}", arguments.out.display()), error);
    let mut stream = client.backup_create(&BackupCreate { recipient, with_seal_key: arguments.with_seal_key }).await?;
    let mut output = place.open().map_err(|error| unwritten(&error))?;
    if let Some(locked) = &identity {
        let added = output.begin(IDENTITY).and_then(|()| output.write(locked)).and_then(|()| output.end());
        added.map_err(|error| unwritten(&error))?;
    }
    let mut unpacker = Unpacker::new(Checked::new(output));
    let mut progress = session.output.progress("backing up", None);
    while let Some(piece) = stream.next().await.map_err(|error| Failure::from(error).hint(NOTHING_KEPT))? {
        progress.add(u64::try_from(piece.len()).unwrap_or(0));
        unpacker.feed(&piece).map_err(|error| came_wrong(&error, &arguments.out))?;
    }
    drop(progress);
    let checked = unpacker.finish().map_err(|error| came_wrong(&error, &arguments.out))?;
    let (output, manifest) = checked.finish().map_err(failure)?;
    let path = output.finish(&manifest).map_err(|error| unwritten(&error))?;
    let created = Created { path: path.display().to_string(), backup: Shown::of(&manifest) };
    session.output.show_text(&created, |created| &created.path)?;
    tell(session, arguments, &manifest);
    Ok(())
}

fn tell(session: &Session, arguments: &Create, manifest: &Manifest) {
    let rows: u64 = manifest.parts.iter().map(|part| part.items).sum::<u64>().saturating_sub(manifest.log_size());
    session.output.note(format!(
        "revision {}, {rows} rows, {} entries of the log of {}",
        manifest.revision,
        manifest.log_size(),
        manifest.origin()
    ));
    session.output.note(needed(manifest));
    if arguments.with_seal_key {
        session.output.note("whoever opens this backup has every secret: it holds the seal key");
    }
}

fn came_wrong(error: &io::Error, out: &Path) -> Failure {
    if let Some(why) = error.get_ref().and_then(|error| error.downcast_ref::<Why>()) {
        return Failure::new(Exit::Unavailable, format!("the server gave the backup up: {why}")).hint(NOTHING_KEPT);
    }
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Failure::new(Exit::Server, format!("the server sent no whole backup: {error}")).hint(NOTHING_KEPT)
        }
        _ => Failure::io(format!("cannot write {}", out.display()), error),
    }
}

const NOTHING_KEPT: &str = "nothing of it was kept; make another";

/// Where the backup goes.
enum Place {
    Dir(PathBuf),
    File(Target, PathBuf),
}

enum Out {
    Dir(BackupDir),
    File(Packer<Target>, PathBuf),
}

impl Place {
    fn of(path: &Path) -> Result<Self, Failure> {
        // It is known to be whole at its end alone, and then it would be out.
        if path == Path::new("-") {
            return Err(Failure::local("a backup is written to a folder or a file, not to stdout"));
        }
        let ends_as_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match path.is_dir() || ends_as_folder {
            true => Ok(Self::Dir(path.to_owned())),
            false => Ok(Self::File(Target::open(Some(path), Readers::Owner)?, path.to_owned())),
        }
    }

    fn open(self) -> io::Result<Out> {
        Ok(match self {
            Self::Dir(path) => Out::Dir(BackupDir::create(&path)?),
            Self::File(target, path) => Out::File(Packer::new(target)?, path),
        })
    }
}

impl Out {
    fn finish(self, manifest: &Manifest) -> io::Result<PathBuf> {
        match self {
            Self::Dir(dir) => dir.finish(manifest),
            Self::File(packer, path) => {
                let mut target = packer.finish()?;
                target.flush()?;
                target.finish().map_err(|failure| io::Error::other(failure.what().to_owned()))?;
                Ok(path)
            }
        }
    }
}

impl Output for Out {
    fn begin(&mut self, name: &str) -> io::Result<()> {
        match self {
            Self::Dir(dir) => dir.begin(name),
            Self::File(packer, _) => packer.begin(name),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Dir(dir) => dir.write(bytes),
            Self::File(packer, _) => packer.write(bytes),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Dir(dir) => dir.end(),
            Self::File(packer, _) => packer.end(),
        }
    }
}
