//! The way of a write: from a client's request to the distributor, and from there to ingesters.
//!
//! Series travel as slices of the request that brought them (the body of a remote write `TimeSeries` message), so
//! that nothing is decoded into structures or encoded again on the way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::{Metadata, SeriesHash, TenantId};

use crate::Error;

/// Which remote write message a series body is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `prometheus.WriteRequest`: labels are spelt out in every series.
    V1,
    /// `io.prometheus.write.v2.Request`: labels refer to the request's symbol table.
    V2,
}

/// The symbols of a remote write 2.0 request, by index. Those that a rewrite (relabelling, HA deduplication) added
/// come behind those of the request.
#[derive(Debug, Clone, Default)]
pub struct SymbolTable {
    text: Bytes,
    /// Start and length in `text` of each symbol of the request.
    spans: Vec<(u32, u32)>,
    added: Vec<Bytes>,
}

impl SymbolTable {
    /// The table of symbols that lie in `text` at `spans` (start, length). `None` where a span leaves `text`.
    pub fn new(text: Bytes, spans: Vec<(u32, u32)>) -> Option<Self> {
        let inside = |&(start, len): &(u32, u32)| start as usize + len as usize <= text.len();
        spans.iter().all(inside).then_some(Self { text, spans, added: Vec::new() })
    }

    /// Adds a symbol and returns its index.
    pub fn add(&mut self, symbol: Bytes) -> u32 {
        self.added.push(symbol);
        (self.spans.len() + self.added.len() - 1) as u32
    }

    /// The bytes of symbol `index`; `None` where there is no such symbol.
    pub fn get(&self, index: u32) -> Option<&[u8]> {
        let index = index as usize;
        match self.spans.get(index) {
            Some(&(start, len)) => Some(&self.text[start as usize..start as usize + len as usize]),
            None => self.added.get(index - self.spans.len()).map(|b| &b[..]),
        }
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.spans.len() + self.added.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long all symbols are together, in bytes.
    pub fn text_bytes(&self) -> usize {
        let of_request: usize = self.spans.iter().map(|(_, len)| *len as usize).sum();
        of_request + self.added.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether its symbols are those in `request`, and no others: whoever has the request needs no table.
    pub fn is_all_in(&self, request: &Bytes) -> bool {
        self.added.is_empty() && self.text.as_ptr() == request.as_ptr() && self.text.len() == request.len()
    }
}

/// Where the bytes of a frame are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In the request as it came.
    Request,
    /// In the buffer of series whose labels were changed.
    Rewritten,
}

/// One series of a batch: its ring hash and where its `TimeSeries` message body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The ring hash over tenant and canonical labels.
    pub hash: SeriesHash,
    /// Which buffer holds it.
    pub source: Source,
    /// Where in the buffer it begins.
    pub start: u32,
    /// How long it is.
    pub len: u32,
}

/// Validated series on their way to one ingester. Cloning shares the buffers.
#[derive(Debug, Clone)]
pub struct SeriesBatch {
    /// How the bodies are written.
    pub version: Version,
    /// The decompressed request.
    pub request: Bytes,
    /// Bodies of series whose labels were changed.
    pub rewritten: Bytes,
    /// The request's symbols; empty with [`Version::V1`].
    pub symbols: Arc<SymbolTable>,
    /// The series.
    pub frames: Vec<Frame>,
}

impl SeriesBatch {
    /// The `TimeSeries` message body of a frame; `None` where the frame leaves its buffer.
    pub fn body(&self, frame: &Frame) -> Option<&[u8]> {
        let buffer = match frame.source {
            Source::Request => &self.request,
            Source::Rewritten => &self.rewritten,
        };
        buffer.get(frame.start as usize..frame.start as usize + frame.len as usize)
    }
}

/// Metadata of one metric family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataEntry {
    /// The family's name.
    pub family: String,
    /// Its type, help and unit.
    pub metadata: Metadata,
}

/// What a distributor sends to one ingester.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Whose series these are.
    pub tenant: TenantId,
    /// The series.
    pub batch: SeriesBatch,
    /// Metadata of remote write 1.0 requests. (2.0 carries it inside the series' bodies.)
    pub metadata: Vec<MetadataEntry>,
}

/// How much was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Float samples, repetitions of stored ones included.
    pub samples: u64,
    /// Native histograms, likewise.
    pub histograms: u64,
    /// Exemplars, likewise.
    pub exemplars: u64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
    }
}

/// Why something was refused. The text form is the `reason` label of discard metrics, as in Mimir.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// No `__name__`.
    MissingMetricName,
    /// A label name or value that is not valid UTF-8, or an empty name.
    InvalidLabel,
    /// A label name twice.
    DuplicateLabelName,
    /// More labels than the tenant may use.
    TooManyLabels,
    /// A label name longer than the tenant may use.
    LabelNameTooLong,
    /// A label value longer than the tenant may use.
    LabelValueTooLong,
    /// Later than now plus the tenant's grace period.
    TooFarInFuture,
    /// Earlier than the newest sample of its series, outside the out-of-order window.
    OutOfOrder,
    /// Older than the out-of-order window or the retention reaches.
    TooOld,
    /// Another value at a timestamp that has one.
    NewValueForTimestamp,
    /// A native histogram that contradicts itself.
    InvalidHistogram,
    /// An exemplar without labels, with too long labels, or older than stored ones.
    InvalidExemplar,
    /// The tenant's limit of active series.
    SeriesLimit,
    /// The tenant's limit of active series of one metric.
    MetricSeriesLimit,
    /// The tenant's ingestion rate.
    RateLimited,
    /// More HA pairs than the tenant may have.
    TooManyHaClusters,
    /// A body that cannot be decoded, or a symbol that does not exist.
    Malformed,
}

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 17] = [
        Self::MissingMetricName,
        Self::InvalidLabel,
        Self::DuplicateLabelName,
        Self::TooManyLabels,
        Self::LabelNameTooLong,
        Self::LabelValueTooLong,
        Self::TooFarInFuture,
        Self::OutOfOrder,
        Self::TooOld,
        Self::NewValueForTimestamp,
        Self::InvalidHistogram,
        Self::InvalidExemplar,
        Self::SeriesLimit,
        Self::MetricSeriesLimit,
        Self::RateLimited,
        Self::TooManyHaClusters,
        Self::Malformed,
    ];

    /// The reason whose [`RejectReason::as_str`] this is.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The value of the `reason` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingMetricName => "missing_metric_name",
            Self::InvalidLabel => "label_invalid",
            Self::DuplicateLabelName => "duplicate_label_names",
            Self::TooManyLabels => "max_label_names_per_series",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::TooFarInFuture => "too_far_in_future",
            Self::OutOfOrder => "sample_out_of_order",
            Self::TooOld => "sample_timestamp_too_old",
            Self::NewValueForTimestamp => "new_value_for_timestamp",
            Self::InvalidHistogram => "invalid_native_histogram",
            Self::InvalidExemplar => "invalid_exemplar",
            Self::SeriesLimit => "per_user_series_limit",
            Self::MetricSeriesLimit => "per_metric_series_limit",
            Self::RateLimited => "rate_limited",
            Self::TooManyHaClusters => "too_many_ha_clusters",
            Self::Malformed => "malformed",
        }
    }

    /// Whether it is one of the tenant's limits that may be free again later (429) rather than bad data (400).
    pub fn is_tenant_limit(self) -> bool {
        matches!(self, Self::SeriesLimit | Self::MetricSeriesLimit | Self::RateLimited)
    }
}

/// What was refused of one series of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The series' index in the batch's frames.
    pub series: u32,
    /// Why.
    pub reason: RejectReason,
    /// How much of it.
    pub refused: Written,
    /// A sentence that names the series and what is wrong; empty where many rejections come before this one.
    pub message: String,
}

/// An ingester's answer: what is durable and visible now, and what was refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushResponse {
    /// How much was stored.
    pub written: Written,
    /// What was refused, by series. A series may be stored in part.
    pub rejected: Vec<Rejection>,
}

/// An ingester as distributors see it.
#[async_trait]
pub trait IngesterWrite: Send + Sync {
    /// Stores the batch. When it returns, what it counts as written survives a crash of the ingester. An error means
    /// that nothing is known to be stored.
    async fn push(&self, request: PushRequest) -> Result<PushResponse, Error>;

    /// The same for a caller that waits no longer than `timeout`. An ingester in another process is told, and has failed
    /// to answer when the time is over; one in this process is just no longer waited for.
    async fn push_within(&self, request: PushRequest, timeout: Duration) -> Result<PushResponse, Error> {
        let _ = timeout;
        self.push(request).await
    }
}

/// A whole write, decompressed, as a client sent it.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which message `body` is.
    pub version: Version,
    /// The protobuf message.
    pub body: Bytes,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteResponse {
    /// How much a quorum stored.
    pub written: Written,
    /// What was wrong with the rest: a 400 or a 429 that names the first offending series; `None` where all is stored.
    pub error: Option<Error>,
}

/// A distributor as others in the cluster see it: the ruler, and the process' own metrics.
#[async_trait]
pub trait Write: Send + Sync {
    /// Stores the write on a quorum of replicas. An error means that the whole write has to be repeated.
    async fn write(&self, request: WriteRequest) -> Result<WriteResponse, Error>;
}
