//! Federation: the newest sample of every series that matches, for another Prometheus to scrape.

mod accept;
mod escape;
mod protobuf;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint};
use model::{FloatHistogram, Labels, Matcher, TenantId, TimeRange};
use rpc::Tenant;

use crate::error::{ApiError, ErrorType};
use crate::samples::{SeriesReader, Sink};
use crate::select::{Budget, Selection, Wanted};
use crate::service::{Querier, oldest_ms, whole_ms};

use super::params::Params;
use super::plain::PlainError;

use accept::Format;

/// How many bytes are written at a time, about.
const PIECE_BYTES: usize = 64 << 10;

/// The newest sample of a series.
#[derive(Debug, Clone)]
struct Newest {
    timestamp_ms: i64,
    value: NewestValue,
}

#[derive(Debug, Clone)]
enum NewestValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// What samples of one name have to have in common to be in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl Newest {
    fn kind(&self) -> Kind {
        match &self.value {
            NewestValue::Float(_) => Kind::Untyped,
            NewestValue::Histogram(h) if h.counter_reset_hint == CounterResetHint::Gauge => {
                Kind::GaugeHistogram
            }
            NewestValue::Histogram(_) => Kind::Histogram,
        }
    }

    fn is_stale(&self) -> bool {
        match &self.value {
            NewestValue::Float(value) => model::is_stale_nan(*value),
            NewestValue::Histogram(h) => model::is_stale_nan(h.sum),
        }
    }

    /// Whether only protobuf can say it.
    fn is_exponential(&self) -> bool {
        matches!(&self.value, NewestValue::Histogram(h) if h.schema != CUSTOM_BUCKETS_SCHEMA)
    }
}

/// Series by metric name and labels.
type Found = BTreeMap<(String, Labels), Newest>;

pub(super) async fn federate(
    State(querier): State<Querier>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, PlainError> {
    let format = Format::negotiate(headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()));
    let selectors = params.selectors(&querier).await?.map_err(ApiError::bad_data)?;
    let _turn = querier.turn_to_read(&tenant).await?;
    let found = newest(&querier, &tenant, selectors).await?;
    let mut response = Response::new(body(found, format));
    let content_type = HeaderValue::from_str(&format.content_type());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, content_type.map_err(|e| ApiError::new(ErrorType::Internal, e.to_string()))?);
    Ok(response)
}

async fn newest(
    querier: &Querier,
    tenant: &TenantId,
    selectors: Vec<Vec<Matcher>>,
) -> Result<Found, ApiError> {
    let limits = querier.limits(tenant);
    let now = querier.clock().now_ms();
    let start = now.saturating_sub(whole_ms(querier.config().lookback_delta));
    let Some(range) = TimeRange::new(start.max(oldest_ms(querier.clock(), &limits)), now) else {
        return Ok(Found::new());
    };
    let readers = querier.sources().readers(tenant, range)?;
    let mut budget = Budget::new(&limits);
    let mut found = Found::new();
    for matchers in selectors {
        let wanted = Wanted { matchers: &matchers, range, newest_only: true };
        let mut selection = Selection::open(&readers, tenant, &wanted, &budget).await?;
        while let Some(series) = selection.next(&mut budget).await? {
            let Some(name) = series.labels.metric_name() else { continue };
            let key = (name.to_owned(), series.labels.clone());
            let mut last = Last(None);
            let mut reader = SeriesReader::new(&series.chunks, range);
            while reader.read_run(&mut last).map_err(|e| {
                ApiError::new(ErrorType::Internal, format!("series {} is damaged: {e}", series.labels))
            })? {}
            if let Some(newest) = last.0.filter(|newest| !newest.is_stale()) {
                found.insert(key, newest);
            }
        }
    }
    Ok(found)
}

/// Keeps the last sample that it is given.
struct Last(Option<Newest>);

impl Sink for Last {
    fn float(&mut self, timestamp_ms: i64, value: f64) {
        self.0 = Some(Newest { timestamp_ms, value: NewestValue::Float(value) });
    }

    fn floats(&mut self, timestamps_ms: &[i64], values: &[f64]) {
        if let (Some(at), Some(value)) = (timestamps_ms.last(), values.last()) {
            self.float(*at, *value);
        }
    }

    fn histogram(&mut self, timestamp_ms: i64, value: Arc<FloatHistogram>) {
        self.0 = Some(Newest { timestamp_ms, value: NewestValue::Histogram(value) });
    }
}

/// The answer, written while it is sent.
fn body(found: Found, format: Format) -> Body {
    let writable = move |(_, newest): &(_, Newest)| format.is_protobuf() || !newest.is_exponential();
    let mut samples = found.into_iter().filter(writable).peekable();
    let mut family: Option<(String, Kind)> = None;
    let mut protobuf = protobuf::FamilyWriter::default();
    let next_piece = move || {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES {
            let Some(((name, labels), newest)) = samples.next() else {
                protobuf.end(&mut piece);
                break;
            };
            let begins = family.as_ref().is_none_or(|(last, kind)| *last != name || *kind != newest.kind());
            if begins {
                match format.is_protobuf() {
                    true => {
                        protobuf.end(&mut piece);
                        protobuf.begin(&format.escaping.apply(&name), newest.kind());
                    }
                    false => text::push_type(&mut piece, &format.escaping.apply(&name), newest.kind()),
                }
                family = Some((name.clone(), newest.kind()));
            }
            match format.is_protobuf() {
                true => protobuf.metric(&labels, &newest, format.escaping),
                false => text::push_metric(&mut piece, &name, &labels, &newest, format.escaping),
            }
        }
        (!piece.is_empty()).then(|| Ok::<_, std::convert::Infallible>(Bytes::from(piece)))
    };
    Body::from_stream(futures::stream::iter(std::iter::from_fn(next_piece)))
}

/// The labels of a sample besides its name. As Prometheus does, a series without an instance gets an empty one, so that
/// the scraper does not put its own there.
fn labels_of(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    let instance = labels.get("instance").is_none().then_some(("instance", ""));
    labels.iter().filter(|(name, _)| *name != "__name__").chain(instance)
}

/// The upper bounds of a histogram with custom buckets and how many observations are at most as large; without the last
/// bucket, which has no bound.
fn classic_buckets(histogram: &FloatHistogram) -> Vec<(f64, f64)> {
    let mut counts = vec![0.0; histogram.custom_values.len()];
    let (mut index, mut buckets) = (0_i64, histogram.positive_buckets.iter());
    for span in &histogram.positive_spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            let Some(count) = buckets.next() else { break };
            let at = usize::try_from(index).ok();
            if let Some(slot) = at.and_then(|at| counts.get_mut(at)) {
                *slot = *count;
            }
            index += 1;
        }
    }
    let mut below = 0.0;
    histogram
        .custom_values
        .iter()
        .zip(counts)
        .map(|(bound, count)| {
            below += count;
            (*bound, below)
        })
        .collect()
}
