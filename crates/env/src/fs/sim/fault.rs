//! What goes wrong on a simulated disk, and when.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

/// How many operations the log of a [`super::SimFs`] keeps, the newest ones.
pub const OP_LOG_LIMIT: usize = 1 << 16;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// An operation that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// `write_at`.
    Write,
    /// `sync_data` and `sync_all`.
    Sync,
    /// `sync_dir`.
    SyncDir,
    /// `rename`.
    Rename,
    /// A file or directory that comes into being.
    Create,
    /// `remove_file` and `remove_dir_all`.
    Remove,
    /// `set_len`, and opening with `truncate`.
    SetLen,
    /// `read_at`.
    Read,
    /// Each of the above except `Read`: what changes the disk. Only in plans, never in the log.
    Change,
}

impl OpKind {
    fn matches(self, op: Self) -> bool {
        self == op || (self == Self::Change && op != Self::Read)
    }
}

/// What happens to the operation that a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// It fails for want of space and changes nothing.
    Enospc,
    /// It fails. A failed sync makes the pages that it should have written count as clean, as kernels do: later
    /// syncs succeed without them.
    Eio,
    /// Half of the bytes are written and said to be; other operations are unharmed.
    ShortWrite,
    /// The power goes: of a write half reaches the cache, another operation does not happen, and every later call
    /// fails.
    Crash,
}

/// A fault that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The operations that are counted.
    pub op: OpKind,
    /// How many of them pass unharmed first, counted from the moment the fault is planned.
    pub nth: u64,
    /// What happens to the one after those.
    pub kind: FaultKind,
}

/// An operation as it was asked for, whether it succeeded or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpRecord {
    /// What was asked for.
    pub op: OpKind,
    /// Of which file or directory; of a rename, the target.
    pub path: PathBuf,
}

/// The gate that every operation passes.
#[derive(Debug, Default)]
pub(super) struct Gate {
    planned: Vec<Fault>,
    pub(super) no_space: bool,
    pub(super) crashed: bool,
    pub(super) changes: u64,
    pub(super) log: VecDeque<OpRecord>,
}

impl Gate {
    pub(super) fn plan(&mut self, fault: Fault) {
        self.planned.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.planned.clear();
    }

    /// Fails once the power is gone.
    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.crashed {
            return Err(io::Error::other("the simulated machine has crashed"));
        }
        Ok(())
    }

    /// Counts the operation and says which fault hits it; the power is off already when that is `Crash`.
    pub(super) fn enter(&mut self, op: OpKind, path: &Path) -> io::Result<Option<FaultKind>> {
        self.check_power()?;
        if op != OpKind::Read {
            self.changes += 1;
            if self.log.len() >= OP_LOG_LIMIT {
                self.log.pop_front();
            }
            self.log.push_back(OpRecord { op, path: path.to_owned() });
        }
        let mut hit = None;
        self.planned.retain_mut(|fault| {
            if !fault.op.matches(op) {
                return true;
            }
            if fault.nth > 0 || hit.is_some() {
                fault.nth = fault.nth.saturating_sub(1);
                return true;
            }
            hit = Some(fault.kind);
            false
        });
        if hit == Some(FaultKind::Crash) {
            self.crashed = true;
        }
        if hit.is_none() && self.no_space && matches!(op, OpKind::Write | OpKind::Create) {
            hit = Some(FaultKind::Enospc);
        }
        Ok(hit)
    }

    /// [`Gate::enter`] for operations that either happen or do not.
    pub(super) fn pass(&mut self, op: OpKind, path: &Path) -> io::Result<()> {
        match self.enter(op, path)? {
            None | Some(FaultKind::ShortWrite) => Ok(()),
            Some(FaultKind::Enospc) => Err(no_space()),
            Some(FaultKind::Eio) => Err(broken()),
            Some(FaultKind::Crash) => self.check_power(),
        }
    }
}

pub(super) fn no_space() -> io::Error {
    io::Error::from_raw_os_error(ENOSPC)
}

pub(super) fn broken() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}
