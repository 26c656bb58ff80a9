//! An index, read by ranges: what every look-up needs is held, postings and series are fetched.

use std::sync::Arc;

use bytes::Bytes;

use crate::bytes::Cut;
use crate::error::BlockError;
use crate::range_read::{RangeRead, read};

use super::entries::Entries;
use super::section::{CHECKSUM_BYTES, Section};
use super::series::{self, Series};
use super::symbols::Symbols;
use super::table::PostingsTable;
use super::toc::{HEADER_BYTES, TOC_BYTES, Toc, Version};

/// Series begin at multiples of this.
pub(super) const SERIES_ALIGNMENT: u64 = 16;

/// How much is read for a series whose length is not known.
const SERIES_GUESS_BYTES: u64 = 4 << 10;

/// Series that are at most this far apart are fetched together.
const MAX_GAP_BYTES: u64 = 16 << 10;

/// The most that is fetched at a time for several series.
const MAX_FETCH_BYTES: u64 = 1 << 20;

/// The reference of a series in its index: what lists of postings hold. A greater one means greater labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub(super) u32);

impl SeriesRef {
    /// As postings have it.
    pub fn as_u32(self) -> u32 {
        self.0
    }
}

/// The series of an index, to be walked over from the first to the last. Where postings are is not read, which is most of what
/// an index keeps in memory.
#[derive(Debug, Clone)]
pub struct SeriesList(Index);

impl SeriesList {
    /// Reads the table of contents and the symbols. The file is of `version`, where that is given, whatever it says itself;
    /// see [`crate::Meta::index_version`].
    ///
    /// # Errors
    /// As [`Index::open`].
    pub async fn open(file: Arc<dyn RangeRead>, version: Option<Version>) -> Result<Self, BlockError> {
        let (version, toc, symbols) = beginning(&*file, version).await?;
        Ok(Self(Index::of_parts(file, version, toc, symbols, PostingsTable::default())))
    }

    /// The symbols, and the entries of all series; the symbols are needed for a while only.
    pub(crate) fn into_parts(self) -> (Symbols, Entries) {
        let entries = self.0.entries();
        (self.0.symbols, entries)
    }
}

/// An index whose tables have been read.
#[derive(Clone)]
pub struct Index {
    file: Arc<dyn RangeRead>,
    version: Version,
    toc: Toc,
    symbols: Symbols,
    table: PostingsTable,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("file", &self.file.name()).field("version", &self.version).finish()
    }
}

impl Index {
    /// Reads what every look-up needs: the table of contents, the symbols, and where postings are. Their checksums are
    /// checked.
    ///
    /// # Errors
    /// Where the file cannot be read, or is no index.
    pub async fn open(file: Arc<dyn RangeRead>) -> Result<Self, BlockError> {
        Self::open_as(file, None).await
    }

    /// As [`Self::open`], of a file that is of `version`, whatever it says itself; see [`crate::Meta::index_version`].
    ///
    /// # Errors
    /// As there.
    pub async fn open_as(file: Arc<dyn RangeRead>, version: Option<Version>) -> Result<Self, BlockError> {
        let (version, toc, symbols) = beginning(&*file, version).await?;
        let table = match toc.postings_table {
            0 => {
                let toc_offset = file.len() - TOC_BYTES;
                return Err(BlockError::malformed(file.name(), toc_offset, "the index has no postings"));
            }
            at => {
                PostingsTable::read(file.name(), &Section::read(&*file, at, "postings offset table").await?)?
            }
        };
        Ok(Self::of_parts(file, version, toc, symbols, table))
    }

    pub(super) fn of_parts(
        file: Arc<dyn RangeRead>,
        version: Version,
        toc: Toc,
        symbols: Symbols,
        table: PostingsTable,
    ) -> Self {
        Self { file, version, toc, symbols, table }
    }

    pub(crate) fn symbols_table(&self) -> &Symbols {
        &self.symbols
    }

    /// About how many bytes of memory it takes.
    pub fn heap_bytes(&self) -> usize {
        self.symbols.heap_bytes() + self.table.heap_bytes()
    }

    pub(crate) fn file_name(&self) -> &str {
        self.file.name()
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Where its sections are.
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// How many symbols it has.
    pub fn symbol_count(&self) -> u32 {
        self.symbols.len()
    }

    /// All symbols, in order.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.symbols.iter()
    }

    /// The names of labels, sorted.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.table.names()
    }

    /// The values of a label, sorted.
    pub fn label_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.table.entries(name).map(|entry| entry.value)
    }

    /// The series with a label pair, ascending; none where there is no such pair. The empty name with the empty value is
    /// all series.
    ///
    /// # Errors
    /// Where the list cannot be read.
    pub async fn postings(&self, name: &str, value: &str) -> Result<Vec<SeriesRef>, BlockError> {
        let Some(entry) = self.table.find(name, value) else { return Ok(Vec::new()) };
        let section = Section::read(&*self.file, entry.offset, "postings").await?;
        let mut all = Vec::new();
        self.decode_postings(&section, &mut all)?;
        Ok(all)
    }

    /// Adds the series of a list to `all`.
    pub(super) fn decode_postings(
        &self,
        section: &Section,
        all: &mut Vec<SeriesRef>,
    ) -> Result<(), BlockError> {
        let mut cut = section.cut(self.file.name());
        let count = cut.u32("the number of postings")?;
        let bytes = cut.rest();
        if bytes.len() as u64 != u64::from(count) * 4 {
            let what = format!("{count} postings do not have {} bytes", bytes.len());
            return Err(cut.wrong(what));
        }
        all.reserve(count as usize);
        let mut last: Option<SeriesRef> = None;
        for (i, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
            let reference = SeriesRef(u32::from_be_bytes(*four));
            if last.is_some_and(|last| last >= reference) {
                let at = section.offset + 4 + 4 * i as u64;
                return Err(BlockError::malformed(
                    self.file.name(),
                    at,
                    "postings are not in ascending order",
                ));
            }
            all.push(reference);
            last = Some(reference);
        }
        Ok(())
    }

    pub(super) fn file(&self) -> &dyn RangeRead {
        &*self.file
    }

    pub(super) fn table(&self) -> &PostingsTable {
        &self.table
    }

    /// A series.
    ///
    /// # Errors
    /// Where it cannot be read, or none is there.
    pub async fn series(&self, reference: SeriesRef) -> Result<Series, BlockError> {
        let at = self.place(reference);
        let range = self.toc.series_range(self.file.len() - TOC_BYTES);
        if !range.contains(&at) {
            return Err(BlockError::malformed(self.file.name(), at, "no series is there"));
        }
        let bytes = read(&*self.file, at..range.end.min(at + SERIES_GUESS_BYTES)).await?;
        match self.decode_series(&bytes, at)? {
            Entry::Whole(series) => Ok(series),
            Entry::Needs(length) => {
                let bytes = read(&*self.file, at..at.saturating_add(length)).await?;
                match self.decode_series(&bytes, at)? {
                    Entry::Whole(series) => Ok(series),
                    Entry::Needs(_) => {
                        Err(BlockError::malformed(self.file.name(), at, "a series is cut off"))
                    }
                }
            }
        }
    }

    /// Several series, ascending: those near each other are fetched together.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub async fn series_of(&self, references: &[SeriesRef]) -> Result<Vec<Series>, BlockError> {
        let end = self.toc.series_range(self.file.len() - TOC_BYTES).end;
        let mut all = Vec::with_capacity(references.len());
        let mut rest = references;
        while let Some(first) = rest.first() {
            let begin = self.place(*first);
            let near = 1 + rest
                .windows(2)
                .take_while(|pair| {
                    let (this, next) = (self.place(pair[0]), self.place(pair[1]));
                    next.saturating_sub(this) <= MAX_GAP_BYTES
                        && next.saturating_sub(begin) <= MAX_FETCH_BYTES
                })
                .count();
            let (together, others) = rest.split_at(near);
            rest = others;
            let last = together.last().map_or(begin, |last| self.place(*last));
            if begin >= end || last >= end {
                return Err(BlockError::malformed(self.file.name(), last, "no series is there"));
            }
            let bytes = read(&*self.file, begin..end.min(last + SERIES_GUESS_BYTES)).await?;
            for reference in together {
                let at = self.place(*reference);
                let own = bytes.slice((at - begin) as usize..);
                match self.decode_series(&own, at)? {
                    Entry::Whole(series) => all.push(series),
                    Entry::Needs(_) => all.push(self.series(*reference).await?),
                }
            }
        }
        Ok(all)
    }

    /// Where a series begins, in bytes from the beginning of the file.
    pub(crate) fn place(&self, reference: SeriesRef) -> u64 {
        match self.version {
            Version::V1 => u64::from(reference.0),
            Version::V2 => u64::from(reference.0) * SERIES_ALIGNMENT,
        }
    }

    /// Reads the series at the front of `bytes`, which begin at `offset` of the file.
    fn decode_series(&self, bytes: &Bytes, offset: u64) -> Result<Entry, BlockError> {
        let mut cut = Cut::new(self.file.name(), bytes, offset);
        let length = cut.uvarint("the length of a series")?;
        let before = cut.offset() - offset;
        let needed = before.saturating_add(length).saturating_add(CHECKSUM_BYTES);
        let left = self.file.len() - offset;
        if needed > left {
            return Err(BlockError::malformed(
                self.file.name(),
                offset,
                format!("a series has {length} bytes, more than the rest of the file"),
            ));
        }
        if needed > bytes.len() as u64 {
            return Ok(Entry::Needs(needed));
        }
        let own = bytes.slice(before as usize..needed as usize);
        let section = Section::checked(self.file.name(), &own, offset + before, "series")?;
        Ok(Entry::Whole(series::read(section.cut(self.file.name()), &self.symbols)?))
    }

    /// All series, in the order of the file.
    pub fn scan(&self) -> SeriesScan<'_> {
        SeriesScan { symbols: &self.symbols, entries: self.entries() }
    }

    /// The entries of all series, in the order of the file.
    pub(crate) fn entries(&self) -> Entries {
        Entries::new(Arc::clone(&self.file), self.version, &self.toc)
    }
}

/// Reads what comes first: the version, where sections are, and the symbols.
async fn beginning(
    file: &dyn RangeRead,
    version: Option<Version>,
) -> Result<(Version, Toc, Symbols), BlockError> {
    let length = file.len();
    if length < HEADER_BYTES + TOC_BYTES {
        let what = format!("{length} bytes are too few for an index");
        return Err(BlockError::malformed(file.name(), 0, what));
    }
    let header = read(file, 0..HEADER_BYTES).await?;
    let said = Version::read(&mut Cut::new(file.name(), &header, 0))?;
    let version = version.unwrap_or(said);
    let toc_offset = length - TOC_BYTES;
    let toc = Toc::read(file.name(), &read(file, toc_offset..length).await?, toc_offset)?;
    let symbols = match toc.symbols {
        0 => return Err(BlockError::malformed(file.name(), toc_offset, "the index has no symbol table")),
        at => Symbols::read(file.name(), version, &Section::read(file, at, "symbol table").await?)?,
    };
    Ok((version, toc, symbols))
}

/// What the front of some bytes is.
enum Entry {
    /// A series.
    Whole(Series),
    /// A series of which this many bytes are needed.
    Needs(u64),
}

/// Walks over all series of an index, with a window of bounded size.
pub struct SeriesScan<'a> {
    symbols: &'a Symbols,
    entries: Entries,
}

impl SeriesScan<'_> {
    /// The next series, with its reference; `None` at the end.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn next(&mut self) -> Result<Option<(SeriesRef, Series)>, BlockError> {
        let Some(found) = self.entries.next().await? else { return Ok(None) };
        let series = series::read(self.entries.content(&found), self.symbols)?;
        Ok(Some((found.reference, series)))
    }
}
