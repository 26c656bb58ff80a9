//! Writes as messages.

use std::sync::Arc;

use bytes::Bytes;
use model::{Metadata, MetricType, SeriesHash, TenantId};
use proto::ingester as message;
use proto::{
    Error, Frame, MetadataEntry, PushRequest, PushResponse, RejectReason, Rejection, SeriesBatch, Source,
    SymbolTable, Version, Written,
};

use super::{malformed, symbols};

pub(super) fn tenant(id: &str) -> Result<TenantId, Error> {
    TenantId::new(id).map_err(|error| malformed(&error.to_string()))
}

pub(super) fn to_push(request: &PushRequest) -> Result<message::PushRequest, Error> {
    let PushRequest { tenant, batch, metadata } = request;
    let mut out = message::PushRequest {
        tenant: tenant.as_str().to_owned(),
        lengths: batch.frames.iter().map(|frame| frame.len).collect(),
        hashes: batch.frames.iter().map(|frame| frame.hash.0).collect(),
        metadata: metadata.iter().map(to_family).collect(),
        ..message::PushRequest::default()
    };
    out.set_version(match batch.version {
        Version::V1 => message::Version::V1,
        Version::V2 => message::Version::V2,
    });
    if batch.version == Version::V2 {
        out.symbols = Some(symbols::pick(batch)?);
    }
    let length = batch.frames.iter().map(|frame| frame.len as usize).sum();
    let mut bodies = Vec::with_capacity(length);
    for frame in &batch.frames {
        let body = batch.body(frame).ok_or_else(|| Error::internal("a frame that leaves its buffer"))?;
        bodies.extend_from_slice(body);
    }
    out.bodies = bodies.into();
    Ok(out)
}

pub(super) fn from_push(message: message::PushRequest) -> Result<PushRequest, Error> {
    let version = match message.version() {
        message::Version::V1 => Version::V1,
        message::Version::V2 => Version::V2,
        message::Version::Unspecified => return Err(malformed("series of no version")),
    };
    if message.lengths.len() != message.hashes.len() {
        return Err(malformed("not as many hashes as series"));
    }
    let mut frames = Vec::with_capacity(message.lengths.len());
    let mut start = 0_u32;
    for (&len, &hash) in message.lengths.iter().zip(&message.hashes) {
        frames.push(Frame { hash: SeriesHash(hash), source: Source::Request, start, len });
        start = start.checked_add(len).ok_or_else(|| malformed("series longer than 4 GiB"))?;
    }
    if start as usize != message.bodies.len() {
        return Err(malformed("series that are not as long as their bodies"));
    }
    let symbols = match &message.symbols {
        Some(symbols) => symbols::table(symbols)?,
        None => SymbolTable::default(),
    };
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
