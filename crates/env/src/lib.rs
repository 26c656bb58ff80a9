//! What a process takes from its surroundings, as seams: time, randomness, tasks and files, each real and simulated.
//!
//! Everything above this crate is handed a [`Clock`], an [`Rng`], a [`Scope`] and a [`FileSystem`] and touches nothing
//! of the machine otherwise, so that a test or the simulator can decide what time it is, crash an instance between any
//! two instructions that wait, and keep of its disk only what had been synced. Nothing here knows about metrics,
//! configuration or sockets.

pub mod clock;
pub mod compute;
pub mod executor;
pub mod fs;
pub mod glob;
pub mod rng;
pub mod scope;
mod standstill;

pub use clock::{Clock, ManualClock, SimClock, SystemClock};
pub use compute::ComputePool;
pub use executor::SimExecutor;
pub use fs::{
    CrashMode, DirEntry, Fault, FaultKind, File, FileLock, FileSystem, OpKind, OpRecord, OpenOptions, RealFs,
    SimFs, create_dir_durable, is_no_space, read_exact_at, read_file, write_all_at, write_file_durable,
};
pub use rng::{OsSeededRng, Rng, SeededRng};
pub use scope::{Scope, TaskError, TaskHandle};
