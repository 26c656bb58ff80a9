//! What can be wrong with bytes from outside.

use thiserror::Error;

/// Bytes that are not the message they should be. Offsets count from the beginning of the slice that was walked; a
/// caller that knows where that slice lies in the request adds it with [`WireError::shifted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The message ends in the middle of something.
    #[error("byte {offset}: the message ends where {expected} was expected")]
    Truncated {
        /// Where the message ends.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A length that reaches beyond the message.
    #[error("byte {offset}: length {len} was found where at most the {left} bytes left were expected")]
    Length {
        /// Where the bytes would begin.
        offset: usize,
        /// The length that was read.
        len: u64,
        /// How many bytes there are.
        left: usize,
    },
    /// A varint that does not end, or does not fit 64 bits.
    #[error("byte {offset}: a varint of at most 64 bits was expected")]
    Varint {
        /// Where it begins.
        offset: usize,
    },
    /// A tag with the field number 0 or too large, or with a wire type that is not in use (groups included).
    #[error("byte {offset}: a field tag was expected, found {tag:#x}")]
    Tag {
        /// Where it begins.
        offset: usize,
        /// The tag.
        tag: u64,
    },
    /// A known field with another wire type than it has.
    #[error("byte {offset}: field {field} has wire type {found}, expected {expected}")]
    WireType {
        /// Where the field's tag begins.
        offset: usize,
        /// The number of the field.
        field: u32,
        /// The wire type that was read.
        found: u8,
        /// What the field is.
        expected: &'static str,
    },
    /// More elements than a message of this kind may have.
    #[error("byte {offset}: more than {max} {what}")]
    TooMany {
        /// Where the first one too many lies.
        offset: usize,
        /// What there are too many of.
        what: &'static str,
        /// How many are allowed.
        max: usize,
    },
    /// The snappy block has no length in front.
    #[error("byte 0: the decompressed length of a snappy block was expected")]
    SnappyHeader,
    /// The snappy block says that it is larger than allowed.
    #[error("byte 0: the snappy block declares {declared} bytes, at most {max} are allowed")]
    SnappyTooLarge {
        /// The length that the block declares.
        declared: usize,
        /// The largest that is allowed.
        max: usize,
    },
    /// The snappy block says that it is larger than its bytes can ever become.
    #[error("byte 0: the snappy block declares {declared} bytes, which {compressed} bytes cannot expand to")]
    SnappyImpossible {
        /// The length that the block declares.
        declared: usize,
        /// How many compressed bytes there are.
        compressed: usize,
    },
    /// What follows the length is not a snappy block.
    #[error("the {compressed} bytes are not a snappy block of {declared} bytes")]
    SnappyCorrupt {
        /// How many compressed bytes there are.
        compressed: usize,
        /// The length that the block declares.
        declared: usize,
    },
}

impl WireError {
    /// The same error, seen from a slice in which the walked one begins at `base`.
    #[must_use]
    pub fn shifted(mut self, base: usize) -> Self {
        match &mut self {
            Self::Truncated { offset, .. }
            | Self::Length { offset, .. }
            | Self::Varint { offset }
            | Self::Tag { offset, .. }
            | Self::WireType { offset, .. }
            | Self::TooMany { offset, .. } => *offset += base,
            Self::SnappyHeader
            | Self::SnappyTooLarge { .. }
            | Self::SnappyImpossible { .. }
            | Self::SnappyCorrupt { .. } => {}
        }
        self
    }
}
