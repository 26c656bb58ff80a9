//! The log over real and simulated disks.

mod common;
mod damage;
mod faults;
mod format_v1;
mod log;
mod threads;
