//! Noise as a pure function: every value of the population is computed from (seed, step), never stored, so that the
//! oracle can compute it again.

/// Mixes 64 bits well (the finaliser of SplitMix64).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A seed for the `n`th part of what `seed` stands for.
pub(crate) fn derive(seed: u64, n: u64) -> u64 {
    mix(seed ^ n.wrapping_mul(0xd6e8_feb8_6659_fd93))
}

/// A number in `[0, 1)`, one per (seed, n).
pub(crate) fn unit(seed: u64, n: u64) -> f64 {
    (derive(seed, n) >> 11) as f64 / (1u64 << 53) as f64
}

/// A number between `low` and `high`, spread evenly over orders of magnitude. Made from a few bits and exact
/// operations only, because `exp` and `pow` may differ between machines.
pub(crate) fn log_uniform(seed: u64, low: f64, high: f64) -> f64 {
    let mut value = low;
    let doublings = unit(seed, 0) * f64::from((high / low).log2() as u32);
    for _ in 0..doublings as u32 {
        value *= 2.0;
    }
    value * (1.0 + unit(seed, 1))
}

/// A walk around zero, roughly within ±1, that moves slowly over long times and a little at each step: octaves of
/// value noise, so that any step costs the same.
pub(crate) fn walk(seed: u64, step: i64) -> f64 {
    let step = step.max(0) as u64;
    let mut sum = 0.0;
    let mut amplitude = 0.5;
    for shift in [8u32, 6, 4, 2] {
        let at = step >> shift;
        let fraction = (step & ((1 << shift) - 1)) as f64 / (1u64 << shift) as f64;
        let octave = derive(seed, u64::from(shift));
        let (from, to) = (unit(octave, at), unit(octave, at + 1));
        sum += amplitude * (from + (to - from) * fraction - 0.5);
        amplitude *= 0.6;
    }
    sum + 0.03 * (unit(seed, step) - 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_pure_spread_and_bounded() {
        let mut mean = 0.0;
        for n in 0..10_000 {
            let u = unit(7, n);
            assert!((0.0..1.0).contains(&u));
            assert_eq!(u.to_bits(), unit(7, n).to_bits());
            assert!(walk(7, n as i64).abs() <= 1.0);
            let rate = log_uniform(n, 10.0, 1000.0);
            assert!((10.0..=2000.0).contains(&rate), "{rate}");
            mean += u / 10_000.0;
        }
        assert!((mean - 0.5).abs() < 0.02, "mean {mean}");
    }
}
