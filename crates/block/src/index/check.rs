//! An index that was written here, looked at as a whole in bounded memory: its order, and that the lists of postings have the
//! series of each label pair and no others.

use std::ops::Range;

use bytes::Bytes;
use model::TimeRange;
use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::Cut;
use crate::error::BlockError;
use crate::range_read::{RangeRead, read};

use super::reader::Index;
use super::section::{CHECKSUM_BYTES, LENGTH_BYTES, Section};
use super::series::{self, ChunkRef};

/// How much is read at least.
const WINDOW_BYTES: u64 = 1 << 20;

/// What an index has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) series: u64,
    pub(crate) chunks: Sequence,
    /// From the first to the last sample.
    pub(crate) range: Option<TimeRange>,
}

/// References of chunks in their order, of which as much is remembered as tells two sequences apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) count: u64,
    hash: u64,
}

impl Sequence {
    pub(crate) fn push(&mut self, reference: ChunkRef) {
        self.count += 1;
        self.hash = mixed(self.hash.rotate_left(5) ^ reference.as_u64());
    }
}

/// Label pairs of series in any order, of which as much is remembered as tells two sets apart: the sum of a hash of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Pairs {
    count: u64,
    sum: u64,
}

impl Pairs {
    #[inline]
    fn add(&mut self, pair: u64, series: u32) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(mixed(pair ^ u64::from(series).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    }
}

/// Of the hashes of name and value.
#[inline]
fn pair(name: u64, value: u64) -> u64 {
    mixed(name.rotate_left(32) ^ value)
}

/// Spreads the bits of a number over all of it.
#[inline]
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    number ^ number >> 32
}

impl Index {
    /// Looks at all of it.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub(crate) async fn check(&self) -> Result<Contents, BlockError> {
        let hashes: Vec<u64> = self.symbols().map(|symbol| xxh3_64(symbol.as_bytes())).collect();
        let (mut contents, mut of_series) = (Contents::default(), Pairs::default());
        let (mut labels, mut last, mut chunks) = (Vec::new(), Vec::new(), Vec::new());
        let of_all = pair(xxh3_64(b""), xxh3_64(b""));
        let mut entries = self.entries();
        while let Some(found) = entries.next().await? {
            let mut content = entries.content(&found);
            std::mem::swap(&mut labels, &mut last);
            labels.clear();
            let symbol = |number| u32::try_from(number).ok().filter(|own| (*own as usize) < hashes.len());
            series::read_labels(&mut content, symbol, &mut labels)?;
            // Symbols are in the order of their texts.
            if contents.series > 0 && last >= labels {
                return Err(entries.wrong(&found, "a series is not behind the one before in order"));
            }
            chunks.clear();
            series::read_chunks(&mut content, &mut chunks)?;
            let (Some(begin), Some(end)) = (chunks.first(), chunks.last()) else {
                return Err(entries.wrong(&found, "a series has no chunks"));
            };
            let range = begin.range.hull(end.range);
            contents.range = Some(contents.range.map_or(range, |all| all.hull(range)));
            chunks.iter().for_each(|chunk| contents.chunks.push(chunk.reference));
            let reference = found.reference.as_u32();
            of_series.add(of_all, reference);
            for [name, value] in labels.as_chunks::<2>().0 {
                of_series.add(pair(hashes[*name as usize], hashes[*value as usize]), reference);
            }
            contents.series += 1;
        }
        let listed = self.listed().await?;
        if listed == of_series {
            return Ok(contents);
        }
        let what = format!(
            "the lists of postings have others than the {} labels of series; {} are listed",
            of_series.count, listed.count
        );
        Err(BlockError::malformed(self.file_name(), self.toc().postings_table, what))
    }

    /// What the lists of postings have.
    async fn listed(&self) -> Result<Pairs, BlockError> {
        let mut listed = Pairs::default();
        let mut window = Window { file: self.file(), start: 0, bytes: Bytes::new() };
        let mut all = Vec::new();
        for entry in self.table().all() {
            let section = window.section(entry.offset).await?;
            all.clear();
            self.decode_postings(&section, &mut all)?;
            if all.is_empty() {
                let what = format!("no series is listed as {}={:?}", entry.name, entry.value);
                return Err(BlockError::malformed(self.file_name(), entry.offset, what));
            }
            let pair = pair(xxh3_64(entry.name.as_bytes()), xxh3_64(entry.value.as_bytes()));
            all.iter().for_each(|series| listed.add(pair, series.as_u32()));
        }
        Ok(listed)
    }
}

/// A part of a file that is read from its front to its end.
struct Window<'a> {
    file: &'a dyn RangeRead,
    start: u64,
    bytes: Bytes,
}

impl Window<'_> {
    /// The section that begins at `offset`, with its checksum checked.
    async fn section(&mut self, offset: u64) -> Result<Section, BlockError> {
        let begin = offset.saturating_add(LENGTH_BYTES);
        let length = self.get(offset..begin).await?;
        let length = u64::from(Cut::new(self.file.name(), &length, offset).u32("the length of a section")?);
        let bytes = self.get(begin..begin.saturating_add(length + CHECKSUM_BYTES)).await?;
        Section::checked(self.file.name(), &bytes, begin, "postings")
    }

    async fn get(&mut self, range: Range<u64>) -> Result<Bytes, BlockError> {
        let end = self.start + self.bytes.len() as u64;
        if range.start < self.start || range.end > end {
            let ahead = self.file.len().min(range.start.saturating_add(WINDOW_BYTES));
            self.bytes = read(self.file, range.start..range.end.max(ahead)).await?;
            self.start = range.start;
        }
        Ok(self.bytes.slice((range.start - self.start) as usize..(range.end - self.start) as usize))
    }
}
