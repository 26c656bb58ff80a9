//! Logs that former and present versions of the format were written with, committed as they were.

use std::path::{Path, PathBuf};

use env::{FileSystem as _, OpenOptions, RealFs, SimFs, write_all_at};
use wal::{Position, Recovery, TimeHull, WalConfig, recover};

use crate::common::{DIR, open, simulate};

/// Sizes of the records; the log is rolled after the second. The third leaves the page it begins in.
const SIZES: [usize; 5] = [0, 40, 33_000, 7, 90];
/// How many records a fixture has.
pub(crate) const RECORDS: usize = SIZES.len();

fn folder(version: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v{version}"))
}

/// What record `index` of every fixture is.
pub(crate) fn record(index: usize) -> Vec<u8> {
    // Bytes in a row that are alike, so that the files compress well in the repository.
    vec![index as u8 + 1; SIZES[index]]
}

/// The time of record `index` of every fixture.
pub(crate) fn hull(index: usize) -> TimeHull {
    TimeHull::new(1_000 * index as i64, 1_000 * index as i64 + 500)
}

/// A simulated disk with the files of a fixture.
pub(crate) fn disk_with(version: u8) -> SimFs {
    let fs = SimFs::new(1);
    env::create_dir_durable(&fs, Path::new(DIR)).expect("makes a directory");
    for entry in RealFs.read_dir(&folder(version)).expect("lists") {
        let bytes = env::read_file(&RealFs, &folder(version).join(&entry.name), 1 << 20).expect("reads");
        let path = Path::new(DIR).join(&entry.name);
        let file = fs.open(&path, OpenOptions::CREATE_NEW).expect("makes a file");
        write_all_at(&*file, &bytes, 0).and_then(|()| file.sync_all()).expect("writes");
    }
    fs.sync_dir(Path::new(DIR)).expect("syncs");
    fs
}

/// Checks that a fixture has every record.
pub(crate) fn check_loads(version: u8) {
    let mut records = Vec::new();
    let recovery: Recovery = recover(&RealFs, &folder(version), Position::START, |position, record| {
        records.push((position.segment, record.to_vec()));
    })
    .expect("the fixture can be read");
    let expected: Vec<_> = (0..RECORDS).map(|index| (1 + u32::from(index >= 2), record(index))).collect();
    assert!(records == expected, "{} records", records.len());
    assert_eq!((recovery.damage.len(), recovery.torn_tail_bytes), (0, 0));
}

/// Checks that a fixture is what is written today, byte for byte.
pub(crate) fn check_written(version: u8) {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, &WalConfig::new(DIR)).expect("opens");
        for index in 0..RECORDS {
            if index == 2 {
                log.wal.roll().await.expect("rolls");
            }
            log.put(&record(index), hull(index)).await.expect("committed");
        }
        let written = fs.read_dir(Path::new(DIR)).expect("lists");
        assert_eq!(written.len(), 2);
        for entry in written {
            let written = env::read_file(&fs, &Path::new(DIR).join(&entry.name), 1 << 20).expect("reads");
            let kept = env::read_file(&RealFs, &folder(version).join(&entry.name), 1 << 20).expect("reads");
            assert!(written == kept, "{} differs", entry.name);
        }
    });
}
