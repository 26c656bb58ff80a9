//! What is counted, as messages.

use proto::ingester as message;
use proto::{
    ActiveSeries, CardinalityRequest, Counted, Error, IndexStats, LabelNameCardinality,
    LabelValueCardinality, LabelValuesCardinality, Stat,
};

use super::bounded;
use super::labels::{pack, unpack};
use super::read::{from_matchers, from_range, to_matchers, to_range};
use super::write::tenant;

pub(super) fn to_request(request: &CardinalityRequest, max: usize) -> message::CardinalityRequest {
    message::CardinalityRequest {
        tenant: request.tenant.as_str().to_owned(),
        matchers: Some(to_matchers(&request.matchers)),
        active_since_ms: match request.counted {
            Counted::InMemory => None,
            Counted::ActiveSince(time_ms) => Some(time_ms),
        },
        max: max as u64,
    }
}

/// The request, and the most values or series that it takes.
pub(super) fn from_request(
    message: message::CardinalityRequest,
) -> Result<(CardinalityRequest, usize), Error> {
    let request = CardinalityRequest {
        tenant: tenant(&message.tenant)?,
        matchers: from_matchers(message.matchers)?,
        counted: message.active_since_ms.map_or(Counted::InMemory, Counted::ActiveSince),
    };
    Ok((request, bounded(message.max)))
}

pub(super) fn to_name(label: LabelNameCardinality) -> message::LabelNameCardinality {
    message::LabelNameCardinality { name: label.name, values: label.values }
}

pub(super) fn from_name(message: message::LabelNameCardinality) -> LabelNameCardinality {
    LabelNameCardinality { name: message.name, values: message.values }
}

pub(super) fn to_values(values: LabelValuesCardinality) -> message::LabelValuesCardinalityResponse {
    let labels = values.labels.into_iter().map(|label| {
        let values = label.values.into_iter().map(|(name, value)| message::Stat { name, value });
        message::LabelValueCardinality { name: label.name, values: values.collect() }
    });
    message::LabelValuesCardinalityResponse { series_total: values.series_total, labels: labels.collect() }
}

pub(super) fn from_values(message: message::LabelValuesCardinalityResponse) -> LabelValuesCardinality {
    let labels = message.labels.into_iter().map(|label| {
        let values = label.values.into_iter().map(|stat| (stat.name, stat.value));
        LabelValueCardinality { name: label.name, values: values.collect() }
    });
    LabelValuesCardinality { series_total: message.series_total, labels: labels.collect() }
}

pub(super) fn to_active(series: &ActiveSeries) -> message::ActiveSeries {
    message::ActiveSeries { labels: pack(&series.labels), buckets: series.buckets }
}

pub(super) fn from_active(message: &message::ActiveSeries) -> Result<ActiveSeries, Error> {
    Ok(ActiveSeries { labels: unpack(&message.labels)?, buckets: message.buckets })
}

fn to_stats(stats: Vec<Stat>) -> Vec<message::Stat> {
    stats.into_iter().map(|stat| message::Stat { name: stat.name, value: stat.value }).collect()
}

fn from_stats(messages: Vec<message::Stat>) -> Vec<Stat> {
    messages.into_iter().map(|stat| Stat { name: stat.name, value: stat.value }).collect()
}

pub(super) fn to_index(stats: IndexStats) -> message::IndexStatsResponse {
    message::IndexStatsResponse {
        series: stats.series,
        label_pairs: stats.label_pairs,
        chunks: stats.chunks,
        range: stats.range.map(to_range),
        series_by_metric: to_stats(stats.series_by_metric),
        values_by_label: to_stats(stats.values_by_label),
        bytes_by_label: to_stats(stats.bytes_by_label),
        series_by_pair: to_stats(stats.series_by_pair),
    }
}

pub(super) fn from_index(message: message::IndexStatsResponse) -> Result<IndexStats, Error> {
    let range = |range| from_range(Some(range));
    Ok(IndexStats {
        series: message.series,
        label_pairs: message.label_pairs,
        chunks: message.chunks,
        range: message.range.map(range).transpose()?,
        series_by_metric: from_stats(message.series_by_metric),
        values_by_label: from_stats(message.values_by_label),
        bytes_by_label: from_stats(message.bytes_by_label),
        series_by_pair: from_stats(message.series_by_pair),
    })
}
