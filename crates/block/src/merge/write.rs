//! What comes of a merge, written into blocks: reading goes on while what has been read is written.

use env::{Scope, TaskError};
use model::Labels;
use thiserror::Error;

use crate::error::BlockError;
use crate::meta::Stats;
use crate::verify::Samples;
use crate::writer::BlockWriter;

use super::{Batch, Merge, MergeError, SeriesLabels};

/// Why blocks were not merged.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Because of one of them.
    #[error("{0}")]
    Input(#[from] MergeError),
    /// The new block cannot be written.
    #[error("{0}")]
    Output(#[source] BlockError),
    /// A series has no place in any of them.
    #[error(
        "series {labels} belongs into none of the new blocks: a block has series that its shard does not have"
    )]
    Unplaced {
        /// Its labels.
        labels: Labels,
    },
    /// The process is stopping.
    #[error("interrupted")]
    Interrupted(#[from] TaskError),
}

/// Writes all series of `merge`, each into the writer that `route` names by its place; it is an error where there is none. The
/// writers were made for the symbols of the merge ([`BlockWriter::create_merged`]). They are given back, to be
/// finished or discarded; after an error what they have written is worth nothing, and their folders stay unfinished.
///
/// Each chunk that is written has been decoded, with its samples in order, and begins and ends when its index says.
///
/// # Errors
/// Where a block cannot be read or written.
pub async fn write<R: FnMut(SeriesLabels<'_>) -> usize + Send + 'static>(
    mut merge: Merge,
    writers: Vec<BlockWriter>,
    route: R,
    scope: &Scope,
) -> Result<Vec<BlockWriter>, WriteError> {
    let mut writing = Writing { writers, route, samples: Samples::default() };
    let mut batch = merge.next_batch().await?;
    while !batch.is_empty() {
        let add = scope.run_blocking(move || writing.add(&batch).map(|()| writing));
        let (added, next) = futures::future::join(add, merge.next_batch()).await;
        writing = added??;
        batch = next?;
    }
    Ok(writing.writers)
}

struct Writing<R> {
    writers: Vec<BlockWriter>,
    route: R,
    samples: Samples,
}

impl<R: FnMut(SeriesLabels<'_>) -> usize> Writing<R> {
    /// Adds series to blocks. Blocks.
    fn add(&mut self, batch: &Batch) -> Result<(), WriteError> {
        let mut chunks = Vec::new();
        for (labels, parts) in batch.series() {
            batch.chunks(parts, &mut self.samples, &mut chunks)?;
            let mut counted = Stats::default();
            for chunk in &chunks {
                chunk.check(&mut self.samples, &mut counted)?;
            }
            let Some(writer) = self.writers.get_mut((self.route)(labels)) else {
                return Err(WriteError::Unplaced { labels: labels.to_labels() });
            };
            writer.add_merged(labels, &chunks, counted).map_err(WriteError::Output)?;
        }
        Ok(())
    }
}
