//! `coffer scan install-hook`: git asks before each commit.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;

use super::git;
use crate::{
    failure::{Exit, Failure},
    session::Session,
};

/// Options of `scan install-hook`: what the scan before each commit is to use.
#[derive(Args)]
pub(super) struct Arguments {
    /// Rules in the format of gitleaks
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Findings that are known already, from --write-baseline
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

/// Writes the hook. One that was there before is kept under another name and runs first; what somebody made of ours is
/// left as it is.
///
/// # Errors
/// Where this is no repository, or its hooks cannot be written.
pub(super) fn install(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let script = arguments.script()?;
    let folder = git::hooks()?;
    let (hook, before) = (folder.join("pre-commit"), folder.join(BEFORE));
    let cannot = |path: &Path, error: &io::Error| Failure::io(format!("cannot write {}", path.display()), error);
    fs::create_dir_all(&folder).map_err(|error| cannot(&folder, &error))?;
    let is_there = fs::symlink_metadata(&hook).is_ok();
    // What is no text is somebody else's.
    let text = fs::read_to_string(&hook).unwrap_or_default();
    if text == script {
        session.output.note(format!("{} is there already", hook.display()));
        return Ok(());
    }
    let is_ours = RELEASED.contains(&text.as_str());
    if !is_ours && text.contains(BEFORE) {
        // Made of ours, by its options or by hand. As the hook before, it would call itself without end.
        let is_there = format!("{} is there already, and not as this command writes it", hook.display());
        if arguments.is_plain() {
            session.output.note(format!("{is_there}: it is left as it is"));
            return Ok(());
        }
        return Err(Failure::new(Exit::Conflict, is_there)
            .hint("take what it should keep from it and remove it, then try again"));
    }
    let is_foreign = is_there && !is_ours;
    if is_foreign {
        if fs::symlink_metadata(&before).is_ok() {
            return Err(Failure::local(format!("{} and {} are both there", hook.display(), before.display()))
                .hint("put what both do into one of them, then try again"));
        }
        fs::rename(&hook, &before).map_err(|error| cannot(&before, &error))?;
    }
    if let Err(error) = write(&folder, &hook, &script) {
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

impl Arguments {
    fn is_plain(&self) -> bool {
        self.config.is_none() && self.baseline.is_none()
    }

    /// The hook with these options; its files are named from the top of the tree, where git runs hooks.
    fn script(&self) -> Result<String, Failure> {
        let mut options = String::new();
        for (option, path) in [("--config", &self.config), ("--baseline", &self.baseline)] {
            let Some(path) = path else { continue };
            fs::metadata(path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
            let from_top = git::prefix()?.join(path);
            let text = from_top.to_str().ok_or_else(|| Failure::local(format!("{option} names no UTF-8")))?;
            options.push_str(&format!(" {option} '{}'", text.replace('\'', r"'\''")));
        }
        Ok(format!("{}{options}\n", SCRIPT.trim_end()))
    }
}

fn write(folder: &Path, hook: &Path, script: &str) -> io::Result<()> {
    let new = folder.join(format!("pre-commit.{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o777)
        .open(&new)
        .and_then(|mut file| file.write_all(script.as_bytes()))
        .and_then(|()| fs::rename(&new, hook));
    if written.is_err() {
        // Nothing of it is left behind.
        let _ = fs::remove_file(&new);
    }
    written
}

/// The name under which a hook is kept.
const BEFORE: &str = "pre-commit.before-coffer";

/// What some release wrote, to the byte: nothing is lost where another takes its place.
const RELEASED: [&str; 1] = [SCRIPT];

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
