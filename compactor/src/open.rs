//! Blocks of the bucket, opened to be merged.

use std::sync::Arc;

use block::chunks::segment_name;
use block::merge::Input;
use block::tombstones::{self, MAX_TOMBSTONES_BYTES};
use block::{BlockError, ChunkReader, Meta, RangeRead, SeriesList, Tombstone};
use bucket::{BlockObject, TenantBucket};
use ulid::Ulid;

use crate::error::CompactError;

/// The files of a block in the bucket.
struct Files {
    meta: Meta,
    index: Arc<dyn RangeRead>,
    chunks: ChunkReader,
    tombstones: Vec<Tombstone>,
    bytes: u64,
}

/// A block that is about to be merged.
pub(crate) struct Opened {
    pub(crate) meta: Meta,
    pub(crate) input: Input,
    /// How long its files are together.
    pub(crate) bytes: u64,
}

/// Opens a block to be merged.
pub(crate) async fn input(bucket: &TenantBucket, id: Ulid) -> Result<Opened, CompactError> {
    let Files { meta, index, chunks, tombstones, bytes } = files(bucket, id).await?;
    let series = SeriesList::open(index, meta.index_version()).await;
    let series = series.map_err(|source| CompactError::of_block(id, source))?;
    Ok(Opened { meta, input: Input::new(series, chunks, &tombstones), bytes })
}

async fn files(bucket: &TenantBucket, id: Ulid) -> Result<Files, CompactError> {
    let meta = bucket.meta(id).await?;
    let listed = bucket.files(id).await?;
    let open = |file: &str| -> Option<Arc<dyn RangeRead>> {
        let (path, found) = listed.iter().find(|(path, _)| path == file)?;
        Some(Arc::new(BlockObject::with_length(
            bucket.bucket().clone(),
            found.name.clone(),
            path.clone(),
            found.bytes,
        )))
    };
    let missing = |file: &str| {
        let what = format!("the block has no file {file}");
        CompactError::Broken {
            block: id,
            source: BlockError::Malformed { file: file.to_owned(), offset: 0, what },
        }
    };
    let index = open("index").ok_or_else(|| missing("index"))?;
    let segments: Vec<_> = (0..).map_while(|segment| open(&segment_name(segment))).collect();
    if segments.is_empty() {
        return Err(missing(&segment_name(0)));
    }
    let chunks = ChunkReader::open(segments).await.map_err(|source| CompactError::of_block(id, source))?;
    let tombstones = match open(tombstones::FILE) {
        Some(file) if file.len() <= MAX_TOMBSTONES_BYTES => {
            let read = file.read(0..file.len()).await;
            let bytes = read.map_err(|source| CompactError::Unreadable {
                block: id,
                source: BlockError::Read { file: tombstones::FILE.to_owned(), source },
            })?;
            let parsed = tombstones::parse(tombstones::FILE, &bytes);
            parsed.map_err(|source| CompactError::of_block(id, source))?
        }
        Some(file) => {
            let what = format!("{} bytes are more than {MAX_TOMBSTONES_BYTES}", file.len());
            let source = BlockError::Malformed { file: tombstones::FILE.to_owned(), offset: 0, what };
            return Err(CompactError::Broken { block: id, source });
        }
        None if meta.must_have_tombstones() => return Err(missing(tombstones::FILE)),
        None => Vec::new(),
    };
    let bytes = listed.iter().map(|(_, file)| file.bytes).sum();
    Ok(Files { meta, index, chunks, tombstones, bytes })
}
