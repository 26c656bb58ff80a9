//! Remote write 1.0 and 2.0, and remote read: walked in place and written, without I/O; and samples of OpenMetrics text.
//!
//! Walking never allocates: series, labels and samples are slices of the request and numbers. Only histograms, which
//! are decoded into [`model`]'s types, and [`snappy`] allocate, and both within bounds that they name. Fields that are
//! not known are skipped as protobuf wants it; whatever else is not right is an error that names the byte.

mod error;
mod sample;

pub mod encode;
pub mod histogram;
pub mod openmetrics;
pub mod protobuf;
pub mod remote_read;
pub mod rw1;
pub mod rw2;
pub mod snappy;

pub use error::WireError;
pub use sample::Sample;
