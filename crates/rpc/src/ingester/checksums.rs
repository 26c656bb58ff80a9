//! Selections of checksums, and series by reference, as messages.

use model::SeriesHash;
use proto::ingester as message;
use proto::{
    Checked, ChecksumBatch, ChecksummedSeries, Error, MAX_REFERENCED_SERIES, ReferencedRequest,
    ReferencedSeries, SelectRequest,
};

use super::labels::{pack, unpack};
use super::read::{from_batch, from_range, to_batch, to_range, to_select};
use super::write::tenant;
use super::{bounded, malformed};

/// A request for checksums; an ingester that does not know of them reads it as one for chunks.
pub(super) fn to_request(request: &SelectRequest) -> message::SelectRequest {
    let content = message::select_request::Content::Checksums.into();
    message::SelectRequest { content, ..to_select(request) }
}

pub(super) fn are_asked_for(message: &message::SelectRequest) -> bool {
    message.content() == message::select_request::Content::Checksums
}

pub(super) fn to_checked(checked: Checked) -> message::SelectResponse {
    let batch = match checked {
        Checked::Chunks(batch) => return to_batch(batch),
        Checked::Checksums(batch) => batch,
    };
    let mut checksums = message::SeriesChecksums {
        hashes: Vec::with_capacity(batch.series.len()),
        references: Vec::with_capacity(batch.series.len()),
        chunks: Vec::with_capacity(batch.series.len()),
        checksums: batch.checksums,
        last: pack(&batch.last),
    };
    for series in batch.series {
        checksums.hashes.push(series.hash.0);
        checksums.references.push(series.reference);
        checksums.chunks.push(series.chunks);
    }
    message::SelectResponse { series: Vec::new(), checksums: Some(checksums) }
}

pub(super) fn from_checked(mut message: message::SelectResponse) -> Result<Checked, Error> {
    let Some(checksums) = message.checksums.take() else { return from_batch(message).map(Checked::Chunks) };
    let message::SeriesChecksums { hashes, references, chunks, checksums, last } = checksums;
    if references.len() != hashes.len() || chunks.len() != hashes.len() || !message.series.is_empty() {
        return Err(malformed("checksums that contradict themselves"));
    }
    let series = hashes.into_iter().zip(references).zip(chunks).map(|((hash, reference), chunks)| {
        let hash = SeriesHash(hash);
        ChecksummedSeries { hash, reference, chunks }
    });
    Ok(Checked::Checksums(ChecksumBatch { series: series.collect(), checksums, last: unpack(&last)? }))
}

pub(super) fn to_referenced(request: &ReferencedRequest) -> message::SelectReferencedRequest {
    message::SelectReferencedRequest {
        tenant: request.tenant.as_str().to_owned(),
        range: Some(to_range(request.range)),
        max_chunk_bytes: request.max_chunk_bytes as u64,
        hashes: request.series.iter().map(|series| series.hash.0).collect(),
        references: request.series.iter().map(|series| series.reference).collect(),
        since_ms: request.series.iter().map(|series| series.since_ms).collect(),
    }
}

pub(super) fn from_referenced(
    message: &message::SelectReferencedRequest,
) -> Result<ReferencedRequest, Error> {
    let message::SelectReferencedRequest { hashes, references, since_ms, .. } = message;
    if references.len() != hashes.len() || since_ms.len() != hashes.len() {
        return Err(malformed("references that contradict themselves"));
    }
    if hashes.len() > MAX_REFERENCED_SERIES {
        return Err(malformed("more series by reference than one request may name"));
    }
    let series = hashes.iter().zip(references).zip(since_ms).map(|((hash, reference), since_ms)| {
        ReferencedSeries { hash: SeriesHash(*hash), reference: *reference, since_ms: *since_ms }
    });
    Ok(ReferencedRequest {
        tenant: tenant(&message.tenant)?,
        range: from_range(message.range)?,
        series: series.collect(),
        max_chunk_bytes: bounded(message.max_chunk_bytes),
    })
}
