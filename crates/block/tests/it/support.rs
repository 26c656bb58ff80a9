//! Blocks in folders and in memory.

use std::path::Path;
use std::sync::Arc;

use block::chunks::segment_name;
use block::{
    BlockError, Buffer, ChunkMeta, ChunkReader, ChunkWriter, Finished, InMemory, Index, IndexWriter, Meta,
    RangeRead, Verified, verify,
};
use chunk::{Encoding, XorAppender};
use model::{Labels, TimeRange};

/// A file of a folder, in memory.
pub(crate) fn file(folder: &Path, name: &str) -> Arc<dyn RangeRead> {
    let bytes = std::fs::read(folder.join(name)).expect("the file is there");
    Arc::new(InMemory::new(name, bytes))
}

/// A block of a folder.
pub(crate) struct Opened {
    pub(crate) meta: Meta,
    pub(crate) index: Index,
    pub(crate) chunks: ChunkReader,
}

impl Opened {
    pub(crate) async fn verify(&self) -> Result<Verified, BlockError> {
        verify(&self.index, &self.chunks).await
    }
}

/// The files of a block that has been written, without its `meta.json`.
pub(crate) fn copies(finished: &Finished) -> Vec<Arc<dyn RangeRead>> {
    finished.files.iter().map(|written| file(&finished.folder, &written.name)).collect()
}

pub(crate) fn meta(folder: &Path) -> Meta {
    let bytes = std::fs::read(folder.join("meta.json")).expect("the file is there");
    Meta::parse("meta.json", &bytes).expect("it is right")
}

/// Opens the block in `folder`.
pub(crate) async fn open(folder: &Path) -> Opened {
    let meta = meta(folder);
    let index = Index::open_as(file(folder, "index"), meta.index_version()).await.expect("an index");
    let segments = (0..).map(segment_name).take_while(|name| folder.join(name).exists());
    let segments = segments.map(|name| file(folder, &name)).collect();
    let chunks = ChunkReader::open(segments).await.expect("segments");
    Opened { meta, index, chunks }
}

/// A series with its samples, chunk by chunk.
pub(crate) type Data = Vec<(Labels, Vec<Vec<(i64, f64)>>)>;

/// The files of a block.
pub(crate) struct Files {
    pub(crate) index: Vec<u8>,
    pub(crate) segments: Vec<Vec<u8>>,
}

/// Writes a block; segments have about `segment_bytes`, and so many postings are in memory at a time.
pub(crate) fn write(data: &Data, segment_bytes: u64, postings_in_memory: usize) -> Files {
    let mut symbols: Vec<&str> = data.iter().flat_map(|(l, _)| l.iter()).flat_map(|(n, v)| [n, v]).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let mut index = IndexWriter::new(Buffer::new("index"), symbols, postings_in_memory).expect("symbols");
    let mut chunks = ChunkWriter::new(segment_bytes, |segment| Ok(Buffer::new(segment_name(segment))));
    for (labels, of_series) in data {
        let metas: Vec<ChunkMeta> = of_series
            .iter()
            .map(|samples| {
                let mut appender = XorAppender::new();
                for (at, value) in samples {
                    appender.append(*at, *value).expect("there is room");
                }
                let range =
                    TimeRange::new(samples[0].0, samples[samples.len() - 1].0).expect("samples are in order");
                let reference =
                    chunks.write(Encoding::Xor, appender.bytes()).expect("memory takes everything");
                ChunkMeta { range, reference }
            })
            .collect();
        index.add(labels, &metas).expect("series are in order");
    }
    let (index, _) = index.finish().expect("memory takes everything");
    let segments = chunks.finish().expect("memory takes everything").segments;
    Files { index: index.into_bytes(), segments: segments.into_iter().map(Buffer::into_bytes).collect() }
}

/// Opens what has been written.
pub(crate) async fn read(files: &Files) -> Result<(Index, ChunkReader), BlockError> {
    let index = Index::open(Arc::new(InMemory::new("index", files.index.clone()))).await?;
    let segments = files.segments.iter().zip(0..).map(|(bytes, segment)| {
        Arc::new(InMemory::new(segment_name(segment), bytes.clone())) as Arc<dyn RangeRead>
    });
    Ok((index, ChunkReader::open(segments.collect()).await?))
}
