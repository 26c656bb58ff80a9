//! From a pushed batch to a record of the log, and from what became of the record to the answer.

pub(crate) mod frames;
mod metadata;
pub(crate) mod resolve;

use proto::{Frame, PushRequest, PushResponse, RejectReason, Rejection, Written};

use crate::config::Limits;
use crate::head::apply::Applied;
use crate::head::tenant::Tenant;
use crate::push::frames::{Item, Pair};
use crate::push::metadata::NewMetadata;
use crate::push::resolve::{Resolution, Resolved, resolve};
use crate::record::{NewSeries, RecordHeader, RecordWriter};

/// A typical entry with one float takes about 12 bytes.
const ENTRY_BYTES: usize = 14;
/// Labels of a new series.
const SERIES_BYTES: usize = 400;

/// So many rejections of a request are explained; a client is told of the first, and a batch may have thousands.
const MESSAGES: usize = 16;

/// A record ready for the log.
pub(crate) struct Built<'t> {
    /// The record.
    pub(crate) record: Vec<u8>,
    /// Its earliest and latest sample.
    pub(crate) hull: Option<(i64, i64)>,
    /// Whether there is nothing in it.
    pub(crate) is_empty: bool,
    /// What is needed to make sense of the outcome.
    pub(crate) outline: Outline,
    /// To be dropped once the record is in the log: it keeps series from being released until then.
    _resolution: Resolution<'t>,
}

/// How a record's entries belong to the request's frames.
pub(crate) struct Outline {
    /// The frame of every entry.
    entries: Vec<u32>,
    /// What never came into the record.
    rejected: Vec<Rejection>,
}

/// Resolves the series of a request and writes its record. `oldest_ms` is where the retention begins.
pub(crate) fn build<'t>(
    tenant: &'t Tenant,
    request: &'t PushRequest,
    limits: &Limits,
    oldest_ms: i64,
) -> Built<'t> {
    let resolution = resolve(tenant, request, limits);
    let batch = &request.batch;
    let mut canonical = Vec::new();
    let spans = canonical_labels(request, &resolution, &mut canonical);
    let new_series: Vec<_> = spans
        .iter()
        .map(|(id, frame, start, end)| NewSeries {
            id: *id,
            hash: frame.hash,
            canonical: &canonical[*start..*end],
        })
        .collect();
    let header = RecordHeader {
        tenant: tenant.id.as_str(),
        out_of_order_window_ms: u64::try_from(limits.out_of_order_time_window.as_millis())
            .unwrap_or(u64::MAX),
    };
    let capacity = 64 + batch.frames.len() * ENTRY_BYTES + canonical.len() + new_series.len() * 16;
    let mut build = Build {
        request,
        // The first timestamp is relative to the retention's edge: any fixed base would do.
        writer: RecordWriter::new(header, oldest_ms, &new_series, capacity),
        metadata: NewMetadata::of(tenant, limits),
        outline: Outline { entries: Vec::with_capacity(batch.frames.len()), rejected: Vec::new() },
        oldest_ms,
        with_starts: limits.start_timestamps,
        floats: Vec::new(),
        started: Vec::new(),
        scratch: Vec::new(),
    };
    build.request_metadata();
    for (position, (frame, resolved)) in batch.frames.iter().zip(&resolution.frames).enumerate() {
        build.frame(position as u32, frame, *resolved);
    }
    let is_empty = build.outline.entries.is_empty() && new_series.is_empty();
    let (record, hull) = build.writer.finish();
    Built { record, is_empty, hull, outline: build.outline, _resolution: resolution }
}

/// A record being built.
struct Build<'r> {
    request: &'r PushRequest,
    writer: RecordWriter,
    metadata: NewMetadata<'r>,
    outline: Outline,
    oldest_ms: i64,
    /// Whether start timestamps are stored.
    with_starts: bool,
    /// The floats of the series at hand, which are in one of the two.
    floats: Vec<(i64, f64)>,
    started: Vec<(i64, i64, f64)>,
    scratch: Vec<u8>,
}

impl Build<'_> {
    /// What a remote write 1.0 request says about families, whichever its series.
    fn request_metadata(&mut self) {
        for entry in &self.request.metadata {
            if self.metadata.is_new(&entry.family, &entry.metadata) {
                self.writer.metadata(&entry.family, &entry.metadata);
                self.outline.entries.push(0);
            }
        }
    }

    fn frame(&mut self, position: u32, frame: &Frame, resolved: Resolved) {
        let (id, rest) = match resolved {
            Resolved::Series { id, rest } => (id, rest as usize),
            Resolved::Refused(reason) => return self.refuse_all(position, frame, reason),
        };
        let (request, oldest_ms) = (self.request, self.oldest_ms);
        let mut too_old = None;
        let (mut bad_histogram, mut bad_exemplar) = (None::<(String, Written)>, None::<(String, Written)>);
        let mut metadata_refs = None;
        let with_starts = self.with_starts;
        let created_ms = if with_starts { frames::created_ms(&request.batch, frame, rest) } else { 0 };
        let started_at = |start_ms: i64| if start_ms == 0 { created_ms } else { start_ms };
        let (mut floats, mut started) = (std::mem::take(&mut self.floats), std::mem::take(&mut self.started));
        floats.clear();
        started.clear();
        let read = frames::items(&request.batch, frame, rest, |item| match item {
            Item::Sample { timestamp_ms, .. } if timestamp_ms < oldest_ms => {
                too_old.get_or_insert((timestamp_ms, Written::default())).1.samples += 1;
            }
            Item::Sample { timestamp_ms, value, .. } if !with_starts => floats.push((timestamp_ms, value)),
            Item::Sample { timestamp_ms, start_ms, value } => {
                started.push((timestamp_ms, started_at(start_ms), value));
            }
            Item::Histogram(message) => match checked_histogram(message) {
                Ok((timestamp_ms, _)) if timestamp_ms < oldest_ms => {
                    too_old.get_or_insert((timestamp_ms, Written::default())).1.histograms += 1;
                }
                Ok((timestamp_ms, start_ms)) => {
                    let start_ms = with_starts.then(|| started_at(start_ms));
                    self.writer.histogram(id, timestamp_ms, start_ms, message);
                    self.outline.entries.push(position);
                }
                Err(why) => bad_histogram.get_or_insert((why, Written::default())).1.histograms += 1,
            },
            Item::Exemplar(message) => match frames::exemplar(&request.batch, message, &mut self.scratch) {
                Ok((timestamp_ms, value)) => {
                    self.writer.exemplar(id, timestamp_ms, value, &self.scratch);
                    self.outline.entries.push(position);
                }
                Err(why) => {
                    bad_exemplar
                        .get_or_insert((format!("exemplar: {why}"), Written::default()))
                        .1
                        .exemplars += 1;
                }
            },
            Item::Metadata(refs) => metadata_refs = Some(refs),
        });
        if let Some((family, metadata)) =
            metadata_refs.and_then(|refs| self.metadata.of_series(request, frame, refs))
        {
            self.writer.metadata(&family, &metadata);
            self.outline.entries.push(position);
        }
        if !floats.is_empty() {
            self.writer.floats(id, &floats);
            self.outline.entries.push(position);
        }
        if !started.is_empty() {
            self.writer.floats_with_starts(id, &started);
            self.outline.entries.push(position);
        }
        (self.floats, self.started) = (floats, started);
        if let Some((timestamp_ms, refused)) = too_old {
            self.reject(position, RejectReason::TooOld, refused, Some(timestamp_ms));
        }
        let bad = [(bad_histogram, RejectReason::InvalidHistogram), (bad_exemplar, RejectReason::Malformed)];
        for (found, reason) in bad {
            let Some((why, refused)) = found else { continue };
            let message = match self.outline.rejected.len() {
                0..MESSAGES => format!("{why}: series {}", describe(request, position)),
                _ => String::new(),
            };
            self.outline.rejected.push(Rejection { series: position, reason, refused, message });
        }
        if read.is_err() {
            // The distributor has walked it; whoever sent this is not one of ours.
            self.reject(position, RejectReason::Malformed, Written::default(), None);
        }
    }

    fn refuse_all(&mut self, position: u32, frame: &Frame, reason: RejectReason) {
        let refused = amount(self.request, frame);
        self.reject(position, reason, refused, None);
    }

    fn reject(&mut self, series: u32, reason: RejectReason, refused: Written, timestamp_ms: Option<i64>) {
        let message = match self.outline.rejected.len() {
            0..MESSAGES => message(self.request, series, reason, timestamp_ms),
            _ => String::new(),
        };
        self.outline.rejected.push(Rejection { series, reason, refused, message });
    }
}

/// The time and the start timestamp of a histogram that can be stored, or what is wrong with it. The log must not have one that cannot be read.
fn checked_histogram(message: &[u8]) -> Result<(i64, i64), String> {
    let sample = wire::histogram::decode(message).map_err(|error| format!("native histogram: {error}"))?;
    wire::histogram::validate(&sample.value).map_err(|error| error.to_string())?;
    Ok((sample.timestamp_ms, sample.start_timestamp_ms))
}

/// Everything that a frame has for its series.
fn amount(request: &PushRequest, frame: &Frame) -> Written {
    let mut amount = Written::default();
    let rest = frames::labels(&request.batch, frame, &mut Vec::new()).unwrap_or(0);
    // What cannot be read is not counted.
    let _ = frames::items(&request.batch, frame, rest, |item| match item {
        Item::Sample { .. } => amount.samples += 1,
        Item::Histogram(_) => amount.histograms += 1,
        Item::Exemplar(_) => amount.exemplars += 1,
        Item::Metadata(_) => {}
    });
    amount
}

/// The canonical labels of series that the record introduces: number, frame, and where they are in `out`.
fn canonical_labels<'r>(
    request: &'r PushRequest,
    resolution: &Resolution<'_>,
    out: &mut Vec<u8>,
) -> Vec<(u32, &'r Frame, usize, usize)> {
    out.reserve(resolution.unlogged.len() * SERIES_BYTES);
    let mut spans = Vec::with_capacity(resolution.unlogged.len());
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for position in &resolution.unlogged {
        let frame = &request.batch.frames[*position as usize];
        let Resolved::Series { id, .. } = resolution.frames[*position as usize] else { continue };
        let start = out.len();
        if frames::labels(&request.batch, frame, &mut pairs).is_ok() {
            pairs.iter().for_each(|(name, value)| model::hash::push_canonical_label(out, name, value));
            spans.push((id, frame, start, out.len()));
        }
    }
    spans
}

impl Outline {
    /// The answer to the request.
    pub(crate) fn respond(self, request: &PushRequest, applied: Applied) -> PushResponse {
        let mut rejected = self.rejected;
        for refused in applied.refused {
            let Some(series) = self.entries.get(refused.entry as usize).copied() else { continue };
            let message = match rejected.len() {
                0..MESSAGES => message(request, series, refused.reason, Some(refused.timestamp_ms)),
                _ => String::new(),
            };
            rejected.push(Rejection { series, reason: refused.reason, refused: refused.amount, message });
        }
        PushResponse { written: applied.written, rejected }
    }
}

fn message(request: &PushRequest, series: u32, reason: RejectReason, timestamp_ms: Option<i64>) -> String {
    let what = match reason {
        RejectReason::OutOfOrder => "out of order sample",
        RejectReason::TooOld => "sample is too old",
        RejectReason::NewValueForTimestamp => "duplicate sample for timestamp with another value",
        RejectReason::SeriesLimit => "per-tenant series limit (max_global_series_per_user) reached",
        RejectReason::MetricSeriesLimit => "per-metric series limit (max_global_series_per_metric) reached",
        RejectReason::Malformed => "malformed series",
        other => other.as_str(),
    };
    let labels = describe(request, series);
    match timestamp_ms {
        Some(timestamp_ms) => format!("{what}: series {labels}, timestamp {timestamp_ms} ms"),
        None => format!("{what}: series {labels}"),
    }
}

/// The labels of a frame for people.
fn describe(request: &PushRequest, series: u32) -> String {
    let mut pairs = Vec::new();
    let frame = request.batch.frames.get(series as usize);
    if frame.is_none_or(|frame| frames::labels(&request.batch, frame, &mut pairs).is_err()) {
        return format!("number {series} of the request");
    }
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| format!("{}={:?}", text(n), text(v))).collect();
    format!("{{{}}}", pairs.join(", "))
}
