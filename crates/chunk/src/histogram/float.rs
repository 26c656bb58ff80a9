//! Fields of float histograms: all by XOR (encoding 3).

use model::{FloatHistogram, is_stale_nan};

use super::kind::Fields;
use crate::bits::{BitReader, BitWriter};
use crate::varbit::{Window, push_xor, read_xor};

/// Running differences of a float histogram chunk.
#[derive(Debug, Clone)]
pub struct FloatFields {
    count: Window,
    zero_count: Window,
    sum: Window,
    positive: Vec<Window>,
    negative: Vec<Window>,
}

impl Default for FloatFields {
    fn default() -> Self {
        Self {
            count: Window::NONE,
            zero_count: Window::NONE,
            sum: Window::NONE,
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

impl Fields for FloatFields {
    type Sample = FloatHistogram;

    fn write_first(&mut self, writer: &mut BitWriter<'_>, new: &FloatHistogram) {
        let totals = [new.count, new.zero_count, new.sum];
        for value in totals.iter().chain(&new.positive_buckets).chain(&new.negative_buckets) {
            writer.push(value.to_bits(), 64);
        }
        self.positive = vec![Window::NONE; new.positive_buckets.len()];
        self.negative = vec![Window::NONE; new.negative_buckets.len()];
    }

    fn write_next(&mut self, writer: &mut BitWriter<'_>, last: &mut FloatHistogram, new: &FloatHistogram) {
        push_value(writer, &mut last.count, &mut self.count, new.count);
        push_value(writer, &mut last.zero_count, &mut self.zero_count, new.zero_count);
        push_value(writer, &mut last.sum, &mut self.sum, new.sum);
        push_values(writer, &mut last.positive_buckets, &mut self.positive, &new.positive_buckets);
        push_values(writer, &mut last.negative_buckets, &mut self.negative, &new.negative_buckets);
    }

    fn write_stale(&mut self, writer: &mut BitWriter<'_>, last: &mut FloatHistogram, sum: f64) {
        push_value(writer, &mut last.count, &mut self.count, 0.0);
        push_value(writer, &mut last.zero_count, &mut self.zero_count, 0.0);
        push_value(writer, &mut last.sum, &mut self.sum, sum);
    }

    fn read_first(&mut self, reader: &mut BitReader<'_>, into: &mut FloatHistogram) {
        into.count = f64::from_bits(reader.read(64));
        into.zero_count = f64::from_bits(reader.read(64));
        into.sum = f64::from_bits(reader.read(64));
        for bucket in into.positive_buckets.iter_mut().chain(&mut into.negative_buckets) {
            *bucket = f64::from_bits(reader.read(64));
        }
        self.positive = vec![Window::NONE; into.positive_buckets.len()];
        self.negative = vec![Window::NONE; into.negative_buckets.len()];
    }

    fn read_next(&mut self, reader: &mut BitReader<'_>, last: &mut FloatHistogram) -> Option<()> {
        read_value(reader, &mut last.count, &mut self.count)?;
        read_value(reader, &mut last.zero_count, &mut self.zero_count)?;
        read_value(reader, &mut last.sum, &mut self.sum)?;
        if !is_stale_nan(last.sum) {
            read_values(reader, &mut last.positive_buckets, &mut self.positive)?;
            read_values(reader, &mut last.negative_buckets, &mut self.negative)?;
        }
        Some(())
    }
}

fn push_value(writer: &mut BitWriter<'_>, last: &mut f64, window: &mut Window, new: f64) {
    push_xor(writer, window, last.to_bits(), new.to_bits());
    *last = new;
}

fn push_values(writer: &mut BitWriter<'_>, last: &mut [f64], windows: &mut [Window], new: &[f64]) {
    for ((last, window), new) in last.iter_mut().zip(windows).zip(new) {
        push_value(writer, last, window, *new);
    }
}

fn read_value(reader: &mut BitReader<'_>, last: &mut f64, window: &mut Window) -> Option<()> {
    *last = f64::from_bits(read_xor(reader, window, last.to_bits())?);
    Some(())
}

fn read_values(reader: &mut BitReader<'_>, last: &mut [f64], windows: &mut [Window]) -> Option<()> {
    for (last, window) in last.iter_mut().zip(windows) {
        read_value(reader, last, window)?;
    }
    Some(())
}
