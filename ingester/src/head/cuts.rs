//! Where a series' chunks are cut: a function of its hash, of time, and of how many samples a chunk has.

use model::SeriesHash;

/// Chunks are cut where the series' time crosses a multiple of this, so that replicas that take the same samples make
/// the same chunks again after one of them missed some. Two hours.
pub(crate) const CHUNK_ALIGNMENT_MS: i64 = 2 * 60 * 60 * 1000;
/// A chunk is full with this many samples, as in Prometheus.
pub(crate) const CHUNK_SAMPLES: u16 = 120;

/// When the chunks of one series are cut.
///
/// All series at the same times would mean that all buffers are full at once, and all empty soon after: the head would
/// need a third more memory than on average, and hand all chunks to the disk within one scrape. So each series counts
/// its two hours from another time, and its first chunk is cut short by another length, because series often begin
/// together (`docs/decisions/0007-staggered-cuts.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cuts {
    phase_ms: i64,
    first_samples: u16,
}

impl Cuts {
    /// The cuts of the series with this hash. The ring and the engine take parts of the hash as they are: an ingester may
    /// own only series that share some bits, so all bits are mixed.
    #[inline]
    pub(crate) fn of(hash: SeriesHash) -> Self {
        let mixed = hash.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = mixed ^ (mixed >> 32);
        let mixed = mixed.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let share = |bits: u64, of: u64| (bits * of) >> 32;
        Self {
            phase_ms: share(mixed >> 32, CHUNK_ALIGNMENT_MS as u64) as i64,
            first_samples: 1 + share(mixed & 0xffff_ffff, u64::from(CHUNK_SAMPLES)) as u16,
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
        for hashes in hashes() {
            let cuts: Vec<Cuts> = hashes.iter().map(|h| Cuts::of(SeriesHash(*h))).collect();
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
                assert!(mean < 64.0 && (step < 120 || mean > 54.0), "{mean} samples after {step}");
            }
            assert!(closed_at_most < SERIES as usize / 50, "{closed_at_most} chunks at once");
        }
    }

    #[test]
    fn cuts_are_every_two_hours() {
        for hash in [0, 1, u64::MAX, 1 << 40] {
            let cuts = Cuts::of(SeriesHash(hash));
            let edges = (0..3 * CHUNK_ALIGNMENT_MS).step_by(1_000);
            assert_eq!(edges.filter(|at| cuts.are_between(at - 1_000, *at)).count(), 3);
            assert!((1..=CHUNK_SAMPLES).contains(&cuts.first_samples()));
            assert!(!cuts.are_between(i64::MAX - 1, i64::MAX));
            assert!(cuts.are_between(i64::MIN, i64::MAX));
        }
    }
}
