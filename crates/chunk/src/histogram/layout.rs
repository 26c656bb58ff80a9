//! What all histograms of a chunk share and its first sample dictates: schema, zero threshold, spans, custom bounds.

use model::BucketSpan;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN};

use super::spans::bucket_count;
use crate::bits::{BitReader, BitWriter};
use crate::varbit::{push_int, push_uint, read_int, read_uint};

/// A histogram's layout; spans by sign, the positive ones first.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// Of the histogram.
    pub schema: i32,
    /// Of the histogram.
    pub zero_threshold: f64,
    /// Positive and negative.
    pub spans: [&'a [BucketSpan]; 2],
    /// Of the histogram.
    pub custom_values: &'a [f64],
}

impl Layout<'_> {
    /// Whether the schema is one that chunks may have.
    pub(crate) fn known_schema(&self) -> bool {
        is_known(self.schema)
    }

    /// Whether observations can be compared bucket by bucket at all, spans aside.
    pub(crate) fn same_resolution(&self, other: &Self) -> bool {
        self.schema == other.schema && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
    }

    pub(crate) fn same_bounds(&self, other: &Self) -> bool {
        let bits = |values| <[f64]>::iter(values).map(|value| value.to_bits());
        self.schema != CUSTOM_BUCKETS_SCHEMA || bits(self.custom_values).eq(bits(other.custom_values))
    }

    pub(crate) fn write(&self, writer: &mut BitWriter<'_>) {
        push_zero_threshold(writer, self.zero_threshold);
        push_int(writer, i64::from(self.schema));
        for spans in self.spans {
            push_uint(writer, spans.len() as u64);
            for span in spans {
                push_uint(writer, u64::from(span.length));
                push_int(writer, i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            push_uint(writer, self.custom_values.len() as u64);
            for value in self.custom_values {
                push_bound(writer, *value);
            }
        }
    }
}

/// A layout that was read.
#[derive(Debug, Clone, Default)]
pub struct OwnedLayout {
    /// Of the histogram.
    pub schema: i32,
    /// Of the histogram.
    pub zero_threshold: f64,
    /// Positive and negative.
    pub spans: [Vec<BucketSpan>; 2],
    /// Of the histogram.
    pub custom_values: Vec<f64>,
}

impl OwnedLayout {
    /// Reads a layout; the error says what is wrong with it. Nothing is allocated that the bits left could not fill.
    pub(crate) fn read(reader: &mut BitReader<'_>) -> Result<Self, &'static str> {
        let zero_threshold = read_zero_threshold(reader);
        let schema = i32::try_from(read_int(reader)).map_err(|_| "schema out of range")?;
        if !is_known(schema) {
            return Err("unknown histogram schema, known are -4 to 8 and -53");
        }
        let spans = [read_spans(reader)?, read_spans(reader)?];
        let bounds = if schema == CUSTOM_BUCKETS_SCHEMA { read_uint(reader) } else { 0 };
        if bounds > reader.remaining() as u64 {
            return Err("more custom bounds than bits");
        }
        let custom_values = (0..bounds).map(|_| read_bound(reader)).collect();
        let buckets = bucket_count(&spans[0]) + bucket_count(&spans[1]);
        if buckets > reader.remaining() as u64 {
            return Err("more buckets than bits");
        }
        Ok(Self { schema, zero_threshold, spans, custom_values })
    }
}

fn is_known(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA || (EXPONENTIAL_SCHEMA_MIN..=EXPONENTIAL_SCHEMA_MAX).contains(&schema)
}

fn read_spans(reader: &mut BitReader<'_>) -> Result<Vec<BucketSpan>, &'static str> {
    let count = read_uint(reader);
    // A span takes two bits at least.
    if count > reader.remaining() as u64 / 2 {
        return Err("more spans than bits");
    }
    let read = |_| {
        let length = u32::try_from(read_uint(reader)).map_err(|_| "span length out of range")?;
        let offset = i32::try_from(read_int(reader)).map_err(|_| "span offset out of range")?;
        Ok(BucketSpan { offset, length })
    };
    (0..count).map(read).collect()
}

/// The byte that announces a zero threshold of eight bytes.
const THRESHOLD_IN_FULL: u64 = 255;
/// What a byte that stands for a power of two is less than the exponent field of that float.
const THRESHOLD_EXPONENT_BIAS: u64 = 779;
/// How many bits of a float are below the exponent.
const MANTISSA_BITS: u32 = 52;

/// One byte for 0 and for the powers of two from 2^-243 to 2^10, nine for all else (-0 too: upstream loses its sign).
fn push_zero_threshold(writer: &mut BitWriter<'_>, threshold: f64) {
    let bits = threshold.to_bits();
    let power_of_two = bits.trailing_zeros() >= MANTISSA_BITS;
    let byte = (bits >> MANTISSA_BITS).wrapping_sub(THRESHOLD_EXPONENT_BIAS);
    if bits == 0 {
        writer.push(0, 8);
    } else if power_of_two && (1..THRESHOLD_IN_FULL).contains(&byte) {
        writer.push(byte, 8);
    } else {
        writer.push(THRESHOLD_IN_FULL, 8);
        writer.push(bits, 64);
    }
}

fn read_zero_threshold(reader: &mut BitReader<'_>) -> f64 {
    f64::from_bits(match reader.read(8) {
        0 => 0,
        THRESHOLD_IN_FULL => reader.read(64),
        byte => (byte + THRESHOLD_EXPONENT_BIAS) << MANTISSA_BITS,
    })
}

/// The largest number of thousandths that a custom bound is written as.
const BOUND_THOUSANDTHS_MAX: f64 = 33_554_430.0;

/// Bounds are mostly short decimals: those are written as thousandths, all others in full behind a 0 bit.
fn push_bound(writer: &mut BitWriter<'_>, bound: f64) {
    // Neither NaN nor what is negative or too large survives the way there and back.
    let thousandths = (bound * 1000.0).round() as u64;
    let back = thousandths as f64 / 1000.0;
    if bound * 1000.0 <= BOUND_THOUSANDTHS_MAX && back.to_bits() == bound.to_bits() {
        push_uint(writer, thousandths + 1);
    } else {
        writer.push(0, 1);
        writer.push(bound.to_bits(), 64);
    }
}

fn read_bound(reader: &mut BitReader<'_>) -> f64 {
    match read_uint(reader) {
        0 => f64::from_bits(reader.read(64)),
        number => (number - 1) as f64 / 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threshold_bytes(threshold: f64) -> usize {
        let (mut buffer, mut spare) = (Vec::new(), 0);
        push_zero_threshold(&mut BitWriter::new(&mut buffer, &mut spare), threshold);
        let read = read_zero_threshold(&mut BitReader::new(&buffer));
        assert_eq!(read.to_bits(), threshold.to_bits());
        buffer.len()
    }

    #[test]
    fn powers_of_two_take_a_byte() {
        for threshold in [0.0, 2f64.powi(-128), 2f64.powi(-243), 2f64.powi(10), 1.0] {
            assert_eq!(threshold_bytes(threshold), 1, "{threshold}");
        }
        for threshold in
            [-0.0, 0.001, 2f64.powi(-244), 2f64.powi(11), -1.0, f64::NAN, f64::MIN_POSITIVE / 2.0]
        {
            assert_eq!(threshold_bytes(threshold), 9, "{threshold}");
        }
    }

    #[test]
    fn the_usual_threshold_is_the_byte_116() {
        let (mut buffer, mut spare) = (Vec::new(), 0);
        push_zero_threshold(&mut BitWriter::new(&mut buffer, &mut spare), 2f64.powi(-128));
        assert_eq!(buffer, [116]);
    }

    #[test]
    fn short_decimals_are_thousandths() {
        let cases = [
            (0.0, 5),
            (0.005, 5),
            (0.1, 13),
            (2.5, 17),
            (10.0, 24),
            (33_554.43, 32),
            (33_554.431, 65),
            (0.0001, 65),
            (-1.0, 65),
            (-0.0, 65),
            (f64::INFINITY, 65),
            (f64::NAN, 65),
        ];
        for (bound, bits) in cases {
            let (mut buffer, mut spare) = (Vec::new(), 0);
            push_bound(&mut BitWriter::new(&mut buffer, &mut spare), bound);
            assert_eq!(buffer.len() * 8 - usize::from(spare), bits, "{bound}");
            assert_eq!(read_bound(&mut BitReader::new(&buffer)).to_bits(), bound.to_bits());
        }
    }
}
