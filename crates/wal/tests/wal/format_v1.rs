//! A log that version 1 of the format was written with, committed as it was, must be readable for ever.

use std::path::{Path, PathBuf};

use env::{FileSystem as _, OpenOptions, SimFs};
use wal::{DamageReason, Position};

use crate::common::{DIR, config, open, read, simulate};
use crate::fixtures::{RECORDS, check_loads, disk_with, hull, record};

const PAGE: u64 = 32 << 10;

fn segment(number: u32) -> PathBuf {
    Path::new(DIR).join(format!("{number:08}.wal"))
}

fn version_of(fs: &SimFs, number: u32) -> u8 {
    env::read_file(fs, &segment(number), 1 << 20).expect("reads")[4]
}

/// Which records of the fixture are read, and whether anything is said of the others.
fn found(fs: &SimFs, what: &str) -> (Vec<usize>, bool) {
    let (records, recovery) = read(fs, Position::START);
    let found = records.iter().map(|(_, bytes)| {
        let index = (0..RECORDS).find(|index| record(*index) == *bytes);
        index.unwrap_or_else(|| panic!("{what}: a record that was never written"))
    });
    (found.collect(), !recovery.damage.is_empty())
}

#[test]
fn the_fixture_still_loads() {
    check_loads(1);
}

#[test]
fn an_older_log_goes_on_in_the_version_that_is_written() {
    simulate(async {
        let fs = disk_with(1);
        for restart in 0..2 {
            let log = open(&fs, &config()).expect("opens");
            log.put(&[b'n', restart], hull(9)).await.expect("committed");
        }
        let versions: Vec<u8> = (1..=4).map(|number| version_of(&fs, number)).collect();
        assert_eq!(versions, [1, 1, 2, 2]);
        let fs = fs.crash(env::CrashMode::LoseAll);
        let (records, recovery) = read(&fs, Position::START);
        let records: Vec<_> = records.into_iter().map(|(_, record)| record).collect();
        let expected: Vec<_> = (0..RECORDS).map(record).chain([vec![b'n', 0], vec![b'n', 1]]).collect();
        assert!(records == expected, "{} records", records.len());
        assert_eq!((recovery.damage, recovery.torn_tail_bytes), (vec![], 0));
    });
}

/// What a later segment says about an older one counts, whatever their versions.
#[test]
fn a_lost_end_of_an_older_log_is_missed_once_a_newer_one_follows() {
    simulate(async {
        let fs = disk_with(1);
        let log = open(&fs, &config()).expect("opens");
        log.put(b"new", hull(9)).await.expect("committed");
        let file = fs.open(&segment(2), OpenOptions::READ_WRITE).expect("opens");
        let len = file.len().expect("a length");
        file.set_len(len - 10).expect("cuts");
        let (records, recovery) = read(&fs, Position::START);
        assert_eq!(records.len(), RECORDS, "all but the last of the fixture, and the new one");
        // What is left of the last record, and what is not.
        let reasons: Vec<_> = recovery.damage.iter().map(|damage| (damage.segment, damage.reason)).collect();
        assert_eq!(reasons, [(2, DamageReason::Unreadable), (2, DamageReason::Truncated)]);
    });
}

#[test]
fn a_flipped_bit_costs_at_most_the_record_it_is_in_and_is_told_but_in_the_last_length() {
    let fs = disk_with(1);
    for number in [1, 2] {
        let len = fs.open(&segment(number), OpenOptions::READ).and_then(|file| file.len()).expect("a length");
        // The last fragment is of the last record, of 90 bytes, with a header, and hulls of its own and of those before.
        let last = len - 90 - 32 - 7;
        let near = |at: &u64| *at < 200 || *at > PAGE - 10 || at.is_multiple_of(997);
        for offset in (0..len).filter(near) {
            for bit in [0, 3, 7] {
                fs.flip_bit(&segment(number), offset, bit).expect("flips");
                let what = format!("bit {bit} of byte {offset} of segment {number}");
                let (found, is_told) = found(&fs, &what);
                assert!(found.len() + 1 >= RECORDS, "{what}: only {found:?} are left");
                let in_length = number == 2 && (5..7).contains(&offset.saturating_sub(last));
                let is_kept = found.len() == RECORDS;
                assert!(is_kept || is_told || in_length, "{what}: lost, and nothing is said");
                fs.flip_bit(&segment(number), offset, bit).expect("flips back");
            }
        }
    }
}

#[test]
fn a_tail_torn_at_any_length_is_no_damage() {
    let fs = disk_with(1);
    let file = fs.open(&segment(2), OpenOptions::READ_WRITE).expect("opens");
    let near = |at: &u64| *at < 600 || *at > PAGE - 600 || at.is_multiple_of(97);
    for cut in (0..file.len().expect("a length")).rev().filter(near) {
        file.set_len(cut).expect("cuts");
        let (found, is_told) = found(&fs, &format!("cut at {cut}"));
        assert!(!is_told, "cut at {cut}: taken for damage");
        assert_eq!(found, (0..found.len()).collect::<Vec<_>>(), "cut at {cut}");
        assert!((2..RECORDS).contains(&found.len()), "cut at {cut}: {found:?}");
    }
}
