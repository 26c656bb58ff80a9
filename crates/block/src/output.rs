//! Where files of a block are written to.

use std::io;
use std::ops::Range;

/// A file that is written from its front to its end, and that can be read back meanwhile. Whoever opened it makes it durable
/// and closes it.
pub trait Output: Send {
    /// What errors call it, such as `index` or `chunks/000001`.
    fn name(&self) -> &str;

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Bytes that have been written.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn read_back(&mut self, range: Range<u64>) -> io::Result<Vec<u8>>;
}

/// A file in memory.
#[derive(Debug, Clone, Default)]
pub struct Buffer {
    name: String,
    bytes: Vec<u8>,
}

impl Buffer {
    /// An empty file of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), bytes: Vec::new() }
    }

    /// What has been written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl Output for Buffer {
    fn name(&self) -> &str {
        &self.name
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn read_back(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(bound(range.start)..bound(range.end));
        Ok(bytes.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec())
    }
}
