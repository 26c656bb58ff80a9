//! What is in a block: some series of one tenant with the strings they need, or what else a tenant has.

use std::collections::HashMap;

use model::{Exemplar, Metadata, MetricType, SeriesHash, TimeRange};
use proto::ChunkEncoding;

use super::{KIND_SERIES, KIND_TENANT};
use crate::canonical;
use crate::chunk_store::ChunkPtr;
use crate::codec::{Malformed, Reader, put_bytes, put_ivarint, put_uvarint};
use crate::head::exemplars::Stored;
use crate::head::late::Late;
use crate::head::open::{self, OpenChunk};
use crate::head::series::{Applied, Series, State};
use crate::head::tenant::{Index, Tenant};

const HAS_RANGE: u8 = 1;
const HAS_OPEN: u8 = 2;
const HAS_LATE: u8 = 4;

/// Gathers series of one tenant for a block.
#[derive(Default)]
pub(super) struct SeriesBlock {
    strings: Vec<u8>,
    numbers: HashMap<u32, u32, xxhash_rust::xxh3::Xxh3DefaultBuilder>,
    series: Vec<u8>,
    count: u64,
}

impl SeriesBlock {
    pub(super) fn len(&self) -> usize {
        self.strings.len() + self.series.len()
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn add(&mut self, index: &Index, series: &Series, epoch: u32) {
        put_uvarint(&mut self.series, u64::from(series.id));
        self.series.extend_from_slice(&series.hash.0.to_le_bytes());
        put_uvarint(&mut self.series, series.labels.iter().len() as u64);
        for (name, value) in series.labels.iter() {
            for symbol in [name, value] {
                let number = self.number(index, symbol);
                put_uvarint(&mut self.series, u64::from(number));
            }
        }
        encode_state(&mut self.series, &series.state.lock(), epoch);
        self.count += 1;
    }

    fn number(&mut self, index: &Index, symbol: u32) -> u32 {
        let next = self.numbers.len() as u32;
        *self.numbers.entry(symbol).or_insert_with(|| {
            put_bytes(&mut self.strings, index.symbols().get(symbol).as_bytes());
            next
        })
    }

    /// The block, leaving this one empty.
    pub(super) fn finish(&mut self, tenant: &str, out: &mut Vec<u8>) {
        out.push(KIND_SERIES);
        put_bytes(out, tenant.as_bytes());
        put_uvarint(out, self.numbers.len() as u64);
        out.extend_from_slice(&self.strings);
        put_uvarint(out, self.count);
        out.extend_from_slice(&self.series);
        *self = Self::default();
    }
}

fn encode_state(out: &mut Vec<u8>, state: &State, epoch: u32) {
    let late = state.late.as_deref();
    let has = |yes: bool, bit: u8| if yes { bit } else { 0 };
    out.push(
        has(state.range.is_some(), HAS_RANGE)
            | has(state.open.is_some(), HAS_OPEN)
            | has(late.is_some(), HAS_LATE),
    );
    put_uvarint(out, ChunkPtr::number(state.stored));
    let applied = if state.applied.epoch == epoch { state.applied.samples } else { 0 };
    put_uvarint(out, u64::from(applied));
    if let Some(range) = state.range {
        put_range(out, range);
    }
    if let Some(open) = &state.open {
        out.push(open.encoding().into());
        put_ivarint(out, open.first_ms());
        put_bytes(out, open.bytes());
    }
    if let Some(late) = late {
        encode_late(out, late);
    }
}

fn put_range(out: &mut Vec<u8>, range: TimeRange) {
    put_ivarint(out, range.start_ms());
    put_ivarint(out, range.end_ms());
}

fn read_range(reader: &mut Reader<'_>) -> Result<TimeRange, Malformed> {
    let (start, end) = (reader.ivarint("range")?, reader.ivarint("range")?);
    TimeRange::new(start, end).ok_or(Malformed { what: "range" })
}

fn encode_late(out: &mut Vec<u8>, late: &Late) {
    put_uvarint(out, ChunkPtr::number(late.stored()));
    // A series gets its late samples' store with the first of them.
    put_range(out, late.range().unwrap_or(TimeRange::ALL));
    let chunks = late.chunks_in_memory();
    put_uvarint(out, chunks.len() as u64);
    for chunk in chunks {
        out.push(chunk.encoding.into());
        put_bytes(out, &chunk.data);
    }
}

/// A series as a block has it.
pub(super) struct BlockSeries<'a> {
    pub(super) id: u32,
    pub(super) hash: SeriesHash,
    pub(super) labels: Vec<(&'a str, &'a str)>,
    pub(super) state: State,
}

/// Reads a block of series, behind its kind and tenant.
pub(super) fn read_series<'a>(
    mut reader: Reader<'a>,
    mut each: impl FnMut(BlockSeries<'a>),
) -> Result<(), Malformed> {
    let count = reader.uvarint("number of strings")?;
    let mut strings = Vec::new();
    for _ in 0..count {
        strings.push(reader.text("string")?);
    }
    let count = reader.uvarint("number of series")?;
    for _ in 0..count {
        let id = reader.u32("series number")?;
        let hash = SeriesHash(reader.fixed_u64("series hash")?);
        let labels = (0..reader.uvarint("number of labels")?)
            .map(|_| Ok((string(&mut reader, &strings)?, string(&mut reader, &strings)?)))
            .collect::<Result<_, Malformed>>()?;
        let state = decode_state(&mut reader)?;
        each(BlockSeries { id, hash, labels, state });
    }
    Ok(())
}

fn string<'a>(reader: &mut Reader<'a>, strings: &[&'a str]) -> Result<&'a str, Malformed> {
    let number = reader.u32("string number")? as usize;
    strings.get(number).copied().ok_or(Malformed { what: "string number" })
}

fn decode_state(reader: &mut Reader<'_>) -> Result<State, Malformed> {
    let flags = reader.u8("flags")?;
    let stored = ChunkPtr::from_number(reader.uvarint("newest chunk")?);
    let samples = reader.u32("samples since the roll")?;
    let range = if flags & HAS_RANGE != 0 { Some(read_range(reader)?) } else { None };
    let open = if flags & HAS_OPEN != 0 {
        let encoding = read_encoding(reader)?;
        let first_ms = reader.ivarint("chunk start")?;
        let data = reader.bytes("chunk")?;
        Some(OpenChunk::resume(first_ms, encoding, data).map_err(|_| Malformed { what: "chunk" })?)
    } else {
        None
    };
    let late = if flags & HAS_LATE != 0 { Some(Box::new(decode_late(reader)?)) } else { None };
    Ok(State { range, open, stored, late, applied: Applied { epoch: 0, samples } })
}

fn decode_late(reader: &mut Reader<'_>) -> Result<Late, Malformed> {
    let stored = ChunkPtr::from_number(reader.uvarint("newest late chunk")?);
    let range = read_range(reader)?;
    let mut samples = Vec::new();
    for _ in 0..reader.uvarint("number of late chunks")? {
        let encoding = read_encoding(reader)?;
        let decoded = open::decode_with_starts(encoding, reader.bytes("late chunk")?);
        samples.extend(decoded.map_err(|_| Malformed { what: "late chunk" })?);
    }
    Ok(Late::restore(samples, stored, Some(range)))
}

fn read_encoding(reader: &mut Reader<'_>) -> Result<ChunkEncoding, Malformed> {
    ChunkEncoding::try_from(reader.u8("encoding")?).map_err(|_| Malformed { what: "encoding" })
}

/// Writes what a tenant has besides series.
pub(super) fn encode_tenant(tenant: &Tenant, out: &mut Vec<u8>) {
    out.push(KIND_TENANT);
    put_bytes(out, tenant.id.as_str().as_bytes());
    put_uvarint(out, u64::from(tenant.index.read().next_id()));
    let families = tenant.metadata.lock().list(None, 0, 0);
    put_uvarint(out, families.iter().map(|f| f.entries.len() as u64).sum());
    for family in &families {
        // The newest entry is the last to be set again.
        for metadata in family.entries.iter().rev() {
            put_bytes(out, family.family.as_bytes());
            put_uvarint(out, metadata.metric_type.to_wire());
            put_bytes(out, metadata.help.as_bytes());
            put_bytes(out, metadata.unit.as_bytes());
        }
    }
    let exemplars = tenant.exemplars.lock();
    put_uvarint(out, exemplars.iter().count() as u64);
    let mut canonical = Vec::new();
    for stored in exemplars.iter() {
        canonical.clear();
        for (name, value) in stored.exemplar.labels.iter() {
            model::hash::push_canonical_label(&mut canonical, name.as_bytes(), value.as_bytes());
        }
        put_uvarint(out, u64::from(stored.series));
        put_ivarint(out, stored.exemplar.timestamp_ms);
        out.extend_from_slice(&stored.exemplar.value.to_bits().to_le_bytes());
        put_bytes(out, &canonical);
    }
}

/// Reads what [`encode_tenant`] wrote, behind kind and tenant, into the tenant.
pub(super) fn read_tenant(mut reader: Reader<'_>, tenant: &Tenant) -> Result<(), Malformed> {
    tenant.index.write().reserve_ids(reader.u32("next number")?);
    for _ in 0..reader.uvarint("number of metadata")? {
        let family = reader.text("family")?;
        let metric_type = MetricType::from_wire(reader.uvarint("metric type")?).unwrap_or_default();
        let help = reader.text("help")?.to_owned();
        let unit = reader.text("unit")?.to_owned();
        tenant.metadata.lock().set(family, Metadata { metric_type, help, unit });
    }
    let mut exemplars = tenant.exemplars.lock();
    for _ in 0..reader.uvarint("number of exemplars")? {
        let series = reader.u32("series of an exemplar")?;
        let timestamp_ms = reader.ivarint("time of an exemplar")?;
        let value = f64::from_bits(reader.fixed_u64("value of an exemplar")?);
        let labels = canonical::decode(reader.bytes("labels of an exemplar")?)?.into_iter().collect();
        exemplars.restore(Stored { series, exemplar: Exemplar { labels, value, timestamp_ms } });
    }
    Ok(())
}
