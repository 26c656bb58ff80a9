//! Remote read: requests walked into small structures, and the frames of streamed answers.
//!
//! An answer as samples has one `QueryResult` a query, whose series are encoded exactly as those of remote write 1.0:
//! the message of a [`crate::encode::Rw1Writer`] is one. Source: `prompb/remote.proto` and `types.proto` of Prometheus.

use crate::WireError;
use crate::protobuf::{Field, Fields, put_bytes_field, put_varint, put_varint_field};

/// A request has at most so many queries; Prometheus sends one.
pub const MAX_QUERIES: usize = 1_024;
/// A query has at most so many matchers.
pub const MAX_MATCHERS: usize = 1_024;
/// A request accepts at most so many kinds of answer; there are two.
pub const MAX_ACCEPTED: usize = 64;

/// Series as samples, all at once.
pub const SAMPLES: u64 = 0;
/// Series as chunks, frame by frame.
pub const STREAMED_XOR_CHUNKS: u64 = 1;

/// A `ReadRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadRequest<'a> {
    /// What is asked for.
    pub queries: Vec<Query<'a>>,
    /// Which kinds of answer are understood, the best first: [`SAMPLES`], [`STREAMED_XOR_CHUNKS`], or others that are
    /// not known. None means samples.
    pub accepted: Vec<u64>,
}

/// A `Query`. Its hints are advice that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query<'a> {
    /// Milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Milliseconds since the Unix epoch; included.
    pub end_ms: i64,
    /// All of these have to match.
    pub matchers: Vec<Matcher<'a>>,
}

/// A `LabelMatcher`: neither checked to be UTF-8 nor to make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Matcher<'a> {
    /// 0 is `=`, 1 is `!=`, 2 is `=~`, 3 is `!~`.
    pub op: u64,
    /// The label.
    pub name: &'a [u8],
    /// The value or pattern.
    pub value: &'a [u8],
}

/// Walks a request.
///
/// # Errors
/// Where it is not the message it should be, or has more elements than are allowed.
pub fn request(message: &[u8]) -> Result<ReadRequest<'_>, WireError> {
    let mut request = ReadRequest::default();
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => {
                bounded(request.queries.len(), MAX_QUERIES, "queries in a request", &field)?;
                let body = field.bytes()?;
                request.queries.push(query(body).map_err(|e| e.shifted(field.end - body.len()))?);
            }
            2 => accepted(&field, &mut request.accepted)?,
            _ => {}
        }
    }
    Ok(request)
}

/// A repeated enum may be packed, and is by the senders of proto3.
fn accepted(field: &Field<'_>, into: &mut Vec<u64>) -> Result<(), WireError> {
    let Ok(packed) = field.bytes() else {
        bounded(into.len(), MAX_ACCEPTED, "accepted response types", field)?;
        into.push(field.varint()?);
        return Ok(());
    };
    let mut position = 0;
    while position < packed.len() {
        bounded(into.len(), MAX_ACCEPTED, "accepted response types", field)?;
        let kind = crate::protobuf::varint(packed, &mut position);
        into.push(kind.map_err(|e| e.shifted(field.end - packed.len()))?);
    }
    Ok(())
}

fn query(message: &[u8]) -> Result<Query<'_>, WireError> {
    let mut query = Query::default();
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => query.start_ms = field.int64()?,
            2 => query.end_ms = field.int64()?,
            3 => {
                bounded(query.matchers.len(), MAX_MATCHERS, "matchers in a query", &field)?;
                let body = field.bytes()?;
                query.matchers.push(matcher(body).map_err(|e| e.shifted(field.end - body.len()))?);
            }
            _ => {}
        }
    }
    Ok(query)
}

fn matcher(message: &[u8]) -> Result<Matcher<'_>, WireError> {
    let mut matcher = Matcher::default();
    for field in Fields::new(message) {
        let field = field?;
        match field.number {
            1 => matcher.op = field.varint()?,
            2 => matcher.name = field.bytes()?,
            3 => matcher.value = field.bytes()?,
            _ => {}
        }
    }
    Ok(matcher)
}

fn bounded(len: usize, max: usize, what: &'static str, field: &Field<'_>) -> Result<(), WireError> {
    if len < max { Ok(()) } else { Err(WireError::TooMany { offset: field.start, what, max }) }
}

/// A chunk of a streamed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Its first sample's time in milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Its last sample's time.
    pub end_ms: i64,
    /// The TSDB's number of its encoding.
    pub encoding: u8,
    /// The chunk as the TSDB has it, without length, encoding byte and checksum.
    pub data: &'a [u8],
}

/// Writes the frames of a streamed answer: each a `ChunkedReadResponse` of chunks of one series, behind its length as a
/// varint and its CRC-32C in big-endian order.
#[derive(Debug, Default)]
pub struct FrameWriter {
    labels: Vec<u8>,
    series: Vec<u8>,
    frame: Vec<u8>,
    scratch: Vec<u8>,
}

impl FrameWriter {
    /// Begins a series with these labels, which are sorted by name.
    pub fn begin<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.labels.clear();
        for (name, value) in labels {
            self.scratch.clear();
            put_bytes_field(&mut self.scratch, 1, name.as_bytes());
            put_bytes_field(&mut self.scratch, 2, value.as_bytes());
            put_bytes_field(&mut self.labels, 1, &self.scratch);
        }
        self.series.clear();
    }

    /// Adds a chunk of the series.
    pub fn chunk(&mut self, chunk: &Chunk<'_>) {
        if self.series.is_empty() {
            self.series.extend_from_slice(&self.labels);
        }
        self.scratch.clear();
        put_varint_field(&mut self.scratch, 1, chunk.start_ms as u64);
        put_varint_field(&mut self.scratch, 2, chunk.end_ms as u64);
        put_varint_field(&mut self.scratch, 3, u64::from(chunk.encoding));
        put_bytes_field(&mut self.scratch, 4, chunk.data);
        put_bytes_field(&mut self.series, 2, &self.scratch);
    }

    /// How many bytes the frame has so far, about.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether no chunk was added since the last frame.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Ends a frame, for the query with this number, and appends it; without chunks it appends nothing. Chunks that come
    /// then are of the same series.
    pub fn end_frame(&mut self, query_index: usize, out: &mut Vec<u8>) {
        if self.series.is_empty() {
            return;
        }
        self.frame.clear();
        put_bytes_field(&mut self.frame, 1, &self.series);
        if query_index > 0 {
            put_varint_field(&mut self.frame, 2, query_index as u64);
        }
        put_varint(out, self.frame.len() as u64);
        out.extend_from_slice(&crc32c::crc32c(&self.frame).to_be_bytes());
        out.extend_from_slice(&self.frame);
        self.series.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request_bytes(queries: &[Query<'_>], accepted: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        for query in queries {
            let mut body = Vec::new();
            put_varint_field(&mut body, 1, query.start_ms as u64);
            put_varint_field(&mut body, 2, query.end_ms as u64);
            for matcher in &query.matchers {
                let mut text = Vec::new();
                put_varint_field(&mut text, 1, matcher.op);
                put_bytes_field(&mut text, 2, matcher.name);
                put_bytes_field(&mut text, 3, matcher.value);
                put_bytes_field(&mut body, 3, &text);
            }
            // Hints, which are skipped.
            put_bytes_field(&mut body, 4, &[0x08, 0x0f, 0x12, 0x01, b'f']);
            put_bytes_field(&mut out, 1, &body);
        }
        let mut packed = Vec::new();
        accepted.iter().for_each(|kind| put_varint(&mut packed, *kind));
        put_bytes_field(&mut out, 2, &packed);
        out
    }

    #[test]
    fn requests_are_walked() {
        let matcher = |op, name, value| Matcher { op, name, value };
        let queries = [
            Query { start_ms: -5, end_ms: 7, matchers: vec![matcher(0, b"a", b"b"), matcher(3, b"c", b"")] },
            Query { start_ms: 1, end_ms: 2, matchers: Vec::new() },
        ];
        let mut bytes = request_bytes(&queries, &[STREAMED_XOR_CHUNKS, SAMPLES]);
        let expected = ReadRequest { queries: queries.to_vec(), accepted: vec![1, 0] };
        assert_eq!(request(&bytes), Ok(expected));
        // Not packed, as proto2 writes it.
        put_varint_field(&mut bytes, 2, 9);
        assert_eq!(request(&bytes).unwrap().accepted, [1, 0, 9]);
        assert_eq!(request(&[]), Ok(ReadRequest::default()));
    }

    #[test]
    fn elements_are_bounded() {
        let too_many = [0x0a, 0x00].repeat(MAX_QUERIES + 1);
        assert!(matches!(request(&too_many), Err(WireError::TooMany { max: MAX_QUERIES, .. })));
        let matchers = vec![Matcher::default(); MAX_MATCHERS + 1];
        let query = [Query { matchers, ..Query::default() }];
        assert!(matches!(request(&request_bytes(&query, &[])), Err(WireError::TooMany { .. })));
        let accepted = request_bytes(&[], &[1; MAX_ACCEPTED + 1]);
        assert!(matches!(request(&accepted), Err(WireError::TooMany { .. })));
    }

    /// A frame by hand: two chunks of one series of the second query.
    #[test]
    fn frames() {
        let mut writer = FrameWriter::default();
        let mut out = Vec::new();
        writer.begin([("a", "b")]);
        writer.end_frame(1, &mut out);
        assert_eq!(out, b"");
        writer.chunk(&Chunk { start_ms: 1, end_ms: 2, encoding: 1, data: b"xy" });
        writer.chunk(&Chunk { start_ms: 3, end_ms: 4, encoding: 2, data: b"" });
        assert!(!writer.is_empty() && writer.len() > 10);
        writer.end_frame(1, &mut out);
        let frame = b"\x0a\x1e\x0a\x06\x0a\x01a\x12\x01b\x12\x0a\x08\x01\x10\x02\x18\x01\x22\x02xy\
                      \x12\x08\x08\x03\x10\x04\x18\x02\x22\x00\x10\x01";
        let mut expected = vec![frame.len() as u8];
        expected.extend(crc32c::crc32c(frame).to_be_bytes());
        expected.extend(frame);
        assert_eq!(out, expected);
        // The labels are repeated in the next frame of the series.
        let before = out.len();
        writer.chunk(&Chunk { start_ms: 5, end_ms: 6, encoding: 1, data: b"z" });
        writer.end_frame(0, &mut out);
        assert!(out[before..].windows(6).any(|w| w == b"\x0a\x01a\x12\x01b"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = request(&bytes);
        }
    }
}
