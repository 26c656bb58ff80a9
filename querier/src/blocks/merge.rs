//! Selections in many blocks as one: sorted by labels, each series once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use futures::future::try_join_all;
use model::Labels;
use proto::{Error, SelectBatch, SeriesChunks};
use tokio::sync::mpsc;

use crate::select::sort_chunks;

/// Batches of a block, or why there are no more. The last one is empty: without it, whoever reads the block has been ended.
pub(super) type Batches = mpsc::Receiver<Result<SelectBatch, Error>>;

/// The next series of an input, ordered by its labels. Inputs of equal labels are taken in their order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    labels: Labels,
    input: usize,
}

struct Input {
    batches: Batches,
    ended: bool,
    batch: std::vec::IntoIter<SeriesChunks>,
    /// The chunks of the series whose labels are in the heap.
    head: Option<SeriesChunks>,
}

/// Merges inputs that are sorted by labels.
pub(super) struct MergedBlocks {
    inputs: Vec<Input>,
    heads: BinaryHeap<Reverse<Head>>,
    /// Inputs that have no head and are not known to have ended.
    empty: Vec<usize>,
}

impl MergedBlocks {
    pub(super) fn new(inputs: Vec<Batches>) -> Self {
        let empty = (0..inputs.len()).collect();
        let inputs = inputs.into_iter().map(|batches| Input {
            batches,
            ended: false,
            batch: Vec::new().into_iter(),
            head: None,
        });
        Self { inputs: inputs.collect(), heads: BinaryHeap::new(), empty }
    }

    /// The next series, at most `count`; none at the end.
    pub(super) async fn next_batch(&mut self, count: usize) -> Result<SelectBatch, Error> {
        let mut merged = Vec::new();
        while merged.len() < count {
            self.fill().await?;
            let Some(series) = self.take() else { break };
            merged.push(series);
        }
        Ok(merged)
    }

    /// Gives every input a head that is not at its end.
    async fn fill(&mut self) -> Result<(), Error> {
        if self.empty.is_empty() {
            return Ok(());
        }
        let Self { inputs, heads, empty } = self;
        let waiting: Vec<&mut Input> = inputs
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| empty.contains(i))
            .map(|(_, input)| input)
            .collect();
        match waiting.len() {
            1 => {
                for input in waiting {
                    input.fill().await?;
                }
            }
            _ => {
                try_join_all(waiting.into_iter().map(Input::fill)).await?;
            }
        }
        for input in std::mem::take(empty) {
            if let Some(head) = inputs.get(input).and_then(|input| input.head.as_ref()) {
                heads.push(Reverse(Head { labels: head.labels.clone(), input }));
            }
        }
        Ok(())
    }

    /// The least series, with the chunks of all inputs that have it.
    fn take(&mut self) -> Option<SeriesChunks> {
        let Self { inputs, heads, empty } = self;
        let mut taken: Option<SeriesChunks> = None;
        let mut sorted = true;
        loop {
            let next = heads.peek().map(|Reverse(head)| &head.labels);
            let same = |labels: &Labels| taken.as_ref().is_none_or(|taken| taken.labels == *labels);
            if !next.is_some_and(same) {
                break;
            }
            let Some(Reverse(Head { input, .. })) = heads.pop() else { break };
            let Some(own) = inputs.get_mut(input) else { continue };
            if let Some(series) = own.head.take() {
                match &mut taken {
                    None => taken = Some(series),
                    Some(taken) => {
                        let last = taken.chunks.last().map(|chunk| chunk.range.end_ms());
                        let first = series.chunks.first().map(|chunk| chunk.range.start_ms());
                        sorted &= last < first;
                        taken.chunks.extend(series.chunks);
                    }
                }
            }
            match own.batch.next() {
                Some(series) => {
                    heads.push(Reverse(Head { labels: series.labels.clone(), input }));
                    own.head = Some(series);
                }
                None => empty.push(input),
            }
        }
        let mut taken = taken?;
        if !sorted {
            sort_chunks(&mut taken.chunks);
        }
        Some(taken)
    }
}

impl Input {
    async fn fill(&mut self) -> Result<(), Error> {
        while self.head.is_none() && !self.ended {
            if let Some(series) = self.batch.next() {
                self.head = Some(series);
                return Ok(());
            }
            match self.batches.recv().await {
                Some(batch) => {
                    let batch = batch?;
                    self.ended = batch.is_empty();
                    self.batch = batch.into_iter();
                }
                None => {
                    return Err(Error::internal(
                        "reading a block was ended; the log of the server says more",
                    ));
                }
            }
        }
        Ok(())
    }
}
