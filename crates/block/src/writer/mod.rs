//! A whole block, written into a folder: series in label order, each with its chunks.

mod folder;
mod spool;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chunk::Encoding;
use env::FileSystem;
use model::{Labels, TimeRange};
use ulid::Ulid;

pub use folder::remove_unfinished;

use crate::chunks::{ChunkWriter, MAX_SEGMENT_BYTES, segment_name};
use crate::error::BlockError;
use crate::index::{ChunkMeta, ChunkRef, IndexWriter};
use crate::merge::{MergedChunk, MergedSymbols, SeriesLabels};
use crate::meta::{BlockFile, Compaction, Meta, Stats, Thanos};
use crate::output::Output as _;

use folder::{Folder, FolderFile};
use spool::Spool;

/// The file that series wait in until all symbols are known.
const SPOOL: &str = "series.tmp";

/// How a block is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// How large segments of chunks become, in bytes.
    pub max_segment_bytes: u64,
    /// How many postings are held in memory at a time, 8 bytes each at most.
    pub postings_in_memory: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        let postings_in_memory = IndexWriter::<FolderFile>::POSTINGS_IN_MEMORY;
        Self { max_segment_bytes: MAX_SEGMENT_BYTES, postings_in_memory }
    }
}

/// A chunk on its way into a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewChunk<'a> {
    /// From its first to its last sample.
    pub range: TimeRange,
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// The chunk, without encoding byte and checksum.
    pub data: &'a [u8],
}

/// What `meta.json` says that does not follow from series and chunks.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The first time that may be in the block, in milliseconds since the Unix epoch; `None`: that of its first sample.
    pub min_time: Option<i64>,
    /// The first time that is behind it, likewise; `None`: a millisecond after its last sample.
    pub max_time: Option<i64>,
    /// How it came about.
    pub compaction: Compaction,
    /// The section of Thanos and its relatives; the list of files is put there.
    pub thanos: Option<Thanos>,
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Its name inside of the block's folder, such as `chunks/000001`.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The CRC-32C of what was to be in it, taken in memory before it was written.
    pub crc32c: u32,
}

/// A block that has been written.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Where it is.
    pub folder: PathBuf,
    /// Its `meta.json`.
    pub meta: Meta,
    /// Its other files: segments in order, then the index.
    pub files: Vec<WrittenFile>,
}

type Open = Box<dyn FnMut(u32) -> Result<FolderFile, BlockError> + Send>;

/// Writes a block. Memory holds its symbols and a bounded rest, whatever its size. What the folder holds follows from
/// what was added, byte for byte. Calls block.
pub struct BlockWriter {
    ulid: Ulid,
    folder: Folder,
    chunks: ChunkWriter<FolderFile, Open>,
    spool: Spool<FolderFile>,
    options: WriteOptions,
    stats: Stats,
    range: Option<TimeRange>,
    last: Option<Labels>,
    /// Of the series being written.
    metas: Vec<ChunkMeta>,
}

impl BlockWriter {
    /// Begins the block `<parent>/<ulid>`. Until it is finished, its folder has another name, which upstream's tools
    /// pass over; one that was left unfinished is replaced.
    ///
    /// # Errors
    /// Where the block is there already, or the folder cannot be made.
    pub fn create(
        fs: Arc<dyn FileSystem>,
        parent: &Path,
        ulid: Ulid,
        options: WriteOptions,
    ) -> Result<Self, BlockError> {
        let folder = Folder::create(fs, parent, ulid)?;
        let spool = Spool::new(folder.file(SPOOL)?);
        Ok(Self::of_parts(ulid, folder, spool, options))
    }

    /// Begins the block `<parent>/<ulid>` of series that are merged, whose names and values are `symbols`.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_merged(
        fs: Arc<dyn FileSystem>,
        parent: &Path,
        ulid: Ulid,
        options: WriteOptions,
        symbols: &Arc<MergedSymbols>,
    ) -> Result<Self, BlockError> {
        let folder = Folder::create(fs, parent, ulid)?;
        let spool = Spool::of_symbols(folder.file(SPOOL)?, symbols);
        Ok(Self::of_parts(ulid, folder, spool, options))
    }

    fn of_parts(ulid: Ulid, folder: Folder, spool: Spool<FolderFile>, options: WriteOptions) -> Self {
        let of_segments = folder.clone();
        let open: Open = Box::new(move |segment| of_segments.file(&segment_name(segment)));
        Self {
            ulid,
            chunks: ChunkWriter::new(options.max_segment_bytes, open),
            spool,
            folder,
            options,
            stats: Stats::default(),
            range: None,
            last: None,
            metas: Vec::new(),
        }
    }

    /// Adds a series, whose labels are greater than those before, with its chunks, one behind the other in time. A series
    /// without chunks is left out.
    ///
    /// # Errors
    /// Where they are out of order, a chunk has no samples, or they cannot be written.
    pub fn add<'a>(
        &mut self,
        labels: &Labels,
        chunks: impl IntoIterator<Item = NewChunk<'a>>,
    ) -> Result<(), BlockError> {
        if self.last.as_ref().is_some_and(|last| last >= labels) {
            let what = format!("series {labels} is not behind the one before in order");
            return Err(BlockError::unwritable(what));
        }
        self.metas.clear();
        for chunk in chunks {
            let last = self.metas.last();
            if last.is_some_and(|last: &ChunkMeta| last.range.end_ms() >= chunk.range.start_ms()) {
                let what = format!("the chunks of series {labels} are out of order or overlap");
                return Err(BlockError::unwritable(what));
            }
            let reference = self.write(labels, &chunk)?;
            self.metas.push(ChunkMeta { range: chunk.range, reference });
        }
        if self.metas.is_empty() {
            return Ok(());
        }
        self.stats.num_series += 1;
        self.spool.add(labels, &self.metas)?;
        self.last = Some(labels.clone());
        Ok(())
    }

    /// Adds a merged series with its chunks, which have been looked into and have the samples that `counted` says.
    pub(crate) fn add_merged(
        &mut self,
        labels: SeriesLabels<'_>,
        chunks: &[MergedChunk<'_>],
        counted: Stats,
    ) -> Result<(), BlockError> {
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(()) };
        self.metas.clear();
        for chunk in chunks {
            let reference = chunk.write_to(&mut self.chunks)?;
            self.metas.push(ChunkMeta { range: chunk.range(), reference });
        }
        let range = first.range().hull(last.range());
        self.range = Some(self.range.map_or(range, |own| own.hull(range)));
        self.stats.num_series += 1;
        self.stats.num_chunks += chunks.len() as u64;
        self.stats.num_samples += counted.num_samples;
        self.stats.num_float_samples += counted.num_float_samples;
        self.stats.num_histogram_samples += counted.num_histogram_samples;
        self.spool.add_numbers(labels.numbers(), &self.metas)
    }

    fn write(&mut self, labels: &Labels, chunk: &NewChunk<'_>) -> Result<ChunkRef, BlockError> {
        let unreadable =
            |error| BlockError::unwritable(format!("a chunk of series {labels} cannot be read: {error}"));
        let samples = u64::from(chunk::cursor(chunk.encoding, chunk.data).map_err(unreadable)?.num_samples());
        if samples == 0 {
            return Err(BlockError::unwritable(format!("a chunk of series {labels} has no samples")));
        }
        self.stats.num_samples += samples;
        match chunk.encoding {
            Encoding::Xor | Encoding::Xor2 => self.stats.num_float_samples += samples,
            _ => self.stats.num_histogram_samples += samples,
        }
        self.stats.num_chunks += 1;
        self.range = Some(self.range.map_or(chunk.range, |range| range.hull(chunk.range)));
        self.chunks.write(chunk.encoding, chunk.data)
    }

    /// How much has been added.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// From the first to the last sample that has been added.
    pub fn range(&self) -> Option<TimeRange> {
        self.range
    }

    /// Ends the block: everything is written, made durable, and only then the folder gets its name. Its path and its
    /// `meta.json` are given.
    ///
    /// # Errors
    /// Where no series were added, samples lie outside of the times in `description`, or it cannot be written. The
    /// folder is left unfinished then.
    pub fn finish(self, description: Description) -> Result<(PathBuf, Meta), BlockError> {
        self.finish_listed(description).map(|finished| (finished.folder, finished.meta))
    }

    /// As [`Self::finish`], with what has to be in its files.
    ///
    /// # Errors
    /// As there.
    pub fn finish_listed(self, description: Description) -> Result<Finished, BlockError> {
        let Self { ulid, folder, chunks, spool, options, stats, range, .. } = self;
        let range = range.ok_or_else(|| BlockError::unwritable("a block has one sample at least"))?;
        let meta = describe(ulid, description, stats, range)?;
        let mut written = Vec::new();
        for segment in chunks.finish()?.segments {
            segment.sync()?;
            written.push(WrittenFile::of(&segment));
        }
        folder.remove(spool.output())?;
        let (_, index) = spool.drain(folder.file("index")?, options.postings_in_memory)?;
        index.sync()?;
        written.push(WrittenFile::of(&index));
        let listed =
            |file: &WrittenFile| BlockFile { rel_path: file.name.clone(), size_bytes: Some(file.bytes) };
        let mut files: Vec<BlockFile> = written.iter().map(listed).collect();
        files.push(BlockFile { rel_path: "meta.json".to_owned(), size_bytes: None });
        let thanos = meta.thanos.map(|thanos| thanos.with_files(&files));
        let meta = Meta { thanos, ..meta };
        let mut file = folder.file("meta.json")?;
        let encoded = file.append(&meta.encode());
        encoded.map_err(|source| BlockError::Write { file: file.name().to_owned(), source })?;
        file.sync()?;
        Ok(Finished { folder: folder.finish()?, meta, files: written })
    }

    /// Gives the block up: what has been written of it is removed.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn discard(self) -> Result<(), BlockError> {
        self.folder.discard()
    }
}

impl WrittenFile {
    fn of(file: &FolderFile) -> Self {
        Self { name: file.name().to_owned(), bytes: file.length(), crc32c: file.crc32c() }
    }
}

fn describe(ulid: Ulid, said: Description, stats: Stats, range: TimeRange) -> Result<Meta, BlockError> {
    let min_time = said.min_time.unwrap_or(range.start_ms());
    let max_time = said.max_time.unwrap_or(range.end_ms().saturating_add(1));
    if min_time > range.start_ms() || max_time <= range.end_ms() {
        return Err(BlockError::unwritable(format!(
            "a block from {min_time} to before {max_time} cannot have samples from {} to {}",
            range.start_ms(),
            range.end_ms()
        )));
    }
    Ok(Meta {
        ulid,
        min_time,
        max_time,
        stats,
        compaction: said.compaction,
        version: Meta::VERSION,
        thanos: said.thanos,
        others: Default::default(),
    })
}
