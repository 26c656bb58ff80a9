//! Ranges of time of which acknowledged samples may be missing: clipped to what matters, put together, bounded in number.

use model::TimeRange;

/// An instance has at most so many ranges; the two that are nearest to each other become one beyond that. Wider is safe:
/// a query then needs the other zones for more of the time.
const MAX_RANGES: usize = 64;

/// Samples may be this far ahead of an ingester's clock: the grace that tenants have, and clocks that differ.
const AHEAD_MS: i64 = 60 * 60 * 1000;

/// Everything that an ingester may have had at `now_ms`, when its retention begins at `oldest_ms`.
pub(crate) fn everything(oldest_ms: i64, now_ms: i64) -> TimeRange {
    TimeRange::new(oldest_ms, now_ms.saturating_add(AHEAD_MS)).unwrap_or(TimeRange::ALL)
}

/// What is known to be lost, `more` included, without what lies before `oldest_ms`: sorted, apart from each other, and
/// bounded in number.
pub(crate) fn merge_lost(known: &[TimeRange], more: &[TimeRange], oldest_ms: i64) -> Vec<TimeRange> {
    let mut ranges: Vec<_> = known.iter().chain(more).filter(|range| range.end_ms() >= oldest_ms).collect();
    ranges.sort_by_key(|range| range.start_ms());
    let mut merged: Vec<TimeRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start_ms() <= last.end_ms().saturating_add(1) => *last = last.hull(*range),
            _ => merged.push(*range),
        }
    }
    while merged.len() > MAX_RANGES {
        join_nearest(&mut merged);
    }
    merged
}

fn join_nearest(ranges: &mut Vec<TimeRange>) {
    let gap = |pair: &[TimeRange; 2]| pair[1].start_ms().saturating_sub(pair[0].end_ms());
    let nearest = ranges.array_windows().enumerate().min_by_key(|(_, pair)| gap(pair));
    let Some((at, [first, second])) = nearest else { return };
    let joined = first.hull(*second);
    ranges.splice(at..at + 2, [joined]);
}

/// The part of a range that lies within another; `None` where there is none.
pub(crate) fn clip(range: TimeRange, within: TimeRange) -> Option<TimeRange> {
    TimeRange::new(range.start_ms().max(within.start_ms()), range.end_ms().min(within.end_ms()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange::new(start, end).unwrap()
    }

    #[test]
    fn what_touches_is_one_and_what_is_old_is_forgotten() {
        let known = [range(0, 9), range(50, 60)];
        let merged = merge_lost(&known, &[range(55, 70), range(71, 80), range(100, 110)], 10);
        assert_eq!(merged, [range(50, 80), range(100, 110)]);
        assert_eq!(clip(range(0, 10), range(5, 20)), Some(range(5, 10)));
        assert_eq!(clip(range(0, 4), range(5, 20)), None);
        assert_eq!(clip(TimeRange::ALL, everything(-5, 7)), TimeRange::new(-5, 7 + AHEAD_MS));
    }

    proptest! {
        #[test]
        fn nothing_that_is_lost_is_left_out(
            known in proptest::collection::vec((0..3_000i64, 0..9i64), 0..200),
            oldest_ms in 0..500i64,
        ) {
            let ranges: Vec<_> = known.iter().map(|(start, len)| range(*start, start + len)).collect();
            let (a, b) = ranges.split_at(ranges.len() / 2);
            let merged = merge_lost(a, b, oldest_ms);
            prop_assert!(merged.len() <= MAX_RANGES);
            prop_assert!(merged.array_windows().all(|[a, b]| a.end_ms() + 1 < b.start_ms()));
            for lost in &ranges {
                let covered = merged.iter().any(|m| m.contains(lost.start_ms()) && m.contains(lost.end_ms()));
                prop_assert!(covered || lost.end_ms() < oldest_ms);
            }
            if ranges.len() <= MAX_RANGES {
                let near = |at: i64| ranges.iter().any(|r| r.contains(at));
                prop_assert!(merged.iter().all(|m| (m.start_ms()..=m.end_ms()).all(near)));
            }
            prop_assert_eq!(merge_lost(&merged, &ranges, oldest_ms), merged);
        }
    }
}
