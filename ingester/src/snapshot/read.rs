//! Reading a snapshot back.

use model::TenantId;

use env::{File, read_exact_at};

use super::block::{read_series, read_tenant};
use super::{
    BLOCK_HEADER_BYTES, Footer, KIND_FOOTER, KIND_SERIES, KIND_TENANT, MAGIC, MAX_BLOCK_BYTES, SnapshotError,
    TRAILER_BYTES,
};
use crate::codec::{Malformed, Reader};
use crate::head::Head;

/// What to do about a damaged block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDamage {
    /// The snapshot is not used.
    Fail,
    /// Its series are lost, the others are read: when there is no other snapshot left.
    Skip,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Loaded {
    /// How many series.
    pub(crate) series: u64,
    /// How many damaged blocks were skipped.
    pub(crate) damaged_blocks: u64,
}

/// Reads the footer: what the rest needs to be made sense of.
pub(crate) fn footer(file: &dyn File) -> Result<Footer, SnapshotError> {
    let len = file.len()?;
    let end = len.checked_sub(TRAILER_BYTES as u64).ok_or(SnapshotError::Damaged { offset: 0 })?;
    let damaged = SnapshotError::Damaged { offset: end };
    let mut magic = [0; MAGIC.len()];
    read_exact_at(file, &mut magic, 0)?;
    if magic != *MAGIC {
        return Err(SnapshotError::Damaged { offset: 0 });
    }
    let mut trailer = [0; TRAILER_BYTES];
    read_exact_at(file, &mut trailer, end)?;
    let mut reader = Reader::new(&trailer);
    let (Ok(offset), Ok(crc)) = (reader.fixed_u64("footer"), reader.fixed_u32("checksum")) else {
        return Err(damaged);
    };
    if crc32c::crc32c(&offset.to_le_bytes()) != crc || offset >= end {
        return Err(damaged);
    }
    let Some(Block { payload: Some(payload), .. }) = block_at(file, offset, end)? else {
        return Err(damaged);
    };
    let mut reader = Reader::new(&payload);
    let foreign = |source| SnapshotError::Foreign { offset, source };
    if reader.u8("kind").map_err(foreign)? != KIND_FOOTER {
        return Err(foreign(Malformed { what: "footer" }));
    }
    Footer::decode(reader).map_err(foreign)
}

/// Checks all checksums.
pub(crate) fn verify(file: &dyn File) -> Result<(), SnapshotError> {
    footer(file)?;
    each_block(file, OnDamage::Fail, |_, _| Ok(())).map(drop)
}

/// Reads all series into `head`.
pub(crate) fn load(file: &dyn File, head: &Head, on_damage: OnDamage) -> Result<Loaded, SnapshotError> {
    let mut loaded = Loaded::default();
    loaded.damaged_blocks = each_block(file, on_damage, |offset, payload| {
        load_block(head, payload, &mut loaded).map_err(|source| SnapshotError::Foreign { offset, source })
    })?;
    Ok(loaded)
}

fn load_block(head: &Head, payload: &[u8], loaded: &mut Loaded) -> Result<(), Malformed> {
    let mut reader = Reader::new(payload);
    let kind = reader.u8("kind")?;
    if kind == KIND_FOOTER {
        return Ok(());
    }
    let tenant = TenantId::new(reader.text("tenant")?).map_err(|_| Malformed { what: "tenant" })?;
    let tenant = head.tenant_or_new(&tenant);
    match kind {
        KIND_TENANT => read_tenant(reader, &tenant),
        KIND_SERIES => {
            let mut index = tenant.index.write();
            read_series(reader, |read| {
                let series = index.bind(read.id, read.hash, &read.labels);
                series.logged.store(true, std::sync::atomic::Ordering::Release);
                *series.state.lock() = read.state;
                loaded.series += 1;
            })
        }
        _ => Err(Malformed { what: "kind of block" }),
    }
}

/// A block: `None` where its checksum is wrong; and where the next one begins.
struct Block {
    payload: Option<Vec<u8>>,
    next: u64,
}

/// The block at `offset`; `None` where its length cannot be right, so that nobody knows where the next one begins.
fn block_at(file: &dyn File, offset: u64, end: u64) -> Result<Option<Block>, SnapshotError> {
    let mut header = [0; BLOCK_HEADER_BYTES];
    if offset + BLOCK_HEADER_BYTES as u64 > end {
        return Ok(None);
    }
    read_exact_at(file, &mut header, offset)?;
    let mut reader = Reader::new(&header);
    let (Ok(len), Ok(crc)) = (reader.fixed_u32("length"), reader.fixed_u32("checksum")) else {
        return Ok(None);
    };
    let start = offset + BLOCK_HEADER_BYTES as u64;
    let next = start + u64::from(len);
    if len > MAX_BLOCK_BYTES || next > end {
        return Ok(None);
    }
    let mut payload = vec![0; len as usize];
    read_exact_at(file, &mut payload, start)?;
    // The checksum of nothing is zero, so that zeros would be blocks without content; there are none.
    let intact = len > 0 && crc32c::crc32c(&payload) == crc;
    Ok(Some(Block { payload: intact.then_some(payload), next }))
}

/// Calls `each` with all blocks, and says how many were damaged.
fn each_block(
    file: &dyn File,
    on_damage: OnDamage,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), SnapshotError>,
) -> Result<u64, SnapshotError> {
    let end = file.len()?.saturating_sub(TRAILER_BYTES as u64);
    let mut offset = MAGIC.len() as u64;
    let mut damaged = 0;
    while offset < end {
        let block = block_at(file, offset, end)?;
        match &block {
            Some(Block { payload: Some(payload), .. }) => each(offset, payload)?,
            _ if on_damage == OnDamage::Fail => return Err(SnapshotError::Damaged { offset }),
            _ => damaged += 1,
        }
        match block {
            Some(block) => offset = block.next,
            None => break,
        }
    }
    Ok(damaged)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use env::{FileSystem as _, OpenOptions, SimFs, write_all_at};

    use super::*;
    use crate::chunk_store::ChunkStore;
    use crate::snapshot::{path, write};

    #[test]
    fn zeros_in_place_of_blocks_are_damage() {
        let fs = SimFs::new(1);
        let store = ChunkStore::open(Arc::new(fs.clone()), "/chunks".into(), &[]).unwrap();
        let head = Head::new(store);
        // Blocks of every length modulo that of a header.
        for length in 1..=BLOCK_HEADER_BYTES {
            head.tenant_or_new(&TenantId::new(&"t".repeat(length)).unwrap());
        }
        let dir = Path::new("/snapshots");
        fs.create_dir_all(dir).unwrap();
        write::take(&fs, dir, &head, 1).unwrap();
        let options = OpenOptions { read: true, write: true, ..OpenOptions::default() };
        let file = fs.open(&path(dir, 1), options).unwrap();
        verify(&*file).unwrap();
        let end = file.len().unwrap() - TRAILER_BYTES as u64;
        let (mut offset, mut headers_of_zeros) = (MAGIC.len() as u64, 0);
        while let Some(block) = block_at(&*file, offset, end).unwrap() {
            let mut bytes = vec![0; (block.next - offset) as usize];
            read_exact_at(&*file, &mut bytes, offset).unwrap();
            write_all_at(&*file, &vec![0; bytes.len()], offset).unwrap();
            let verified = verify(&*file);
            assert!(matches!(verified, Err(SnapshotError::Damaged { .. })), "at {offset}: {verified:?}");
            write_all_at(&*file, &bytes, offset).unwrap();
            headers_of_zeros += u32::from(bytes.len().is_multiple_of(BLOCK_HEADER_BYTES));
            offset = block.next;
        }
        assert!(headers_of_zeros > 0, "one is as long as several headers");
        verify(&*file).unwrap();
    }
}
