//! An index, written from its front to its end: symbols, then series in order, then postings, which are read back from
//! the series, a bounded number at a time.

use model::Labels;

use crate::bytes::Put;
use crate::error::BlockError;
use crate::output::{Gathering, Output};

use super::lookup::SymbolTable;
use super::postings;
use super::reader::{SERIES_ALIGNMENT, SeriesRef};
use super::section::CHECKSUM_BYTES;
use super::series::{self, ChunkMeta};
use super::toc::{HEADER_BYTES, MAGIC, Toc};

/// A number takes so many bytes.
const NUMBER_BYTES: usize = 4;

/// The most bytes that the length of a series takes.
const MAX_VARINT_BYTES: usize = 10;

/// So many numbers are gathered before they are written.
const NUMBERS_AT_A_TIME: usize = 16 << 10;

/// So many postings are in memory for each series, ...
const POSTINGS_PER_SERIES: usize = 2;

/// ... or so many in all, whichever is more: the series are read back once for as many.
const FEW_POSTINGS: usize = 256 << 10;

/// The file of an index on its way.
pub(super) struct File<O>(Gathering<O>);

impl<O: Output> File<O> {
    pub(super) fn position(&self) -> u64 {
        self.0.position()
    }

    pub(super) fn pad(&mut self, alignment: u64) -> Result<(), BlockError> {
        let missing = self.position().next_multiple_of(alignment) - self.position();
        self.0.append(&[0; SERIES_ALIGNMENT as usize][..missing as usize])
    }

    /// Appends a section: its length, its content, its checksum.
    pub(super) fn section(&mut self, content: &[u8]) -> Result<(), BlockError> {
        let length = u32::try_from(content.len())
            .map_err(|_| BlockError::unwritable("a section of an index would have more than 4 GiB"))?;
        self.0.append(&length.to_be_bytes())?;
        self.0.append(content)?;
        self.0.append(&crc32c::crc32c(content).to_be_bytes())
    }

    /// Appends a section with numbers and, before them, how many there are.
    pub(super) fn numbers(&mut self, numbers: &[u32]) -> Result<(), BlockError> {
        let (Ok(count), Ok(length)) =
            (u32::try_from(numbers.len()), u32::try_from(NUMBER_BYTES * (1 + numbers.len())))
        else {
            return Err(BlockError::unwritable("a list of postings would have more than 4 GiB"));
        };
        self.0.append(&length.to_be_bytes())?;
        let mut crc32c = crc32c::crc32c(&count.to_be_bytes());
        self.0.append(&count.to_be_bytes())?;
        for part in numbers.chunks(NUMBERS_AT_A_TIME) {
            let buffer = self.0.room(NUMBER_BYTES * part.len())?;
            let begin = buffer.len();
            part.iter().for_each(|number| buffer.put_u32(*number));
            crc32c = crc32c::crc32c_append(crc32c, &buffer[begin..]);
        }
        self.0.append(&crc32c.to_be_bytes())
    }

    /// Appends a series: its length, its content, its checksum.
    fn entry(&mut self, content: &[u8]) -> Result<(), BlockError> {
        let buffer = self.0.room(MAX_VARINT_BYTES + content.len() + CHECKSUM_BYTES as usize)?;
        buffer.put_uvarint(content.len() as u64);
        buffer.extend_from_slice(content);
        buffer.put_u32(crc32c::crc32c(content));
        Ok(())
    }

    /// Bytes that have been flushed.
    pub(super) fn read_back(&mut self, range: std::ops::Range<u64>) -> Result<Vec<u8>, BlockError> {
        self.0.read_back(range)
    }
}

/// Writes an index of version 2.
pub struct IndexWriter<O> {
    file: File<O>,
    symbols: SymbolTable,
    toc: Toc,
    /// All series.
    references: Vec<u32>,
    /// By the symbols of names, ascending: how many series have each.
    names: Vec<(u32, u64)>,
    /// The labels of the last series: symbols of names and values in turn.
    last: Vec<u32>,
    /// Of the series being written, likewise.
    labels: Vec<u32>,
    chunks: Vec<u8>,
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
    /// How many postings are held in memory at a time by default, 8 bytes each at most. With few series they are fewer.
    pub const POSTINGS_IN_MEMORY: usize = 1 << 20;

    /// Begins an index whose labels consist of `symbols`, which are sorted and each there once.
    ///
    /// # Errors
    /// Where they are not, or cannot be written.
    pub fn new<'a>(
        output: O,
        symbols: impl IntoIterator<Item = &'a str>,
        postings_in_memory: usize,
    ) -> Result<Self, BlockError> {
        let mut file = File(Gathering::new(output));
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        header.put_u32(MAGIC);
        header.push(2);
        file.0.append(&header)?;
        let symbols = SymbolTable::new(symbols)?;
        let toc = Toc { symbols: file.position(), ..Toc::default() };
        file.section(symbols.section())?;
        file.pad(SERIES_ALIGNMENT)?;
        Ok(Self {
            toc: Toc { series: file.position(), ..toc },
            file,
            symbols,
            references: Vec::new(),
            names: Vec::new(),
            last: Vec::new(),
            labels: Vec::new(),
            chunks: Vec::new(),
            content: Vec::new(),
            postings_in_memory: postings_in_memory.max(1),
        })
    }

    /// Adds a series, whose labels are greater than those before, with its chunks in order.
    ///
    /// # Errors
    /// Where they are not, a label is no symbol, or it cannot be written.
    pub fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<SeriesRef, BlockError> {
        let out_of_order = chunks.windows(2).any(|pair| pair[1].range.start_ms() <= pair[0].range.end_ms());
        if out_of_order {
            return Err(BlockError::unwritable(format!("the chunks of series {labels} are out of order")));
        }
        let mut numbers = std::mem::take(&mut self.labels);
        numbers.clear();
        for (name, value) in labels.iter() {
            numbers.extend([self.symbols.number(name)?, self.symbols.number(value)?]);
        }
        let mut encoded = std::mem::take(&mut self.chunks);
        encoded.clear();
        series::put_chunks(&mut encoded, chunks);
        let added = self.add_encoded(&numbers, &encoded);
        (self.labels, self.chunks) = (numbers, encoded);
        added
    }

    /// Adds a series whose labels are symbols of names and values in turn, with its chunks as they stand in an entry.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(crate) fn add_encoded(&mut self, labels: &[u32], chunks: &[u8]) -> Result<SeriesRef, BlockError> {
        // Symbols are in the order of their texts.
        if !self.references.is_empty() && *self.last >= *labels {
            return Err(BlockError::unwritable(format!(
                "series {} is not behind the one before in order",
                self.named(labels)
            )));
        }
        let mut near = 0;
        for [name, _] in labels.as_chunks::<2>().0 {
            near = 1 + self.count_name(*name, near);
        }
        self.content.clear();
        series::put_labels(&mut self.content, labels.iter().copied());
        self.content.extend_from_slice(chunks);
        self.file.pad(SERIES_ALIGNMENT)?;
        let reference = u32::try_from(self.file.position() / SERIES_ALIGNMENT)
            .map_err(|_| BlockError::unwritable("an index has room for 64 GiB of series"))?;
        self.file.entry(&self.content)?;
        self.references.push(reference);
        self.last.clear();
        self.last.extend_from_slice(labels);
        Ok(SeriesRef(reference))
    }

    /// Counts a series of a name, which is looked for from its likely place among the names on; its place.
    fn count_name(&mut self, name: u32, likely: usize) -> usize {
        if let Some((_, count)) = self.names.get_mut(likely).filter(|(known, _)| *known == name) {
            *count += 1;
            return likely;
        }
        match self.names.binary_search_by_key(&name, |(known, _)| *known) {
            Ok(at) => {
                self.names[at].1 += 1;
                at
            }
            Err(at) => {
                self.names.insert(at, (name, 1));
                at
            }
        }
    }

    fn named(&self, labels: &[u32]) -> Labels {
        let pairs = labels.as_chunks::<2>().0.iter();
        Labels::from_pairs(pairs.map(|[name, value]| (self.symbols.text(*name), self.symbols.text(*value))))
    }

    /// Writes what follows the series. The output is given back, with all of it written.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn finish(mut self) -> Result<(O, IndexStats), BlockError> {
        let series = self.toc.series..self.file.position();
        self.file.pad(4)?;
        self.file.0.flush()?;
        self.toc.postings = self.file.position();
        let count = self.references.len() as u64;
        let all = std::mem::take(&mut self.references);
        let lists = postings::Lists::new(&mut self.file, &self.symbols, all);
        let for_series = (POSTINGS_PER_SERIES * count as usize).max(FEW_POSTINGS);
        let table = lists.write(series, &self.names, self.postings_in_memory.min(for_series))?;
        self.toc.postings_table = self.file.position();
        self.file.section(&table)?;
        self.file.0.append(&self.toc.encode())?;
        let stats = IndexStats { series: count, bytes: self.file.position() };
        Ok((self.file.0.finish()?, stats))
    }
}
