//! A series of an index: its labels, and where its chunks are.

use model::{Labels, TimeRange};

use crate::bytes::{Cut, Put};
use crate::error::BlockError;

use super::symbols::Symbols;

/// Where a chunk is: the segment file and the offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef(u64);

impl ChunkRef {
    /// The chunk at `offset` of the segment with this position, the first being 0.
    pub fn new(segment: u32, offset: u32) -> Self {
        Self(u64::from(segment) << 32 | u64::from(offset))
    }

    /// As the index has it.
    pub fn from_u64(reference: u64) -> Self {
        Self(reference)
    }

    /// As the index has it.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The position of its segment: 0 is the file `000001`.
    pub fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Where it begins in its segment, in bytes.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// What the index knows of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// From its first to its last sample.
    pub range: TimeRange,
    /// Where it is.
    pub reference: ChunkRef,
}

/// A series of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Its chunks, one behind the other in time.
    pub chunks: Vec<ChunkMeta>,
}

/// Reads the content of a series' entry.
pub(super) fn read(cut: Cut<'_>, symbols: &Symbols) -> Result<Series, BlockError> {
    let mut cut = cut;
    let labels = labels(&mut cut, symbols)?;
    let chunks = chunks(&mut cut)?;
    match cut.is_empty() {
        true => Ok(Series { labels, chunks }),
        false => Err(cut.wrong(format!("there is more in series {labels} than its labels and chunks"))),
    }
}

/// Reads the labels of a series as numbers, names and values in turn, which `number` gives for what the series refers to. Names
/// ascend.
pub(crate) fn read_labels(
    cut: &mut Cut<'_>,
    number: impl Fn(u64) -> Option<u32>,
    out: &mut Vec<u32>,
) -> Result<(), BlockError> {
    let count = bounded(cut, "the number of labels", 2)?;
    let mut last = None;
    for _ in 0..count {
        let at = cut.clone();
        let (name, value) = (cut.uvarint("the symbol of a name")?, cut.uvarint("the symbol of a value")?);
        let (Some(name), Some(value)) = (number(name), number(value)) else {
            let unknown = if number(name).is_none() { name } else { value };
            return Err(at.wrong(format!("there is no symbol {unknown}")));
        };
        if last.is_some_and(|last| last >= name) {
            return Err(at.wrong("the labels of a series are not in order"));
        }
        last = Some(name);
        out.extend([name, value]);
    }
    Ok(())
}

/// Reads the chunks of a series, which end its entry.
pub(crate) fn read_chunks(cut: &mut Cut<'_>, out: &mut Vec<ChunkMeta>) -> Result<(), BlockError> {
    chunks_into(cut, out)?;
    match cut.is_empty() {
        true => Ok(()),
        false => Err(cut.wrong("there is more in a series than its labels and chunks")),
    }
}

fn labels(cut: &mut Cut<'_>, symbols: &Symbols) -> Result<Labels, BlockError> {
    let count = bounded(cut, "the number of labels", 2)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let at = cut.clone();
        let name = symbols.get(cut.uvarint("the symbol of a name")?)?;
        let value = symbols.get(cut.uvarint("the symbol of a value")?)?;
        if pairs.last().is_some_and(|(last, _)| *last >= name) {
            return Err(at.wrong(format!("label {name:?} of a series is not behind the one before in order")));
        }
        pairs.push((name, value));
    }
    Ok(Labels::from_sorted(pairs))
}

fn chunks(cut: &mut Cut<'_>) -> Result<Vec<ChunkMeta>, BlockError> {
    let mut chunks = Vec::new();
    chunks_into(cut, &mut chunks)?;
    Ok(chunks)
}

fn chunks_into(cut: &mut Cut<'_>, chunks: &mut Vec<ChunkMeta>) -> Result<(), BlockError> {
    let count = bounded(cut, "the number of chunks", 3)?;
    chunks.reserve(count);
    let mut last: Option<ChunkMeta> = None;
    for _ in 0..count {
        let at = cut.clone();
        let start = match last {
            None => cut.varint("the first time of a chunk")?,
            // What is out of order wraps around.
            Some(last) => {
                last.range.end_ms().wrapping_add_unsigned(cut.uvarint("the first time of a chunk")?)
            }
        };
        let end = start.wrapping_add_unsigned(cut.uvarint("the last time of a chunk")?);
        let Some(range) = TimeRange::new(start, end) else {
            return Err(at.wrong(format!("a chunk ends at {end}, before it begins at {start}")));
        };
        if let Some(last) = last.filter(|last| start <= last.range.end_ms()) {
            let before = last.range.end_ms();
            return Err(at.wrong(format!(
                "chunks are out of order: one begins at {start}, but the one before ends at {before}"
            )));
        }
        let reference = match last {
            None => cut.uvarint("the reference of a chunk")?,
            Some(last) => {
                last.reference.as_u64().wrapping_add_signed(cut.varint("the reference of a chunk")?)
            }
        };
        let chunk = ChunkMeta { range, reference: ChunkRef::from_u64(reference) };
        chunks.push(chunk);
        last = Some(chunk);
    }
    Ok(())
}

/// A count of things of at least `least` bytes each, of which there cannot be more than there are bytes.
fn bounded(cut: &mut Cut<'_>, what: &str, least: usize) -> Result<usize, BlockError> {
    let at = cut.clone();
    let count = cut.uvarint(what)?;
    let most = cut.rest().len() / least;
    match usize::try_from(count) {
        Ok(count) if count <= most => Ok(count),
        _ => Err(at.wrong(format!("{what} is {count}, but there is room for {most} at most"))),
    }
}

/// Appends the labels of a series, as numbers of symbols, names and values in turn.
pub(crate) fn put_labels(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u32>) {
    out.put_uvarint(numbers.len() as u64 / 2);
    for number in numbers {
        out.put_uvarint(u64::from(number));
    }
}

/// Appends the chunks of a series.
pub(crate) fn put_chunks(out: &mut Vec<u8>, chunks: &[ChunkMeta]) {
    out.put_uvarint(chunks.len() as u64);
    let mut last: Option<ChunkMeta> = None;
    for chunk in chunks {
        let (start, end) = (chunk.range.start_ms(), chunk.range.end_ms());
        match last {
            None => out.put_varint(start),
            Some(last) => out.put_uvarint(start.wrapping_sub(last.range.end_ms()) as u64),
        }
        out.put_uvarint(end.wrapping_sub(start) as u64);
        let reference = chunk.reference.as_u64();
        match last {
            None => out.put_uvarint(reference),
            Some(last) => out.put_varint(reference.wrapping_sub(last.reference.as_u64()) as i64),
        }
        last = Some(*chunk);
    }
}
