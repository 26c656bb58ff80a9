//! An index, written from its front to its end: symbols, then series in order, then postings, which are read back from
//! the series, a bounded number at a time.

use model::Labels;

use crate::bytes::Put;
use crate::error::BlockError;
use crate::output::Output;

use super::lookup::SymbolNumbers;
use super::postings;
use super::reader::{SERIES_ALIGNMENT, SeriesRef};
use super::series::{self, ChunkMeta};
use super::toc::{HEADER_BYTES, MAGIC, Toc};

/// How much is gathered before it is written.
const BUFFER_BYTES: usize = 256 << 10;

/// An output with its position, written in large pieces.
pub(super) struct File<O> {
    output: O,
    buffer: Vec<u8>,
    flushed: u64,
}

impl<O: Output> File<O> {
    fn new(output: O) -> Self {
        Self { output, buffer: Vec::with_capacity(BUFFER_BYTES), flushed: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn pad(&mut self, alignment: u64) -> Result<(), BlockError> {
        let missing = self.position().next_multiple_of(alignment) - self.position();
        self.append(&[0; SERIES_ALIGNMENT as usize][..missing as usize])
    }

    /// Appends a section: its length, its content, its checksum.
    pub(super) fn section(&mut self, content: &[u8]) -> Result<(), BlockError> {
        let length = u32::try_from(content.len())
            .map_err(|_| BlockError::unwritable("a section of an index would have more than 4 GiB"))?;
        self.append(&length.to_be_bytes())?;
        self.append(content)?;
        self.append(&crc32c::crc32c(content).to_be_bytes())
    }

    pub(super) fn flush(&mut self) -> Result<(), BlockError> {
        self.output.append(&self.buffer).map_err(|source| self.failed(source))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Bytes that have been flushed.
    pub(super) fn read_back(&mut self, range: std::ops::Range<u64>) -> Result<Vec<u8>, BlockError> {
        self.output.read_back(range).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> BlockError {
        BlockError::Write { file: self.output.name().to_owned(), source }
    }
}

/// Writes an index of version 2.
pub struct IndexWriter<O> {
    file: File<O>,
    symbols: SymbolNumbers,
    toc: Toc,
    series: u64,
    /// By the symbol of a name: how many series have it.
    names: std::collections::BTreeMap<u32, u64>,
    last: Option<Labels>,
    /// Of the series being written.
    pairs: Vec<(u32, u32)>,
    content: Vec<u8>,
    postings_in_memory: usize,
}

/// What an index has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexStats {
    /// Its series.
    pub series: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

impl<O: Output> IndexWriter<O> {
    /// How many postings are held in memory at a time by default, in all about 12 bytes each.
    pub const POSTINGS_IN_MEMORY: usize = 4 << 20;

    /// Begins an index whose labels consist of `symbols`, which are sorted and each there once.
    ///
    /// # Errors
    /// Where they are not, or cannot be written.
    pub fn new<'a>(
        output: O,
        symbols: impl IntoIterator<Item = &'a str>,
        postings_in_memory: usize,
    ) -> Result<Self, BlockError> {
        let mut file = File::new(output);
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.put_u32(MAGIC);
        header.push(2);
        file.append(&header)?;
        let symbols = SymbolNumbers::new(symbols)?;
        let toc = Toc { symbols: file.position(), ..Toc::default() };
        file.section(symbols.section())?;
        file.pad(SERIES_ALIGNMENT)?;
        Ok(Self {
            toc: Toc { series: file.position(), ..toc },
            file,
            symbols,
            series: 0,
            names: std::collections::BTreeMap::new(),
            last: None,
            pairs: Vec::new(),
            content: Vec::new(),
            postings_in_memory: postings_in_memory.max(1),
        })
    }

    /// Adds a series, whose labels are greater than those before, with its chunks in order.
    ///
    /// # Errors
    /// Where they are not, a label is no symbol, or it cannot be written.
    pub fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<SeriesRef, BlockError> {
        if self.last.as_ref().is_some_and(|last| last >= labels) {
            return Err(BlockError::unwritable(format!(
                "series {labels} is not behind the one before in order"
            )));
        }
        let out_of_order = chunks.windows(2).any(|pair| pair[1].range.start_ms() <= pair[0].range.end_ms());
        if out_of_order {
            return Err(BlockError::unwritable(format!("the chunks of series {labels} are out of order")));
        }
        self.pairs.clear();
        for (name, value) in labels.iter() {
            let pair = (self.symbols.number(name)?, self.symbols.number(value)?);
            self.pairs.push(pair);
            *self.names.entry(pair.0).or_default() += 1;
        }
        self.content.clear();
        series::put(&mut self.content, &self.pairs, chunks);
        self.file.pad(SERIES_ALIGNMENT)?;
        let reference = u32::try_from(self.file.position() / SERIES_ALIGNMENT)
            .map_err(|_| BlockError::unwritable("an index has room for 64 GiB of series"))?;
        let mut length = Vec::new();
        length.put_uvarint(self.content.len() as u64);
        self.file.append(&length)?;
        self.file.append(&self.content)?;
        self.file.append(&crc32c::crc32c(&self.content).to_be_bytes())?;
        self.series += 1;
        self.last = Some(labels.clone());
        Ok(SeriesRef(reference))
    }

    /// Writes what follows the series. The output is given back, with all of it written.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self) -> Result<(O, IndexStats), BlockError> {
        let series = self.toc.series..self.file.position();
        self.file.pad(4)?;
        self.file.flush()?;
        self.toc.postings = self.file.position();
        let table =
            postings::write(&mut self.file, &self.symbols, series, &self.names, self.postings_in_memory)?;
        self.toc.postings_table = self.file.position();
        self.file.section(&table)?;
        self.file.append(&self.toc.encode())?;
        self.file.flush()?;
        let stats = IndexStats { series: self.series, bytes: self.file.position() };
        Ok((self.file.output, stats))
    }
}
