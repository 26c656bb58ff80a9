//! Blocks merged: their series in the order of labels, each once, with the chunks of all blocks. Chunks that overlap no other
//! are handed on as they are; where several overlap, their samples are made into new ones, each time once. Memory holds the
//! symbols of the blocks, and a bounded number of chunks.

mod combine;
mod input;
mod write;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use futures::future::try_join_all;
use model::Labels;
use thiserror::Error;

use crate::error::BlockError;

pub use combine::{MAX_SAMPLES, MergedChunk, MergedSeries};
pub use input::Input;
pub use write::{WriteError, write};

use input::Cursor;

/// How many chunks are read ahead, of all blocks together, ...
const CHUNKS_AHEAD: usize = 32 << 10;

/// ... and of each at least.
const LEAST_AHEAD: usize = 256;

/// How many chunks are handed on at a time, about.
const BATCH_CHUNKS: usize = 8 << 10;

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

/// The next series of an input. Inputs of equal labels are taken in their order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    labels: Labels,
    input: usize,
}

/// Merges blocks, series by series.
pub struct Merge<'a> {
    cursors: Vec<Cursor<'a>>,
    heads: BinaryHeap<Reverse<Head>>,
    /// Cursors that have no head, and are not known to have ended.
    empty: Vec<usize>,
    /// How many chunks each cursor reads at a time.
    ahead: usize,
}

impl<'a> Merge<'a> {
    /// Merges `inputs`. What comes of it does not depend on their order.
    pub fn new(inputs: &'a [Input]) -> Self {
        Self {
            cursors: inputs.iter().enumerate().map(|(number, input)| Cursor::new(number, input)).collect(),
            heads: BinaryHeap::with_capacity(inputs.len()),
            empty: (0..inputs.len()).collect(),
            ahead: (CHUNKS_AHEAD / inputs.len().max(1)).max(LEAST_AHEAD),
        }
    }

    /// The next series; none at the end.
    ///
    /// # Errors
    /// Where a block cannot be read, or is damaged.
    pub async fn next_batch(&mut self) -> Result<Vec<MergedSeries>, MergeError> {
        let (mut batch, mut chunks) = (Vec::new(), 0);
        while chunks < BATCH_CHUNKS {
            if !self.empty.is_empty() {
                // What there is can be worked on while more is read.
                if !batch.is_empty() {
                    break;
                }
                self.fill().await?;
            }
            let Some(series) = self.take() else { break };
            chunks += series.chunk_count();
            batch.push(series);
        }
        Ok(batch)
    }

    /// Gives every cursor a head that is not at its end.
    async fn fill(&mut self) -> Result<(), MergeError> {
        let Self { cursors, heads, empty, ahead } = self;
        let waiting = cursors.iter_mut().enumerate().filter(|(number, _)| empty.contains(number));
        try_join_all(waiting.map(|(_, cursor)| cursor.fill(*ahead))).await?;
        for input in std::mem::take(empty) {
            if let Some(labels) = cursors.get(input).and_then(Cursor::head) {
                heads.push(Reverse(Head { labels: labels.clone(), input }));
            }
        }
        Ok(())
    }

    /// The least series, with the chunks of all inputs that have it.
    fn take(&mut self) -> Option<MergedSeries> {
        let Self { cursors, heads, empty, .. } = self;
        let Reverse(Head { labels, input }) = heads.pop()?;
        let mut series = MergedSeries::new(labels);
        let mut next = Some(input);
        while let Some(input) = next {
            if let Some(cursor) = cursors.get_mut(input) {
                series.extend(cursor.take());
                match cursor.head() {
                    Some(labels) => heads.push(Reverse(Head { labels: labels.clone(), input })),
                    None => empty.push(input),
                }
            }
            let same = heads.peek().is_some_and(|Reverse(head)| head.labels == *series.labels());
            next = if same { heads.pop().map(|Reverse(head)| head.input) } else { None };
        }
        Some(series)
    }
}
