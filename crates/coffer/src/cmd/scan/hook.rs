//! `coffer scan install-hook`: git asks before each commit.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::git;
use crate::{failure::Failure, session::Session};

/// Writes the hook. One that was there before is kept under another name and runs first.
///
/// # Errors
/// Where this is no repository, or its hooks cannot be written.
pub(super) fn install(session: &Session) -> Result<(), Failure> {
    let folder = git::hooks()?;
    let (hook, before) = (folder.join("pre-commit"), folder.join(BEFORE));
    let cannot = |path: &Path, error: &io::Error| Failure::io(format!("cannot write {}", path.display()), error);
    fs::create_dir_all(&folder).map_err(|error| cannot(&folder, &error))?;
    let is_there = fs::symlink_metadata(&hook).is_ok();
    // What is no text is somebody else's.
    let text = fs::read_to_string(&hook).unwrap_or_default();
    if text == SCRIPT {
        session.output.note(format!("{} is there already", hook.display()));
        return Ok(());
    }
    let is_foreign = is_there && !text.contains(MARK);
    if is_foreign {
        if fs::symlink_metadata(&before).is_ok() {
            return Err(Failure::local(format!("{} and {} are both there", hook.display(), before.display()))
                .hint("put what both do into one of them, then try again"));
        }
        fs::rename(&hook, &before).map_err(|error| cannot(&before, &error))?;
    }
    if let Err(error) = write(&folder, &hook) {
        if is_foreign {
            // It was there a moment ago, and goes back.
            let _ = fs::rename(&before, &hook);
        }
        return Err(cannot(&hook, &error));
    }
    session.output.note(format!("wrote {}", hook.display()));
    if fs::symlink_metadata(&before).is_ok() {
        session.output.note(format!("the hook that was there is kept as {} and runs first", before.display()));
    }
    Ok(())
}

fn write(folder: &Path, hook: &Path) -> io::Result<()> {
    let new = folder.join(format!("pre-commit.{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o777)
        .open(&new)
        .and_then(|mut file| file.write_all(SCRIPT.as_bytes()))
        .and_then(|()| fs::rename(&new, hook));
    if written.is_err() {
        // Nothing of it is left behind.
        let _ = fs::remove_file(&new);
    }
    written
}

/// The name under which a hook is kept.
const BEFORE: &str = "pre-commit.before-coffer";

/// By which a hook is known as ours, whatever release wrote it.
const MARK: &str = "coffer scan install-hook";

const SCRIPT: &str = r#"#!/bin/sh
# Written by 'coffer scan install-hook': what looks like a secret is not committed.
# 'git commit --no-verify' passes it by.
before="$(dirname "$0")/pre-commit.before-coffer"
if [ -x "$before" ]; then
    "$before" "$@" || exit $?
fi
if ! command -v coffer >/dev/null; then
    echo "coffer is not found, so nothing was scanned: put it in PATH, or commit with --no-verify" >&2
    exit 1
fi
exec coffer scan --staged
"#;
