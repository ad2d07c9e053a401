//! `coffer scan` on repositories: what is staged, what commits added, and the hook that asks before each.

mod binary;
mod large;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

/// A repository of its own, with git's settings of nobody.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
            .write("rules.toml", "[[rules]]\nid = \"demo\"\nregex = \"demo-[0-9]{16}\"\nkeywords = [\"demo-\"]\n");
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let coffer = Path::new(env!("CARGO_BIN_EXE_coffer")).parent().unwrap();
        let path = format!("{}:{}", coffer.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path())
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .current_dir(self.path());
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@localhost");
        }
        command
    }

    fn try_git(&self, args: &[&str]) -> Output {
        self.command("git").args(args).output().unwrap()
    }

    fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--no-verify", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Exit code, stdout and stderr of `coffer scan`.
    fn scan(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = self.command(env!("CARGO_BIN_EXE_coffer"));
        said(&command.arg("scan").args(args).output().unwrap())
    }
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const STAGED: [&str; 4] = ["--staged", "--config", "rules.toml", "-q"];

#[test]
fn staged_changes_are_scanned_and_nothing_else() {
    let repository = Repository::new();
    repository.write("old", "demo-1111111111111111\n");
    repository.commit("one");
    repository.write("old", "demo-1111111111111111\nmore\n");
    repository.write("sub dir/ä", "x\ndemo-2222222222222222");
    repository.git(&["add", "--all"]);
    repository.write("sub dir/ä", "x\ndemo-2222222222222222\ndemo-3333333333333333\n");
    let (code, stdout, stderr) = repository.scan(&STAGED);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (10, "sub dir/ä:2:1: demo demo… (21 characters)\n", ""));
    // The first commit of a repository, and settings that change what git prints.
    let repository = Repository::new();
    repository.write("new", "demo-1111111111111111\n");
    repository.git(&["add", "--all"]);
    for setting in
        [["diff.noprefix", "true"], ["color.ui", "always"], ["diff.mnemonicPrefix", "true"], ["diff.context", "9"]]
    {
        repository.git(&["config", setting[0], setting[1]]);
    }
    repository.git(&["config", "diff.external", "false"]);
    assert_eq!(repository.scan(&STAGED).1, "new:1:1: demo demo… (21 characters)\n");
}

#[test]
fn commits_are_scanned_with_what_they_added_even_if_it_is_gone() {
    let repository = Repository::new();
    let first = repository.commit("first");
    repository.write("a", "demo-1111111111111111\n");
    let leaked = repository.commit("leak");
    repository.write("a", "clean\n");
    repository.commit("take it out");
    repository.git(&["checkout", "--quiet", "-b", "side", &first]);
    repository.write("b", "demo-2222222222222222\n");
    let side = repository.commit("side");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["merge", "--quiet", "--no-edit", "side"]);
    let (code, stdout, _) = repository.scan(&["--git-range", &format!("{first}..HEAD"), "--config", "rules.toml"]);
    let expected = format!(
        "{}:a:1:1: demo demo… (21 characters)\n{}:b:1:1: demo demo… (21 characters)\n",
        &leaked[..12],
        &side[..12]
    );
    assert_eq!((code, stdout), (10, expected));
    let (code, stdout, stderr) =
        repository.scan(&["--git-range", &format!("{leaked}..main~1"), "--config", "rules.toml"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "no secrets in 1 file\n"));
    let (code, _, stderr) = repository.scan(&["--git-range", "none..HEAD", "--config", "rules.toml"]);
    assert_eq!(code, 1);
    assert!(stderr.starts_with("fatal: ") && stderr.ends_with("error: git refused, as it says above\n"), "{stderr}");
}

#[test]
fn hook_refuses_a_commit_with_a_secret_and_keeps_the_hook_before_it() {
    let repository = Repository::new();
    repository.write(".coffer-scan.toml", "[[rules]]\nid = \"demo\"\nregex = \"demo-[0-9]{16}\"\n");
    repository.commit("first");
    let hook = repository.path().join(".git/hooks/pre-commit");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, "#!/bin/sh\necho ran >> \"$HOME/ran\"\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();

    let (code, stdout, stderr) = repository.scan(&["install-hook"]);
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert_eq!(
        stderr,
        "wrote .git/hooks/pre-commit\n\
         the hook that was there is kept as .git/hooks/pre-commit.before-coffer and runs first\n"
    );
    let (_, _, stderr) = repository.scan(&["install-hook"]);
    assert_eq!(stderr, ".git/hooks/pre-commit is there already\n");

    repository.write("a", "fine\n");
    repository.git(&["add", "a"]);
    repository.git(&["commit", "--quiet", "--message", "fine"]);
    repository.write("a", "demo-1111111111111111\n");
    repository.git(&["add", "a"]);
    let refused = said(&repository.try_git(&["commit", "--quiet", "--message", "leak"]));
    assert_ne!(refused.0, 0);
    assert!(format!("{}{}", refused.1, refused.2).contains("a:1:1: demo demo… (21 characters)\n"), "{refused:?}");
    assert_eq!(repository.git(&["log", "-1", "--format=%s"]), "fine");
    assert_eq!(fs::read_to_string(repository.path().join("ran")).unwrap(), "ran\nran\n");

    // The hook before says no: nothing is scanned.
    let before = repository.path().join(".git/hooks/pre-commit.before-coffer");
    fs::write(&before, "#!/bin/sh\nexit 3\n").unwrap();
    assert!(!repository.try_git(&["commit", "--quiet", "--message", "x"]).status.success());
    // A hook of somebody else beside the one that is kept is nothing to guess about.
    fs::write(&hook, "#!/bin/sh\n").unwrap();
    let (code, _, stderr) = repository.scan(&["install-hook"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("are both there"), "{stderr}");
}

#[test]
fn hook_that_somebody_changed_is_left_as_it_is() {
    let repository = Repository::new();
    repository.commit("first");
    repository.scan(&["install-hook"]);
    let hook = repository.path().join(".git/hooks/pre-commit");
    let ours = fs::read_to_string(&hook).unwrap();
    let changed = ours.replace("--staged", "--staged --baseline known.json");
    fs::write(&hook, &changed).unwrap();
    let (code, _, stderr) = repository.scan(&["install-hook"]);
    let is_there = ".git/hooks/pre-commit is there already, and not as this command writes it";
    assert_eq!((code, stderr), (0, format!("{is_there}: it is left as it is\n")));
    let (code, _, stderr) = repository.scan(&["install-hook", "--config", "rules.toml"]);
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.starts_with(&format!("error: {is_there}\n")), "{stderr}");
    assert_eq!(fs::read_to_string(&hook).unwrap(), changed);
    assert_eq!(
        fs::read_dir(hook.parent().unwrap())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with("before-coffer") })
            .count(),
        0
    );

    // One of somebody else that only speaks of ours is kept and runs first.
    fs::write(&hook, "#!/bin/sh\n# instead of coffer scan install-hook\n").unwrap();
    let (code, _, stderr) = repository.scan(&["install-hook"]);
    assert!(code == 0 && stderr.contains("is kept as"), "{stderr}");
    let kept = fs::read_to_string(repository.path().join(".git/hooks/pre-commit.before-coffer")).unwrap();
    assert!(kept.contains("instead of"), "{kept}");
}

#[test]
fn hook_has_the_options_that_it_is_installed_with() {
    let repository = Repository::new();
    let rules = fs::read_to_string(repository.path().join("rules.toml")).unwrap();
    repository.write("sub dir/it's rules.toml", rules);
    repository.write("old", "demo-1111111111111111\n");
    repository.scan(&["--config", "rules.toml", "--write-baseline", "sub dir/known.json", "-q"]);
    repository.commit("first");
    let install = ["scan", "install-hook", "--config", "it's rules.toml", "--baseline", "known.json"];
    let mut command = repository.command(env!("CARGO_BIN_EXE_coffer"));
    let output = command.args(install).current_dir(repository.path().join("sub dir")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    repository.write("old", "moved\ndemo-1111111111111111\n");
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "known"]);
    repository.write("new", "demo-2222222222222222\n");
    repository.git(&["add", "--all"]);
    assert!(!repository.try_git(&["commit", "--quiet", "--message", "leak"]).status.success());
    // Written again by a plain call, it would lose them: it stays.
    let hook = repository.path().join(".git/hooks/pre-commit");
    let before = fs::read_to_string(&hook).unwrap();
    assert_eq!(repository.scan(&["install-hook"]).0, 0);
    assert_eq!(fs::read_to_string(&hook).unwrap(), before);
    let (code, _, stderr) = repository.scan(&["install-hook", "--baseline", "none.json"]);
    assert_eq!((code, stderr.as_str()), (1, "error: cannot read none.json: no such file or directory\n"));
}

#[test]
fn hook_goes_where_git_looks_for_hooks_and_needs_a_repository() {
    let repository = Repository::new();
    repository.git(&["config", "core.hooksPath", "my hooks"]);
    assert_eq!(repository.scan(&["install-hook"]).2, "wrote my hooks/pre-commit\n");
    let mode = fs::metadata(repository.path().join("my hooks/pre-commit")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111 & mode);
    assert_ne!(mode & 0o100, 0);

    let elsewhere = Repository(tempfile::tempdir().unwrap());
    let (code, _, stderr) = elsewhere.scan(&["install-hook"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("not a git repository"), "{stderr}");
}
