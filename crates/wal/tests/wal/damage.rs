//! Flipped bits, torn tails, missing files: everything else survives, and the hole is reported with its times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::common::{DIR, config, open, payload, read, simulate};
use env::{FileSystem, OpenOptions, Rng, SeededRng, SimFs};
use wal::{DamageReason, Position, Recovery, TimeHull, WalConfig};

type Records = Vec<(Position, Vec<u8>)>;

const PAGE: u32 = 32 << 10;
/// What disks write as a whole, or not at all.
const SECTOR: u64 = 512;

fn segment(number: u32) -> PathBuf {
    Path::new(DIR).join(format!("{number:08}.wal"))
}

/// A log with one group per record; record `n` covers the time from `10 n` to `10 n + 5`.
fn write(config: &WalConfig, sizes: &[usize]) -> (SimFs, Records) {
    simulate(async {
        let fs = SimFs::new(1);
        let log = open(&fs, config).expect("opens");
        let mut written = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let record = payload(index as u64, *size);
            let position = log.put(&record, hull(index)).await.expect("committed");
            written.push((position, record));
        }
        log.wal.close().await;
        (fs, written)
    })
}

fn hull(index: usize) -> TimeHull {
    let start = 10 * index as i64;
    TimeHull::new(start, start + 5)
}

/// Which of the written records were read, after checking that nothing else was, and that what was lost is reported
/// or at the very end.
fn check(written: &Records, (records, recovery): &(Records, Recovery), what: &str) -> Vec<usize> {
    let index: BTreeMap<Position, usize> = written.iter().enumerate().map(|(i, (at, _))| (*at, i)).collect();
    let found: Vec<usize> = records
        .iter()
        .map(|(at, record)| {
            let index =
                *index.get(at).unwrap_or_else(|| panic!("{what}: a record at {at} that was never written"));
            assert!(&written[index].1 == record, "{what}: record {index} differs");
            index
        })
        .collect();
    assert!(found.is_sorted(), "{what}: {found:?}");
    let last = found.last().map_or(0, |last| last + 1);
    for lost in (0..last).filter(|index| !found.contains(index)) {
        let reported =
            recovery.damage.iter().any(|damage| damage.time.is_none_or(|time| time.covers(hull(lost))));
        assert!(reported, "{what}: record {lost} is lost, reported are {:?}", recovery.damage);
    }
    if last < written.len() {
        assert!(
            recovery.torn_tail_bytes > 0 || !recovery.damage.is_empty(),
            "{what}: the end is lost silently"
        );
    }
    found
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_the_record_it_is_in() {
    let sizes = [30, 200, 0, 900, 10, 300, 50];
    let (fs, written) = write(&config(), &sizes);
    let len = fs.open(&segment(1), OpenOptions::READ).and_then(|file| file.len()).expect("a length");
    for offset in 0..len {
        for bit in [0, 3, 7] {
            fs.flip_bit(&segment(1), offset, bit).expect("flips");
            let what = format!("bit {bit} of byte {offset}");
            let result = read(&fs, Position::START);
            let found = check(&written, &result, &what);
            assert!(found.len() + 1 >= sizes.len(), "{what}: only {found:?} are left");
            // Nothing says of which time the last record is.
            let is_last = offset >= u64::from(written[6].0.offset);
            for damage in &result.1.damage {
                assert!(is_last || damage.time.is_some(), "{what}: {damage:?}");
            }
            let is_told = found.len() == sizes.len() || !result.1.damage.is_empty();
            assert!(is_told, "{what}: lost, and nothing is said");
            fs.flip_bit(&segment(1), offset, bit).expect("flips back");
        }
    }
}

#[test]
fn the_only_group_of_a_log_is_missed_where_it_is_damaged() {
    for size in [30, 900] {
        let (fs, written) = write(&config(), &[size]);
        let last = fs.open(&segment(1), OpenOptions::READ).and_then(|file| file.len()).expect("a length");
        for offset in [u64::from(written[0].0.offset) + 1, last - 1] {
            fs.flip_bit(&segment(1), offset, 2).expect("flips");
            let (records, recovery) = read(&fs, Position::START);
            assert_eq!((records.len(), recovery.damage.len()), (0, 1), "size {size}, byte {offset}");
            fs.flip_bit(&segment(1), offset, 2).expect("flips back");
        }
    }
}

/// The header of the last fragment lies within a sector, or in two in every way it can.
#[test]
fn every_wrong_bit_of_the_last_fragments_header_is_told() {
    for header in SECTOR - 10..SECTOR + 10 {
        // Of the first fragment of a segment the beginning is at 60, its header and its two hulls are 40 bytes.
        for last in [0, 300, 5_000] {
            let (fs, written) = write(&config(), &[(header - 60 - 40) as usize, last]);
            assert_eq!(u64::from(written[1].0.offset), header);
            for (offset, bit) in (header..header + 8).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
                fs.flip_bit(&segment(1), offset, bit).expect("flips");
                let (records, recovery) = read(&fs, Position::START);
                let what = format!("bit {bit} of byte {offset}, header at {header}, {last} bytes");
                assert_eq!((records.len(), recovery.damage.len()), (1, 1), "{what}");
                assert_eq!(u64::from(recovery.damage[0].from_offset), header, "{what}");
                fs.flip_bit(&segment(1), offset, bit).expect("flips back");
            }
        }
    }
}

/// As a disk leaves it that wrote some sectors of the last group and others not.
#[test]
fn a_tail_of_which_sectors_are_missing_is_no_damage() {
    for header in SECTOR - 10..SECTOR + 10 {
        let (fs, written) = write(&config(), &[(header - 60 - 40) as usize, 1_200]);
        let file = fs.open(&segment(1), OpenOptions::READ_WRITE).expect("opens");
        let whole = env::read_file(&fs, &segment(1), 1 << 20).expect("reads");
        let len = whole.len() as u64;
        let (first, last) = (header / SECTOR, (len - 1) / SECTOR);
        for missing in 1..1_u64 << (last - first + 1) {
            let mut torn = whole.clone();
            for sector in (first..=last).filter(|sector| missing >> (sector - first) & 1 == 1) {
                let from = (sector * SECTOR).max(header);
                torn[from as usize..((sector + 1) * SECTOR).min(len) as usize].fill(0);
            }
            env::write_all_at(&*file, &torn, 0).expect("writes");
            let (records, recovery) = read(&fs, Position::START);
            let what = format!("header at {header}, sectors {missing:b}");
            assert_eq!((records, recovery.damage), (written[..1].to_vec(), vec![]), "{what}");
            assert_eq!(recovery.torn_tail_bytes, len - header, "{what}");
        }
    }
}

#[test]
fn in_a_large_log_only_what_touches_the_page_is_lost() {
    let rng = SeededRng::new(7);
    let sizes: Vec<usize> = (0..300).map(|_| [50, 600, 24_000, 100_000][rng.below(4) as usize]).collect();
    let config = WalConfig { segment_bytes: 1 << 20, ..config() };
    let (fs, written) = write(&config, &sizes);
    let segments = written.last().expect("records").0.segment;
    assert!(segments > 4);
    for round in 0..200 {
        let number = 1 + rng.below(u64::from(segments)) as u32;
        let len = fs.open(&segment(number), OpenOptions::READ).and_then(|file| file.len()).expect("a length");
        let offset = rng.below(len);
        let bit = rng.below(8) as u8;
        fs.flip_bit(&segment(number), offset, bit).expect("flips");
        let what = format!("round {round}: byte {offset} of segment {number}");
        let result = read(&fs, Position::START);
        let found = check(&written, &result, &what);
        let page = offset as u32 / PAGE;
        for (index, (at, _)) in written.iter().enumerate() {
            let end = written.get(index + 1).filter(|next| next.0.segment == at.segment);
            let end = end.map_or(u32::MAX, |next| next.0.offset);
            let touched = at.segment == number && at.offset / PAGE <= page && page <= (end - 1) / PAGE;
            assert!(touched || found.contains(&index), "{what}: record {index} at {at} is lost");
        }
        for damage in &result.1.damage {
            let lost = found.windows(2).any(|pair| pair[1] - pair[0] > 1);
            let is_last = found.last() != Some(&(written.len() - 1));
            let is_known = damage.time.is_some_and(|time| !lost || !time.is_empty());
            assert!(is_last || is_known, "{what}: {damage:?}");
        }
        fs.flip_bit(&segment(number), offset, bit).expect("flips back");
    }
}

#[test]
fn a_tail_torn_at_any_length_is_no_damage() {
    let (fs, written) = write(&config(), &[30, 200, 40_000, 10]);
    let len = fs.open(&segment(1), OpenOptions::READ).and_then(|file| file.len()).expect("a length");
    let near =
        |at: u64| at < 600 || at > len - 600 || at.abs_diff(u64::from(PAGE)) < 200 || at.is_multiple_of(97);
    for cut in (0..len).rev().filter(|at| near(*at)) {
        fs.open(&segment(1), OpenOptions::READ_WRITE).and_then(|file| file.set_len(cut)).expect("cuts");
        let (records, recovery) = read(&fs, Position::START);
        assert_eq!(recovery.damage, [], "cut at {cut}");
        assert_eq!(records, written[..records.len()], "cut at {cut}");
        let ends = written.iter().skip(1).map(|(at, _)| u64::from(at.offset)).chain([len]);
        assert_eq!(records.len(), ends.filter(|end| *end <= cut).count(), "cut at {cut}");
        let end = if records.is_empty() { 0 } else { u64::from(recovery.end.offset) };
        assert_eq!(recovery.torn_tail_bytes, cut - end, "cut at {cut}");
    }
}

#[test]
fn going_on_after_a_torn_tail_leaves_it_behind_for_good() {
    let (fs, written) = write(&config(), &[30, 200, 10]);
    let file = fs.open(&segment(1), OpenOptions::READ_WRITE).expect("opens");
    let from = u64::from(written[2].0.offset) + 20;
    let mut tail = vec![0; (file.len().expect("a length") - from) as usize];
    env::read_exact_at(&*file, &mut tail, from).expect("reads");
    file.set_len(from).expect("cuts");
    simulate(async {
        let log = open(&fs, &config()).expect("opens");
        assert!(log.recovery.torn_tail_bytes > 0);
        log.put(b"new", hull(9)).await.expect("committed");
    });
    // Even if the torn record becomes readable again.
    env::write_all_at(&*file, &tail, from).expect("writes");
    let (records, recovery) = read(&fs, Position::START);
    let records: Vec<_> = records.into_iter().map(|(_, record)| record).collect();
    assert_eq!(records, [written[0].1.clone(), written[1].1.clone(), b"new".to_vec()]);
    assert_eq!(recovery.damage, []);
}

#[test]
fn a_missing_segment_and_a_shortened_one_are_damage() {
    let sizes = [40_000; 12];
    let (fs, written) = write(&config(), &sizes);
    assert!(written.last().expect("records").0.segment >= 4);
    fs.remove_file(&segment(2)).expect("removes");
    let file = fs.open(&segment(3), OpenOptions::READ_WRITE).expect("opens");
    file.set_len(50_000).expect("cuts");
    let result = read(&fs, Position::START);
    check(&written, &result, "missing and short");
    let reasons: Vec<_> = result.1.damage.iter().map(|damage| (damage.segment, damage.reason)).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert_eq!(reasons[0], (2, DamageReason::Missing { last: 2 }));
    assert_eq!(reasons[2], (3, DamageReason::Truncated));
    // What is not asked for is not missed.
    let later = Position { segment: 4, offset: 0 };
    assert_eq!(read(&fs, later).1.damage, []);
}

#[test]
fn random_bytes_in_the_place_of_a_log_are_survived() {
    let rng = SeededRng::new(3);
    for round in 0..50 {
        let (fs, written) = write(&config(), &[30_000, 5, 70_000, 600, 40_000, 9]);
        let file = fs.open(&segment(1), OpenOptions::READ_WRITE).expect("opens");
        let len = file.len().expect("a length");
        let (from, count) = (rng.below(len), rng.below(70_000) as usize);
        let noise = payload(round, count.min((len - from) as usize));
        env::write_all_at(&*file, &noise, from).expect("writes");
        let what = format!("round {round}: {count} bytes at {from}");
        let result = read(&fs, Position::START);
        check(&written, &result, &what);
    }
}
