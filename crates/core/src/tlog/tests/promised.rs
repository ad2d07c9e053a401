//! Partial tiles that a log in use gives up while it is verified: no alarm, as long as a later checkpoint promises others.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    super::{
        disk::{Access, Disk, DiskFile, FileStat, Listed},
        verify::{Finding, Verification, VerifyError, verify_dir},
    },
    DIR, ORIGIN, append, open,
    sim::SimDisk,
    vectors::{entry, signer},
};

/// A disk that shows an older checkpoint the first times it is read: the log went on meanwhile.
struct Late {
    disk: SimDisk,
    older: Vec<u8>,
    times: AtomicU32,
}

impl Disk for Late {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dirs(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.disk.list(dir)
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        self.disk.stat(path)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, access)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let once_more = |left: u32| left.checked_sub(1);
        if path.ends_with("checkpoint")
            && self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, once_more).is_ok()
        {
            return Ok(self.older.clone());
        }
        self.disk.read(path, limit)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn sync(&self, paths: &[PathBuf]) -> io::Result<()> {
        self.disk.sync(paths)
    }
}

#[tokio::test]
async fn partial_bundle_given_up_for_a_later_one_is_not_missed() {
    let disk = SimDisk::new();
    let path = |name: &str| Path::new(DIR).join(name);
    let (log, _) = open(&disk, None).unwrap();
    append(&log, vec![entry(0)]).await.unwrap();
    log.publish().unwrap();
    let older = disk.contents(&path("checkpoint"));
    append(&log, vec![entry(1)]).await.unwrap();
    log.close().unwrap();
    // As the keeper does where partial bundles become large.
    disk.remove(&path("tile/entries/000.p/1")).unwrap();
    let keys = [signer(ORIGIN, 0).verifier().clone()];
    let verify = |times: u32| {
        let disk = Late { disk: disk.clone(), older: older.clone(), times: AtomicU32::new(times) };
        verify_dir(&disk, Verification { dir: Path::new(DIR), keys: &keys, since: None }, &mut |_, _| Ok(()))
    };
    assert_eq!(verify(1).unwrap().published.map(|head| head.size), Some(1));
    match verify(u32::MAX) {
        Err(VerifyError::Finding(found)) => {
            assert!(matches!(*found, Finding::Missing(missing) if missing == path("tile/entries/000.p/1")));
        }
        other => panic!("nobody published a later one: {other:?}"),
    }
}
