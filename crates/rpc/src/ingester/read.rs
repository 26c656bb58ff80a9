//! Reads as messages.

use model::{Exemplar, MatchOp, Matcher, TimeRange};
use proto::ingester as message;
use proto::{
    Chunk, ChunkEncoding, Error, ExemplarsRequest, FamilyMetadata, LabelValuesRequest, MetadataRequest,
    SelectBatch, SelectRequest, SeriesChunks, SeriesExemplars, SeriesRequest,
};

use super::labels::{pack, unpack};
use super::write::{from_metadata, tenant, to_metadata};
use super::{bounded, malformed};

pub(super) fn to_matchers(matchers: &[Matcher]) -> message::Matchers {
    let matchers = matchers.iter().map(|matcher| {
        let op = match matcher.op() {
            MatchOp::Equal => message::matcher::Op::Equal,
            MatchOp::NotEqual => message::matcher::Op::NotEqual,
            MatchOp::Regex => message::matcher::Op::Match,
            MatchOp::NotRegex => message::matcher::Op::NotMatch,
        };
        let (name, value) = (matcher.name().to_owned(), matcher.value().to_owned());
        message::Matcher { op: op.into(), name, value }
    });
    message::Matchers { matchers: matchers.collect() }
}

pub(super) fn from_matchers(message: Option<message::Matchers>) -> Result<Vec<Matcher>, Error> {
    let matchers = message.unwrap_or_default().matchers.into_iter().map(|matcher| {
        let op = match matcher.op() {
            message::matcher::Op::Equal => MatchOp::Equal,
            message::matcher::Op::NotEqual => MatchOp::NotEqual,
            message::matcher::Op::Match => MatchOp::Regex,
            message::matcher::Op::NotMatch => MatchOp::NotRegex,
            message::matcher::Op::Unspecified => return Err(malformed("a matcher without its operator")),
        };
        Matcher::new(&matcher.name, op, &matcher.value).map_err(|error| malformed(&error.to_string()))
    });
    matchers.collect()
}

fn to_sets(sets: &[Vec<Matcher>]) -> Vec<message::Matchers> {
    sets.iter().map(|set| to_matchers(set)).collect()
}

fn from_sets(messages: Vec<message::Matchers>) -> Result<Vec<Vec<Matcher>>, Error> {
    messages.into_iter().map(|set| from_matchers(Some(set))).collect()
}

pub(super) fn to_range(range: TimeRange) -> message::TimeRange {
    message::TimeRange { start_ms: range.start_ms(), end_ms: range.end_ms() }
}

pub(super) fn from_range(message: Option<message::TimeRange>) -> Result<TimeRange, Error> {
    let message = message.ok_or_else(|| malformed("no range of time"))?;
    TimeRange::new(message.start_ms, message.end_ms)
        .ok_or_else(|| malformed("a range that ends before it begins"))
}

pub(super) fn to_select(request: &SelectRequest) -> message::SelectRequest {
    message::SelectRequest {
        tenant: request.tenant.as_str().to_owned(),
        matchers: Some(to_matchers(&request.matchers)),
        range: Some(to_range(request.range)),
        max_series: request.max_series as u64,
        max_chunk_bytes: request.max_chunk_bytes as u64,
        content: message::select_request::Content::Unspecified.into(),
        newest_only: request.newest_only,
    }
}

pub(super) fn from_select(message: message::SelectRequest) -> Result<SelectRequest, Error> {
    Ok(SelectRequest {
        tenant: tenant(&message.tenant)?,
        matchers: from_matchers(message.matchers)?,
        range: from_range(message.range)?,
        newest_only: message.newest_only,
        max_series: bounded(message.max_series),
        max_chunk_bytes: bounded(message.max_chunk_bytes),
    })
}

pub(super) fn to_batch(batch: SelectBatch) -> message::SelectResponse {
    let series = batch.into_iter().map(|series| {
        let chunks = series.chunks.into_iter().map(to_chunk);
        message::SeriesChunks { labels: pack(&series.labels), chunks: chunks.collect() }
    });
    message::SelectResponse { series: series.collect(), checksums: None }
}

pub(super) fn from_batch(message: message::SelectResponse) -> Result<SelectBatch, Error> {
    let series = message.series.into_iter().map(|series| {
        let chunks = series.chunks.into_iter().map(from_chunk).collect::<Result<_, _>>()?;
        Ok(SeriesChunks { labels: unpack(&series.labels)?, chunks })
    });
    series.collect()
}

pub(super) fn to_chunk(chunk: Chunk) -> message::Chunk {
    message::Chunk {
        range: Some(to_range(chunk.range)),
        encoding: u8::from(chunk.encoding).into(),
        data: chunk.data,
    }
}

pub(super) fn from_chunk(message: message::Chunk) -> Result<Chunk, Error> {
    let encoding =
        u8::try_from(message.encoding).ok().and_then(|number| ChunkEncoding::try_from(number).ok());
    Ok(Chunk {
        range: from_range(message.range)?,
        encoding: encoding.ok_or_else(|| malformed("a chunk of an encoding that is not known here"))?,
        data: message.data,
    })
}

pub(super) fn to_series(request: &SeriesRequest) -> message::SeriesRequest {
    message::SeriesRequest {
        tenant: request.tenant.as_str().to_owned(),
        matcher_sets: to_sets(&request.matcher_sets),
        range: Some(to_range(request.range)),
        limit: request.limit as u64,
    }
}

pub(super) fn from_series(message: message::SeriesRequest) -> Result<SeriesRequest, Error> {
    Ok(SeriesRequest {
        tenant: tenant(&message.tenant)?,
        matcher_sets: from_sets(message.matcher_sets)?,
        range: from_range(message.range)?,
        limit: bounded(message.limit),
    })
}

pub(super) fn to_values(request: &LabelValuesRequest) -> message::LabelValuesRequest {
    message::LabelValuesRequest { name: request.name.clone(), series: Some(to_series(&request.series)) }
}

pub(super) fn from_values(message: message::LabelValuesRequest) -> Result<LabelValuesRequest, Error> {
    let series = message.series.ok_or_else(|| malformed("values of no series"))?;
    Ok(LabelValuesRequest { name: message.name, series: from_series(series)? })
}

pub(super) fn to_metadata_request(request: MetadataRequest) -> message::MetadataRequest {
    message::MetadataRequest {
        tenant: request.tenant.as_str().to_owned(),
        family: request.family,
        limit: request.limit as u64,
        limit_per_family: request.limit_per_family as u64,
    }
}

pub(super) fn from_metadata_request(message: message::MetadataRequest) -> Result<MetadataRequest, Error> {
    Ok(MetadataRequest {
        tenant: tenant(&message.tenant)?,
        family: message.family,
        limit: bounded(message.limit),
        limit_per_family: bounded(message.limit_per_family),
    })
}

pub(super) fn to_family(family: FamilyMetadata) -> message::FamilyMetadata {
    let entries = family.entries.iter().map(to_metadata).collect();
    message::FamilyMetadata { family: family.family, entries }
}

pub(super) fn from_family(message: message::FamilyMetadata) -> FamilyMetadata {
    let entries = message.entries.into_iter().map(from_metadata).collect();
    FamilyMetadata { family: message.family, entries }
}

pub(super) fn to_exemplars_request(request: &ExemplarsRequest) -> message::ExemplarsRequest {
    message::ExemplarsRequest {
        tenant: request.tenant.as_str().to_owned(),
        matcher_sets: to_sets(&request.matcher_sets),
        range: Some(to_range(request.range)),
    }
}

pub(super) fn from_exemplars_request(message: message::ExemplarsRequest) -> Result<ExemplarsRequest, Error> {
    Ok(ExemplarsRequest {
        tenant: tenant(&message.tenant)?,
        matcher_sets: from_sets(message.matcher_sets)?,
        range: from_range(message.range)?,
    })
}

pub(super) fn to_exemplars(series: &SeriesExemplars) -> message::SeriesExemplars {
    let exemplars = series.exemplars.iter().map(to_exemplar).collect();
    message::SeriesExemplars { labels: pack(&series.labels), exemplars }
}

pub(super) fn to_exemplar(exemplar: &Exemplar) -> message::Exemplar {
    message::Exemplar {
        labels: pack(&exemplar.labels),
        value: exemplar.value,
        timestamp_ms: exemplar.timestamp_ms,
    }
}

pub(super) fn from_exemplar(message: &message::Exemplar) -> Result<Exemplar, Error> {
    let labels = unpack(&message.labels)?;
    Ok(Exemplar { labels, value: message.value, timestamp_ms: message.timestamp_ms })
}

pub(super) fn from_exemplars(message: &message::SeriesExemplars) -> Result<SeriesExemplars, Error> {
    let exemplars = message.exemplars.iter().map(from_exemplar).collect::<Result<_, _>>()?;
    Ok(SeriesExemplars { labels: unpack(&message.labels)?, exemplars })
}
