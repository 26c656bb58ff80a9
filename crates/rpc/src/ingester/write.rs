//! Writes as messages.

use std::sync::Arc;

use bytes::Bytes;
use model::{Metadata, MetricType, SeriesHash, TenantId};
use proto::ingester as message;
use proto::{
    Error, Frame, MetadataEntry, PushRequest, PushResponse, RejectReason, Rejection, SeriesBatch, Source,
    SymbolTable, Version, Written,
};

use super::send::Parts;
use super::{malformed, symbols};

pub(super) fn tenant(id: &str) -> Result<TenantId, Error> {
    TenantId::new(id).map_err(|error| malformed(&error.to_string()))
}

/// Of a request's bytes, so many hundredths have to be series of the push for it to be sent as it is.
const DENSE_PERCENT: usize = 75;

/// A message of a push, and how many of its series are in it.
pub(super) struct Part {
    pub(super) series: usize,
    pub(super) message: Parts,
}

/// A push as messages: one, unless its series are longer than `max_bytes` together. Those that stand one behind the
/// other in the request, or nearly so, are sent from there; others are copied together.
pub(super) fn to_push(request: &PushRequest, max_bytes: usize) -> Result<Vec<Part>, Error> {
    let PushRequest { tenant, batch, metadata } = request;
    let mut parts = Vec::with_capacity(1);
    let mut rest = batch.frames.as_slice();
    while !rest.is_empty() || parts.is_empty() {
        let (frames, others) = rest.split_at(fitting(rest, max_bytes));
        rest = others;
        let mut out = message::PushRequest {
            tenant: tenant.as_str().to_owned(),
            lengths: frames.iter().map(|frame| frame.len).collect(),
            hashes: frames.iter().map(|frame| frame.hash.0).collect(),
            ..message::PushRequest::default()
        };
        if parts.is_empty() {
            out.metadata = metadata.iter().map(to_family).collect();
        }
        let bodies = match in_place(batch, frames, max_bytes) {
            Some((bodies, gaps)) => {
                out.gaps = gaps;
                bodies
            }
            None => {
                if batch.version == Version::V2 {
                    out.symbols = Some(symbols::pick(batch, frames)?);
                }
                copied(batch, frames)?
            }
        };
        out.set_version(match batch.version {
            Version::V1 => message::Version::V1,
            Version::V2 => message::Version::V2,
        });
        parts.push(Part { series: frames.len(), message: Parts::new(&out, bodies)? });
    }
    Ok(parts)
}

/// How many of the frames go into one message; at least one.
fn fitting(frames: &[Frame], max_bytes: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |frame: &&Frame| {
        bytes = bytes.saturating_add(frame.len as usize);
        bytes <= max_bytes
    };
    frames.iter().take_while(fits).count().max(1).min(frames.len())
}

/// The bodies where they are, and the gaps before them; `None` where that is not worth it.
fn in_place(batch: &SeriesBatch, frames: &[Frame], max_bytes: usize) -> Option<(Bytes, Vec<u32>)> {
    let (first, last) = (frames.first()?, frames.last()?);
    let all = match batch.version {
        Version::V1 => first.start as usize..last.start.checked_add(last.len)? as usize,
        Version::V2 if batch.symbols.is_all_in(&batch.request) => 0..batch.request.len(),
        Version::V2 => return None,
    };
    let series: usize = frames.iter().map(|frame| frame.len as usize).sum();
    // Symbols go with the series in either way.
    let others = all.len().saturating_sub(batch.symbols.text_bytes());
    if all.len() > max_bytes || series < others / 100 * DENSE_PERCENT {
        return None;
    }
    let mut end = u32::try_from(all.start).ok()?;
    let mut gaps = Vec::with_capacity(frames.len());
    for frame in frames {
        if frame.source != Source::Request {
            return None;
        }
        gaps.push(frame.start.checked_sub(end)?);
        end = frame.start.checked_add(frame.len)?;
    }
    (end as usize <= batch.request.len()).then(|| (batch.request.slice(all), gaps))
}

fn copied(batch: &SeriesBatch, frames: &[Frame]) -> Result<Bytes, Error> {
    let length = frames.iter().map(|frame| frame.len as usize).sum();
    let mut bodies = Vec::with_capacity(length);
    for frame in frames {
        let body = batch.body(frame).ok_or_else(|| Error::internal("a frame that leaves its buffer"))?;
        bodies.extend_from_slice(body);
    }
    Ok(bodies.into())
}

pub(super) fn from_push(message: message::PushRequest) -> Result<PushRequest, Error> {
    let version = match message.version() {
        message::Version::V1 => Version::V1,
        message::Version::V2 => Version::V2,
        message::Version::Unspecified => return Err(malformed("series of no version")),
    };
    let symbols = match (&message.symbols, version) {
        (Some(symbols), _) => symbols::table(symbols)?,
        (None, Version::V1) => SymbolTable::default(),
        (None, Version::V2) => symbols::of_request(&message.bodies)?,
    };
    let frames = frames(&message)?;
    let metadata = message.metadata.into_iter().map(from_family).collect::<Result<_, _>>()?;
    let batch = SeriesBatch {
        version,
        request: message.bodies,
        rewritten: Bytes::new(),
        symbols: Arc::new(symbols),
        frames,
    };
    Ok(PushRequest { tenant: tenant(&message.tenant)?, batch, metadata })
}

/// Where the bodies of a message are.
fn frames(message: &message::PushRequest) -> Result<Vec<Frame>, Error> {
    let message::PushRequest { bodies, lengths, hashes, gaps, .. } = message;
    if lengths.len() != hashes.len() {
        return Err(malformed("not as many hashes as series"));
    }
    if !gaps.is_empty() && gaps.len() != lengths.len() {
        return Err(malformed("not as many gaps as series"));
    }
    let too_long = || malformed("series longer than 4 GiB");
    let mut frames = Vec::with_capacity(lengths.len());
    let mut start = 0_u32;
    let gaps = gaps.iter().copied().chain(std::iter::repeat(0));
    for ((&len, &hash), gap) in lengths.iter().zip(hashes).zip(gaps) {
        start = start.checked_add(gap).ok_or_else(too_long)?;
        frames.push(Frame { hash: SeriesHash(hash), source: Source::Request, start, len });
        start = start.checked_add(len).ok_or_else(too_long)?;
    }
    let end = start as usize;
    match message.gaps.is_empty() {
        true if end != bodies.len() => Err(malformed("series that are not as long as their bodies")),
        false if end > bodies.len() => Err(malformed("series that are longer than their bodies")),
        _ => Ok(frames),
    }
}

pub(super) fn to_metadata(metadata: &Metadata) -> message::Metadata {
    message::Metadata {
        metric_type: metadata.metric_type.to_wire() as u32,
        help: metadata.help.clone(),
        unit: metadata.unit.clone(),
    }
}

/// A type that a newer peer knows and we do not is as good as unknown.
pub(super) fn from_metadata(message: message::Metadata) -> Metadata {
    Metadata {
        metric_type: MetricType::from_wire(message.metric_type.into()).unwrap_or_default(),
        help: message.help,
        unit: message.unit,
    }
}

fn to_family(entry: &MetadataEntry) -> message::FamilyMetadata {
    message::FamilyMetadata { family: entry.family.clone(), entries: vec![to_metadata(&entry.metadata)] }
}

fn from_family(message: message::FamilyMetadata) -> Result<MetadataEntry, Error> {
    let metadata =
        message.entries.into_iter().next().ok_or_else(|| malformed("a family without metadata"))?;
    Ok(MetadataEntry { family: message.family, metadata: from_metadata(metadata) })
}

fn to_written(written: Written) -> message::Written {
    let Written { samples, histograms, exemplars } = written;
    message::Written { samples, histograms, exemplars }
}

fn from_written(message: Option<message::Written>) -> Written {
    let message::Written { samples, histograms, exemplars } = message.unwrap_or_default();
    Written { samples, histograms, exemplars }
}

pub(super) fn to_response(response: PushResponse) -> message::PushResponse {
    let rejected = response.rejected.into_iter().map(|rejection| message::Rejection {
        series: rejection.series,
        reason: rejection.reason.as_str().to_owned(),
        refused: Some(to_written(rejection.refused)),
        message: rejection.message,
    });
    message::PushResponse { written: Some(to_written(response.written)), rejected: rejected.collect() }
}

pub(super) fn from_response(message: message::PushResponse) -> PushResponse {
    let rejected = message.rejected.into_iter().map(|rejection| Rejection {
        series: rejection.series,
        // A reason that a newer peer has is bad data of some kind.
        reason: RejectReason::from_text(&rejection.reason).unwrap_or(RejectReason::Malformed),
        refused: from_written(rejection.refused),
        message: rejection.message,
    });
    PushResponse { rejected: rejected.collect(), written: from_written(message.written) }
}
