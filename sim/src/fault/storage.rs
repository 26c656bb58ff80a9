//! What befalls the bucket, and compactors.

use std::time::Duration;

use super::Fault;
use super::plan::{ALL_OVER, FIRST, LAST, Layout, Scheduled, crash};
use crate::draw::Draw;
use crate::storage::Trouble;

/// There is something to compact by then.
const FIRST_COMPACTION: Duration = Duration::from_secs(18);
/// No compactor is hit later.
const LAST_COMPACTION: Duration = Duration::from_secs(43);

/// The faults of a run with a bucket.
pub(super) fn faults(draw: &Draw, layout: &Layout) -> Vec<Scheduled> {
    let of_bucket = (0..draw.between(1, 4)).map(|_| {
        let begins = draw.time(FIRST, LAST);
        let lasts = draw.time(Duration::from_millis(300), Duration::from_secs(10));
        Scheduled { begins, ends: (begins + lasts).min(ALL_OVER), fault: of_bucket(draw, layout) }
    });
    let of_bucket: Vec<_> = of_bucket.collect();
    let of_compactors = (0..draw.between(2, 6)).map(|_| {
        let begins = draw.time(FIRST_COMPACTION, LAST_COMPACTION);
        let lasts = draw.time(Duration::from_millis(100), Duration::from_secs(4));
        Scheduled { begins, ends: (begins + lasts).min(ALL_OVER), fault: of_compactor(draw, layout) }
    });
    let of_compactors: Vec<_> = of_compactors.collect();
    // While there is something to compact, most runs have a bucket that makes trouble.
    let late = (0..draw.between(0, 2)).map(|_| {
        let begins = draw.time(FIRST_COMPACTION, LAST);
        let lasts = draw.time(Duration::from_secs(3), Duration::from_secs(10));
        let fault = Fault::BucketTrouble { trouble: trouble(draw) };
        Scheduled { begins, ends: (begins + lasts).min(ALL_OVER), fault }
    });
    let late: Vec<_> = late.collect();
    of_bucket.into_iter().chain(of_compactors).chain(late).collect()
}

fn of_bucket(draw: &Draw, layout: &Layout) -> Fault {
    match draw.between(0, 99) {
        0..=19 => Fault::BucketDown,
        20..=44 => Fault::NoBucket { machine: draw.one(&layout.all()).cloned().unwrap_or_default() },
        _ => Fault::BucketTrouble { trouble: trouble(draw) },
    }
}

fn trouble(draw: &Draw) -> Trouble {
    Trouble {
        longest: draw.time(Duration::from_millis(10), Duration::from_secs(3)),
        refused: draw.between(0, 200),
        unanswered: draw.between(0, 150),
        half: draw.between(0, 300),
    }
}

fn of_compactor(draw: &Draw, layout: &Layout) -> Fault {
    let machine = draw.one(&layout.compactors).cloned().unwrap_or_default();
    match draw.between(0, 99) {
        0..=54 => Fault::Crash { machine, crash: crash(draw) },
        // Long enough for its lease to end in the middle of a job.
        55..=74 => Fault::Standstill { machine },
        75..=84 => Fault::NoMetastore { machine },
        85..=92 => Fault::NoBucket { machine },
        93..=96 => Fault::FullDisk { machine },
        _ => Fault::Restart { machine },
    }
}
