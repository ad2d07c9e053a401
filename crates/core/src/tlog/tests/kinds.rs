//! What stands in the place of a log's files and cannot be one of them: found, named, and never waited for.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        Log, RealDisk,
        verify::{Finding, Report, Verification, VerifyError, verify_dir},
    },
    ORIGIN, append, small,
    vectors::{entry, signer, signing_key},
};

/// A closed log of 300 entries on a real disk.
async fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), Arc::new(RealDisk), signing_key(0), small(), None).unwrap();
    for ten in 0..30 {
        append(&log, (ten * 10..ten * 10 + 10).map(entry).collect()).await.unwrap();
    }
    log.close().unwrap();
    dir
}

fn verify(dir: &Path) -> Result<Report, VerifyError> {
    let keys = [signer(ORIGIN, 0).verifier().clone()];
    verify_dir(&RealDisk, Verification { dir, keys: &keys, since: None }, &mut |_, _| Ok(()))
}

fn segment(dir: &Path) -> PathBuf {
    let mut all: Vec<PathBuf> =
        fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    all.sort();
    all.pop().unwrap()
}

#[tokio::test]
async fn anything_but_a_regular_file_in_a_files_place_is_found_at_once() {
    let kept = log().await;
    verify(kept.path()).unwrap();
    let last = segment(kept.path()).strip_prefix(kept.path()).unwrap().to_str().unwrap().to_owned();
    let names = ["checkpoint", "keys", "tile/0/000", "tile/entries/000", "tile/entries/001.p/44", &last];
    for name in names {
        let dir = log().await;
        let path = dir.path().join(name);
        for kind in ["fifo", "directory", "loop", "device", "long"] {
            if path.is_dir() {
                fs::remove_dir(&path).unwrap()
            } else {
                fs::remove_file(&path).unwrap()
            }
            match kind {
                "fifo" => {
                    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
                }
                "directory" => fs::create_dir(&path).unwrap(),
                "loop" => std::os::unix::fs::symlink(&path, &path).unwrap(),
                "device" => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
                // Sparse: no place for 40 GB is needed, nor time to read them.
                _ => fs::File::create(&path).unwrap().set_len(40 << 30).unwrap(),
            }
            match verify(dir.path()) {
                Err(VerifyError::Finding(finding)) => {
                    let named = matches!(&*finding, Finding::File { path: found, .. } if *found == path);
                    assert!(named, "{name} as {kind}: {finding}");
                }
                other => panic!("{name} as {kind}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn file_where_a_directory_belongs_is_found() {
    for name in ["tile", "segments", "tile/entries"] {
        let dir = log().await;
        let path = dir.path().join(name);
        fs::remove_dir_all(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert!(matches!(verify(dir.path()), Err(VerifyError::Finding(_))), "{name}");
    }
}
