//! What an ingester has, as far as queries ask for it: series and their chunks in memory.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream;
use model::{Labels, Matcher, TenantId, TimeRange};
use proto::{
    Chunk, Error, ExemplarsRequest, FamilyMetadata, IngesterRead, LabelNamesRequest, LabelValuesRequest,
    MetadataRequest, SelectRequest, SelectStream, SeriesChunks, SeriesExemplars, SeriesRequest, TenantStats,
};

use crate::chunks::encode;
use testseries::Loaded;

/// The most samples of a chunk: others than those in blocks have.
const CHUNK_SAMPLES: u16 = 33;

/// Series, sorted by labels, with their chunks.
#[derive(Debug, Default)]
pub(crate) struct Holder {
    series: Vec<(Labels, Vec<Chunk>)>,
}

impl Holder {
    /// Holds of these series, which are sorted, what is not older than `from_ms`, and what is in a chunk with that.
    pub(crate) fn new(series: &[(Labels, Vec<Loaded>)], from_ms: i64) -> Self {
        let chunks = |samples: &[Loaded]| -> Vec<Chunk> {
            let all = encode(samples, CHUNK_SAMPLES, |at| i64::from(at >= from_ms)).unwrap_or_default();
            all.into_iter().filter(|chunk| chunk.range.end_ms() >= from_ms).collect()
        };
        Self { series: series.iter().map(|(labels, samples)| (labels.clone(), chunks(samples))).collect() }
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
    ) -> impl Iterator<Item = (&'a Labels, Vec<Chunk>)> {
        let matches = |labels: &Labels| matchers.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
        let series = self.series.iter().filter(move |(labels, _)| matches(labels));
        series.filter_map(move |(labels, chunks)| {
            let own: Vec<Chunk> =
                chunks.iter().filter(|chunk| chunk.range.overlaps(range)).cloned().collect();
            (!own.is_empty()).then_some((labels, own))
        })
    }

    fn labels_of<'a>(&'a self, request: &'a SeriesRequest) -> impl Iterator<Item = &'a Labels> {
        let sets = &request.matcher_sets;
        let matches = move |labels: &&Labels| {
            let set = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(labels.get_or_empty(m.name())));
            sets.is_empty() || sets.iter().any(set)
        };
        self.matching(&[], request.range).map(|(labels, _)| labels).filter(matches)
    }
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let set: std::collections::BTreeSet<T> = items.collect();
    set.into_iter().collect()
}

#[async_trait]
impl IngesterRead for Holder {
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error> {
        let found = self.matching(&request.matchers, request.range);
        let batch: Vec<SeriesChunks> =
            found.map(|(labels, chunks)| SeriesChunks { labels: labels.clone(), chunks }).collect();
        Ok(stream::iter([Ok(batch)]).boxed())
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error> {
        Ok(self.labels_of(&request).cloned().collect())
    }

    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error> {
        let names = self.labels_of(&request).flat_map(Labels::iter).map(|(name, _)| name.to_owned());
        Ok(sorted(names))
    }

    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error> {
        let values = self.labels_of(&request.series).filter_map(|labels| labels.get(&request.name));
        Ok(sorted(values.map(str::to_owned)))
    }

    async fn metadata(&self, _: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error> {
        Ok(Vec::new())
    }

    async fn exemplars(&self, _: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error> {
        Ok(Vec::new())
    }

    async fn stats(&self, _: &TenantId) -> Result<TenantStats, Error> {
        Ok(TenantStats::default())
    }
}
