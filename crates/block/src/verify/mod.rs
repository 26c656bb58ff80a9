//! Checking a whole block: whether everything in it can be read, and fits together.

mod copy;
mod samples;

use std::collections::BTreeMap;

use model::TimeRange;

use crate::chunks::ChunkReader;
use crate::error::BlockError;
use crate::index::{Index, Series, SeriesRef};
use crate::meta::Stats;

pub use copy::{CopyError, verify_copy};
pub(crate) use samples::Samples;

/// What a block holds, as it was counted by reading all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// How much there is.
    pub stats: Stats,
    /// From the first to the last sample; `None` where there is none.
    pub range: Option<TimeRange>,
}

/// Reads all of a block: every series is in order, every chunk has the samples that the index says it has, the lists of
/// postings have all series and no others.
///
/// # Errors
/// With the file and the offset of the first thing that is wrong.
pub async fn verify(index: &Index, chunks: &ChunkReader) -> Result<Verified, BlockError> {
    let mut verified = Verified::default();
    let (mut pairs, mut samples) = (Pairs::default(), Samples::default());
    let mut references = Vec::new();
    let mut last: Option<(SeriesRef, Series)> = None;
    let mut scan = index.scan();
    while let Some((reference, series)) = scan.next().await? {
        if let Some((_, before)) = last.as_ref().filter(|(_, before)| before.labels >= series.labels) {
            let what = format!("series {} is not behind {} in order", series.labels, before.labels);
            return Err(BlockError::malformed(index.file_name(), index.place(reference), what));
        }
        verified.stats.num_series += 1;
        pairs.add(&series);
        verify_chunks(chunks, &series, (&mut verified, &mut samples)).await?;
        references.push(reference);
        last = Some((reference, series));
    }
    verify_postings(index, &references, &pairs).await?;
    Ok(verified)
}

async fn verify_chunks(
    chunks: &ChunkReader,
    series: &Series,
    (verified, samples): (&mut Verified, &mut Samples),
) -> Result<(), BlockError> {
    let read = chunks.read_all(&series.chunks).await?;
    for (meta, chunk) in series.chunks.iter().zip(read) {
        let wrong = |what: String| {
            let file = crate::chunks::segment_name(meta.reference.segment());
            let offset = u64::from(meta.reference.offset());
            BlockError::malformed(&file, offset, format!("a chunk of series {}: {what}", series.labels))
        };
        samples.check(chunk.encoding, &chunk.data, meta.range, &mut verified.stats).map_err(wrong)?;
        verified.stats.num_chunks += 1;
        verified.range = Some(match verified.range {
            Some(range) => range.hull(meta.range),
            None => meta.range,
        });
    }
    Ok(())
}

/// How many series have each name.
#[derive(Default)]
struct Pairs(BTreeMap<Box<str>, u64>);

impl Pairs {
    fn add(&mut self, series: &Series) {
        for (name, _) in series.labels.iter() {
            match self.0.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    self.0.insert(name.into(), 1);
                }
            }
        }
    }
}

/// The lists of each name have, together, as many series as have the name; each list's first and last have the value.
async fn verify_postings(index: &Index, all: &[SeriesRef], pairs: &Pairs) -> Result<(), BlockError> {
    let wrong = |what: String| BlockError::malformed(index.file_name(), index.toc().postings_table, what);
    if index.postings("", "").await? != all {
        return Err(wrong("the list of all series has others than there are".to_owned()));
    }
    for (name, count) in &pairs.0 {
        let mut listed = 0;
        for value in index.label_values(name) {
            let list = index.postings(name, value).await?;
            listed += list.len() as u64;
            for reference in list.first().into_iter().chain(list.last()) {
                let found = index.series(*reference).await?;
                if found.labels.get(name) != Some(value) {
                    return Err(wrong(format!("series {} is listed as {name}={value:?}", found.labels)));
                }
            }
        }
        if listed != *count {
            return Err(wrong(format!("{count} series have the label {name}, but {listed} are listed")));
        }
    }
    match index.label_names().find(|name| !pairs.0.contains_key(*name)) {
        Some(name) => Err(wrong(format!("no series has the label {name}, but some are listed"))),
        None => Ok(()),
    }
}
