//! `coffer audit verify` on directories from which something is missing, or in which something else stands.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::server::{Said, Server};

/// A stopped server's log, and its first key.
struct Log {
    server: Server,
    key: String,
}

impl Log {
    fn new() -> Self {
        let mut server = Server::start(&[]);
        server.stdout(&["login", "--initial"]);
        for value in ["A=one", "B=two"] {
            server.stdout(&["secrets", "set", value, "-p", "acme"]);
        }
        let checkpoint = server.stdout(&["audit", "checkpoint", "--format", "json"]);
        let checkpoint: Value = serde_json::from_str(&checkpoint).unwrap();
        let key = checkpoint["vkey"].as_str().unwrap().to_owned();
        server.stop();
        Self { server, key }
    }

    /// A copy of the log, changed.
    fn copy(&self, name: &str, change: impl FnOnce(&Path)) -> Said {
        let dir = self.server.home().join(name);
        copy(&self.server.home().join("data/audit"), &dir);
        change(&dir);
        self.verify(name)
    }

    fn verify(&self, name: &str) -> Said {
        self.server.coffer(&["audit", "verify", name, "--vkey", &self.key])
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            drop(fs::copy(entry.path(), target))
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn what_the_checkpoint_promises_is_missed_and_named() {
    let log = Log::new();
    let said = log.copy("whole", |_| {});
    assert_eq!(said.code, 0, "{said:?}");
    let said = log.copy("bare", |dir| fs::remove_dir_all(dir.join("tile")).unwrap());
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.stderr.contains("bare/tile/") && said.stderr.contains(" is missing"), "{said:?}");
    // The newest partial bundle is promised.
    let bundle = |dir: &Path| {
        let mut all = files(&dir.join("tile/entries"));
        all.sort_by_key(|path| path.file_name().unwrap().to_str().unwrap().parse::<u64>().unwrap());
        all.pop().unwrap()
    };
    let said = log.copy("bundle", |dir| fs::remove_file(bundle(dir)).unwrap());
    assert_eq!(said.code, 8, "{said:?}");
}

#[test]
fn log_without_its_checkpoint_is_inconclusive_and_one_without_segments_says_how_far_it_goes() {
    let log = Log::new();
    let said = log.copy("unpublished", |dir| fs::remove_file(dir.join("checkpoint")).unwrap());
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.stderr.contains("unpublished has no published checkpoint"), "{said:?}");
    let said = log.copy("published", |dir| fs::remove_dir_all(dir.join("segments")).unwrap());
    assert_eq!(said.code, 0, "{said:?}");
    let line = said.stdout.lines().find(|line| line.starts_with("published has no segments: verified up to"));
    assert!(line.is_some_and(|line| line.ends_with(" entries")), "{said:?}");
}

#[test]
fn what_is_no_file_of_a_log_is_named_and_never_waited_for() {
    let log = Log::new();
    let fifo = |path: &Path| {
        fs::remove_file(path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    for name in ["checkpoint", "keys"] {
        let said = log.copy(&format!("fifo-{name}"), |dir| fifo(&dir.join(name)));
        assert_eq!(said.code, 8, "{said:?}");
        assert!(said.stderr.contains(&format!("fifo-{name}/{name} is altered")), "{said:?}");
        let said = log.server.coffer(&["audit", "verify", &format!("fifo-{name}")]);
        assert_eq!(said.code, 8, "without a key as well: {said:?}");
        let said = log.copy(&format!("long-{name}"), |dir| {
            fs::OpenOptions::new().write(true).open(dir.join(name)).unwrap().set_len(40 << 30).unwrap();
        });
        assert_eq!(said.code, 8, "{said:?}");
    }
    let said = log.copy("sparse", |dir| {
        let segment = files(&dir.join("segments")).into_iter().find(|path| path.extension().is_some()).unwrap();
        fs::OpenOptions::new().write(true).open(segment).unwrap().set_len(40 << 30).unwrap();
    });
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.stderr.contains("longer than any segment"), "{said:?}");
}

#[test]
fn folder_that_is_no_log_is_no_tampering_and_a_log_of_which_little_is_left_is() {
    let log = Log::new();
    let checkpoint = log.server.home().join("data/audit/checkpoint");
    fs::copy(checkpoint, log.server.home().join("kept")).unwrap();
    let dir = |name: &str| log.server.home().join(name);
    fs::create_dir_all(dir("photos/lock")).unwrap();
    fs::write(dir("photos/summer"), "x").unwrap();
    fs::create_dir(dir("other")).unwrap();
    fs::write(dir("other/keys"), "0 one\n").unwrap();
    fs::create_dir(dir("empty")).unwrap();
    for name in ["empty", "photos", "other"] {
        let said = log.verify(name);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.starts_with(&format!("error: {name} holds nothing of a log\nhint: name the")), "{said:?}");
        assert_eq!(log.server.coffer(&["audit", "verify", name]).code, 1);
        let since = ["audit", "verify", name, "--vkey", &log.key, "--since", "kept"];
        assert_eq!(log.server.coffer(&since).code, 8, "a checkpoint says that one was there");
    }
    // Whatever part is left tells that there was a log.
    for left in ["segments", "tile", "checkpoint", "keys"] {
        let said = log.copy(&format!("left-{left}"), |dir| {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match (path.ends_with(left), path.is_dir()) {
                    (true, _) => {}
                    (false, true) => fs::remove_dir_all(path).unwrap(),
                    (false, false) => fs::remove_file(path).unwrap(),
                }
            }
        });
        // Segments are the log whole, but for its published end.
        assert_eq!(said.code, if left == "segments" { 5 } else { 8 }, "{left}: {said:?}");
    }
}
