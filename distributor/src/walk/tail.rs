//! What a series holds besides its labels: counted, timed, and copied where the labels change.

use proto::Version;
use wire::protobuf::{Field, Fields};
use wire::{WireError, histogram, rw1, rw2};

use super::Content;

/// What a series holds besides its labels.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tail {
    /// All of it.
    pub(crate) content: Content,
    /// What of it is too far in the future.
    pub(crate) future: Content,
    /// The latest timestamp; meaningful where something is in the future.
    pub(crate) newest_ms: i64,
    /// Whether there are labels in it.
    pub(crate) has_labels: bool,
    /// Whether there is metadata in it.
    pub(crate) has_metadata: bool,
}

impl Tail {
    /// Reads a remote write 1.0 series from byte `position` on.
    #[inline]
    pub(crate) fn of_v1(body: &[u8], position: usize, latest_ms: i64) -> Result<Self, WireError> {
        let mut tail = Self::default();
        for field in rw1::series_from(body, position) {
            match field? {
                rw1::SeriesField::Label(_) => tail.has_labels = true,
                rw1::SeriesField::Sample(sample) => tail.sample(sample.timestamp_ms, latest_ms),
                rw1::SeriesField::Exemplar(_) => tail.content.exemplars += 1,
                rw1::SeriesField::Histogram(body) => {
                    tail.histogram(histogram::timestamp_ms(body)?, latest_ms);
                }
            }
        }
        Ok(tail)
    }

    /// Reads a remote write 2.0 series from byte `position` on.
    #[inline]
    pub(crate) fn of_v2(body: &[u8], position: usize, latest_ms: i64) -> Result<Self, WireError> {
        let mut tail = Self::default();
        if let Some(usual) = rw2::usual_tail(body, position) {
            tail.sample(usual.sample.timestamp_ms, latest_ms);
            tail.has_metadata = usual.metadata.is_some();
            return Ok(tail);
        }
        for field in rw2::series_from(body, position) {
            match field? {
                rw2::SeriesField::LabelRefs(_) => tail.has_labels = true,
                rw2::SeriesField::Sample(sample) => tail.sample(sample.timestamp_ms, latest_ms),
                rw2::SeriesField::Exemplar(_) => tail.content.exemplars += 1,
                rw2::SeriesField::Histogram(body) => {
                    tail.histogram(histogram::timestamp_ms(body)?, latest_ms);
                }
                rw2::SeriesField::Metadata(_) => tail.has_metadata = true,
                rw2::SeriesField::CreatedTimestamp(_) => {}
            }
        }
        Ok(tail)
    }

    #[inline]
    fn sample(&mut self, timestamp_ms: i64, latest_ms: i64) {
        self.content.samples += 1;
        if timestamp_ms > latest_ms {
            self.future.samples += 1;
            self.newest_ms = self.newest_ms.max(timestamp_ms);
        }
    }

    #[inline]
    fn histogram(&mut self, timestamp_ms: i64, latest_ms: i64) {
        self.content.histograms += 1;
        if timestamp_ms > latest_ms {
            self.future.histograms += 1;
            self.newest_ms = self.newest_ms.max(timestamp_ms);
        }
    }

    /// What is left without that which is too far in the future.
    pub(crate) fn kept(&self) -> Content {
        Content {
            samples: self.content.samples - self.future.samples,
            histograms: self.content.histograms - self.future.histograms,
            exemplars: self.content.exemplars,
        }
    }

    /// Whether there is anything to store, in the future or not.
    #[inline]
    pub(crate) fn has_nothing_to_store(&self) -> bool {
        !self.has_metadata && self.content.is_empty()
    }
}

/// Copies all fields of a series that are neither labels nor too far in the future, byte by byte.
pub(crate) fn splice(
    version: Version,
    body: &[u8],
    latest_ms: i64,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    for field in Fields::new(body) {
        let field = field?;
        // Both versions keep their labels in field 1.
        if field.number != 1 && !is_future(version, &field, latest_ms)? {
            out.extend_from_slice(body.get(field.start..field.end).unwrap_or_default());
        }
    }
    Ok(())
}

fn is_future(version: Version, field: &Field<'_>, latest_ms: i64) -> Result<bool, WireError> {
    let timestamp_ms = match (version, field.number) {
        (_, 2) => sample_timestamp(field)?,
        (Version::V1, 4) | (Version::V2, 3) => histogram::timestamp_ms(field.bytes()?)?,
        _ => return Ok(false),
    };
    Ok(timestamp_ms > latest_ms)
}

/// The timestamp of a `Sample` message: field 2 in both versions.
fn sample_timestamp(field: &Field<'_>) -> Result<i64, WireError> {
    let mut timestamp_ms = 0;
    for inner in Fields::new(field.bytes()?) {
        let inner = inner?;
        if inner.number == 2 {
            timestamp_ms = inner.int64()?;
        }
    }
    Ok(timestamp_ms)
}
