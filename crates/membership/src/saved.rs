//! The last view on disk. The format is in `docs/formats/metastore.md`.

use std::io;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes};
use env::FileSystem;
use prost::Message as _;
use proto::metastore::{Record, StateHeader};

use crate::view::{Records, View};

/// What a saved view begins with; the last byte is the format's version.
const MAGIC: &[u8] = b"barograph metastore view\n\x01";
const CHECKSUM_BYTES: usize = 4;
/// The largest saved view that is read.
const MAX_BYTES: u64 = 1 << 30;

/// Why a saved view cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SavedViewError {
    /// The disk failed.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file was damaged, or is another version's.
    #[error("{} is not a saved view of this version", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Writes a view, in place of the one that was there: after a crash one of the two is there.
pub(crate) fn save(fs: &dyn FileSystem, path: &Path, view: &View) -> Result<(), SavedViewError> {
    let header = StateHeader {
        cluster_id: view.cluster_id(),
        revision: view.revision(),
        records: view.records().size() as u64,
        ..StateHeader::default()
    };
    let mut bytes = MAGIC.to_vec();
    bytes.put_slice(&header.encode_length_delimited_to_vec());
    for record in view.records().values() {
        bytes.put_slice(&record.encode_length_delimited_to_vec());
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes.put_u32_le(checksum);
    env::write_file_durable(fs, path, &bytes)
        .map_err(|source| SavedViewError::Io { path: path.to_owned(), source })
}

/// The saved view; `None` where there is none.
pub(crate) fn load(fs: &dyn FileSystem, path: &Path) -> Result<Option<View>, SavedViewError> {
    match env::read_file(fs, path, MAX_BYTES) {
        Ok(bytes) => match parse(&bytes.into()) {
            Some(view) => Ok(Some(view)),
            None => Err(SavedViewError::Damaged { path: path.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SavedViewError::Io { path: path.to_owned(), source }),
    }
}

fn parse(bytes: &Bytes) -> Option<View> {
    let body = bytes.len().checked_sub(CHECKSUM_BYTES)?;
    let checksum = bytes.slice(body..).get_u32_le();
    if !bytes.starts_with(MAGIC) || body < MAGIC.len() || crc32c::crc32c(&bytes.slice(..body)) != checksum {
        return None;
    }
    let mut rest = bytes.slice(MAGIC.len()..body);
    let header = StateHeader::decode_length_delimited(&mut rest).ok()?;
    let mut records = Records::default();
    for _ in 0..header.records {
        let record = Record::decode_length_delimited(&mut rest).ok()?;
        records.insert_mut(record.key.clone(), record);
    }
    rest.is_empty().then(|| View::whole(header.cluster_id, header.revision, records))
}

#[cfg(test)]
mod tests {
    use env::{CrashMode, SimFs};

    use super::*;

    fn view(revision: u64) -> View {
        let mut records = Records::default();
        for key in ["a", "b"] {
            let record =
                Record { key: key.into(), value: "v".into(), mod_revision: revision, ..Record::default() };
            records.insert_mut(record.key.clone(), record);
        }
        View::whole(7, revision, records)
    }

    #[test]
    fn a_view_comes_back_and_a_crash_leaves_a_whole_one() {
        let fs = SimFs::new(1);
        let dir = Path::new("/data");
        env::create_dir_durable(&fs, dir).unwrap();
        let path = dir.join("view");
        assert!(load(&fs, &path).unwrap().is_none());
        save(&fs, &path, &view(3)).unwrap();
        let fs = fs.crash(CrashMode::LoseAll);
        assert_eq!(load(&fs, &path).unwrap(), Some(view(3)));
        save(&fs, &path, &view(4)).unwrap();
        assert_eq!(load(&fs, &path).unwrap(), Some(view(4)));
    }

    #[test]
    fn a_damaged_view_is_refused() {
        let fs = SimFs::new(1);
        env::create_dir_durable(&fs, Path::new("/data")).unwrap();
        let path = Path::new("/data/view");
        save(&fs, path, &view(3)).unwrap();
        let good = env::read_file(&fs, path, MAX_BYTES).unwrap();
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 0x10;
            assert_eq!(parse(&damaged.into()), None, "byte {at}");
            assert_eq!(parse(&Bytes::copy_from_slice(&good[..at])), None, "cut at {at}");
        }
    }
}
