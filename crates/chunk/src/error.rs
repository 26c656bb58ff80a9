//! What can be wrong with a chunk or with a sample for one.

use thiserror::Error;

/// Why a chunk cannot be read, continued or appended to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// The encoding byte is none that we know.
    #[error(
        "unknown chunk encoding {encoding}, known are 1 (XOR), 2 (histogram), 3 (float histogram), 4 (XOR2), \
         5 (histogram with start timestamps) and 6 (float histogram with start timestamps)"
    )]
    UnknownEncoding {
        /// The byte.
        encoding: u8,
    },
    /// The chunk ends before its header does.
    #[error("chunk of {length} bytes is shorter than its header of {header}")]
    ShortHeader {
        /// Bytes that there are.
        length: usize,
        /// Bytes that the header has.
        header: usize,
    },
    /// The chunk ends before the samples that its header announces.
    #[error("chunk ends within sample {sample} of {total}")]
    Truncated {
        /// The sample, counted from 0, that does not fit.
        sample: u16,
        /// How many samples the header announces.
        total: u16,
    },
    /// A sample's bits mean nothing.
    #[error("sample {sample} of {total} is malformed: {what}")]
    Malformed {
        /// The sample, counted from 0.
        sample: u16,
        /// How many samples the header announces.
        total: u16,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Bytes follow the last sample, so that the chunk cannot be continued.
    #[error("{bytes} bytes follow the last sample, there may be none")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// The chunk has as many samples as its header can count.
    #[error("chunk is full: it has 65535 samples already")]
    Full,
    /// A histogram's parts do not fit together.
    #[error("histogram has {buckets} {sign} buckets but spans for {spanned}")]
    BucketCount {
        /// `positive` or `negative`.
        sign: &'static str,
        /// Bucket counts that there are.
        buckets: usize,
        /// Buckets that the spans describe.
        spanned: u64,
    },
    /// A histogram's spans overlap.
    #[error("a {sign} span has the offset {offset}, which may not be negative after the first")]
    SpanOffset {
        /// `positive` or `negative`.
        sign: &'static str,
        /// The offset.
        offset: i32,
    },
    /// A histogram's schema is none that we know.
    #[error("histogram schema {schema} is unknown, known are -4 to 8 and -53")]
    UnknownSchema {
        /// The schema.
        schema: i64,
    },
}
