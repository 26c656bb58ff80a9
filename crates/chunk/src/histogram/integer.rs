//! Fields of integer histograms: second differences of counts, XOR of the sum (encoding 2).

use model::{Histogram, is_stale_nan};

use super::kind::Fields;
use crate::bits::{BitReader, BitWriter};
use crate::varbit::{Window, push_int, push_uint, push_xor, read_int, read_uint, read_xor};

/// Running differences of an integer histogram chunk.
#[derive(Debug, Clone)]
pub struct IntegerFields {
    count_delta: i64,
    zero_count_delta: i64,
    sum: Window,
    positive_deltas: Vec<i64>,
    negative_deltas: Vec<i64>,
}

impl Default for IntegerFields {
    fn default() -> Self {
        Self {
            count_delta: 0,
            zero_count_delta: 0,
            sum: Window::NONE,
            positive_deltas: Vec::new(),
            negative_deltas: Vec::new(),
        }
    }
}

impl Fields for IntegerFields {
    type Sample = Histogram;

    fn write_first(&mut self, writer: &mut BitWriter<'_>, new: &Histogram) {
        push_uint(writer, new.count);
        push_uint(writer, new.zero_count);
        writer.push(new.sum.to_bits(), 64);
        for bucket in new.positive_buckets.iter().chain(&new.negative_buckets) {
            push_int(writer, *bucket);
        }
        self.positive_deltas = vec![0; new.positive_buckets.len()];
        self.negative_deltas = vec![0; new.negative_buckets.len()];
    }

    fn write_next(&mut self, writer: &mut BitWriter<'_>, last: &mut Histogram, new: &Histogram) {
        push_count(writer, &mut last.count, &mut self.count_delta, new.count);
        push_count(writer, &mut last.zero_count, &mut self.zero_count_delta, new.zero_count);
        push_xor(writer, &mut self.sum, last.sum.to_bits(), new.sum.to_bits());
        last.sum = new.sum;
        push_buckets(writer, &mut last.positive_buckets, &mut self.positive_deltas, &new.positive_buckets);
        push_buckets(writer, &mut last.negative_buckets, &mut self.negative_deltas, &new.negative_buckets);
    }

    fn write_stale(&mut self, writer: &mut BitWriter<'_>, last: &mut Histogram, sum: f64) {
        // Second differences of 0: the counts go on as they did, which nobody looks at.
        let count = last.count.wrapping_add_signed(self.count_delta);
        let zero_count = last.zero_count.wrapping_add_signed(self.zero_count_delta);
        push_count(writer, &mut last.count, &mut self.count_delta, count);
        push_count(writer, &mut last.zero_count, &mut self.zero_count_delta, zero_count);
        push_xor(writer, &mut self.sum, last.sum.to_bits(), sum.to_bits());
        last.sum = sum;
    }

    fn read_first(&mut self, reader: &mut BitReader<'_>, into: &mut Histogram) {
        into.count = read_uint(reader);
        into.zero_count = read_uint(reader);
        into.sum = f64::from_bits(reader.read(64));
        for bucket in into.positive_buckets.iter_mut().chain(&mut into.negative_buckets) {
            *bucket = read_int(reader);
        }
        self.positive_deltas = vec![0; into.positive_buckets.len()];
        self.negative_deltas = vec![0; into.negative_buckets.len()];
    }

    fn read_next(&mut self, reader: &mut BitReader<'_>, last: &mut Histogram) -> Option<()> {
        read_count(reader, &mut last.count, &mut self.count_delta);
        read_count(reader, &mut last.zero_count, &mut self.zero_count_delta);
        last.sum = f64::from_bits(read_xor(reader, &mut self.sum, last.sum.to_bits())?);
        if !is_stale_nan(last.sum) {
            read_buckets(reader, &mut last.positive_buckets, &mut self.positive_deltas);
            read_buckets(reader, &mut last.negative_buckets, &mut self.negative_deltas);
        }
        Some(())
    }
}

fn push_count(writer: &mut BitWriter<'_>, last: &mut u64, last_delta: &mut i64, new: u64) {
    let delta = new.wrapping_sub(*last) as i64;
    push_int(writer, delta.wrapping_sub(*last_delta));
    *last = new;
    *last_delta = delta;
}

fn read_count(reader: &mut BitReader<'_>, last: &mut u64, delta: &mut i64) {
    *delta = delta.wrapping_add(read_int(reader));
    *last = last.wrapping_add_signed(*delta);
}

fn push_buckets(writer: &mut BitWriter<'_>, last: &mut [i64], deltas: &mut [i64], new: &[i64]) {
    for ((last, last_delta), new) in last.iter_mut().zip(deltas).zip(new) {
        let delta = new.wrapping_sub(*last);
        push_int(writer, delta.wrapping_sub(*last_delta));
        *last = *new;
        *last_delta = delta;
    }
}

fn read_buckets(reader: &mut BitReader<'_>, last: &mut [i64], deltas: &mut [i64]) {
    for (last, delta) in last.iter_mut().zip(deltas) {
        *delta = delta.wrapping_add(read_int(reader));
        *last = last.wrapping_add(*delta);
    }
}
