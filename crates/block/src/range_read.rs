//! Where the bytes of a file come from: a local file, memory, an object in a bucket.

use std::io;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::BlockError;

/// A file of a block that is read by ranges. It does not change while it is read.
#[async_trait]
pub trait RangeRead: Send + Sync {
    /// What errors call it, such as `index` or `chunks/000001`.
    fn name(&self) -> &str;

    /// How long it is, in bytes.
    fn len(&self) -> u64;

    /// Whether nothing is in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, all of them.
    ///
    /// # Errors
    /// When they cannot be read, or the file ends before them.
    async fn read(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// Reads a range, with the file named in the error.
pub(crate) async fn read(file: &dyn RangeRead, range: Range<u64>) -> Result<Bytes, BlockError> {
    if range.end > file.len() || range.start > range.end {
        let what = format!(
            "{} to {} were to be read, but the file has {} bytes",
            range.start,
            range.end,
            file.len()
        );
        return Err(BlockError::malformed(file.name(), range.start.min(file.len()), what));
    }
    let wanted = range.end - range.start;
    let bytes = file
        .read(range.clone())
        .await
        .map_err(|source| BlockError::Read { file: file.name().to_owned(), source })?;
    if bytes.len() as u64 != wanted {
        let what = format!("{wanted} bytes were to be read, {} came", bytes.len());
        return Err(BlockError::malformed(file.name(), range.start, what));
    }
    Ok(bytes)
}

/// A file in memory.
#[derive(Debug, Clone)]
pub struct InMemory {
    name: String,
    bytes: Bytes,
}

impl InMemory {
    /// A file of this name and content.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

#[async_trait]
impl RangeRead for InMemory {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let (start, end) = (bound(range.start), bound(range.end));
        match self.bytes.get(start..end) {
            Some(_) => Ok(self.bytes.slice(start..end)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
