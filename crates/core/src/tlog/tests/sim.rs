//! A disk in memory that forgets what was not synced, fills up, and fails where it is told to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    super::disk::{Access, Blocks, Disk, DiskFile, FileStat, Listed},
    dice::Dice,
};

/// What an operation is, for making some of them fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Op {
    Allocate,
    Create,
    Remove,
    Rename,
    SyncData,
    SyncPaths,
    Write,
}

/// Whether an operation on a path fails, and how.
pub(crate) type Fault = Box<dyn FnMut(Op, &Path) -> Option<io::ErrorKind> + Send>;

/// A disk; clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    /// Grows with each crash; files opened before it are dead.
    boot: u64,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// What names lead to now, and what they would lead to after a crash if nothing unsynced survived.
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names since they were last synced, in their order.
    name_changes: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    fault: Option<Fault>,
    /// Operations that change something until the power goes.
    left: Option<u64>,
    /// Bytes that files may still grow by.
    free: u64,
    /// Bytes that were read since somebody asked.
    read: u64,
}

#[derive(Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Writes since the last sync; those that a failed sync dropped are gone from here and still in `now`.
    pending: Vec<(usize, Vec<u8>)>,
    /// The number of failed syncs, of which each open file learns once.
    errors: u64,
}

#[derive(Clone)]
struct NameChange {
    gone: Option<PathBuf>,
    here: Option<(PathBuf, u64)>,
}

impl SimDisk {
    pub(crate) fn new() -> Self {
        let state = State {
            boot: 0,
            inodes: BTreeMap::new(),
            next_inode: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            dirs: BTreeSet::new(),
            locks: BTreeSet::new(),
            fault: None,
            left: None,
            free: u64::MAX,
            read: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets some operations fail from now on, or none.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.state.lock().fault = fault;
    }

    /// Lets operations of one kind, on paths with a part in them, fail.
    pub(crate) fn fail(&self, op: Op, part: &'static str, kind: io::ErrorKind) {
        self.set_fault(Some(Box::new(move |failing, path| {
            (failing == op && path.to_string_lossy().contains(part)).then_some(kind)
        })));
    }

    /// How many bytes files may still grow by.
    pub(crate) fn set_free(&self, bytes: u64) {
        self.state.lock().free = bytes;
    }

    /// Cuts the power after so many more operations that change something.
    pub(crate) fn cut_power_after(&self, operations: u64) {
        self.state.lock().left = Some(operations);
    }

    /// Comes back after a loss of power: of what was not synced, some survives, by the sector, in any order.
    pub(crate) fn crash(&self, seed: u64) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut dice = Dice(seed);
        for inode in state.inodes.values_mut() {
            for (offset, bytes) in std::mem::take(&mut inode.pending) {
                lose_some(&mut inode.durable, offset, &bytes, &mut dice);
            }
            inode.now = inode.durable.clone();
        }
        for change in std::mem::take(&mut state.name_changes) {
            if dice.one_in(2) {
                change.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        state.restart();
    }

    /// Comes back after the process was killed: what was written is there, as the system keeps it in memory.
    pub(crate) fn kill(&self) {
        self.state.lock().restart();
    }

    /// How many bytes were read from it since it was last asked.
    pub(crate) fn take_read(&self) -> u64 {
        std::mem::take(&mut self.state.lock().read)
    }

    /// The paths of all files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// Changes a file behind everyone's back.
    pub(crate) fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.lock();
        let id = state.names[path];
        let inode = state.inodes.get_mut(&id).unwrap();
        change(&mut inode.now);
        inode.durable = inode.now.clone();
    }

    pub(crate) fn contents(&self, path: &Path) -> Vec<u8> {
        let state = self.state.lock();
        state.inodes[&state.names[path]].now.clone()
    }
}

impl State {
    fn restart(&mut self) {
        self.boot += 1;
        self.left = None;
        self.locks.clear();
        self.fault = None;
    }

    /// Counts an operation that changes something, and decides whether it fails.
    fn change(&mut self, op: Op, path: &Path) -> io::Result<()> {
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return Err(io::Error::other("the power is off"));
            }
            *left -= 1;
        }
        match self.fault.as_mut().and_then(|fault| fault(op, path)) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    fn is_off(&self) -> io::Result<()> {
        if self.left == Some(0) { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn inode(&mut self, path: &Path) -> io::Result<&mut Inode> {
        let id = self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.inodes.get_mut(id).unwrap())
    }

    fn rename_to(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn write(&mut self, id: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let inode = self.inodes.get_mut(&id).unwrap();
        let end = offset + bytes.len();
        let growth = u64::try_from(end.saturating_sub(inode.now.len())).unwrap();
        if growth > self.free {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.free -= growth;
        inode.now.resize(inode.now.len().max(end), 0);
        inode.now[offset..end].copy_from_slice(bytes);
        inode.pending.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync_inode(&mut self, id: u64) {
        let inode = self.inodes.get_mut(&id).unwrap();
        for (offset, bytes) in std::mem::take(&mut inode.pending) {
            put(&mut inode.durable, offset, &bytes);
        }
    }

    /// A sync that fails: nothing of it is on disk, and it will not be tried again.
    fn fail_sync(&mut self, id: u64) {
        let inode = self.inodes.get_mut(&id).unwrap();
        inode.errors += 1;
        inode.pending.clear();
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(path) = &self.gone {
            names.remove(path);
        }
        if let Some((path, id)) = &self.here {
            names.insert(path.clone(), *id);
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let within = |path: &PathBuf| path.parent() == Some(dir);
        self.gone.as_ref().is_some_and(within) || self.here.as_ref().is_some_and(|(path, _)| within(path))
    }
}

impl Disk for SimDisk {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        // Directories come back with the files in them: a file whose name was synced is found.
        let mut state = self.state.lock();
        state.is_off()?;
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state.lock();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), boot: state.boot, path: path.to_owned() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let state = self.state.lock();
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        for path in state.names.keys() {
            let Ok(rest) = path.strip_prefix(dir) else { continue };
            let mut parts = rest.components();
            let name = parts.next().unwrap().as_os_str().to_string_lossy().into_owned();
            names.insert(name, parts.next().is_some());
        }
        for path in state.dirs.iter().filter(|path| path.parent() == Some(dir)) {
            names.insert(path.file_name().unwrap().to_string_lossy().into_owned(), true);
        }
        if names.is_empty() && !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(names.into_iter().map(|(name, is_dir)| Listed { name, is_dir }).collect())
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let state = self.state.lock();
        let id = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(FileStat { id: (0, id), len: u64::try_from(state.inodes[&id].now.len()).unwrap() })
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state.lock();
        state.is_off()?;
        let id = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let seen = AtomicU64::new(state.inodes[&id].errors);
        Ok(Arc::new(SimFile { disk: self.clone(), boot: state.boot, id, path: path.to_owned(), seen }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        {
            let mut state = self.state.lock();
            state.change(Op::Create, path)?;
            assert!(state.dirs.contains(path.parent().unwrap()), "{} lies nowhere", path.display());
            let id = state.next_inode;
            state.next_inode += 1;
            state.inodes.insert(id, Inode::default());
            // Truncating in place comes to the same as a new file, but for the length of the old one, which is freed.
            if let Ok(old) = state.inode(path) {
                let freed = u64::try_from(old.now.len()).unwrap();
                state.free = state.free.saturating_add(freed);
            }
            state.rename_to(NameChange { gone: None, here: Some((path.to_owned(), id)) });
        }
        self.open(path, Access::Write)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut state = self.state.lock();
        let bytes = state.inode(path)?.now.clone();
        if u64::try_from(bytes.len()).unwrap() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        state.read += u64::try_from(bytes.len()).unwrap();
        Ok(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(Op::Rename, from)?;
        let id = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        assert!(state.dirs.contains(to.parent().unwrap()), "{} lies nowhere", to.display());
        state.rename_to(NameChange { gone: Some(from.to_owned()), here: Some((to.to_owned(), id)) });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change(Op::Remove, path)?;
        let freed = u64::try_from(state.inode(path)?.now.len()).unwrap();
        state.free = state.free.saturating_add(freed);
        state.rename_to(NameChange { gone: Some(path.to_owned()), here: None });
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.is_off()?;
        if state.names.keys().any(|path| path.starts_with(dir)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if state.dirs.remove(dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn sync(&self, paths: &[PathBuf]) -> io::Result<()> {
        let mut state = self.state.lock();
        let state = &mut *state;
        for path in paths {
            state.change(Op::SyncPaths, path)?;
            if let Some(id) = state.names.get(path).copied() {
                state.sync_inode(id);
            } else if state.dirs.contains(path) {
                let (synced, left) =
                    std::mem::take(&mut state.name_changes).into_iter().partition(|change| change.is_in(path));
                let synced: Vec<NameChange> = synced;
                synced.iter().for_each(|change| change.apply(&mut state.durable_names));
                state.name_changes = left;
            } else {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        Ok(())
    }
}

struct SimLock {
    disk: SimDisk,
    boot: u64,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    disk: SimDisk,
    boot: u64,
    id: u64,
    path: PathBuf,
    /// The errors of the file of which this opening has learned.
    seen: AtomicU64,
}

impl SimFile {
    fn change(&self, op: Op) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.disk.state.lock();
        if state.boot != self.boot {
            return Err(io::Error::other("opened before the crash"));
        }
        // A file is known by the name that it has by now.
        let name = match state.fault {
            None => None,
            Some(_) => state.names.iter().find(|(_, id)| **id == self.id).map(|(path, _)| path.clone()),
        };
        state.change(op, name.as_ref().unwrap_or(&self.path))?;
        Ok(state)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state.lock();
        let bytes = &state.inodes[&self.id].now;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        // Short reads happen.
        let count = into.len().min(bytes.len() - from).min(40_000);
        into[..count].copy_from_slice(&bytes[from..from + count]);
        state.read += u64::try_from(count).unwrap();
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Op::Write)?.write(self.id, bytes, offset)
    }

    fn allocate(&self, len: u64, _blocks: Blocks) -> io::Result<()> {
        let mut state = self.change(Op::Allocate)?;
        state.write(self.id, &vec![0; usize::try_from(len).unwrap()], 0)?;
        state.sync_inode(self.id);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = match self.change(Op::SyncData) {
            Ok(state) => state,
            Err(error) => {
                let mut state = self.disk.state.lock();
                if state.left != Some(0) && state.boot == self.boot {
                    state.fail_sync(self.id);
                    self.seen.store(state.inodes[&self.id].errors, Ordering::Relaxed);
                }
                return Err(error);
            }
        };
        let errors = state.inodes[&self.id].errors;
        if self.seen.swap(errors, Ordering::Relaxed) != errors {
            return Err(io::Error::other("an earlier write failed"));
        }
        state.sync_inode(self.id);
        Ok(())
    }

    fn stat(&self) -> io::Result<FileStat> {
        let state = self.disk.state.lock();
        Ok(FileStat { id: (0, self.id), len: u64::try_from(state.inodes[&self.id].now.len()).unwrap() })
    }
}

/// Writes a part of what was to be written: some sectors, some of them torn.
fn lose_some(durable: &mut Vec<u8>, offset: usize, bytes: &[u8], dice: &mut Dice) {
    let fate = dice.next() % 4;
    let mut at = 0;
    while at < bytes.len() {
        // A sector of the disk, not of the write.
        let count = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
        let survives = match fate {
            0 => false,
            1 => true,
            _ => dice.one_in(2),
        };
        if survives {
            let whole = fate != 3 || dice.one_in(4);
            let count = if whole { count } else { usize::try_from(dice.next()).unwrap_or(0) % (count + 1) };
            put(durable, offset + at, &bytes[at..at + count]);
        }
        at += count;
    }
}

fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    into.resize(into.len().max(end), 0);
    into[offset..end].copy_from_slice(bytes);
}

const SECTOR: usize = 512;
