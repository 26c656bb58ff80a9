//! A part of a histogram chunk as chunks of their own.

use model::TimeRange;

use super::appender::{Appended, Appender};
use super::cursor::HistogramCursor;
use super::kind::Fields;
use super::variant::Variant;
use crate::error::ChunkError;

/// Takes a chunk that has been made, with the range of its samples.
pub(crate) type Take<'a> = &'a mut dyn FnMut(TimeRange, Box<[u8]>);

/// Hands the samples in `range` to `take`, as chunks.
pub(crate) fn slice<F: Fields, V: Variant>(
    mut samples: HistogramCursor<'_, F, V>,
    range: TimeRange,
    take: Take<'_>,
) -> Result<(), ChunkError> {
    let mut open: Option<(TimeRange, Appender<F, V>)> = None;
    while let Some((at, start, histogram)) = samples.next_with_start()? {
        let (true, Some(instant)) = (range.contains(at), TimeRange::new(at, at)) else { continue };
        let Some((span, chunk)) = &mut open else {
            open = Some((instant, Appender::start_at(at, start, histogram)?));
            continue;
        };
        match chunk.append_at(at, start, histogram)? {
            Appended::Appended | Appended::Recoded => *span = span.hull(instant),
            Appended::NeedsNewChunk(_) => {
                let next = chunk.next_at(at, start, histogram)?;
                if let Some((span, full)) = open.replace((instant, next)) {
                    take(span, full.into_bytes());
                }
            }
        }
    }
    if let Some((span, chunk)) = open {
        take(span, chunk.into_bytes());
    }
    Ok(())
}
