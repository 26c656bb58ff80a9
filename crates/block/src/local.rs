//! Files of blocks on this disk.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use env::{File, FileSystem, OpenOptions, Scope};
use futures::FutureExt as _;

use crate::chunks::ChunkReader;
use crate::error::BlockError;
use crate::index::{Index, Version};
use crate::range_read::RangeRead;
use crate::verify::{Verified, verify};

/// So much is read at a time for a checksum.
const PIECE_BYTES: u64 = 1 << 20;

/// A file of a block, read away from the threads that serve I/O.
pub struct LocalFile {
    name: String,
    file: Arc<dyn File>,
    bytes: u64,
    scope: Scope,
}

impl LocalFile {
    /// The file `name` of the block in `folder`. Blocks.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(fs: &dyn FileSystem, folder: &Path, name: &str, scope: &Scope) -> io::Result<Self> {
        let file = fs.open(&folder.join(name), OpenOptions::READ)?;
        let bytes = file.len()?;
        Ok(Self { name: name.to_owned(), file, bytes, scope: scope.clone() })
    }

    /// The CRC-32C of all of it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn checksum(&self) -> io::Result<u32> {
        let (mut crc, mut offset) = (0, 0);
        while offset < self.bytes {
            let end = (offset + PIECE_BYTES).min(self.bytes);
            crc = crc32c::crc32c_append(crc, &self.read(offset..end).await?);
            offset = end;
        }
        Ok(crc)
    }
}

#[async_trait]
impl RangeRead for LocalFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (file, bytes) = (self.file.clone(), self.bytes);
        let read = move || read_range(&*file, bytes, &range);
        self.scope.run_blocking(read).await.map_err(io::Error::other)?
    }
}

/// The files of a block that are uploaded before its `meta.json`: segments, then the index. Blocks.
///
/// # Errors
/// Where the folder cannot be read.
pub fn data_files(fs: &dyn FileSystem, folder: &Path) -> io::Result<Vec<String>> {
    let segments = fs.read_dir(&folder.join("chunks"))?;
    let segments = segments.into_iter().map(|entry| format!("chunks/{}", entry.name));
    Ok(segments.chain(["index".to_owned()]).collect())
}

/// A file that is read in place, by threads that may block.
struct InPlace {
    name: String,
    file: Arc<dyn File>,
    bytes: u64,
}

#[async_trait]
impl RangeRead for InPlace {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes
    }

    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        read_range(&*self.file, self.bytes, &range)
    }
}

/// A range of a file of so many bytes; one that leads behind its end is refused before it is allocated.
fn read_range(file: &dyn File, bytes: u64, range: &Range<u64>) -> io::Result<Bytes> {
    let length = range.end.checked_sub(range.start).filter(|_| range.end <= bytes);
    let length = usize::try_from(length.ok_or(io::ErrorKind::UnexpectedEof)?).map_err(io::Error::other)?;
    let mut read = vec![0; length];
    env::read_exact_at(file, &mut read, range.start)?;
    Ok(Bytes::from(read))
}

/// Reads all of the block in a folder, as [`verify`] does; its index is of `version`, where that is given, whatever it says
/// itself. Blocks.
///
/// # Errors
/// As there.
pub fn verify_folder(
    fs: &dyn FileSystem,
    folder: &Path,
    version: Option<Version>,
) -> Result<Verified, BlockError> {
    let open = |name: &str| -> Result<Arc<dyn RangeRead>, BlockError> {
        let failed = |source| BlockError::Read { file: name.to_owned(), source };
        let file = fs.open(&folder.join(name), OpenOptions::READ).map_err(failed)?;
        let bytes = file.len().map_err(failed)?;
        Ok(Arc::new(InPlace { name: name.to_owned(), file, bytes }))
    };
    let mut names = data_files(fs, folder)
        .map_err(|source| BlockError::Read { file: folder.display().to_string(), source })?;
    names.sort_unstable();
    let segments: Vec<Arc<dyn RangeRead>> = names
        .iter()
        .filter(|name| name.starts_with("chunks/"))
        .map(|name| open(name))
        .collect::<Result<_, _>>()?;
    let index = open("index")?;
    let verified = async {
        let index = Index::open_as(index, version).await?;
        verify(&index, &ChunkReader::open(segments).await?).await
    };
    verified.now_or_never().expect("what is read in place is there at once")
}
