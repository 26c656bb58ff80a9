//! Writing histogram chunks.

use model::{CounterResetHint, is_stale_nan};

use super::cursor::HistogramCursor;
use super::fit::{CutReason, Fit, Side, fit, same_observations, validate};
use super::kind::{Fields, Sample};
use super::variant::{Plain, Times, Variant, WithStarts};
use super::{CounterResetHeader, HEADER_BYTES};
use crate::bits::{BitWriter, INITIAL_CAPACITY, continued};
use crate::error::ChunkError;
use crate::varbit::push_int;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a sample that needs a new chunk was not appended"]
pub enum Appended {
    /// It was appended.
    Appended,
    /// It was appended, and all the chunk was written again with more buckets: bytes seen before are no prefix of it.
    Recoded,
    /// It was not appended: a new chunk has to begin with it (`next_chunk`).
    NeedsNewChunk(CutReason),
}

/// A histogram chunk being written. It has one sample at least: the first one dictates the layout.
#[derive(Debug, Clone)]
pub struct Appender<F: Fields, V: Variant> {
    buffer: Vec<u8>,
    timestamp: i64,
    delta: i64,
    /// The last sample in the chunk's layout; after a stale marker with the numbers before it.
    last: F::Sample,
    fields: F,
    variant: V,
    /// Unused low bits of the buffer's last byte.
    spare: u8,
}

impl<F: Fields> Appender<F, Plain> {
    /// A chunk that begins with this sample, whose hint alone tells about a counter reset. Fails where the histogram's
    /// parts do not fit together.
    pub fn start(timestamp: i64, histogram: &F::Sample) -> Result<Self, ChunkError> {
        Self::start_at(timestamp, 0, histogram)
    }

    /// Appends a sample, or tells that a new chunk has to begin with it. Fails, changing nothing, where the histogram's
    /// parts do not fit together.
    pub fn append(&mut self, timestamp: i64, histogram: &F::Sample) -> Result<Appended, ChunkError> {
        self.append_at(timestamp, 0, histogram)
    }
}

impl<F: Fields> Appender<F, WithStarts> {
    /// A chunk that begins with this sample, whose hint alone tells about a counter reset; its counting began at `start`,
    /// in milliseconds, 0 is unknown. Fails where the histogram's parts do not fit together.
    pub fn start(timestamp: i64, start: i64, histogram: &F::Sample) -> Result<Self, ChunkError> {
        Self::start_at(timestamp, start, histogram)
    }

    /// Appends a sample whose counting began at `start`, in milliseconds, 0 is unknown; or tells that a new chunk has to
    /// begin with it. Fails, changing nothing, where the histogram's parts do not fit together.
    pub fn append(
        &mut self,
        timestamp: i64,
        start: i64,
        histogram: &F::Sample,
    ) -> Result<Appended, ChunkError> {
        self.append_at(timestamp, start, histogram)
    }
}

impl<F: Fields, V: Variant> Appender<F, V> {
    pub(super) fn start_at(timestamp: i64, start: i64, histogram: &F::Sample) -> Result<Self, ChunkError> {
        validate(histogram)?;
        let header = header_of(histogram, CounterResetHeader::Unknown);
        Ok(Self::start_with(header, timestamp, start, histogram))
    }

    /// The chunk behind this one, whatever the reason to begin it: its header tells about a counter reset in between.
    pub fn next_chunk(
        &self,
        timestamp: i64,
        histogram: &F::Sample,
    ) -> Result<Appender<F, Plain>, ChunkError> {
        self.next_at(timestamp, 0, histogram)
    }

    /// As [`Self::next_chunk`], with start timestamps: the first sample's counting began at `start`, in milliseconds, 0 is
    /// unknown.
    pub fn next_chunk_with_starts(
        &self,
        timestamp: i64,
        start: i64,
        histogram: &F::Sample,
    ) -> Result<Appender<F, WithStarts>, ChunkError> {
        self.next_at(timestamp, start, histogram)
    }

    pub(super) fn next_at<W: Variant>(
        &self,
        timestamp: i64,
        start: i64,
        histogram: &F::Sample,
    ) -> Result<Appender<F, W>, ChunkError> {
        validate(histogram)?;
        let header = match fit(self.is_gauge(), &self.last, histogram) {
            Ok(_) => CounterResetHeader::NotReset,
            Err(CutReason::CounterReset) => CounterResetHeader::Reset,
            Err(_) => CounterResetHeader::Unknown,
        };
        Ok(Appender::start_with(header_of(histogram, header), timestamp, start, histogram))
    }

    /// An appender that goes on where `chunk` ends: what it writes is what the appender of that chunk would have
    /// written. Fails where the chunk is malformed, has no samples or bytes behind the last one.
    pub fn resume(chunk: &[u8]) -> Result<Self, ChunkError> {
        let mut cursor = HistogramCursor::<F, V>::new(chunk)?;
        while cursor.advance()? {}
        let (buffer, spare) = continued(chunk, cursor.reader())?;
        let total = cursor.num_samples();
        let (timestamp, delta, last, fields, variant) = cursor.into_state();
        if total == 0 {
            return Err(ChunkError::Malformed {
                sample: 0,
                total: 0,
                what: "there is no sample to go on from",
            });
        }
        variant.check_continued(total)?;
        Ok(Self { buffer, timestamp, delta, last, fields, variant, spare })
    }

    pub(super) fn append_at(
        &mut self,
        timestamp: i64,
        start: i64,
        histogram: &F::Sample,
    ) -> Result<Appended, ChunkError> {
        validate(histogram)?;
        if self.num_samples() >= V::SAMPLES_MAX {
            return Ok(Appended::NeedsNewChunk(CutReason::Full));
        }
        let sides = match fit(self.is_gauge(), &self.last, histogram) {
            Ok(Fit::Plain) => {
                self.push(timestamp, start, histogram);
                return Ok(Appended::Appended);
            }
            Ok(Fit::Expanded(sides)) => sides,
            Err(reason) => return Ok(Appended::NeedsNewChunk(reason)),
        };
        let mut expanded = histogram.clone();
        for (side, expansion) in sides.iter().enumerate() {
            if let Some(expansion) = expansion {
                expansion.expand_new(side, &mut expanded);
            }
        }
        let recoded = sides.iter().flatten().any(Side::adds_to_chunk);
        if recoded {
            *self = self.recode(&sides)?;
        }
        self.push(timestamp, start, &expanded);
        Ok(if recoded { Appended::Recoded } else { Appended::Appended })
    }

    /// How many samples the chunk has.
    pub fn num_samples(&self) -> u16 {
        V::num_samples(&self.buffer)
    }

    /// The last sample's time in milliseconds.
    pub fn last_timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Whether the last sample is a stale marker.
    pub fn is_stale(&self) -> bool {
        is_stale_nan(self.last.sum())
    }

    /// Whether the last sample says the same as `histogram`: another sample at its time is a harmless repetition then.
    pub fn last_equals(&self, histogram: &F::Sample) -> bool {
        let mut last = self.last.clone();
        last.set_hint(if self.is_gauge() { CounterResetHint::Gauge } else { CounterResetHint::Unknown });
        validate(histogram).is_ok() && same_observations(&last, histogram)
    }

    /// What the chunk says about a counter reset before its first sample.
    pub fn header(&self) -> CounterResetHeader {
        CounterResetHeader::from_flags(V::flags(&self.buffer))
    }

    /// The chunk; valid at any time.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The finished chunk, without slack.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.buffer.into_boxed_slice()
    }

    fn is_gauge(&self) -> bool {
        self.header() == CounterResetHeader::Gauge
    }

    fn start_with(header: CounterResetHeader, timestamp: i64, start: i64, histogram: &F::Sample) -> Self {
        let mut buffer = Vec::with_capacity(INITIAL_CAPACITY);
        buffer.extend_from_slice(&V::header_of_one(header.flags()));
        let mut spare = 0;
        let mut writer = BitWriter::new(&mut buffer, &mut spare);
        // Of a stale marker nothing but the sum is written.
        let last = if is_stale_nan(histogram.sum()) {
            F::Sample::of_sum(histogram.sum())
        } else {
            histogram.clone()
        };
        let mut fields = F::default();
        last.layout().write(&mut writer);
        push_int(&mut writer, timestamp);
        fields.write_first(&mut writer, &last);
        let mut variant = V::default();
        let changed = variant.write(&mut writer, 0, Times { timestamp, previous: timestamp, start });
        set_third_byte(&mut buffer, changed);
        Self { buffer, timestamp, delta: 0, last, fields, variant, spare }
    }

    /// Appends a sample that fits.
    fn push(&mut self, timestamp: i64, start: i64, histogram: &F::Sample) {
        let count = self.num_samples();
        let mut writer = BitWriter::new(&mut self.buffer, &mut self.spare);
        let delta = timestamp.wrapping_sub(self.timestamp);
        push_int(&mut writer, delta.wrapping_sub(self.delta));
        if is_stale_nan(histogram.sum()) {
            self.fields.write_stale(&mut writer, &mut self.last, histogram.sum());
        } else {
            self.fields.write_next(&mut writer, &mut self.last, histogram);
        }
        let times = Times { timestamp, previous: self.timestamp, start };
        let changed = self.variant.write(&mut writer, count, times);
        set_third_byte(&mut self.buffer, changed);
        self.timestamp = timestamp;
        self.delta = delta;
        V::set_num_samples(&mut self.buffer, count + 1);
    }

    /// The chunk with more buckets.
    fn recode(&self, sides: &[Option<Side>; 2]) -> Result<Self, ChunkError> {
        let mut cursor = HistogramCursor::<F, V>::new(&self.buffer)?;
        let mut recoded: Option<Self> = None;
        while let Some((timestamp, histogram)) = cursor.next_sample()? {
            let mut histogram = histogram.clone();
            let start = cursor.start();
            if !is_stale_nan(histogram.sum()) {
                for (side, expansion) in sides.iter().enumerate() {
                    if let Some(expansion) = expansion {
                        expansion.expand_old(side, &mut histogram);
                    }
                }
            }
            match &mut recoded {
                Some(chunk) => chunk.push(timestamp, start, &histogram),
                None => recoded = Some(Self::start_with(self.header(), timestamp, start, &histogram)),
            }
        }
        Ok(recoded.unwrap_or_else(|| self.clone()))
    }
}

fn set_third_byte(chunk: &mut [u8], value: Option<u8>) {
    if let (Some(byte), Some(value)) = (chunk.get_mut(HEADER_BYTES - 1), value) {
        *byte = value;
    }
}

/// The header of a chunk that begins with `histogram`, where comparison with the chunk before it says `compared`.
fn header_of<S: Sample>(histogram: &S, compared: CounterResetHeader) -> CounterResetHeader {
    match histogram.hint() {
        CounterResetHint::Gauge => CounterResetHeader::Gauge,
        CounterResetHint::Reset => CounterResetHeader::Reset,
        CounterResetHint::Unknown | CounterResetHint::NotReset => compared,
    }
}
