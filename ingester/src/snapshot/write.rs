//! Taking a snapshot.

use std::io;
use std::path::Path;
use std::sync::Arc;

use env::{File, FileSystem, OpenOptions, write_all_at};

use super::block::{SeriesBlock, encode_tenant};
use super::{BLOCK_BYTES, Footer, MAGIC, path, read};
use crate::head::Head;
use crate::head::tenant::Tenant;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many series.
    pub(crate) series: u64,
    /// How long the file is.
    pub(crate) bytes: u64,
}

/// Writes the head to a file that a replay from `log_segment` on completes. The log must have been rolled to that
/// segment, and the head's epoch begun, in log order before. When this returns, the snapshot and all chunks that it
/// refers to are durable and have been read back; after an error there is no new snapshot.
pub(crate) fn take(fs: &dyn FileSystem, dir: &Path, head: &Head, log_segment: u32) -> io::Result<Taken> {
    let target = path(dir, log_segment);
    let unfinished = target.with_extension("tmp");
    let file = fs.open(&unfinished, OpenOptions::CREATE_EMPTY)?;
    let mut out = BlockFile { file, offset: 0, buffer: Vec::new() };
    out.raw(MAGIC)?;
    let mut series = 0;
    for tenant in head.tenants() {
        series += write_tenant(&mut out, &tenant, head.epoch())?;
    }
    // Every chunk that a series above refers to was handed to the store before this.
    let chunk_files = head.store().sync()?;
    let footer_offset = out.offset;
    out.block(|buffer| Footer { log_segment, chunk_files, series }.encode(buffer))?;
    let crc = crc32c::crc32c(&footer_offset.to_le_bytes());
    out.raw(&[&footer_offset.to_le_bytes()[..], &crc.to_le_bytes()[..]].concat())?;
    out.file.sync_all()?;
    read::verify(&*out.file).map_err(io::Error::other)?;
    fs.rename(&unfinished, &target)?;
    fs.sync_dir(dir)?;
    Ok(Taken { series, bytes: out.offset })
}

fn write_tenant(out: &mut BlockFile, tenant: &Tenant, epoch: u32) -> io::Result<u64> {
    out.block(|buffer| encode_tenant(tenant, buffer))?;
    let mut block = SeriesBlock::default();
    let mut total = 0;
    let mut next = Some(0);
    let mut page = Vec::new();
    while let Some(first) = next {
        page.clear();
        {
            // The lock is given up after every page, so that requests with new series go on.
            let index = tenant.index.read();
            next = index.page_from(first, &mut page);
            page.iter().for_each(|series| block.add(&index, series, epoch));
        }
        if block.len() >= BLOCK_BYTES || (next.is_none() && block.count() > 0) {
            total += block.count();
            out.block(|buffer| block.finish(tenant.id.as_str(), buffer))?;
        }
    }
    Ok(total)
}

struct BlockFile {
    file: Arc<dyn File>,
    offset: u64,
    buffer: Vec<u8>,
}

impl BlockFile {
    fn block(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&[0; super::BLOCK_HEADER_BYTES]);
        encode(&mut buffer);
        let payload = &buffer[super::BLOCK_HEADER_BYTES..];
        let (len, crc) = (payload.len() as u32, crc32c::crc32c(payload));
        buffer[..4].copy_from_slice(&len.to_le_bytes());
        buffer[4..8].copy_from_slice(&crc.to_le_bytes());
        let written = self.raw(&buffer);
        self.buffer = buffer;
        written
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&*self.file, bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
