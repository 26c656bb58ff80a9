//! Where files of a block are written to.

use std::io;
use std::ops::Range;

use crate::error::BlockError;

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 128 << 10;

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

/// An output that is written in large pieces: what is added is gathered until there is much of it.
pub(crate) struct Gathering<O> {
    output: O,
    buffer: Vec<u8>,
    flushed: u64,
}

impl<O: Output> Gathering<O> {
    pub(crate) fn new(output: O) -> Self {
        Self { output, buffer: Vec::new(), flushed: 0 }
    }

    /// Where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// What is gathered, to which so many bytes may be added; what there is is written before, where they would not fit.
    pub(crate) fn room(&mut self, bytes: usize) -> Result<&mut Vec<u8>, BlockError> {
        if self.buffer.len() + bytes > BUFFER_BYTES {
            self.flush()?;
        }
        // All of it at once: a buffer that grows is there twice for a moment.
        self.buffer.reserve_exact(bytes.max(BUFFER_BYTES - self.buffer.len()));
        Ok(&mut self.buffer)
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        if bytes.len() < BUFFER_BYTES {
            self.room(bytes.len())?.extend_from_slice(bytes);
            return Ok(());
        }
        self.flush()?;
        self.output.append(bytes).map_err(|source| self.failed(source))?;
        self.flushed += bytes.len() as u64;
        Ok(())
    }

    /// Writes what is gathered.
    pub(crate) fn flush(&mut self) -> Result<(), BlockError> {
        self.output.append(&self.buffer).map_err(|source| self.failed(source))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Bytes that have been flushed.
    pub(crate) fn read_back(&mut self, range: Range<u64>) -> Result<Vec<u8>, BlockError> {
        self.output.read_back(range).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> BlockError {
        BlockError::Write { file: self.output.name().to_owned(), source }
    }

    pub(crate) fn output(&self) -> &O {
        &self.output
    }

    /// The output, with all that was added written.
    pub(crate) fn finish(mut self) -> Result<O, BlockError> {
        self.flush()?;
        Ok(self.output)
    }
}
