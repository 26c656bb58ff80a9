//! Writing postings: the series section is read back, for a few names at a time, so that memory stays bounded.

use std::ops::Range;

use crate::bytes::Cut;
use crate::error::BlockError;
use crate::output::Output;

use super::lookup::SymbolTable;
use super::reader::SERIES_ALIGNMENT;
use super::section::CHECKSUM_BYTES;
use super::table::Entry;
use super::writer::File;

/// How much of the series section is read back at a time.
const WINDOW_BYTES: u64 = 256 << 10;

/// Writes the lists of label pairs.
pub(super) struct Lists<'a, O> {
    file: &'a mut File<O>,
    symbols: &'a SymbolTable,
    /// All series.
    all: Vec<u32>,
    /// The content of the postings offset table.
    table: Vec<u8>,
    count: u32,
}

/// The values of a name, by their symbols.
enum Values {
    /// Of all series.
    OfAll(Vec<u32>),
    /// Of some, with these.
    OfSome(Vec<(u32, u32)>),
}

impl<'a, O: Output> Lists<'a, O> {
    pub(super) fn new(file: &'a mut File<O>, symbols: &'a SymbolTable, all: Vec<u32>) -> Self {
        Self { file, symbols, all, table: vec![0; 4], count: 0 }
    }

    /// Writes the list of all series, and those of all label pairs. `names` says how many series have a label, by the symbol of
    /// its name, ascending; so many postings are in memory at a time, or those of one name. The content of the postings offset
    /// table is returned.
    pub(super) fn write(
        mut self,
        series: Range<u64>,
        names: &[(u32, u64)],
        in_memory: usize,
    ) -> Result<Vec<u8>, BlockError> {
        let all = std::mem::take(&mut self.all);
        self.list("", "", &all)?;
        let symbols = self.symbols;
        let mut groups = Groups::new(symbols.len());
        let mut rest = names;
        while !rest.is_empty() {
            let (batch, others) = rest.split_at(fitting(rest, all.len() as u64, in_memory as u64));
            rest = others;
            for ((name, _), values) in batch.iter().zip(self.values(&series, batch, all.len())?) {
                match values {
                    Values::OfAll(values) => groups.sort(values.iter().copied().zip(all.iter().copied())),
                    Values::OfSome(values) => groups.sort(values.iter().copied()),
                }
                for (value, references) in groups.iter() {
                    self.list(symbols.text(*name), symbols.text(value), references)?;
                }
            }
        }
        self.table[..4].copy_from_slice(&self.count.to_be_bytes());
        Ok(self.table)
    }

    /// The values of some names, in the order of series.
    fn values(
        &mut self,
        series: &Range<u64>,
        names: &[(u32, u64)],
        all: usize,
    ) -> Result<Vec<Values>, BlockError> {
        let room = |(_, count): &(u32, u64)| match *count == all as u64 {
            true => Values::OfAll(Vec::with_capacity(all)),
            false => Values::OfSome(Vec::with_capacity(*count as usize)),
        };
        let mut values: Vec<Values> = names.iter().map(room).collect();
        let (first, last) = (names.first().map(|(name, _)| *name), names.last().map(|(name, _)| *name));
        scan(self.file, series, |reference, count, mut labels| {
            let mut likely = 0;
            for _ in 0..count {
                let name = labels.uvarint("the symbol of a name")? as u32;
                let value = labels.uvarint("the symbol of a value")? as u32;
                if Some(name) < first {
                    continue;
                }
                if Some(name) > last {
                    break;
                }
                let at = place(names, name, likely);
                match values.get_mut(at) {
                    Some(Values::OfAll(values)) => values.push(value),
                    Some(Values::OfSome(values)) => values.push((value, reference)),
                    None => {}
                }
                likely = at + 1;
            }
            Ok(())
        })?;
        Ok(values)
    }

    fn list(&mut self, name: &str, value: &str, references: &[u32]) -> Result<(), BlockError> {
        self.file.pad(4)?;
        Entry { name, value, offset: self.file.position() }.put(&mut self.table);
        self.count += 1;
        self.file.numbers(references)
    }
}

/// How many of the next names are taken together: at least one, and more while they have no more than `most` postings. Of
/// names that all series have, values alone are held, which take half of the memory.
fn fitting(names: &[(u32, u64)], all: u64, most: u64) -> usize {
    let mut sum = 0;
    let fitting = names.iter().take_while(|(_, count)| {
        sum += if *count == all { count.div_ceil(2) } else { *count };
        sum <= most
    });
    fitting.count().max(1)
}

/// Where a name is among others, looked for at its likely place first; behind all where it is not.
fn place(names: &[(u32, u64)], name: u32, likely: usize) -> usize {
    if names.get(likely).is_some_and(|(known, _)| *known == name) {
        return likely;
    }
    names.binary_search_by_key(&name, |(known, _)| *known).unwrap_or(names.len())
}

/// The series of a name, grouped by values in the order of their symbols.
struct Groups {
    /// By the symbol of a value: how many series have it, and then where the next of them goes. All 0 in between.
    ends: Vec<u32>,
    /// The values that there are, ascending, and where their series end.
    values: Vec<(u32, u32)>,
    references: Vec<u32>,
}

impl Groups {
    fn new(symbols: usize) -> Self {
        Self { ends: vec![0; symbols], values: Vec::new(), references: Vec::new() }
    }

    /// Sorts by counting: series of one value stay in their order.
    fn sort(&mut self, list: impl ExactSizeIterator<Item = (u32, u32)> + Clone) {
        self.values.clear();
        for (value, _) in list.clone() {
            let Some(count) = self.ends.get_mut(value as usize) else { continue };
            if *count == 0 {
                self.values.push((value, 0));
            }
            *count += 1;
        }
        self.values.sort_unstable();
        let mut start = 0;
        for (value, end) in &mut self.values {
            let next = &mut self.ends[*value as usize];
            (start, *next) = (start + *next, start);
            *end = start;
        }
        self.references.clear();
        self.references.resize(start as usize, 0);
        for (value, reference) in list {
            let Some(next) = self.ends.get_mut(value as usize) else { continue };
            self.references[*next as usize] = reference;
            *next += 1;
        }
        for (value, _) in &self.values {
            self.ends[*value as usize] = 0;
        }
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &[u32])> {
        let mut start = 0;
        self.values.iter().map(move |(value, end)| {
            let own = &self.references[start..*end as usize];
            start = *end as usize;
            (*value, own)
        })
    }
}

/// Reads the series back, as they were written: their references, how many labels they have, and these.
fn scan<O: Output>(
    file: &mut File<O>,
    series: &Range<u64>,
    mut visit: impl FnMut(u32, u64, Cut<'_>) -> Result<(), BlockError>,
) -> Result<(), BlockError> {
    let (mut at, mut window, mut window_at) = (series.start, Vec::new(), series.start);
    while at < series.end {
        let have = (window_at + window.len() as u64).saturating_sub(at);
        let bytes = window.get((at - window_at) as usize..).unwrap_or_default();
        let Some((entry, length)) = entry(bytes) else {
            let wanted = (2 * have).max(WINDOW_BYTES);
            if at + have >= series.end {
                return Err(BlockError::malformed("index", at, "a series that was written is not there"));
            }
            // Two of them would be there for a moment.
            drop(window);
            window = file.read_back(at..series.end.min(at + wanted))?;
            window_at = at;
            continue;
        };
        let mut labels = entry;
        let count = labels.uvarint("the number of labels")?;
        visit((at / SERIES_ALIGNMENT) as u32, count, labels)?;
        at = (at + length).next_multiple_of(SERIES_ALIGNMENT);
    }
    Ok(())
}

/// The content of the series at the front of `bytes`, and how long it is in all; `None` where it is not all there.
fn entry(bytes: &[u8]) -> Option<(Cut<'_>, u64)> {
    let mut cut = Cut::new("index", bytes, 0);
    let length = cut.uvarint("the length of a series").ok()?;
    let whole = cut.offset() + length + CHECKSUM_BYTES;
    (whole <= bytes.len() as u64).then_some((cut, whole))
}
