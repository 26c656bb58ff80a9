//! The samples of a chunk, decoded to be counted and looked at.

use chunk::{Cursor, Encoding, ValueRef};
use model::TimeRange;

use crate::meta::Stats;

/// Where samples are decoded to, one chunk after the other.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
}

impl Samples {
    /// Counts the samples of a chunk, which have to be in order, and be from the beginning to the end of `range`.
    pub(crate) fn check(
        &mut self,
        encoding: Encoding,
        data: &[u8],
        range: TimeRange,
        stats: &mut Stats,
    ) -> Result<(), String> {
        let Some(found) = self.decode(encoding, data, stats)? else {
            return Err("it has no sample".to_owned());
        };
        if found == range {
            return Ok(());
        }
        Err(format!(
            "its samples are from {} to {}, but the index says from {} to {}",
            found.start_ms(),
            found.end_ms(),
            range.start_ms(),
            range.end_ms()
        ))
    }

    /// Counts the samples of a chunk; from the first to the last, if there are any.
    fn decode(
        &mut self,
        encoding: Encoding,
        data: &[u8],
        stats: &mut Stats,
    ) -> Result<Option<TimeRange>, String> {
        self.timestamps_ms.clear();
        let mut cursor = chunk::cursor(encoding, data).map_err(|e| e.to_string())?;
        if let Cursor::Xor(floats) = &mut cursor {
            self.values.clear();
            let decoded = floats.decode_into(&mut self.timestamps_ms, &mut self.values);
            decoded.map_err(|e| e.to_string())?;
            stats.num_float_samples += self.values.len() as u64;
        }
        while let Some((at, value)) = cursor.next_sample().map_err(|e| e.to_string())? {
            self.timestamps_ms.push(at);
            match value {
                ValueRef::Float(_) => stats.num_float_samples += 1,
                ValueRef::Histogram(_) | ValueRef::FloatHistogram(_) => stats.num_histogram_samples += 1,
            }
        }
        stats.num_samples += self.timestamps_ms.len() as u64;
        // All of them in one go: hardly ever is one wrong.
        if !self.timestamps_ms.array_windows().fold(true, |sorted, [before, at]| sorted & (before < at)) {
            let mut pairs = self.timestamps_ms.array_windows();
            if let Some([before, at]) = pairs.find(|[before, at]| at <= before) {
                return Err(format!("a sample at {at} stands behind one at {before}"));
            }
        }
        let ends = self.timestamps_ms.first().zip(self.timestamps_ms.last());
        Ok(ends.and_then(|(first, last)| TimeRange::new(*first, *last)))
    }
}
