//! Folders: what is read of them and what is not.

use std::{
    os::unix::fs::symlink,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use coffer_scan::{IgnoreFiles, Scanned, Tree, scan_tree};

use crate::sample::{filled, rules};

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn scanned(directory: &tempfile::TempDir, ignore_files: IgnoreFiles) -> Scanned {
    let roots = [directory.path().to_owned()];
    scan_tree(&rules(), &Tree { roots: &roots, base: directory.path(), ignore_files, threads: 2, watch: &|_| {} })
        .unwrap()
}

fn paths(scanned: &Scanned) -> Vec<&str> {
    scanned.findings.iter().map(|found| &*found.path).collect()
}

#[test]
fn files_are_scanned_but_what_git_leaves_out_and_gits_own() {
    let token = filled("ghp_{w36}\n");
    let files = [".gitignore", "a/b/deep", ".env", "left.log", "out/x", ".git/config", "a/.gitignore", "a/b/skip"];
    let files = files.map(|path| match path {
        ".gitignore" => (path, "*.log\n/out/\n"),
        "a/.gitignore" => (path, "skip\n"),
        other => (other, token.as_str()),
    });
    let directory = tree(&files);
    assert_eq!(paths(&scanned(&directory, IgnoreFiles::Honoured)), [".env", "a/b/deep"]);
    assert_eq!(
        paths(&scanned(&directory, IgnoreFiles::PassedOver)),
        [".env", "a/b/deep", "a/b/skip", "left.log", "out/x"]
    );
}

#[test]
fn links_below_are_not_followed_and_a_root_may_be_one() {
    let outside = tree(&[("secret", &filled("ghp_{w36}"))]);
    let directory = tree(&[("a", "nothing")]);
    symlink(outside.path(), directory.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), directory.path().join("file")).unwrap();
    assert_eq!(scanned(&directory, IgnoreFiles::Honoured).findings.len(), 0);
    let roots = [directory.path().join("file"), directory.path().join("folder")];
    let tree =
        Tree { roots: &roots, base: directory.path(), ignore_files: IgnoreFiles::Honoured, threads: 2, watch: &|_| {} };
    assert_eq!(paths(&scan_tree(&rules(), &tree).unwrap()), ["file", "folder/secret"]);
}

#[test]
fn root_that_is_not_there_is_an_error() {
    let directory = tree(&[]);
    let roots = [directory.path().join("none")];
    let tree =
        Tree { roots: &roots, base: directory.path(), ignore_files: IgnoreFiles::Honoured, threads: 2, watch: &|_| {} };
    assert!(scan_tree(&rules(), &tree).is_err());
}

#[test]
fn findings_come_in_order_whatever_thread_found_them() {
    let text = filled("\nghp_{w36}\nglpat-{b20} npm_{w36}\n");
    let files: Vec<String> = (0..200).map(|at| format!("{}/{at:03}", at % 7)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|path| (path.as_str(), text.as_str())).collect();
    let directory = tree(&files);
    let scanned = scanned(&directory, IgnoreFiles::Honoured);
    assert_eq!((scanned.findings.len(), scanned.files), (600, 200));
    let places: Vec<_> =
        scanned.findings.iter().map(|found| (found.path.to_string(), found.line, found.column)).collect();
    assert!(places.is_sorted());
}

#[test]
fn large_files_are_read_to_their_end() {
    // What a program holds of them meanwhile is measured where it runs by itself, in the tests of the command line.
    let line = "    let value = self.parameters.get(\"name\").map(|text| text.trim().to_owned()); // é token\n";
    let text = line.repeat(16_000) + &filled("ghp_{w36}");
    let directory = tree(&[("a.rs", &text), ("b/c.rs", &text)]);
    let told = AtomicU64::new(0);
    let watch = |bytes| {
        told.fetch_add(bytes, Ordering::Relaxed);
    };
    let roots = [directory.path().to_owned()];
    let tree =
        Tree { roots: &roots, base: directory.path(), ignore_files: IgnoreFiles::Honoured, threads: 2, watch: &watch };
    let scanned = scan_tree(&rules(), &tree).unwrap();
    assert_eq!(told.into_inner(), scanned.bytes);
    assert_eq!(scanned.findings.iter().map(|found| found.line).collect::<Vec<_>>(), [16_001, 16_001]);
    assert_eq!(scanned.bytes, u64::try_from(2 * text.len()).unwrap());
}

#[test]
fn unreadable_file_is_told() {
    let directory = tree(&[("a", "nothing")]);
    let path = PathBuf::from("/proc/self/mem");
    let roots = [path.clone()];
    let tree =
        Tree { roots: &roots, base: directory.path(), ignore_files: IgnoreFiles::Honoured, threads: 1, watch: &|_| {} };
    let scanned = scan_tree(&rules(), &tree).unwrap();
    assert_eq!(scanned.unreadable.len(), 1);
    assert_eq!(scanned.unreadable[0].0, path.display().to_string());
}
