//! What comes of a merge, written into blocks: reading goes on while what has been read is written.

use env::{Scope, TaskError};
use model::Labels;
use thiserror::Error;

use crate::error::BlockError;
use crate::writer::BlockWriter;

use super::{Merge, MergeError, MergedSeries};

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
/// writers are given back, to be
/// finished or discarded; after an error what they have written is worth nothing, and their folders stay unfinished.
///
/// # Errors
/// Where a block cannot be read or written.
pub async fn write(
    mut merge: Merge<'_>,
    writers: Vec<BlockWriter>,
    route: impl Fn(&Labels) -> usize + Clone + Send + 'static,
    scope: &Scope,
) -> Result<Vec<BlockWriter>, WriteError> {
    let mut writers = writers;
    let mut batch = merge.next_batch().await?;
    while !batch.is_empty() {
        let route = route.clone();
        let add = scope.run_blocking(move || add(batch, writers, &route));
        let (added, next) = futures::future::join(add, merge.next_batch()).await;
        writers = added??;
        batch = next?;
    }
    Ok(writers)
}

/// Adds series to blocks. Blocks.
fn add(
    batch: Vec<MergedSeries>,
    mut writers: Vec<BlockWriter>,
    route: &impl Fn(&Labels) -> usize,
) -> Result<Vec<BlockWriter>, WriteError> {
    for series in batch {
        let labels = series.labels().clone();
        let chunks = series.into_chunks()?;
        let Some(writer) = writers.get_mut(route(&labels)) else {
            return Err(WriteError::Unplaced { labels });
        };
        writer.add(&labels, chunks.iter().map(super::MergedChunk::as_new)).map_err(WriteError::Output)?;
    }
    Ok(writers)
}
