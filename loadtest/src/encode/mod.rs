//! Requests of one group of series, made by patching values and timestamps into a request encoded once: the generator
//! shares the machine with what it measures, so it must cost next to nothing.

mod symbols;
mod timestamp;

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{STALE_NAN_BITS, Value};
use serde::{Deserialize, Serialize};

use symbols::Symbols;
pub(crate) use timestamp::TIMESTAMPS_MS;
use timestamp::{TIMESTAMP_BYTES, timestamp_bytes};
use wire::encode::put_histogram;
use wire::histogram::HistogramSample;
use wire::protobuf::{put_bytes_field, put_varint, put_varint_field};

use crate::group::Group;
use crate::population::{Population, Signal, mix};

/// Which remote write is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Remote write 1.0, `prometheus.WriteRequest`.
    V1,
    /// Remote write 2.0, `io.prometheus.write.v2.Request`.
    V2,
}

impl Protocol {
    /// The media type of its requests.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// What it says of itself in `X-Prometheus-Remote-Write-Version`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// With remote write 1.0 every so many steps the first group of a tenant brings metadata.
const METADATA_EVERY_STEPS: u32 = 20;
/// Digits of a trace ID.
const TRACE_ID_BYTES: usize = 32;

/// What one request holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Float samples, staleness markers included.
    pub floats: u32,
    /// Native histograms.
    pub histograms: u32,
    /// Exemplars.
    pub exemplars: u32,
}

impl Counts {
    /// Samples of either kind.
    pub fn samples(self) -> u32 {
        self.floats + self.histograms
    }
}

/// Makes the requests of one group.
#[derive(Debug)]
pub struct GroupEncoder {
    population: Arc<Population>,
    protocol: Protocol,
    group: Group,
    bytes: Vec<u8>,
    /// How much of `bytes` is the same length at every step.
    fixed: usize,
    patches: Vec<Patch>,
    natives: Vec<Native>,
    exemplars: Vec<ExemplarPatch>,
    counts: Counts,
    /// The steps for which the template holds: no series is replaced meanwhile.
    valid: std::ops::Range<u32>,
}

#[derive(Debug)]
struct Patch {
    /// Where the eight bytes of the value are; the timestamp follows after one byte.
    value_at: usize,
    offset_ms: i64,
    /// `None` writes the staleness marker.
    signal: Option<Signal>,
}

#[derive(Debug)]
struct ExemplarPatch {
    trace_at: usize,
    value_at: usize,
    offset_ms: i64,
    slot: u32,
}

/// A series of native histograms: its message up to the samples, which differ in length, and what follows them.
#[derive(Debug)]
struct Native {
    head: Vec<u8>,
    tail: Vec<u8>,
    offset_ms: i64,
    signal: Signal,
}

/// A series in the template: who, and whether it ends here.
struct Member {
    slot: u32,
    generation: u32,
    stale: bool,
}

impl GroupEncoder {
    /// An encoder for a group of this population.
    pub fn new(population: Arc<Population>, group: Group, protocol: Protocol) -> Self {
        Self {
            population,
            protocol,
            group,
            bytes: Vec::new(),
            fixed: 0,
            patches: Vec::new(),
            natives: Vec::new(),
            exemplars: Vec::new(),
            counts: Counts::default(),
            valid: 0..0,
        }
    }

    /// How many slots the group has.
    pub fn slots(&self) -> u32 {
        self.group.slots.end - self.group.slots.start
    }

    /// The uncompressed request for a step, and what is in it. The same step gives the same bytes again.
    pub fn request(&mut self, step: u32) -> (&[u8], Counts) {
        if !self.valid.contains(&step) {
            self.rebuild(step);
        }
        let config = self.population.config();
        let scrape_ms = config.start_ms + i64::from(step) * config.interval_ms;
        for patch in &self.patches {
            let value = match &patch.signal {
                Some(signal) => signal.at(i64::from(step)).to_le_bytes(),
                None => STALE_NAN_BITS.to_le_bytes(),
            };
            patch_sample(&mut self.bytes, patch.value_at, value, scrape_ms + patch.offset_ms);
        }
        for patch in &self.exemplars {
            let identity = mix((u64::from(patch.slot) << 32) | u64::from(step));
            let trace = format!("{identity:016x}{:016x}", mix(identity));
            self.bytes[patch.trace_at..patch.trace_at + TRACE_ID_BYTES].copy_from_slice(trace.as_bytes());
            let value = ((identity >> 40) as f64 / 1e6).to_le_bytes();
            patch_sample(&mut self.bytes, patch.value_at, value, scrape_ms + patch.offset_ms);
        }
        self.bytes.truncate(self.fixed);
        for native in &self.natives {
            let sample = HistogramSample {
                timestamp_ms: scrape_ms + native.offset_ms,
                start_timestamp_ms: 0,
                value: Value::Histogram(Arc::new(native.signal.histogram_at(i64::from(step)))),
            };
            let mut message = Vec::with_capacity(128);
            put_histogram(&mut message, &sample);
            let (series_field, histogram_field) = match self.protocol {
                Protocol::V1 => (1, 4),
                Protocol::V2 => (5, 3),
            };
            let mut series = native.head.clone();
            put_bytes_field(&mut series, histogram_field, &message);
            series.extend_from_slice(&native.tail);
            put_bytes_field(&mut self.bytes, series_field, &series);
        }
        if self.protocol == Protocol::V1
            && self.group.first_of_tenant
            && step.is_multiple_of(METADATA_EVERY_STEPS)
        {
            self.put_metadata();
        }
        (&self.bytes, self.counts)
    }

    /// Encodes the template anew, because series come or go.
    fn rebuild(&mut self, step: u32) {
        let population = self.population.clone();
        let mut members = Vec::with_capacity(self.group.slots.len());
        let mut until = u32::MAX;
        let mut stale = false;
        for slot in self.group.slots.clone() {
            let generation = population.generation(slot, step);
            if step > 0 && population.generation(slot, step - 1) != generation {
                stale = true;
                members.push(Member { slot, generation: generation - 1, stale: true });
            }
            members.push(Member { slot, generation, stale: false });
            let next = population.birth(slot, generation + 1);
            until = if next == 0 { until } else { until.min(next) };
        }
        self.valid = step..if stale { step + 1 } else { until };
        self.bytes.clear();
        self.patches.clear();
        self.natives.clear();
        self.exemplars.clear();
        self.counts = Counts::default();
        match self.protocol {
            Protocol::V1 => self.build_v1(&members),
            Protocol::V2 => self.build_v2(&members),
        }
        self.fixed = self.bytes.len();
        self.counts.floats = self.patches.len() as u32;
        self.counts.histograms = self.natives.len() as u32;
        self.counts.exemplars = self.exemplars.len() as u32;
    }

    fn build_v1(&mut self, members: &[Member]) {
        for member in members {
            let mut series = Vec::with_capacity(512);
            self.population.labels(member.slot, member.generation, |name, value| {
                model::hash::push_canonical_label(&mut series, name.as_bytes(), value.as_bytes());
            });
            // A canonical label is tag, length, label: what the series message holds too.
            if self.is_histogram(member) {
                self.push_native(member, series, Vec::new());
                continue;
            }
            let sample_at = put_sample(&mut series);
            let exemplar = self.has_exemplar(member).then(|| {
                let mut message = Vec::with_capacity(80);
                let mut label = Vec::with_capacity(48);
                put_bytes_field(&mut label, 1, b"trace_id");
                put_bytes_field(&mut label, 2, &[b'0'; TRACE_ID_BYTES]);
                put_bytes_field(&mut message, 1, &label);
                let trace_at = message.len() - TRACE_ID_BYTES;
                let value_at = put_value(&mut message, 0x11, 0x18);
                put_bytes_field(&mut series, 3, &message);
                let begin = series.len() - message.len();
                (begin + trace_at, begin + value_at)
            });
            put_bytes_field(&mut self.bytes, 1, &series);
            let begin = self.bytes.len() - series.len();
            self.push_float(member, begin + sample_at);
            if let Some((trace_at, value_at)) = exemplar {
                self.push_exemplar(member.slot, begin + trace_at, begin + value_at);
            }
        }
    }

    fn build_v2(&mut self, members: &[Member]) {
        let mut symbols = Symbols::new();
        let mut all = Vec::new();
        let trace_id = symbols.intern("trace_id");
        // Positions are relative to the first series until the length of the symbol table is known.
        let mut floats = Vec::with_capacity(members.len());
        for member in members {
            let mut refs = Vec::with_capacity(32);
            self.population.labels(member.slot, member.generation, |name, value| {
                put_varint(&mut refs, u64::from(symbols.intern(name)));
                put_varint(&mut refs, u64::from(symbols.intern(value)));
            });
            let mut series = Vec::with_capacity(80);
            put_bytes_field(&mut series, 1, &refs);
            let mut metadata = Vec::with_capacity(16);
            self.put_series_metadata(member.slot, &mut symbols, &mut metadata);
            if self.is_histogram(member) {
                self.push_native(member, series, metadata);
                continue;
            }
            let sample_at = put_sample(&mut series);
            let exemplar = self.has_exemplar(member).then(|| {
                let (trace, trace_at) = symbols.push_patchable(&"0".repeat(TRACE_ID_BYTES));
                let mut pair = Vec::with_capacity(8);
                put_varint(&mut pair, u64::from(trace_id));
                put_varint(&mut pair, u64::from(trace));
                let mut message = Vec::with_capacity(32);
                put_bytes_field(&mut message, 1, &pair);
                let value_at = put_value(&mut message, 0x11, 0x18);
                put_bytes_field(&mut series, 4, &message);
                (trace_at, series.len() - message.len() + value_at)
            });
            series.extend_from_slice(&metadata);
            put_bytes_field(&mut all, 5, &series);
            floats.push((member, all.len() - series.len(), sample_at, exemplar));
        }
        self.bytes.extend_from_slice(symbols.encoded());
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&all);
        for (member, begin, sample_at, exemplar) in floats {
            self.push_float(member, base + begin + sample_at);
            if let Some((trace_at, value_at)) = exemplar {
                self.push_exemplar(member.slot, trace_at, base + begin + value_at);
            }
        }
    }

    fn is_histogram(&self, member: &Member) -> bool {
        !member.stale && self.population.is_native(member.slot)
    }

    fn has_exemplar(&self, member: &Member) -> bool {
        !member.stale && self.population.has_exemplar(member.slot)
    }

    fn push_float(&mut self, member: &Member, value_at: usize) {
        let signal = (!member.stale).then(|| self.population.signal(member.slot, member.generation));
        self.patches.push(Patch { value_at, offset_ms: self.population.offset_ms(member.slot), signal });
    }

    fn push_native(&mut self, member: &Member, head: Vec<u8>, tail: Vec<u8>) {
        let signal = self.population.signal(member.slot, member.generation);
        let offset_ms = self.population.offset_ms(member.slot);
        self.natives.push(Native { head, tail, offset_ms, signal });
    }

    fn push_exemplar(&mut self, slot: u32, trace_at: usize, value_at: usize) {
        let offset_ms = self.population.offset_ms(slot);
        self.exemplars.push(ExemplarPatch { trace_at, value_at, offset_ms, slot });
    }

    fn put_series_metadata(&self, slot: u32, symbols: &mut Symbols, out: &mut Vec<u8>) {
        let (family, metric_type) = self.population.family(slot);
        let mut message = Vec::with_capacity(8);
        put_varint_field(&mut message, 1, metric_type.to_wire());
        put_varint_field(&mut message, 3, u64::from(symbols.intern(&help_of(family))));
        put_bytes_field(out, 5, &message);
    }

    fn put_metadata(&mut self) {
        let mut seen = BTreeSet::new();
        for slot in self.group.slots.clone() {
            let (family, metric_type) = self.population.family(slot);
            if !seen.insert(family) {
                continue;
            }
            let mut message = Vec::with_capacity(128);
            put_varint_field(&mut message, 1, metric_type.to_wire());
            put_bytes_field(&mut message, 2, family.as_bytes());
            put_bytes_field(&mut message, 4, help_of(family).as_bytes());
            put_bytes_field(&mut self.bytes, 3, &message);
        }
    }
}

fn help_of(family: &str) -> String {
    format!("What {} counts or measures.", family.replace('_', " "))
}

/// Appends a sample to a series message and gives the position of its value.
fn put_sample(series: &mut Vec<u8>) -> usize {
    let mut message = Vec::with_capacity(16);
    let value_at = put_value(&mut message, 0x09, 0x10);
    put_bytes_field(series, 2, &message);
    series.len() - message.len() + value_at
}

/// Appends an empty value and timestamp and gives the position of the value.
fn put_value(message: &mut Vec<u8>, value_tag: u8, timestamp_tag: u8) -> usize {
    message.push(value_tag);
    let value_at = message.len();
    message.extend_from_slice(&[0; 8]);
    message.push(timestamp_tag);
    message.extend_from_slice(&[0; TIMESTAMP_BYTES]);
    value_at
}

fn patch_sample(bytes: &mut [u8], value_at: usize, value: [u8; 8], timestamp_ms: i64) {
    let mut sample = [0; 9 + TIMESTAMP_BYTES];
    let place = &mut bytes[value_at..value_at + 9 + TIMESTAMP_BYTES];
    sample[..8].copy_from_slice(&value);
    sample[8] = place[8];
    sample[9..].copy_from_slice(&timestamp_bytes(timestamp_ms));
    place.copy_from_slice(&sample);
}

#[cfg(test)]
mod tests;
