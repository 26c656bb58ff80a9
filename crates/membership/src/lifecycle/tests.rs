//! What records become.

use std::collections::BTreeMap;

use proto::metastore::{Instance, InstanceState, LostRange};

use super::record::{check, merge, new, says};
use super::{Announcement, Place};

fn place() -> Place {
    Place {
        ring: "ingester".to_owned(),
        instance: "ingester-1".to_owned(),
        zone: "zone-a".to_owned(),
        addresses: BTreeMap::from([("grpc".to_owned(), "127.0.0.1:9095".to_owned())]),
    }
}

fn wanted(state: InstanceState) -> Announcement {
    Announcement {
        state,
        read_only: None,
        incarnation: 0,
        lost_ranges: Vec::new(),
        lost_with_former_life: None,
        forget_before_ms: 0,
    }
}

fn lost(start_ms: i64, end_ms: i64) -> LostRange {
    LostRange { start_ms, end_ms }
}

fn joined() -> Instance {
    let mut record = new(&place(), vec![1, 2, 3], 100).message;
    merge(&mut record, &place(), &wanted(InstanceState::Joining), 100);
    record
}

#[test]
fn a_record_says_what_was_merged_and_keeps_tokens_and_times() {
    let mut record = joined();
    assert_eq!((record.registered_ms, record.changed_ms), (100, 100));
    let active = Announcement { read_only: Some(true), ..wanted(InstanceState::Active) };
    assert!(!says(&record, &place(), &active));
    merge(&mut record, &place(), &active, 200);
    assert!(says(&record, &place(), &active));
    assert_eq!((record.registered_ms, record.changed_ms, record.read_only_changed_ms), (100, 200, 200));
    assert_eq!(record.tokens, [1, 2, 3]);
    // Nothing changes, and no time does; what was not said stays.
    merge(&mut record, &place(), &wanted(InstanceState::Active), 300);
    assert_eq!((record.changed_ms, record.read_only, record.read_only_changed_ms), (200, true, 200));
    let moved = Place { addresses: BTreeMap::new(), ..place() };
    assert!(!says(&record, &moved, &active));
}

#[test]
fn another_life_of_the_data_directory_is_a_loss_and_the_first_is_none() {
    let life = |incarnation| Announcement {
        incarnation,
        lost_with_former_life: Some(lost(50, 400)),
        ..wanted(InstanceState::Joining)
    };
    let mut record = joined();
    merge(&mut record, &place(), &life(7), 200);
    assert_eq!((record.incarnation, record.lost_ranges.len()), (7, 0));
    merge(&mut record, &place(), &life(7), 300);
    assert!(record.lost_ranges.is_empty());
    assert!(!says(&record, &place(), &life(8)));
    merge(&mut record, &place(), &life(8), 400);
    assert_eq!((record.incarnation, &record.lost_ranges[..]), (8, &[lost(50, 400)][..]));
    // It is lost for good, and not lost again.
    merge(&mut record, &place(), &life(8), 500);
    assert_eq!(record.lost_ranges, [lost(50, 400)]);
}

#[test]
fn losses_add_up_until_nobody_asks_for_them() {
    let mut record = joined();
    let loses = |ranges: &[LostRange], forget_before_ms| Announcement {
        lost_ranges: ranges.to_vec(),
        forget_before_ms,
        ..wanted(InstanceState::Active)
    };
    merge(&mut record, &place(), &loses(&[lost(10, 20), lost(40, 50)], 0), 100);
    merge(&mut record, &place(), &loses(&[lost(15, 30), lost(31, 35)], 0), 200);
    assert_eq!(record.lost_ranges, [lost(10, 35), lost(40, 50)]);
    assert!(says(&record, &place(), &loses(&[lost(12, 33)], 0)));
    assert!(!says(&record, &place(), &loses(&[lost(34, 36)], 0)));
    merge(&mut record, &place(), &loses(&[lost(10, 20)], 38), 300);
    assert_eq!(record.lost_ranges, [lost(40, 50)]);
    assert!(says(&record, &place(), &loses(&[lost(10, 20)], 38)));
}

#[test]
fn an_instance_stays_in_its_zone() {
    let elsewhere = Place { zone: "zone-b".to_owned(), ..place() };
    let wrong = check(&joined(), &elsewhere).expect_err("it is in another zone");
    assert_eq!(
        wrong.to_string(),
        "ingester-1 is in the ring \"ingester\" with zone \"zone-a\", not \"zone-b\"; start it with that zone, or under another name"
    );
    check(&joined(), &place()).expect("it is there");
}

#[test]
fn who_had_left_is_a_new_member() {
    let mut record = joined();
    merge(&mut record, &place(), &wanted(InstanceState::Left), 200);
    merge(&mut record, &place(), &wanted(InstanceState::Joining), 300);
    assert_eq!((record.registered_ms, record.tokens.len()), (300, 3));
}
