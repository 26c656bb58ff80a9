//! Sample encodings of the Prometheus TSDB: bytes in, bytes out. Each is written one sample at a time and read by a
//! cursor; what is written can be read after every sample. Nothing here knows about series, files, indexes or time.
//! The formats are drawn in `docs/formats/chunks.md`.

mod bits;
mod cursor;
mod error;
mod histogram;
mod varbit;
mod xor;

pub use cursor::{Cursor, Encoding, ValueRef, cursor};
pub use error::ChunkError;
pub use histogram::{
    Appended, CounterResetHeader, CutReason, FloatHistogramAppender, FloatHistogramCursor, HistogramAppender,
    IntegerHistogramCursor,
};
pub use xor::{XorAppender, XorCursor};
