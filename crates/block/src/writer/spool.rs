//! Series on the way into an index: an index begins with all its symbols, which are known only behind the last series,
//! so that series wait in a file, with numbers for their names and values that do not change any more.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use hashbrown::HashTable;
use model::Labels;
use xxhash_rust::xxh3::Xxh3Default;

use crate::bytes::{Cut, Put};
use crate::error::BlockError;
use crate::index::{ChunkMeta, IndexWriter, series};
use crate::merge::MergedSymbols;
use crate::output::{Gathering, Output};

/// How much is read back at a time.
const WINDOW_BYTES: u64 = 256 << 10;

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
}

/// The texts of names and values.
enum Texts {
    /// They are numbered as they come.
    Met(Met),
    /// Those of blocks that are merged, sorted, and which of them came.
    Known { symbols: Arc<MergedSymbols>, came: Vec<bool> },
}

impl Texts {
    fn text(&self, number: u32) -> &str {
        match self {
            Self::Met(met) => met.text(number),
            Self::Known { symbols, .. } => symbols.text(number),
        }
    }

    /// The numbers of those that came, sorted by their texts.
    fn sorted(&self) -> Vec<u32> {
        match self {
            Self::Met(met) => {
                let mut all: Vec<u32> = (0..met.places.len() as u32).collect();
                all.sort_unstable_by_key(|number| met.text(*number));
                all
            }
            Self::Known { came, .. } => {
                came.iter().zip(0..).filter(|(came, _)| **came).map(|(_, number)| number).collect()
            }
        }
    }

    /// How many numbers there are.
    fn count(&self) -> usize {
        match self {
            Self::Met(met) => met.places.len(),
            Self::Known { came, .. } => came.len(),
        }
    }
}

/// Series that wait, with their chunks.
pub(super) struct Spool<O> {
    file: Gathering<O>,
    /// Of all that has been added.
    crc32c: u32,
    /// The series being added.
    entry: Vec<u8>,
    texts: Texts,
    /// Of the series being added.
    numbers: Vec<u32>,
}

impl<O: Output> Spool<O> {
    /// Texts are numbered as they come.
    pub(super) fn new(output: O) -> Self {
        Self::with_texts(output, Texts::Met(Met::default()))
    }

    /// Names and values come as the numbers of these symbols.
    pub(super) fn of_symbols(output: O, symbols: &Arc<MergedSymbols>) -> Self {
        let came = vec![false; symbols.len()];
        Self::with_texts(output, Texts::Known { symbols: Arc::clone(symbols), came })
    }

    fn with_texts(output: O, texts: Texts) -> Self {
        Self { file: Gathering::new(output), crc32c: 0, entry: Vec::new(), texts, numbers: Vec::new() }
    }

    pub(super) fn output(&self) -> &O {
        self.file.output()
    }

    /// Adds a series.
    pub(super) fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        let Texts::Met(met) = &mut self.texts else {
            return Err(BlockError::unwritable("a block of merged series takes no others"));
        };
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        for (name, value) in labels.iter() {
            numbers.extend([met.number(name)?, met.number(value)?]);
        }
        let added = self.put(&numbers, chunks);
        self.numbers = numbers;
        added
    }

    /// Adds a series by the numbers of its names and values, in turn.
    pub(super) fn add_numbers(&mut self, numbers: &[u32], chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        let Texts::Known { came, .. } = &mut self.texts else {
            return Err(BlockError::unwritable("a block of series with labels takes no numbers"));
        };
        for number in numbers {
            match came.get_mut(*number as usize) {
                Some(came) => *came = true,
                None => return Err(BlockError::unwritable(format!("there is no symbol {number}"))),
            }
        }
        self.put(numbers, chunks)
    }

    fn put(&mut self, numbers: &[u32], chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        self.entry.clear();
        self.entry.put_u32(0);
        series::put_labels(&mut self.entry, numbers.iter().copied());
        series::put_chunks(&mut self.entry, chunks);
        let length = u32::try_from(self.entry.len() - LENGTH_BYTES as usize)
            .map_err(|_| BlockError::unwritable("a series has chunks for more than 4 GiB of index"))?;
        self.entry[..LENGTH_BYTES as usize].copy_from_slice(&length.to_be_bytes());
        self.crc32c = crc32c::crc32c_append(self.crc32c, &self.entry);
        self.file.append(&self.entry)
    }

    /// Writes the index of what has come. The file that it waited in is given back.
    pub(super) fn drain<I: Output>(
        mut self,
        index: I,
        postings_in_memory: usize,
    ) -> Result<(O, I), BlockError> {
        self.file.flush()?;
        let sorted = self.texts.sorted();
        // The symbol of the index that each number becomes.
        let mut symbols = vec![0; self.texts.count()];
        for (number, symbol) in sorted.iter().zip(0_u32..) {
            symbols[*number as usize] = symbol;
        }
        let texts = sorted.iter().map(|number| self.texts.text(*number));
        let mut writer = IndexWriter::new(index, texts, postings_in_memory)?;
        drop(sorted);
        // The index has them now.
        self.texts = Texts::Met(Met::default());
        let (mut at, mut crc32c, mut labels) = (0, 0, Vec::new());
        while at < self.file.position() {
            let end = self.file.position().min(at + WINDOW_BYTES);
            let mut window = self.file.read_back(at..end)?;
            let needed = entry_length(&window)?;
            if needed > window.len() as u64 {
                drop(window);
                window = self.file.read_back(at..at.saturating_add(needed))?;
            }
            let mut rest = window.as_slice();
            while let Some((entry, others)) = next_entry(rest)? {
                let mut cut = Cut::new(self.output().name(), entry, at);
                labels.clear();
                let symbol = |number| symbols.get(usize::try_from(number).ok()?).copied();
                series::read_labels(&mut cut, symbol, &mut labels)?;
                writer.add_encoded(&labels, cut.rest())?;
                rest = others;
            }
            let taken = &window[..window.len() - rest.len()];
            if taken.is_empty() {
                return Err(self.spoilt());
            }
            crc32c = crc32c::crc32c_append(crc32c, taken);
            at += taken.len() as u64;
        }
        if crc32c != self.crc32c {
            return Err(self.spoilt());
        }
        let (index, _) = writer.finish()?;
        Ok((self.file.finish()?, index))
    }

    fn spoilt(&self) -> BlockError {
        BlockError::unwritable(format!("{} has something else than was written", self.output().name()))
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
