//! Sample encodings of the Prometheus TSDB: bytes in, bytes out. Each is written one sample at a time and read by a
//! cursor; what is written can be read after every sample. Nothing here knows about series, files, indexes or time.
//! The formats are drawn in `docs/formats/chunks.md`.

mod bits;
mod error;
mod varbit;
mod xor;

pub use error::ChunkError;
pub use xor::{XorAppender, XorCursor};
