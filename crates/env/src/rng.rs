//! Randomness for jitter, identifiers and tie-breaking; not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};

use parking_lot::Mutex;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng};

/// Where random numbers come from.
pub trait Rng: Send + Sync + 'static {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;

    /// A number evenly spread over `0..bound`; 0 where `bound` is 0. The bias is below `bound / 2^64`.
    fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

/// A generator (xoshiro256++) that gives the same numbers for the same seed, whatever the machine.
#[derive(Debug)]
pub struct SeededRng {
    state: Mutex<Xoshiro256PlusPlus>,
}

impl SeededRng {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(Xoshiro256PlusPlus::seed_from_u64(seed)) }
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        self.state.lock().next_u64()
    }
}

/// A generator seeded from the operating system.
#[derive(Debug)]
pub struct OsSeededRng {
    inner: SeededRng,
}

impl OsSeededRng {
    /// A generator with a fresh seed.
    pub fn new() -> Self {
        // The standard library keys its hashers from the operating system's source: no crate is needed for a seed.
        let seed = RandomState::new().build_hasher().finish();
        Self { inner: SeededRng::new(seed) }
    }
}

impl Default for OsSeededRng {
    fn default() -> Self {
        Self::new()
    }
}

impl Rng for OsSeededRng {
    fn next_u64(&self) -> u64 {
        self.inner.next_u64()
    }
}
