//! The way of a query to an ingester: selections of encoded chunks, label queries, exemplars, metadata.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use chunk::{ChunkData, Encoding};
use futures::stream::{BoxStream, StreamExt};
use model::{Exemplar, Labels, Matcher, Metadata, TenantId, TimeRange};
use ulid::Ulid;

use crate::cardinality::{
    ActiveSeriesStream, CardinalityRequest, IndexStats, LabelNameCardinality, LabelValuesCardinality,
};
use crate::checksums::{Checked, ChecksumStream, ReferencedRequest};
use crate::{Code, Error};

/// An encoded chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// From its first to its last sample.
    pub range: TimeRange,
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// The chunk as the Prometheus TSDB has it in its chunk files, without length, encoding byte and checksum.
    pub data: Bytes,
}

impl ChunkData for Chunk {
    fn range(&self) -> TimeRange {
        self.range
    }

    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn data(&self) -> &[u8] {
        &self.data
    }
}

/// Which series, and which time.
#[derive(Debug, Clone)]
pub struct SelectRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// All of these have to match; at least one.
    pub matchers: Vec<Matcher>,
    /// Samples outside may be returned, samples inside must be.
    pub range: TimeRange,
    /// Of each series the newest sample inside is enough; others may be returned.
    pub newest_only: bool,
    /// More series than this are an error ([`crate::Code::Unprocessable`]); at least 1.
    pub max_series: usize,
    /// More bytes of chunks than this are an error ([`crate::Code::Unprocessable`]); at least 1.
    pub max_chunk_bytes: usize,
}

/// One series with its chunks in the range. Chunks are sorted by their first sample; they may overlap (out-of-order
/// data), and then one timestamp may occur twice with the same value.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesChunks {
    /// The series' labels.
    pub labels: Labels,
    /// Its chunks.
    pub chunks: Vec<Chunk>,
}

/// Some series of a selection; a batch is bounded in bytes.
pub type SelectBatch = Vec<SeriesChunks>;

/// A selection, batch by batch, sorted by labels over all batches. Dropping it ends the work.
pub type SelectStream = BoxStream<'static, Result<SelectBatch, Error>>;

/// A selection, and blocks that need not be read besides.
pub struct CoveringSelection {
    /// The series.
    pub series: SelectStream,
    /// The names of blocks of the tenant that it covers: each sample of theirs that is asked for is in `series`, if that ends
    /// without an error. Of a selection that did not come to its end nothing is known.
    pub covered: BTreeSet<Ulid>,
}

impl fmt::Debug for CoveringSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoveringSelection").field("covered", &self.covered).finish_non_exhaustive()
    }
}

/// Series by matcher sets.
#[derive(Debug, Clone)]
pub struct SeriesRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// A series is returned if all matchers of at least one set match; no sets: all series.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// Only series with samples in this range.
    pub range: TimeRange,
    /// At most this many; 0 means no limit of the client's.
    pub limit: usize,
}

/// Names of labels.
pub type LabelNamesRequest = SeriesRequest;

/// Values of one label.
#[derive(Debug, Clone)]
pub struct LabelValuesRequest {
    /// The label.
    pub name: String,
    /// Of which series.
    pub series: SeriesRequest,
}

/// Metadata of metric families.
#[derive(Debug, Clone)]
pub struct MetadataRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// Only this family.
    pub family: Option<String>,
    /// At most this many families; 0 means no limit of the client's.
    pub limit: usize,
    /// At most this many entries of one family; 0 means no limit of the client's.
    pub limit_per_family: usize,
}

/// What is known of one family: one entry for every distinct metadata that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyMetadata {
    /// The family's name.
    pub family: String,
    /// Distinct metadata, newest first.
    pub entries: Vec<Metadata>,
}

/// Exemplars by matcher sets.
#[derive(Debug, Clone)]
pub struct ExemplarsRequest {
    /// Whose data.
    pub tenant: TenantId,
    /// A series' exemplars are returned if all matchers of at least one set match.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// Exemplars in this range.
    pub range: TimeRange,
}

/// The exemplars of one series, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series' labels.
    pub labels: Labels,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// A tenant's numbers in one ingester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantStats {
    /// Series in the head.
    pub series: u64,
    /// Samples since the process started.
    pub samples: u64,
}

/// An ingester as queriers see it. A tenant that it does not know has no data; that is not an error.
#[async_trait]
pub trait IngesterRead: Send + Sync {
    /// Series and their chunks, sorted by labels.
    async fn select(&self, request: SelectRequest) -> Result<SelectStream, Error>;
    /// As [`IngesterRead::select`], for whoever would read blocks besides: with those that need not be read. Who knows nothing of
    /// blocks covers none.
    async fn select_covering(&self, request: SelectRequest) -> Result<CoveringSelection, Error> {
        Ok(CoveringSelection { series: self.select(request).await?, covered: BTreeSet::new() })
    }
    /// The same series, with checksums in the place of labels and chunks, sorted by labels all the same. Who has no
    /// checksums sends chunks.
    async fn select_checksums(&self, request: SelectRequest) -> Result<ChecksumStream, Error> {
        Ok(self.select(request).await?.map(|batch| batch.map(Checked::Chunks)).boxed())
    }
    /// Series of which checksums were sent, each once and in the order of the request, with their chunks from the time
    /// that each is asked from. If one of them is gone, [`Code::NotFound`]: then nothing was said about it.
    async fn select_referenced(&self, request: ReferencedRequest) -> Result<Vec<SeriesChunks>, Error> {
        drop(request);
        Err(unanswered("series by reference"))
    }
    /// Label sets, sorted.
    async fn series(&self, request: SeriesRequest) -> Result<Vec<Labels>, Error>;
    /// Names of labels, sorted.
    async fn label_names(&self, request: LabelNamesRequest) -> Result<Vec<String>, Error>;
    /// Values of a label, sorted.
    async fn label_values(&self, request: LabelValuesRequest) -> Result<Vec<String>, Error>;
    /// Metadata, sorted by family.
    async fn metadata(&self, request: MetadataRequest) -> Result<Vec<FamilyMetadata>, Error>;
    /// Exemplars, sorted by labels.
    async fn exemplars(&self, request: ExemplarsRequest) -> Result<Vec<SeriesExemplars>, Error>;
    /// The tenant's numbers.
    async fn stats(&self, tenant: &TenantId) -> Result<TenantStats, Error>;
    /// The numbers of every tenant that there is, sorted by tenant.
    async fn all_stats(&self) -> Result<Vec<(TenantId, TenantStats)>, Error> {
        Err(unanswered("the numbers of all tenants"))
    }
    /// The values of every label of the series, by hash; at most `max_values` of all labels together, of more
    /// [`Code::Unprocessable`]. Sorted by name.
    async fn label_names_cardinality(
        &self,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<Vec<LabelNameCardinality>, Error> {
        drop((request, max_values));
        Err(unanswered("label names cardinality"))
    }
    /// How many series have which values of the labels `names`; at most `max_values` of all labels together, of more
    /// [`Code::Unprocessable`].
    async fn label_values_cardinality(
        &self,
        names: Vec<String>,
        request: CardinalityRequest,
        max_values: usize,
    ) -> Result<LabelValuesCardinality, Error> {
        drop((names, request, max_values));
        Err(unanswered("label values cardinality"))
    }
    /// The series themselves, at most `max_series`, of more [`Code::Unprocessable`].
    async fn active_series(
        &self,
        request: CardinalityRequest,
        max_series: usize,
    ) -> Result<ActiveSeriesStream, Error> {
        drop((request, max_series));
        Err(unanswered("active series"))
    }
    /// The tenant's index in numbers, with at most `limit` entries in each list.
    async fn index_stats(&self, tenant: &TenantId, limit: usize) -> Result<IndexStats, Error> {
        let _ = (tenant, limit);
        Err(unanswered("index statistics"))
    }
}

/// What an ingester says that does not keep what was asked for: one that serves nothing but selections.
fn unanswered(what: &str) -> Error {
    Error::new(Code::NotFound, format!("{what} are not kept here"))
}
