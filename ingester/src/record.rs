//! The record that a push leaves in the write-ahead log, and that both live application and replay read
//! (`docs/formats/wal-records.md`).
//!
//! A record belongs to one tenant. It spells out the labels of series that the log does not know for certain yet, and
//! names series by number otherwise.

use model::{Metadata, MetricType, SeriesHash};

use crate::codec::{Malformed, Reader, put_bytes, put_ivarint, put_uvarint, unzigzag, zigzag};

/// Bumped when a reader of the old version could misread the new.
const VERSION: u8 = 1;

const KIND_BITS: u32 = 3;
const KIND_FLOAT: u64 = 0;
const KIND_FLOATS: u64 = 1;
const KIND_HISTOGRAM: u64 = 2;
const KIND_EXEMPLAR: u64 = 3;
const KIND_METADATA: u64 = 4;
const KIND_FLOAT_STARTED: u64 = 5;
const KIND_FLOATS_STARTED: u64 = 6;
const KIND_HISTOGRAM_STARTED: u64 = 7;

/// What the record says before its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader<'a> {
    /// Whose it is.
    pub(crate) tenant: &'a str,
    /// How late a sample may be, in milliseconds; in the record, so that a replay decides as the first application.
    pub(crate) out_of_order_window_ms: u64,
}

/// A series that the record introduces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewSeries<'a> {
    /// Its number within the tenant.
    pub(crate) id: u32,
    /// Its ring hash.
    pub(crate) hash: SeriesHash,
    /// Its labels, as `model::hash` describes canonical bytes.
    pub(crate) canonical: &'a [u8],
}

/// Something for one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry<'a> {
    /// The series' number.
    pub(crate) id: u32,
    /// What is for it.
    pub(crate) body: EntryBody<'a>,
}

/// What is for a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum EntryBody<'a> {
    /// One float, by far the most common.
    Float(Float),
    /// Several floats.
    Floats(Floats<'a>),
    /// A native histogram: the bytes of remote write's `Histogram` message, and its start timestamp as in [`Float`].
    Histogram { message: &'a [u8], start_ms: Option<i64> },
    /// An exemplar.
    Exemplar { timestamp_ms: i64, value: f64, canonical: &'a [u8] },
    /// What is new about a metric family; it is the tenant's, not the series'.
    Metadata { family: &'a str, metadata: Metadata },
}

/// A float sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Float {
    /// When it is.
    pub(crate) timestamp_ms: i64,
    /// When its counting began, 0 where that is unknown; `None` where the tenant's start timestamps were not to be stored.
    pub(crate) start_ms: Option<i64>,
    /// What it is.
    pub(crate) value: f64,
}

/// The times that the next ones are relative to.
#[derive(Debug, Clone, Copy)]
struct Previous {
    timestamp_ms: i64,
    /// The last one that is known.
    start_ms: i64,
}

/// Writes a record.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    out: Vec<u8>,
    previous_id: u32,
    previous: Previous,
    hull: Option<(i64, i64)>,
}

impl RecordWriter {
    /// A writer whose buffer has room for about `capacity` bytes.
    pub(crate) fn new(
        header: RecordHeader<'_>,
        base_ms: i64,
        series: &[NewSeries<'_>],
        capacity: usize,
    ) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(VERSION);
        put_bytes(&mut out, header.tenant.as_bytes());
        put_uvarint(&mut out, header.out_of_order_window_ms);
        put_ivarint(&mut out, base_ms);
        put_series(&mut out, series);
        let previous = Previous { timestamp_ms: base_ms, start_ms: base_ms };
        Self { out, previous_id: 0, previous, hull: None }
    }

    fn tag(&mut self, id: u32, kind: u64) {
        let delta = i64::from(id) - i64::from(self.previous_id);
        self.previous_id = id;
        put_uvarint(&mut self.out, zigzag(delta) << KIND_BITS | kind);
    }

    fn timestamp(&mut self, timestamp_ms: i64) {
        put_ivarint(&mut self.out, timestamp_ms.wrapping_sub(self.previous.timestamp_ms));
        self.previous.timestamp_ms = timestamp_ms;
        self.widen(timestamp_ms);
    }

    fn widen(&mut self, timestamp_ms: i64) {
        self.hull = Some(match self.hull {
            None => (timestamp_ms, timestamp_ms),
            Some((min, max)) => (min.min(timestamp_ms), max.max(timestamp_ms)),
        });
    }

    /// Adds floats of a series.
    pub(crate) fn floats(&mut self, id: u32, samples: &[(i64, f64)]) {
        if let [(timestamp_ms, value)] = samples {
            self.tag(id, KIND_FLOAT);
            self.float(*timestamp_ms, *value);
            return;
        }
        self.tag(id, KIND_FLOATS);
        put_uvarint(&mut self.out, samples.len() as u64);
        for (timestamp_ms, value) in samples {
            self.float(*timestamp_ms, *value);
        }
    }

    /// Adds floats of a series with start timestamps, as (timestamp, start timestamp, value); 0 is an unknown start.
    pub(crate) fn floats_with_starts(&mut self, id: u32, samples: &[(i64, i64, f64)]) {
        let (tag, count) = match samples.len() {
            1 => (KIND_FLOAT_STARTED, None),
            n => (KIND_FLOATS_STARTED, Some(n)),
        };
        self.tag(id, tag);
        if let Some(n) = count {
            put_uvarint(&mut self.out, n as u64);
        }
        for (timestamp_ms, start_ms, value) in samples {
            put_start(&mut self.out, &mut self.previous.start_ms, *start_ms);
            self.float(*timestamp_ms, *value);
        }
    }

    fn float(&mut self, timestamp_ms: i64, value: f64) {
        self.timestamp(timestamp_ms);
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Adds a native histogram, as remote write's `Histogram` message, whose timestamp is `timestamp_ms`; with a start
    /// timestamp where those are stored.
    pub(crate) fn histogram(&mut self, id: u32, timestamp_ms: i64, start_ms: Option<i64>, message: &[u8]) {
        match start_ms {
            None => self.tag(id, KIND_HISTOGRAM),
            Some(start_ms) => {
                self.tag(id, KIND_HISTOGRAM_STARTED);
                put_start(&mut self.out, &mut self.previous.start_ms, start_ms);
            }
        }
        put_bytes(&mut self.out, message);
        self.widen(timestamp_ms);
    }

    /// Adds an exemplar; its labels as canonical bytes.
    pub(crate) fn exemplar(&mut self, id: u32, timestamp_ms: i64, value: f64, canonical: &[u8]) {
        self.tag(id, KIND_EXEMPLAR);
        self.float(timestamp_ms, value);
        put_bytes(&mut self.out, canonical);
    }

    /// Adds metadata of a family.
    pub(crate) fn metadata(&mut self, family: &str, metadata: &Metadata) {
        self.tag(self.previous_id, KIND_METADATA);
        put_bytes(&mut self.out, family.as_bytes());
        put_uvarint(&mut self.out, metadata.metric_type.to_wire());
        put_bytes(&mut self.out, metadata.help.as_bytes());
        put_bytes(&mut self.out, metadata.unit.as_bytes());
    }

    /// The record, and its earliest and latest timestamp if it has any.
    pub(crate) fn finish(self) -> (Vec<u8>, Option<(i64, i64)>) {
        (self.out, self.hull)
    }
}

/// Appends a start timestamp: 0 where it is unknown, else the difference to the last known one. The zigzag form of that
/// difference that would stand for an unknown start is not needed; those below it move up by one, so that 0 is free.
fn put_start(out: &mut Vec<u8>, previous_ms: &mut i64, start_ms: i64) {
    if start_ms == 0 {
        out.push(0);
        return;
    }
    let of_unknown = zigzag(0i64.wrapping_sub(*previous_ms));
    let difference = zigzag(start_ms.wrapping_sub(*previous_ms));
    put_uvarint(out, if difference < of_unknown { difference + 1 } else { difference });
    *previous_ms = start_ms;
}

fn read_start(reader: &mut Reader<'_>, previous_ms: &mut i64) -> Result<i64, Malformed> {
    let number = reader.uvarint("start timestamp")?;
    if number == 0 {
        return Ok(0);
    }
    let of_unknown = zigzag(0i64.wrapping_sub(*previous_ms));
    let difference = if number <= of_unknown { number - 1 } else { number };
    *previous_ms = previous_ms.wrapping_add(unzigzag(difference));
    Ok(*previous_ms)
}

/// Appends the series that a record introduces.
pub(crate) fn put_series(out: &mut Vec<u8>, series: &[NewSeries<'_>]) {
    put_uvarint(out, series.len() as u64);
    for new in series {
        put_uvarint(out, u64::from(new.id));
        out.extend_from_slice(&new.hash.0.to_le_bytes());
        put_bytes(out, new.canonical);
    }
}

/// Calls `each` with every series that a record introduces.
pub(crate) fn read_series<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(NewSeries<'a>),
) -> Result<(), Malformed> {
    let count = reader.uvarint("number of series")?;
    for _ in 0..count {
        each(NewSeries {
            id: reader.u32("series number")?,
            hash: SeriesHash(reader.fixed_u64("series hash")?),
            canonical: reader.bytes("series labels")?,
        });
    }
    Ok(())
}

/// Reads a record, front to back.
#[derive(Debug, Clone)]
pub(crate) struct RecordReader<'a> {
    header: RecordHeader<'a>,
    reader: Reader<'a>,
    previous_id: u32,
    previous: Previous,
}

impl<'a> RecordReader<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(record);
        if reader.u8("record version")? != VERSION {
            return Err(Malformed { what: "record of a version that this program knows" });
        }
        let header = RecordHeader {
            tenant: reader.text("tenant")?,
            out_of_order_window_ms: reader.uvarint("out-of-order window")?,
        };
        let base_ms = reader.ivarint("base time")?;
        let previous = Previous { timestamp_ms: base_ms, start_ms: base_ms };
        Ok(Self { header, reader, previous_id: 0, previous })
    }

    pub(crate) fn header(&self) -> RecordHeader<'a> {
        self.header
    }

    /// Calls `each` with every series that the record introduces. To be called first, once.
    pub(crate) fn series(&mut self, each: impl FnMut(NewSeries<'a>)) -> Result<(), Malformed> {
        read_series(&mut self.reader, each)
    }

    /// The next entry; `None` at the record's end. To be called after [`Self::series`].
    pub(crate) fn entry(&mut self) -> Result<Option<Entry<'a>>, Malformed> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let tag = self.reader.uvarint("entry")?;
        let id = i64::from(self.previous_id).wrapping_add(unzigzag(tag >> KIND_BITS));
        let id = u32::try_from(id).map_err(|_| Malformed { what: "series number" })?;
        self.previous_id = id;
        let body = match tag & ((1 << KIND_BITS) - 1) {
            KIND_FLOAT => EntryBody::Float(read_float(&mut self.reader, &mut self.previous, false)?),
            KIND_FLOAT_STARTED => EntryBody::Float(read_float(&mut self.reader, &mut self.previous, true)?),
            KIND_FLOATS => EntryBody::Floats(self.floats(false)?),
            KIND_FLOATS_STARTED => EntryBody::Floats(self.floats(true)?),
            KIND_HISTOGRAM => {
                EntryBody::Histogram { start_ms: None, message: self.reader.bytes("histogram")? }
            }
            KIND_HISTOGRAM_STARTED => EntryBody::Histogram {
                start_ms: Some(read_start(&mut self.reader, &mut self.previous.start_ms)?),
                message: self.reader.bytes("histogram")?,
            },
            KIND_EXEMPLAR => {
                let Float { timestamp_ms, value, .. } =
                    read_float(&mut self.reader, &mut self.previous, false)?;
                EntryBody::Exemplar { timestamp_ms, value, canonical: self.reader.bytes("exemplar labels")? }
            }
            KIND_METADATA => {
                let family = self.reader.text("family")?;
                let metric_type =
                    MetricType::from_wire(self.reader.uvarint("metric type")?).unwrap_or_default();
                let help = self.reader.text("help")?.to_owned();
                let unit = self.reader.text("unit")?.to_owned();
                EntryBody::Metadata { family, metadata: Metadata { metric_type, help, unit } }
            }
            _ => return Err(Malformed { what: "kind of entry" }),
        };
        Ok(Some(Entry { id, body }))
    }

    fn floats(&mut self, started: bool) -> Result<Floats<'a>, Malformed> {
        let left = self.reader.uvarint("number of samples")?;
        let floats = Floats { reader: self.reader.clone(), previous: self.previous, started, left };
        for _ in 0..left {
            read_float(&mut self.reader, &mut self.previous, started)?;
        }
        Ok(floats)
    }
}

/// The floats of one entry. They were checked when the entry was read.
#[derive(Debug, Clone)]
pub(crate) struct Floats<'a> {
    reader: Reader<'a>,
    previous: Previous,
    started: bool,
    left: u64,
}

impl Iterator for Floats<'_> {
    type Item = Float;

    fn next(&mut self) -> Option<Float> {
        self.left = self.left.checked_sub(1)?;
        read_float(&mut self.reader, &mut self.previous, self.started).ok()
    }
}

impl PartialEq for Floats<'_> {
    fn eq(&self, other: &Self) -> bool {
        let bits = |floats: &Self| floats.clone().map(|f| (f.timestamp_ms, f.start_ms, f.value.to_bits()));
        bits(self).eq(bits(other))
    }
}

#[inline]
fn read_float(reader: &mut Reader<'_>, previous: &mut Previous, started: bool) -> Result<Float, Malformed> {
    let start_ms = if started { Some(read_start(reader, &mut previous.start_ms)?) } else { None };
    let timestamp_ms = previous.timestamp_ms.wrapping_add(reader.ivarint("timestamp")?);
    previous.timestamp_ms = timestamp_ms;
    Ok(Float { timestamp_ms, start_ms, value: f64::from_bits(reader.fixed_u64("value")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let header = RecordHeader { tenant: "team-a", out_of_order_window_ms: 300_000 };
        let metadata = Metadata { metric_type: MetricType::Counter, help: "h".into(), unit: "s".into() };
        let series = [
            NewSeries { id: 7, hash: SeriesHash(1 << 60), canonical: b"abc" },
            NewSeries { id: 3, hash: SeriesHash(5), canonical: b"" },
        ];
        let mut writer = RecordWriter::new(header, 1_000, &series, 100);
        writer.metadata("fam", &metadata);
        writer.floats(7, &[(1_000, 1.5)]);
        writer.floats(3, &[(900, f64::NAN), (i64::MAX, 2.0), (i64::MIN, 3.0)]);
        writer.histogram(4, 5, None, b"hist");
        writer.floats_with_starts(7, &[(1_015, 600, 1.5)]);
        writer.floats_with_starts(3, &[(5, 600, 0.5), (6, 0, 2.0), (7, i64::MIN, 3.0)]);
        writer.histogram(4, 6, Some(601), b"hist");
        writer.exemplar(7, 990, 0.25, b"labels");
        let (record, hull) = writer.finish();
        assert_eq!(hull, Some((i64::MIN, i64::MAX)));

        let mut reader = RecordReader::new(&record).unwrap();
        assert_eq!(reader.header(), header);
        let mut read = Vec::new();
        reader.series(|new| read.push(new)).unwrap();
        assert_eq!(read, series);
        let mut next = || reader.entry().unwrap();
        assert_eq!(next().unwrap(), Entry { id: 0, body: EntryBody::Metadata { family: "fam", metadata } });
        assert_eq!(
            next().unwrap(),
            Entry {
                id: 7,
                body: EntryBody::Float(Float { timestamp_ms: 1_000, start_ms: None, value: 1.5 })
            }
        );
        match next().unwrap() {
            Entry { id: 3, body: EntryBody::Floats(floats) } => {
                let floats: Vec<_> = floats.collect();
                assert!(floats[0].timestamp_ms == 900 && floats[0].value.is_nan());
                let rest = [(i64::MAX, 2.0), (i64::MIN, 3.0)];
                assert_eq!(
                    floats[1..],
                    rest.map(|(timestamp_ms, value)| Float { timestamp_ms, start_ms: None, value })
                );
            }
            other => panic!("{other:?}"),
        }
        let histogram = |start_ms| EntryBody::Histogram { message: b"hist", start_ms };
        assert_eq!(next().unwrap(), Entry { id: 4, body: histogram(None) });
        let started =
            |(timestamp_ms, start_ms, value)| Float { timestamp_ms, start_ms: Some(start_ms), value };
        assert_eq!(next().unwrap(), Entry { id: 7, body: EntryBody::Float(started((1_015, 600, 1.5))) });
        match next().unwrap() {
            Entry { id: 3, body: EntryBody::Floats(floats) } => {
                let expected = [(5, 600, 0.5), (6, 0, 2.0), (7, i64::MIN, 3.0)].map(started);
                assert_eq!(floats.collect::<Vec<_>>(), expected);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(next().unwrap(), Entry { id: 4, body: histogram(Some(601)) });
        let exemplar = EntryBody::Exemplar { timestamp_ms: 990, value: 0.25, canonical: b"labels" };
        assert_eq!(next().unwrap(), Entry { id: 7, body: exemplar });
        assert_eq!(next(), None);
    }

    #[test]
    fn start_timestamps_come_back() {
        let edges = [0, 1, -1, 2, 600, -600, i64::MIN, i64::MAX, i64::MIN + 1, i64::MAX - 1, 1 << 62];
        for base in edges {
            let starts: Vec<i64> = edges.iter().flat_map(|a| edges.iter().flat_map(|b| [*a, *b])).collect();
            let (mut out, mut previous) = (Vec::new(), base);
            starts.iter().for_each(|start| put_start(&mut out, &mut previous, *start));
            let (mut reader, mut previous) = (Reader::new(&out), base);
            for start in starts {
                assert_eq!(read_start(&mut reader, &mut previous), Ok(start), "base {base}");
            }
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_start_that_many_series_share_takes_a_byte() {
        let mut out = Vec::new();
        let mut previous = 1_700_000_000_000;
        put_start(&mut out, &mut previous, 1_699_999_000_000);
        let first = out.len();
        put_start(&mut out, &mut previous, 0);
        put_start(&mut out, &mut previous, 1_699_999_000_000);
        assert_eq!(out.len(), first + 2);
    }

    #[test]
    fn every_truncation_is_an_error_or_ends_early() {
        let header = RecordHeader { tenant: "t", out_of_order_window_ms: 0 };
        let mut writer = RecordWriter::new(header, 0, &[], 0);
        writer.floats(1, &[(1, 1.0), (2, 2.0)]);
        let (record, _) = writer.finish();
        for len in 0..record.len() {
            let complete = RecordReader::new(&record[..len]).and_then(|mut reader| {
                reader.series(|_| ())?;
                reader.entry()
            });
            assert!(!matches!(complete, Ok(Some(_))), "{len}: {complete:?}");
        }
    }
}
