//! A file system in memory that forgets what was not synced, and fails when told to.

mod disk;
mod fault;

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use self::disk::{Change, DirData, FileData, Node};
pub use self::fault::{Fault, FaultKind, OP_LOG_LIMIT, OpKind, OpRecord};
use self::fault::{Gate, broken, no_space};
use super::{DirEntry, File, FileLock, FileSystem, OpenOptions};
use crate::{Rng, SeededRng};

/// What a crash leaves of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrashMode {
    /// Nothing.
    LoseAll,
    /// Everything, as if the disk had just caught up; also what a failed sync was about.
    KeepAll,
    /// By the seed: of each file some 4 KiB pages, the last one perhaps in part, of each directory the first changes.
    Torn,
}

/// A file system in memory. Clones share it. Relative paths start at its root.
///
/// Every operation that changes something is counted and logged, and can be made to fail by a [`Fault`].
#[derive(Debug, Clone)]
pub struct SimFs {
    machine: Arc<Machine>,
}

#[derive(Debug)]
struct Machine {
    rng: SeededRng,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    root: Node,
    gate: Gate,
    used: u64,
    space_limit: u64,
    locked: BTreeSet<Vec<String>>,
}

impl SimFs {
    /// An empty disk; `seed` decides what torn crashes leave.
    pub fn new(seed: u64) -> Self {
        Self::with_root(Node::Dir(Arc::new(Mutex::new(DirData::default()))), seed)
    }

    fn with_root(root: Node, seed: u64) -> Self {
        let used = root.bytes();
        Self {
            machine: Arc::new(Machine {
                rng: SeededRng::new(seed),
                state: Mutex::new(State {
                    root,
                    gate: Gate::default(),
                    used,
                    space_limit: u64::MAX,
                    locked: BTreeSet::new(),
                }),
            }),
        }
    }

    /// Cuts the power, after which every call on this disk and its files fails, and gives the disk as the machine
    /// finds it when it starts again: no locks, no planned faults, no space limit.
    pub fn crash(&self, mode: CrashMode) -> Self {
        let mut state = self.machine.state.lock();
        state.gate.crashed = true;
        let root = state.root.survive(mode, &self.machine.rng);
        Self::with_root(root, self.machine.rng.next_u64())
    }

    /// Whether the power is off, by [`SimFs::crash`] or [`FaultKind::Crash`].
    pub fn has_crashed(&self) -> bool {
        self.machine.state.lock().gate.crashed
    }

    /// Adds a fault. Several may be planned; each strikes once.
    pub fn plan(&self, fault: Fault) {
        self.machine.state.lock().gate.plan(fault);
    }

    /// Makes the next operation of this kind fail.
    pub fn fail_next(&self, op: OpKind, kind: FaultKind) {
        self.plan(Fault { op, nth: 0, kind });
    }

    /// Forgets the faults that have not struck.
    pub fn clear_faults(&self) {
        self.machine.state.lock().gate.clear();
    }

    /// Whether from now on writes and creations fail for want of space.
    pub fn set_enospc(&self, full: bool) {
        self.machine.state.lock().gate.no_space = full;
    }

    /// How many bytes all files may hold together. A write that goes beyond is cut short, then refused.
    pub fn set_space_limit(&self, bytes: u64) {
        self.machine.state.lock().space_limit = bytes;
    }

    /// How many bytes all files hold together, holes counted in full.
    pub fn used_bytes(&self) -> u64 {
        self.machine.state.lock().used
    }

    /// How many operations that change something were asked for, the failed ones included.
    pub fn op_count(&self) -> u64 {
        self.machine.state.lock().gate.changes
    }

    /// The newest [`OP_LOG_LIMIT`] of those operations, oldest first.
    pub fn op_log(&self) -> Vec<OpRecord> {
        self.machine.state.lock().gate.log.iter().cloned().collect()
    }

    /// Flips bit `bit` (0 to 7) of the byte at `offset`, durably, as rot does.
    ///
    /// # Errors
    /// Where there is no such file or byte.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let state = self.machine.state.lock();
        let file = state.file(&parts(path)?, path)?;
        let flipped = usize::try_from(offset).is_ok_and(|offset| file.lock().flip_bit(offset, bit));
        if flipped { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Durably puts what is in the page `from` of a file in the place of the page `to` of another, as a disk does that writes
    /// to a wrong place: where it belongs there are zeros then. Pages have 4096 bytes.
    ///
    /// # Errors
    /// Where there is no such file, or no page `from`.
    pub fn misdirect(&self, from: (&Path, u64), to: (&Path, u64)) -> io::Result<()> {
        let state = self.machine.state.lock();
        let place = |(path, page): (&Path, u64)| {
            let page = usize::try_from(page).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            Ok::<_, io::Error>((state.file(&parts(path)?, path)?, page))
        };
        let ((from, from_page), (to, to_page)) = (place(from)?, place(to)?);
        let bytes = from.lock().take_page(from_page).ok_or(io::ErrorKind::UnexpectedEof)?;
        to.lock().put_page(to_page, &bytes);
        Ok(())
    }
}

impl State {
    fn node(&self, parts: &[String], path: &Path) -> io::Result<Node> {
        let mut node = self.root.clone();
        for part in parts {
            let Node::Dir(dir) = &node else {
                return Err(fails(io::ErrorKind::NotADirectory, path));
            };
            let next = dir.lock().entries.get(part).cloned();
            node = next.ok_or_else(|| fails(io::ErrorKind::NotFound, path))?;
        }
        Ok(node)
    }

    fn dir(&self, parts: &[String], path: &Path) -> io::Result<Arc<Mutex<DirData>>> {
        match self.node(parts, path)? {
            Node::Dir(dir) => Ok(dir),
            Node::File(_) => Err(fails(io::ErrorKind::NotADirectory, path)),
        }
    }

    fn file(&self, parts: &[String], path: &Path) -> io::Result<Arc<Mutex<FileData>>> {
        match self.node(parts, path)? {
            Node::File(file) => Ok(file),
            Node::Dir(_) => Err(fails(io::ErrorKind::IsADirectory, path)),
        }
    }

    /// The directory that holds `path`, and the name in it.
    fn parent(&self, path: &Path) -> io::Result<(Arc<Mutex<DirData>>, String)> {
        let mut parts = parts(path)?;
        let name = parts.pop().ok_or_else(|| fails(io::ErrorKind::InvalidInput, path))?;
        Ok((self.dir(&parts, path)?, name))
    }
}

impl FileSystem for SimFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.machine.state.lock();
        state.gate.check_power()?;
        let parts = parts(path)?;
        for depth in 1..=parts.len() {
            let (above, name) = (&parts[..depth - 1], &parts[depth - 1]);
            let dir = state.dir(above, path)?;
            if matches!(dir.lock().entries.get(name), Some(Node::Dir(_))) {
                continue;
            }
            if dir.lock().entries.contains_key(name) {
                return Err(fails(io::ErrorKind::AlreadyExists, path));
            }
            state.gate.pass(OpKind::Create, path)?;
            let made = Node::Dir(Arc::new(Mutex::new(DirData::default())));
            dir.lock().change(Change::Set(name.clone(), made));
        }
        Ok(())
    }

    fn open(&self, path: &Path, options: OpenOptions) -> io::Result<Arc<dyn File>> {
        let mut state = self.machine.state.lock();
        state.gate.check_power()?;
        let (dir, name) = state.parent(path)?;
        let found = dir.lock().entries.get(&name).cloned();
        let file = match found {
            Some(_) if options.create_new => return Err(fails(io::ErrorKind::AlreadyExists, path)),
            Some(Node::Dir(_)) => return Err(fails(io::ErrorKind::IsADirectory, path)),
            Some(Node::File(file)) => file,
            None if options.create || options.create_new => {
                state.gate.pass(OpKind::Create, path)?;
                let file = Arc::new(Mutex::new(FileData::default()));
                dir.lock().change(Change::Set(name, Node::File(Arc::clone(&file))));
                file
            }
            None => return Err(fails(io::ErrorKind::NotFound, path)),
        };
        if options.truncate && !file.lock().cache.is_empty() {
            state.gate.pass(OpKind::SetLen, path)?;
            let mut data = file.lock();
            state.used = state.used.saturating_sub(data.cache.len() as u64);
            data.set_len(0);
        }
        Ok(Arc::new(SimFile { machine: Arc::clone(&self.machine), path: path.to_owned(), file, options }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.machine.state.lock();
        let (from_dir, from_name) = state.parent(from)?;
        let (to_dir, to_name) = state.parent(to)?;
        let moved = from_dir.lock().entries.get(&from_name).cloned();
        let moved = moved.ok_or_else(|| fails(io::ErrorKind::NotFound, from))?;
        let replaced = to_dir.lock().entries.get(&to_name).cloned();
        if matches!(replaced, Some(Node::Dir(_))) {
            return Err(fails(io::ErrorKind::IsADirectory, to));
        }
        state.gate.pass(OpKind::Rename, to)?;
        if from_name == to_name && Arc::ptr_eq(&from_dir, &to_dir) {
            return Ok(());
        }
        state.used = state.used.saturating_sub(replaced.map_or(0, |node| node.unlink()));
        if Arc::ptr_eq(&from_dir, &to_dir) {
            from_dir.lock().change(Change::Rename { from: from_name, to: to_name });
        } else {
            to_dir.lock().change(Change::Set(to_name, moved));
            from_dir.lock().change(Change::Remove(from_name));
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.machine.state.lock();
        let (dir, name) = state.parent(path)?;
        let removed = Node::File(state.file(&parts(path)?, path)?);
        state.gate.pass(OpKind::Remove, path)?;
        state.used = state.used.saturating_sub(removed.unlink());
        dir.lock().change(Change::Remove(name));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.machine.state.lock();
        let (dir, name) = state.parent(path)?;
        let removed = Node::Dir(state.dir(&parts(path)?, path)?);
        state.gate.pass(OpKind::Remove, path)?;
        state.used = state.used.saturating_sub(removed.unlink());
        dir.lock().change(Change::Remove(name));
        Ok(())
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.machine.state.lock();
        state.gate.pass(OpKind::Read, path)?;
        let dir = state.dir(&parts(path)?, path)?;
        let entries = dir.lock().entries.clone();
        let entry = |(name, node): (String, Node)| DirEntry {
            name,
            is_dir: matches!(node, Node::Dir(_)),
            len: if let Node::File(file) = &node { file.lock().cache.len() as u64 } else { 0 },
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.machine.state.lock();
        parts(path).and_then(|parts| state.node(&parts, path)).is_ok()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.machine.state.lock();
        let dir = state.dir(&parts(path)?, path)?;
        state.gate.pass(OpKind::SyncDir, path)?;
        dir.lock().sync();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let options = OpenOptions { create: true, ..OpenOptions::READ_WRITE };
        self.open(path, options)?;
        let parts = parts(path)?;
        if !self.machine.state.lock().locked.insert(parts.clone()) {
            let message = format!("{} is locked by another simulated process", path.display());
            return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
        }
        Ok(Box::new(SimLock { machine: Arc::clone(&self.machine), parts }))
    }
}

struct SimFile {
    machine: Arc<Machine>,
    path: PathBuf,
    file: Arc<Mutex<FileData>>,
    options: OpenOptions,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.options.write { Ok(()) } else { Err(fails(io::ErrorKind::PermissionDenied, &self.path)) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.machine.state.lock();
        match state.gate.enter(OpKind::Sync, &self.path)? {
            None | Some(FaultKind::ShortWrite) => {
                self.file.lock().sync();
                Ok(())
            }
            Some(FaultKind::Crash) => state.gate.check_power(),
            Some(fault) => {
                self.file.lock().fail_sync();
                Err(if fault == FaultKind::Enospc { no_space() } else { broken() })
            }
        }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if !self.options.read {
            return Err(fails(io::ErrorKind::PermissionDenied, &self.path));
        }
        self.machine.state.lock().gate.pass(OpKind::Read, &self.path)?;
        let data = self.file.lock();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.cache.len());
        let count = buf.len().min(data.cache.len() - start);
        buf[..count].copy_from_slice(&data.cache[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.check_writable()?;
        let offset = usize::try_from(offset).map_err(|_| fails(io::ErrorKind::FileTooLarge, &self.path))?;
        let mut state = self.machine.state.lock();
        let fault = state.gate.enter(OpKind::Write, &self.path)?;
        let asked = match fault {
            None => buf.len(),
            Some(FaultKind::ShortWrite | FaultKind::Crash) => buf.len().div_ceil(2),
            Some(FaultKind::Enospc) => return Err(no_space()),
            Some(FaultKind::Eio) => return Err(broken()),
        };
        let mut data = self.file.lock();
        let room = state.space_limit.saturating_sub(state.used);
        let end = (data.cache.len() as u64).saturating_add(room);
        let space = usize::try_from(end.saturating_sub(offset as u64)).unwrap_or(usize::MAX);
        let count = asked.min(space);
        if count == 0 && asked > 0 {
            return Err(no_space());
        }
        let before = data.cache.len();
        data.write(&buf[..count], offset);
        if !data.unlinked {
            state.used += (data.cache.len() - before) as u64;
        }
        // The power may have gone in the middle of this write.
        state.gate.check_power()?;
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        self.machine.state.lock().gate.check_power()?;
        Ok(self.file.lock().cache.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let len = usize::try_from(len).map_err(|_| fails(io::ErrorKind::FileTooLarge, &self.path))?;
        let mut state = self.machine.state.lock();
        state.gate.pass(OpKind::SetLen, &self.path)?;
        let mut data = self.file.lock();
        let used = state.used.saturating_sub(data.cache.len() as u64).saturating_add(len as u64);
        if len > data.cache.len() && (state.gate.no_space || used > state.space_limit) {
            return Err(no_space());
        }
        if !data.unlinked {
            state.used = used;
        }
        data.set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }
}

struct SimLock {
    machine: Arc<Machine>,
    parts: Vec<String>,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.machine.state.lock().locked.remove(&self.parts);
    }
}

fn parts(path: &Path) -> io::Result<Vec<String>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(part) => {
                let part = part.to_str().ok_or_else(|| fails(io::ErrorKind::InvalidInput, path))?;
                parts.push(part.to_owned());
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(fails(io::ErrorKind::InvalidInput, path));
            }
        }
    }
    Ok(parts)
}

fn fails(kind: io::ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}
