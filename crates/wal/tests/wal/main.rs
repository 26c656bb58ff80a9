//! The log over real and simulated disks.

mod common;
mod damage;
mod faults;
mod fixtures;
mod format_v1;
mod format_v2;
mod log;
mod threads;
