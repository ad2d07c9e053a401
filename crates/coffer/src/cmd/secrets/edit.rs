//! `coffer secrets edit`: a value in the user's editor, on a file that lies in memory.

use std::{
    fs::{DirBuilder, File},
    hash::{BuildHasher, Hasher},
    io::{self, IsTerminal, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use clap::Args;
use coffer_api::{
    Code, Name, Scope, Sensitive,
    secrets::{SecretSet, SetOptions, Version},
};
use coffer_client::{Client, Error};
use rustix::process::{Pid, Signal};
use tokio::process::Command;

use crate::{
    failure::{Exit, Failure},
    input,
    scope::ScopeArguments,
    session::Session,
    signals::Signals,
    value_diff,
};

/// Options of `secrets edit`.
#[derive(Args)]
#[command(after_help = "\
Opens $VISUAL, else $EDITOR, else vi, on a file in memory that nobody else can read, and saves
what the editor leaves, if it changed and nobody else changed the secret meanwhile. The file goes
away whatever happens. Editors keep things of their own: vim its viminfo and swap file, for
example (VISUAL='vim -n -i NONE').
A line break that the editor adds at the end of a value that had none is dropped again.")]
pub(crate) struct Arguments {
    /// The secret's name; it is made where there is none
    name: String,
    /// Show the lines that change, and not only how many
    #[arg(long)]
    show_values: bool,
    /// Save without asking
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Edits.
///
/// # Errors
/// Where there is no editor, no memory for the file, or the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let client = session.client()?;
    let stored = stored(&client, &scope, &name).await?;
    let mut edited = Edited { session, arguments, client, scope, name, stored };
    if session.is_planning() {
        return edited.save(Sensitive::from("")).await.map(|_| ());
    }
    let editor = match session.environment.text("VISUAL")? {
        Some(editor) => editor,
        None => session.environment.text("EDITOR")?.unwrap_or("vi"),
    };
    let file = MemoryFile::new(session, &edited.name, &edited.stored.value)?;
    loop {
        open(editor, &file.path).await?;
        let failure = match edited.offer(&file).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if !io::stdin().is_terminal() || failure.what() == TOLD_TO_END {
            return Err(failure);
        }
        // What was typed is not lost by a slip of the finger, the editor's bytes or the server's refusal.
        session.output.note(format!("not saved: {}", failure.what()));
        if failure.exit() == Exit::Conflict {
            edited.catch_up().await?;
        }
        if question("open the editor again?".to_owned()).await.is_err() {
            return Err(failure);
        }
    }
}

/// A secret that is being edited.
struct Edited<'a> {
    session: &'a Session,
    arguments: &'a Arguments,
    client: Client,
    scope: Scope,
    name: Name,
    stored: Stored,
}

/// A value as it is stored and its version; nothing and 0 where there is none.
struct Stored {
    value: Sensitive<String>,
    version: u64,
}

impl Edited<'_> {
    /// Shows what the editor left, and saves it if that is wanted.
    async fn offer(&self, file: &MemoryFile) -> Result<(), Failure> {
        let (session, name, scope) = (self.session, &self.name, &self.scope);
        let new = without_break(&self.stored.value, file.read()?);
        if new.expose() == self.stored.value.expose() {
            session.output.note(format!("{name} in {scope} is unchanged"));
            return Ok(());
        }
        self.show(&new)?;
        if !self.arguments.yes {
            let change = match session.output.has_notes() {
                true => String::new(),
                false => format!("{}; ", value_diff::summary(self.stored.value.expose(), new.expose())),
            };
            question(format!("{change}save it as a new version?")).await?;
        }
        let version = self.save(new).await?;
        session.output.show_or_note(&version, |version| super::written(name, scope, version))
    }

    /// Values go to stdout, as everywhere.
    fn show(&self, new: &Sensitive<String>) -> Result<(), Failure> {
        let (old, new) = (self.stored.value.expose(), new.expose());
        match self.arguments.show_values {
            true => self.session.output.lines_to_person(&value_diff::lines(old, new)),
            false => {
                self.session.output.note(format!("changed: {}", value_diff::summary(old, new)));
                Ok(())
            }
        }
    }

    async fn save(&self, value: Sensitive<String>) -> Result<Version, Failure> {
        let (name, scope) = (&self.name, &self.scope);
        let set = SecretSet { value, options: SetOptions { cas: Some(self.stored.version), shred: None } };
        self.client.secret_set(scope, name, &set).await.map_err(|error| refused(error, name, scope))
    }

    /// From now on the difference is shown, and saved, against what somebody else made of it.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        self.stored = stored(&self.client, &self.scope, &self.name).await?;
        let version = self.stored.version;
        self.session.output.note(format!("it is at version {version} now: what you save takes its place"));
        Ok(())
    }
}

/// Asks on the terminal; a signal is an answer too.
async fn question(text: String) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        biased;
        _ = signals.next() => Err(told_to_end()),
        answer = tokio::task::spawn_blocking(move || input::confirm(&text)) => {
            answer.unwrap_or_else(|_| Err(Failure::local("the question could not be asked")))
        }
    }
}

fn told_to_end() -> Failure {
    Failure::local(TOLD_TO_END)
}

async fn stored(client: &Client, scope: &Scope, name: &Name) -> Result<Stored, Failure> {
    match client.secret_get(scope, name, None).await {
        Ok(secret) => Ok(Stored { value: secret.value.clone(), version: secret.version.version }),
        Err(Error::Problem { problem, .. }) if is_absent(&problem) => Ok(Stored::default()),
        Err(Error::Planned) => Ok(Stored::default()),
        Err(error) => Err(error.into()),
    }
}

impl Default for Stored {
    fn default() -> Self {
        Self { value: Sensitive::from(""), version: 0 }
    }
}

/// Nothing was ever there: what is deleted has a version, and what has another shape is no secret.
fn is_absent(problem: &coffer_api::Problem) -> bool {
    problem.code == Code::NotFound && problem.detail.is_none()
}

fn refused(error: Error, name: &Name, scope: &Scope) -> Failure {
    let hint =
        format!("somebody changed it meanwhile: 'coffer secrets get {name} --raw --scope {scope}' shows how it is now");
    Failure::hinted(error, Code::Conflict, hint)
}

fn without_break(old: &Sensitive<String>, new: Sensitive<String>) -> Sensitive<String> {
    if old.expose().ends_with('\n') {
        return new;
    }
    match new.expose().strip_suffix('\n') {
        Some(text) => Sensitive::from(text),
        None => new,
    }
}

/// Runs the editor to its end. A signal from elsewhere is passed on to it.
async fn open(editor: &str, path: &Path) -> Result<(), Failure> {
    let failed = |error: &io::Error| Failure::io("cannot start the editor", error);
    // As git does: the variable may hold arguments.
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$@\""))
        .arg(editor)
        .arg(path)
        .spawn()
        .map_err(|error| failed(&error))?;
    // Keys such as ^C are the editor's, which the terminal sends them to as well.
    let mut signals = Signals::listen()?;
    let mut told = 0_u32;
    let status = loop {
        let signal = tokio::select! {
            status = child.wait() => break status.map_err(|error| failed(&error))?,
            signal = signals.next() => signal,
        };
        if matches!(signal, Signal::INT | Signal::QUIT) {
            continue;
        }
        told += 1;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // An editor that has just ended cannot be told any more, and one that does not listen is ended at the second time.
        match pid {
            Some(pid) if told == 1 => {
                let _ = rustix::process::kill_process(pid, signal);
            }
            Some(_) | None => {
                let _ = child.start_kill();
            }
        }
    };
    match (told, status.success()) {
        (1.., _) => Err(told_to_end()),
        (0, true) => Ok(()),
        (0, false) => Err(Failure::local(format!("the editor {editor} failed, and nothing was saved"))
            .hint("VISUAL or EDITOR name another one")),
    }
}

/// A file in a folder of its own on a file system that lies in memory.
struct MemoryFile {
    path: PathBuf,
    folder: PathBuf,
    /// Removes the folder once this process has gone, however it goes.
    broom: Child,
}

impl MemoryFile {
    fn new(session: &Session, name: &Name, text: &Sensitive<String>) -> Result<Self, Failure> {
        let failed = |error: &io::Error| Failure::io("cannot make a file in memory", error);
        let folder = memory(session)
            .ok_or_else(|| {
                Failure::local("there is no file system in memory for the editor's file")
                    .hint("mount a tmpfs at /dev/shm, or use 'coffer secrets set NAME=-'")
            })?
            .join(format!("coffer-edit-{:x}-{:x}", std::process::id(), unlike()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|error| failed(&error))?;
        let broom = match broom(&folder) {
            Ok(broom) => broom,
            Err(error) => {
                let _ = std::fs::remove_dir(&folder);
                return Err(failed(&error));
            }
        };
        let memory_file = Self { path: folder.join(name.as_str()), folder, broom };
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&memory_file.path)
            .map_err(|error| failed(&error))?;
        file.write_all(text.expose().as_bytes()).map_err(|error| failed(&error))?;
        Ok(memory_file)
    }

    fn read(&self) -> Result<Sensitive<String>, Failure> {
        input::file_value(&self.path)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        // The broom comes behind where this fails.
        let _ = std::fs::remove_dir_all(&self.folder);
        drop(self.broom.stdin.take());
        let _ = self.broom.wait();
    }
}

/// A folder that lies in memory and may be written.
fn memory(session: &Session) -> Option<PathBuf> {
    let folders = [Some(PathBuf::from("/dev/shm")), session.environment.path("XDG_RUNTIME_DIR")];
    folders.into_iter().flatten().find(|folder| {
        let in_memory =
            rustix::fs::statfs(folder).is_ok_and(|stat| MEMORY.iter().any(|kind| kind == &i128::from(stat.f_type)));
        in_memory && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok()
    })
}

/// A shell that waits for the end of its input, which comes when this process ends, and removes the folder then. It is in a
/// process group of its own, so that no key of the terminal ends it before.
fn broom(folder: &Path) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;
    std::process::Command::new("sh")
        .args(["-c", "read -r line; rm -rf -- \"$1\"", "sh"])
        .arg(std::ffi::OsStr::from_bytes(folder.as_os_str().as_bytes()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// A number that no folder of an earlier command has.
fn unlike() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

const TOLD_TO_END: &str = "the command was told to end, and nothing was saved";

/// The kinds of file systems that lie in memory: tmpfs and ramfs.
const MEMORY: [i128; 2] = [0x0102_1994, 0x8584_58f6];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_break_of_the_editor_is_dropped_where_the_value_had_none() {
        let after = |old: &str, new: &str| without_break(&old.into(), new.into()).expose().clone();
        assert_eq!(after("a", "b\n"), "b");
        assert_eq!(after("a", "b\n\n"), "b\n");
        assert_eq!(after("a\n", "b\n"), "b\n");
        assert_eq!(after("a\n", "b"), "b");
        assert_eq!(after("", "b\n"), "b");
    }
}
