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
    Float { timestamp_ms: i64, value: f64 },
    /// Several floats.
    Floats(Floats<'a>),
    /// A native histogram: the bytes of remote write's `Histogram` message.
    Histogram(&'a [u8]),
    /// An exemplar.
    Exemplar { timestamp_ms: i64, value: f64, canonical: &'a [u8] },
    /// What is new about a metric family; it is the tenant's, not the series'.
    Metadata { family: &'a str, metadata: Metadata },
}

/// Writes a record.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    out: Vec<u8>,
    previous_id: u32,
    previous_ms: i64,
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
        put_uvarint(&mut out, series.len() as u64);
        for new in series {
            put_uvarint(&mut out, u64::from(new.id));
            out.extend_from_slice(&new.hash.0.to_le_bytes());
            put_bytes(&mut out, new.canonical);
        }
        Self { out, previous_id: 0, previous_ms: base_ms, hull: None }
    }

    fn tag(&mut self, id: u32, kind: u64) {
        let delta = i64::from(id) - i64::from(self.previous_id);
        self.previous_id = id;
        put_uvarint(&mut self.out, zigzag(delta) << KIND_BITS | kind);
    }

    fn timestamp(&mut self, timestamp_ms: i64) {
        put_ivarint(&mut self.out, timestamp_ms.wrapping_sub(self.previous_ms));
        self.previous_ms = timestamp_ms;
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

    fn float(&mut self, timestamp_ms: i64, value: f64) {
        self.timestamp(timestamp_ms);
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Adds a native histogram, as remote write's `Histogram` message, whose timestamp is `timestamp_ms`.
    pub(crate) fn histogram(&mut self, id: u32, timestamp_ms: i64, message: &[u8]) {
        self.tag(id, KIND_HISTOGRAM);
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

/// Reads a record, front to back.
#[derive(Debug, Clone)]
pub(crate) struct RecordReader<'a> {
    header: RecordHeader<'a>,
    reader: Reader<'a>,
    previous_id: u32,
    previous_ms: i64,
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
        let previous_ms = reader.ivarint("base time")?;
        Ok(Self { header, reader, previous_id: 0, previous_ms })
    }

    pub(crate) fn header(&self) -> RecordHeader<'a> {
        self.header
    }

    /// Calls `each` with every series that the record introduces. To be called first, once.
    pub(crate) fn series(&mut self, mut each: impl FnMut(NewSeries<'a>)) -> Result<(), Malformed> {
        let count = self.reader.uvarint("number of series")?;
        for _ in 0..count {
            each(NewSeries {
                id: self.reader.u32("series number")?,
                hash: SeriesHash(self.reader.fixed_u64("series hash")?),
                canonical: self.reader.bytes("series labels")?,
            });
        }
        Ok(())
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
            KIND_FLOAT => {
                let (timestamp_ms, value) = read_float(&mut self.reader, &mut self.previous_ms)?;
                EntryBody::Float { timestamp_ms, value }
            }
            KIND_FLOATS => EntryBody::Floats(self.floats()?),
            KIND_HISTOGRAM => EntryBody::Histogram(self.reader.bytes("histogram")?),
            KIND_EXEMPLAR => {
                let (timestamp_ms, value) = read_float(&mut self.reader, &mut self.previous_ms)?;
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

    fn floats(&mut self) -> Result<Floats<'a>, Malformed> {
        let left = self.reader.uvarint("number of samples")?;
        let floats = Floats { reader: self.reader.clone(), previous_ms: self.previous_ms, left };
        for _ in 0..left {
            read_float(&mut self.reader, &mut self.previous_ms)?;
        }
        Ok(floats)
    }
}

/// The floats of one entry. They were checked when the entry was read.
#[derive(Debug, Clone)]
pub(crate) struct Floats<'a> {
    reader: Reader<'a>,
    previous_ms: i64,
    left: u64,
}

impl Iterator for Floats<'_> {
    type Item = (i64, f64);

    fn next(&mut self) -> Option<(i64, f64)> {
        self.left = self.left.checked_sub(1)?;
        read_float(&mut self.reader, &mut self.previous_ms).ok()
    }
}

impl PartialEq for Floats<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.clone().map(|(t, v)| (t, v.to_bits())).eq(other.clone().map(|(t, v)| (t, v.to_bits())))
    }
}

fn read_float(reader: &mut Reader<'_>, previous_ms: &mut i64) -> Result<(i64, f64), Malformed> {
    let timestamp_ms = previous_ms.wrapping_add(reader.ivarint("timestamp")?);
    *previous_ms = timestamp_ms;
    Ok((timestamp_ms, f64::from_bits(reader.fixed_u64("value")?)))
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
        writer.histogram(4, 5, b"hist");
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
            Entry { id: 7, body: EntryBody::Float { timestamp_ms: 1_000, value: 1.5 } }
        );
        match next().unwrap() {
            Entry { id: 3, body: EntryBody::Floats(floats) } => {
                let floats: Vec<_> = floats.collect();
                assert!(floats[0].0 == 900 && floats[0].1.is_nan());
                assert_eq!(floats[1..], [(i64::MAX, 2.0), (i64::MIN, 3.0)]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(next().unwrap(), Entry { id: 4, body: EntryBody::Histogram(b"hist") });
        let exemplar = EntryBody::Exemplar { timestamp_ms: 990, value: 0.25, canonical: b"labels" };
        assert_eq!(next().unwrap(), Entry { id: 7, body: exemplar });
        assert_eq!(next(), None);
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
