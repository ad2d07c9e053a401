//! What git knows: staged changes, commits. The program `git` is asked, with arguments of its own each and no shell.

use std::{
    ffi::OsString,
    io::{self, BufReader},
    os::unix::ffi::OsStringExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use coffer_scan::{Rules, Scanned, scan_diff};

use super::{Watched, failed};
use crate::{failure::Failure, output::Progress};

/// Scans what the next commit would add.
///
/// # Errors
/// Where git is not there, or refuses.
pub(super) fn staged(rules: &Rules, progress: Progress) -> Result<Scanned, Failure> {
    scan(rules, progress, ask("diff").arg("--cached").args(DIFF).arg("--diff-filter=ACMRT").arg("--"))
}

/// Scans what commits added, the first one first. Of a merge it is what it brought to its first parent.
///
/// # Errors
/// Where git is not there, or knows no such commits.
pub(super) fn range(rules: &Rules, range: &str, progress: Progress) -> Result<Scanned, Failure> {
    if range.is_empty() || range.starts_with('-') {
        return Err(Failure::local("a range of commits is wanted")
            .hint("as main..HEAD, or a commit's id alone for all up to it"));
    }
    let mut log = ask("log");
    log.args(["--patch", "--reverse", "--diff-merges=first-parent", "--format=commit %H", "--no-show-signature"]);
    scan(rules, progress, log.args(["--no-notes", "--no-decorate"]).args(DIFF).args(["--end-of-options", range, "--"]))
}

/// Where git looks for hooks in this repository.
///
/// # Errors
/// Where git is not there, or this is no repository.
pub(super) fn hooks() -> Result<PathBuf, Failure> {
    parsed(&["--git-path", "hooks"])
}

/// Where this directory lies, from the top of the tree.
///
/// # Errors
/// As [`hooks`].
pub(super) fn prefix() -> Result<PathBuf, Failure> {
    parsed(&["--show-prefix"])
}

fn parsed(question: &[&str]) -> Result<PathBuf, Failure> {
    let mut output = ask("rev-parse")
        .args(question)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| absent(&error))?;
    if !output.status.success() {
        return Err(refused());
    }
    output.stdout.pop_if(|last| *last == b'\n');
    Ok(PathBuf::from(OsString::from_vec(output.stdout)))
}

fn scan(rules: &Rules, progress: Progress, command: &mut Command) -> Result<Scanned, Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| absent(&error))?;
    let scanned = match child.stdout.take() {
        Some(reader) => scan_diff(rules, &mut BufReader::with_capacity(BUFFER, Watched { reader, progress })),
        None => Ok(Scanned::default()),
    };
    match scanned {
        Ok(scanned) => {
            let status = child.wait().map_err(|error| Failure::io("cannot wait for git", &error))?;
            if status.success() { Ok(scanned) } else { Err(refused()) }
        }
        Err(error) => {
            end(&mut child);
            Err(failed(&error))
        }
    }
}

/// git with nothing in force that the user's or the repository's settings change in its output, and no program of theirs.
fn ask(what: &str) -> Command {
    let mut command = Command::new("git");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.args(["--no-pager", what]);
    command
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn absent(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::local("git is not found")
            .hint("install it, or scan files as they are: 'coffer scan PATH' needs no git"),
        _ => Failure::io("cannot start git", error),
    }
}

fn refused() -> Failure {
    Failure::local("git refused, as it says above")
}

const DIFF: [&str; 10] = [
    // What git takes for binary is looked at like everything else: attributes and sizes are anybody's to set.
    "--text",
    "--unified=0",
    "--inter-hunk-context=0",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--submodule=short",
    "--src-prefix=a/",
    "--dst-prefix=b/",
];

const SETTINGS: [&str; 5] = [
    "core.fsmonitor=false",
    "core.quotePath=true",
    "diff.relative=false",
    "diff.suppressBlankEmpty=false",
    "log.showRoot=true",
];

/// Bytes read of git at once.
const BUFFER: usize = 256 << 10;
