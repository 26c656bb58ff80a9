//! Sample encodings of the Prometheus TSDB: bytes in, bytes out. Each is written one sample at a time and read by a
//! cursor; what is written can be read after every sample. Nothing here knows about series, files, indexes or time.
//! The formats are drawn in `docs/formats/chunks.md`.

mod bits;
mod cursor;
mod error;
mod histogram;
mod merged;
mod open;
mod precedence;
mod slice;
mod starts;
mod varbit;
mod xor;
mod xor2;

pub use cursor::{Cursor, Encoding, Started, ValueRef, cursor};
pub use error::ChunkError;
pub use histogram::{
    Appended, CounterResetHeader, CutReason, FloatHistogramAppender, FloatHistogramCursor,
    FloatHistogramStAppender, FloatHistogramStCursor, HistogramAppender, HistogramStAppender,
    HistogramStCursor, IntegerHistogramCursor,
};
pub use merged::{ChunkData, Merged, run_length};
pub use open::{Incoming, OpenChunk, Push};
pub use precedence::precedence;
pub use slice::{Slice, slice};
pub use xor::{XorAppender, XorCursor};
pub use xor2::{Xor2Appender, Xor2Cursor};
