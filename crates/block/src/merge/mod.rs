//! Blocks merged: their series in the order of labels, each once, with the chunks of all blocks. Chunks that overlap no other
//! are copied as they stand in their files, with their checksums; where several overlap, their samples are made into new ones,
//! each time once. Labels are compared as numbers of the symbols of all blocks. Memory holds these symbols, and a bounded
//! number of chunks.

mod combine;
mod input;
mod symbols;
mod write;

use std::sync::Arc;

use futures::future::try_join_all;
use thiserror::Error;

use crate::error::BlockError;
use crate::verify::Samples;

pub use combine::MAX_SAMPLES;
pub(crate) use combine::MergedChunk;
pub use input::Input;
pub use symbols::{MergedSymbols, SeriesLabels};
pub use write::{WriteError, write};

use combine::combine;
use input::{Cursor, Filled};

/// How much is read ahead, of all blocks together, ...
const AHEAD: Ahead = Ahead { chunks: 16 << 10, bytes: 8 << 20 };

/// ... and of each at least.
const LEAST_AHEAD: Ahead = Ahead { chunks: 256, bytes: 64 << 10 };

/// How many chunks are handed on at a time, about.
const BATCH_CHUNKS: usize = 16 << 10;

/// How much a block is read ahead: as soon as there is as much of one or of the other, it is enough.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    chunks: usize,
    bytes: usize,
}

/// A block that cannot be merged, because of what is in it.
#[derive(Debug, Error)]
#[error("{source}")]
pub struct MergeError {
    /// Its place among the inputs.
    pub input: usize,
    /// What is wrong with it.
    #[source]
    pub source: BlockError,
}

/// Merges blocks, series by series.
pub struct Merge {
    symbols: Arc<MergedSymbols>,
    cursors: Vec<Cursor>,
    /// The inputs that have a head, the one with the greatest labels first; of equal ones the last.
    heads: Vec<usize>,
    /// Cursors that have no head, and are not known to have ended.
    empty: Vec<usize>,
    /// How much each cursor reads at a time.
    ahead: Ahead,
}

/// Series that have been merged, in their order.
pub(crate) struct Batch {
    symbols: Arc<MergedSymbols>,
    /// What has been read, by inputs.
    filled: Vec<Arc<Filled>>,
    /// Inputs, and the numbers of series there.
    parts: Vec<(u32, u32)>,
    /// Where the parts of each series end.
    ends: Vec<u32>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The series: their labels, and where they are among the inputs.
    fn series(&self) -> impl Iterator<Item = (SeriesLabels<'_>, &[(u32, u32)])> {
        let mut start = 0;
        self.ends.iter().filter_map(move |end| {
            let parts = self.parts.get(start..*end as usize)?;
            start = *end as usize;
            let (input, number) = parts.first()?;
            let labels = self.filled.get(*input as usize)?.labels(*number as usize)?;
            Some((SeriesLabels::new(&self.symbols, labels), parts))
        })
    }

    /// The chunks of a series, one behind the other, in place of what is in `out`.
    fn chunks<'a>(
        &'a self,
        parts: &'a [(u32, u32)],
        samples: &mut Samples,
        out: &mut Vec<MergedChunk<'a>>,
    ) -> Result<(), MergeError> {
        let filled = |input: u32| self.filled.get(input as usize);
        let parts = parts.iter().filter_map(|(input, number)| Some(filled(*input)?.parts(*number as usize)));
        combine(parts.flatten(), samples, out)
    }
}

impl Merge {
    /// Merges `inputs`. What comes of it does not depend on their order.
    ///
    /// # Errors
    /// Where they have too many symbols.
    pub fn new(inputs: Vec<Input>) -> Result<Self, BlockError> {
        let count = inputs.len();
        let (symbols, sources): (Vec<_>, Vec<_>) = inputs.into_iter().map(Input::into_parts).unzip();
        let (merged, numbers) = symbols::merge(&symbols)?;
        let cursors = sources.into_iter().zip(numbers).enumerate();
        Ok(Self {
            symbols: Arc::new(merged),
            cursors: cursors
                .map(|(number, (source, symbols))| Cursor::new(number, source, symbols))
                .collect(),
            heads: Vec::with_capacity(count),
            empty: (0..count).collect(),
            ahead: Ahead {
                chunks: (AHEAD.chunks / count.max(1)).max(LEAST_AHEAD.chunks),
                bytes: (AHEAD.bytes / count.max(1)).max(LEAST_AHEAD.bytes),
            },
        })
    }

    /// The symbols of all blocks.
    pub fn symbols(&self) -> &Arc<MergedSymbols> {
        &self.symbols
    }

    /// The next series; none at the end.
    ///
    /// # Errors
    /// Where a block cannot be read, or is damaged.
    pub(crate) async fn next_batch(&mut self) -> Result<Batch, MergeError> {
        if !self.empty.is_empty() {
            self.fill().await?;
        }
        let filled = self.cursors.iter().map(|cursor| Arc::clone(cursor.filled())).collect();
        let (mut parts, mut ends, mut chunks) = (Vec::new(), Vec::new(), 0);
        // Where one has to read on, what there is can be worked on meanwhile.
        while chunks < BATCH_CHUNKS && self.empty.is_empty() && !self.heads.is_empty() {
            chunks += self.take(&mut parts);
            ends.push(parts.len() as u32);
        }
        Ok(Batch { symbols: Arc::clone(&self.symbols), filled, parts, ends })
    }

    /// Gives every cursor a head that is not at its end.
    async fn fill(&mut self) -> Result<(), MergeError> {
        let Self { cursors, empty, ahead, .. } = self;
        let waiting = cursors.iter_mut().enumerate().filter(|(number, _)| empty.contains(number));
        try_join_all(waiting.map(|(_, cursor)| cursor.fill(*ahead))).await?;
        for input in std::mem::take(empty) {
            if self.head(input).is_some() {
                self.insert(input);
            }
        }
        Ok(())
    }

    fn head(&self, input: usize) -> Option<&[u32]> {
        self.cursors.get(input).and_then(Cursor::head)
    }

    /// Puts an input that has a head into the order.
    fn insert(&mut self, input: usize) {
        let own = (self.head(input), input);
        let at = self.heads.partition_point(|other| (self.head(*other), *other) > own);
        self.heads.insert(at, input);
    }

    /// Takes the least series: adds where all inputs have it to `parts`. How many chunks it has.
    fn take(&mut self, parts: &mut Vec<(u32, u32)>) -> usize {
        let labels = self.heads.last().and_then(|input| self.head(*input));
        let same = self.heads.iter().rev().take_while(|input| self.head(**input) == labels).count();
        let (mut chunks, begin) = (0, parts.len());
        for input in self.heads.drain(self.heads.len() - same..).rev() {
            let Some(cursor) = self.cursors.get_mut(input) else { continue };
            let number = cursor.take();
            chunks += cursor.filled().chunk_count(number);
            parts.push((input as u32, number as u32));
        }
        for (input, _) in &parts[begin..] {
            let input = *input as usize;
            match self.head(input) {
                Some(_) => self.insert(input),
                None => self.empty.push(input),
            }
        }
        chunks
    }
}
