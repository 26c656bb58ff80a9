//! What the record of an instance becomes. Pure.

use proto::Stored;
use proto::metastore::{Instance, InstanceState, LostRange};

use super::{Announcement, Place, WrongPlace};

/// That the record is of the instance's place.
pub(super) fn check(record: &Instance, place: &Place) -> Result<(), WrongPlace> {
    if record.zone == place.zone {
        return Ok(());
    }
    Err(WrongPlace {
        instance: place.instance.clone(),
        ring: place.ring.clone(),
        recorded: record.zone.clone(),
        wanted: place.zone.clone(),
    })
}

/// Whether the record says everything that is wanted.
pub(super) fn says(record: &Instance, place: &Place, wanted: &Announcement) -> bool {
    record.zone == place.zone
        && record.state == i32::from(wanted.state)
        && wanted.read_only.is_none_or(|read_only| record.read_only == read_only)
        && record.addresses == place.addresses
        && (wanted.incarnation == 0 || record.incarnation == wanted.incarnation)
        && wanted.lost_ranges.iter().all(|lost| {
            lost.end_ms < wanted.forget_before_ms || record.lost_ranges.iter().any(|has| covers(has, lost))
        })
}

/// The record of an instance that has none yet, with these tokens.
pub(super) fn new(place: &Place, tokens: Vec<u64>, now_ms: i64) -> Stored<Instance> {
    Stored::new(Instance {
        zone: place.zone.clone(),
        tokens,
        registered_ms: now_ms,
        changed_ms: now_ms,
        ..Instance::default()
    })
}

/// The record with what is wanted. What it says of losses stays, and a new life of the data directory is a loss.
pub(super) fn merge(record: &mut Instance, place: &Place, wanted: &Announcement, now_ms: i64) {
    if record.state() != wanted.state {
        if record.state() == InstanceState::Left {
            record.registered_ms = now_ms;
        }
        record.set_state(wanted.state);
        record.changed_ms = now_ms;
    }
    if let Some(read_only) = wanted.read_only.filter(|read_only| *read_only != record.read_only) {
        record.read_only = read_only;
        record.read_only_changed_ms = now_ms;
    }
    record.addresses.clone_from(&place.addresses);
    let mut lost = std::mem::take(&mut record.lost_ranges);
    lost.extend(wanted.lost_ranges.iter().copied());
    if wanted.incarnation != 0 {
        let former = std::mem::replace(&mut record.incarnation, wanted.incarnation);
        if former != 0 && former != wanted.incarnation {
            lost.extend(wanted.lost_with_former_life);
        }
    }
    lost.retain(|lost| lost.end_ms >= wanted.forget_before_ms && lost.start_ms <= lost.end_ms);
    record.lost_ranges = union(lost);
}

/// The same times as ranges that do not touch, ascending.
fn union(mut ranges: Vec<LostRange>) -> Vec<LostRange> {
    ranges.sort_by_key(|range| (range.start_ms, range.end_ms));
    let mut union: Vec<LostRange> = Vec::new();
    for range in ranges {
        match union.last_mut() {
            Some(last) if range.start_ms <= last.end_ms.saturating_add(1) => {
                last.end_ms = last.end_ms.max(range.end_ms);
            }
            _ => union.push(range),
        }
    }
    union
}

fn covers(outer: &LostRange, inner: &LostRange) -> bool {
    outer.start_ms <= inner.start_ms && inner.end_ms <= outer.end_ms
}
