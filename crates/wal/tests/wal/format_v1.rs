//! A log that version 1 of the format was written with, committed as it was, must be readable for ever.

use std::path::{Path, PathBuf};

use env::{FileSystem as _, RealFs};
use wal::{Position, TimeHull, WalConfig, recover};

use crate::common::{DIR, open, simulate};

/// Sizes of the records; the log is rolled after the second. The third leaves the page it begins in.
const SIZES: [usize; 5] = [0, 40, 33_000, 7, 90];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn record(index: usize) -> Vec<u8> {
    // Bytes in a row that are alike, so that the files compress well in the repository.
    vec![index as u8 + 1; SIZES[index]]
}

fn hull(index: usize) -> TimeHull {
    TimeHull::new(1_000 * index as i64, 1_000 * index as i64 + 500)
}

#[test]
fn the_fixture_still_loads() {
    let mut records = Vec::new();
    let recovery = recover(&RealFs, &fixture(), Position::START, |position, record| {
        records.push((position.segment, record.to_vec()));
    });
    let recovery = recovery.expect("the fixture can be read");
    let expected: Vec<_> = (0..SIZES.len()).map(|index| (1 + u32::from(index >= 2), record(index))).collect();
    assert!(records == expected, "{} records", records.len());
    assert_eq!((recovery.damage.len(), recovery.torn_tail_bytes), (0, 0));
}

/// What is written today is the fixture, byte for byte; where this fails on purpose, the format needs a new version
/// and the fixture stays.
#[test]
fn the_fixture_is_what_is_written() {
    simulate(async {
        let fs = env::SimFs::new(1);
        let config = WalConfig::new(DIR);
        let log = open(&fs, &config).expect("opens");
        for index in 0..SIZES.len() {
            if index == 2 {
                log.wal.roll().await.expect("rolls");
            }
            log.put(&record(index), hull(index)).await.expect("committed");
        }
        for entry in fs.read_dir(Path::new(DIR)).expect("lists") {
            let written = env::read_file(&fs, &Path::new(DIR).join(&entry.name), 1 << 20).expect("reads");
            let kept = env::read_file(&RealFs, &fixture().join(&entry.name), 1 << 20).expect("reads");
            assert!(written == kept, "{} differs", entry.name);
        }
    });
}
