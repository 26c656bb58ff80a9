//! Writing postings: the series section is read back, for a few names at a time, so that memory stays bounded.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::bytes::{Cut, Put};
use crate::error::BlockError;
use crate::output::Output;

use super::lookup::SymbolNumbers;
use super::reader::SERIES_ALIGNMENT;
use super::section::CHECKSUM_BYTES;
use super::table::Entry;
use super::writer::File;

/// How much of the series section is read back at a time.
const WINDOW_BYTES: u64 = 1 << 20;

/// Writes the lists of all label pairs, that of all series first; the content of the postings offset table is returned.
/// `names` says how many series have a label, by the number of its name.
pub(super) fn write<O: Output>(
    file: &mut File<O>,
    symbols: &SymbolNumbers,
    series: Range<u64>,
    names: &BTreeMap<u32, u64>,
    in_memory: usize,
) -> Result<Vec<u8>, BlockError> {
    let mut lists = Lists { table: vec![0; 4], count: 0 };
    let mut all = Vec::new();
    scan(file, &series, |reference, _| all.push(reference))?;
    lists.write(file, "", "", &all)?;
    drop(all);

    let mut rest: Vec<(u32, u64)> = names.iter().map(|(name, count)| (*name, *count)).collect();
    while !rest.is_empty() {
        let batch = batch(&mut rest, in_memory as u64);
        let (first, last) = (batch.start, batch.end);
        // By name and value, since numbers are in the order of the texts, and by series.
        let mut pairs: Vec<(u32, u32, u32)> = Vec::new();
        scan(file, &series, |reference, labels| {
            let own = labels.iter().filter(|(name, _)| (first..=last).contains(name));
            pairs.extend(own.map(|(name, value)| (*name, *value, reference)));
        })?;
        pairs.sort_unstable();
        for group in pairs.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let Some((name, value, _)) = group.first() else { continue };
            let references: Vec<u32> = group.iter().map(|(_, _, reference)| *reference).collect();
            lists.write(file, symbols.text(*name), symbols.text(*value), &references)?;
        }
    }
    lists.table[..4].copy_from_slice(&lists.count.to_be_bytes());
    Ok(lists.table)
}

/// Takes the next names off `rest`: at least one, and more while they have no more than `most` postings together. The
/// first and the last are returned.
fn batch(rest: &mut Vec<(u32, u64)>, most: u64) -> Range<u32> {
    let mut sum = 0;
    let fitting = rest.iter().take_while(|(_, count)| {
        sum += count;
        sum <= most
    });
    let taken = fitting.count().max(1);
    let names: Vec<u32> = rest.drain(..taken).map(|(name, _)| name).collect();
    let ends = (names.first(), names.last());
    ends.0.copied().unwrap_or_default()..ends.1.copied().unwrap_or_default()
}

struct Lists {
    table: Vec<u8>,
    count: u32,
}

impl Lists {
    fn write<O: Output>(
        &mut self,
        file: &mut File<O>,
        name: &str,
        value: &str,
        references: &[u32],
    ) -> Result<(), BlockError> {
        file.pad(4)?;
        Entry { name, value, offset: file.position() }.put(&mut self.table);
        self.count += 1;
        let count = u32::try_from(references.len())
            .map_err(|_| BlockError::unwritable("a block has more than 4 billion series"))?;
        let mut content = Vec::with_capacity(4 + 4 * references.len());
        content.put_u32(count);
        for reference in references {
            content.put_u32(*reference);
        }
        file.section(&content)
    }
}

/// Reads the series back, as they were written: their references, and the numbers of their labels.
fn scan<O: Output>(
    file: &mut File<O>,
    series: &Range<u64>,
    mut visit: impl FnMut(u32, &[(u32, u32)]),
) -> Result<(), BlockError> {
    let (mut at, mut window, mut window_at) = (series.start, Vec::new(), series.start);
    let mut labels = Vec::new();
    while at < series.end {
        let have = (window_at + window.len() as u64).saturating_sub(at);
        let bytes = window.get((at - window_at) as usize..).unwrap_or_default();
        let Some(length) = entry(bytes, &mut labels)? else {
            let wanted = (2 * have).max(WINDOW_BYTES);
            if at + have >= series.end {
                return Err(BlockError::malformed("index", at, "a series that was written is not there"));
            }
            window = file.read_back(at..series.end.min(at + wanted))?;
            window_at = at;
            continue;
        };
        visit((at / SERIES_ALIGNMENT) as u32, &labels);
        at = (at + length).next_multiple_of(SERIES_ALIGNMENT);
    }
    Ok(())
}

/// Reads the labels of the series at the front of `bytes`; its length, or `None` where it is not all there.
fn entry(bytes: &[u8], labels: &mut Vec<(u32, u32)>) -> Result<Option<u64>, BlockError> {
    let mut cut = Cut::new("index", bytes, 0);
    let Ok(length) = cut.uvarint("the length of a series") else { return Ok(None) };
    let whole = cut.offset() + length + CHECKSUM_BYTES;
    if whole > bytes.len() as u64 {
        return Ok(None);
    }
    labels.clear();
    for _ in 0..cut.uvarint("the number of labels")? {
        let mut number = || cut.uvarint("a symbol").map(|number| number as u32);
        labels.push((number()?, number()?));
    }
    Ok(Some(whole))
}
