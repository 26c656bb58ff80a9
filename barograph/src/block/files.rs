//! The files of a block in a folder.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use ::block::chunks::segment_name;
use ::block::{BlockError, ChunkReader, Index, Meta, RangeRead, Tombstone, tombstones};
use async_trait::async_trait;
use bytes::Bytes;
use env::{File, FileSystem, OpenOptions};

use super::{Failed, in_folder};

/// A local file, read where it is asked for.
struct LocalFile {
    name: String,
    file: Arc<dyn File>,
    length: u64,
}

#[async_trait]
impl RangeRead for LocalFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.length
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        env::read_exact_at(&*self.file, &mut bytes, range.start)?;
        Ok(bytes.into())
    }
}

/// A block whose files are open.
pub(super) struct Opened {
    pub(super) meta: Meta,
    pub(super) index: Index,
    pub(super) chunks: ChunkReader,
    /// `None` where there is no file of them.
    pub(super) tombstones: Option<Vec<Tombstone>>,
}

/// Opens the block in `folder`.
pub(super) async fn open(fs: &dyn FileSystem, folder: &Path) -> Result<Opened, Failed> {
    let wrong = in_folder(folder);
    let meta = meta(fs, folder)?;
    let index = Index::open_as(local_file(fs, folder, "index").map_err(&wrong)?, meta.index_version());
    let index = index.await.map_err(&wrong)?;
    let mut segments = Vec::new();
    for name in (0..).map(segment_name).take_while(|name| fs.exists(&folder.join(name))) {
        segments.push(local_file(fs, folder, &name).map_err(&wrong)?);
    }
    let chunks = ChunkReader::open(segments).await.map_err(&wrong)?;
    let tombstones = match fs.exists(&folder.join("tombstones")) {
        true => {
            let bytes = whole(fs, folder, "tombstones", tombstones::MAX_TOMBSTONES_BYTES)?;
            Some(tombstones::parse("tombstones", &bytes).map_err(&wrong)?)
        }
        false => None,
    };
    Ok(Opened { meta, index, chunks, tombstones })
}

/// Reads the `meta.json` of the block in `folder`.
pub(super) fn meta(fs: &dyn FileSystem, folder: &Path) -> Result<Meta, Failed> {
    let bytes = whole(fs, folder, "meta.json", ::block::meta::MAX_META_BYTES)?;
    Meta::parse("meta.json", &bytes).map_err(in_folder(folder))
}

fn whole(fs: &dyn FileSystem, folder: &Path, name: &str, limit: u64) -> Result<Vec<u8>, Failed> {
    let path = folder.join(name);
    env::read_file(fs, &path, limit).map_err(|error| Failed::Io { what: path.display().to_string(), error })
}

/// A file of the block in `folder`.
pub(super) fn local_file(
    fs: &dyn FileSystem,
    folder: &Path,
    name: &str,
) -> Result<Arc<dyn RangeRead>, BlockError> {
    let failed = |source| BlockError::Read { file: name.to_owned(), source };
    let file = fs.open(&folder.join(name), OpenOptions::READ).map_err(failed)?;
    let length = file.len().map_err(failed)?;
    Ok(Arc::new(LocalFile { name: name.to_owned(), file, length }))
}
