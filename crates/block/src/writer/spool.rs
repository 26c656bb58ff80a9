//! Series on the way into an index: an index begins with all its symbols, which are known only behind the last series,
//! so that series wait in a file, with symbols by the order in which they were met.

use std::hash::{BuildHasher, BuildHasherDefault};

use hashbrown::HashTable;
use model::Labels;
use xxhash_rust::xxh3::Xxh3Default;

use crate::bytes::{Cut, Put};
use crate::error::BlockError;
use crate::index::{ChunkMeta, IndexWriter, series};
use crate::output::Output;

/// How much is gathered before it is written, and read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// The length before an entry.
const LENGTH_BYTES: u64 = 4;

/// Texts by the order in which they were met.
#[derive(Default)]
struct Met {
    texts: String,
    /// Where each begins and ends in `texts`.
    places: Vec<(u32, u32)>,
    numbers: HashTable<u32>,
    hasher: BuildHasherDefault<Xxh3Default>,
}

impl Met {
    fn text(&self, number: u32) -> &str {
        let (start, end) = self.places.get(number as usize).copied().unwrap_or_default();
        self.texts.get(start as usize..end as usize).unwrap_or_default()
    }

    fn number(&mut self, text: &str) -> Result<u32, BlockError> {
        let hash = self.hasher.hash_one(text);
        if let Some(number) = self.numbers.find(hash, |number| self.text(*number) == text) {
            return Ok(*number);
        }
        let too_many = || BlockError::unwritable("the symbols of a block have more than 4 GiB");
        let number = u32::try_from(self.places.len()).map_err(|_| too_many())?;
        let start = u32::try_from(self.texts.len()).map_err(|_| too_many())?;
        let end = u32::try_from(self.texts.len() + text.len()).map_err(|_| too_many())?;
        self.texts.push_str(text);
        self.places.push((start, end));
        let Self { texts, places, numbers, hasher } = self;
        let hash_of = |number: &u32| {
            let (start, end) = places[*number as usize];
            hasher.hash_one(&texts[start as usize..end as usize])
        };
        numbers.insert_unique(hash, number, hash_of);
        Ok(number)
    }

    fn sorted(&self) -> Vec<&str> {
        let mut all: Vec<&str> = (0..self.places.len()).map(|number| self.text(number as u32)).collect();
        all.sort_unstable();
        all
    }
}

/// Series that wait, with their chunks.
pub(super) struct Spool<O> {
    output: O,
    flushed: u64,
    buffer: Vec<u8>,
    met: Met,
    pairs: Vec<(u32, u32)>,
}

impl<O: Output> Spool<O> {
    pub(super) fn new(output: O) -> Self {
        Self { output, flushed: 0, buffer: Vec::new(), met: Met::default(), pairs: Vec::new() }
    }

    pub(super) fn output(&self) -> &O {
        &self.output
    }

    pub(super) fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        self.pairs.clear();
        for (name, value) in labels.iter() {
            let pair = (self.met.number(name)?, self.met.number(value)?);
            self.pairs.push(pair);
        }
        let at = self.buffer.len();
        self.buffer.put_u32(0);
        series::put(&mut self.buffer, &self.pairs, chunks);
        let length = u32::try_from(self.buffer.len() - at - LENGTH_BYTES as usize).map_err(|_| {
            BlockError::unwritable(format!("series {labels} has chunks for more than 4 GiB of index"))
        })?;
        self.buffer[at..at + LENGTH_BYTES as usize].copy_from_slice(&length.to_be_bytes());
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        let written = self.output.append(&self.buffer);
        written.map_err(|source| BlockError::Write { file: self.output.name().to_owned(), source })?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the index of what has come. The file that it waited in is given back.
    pub(super) fn drain<I: Output>(
        mut self,
        index: I,
        postings_in_memory: usize,
    ) -> Result<(O, I), BlockError> {
        self.flush()?;
        let mut writer = IndexWriter::new(index, self.met.sorted(), postings_in_memory)?;
        let mut at = 0;
        while at < self.flushed {
            let end = self.flushed.min(at + BUFFER_BYTES as u64);
            let mut window = self.read_back(at..end)?;
            let needed = entry_length(&window)?;
            if needed > window.len() as u64 {
                window = self.read_back(at..at.saturating_add(needed))?;
            }
            let mut rest = window.as_slice();
            while let Some((entry, others)) = next_entry(rest)? {
                let (pairs, chunks) = series::read_numbers(Cut::new(self.output.name(), entry, at))?;
                let labels = pairs.iter().map(|(name, value)| (self.met.text(*name), self.met.text(*value)));
                writer.add(&Labels::from_sorted(labels), &chunks)?;
                rest = others;
            }
            at += (window.len() - rest.len()) as u64;
        }
        let (index, _) = writer.finish()?;
        Ok((self.output, index))
    }

    fn read_back(&mut self, range: std::ops::Range<u64>) -> Result<Vec<u8>, BlockError> {
        let read = self.output.read_back(range);
        read.map_err(|source| BlockError::Read { file: self.output.name().to_owned(), source })
    }
}

/// How many bytes the entry at the front takes.
fn entry_length(bytes: &[u8]) -> Result<u64, BlockError> {
    let length = Cut::new("series that wait", bytes, 0).u32("the length of a series")?;
    Ok(LENGTH_BYTES + u64::from(length))
}

/// An entry, and what is behind it.
type EntryAndRest<'a> = (&'a [u8], &'a [u8]);

/// The entry at the front, if all of it is there.
fn next_entry(bytes: &[u8]) -> Result<Option<EntryAndRest<'_>>, BlockError> {
    if (bytes.len() as u64) < LENGTH_BYTES {
        return Ok(None);
    }
    let length = entry_length(bytes)? as usize;
    Ok(bytes.split_at_checked(length).map(|(entry, rest)| (&entry[LENGTH_BYTES as usize..], rest)))
}
