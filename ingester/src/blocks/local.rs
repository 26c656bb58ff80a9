//! Files of blocks on this disk.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use block::RangeRead;
use bytes::Bytes;
use env::{File, FileSystem, OpenOptions, Scope};

/// So much is read at a time for a checksum.
const PIECE_BYTES: u64 = 1 << 20;

/// A file of a block, read away from the threads that serve I/O.
pub(super) struct LocalFile {
    name: String,
    file: Arc<dyn File>,
    bytes: u64,
    scope: Scope,
}

impl LocalFile {
    /// The file `name` of the block in `folder`. Blocks.
    pub(super) fn open(fs: &dyn FileSystem, folder: &Path, name: &str, scope: &Scope) -> io::Result<Self> {
        let file = fs.open(&folder.join(name), OpenOptions::READ)?;
        let bytes = file.len()?;
        Ok(Self { name: name.to_owned(), file, bytes, scope: scope.clone() })
    }

    /// The CRC-32C of all of it.
    pub(super) async fn checksum(&self) -> io::Result<u32> {
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
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= self.bytes);
        let length =
            usize::try_from(length.ok_or(io::ErrorKind::UnexpectedEof)?).map_err(io::Error::other)?;
        let file = self.file.clone();
        let read = move || {
            let mut bytes = vec![0; length];
            env::read_exact_at(&*file, &mut bytes, range.start)?;
            Ok::<_, io::Error>(Bytes::from(bytes))
        };
        self.scope.run_blocking(read).await.map_err(io::Error::other)?
    }
}

/// The files of a block that are uploaded before its `meta.json`: segments, then the index. Blocks.
pub(super) fn data_files(fs: &dyn FileSystem, folder: &Path) -> io::Result<Vec<String>> {
    let segments = fs.read_dir(&folder.join("chunks"))?;
    let segments = segments.into_iter().map(|entry| format!("chunks/{}", entry.name));
    Ok(segments.chain(["index".to_owned()]).collect())
}
