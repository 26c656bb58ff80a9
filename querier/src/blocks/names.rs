//! Series, names and values of labels, from the indexes of blocks: chunks are not read.

use std::collections::BTreeSet;

use block::BlockError;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::{Labels, Matcher, TimeRange};
use parking_lot::Mutex;
use proto::{Error, LabelNamesRequest, LabelValuesRequest, SeriesRequest};

use super::Blocks;
use super::reader::Reading;
use super::selection::BlockSelection;

/// Of how many series labels are read at a time.
const SERIES_AT_ONCE: usize = 4096;

/// How many blocks are read at the same time.
const PARALLEL_BLOCKS: usize = 8;

/// A set that is kept to as many items as are wanted: the least ones, as all answers are sorted.
struct Least<T> {
    items: BTreeSet<T>,
    limit: usize,
}

impl<T: Ord> Least<T> {
    fn new(limit: usize) -> Self {
        Self { items: BTreeSet::new(), limit: if limit == 0 { usize::MAX } else { limit } }
    }

    fn add(&mut self, item: T) {
        self.items.insert(item);
        if self.items.len() > self.limit {
            self.items.pop_last();
        }
    }

    fn into_sorted(self) -> Vec<T> {
        self.items.into_iter().collect()
    }
}

/// The label sets of series.
pub(super) async fn series(
    blocks: &Blocks,
    reading: Vec<Reading>,
    request: &SeriesRequest,
) -> Result<Vec<Labels>, Error> {
    let mut all = Least::new(request.limit);
    of_series(blocks, reading, request, |labels| all.add(labels)).await?;
    Ok(all.into_sorted())
}

/// The names of labels. Without matchers those of all series of blocks that overlap the range, as upstream has it.
pub(super) async fn label_names(
    blocks: &Blocks,
    reading: Vec<Reading>,
    request: &LabelNamesRequest,
) -> Result<Vec<String>, Error> {
    let mut all = Least::new(request.limit);
    let (unchanged, changed) = apart(reading, request);
    for read in unchanged {
        read.block.index.label_names().for_each(|name| all.add(name.to_owned()));
    }
    of_series(blocks, changed, request, |labels| {
        labels.iter().for_each(|(name, _)| all.add(name.to_owned()));
    })
    .await?;
    Ok(all.into_sorted())
}

/// The values of a label, likewise.
pub(super) async fn label_values(
    blocks: &Blocks,
    reading: Vec<Reading>,
    request: &LabelValuesRequest,
) -> Result<Vec<String>, Error> {
    let (name, request) = (request.name.as_str(), &request.series);
    let mut all = Least::new(request.limit);
    let (unchanged, changed) = apart(reading, request);
    for read in unchanged {
        read.block.index.label_values(name).for_each(|value| all.add(value.to_owned()));
    }
    of_series(blocks, changed, request, |labels| {
        labels.get(name).into_iter().for_each(|value| all.add(value.to_owned()));
    })
    .await?;
    Ok(all.into_sorted())
}

/// Blocks of which the tables of the index are the answer, and those whose series have to be looked at.
fn apart(reading: Vec<Reading>, request: &SeriesRequest) -> (Vec<Reading>, Vec<Reading>) {
    let all = request.matcher_sets.is_empty();
    reading.into_iter().partition(|read| all && read.outside.is_nothing() && read.block.deleted.is_empty())
}

/// Hands the labels of all series that match to `take`, some of them more than once. Several blocks are read at the same
/// time.
async fn of_series(
    blocks: &Blocks,
    reading: Vec<Reading>,
    request: &SeriesRequest,
    take: impl FnMut(Labels) + Send,
) -> Result<(), Error> {
    let all: [Vec<Matcher>; 1] = [Vec::new()];
    let sets = if request.matcher_sets.is_empty() { &all[..] } else { &request.matcher_sets };
    let take = Mutex::new(take);
    let all = reading.iter().flat_map(|read| sets.iter().map(move |set| (read, set)));
    let work = all.map(|(read, set)| of_block(blocks, read, set, request.range, &take));
    let mut done = stream::iter(work.collect::<Vec<_>>()).buffer_unordered(PARALLEL_BLOCKS);
    while done.try_next().await?.is_some() {}
    Ok(())
}

async fn of_block(
    blocks: &Blocks,
    read: &Reading,
    set: &[Matcher],
    range: TimeRange,
    take: &Mutex<impl FnMut(Labels) + Send>,
) -> Result<(), Error> {
    let done = async {
        let mut selection =
            BlockSelection::open(read.block.clone(), read.outside.clone(), set, range).await?;
        while let Some(found) = selection.next_found(SERIES_AT_ONCE).await? {
            let mut take = take.lock();
            found.into_iter().for_each(|series| take(series.labels));
        }
        Ok::<_, BlockError>(())
    };
    match done.await {
        Ok(()) => Ok(()),
        Err(error) => Err(blocks.unread(&read.tenant, read.id, &error).await),
    }
}
