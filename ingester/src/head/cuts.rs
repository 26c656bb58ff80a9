//! Where a series' chunks are cut: a function of its metric and hash, of time, and of how many samples a chunk has.

use model::SeriesHash;
use xxhash_rust::xxh3::xxh3_64;

/// Chunks are cut where the series' time crosses a multiple of this, so that replicas that take the same samples make
/// the same chunks again after one of them missed some. Two hours.
pub(crate) const CHUNK_ALIGNMENT_MS: i64 = 2 * 60 * 60 * 1000;
/// A chunk is full with this many samples, as in Prometheus.
pub(crate) const CHUNK_SAMPLES: u16 = 120;

/// Into so many groups are the series of a metric divided.
const GROUPS_PER_METRIC: u16 = 8;

/// Series whose chunks are cut together, if they have samples together: an eighth of the series of a metric.
///
/// Their chunks lie near each other in the files then, and that is what queries read together: few reads, of which most
/// is wanted. An eighth, because buffers that fill and empty together are memory that comes and goes, and a tenant may have
/// one metric mostly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CutGroup(u16);

impl CutGroup {
    /// The group of a series of this metric. The ring and the engine take parts of the hash as they are: an ingester may
    /// own only series that share some bits, so all bits are mixed.
    pub(crate) fn of(metric: &str, hash: SeriesHash) -> Self {
        let of_metric = xxh3_64(metric.as_bytes()) as u16 / GROUPS_PER_METRIC * GROUPS_PER_METRIC;
        let mixed = hash.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self(of_metric + (mixed >> 32) as u16 % GROUPS_PER_METRIC)
    }
}

/// When the chunks of one series are cut.
///
/// All series at the same times would mean that all buffers are full at once, and all empty soon after: the head would
/// need a third more memory than on average, and hand all chunks to the disk within one scrape. So each group of series
/// counts its two hours from another time, and their first chunks are cut short by another length, because series often
/// begin together (`docs/decisions/0007-staggered-cuts.md`). The groups of one metric are spread over both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts {
    phase_ms: i64,
    first_samples: u16,
}

impl Cuts {
    /// The cuts of the series of a group.
    #[inline]
    pub(crate) fn of(group: CutGroup) -> Self {
        let mixed = u64::from(group.0 / GROUPS_PER_METRIC + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let group = u32::from(group.0 % GROUPS_PER_METRIC);
        // In parts of 2^32. Where two hours are four chunks, or two, or one, the groups are to be apart from each other within
        // each of them: so they are 5/32 of two hours apart. First chunks are an eighth of a chunk apart.
        let (phase, first) = (group.wrapping_mul(5 << 27), group << 29);
        let share =
            |bits: u64, begin: u32, of: u64| (u64::from((bits as u32).wrapping_add(begin)) * of) >> 32;
        Self {
            phase_ms: share(mixed >> 32, phase, CHUNK_ALIGNMENT_MS as u64) as i64,
            first_samples: 1 + share(mixed, first, u64::from(CHUNK_SAMPLES)) as u16,
        }
    }

    /// Whether samples at these times may not be in one chunk.
    #[inline]
    pub(crate) fn are_between(self, earlier_ms: i64, later_ms: i64) -> bool {
        let window = |at: i64| at.saturating_add(self.phase_ms).div_euclid(CHUNK_ALIGNMENT_MS);
        window(earlier_ms) != window(later_ms)
    }

    /// How many samples the first chunk of the series has at most.
    #[inline]
    pub(crate) fn first_samples(self) -> u16 {
        self.first_samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERIES: u64 = 4_000;

    /// Hashes as an ingester may own them: the upper and the lower bits are the same, or some of each.
    fn hashes() -> Vec<Vec<u64>> {
        let spread = |i: u64| xxhash_rust::xxh3::xxh3_64(&i.to_le_bytes());
        [(0, 0), (40, 0), (0, 40), (20, 20)]
            .map(|(low, high)| {
                (0..SERIES)
                    .map(|i| ((((spread(i) >> low) << low) << high) >> high) | (0x5 << 60) | 0x5)
                    .collect()
            })
            .into()
    }

    #[test]
    fn open_buffers_hold_about_the_same_at_any_time_from_the_first_chunk_on() {
        for (metrics, hashes) in hashes().into_iter().flat_map(|h| [(40, h.clone()), (1, h)]) {
            let cuts_of = |(i, hash): (usize, &u64)| {
                Cuts::of(CutGroup::of(&format!("metric_{}", i % metrics), SeriesHash(*hash)))
            };
            let cuts: Vec<Cuts> = hashes.iter().enumerate().map(cuts_of).collect();
            let mut open = vec![(0i64, 0u16); cuts.len()];
            let mut is_first = vec![true; cuts.len()];
            let mut closed_at_most = 0;
            for step in 0..1_000i64 {
                let (now, mut closed) = (1_700_000_000_000 + step * 15_000, 0);
                for ((cuts, (first_ms, samples)), is_first) in cuts.iter().zip(&mut open).zip(&mut is_first) {
                    let capacity = if *is_first { cuts.first_samples() } else { CHUNK_SAMPLES };
                    if *samples > 0 && (*samples >= capacity || cuts.are_between(*first_ms, now)) {
                        (*samples, *is_first) = (0, false);
                        closed += 1;
                    }
                    if *samples == 0 {
                        *first_ms = now;
                    }
                    *samples += 1;
                }
                closed_at_most = closed.max(closed_at_most);
                let mean = open.iter().map(|(_, n)| f64::from(*n)).sum::<f64>() / SERIES as f64;
                let (low, high) = if metrics == 1 { (33.0, 83.0) } else { (48.0, 69.0) };
                assert!(mean < high && (step < 120 || mean > low), "{mean} samples after {step}");
            }
            // One group of each metric, or a few of them that meet.
            let groups = if metrics == 1 { 3 } else { 20 };
            let most = SERIES as usize * groups / (metrics * usize::from(GROUPS_PER_METRIC));
            assert!(closed_at_most <= most, "{closed_at_most} chunks at once");
        }
    }

    #[test]
    fn cuts_are_every_two_hours() {
        for (metric, hash) in [("", 0), ("up", 1), ("up", u64::MAX), ("node_load1", 1 << 40)] {
            let cuts = Cuts::of(CutGroup::of(metric, SeriesHash(hash)));
            let edges = (0..3 * CHUNK_ALIGNMENT_MS).step_by(1_000);
            assert_eq!(edges.filter(|at| cuts.are_between(at - 1_000, *at)).count(), 3);
            assert!((1..=CHUNK_SAMPLES).contains(&cuts.first_samples()));
            assert!(!cuts.are_between(i64::MAX - 1, i64::MAX));
            assert!(cuts.are_between(i64::MIN, i64::MAX));
        }
    }

    #[test]
    fn the_groups_of_a_metric_are_evenly_spaced() {
        for metric in ["up", "node_cpu_seconds_total", "a"] {
            let of_metric: std::collections::BTreeMap<u16, Cuts> = (0..1_000u64)
                .map(|i| CutGroup::of(metric, SeriesHash(xxh3_64(&i.to_le_bytes()))))
                .map(|group| (group.0, Cuts::of(group)))
                .collect();
            assert_eq!(of_metric.len(), usize::from(GROUPS_PER_METRIC));
            // Within the half an hour of a chunk of samples that are 15 s apart.
            let chunk_ms = CHUNK_ALIGNMENT_MS / 4;
            let mut phases: Vec<i64> = of_metric.values().map(|cuts| cuts.phase_ms % chunk_ms).collect();
            phases.sort_unstable();
            let gap = chunk_ms / i64::from(GROUPS_PER_METRIC);
            assert!(phases.windows(2).all(|p| (p[1] - p[0] - gap).abs() <= 1), "{phases:?}");
            let mut samples: Vec<u16> = of_metric.values().map(|cuts| cuts.first_samples).collect();
            samples.sort_unstable();
            assert!(samples.windows(2).all(|s| s[1] - s[0] == 15), "{samples:?}");
        }
    }
}
