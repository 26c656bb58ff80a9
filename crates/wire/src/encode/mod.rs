//! Writing remote write requests, for those who send them: the process' own metrics, rules, load tests.
//!
//! A writer keeps its buffers: after [`Rw1Writer::clear`] or [`Rw2Writer::clear`] the next request of like size is
//! written without allocating. What is written is what the specifications want of senders; nothing is checked.

mod histogram;
mod v1;
mod v2;

pub use histogram::put_histogram;
pub use v1::Rw1Writer;
pub use v2::Rw2Writer;
