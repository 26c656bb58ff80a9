//! Remote write 2.0 requests.

use hashbrown::HashTable;
use model::{Exemplar, Metadata};
use xxhash_rust::xxh3::xxh3_64;

use super::put_histogram;
use crate::histogram::HistogramSample;
use crate::protobuf::{put_bytes_field, put_double_field, put_varint, put_varint_field};

/// Writes an `io.prometheus.write.v2.Request`, series by series.
///
/// ```
/// let mut writer = wire::encode::Rw2Writer::default();
/// writer.label("__name__", "up").label("job", "x").sample(1_000, 1.0, 0).end_series();
/// let message = writer.message();
/// assert_eq!(wire::rw2::request(&message).count(), 5 + 1);
/// ```
#[derive(Debug, Clone)]
pub struct Rw2Writer {
    symbols: Symbols,
    timeseries: Vec<u8>,
    refs: Vec<u8>,
    /// Fields of the current series other than label references, which come first.
    rest: Vec<u8>,
    scratch: Vec<u8>,
    packed: Vec<u8>,
}

impl Default for Rw2Writer {
    fn default() -> Self {
        Self {
            symbols: Symbols::new(),
            timeseries: Vec::new(),
            refs: Vec::new(),
            rest: Vec::new(),
            scratch: Vec::new(),
            packed: Vec::new(),
        }
    }
}

impl Rw2Writer {
    /// The request so far, without a series that was not ended.
    pub fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        self.write_to(&mut message);
        message
    }

    /// As [`Rw2Writer::message`], into a buffer whose memory is used again; what it held is gone.
    pub fn write_to(&self, message: &mut Vec<u8>) {
        message.clear();
        message.extend_from_slice(&self.symbols.encoded);
        message.extend_from_slice(&self.timeseries);
    }

    /// Begins a new request without symbols; the buffers stay.
    pub fn clear(&mut self) {
        self.symbols.clear();
        self.clear_series();
    }

    /// Begins a new request that keeps the symbols of this one, and their references with them.
    pub fn clear_series(&mut self) {
        self.timeseries.clear();
        self.refs.clear();
        self.rest.clear();
    }

    /// The reference of a symbol, which is added to the request if it is new.
    pub fn symbol(&mut self, symbol: &str) -> u32 {
        self.symbols.intern(symbol.as_bytes())
    }

    /// The reference of a symbol that need not be text.
    pub fn raw_symbol(&mut self, symbol: &[u8]) -> u32 {
        self.symbols.intern(symbol)
    }

    /// Adds a label to the series. Senders give them sorted by name.
    pub fn label(&mut self, name: &str, value: &str) -> &mut Self {
        let (name, value) = (self.symbol(name), self.symbol(value));
        self.label_refs(&[name, value])
    }

    /// Adds references of labels' names and values by turns, as [`Rw2Writer::symbol`] gave them.
    pub fn label_refs(&mut self, refs: &[u32]) -> &mut Self {
        for &reference in refs {
            put_varint(&mut self.refs, u64::from(reference));
        }
        self
    }

    /// Adds a float sample; `start_timestamp_ms` is 0 where it is not known.
    pub fn sample(&mut self, timestamp_ms: i64, value: f64, start_timestamp_ms: i64) -> &mut Self {
        self.scratch.clear();
        put_double_field(&mut self.scratch, 1, value);
        put_varint_field(&mut self.scratch, 2, timestamp_ms as u64);
        if start_timestamp_ms != 0 {
            put_varint_field(&mut self.scratch, 3, start_timestamp_ms as u64);
        }
        put_bytes_field(&mut self.rest, 2, &self.scratch);
        self
    }

    /// Adds a native histogram.
    pub fn histogram(&mut self, sample: &HistogramSample) -> &mut Self {
        self.scratch.clear();
        put_histogram(&mut self.scratch, sample);
        put_bytes_field(&mut self.rest, 3, &self.scratch);
        self
    }

    /// Adds an exemplar.
    pub fn exemplar(&mut self, exemplar: &Exemplar) -> &mut Self {
        self.packed.clear();
        for text in exemplar.labels.iter().flat_map(|(name, value)| [name, value]) {
            let reference = self.symbols.intern(text.as_bytes());
            put_varint(&mut self.packed, u64::from(reference));
        }
        self.scratch.clear();
        put_bytes_field(&mut self.scratch, 1, &self.packed);
        put_double_field(&mut self.scratch, 2, exemplar.value);
        put_varint_field(&mut self.scratch, 3, exemplar.timestamp_ms as u64);
        put_bytes_field(&mut self.rest, 4, &self.scratch);
        self
    }

    /// Sets the metadata of the series.
    pub fn metadata(&mut self, metadata: &Metadata) -> &mut Self {
        let (help, unit) = (self.symbol(&metadata.help), self.symbol(&metadata.unit));
        self.scratch.clear();
        put_varint_field(&mut self.scratch, 1, metadata.metric_type.to_wire());
        put_varint_field(&mut self.scratch, 3, u64::from(help));
        put_varint_field(&mut self.scratch, 4, u64::from(unit));
        put_bytes_field(&mut self.rest, 5, &self.scratch);
        self
    }

    /// Adds bytes of a `TimeSeries` message as they are.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.rest.extend_from_slice(encoded);
        self
    }

    /// Ends the series and adds it to the request; a series without anything is added too.
    pub fn end_series(&mut self) -> &mut Self {
        self.scratch.clear();
        if !self.refs.is_empty() {
            put_bytes_field(&mut self.scratch, 1, &self.refs);
        }
        let len = self.scratch.len() + self.rest.len();
        put_varint(&mut self.timeseries, 5 << 3 | 2);
        put_varint(&mut self.timeseries, len as u64);
        self.timeseries.extend_from_slice(&self.scratch);
        self.timeseries.extend_from_slice(&self.rest);
        self.refs.clear();
        self.rest.clear();
        self
    }
}

/// The symbols of a request, each once, already encoded.
#[derive(Debug, Clone)]
struct Symbols {
    encoded: Vec<u8>,
    /// Where in `encoded` each symbol's text begins and ends.
    spans: Vec<(u32, u32)>,
    index: HashTable<u32>,
}

impl Symbols {
    fn new() -> Self {
        let mut symbols = Self { encoded: Vec::new(), spans: Vec::new(), index: HashTable::new() };
        symbols.intern(b"");
        symbols
    }

    fn clear(&mut self) {
        self.encoded.clear();
        self.spans.clear();
        self.index.clear();
        // The specification wants the empty text at index 0.
        self.intern(b"");
    }

    fn intern(&mut self, symbol: &[u8]) -> u32 {
        let Self { encoded, spans, index } = self;
        let text = |i: u32| {
            let (start, end) = spans[i as usize];
            &encoded[start as usize..end as usize]
        };
        let hash = xxh3_64(symbol);
        if let Some(&found) = index.find(hash, |&i| text(i) == symbol) {
            return found;
        }
        let new = spans.len() as u32;
        index.insert_unique(hash, new, |&i| xxh3_64(text(i)));
        put_bytes_field(encoded, 4, symbol);
        let end = encoded.len();
        spans.push(((end - symbol.len()) as u32, end as u32));
        new
    }
}
