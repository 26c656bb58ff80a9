//! Answers with chunks: frame by frame, while they are read.

use std::io;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use model::{TenantId, TimeRange};
use wire::remote_read::{Chunk, FrameWriter};

use crate::admission::Admitted;
use crate::error::ApiError;
use crate::select::{Budget, Selection, Wanted};
use crate::service::Querier;

use super::super::plain::PlainError;
use super::fit::fitting;
use super::{ReadQuery, damaged};

const CONTENT: HeaderValue =
    HeaderValue::from_static("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");

/// How many bytes of frames are handed on at a time, about.
const PIECE_BYTES: usize = 64 << 10;

pub(super) async fn answer(
    querier: Querier,
    tenant: TenantId,
    queries: Vec<ReadQuery>,
    turn: Admitted,
) -> Result<Response, PlainError> {
    let mut frames = Frames::new(&querier, tenant, queries, turn);
    // What fails at once fails with a status.
    let first = frames.next_piece().await?;
    let rest = futures::stream::try_unfold(frames, |mut frames| async {
        match frames.next_piece().await {
            Ok(piece) => Ok(piece.map(|piece| (piece, frames))),
            Err(error) => {
                tracing::warn!(tenant = %frames.tenant, %error, "a streamed remote read broke off");
                // The connection is closed without its last chunk, so that the client sees that something is missing.
                Err(io::Error::other(error.message))
            }
        }
    });
    let body = futures::StreamExt::chain(futures::stream::iter(first.map(Ok)), rest);
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(CONTENT_TYPE, CONTENT);
    Ok(response)
}

/// The answer that is being made.
struct Frames {
    tenant: TenantId,
    querier: Querier,
    budget: Budget,
    queries: std::iter::Enumerate<std::vec::IntoIter<ReadQuery>>,
    /// The query being answered, by number.
    current: Option<(usize, TimeRange, Selection)>,
    writer: FrameWriter,
    max_frame_bytes: usize,
    /// Held until the answer is complete or the client is gone.
    _turn: Admitted,
}

impl Frames {
    fn new(querier: &Querier, tenant: TenantId, queries: Vec<ReadQuery>, turn: Admitted) -> Self {
        Self {
            budget: Budget::new(&querier.limits(&tenant)),
            tenant,
            queries: queries.into_iter().enumerate(),
            current: None,
            writer: FrameWriter::default(),
            max_frame_bytes: querier.config().remote_read_max_frame_bytes.as_usize(),
            querier: querier.clone(),
            _turn: turn,
        }
    }

    /// The next frames; `None` at the end.
    async fn next_piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES && self.next_series(&mut piece).await? {}
        Ok((!piece.is_empty()).then(|| piece.into()))
    }

    /// Appends the frames of the next series; whether there was one, or another query.
    async fn next_series(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        let Some((index, range, selection)) = &mut self.current else {
            return self.next_query().await;
        };
        let Some(series) = selection.next(&mut self.budget).await? else {
            self.current = None;
            return Ok(true);
        };
        let chunks = fitting(&series.chunks, *range).map_err(|e| damaged(&series.labels, &e))?;
        self.writer.begin(series.labels.iter());
        for chunk in &chunks {
            self.writer.chunk(&Chunk {
                start_ms: chunk.range.start_ms(),
                end_ms: chunk.range.end_ms(),
                encoding: chunk.encoding.into(),
                data: &chunk.data,
            });
            if self.writer.len() >= self.max_frame_bytes {
                self.writer.end_frame(*index, out);
            }
        }
        self.writer.end_frame(*index, out);
        Ok(true)
    }

    async fn next_query(&mut self) -> Result<bool, ApiError> {
        for (index, query) in self.queries.by_ref() {
            let Some(range) = query.range else { continue };
            let readers = self.querier.sources().readers(&self.tenant, range)?;
            let selection =
                Selection::open(&readers, &self.tenant, &Wanted::all(&query.matchers, range), &self.budget)
                    .await?;
            self.current = Some((index, range, selection));
            return Ok(true);
        }
        Ok(false)
    }
}
