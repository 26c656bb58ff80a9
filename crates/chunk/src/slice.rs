//! A part of a chunk as a chunk of its own: what is left of one that reaches over the edge of a block.

use model::TimeRange;

use crate::cursor::{Cursor, Encoding, cursor};
use crate::error::ChunkError;
use crate::histogram;
use crate::xor::XorAppender;
use crate::xor2::Xor2Appender;

/// A chunk made of samples of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// From its first to its last sample.
    pub range: TimeRange,
    /// The chunk, encoded as the one that its samples are of.
    pub data: Box<[u8]>,
}

/// The samples of a chunk that lie in `range`, written again in their encoding: nothing where there are none, else one
/// chunk, or several where histograms of a foreign chunk do not go into one. A histogram that was not the first of its
/// chunk says nothing about a counter reset when it is the first of the slice; readers compare it with what they read
/// before.
///
/// # Errors
/// Where the chunk cannot be read.
pub fn slice(encoding: Encoding, chunk: &[u8], range: TimeRange) -> Result<Vec<Slice>, ChunkError> {
    let mut all = Vec::new();
    let take = &mut |range, data| all.push(Slice { range, data });
    match cursor(encoding, chunk)? {
        Cursor::Xor(mut samples) => {
            let (mut open, mut span) = (XorAppender::new(), None);
            while let Some((at, value)) = samples.next_sample()? {
                if range.contains(at) {
                    open.append(at, value)?;
                    span = grown(span, at);
                }
            }
            if let Some(span) = span {
                take(span, open.into_bytes());
            }
        }
        Cursor::Xor2(mut samples) => {
            let (mut open, mut span) = (Xor2Appender::new(), None);
            while let Some((at, value)) = samples.next_sample()? {
                if range.contains(at) {
                    open.append(at, samples.start(), value)?;
                    span = grown(span, at);
                }
            }
            if let Some(span) = span {
                take(span, open.into_bytes());
            }
        }
        Cursor::Histogram(samples) => histogram::slice(*samples, range, take)?,
        Cursor::FloatHistogram(samples) => histogram::slice(*samples, range, take)?,
        Cursor::HistogramSt(samples) => histogram::slice(*samples, range, take)?,
        Cursor::FloatHistogramSt(samples) => histogram::slice(*samples, range, take)?,
    }
    Ok(all)
}

/// The span with a sample more.
fn grown(span: Option<TimeRange>, at: i64) -> Option<TimeRange> {
    let one = TimeRange::new(at, at)?;
    Some(span.map_or(one, |span| span.hull(one)))
}
