//! A limit on how often one kind of log line is written.
//!
//! A tenant that sends bad samples all day must not fill a disk with their description.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many keys are remembered; beyond that the stalest one is forgotten.
pub const MAX_KEYS: usize = 1_024;

/// Lets one line per key and interval through, and counts what it held back.
#[derive(Debug)]
pub struct LogRateLimit<K> {
    interval: Duration,
    keys: Mutex<HashMap<K, Entry>>,
}

#[derive(Debug)]
struct Entry {
    let_through: Duration,
    held_back: u64,
}

impl<K: Hash + Eq + Clone> LogRateLimit<K> {
    /// A limit of one line per key and `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { interval, keys: Mutex::default() }
    }

    /// Whether a line about `key` may be written at `now`, a monotonic time since any fixed origin.
    ///
    /// `Some(n)`: write it, `n` lines were held back since the last one. `None`: hold it back.
    pub fn allow(&self, key: &K, now: Duration) -> Option<u64> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = keys.get_mut(key) {
            if now.saturating_sub(entry.let_through) < self.interval {
                entry.held_back += 1;
                return None;
            }
            let held_back = std::mem::take(&mut entry.held_back);
            entry.let_through = now;
            return Some(held_back);
        }
        if keys.len() >= MAX_KEYS {
            forget_stalest(&mut keys);
        }
        keys.insert(key.clone(), Entry { let_through: now, held_back: 0 });
        Some(0)
    }
}

fn forget_stalest<K: Hash + Eq + Clone>(keys: &mut HashMap<K, Entry>) {
    let stalest = keys.iter().min_by_key(|(_, entry)| entry.let_through).map(|(key, _)| key.clone());
    if let Some(key) = stalest {
        keys.remove(&key);
    }
}
